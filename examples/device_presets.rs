//! Draws the pulse response of the crossbar devices among the presets: `cargo run --example device_presets -- FOLDER`.

use std::path::PathBuf;

use holograd::imperfections::Preset;
use holograd::plot::{Figure, Mark, Panel, Print, Series};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".into()));
    let presets = [
        (Preset::EcramLinear, "ECRAM, linear steps"),
        (Preset::ReramEs, "ReRAM, exponential steps"),
        (Preset::ReramSb, "ReRAM, soft bounds"),
        (Preset::Capacitor, "Capacitor, linear steps"),
        (Preset::GokmenVlasov, "Gokmen and Vlasov, constant steps"),
        (Preset::Idealized, "Idealized, constant steps"),
    ];
    let mut figure = Figure::new().columns(3).panel_size(330, 260);
    for (preset, title) in presets {
        let programming = preset.imperfections().programming.ok_or("a preset without programming")?;
        let (rule, most) = (programming.update.ok_or("no pulses")?, programming.weight_max.unwrap_or(1.0));
        let bounds = rule.bounds.unwrap_or_default();
        // From end to end one and a half times, up and down, twice.
        let half = (1.5 * (bounds.high - bounds.low) / rule.step) as usize;
        let directions: Vec<f64> =
            (0..4 * half).map(|k| if (k / half).is_multiple_of(2) { 1.0 } else { -1.0 }).collect();
        let mut panel = Panel::new("pulses (thousands)", "weight w").title(title).y_range(-1.6, 2.0);
        for device in 0..3 {
            let x = rule.response(0.0, &directions, 1, device);
            let every = (x.len() / 800).max(1);
            let points =
                x.iter().enumerate().step_by(every).map(|(k, x)| (k as f64 / 1e3, most * x)).collect();
            panel = panel.series(Series::new("", Mark::Line, points).colour(device));
        }
        figure = figure.panel(panel);
    }
    figure
        .note("Three devices of each, one colour each, with the noise of each pulse; the noise of a write is left out.")
        .write(&folder, "device_presets", &Print::default())?;
    Ok(())
}
