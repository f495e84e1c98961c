//! The periodic steady state, solved in the Fourier domain instead of waited for.
//!
//! Under a circular drive the harmonics are triangular and the first is a linear solve: c₁ = |β|(iωτ − J)⁻¹F_β at the free
//! equilibrium. For the other harmonics, and for a real drive, the equations (1 + ikωτ) c_k = G_k(c) are balanced at
//! equidistant points of the period; G_k is the k-th Fourier coefficient of the field. Each iteration corrects every harmonic
//! with (ikωτ − J)⁻¹ and is Anderson-accelerated; without noise it takes the place of integrating until transients are gone.

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::chebyshev::{self, Reading};
use super::convergence::{largest, radius};
use super::description::{Demands, Description};
use super::equilibrium::{self, Equilibrium, Settle, complexified, imaginary_part, real_part};
use super::resolvent::{Resolvent, Variable};
use super::work::{self, Foreseen, Work};
use super::{Diagnostics, Estimate, Estimator, Setting, columns, matrices};
use crate::error::{Error, Invalid, Result, positive};
use crate::json::partial;
use crate::numerics::anderson::{Accelerated, Options, fixed_point};
use crate::numerics::scalar::Scalar;
use crate::simulation::lockin::{Coefficient, LockIn, Observer, Record, Window, add_product};
use crate::simulation::teaching::{Teaching, Time, root_of_unity};
use crate::simulation::view::View;
use crate::substrate::Field;
use crate::substrate::local::Local;
use crate::substrate::samples::Samples;

/// Points of the period with which a solution begins, and at which it is given up.
const POINTS: [usize; 2] = [16, 512];
/// Iterations of one balance.
const MOST_ITERATIONS: u64 = 200;

/// The course of the drive over a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeriodicDrive {
    /// |β| e^{iωt}.
    #[default]
    Circular,
    /// b cos ωt, read out as by `chebyshev`.
    Cosine,
}

/// The steady state of `oscillation` or `chebyshev` at one period, without noise and without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HarmonicBalance {
    /// Period of the drive, in τ; null for an infinitely slow one, which has no frequency bias.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub period: Option<f64>,
    /// Course of the drive.
    pub drive: PeriodicDrive,
    /// |β|, or b. The gradient of a circular drive does not depend on it.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub amplitude: f64,
    /// Highest harmonic that is solved for; for a cosine drive the odd K of the read-out. A circular drive needs the first
    /// alone; more of them estimate the radius of convergence.
    #[schemars(range(min = 1, max = 99))]
    pub harmonics: u64,
    /// Largest error that is left in a harmonic; null for 1e-12 (f64) or 1e-5 (f32).
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub tolerance: Option<f64>,
    /// Whether the nudged field is corrected for connections that are not reciprocal: it gains (Wᵀ − W)(a − a*).
    pub correct_asymmetry: bool,
    /// How the free equilibrium is found.
    #[serde(deserialize_with = "over_accelerated")]
    pub settle: Settle,
}

impl Default for HarmonicBalance {
    fn default() -> Self {
        Self {
            period: None,
            drive: PeriodicDrive::Circular,
            amplitude: 0.1,
            harmonics: 1,
            tolerance: None,
            correct_asymmetry: false,
            settle: accelerated(),
        }
    }
}

fn accelerated() -> Settle {
    Settle { accelerate: true, ..Settle::default() }
}

fn over_accelerated<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Settle, D::Error> {
    partial::over(deserializer, &accelerated())
}

impl HarmonicBalance {
    /// ωτ.
    fn drive_rate(&self) -> f64 {
        self.period.map_or(0.0, |period| std::f64::consts::TAU / period)
    }

    fn tolerance<T: Scalar>(&self) -> f64 {
        self.tolerance.unwrap_or(if T::NAME == "f64" { 1e-12 } else { 1e-5 })
    }

    /// Solves for the harmonics 0 … `harmonics` + 1 of the rates and of the output error.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the free equilibrium cannot be reached, or the balance has no solution near it.
    pub fn steady_state<T: Scalar>(
        &self,
        setting: &Setting<'_, T>,
        samples: &Samples<T>,
    ) -> Result<SteadyState<T>> {
        let free = equilibrium::free(&Setting { noise: None, ..*setting }, samples, &self.settle)?;
        let linear = self.linear(setting, samples, &free);
        self.balance(setting, samples, &free, &linear)
    }

    fn linear<'a, T: Scalar>(
        &self,
        setting: &Setting<'a, T>,
        samples: &Samples<T>,
        free: &Equilibrium<T>,
    ) -> Resolvent<'a, T> {
        let mut linear = Resolvent::new(setting, samples, free, self.drive_rate());
        linear.corrected = self.correct_asymmetry;
        linear
    }

    fn balance<T: Scalar>(
        &self,
        setting: &Setting<'_, T>,
        samples: &Samples<T>,
        free: &Equilibrium<T>,
        linear: &Resolvent<'_, T>,
    ) -> Result<SteadyState<T>> {
        let mut field = setting.substrate.bind(samples, self.drive.rails(), None);
        if self.correct_asymmetry {
            field.correct_asymmetry(&free.rates);
        }
        let mut balance = Balance {
            course: self.drive,
            amplitude: self.amplitude,
            tolerance: self.tolerance::<T>(),
            field,
            linear,
            points: POINTS[0],
            coefficients: complexified(&linear.shape, &free.state),
            products: 0,
        };
        while self.drive.blocks(balance.points) <= 4 * self.harmonics as usize {
            balance.points *= 2;
        }
        loop {
            let residual = balance.solve().residual();
            if residual.is_nan() || residual > balance.tolerance {
                return Err(self.unbalanced(residual));
            }
            // What the points cannot tell apart has to have decayed.
            let tail = balance.tail();
            if tail <= 10.0 * balance.tolerance {
                let (lockin, evaluations) = balance.observe(self.harmonics + 1, setting.substrate.outputs());
                return Ok(SteadyState { lockin, evaluations, residual });
            }
            if balance.points >= POINTS[1] {
                return Err(self.unbalanced(tail));
            }
            balance.points *= 2;
        }
    }

    fn unbalanced(&self, residual: f64) -> Error {
        Error::Unfinished {
            moment: "while the steady state was solved for".into(),
            place: "harmonic balance".into(),
            what: format!("the harmonics do not balance (residual {residual:.1e})"),
            advice: format!(
                "lower `amplitude` (now {}), or use an estimator that integrates in time",
                self.amplitude
            ),
        }
    }
}

impl PeriodicDrive {
    fn rails(self) -> usize {
        match self {
            Self::Circular => 2,
            Self::Cosine => 1,
        }
    }

    /// Harmonics 0 … that so many points resolve: a real signal's negative ones are conjugates.
    fn blocks(self, points: usize) -> usize {
        match self {
            Self::Circular => points,
            Self::Cosine => points / 2,
        }
    }
}

/// Harmonics of the periodic steady state.
pub struct SteadyState<T: Scalar> {
    lockin: LockIn<T>,
    /// Evaluations of the right-hand side and products with J.
    pub evaluations: u64,
    /// Largest correction that was left in any harmonic.
    pub residual: f64,
}

impl<T: Scalar> SteadyState<T> {
    /// c_k of the rates and of the output error, complex, per unit of time's e^{ikωt}; for a cosine drive half of cos's.
    #[must_use]
    pub fn coefficient(&self, harmonic: u64) -> Option<&Coefficient<T>> {
        self.lockin.coefficient(i64::try_from(harmonic).ok()?)
    }
}

/// The equations at a number of points, with their present solution.
struct Balance<'a, 'b, T: Scalar> {
    course: PeriodicDrive,
    amplitude: f64,
    tolerance: f64,
    field: Box<dyn Field<'a, T> + 'a>,
    linear: &'b Resolvent<'a, T>,
    points: usize,
    /// c₀, c₁, …: complex states, one after the other.
    coefficients: Vec<T>,
    products: u64,
}

impl<T: Scalar> Balance<'_, '_, T> {
    fn solve(&mut self) -> Accelerated {
        let complex = self.linear.shape.with_rails(2);
        let mut x = std::mem::take(&mut self.coefficients);
        x.resize(self.course.blocks(self.points) * complex.len(), T::zero());
        let options = Options {
            mixing: 1.0,
            tolerance: self.tolerance,
            most: MOST_ITERATIONS,
            // A point of the period has all samples in it.
            narrows: false,
        };
        let end = fixed_point(&complex, |_, c, image| self.correct(c, image), &mut x, options);
        self.coefficients = x;
        end
    }

    /// Largest element of the highest quarter of the harmonics.
    fn tail(&self) -> f64 {
        largest(&self.coefficients[self.coefficients.len() / 4 * 3..])
    }

    /// image = c + (ikωτ − J)⁻¹ (G_k(c) − (1 + ikωτ) c_k) for every harmonic.
    fn correct(&mut self, c: &[T], image: &mut [T]) {
        // The outer iteration corrects what an inner one leaves.
        const INNER: f64 = 1e-3;
        let complex = self.linear.shape.with_rails(2);
        let len = complex.len();
        image.fill(T::zero());
        let mut target = vec![T::zero(); self.field.shape().len()];
        for point in 0..self.points {
            let state = self.at_point(c, point, 0.0);
            if !self.linear.delays.is_empty() {
                let late: Vec<Vec<T>> =
                    self.linear.delays.iter().map(|delay| self.at_point(c, point, *delay)).collect();
                self.field.hear(&late);
            }
            self.field.teach(Teaching::constant(self.beta(point)));
            self.field.target(Time::at(0), &state, &mut target);
            let target = self.on_two_rails(&target);
            for (k, out) in image.chunks_exact_mut(len).enumerate() {
                let turn = self.turn(point, k).conj() / self.points as f64;
                add_product(&complex, turn, &target, out);
            }
        }
        let mut turned = vec![T::zero(); len];
        for (k, (out, c)) in image.chunks_exact_mut(len).zip(c.chunks_exact(len)).enumerate() {
            self.linear.turn(k, c, &mut turned);
            for ((o, c), t) in out.iter_mut().zip(c).zip(&turned) {
                *o -= *c + *t;
            }
            if largest(out) > 0.01 * self.tolerance {
                let start = vec![T::zero(); out.len()];
                let (step, solved) = self.linear.solve(Variable::Integrated, k, out, start, INNER);
                self.products += solved.products;
                out.copy_from_slice(&step);
            }
            out.iter_mut().zip(c).for_each(|(o, c)| *o += *c);
        }
    }

    fn turn(&self, point: usize, harmonic: usize) -> Complex<f64> {
        root_of_unity((point * harmonic) as u64, self.points as u64)
    }

    fn beta(&self, point: usize) -> Complex<f64> {
        let unit = self.turn(point, 1);
        match self.course {
            PeriodicDrive::Circular => unit * self.amplitude,
            PeriodicDrive::Cosine => Complex::new(unit.re * self.amplitude, 0.0),
        }
    }

    /// The state at a point, or some τ before it, in the field's layout.
    fn at_point(&self, c: &[T], point: usize, before: f64) -> Vec<T> {
        let shape = &self.linear.shape;
        let complex = shape.with_rails(2);
        let len = complex.len();
        let mut sum = vec![T::zero(); len];
        for (k, c) in c.chunks_exact(len).enumerate() {
            let twice = if k > 0 && self.course == PeriodicDrive::Cosine { 2.0 } else { 1.0 };
            let turn = match before {
                0.0 => self.turn(point, k),
                // The harmonics are those of the real clock, whatever the points.
                before => self.turn(point, k) * Complex::cis(-self.linear.drive_rate * k as f64 * before),
            };
            add_product(&complex, turn * twice, c, &mut sum);
        }
        match self.course {
            PeriodicDrive::Circular => sum,
            PeriodicDrive::Cosine => real_part(shape, &sum),
        }
    }

    fn on_two_rails<'c>(&self, state: &'c [T]) -> std::borrow::Cow<'c, [T]> {
        match self.course {
            PeriodicDrive::Circular => state.into(),
            PeriodicDrive::Cosine => complexified(&self.linear.shape, state).into(),
        }
    }

    /// Fourier coefficients of the rates and the output error of the solution.
    fn observe(mut self, harmonics: u64, outputs: usize) -> (LockIn<T>, u64) {
        let record = Record {
            start: 0,
            stride: 1,
            samples_per_period: self.points as u64,
            weights: Window::Boxcar.weights(self.points, 1.0),
        };
        let asked: Vec<i64> = (0..=harmonics as i64).collect();
        let mut lockin = LockIn::new(record, &asked, outputs, self.field.shape());
        let coefficients = std::mem::take(&mut self.coefficients);
        for point in 0..self.points {
            let state = self.at_point(&coefficients, point, 0.0);
            self.field.observe(&state);
            let view = View {
                shape: self.field.shape(),
                state: &state,
                rates: self.field.rates(),
                output_error: self.field.output_error(),
            };
            lockin.observe(point as u64, &view);
        }
        (lockin, self.field.evaluations() + self.products)
    }
}

impl Description for HarmonicBalance {
    fn validate(&self) -> std::result::Result<(), Invalid> {
        positive("amplitude", self.amplitude)?;
        self.period.map_or(Ok(()), |period| positive("period", period))?;
        self.tolerance.map_or(Ok(()), |tolerance| positive("tolerance", tolerance))?;
        match self.drive {
            PeriodicDrive::Cosine => chebyshev::check_order(self.harmonics)?,
            PeriodicDrive::Circular if !(1..=99).contains(&self.harmonics) => {
                let found = format!("found {}", self.harmonics);
                return Err(Invalid::new("harmonics", found, "1 to 99 harmonics"));
            }
            PeriodicDrive::Circular => {}
        }
        self.settle.validate().map_err(|e| e.under("settle"))
    }

    fn demands(&self) -> Demands {
        // The first harmonic alone is a linear response.
        let more = self.harmonics > 1;
        Demands {
            amplitude: self.amplitude,
            complex: more && self.drive == PeriodicDrive::Circular,
            harmonics: more && self.drive == PeriodicDrive::Cosine,
            solved: true,
            corrected: self.correct_asymmetry,
            ..Demands::default()
        }
    }

    fn work(&self, of: Foreseen) -> Work {
        // The first harmonic of a circular drive is one linear equation; more are a balance over points of the period,
        // whose unknowns a Krylov space of as many vectors holds several times.
        let points = if self.harmonics > 1 { 8.0 * self.harmonics as f64 } else { 1.0 };
        // The Krylov space of the first harmonic is real.
        let rails = if self.harmonics > 1 { 2.0 } else { 1.0 };
        let tolerance = if of.bytes < 8.0 { self.tolerance::<f32>() } else { self.tolerance::<f64>() };
        let products = work::accelerated(tolerance) * points;
        Work {
            evaluations: of.free(&self.settle) + products,
            rails,
            linear: products,
            states: work::ACCELERATED + 4.0 * points,
            ..Work::default()
        }
    }
}

impl<T: Scalar> Estimator<T> for HarmonicBalance {
    fn amplitude(&self) -> f64 {
        match self.drive {
            PeriodicDrive::Circular => 0.0,
            PeriodicDrive::Cosine => self.amplitude,
        }
    }

    fn with_amplitude(&self, amplitude: f64) -> Option<Box<dyn Estimator<T>>> {
        Some(Box::new(Self { amplitude, ..*self }))
    }

    fn estimate(
        &self,
        setting: &Setting<'_, T>,
        samples: &Samples<T>,
        _state: &mut Vec<T>,
    ) -> Result<Estimate<T>> {
        let setting = &Setting { noise: None, ..*setting };
        let real = setting.substrate.shape(samples.count, 1);
        let free = equilibrium::free(setting, samples, &self.settle)?;
        let linear = self.linear(setting, samples, &free);
        let mut diagnostics = Diagnostics::frozen(free.evaluations, free.residual, free.stop);
        diagnostics.drive_rate = self.drive_rate();
        diagnostics.slowest_rate = setting.probe_rate(samples, &free.rates);
        let reading = match self.drive {
            PeriodicDrive::Circular => {
                let (response, solved) = linear.response(&free.output_error, self.tolerance::<T>());
                diagnostics.solved(solved, self.tolerance::<T>());
                if setting.diagnose && self.harmonics >= 3 {
                    let steady = self.balance(setting, samples, &free, &linear)?;
                    diagnostics.rhs_evaluations += steady.evaluations;
                    let sizes: Vec<f64> = (1..=self.harmonics)
                        .map_while(|k| steady.coefficient(k).map(|c| largest(&c.rates)))
                        .collect();
                    let rounding = T::epsilon().double() * largest(&free.rates);
                    diagnostics.radius_of_convergence =
                        radius(self.amplitude, &sizes, T::epsilon().double(), rounding);
                }
                let (free, output_error) = (complexified(&real, &free.rates), free.output_error);
                Reading { response, free, output_error, last_harmonic: None }
            }
            PeriodicDrive::Cosine => {
                let steady = self.balance(setting, samples, &free, &linear)?;
                diagnostics.rhs_evaluations += steady.evaluations;
                diagnostics.harmonics = Some(self.harmonics);
                diagnostics.noise_gain = Some(chebyshev::noise_gain(self.harmonics));
                let reading = chebyshev::read(&steady.lockin, self.harmonics, self.amplitude);
                diagnostics.last_harmonic = reading.last_harmonic;
                reading
            }
        };
        let (error_vector, imaginary) =
            (real_part(&real, &reading.response), imaginary_part(&real, &reading.response));
        let free = real_part(&real, &reading.free);
        let local = Local { error_vector: &error_vector, free: &free, output_error: &reading.output_error };
        let silent = vec![T::zero(); reading.output_error.len()];
        let quadrature = Local { error_vector: &imaginary, free: &free, output_error: &silent };
        Ok(Estimate {
            gradient: setting.substrate.gradient(&real, samples, &local),
            quadrature: setting.diagnose.then(|| setting.substrate.gradient(&real, samples, &quadrature)),
            free: matrices(&real, &free),
            error_vector: matrices(&real, &error_vector),
            output_error: columns(samples.count, &reading.output_error),
            nudged: Vec::new(),
            diagnostics,
        })
    }
}
