//! Series as lines, markers, stems, bands and error bars.

use plotters::style::RGBColor;

use super::axis::{Span, drawable};
use super::canvas::{Canvas, Point, Rect};
use super::{AsideRow, Mark, Panel, Scale, Series, style};
use crate::Result;

/// Markers along a line that is told from others by them.
const MARKERS_A_LINE: usize = 5;
const LINE_WIDTH: f64 = 1.6;
const RADIUS: f64 = 3.0;
/// Shapes of markers, and the first of those that consist of thin bars.
const SHAPES: usize = 7;
const THIN: usize = 5;
/// From this many points on markers are smaller.
const CROWD: usize = 200;
/// Single runs behind their mean.
const DOT: f64 = 1.8;
const DOT_OPACITY: f64 = 0.45;

/// How values become pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plane {
    pub x: Span,
    pub y: Span,
    pub frame: Rect,
}

impl Plane {
    pub fn x_pixel(&self, x: f64) -> f64 {
        self.frame.left + self.x.fraction(x) * self.frame.width()
    }

    pub fn y_pixel(&self, y: f64) -> f64 {
        self.frame.bottom - self.y.fraction(y) * self.frame.height()
    }

    /// Where a point stands; nothing if it cannot be drawn.
    fn point(&self, (x, y): (f64, f64)) -> Option<Point> {
        let shown = drawable(self.x.scale, x) && drawable(self.y.scale, y);
        shown.then(|| (self.x_pixel(x), self.y_pixel(y)))
    }

    /// Top and bottom of a vertical interval; on a logarithmic axis one that reaches zero goes to the lower end.
    fn interval(&self, x: f64, (low, high): (f64, f64)) -> Option<(Point, Point)> {
        if !drawable(self.x.scale, x) || low.is_nan() || high.is_nan() {
            return None;
        }
        let end = |v| self.y_pixel(if drawable(self.y.scale, v) { v } else { self.y.clamp(v) });
        let x = self.x_pixel(x);
        Some(((x, end(high)), (x, end(low))))
    }

    /// Where stems begin.
    fn ground(&self) -> f64 {
        match self.y.scale {
            Scale::Linear => self.y_pixel(self.y.clamp(0.0)),
            Scale::Log => self.frame.bottom,
        }
    }
}

/// Colour, dashes and marker of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    colour: RGBColor,
    shape: usize,
    radius: f64,
    mark: Mark,
    /// A few markers along a solid line.
    marked: bool,
    /// A white edge, against a coloured ground.
    edged: bool,
    /// Error bars.
    barred: bool,
}

/// The look of series `index` of a panel.
pub(super) fn look(panel: &Panel, index: usize) -> Look {
    let series = &panel.series[index];
    let lines = panel.series.iter().filter(|s| s.mark == Mark::Line && !s.label.is_empty()).count();
    let shape = series.colour.unwrap_or(index);
    let crowded = series.points.len() >= CROWD && series.mark != Mark::Line;
    Look {
        colour: style::palette(shape),
        // The second time round the colours come with other shapes.
        shape: shape + shape / style::COLOURS,
        radius: if crowded { 0.6 * RADIUS } else { RADIUS },
        mark: series.mark,
        // Markers along a line could be taken for points of others.
        marked: lines > 1
            && series.mark == Mark::Line
            && !series.label.is_empty()
            && panel.series.iter().all(|s| s.mark != Mark::Open),
        edged: panel.heat_map.is_some(),
        barred: series.error_bars.is_some(),
    }
}

/// Draws the marker of a row of an [`Aside`](super::Aside).
pub(super) fn draw_aside(canvas: &mut Canvas, row: &AsideRow, at: Point) -> Result<()> {
    let (index, radius) = (row.colour, RADIUS);
    let (colour, shape) = (style::palette(index), index + index / style::COLOURS);
    let look = Look { colour, shape, radius, mark: row.mark, marked: false, edged: false, barred: false };
    look.marker(canvas, at)
}

impl Look {
    fn line(&self, canvas: &mut Canvas, path: &[Point]) -> Result<()> {
        let dashes: &[f64] = match self.mark {
            Mark::Dashed => &[6.0, 3.5],
            Mark::Dotted => &[1.6, 2.8],
            _ => &[],
        };
        if self.edged {
            canvas.line(path, style::WHITE, LINE_WIDTH + 2.0, &[])?;
        }
        canvas.line(path, self.colour, LINE_WIDTH, dashes)
    }

    fn marker(&self, canvas: &mut Canvas, at: Point) -> Result<()> {
        if self.mark == Mark::Dots {
            return canvas.disc(at, DOT, self.colour, DOT_OPACITY);
        }
        if self.edged {
            shape(canvas, self.shape, at, self.radius + 1.0, style::WHITE)?;
        }
        if self.mark == Mark::Open {
            // The arms of crosses are thin: a hollow one is larger.
            let (outer, inner) = if self.shape % SHAPES < THIN { (0.8, -0.6) } else { (1.6, -0.2) };
            shape(canvas, self.shape, at, self.radius + outer, self.colour)?;
            return shape(canvas, self.shape, at, self.radius + inner, style::WHITE);
        }
        shape(canvas, self.shape, at, self.radius, self.colour)
    }

    /// Whether it has a line or stems.
    pub fn has_line(&self) -> bool {
        !matches!(self.mark, Mark::Points | Mark::Open | Mark::Dots)
    }

    /// A sample for the legend, `width` pixels from `left`: what is drawn in the frame.
    pub fn sample(&self, canvas: &mut Canvas, (left, y): Point, width: f64) -> Result<()> {
        // Samples stand on white, whatever the series stands on.
        let plain = Self { edged: false, ..*self };
        let centre = (left + width / 2.0, y);
        if plain.barred {
            canvas.line(&[(centre.0, y - 6.0), (centre.0, y + 6.0)], self.colour, 1.0, &[])?;
        }
        match self.mark {
            Mark::Stems => canvas.line(&[(centre.0, y + 5.0), centre], self.colour, LINE_WIDTH, &[])?,
            _ if plain.has_line() => plain.line(canvas, &[(left, y), (left + width, y)])?,
            _ => {}
        }
        if plain.marked || !plain.has_line() || matches!(self.mark, Mark::LinePoints | Mark::Stems) {
            plain.marker(canvas, centre)?;
        }
        Ok(())
    }
}

/// One of [`SHAPES`] filled shapes of about the same weight, the thin ones last.
fn shape(canvas: &mut Canvas, index: usize, (x, y): Point, radius: f64, colour: RGBColor) -> Result<()> {
    let polygon = |corners: &[(f64, f64)]| -> Vec<Point> {
        corners.iter().map(|(dx, dy)| (x + dx * radius, y + dy * radius)).collect()
    };
    let corners = match index % SHAPES {
        0 => return canvas.disc((x, y), radius, colour, 1.0),
        1 => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
        2 => polygon(&[(0.0, -1.25), (1.15, 0.85), (-1.15, 0.85)]),
        3 => polygon(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
        4 => polygon(&[(0.0, 1.25), (1.15, -0.85), (-1.15, -0.85)]),
        5 => polygon(&[
            (-0.4, -1.2),
            (0.4, -1.2),
            (0.4, -0.4),
            (1.2, -0.4),
            (1.2, 0.4),
            (0.4, 0.4),
            (0.4, 1.2),
            (-0.4, 1.2),
            (-0.4, 0.4),
            (-1.2, 0.4),
            (-1.2, -0.4),
            (-0.4, -0.4),
        ]),
        _ => polygon(&[
            (0.0, -0.5),
            (0.65, -1.15),
            (1.15, -0.65),
            (0.5, 0.0),
            (1.15, 0.65),
            (0.65, 1.15),
            (0.0, 0.5),
            (-0.65, 1.15),
            (-1.15, 0.65),
            (-0.5, 0.0),
            (-1.15, -0.65),
            (-0.65, -1.15),
        ]),
    };
    canvas.polygon(&corners, colour, 1.0)
}

/// The stretches between points that cannot be drawn.
fn runs<T>(items: impl Iterator<Item = Option<T>>) -> Vec<Vec<T>> {
    let mut runs = vec![Vec::new()];
    for item in items {
        match (item, runs.last_mut()) {
            (Some(item), Some(run)) => run.push(item),
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// Leaves out points that nobody could tell from their predecessor: long traces need not make large files.
fn thinned(run: &[Point]) -> Vec<Point> {
    let mut kept: Vec<Point> = Vec::new();
    for (index, point) in run.iter().enumerate() {
        let far = kept.last().is_none_or(|last| (last.0 - point.0).hypot(last.1 - point.1) > 0.15);
        if far || index + 1 == run.len() {
            kept.push(*point);
        }
    }
    kept
}

/// Draws series `index` of a panel.
pub(super) fn draw(canvas: &mut Canvas, panel: &Panel, index: usize, plane: &Plane) -> Result<()> {
    let series = &panel.series[index];
    let look = look(panel, index);
    let runs = runs(series.points.iter().map(|p| plane.point(*p)));
    canvas.clipped(plane.frame, |canvas| {
        draw_band(canvas, series, &look, plane)?;
        draw_error_bars(canvas, series, &look, plane)?;
        for run in &runs {
            match series.mark {
                Mark::Points | Mark::Open | Mark::Dots => {}
                Mark::Stems => {
                    for (x, y) in run {
                        canvas.line(&[(*x, plane.ground()), (*x, *y)], look.colour, LINE_WIDTH, &[])?;
                    }
                }
                // A line needs two points; one alone would vanish.
                _ if run.len() == 1 => look.marker(canvas, run[0])?,
                _ => look.line(canvas, &thinned(run))?,
            }
        }
        Ok(())
    })?;
    // Markers on the frame are drawn whole, those outside not at all.
    let visible = plane.frame.grown(0.5);
    let marked: Vec<Point> = match series.mark {
        Mark::Points | Mark::Open | Mark::Dots | Mark::LinePoints | Mark::Stems => runs.concat(),
        Mark::Line if look.marked => spread(&runs, index),
        _ => Vec::new(),
    };
    marked.into_iter().filter(|p| visible.contains(*p)).try_for_each(|p| look.marker(canvas, p))
}

/// A few points at equal distances along the line, in a different place for each series.
fn spread(runs: &[Vec<Point>], index: usize) -> Vec<Point> {
    let steps = |run: &Vec<Point>| -> Vec<(f64, Point)> {
        let step = |w: &[Point]| ((w[1].0 - w[0].0).hypot(w[1].1 - w[0].1), w[1]);
        run.windows(2).map(step).collect()
    };
    let steps: Vec<(f64, Point)> = runs.iter().flat_map(steps).collect();
    let total: f64 = steps.iter().map(|s| s.0).sum();
    let mut travelled = 0.0;
    let mut chosen = Vec::new();
    for (length, point) in steps {
        travelled += length;
        let phase = (0.25 + 0.4 * index as f64).fract();
        let due = (chosen.len() as f64 + phase) * total / MARKERS_A_LINE as f64;
        if travelled >= due && chosen.len() < MARKERS_A_LINE {
            chosen.push(point);
        }
    }
    chosen
}

fn intervals<'a>(
    series: &'a Series,
    given: Option<&'a Vec<(f64, f64)>>,
    plane: &'a Plane,
) -> impl Iterator<Item = Option<(Point, Point)>> + 'a {
    let given = given.map_or(&[][..], Vec::as_slice);
    series.points.iter().zip(given).map(|((x, _), interval)| plane.interval(*x, *interval))
}

fn draw_band(canvas: &mut Canvas, series: &Series, look: &Look, plane: &Plane) -> Result<()> {
    for run in runs(intervals(series, series.band.as_ref(), plane)) {
        let upper: Vec<Point> = run.iter().map(|i| i.0).collect();
        let lower: Vec<Point> = run.iter().rev().map(|i| i.1).collect();
        canvas.polygon(&[thinned(&upper), thinned(&lower)].concat(), look.colour, 0.2)?;
    }
    Ok(())
}

fn draw_error_bars(canvas: &mut Canvas, series: &Series, look: &Look, plane: &Plane) -> Result<()> {
    for (high, low) in intervals(series, series.error_bars.as_ref(), plane).flatten() {
        canvas.line(&[high, low], look.colour, 1.0, &[])?;
        for (x, y) in [high, low] {
            canvas.line(&[(x - 3.0, y), (x + 3.0, y)], look.colour, 1.0, &[])?;
        }
    }
    Ok(())
}

/// Pixels that a legend had better not cover.
pub(super) fn occupied(panel: &Panel, plane: &Plane) -> Vec<Point> {
    let mut pixels = Vec::new();
    for series in &panel.series {
        let points = || series.points.iter().map(|p| plane.point(*p));
        for run in runs(points()) {
            pixels.extend_from_slice(&run);
            match series.mark {
                Mark::Points | Mark::Open | Mark::Dots => {}
                Mark::Stems => run.iter().for_each(|p| between(&mut pixels, (p.0, plane.ground()), *p)),
                _ => run.windows(2).for_each(|w| between(&mut pixels, w[0], w[1])),
            }
        }
        for given in [&series.band, &series.error_bars] {
            intervals(series, given.as_ref(), plane).flatten().for_each(|(a, b)| between(&mut pixels, a, b));
        }
    }
    pixels.retain(|p| plane.frame.contains(*p));
    pixels
}

/// Points every few pixels from `a` to `b`.
fn between(pixels: &mut Vec<Point>, a: Point, b: Point) {
    // The bound is for segments that leave the page by far.
    let count = ((b.0 - a.0).hypot(b.1 - a.1) / 4.0).min(2000.0) as u32;
    let at = |i: u32| {
        let t = f64::from(i) / f64::from(count + 1);
        (a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1))
    };
    pixels.extend((1..=count).map(at));
}
