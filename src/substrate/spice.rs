//! What netlists of all substrates share, and what a simulator of SPICE says of them.

use crate::error::{Error, Result};

/// The drive of a netlist: β(t) = b cos(2πt/T), from the voltages that are given.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// b.
    pub amplitude: f64,
    /// T, in s.
    pub period: f64,
    /// Periods.
    pub periods: u64,
    /// Longest step, in s.
    pub step: f64,
    /// Voltages of the free nodes at the beginning, in V.
    pub start: Vec<f64>,
}

impl Run {
    /// The title, and how exactly a simulator is to work.
    pub(super) fn beginning(&self, name: &str) -> String {
        format!(
            "* {name} (holograd {})\n.options reltol=1e-7 abstol=1e-15 vntol=1e-10 gmin=1e-18 method=trap\n",
            env!("CARGO_PKG_VERSION")
        )
    }

    /// β(t), the voltage of the node `beta`.
    pub(super) fn drive(&self) -> String {
        format!(
            "* teaching signal\nVbeta beta 0 SIN(0 {:.17e} {:.17e} 0 0 90)\n",
            self.amplitude,
            1.0 / self.period
        )
    }

    /// The transient analysis, from the voltages of the beginning.
    pub(super) fn ending(&self) -> String {
        let stop = self.period * self.periods as f64;
        format!(".tran {:.17e} {stop:.17e} 0 {:.17e} UIC\n.end\n", self.step, self.step)
    }
}

/// A name that every SPICE takes: `h[3]` is `h_3`.
pub(super) fn spice_name(name: &str) -> String {
    name.replace('[', "_").replace(']', "")
}

/// The traces of an ASCII raw file, as ngspice writes it with `SPICE_ASCIIRAWFILE=1`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traces {
    /// Names of the variables, `time` first: `v(h_0)`.
    pub names: Vec<String>,
    /// Values of each variable.
    pub values: Vec<Vec<f64>>,
}

impl Traces {
    /// Reads the text of a raw file.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self> {
        let broken =
            |what: &str| Error::input("the raw file", "", what, "an ASCII raw file of a transient analysis");
        let (head, body) = text.split_once("Values:").ok_or_else(|| broken("found no `Values:`"))?;
        let (_, listed) = head.split_once("\nVariables:").ok_or_else(|| broken("found no `Variables:`"))?;
        let names: Vec<String> =
            listed.lines().filter_map(|line| line.split_whitespace().nth(1).map(str::to_lowercase)).collect();
        let mut values = vec![Vec::new(); names.len()];
        let mut numbers = body.split_whitespace();
        while numbers.next().is_some() {
            for column in &mut values {
                let number = numbers.next().and_then(|n| n.parse().ok());
                column.push(number.ok_or_else(|| broken("found an incomplete point"))?);
            }
        }
        Ok(Self { names, values })
    }

    /// The voltage of a node at a time, by the cubic through the four nearest points.
    #[must_use]
    pub fn at(&self, node: &str, time: f64) -> Option<f64> {
        let column =
            self.names.iter().position(|name| *name == format!("v({})", spice_name(node).to_lowercase()))?;
        let (t, v) = (self.values.first()?, &self.values[column]);
        if t.len() < 4 {
            return None;
        }
        let start = t.partition_point(|x| *x < time).saturating_sub(2).min(t.len() - 4);
        let term = |i: usize| {
            let others = (start..start + 4).filter(|j| *j != i);
            v[i] * others.map(|j| (time - t[j]) / (t[i] - t[j])).product::<f64>()
        };
        Some((start..start + 4).map(term).sum())
    }
}

/// What ngspice makes of a netlist; none where there is no ngspice.
#[cfg(test)]
pub(crate) fn simulated(netlist: &str, name: &str) -> Option<Traces> {
    use std::process::Command;
    if Command::new("ngspice").arg("--version").output().is_err() {
        println!("skipped: there is no ngspice here");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let (list, raw) = (folder.path().join(format!("{name}.cir")), folder.path().join("out.raw"));
    std::fs::write(&list, netlist).unwrap();
    let done = Command::new("ngspice")
        .args(["-b", "-r"])
        .args([&raw, &list])
        .env("SPICE_ASCIIRAWFILE", "1")
        .output()
        .unwrap();
    let text = std::fs::read_to_string(&raw);
    assert!(
        text.is_ok(),
        "{name}: {}\n{}",
        String::from_utf8_lossy(&done.stderr),
        String::from_utf8_lossy(&done.stdout)
    );
    Some(Traces::parse(&text.unwrap()).unwrap())
}
