//! Runs a `stability` experiment: for a grid of complex β, does the dynamics settle, and how far from the free equilibrium.

#[cfg(feature = "program")]
pub(crate) mod figure;

use num_complex::Complex;
use rayon::prelude::*;
use serde::Deserializer;
use serde_json::json;

use crate::error::{Invalid, Result, positive};
use crate::experiment::cost::{self, Cost};
use crate::experiment::head::spec;
use crate::experiment::kind::{Keeping, Kind};
use crate::experiment::problem;
use crate::experiment::setup::{Options, Setup};
use crate::experiment::sink::{Content, SUMMARY, Sink};
use crate::experiment::spec::{Precision, refuse_delays, refuse_equations, validate_holomorphic};
use crate::files::Npz;
use crate::gradient::Setting;
use crate::gradient::equilibrium::{self, Settle};
use crate::host::watcher;
use crate::json::partial;
use crate::simulation::integrators::VectorField;
use crate::simulation::teaching::Time;
use crate::substrate::Field;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::field::Dynamics;
use crate::substrate::neurons::network::Network;
use crate::substrate::samples::Samples;

/// How its run folders are kept.
pub(super) const KEEPING: Keeping =
    Keeping { resumed: false, files: &["stability.npz", "stability.units.json"] };

spec! {
    /// Maps where in the plane of β one sample settles.
    pub struct Stability {
        description, notes, published, model, parameters, batch,
        /// Which sample of the batch is taught, counted from 0.
        sample, form,
        /// The map covers −extent to extent in Re β and in Im β.
        #[schemars(extend("exclusiveMinimum" = 0))]
        pub extent: f64,
        /// Cells along each side.
        #[schemars(range(min = 2, max = 4000))]
        pub cells: usize,
        /// The circle that is drawn in: |β| of an estimate.
        #[schemars(extend("exclusiveMinimum" = 0))]
        pub amplitude: f64,
        /// How many roots of unity are drawn in.
        #[schemars(range(min = 1, max = 4096))]
        pub points: u64,
        /// How each cell is waited for: length of a step, largest change of a settled state and longest time. Every cell starts
        /// at the free equilibrium.
        #[serde(default = "as_published", deserialize_with = "over_published")]
        pub settle: Settle,
    }
}

/// The papers' map, for as long as they run it.
fn as_published() -> Settle {
    Settle { step: 1.0, tolerance: Some(1e-6), max_time: 100.0, ..Settle::default() }
}

fn over_published<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Settle, D::Error> {
    partial::over(deserializer, &as_published())
}

/// Cells that are simulated together, neighbours in Re β.
const TOGETHER: usize = 125;
/// Steps between two looks at the residual.
const LOOK: usize = 4;

/// What became of a cell.
#[derive(Debug, Clone, Copy)]
struct Cell {
    /// When the state had settled, in τ; NaN if it had not.
    time: f64,
    /// Largest real or imaginary part of a − a*, settled or not; NaN where the state is not finite.
    displacement: f64,
}

impl Kind for Stability {
    fn validate(&self, network: &Network) -> std::result::Result<(), Invalid> {
        refuse_equations(network)?;
        refuse_delays(network)?;
        positive("extent", self.extent)?;
        positive("amplitude", self.amplitude)?;
        if !(2..=4000).contains(&self.cells) {
            return Err(Invalid::new("cells", format!("found {}", self.cells), "2 to 4000 cells a side"));
        }
        if !(1..=4096).contains(&self.points) {
            return Err(Invalid::new("points", format!("found {}", self.points), "1 to 4096 points"));
        }
        self.settle.validate().map_err(|e| e.under("settle"))?;
        validate_holomorphic(network)
    }

    fn trains(&self, _name: &str) -> bool {
        false
    }

    fn cost(&self, setup: &Setup, _options: &Options) -> Result<Cost> {
        let substrate = cost::Size::new(&setup.network, Precision::F64);
        let cells = (self.cells * self.cells) as f64;
        let steps = (self.settle.max_time / self.settle.step).ceil();
        let settled = Settle { tolerance: Some(self.settle.tolerance.unwrap_or(1e-13)), ..self.settle };
        // Those that do not settle run to the end: half of them, it is assumed.
        let typical = (steps + cost::settling(&settled, 8.0)) / 2.0;
        let evaluations = cells / 2.0 * typical;
        let threads = rayon::current_num_threads() as f64;
        let work = Cost {
            evaluations,
            thread_seconds: substrate.seconds(evaluations, 1.0, 2.0) - evaluations * cost::EVALUATION,
            threads,
            memory: cells * 80.0 + threads * substrate.states(125.0) * 8.0,
            disk: cells * 8.0,
            ..Cost::default()
        };
        Ok(cost::with_study(&substrate, 1.0, work))
    }

    fn run(&self, setup: &Setup, sink: &mut dyn Sink, _options: &Options) -> Result<Vec<String>> {
        run(self, setup, sink)
    }
}

fn run(spec: &Stability, setup: &Setup, sink: &mut dyn Sink) -> Result<Vec<String>> {
    let parameters = problem::parameters::<f64>(setup, &spec.parameters)?;
    let samples = problem::samples::<f64>(setup, &spec.batch)?;
    let sample = problem::only(&setup.origin, &samples, spec.sample)?;
    sink.begin()?;
    let effective = Effective::new(&setup.network, spec.form, &parameters);
    let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
    let patient = Settle { tolerance: None, max_time: Settle::default().max_time, ..spec.settle };
    let free = equilibrium::free(&setting, &sample, &patient)?;

    let n = spec.cells;
    let coordinate = |i: usize| spec.extent * ((2 * i + 1) as f64 / n as f64 - 1.0);
    // The response to the conjugate of β is the conjugate response: the lower half mirrors the upper one.
    let half = n.div_ceil(2);
    let tiles: Vec<(usize, usize)> =
        (n - half..n).flat_map(|row| (0..n).step_by(TOGETHER).map(move |first| (row, first))).collect();
    let watcher = watcher::current();
    let upper: Vec<Vec<Cell>> = tiles
        .par_iter()
        .map(|&(row, first)| {
            let beta = |column| Complex::new(coordinate(column), coordinate(row));
            let betas: Vec<Complex<f64>> = (first..n.min(first + TOGETHER)).map(beta).collect();
            let cells = || settle_all(spec, &effective, &sample, (&free.state, &free.rates), &betas);
            watcher::within(watcher.clone(), cells)
        })
        .collect();
    watcher::check()?;
    let upper: Vec<Cell> = upper.concat();
    let cell = |row: usize, column: usize| upper[(row.max(n - 1 - row) - (n - half)) * n + column];
    let all: Vec<Cell> = (0..n * n).map(|i| cell(i / n, i % n)).collect();

    let settled = all.iter().filter(|c| c.time.is_finite()).count();
    let radius = |i: usize| coordinate(i % n).hypot(coordinate(i / n));
    let nearest = (0..n * n).filter(|&i| all[i].time.is_nan()).map(radius).fold(f64::INFINITY, f64::min);
    let mut npz = Npz::new();
    let axes = ["Im β, from −extent", "Re β, from −extent"];
    let single = |value: fn(&Cell) -> f64| all.iter().map(|c| value(c) as f32).collect::<Vec<f32>>();
    npz.insert("settling_time", &[n, n], &single(|c| c.time), "tau", &axes);
    npz.insert("displacement", &[n, n], &single(|c| c.displacement), "1", &axes);
    sink.write("stability.npz", Content::Arrays(npz))?;
    let share = settled as f64 / (n * n) as f64;
    let disc = if nearest.is_finite() { Some(nearest) } else { None };
    let summary = json!({
        "cells": n * n,
        "settled_share": share,
        "settled_radius": disc,
        "wall_seconds": sink.seconds(),
    });
    sink.record(&summary)?;
    sink.write_json(SUMMARY, &summary)?;
    let told = disc.map_or("everywhere".to_owned(), |r| format!("everywhere below |beta| = {r:.3}"));
    Ok(vec![format!("settled: {:.1} % of {} cells, {told}", 100.0 * share, n * n)])
}

/// Relaxes copies of one sample, each under its own β, from the free equilibrium.
fn settle_all(
    spec: &Stability,
    effective: &Effective<f64>,
    sample: &Samples<f64>,
    (state, rates): (&[f64], &[f64]),
    betas: &[Complex<f64>],
) -> Vec<Cell> {
    let count = betas.len();
    let copies = Samples {
        inputs: sample.inputs.repeat(count),
        targets: sample.targets.repeat(count),
        count,
        first: 0,
    };
    let mut field = Dynamics::new(effective, &copies, 2);
    field.teach_each(betas);
    let shape = field.shape().clone();
    let one = shape.with_rails(1);
    let free = |values: &[f64], layer: usize| {
        let start = one.layer(layer).start / count;
        values[start..start + one.size(layer)].to_vec()
    };
    let mut now = vec![0.0; shape.len()];
    for layer in 0..shape.layers() {
        now[shape.real(layer)].copy_from_slice(&free(state, layer).repeat(count));
    }
    let mut target = vec![0.0; shape.len()];
    // Largest |G − s|, or largest distance from the free rates, of one copy.
    let largest = |copy: usize, of: &dyn Fn(usize) -> f64| {
        let places = (0..shape.layers()).flat_map(|layer| (0..2).flat_map(move |rail| [(layer, rail)]));
        let all = places.flat_map(|(layer, rail)| shape.column(layer, rail, copy));
        all.map(of).fold(0.0, |most: f64, x| if x.is_nan() || x > most { x } else { most })
    };
    let tolerance = spec.settle.tolerance.unwrap_or(1e-13);
    let steps = (spec.settle.max_time / spec.settle.step).ceil() as usize;
    let mut times = vec![f64::NAN; count];
    for step in 1..=steps {
        if watcher::is_stopped() {
            break;
        }
        field.target(Time::at(0), &now, &mut target);
        if step % LOOK == 0 || step == steps {
            let elapsed = step as f64 * spec.settle.step;
            for (copy, time) in times.iter_mut().enumerate() {
                let settled = largest(copy, &|i| (target[i] - now[i]).abs()) <= tolerance;
                // One that leaves again had only passed by.
                *time = if settled { time.min(elapsed) } else { f64::NAN };
            }
            if times.iter().all(|time| time.is_finite()) {
                break;
            }
        }
        now.iter_mut().zip(&target).for_each(|(s, g)| *s += spec.settle.step * (*g - *s));
    }
    field.observe(&now);
    let mut rest = vec![0.0; shape.len()];
    for layer in 0..shape.layers() {
        rest[shape.real(layer)].copy_from_slice(&free(rates, layer).repeat(count));
    }
    let distance = |i: usize| (field.rates()[i] - rest[i]).abs();
    let cell = |(copy, time)| Cell { time, displacement: largest(copy, &distance) };
    times.into_iter().enumerate().map(cell).collect()
}
