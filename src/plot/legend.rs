//! The legend: in an empty part of the frame, or else in a strip above it.

use plotters::style::text_anchor::HPos;

use super::canvas::{Canvas, Point, Rect, Text};
use super::marks::{self, Look};
use super::{Panel, style};
use crate::Result;

const TEXT: Text = Text::new(style::LEGEND, HPos::Left);
const ROW: f64 = 17.0;
const SAMPLE: f64 = 22.0;
/// Between sample and name.
const GAP: f64 = 5.0;
/// Between an entry and the next in the same row.
const BETWEEN: f64 = 16.0;
const INSET: f64 = 6.0;

/// A sample of markers alone that stands beside others.
const MARKER: f64 = 12.0;
/// Between the samples of one entry.
const APART: f64 = 4.0;
/// Most samples of one entry.
const MOST_SAMPLES: usize = 6;

/// One name with what it is drawn as.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    label: String,
    looks: Vec<Look>,
}

impl Entry {
    /// The width of each of its samples.
    fn samples(&self) -> impl Iterator<Item = (&Look, f64)> {
        let alone = self.looks.len() == 1;
        self.looks.iter().map(move |look| (look, if alone || look.has_line() { SAMPLE } else { MARKER }))
    }

    fn samples_width(&self) -> f64 {
        self.samples().map(|sample| sample.1 + APART).sum::<f64>() - APART
    }
}

/// The named series of a panel, those of one name together.
pub(super) fn entries(panel: &Panel) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (index, series) in panel.series.iter().enumerate().filter(|(_, s)| !s.label.is_empty()) {
        let look = marks::look(panel, index);
        match entries.iter_mut().find(|e| e.label == series.label) {
            Some(entry) if entry.looks.contains(&look) || entry.looks.len() == MOST_SAMPLES => {}
            Some(entry) => entry.looks.push(look),
            None => entries.push(Entry { label: series.label.clone(), looks: vec![look] }),
        }
    }
    entries
}

/// Entries in rows, without a place yet.
pub(super) struct Legend {
    /// Each with the distance of its samples from the left.
    rows: Vec<Vec<(Entry, f64)>>,
    width: f64,
}

impl Legend {
    /// The named series of a panel in rows of at most `width` pixels; none if nothing is named.
    pub fn new(panel: &Panel, width: f64) -> Result<Option<Self>> {
        let mut rows: Vec<Vec<(Entry, f64)>> = Vec::new();
        let (mut left, mut widest) = (f64::INFINITY, 0.0_f64);
        for entry in entries(panel) {
            let needed = entry.samples_width() + GAP + TEXT.width(&entry.label)?;
            if left + needed > width {
                left = 0.0;
                rows.push(Vec::new());
            }
            if let Some(row) = rows.last_mut() {
                row.push((entry, left));
            }
            widest = widest.max(left + needed);
            left += needed + BETWEEN;
        }
        Ok((!rows.is_empty()).then_some(Self { rows, width: widest }))
    }

    /// Height in pixels.
    pub fn height(&self) -> f64 {
        self.rows.len() as f64 * ROW
    }

    /// A legend within the frame, in a column or in rows, and a place for it that covers none of the `occupied` pixels.
    pub fn inside(panel: &Panel, frame: Rect, occupied: &[Point]) -> Result<Option<(Self, Point)>> {
        for width in [0.0, frame.width() - 2.0 * (INSET + 2.0)] {
            if let Some(legend) = Self::new(panel, width)?
                && let Some(at) = legend.free_place(frame, occupied)
            {
                return Ok(Some((legend, at)));
            }
        }
        Ok(None)
    }

    /// A corner or edge of the frame where the legend covers none of the `occupied` pixels.
    fn free_place(&self, frame: Rect, occupied: &[Point]) -> Option<Point> {
        // The white ground, and half a marker beyond it.
        const CLEAR: f64 = 8.0;
        let (width, height) = (self.width, self.height());
        if width > frame.width() - 2.0 * INSET || height > 0.6 * frame.height() {
            return None;
        }
        let (left, right) = (frame.left + INSET + 2.0, frame.right - INSET - 2.0 - width);
        let (top, bottom) = (frame.top + INSET, frame.bottom - INSET - height);
        let (centre, middle) = (f64::midpoint(left, right), f64::midpoint(top, bottom));
        let places = [
            (right, top),
            (left, top),
            (right, bottom),
            (left, bottom),
            (centre, top),
            (centre, bottom),
            (right, middle),
            (left, middle),
        ];
        places.into_iter().find(|(left, top)| {
            let area = Rect { left: *left, top: *top, right: left + width, bottom: top + height };
            !occupied.iter().any(|p| area.grown(CLEAR).contains(*p))
        })
    }

    /// Draws it with its top left corner at `at`; `boxed` on a white ground, so that grid lines do not cross the names.
    pub fn draw(&self, canvas: &mut Canvas, at: Point, boxed: bool) -> Result<()> {
        if boxed {
            let area = Rect { left: at.0, top: at.1, right: at.0 + self.width, bottom: at.1 + self.height() };
            canvas.rectangle(area.grown(3.0), style::WHITE, 0.85)?;
        }
        for (row, entries) in self.rows.iter().enumerate() {
            let y = at.1 + (row as f64 + 0.5) * ROW;
            for (entry, left) in entries {
                let mut left = at.0 + left;
                for (look, width) in entry.samples() {
                    look.sample(canvas, (left, y), width)?;
                    left += width + APART;
                }
                canvas.text(&entry.label, (left - APART + GAP, y), TEXT)?;
            }
        }
        Ok(())
    }
}
