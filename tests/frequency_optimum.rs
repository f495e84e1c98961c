//! The best frequency under 1/f noise: simulation beside theory.

use crate::program::{json, metrics, run, succeed, text};

#[test]
fn the_best_period_moves_with_the_corner_as_theory_predicts() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = vec!["run", "frequency_optimum", "--out", "out"];
    for field in ["periods=[16,20,25,32,40,50,64,80,100]", "poles=[8]", "phase_error=0", "repeats=60"] {
        command.extend(["--set", field]);
    }
    succeed(folder.path(), &command);
    let out = folder.path().join("out");
    let points = metrics(&out);
    assert_eq!(points.len(), 18);
    for point in &points {
        let number = |name: &str| point[name].as_f64().unwrap();
        println!(
            "corner {}, T = {:4}: error {:.3e} +- {:.1e}, theory {:.3e}; without noise {:.3e}, theory {:.3e}",
            number("corner"),
            number("period"),
            number("error"),
            number("standard_error"),
            number("theory"),
            number("bias"),
            number("theory_bias"),
        );
        // Eighteen looks at four standard errors, and what theory leaves out: higher harmonics, steps, second order of the noise.
        let (off, allowed) = ((number("error") - number("theory")).abs(), 4.0 * number("standard_error"));
        assert!(off < allowed + 0.05 * number("theory"), "{point}");
        assert!((number("bias") / number("theory_bias") - 1.0).abs() < 0.1, "{point}");
    }
    let optima = json(out.join("summary.json"))["optima"].clone();
    println!("{optima:#}");
    let period = |place: usize, name: &str| optima[place][name].as_f64().unwrap();
    for place in [0, 1] {
        let ratio = period(place, "period") / period(place, "theory_period");
        assert!((ratio - 1.0).abs() < 0.15, "{ratio}");
    }
    let (found, predicted) =
        (period(0, "period") / period(1, "period"), period(0, "theory_period") / period(1, "theory_period"));
    assert!(predicted > 1.4, "the corner moves the optimum: {predicted}");
    assert!((found / predicted - 1.0).abs() < 0.15, "moved by {found}, not {predicted}");
}

#[test]
fn what_the_closed_form_cannot_carry_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (set, named) in [
        ("poles=[9]", "poles[0]"),
        ("periods=[]", "periods"),
        ("periods=[1e5]", "periods[0]"),
        ("noise.corners=[10]", "noise.corners[0]"),
        ("noise.white_std=0", "noise.white_std"),
        ("integrator=dopri5", "integrator"),
        ("model.layers.0.size=100", "model"),
        ("repeats=1", "repeats"),
        ("sample=7", "sample"),
    ] {
        let output = run(folder.path(), &["run", "frequency_optimum", "--set", set, "--out", "out"]);
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains(named), "{set}: {told}");
        assert!(!folder.path().join("out").exists(), "{set} left something behind");
    }
}
