//! Masks and footprints as pictures.
#![cfg(feature = "plot")]

use resvg::tiny_skia::Pixmap;
use tombola::experiment::picture;
use tombola::{ErrorKind, Mask};

fn pixel(pixmap: &Pixmap, x: u32, y: u32) -> [u8; 3] {
    let colour = pixmap.pixel(x, y).unwrap();
    [colour.red(), colour.green(), colour.blue()]
}

#[test]
fn a_mask_is_drawn_weight_by_weight() {
    let mask = Mask::random((10, 16), 0.5, 3).unwrap();
    let image = Pixmap::decode_png(&picture::mask(&mask).unwrap()).unwrap();
    // 800 is 50 times 16.
    assert_eq!((image.width(), image.height()), (800, 500));
    for (row, column) in (0..10).flat_map(|row| (0..16).map(move |column| (row, column))) {
        let expected = if mask.get(row, column).unwrap() { [255; 3] } else { [0; 3] };
        for (x, y) in [(0, 0), (49, 49), (20, 30)] {
            assert_eq!(
                pixel(&image, 50 * column as u32 + x, 50 * row as u32 + y),
                expected,
                "{row}, {column}"
            );
        }
    }
    // One that is longer than a picture may be is drawn in blocks, the last of them cut.
    let mask = Mask::from_fn((3, 8191), |row, column| row == 2 || column % 2 == 0);
    let image = Pixmap::decode_png(&picture::mask(&mask).unwrap()).unwrap();
    assert_eq!((image.width(), image.height()), (4096, 2));
    let corners = [(0, 0), (4095, 0), (0, 1), (4095, 1)].map(|(x, y)| pixel(&image, x, y)[0]);
    assert_eq!(corners, [127, 255, 255, 255]);
    assert_eq!(picture::mask(&Mask::none((0, 4))).unwrap_err().kind(), ErrorKind::Shape);
}

#[test]
fn a_footprint_has_the_colours_of_the_counts() {
    // The inputs of the first row of the image are used by 0, 1, 2 and 3 outputs, all others by none.
    let mask = Mask::from_fn((3, 12), |row, column| column < 4 && row < column);
    let image = Pixmap::decode_png(&picture::footprint(&mask, (4, 3), "title").unwrap()).unwrap();
    // A pixel is 784 / 4 wide, from (40, 96) on.
    let colours: Vec<[u8; 3]> = (0..4).map(|column| pixel(&image, 40 + 196 * column + 98, 96 + 98)).collect();
    let luminance = |[red, green, blue]: [u8; 3]| 2 * u32::from(red) + 7 * u32::from(green) + u32::from(blue);
    assert!(colours.windows(2).all(|pair| luminance(pair[0]) < luminance(pair[1])), "{colours:?}");
    for (row, column) in [(1, 0), (1, 3), (2, 2)] {
        assert_eq!(pixel(&image, 40 + 196 * column + 98, 96 + 196 * row + 98), colours[0]);
    }
    assert_eq!(pixel(&image, 2, 2), [255; 3]);
    for image in [(5, 3), (0, 12), (usize::MAX, 2)] {
        assert_eq!(picture::footprint(&mask, image, "title").unwrap_err().kind(), ErrorKind::Value);
    }
    // Nothing kept is a picture, too.
    assert!(picture::footprint(&Mask::none((3, 12)), (4, 3), "title").is_ok());
}
