//! What stands in a panel: marks, axes, legend, colours.

use plotters::style::text_anchor::HPos;

use super::{
    ASIDE_GAP, ASIDE_ROW, BAR_GAP, BAR_WIDTH, EDGE, FACTOR_LINE, LABEL_LINE, LABEL_TEXT, MINOR_LENGTH, Names,
    Plan, THIN, TICK_LENGTH, TICK_LINE, TICK_TEXT, TITLE_TEXT, aside_height, has_map, panel_y_ticks, plane,
    points, widest, x_ticks, y_ticks,
};
use crate::Result;
use crate::plot::axis::{Span, Ticks, drawable, power_of_ten};
use crate::plot::canvas::{Canvas, Point, Rect, Text};
use crate::plot::legend::Legend;
use crate::plot::marks::{self, Plane};
use crate::plot::{HeatMap, Mark, Panel, heat, style};

pub(super) fn draw(canvas: &mut Canvas, panel: &Panel, plan: &Plan, cell: Rect, frame: Rect) -> Result<()> {
    let plane = plane(panel, plan.x, plan.y, frame);
    let frame = plane.frame;
    let (across, up) = (x_ticks(panel, &plane.x, frame.width())?, panel_y_ticks(panel, &plane));
    if let Some(map) = has_map(panel) {
        draw_map(canvas, map, &plane)?;
        draw_bar(canvas, map, frame)?;
    } else if points(panel).next().is_some() {
        draw_lattice(canvas, &plane, &across, &up)?;
    } else {
        let centre = (f64::midpoint(frame.left, frame.right), f64::midpoint(frame.top, frame.bottom));
        canvas.text("no data", centre, LABEL_TEXT)?;
    }
    // Single runs lie under what others have published, and that under our curves.
    for layer in [Some(Mark::Dots), Some(Mark::Open), None] {
        let own = |index: &usize| match panel.series[*index].mark {
            mark @ (Mark::Dots | Mark::Open) => Some(mark) == layer,
            _ => layer.is_none(),
        };
        (0..panel.series.len())
            .filter(own)
            .try_for_each(|index| marks::draw(canvas, panel, index, &plane))?;
    }
    outline(canvas, frame)?;
    draw_aside(canvas, panel, &plane)?;
    draw_x_axis(canvas, plan, &plane, &across, cell, aside_height(panel))?;
    draw_y_axis(canvas, plan, &plane, &up)?;
    for (index, line) in plan.title.iter().enumerate() {
        let y = cell.top + 12.0 + index as f64 * LABEL_LINE;
        canvas.text(line, (f64::midpoint(frame.left, frame.right), y), TITLE_TEXT)?;
    }
    if plan.listed { draw_legend(canvas, panel, plan, &plane, cell, up.factor.is_some()) } else { Ok(()) }
}

/// The band under the frame, a row for each series that has something in it.
fn draw_aside(canvas: &mut Canvas, panel: &Panel, plane: &Plane) -> Result<()> {
    let Some(aside) = panel.aside.as_ref().filter(|aside| !aside.rows.is_empty()) else { return Ok(()) };
    let frame = plane.frame;
    let (top, bottom) = (frame.bottom + ASIDE_GAP, frame.bottom + aside_height(panel));
    let band = Rect { top, bottom, ..frame };
    canvas.rectangle(band, style::ASIDE, 1.0)?;
    let how = Text::new(style::TICK, HPos::Right);
    canvas.text(&aside.label, (band.left - TICK_LENGTH - 3.0, f64::midpoint(top, bottom)), how)?;
    for (index, row) in aside.rows.iter().enumerate() {
        let y = top + (index as f64 + 0.5) * ASIDE_ROW;
        for (x, text) in row.items.iter().filter(|(x, _)| drawable(plane.x.scale, *x)) {
            let x = plane.x_pixel(*x);
            // Marker and text stand together in the middle of their place, but within the band.
            let wide = TICK_TEXT.width(text)?;
            let half = if text.is_empty() { 0.0 } else { 0.5 * (wide + 8.0) };
            let middle = x.min(band.right - half - 4.0).max(band.left + half + 4.0);
            marks::draw_aside(canvas, row, (middle - half + if text.is_empty() { 0.0 } else { 3.0 }, y))?;
            canvas.text(text, (middle - half + 8.0, y), Text::new(style::TICK, HPos::Left))?;
        }
    }
    Ok(())
}

fn draw_legend(
    canvas: &mut Canvas,
    panel: &Panel,
    plan: &Plan,
    plane: &Plane,
    cell: Rect,
    factor: bool,
) -> Result<()> {
    let frame = plane.frame;
    if plan.strip == 0.0 {
        return match Legend::inside(panel, frame, &marks::occupied(panel, plane))? {
            Some((legend, at)) => legend.draw(canvas, at, true),
            None => Ok(()),
        };
    }
    let factor = if factor { FACTOR_LINE } else { 0.0 };
    match Legend::new(panel, cell.right - frame.left - EDGE)? {
        Some(legend) => legend.draw(canvas, (frame.left, frame.top - factor - plan.strip), false),
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

fn draw_bar(canvas: &mut Canvas, map: &HeatMap, frame: Rect) -> Result<()> {
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
    let beside = bar.right + TICK_LENGTH + 3.0 + widest(&ticks)? + LABEL_LINE / 2.0 + 4.0;
    let lines = LABEL_TEXT.wrapped(&map.colour.label, frame.height() + 20.0)?;
    draw_upwards(canvas, &lines, (beside, f64::midpoint(bar.top, bar.bottom)))
}

/// Lines that read upwards, the first at `x`.
fn draw_upwards(canvas: &mut Canvas, lines: &[String], (x, y): Point) -> Result<()> {
    let mut lines = lines.iter().enumerate();
    lines.try_for_each(|(index, line)| {
        canvas.text(line, (x + index as f64 * LABEL_LINE, y), LABEL_TEXT.upwards())
    })
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

fn draw_x_axis(
    canvas: &mut Canvas,
    plan: &Plan,
    plane: &Plane,
    ticks: &Ticks,
    cell: Rect,
    aside: f64,
) -> Result<()> {
    let frame = plane.frame;
    let bottom = frame.bottom + aside;
    let mark = |canvas: &mut Canvas, value: f64, length: f64| {
        let x = plane.x_pixel(value);
        canvas.line(&[(x, bottom), (x, bottom + length)], style::INK, THIN, &[])
    };
    for value in &ticks.minor {
        mark(canvas, *value, MINOR_LENGTH)?;
    }
    let under = bottom + TICK_LENGTH;
    for (index, (value, text)) in ticks.major.iter().zip(&ticks.labels).enumerate() {
        mark(canvas, *value, TICK_LENGTH)?;
        let x = plane.x_pixel(*value);
        match &plan.names {
            Some(names) => names.draw(canvas, index, (x, under))?,
            None => canvas.text(text, (x, under + TICK_LINE / 2.0 + 1.0), TICK_TEXT)?,
        }
    }
    let names = plan.names.as_ref().map_or(Ok(TICK_LINE), Names::height)?;
    let y = under + names + LABEL_LINE / 2.0 + 1.0;
    draw_factor(canvas, ticks, (frame.right, y), HPos::Right)?;
    for (index, line) in plan.x_label.iter().enumerate() {
        // Under the middle of the frame, unless a long label would leave the panel there.
        let half = LABEL_TEXT.width(line)? / 2.0;
        let middle = f64::midpoint(frame.left, frame.right);
        let middle = middle.min(cell.right - EDGE - half).max(cell.left + EDGE + half);
        canvas.text(line, (middle, y + index as f64 * LABEL_LINE), LABEL_TEXT)?;
    }
    Ok(())
}

fn draw_y_axis(canvas: &mut Canvas, plan: &Plan, plane: &Plane, ticks: &Ticks) -> Result<()> {
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
    let lines = plan.y_label.len() as f64;
    let beside = frame.left - TICK_LENGTH - 3.0 - widest(ticks)? - 4.0 - LABEL_LINE * (lines - 0.5);
    draw_upwards(canvas, &plan.y_label, (beside, f64::midpoint(frame.top, frame.bottom)))
}
