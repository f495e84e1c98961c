//! A panel: margins, axes, then what stands in the frame.

use plotters::style::text_anchor::HPos;

use super::axis::{MOST_TICKS, Span, Ticks, drawable, power_of_ten};
use super::canvas::{Canvas, Point, Rect, Text};
use super::legend::Legend;
use super::marks::{self, Plane};
use super::{Axis, HeatMap, Mark, Panel, Scale, heat, style};
use crate::Result;

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

/// Room around the frame, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Margins {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    /// Room for the colour bar, within `right`.
    bar: f64,
}

/// What is known of a panel before it is drawn.
struct Plan {
    x: Span,
    y: Span,
    /// Height of a legend above the frame, 0 where it stands inside or there is none.
    strip: f64,
    margins: Margins,
}

/// The heading of a whole figure.
pub(super) fn heading(canvas: &mut Canvas, title: &str, width: f64) -> Result<()> {
    let how = Text::new(style::FIGURE_TITLE, HPos::Center).bold().fitted(title, width - 2.0 * EDGE)?;
    canvas.text(title, (width / 2.0, f64::from(style::FIGURE_TITLE_HEIGHT) / 2.0 + 2.0), how)
}

/// Draws panels row by row from `top` on; frames are aligned along rows and columns.
pub(super) fn draw_grid(
    canvas: &mut Canvas,
    panels: &[Panel],
    columns: usize,
    (width, height): (u32, u32),
    top: f64,
) -> Result<()> {
    let nothing = [Panel::default()];
    let panels = if panels.is_empty() { &nothing } else { panels };
    let (width, height) = (f64::from(width), f64::from(height));
    let lettered = panels.len() > 1;
    let size = Rect { left: 0.0, top: 0.0, right: width, bottom: height };
    let mut plans: Vec<Plan> = panels.iter().map(|p| plan(p, size, lettered)).collect::<Result<_>>()?;
    // A legend that finds no free place in its frame goes above it, which makes the frames of the row smaller, so that
    // another legend may lose its place: until nothing changes.
    let aligned = loop {
        let aligned: Vec<Margins> = (0..plans.len()).map(|i| align(&plans, i, columns)).collect();
        let mut settled = true;
        for ((panel, plan), margins) in panels.iter().zip(&mut plans).zip(&aligned) {
            if plan.strip == 0.0 && !fits_inside(panel, plan, inner(size, margins))? {
                settled = false;
                let strip = Legend::new(panel, inner(size, margins).width())?;
                plan.strip = strip.map_or(0.0, |s| s.height()) + STRIP_GAP;
                plan.margins = measure(panel, plan, size, lettered)?;
            }
        }
        if settled {
            break aligned;
        }
    };
    for (index, ((panel, plan), margins)) in panels.iter().zip(&plans).zip(&aligned).enumerate() {
        let left = (index % columns) as f64 * width;
        let top = top + (index / columns) as f64 * height;
        let cell = Rect { left, top, right: left + width, bottom: top + height };
        draw(canvas, panel, plan, cell, margins)?;
        if lettered {
            let how = Text::new(style::LETTER, HPos::Left).bold();
            canvas.text(&letter(index), (cell.left + EDGE, cell.top + 12.0), how)?;
        }
    }
    Ok(())
}

/// Margins of panel `index` that suit its row and column.
fn align(plans: &[Plan], index: usize, columns: usize) -> Margins {
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

/// Whether the legend, if there is one, hides nothing inside this frame. A heat map fills its frame.
fn fits_inside(panel: &Panel, plan: &Plan, frame: Rect) -> Result<bool> {
    if panel.series.iter().all(|s| s.label.is_empty()) {
        return Ok(true);
    }
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

fn spans(panel: &Panel) -> (Span, Span) {
    let asked = |axis: &Axis, edges: Option<(f64, f64)>| axis.range.or(edges);
    let intervals = panel.series.iter().flat_map(|s| s.band.iter().chain(&s.error_bars).flatten());
    let ground = panel.series.iter().any(|s| s.mark == Mark::Stems).then_some(0.0);
    let y_values = points(panel).map(|p| p.1).chain(intervals.flat_map(|i| [i.0, i.1])).chain(ground);
    let (x_margin, y_margin) = if panel.equal_aspect { (0.05, 0.05) } else { (0.025, 0.05) };
    let map = has_map(panel);
    let mut x =
        Span::choose(panel.x.scale, asked(&panel.x, map.map(|m| m.x)), points(panel).map(|p| p.0), x_margin);
    let y = Span::choose(panel.y.scale, asked(&panel.y, map.map(|m| m.y)), y_values, y_margin);
    // Epochs and harmonics are counted: no ticks between them.
    x.whole = map.is_none() && !panel.equal_aspect && points(panel).all(|p| p.0.fract() == 0.0);
    (x, y)
}

fn y_ticks(span: &Span, height: f64) -> Ticks {
    span.ticks(((height / 26.0) as usize).clamp(5, MOST_TICKS))
}

/// As many ticks as leave room between their labels.
fn x_ticks(span: &Span, width: f64) -> Result<Ticks> {
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

/// The frame; never inverted, however much stands around it.
fn inner(cell: Rect, margins: &Margins) -> Rect {
    let (left, top) = (cell.left + margins.left, cell.top + margins.top);
    Rect {
        left,
        top,
        right: (cell.right - margins.right).max(left + SMALLEST),
        bottom: (cell.bottom - margins.bottom).max(top + SMALLEST),
    }
}

/// Ranges and margins of a panel on its own, the legend apart.
fn plan(panel: &Panel, size: Rect, lettered: bool) -> Result<Plan> {
    let (x, y) = spans(panel);
    let margins = Margins { left: 0.0, right: 0.0, top: 0.0, bottom: 0.0, bar: 0.0 };
    let mut plan = Plan { x, y, strip: 0.0, margins };
    plan.margins = measure(panel, &plan, size, lettered)?;
    Ok(plan)
}

fn measure(panel: &Panel, plan: &Plan, size: Rect, lettered: bool) -> Result<Margins> {
    let bottom = TICK_LENGTH + TICK_LINE + LABEL_LINE + EDGE;
    let heading = if panel.title.is_some() || lettered { HEADING_LINE } else { 0.0 };
    let top = EDGE + 3.0 + heading + plan.strip;
    // A power of ten stands above the frame; a letter alone leaves room beside it.
    let letter_only = lettered && panel.title.is_none() && plan.strip == 0.0;
    let raised = if letter_only { top } else { top + FACTOR_LINE };
    let mut margins = Margins { left: 0.0, right: 0.0, top, bottom, bar: 0.0 };
    if let Some(map) = has_map(panel) {
        let ticks = y_ticks(&heat::colours(map), size.height() - top - bottom);
        margins.bar = BAR_GAP + BAR_WIDTH + TICK_LENGTH + 3.0 + widest(&ticks)? + LABEL_LINE + 3.0;
        margins.top = if ticks.factor.is_some() { raised } else { top };
    }
    // The second pass knows the frame that an equal aspect is to be brought about in.
    for _ in 0..2 {
        let plane = plane(panel, plan.x, plan.y, inner(size, &margins));
        let ticks = y_ticks(&plane.y, plane.frame.height());
        if ticks.factor.is_some() {
            margins.top = raised;
        }
        margins.left = EDGE + LABEL_LINE + 4.0 + widest(&ticks)? + 3.0 + TICK_LENGTH;
        let labels = x_ticks(&plane.x, plane.frame.width())?;
        let overhang = match (labels.labels.last(), labels.major.last()) {
            (Some(label), Some(at)) => {
                let from_end = (1.0 - plane.x.fraction(*at)) * plane.frame.width();
                TICK_TEXT.width(label)? / 2.0 - from_end
            }
            _ => 0.0,
        };
        margins.right = margins.bar + EDGE + overhang.max(3.0);
    }
    Ok(margins)
}

fn draw(canvas: &mut Canvas, panel: &Panel, plan: &Plan, cell: Rect, margins: &Margins) -> Result<()> {
    let plane = plane(panel, plan.x, plan.y, inner(cell, margins));
    let frame = plane.frame;
    let (across, up) = (x_ticks(&plane.x, frame.width())?, y_ticks(&plane.y, frame.height()));
    if let Some(map) = has_map(panel) {
        draw_map(canvas, map, &plane)?;
        draw_bar(canvas, map, frame, cell)?;
    } else if points(panel).next().is_some() {
        draw_lattice(canvas, &plane, &across, &up)?;
    } else {
        let centre = (f64::midpoint(frame.left, frame.right), f64::midpoint(frame.top, frame.bottom));
        canvas.text("no data", centre, Text::new(style::LABEL, HPos::Center))?;
    }
    let (under, over): (Vec<usize>, Vec<usize>) =
        (0..panel.series.len()).partition(|index| panel.series[*index].mark == Mark::Open);
    for index in under.into_iter().chain(over) {
        marks::draw(canvas, panel, index, &plane)?;
    }
    outline(canvas, frame)?;
    draw_x_axis(canvas, &panel.x.label, &plane, &across, cell)?;
    draw_y_axis(canvas, &panel.y.label, &plane, &up, cell)?;
    if let Some(title) = &panel.title {
        let how = Text::new(style::TITLE, HPos::Center).fitted(title, frame.width())?;
        canvas.text(title, (f64::midpoint(frame.left, frame.right), cell.top + 12.0), how)?;
    }
    draw_legend(canvas, panel, plan.strip, &plane, up.factor.is_some())
}

fn draw_legend(canvas: &mut Canvas, panel: &Panel, strip: f64, plane: &Plane, factor: bool) -> Result<()> {
    let frame = plane.frame;
    if strip == 0.0 {
        return match Legend::inside(panel, frame, &marks::occupied(panel, plane))? {
            Some((legend, at)) => legend.draw(canvas, panel, at, true),
            None => Ok(()),
        };
    }
    let factor = if factor { FACTOR_LINE } else { 0.0 };
    match Legend::new(panel, frame.width())? {
        Some(legend) => legend.draw(canvas, panel, (frame.left, frame.top - factor - strip), false),
        None => Ok(()),
    }
}

fn draw_map(canvas: &mut Canvas, map: &HeatMap, plane: &Plane) -> Result<()> {
    let edges = |span: &Span, (a, b): (f64, f64)| {
        let usable = drawable(span.scale, a) && drawable(span.scale, b) && a < b;
        if usable { (a, b) } else { (span.low, span.high) }
    };
    let (x, y) = (edges(&plane.x, map.x), edges(&plane.y, map.y));
    let area = Rect {
        left: plane.x_pixel(x.0),
        right: plane.x_pixel(x.1),
        top: plane.y_pixel(y.1),
        bottom: plane.y_pixel(y.0),
    };
    let bitmap = heat::bitmap(map, &heat::colours(map))?;
    // Cells finer than the pixels of the PNG are better averaged than sampled.
    let blocky = (map.columns as f64) < 2.0 * area.width() && (map.rows as f64) < 2.0 * area.height();
    canvas.clipped(plane.frame, |canvas| canvas.image(&bitmap, area, blocky))
}

fn draw_bar(canvas: &mut Canvas, map: &HeatMap, frame: Rect, cell: Rect) -> Result<()> {
    let colours = heat::colours(map);
    let left = frame.right + BAR_GAP;
    let bar = Rect { left, right: left + BAR_WIDTH, ..frame };
    canvas.image(&heat::bar()?, bar, false)?;
    outline(canvas, bar)?;
    let ticks = y_ticks(&colours, bar.height());
    let how = Text::new(style::TICK, HPos::Left);
    let y = |value: f64| bar.bottom - colours.fraction(value) * bar.height();
    for (value, label) in ticks.major.iter().zip(&ticks.labels) {
        canvas.line(
            &[(bar.right, y(*value)), (bar.right + TICK_LENGTH, y(*value))],
            style::INK,
            THIN,
            &[],
        )?;
        canvas.text(label, (bar.right + TICK_LENGTH + 3.0, y(*value)), how)?;
    }
    for value in &ticks.minor {
        canvas.line(
            &[(bar.right, y(*value)), (bar.right + MINOR_LENGTH, y(*value))],
            style::INK,
            THIN,
            &[],
        )?;
    }
    draw_factor(canvas, &ticks, (bar.left, bar.top - FACTOR_LINE / 2.0), HPos::Left)?;
    let how =
        Text::new(style::LABEL, HPos::Center).upwards().fitted(&map.colour.label, cell.height() - 8.0)?;
    let beside = bar.right + TICK_LENGTH + 3.0 + widest(&ticks)? + LABEL_LINE / 2.0 + 4.0;
    canvas.text(&map.colour.label, (beside, f64::midpoint(bar.top, bar.bottom)), how)
}

fn draw_lattice(canvas: &mut Canvas, plane: &Plane, across: &Ticks, up: &Ticks) -> Result<()> {
    let frame = plane.frame;
    for x in across.major.iter().map(|v| plane.x_pixel(*v)) {
        canvas.line(&[(x, frame.top), (x, frame.bottom)], style::GRID, THIN, &[])?;
    }
    for y in up.major.iter().map(|v| plane.y_pixel(*v)) {
        canvas.line(&[(frame.left, y), (frame.right, y)], style::GRID, THIN, &[])?;
    }
    Ok(())
}

fn outline(canvas: &mut Canvas, area: Rect) -> Result<()> {
    let (left, top, right, bottom) = (area.left, area.top, area.right, area.bottom);
    // The last side overlaps the first, so that the corner is joined.
    let path = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top), (right, top)];
    canvas.line(&path, style::INK, THIN, &[])
}

fn draw_factor(canvas: &mut Canvas, ticks: &Ticks, at: Point, anchor: HPos) -> Result<()> {
    match ticks.factor {
        Some(exponent) => {
            canvas.text(&format!("×{}", power_of_ten(exponent)), at, Text::new(style::TICK, anchor))
        }
        None => Ok(()),
    }
}

fn draw_x_axis(canvas: &mut Canvas, label: &str, plane: &Plane, ticks: &Ticks, cell: Rect) -> Result<()> {
    let frame = plane.frame;
    let mark = |canvas: &mut Canvas, value: f64, length: f64| {
        let x = plane.x_pixel(value);
        canvas.line(&[(x, frame.bottom), (x, frame.bottom + length)], style::INK, THIN, &[])
    };
    for value in &ticks.minor {
        mark(canvas, *value, MINOR_LENGTH)?;
    }
    let y = frame.bottom + TICK_LENGTH + TICK_LINE / 2.0 + 1.0;
    for (value, text) in ticks.major.iter().zip(&ticks.labels) {
        mark(canvas, *value, TICK_LENGTH)?;
        canvas.text(text, (plane.x_pixel(*value), y), TICK_TEXT)?;
    }
    let y = frame.bottom + TICK_LENGTH + TICK_LINE + LABEL_LINE / 2.0 + 1.0;
    draw_factor(canvas, ticks, (frame.right, y), HPos::Right)?;
    let how = Text::new(style::LABEL, HPos::Center).fitted(label, cell.width() - 2.0 * EDGE)?;
    // Under the middle of the frame, unless a long label would leave the panel there.
    let half = how.width(label)? / 2.0;
    let middle =
        f64::midpoint(frame.left, frame.right).min(cell.right - EDGE - half).max(cell.left + EDGE + half);
    canvas.text(label, (middle, y), how)
}

fn draw_y_axis(canvas: &mut Canvas, label: &str, plane: &Plane, ticks: &Ticks, cell: Rect) -> Result<()> {
    let frame = plane.frame;
    let mark = |canvas: &mut Canvas, value: f64, length: f64| {
        let y = plane.y_pixel(value);
        canvas.line(&[(frame.left, y), (frame.left - length, y)], style::INK, THIN, &[])
    };
    for value in &ticks.minor {
        mark(canvas, *value, MINOR_LENGTH)?;
    }
    let how = Text::new(style::TICK, HPos::Right);
    for (value, text) in ticks.major.iter().zip(&ticks.labels) {
        mark(canvas, *value, TICK_LENGTH)?;
        canvas.text(text, (frame.left - TICK_LENGTH - 3.0, plane.y_pixel(*value)), how)?;
    }
    draw_factor(canvas, ticks, (frame.left, frame.top - FACTOR_LINE / 2.0), HPos::Left)?;
    // The corner above is the letter's.
    let middle = f64::midpoint(frame.top, frame.bottom);
    let room = 2.0 * (middle - cell.top - HEADING_LINE).min(cell.bottom - 4.0 - middle);
    let how = Text::new(style::LABEL, HPos::Center).upwards().fitted(label, room)?;
    let beside = frame.left - TICK_LENGTH - 3.0 - widest(ticks)? - 4.0 - LABEL_LINE / 2.0;
    canvas.text(label, (beside, middle), how)
}
