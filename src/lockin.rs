//! The lock-in: Fourier coefficients of what a neuron or a synapse sees, accumulated while time passes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Invalid, positive};
use crate::scalar::{Scalar, gemm_outer};
use crate::substrate::network::Network;
use crate::substrate::state::StateShape;

/// What an observer sees of the substrate at one tick.
pub struct View<'a, T: Scalar> {
    /// Layout of `state` and `rates`.
    pub shape: &'a StateShape,
    /// The integrated variable.
    pub state: &'a [T],
    /// The rates ρ(u).
    pub rates: &'a [T],
    /// p − y, or a − y: [outputs × rails·batch].
    pub output_error: &'a [T],
}

/// Looks at the substrate while it runs.
pub trait Observer<T: Scalar> {
    /// Whether this tick is of interest.
    fn wants(&self, tick: u64) -> bool;

    /// Takes in a tick that is.
    fn observe(&mut self, tick: u64, view: &View<'_, T>);
}

/// How the record is weighted before its Fourier coefficients are taken.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Window {
    /// The plain mean over whole periods: blind to every other harmonic.
    #[default]
    Boxcar,
    /// What an n-pole RC low pass behind the demodulator shows at the end of the record.
    LowPass {
        /// Number of poles, 1 to 8.
        poles: u32,
        /// Time constant of each pole, in nominal τ.
        time_constant: f64,
    },
}

impl Window {
    /// Checks the numbers.
    ///
    /// # Errors
    /// The finding, with its path.
    pub fn validate(self) -> Result<(), Invalid> {
        let Self::LowPass { poles, time_constant } = self else { return Ok(()) };
        if !(1..=8).contains(&poles) {
            return Err(Invalid::new("low_pass.poles", format!("found {poles}"), "1 to 8 poles"));
        }
        positive("low_pass.time_constant", time_constant)
    }

    /// The weight of each of `count` samples, `interval` τ apart, oldest first; they sum to one.
    #[must_use]
    pub fn weights(self, count: usize, interval: f64) -> Vec<f64> {
        let raw: Vec<f64> = match self {
            Self::Boxcar => vec![1.0; count],
            Self::LowPass { poles, time_constant } => {
                // Impulse response of n equal poles: t^{n−1} e^{−t/T}, t the age of the sample.
                let age = |i: usize| (count - i) as f64 * interval / time_constant;
                (0..count).map(|i| age(i).powi(poles as i32 - 1) * (-age(i)).exp()).collect()
            }
        };
        let sum: f64 = raw.iter().sum();
        raw.into_iter().map(|w| w / sum).collect()
    }
}

/// Which ticks are demodulated, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// First tick.
    pub start: u64,
    /// Ticks between samples.
    pub stride: u64,
    /// Samples in a period.
    pub samples_per_period: u64,
    /// Weight of each sample; they sum to one.
    pub weights: Vec<f64>,
}

impl Record {
    fn index(&self, tick: u64) -> Option<usize> {
        let since = tick.checked_sub(self.start)?;
        let index = usize::try_from(since / self.stride).ok()?;
        (since % self.stride == 0 && index < self.weights.len()).then_some(index)
    }

    /// weight · e^{−ik(ωt + φ)} of a sample, phase exact modulo the period; φ is the error of the reference.
    fn demodulator(&self, index: usize, harmonic: i64, error: f64) -> (f64, f64) {
        let period = self.samples_per_period as i64;
        let phase = (index as i64 % period) * harmonic % period;
        let angle = std::f64::consts::TAU * phase as f64 / period as f64 + harmonic as f64 * error;
        (self.weights[index] * angle.cos(), -self.weights[index] * angle.sin())
    }
}

/// Fourier coefficients of every neuron's rate and of the output error.
pub struct LockIn<T: Scalar> {
    record: Record,
    phase_error: f64,
    batch: usize,
    coefficients: Vec<Coefficient<T>>,
}

/// One Fourier coefficient of the rates and of the output error; complex, planar.
#[derive(Debug, Clone, PartialEq)]
pub struct Coefficient<T> {
    /// Which harmonic.
    pub harmonic: i64,
    /// c_k of the rates, laid out as a complex state.
    pub rates: Vec<T>,
    /// c_k of the output error, [outputs × 2·batch].
    pub output_error: Vec<T>,
}

impl<T: Scalar> LockIn<T> {
    /// Accumulators for the given harmonics.
    #[must_use]
    pub fn new(record: Record, harmonics: &[i64], network: &Network, shape: &StateShape) -> Self {
        let complex = shape.with_rails(2);
        let outputs = network.output.size() * complex.columns();
        let coefficient = |&harmonic| Coefficient {
            harmonic,
            rates: vec![T::zero(); complex.len()],
            output_error: vec![T::zero(); outputs],
        };
        let coefficients = harmonics.iter().map(coefficient).collect();
        Self { record, phase_error: 0.0, batch: shape.batch, coefficients }
    }

    /// The same lock-in with a reference that is ahead of the drive by `radians`.
    #[must_use]
    pub fn with_phase_error(self, radians: f64) -> Self {
        Self { phase_error: radians, ..self }
    }

    /// The coefficient of a harmonic that was asked for.
    #[must_use]
    pub fn coefficient(&self, harmonic: i64) -> Option<&Coefficient<T>> {
        self.coefficients.iter().find(|c| c.harmonic == harmonic)
    }
}

impl<T: Scalar> Observer<T> for LockIn<T> {
    fn wants(&self, tick: u64) -> bool {
        self.record.index(tick).is_some()
    }

    fn observe(&mut self, tick: u64, view: &View<'_, T>) {
        let Some(index) = self.record.index(tick) else { return };
        let complex = view.shape.with_rails(2);
        for coefficient in &mut self.coefficients {
            let w = self.record.demodulator(index, coefficient.harmonic, self.phase_error);
            for layer in 0..complex.layers() {
                let sums = &mut coefficient.rates[complex.layer(layer)];
                accumulate(w, &view.rates[view.shape.layer(layer)], view.shape.rails, sums);
            }
            debug_assert_eq!(view.shape.batch, self.batch);
            accumulate(w, view.output_error, view.shape.rails, &mut coefficient.output_error);
        }
    }
}

/// sums += w · values, complex; values have one rail or two.
fn accumulate<T: Scalar>((w_re, w_im): (f64, f64), values: &[T], rails: usize, sums: &mut [T]) {
    let (w_re, w_im) = (T::of(w_re), T::of(w_im));
    let half = sums.len() / 2;
    let (sum_re, sum_im) = sums.split_at_mut(half);
    if rails == 1 {
        for ((re, im), a) in sum_re.iter_mut().zip(sum_im).zip(values) {
            *re += w_re * *a;
            *im += w_im * *a;
        }
        return;
    }
    let (a_re, a_im) = values.split_at(half);
    for (((re, im), a), b) in sum_re.iter_mut().zip(sum_im).zip(a_re).zip(a_im) {
        *re += w_re * *a - w_im * *b;
        *im += w_re * *b + w_im * *a;
    }
}

/// Re c₁[a_i a_j] of every synapse of a tied pair, and Re c₀[e a] of every read-out synapse, summed over the batch: what
/// hardware with a multiplier in each synapse measures. O(n²) where the neuron's read-out costs O(n).
pub struct SynapseLockIn<T: Scalar> {
    record: Record,
    phase_error: f64,
    pairs: Vec<SynapsePair<T>>,
    readout: Option<(usize, Vec<T>)>,
    modulated: Vec<T>,
}

/// The correlations of one tied pair.
struct SynapsePair<T> {
    weight: usize,
    from: usize,
    to: usize,
    sums: Vec<T>,
}

impl<T: Scalar> SynapseLockIn<T> {
    /// Accumulators for every tied pair of a network.
    #[must_use]
    pub fn new(record: Record, network: &Network, shape: &StateShape) -> Self {
        let pairs =
            network.recurrent().filter(|(_, edge)| !edge.transposed).map(|(from, edge)| SynapsePair {
                weight: edge.weight,
                from,
                to: edge.to,
                sums: vec![T::zero(); shape.size(edge.to) * shape.size(from)],
            });
        let readout = match network.output {
            crate::substrate::network::Output::Readout { layer, classes, .. } => {
                Some((layer, vec![T::zero(); classes * shape.size(layer)]))
            }
            crate::substrate::network::Output::SquaredError { .. } => None,
        };
        Self { record, phase_error: 0.0, pairs: pairs.collect(), readout, modulated: Vec::new() }
    }

    /// The same lock-in with a reference that is ahead of the drive by `radians`.
    #[must_use]
    pub fn with_phase_error(self, radians: f64) -> Self {
        Self { phase_error: radians, ..self }
    }

    /// Index of each tied weight with Σ_batch Re c₁[a_to a_from], [to × from] column-major.
    pub fn correlations(&self) -> impl Iterator<Item = (usize, &[T])> {
        self.pairs.iter().map(|pair| (pair.weight, pair.sums.as_slice()))
    }

    /// Σ_batch Re c₀[e a], [classes × n] column-major, where there is a read-out.
    #[must_use]
    pub fn readout(&self) -> Option<&[T]> {
        self.readout.as_ref().map(|(_, sums)| sums.as_slice())
    }
}

impl<T: Scalar> Observer<T> for SynapseLockIn<T> {
    fn wants(&self, tick: u64) -> bool {
        self.record.index(tick).is_some()
    }

    fn observe(&mut self, tick: u64, view: &View<'_, T>) {
        let Some(index) = self.record.index(tick) else { return };
        let shape = view.shape;
        let columns = shape.columns();
        let first = self.record.demodulator(index, 1, self.phase_error);
        for SynapsePair { from, to, sums, .. } in &mut self.pairs {
            modulate(first, &view.rates[shape.layer(*to)], shape.rails, &mut self.modulated);
            let source = &view.rates[shape.layer(*from)];
            gemm_outer(
                (shape.size(*to), columns, shape.size(*from)),
                &self.modulated,
                source,
                T::one(),
                sums,
            );
        }
        if let Some((layer, sums)) = &mut self.readout {
            let classes = view.output_error.len() / columns;
            modulate(
                self.record.demodulator(index, 0, 0.0),
                view.output_error,
                shape.rails,
                &mut self.modulated,
            );
            let source = &view.rates[shape.layer(*layer)];
            gemm_outer((classes, columns, shape.size(*layer)), &self.modulated, source, T::one(), sums);
        }
    }
}

/// out = [Re wa, −Im wa], so that a real product with [Re b, Im b]ᵀ gives Re(w a b).
pub(crate) fn modulate<T: Scalar>((w_re, w_im): (f64, f64), values: &[T], rails: usize, out: &mut Vec<T>) {
    let (w_re, w_im) = (T::of(w_re), T::of(w_im));
    out.clear();
    if rails == 1 {
        out.extend(values.iter().map(|a| w_re * *a));
        return;
    }
    let (re, im) = values.split_at(values.len() / 2);
    out.extend(re.iter().zip(im).map(|(a, b)| w_re * *a - w_im * *b));
    out.extend(re.iter().zip(im).map(|(a, b)| -(w_re * *b + w_im * *a)));
}
