//! Between `[batch, features]` and `[features, samples]`.

use std::ops::Range;

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
                    // SAFETY: the caller promises the instruction set; the rows can be read so far, and the tile has
                    // `width` floats, whole vectors, for each of `count` columns.
                    unsafe {
                        let row = |index: usize| &rows[index][feature..];
                        let put = |index, lanes: V| lanes.store(tile, (column + index) * width + sample);
                        V::transpose((rows.len(), count), row, put);
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
                    // SAFETY: the caller promises the instruction set; the tile has `width` floats for each feature,
                    // whole vectors, and the rows have so many features.
                    unsafe {
                        let row = |index: usize| &tile[(feature + index) * width + sample..];
                        let put = |index: usize, lanes: V| lanes.store(rows[index], feature);
                        V::transpose((V::LANES, count), row, put);
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

/// `target[row, column] = source[row, column]` for a matrix of `rows` × `columns`.
pub(crate) struct CopyRows<'a> {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) source: &'a [f32],
    /// Floats from a row of the source to the next.
    pub(crate) source_stride: usize,
    pub(crate) target: &'a mut [f32],
    /// Floats from a row of the target to the next.
    pub(crate) target_stride: usize,
}

impl Task for CopyRows<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { rows, columns, source, source_stride, target, target_stride } = self;
        if rows == 0 || columns == 0 {
            return;
        }
        assert!(source.len() >= (rows - 1) * source_stride + columns, "the source holds the matrix");
        assert!(target.len() >= (rows - 1) * target_stride + columns, "the target holds the matrix");
        let whole = columns / V::LANES * V::LANES;
        for row in 0..rows {
            let (at, to) = (row * source_stride, row * target_stride);
            for column in (0..whole).step_by(V::LANES) {
                // SAFETY: the caller promises the instruction set; source and target have been measured.
                unsafe { V::load(source, at + column).store(target, to + column) };
            }
            target[to + whole..to + columns].copy_from_slice(&source[at + whole..at + columns]);
        }
    }
}
