//! Figures: a description made of plain numbers, drawn as SVG, PNG and PDF at the width of a column or a page.
//!
//! A [`Figure`] is a grid of [`Panel`]s; a panel holds [`Series`] of points over an optional [`HeatMap`]. Nothing here
//! knows what the numbers mean, reads a clock, asks the system for a font or looks at the machine: the same
//! description gives the same bytes everywhere.
//!
//! ```no_run
//! use holograd::plot::{Figure, Mark, Panel, Print, Series};
//!
//! # fn main() -> holograd::Result<()> {
//! let periods = [10.0, 20.0, 40.0, 80.0];
//! let error = [3.9e-1, 1.4e-1, 4.1e-2, 1.06e-2];
//! let measured: Vec<_> = periods.iter().copied().zip(error).collect();
//! let theory = periods.iter().map(|t| (*t, 68.0 / (t * t))).collect();
//! let panel = Panel::new("period (τ)", "relative gradient error")
//!     .log_x()
//!     .log_y()
//!     .points("oscillation", measured)
//!     .series(Series::new("theory, slope −2", Mark::Dashed, theory).in_black());
//! Figure::new().panel(panel).write("figures".as_ref(), "bias", &Print::default())?;
//! # Ok(())
//! # }
//! ```

mod axis;
mod canvas;
mod figure;
mod heat;
mod legend;
mod marks;
mod panel;
mod pdf;
mod png;
mod print;
mod style;

pub use figure::{Aside, AsideRow, Axis, Figure, HeatMap, Mark, Panel, Scale, Series};
pub use print::{COLUMN, Format, PAGE, Print, width};

#[cfg(test)]
mod tests;
