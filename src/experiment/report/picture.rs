//! Masks as pictures, in PNG.

use std::sync::{Arc, OnceLock};

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use resvg::tiny_skia::{Pixmap, PremultipliedColorU8, Transform};
use resvg::usvg::fontdb::Database;
use resvg::usvg::{Options, Tree};

use super::plot::{GREY, nice};
use crate::{Error, ErrorKind, Mask, Result};

/// Pixels of a PNG for one of an SVG.
const ZOOM: usize = 2;
/// The longer side of a mask's picture is at least this long, if the mask is not longer by itself.
const SMALL: usize = 800;
/// And at most this long.
const LARGE: usize = 4096;
/// The same of a footprint, without what is around it.
const FOOTPRINT: usize = 784;

/// A mask as a picture in PNG: white is kept, black is pruned; rows are outputs, columns inputs. Small ones are
/// enlarged; of one that is longer than 4096, a pixel is grey by the share that a block of weights keeps.
///
/// # Errors
/// When the mask has no weights.
pub fn mask(mask: &Mask) -> Result<Vec<u8>> {
    let (rows, columns) = mask.shape();
    let longer = rows.max(columns);
    let (block, scale) = (longer.div_ceil(LARGE).max(1), (SMALL / longer.max(1)).max(1));
    let (height, width) = (rows.div_ceil(block), columns.div_ceil(block));
    let mut kept = vec![0_usize; height * width];
    for row in 0..rows {
        mask.row(row).for_each(|column| kept[row / block * width + column / block] += 1);
    }
    let mut pixmap = pixmap("picture::mask", width * scale, height * scale)?;
    for (index, kept) in kept.into_iter().enumerate() {
        let (row, column) = (index / width, index % width);
        // At the edge a block is cut.
        let side = |start: usize, end: usize| block.min(end - start * block);
        let grey = (255 * kept / (side(row, rows) * side(column, columns))) as u8;
        fill(&mut pixmap, (column * scale, row * scale), scale, [grey; 3]);
    }
    encode("picture::mask", &pixmap)
}

/// Where on an image `(width, height)` the weights of an input layer are that its mask keeps, as a heat map in PNG:
/// each pixel's count of kept weights, over all outputs. The inputs are the pixels, row by row.
///
/// # Errors
/// When the image has not as many pixels as the mask has inputs, or none.
pub fn footprint(mask: &Mask, image: (usize, usize), title: &str) -> Result<Vec<u8>> {
    let operation = "picture::footprint";
    let (width, height) = image;
    let pixels = mask.shape().1;
    if width.checked_mul(height) != Some(pixels) || pixels == 0 {
        let expected = match pixels {
            0 => "a mask with inputs, the pixels".into(),
            pixels => format!("{pixels} pixels, the inputs of the mask"),
        };
        return Err(Error::value(operation, "image", expected, format!("{width}×{height}")));
    }
    let mut counts = vec![0_usize; width * height];
    for row in 0..mask.shape().0 {
        mask.row(row).for_each(|pixel| counts[pixel] += 1);
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let scale = (FOOTPRINT / width.max(height).max(1)).max(1);
    let frame = Frame { size: [width, height].map(|side| (side * scale).div_ceil(ZOOM) as i32), most, title };
    let mut pixmap = rasterise(&frame.svg().map_err(|source| broken(operation, source))?)?;
    for (index, count) in counts.into_iter().enumerate() {
        let (row, column) = (index / width, index % width);
        let place = (Frame::LEFT as usize * ZOOM + column * scale, Frame::TOP as usize * ZOOM + row * scale);
        fill(&mut pixmap, place, scale, heat(count as f32 / most as f32));
    }
    encode(operation, &pixmap)
}

/// What is around a footprint: a title, and the scale of the colours.
struct Frame<'a> {
    /// Of the footprint, in pixels of the SVG.
    size: [i32; 2],
    most: usize,
    title: &'a str,
}

impl Frame<'_> {
    const LEFT: i32 = 20;
    const TOP: i32 = 48;

    fn svg(&self) -> std::result::Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let [width, height] = self.size;
        let (left, bottom) = (Self::LEFT + width + 18, Self::TOP + height);
        // A title may be wider than a narrow picture.
        let whole = (left + 90).max(2 * Self::LEFT + 8 * self.title.chars().count() as i32);
        let mut svg = String::new();
        {
            let root =
                SVGBackend::with_string(&mut svg, (whole as u32, (bottom + 20) as u32)).into_drawing_area();
            root.fill(&WHITE)?;
            let style =
                |size: u32, h| ("sans-serif", size).into_text_style(&root).pos(Pos::new(h, VPos::Center));
            root.draw(&Text::new(self.title, (Self::LEFT, 24), style(16, HPos::Left)))?;
            for y in 0..height {
                let [red, green, blue] = heat(1.0 - y as f32 / (height - 1).max(1) as f32);
                let row = [(left, Self::TOP + y), (left + 16, Self::TOP + y + 1)];
                root.draw(&Rectangle::new(row, RGBColor(red, green, blue).filled()))?;
            }
            // Counts are whole.
            let ticks = nice(0.0, self.most as f64, 5.0).1;
            for tick in ticks.into_iter().filter(|tick| tick.fract() == 0.0 && *tick <= self.most as f64) {
                let y = bottom - (f64::from(height) * tick / self.most as f64).round() as i32;
                root.draw(&PathElement::new([(left + 16, y), (left + 21, y)], GREY))?;
                root.draw(&Text::new(format!("{tick}"), (left + 26, y), style(13, HPos::Left)))?;
            }
            let style = style(13, HPos::Center).transform(FontTransform::Rotate90).color(&GREY);
            root.draw(&Text::new("kept weights", (left + 64, Self::TOP + height / 2), style))?;
            root.present()?;
        }
        Ok(svg)
    }
}

/// The colour of a number between 0 and 1.
fn heat(share: f32) -> [u8; 3] {
    let RGBColor(red, green, blue) = ViridisRGB.get_color(share);
    [red, green, blue]
}

/// An SVG as PNG, twice its size.
pub(super) fn png(svg: &str) -> Result<Vec<u8>> {
    encode("picture::png", &rasterise(svg)?)
}

fn rasterise(svg: &str) -> Result<Pixmap> {
    static FONTS: OnceLock<Arc<Database>> = OnceLock::new();
    // A font that the program brings along, for the same picture everywhere.
    let fonts = FONTS.get_or_init(|| {
        let mut fonts = Database::new();
        fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
        let family =
            fonts.faces().next().and_then(|face| face.families.first()).map(|family| family.0.clone());
        fonts.set_sans_serif_family(family.unwrap_or_default());
        Arc::new(fonts)
    });
    let options = Options { fontdb: Arc::clone(fonts), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|source| broken("picture::png", source))?;
    let size = tree.size();
    let side = |length: f32| length.ceil() as usize * ZOOM;
    let mut pixmap = pixmap("picture::png", side(size.width()), side(size.height()))?;
    resvg::render(&tree, Transform::from_scale(ZOOM as f32, ZOOM as f32), &mut pixmap.as_mut());
    Ok(pixmap)
}

fn pixmap(operation: &'static str, width: usize, height: usize) -> Result<Pixmap> {
    let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    Pixmap::new(side(width), side(height)).ok_or_else(|| {
        Error::shape(operation, "picture", "a width and a height that a picture can have", (width, height))
    })
}

/// A square in one colour; what of it is outside is left out.
fn fill(pixmap: &mut Pixmap, (left, top): (usize, usize), side: usize, [red, green, blue]: [u8; 3]) {
    let (width, height) = (pixmap.width() as usize, pixmap.height() as usize);
    let Some(colour) = PremultipliedColorU8::from_rgba(red, green, blue, u8::MAX) else { return };
    for row in top..(top + side).min(height) {
        pixmap.pixels_mut()[row * width + left.min(width)..row * width + (left + side).min(width)]
            .fill(colour);
    }
}

fn encode(operation: &'static str, pixmap: &Pixmap) -> Result<Vec<u8>> {
    pixmap.encode_png().map_err(|source| broken(operation, source))
}

fn broken(operation: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::caused_by(ErrorKind::Unsupported, operation, "picture", "one that can be drawn", source)
}
