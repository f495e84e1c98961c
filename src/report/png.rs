//! SVG to PNG, at twice the size.

use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use super::style;
use crate::{Error, Result};

/// PNG pixels per SVG pixel.
const ZOOM: f32 = 2.0;

/// The PNG file of an SVG document, on white.
pub(super) fn render(svg: &str) -> Result<Vec<u8>> {
    let options = Options { fontdb: style::font_database(), ..Options::default() };
    let tree = Tree::from_str(svg, &options)
        .map_err(|e| Error::Internal(format!("the SVG of a figure is malformed: {e}")))?;
    let size = tree.size();
    let mut pixmap = Pixmap::new((size.width() * ZOOM).round() as u32, (size.height() * ZOOM).round() as u32)
        .ok_or_else(|| Error::Internal("a figure without area cannot be rendered".into()))?;
    pixmap.fill(Color::WHITE);
    resvg::render(&tree, Transform::from_scale(ZOOM, ZOOM), &mut pixmap.as_mut());
    encode(&pixmap)
}

/// A PNG of `width` × `height` opaque RGB pixels, rows from the top.
pub(super) fn from_rgb(width: u32, height: u32, rgb: &[[u8; 3]]) -> Result<Vec<u8>> {
    let mut pixmap = Pixmap::new(width, height)
        .filter(|p| p.pixels().len() == rgb.len())
        .ok_or_else(|| Error::Internal(format!("a bitmap of {width} × {height} cannot be made")))?;
    for (target, [r, g, b]) in pixmap.data_mut().chunks_exact_mut(4).zip(rgb) {
        target.copy_from_slice(&[*r, *g, *b, 255]);
    }
    encode(&pixmap)
}

fn encode(pixmap: &Pixmap) -> Result<Vec<u8>> {
    pixmap.encode_png().map_err(|e| Error::Internal(format!("a bitmap cannot be encoded as PNG: {e}")))
}
