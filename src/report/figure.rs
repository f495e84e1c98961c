//! What a figure says, apart from how it is drawn.

use std::path::{Path, PathBuf};

use super::{canvas::Canvas, panel, png, style};
use crate::{Error, Result, files};

/// A grid of panels, filled row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Heading over the whole figure.
    pub title: Option<String>,
    /// Panels, from the top left; with more than one they are lettered a, b, c…
    pub panels: Vec<Panel>,
    /// Panels in a row.
    pub columns: usize,
    /// Width and height of one panel with its labels, in SVG pixels (default 420 × 300).
    pub panel_size: (u32, u32),
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
}

/// One curve or cloud of points.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name in the legend; a series with an empty label is not listed.
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
        Self { title: None, panels: Vec::new(), columns: 2, panel_size: (420, 300) }
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

    /// With panels of this width and height, in SVG pixels.
    #[must_use]
    pub fn panel_size(mut self, width: u32, height: u32) -> Self {
        self.panel_size = (width, height);
        self
    }

    /// Width and height of the whole figure in SVG pixels; the PNG has twice as many.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        let (columns, rows) = self.grid();
        let title = if self.title.is_some() { style::FIGURE_TITLE_HEIGHT } else { 0 };
        (
            self.panel_size.0.saturating_mul(columns.try_into().unwrap_or(u32::MAX)),
            self.panel_size.1.saturating_mul(rows.try_into().unwrap_or(u32::MAX)).saturating_add(title),
        )
    }

    /// Columns that are used, and rows.
    fn grid(&self) -> (usize, usize) {
        let columns = self.columns.min(self.panels.len()).max(1);
        (columns, self.panels.len().div_ceil(columns).max(1))
    }

    /// The figure as an SVG document.
    ///
    /// # Errors
    /// [`Error::Internal`] when a panel is smaller than 160 × 120 pixels or the figure larger than 16 000 pixels a side,
    /// when a heat map does not hold rows × columns values, or when the drawing library refuses.
    pub fn svg(&self) -> Result<String> {
        let size = self.size();
        if self.panel_size.0 < 160 || self.panel_size.1 < 120 || size.0 > 16_000 || size.1 > 16_000 {
            let (width, height) = self.panel_size;
            return Err(Error::Internal(format!(
                "a figure of {} panels of {width} × {height} pixels cannot be drawn",
                self.panels.len()
            )));
        }
        let (columns, _) = self.grid();
        let mut canvas = Canvas::new(size)?;
        let mut top = 0.0;
        if let Some(title) = &self.title {
            top = f64::from(style::FIGURE_TITLE_HEIGHT);
            panel::heading(&mut canvas, title, f64::from(size.0))?;
        }
        panel::draw_grid(&mut canvas, &self.panels, columns, self.panel_size, top)?;
        Ok(canvas.finish())
    }

    /// Writes `folder/name.svg` and `folder/name.png` (twice the size in pixels), making the folder if need be; each
    /// file appears complete or not at all.
    ///
    /// # Errors
    /// As [`Figure::svg`]; [`Error::Io`] when the folder or a file cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> Result<[PathBuf; 2]> {
        let svg = self.svg()?;
        let bitmap = png::render(&svg)?;
        let paths = [folder.join(format!("{name}.svg")), folder.join(format!("{name}.png"))];
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", e))?;
        files::write_atomically(&paths[0], svg.as_bytes())?;
        files::write_atomically(&paths[1], &bitmap)?;
        Ok(paths)
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

    /// A height a little below all points, for marks that have no place to scale; none without points.
    #[must_use]
    pub fn foot(&self) -> Option<f64> {
        let heights = self.series.iter().flat_map(|s| &s.points).map(|p| p.1).filter(|y| y.is_finite());
        let (low, high) = heights.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), y| (l.min(y), h.max(y)));
        low.is_finite().then_some(low - 0.08 * (high - low))
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

    /// In the colour `index`, its markers crosses: for what is missing from the curve of that colour.
    #[must_use]
    pub fn crossed(self, index: usize) -> Self {
        let colour = index % style::COLOURS;
        // Each time round the palette the colours come with the next shape; that of black is a cross.
        self.colour(colour + style::COLOURS * (style::BLACK - colour))
    }

    /// In black, its markers pointing down: for what lies below the frame.
    #[must_use]
    pub fn in_black_pointing_down(self) -> Self {
        self.colour(style::BLACK + 5 * style::COLOURS)
    }

    /// In black, its markers round: for what stands for markers of several colours and shapes, as in a legend.
    #[must_use]
    pub fn in_round_black(self) -> Self {
        self.colour(style::BLACK + style::COLOURS)
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
