//! What fields, measures and values are called for readers: in figures, tables and pages, never in files.

use serde_json::Value;

/// Words that files use, and those of the field.
const WORDS: &[(&str, &str)] = &[
    ("adjoint", "adjoint"),
    ("angle", "angle (°)"),
    ("amplitude", "amplitude |β|"),
    ("cauchy", "Cauchy, separate phases"),
    ("chebyshev", "Chebyshev, real drive"),
    ("classic", "classic EP"),
    ("cmo_hfox", "CMO/HfOₓ"),
    ("cmos", "CMOS"),
    ("cosine", "cosine to the adjoint gradient"),
    ("device_seed", "device"),
    ("ecram", "ECRAM"),
    ("ecram_linear", "ECRAM, linear steps"),
    ("gokmen_vlasov", "Gokmen and Vlasov"),
    ("error_cosine", "cosine of the error vectors"),
    ("feedback_angle", "angle of the feedback (°)"),
    ("harmonic_balance", "harmonic balance"),
    ("imperfections", "device"),
    ("jacobian_symmetry", "symmetry of the Jacobian"),
    ("joules", "energy of training (J)"),
    ("one_over_f", "1/f noise"),
    ("ornstein_uhlenbeck", "Ornstein–Uhlenbeck noise"),
    ("oscillation", "continuous oscillation"),
    ("pcm", "PCM"),
    ("period", "period T (τ)"),
    ("reram_es", "ReRAM, exponential steps"),
    ("reram_sb", "ReRAM, soft bounds"),
    ("rhs_evaluations", "evaluations of the right-hand side"),
    ("rram_milo", "RRAM (Milo)"),
    ("rram_wan", "RRAM (Wan)"),
    ("signal_to_noise", "signal-to-noise ratio"),
    ("slowest_rate", "slowest relaxation rate (1/τ)"),
    ("std", "standard deviation"),
    ("synapse_cosine", "cosine to the adjoint, weights between layers"),
    ("tau", "τ"),
    ("test_slowest_rate", "slowest relaxation rate, test samples (1/τ)"),
    ("train_accuracy", "training accuracy (%)"),
];

/// A name as readers know it: a word of the table, else without the underscores that only programs need. What holds anything but
/// small letters, digits and underscores was written for readers already.
pub(crate) fn shown(name: &str) -> String {
    if let Some((_, word)) = WORDS.iter().find(|(code, _)| *code == name) {
        return (*word).to_owned();
    }
    let is_code = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if is_code { name.replace('_', " ") } else { name.to_owned() }
}

/// A short name of a value: a text itself, a choice by its name, anything else as JSON.
pub(crate) fn value_label(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(object) => match (object.get("name"), object.len()) {
            (Some(Value::String(name)), _) => name.clone(),
            (_, 1) => object.keys().cloned().collect(),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

/// The value of a field.
pub(crate) fn value(value: &Value) -> String {
    shown(&value_label(value))
}

/// A neuron: `h2[0]` and `h2.1` are the first of layer h2, `c1[2,0,5]` is one of an image.
pub(crate) fn neuron(name: &str) -> String {
    let bracketed = name.strip_suffix(']').and_then(|name| name.rsplit_once('['));
    let counted = |index: &str| Some(index.parse::<usize>().ok()? + 1);
    if let Some((layer, places)) = bracketed
        && let [Some(row), Some(column), Some(channel)] =
            places.split(',').map(counted).collect::<Vec<_>>()[..]
    {
        return format!("{layer}, row {row}, column {column}, channel {channel}");
    }
    let from_zero = bracketed.and_then(|(layer, index)| Some((layer, index.parse::<usize>().ok()? + 1)));
    let from_one = || name.rsplit_once('.').and_then(|(layer, index)| Some((layer, index.parse().ok()?)));
    let found = from_zero.or_else(from_one);
    found.map_or_else(|| name.to_owned(), |(layer, number)| format!("{layer}, neuron {number}"))
}

/// A parameter: `h1-h2.weight` are the weights from h1 to h2.
pub(crate) fn parameter(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((edge, "weight")) => match edge.split_once('-') {
            Some((from, to)) => format!("weights {from} → {to}"),
            None => format!("weights of {edge}"),
        },
        Some((layer, "bias")) => format!("biases of {layer}"),
        _ => name.to_owned(),
    }
}

/// What a measure is called, with its unit.
pub(crate) fn measured(measure: &str) -> String {
    match shown(measure) {
        word if WORDS.iter().any(|(code, _)| *code == measure) => word,
        word => word + unit(measure),
    }
}

/// What a measure is multiplied by to be shown.
pub(crate) fn factor(measure: &str) -> f64 {
    if measure.ends_with("accuracy") { 100.0 } else { 1.0 }
}

fn unit(measure: &str) -> &'static str {
    match measure {
        _ if measure.ends_with("accuracy") => " (%)",
        _ if measure.ends_with("loss") => " (nats)",
        _ if measure.ends_with("rate") => " (1/τ)",
        _ if measure.ends_with("angle") => " (°)",
        _ => "",
    }
}

/// A value with what it is a value of; a label that ends in "of" says so itself.
pub(crate) fn titled(name: &str, of: &Value) -> String {
    let text = value(of);
    match of {
        _ if name.ends_with(" of") => format!("{name} {text}"),
        // Names of cases need no more words.
        Value::String(_) | Value::Object(_) => text,
        _ => format!("{name} = {text}"),
    }
}

/// A number for readers: four digits, with a power of ten where it needs one.
pub(crate) fn number(x: f64) -> String {
    let size = x.abs();
    if x == 0.0 || (1e-3..1e5).contains(&size) {
        let digits = (3.0 - size.max(1e-3).log10().floor()).clamp(0.0, 6.0) as usize;
        let text = format!("{x:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{x:.2e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_see_words_not_code() {
        let words =
            ["rram_wan", "cmo_hfox", "tau", "some_new_field", "T_dyn = 5", "learnt on the device"].map(shown);
        let told = ["RRAM (Wan)", "CMO/HfOₓ", "τ", "some new field", "T_dyn = 5", "learnt on the device"];
        assert_eq!(words, told);
        assert_eq!(
            ["h2[0]", "h2.1", "c1[2,0,5]", "h2", "a[b]"].map(neuron),
            ["h2, neuron 1", "h2, neuron 1", "c1, row 3, column 1, channel 6", "h2", "a[b]"]
        );
        assert_eq!(
            ["input-h1.weight", "readout.weight", "h2.bias"].map(parameter),
            ["weights input → h1", "weights of readout", "biases of h2"]
        );
    }
}
