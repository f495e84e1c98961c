//! SVG to PDF, text as text in the embedded fonts.

use krilla::Document;
use krilla::geom::Size;
use krilla::page::PageSettings;
use krilla_svg::{SurfaceExt, SvgSettings};

use super::png;
use crate::{Error, Result};

/// Points of a PDF per SVG pixel.
const POINTS: f32 = 72.0 / 96.0;

/// The PDF file of an SVG document: one page of its size.
pub(super) fn render(svg: &str) -> Result<Vec<u8>> {
    let tree = png::tree(svg)?;
    let size = Size::from_wh(POINTS * tree.size().width(), POINTS * tree.size().height());
    let size = size.ok_or_else(|| Error::Internal("a figure without area cannot be printed".into()))?;
    let mut document = Document::new();
    let mut page = document.start_page_with(PageSettings::new(size));
    let mut surface = page.surface();
    let drawn = surface.draw_svg(&tree, size, SvgSettings::default());
    surface.finish();
    page.finish();
    let failed = |reason: String| Error::Internal(format!("a figure cannot be written as PDF: {reason}"));
    drawn.ok_or_else(|| failed("its SVG was refused".into()))?;
    document.finish().map_err(|e| failed(format!("{e:?}")))
}
