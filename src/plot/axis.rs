//! Ranges, ticks and the way from a value to a pixel.

use super::Scale;

/// Most ticks an axis carries.
pub(super) const MOST_TICKS: usize = 8;
/// Beyond this a value cannot be scaled without overflow; it counts as not finite.
const LARGEST: f64 = 1e290;
/// The ends of an axis may lie a little further out than any value on it.
const LARGEST_END: f64 = 1e295;

/// Whether a value can be shown on an axis.
pub(super) fn drawable(scale: Scale, value: f64) -> bool {
    bounded(scale, value, LARGEST)
}

fn bounded(scale: Scale, value: f64, largest: f64) -> bool {
    match scale {
        Scale::Linear => value.abs() <= largest,
        Scale::Log => value >= 1.0 / largest && value <= largest,
    }
}

/// The first and last value of an axis, and how it is divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub scale: Scale,
    pub low: f64,
    pub high: f64,
    /// The values are counts: ticks of a linear axis are whole numbers where at least two of them lie in the span.
    pub whole: bool,
}

/// Whether low and high are so far apart that ticks between them differ.
fn is_wide_enough(scale: Scale, low: f64, high: f64) -> bool {
    let apart = match scale {
        Scale::Linear => high - low > 1e-9 * low.abs().max(high.abs()) && high - low > 1.0 / LARGEST_END,
        Scale::Log => high / low > 1.0 + 1e-9,
    };
    bounded(scale, low, LARGEST_END) && bounded(scale, high, LARGEST_END) && apart
}

impl Span {
    /// The span asked for, or else one that holds all drawable `values` with `margin` (a fraction) on both sides.
    ///
    /// Values that never are negative do not get a negative margin; one value alone stands in the middle.
    pub fn choose(
        scale: Scale,
        asked: Option<(f64, f64)>,
        values: impl Iterator<Item = f64>,
        margin: f64,
    ) -> Self {
        if let Some((low, high)) = asked.filter(|(low, high)| is_wide_enough(scale, *low, *high)) {
            return Self { scale, low, high, whole: false };
        }
        let (low, high) = values
            .filter(|v| drawable(scale, *v))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let fallback = match scale {
            Scale::Linear => (0.0, 1.0),
            Scale::Log => (0.1, 10.0),
        };
        if low > high {
            return Self { scale, low: fallback.0, high: fallback.1, whole: false };
        }
        let wide = is_wide_enough(scale, low, high);
        let largest = low.abs().max(high.abs());
        let (low, high) = match scale {
            Scale::Linear if wide => {
                let padded = low - margin * (high - low);
                (if low >= 0.0 { padded.max(0.0) } else { padded }, high + margin * (high - low))
            }
            Scale::Linear if largest > 1e-280 => (low - 0.1 * largest, high + 0.1 * largest),
            Scale::Linear => (-0.5, 0.5),
            Scale::Log if wide => {
                let factor = 10_f64.powf(margin * (high.log10() - low.log10()));
                // Three hundred decades with a margin may exceed what a number can hold.
                ((low / factor).max(1.0 / LARGEST_END), (high * factor).min(LARGEST_END))
            }
            Scale::Log => (low / 3.0, high * 3.0),
        };
        Self { scale, low, high, whole: false }
    }

    /// Where a value stands: 0 at the first, 1 at the last.
    pub fn fraction(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value.log10() - self.low.log10()) / (self.high.log10() - self.low.log10()),
        }
    }

    /// A drawable value, moved to the nearer end if it lies outside.
    pub fn clamp(&self, value: f64) -> f64 {
        value.clamp(self.low, self.high)
    }

    /// Ticks, at most `most` (2 to [`MOST_TICKS`]) of them labelled.
    pub fn ticks(&self, most: usize) -> Ticks {
        let most = most.clamp(2, MOST_TICKS);
        match self.scale {
            Scale::Linear => linear_ticks(self.low, self.high, most, self.whole),
            Scale::Log => log_ticks(self.low, self.high, most),
        }
    }
}

/// Where an axis is marked.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Ticks {
    /// Labelled values, increasing, within the span.
    pub major: Vec<f64>,
    /// One label a value.
    pub labels: Vec<String>,
    /// Values marked without a label.
    pub minor: Vec<f64>,
    /// The power of ten that was taken out of all labels.
    pub factor: Option<i32>,
}

/// `mantissa · 10^exponent`, correctly rounded.
fn decimal(mantissa: f64, exponent: i32) -> f64 {
    if (0..=22).contains(&exponent) {
        mantissa * 10_f64.powi(exponent)
    } else if (-22..0).contains(&exponent) {
        mantissa / 10_f64.powi(-exponent)
    } else {
        // Only powers of ten up to 22 are exact in f64; the decimal parser rounds right everywhere.
        format!("{mantissa}e{exponent}").parse().unwrap_or(f64::NAN)
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(low: f64, high: f64, most: usize, whole: bool) -> Ticks {
    let least = if whole && high.floor() > low.ceil() { 0 } else { i32::MIN };
    let mut exponent = (((high - low) / most as f64).log10().floor() as i32).max(least);
    let mut mantissa = 1.0;
    loop {
        let step = decimal(mantissa, exponent);
        // Half a millionth of a step of grace, so that an end that is a multiple itself is not lost to rounding.
        let (first, last) = ((low / step - 5e-7).ceil(), (high / step + 5e-7).floor());
        if last - first + 1.0 <= most as f64 {
            let count = (last - first + 1.0).max(0.0) as usize;
            let major: Vec<f64> = (0..count)
                .map(|i| decimal((first + i as f64) * mantissa, exponent).clamp(low, high))
                .collect();
            let largest = major.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
            let order = if largest > 0.0 { largest.log10().floor() as i32 } else { 0 };
            let factor = (!(-3..5).contains(&order)).then_some(order);
            let taken = factor.unwrap_or(0);
            let decimals = usize::try_from(taken - exponent).unwrap_or(0);
            let labels = major.iter().map(|v| plain(decimal_shift(*v, -taken), decimals)).collect();
            return Ticks { major, labels, minor: Vec::new(), factor };
        }
        (mantissa, exponent) = match mantissa {
            1.0 => (2.0, exponent),
            2.0 => (5.0, exponent),
            _ => (1.0, exponent + 1),
        };
    }
}

/// `value · 10^exponent`.
fn decimal_shift(value: f64, exponent: i32) -> f64 {
    if exponent >= 0 { value * decimal(1.0, exponent) } else { value / decimal(1.0, -exponent) }
}

/// A number with a true minus sign.
fn plain(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().all(|c| c == '0' || c == '.') => digits.to_owned(),
        Some(digits) => format!("−{digits}"),
        None => text,
    }
}

/// Powers of ten; within two decades or so 1, 2, 5; in still narrower spans as on a linear axis.
fn log_ticks(low: f64, high: f64, most: usize) -> Ticks {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let inside = |v: &f64| *v >= low * (1.0 - 1e-12) && *v <= high * (1.0 + 1e-12);
    let powers: Vec<i32> = (first..=last).filter(|e| inside(&decimal(1.0, *e))).collect();
    let steps: Vec<(u8, i32)> = (first..=last)
        .flat_map(|e| [1, 2, 5].map(|m| (m, e)))
        .filter(|(m, e)| inside(&decimal(f64::from(*m), *e)))
        .collect();
    if powers.len() > 2 || powers.len() == 2 && steps.len() > most {
        let stride = powers.len().div_ceil(most);
        let kept: Vec<i32> = match i32::try_from(stride) {
            // Multiples of the stride, so that 10⁰ stays if it is there; but never fewer than two.
            Ok(s) if stride > 1 => {
                let multiples: Vec<i32> = powers.iter().copied().filter(|e| e % s == 0).collect();
                if multiples.len() >= 2 {
                    multiples
                } else {
                    powers.iter().copied().step_by(stride).collect()
                }
            }
            _ => powers.clone(),
        };
        let minor = if stride == 1 {
            (first..=last)
                .flat_map(|e| (2..10).map(move |m| decimal(f64::from(m), e)))
                .filter(inside)
                .collect()
        } else {
            powers.iter().filter(|e| !kept.contains(e)).map(|e| decimal(1.0, *e)).collect()
        };
        return Ticks {
            major: kept.iter().map(|e| decimal(1.0, *e).clamp(low, high)).collect(),
            labels: kept.iter().map(|e| power_of_ten(*e)).collect(),
            minor,
            factor: None,
        };
    }
    if !(2..=most).contains(&steps.len()) {
        return linear_ticks(low, high, most, false);
    }
    let label = |(m, e): &(u8, i32)| match e {
        -3..=4 => plain(decimal(f64::from(*m), *e), usize::try_from(-e).unwrap_or(0)),
        _ if *m == 1 => power_of_ten(*e),
        _ => format!("{m}×{}", power_of_ten(*e)),
    };
    Ticks {
        labels: steps.iter().map(label).collect(),
        major: steps.iter().map(|(m, e)| decimal(f64::from(*m), *e).clamp(low, high)).collect(),
        minor: (first..=last)
            .flat_map(|e| [3, 4, 6, 7, 8, 9].map(|m| decimal(f64::from(m), e)))
            .filter(inside)
            .collect(),
        factor: None,
    }
}

/// 10ⁿ in superscript digits.
pub(super) fn power_of_ten(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let superscript = |c: char| c.to_digit(10).map_or('⁻', |d| DIGITS[d as usize]);
    format!("10{}", exponent.to_string().chars().map(superscript).collect::<String>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(span: Span, most: usize) -> Result<(), TestCaseError> {
        let ticks = span.ticks(most);
        prop_assert!(ticks.major.len() <= most && most <= MOST_TICKS);
        prop_assert!(ticks.major.len() >= 2 || most < 5, "{ticks:?} for {span:?}");
        prop_assert_eq!(ticks.labels.len(), ticks.major.len());
        prop_assert!(ticks.major.iter().all(|v| *v >= span.low && *v <= span.high), "{ticks:?} for {span:?}");
        prop_assert!(ticks.major.windows(2).all(|w| w[0] < w[1]), "{ticks:?}");
        prop_assert!(ticks.labels.windows(2).all(|w| w[0] != w[1]), "{ticks:?}");
        Ok(())
    }

    proptest! {
        #[test]
        fn linear_ticks_are_few_ordered_and_inside(
            middle in -1e6_f64..1e6, order in -3.0_f64..9.0, most in 2_usize..=8,
        ) {
            let half = order.exp2() * 0.5;
            let span = Span::choose(Scale::Linear, Some((middle - half, middle + half)), [].into_iter(), 0.0);
            check(span, most)?;
        }

        #[test]
        fn log_ticks_are_few_ordered_and_inside(
            low in -280.0_f64..280.0, decades in 0.01_f64..300.0, most in 2_usize..=8,
        ) {
            let (low, high) = (10_f64.powf(low), 10_f64.powf((low + decades).min(289.0)));
            check(Span::choose(Scale::Log, Some((low, high)), [].into_iter(), 0.0), most)?;
        }

        #[test]
        fn every_span_holds_its_values(values in prop::collection::vec(any::<f64>(), 0..6), log: bool) {
            let scale = if log { Scale::Log } else { Scale::Linear };
            let span = Span::choose(scale, None, values.iter().copied(), 0.04);
            prop_assert!(span.low < span.high);
            for value in values.into_iter().filter(|v| drawable(scale, *v)) {
                prop_assert!(value >= span.low && value <= span.high);
                prop_assert!((-1e-9..=1.0 + 1e-9).contains(&span.fraction(value)));
            }
            check(span, 8)?;
        }
    }

    fn labels(scale: Scale, low: f64, high: f64) -> String {
        Span { scale, low, high, whole: false }.ticks(6).labels.join(" ")
    }

    #[test]
    fn ticks_read_as_people_write_them() {
        assert_eq!(labels(Scale::Linear, 0.0, 1.0), "0.0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(labels(Scale::Linear, -3.0, 3.2), "−2 0 2");
        assert_eq!(labels(Scale::Linear, 0.0, 60_000.0), "0 20000 40000 60000");
        assert_eq!(labels(Scale::Linear, 0.0, 4.1e-5), "0 1 2 3 4");
        assert_eq!(labels(Scale::Log, 0.9e-3, 2.0), "10⁻³ 10⁻² 10⁻¹ 10⁰");
        assert_eq!(labels(Scale::Log, 1.5e-3, 9e-3), "0.002 0.005");
        assert_eq!(labels(Scale::Log, 0.9, 21.0), "1 2 5 10 20");
        assert_eq!(labels(Scale::Log, 1.5e-7, 9e-7), "2×10⁻⁷ 5×10⁻⁷");
        assert_eq!(labels(Scale::Log, 1e-12, 1e3), "10⁻¹² 10⁻⁹ 10⁻⁶ 10⁻³ 10⁰ 10³");
        let counts = Span { scale: Scale::Linear, low: -0.1, high: 2.1, whole: true };
        assert_eq!(counts.ticks(8).labels, ["0", "1", "2"]);
        assert_eq!(
            Span { scale: Scale::Linear, low: 0.0, high: 4.1e-5, whole: false }.ticks(6).factor,
            Some(-5)
        );
    }
}
