//! SVG to PNG, at the resolution of print.

use png::{BitDepth, ColorType, Encoder, PixelDimensions, Unit};
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use super::style;
use crate::{Error, Result};

/// Dots per inch of the printed figure.
const DOTS_PER_INCH: f64 = 300.0;
/// SVG pixels are 96 to the inch.
const SVG_PER_INCH: f64 = 96.0;
const METRES_PER_INCH: f64 = 0.0254;

/// The parsed SVG document.
pub(super) fn tree(svg: &str) -> Result<Tree> {
    let options = Options { fontdb: style::font_database(), ..Options::default() };
    Tree::from_str(svg, &options)
        .map_err(|e| Error::Internal(format!("the SVG of a figure is malformed: {e}")))
}

/// The PNG file of an SVG document, on white. It says its resolution.
pub(super) fn render(svg: &str) -> Result<Vec<u8>> {
    let tree = tree(svg)?;
    let zoom = (DOTS_PER_INCH / SVG_PER_INCH) as f32;
    let pixels = |length: f32| (length * zoom).round() as u32;
    let mut pixmap = Pixmap::new(pixels(tree.size().width()), pixels(tree.size().height()))
        .ok_or_else(|| Error::Internal("a figure without area cannot be rendered".into()))?;
    pixmap.fill(Color::WHITE);
    resvg::render(&tree, Transform::from_scale(zoom, zoom), &mut pixmap.as_mut());
    let rgb: Vec<u8> = pixmap.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();
    let per_metre = (DOTS_PER_INCH / METRES_PER_INCH).round() as u32;
    let resolution = PixelDimensions { xppu: per_metre, yppu: per_metre, unit: Unit::Meter };
    encode((pixmap.width(), pixmap.height()), &rgb, Some(resolution))
}

/// A PNG of `width` × `height` opaque RGB pixels, rows from the top.
pub(super) fn from_rgb(width: u32, height: u32, rgb: &[[u8; 3]]) -> Result<Vec<u8>> {
    encode((width, height), rgb.as_flattened(), None)
}

fn encode(size: (u32, u32), rgb: &[u8], resolution: Option<PixelDimensions>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, size.0, size.1);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_pixel_dims(resolution);
    let write = || encoder.write_header()?.write_image_data(rgb);
    write().map_err(|e| Error::Internal(format!("a bitmap cannot be encoded as PNG: {e}")))?;
    Ok(bytes)
}
