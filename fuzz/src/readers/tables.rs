//! Comma-separated values: what was measured, what inputs do in time, samples.

use std::path::Path;

use holograd::Result;
use holograd::data::SampleFiles;
use holograd::experiment::load;
use holograd::files::Table;
use holograd::imperfections::measured::Pulses;

use super::arrays::load_samples;
use super::place;

pub(super) fn waveforms() -> Vec<Vec<u8>> {
    vec![b"# volts\n0, 0.5, -1, 0, 0, 0\n1e-3,\"2\",3,4,5,6\n".to_vec()]
}

pub(super) fn read_waveform(input: &[u8], folder: &Path) -> Result<()> {
    let path = place("table.csv", input, folder);
    load("trace", &[format!(r#"waveform={{"table":{{"file":{path:?},"step":1}}}}"#)]).map(drop)
}

pub(super) fn rows() -> Vec<Vec<u8>> {
    vec![b"0,0.5,0\n1,2e-1,1\n0.3,-.1,0\n# none\n0.9,0.9,1\n".to_vec()]
}

pub(super) fn read_rows(input: &[u8], folder: &Path) -> Result<()> {
    place("rows.csv", input, folder);
    load_samples(SampleFiles::File("rows.csv".into()), folder)
}

/// In the three layouts.
pub(super) fn pulses() -> Vec<Vec<u8>> {
    let columns =
        (0..80).fold("# made\npulse,polarity,device 1 (uS),device 2 (uS)\n".to_owned(), |text, n| {
            let (sign, step) = (if n < 40 { 1 } else { -1 }, f64::from(n.min(80 - n)));
            format!("{text}{n},{sign},{},{}\n", 10.0 + 0.5 * step, 10.0 + 0.6 * step)
        });
    let pairs = (0..80).fold("device,polarity,before (uS),after (uS)\n".to_owned(), |text, n| {
        let (sign, from) = (if n < 40 { "up" } else { "down" }, 10 + n.min(80 - n));
        format!("{text}a,{sign},{from},{}\n", if n < 40 { from + 1 } else { from - 1 })
    });
    let series = (0..80).fold("device,cycle,pulse,polarity,conductance\n".to_owned(), |text, n| {
        let (sign, step) = (if n < 40 { '+' } else { '-' }, f64::from(n.min(80 - n)));
        format!("{text}d,1,{n},{sign},{}\n", 5.0 + 0.1 * step)
    });
    vec![columns.into_bytes(), pairs.into_bytes(), series.into_bytes()]
}

pub(super) fn read_pulses(input: &[u8], folder: &Path) -> Result<()> {
    Pulses::read(&Table::parse("pulses.csv", input)?)?;
    let path = place("pulses.csv", input, folder);
    load("digits", &[format!(r#"imperfections.programming={{"weight_max":1,"update":{{"law":{{"measured":{{"file":{path:?}}}}}}}}}"#)])
        .map(drop)
}

pub(super) fn spectra() -> Vec<Vec<u8>> {
    let line = |k: i32| format!("{},{}\n", 10_f64.powi(k), 1e-9 * 10_f64.powi(-k));
    vec![(0..7).fold("frequency (Hz),power\n".to_owned(), |text, k| text + &line(k)).into_bytes()]
}

pub(super) fn read_spectrum(input: &[u8], folder: &Path) -> Result<()> {
    let path = place("spectrum.csv", input, folder);
    load(
        "digits",
        &[format!(r#"imperfections.state_noise={{"measured":{{"file":{path:?},"seconds":1e-6}}}}"#)],
    )
    .map(drop)
}

pub(super) fn mismatches() -> Vec<Vec<u8>> {
    vec![b"device,dvth (mV)\n1,0.5\n2,-0.25\n3,1e-1\n4,0.125\n5,-.75\n6,0\n7,0.3\n".to_vec()]
}

pub(super) fn read_mismatch(input: &[u8], folder: &Path) -> Result<()> {
    let path = place("vth.csv", input, folder);
    load("digits", &[format!(r#"imperfections.fabrication.tau={{"measured":{{"file":{path:?},"column":"dvth","scale":0.1,"smoothing":"kernel"}}}}"#)])
        .map(drop)
}
