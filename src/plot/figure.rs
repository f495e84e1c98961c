//! What a figure says, apart from how it is drawn.

use std::path::{Path, PathBuf};

use super::print::{COLUMN, Format, PAGE, Print};
use super::{canvas::Canvas, panel, pdf, png, style};
use crate::{Error, Result, files};

/// A pixel of a drawing is half a point of print, so that its smallest letters are 6 points high wherever it is printed.
const PIXELS_PER_MILLIMETRE: f64 = 2.0 * 72.0 / 25.4;
/// Panels narrower than this stand below each other.
const NARROWEST: f64 = 300.0;
/// How much smaller or larger than asked for a panel may be.
const SCALES: (f64, f64) = (0.85, 1.25);

/// A grid of panels, filled row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Heading over the whole figure.
    pub title: Option<String>,
    /// Panels, from the top left; with more than one they are lettered a, b, c…
    pub panels: Vec<Panel>,
    /// Panels in a row, where the printed width has room for as many.
    pub columns: usize,
    /// Width and height of one panel with its labels, in half points of print (default 420 × 300); the width that a panel gets is
    /// its share of the printed one, and the height follows as far as is sensible.
    pub panel_size: (u32, u32),
    /// What is to be known to read the figure, written under the panels: what bars and bands mean, and of how many runs.
    pub note: Option<String>,
}

/// Where the panels of a figure go.
struct Placement {
    millimetres: f64,
    width: f64,
    columns: usize,
    panel: (f64, f64),
}

/// How a coordinate is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// Equal differences are equally long.
    #[default]
    Linear,
    /// Equal ratios are equally long; values that are not positive are not drawn.
    Log,
}

/// One axis of a panel.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Axis {
    /// Quantity and unit, as `period (τ)`.
    pub label: String,
    /// Linear or logarithmic.
    pub scale: Scale,
    /// First and last value shown; chosen from the data when absent or unusable (empty, not finite, or not positive on
    /// a logarithmic axis).
    pub range: Option<(f64, f64)>,
    /// What stands at 1, 2, 3 … instead of numbers: names of categories.
    pub names: Vec<String>,
    /// Axes with the same number show the same range in all panels of a figure.
    pub group: Option<usize>,
}

/// One coordinate system with what is drawn in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Panel {
    /// Heading of this panel.
    pub title: Option<String>,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Curves and points, drawn in this order.
    pub series: Vec<Series>,
    /// A map under the series.
    pub heat_map: Option<HeatMap>,
    /// One unit is equally long on both axes (two linear axes only).
    pub equal_aspect: bool,
    /// Places along the axes are no quantities: they carry no ticks.
    pub without_ticks: bool,
    /// What has a place along x but none along y, in a band of its own under the frame.
    pub aside: Option<Aside>,
}

/// A band under the frame for what has no value to be drawn at, as runs that diverged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Aside {
    /// What stands there, in a word.
    pub label: String,
    /// Rows from the top.
    pub rows: Vec<AsideRow>,
}

/// One row of an [`Aside`].
#[derive(Debug, Clone, PartialEq)]
pub struct AsideRow {
    /// Index into the palette: that of the series it belongs to.
    pub colour: usize,
    /// [`Mark::Points`] or [`Mark::Open`].
    pub mark: Mark,
    /// Places along x, each with a short text beside its marker.
    pub items: Vec<(f64, String)>,
}

/// How the points of a series are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A solid line; where a panel holds several, and no open markers, they also carry a few markers, so that colour is never the
    /// only cue.
    Line,
    /// A dashed line: by convention theory or a reference.
    Dashed,
    /// A dotted line: by convention a limit or a guide.
    Dotted,
    /// Markers alone.
    Points,
    /// Hollow markers under everything else: by convention what others have published.
    Open,
    /// A line with a marker at every point.
    LinePoints,
    /// A stem from zero (from the bottom on a logarithmic axis) with a marker on top, for spectra.
    Stems,
    /// Small faint dots behind everything else: by convention single runs behind their mean.
    Dots,
}

/// One curve or cloud of points.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name in the legend; a series with an empty label is not listed, and those of one name share an entry.
    pub label: String,
    /// (x, y) pairs. A point that is not finite, or not positive on a logarithmic axis, is left out and interrupts a line.
    pub points: Vec<(f64, f64)>,
    /// Line or marker.
    pub mark: Mark,
    /// Lower and upper y of a shaded band, one pair a point.
    pub band: Option<Vec<(f64, f64)>>,
    /// Lower and upper y of an error bar, one pair a point.
    pub error_bars: Option<Vec<(f64, f64)>>,
    /// Index into the palette; by position in the panel when absent.
    pub colour: Option<usize>,
}

/// A matrix of values shown as colours, with a colour bar.
///
/// Cells are equally large in the scale of their axis: on a logarithmic axis they have a constant ratio.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Cells along x.
    pub columns: usize,
    /// Cells along y.
    pub rows: usize,
    /// `values[row * columns + column]`; row 0 is at the lowest y. Values that are not finite (or not positive on a
    /// logarithmic colour scale) are grey.
    pub values: Vec<f64>,
    /// Outer edges of the map along x.
    pub x: (f64, f64),
    /// Outer edges of the map along y.
    pub y: (f64, f64),
    /// Colour bar: quantity and unit, scale, and the values at the two ends of the colours.
    pub colour: Axis,
}

impl Default for Figure {
    fn default() -> Self {
        Self { title: None, panels: Vec::new(), columns: 2, panel_size: (420, 300), note: None }
    }
}

impl Figure {
    /// An empty figure, two panels a row.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With this heading.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// With one panel more.
    #[must_use]
    pub fn panel(mut self, panel: Panel) -> Self {
        self.panels.push(panel);
        self
    }

    /// With this many panels a row.
    #[must_use]
    pub fn columns(mut self, columns: usize) -> Self {
        self.columns = columns;
        self
    }

    /// With panels of about this width and height, in half points of print.
    #[must_use]
    pub fn panel_size(mut self, width: u32, height: u32) -> Self {
        self.panel_size = (width, height);
        self
    }

    /// With this written under the panels, after what stands there already.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        let note = note.into();
        self.note = Some(match self.note.take() {
            Some(before) => format!("{before} {note}"),
            None => note,
        });
        self
    }

    fn layout(&self, print: &Print) -> Placement {
        let asked = self.columns.min(self.panels.len()).max(1);
        let wide = f64::from(self.panel_size.0) > COLUMN * PIXELS_PER_MILLIMETRE * SCALES.1;
        let millimetres = print.width.unwrap_or(if asked == 1 && !wide { COLUMN } else { PAGE });
        let width = (millimetres * PIXELS_PER_MILLIMETRE).round();
        let columns = asked.min((width / NARROWEST) as usize).max(1);
        let panel = width / columns as f64;
        let scale = (panel / f64::from(self.panel_size.0)).clamp(SCALES.0, SCALES.1);
        Placement {
            millimetres,
            width,
            columns,
            panel: (panel, (scale * f64::from(self.panel_size.1)).round()),
        }
    }

    /// The figure as an SVG document, as wide as it is printed.
    ///
    /// # Errors
    /// [`Error::Internal`] when a panel is asked to be smaller than 160 × 120 half points or larger than 16 000, or the figure
    /// becomes longer than 32 000, when a heat map does not hold rows × columns values, or when the drawing library refuses.
    pub fn svg(&self, print: &Print) -> Result<String> {
        let layout = self.layout(print);
        let refuse = || {
            let ((width, height), panels) = (self.panel_size, self.panels.len());
            let found =
                format!("a figure of {panels} panels of {width} × {height} half points cannot be drawn");
            Err(Error::Internal(found))
        };
        let sizes = [(self.panel_size.0, 160), (self.panel_size.1, 120)];
        if sizes.iter().any(|(size, least)| !(*least..=16_000).contains(size)) {
            return refuse();
        }
        let top = panel::heading_height(self.title.as_deref(), layout.width)?;
        let grid = panel::Grid::new(&self.panels, layout.columns, layout.panel)?;
        let below = panel::note_height(self.note.as_deref(), layout.width)?;
        let height = (top + grid.height() + below).round();
        if height > 32_000.0 {
            return refuse();
        }
        let mut canvas = Canvas::new((layout.width as u32, height as u32))?;
        panel::heading(&mut canvas, self.title.as_deref(), layout.width)?;
        grid.draw(&mut canvas, top)?;
        panel::note(&mut canvas, self.note.as_deref(), layout.width, top + grid.height())?;
        Ok(canvas.finish(layout.millimetres))
    }

    /// Writes `folder/name.svg`, `.png` and `.pdf`, those of them that are asked for, making the folder if need be; each file
    /// appears complete or not at all.
    ///
    /// # Errors
    /// As [`Figure::svg`]; [`Error::Io`] when the folder or a file cannot be written.
    pub fn write(&self, folder: &Path, name: &str, print: &Print) -> Result<Vec<PathBuf>> {
        let svg = self.svg(print)?;
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", e))?;
        let write = |format: &Format| {
            let path = folder.join(format!("{name}.{}", format.extension()));
            let bytes = match format {
                Format::Svg => svg.clone().into_bytes(),
                Format::Png => png::render(&svg)?,
                Format::Pdf => pdf::render(&svg)?,
            };
            files::write_atomically(&path, &bytes)?;
            Ok(path)
        };
        print.formats.iter().map(write).collect()
    }
}

impl Panel {
    /// An empty panel with linear axes; the labels name quantity and unit.
    #[must_use]
    pub fn new(x_label: impl Into<String>, y_label: impl Into<String>) -> Self {
        Self {
            x: Axis { label: x_label.into(), ..Axis::default() },
            y: Axis { label: y_label.into(), ..Axis::default() },
            ..Self::default()
        }
    }

    /// With this heading.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// With a logarithmic horizontal axis.
    #[must_use]
    pub fn log_x(mut self) -> Self {
        self.x.scale = Scale::Log;
        self
    }

    /// With a logarithmic vertical axis.
    #[must_use]
    pub fn log_y(mut self) -> Self {
        self.y.scale = Scale::Log;
        self
    }

    /// Showing x from `low` to `high`.
    #[must_use]
    pub fn x_range(mut self, low: f64, high: f64) -> Self {
        self.x.range = Some((low, high));
        self
    }

    /// Showing y from `low` to `high`.
    #[must_use]
    pub fn y_range(mut self, low: f64, high: f64) -> Self {
        self.y.range = Some((low, high));
        self
    }

    /// With one unit equally long on both axes, as in the complex plane.
    #[must_use]
    pub fn equal_aspect(mut self) -> Self {
        self.equal_aspect = true;
        self
    }

    /// With one series more.
    #[must_use]
    pub fn series(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// Without ticks: places along the axes are no quantities.
    #[must_use]
    pub fn without_ticks(mut self) -> Self {
        self.without_ticks = true;
        self
    }

    /// With names at 1, 2, 3 … along x.
    #[must_use]
    pub fn x_names(mut self, names: Vec<String>) -> Self {
        self.x.range = Some((0.5, names.len() as f64 + 0.5));
        self.x.names = names;
        self
    }

    /// With a vertical axis that shows the same range as the others of this number.
    #[must_use]
    pub fn y_group(mut self, group: usize) -> Self {
        self.y.group = Some(group);
        self
    }

    /// With a horizontal axis that shows the same range as the others of this number.
    #[must_use]
    pub fn x_group(mut self, group: usize) -> Self {
        self.x.group = Some(group);
        self
    }

    /// With a solid line.
    #[must_use]
    pub fn line(self, label: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        self.series(Series::new(label, Mark::Line, points))
    }

    /// With a dashed line.
    #[must_use]
    pub fn dashed(self, label: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        self.series(Series::new(label, Mark::Dashed, points))
    }

    /// With markers.
    #[must_use]
    pub fn points(self, label: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        self.series(Series::new(label, Mark::Points, points))
    }

    /// With stems.
    #[must_use]
    pub fn stems(self, label: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        self.series(Series::new(label, Mark::Stems, points))
    }

    /// Over this map.
    #[must_use]
    pub fn heat_map(mut self, map: HeatMap) -> Self {
        self.heat_map = Some(map);
        self
    }
}

impl Series {
    /// A series without band or error bars, in the colour of its place.
    #[must_use]
    pub fn new(label: impl Into<String>, mark: Mark, points: Vec<(f64, f64)>) -> Self {
        Self { label: label.into(), points, mark, band: None, error_bars: None, colour: None }
    }

    /// A closed circle as a solid line.
    #[must_use]
    pub fn circle(label: impl Into<String>, centre: (f64, f64), radius: f64) -> Self {
        let point = |k: u32| {
            let angle = f64::from(k % 180) * std::f64::consts::TAU / 180.0;
            (centre.0 + radius * angle.cos(), centre.1 + radius * angle.sin())
        };
        Self::new(label, Mark::Line, (0..=180).map(point).collect())
    }

    /// With a shaded band from `low` to `high`, one pair a point.
    #[must_use]
    pub fn band(mut self, band: Vec<(f64, f64)>) -> Self {
        self.band = Some(band);
        self
    }

    /// With error bars from `low` to `high`, one pair a point.
    #[must_use]
    pub fn error_bars(mut self, bars: Vec<(f64, f64)>) -> Self {
        self.error_bars = Some(bars);
        self
    }

    /// In this colour of the palette: 0 blue, 1 vermillion, 2 green, 3 purple, 4 orange, 5 sky blue, 6 black; then
    /// again from 0. The marker goes with the colour.
    #[must_use]
    pub fn colour(mut self, index: usize) -> Self {
        self.colour = Some(index);
        self
    }

    /// In black, for theory and references.
    #[must_use]
    pub fn in_black(self) -> Self {
        self.colour(style::BLACK)
    }

    /// In black, its markers of the shape that goes with colour `index`: black itself has crosses.
    #[must_use]
    pub fn in_black_shaped(self, index: usize) -> Self {
        self.colour(style::black_shaped(index))
    }
}

impl HeatMap {
    /// A map of `rows × columns` cells between the outer edges `x` and `y`; `label` goes to the colour bar.
    #[must_use]
    pub fn new(
        (rows, columns): (usize, usize),
        values: Vec<f64>,
        x: (f64, f64),
        y: (f64, f64),
        label: impl Into<String>,
    ) -> Self {
        Self { columns, rows, values, x, y, colour: Axis { label: label.into(), ..Axis::default() } }
    }

    /// With a logarithmic colour scale.
    #[must_use]
    pub fn log_colour(mut self) -> Self {
        self.colour.scale = Scale::Log;
        self
    }

    /// With colours from `low` to `high`; values beyond take the colour of the end.
    #[must_use]
    pub fn colour_range(mut self, low: f64, high: f64) -> Self {
        self.colour.range = Some((low, high));
        self
    }
}
