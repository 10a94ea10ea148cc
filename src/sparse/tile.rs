//! Between the caller's `[batch, features]` and the kernels' tiles, `[features, samples]`.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};

/// Features that are moved together: a block of 16 × 16 floats fits 16 cache lines on either side.
const BLOCK: usize = 16;

/// The tiles of a batch: as wide as can be, and the last one rounded up to whole vectors.
pub(super) fn tiles(batch: usize, lanes: usize, vectors: usize) -> impl Iterator<Item = Tile> {
    let widest = lanes * vectors;
    (0..batch).step_by(widest).map(move |start| {
        let samples = start..(start + widest).min(batch);
        Tile { width: samples.len().next_multiple_of(lanes), samples }
    })
}

/// Some samples of a batch, and the width of the tile that holds them.
pub(super) struct Tile {
    pub(super) samples: Range<usize>,
    pub(super) width: usize,
}

impl Tile {
    /// Copies the tile's samples of `x` (`[batch, features]`) to `tile` (`[features, width]`); lanes without a sample
    /// become 0.
    pub(super) fn load(&self, x: ArrayView2<'_, f32>, tile: &mut [f32]) {
        let x = x.slice_axis(Axis(0), self.samples.clone().into());
        if self.samples.len() < self.width {
            tile.fill(0.0);
        }
        if x.strides()[0] == 1 {
            for (column, lanes) in x.columns().into_iter().zip(tile.chunks_exact_mut(self.width)) {
                column.iter().zip(lanes).for_each(|(&value, lane)| *lane = value);
            }
            return;
        }
        for (block, features) in tile.chunks_mut(BLOCK * self.width).enumerate() {
            for (lane, row) in x.rows().into_iter().enumerate() {
                let start = block * BLOCK;
                let lanes = features[lane..].iter_mut().step_by(self.width);
                match row.as_slice() {
                    Some(row) => row[start..].iter().zip(lanes).for_each(|(&value, lane)| *lane = value),
                    None => row.iter().skip(start).zip(lanes).for_each(|(&value, lane)| *lane = value),
                }
            }
        }
    }

    /// Copies `tile` (`[features, width]`) to the tile's samples of `y` (`[batch, features]`).
    pub(super) fn store(&self, tile: &[f32], mut y: ArrayViewMut2<'_, f32>) {
        let mut y = y.slice_axis_mut(Axis(0), self.samples.clone().into());
        if y.strides()[0] == 1 {
            for (mut column, lanes) in y.columns_mut().into_iter().zip(tile.chunks_exact(self.width)) {
                column.iter_mut().zip(lanes).for_each(|(value, &lane)| *value = lane);
            }
            return;
        }
        for (block, features) in tile.chunks(BLOCK * self.width).enumerate() {
            for (lane, mut row) in y.rows_mut().into_iter().enumerate() {
                let start = block * BLOCK;
                let lanes = features[lane..].iter().step_by(self.width);
                match row.as_slice_mut() {
                    Some(row) => row[start..].iter_mut().zip(lanes).for_each(|(value, &lane)| *value = lane),
                    None => row.iter_mut().skip(start).zip(lanes).for_each(|(value, &lane)| *value = lane),
                }
            }
        }
    }
}
