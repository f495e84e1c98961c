//! Tables of numbers: comma-separated values without headings.

use csv::{ReaderBuilder, Trim};

use crate::{Error, Result};

/// What every entry must be.
const NEEDED: &str = "every entry is a finite number, and the first line has no names";

/// The rows of numbers in a table. Lines that begin with `#` are passed over.
///
/// # Errors
/// [`Error::Input`] of the file `file`, with the line, for what is no finite number in UTF-8 and for rows of different lengths.
pub fn parse_csv(file: &str, bytes: &[u8]) -> Result<Vec<Vec<f64>>> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .comment(Some(b'#'))
        .from_reader(bytes);
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            Error::input(file, format!("line {line}"), "found no text in UTF-8", NEEDED)
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        let number = |(column, entry): (usize, &str)| match entry.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => {
                let place = format!("line {line}, column {}", column + 1);
                Err(Error::input(file, place, format!("found {entry:?}"), NEEDED))
            }
        };
        let row = record.iter().enumerate().map(number).collect::<Result<Vec<f64>>>()?;
        if let Some(first) = rows.first().filter(|first| first.len() != row.len()) {
            let found = format!("found a row of {}", row.len());
            let legal = format!("as many numbers as in the first row, {}", first.len());
            return Err(Error::input(file, format!("line {line}"), found, legal));
        }
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_numbers_are_read() {
        let text = "\u{feff}# seconds, volts\r\n1, -2.5\n0.1,1e-3\n\n";
        assert_eq!(parse_csv("a.csv", text.as_bytes()).unwrap(), [[1.0, -2.5], [0.1, 1e-3]]);
        assert!(parse_csv("a.csv", b"").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_table_of_numbers_is_refused_at_its_line() {
        for (text, told) in [
            (
                &b"time,x\n0,1\n"[..],
                "a.csv: at `line 1, column 1`: found \"time\"; every entry is a finite number",
            ),
            (b"0,1\n2,\n", "at `line 2, column 2`: found \"\""),
            (b"0,1\n2,nan\n", "at `line 2, column 2`: found \"nan\""),
            (b"0\n1e999\n", "at `line 2, column 1`: found \"1e999\""),
            (b"0,1\n2\n", "at `line 2`: found a row of 1; as many numbers as in the first row, 2"),
            (b"0,1\n2,\xff\n", "at `line 2`: found no text in UTF-8"),
        ] {
            let error = parse_csv("a.csv", text).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
