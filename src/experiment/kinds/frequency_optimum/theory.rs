//! Closed forms for what a low-pass lock-in measures: bias by frequency and leakage, error by noise.
//!
//! Noise acts in two ways. Around the frequency of the drive it adds to the response. Where it is slower than the filter it moves the
//! free equilibrium, and with it the response: a bias that changes from record to record.
//!
//! Around the free equilibrium the rates answer a pre-activation ξ with H(ω) ξ, H(ω) = ρ′ (iωT − J)⁻¹, T the time constants. The
//! teaching signal is such a ξ; so is state noise, to first order.

use nalgebra::{DMatrix, DVector};
use num_complex::Complex;

use crate::error::{Error, Result};
use crate::imperfections::fluctuation::correlation_times;
use crate::simulation::lockin::Window;
use crate::substrate::neurons::network::{Edge, Network};

/// Points of a decade at which noise spectra are evaluated: below the width of the narrowest filter's pass band.
const PER_DECADE: f64 = 1500.0;

/// Noise on every neuron's pre-activation: white, and 1/f below the corner where both are equal.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    white_std: f64,
    /// Standard deviation of the 1/f part.
    pub std: f64,
    times: Vec<f64>,
}

impl Spectrum {
    /// The spectrum with its corner at `corner`, in cycles per τ.
    #[must_use]
    pub fn new(white_std: f64, corner: f64, (shortest, longest): (f64, f64)) -> Self {
        let times = correlation_times(shortest, longest);
        let mut spectrum = Self { white_std, std: 1.0, times };
        let ratio = spectrum.white() / spectrum.flicker(std::f64::consts::TAU * corner);
        spectrum.std = ratio.sqrt();
        spectrum
    }

    fn white(&self) -> f64 {
        2.0 * self.white_std.powi(2)
    }

    fn flicker(&self, omega: f64) -> f64 {
        let one = |time: &f64| 2.0 * time / (1.0 + (omega * time).powi(2));
        self.std.powi(2) / self.times.len() as f64 * self.times.iter().map(one).sum::<f64>()
    }

    /// Two-sided power spectral density at an angular frequency, in τ: ∫S dω/2π is the variance.
    #[must_use]
    pub fn density(&self, omega: f64) -> f64 {
        self.white() + self.flicker(omega)
    }
}

/// A cascade of equal RC low passes behind the demodulator, at the end of a record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filter {
    /// Number of poles.
    pub poles: u32,
    /// Time constant of each, in τ.
    pub time_constant: f64,
}

impl Filter {
    /// The filter that has settled to 99 % at the end of a record of `length` τ.
    #[must_use]
    pub fn settled(poles: u32, length: f64) -> Self {
        Self { poles, time_constant: length / settling(poles) }
    }

    /// One-sided equivalent noise bandwidth, Γ(n − ½)/(4√π Γ(n) T_c), in cycles per τ.
    #[must_use]
    pub fn noise_bandwidth(self) -> f64 {
        // Γ(n − ½)/(√π Γ(n)) = Π (k − ½)/k over k < n.
        let product: f64 = (1..self.poles).map(|k| (f64::from(k) - 0.5) / f64::from(k)).product();
        product / (4.0 * self.time_constant)
    }

    /// |W(Ω)|², the power that passes at Ω from the reference.
    fn power(self, offset: f64) -> f64 {
        (1.0 + (offset * self.time_constant).powi(2)).powi(-(self.poles as i32))
    }
}

/// Time constants after which the step response of n poles has come to 99 %: 1 − e^{−t} Σ_{k<n} tᵏ/k! = 0.99.
fn settling(poles: u32) -> f64 {
    let missing = |t: f64| {
        let mut term = (-t).exp();
        let mut sum = term;
        for k in 1..poles {
            term *= t / f64::from(k);
            sum += term;
        }
        sum
    };
    let (mut low, mut high) = (0.0, 100.0);
    while high - low > 1e-9 {
        let middle = 0.5 * (low + high);
        if missing(middle) > 0.01 { low = middle } else { high = middle }
    }
    high
}

/// The linearised substrate of one sample.
pub struct LinearSubstrate {
    /// J, [neurons × neurons].
    pub jacobian: DMatrix<f64>,
    /// Time constant of each neuron.
    pub taus: Vec<f64>,
    /// ρ′ of each neuron.
    pub slope: DVector<f64>,
    /// ∂C/∂a of each neuron.
    pub cost_slope: DVector<f64>,
    /// Rates of the free equilibrium.
    pub rates: DVector<f64>,
}

/// What a lock-in is expected to report, for each neuron; the read-out takes the real parts.
pub struct Expected {
    /// δ, biased.
    pub response: DVector<Complex<f64>>,
    /// The free rates, with what leaks into them.
    pub free: DVector<Complex<f64>>,
}

/// The read-out's imperfections.
pub struct Reference {
    /// Radians by which the reference is ahead of the drive.
    pub phase_error: f64,
    /// Offset of each neuron's rate, complex.
    pub offsets: DVector<Complex<f64>>,
}

impl LinearSubstrate {
    /// H(ω), [neurons × neurons].
    fn transfer(&self, omega: f64) -> Result<DMatrix<Complex<f64>>> {
        let n = self.taus.len();
        let matrix = DMatrix::from_fn(n, n, |i, j| {
            Complex::new(-self.jacobian[(i, j)], if i == j { omega * self.taus[i] } else { 0.0 })
        });
        let mut inverse =
            matrix.try_inverse().ok_or_else(|| Error::Internal("a singular response".into()))?;
        for (mut row, slope) in inverse.row_iter_mut().zip(&self.slope) {
            row *= Complex::from(*slope);
        }
        Ok(inverse)
    }

    /// What the lock-in reports without noise, at an amplitude |β| and a period of `ticks` steps.
    ///
    /// Beside the lagging response, c₀ leaks into c₁ by W(ω) and c₁ into c₀ by its conjugate; harmonics beyond the first
    /// are left out.
    ///
    /// # Errors
    /// If the equilibrium is degenerate.
    pub fn expected(
        &self,
        amplitude: f64,
        (ticks, step): (u64, f64),
        periods: u64,
        filter: Filter,
        reference: &Reference,
    ) -> Result<Expected> {
        let omega = std::f64::consts::TAU / (ticks as f64 * step);
        let drive = self.cost_slope.map(|c| Complex::from(-c));
        let response = self.transfer(omega)? * drive;
        let window = Window::LowPass { poles: filter.poles, time_constant: filter.time_constant };
        let weights = window.weights((ticks * periods) as usize, step);
        let leak: Complex<f64> =
            weights.iter().zip(0..).map(|(w, k)| Complex::cis(-omega * step * f64::from(k)) * w).sum();
        let turn = Complex::cis(-reference.phase_error);
        let rest = self.rates.map(Complex::from) + &reference.offsets;
        let first = (&response + &rest * (leak / amplitude)) * turn;
        let zeroth = rest + response * (leak.conj() * amplitude);
        Ok(Expected { response: first, free: zeroth })
    }
}

/// Re H(ω)H(ω)† on a logarithmic grid of frequencies: what a network makes of independent noise on its neurons.
pub struct NoiseResponse {
    omegas: Vec<f64>,
    powers: Vec<DMatrix<f64>>,
}

impl NoiseResponse {
    /// Evaluates it from `lowest` up to where neurons do not follow.
    ///
    /// # Errors
    /// If the equilibrium is degenerate.
    pub fn new(substrate: &LinearSubstrate, lowest: f64) -> Result<Self> {
        const HIGHEST: f64 = 1e3;
        let count = ((HIGHEST / lowest).log10() * PER_DECADE).ceil() as i32;
        let omegas: Vec<f64> = (0..=count).map(|k| lowest * 10_f64.powf(f64::from(k) / PER_DECADE)).collect();
        let power = |omega: &f64| {
            let transfer = substrate.transfer(*omega)?;
            Ok((&transfer * transfer.adjoint()).map(|z| z.re))
        };
        let powers = omegas.iter().map(power).collect::<Result<_>>()?;
        Ok(Self { omegas, powers })
    }

    /// Covariance between neurons of Re c₁ behind a filter, with the reference at `omega`, from independent noise on both rails.
    ///
    /// ∫ S(ω′) |W(ω′ − ω)|² Re HH†(ω′) dω′/2π; where S and H vary little over the pass band, S(ω) · 2B · Re HH†(ω), with B
    /// the one-sided noise bandwidth.
    #[must_use]
    pub fn covariance(&self, spectrum: &Spectrum, filter: Filter, omega: f64) -> DMatrix<f64> {
        // Trapezia in ln ω′, both signs of ω′ at once; d ω′ = ω′ d ln ω′.
        let width = std::f64::consts::LN_10 / PER_DECADE;
        let n = self.powers[0].nrows();
        let mut sum = DMatrix::zeros(n, n);
        for (at, power) in self.omegas.iter().zip(&self.powers) {
            let passed = filter.power(at - omega) + filter.power(at + omega);
            let weight = spectrum.density(*at) * passed * at * width / std::f64::consts::TAU;
            sum.zip_apply(power, |s, p| *s += weight * p);
        }
        sum
    }
}

/// Variance of a process behind a filter with the reference at zero: of what moves slowly enough to pass as a constant.
#[must_use]
pub fn slow_variance(spectrum: &Spectrum, filter: Filter, lowest: f64) -> f64 {
    const HIGHEST: f64 = 1e3;
    let width = std::f64::consts::LN_10 / PER_DECADE;
    let count = ((HIGHEST / lowest).log10() * PER_DECADE).ceil() as i32;
    let omegas = (0..=count).map(|k| lowest * 10_f64.powf(f64::from(k) / PER_DECADE));
    omegas.map(|at| spectrum.density(at) * filter.power(at) * at * width / std::f64::consts::PI).sum()
}

/// −(δ_to a_from) summed over the edges of each weight between layers: the gradient as a list.
#[must_use]
pub fn products(network: &Network, error_vector: &DVector<f64>, rates: &DVector<f64>) -> DVector<f64> {
    let values = ends(network).into_iter();
    let values = values.map(|ends| ends.iter().map(|(to, from)| -error_vector[*to] * rates[*from]).sum());
    DVector::from_vec(values.collect())
}

/// E|ΔG|² over the weights between layers, from the covariance of δ.
#[must_use]
pub fn gradient_variance(network: &Network, rates: &DVector<f64>, of_response: &DMatrix<f64>) -> f64 {
    let variance = |ends: Vec<(usize, usize)>| -> f64 {
        let pairs = ends.iter().flat_map(|one| ends.iter().map(move |other| (one, other)));
        pairs.map(|(one, other)| rates[one.1] * rates[other.1] * of_response[(one.0, other.0)]).sum()
    };
    ends(network).into_iter().map(variance).sum()
}

/// Receiving and sending neuron of each edge that a weight between layers is used by, weight by weight: two for a tied pair.
fn ends(network: &Network) -> Vec<Vec<(usize, usize)>> {
    let mut all = Vec::new();
    for (_, own) in network.between_layers() {
        let edges: Vec<_> = network.recurrent().filter(|(_, edge)| edge.weight == own.weight).collect();
        for (receiver, sender) in own.interaction.ends() {
            let neurons = |(from, edge): &(usize, &Edge)| {
                let (to, from) = (network.layers[edge.to].offset, network.layers[*from].offset);
                let (i, j) = edge.direction.orient(receiver, sender);
                (to + i, from + j)
            };
            all.push(edges.iter().map(neurons).collect());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_settle_and_pass_noise_as_the_tables_say() {
        // Time constants to 99 %, and B·T_c, of one to eight poles: the tables in lock-in manuals.
        for (poles, settles, bandwidth) in
            [(1, 4.61, 0.25), (2, 6.64, 0.125), (3, 8.41, 0.094), (4, 10.05, 0.078), (8, 16.0, 0.052)]
        {
            assert!((settling(poles) - settles).abs() < 0.01, "{poles}: {}", settling(poles));
            let filter = Filter { poles, time_constant: 2.0 };
            assert!((2.0 * filter.noise_bandwidth() - bandwidth).abs() < 1e-3, "{poles}");
            // Parseval: 2B = ∫h², here of the sampled impulse response.
            let window = Window::LowPass { poles, time_constant: 2.0 };
            let power: f64 = window.weights(20_000, 0.01).iter().map(|w| w * w / 0.01).sum();
            assert!((power / (2.0 * filter.noise_bandwidth()) - 1.0).abs() < 5e-3, "{poles}: {power}");
        }
    }

    /// A single neuron that only leaks: H = 1/(1 + iωτ).
    fn leaky(tau: f64) -> LinearSubstrate {
        let one = DVector::from_element(1, 1.0);
        LinearSubstrate {
            jacobian: DMatrix::from_element(1, 1, -1.0),
            taus: vec![tau],
            slope: one.clone(),
            cost_slope: one.clone(),
            rates: one * 0.5,
        }
    }

    #[test]
    fn white_noise_passes_in_the_noise_bandwidth() {
        let response = NoiseResponse::new(&leaky(1.0), 1e-6).unwrap();
        let spectrum = Spectrum { white_std: 0.3, std: 0.0, times: vec![1.0] };
        for poles in [1, 2, 8] {
            let filter = Filter { poles, time_constant: 400.0 };
            for omega in [0.05, 0.3] {
                let found = response.covariance(&spectrum, filter, omega)[(0, 0)];
                let flat = 2.0 * filter.noise_bandwidth() * 2.0 * 0.09 / (1.0 + omega * omega);
                assert!((found / flat - 1.0).abs() < 0.01, "{poles} poles at {omega}: {found} and {flat}");
            }
        }
    }

    #[test]
    fn the_corner_is_where_both_parts_are_equal_and_the_slope_below_is_one() {
        let spectrum = Spectrum::new(0.01, 0.02, (0.5, 1e5));
        let at = |cycles: f64| spectrum.density(std::f64::consts::TAU * cycles);
        assert!((at(0.02) / (2.0 * 2.0 * 1e-4) - 1.0).abs() < 1e-12);
        assert!((at(2e-5) / at(2e-4) - 10.0).abs() < 0.5, "{}", at(2e-5) / at(2e-4));
    }

    #[test]
    fn without_leakage_the_lock_in_reports_the_lagging_response() {
        let quiet = Reference { phase_error: 0.2, offsets: DVector::from_element(1, Complex::from(0.0)) };
        let filter = Filter { poles: 8, time_constant: 60.0 };
        let (tau, amplitude) = (1.5, 0.1);
        let found = leaky(tau).expected(amplitude, (40, 0.5), 50, filter, &quiet).unwrap();
        let omega = std::f64::consts::TAU / 20.0;
        let exact = (Complex::cis(-0.2) * -1.0 / Complex::new(1.0, omega * tau)).re;
        assert!((found.response[0].re - exact).abs() < 1e-3, "{} and {exact}", found.response[0].re);
        assert!((found.free[0].re - 0.5).abs() < 1e-3);
        // One pole lets c₀ through by 1/|1 + iωT_c|.
        let one = Filter { poles: 1, time_constant: 200.0 };
        let leaking = leaky(tau).expected(amplitude, (40, 0.5), 50, one, &quiet).unwrap();
        let leak = (leaking.response[0].re - exact).abs() * amplitude / 0.5;
        assert!(leak < 1.05 / (omega * 200.0), "{leak}");
    }
}
