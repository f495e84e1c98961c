//! Drift: what becomes of a conductance while time passes after it was written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Invalid, non_negative, positive};

/// Conductances after some time since programming.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Seconds since programming at which the device is used.
    #[schemars(range(min = 0.0))]
    pub seconds: f64,
    /// The law of drift, if any.
    #[serde(default)]
    pub law: Option<DriftLaw>,
    /// Time constant, in seconds, with which conductances leak to zero; null for no leak.
    #[serde(default)]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub leak: Option<f64>,
}

/// G(t) = G(t₀)·(t/t₀)^−ν for t > t₀.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DriftLaw {
    /// The same mean exponent for every conductance.
    Power {
        /// Mean of ν over devices.
        #[schemars(range(min = 0.0))]
        nu: f64,
        /// Standard deviation of ν from device to device; below zero it is zero.
        #[serde(default)]
        #[schemars(range(min = 0.0))]
        nu_spread: f64,
        /// t₀, in seconds.
        #[serde(default = "one")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        t0: f64,
    },
    /// Phase-change memory (Nandakumar et al. 2019): with g = G/25 µS, ν has mean clamp(−0.0155 ln g + 0.0244, 0.049, 0.1) and
    /// device spread clamp(−0.0125 ln g − 0.0059, 0.008, 0.045), t₀ = 20 s; then 1/f read noise, drawn at every write,
    /// σ/G = Q √ln((t + t_r)/2t_r), Q = min(0.0088 g^−0.65, 0.2), t_r = 250 ns, cut at zero conductance.
    Pcm,
}

fn one() -> f64 {
    1.0
}

/// First reading after programming, s.
pub(super) const PCM_T0: f64 = 20.0;
/// Conductance that g is relative to, µS.
pub(super) const PCM_G_MAX: f64 = 25.0;
/// Width of a reading pulse, s.
const PCM_T_READ: f64 = 250e-9;

/// Mean and device spread of ν of phase-change memory at g = G/25 µS.
#[must_use]
pub fn pcm_exponent(g: f64) -> (f64, f64) {
    let ln = g.max(1e-7).ln();
    ((-0.0155 * ln + 0.0244).clamp(0.049, 0.1), (-0.0125 * ln - 0.0059).clamp(0.008, 0.045))
}

/// σ/G of phase-change memory's read noise, t seconds after programming to g = G/25 µS.
#[must_use]
pub fn pcm_read_noise(g: f64, t: f64) -> f64 {
    let q = (0.0088 / g.max(1e-7).powf(0.65)).min(0.2);
    // Before two readings fit there is no low-frequency noise to integrate.
    q * ((t + PCM_T_READ) / (2.0 * PCM_T_READ)).ln().max(0.0).sqrt()
}

impl Drift {
    /// Checks the numbers.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        non_negative("seconds", self.seconds)?;
        if let Some(leak) = self.leak {
            positive("leak", leak)?;
        }
        if let Some(DriftLaw::Power { nu, nu_spread, t0 }) = self.law {
            non_negative("law.power.nu", nu)?;
            non_negative("law.power.nu_spread", nu_spread)?;
            positive("law.power.t0", t0)?;
        }
        Ok(())
    }

    /// The conductance at `seconds`. `written` is what was written to a device whose target was `target`; `device` and `read`
    /// are unit normals of the device and of this write.
    #[must_use]
    pub fn conductance(&self, seconds: f64, target: f64, written: f64, device: f64, read: f64) -> f64 {
        let power = |t0: f64, nu: f64| (seconds / t0).max(1.0).powf(-nu.max(0.0));
        let drifted = match self.law {
            None => written,
            Some(DriftLaw::Power { nu, nu_spread, t0 }) => written * power(t0, nu + nu_spread * device),
            Some(DriftLaw::Pcm) => {
                let g = target / PCM_G_MAX;
                let (nu, spread) = pcm_exponent(g);
                let drifted = written * power(PCM_T0, nu + spread * device);
                (drifted * (1.0 + pcm_read_noise(g, seconds) * read)).max(0.0)
            }
        };
        drifted * self.leak.map_or(1.0, |time| (-seconds / time).exp())
    }
}
