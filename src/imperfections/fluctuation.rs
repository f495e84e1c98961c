//! Noise that is held through each step of the integrator, with or without memory.

use super::noise::{Noise, Rails};
use super::process::{Draws, Law, Process};
use crate::error::Result;
use crate::files::Tensors;
use crate::numerics::rng::NoiseKey;
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;

/// Components of 1/f noise per decade of correlation time: the ripple of the spectrum stays below 0.3 dB.
const PER_DECADE: f64 = 2.0;

/// The tick of elements that join a process which has begun: no clock comes to it.
const JOINED: u64 = u64::MAX;

/// A random process for every element of a layout, advanced step by step.
#[derive(Debug, Clone)]
pub struct Fluctuation<T: Scalar> {
    key: NoiseKey,
    noise: Noise,
    rails: Rails,
    /// Place of the first sample in its batch.
    first: usize,
    /// The layout of `values`.
    view: StateShape,
    /// That of the processes, which may have met more rails or samples before.
    shape: StateShape,
    /// Length of a tick, in nominal τ, and the part of a leaky unit that a step takes away.
    clock: (f64, f64),
    /// Standard deviation of each process, or of what is held through a step.
    std: T,
    /// The same of the white noise beside 1/f noise.
    white: T,
    processes: Vec<Process<T>>,
    /// Random numbers on their way into a process.
    scratch: [Vec<T>; 2],
    /// The values of all of `shape`, where that is more than `view`.
    all: Vec<T>,
    values: Vec<T>,
}

impl<T: Scalar> Fluctuation<T> {
    /// The process for `shape`, whose first sample has place `first` in its batch.
    #[must_use]
    pub fn new(noise: Noise, key: NoiseKey, first: usize, shape: &StateShape) -> Self {
        let (law, times) = match noise {
            Noise::White { .. } | Noise::Held { .. } => (Law::Component, Vec::new()),
            Noise::OrnsteinUhlenbeck { correlation_time, .. } => {
                (Law::OrnsteinUhlenbeck, vec![correlation_time])
            }
            Noise::Telegraph { dwell_time, .. } => (Law::Telegraph, vec![dwell_time]),
            Noise::OneOverF { shortest, longest, .. } => {
                (Law::Component, correlation_times(shortest, longest))
            }
            Noise::Measured { components, .. } => {
                (Law::Component, components.list().iter().map(|component| component.time).collect())
            }
        };
        let count = times.len();
        let process = |(place, time): (usize, &f64)| Process::new(law, *time, (place, count));
        let mut made = Self {
            key,
            noise,
            rails: noise.rails(),
            first,
            view: shape.clone(),
            shape: shape.clone(),
            clock: (f64::NAN, f64::NAN),
            std: T::zero(),
            white: T::zero(),
            processes: times.iter().enumerate().map(process).collect(),
            scratch: [Vec::new(), Vec::new()],
            all: Vec::new(),
            values: vec![T::zero(); shape.len()],
        };
        made.make_room();
        made.set_step(1.0, 1.0);
        made
    }

    fn make_room(&mut self) {
        let len = if self.processes.is_empty() { 0 } else { self.shape.len() };
        self.scratch.iter_mut().for_each(|scratch| scratch.resize(len, T::zero()));
        self.all.resize(if self.view == self.shape { 0 } else { self.shape.len() }, T::zero());
    }

    /// Which rails it acts on.
    #[must_use]
    pub fn rails(&self) -> Rails {
        self.rails
    }

    /// The same process on other rails.
    #[must_use]
    pub fn on(mut self, rails: Rails) -> Self {
        self.rails = rails;
        self
    }

    /// Whether it goes on from one update of the weights to the next.
    #[must_use]
    pub fn is_continuous(&self) -> bool {
        self.noise.is_continuous()
    }

    /// Sets the length of a tick, in nominal τ, and `lost`, the part of an isolated neuron of τ = 1 that the integrator's step takes
    /// away ([`crate::simulation::integrators::Integrator::lost`]).
    pub fn set_step(&mut self, step: f64, lost: f64) {
        if self.clock == (step, lost) {
            return;
        }
        self.clock = (step, lost);
        // Held through a step, ξ moves such a neuron to (1 − lost) u + lost ξ.
        let white = |std: f64| T::of(std * ((2.0 - lost) / lost).max(0.0).sqrt());
        self.std = match self.noise {
            Noise::White { std, .. } => white(std),
            Noise::OneOverF { std, .. } => T::of(std / (self.processes.len() as f64).sqrt()),
            _ => T::of(self.noise.std()),
        };
        if let Noise::OneOverF { white_std, .. } = self.noise {
            self.white = white(white_std);
        }
        self.processes.iter_mut().for_each(|process| process.set_step(step));
    }

    /// Lets time pass, in nominal τ, of which nothing is seen.
    pub fn pass(&mut self, time: f64) {
        self.processes.iter_mut().for_each(|process| process.pass(time));
    }

    /// Goes on where the same noise of an earlier phase, of other rails or samples perhaps, has come to.
    pub fn resume(&mut self, before: Self) {
        // What has no memory has nowhere to go on from.
        if self.processes.is_empty() {
            return;
        }
        let rails = self.shape.rails.max(before.shape.rails);
        let shape = self.shape.with_batch(self.shape.batch.max(before.shape.batch)).with_rails(rails);
        self.processes = before.processes;
        if shape != before.shape {
            let draws = self.draws(JOINED, &shape);
            for process in &mut self.processes {
                process.grow(&draws, |from, to| copy_columns((&before.shape, from), (&shape, to)));
            }
        }
        self.pass(0.0);
        self.shape = shape;
        self.make_room();
        let (step, lost) = std::mem::replace(&mut self.clock, (f64::NAN, f64::NAN));
        self.set_step(step, lost);
    }

    fn draws<'a>(&self, tick: u64, shape: &'a StateShape) -> Draws<'a> {
        let shared = matches!(self.noise, Noise::Held { shared: true, .. });
        Draws { key: self.key, tick, rails: self.rails, shape, first: self.first, shared }
    }

    /// Values for the step that begins at `tick`, laid out as the shape. Each call is a step later than the one before.
    pub fn advance(&mut self, tick: u64) -> &[T] {
        let draws = self.draws(tick, &self.shape);
        let (std, white) = (self.std, self.white);
        if self.processes.is_empty() {
            draws.normals(0, &mut self.values);
            self.values.iter_mut().for_each(|x| *x *= std);
            return &self.values;
        }
        let whole = self.view == self.shape;
        let sum = if whole { &mut self.values } else { &mut self.all };
        sum.fill(T::zero());
        let count = self.processes.len();
        let [one, other] = &mut self.scratch;
        for (place, process) in self.processes.iter_mut().enumerate() {
            let std = match self.noise {
                Noise::Measured { components, .. } => T::of(components.list()[place].std),
                _ => std,
            };
            process.advance(&draws, std, [one, other], sum);
        }
        if white > T::zero() {
            draws.normals(count, one);
            sum.iter_mut().zip(one).for_each(|(x, z)| *x += white * *z);
        }
        if !whole {
            copy_columns((&self.shape, &self.all), (&self.view, &mut self.values));
        }
        &self.values
    }

    /// The values of the step that was last advanced to.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Adds what the processes remember to a checkpoint.
    pub(crate) fn save(&self, name: &str, tensors: &mut Tensors) {
        for (index, process) in self.processes.iter().enumerate() {
            let (state, gap) = process.memory();
            tensors.insert_reals(format!("{name}/{index}"), &[state.len()], state);
            tensors.insert_reals(format!("{name}/{index}/gap"), &[1], &[gap]);
        }
    }

    /// Takes up what [`Self::save`] has written of the same noise and layout.
    pub(crate) fn load(&mut self, name: &str, tensors: &mut Tensors) -> Result<()> {
        for (index, process) in self.processes.iter_mut().enumerate() {
            let state = tensors.reals(&format!("{name}/{index}"), &[self.shape.len()])?;
            let gap: Vec<f64> = tensors.reals(&format!("{name}/{index}/gap"), &[1])?;
            process.remember(state, gap[0]);
        }
        Ok(())
    }

    /// Samples and rails of the processes.
    pub(super) fn extent(&self) -> (usize, usize) {
        (self.shape.batch, self.shape.rails)
    }
}

/// Copies the rails and samples that both layouts of a network have.
fn copy_columns<T: Copy>((from, source): (&StateShape, &[T]), (to, sink): (&StateShape, &mut [T])) {
    let (rails, batch) = (from.rails.min(to.rails), from.batch.min(to.batch));
    for layer in 0..to.layers() {
        for (rail, sample) in (0..rails).flat_map(|rail| (0..batch).map(move |sample| (rail, sample))) {
            let column = &source[from.column(layer, rail, sample)];
            sink[to.column(layer, rail, sample)].copy_from_slice(column);
        }
    }
}

/// Correlation times of 1/f noise, evenly spaced in their logarithm.
pub fn correlation_times(shortest: f64, longest: f64) -> Vec<f64> {
    let intervals = ((longest / shortest).log10() * PER_DECADE).round().max(1.0);
    let ratio = (longest / shortest).powf(1.0 / intervals);
    (0..=intervals as i32).map(|i| shortest * ratio.powi(i)).collect()
}

#[cfg(test)]
mod tests {
    use rustfft::FftPlanner;
    use rustfft::num_complex::Complex;

    use super::*;
    use crate::numerics::rng::Purpose;

    const STEP: f64 = 0.25;

    fn source(noise: Noise, neurons: usize, first: usize, batch: usize, rails: usize) -> Fluctuation<f64> {
        let shape = StateShape::block(neurons, batch, rails);
        let mut source = Fluctuation::new(noise, NoiseKey::new(3, Purpose::StateNoise, 0), first, &shape);
        source.set_step(STEP, STEP);
        source
    }

    /// Traces of independent elements, [element][tick].
    fn traces(noise: Noise, elements: usize, ticks: u64) -> Vec<Vec<f64>> {
        let mut source = source(noise, elements, 0, 1, 1);
        let rows: Vec<Vec<f64>> = (0..ticks).map(|tick| source.advance(tick).to_vec()).collect();
        (0..elements).map(|i| rows.iter().map(|row| row[i]).collect()).collect()
    }

    #[test]
    fn measured_processes_each_have_their_own_variance() {
        let noise = serde_json::json!({ "measured": { "components": [[10.0, 0.5], [300.0, 2.0]] } });
        let noise: Noise = serde_json::from_value(noise).unwrap();
        let traces = traces(noise, 20_000, 41);
        let variance = traces.iter().map(|x| x[0] * x[0]).sum::<f64>() / 20_000.0;
        assert!((variance / 4.25 - 1.0).abs() < 5.0 * (2.0 / 20_000.0_f64).sqrt(), "{variance}");
        // Ten τ later the fast one has forgotten all but 1/e, the slow one hardly anything.
        let later = traces.iter().map(|x| x[0] * x[40]).sum::<f64>() / 20_000.0;
        let expected = 0.25 * (-1.0_f64).exp() + 4.0 * (-1.0_f64 / 30.0).exp();
        assert!((later / expected - 1.0).abs() < 0.08, "{later} {expected}");
        let kept = serde_json::to_value(noise).unwrap();
        assert_eq!(kept["measured"]["components"], serde_json::json!([[10.0, 0.5], [300.0, 2.0]]));
    }

    /// ⟨x(0) x(lag)⟩ over elements at tick 0, with its standard error.
    fn correlation(traces: &[Vec<f64>], start: usize, lag: usize) -> (f64, f64) {
        let products: Vec<f64> = traces.iter().map(|x| x[start] * x[start + lag]).collect();
        let n = products.len() as f64;
        let mean = products.iter().sum::<f64>() / n;
        let variance = products.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, (variance / n).sqrt())
    }

    /// Cov of the means over two steps of r correlation times, `lag` steps apart.
    fn mean_covariance(r: f64, lag: usize) -> f64 {
        match lag {
            0 => 2.0 * (r + (-r).exp_m1()) / (r * r),
            _ => (-(lag as f64) * r).exp() * r.exp_m1() * -(-r).exp_m1() / (r * r),
        }
    }

    #[test]
    fn ornstein_uhlenbeck_starts_stationary_and_forgets_exponentially() {
        let (std, time) = (0.7, 2.0);
        let noise = Noise::OrnsteinUhlenbeck {
            std,
            correlation_time: time,
            continuous: false,
            rails: Rails::Independent,
        };
        let traces = traces(noise, 20_000, 40);
        for start in [0, 17] {
            for lag in [0, 1, 4, 8, 20] {
                let expected = std * std * mean_covariance(STEP / time, lag);
                let (found, error) = correlation(&traces, start, lag);
                // Ten looks at four standard errors: a false alarm in 1600 seeds.
                assert!(
                    (found - expected).abs() < 4.0 * error,
                    "{start}+{lag}: {found} not {expected} +- {error}"
                );
            }
        }
    }

    #[test]
    fn telegraph_noise_has_two_levels_and_exponential_dwell_times() {
        let (std, dwell) = (0.3, 3.0);
        let noise = Noise::Telegraph { std, dwell_time: dwell, continuous: false, rails: Rails::Independent };
        // The levels at the ends of steps; the values are means over the steps.
        let mut source = source(noise, 500, 0, 1, 1);
        let rows: Vec<Vec<f64>> = (0..2000)
            .map(|tick| {
                assert!(source.advance(tick).iter().all(|x| x.abs() <= std * (1.0 + 1e-12)));
                source.processes[0].memory().0.to_vec()
            })
            .collect();
        let traces: Vec<Vec<f64>> = (0..500).map(|i| rows.iter().map(|row| row[i]).collect()).collect();
        assert!(traces.iter().flatten().all(|x| x.abs() == 1.0));
        // Rate of leaving a level per step; an even number of jumps within a step stays unseen.
        let jumps: usize = traces.iter().map(|x| x.windows(2).filter(|w| w[0] != w[1]).count()).sum();
        let steps = 500.0 * 1999.0;
        let chance = 0.5 * (1.0 - (-2.0 * STEP / dwell).exp());
        let error = (chance * (1.0 - chance) / steps).sqrt();
        assert!((jumps as f64 / steps - chance).abs() < 4.0 * error);
        // Dwell times are geometric: Kolmogorov-Smirnov on complete stays, significance 1 %.
        let mut stays = vec![0_usize; 400];
        for trace in &traces {
            let jumps: Vec<usize> = (1..trace.len()).filter(|&t| trace[t] != trace[t - 1]).collect();
            jumps.windows(2).for_each(|w| stays[(w[1] - w[0]).min(399)] += 1);
        }
        let total = stays.iter().sum::<usize>() as f64;
        let mut seen = 0.0;
        let mut distance = 0.0_f64;
        for (length, count) in stays.iter().enumerate().take(399) {
            seen += *count as f64;
            let expected = 1.0 - (1.0 - chance).powi(length as i32);
            distance = distance.max((seen / total - expected).abs());
        }
        assert!(distance * total.sqrt() < 1.63, "{distance} of {total} stays");
        let mean = traces.iter().map(|x| x[0]).sum::<f64>() / 500.0;
        assert!(mean.abs() < 4.0 / 500_f64.sqrt(), "both levels are equally likely at the start");
    }

    #[test]
    fn one_over_f_noise_has_the_slope_and_the_variance_that_it_promises() {
        let std = 0.5;
        let noise = Noise::OneOverF {
            std,
            shortest: 0.5,
            longest: 5000.0,
            white_std: 0.0,
            continuous: false,
            rails: Rails::Independent,
        };
        let (elements, ticks) = (400, 1 << 16);
        let traces = traces(noise, elements, ticks);
        let (found, error) = correlation(&traces, 1000, 0);
        // The components up to 16 steps are seen as means over a step.
        let left = |time: &f64| if *time >= 16.0 * STEP { 1.0 } else { mean_covariance(STEP / time, 0) };
        let times = correlation_times(0.5, 5000.0);
        let expected = std * std * times.iter().map(left).sum::<f64>() / times.len() as f64;
        assert!((found - expected).abs() < 4.0 * error, "variance {found}, not {expected}");
        let fft = FftPlanner::new().plan_fft_forward(ticks as usize);
        let mut power = vec![0.0; ticks as usize / 2];
        for trace in &traces {
            // A Hann window keeps the strong low frequencies from leaking into the weak high ones.
            let hann = |t: usize| 0.5 - 0.5 * (std::f64::consts::TAU * t as f64 / ticks as f64).cos();
            let mut line: Vec<Complex<f64>> =
                trace.iter().enumerate().map(|(t, x)| Complex::new(x * hann(t), 0.0)).collect();
            fft.process(&mut line);
            power.iter_mut().zip(&line).for_each(|(p, z)| *p += z.norm_sqr());
        }
        // Two decades in the middle: 1/(2 pi T) of T = 1.6 to 160.
        let frequency = |k: usize| k as f64 / (ticks as f64 * STEP);
        let points: Vec<(f64, f64)> = (0..20)
            .map(|i| {
                let centre = 1e-3 * 10_f64.powf(0.1 * f64::from(i) + 0.05);
                let band = |k: &usize| (frequency(*k) / centre).ln().abs() < 0.05 * 10_f64.ln();
                let bins: Vec<f64> = (1..power.len()).filter(band).map(|k| power[k]).collect();
                (centre.ln(), (bins.iter().sum::<f64>() / bins.len() as f64).ln())
            })
            .collect();
        let n = points.len() as f64;
        let (mx, my) =
            (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
        let slope = points.iter().map(|(x, y)| (x - mx) * (y - my)).sum::<f64>()
            / points.iter().map(|(x, _)| (x - mx).powi(2)).sum::<f64>();
        println!("1/f slope {slope:.3}");
        assert!((slope + 1.0).abs() < 0.1, "slope {slope}");
    }

    #[test]
    fn white_noise_held_through_steps_gives_a_leaky_neuron_its_std_at_any_step() {
        use crate::simulation::integrators::{IntegratorSpec, Leak};
        let std = 0.4;
        let cases = [("euler", 0.1), ("euler", 1.0), ("heun", 0.5), ("rk4", 1.0), ("exponential_euler", 1.5)];
        for (method, step) in cases {
            let integrator: IntegratorSpec =
                serde_json::from_value(serde_json::json!({ method: { "step": step } })).unwrap();
            let noise = Noise::White { std, rails: Rails::Independent };
            let mut source = source(noise, 4000, 0, 1, 1);
            let lost = integrator.build::<f64>(step, &Leak::Uniform(1.0), 0).lost(step);
            source.set_step(step, lost);
            let mut u = vec![0.0; 4000];
            for tick in 0..(12.0 / step) as u64 {
                u.iter_mut().zip(source.advance(tick)).for_each(|(u, x)| *u += lost * (x - *u));
            }
            let variance = u.iter().map(|u| u * u).sum::<f64>() / 4000.0;
            let error = std * std * (2.0_f64 / 4000.0).sqrt();
            assert!((variance - std * std).abs() < 4.0 * error, "{method:?}, step {step}: {variance}");
        }
    }

    #[test]
    fn values_depend_neither_on_how_a_batch_is_cut_nor_on_what_else_is_in_it() {
        let kinds = [
            Noise::Held { std: 1.0, shared: false, rails: Rails::Independent },
            Noise::OrnsteinUhlenbeck {
                std: 1.0,
                correlation_time: 1.0,
                continuous: false,
                rails: Rails::Independent,
            },
            Noise::OneOverF {
                std: 1.0,
                shortest: 1.0,
                longest: 100.0,
                white_std: 0.0,
                continuous: false,
                rails: Rails::Independent,
            },
            Noise::Telegraph { std: 1.0, dwell_time: 1.0, continuous: false, rails: Rails::Independent },
        ];
        for noise in kinds {
            let (mut whole, mut tail) = (source(noise, 5, 0, 7, 2), source(noise, 5, 3, 4, 2));
            for tick in 0..50 {
                let (all, some) = (whole.advance(tick), tail.advance(tick));
                assert_eq!(all[15..35], some[..20], "real rail at {tick}");
                assert_eq!(all[50..], some[20..], "imaginary rail at {tick}");
            }
        }
    }

    #[test]
    fn rails_are_independent_equal_or_real() {
        for rails in [Rails::Independent, Rails::Equal, Rails::Real] {
            let kinds = [
                Noise::Held { std: 1.0, shared: false, rails },
                Noise::OrnsteinUhlenbeck { std: 1.0, correlation_time: 1.0, continuous: false, rails },
                Noise::Telegraph { std: 1.0, dwell_time: 1.0, continuous: false, rails },
            ];
            for noise in kinds {
                let mut source = source(noise, 4000, 0, 1, 2);
                (0..3).for_each(|tick| {
                    source.advance(tick);
                });
                let (re, im) = source.values().split_at(4000);
                let cross = re.iter().zip(im).map(|(a, b)| a * b).sum::<f64>() / 4000.0;
                match rails {
                    Rails::Independent => assert!(cross.abs() < 4.0 / 4000_f64.sqrt(), "{cross}"),
                    Rails::Equal => assert_eq!(re, im),
                    Rails::Real => assert!(im.iter().all(|x| *x == 0.0)),
                }
                assert!(re.iter().all(|x| *x != 0.0));
            }
        }
    }
}
