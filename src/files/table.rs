//! Tables with headings: comma-separated values as laboratories record them.

use csv::{ReaderBuilder, Trim};

use crate::{Error, Result};

/// A table whose first line names its columns.
#[derive(Debug, Clone)]
pub struct Table {
    /// How messages name it.
    pub file: String,
    /// The names of the columns: small letters, without a unit in brackets.
    pub names: Vec<String>,
    rows: Vec<(u64, Vec<String>)>,
}

impl Table {
    /// Reads a table. Lines that begin with `#` are passed over; so is a unit, as in `conductance (uS)`.
    ///
    /// # Errors
    /// [`Error::Input`] if it is no text in UTF-8, has no headings, or a row is shorter or longer than they are.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .comment(Some(b'#'))
            .from_reader(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
        let mut names: Option<Vec<String>> = None;
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| {
                let line = error.position().map_or(0, csv::Position::line);
                Error::input(file, format!("line {line}"), "found no text in UTF-8", "a table of values")
            })?;
            let line = record.position().map_or(0, csv::Position::line);
            let Some(names) = &names else {
                let named: Vec<String> = record.iter().map(name).collect();
                if let Some(number) = named.iter().find(|name| name.is_empty() || name.parse::<f64>().is_ok())
                {
                    let found = format!("found {number:?} in the first line");
                    let legal = "the first line names the columns, as `device,pulse,polarity,conductance`";
                    return Err(Error::input(file, format!("line {line}"), found, legal));
                }
                if let Some(twice) = (1..named.len()).find(|k| named[..*k].contains(&named[*k])) {
                    let found = format!("found the column `{}` twice", named[twice]);
                    return Err(Error::input(file, format!("line {line}"), found, "each name once"));
                }
                names = Some(named);
                continue;
            };
            if record.len() != names.len() {
                let found = format!("found a row of {}", record.len());
                let legal = format!("an entry for each of the {} columns", names.len());
                return Err(Error::input(file, format!("line {line}"), found, legal));
            }
            rows.push((line, record.iter().map(ToOwned::to_owned).collect()));
        }
        let empty = || Error::input(file, "", "found no line", "a line of names and lines of values");
        Ok(Self { file: file.to_owned(), names: names.ok_or_else(empty)?, rows })
    }

    /// The same, called otherwise in messages.
    #[must_use]
    pub fn called(self, file: &str) -> Self {
        Self { file: file.to_owned(), ..self }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The place of the column with one of these names.
    #[must_use]
    pub fn find(&self, names: &[&str]) -> Option<usize> {
        self.names.iter().position(|name| names.contains(&name.as_str()))
    }

    /// The entries of a column.
    pub fn texts(&self, column: usize) -> impl Iterator<Item = &str> {
        self.rows.iter().map(move |(_, row)| row[column].as_str())
    }

    /// The numbers of a column; an empty entry is none.
    ///
    /// # Errors
    /// [`Error::Input`] with line and column of the first entry that is no finite number.
    pub fn numbers(&self, column: usize) -> Result<Vec<Option<f64>>> {
        let number = |(line, row): &(u64, Vec<String>)| match row[column].as_str() {
            "" => Ok(None),
            text => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Some(number)),
                _ => Err(self.refuse(*line, column, text, "a finite number, or nothing")),
            },
        };
        self.rows.iter().map(number).collect()
    }

    /// The line of a row.
    #[must_use]
    pub fn line(&self, row: usize) -> u64 {
        self.rows[row].0
    }

    /// An error about an entry.
    #[must_use]
    pub fn refuse(&self, line: u64, column: usize, found: &str, legal: &str) -> Error {
        let place = format!("line {line}, column `{}`", self.names[column]);
        Error::input(&self.file, place, format!("found {found:?}"), legal)
    }

    /// An error about the columns.
    #[must_use]
    pub fn lacking(&self, legal: &str) -> Error {
        Error::input(&self.file, "", format!("found the columns {}", self.names.join(", ")), legal)
    }
}

/// The name of a column without its unit.
fn name(text: &str) -> String {
    let end = text.find(['(', '[']).unwrap_or(text.len());
    text[..end].trim().to_lowercase().replace([' ', '-'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_units_and_entries_their_spaces() {
        let text = "\u{feff}# from the lab\r\nDevice, Pulse number, Conductance (uS)\r\na, 1, 2.5\nb,2,\n";
        let table = Table::parse("a.csv", text.as_bytes()).unwrap();
        assert_eq!(table.names, ["device", "pulse_number", "conductance"]);
        assert_eq!(table.numbers(2).unwrap(), [Some(2.5), None]);
        assert_eq!(table.texts(0).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((table.len(), table.line(1)), (2, 4));
    }

    #[test]
    fn damaged_tables_are_refused_at_their_line() {
        for (text, told) in [
            (&b""[..], "found no line"),
            (b"1,2\n3,4\n", "at `line 1`: found \"1\" in the first line"),
            (b"a,a\n", "found the column `a` twice"),
            (b"a,b\n1\n", "at `line 2`: found a row of 1"),
            (b"a,b\n1,\xff\n", "at `line 2`: found no text"),
        ] {
            let error = Table::parse("a.csv", text).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
        let table = Table::parse("a.csv", b"a,b\n1,x\n").unwrap();
        let error = table.numbers(1).unwrap_err();
        assert!(error.to_string().contains("line 2, column `b`"), "{error}");
    }
}
