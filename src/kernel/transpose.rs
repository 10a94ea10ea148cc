//! Between the caller's `[batch, features]`, row-major or feature-major, and tiles: `[features, samples]`.

use std::ops::Range;
use std::slice;

use ndarray::{ArrayView2, ArrayViewMut2};

use super::vector::MAX_LANES;
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
        assert!(width.is_multiple_of(V::LANES) && width >= rows.len(), "whole vectors of samples");
        assert_eq!(tile.len(), features.len() * width, "the tile is [features, width]");
        for sample in (0..width).step_by(V::LANES) {
            let rows = &rows[sample.min(rows.len())..(sample + V::LANES).min(rows.len())];
            let readable = rows.iter().map(|row| row.len()).min().unwrap_or(0);
            for (column, feature) in features.clone().enumerate().step_by(V::LANES) {
                let (mut column, mut feature, mut count) = (column, feature, V::LANES);
                if feature + V::LANES > features.end {
                    // The last block reaches back over its neighbour, if there is one.
                    let back = (feature + V::LANES - features.end).min(column);
                    (column, feature) = (column - back, feature - back);
                    count = features.end - feature;
                }
                if feature + V::LANES <= readable {
                    let block =
                        std::array::from_fn(|index| rows.get(index).map_or(&NONE[..], |row| &row[feature..]));
                    // SAFETY: the caller promises the instruction set; the rows can be read so far, and the tile has
                    // `width` floats, whole vectors, for each of `count` columns.
                    unsafe {
                        V::transpose(block, |index, lanes| {
                            if index < count {
                                lanes.store(tile, (column + index) * width + sample);
                            }
                        });
                    }
                } else {
                    for index in 0..count {
                        let lanes = &mut tile[(column + index) * width + sample..][..V::LANES];
                        for (lane, value) in lanes.iter_mut().enumerate() {
                            *value = rows.get(lane).map_or(0.0, |row| row[feature + index]);
                        }
                    }
                }
            }
        }
    }
}

/// Stands in for the rows that a block lacks.
static NONE: [f32; MAX_LANES] = [0.0; MAX_LANES];

/// `rows[sample][feature] = tile[feature, sample]`.
pub(crate) struct TileToRows<'a, 'b> {
    /// `[features, width]`.
    pub(crate) tile: &'a [f32],
    /// Whole vectors, enough for the samples.
    pub(crate) width: usize,
    /// The features of each sample.
    pub(crate) rows: &'a mut [&'b mut [f32]],
}

impl Task for TileToRows<'_, '_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { tile, width, rows } = self;
        let features = tile.len() / width;
        assert!(width.is_multiple_of(V::LANES) && width >= rows.len(), "whole vectors of samples");
        assert!(rows.iter().all(|row| row.len() == features), "the rows have the features of the tile");
        for (block, rows) in rows.chunks_mut(V::LANES).enumerate() {
            let (sample, count) = (block * V::LANES, rows.len());
            for feature in (0..features).step_by(V::LANES) {
                let feature = feature.min(features.saturating_sub(V::LANES));
                if feature + V::LANES <= features {
                    let block = std::array::from_fn(|index| {
                        if index < V::LANES { &tile[(feature + index) * width + sample..] } else { &NONE[..] }
                    });
                    // SAFETY: the caller promises the instruction set; the tile has `width` floats for each feature,
                    // whole vectors, and the rows have so many features.
                    unsafe {
                        V::transpose(block, |index, lanes| {
                            if index < count {
                                lanes.store(rows[index], feature);
                            }
                        });
                    }
                } else {
                    for (lane, row) in rows.iter_mut().enumerate() {
                        for (feature, value) in row.iter_mut().enumerate() {
                            *value = tile[feature * width + sample + lane];
                        }
                    }
                }
            }
        }
    }
}

/// How many features before a tile needs them it asks for their samples: those of a large batch lie a page or more apart, where no
/// hardware looks ahead.
const AHEAD: isize = 6;

/// `tile[feature - first, sample] = x[sample, feature]`, where the samples of a feature follow each other. (The standard library's
/// copying spends as long on finding out how to go about such a short one.)
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
                    V::prefetch(column, (AHEAD * stride) as usize + at);
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
                    V::prefetch(column, (AHEAD * stride) as usize + at);
                    V::load(lanes, at).store(column, at);
                }
            }
            if whole < samples {
                // SAFETY: as above; less than a vector is left, and its lanes lie in the tile.
                unsafe { V::load(lanes, whole).store_some(&mut column[whole..]) };
            }
        }
    }
}
