//! Pulses as laboratories record them: conductances before and after each, in one of three layouts.

use crate::error::{Error, Result};
use crate::files::Table;

/// One pulse: what it made of a conductance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pulse {
    /// Conductance before it, in the file's unit.
    pub before: f64,
    /// Conductance after it.
    pub after: f64,
    /// +1 for a pulse up, −1 for one down.
    pub direction: f64,
}

/// The pulses of each measured device.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulses {
    /// Name and pulses of each device, in the order of the file.
    pub devices: Vec<(String, Vec<Pulse>)>,
    /// Rows of the file.
    pub rows: usize,
    /// How it is laid out, in words.
    pub layout: &'static str,
}

const DEVICE: &[&str] = &["device", "device_id", "cell"];
const CYCLE: &[&str] = &["cycle", "cycle_number", "sweep"];
const PULSE: &[&str] = &["pulse", "pulse_number", "n"];
const POLARITY: &[&str] = &["polarity", "direction", "sign"];
const BEFORE: &[&str] = &["before", "conductance_before", "g_before"];
const AFTER: &[&str] = &["after", "conductance_after", "g_after"];
const CONDUCTANCE: &[&str] = &["conductance", "g"];

/// What a file of pulses has to look like.
const LEGAL: &str = "a `polarity`, and the conductances as `before` and `after`, as one series `conductance`, or as one column a device; `device` and \
                     `cycle` may stand beside them";

impl Pulses {
    /// Reads the pulses of a table.
    ///
    /// In the first layout each row has the conductance `before` and `after` a pulse; in the second `conductance` after it, and the row above,
    /// of the same device and cycle, has the one before; in the third the same of many devices at once, a column each.
    ///
    /// # Errors
    /// If columns are missing, or an entry is no number or no polarity.
    pub fn read(table: &Table) -> Result<Self> {
        let polarity = table.find(POLARITY).ok_or_else(|| table.lacking(LEGAL))?;
        let directions = directions(table, polarity)?;
        let texts = |names: &[&str]| -> Vec<String> {
            let column = table.find(names);
            let text = |column| table.texts(column).map(ToOwned::to_owned).collect();
            column.map_or_else(|| vec![String::new(); table.len()], text)
        };
        let (names, cycles) = (texts(DEVICE), texts(CYCLE));
        let mut pulses = Self { devices: Vec::new(), rows: table.len(), layout: "" };
        let pair = |before: Option<f64>, after: Option<f64>, direction: f64| {
            Some(Pulse { before: before?, after: after?, direction })
        };
        if let (Some(before), Some(after)) = (table.find(BEFORE), table.find(AFTER)) {
            pulses.layout = "conductances before and after each pulse";
            let (before, after) = (table.numbers(before)?, table.numbers(after)?);
            for row in 0..table.len() {
                pulses.add(&names[row], pair(before[row], after[row], directions[row]));
            }
            return pulses.complete(table);
        }
        let series = |values: &[Option<f64>], row: usize| {
            let goes_on = row > 0 && cycles[row] == cycles[row - 1] && names[row] == names[row - 1];
            let before = if goes_on { values[row - 1] } else { None };
            pair(before, values[row], directions[row])
        };
        if let Some(conductance) = table.find(CONDUCTANCE) {
            pulses.layout = "one series of conductances";
            let values = table.numbers(conductance)?;
            for row in 0..table.len() {
                pulses.add(&names[row], series(&values, row));
            }
            return pulses.complete(table);
        }
        let own = [DEVICE, CYCLE, PULSE, POLARITY].concat();
        let columns: Vec<usize> =
            (0..table.names.len()).filter(|k| !own.contains(&table.names[*k].as_str())).collect();
        if columns.is_empty() || table.find(DEVICE).is_some() {
            return Err(table.lacking(LEGAL));
        }
        pulses.layout = "one column of conductances for each device";
        for column in columns {
            let values = table.numbers(column)?;
            for row in 0..table.len() {
                pulses.add(&table.names[column], series(&values, row));
            }
        }
        pulses.complete(table)
    }

    fn add(&mut self, device: &str, pulse: Option<Pulse>) {
        let Some(pulse) = pulse else { return };
        match self.devices.iter_mut().rev().find(|(name, _)| name == device) {
            Some((_, own)) => own.push(pulse),
            None => self.devices.push((device.to_owned(), vec![pulse])),
        }
    }

    fn complete(self, table: &Table) -> Result<Self> {
        if self.devices.is_empty() {
            let legal =
                "a pulse needs the conductance before and after it: two rows of a series, or both columns";
            return Err(Error::input(&table.file, "", "found no pulse", legal));
        }
        Ok(self)
    }

    /// The pulses of all devices.
    pub fn all(&self) -> impl Iterator<Item = &Pulse> {
        self.devices.iter().flat_map(|(_, pulses)| pulses)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all().count()
    }
}

/// The direction of each pulse.
fn directions(table: &Table, column: usize) -> Result<Vec<f64>> {
    let direction = |(row, text): (usize, &str)| match text.to_lowercase().as_str() {
        "+" | "1" | "+1" | "1.0" | "up" | "set" | "p" | "potentiation" | "ltp" => Ok(1.0),
        "-" | "-1" | "-1.0" | "0" | "down" | "reset" | "d" | "depression" | "ltd" => Ok(-1.0),
        _ => {
            let legal = "1, + or up; -1, - or down";
            Err(table.refuse(table.line(row), column, text, legal))
        }
    };
    table.texts(column).enumerate().map(direction).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Pulses> {
        Pulses::read(&Table::parse("pulses.csv", text.as_bytes())?)
    }

    #[test]
    fn three_layouts_tell_the_same_pulses() {
        let pairs = "device,cycle,pulse,polarity,before,after\na,1,1,up,1,2\na,1,2,up,2,2.5\na,1,3,down,2.5,1.5\n\
                     b,1,1,up,3,4\nb,1,2,up,4,4.5\nb,1,3,down,4.5,4\n";
        let series = "device,cycle,pulse,polarity,Conductance (uS)\na,1,0,+,1\na,1,1,+,2\na,1,2,1,2.5\na,1,3,-1,1.5\n\
                      b,1,0,+,3\nb,1,1,+,4\nb,1,2,+,4.5\nb,1,3,-,4\n";
        let wide = "pulse,polarity,a,b\n0,+,1,3\n1,+,2,4\n2,+,2.5,4.5\n3,-,1.5,4\n";
        let [pairs, series, wide] = [pairs, series, wide].map(|text| read(text).unwrap());
        assert_eq!(pairs.devices, series.devices);
        assert_eq!(pairs.devices, wide.devices);
        assert_eq!((pairs.count(), pairs.rows, series.rows, wide.rows), (6, 6, 8, 4));
        assert_eq!(pairs.devices[0].1[2], Pulse { before: 2.5, after: 1.5, direction: -1.0 });
    }

    #[test]
    fn a_series_ends_with_its_cycle_and_where_an_entry_is_missing() {
        let pulses = read("cycle,polarity,conductance\n1,+,1\n1,+,2\n2,+,1\n2,+,\n2,+,3\n2,+,4\n").unwrap();
        let own: Vec<(f64, f64)> = pulses.all().map(|p| (p.before, p.after)).collect();
        assert_eq!(own, [(1.0, 2.0), (3.0, 4.0)]);
    }

    #[test]
    fn what_is_no_file_of_pulses_is_refused() {
        for (text, told) in [
            ("device,conductance\na,1\n", "found the columns device, conductance; a `polarity`"),
            ("polarity,pulse\n+,1\n", "found the columns polarity, pulse"),
            ("polarity,conductance\nsideways,1\n", "line 2, column `polarity`: found \"sideways\""),
            ("polarity,conductance\n+,one\n", "line 2, column `conductance`: found \"one\""),
            ("polarity,conductance\n+,1\n", "found no pulse"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.to_string().replace('`', "").contains(&told.replace('`', "")), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
