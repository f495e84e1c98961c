//! How wide a figure is printed, and in which files.

use clap::ValueEnum;

/// Width of one column of a journal, in millimetres.
pub const COLUMN: f64 = 89.0;
/// Width of two columns, in millimetres.
pub const PAGE: f64 = 183.0;
/// Narrower there is no room for a panel, wider there is no paper.
const WIDTHS: std::ops::RangeInclusive<f64> = 60.0..=400.0;

/// A file format of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Vectors, for the web and for drawing programs.
    Svg,
    /// Pixels, at 300 dots per inch of the printed width.
    Png,
    /// Vectors with their fonts, for LaTeX and printers.
    Pdf,
}

impl Format {
    /// What the name of such a file ends in.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Png => "png",
            Self::Pdf => "pdf",
        }
    }
}

/// How figures are put on paper.
#[derive(Debug, Clone, PartialEq)]
pub struct Print {
    /// Printed width in millimetres; chosen by each figure when absent: [`COLUMN`] for one panel a row, else [`PAGE`].
    pub width: Option<f64>,
    /// The files that are written.
    pub formats: Vec<Format>,
}

impl Default for Print {
    fn default() -> Self {
        Self { width: None, formats: vec![Format::Svg, Format::Png] }
    }
}

/// A width as the command line gives it, `89mm`, in millimetres.
///
/// # Errors
/// What was wrong, and what is legal.
pub fn width(text: &str) -> Result<f64, String> {
    let legal = format!("a width is {} to {} millimetres, as 89mm or 183mm", WIDTHS.start(), WIDTHS.end());
    let number = text.strip_suffix("mm").map(str::trim_end).and_then(|number| number.parse().ok());
    number.filter(|width| WIDTHS.contains(width)).ok_or(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_millimetres_of_paper() {
        assert_eq!(width("89mm"), Ok(89.0));
        assert_eq!(width("120.5 mm"), Ok(120.5));
        for wrong in ["89", "mm", "3.5in", "-89mm", "5mm", "1e9mm", "NaNmm", "infmm"] {
            assert!(width(wrong).unwrap_err().contains("60 to 400 millimetres"), "{wrong}");
        }
    }
}
