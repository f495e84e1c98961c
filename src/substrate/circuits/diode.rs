//! Shockley's law at real and complex voltages, and how far a Newton step may go along it.

use super::matrix::Number;

/// A diode's law.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Law {
    /// I_s, in A.
    pub saturation_current: f64,
    /// n V_t, in V.
    pub thermal: f64,
}

impl Law {
    /// Current and differential conductance at a junction voltage.
    pub(super) fn at<N: Number>(self, volts: N) -> (N, N) {
        let grown = (volts * N::real(1.0 / self.thermal)).exponential() * N::real(self.saturation_current);
        (grown - N::real(self.saturation_current), grown * N::real(1.0 / self.thermal))
    }

    /// ∫ I dV from 0: the co-content, in W.
    #[must_use]
    pub fn co_content(self, volts: f64) -> f64 {
        let grown = (volts / self.thermal).exp_m1();
        self.saturation_current * (self.thermal * grown - volts)
    }

    /// The voltage beyond which steps are limited: where the characteristic bends most sharply.
    fn critical(self) -> f64 {
        self.thermal * (self.thermal / (std::f64::consts::SQRT_2 * self.saturation_current)).ln()
    }

    /// Where to linearise next, when Newton's method proposes a junction voltage and stands at another: as far as the current would go
    /// by the tangent, not as far as the voltage (Nagel 1975, SPICE's `pnjlim`). A complex proposal may turn the phase of exp by 1.
    pub(super) fn limited<N: Number>(self, proposed: N, now: N) -> N {
        let ((to, to_im), (from, from_im)) = (proposed.parts(), now.parts());
        let mut re = to;
        if to > self.critical() && (to - from).abs() > 2.0 * self.thermal {
            re = if from > 0.0 {
                let grown = 1.0 + (to - from) / self.thermal;
                if grown > 0.0 { from + self.thermal * grown.ln() } else { self.critical() }
            } else {
                self.thermal * (to / self.thermal).ln()
            };
        }
        let im = from_im + (to_im - from_im).clamp(-self.thermal, self.thermal);
        if re == to && im == to_im { proposed } else { N::of(re, im) }
    }
}
