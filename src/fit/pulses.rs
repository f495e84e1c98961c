//! Laws of updates by pulses, fitted to pulses: each device by maximum likelihood.

use serde_json::{Value, json};
use statrs::function::erf::erfc;

use super::optimise::{Optimum, Scale, Unknown, minimise, parameters, spread};
use super::{Asked, Axes, Fit, Law, Parameter};
use crate::error::{Error, Result};
use crate::files::Table;
use crate::imperfections::measured::{Pulse, Pulses};
use crate::imperfections::update::StepLaw;

/// Pulses that a device needs.
const FEWEST: usize = 20;
/// Pulses that are drawn at most of each direction.
const DRAWN: usize = 1500;
/// Pulses that have to end at the last conductance of their direction for it to be a hard bound.
const PINNED: usize = 3;

/// What is fitted of a device.
struct Device {
    /// Its pulses, without those that push from a hard bound against it: they say nothing of any law.
    own: Vec<Pulse>,
    /// The conductances of its hard bounds, below and above.
    hard: [Option<f64>; 2],
    /// How many it had.
    all: usize,
}

impl Device {
    fn new(all: &[Pulse]) -> Self {
        let ends = || all.iter().flat_map(|p| [p.before, p.after]);
        let last = [ends().fold(f64::INFINITY, f64::min), ends().fold(f64::NEG_INFINITY, f64::max)];
        let near = 1e-9 * (last[1] - last[0]);
        let hard = [-1.0, 1.0].map(|direction| {
            let last = last[usize::from(direction > 0.0)];
            let at = |p: &&Pulse| p.direction == direction && (p.after - last).abs() <= near;
            (all.iter().filter(at).count() >= PINNED).then_some(last)
        });
        let pushes = |p: &&Pulse| {
            let bound = hard[usize::from(p.direction > 0.0)];
            bound.is_some_and(|bound| (p.before - bound).abs() <= near && (p.after - bound).abs() <= near)
        };
        let own: Vec<Pulse> = all.iter().filter(|p| !pushes(p)).copied().collect();
        Self { own, hard, all: all.len() }
    }

    /// The bound at which a pulse ends, if it ends at one.
    fn bound(&self, pulse: &Pulse) -> Option<f64> {
        let bound = self.hard[usize::from(pulse.direction > 0.0)]?;
        ((pulse.after - bound) * pulse.direction > -1e-9 * pulse.after.abs()).then_some(bound)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Constant,
    SoftBound,
    Exponential,
}

impl Form {
    const ALL: [Self; 3] = [Self::Constant, Self::SoftBound, Self::Exponential];

    fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::SoftBound => "soft_bound",
            Self::Exponential => "exponential",
        }
    }

    /// The parameters: step, asymmetry, cycle spread, and what the form has of its own.
    fn unknowns(self, own: &[Pulse], range: [f64; 2], fixed: bool) -> Vec<Unknown> {
        let span = range[1] - range[0];
        let steps = || own.iter().map(|p| 2.0 * (p.after - p.before) * p.direction / span);
        let count = own.len() as f64;
        let mean = (steps().sum::<f64>() / count).max(1e-6);
        let deviation = (steps().map(|s| (s - mean).powi(2)).sum::<f64>() / count).sqrt();
        let log = |name, start, step| Unknown { name, start, step, scale: Scale::Log };
        let line = |name, start, step| Unknown { name, start, step, scale: Scale::Linear };
        let mut unknowns = vec![
            log("step", mean, 0.3),
            line("asymmetry", 0.0, 0.1),
            log("cycle_spread", (deviation / mean).max(1e-3), 0.3),
        ];
        match self {
            Self::Constant => {}
            Self::Exponential => unknowns.push(line("gamma", 0.0, 0.5)),
            Self::SoftBound if fixed => {}
            // Bounds that no pulse has reached are found from how steps shrink towards them.
            Self::SoftBound => {
                unknowns.push(line("g_min", range[0] - 0.2 * span, 0.1 * span));
                unknowns.push(line("g_max", range[1] + 0.2 * span, 0.1 * span));
            }
        }
        unknowns
    }

    /// The law with these parameters, and the conductances of its x = −1 and 1.
    fn law(self, values: &[f64], range: [f64; 2]) -> (StepLaw, [f64; 2]) {
        match (self, values) {
            (Self::Constant, _) => (StepLaw::Constant, range),
            (Self::Exponential, [.., gamma]) => (StepLaw::Exponential { gamma: *gamma }, range),
            (_, [_, _, _, low, high]) => (StepLaw::SoftBound, [*low, *high]),
            _ => (StepLaw::SoftBound, range),
        }
    }

    /// Mean change of x by a pulse, and x before and after it.
    fn mean(self, values: &[f64], range: [f64; 2], pulse: &Pulse) -> (f64, f64, f64) {
        let (law, [low, high]) = self.law(values, range);
        let scaled = |g: f64| (2.0 * g - low - high) / (high - low);
        let (before, after) = (scaled(pulse.before), scaled(pulse.after));
        let size = values[0] * (1.0 + pulse.direction * values[1]);
        (pulse.direction * size * law.factor(before, pulse.direction, [-1.0, 1.0]), before, after)
    }

    /// −ln of the likelihood of a device's conductances.
    fn cost(self, values: &[f64], range: [f64; 2], device: &Device) -> f64 {
        let spread = values[2];
        let (_, [low, high]) = self.law(values, range);
        // The change of variables from x to the conductance.
        let jacobian = ((high - low) / 2.0).ln();
        device
            .own
            .iter()
            .map(|pulse| {
                let (mean, before, after) = self.mean(values, range, pulse);
                if mean * pulse.direction <= 0.0 || high <= low {
                    return f64::INFINITY;
                }
                let sigma = spread * mean.abs();
                // What ends at a bound, of the device or of the law, would have gone as far or farther.
                let hard = device.bound(pulse).map(|g| (2.0 * g - low - high) / (high - low));
                let end = self != Self::SoftBound && (after - pulse.direction) * pulse.direction > -1e-9;
                if let Some(bound) = hard.or(end.then_some(pulse.direction)) {
                    let beyond = ((bound - before - mean) * pulse.direction) / sigma;
                    return -(0.5 * erfc(beyond / std::f64::consts::SQRT_2)).max(1e-300).ln();
                }
                let z = (after - before - mean) / sigma;
                0.5 * z * z + sigma.ln() + 0.5 * std::f64::consts::TAU.ln() + jacobian
            })
            .sum()
    }

    fn json(self, parameters: &[Parameter], range: [f64; 2]) -> Value {
        let value = |name: &str| parameters.iter().find(|p| p.name == name).map(|p| p.value);
        let law = match self {
            Self::Exponential => {
                json!({ "exponential": { "gamma": value("gamma").map(|g| g.clamp(0.0, 20.0)) } })
            }
            _ => json!(self.name()),
        };
        let mut update = json!({ "step": value("step"), "asymmetry": value("asymmetry"), "law": law,
                                 "cycle_spread": value("cycle_spread") });
        if let Some(spread) = value("device_spread") {
            update["device_spread"] = json!(spread);
        }
        let [low, high] = [value("g_min").unwrap_or(range[0]), value("g_max").unwrap_or(range[1])];
        json!({ "programming": { "g_min": low.max(0.0), "g_max": high, "weight_max": 1.0, "update": update } })
    }
}

/// Fits the three laws.
pub(super) fn fit(table: &Table, asked: &Asked) -> Result<Fit> {
    let pulses = Pulses::read(table)?;
    let devices: Vec<Device> = pulses.devices.iter().map(|(_, own)| Device::new(own)).collect();
    let devices: Vec<Device> = devices.into_iter().filter(|device| device.own.len() >= FEWEST).collect();
    if devices.is_empty() {
        let found = "found no device with 20 pulses";
        return Err(Error::input(&table.file, "", found, "a law needs more"));
    }
    let all = || devices.iter().flat_map(|device| &device.own);
    let (least, most) = all()
        .flat_map(|p| [p.before, p.after])
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), g| (low.min(g), high.max(g)));
    let range = asked.range.unwrap_or([least, most]);
    let outside = range[0] > least + 1e-9 * (most - least) || range[1] < most - 1e-9 * (most - least);
    let rising = range[0] < range[1];
    if !rising || outside {
        let found = format!("found a range of {} to {}", range[0], range[1]);
        let legal = format!("one that holds all conductances, {least} to {most}");
        return Err(Error::input(&table.file, "", found, legal));
    }
    let law = |form: Form| -> Law {
        let unknowns = |own: &[Pulse]| form.unknowns(own, range, asked.range.is_some());
        let fitted: Vec<Optimum> = devices
            .iter()
            .map(|device| minimise(&unknowns(&device.own), &|values| form.cost(values, range, device)))
            .collect();
        let named = unknowns(&devices[0].own);
        let mut found = parameters(&named, &fitted);
        found.extend(spread("device_spread", &fitted, 0));
        let cost: f64 = fitted.iter().map(|device| device.cost).sum();
        let values: Vec<f64> = found[..named.len()].iter().map(|p| p.value).collect();
        let (_, [low, high]) = form.law(&values, range);
        let curve = |direction: f64| {
            let at = |k: i32| {
                let g = range[0] + (range[1] - range[0]) * f64::from(k) / 100.0;
                let (mean, ..) = form.mean(&values, range, &Pulse { before: g, after: g, direction });
                (g, mean * (high - low) / 2.0)
            };
            (0..=100).map(at).collect()
        };
        let residual = |(device, fitted): (&Device, &Optimum)| -> Vec<(f64, f64)> {
            let z = |pulse: &Pulse| {
                let (mean, before, after) = form.mean(&fitted.values, range, pulse);
                (pulse.before, (after - before - mean) / (fitted.values[2] * mean.abs()))
            };
            device.own.iter().filter(|pulse| device.bound(pulse).is_none()).map(z).collect()
        };
        Law {
            name: form.name(),
            aic: 2.0 * (named.len() * devices.len()) as f64 + 2.0 * cost,
            json: form.json(&found, range),
            curves: vec![curve(1.0), curve(-1.0)],
            residuals: thinned(devices.iter().zip(&fitted).flat_map(residual).collect()),
            parameters: found,
        }
    };
    let shown = |direction: f64| {
        let own = all().filter(|p| p.direction == direction).map(|p| (p.before, p.after - p.before));
        thinned(own.collect())
    };
    let used: usize = devices.iter().map(|device| device.own.len()).sum();
    let pushing = devices.iter().map(|device| device.all).sum::<usize>() - used;
    let ending: usize =
        devices.iter().map(|d| d.own.iter().filter(|pulse| d.bound(pulse).is_some()).count()).sum();
    let hard = if pushing + ending > 0 {
        format!(
            "; at hard bounds, {pushing} pulses against them are left out and {ending} that reach them count as going as far or farther"
        )
    } else {
        String::new()
    };
    Ok(Fit {
        what: format!(
            "{}; {used} of {} pulses in {} rows, of {} devices{hard}",
            pulses.layout,
            pulses.count(),
            pulses.rows,
            devices.len()
        ),
        laws: Form::ALL.map(law).into(),
        data: vec![("pulses up".into(), shown(1.0)), ("pulses down".into(), shown(-1.0))],
        axes: Axes {
            x: "conductance before the pulse",
            y: "change by the pulse",
            residual: "residual / spread of a pulse",
            log: (false, false),
        },
    })
}

/// Every so many of the points, so that no more than can be told apart are drawn.
pub(super) fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let every = points.len().div_ceil(DRAWN).max(1);
    points.into_iter().step_by(every).collect()
}
