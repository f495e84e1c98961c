//! The output error, and the teaching current that it becomes.

use num_complex::Complex;

use crate::imperfections::fluctuation::Fluctuation;
use crate::numerics::scalar::{Layout, Scalar};
use crate::substrate::neurons::activation;
use crate::substrate::neurons::field::{Dynamics, add};
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::network::Output;

impl<T: Scalar> Dynamics<'_, T> {
    /// Brings p − y, or a − y, up to date with a state.
    pub(super) fn update_output_error(&mut self, state: &[T]) {
        let output = self.effective.network().output;
        let source = if self.bound.form == Form::Rate { state } else { &self.bound.rates };
        let rates = &source[self.bound.shape.layer(output.layer())];
        match output {
            Output::SquaredError { .. } => self.bound.output_error.copy_from_slice(rates),
            Output::Readout { classes, .. } => {
                let (_, bias) = self.effective.readout().expect("a read-out has weights");
                let (re, im) = self.bound.output_error.split_at_mut(classes * self.bound.shape.batch);
                re.chunks_exact_mut(classes).for_each(|column| column.copy_from_slice(bias));
                im.fill(T::zero());
                self.effective.multiply_readout(Layout::Plain, rates, &mut self.bound.output_error);
                let (re, im) = self.bound.output_error.split_at_mut(classes * self.bound.shape.batch);
                if im.is_empty() {
                    activation::softmax_real(classes, re);
                } else {
                    activation::softmax(classes, re, im);
                }
            }
        }
        // Targets are real: they meet the real rail only.
        for (error, target) in self.bound.output_error.iter_mut().zip(&self.bound.targets) {
            *error -= *target;
        }
        self.bound.error_is_current = true;
    }

    /// Adds what teaching under β makes of a state, and the state's noise.
    pub(super) fn teach_and_hold(&mut self, beta: Complex<f64>, state: &[T], out: &mut [T]) {
        let noisy = self.bound.teaching_is_on && self.bound.noise.teaching.is_some();
        if beta != Complex::new(0.0, 0.0) || noisy || !self.bound.own_betas.is_empty() {
            self.update_output_error(state);
            self.apply_teaching(beta, out);
        }
        if let Some(noise) = &self.bound.noise.state {
            add(out, noise.values());
        }
    }

    /// Adds −β ∂C/∂a to the output layer's pre-activation.
    fn apply_teaching(&mut self, beta: Complex<f64>, out: &mut [T]) {
        let output = self.effective.network().output;
        let range = self.bound.shape.layer(output.layer());
        let gain = self.effective.teaching_gain();
        match output {
            Output::SquaredError { .. } if gain.is_none() => {}
            Output::SquaredError { .. } => self.bound.nudge.copy_from_slice(&self.bound.output_error),
            Output::Readout { .. } => {
                self.bound.nudge.fill(T::zero());
                self.effective.multiply_readout(
                    Layout::Transposed,
                    &self.bound.output_error,
                    &mut self.bound.nudge,
                );
            }
        }
        if let Some(gain) = gain {
            self.bound.nudge.iter_mut().zip(gain.iter().cycle()).for_each(|(c, g)| *c *= *g);
        }
        let direct = matches!(output, Output::SquaredError { .. }) && gain.is_none();
        let slope = if direct { &self.bound.output_error } else { &self.bound.nudge };
        let noise =
            self.bound.noise.teaching.as_ref().filter(|_| self.bound.teaching_is_on).map(Fluctuation::values);
        let (rails, batch) = (self.bound.shape.rails, self.bound.shape.batch);
        let size = range.len() / (rails * batch);
        let (re, im) = (T::of(beta.re), T::of(beta.im));
        if rails == 1 {
            for (sample, (o, c)) in out[range].chunks_mut(size).zip(slope.chunks(size)).enumerate() {
                let re = noise.map_or(re, |n| re + n[sample]);
                o.iter_mut().zip(c).for_each(|(o, c)| *o -= re * *c);
            }
            return;
        }
        let half = range.len() / 2;
        let (out_re, out_im) = out[range].split_at_mut(half);
        let (slope_re, slope_im) = slope.split_at(half);
        let out = out_re.chunks_mut(size).zip(out_im.chunks_mut(size));
        let slopes = slope_re.chunks(size).zip(slope_im.chunks(size));
        for (sample, ((o_re, o_im), (c_re, c_im))) in out.zip(slopes).enumerate() {
            let (re, im) = noise.map_or((re, im), |n| (re + n[sample], im + n[batch + sample]));
            let own = (!self.bound.own_betas.is_empty()).then_some(&self.bound.own_betas);
            let (re, im) = own.map_or((re, im), |b| (re + b[sample], im + b[batch + sample]));
            for (((o_re, o_im), c_re), c_im) in o_re.iter_mut().zip(o_im).zip(c_re).zip(c_im) {
                *o_re -= re * *c_re - im * *c_im;
                *o_im -= re * *c_im + im * *c_re;
            }
        }
    }
}
