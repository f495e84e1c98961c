//! Fonts, sizes and colours shared by every figure.

use std::sync::{Arc, OnceLock};

use plotters::style::{FontStyle, RGBColor, register_font};
use resvg::usvg::fontdb::Database;

use crate::{Error, Result};

/// Family named in the SVG: the embedded font, then what a viewer without it may take.
pub(super) const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";

/// Font sizes in pixels per em; two pixels are a point of print, so none may be below 12.
pub(super) const FIGURE_TITLE: f64 = 15.0;
pub(super) const LETTER: f64 = 16.0;
pub(super) const TITLE: f64 = 14.0;
pub(super) const LABEL: f64 = 14.0;
pub(super) const TICK: f64 = 12.5;
pub(super) const LEGEND: f64 = 12.5;

pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const GRID: RGBColor = RGBColor(0xE9, 0xE9, 0xE9);
pub(super) const NO_VALUE: RGBColor = RGBColor(0xC8, 0xC8, 0xC8);
pub(super) const ASIDE: RGBColor = RGBColor(0xF2, 0xF2, 0xF2);
pub(super) const WHITE: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);

/// Colours of the palette.
pub(super) const COLOURS: usize = 7;

/// Index of black in the palette.
pub(super) const BLACK: usize = 6;

/// Okabe and Ito's colours, which stay apart under every common colour blindness; without their yellow, which is too
/// faint for a line on white.
const PALETTE: [RGBColor; COLOURS] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x00, 0x00, 0x00),
];

/// The place in the palette that is black with the shape of `index`: each time round, the colours come with the next shape, and
/// that of black itself is the last.
pub(super) fn black_shaped(index: usize) -> usize {
    BLACK + COLOURS * ((index % COLOURS + 1) % COLOURS)
}

pub(super) fn palette(index: usize) -> RGBColor {
    PALETTE[index % COLOURS]
}

/// Viridis at equal distances, darkest first.
const VIRIDIS: [[u8; 3]; 11] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x24, 0x75],
    [0x41, 0x44, 0x87],
    [0x35, 0x5F, 0x8D],
    [0x2A, 0x78, 0x8E],
    [0x21, 0x91, 0x8C],
    [0x22, 0xA8, 0x84],
    [0x44, 0xBF, 0x70],
    [0x7A, 0xD1, 0x51],
    [0xBD, 0xDF, 0x26],
    [0xFD, 0xE7, 0x25],
];

/// The colour of a fraction of the colour scale, 0 to 1.
pub(super) fn viridis(fraction: f64) -> [u8; 3] {
    let place = fraction.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let lower = (place as usize).min(VIRIDIS.len() - 2);
    let weight = place - lower as f64;
    std::array::from_fn(|channel| {
        let (from, to) = (f64::from(VIRIDIS[lower][channel]), f64::from(VIRIDIS[lower + 1][channel]));
        (from + weight * (to - from)).round() as u8
    })
}

/// Makes the embedded fonts known to plotters.
pub(super) fn register_fonts() -> Result<()> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let registered = *REGISTERED.get_or_init(|| {
        register_font(FAMILY, FontStyle::Normal, dejavu::sans::regular()).is_ok()
            && register_font(FAMILY, FontStyle::Bold, dejavu::sans::bold()).is_ok()
    });
    if registered { Ok(()) } else { Err(Error::Internal("the embedded fonts cannot be read".into())) }
}

/// The embedded fonts for the PNG renderer, and no others.
pub(super) fn font_database() -> Arc<Database> {
    static DATABASE: OnceLock<Arc<Database>> = OnceLock::new();
    let load = || {
        let mut database = Database::new();
        database.load_font_data(dejavu::sans::regular().to_vec());
        database.load_font_data(dejavu::sans::bold().to_vec());
        Arc::new(database)
    };
    Arc::clone(DATABASE.get_or_init(load))
}
