//! An SVG document, drawn piece by piece with plotters.
//!
//! plotters places on whole units and knows neither clipping, dashes nor embedded images. So a unit is a tenth of a
//! pixel here, and each piece is wrapped in SVG groups that add the rest.

use std::fmt::{Display, Write as _};

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBColor, ShapeStyle};

use super::style;
use crate::{Error, Result};

/// Units of the document per pixel.
const UNITS: f64 = 10.0;
/// plotters writes a font of size s with s / 1.24 pixels per em.
const EM_DRAWN: f64 = 1.24;
/// plotters measures a font of size s as s pixels from ascender to descender; DejaVu Sans spans 2384 of 2048 units per em.
const EM_MEASURED: f64 = 2384.0 / 2048.0;

/// A position in pixels from the top left.
pub(super) type Point = (f64, f64);

/// An upright rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Rect {
    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }

    pub fn grown(&self, by: f64) -> Self {
        Self { left: self.left - by, top: self.top - by, right: self.right + by, bottom: self.bottom + by }
    }

    pub fn contains(&self, (x, y): Point) -> bool {
        x >= self.left && x <= self.right && y >= self.top && y <= self.bottom
    }
}

/// How a text is set.
#[derive(Clone, Copy)]
pub(super) struct Text {
    pub size: f64,
    pub bold: bool,
    pub anchor: HPos,
    /// Reading upwards.
    pub upwards: bool,
}

impl Text {
    pub const fn new(size: f64, anchor: HPos) -> Self {
        Self { size, bold: false, anchor, upwards: false }
    }

    pub const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub const fn upwards(self) -> Self {
        Self { upwards: true, ..self }
    }

    /// `text` in lines of at most `width` pixels, broken at spaces; a word that is wider has a line of its own.
    pub fn wrapped(&self, text: &str, width: f64) -> Result<Vec<String>> {
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            let longer = lines.last().map_or_else(|| word.to_owned(), |line| format!("{line} {word}"));
            match lines.last_mut() {
                Some(last) if self.width(&longer)? <= width => *last = longer,
                _ => lines.push(word.to_owned()),
            }
        }
        Ok(lines)
    }

    /// Width of `text` in pixels.
    pub fn width(&self, text: &str) -> Result<f64> {
        style::register_fonts()?;
        let (width, _) = self.font(self.size * UNITS * EM_MEASURED).box_size(text).map_err(failed)?;
        Ok(f64::from(width) / UNITS)
    }

    fn font(&self, size: f64) -> FontDesc<'static> {
        let style = if self.bold { FontStyle::Bold } else { FontStyle::Normal };
        FontDesc::new(FontFamily::Name(style::FAMILY), size, style)
    }
}

/// A document that is being drawn.
pub(super) struct Canvas {
    body: String,
    size: (u32, u32),
    clips: usize,
}

fn failed(reason: impl Display) -> Error {
    Error::Internal(format!("a figure cannot be drawn: {reason}"))
}

/// A position in units of the document, kept within what the SVG's integers can carry.
fn units((x, y): Point) -> (i32, i32) {
    // Float to integer casts saturate; the bound keeps what lies far outside the page in its direction.
    let unit = |v: f64| (v * UNITS).round().clamp(-1e7, 1e7) as i32;
    (unit(x), unit(y))
}

fn stroke(colour: RGBColor, opacity: f64, width: f64) -> ShapeStyle {
    let width = (width * UNITS).round() as u32;
    ShapeStyle { color: colour.mix(opacity), filled: true, stroke_width: width }
}

impl Canvas {
    /// A white page of `size` pixels.
    pub fn new(size: (u32, u32)) -> Result<Self> {
        style::register_fonts()?;
        let mut canvas = Self { body: String::new(), size, clips: 0 };
        let page = Rect { left: 0.0, top: 0.0, right: f64::from(size.0), bottom: f64::from(size.1) };
        canvas.rectangle(page, style::WHITE, 1.0)?;
        Ok(canvas)
    }

    /// The document, to be printed this wide.
    pub fn finish(self, millimetres: f64) -> String {
        let (width, height) = (f64::from(self.size.0), f64::from(self.size.1));
        let (wide, high) = (width * UNITS, height * UNITS);
        let length = millimetres * height / width;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{millimetres}mm\" height=\"{length:.3}mm\" \
             viewBox=\"0 0 {wide} {high}\" stroke-linejoin=\"round\">\n{}</svg>\n",
            self.body
        )
    }

    /// Lets plotters draw one piece.
    fn piece(&mut self, draw: impl FnOnce(&mut SVGBackend<'_>) -> Result<()>) -> Result<()> {
        let mut piece = String::new();
        {
            let mut backend = SVGBackend::with_string(&mut piece, self.size);
            draw(&mut backend)?;
            backend.present().map_err(failed)?;
        }
        let inner =
            piece.find('\n').zip(piece.rfind("</svg>")).and_then(|(from, to)| piece.get(from + 1..to));
        self.body.push_str(inner.ok_or_else(|| failed("plotters wrote no SVG"))?);
        Ok(())
    }

    /// Draws inside a group with these SVG attributes.
    fn group(&mut self, attributes: &str, draw: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let _ = writeln!(self.body, "<g {attributes}>"); // writing to a String cannot fail
        draw(self)?;
        self.body.push_str("</g>\n");
        Ok(())
    }

    /// Draws what falls into `area` only.
    pub fn clipped(&mut self, area: Rect, draw: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.clips += 1;
        let name = format!("area{}", self.clips);
        let _ = writeln!(self.body, "<clipPath id=\"{name}\"><rect {}/></clipPath>", place(area));
        self.group(&format!("clip-path=\"url(#{name})\""), draw)
    }

    /// A line through `points`, `width` pixels wide, with dashes and gaps in pixels (none: solid).
    pub fn line(&mut self, points: &[Point], colour: RGBColor, width: f64, dashes: &[f64]) -> Result<()> {
        let draw = |canvas: &mut Self| {
            let path = points.iter().map(|p| units(*p));
            canvas.piece(|b| b.draw_path(path, &stroke(colour, 1.0, width)).map_err(failed))
        };
        if dashes.is_empty() {
            return draw(self);
        }
        let lengths: Vec<String> = dashes.iter().map(|d| (d * UNITS).round().to_string()).collect();
        self.group(&format!("stroke-dasharray=\"{}\"", lengths.join(" ")), draw)
    }

    /// A filled polygon.
    pub fn polygon(&mut self, corners: &[Point], colour: RGBColor, opacity: f64) -> Result<()> {
        let path = corners.iter().map(|p| units(*p));
        self.piece(|b| b.fill_polygon(path, &stroke(colour, opacity, 0.0)).map_err(failed))
    }

    /// A filled rectangle.
    pub fn rectangle(&mut self, area: Rect, colour: RGBColor, opacity: f64) -> Result<()> {
        let corners = [
            (area.left, area.top),
            (area.right, area.top),
            (area.right, area.bottom),
            (area.left, area.bottom),
        ];
        self.polygon(&corners, colour, opacity)
    }

    /// A filled disc.
    pub fn disc(&mut self, centre: Point, radius: f64, colour: RGBColor, opacity: f64) -> Result<()> {
        let (radius, style) = ((radius * UNITS).round() as u32, stroke(colour, opacity, 0.0));
        self.piece(|b| b.draw_circle(units(centre), radius, &style, true).map_err(failed))
    }

    /// One line of text that ends at `at`, rising by `degrees`.
    pub fn slanted_text(&mut self, text: &str, at: Point, degrees: f64, how: Text) -> Result<()> {
        let (x, y) = units(at);
        self.group(&format!("transform=\"rotate(-{degrees} {x} {y})\""), |canvas| canvas.text(text, at, how))
    }

    /// One line of text, its middle at the height of `at`.
    pub fn text(&mut self, text: &str, at: Point, how: Text) -> Result<()> {
        // Control characters are illegal in XML, whatever the label's origin.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if text.trim().is_empty() {
            return Ok(());
        }
        let turn = if how.upwards { FontTransform::Rotate270 } else { FontTransform::None };
        let mut style = how.font(how.size * UNITS * EM_DRAWN).transform(turn).color(&style::INK);
        style.pos = Pos::new(how.anchor, VPos::Center);
        self.piece(|b| b.draw_text(&text, &style, units(at)).map_err(failed))
    }

    /// A PNG stretched over `area`; `blocky` keeps its pixels sharp.
    pub fn image(&mut self, png: &[u8], area: Rect, blocky: bool) -> Result<()> {
        let look = if blocky { " style=\"image-rendering:pixelated\"" } else { "" };
        let data = base64(png);
        let _ = writeln!(
            self.body,
            "<image {} preserveAspectRatio=\"none\"{look} href=\"data:image/png;base64,{data}\"/>",
            place(area)
        );
        Ok(())
    }
}

fn place(area: Rect) -> String {
    let ((left, top), (right, bottom)) = (units((area.left, area.top)), units((area.right, area.bottom)));
    format!("x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\"", right - left, bottom - top)
}

/// RFC 4648 base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |word, i| word << 8 | u32::from(chunk.get(i).copied().unwrap_or(0)));
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit)) & 63;
            text.push(if digit > chunk.len() { '=' } else { char::from(DIGITS[index as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of RFC 4648, section 10.
    #[test]
    fn base64_agrees_with_the_standard() {
        let vectors = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in vectors {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    /// DejaVu Sans' advance widths from its `hmtx` table: 1229 units for "a" and 1303 for "0", of 2048 per em.
    #[test]
    fn text_is_measured_in_pixels() {
        let text = Text::new(20.48, HPos::Left);
        assert!((text.width("00").unwrap() - 26.06).abs() < 0.2);
        assert!((text.width("a").unwrap() - 12.55).abs() < 0.2);
    }

    #[test]
    fn long_texts_are_broken_between_words() {
        let text = Text::new(12.0, HPos::Left);
        let lines = text.wrapped("distance to the adjoint, all parameters", 150.0).unwrap();
        assert_eq!(lines.join(" "), "distance to the adjoint, all parameters");
        assert!(lines.len() > 1 && lines.iter().all(|line| text.width(line).unwrap() <= 150.0), "{lines:?}");
        assert_eq!(text.wrapped("", 10.0).unwrap(), [""; 0]);
    }

    #[test]
    fn labels_are_escaped() {
        let mut canvas = Canvas::new((200, 100)).unwrap();
        canvas.text("a < b & \u{1}c", (10.0, 10.0), Text::new(12.0, HPos::Left)).unwrap();
        assert!(canvas.finish(89.0).contains("a &lt; b &amp;  c"));
    }
}
