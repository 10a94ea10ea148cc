//! Between the caller's `[batch, features]`, row-major or feature-major, and tiles: `[features, samples]`; or rows,
//! which are copies.

use std::ops::Range;
use std::slice;

use ndarray::{ArrayView2, ArrayViewMut2};

use super::vector::{MAX_LANES, copy_some};
use super::{Task, Vector};

/// `tile[feature - first, sample] = rows[sample][feature]` for some features, of which `first` is the first.
pub(crate) struct RowsToTile<'a> {
    /// The features of each sample.
    pub(crate) rows: &'a [&'a [f32]],
    pub(crate) features: Range<usize>,
    /// `[features, width]`.
    pub(crate) tile: &'a mut [f32],
    /// Whole vectors, enough for the samples: lanes without a sample become 0.
    pub(crate) width: usize,
}

impl Task for RowsToTile<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { rows, features, tile, width } = self;
        assert!(rows.iter().all(|row| row.len() >= features.end), "the rows have these features");
        assert_eq!(width, rows.len().next_multiple_of(V::LANES), "enough for the samples, and no more");
        assert_eq!(tile.len(), features.len() * width, "the tile is [features, width]");
        for (block, rows) in rows.chunks(V::LANES).enumerate() {
            let sample = block * V::LANES;
            let Some(last) = features.len().checked_sub(V::LANES) else {
                for (lanes, feature) in tile.chunks_exact_mut(width).zip(features.clone()) {
                    let (lanes, padding) = lanes[sample..][..V::LANES].split_at_mut(rows.len());
                    lanes.iter_mut().zip(rows).for_each(|(lane, row)| *lane = row[feature]);
                    padding.fill(0.0);
                }
                continue;
            };
            // Any row stands in for those that a block lacks: their lanes are not kept.
            let (present, kept) = (rows.len(), (1 << rows.len()) - 1);
            let rows: [&[f32]; MAX_LANES] = std::array::from_fn(|index| rows[index.min(present - 1)]);
            for column in blocks::<V>(&rows[0][features.clone()]) {
                // The last block reaches back over its neighbour.
                let column = column.min(last);
                // SAFETY: the caller promises the instruction set; the rows have these features, a vector from the
                // column on, and the tile has `width` floats, whole vectors, for each.
                unsafe {
                    V::transpose(&rows, features.start + column, |index, lanes| {
                        let lanes = if present < V::LANES { lanes.keep(kept) } else { lanes };
                        lanes.store(tile, (column + index) * width + sample);
                    });
                }
            }
        }
    }
}

/// Where the blocks of a row begin, as long as a vector each but for the last: after the first at multiples of a vector
/// in memory, since what crosses a cache line takes twice as long.
fn blocks<V: Vector>(row: &[f32]) -> impl Iterator<Item = usize> + use<V> {
    let aligned = row.as_ptr().align_offset(size_of::<f32>() * V::LANES) % V::LANES;
    (0..aligned).step_by(V::LANES).chain((aligned..row.len()).step_by(V::LANES))
}

/// `y[sample, feature] = tile[feature, sample]`, where the features of a sample follow each other.
pub(crate) struct TileToRows<'a> {
    /// `[features, width]`.
    pub(crate) tile: &'a [f32],
    /// Whole vectors, enough for the samples.
    pub(crate) width: usize,
    /// `[samples, features]`, with a stride of 1 between features.
    pub(crate) y: ArrayViewMut2<'a, f32>,
}

impl Task for TileToRows<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { tile, width, mut y } = self;
        let (samples, features) = y.dim();
        assert_eq!(width, samples.next_multiple_of(V::LANES), "enough for the samples, and no more");
        assert_eq!(tile.len(), features * width, "the tile is [features, width]");
        assert!(y.strides()[1] == 1 || features < 2, "features follow each other");
        if samples == 0 {
            return;
        }
        let (stride, first) = (y.strides()[0], y.as_mut_ptr());
        // SAFETY: of a sample that `y` has; its features follow each other, and are borrowed for one store at a time.
        let row = |sample: usize| unsafe {
            slice::from_raw_parts_mut(first.offset(sample as isize * stride), features)
        };
        let Some(last) = features.checked_sub(V::LANES) else {
            for sample in 0..samples {
                let lanes = tile.chunks_exact(width);
                row(sample).iter_mut().zip(lanes).for_each(|(value, lanes)| *value = lanes[sample]);
            }
            return;
        };
        // With 16 lanes, 16 samples at a time: the hardware looks ahead in so many rows, and not in all of a tile. (On
        // a Granite Rapids layers with large outputs take up to 40% less so; with 8 lanes they took 1 to 4% longer.)
        let together = if V::LANES == MAX_LANES { MAX_LANES } else { samples };
        for samples in (0..samples).step_by(together).map(|first| first..samples.min(first + together)) {
            for feature in blocks::<V>(row(samples.start)) {
                // The last block reaches back over its neighbour.
                let feature = feature.min(last);
                let mut block = [tile; MAX_LANES];
                for (columns, lanes) in
                    block.iter_mut().zip(tile[feature * width..].chunks_exact(width)).take(V::LANES)
                {
                    *columns = lanes;
                }
                for sample in samples.clone().step_by(V::LANES) {
                    // SAFETY: the caller promises the instruction set; the tile has `width` floats for each feature,
                    // whole vectors, and the rows have so many features.
                    unsafe {
                        V::transpose(&block, sample, |index, lanes| {
                            if sample + index < samples.end {
                                lanes.store(row(sample + index), feature);
                            }
                        });
                    }
                }
            }
        }
    }
}

/// `to = from`. The standard library's copying makes one instruction of some kilobytes and more, for which AMD's Zen 3
/// takes twenty times as long where the place in its page is up to 28 bytes after that of the source.
pub(crate) struct CopySlice<'a> {
    pub(crate) from: &'a [f32],
    /// As long.
    pub(crate) to: &'a mut [f32],
}

impl Task for CopySlice<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { from, to } = self;
        assert_eq!(from.len(), to.len(), "as long as each other");
        let whole = from.len() / V::LANES * V::LANES;
        for at in (0..whole).step_by(V::LANES) {
            // SAFETY: the caller promises the instruction set; the lanes from `at` lie in both.
            unsafe { V::load(from, at).store(to, at) };
        }
        to[whole..].iter_mut().zip(&from[whole..]).for_each(|(to, &from)| *to = from);
    }
}

/// How many features before a tile needs them it asks for their samples: those of a large batch lie a page or more
/// apart, where no hardware looks ahead.
const AHEAD: isize = 6;

/// `tile[feature - first, sample] = x[sample, feature]`, where the samples of a feature follow each other. (The
/// standard library's copying spends as long on finding out how to go about such a short one.)
pub(crate) struct FeaturesToTile<'a> {
    /// `[samples, features]`, with a stride of 1 between samples.
    pub(crate) x: ArrayView2<'a, f32>,
    /// `[features, width]`.
    pub(crate) tile: &'a mut [f32],
    /// Whole vectors, enough for the samples: lanes without a sample become 0.
    pub(crate) width: usize,
}

impl Task for FeaturesToTile<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { x, tile, width } = self;
        let (samples, features) = x.dim();
        assert_eq!(width, samples.next_multiple_of(V::LANES), "enough for the samples, and no more");
        assert_eq!(tile.len(), features * width, "the tile is [features, width]");
        assert!(x.strides()[0] == 1 || samples < 2, "samples follow each other");
        let (stride, whole) = (x.strides()[1], samples / V::LANES * V::LANES);
        for (feature, lanes) in tile.chunks_exact_mut(width).enumerate() {
            // SAFETY: `x` has this feature, and its samples one after the other.
            let column =
                unsafe { slice::from_raw_parts(x.as_ptr().offset(feature as isize * stride), samples) };
            for at in (0..whole).step_by(V::LANES) {
                // SAFETY: the caller promises the instruction set; `at` and the lanes from there lie in both.
                unsafe {
                    V::prefetch(column, at.wrapping_add_signed(AHEAD.wrapping_mul(stride)));
                    V::load(column, at).store(lanes, at);
                }
            }
            if whole < samples {
                // SAFETY: as above; less than a vector is left, and its lanes lie in the tile.
                unsafe { V::load_some(&column[whole..]).store(lanes, whole) };
            }
        }
    }
}

/// `y[sample, feature] = tile[feature, sample]`, the other way.
pub(crate) struct TileToFeatures<'a> {
    /// `[features, width]`.
    pub(crate) tile: &'a [f32],
    /// Whole vectors, enough for the samples.
    pub(crate) width: usize,
    /// `[samples, features]`, with a stride of 1 between samples.
    pub(crate) y: ArrayViewMut2<'a, f32>,
}

impl Task for TileToFeatures<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { tile, width, mut y } = self;
        let (samples, features) = y.dim();
        assert_eq!(width, samples.next_multiple_of(V::LANES), "enough for the samples, and no more");
        assert_eq!(tile.len(), features * width, "the tile is [features, width]");
        assert!(y.strides()[0] == 1 || samples < 2, "samples follow each other");
        let (stride, whole) = (y.strides()[1], samples / V::LANES * V::LANES);
        for (feature, lanes) in tile.chunks_exact(width).enumerate() {
            // SAFETY: `y` has this feature, and its samples one after the other.
            let column = unsafe {
                slice::from_raw_parts_mut(y.as_mut_ptr().offset(feature as isize * stride), samples)
            };
            for at in (0..whole).step_by(V::LANES) {
                // SAFETY: the caller promises the instruction set; `at` and the lanes from there lie in both.
                unsafe {
                    V::prefetch(column, at.wrapping_add_signed(AHEAD.wrapping_mul(stride)));
                    V::load(lanes, at).store(column, at);
                }
            }
            if whole < samples {
                match samples {
                    // SAFETY: as above; the last vector of samples reaches back over the one before.
                    _ if whole > 0 => unsafe {
                        V::load(lanes, samples - V::LANES).store(column, samples - V::LANES);
                    },
                    _ => copy_some(lanes, column),
                }
            }
        }
    }
}
