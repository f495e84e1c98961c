//! Cost against size: time of a step and peak memory of 784-w-w-10 networks, 64 to 4096 wide, batch 20, f32.
//!
//! `cargo bench --bench size` prints a table and draws `docs/images/cost_size`. Each width is measured by a process of its own,
//! because a process can tell its peak memory only once.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use holograd::gradient::{EstimatorSpec, Setting, estimate_batch};
use holograd::plot::{Figure, Mark, Panel, Print, Series};
use holograd::substrate::neurons::effective::Effective;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::parameters::Parameters;
use serde_json::json;

mod common;

/// Tells a process which width it measures.
const WIDTH: &str = "HOLOGRAD_BENCH_WIDTH";
const WIDTHS: [usize; 13] = [64, 90, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096];
/// Steps of the one estimate that is timed.
const STEPS: u32 = 40;
/// Above this width the matrices outgrow the caches and the exponents are fitted.
const WIDE: usize = 512;

/// Seconds of a step, and peak memory in MiB.
fn measure(width: usize) -> (f64, f64) {
    let network = common::network(width);
    let effective = Effective::new(&network, Form::Rate, &Parameters::<f32>::initial(network.shapes(), 0));
    let samples = common::samples::<f32>(20);
    let staircase =
        json!({ "staircase": { "amplitude": 0.4, "points": 4, "hold": f64::from(STEPS / 4), "periods": 1 } });
    let estimator: EstimatorSpec = serde_json::from_value(staircase).expect("a legal estimator");
    let estimator = estimator.build::<f32>();
    let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
    let repeats = (200_000 / width / width).clamp(3, 40);
    let run = || {
        let start = Instant::now();
        std::hint::black_box(
            estimate_batch(&*estimator, &setting, &samples, &mut Vec::new()).expect("stable"),
        );
        start.elapsed().as_secs_f64()
    };
    let best = (0..repeats).map(|_| run()).fold(f64::INFINITY, f64::min);
    (best / f64::from(STEPS), peak_memory())
}

/// Peak resident memory in MiB, or nothing where the system does not tell.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").trim().parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib / 1024.0)
}

/// Exponent and factor of the power law through the points beyond [`WIDE`], by least squares.
fn power_law(points: &[(f64, f64)]) -> (f64, f64) {
    let logs: Vec<_> =
        points.iter().filter(|(w, _)| *w >= WIDE as f64).map(|(w, y)| (w.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| logs.iter().map(f).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let slope = logs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>()
        / logs.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>();
    (slope, (y - slope * x).exp())
}

fn panel(label: &str, points: Vec<(f64, f64)>) -> Panel {
    let (slope, factor) = power_law(&points);
    println!("{label}: exponent {slope:.2} from {WIDE} on");
    let fit =
        points.iter().map(|(w, _)| (*w, factor * w.powf(slope))).filter(|(w, _)| *w >= WIDE as f64).collect();
    Panel::new("neurons in a layer", label)
        .log_x()
        .log_y()
        .points("measured", points)
        .series(Series::new(format!("width to the power {slope:.2}"), Mark::Dashed, fit).in_black())
}

fn main() {
    if let Some(width) = std::env::var(WIDTH).ok().and_then(|w| w.parse().ok()) {
        let (seconds, memory) = measure(width);
        println!("{seconds} {memory}");
        return;
    }
    let program = std::env::current_exe().expect("the path of this program");
    let (mut times, mut memories) = (Vec::new(), Vec::new());
    println!("width  µs a step  GFLOP/s  peak MiB");
    for width in WIDTHS {
        let output =
            Command::new(&program).env(WIDTH, width.to_string()).output().expect("this program starts");
        let text = String::from_utf8(output.stdout).expect("text");
        let numbers: Vec<f64> = text.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        let (seconds, memory) = (numbers[0], numbers[1]);
        let flop = 2.0 * 40.0 * 2.0 * (width * width + 10 * width) as f64;
        println!("{width:5}  {:9.1}  {:7.0}  {memory:8.1}", seconds * 1e6, flop / seconds / 1e9);
        times.push((width as f64, seconds * 1e6));
        memories.push((width as f64, memory));
    }
    let figure =
        Figure::new().panel(panel("time of a step (µs)", times)).panel(panel("peak memory (MiB)", memories));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    figure.write(&folder, "cost_size", &Print::default()).expect("the figure can be written");
}
