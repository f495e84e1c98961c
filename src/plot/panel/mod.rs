//! A panel: margins, axes, then what stands in the frame.

mod draw;

use std::borrow::Cow;

use plotters::style::text_anchor::HPos;

use crate::Result;
use crate::plot::axis::{MOST_TICKS, Span, Ticks, drawable};
use crate::plot::canvas::{Canvas, Point, Rect, Text};
use crate::plot::legend::{self, Entry, Legend};
use crate::plot::marks::{self, Plane};
use crate::plot::{Axis, HeatMap, Mark, Panel, Scale, heat, style};

const TICK_TEXT: Text = Text::new(style::TICK, HPos::Center);
const TICK_LENGTH: f64 = 4.0;
const MINOR_LENGTH: f64 = 2.2;
const THIN: f64 = 0.8;
/// Height of a line of tick labels, of an axis label, of the heading, and of a power of ten over the frame.
const TICK_LINE: f64 = 16.0;
const LABEL_LINE: f64 = 19.0;
const HEADING_LINE: f64 = 22.0;
const FACTOR_LINE: f64 = 16.0;
/// Least width and height of a frame.
const SMALLEST: f64 = 20.0;
const EDGE: f64 = 6.0;
const STRIP_GAP: f64 = 4.0;
const BAR_GAP: f64 = 10.0;
const BAR_WIDTH: f64 = 11.0;

/// Height of a line of a note, and of a row of an aside.
const NOTE_LINE: f64 = 17.0;
const ASIDE_ROW: f64 = 15.0;
const ASIDE_GAP: f64 = 3.0;
/// Slope of names that have no room side by side.
const SLANT: f64 = 40.0;
/// Most lines of a name under its place.
const NAME_LINES: usize = 3;
/// What a panel of the asked height has around its frame: one line for each thing.
const AROUND: f64 = EDGE + 3.0 + HEADING_LINE + TICK_LENGTH + TICK_LINE + LABEL_LINE + EDGE;

/// Room around the frame, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Margins {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    /// Room for the colour bar, within `right`.
    bar: f64,
}

/// How the names of categories stand under their places.
enum Names {
    /// In lines.
    Flat(Vec<Vec<String>>),
    /// Rising, each in one line.
    Slanted(Vec<String>),
}

/// What is known of a panel before it is drawn.
struct Plan {
    x: Span,
    y: Span,
    /// Whether its legend is listed here: an equal one before it serves for both.
    listed: bool,
    /// Height of a legend above the frame, 0 where it stands inside or there is none.
    strip: f64,
    title: Vec<String>,
    x_label: Vec<String>,
    y_label: Vec<String>,
    names: Option<Names>,
    margins: Margins,
}

/// Panels row by row, their frames equally high and aligned along rows and columns.
pub(super) struct Grid<'a> {
    panels: Cow<'a, [Panel]>,
    plans: Vec<Plan>,
    /// Of each panel what suits its row and column.
    aligned: Vec<Margins>,
    columns: usize,
    width: f64,
    frame_height: f64,
}

const TITLE_TEXT: Text = Text::new(style::TITLE, HPos::Center);
const LABEL_TEXT: Text = Text::new(style::LABEL, HPos::Center);
const NOTE_TEXT: Text = Text::new(style::LEGEND, HPos::Left);
const FIGURE_TITLE_TEXT: Text = Text::new(style::FIGURE_TITLE, HPos::Center).bold();

fn heading_lines(title: Option<&str>, width: f64) -> Result<Vec<String>> {
    FIGURE_TITLE_TEXT.wrapped(title.unwrap_or_default(), width - 2.0 * EDGE)
}

/// Height of the heading of a whole figure.
pub(super) fn heading_height(title: Option<&str>, width: f64) -> Result<f64> {
    let lines = heading_lines(title, width)?.len() as f64;
    Ok(if lines > 0.0 { lines * LABEL_LINE + 11.0 } else { 0.0 })
}

/// Draws the heading of a whole figure.
pub(super) fn heading(canvas: &mut Canvas, title: Option<&str>, width: f64) -> Result<()> {
    for (index, line) in heading_lines(title, width)?.iter().enumerate() {
        canvas.text(line, (width / 2.0, 17.0 + index as f64 * LABEL_LINE), FIGURE_TITLE_TEXT)?;
    }
    Ok(())
}

fn note_lines(note: Option<&str>, width: f64) -> Result<Vec<String>> {
    NOTE_TEXT.wrapped(note.unwrap_or_default(), width - 2.0 * EDGE)
}

/// Height of the note under a figure.
pub(super) fn note_height(note: Option<&str>, width: f64) -> Result<f64> {
    let lines = note_lines(note, width)?.len() as f64;
    Ok(if lines > 0.0 { lines * NOTE_LINE + 2.0 * EDGE } else { 0.0 })
}

/// Draws the note under a figure.
pub(super) fn note(canvas: &mut Canvas, note: Option<&str>, width: f64, top: f64) -> Result<()> {
    for (index, line) in note_lines(note, width)?.iter().enumerate() {
        canvas.text(line, (EDGE, top + EDGE + (index as f64 + 0.5) * NOTE_LINE), NOTE_TEXT)?;
    }
    Ok(())
}

impl<'a> Grid<'a> {
    /// Finds a place for everything in panels of about this size.
    pub fn new(panels: &'a [Panel], columns: usize, (width, height): (f64, f64)) -> Result<Self> {
        let panels = if panels.is_empty() { Cow::from(vec![Panel::default()]) } else { Cow::from(panels) };
        let frame_height = (height - AROUND).max(SMALLEST);
        let lettered = panels.len() > 1;
        let mut plans = Vec::new();
        let mut known: Vec<Vec<Entry>> = Vec::new();
        for (panel, (x, y)) in panels.iter().zip(grouped(&panels)) {
            let entries = legend::entries(panel);
            let listed = !entries.is_empty() && !known.contains(&entries);
            known.push(entries);
            let y_label = LABEL_TEXT.wrapped(&panel.y.label, frame_height + 20.0)?;
            let (title, x_label) = (Vec::new(), Vec::new());
            let margins = Margins::default();
            let mut plan = Plan { x, y, listed, strip: 0.0, title, x_label, y_label, names: None, margins };
            plan.margins = sides(panel, &plan, width, frame_height)?;
            plans.push(plan);
        }
        let mut grid = Self { aligned: Vec::new(), panels, plans, columns, width, frame_height };
        // What stands beside the frames decides how wide they are, and that what stands above and below.
        grid.aligned = (0..grid.plans.len()).map(|index| grid.align(index)).collect();
        for index in 0..grid.plans.len() {
            let frame = grid.frame(index, (0.0, 0.0));
            let (panel, plan) = (&grid.panels[index], &mut grid.plans[index]);
            above_and_below(panel, plan, frame, width, lettered)?;
        }
        grid.aligned = (0..grid.plans.len()).map(|index| grid.align(index)).collect();
        Ok(grid)
    }

    /// Margins of panel `index` that suit its row and column.
    fn align(&self, index: usize) -> Margins {
        let (plans, columns) = (&self.plans, self.columns);
        let most = |of: fn(&Margins) -> f64, same: fn(usize, usize) -> usize| {
            let beside = plans.iter().enumerate().filter(|(i, _)| same(*i, columns) == same(index, columns));
            beside.fold(0.0_f64, |most, (_, plan)| most.max(of(&plan.margins)))
        };
        let column = |i: usize, columns: usize| i % columns;
        let row = |i: usize, columns: usize| i / columns;
        let bar = plans[index].margins.bar;
        Margins {
            left: most(|m| m.left, column),
            right: most(|m| m.right - m.bar, column) + bar,
            top: most(|m| m.top, row),
            bottom: most(|m| m.bottom, row),
            bar,
        }
    }

    /// The frame of panel `index` whose cell begins at `corner`; never inverted, however much stands around it.
    fn frame(&self, index: usize, corner: Point) -> Rect {
        let margins = &self.aligned[index];
        let (left, top) = (corner.0 + margins.left, corner.1 + margins.top);
        let right = (corner.0 + self.width - margins.right).max(left + SMALLEST);
        Rect { left, top, right, bottom: top + self.frame_height }
    }

    /// The height of the row that panel `index` stands in.
    fn row_height(&self, index: usize) -> f64 {
        self.aligned[index].top + self.frame_height + self.aligned[index].bottom
    }

    /// The height of all rows.
    pub fn height(&self) -> f64 {
        (0..self.plans.len()).step_by(self.columns).map(|index| self.row_height(index)).sum()
    }

    /// Draws the panels from `top` on.
    pub fn draw(&self, canvas: &mut Canvas, mut top: f64) -> Result<()> {
        for (index, (panel, plan)) in self.panels.iter().zip(&self.plans).enumerate() {
            let left = (index % self.columns) as f64 * self.width;
            let bottom = top + self.row_height(index);
            let cell = Rect { left, top, right: left + self.width, bottom };
            draw::draw(canvas, panel, plan, cell, self.frame(index, (left, top)))?;
            if self.panels.len() > 1 {
                let how = Text::new(style::LETTER, HPos::Left).bold();
                canvas.text(&letter(index), (cell.left + EDGE, cell.top + 12.0), how)?;
            }
            if index % self.columns == self.columns - 1 {
                top = bottom;
            }
        }
        Ok(())
    }
}

/// What one axis of a panel has to show.
struct Extent<'a> {
    axis: &'a Axis,
    asked: Option<(f64, f64)>,
    values: Vec<f64>,
    /// Room beyond the values, as a fraction of their range.
    margin: f64,
}

impl Extent<'_> {
    /// The span of this axis and of all others of its group. Where no range was asked for, the room beyond is that of all their values.
    fn shared(&self, all: &[Self]) -> Span {
        let scale = self.axis.scale;
        let grouped = |other: &&Self| other.axis.group == self.axis.group && other.axis.scale == scale;
        let group: Vec<&Self> = match self.axis.group {
            Some(_) => all.iter().filter(grouped).collect(),
            None => vec![self],
        };
        let margin = group.iter().map(|axis| axis.margin).fold(0.0, f64::max);
        let (asked, free): (Vec<&Self>, Vec<_>) = group.into_iter().partition(|axis| axis.asked.is_some());
        let choose = |asked: Option<(f64, f64)>, values: &mut dyn Iterator<Item = f64>| {
            Span::choose(scale, asked, values, margin)
        };
        let asked = asked.iter().map(|axis| choose(axis.asked, &mut axis.values.iter().copied()));
        let mut free = free.iter().flat_map(|axis| axis.values.iter().copied()).peekable();
        let spans = asked.chain(free.peek().is_some().then(|| choose(None, &mut free)));
        let joined = spans.reduce(|a, b| Span { low: a.low.min(b.low), high: a.high.max(b.high), ..a });
        joined.unwrap_or_else(|| choose(None, &mut std::iter::empty()))
    }
}

/// The ranges of all panels; those of a group are alike.
fn grouped(panels: &[Panel]) -> Vec<(Span, Span)> {
    let (x, y): (Vec<Extent<'_>>, Vec<_>) = panels.iter().map(extents).unzip();
    let shared = |(panel, (own_x, own_y)): (&Panel, (&Extent<'_>, &Extent<'_>))| {
        let mut across = own_x.shared(&x);
        // Epochs and harmonics are counted: no ticks between them.
        let counted = has_map(panel).is_none() && !panel.equal_aspect;
        across.whole = counted && points(panel).all(|p| p.0.fract() == 0.0);
        (across, own_y.shared(&y))
    };
    panels.iter().zip(x.iter().zip(&y)).map(shared).collect()
}

/// Whether the legend hides nothing inside this frame. A heat map fills its frame.
fn fits_inside(panel: &Panel, plan: &Plan, frame: Rect) -> Result<bool> {
    let plane = plane(panel, plan.x, plan.y, frame);
    Ok(has_map(panel).is_none()
        && Legend::inside(panel, plane.frame, &marks::occupied(panel, &plane))?.is_some())
}

/// a … z, then aa, ab …
fn letter(index: usize) -> String {
    let last = char::from(b'a' + (index % 26) as u8);
    if index < 26 { last.to_string() } else { format!("{}{last}", letter(index / 26 - 1)) }
}

fn has_map(panel: &Panel) -> Option<&HeatMap> {
    panel.heat_map.as_ref().filter(|m| m.rows > 0 && m.columns > 0)
}

/// The points of all series that can be drawn, those below or above a range asked for apart.
fn points(panel: &Panel) -> impl Iterator<Item = (f64, f64)> {
    let (low, high) = panel.y.range.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
    let shown = move |p: &(f64, f64)| {
        drawable(panel.x.scale, p.0) && drawable(panel.y.scale, p.1) && (low..=high).contains(&p.1)
    };
    panel.series.iter().flat_map(|s| s.points.iter().copied()).filter(shown)
}

fn extents(panel: &Panel) -> (Extent<'_>, Extent<'_>) {
    let intervals = panel.series.iter().flat_map(|s| s.band.iter().chain(&s.error_bars).flatten());
    let ground = panel.series.iter().any(|s| s.mark == Mark::Stems).then_some(0.0);
    let y_values = points(panel).map(|p| p.1).chain(intervals.flat_map(|i| [i.0, i.1])).chain(ground);
    let (x_margin, y_margin) = if panel.equal_aspect { (0.05, 0.05) } else { (0.025, 0.05) };
    let map = has_map(panel);
    let aside =
        panel.aside.iter().flat_map(|aside| &aside.rows).flat_map(|row| &row.items).map(|item| item.0);
    let x_values = points(panel).map(|p| p.0).chain(aside);
    let (x_asked, y_asked) = (panel.x.range.or(map.map(|m| m.x)), panel.y.range.or(map.map(|m| m.y)));
    (
        Extent { axis: &panel.x, asked: x_asked, values: x_values.collect(), margin: x_margin },
        Extent { axis: &panel.y, asked: y_asked, values: y_values.collect(), margin: y_margin },
    )
}

fn y_ticks(span: &Span, height: f64) -> Ticks {
    span.ticks(((height / 26.0) as usize).clamp(5, MOST_TICKS))
}

fn panel_y_ticks(panel: &Panel, plane: &Plane) -> Ticks {
    if panel.without_ticks { Ticks::default() } else { y_ticks(&plane.y, plane.frame.height()) }
}

/// As many ticks as leave room between their labels.
fn x_ticks(panel: &Panel, span: &Span, width: f64) -> Result<Ticks> {
    let axis = &panel.x;
    if panel.without_ticks {
        return Ok(Ticks::default());
    }
    if !axis.names.is_empty() {
        let major = (1..=axis.names.len()).map(|place| place as f64).collect();
        return Ok(Ticks { major, labels: axis.names.clone(), ..Ticks::default() });
    }
    let mut best = span.ticks(MOST_TICKS);
    for most in (2..=MOST_TICKS).rev() {
        let ticks = span.ticks(most);
        if ticks.major.len() < 2 {
            break;
        }
        best = ticks;
        if widest(&best)? + 12.0 < width / best.major.len() as f64 {
            break;
        }
    }
    Ok(best)
}

fn widest(ticks: &Ticks) -> Result<f64> {
    ticks.labels.iter().try_fold(0.0_f64, |most, label| Ok(most.max(TICK_TEXT.width(label)?)))
}

/// One unit equally long on both axes: an axis whose range is free shows more, otherwise the frame shrinks.
fn plane(panel: &Panel, x: Span, y: Span, frame: Rect) -> Plane {
    let mut plane = Plane { x, y, frame };
    if !panel.equal_aspect || x.scale == Scale::Log || y.scale == Scale::Log {
        return plane;
    }
    let (per_x, per_y) = (frame.width() / (x.high - x.low), frame.height() / (y.high - y.low));
    let unit = per_x.min(per_y);
    let widen = |span: Span, pixels: f64| {
        let (middle, half) = (f64::midpoint(span.low, span.high), pixels / unit / 2.0);
        Span { low: middle - half, high: middle + half, ..span }
    };
    let map = has_map(panel).is_some();
    if per_x > unit {
        if panel.x.range.is_none() && !map {
            plane.x = widen(x, frame.width());
        } else {
            let spare = frame.width() - unit * (x.high - x.low);
            plane.frame.left += spare / 2.0;
            plane.frame.right -= spare / 2.0;
        }
    } else if per_y > unit {
        if panel.y.range.is_none() && !map {
            plane.y = widen(y, frame.height());
        } else {
            let spare = frame.height() - unit * (y.high - y.low);
            plane.frame.top += spare / 2.0;
            plane.frame.bottom -= spare / 2.0;
        }
    }
    plane
}

/// What stands left and right of the frame.
fn sides(panel: &Panel, plan: &Plan, width: f64, frame_height: f64) -> Result<Margins> {
    let mut margins = Margins::default();
    if let Some(map) = has_map(panel) {
        let ticks = y_ticks(&heat::colours(map), frame_height);
        let lines = LABEL_TEXT.wrapped(&map.colour.label, frame_height + 20.0)?.len() as f64;
        margins.bar = BAR_GAP + BAR_WIDTH + TICK_LENGTH + 3.0 + widest(&ticks)? + lines * LABEL_LINE + 3.0;
    }
    // The second pass knows the frame that an equal aspect is to be brought about in.
    for _ in 0..2 {
        let right = (width - margins.right).max(margins.left + SMALLEST);
        let frame = Rect { left: margins.left, top: 0.0, right, bottom: frame_height };
        let plane = plane(panel, plan.x, plan.y, frame);
        let ticks = panel_y_ticks(panel, &plane);
        let aside = panel.aside.as_ref().map_or(Ok(0.0), |aside| TICK_TEXT.width(&aside.label))?;
        let labels = LABEL_LINE * plan.y_label.len().max(1) as f64;
        margins.left = (EDGE + labels + 4.0 + widest(&ticks)?).max(EDGE + aside) + 3.0 + TICK_LENGTH;
        let labels = x_ticks(panel, &plane.x, plane.frame.width())?;
        let overhang = match (labels.labels.last(), labels.major.last()) {
            (Some(label), Some(at)) if panel.x.names.is_empty() => {
                let from_end = (1.0 - plane.x.fraction(*at)) * plane.frame.width();
                TICK_TEXT.width(label)? / 2.0 - from_end
            }
            _ => 0.0,
        };
        margins.right = margins.bar + EDGE + overhang.max(3.0);
    }
    Ok(margins)
}

/// Breaks into lines what stands above and below the frame, and makes room for it.
fn above_and_below(panel: &Panel, plan: &mut Plan, frame: Rect, width: f64, lettered: bool) -> Result<()> {
    plan.title = TITLE_TEXT.wrapped(panel.title.as_deref().unwrap_or_default(), frame.width())?;
    plan.x_label = LABEL_TEXT.wrapped(&panel.x.label, width - 2.0 * EDGE)?;
    plan.names = names(&panel.x.names, frame.width())?;
    if plan.listed && !fits_inside(panel, plan, frame)? {
        let strip = Legend::new(panel, width - frame.left - EDGE)?;
        plan.strip = strip.map_or(0.0, |s| s.height()) + STRIP_GAP;
    }
    let heading = match plan.title.len() {
        0 if lettered => HEADING_LINE,
        0 => 0.0,
        lines => HEADING_LINE + (lines - 1) as f64 * LABEL_LINE,
    };
    // A power of ten stands above the frame; a letter alone leaves room beside it.
    let plane = plane(panel, plan.x, plan.y, frame);
    let bar = has_map(panel).map(|map| y_ticks(&heat::colours(map), frame.height()));
    let raised =
        panel_y_ticks(panel, &plane).factor.is_some() || bar.is_some_and(|ticks| ticks.factor.is_some());
    let letter_only = lettered && plan.title.is_empty() && plan.strip == 0.0;
    let factor = if raised && !letter_only { FACTOR_LINE } else { 0.0 };
    plan.margins.top = EDGE + 3.0 + heading + plan.strip + factor;
    let names = plan.names.as_ref().map_or(Ok(TICK_LINE), Names::height)?;
    let labels = LABEL_LINE * plan.x_label.len().max(1) as f64;
    plan.margins.bottom = aside_height(panel) + TICK_LENGTH + names + labels + EDGE;
    Ok(())
}

/// The height of the band under the frame with the gap above it.
fn aside_height(panel: &Panel) -> f64 {
    let rows = panel.aside.as_ref().map_or(0, |aside| aside.rows.len());
    if rows == 0 { 0.0 } else { ASIDE_GAP + ASIDE_ROW * rows as f64 }
}

fn names(names: &[String], width: f64) -> Result<Option<Names>> {
    if names.is_empty() {
        return Ok(None);
    }
    let room = width / names.len() as f64 - 6.0;
    let lines: Vec<Vec<String>> =
        names.iter().map(|name| TICK_TEXT.wrapped(name, room)).collect::<Result<_>>()?;
    let mut fits = lines.iter().all(|lines| lines.len() <= NAME_LINES);
    for line in lines.iter().flatten() {
        fits &= TICK_TEXT.width(line)? <= room;
    }
    Ok(Some(if fits { Names::Flat(lines) } else { Names::Slanted(names.to_vec()) }))
}

impl Names {
    fn height(&self) -> Result<f64> {
        match self {
            Self::Flat(names) => Ok(TICK_LINE * names.iter().map(Vec::len).max().unwrap_or(1) as f64),
            Self::Slanted(names) => {
                let width = names.iter().map(|name| TICK_TEXT.width(name));
                let widest = width.into_iter().try_fold(0.0_f64, |most, width| Ok(most.max(width?)));
                Ok(widest? * SLANT.to_radians().sin() + TICK_LINE)
            }
        }
    }

    fn draw(&self, canvas: &mut Canvas, index: usize, (x, y): Point) -> Result<()> {
        match self {
            Self::Flat(names) => {
                let lines = names.get(index).into_iter().flatten().enumerate();
                let mut place =
                    lines.map(|(line, text)| (text, (x, y + (line as f64 + 0.5) * TICK_LINE + 1.0)));
                place.try_for_each(|(text, at)| canvas.text(text, at, TICK_TEXT))
            }
            Self::Slanted(names) => {
                let how = Text::new(style::TICK, HPos::Right);
                let name = names.get(index).map_or("", String::as_str);
                canvas.slanted_text(name, (x + 4.0, y + TICK_LINE / 2.0), SLANT, how)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panels_of_a_group_show_stands_clear_of_the_frame() {
        let panel = |group, [first, last]: [f64; 2]| {
            let panel = Panel::new("x", "y").points("", vec![(1.0, first), (2.0, last)]);
            if group { panel.y_group(0) } else { panel }
        };
        let spans = |group| {
            let panels = [[37.5, 37.75], [35.0, 35.4]].map(|values| panel(group, values));
            grouped(&panels).into_iter().map(|(_, y)| (y.low, y.high)).collect::<Vec<_>>()
        };
        let close = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).abs() + (a.1 - b.1).abs() < 1e-9;
        let (alone, together) = (spans(false), spans(true));
        assert!(close(alone[0], (37.4875, 37.7625)) && close(alone[1], (34.98, 35.42)), "{alone:?}");
        assert!(together.iter().all(|span| close(*span, (34.8625, 37.8875))), "{together:?}");
        // A range that is asked for has no room added, and others join it.
        let panels = [panel(true, [37.5, 37.75]).y_range(0.0, 50.0), panel(true, [35.0, 35.4])];
        assert!(grouped(&panels).iter().all(|(_, y)| (y.low, y.high) == (0.0, 50.0)));
    }
}
