//! The teaching signal β(t), on an integer clock.

use num_complex::Complex;

/// A moment on the integer clock: t = (tick + fraction) · h, never accumulated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Time {
    /// Whole steps since the start.
    pub tick: u64,
    /// Part of the step that has passed, 0 to 1.
    pub fraction: f64,
}

impl Time {
    /// The start of a step.
    #[must_use]
    pub fn at(tick: u64) -> Self {
        Self { tick, fraction: 0.0 }
    }
}

/// The course of β over one period of `ticks` steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Waveform {
    /// |β| e^{iωt} (paper 1, eq. 9): needs a complex state.
    Circular {
        /// Steps in a period.
        ticks: u64,
    },
    /// b cos ωt: a real state suffices.
    Cosine {
        /// Steps in a period.
        ticks: u64,
    },
    /// |β| e^{2πi k/N}, k = ⌊N t/T⌋: the papers' continuous estimate.
    Staircase {
        /// Points in a period, N.
        points: u64,
        /// Steps at each point.
        hold: u64,
    },
    /// A frozen value.
    Constant(Complex<f64>),
}

/// β(t): a waveform, its amplitude and a smooth onset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Teaching {
    /// The course over one period.
    pub waveform: Waveform,
    /// |β|; a constant is multiplied by it as well.
    pub amplitude: f64,
    /// Steps over which the amplitude rises from zero along a raised cosine; 0 for none.
    pub onset: u64,
}

impl Teaching {
    /// No teaching: the free dynamics.
    #[must_use]
    pub fn none() -> Self {
        Self::constant(Complex::new(0.0, 0.0))
    }

    /// A frozen β.
    #[must_use]
    pub fn constant(beta: Complex<f64>) -> Self {
        Self { waveform: Waveform::Constant(beta), amplitude: 1.0, onset: 0 }
    }

    /// Steps in a period; 1 for a constant.
    #[must_use]
    pub fn ticks_per_period(&self) -> u64 {
        match self.waveform {
            Waveform::Circular { ticks } | Waveform::Cosine { ticks } => ticks,
            Waveform::Staircase { points, hold } => points * hold,
            Waveform::Constant(_) => 1,
        }
    }

    /// β at a moment. The phase comes from the tick modulo the period, so it is exactly periodic.
    #[must_use]
    pub fn beta(&self, time: Time) -> Complex<f64> {
        let angle =
            |ticks: u64| std::f64::consts::TAU * ((time.tick % ticks) as f64 + time.fraction) / ticks as f64;
        let unit = match self.waveform {
            Waveform::Circular { ticks } => Complex::cis(angle(ticks)),
            Waveform::Cosine { ticks } => Complex::new(angle(ticks).cos(), 0.0),
            // The value belongs to the step: a stage at the end of the last step of a point still sees that point.
            Waveform::Staircase { points, hold } => root_of_unity((time.tick / hold) % points, points),
            Waveform::Constant(beta) => beta,
        };
        unit * (self.amplitude * self.rise(time))
    }

    fn rise(&self, time: Time) -> f64 {
        if time.tick >= self.onset {
            return 1.0;
        }
        let part = (time.tick as f64 + time.fraction) / self.onset as f64;
        0.5 - 0.5 * (std::f64::consts::PI * part).cos()
    }
}

/// e^{2πi k/N}.
#[must_use]
pub fn root_of_unity(k: u64, points: u64) -> Complex<f64> {
    Complex::cis(std::f64::consts::TAU * (k % points) as f64 / points as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_circular_drive_is_exactly_periodic_over_a_million_periods() {
        let teaching = Teaching { waveform: Waveform::Circular { ticks: 37 }, amplitude: 0.3, onset: 10 };
        for tick in 0..37 {
            let late = teaching.beta(Time { tick: tick + 37_000_000, fraction: 0.25 });
            let early = teaching.beta(Time { tick: tick + 37, fraction: 0.25 });
            assert_eq!(late, early);
            assert!((late.norm() - 0.3).abs() < 1e-15);
        }
    }

    #[test]
    fn a_staircase_holds_each_root_of_unity() {
        let teaching =
            Teaching { waveform: Waveform::Staircase { points: 4, hold: 5 }, amplitude: 2.0, onset: 0 };
        for tick in 0..40 {
            let expected = Complex::new(0.0, 1.0).powu(((tick / 5) % 4) as u32) * 2.0;
            for fraction in [0.0, 0.5, 1.0] {
                assert!((teaching.beta(Time { tick, fraction }) - expected).norm() < 1e-15);
            }
        }
        assert_eq!(teaching.ticks_per_period(), 20);
    }

    #[test]
    fn the_onset_rises_smoothly_from_zero() {
        let teaching = Teaching { waveform: Waveform::Cosine { ticks: 1 }, amplitude: 1.0, onset: 100 };
        let rise: Vec<f64> = (0..=120).map(|tick| teaching.beta(Time::at(tick)).re).collect();
        assert_eq!(rise[0], 0.0);
        assert!((rise[50] - 0.5).abs() < 1e-12);
        assert!(rise.windows(2).all(|w| w[1] >= w[0]));
        assert!(rise[100..].iter().all(|&b| b == 1.0));
    }
}
