//! Heat maps as one embedded bitmap, and their colour bar.

use super::axis::{Span, drawable};
use super::{HeatMap, png, style};
use crate::{Error, Result};

/// Shades of the colour bar.
const SHADES: u32 = 256;

/// The values at the two ends of the colours.
pub(super) fn colours(map: &HeatMap) -> Span {
    Span::choose(map.colour.scale, map.colour.range, map.values.iter().copied(), 0.0)
}

/// The map as a PNG with one pixel a cell, highest y first.
pub(super) fn bitmap(map: &HeatMap, colours: &Span) -> Result<Vec<u8>> {
    let (Ok(width), Ok(height)) = (u32::try_from(map.columns), u32::try_from(map.rows)) else {
        return Err(Error::Internal(format!(
            "a heat map of {} × {} cells cannot be drawn",
            map.rows, map.columns
        )));
    };
    if map.columns.checked_mul(map.rows) != Some(map.values.len()) {
        return Err(Error::Internal(format!(
            "a heat map of {} × {} cells was given {} values",
            map.rows,
            map.columns,
            map.values.len()
        )));
    }
    let shade = |value: &f64| {
        if drawable(map.colour.scale, *value) {
            style::viridis(colours.fraction(colours.clamp(*value)))
        } else {
            let grey = style::NO_VALUE;
            [grey.0, grey.1, grey.2]
        }
    };
    let pixels: Vec<[u8; 3]> = map.values.chunks(map.columns.max(1)).rev().flatten().map(shade).collect();
    png::from_rgb(width, height, &pixels)
}

/// The colour scale as a PNG one pixel wide, highest value first.
pub(super) fn bar() -> Result<Vec<u8>> {
    let pixels: Vec<[u8; 3]> =
        (0..SHADES).rev().map(|i| style::viridis(f64::from(i) / f64::from(SHADES - 1))).collect();
    png::from_rgb(1, SHADES, &pixels)
}

#[cfg(test)]
mod tests {
    use resvg::tiny_skia::Pixmap;

    use super::*;

    #[test]
    fn row_zero_is_at_the_bottom_and_missing_values_are_grey() {
        let map = HeatMap::new((2, 2), vec![0.0, 1.0, f64::NAN, 2.0], (0.0, 1.0), (0.0, 1.0), "z");
        let colours = colours(&map);
        assert_eq!((colours.low, colours.high), (0.0, 2.0));
        let pixels = Pixmap::decode_png(&bitmap(&map, &colours).unwrap()).unwrap();
        let rgb: Vec<[u8; 3]> = pixels.pixels().iter().map(|p| [p.red(), p.green(), p.blue()]).collect();
        assert_eq!(rgb, [[0xC8; 3], style::viridis(1.0), style::viridis(0.0), style::viridis(0.5)]);
    }

    #[test]
    fn a_map_of_the_wrong_size_is_refused() {
        let map = HeatMap::new((2, 3), vec![0.0; 5], (0.0, 1.0), (0.0, 1.0), "z");
        let error = bitmap(&map, &colours(&map)).unwrap_err();
        assert!(error.to_string().contains("2 × 3 cells was given 5 values"));
    }
}
