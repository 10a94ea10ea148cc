//! Between the caller's `[batch, features]` and the kernels' tiles, `[features, samples]`.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};

use crate::Isa;
use crate::kernel::{CopySlice, FeaturesToTile, MAX_TILE, RowsToTile, TileToFeatures, TileToRows};

/// The tiles of a batch, the widest first, and the last one rounded up to whole vectors.
pub(crate) fn tiles(batch: usize, isa: Isa) -> impl Iterator<Item = Tile> {
    let (mut start, widest) = (0, isa.widest_tile(batch));
    std::iter::from_fn(move || {
        let width = isa.widest_tile(batch - start) * isa.lanes();
        let samples = start..batch.min(start + width);
        start = samples.end;
        (!samples.is_empty()).then_some(Tile { samples, width, widest })
    })
}

/// Some samples of a batch, and the width of the tile that holds them.
pub(crate) struct Tile {
    pub(crate) samples: Range<usize>,
    pub(crate) width: usize,
    /// Vectors of the widest tile of its batch: panels are packed for these.
    pub(crate) widest: usize,
}

/// The samples of a tile in the caller's `[batch, features]`, by what is contiguous there.
pub(super) enum Source<'a, 'b> {
    /// The features of each sample.
    Rows(&'b [&'a [f32]]),
    /// The samples of each feature, or nothing.
    Features(ArrayView2<'a, f32>),
}

impl Tile {
    /// Where the tile's samples are in `x` (`[batch, features]`). `rows` is the place for their slices: to hand so many
    /// on takes as long as a small layer.
    pub(super) fn source<'a, 'b>(
        &self,
        x: ArrayView2<'a, f32>,
        rows: &'b mut [&'a [f32]; MAX_TILE],
    ) -> Source<'a, 'b> {
        for (row, sample) in rows.iter_mut().zip(self.samples.clone()) {
            let Some(features) = x.index_axis_move(Axis(0), sample).to_slice() else {
                return Source::Features(x.slice_axis_move(Axis(0), self.samples.clone().into()));
            };
            *row = features;
        }
        Source::Rows(&rows[..self.samples.len()])
    }

    /// Copies some features of the tile's samples to `tile` (`[features, width]`); lanes without a sample become 0.
    pub(super) fn load(&self, source: &Source<'_, '_>, features: Range<usize>, tile: &mut [f32], isa: Isa) {
        let (samples, width) = (self.samples.len(), self.width);
        let x = match *source {
            Source::Rows(rows) => return isa.run(RowsToTile { rows, features, tile, width }),
            Source::Features(x) => x.slice_axis_move(Axis(1), features.into()),
        };
        // A batch that is this tile, without a gap.
        if let Some(x) = x.reversed_axes().to_slice().filter(|_| samples == width) {
            return isa.run(CopySlice { from: x, to: tile });
        }
        if x.strides()[0] == 1 {
            return isa.run(FeaturesToTile { x, tile, width });
        }
        for (column, lanes) in x.columns().into_iter().zip(tile.chunks_exact_mut(width)) {
            let (lanes, padding) = lanes.split_at_mut(samples);
            column.iter().zip(lanes).for_each(|(&value, lane)| *lane = value);
            padding.fill(0.0);
        }
    }

    /// Copies `tile` (`[features, width]`) to the tile's samples in the caller's matrix, `y` (`[samples, features]`).
    pub(super) fn store(&self, tile: &[f32], mut y: ArrayViewMut2<'_, f32>, isa: Isa) {
        let (samples, width) = (self.samples.len(), self.width);
        if y.strides()[1] == 1 {
            return isa.run(TileToRows { tile, width, y });
        }
        if let Some(y) = y.view_mut().reversed_axes().into_slice().filter(|_| samples == width) {
            return isa.run(CopySlice { from: tile, to: y });
        }
        if y.strides()[0] == 1 {
            return isa.run(TileToFeatures { tile, width, y });
        }
        for (column, lanes) in y.columns_mut().into_iter().zip(tile.chunks_exact(width)) {
            column.into_iter().zip(lanes).for_each(|(value, &lane)| *value = lane);
        }
    }
}
