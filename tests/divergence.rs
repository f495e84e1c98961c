//! Runs that diverge: bad luck with good input.

use crate::program::{metrics, run, text};

/// A drive far beyond the radius of convergence is a failed run, not bad input: the folder stays, without a summary.
#[test]
fn a_diverging_run_says_when_where_and_what_to_lower() {
    let folder = tempfile::tempdir().unwrap();
    for (name, amplitude) in [("a", "10"), ("b", "1000"), ("c", "1e6"), ("d", "1e30")] {
        let set = format!("estimator.oscillation.amplitude={amplitude}");
        let output =
            run(folder.path(), &["run", "digits", "--set", &set, "--set", "epochs=3", "--out", name]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "amplitude {amplitude}: {message}");
        for word in ["epoch 1, batch ", " t = ", "layer `h", "neuron ", "sample ", "lower `amplitude`"] {
            assert!(message.contains(word), "no {word:?} in {message}");
        }
        assert!(!message.contains("panicked"), "{message}");
        assert!(folder.path().join(name).join("experiment.json").exists());
        assert!(!folder.path().join(name).join("summary.json").exists());
    }
}

/// A smaller drive has no bias, so a batch that diverges may be estimated again with less of it; not for ever.
#[test]
fn halving_the_amplitude_saves_a_diverging_run() {
    let folder = tempfile::tempdir().unwrap();
    let train = |halvings: &str, out: &str| {
        let amplitude = "estimator.oscillation.amplitude=1000";
        run(
            folder.path(),
            &["run", "digits", "--set", amplitude, "--set", "epochs=1", "--set", halvings, "--out", out],
        )
    };
    assert_eq!(train("halvings=2", "few").status.code(), Some(1));
    let saved = train("halvings=20", "many");
    assert!(saved.status.success(), "{}", text(&saved.stderr));
    let epoch = &metrics(&folder.path().join("many"))[0];
    assert!(epoch["halvings"].as_u64().unwrap() > 2, "{epoch}");
    assert!(epoch["test_loss"].as_f64().is_some(), "{epoch}");
}
