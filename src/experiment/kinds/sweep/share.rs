//! Yield: the share of the runs that reach an accuracy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Invalid;

/// The measure that has to be reached.
pub(super) const REACHED: &str = "test_accuracy";

/// The quantile of the normal distribution that leaves 2.5 % above it.
const Z: f64 = 1.959_963_984_540_054;

/// What counts as a working device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Yield {
    /// The test accuracy that a run has to reach.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub accuracy: f64,
}

impl Yield {
    pub(super) fn validate(self, measures: &[String]) -> Result<(), Invalid> {
        if !(0.0..=1.0).contains(&self.accuracy) {
            let found = format!("found {}", self.accuracy);
            return Err(Invalid::new("yield.accuracy", found, "a fraction between 0 and 1"));
        }
        if !measures.iter().any(|name| name == REACHED) {
            let found = format!("found it beside the measures {}", measures.join(", "));
            return Err(Invalid::new("yield", found, format!("`{REACHED}` among the measures")));
        }
        Ok(())
    }
}

/// A share of runs with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// How many runs reach the accuracy.
    pub reached: usize,
    /// How many there are; one that diverged reaches nothing.
    pub runs: usize,
    /// The share.
    pub share: f64,
    /// Where its 95 % interval begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

impl Share {
    /// The share with the score interval of Wilson (J. Am. Stat. Assoc. 22, 209 (1927)), which holds near 0 and 1 as well. The runs are
    /// independent draws of devices.
    #[must_use]
    pub fn of(reached: usize, runs: usize) -> Self {
        let (k, n) = (reached as f64, runs as f64);
        let centre = (k + Z * Z / 2.0) / (n + Z * Z);
        let half = Z / (n + Z * Z) * (k * (n - k) / n + Z * Z / 4.0).sqrt();
        let (low, high) = ((centre - half).max(0.0), (centre + half).min(1.0));
        Self {
            reached,
            runs,
            share: k / n,
            low: if reached == 0 { 0.0 } else { low },
            high: if reached == runs { 1.0 } else { high },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // Newcombe, Statistics in Medicine 17, 857 (1998), table I, method 3.
        for (reached, runs, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let share = Share::of(reached, runs);
            assert!((share.low - low).abs() < 5e-5 && (share.high - high).abs() < 5e-5, "{share:?}");
        }
        assert_eq!(Share::of(20, 20).high, 1.0);
    }

    #[test]
    fn the_interval_covers_the_share_as_often_as_it_says() {
        // Exact coverage, by the binomial distribution of 40 devices, averaged over shares.
        let ln_factorial = |n: usize| (1..=n).map(|k| (k as f64).ln()).sum::<f64>();
        let binomial = |k: usize, p: f64| {
            let n = 40;
            let ways = ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
            (ways + k as f64 * p.ln() + (n - k) as f64 * (1.0 - p).ln()).exp()
        };
        let covered = |p: f64| {
            let inside = |k: &usize| (Share::of(*k, 40).low..=Share::of(*k, 40).high).contains(&p);
            (0..=40).filter(inside).map(|k| binomial(k, p)).sum::<f64>()
        };
        let mean = (1..100).map(|k| covered(f64::from(k) / 100.0)).sum::<f64>() / 99.0;
        assert!((0.94..0.97).contains(&mean), "{mean}");
    }
}
