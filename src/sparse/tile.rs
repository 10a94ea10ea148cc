//! Between the caller's `[batch, features]` and the kernels' tiles, `[features, samples]`.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};

use crate::Isa;
use crate::kernel::Transpose;

/// The tiles of a batch: as wide as can be, and the last one rounded up to whole vectors.
pub(super) fn tiles(batch: usize, isa: Isa) -> impl Iterator<Item = Tile> {
    let widest = isa.lanes() * isa.tile_vectors();
    (0..batch).step_by(widest).map(move |start| {
        let samples = start..(start + widest).min(batch);
        Tile { width: samples.len().next_multiple_of(isa.lanes()), samples }
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
    pub(super) fn load(&self, x: ArrayView2<'_, f32>, tile: &mut [f32], isa: Isa) {
        let x = x.slice_axis(Axis(0), self.samples.clone().into());
        let (samples, features) = x.dim();
        if samples < self.width {
            tile.chunks_exact_mut(self.width).for_each(|lanes| lanes[samples..].fill(0.0));
        }
        if let Some(source) = x.as_slice() {
            let (rows, columns, source_stride, target_stride) = (samples, features, features, self.width);
            isa.run(Transpose { rows, columns, source, source_stride, target: tile, target_stride });
            return;
        }
        for (column, lanes) in x.columns().into_iter().zip(tile.chunks_exact_mut(self.width)) {
            match column.as_slice() {
                Some(column) => lanes[..samples].copy_from_slice(column),
                None => column.iter().zip(lanes).for_each(|(&value, lane)| *lane = value),
            }
        }
    }

    /// Copies `tile` (`[features, width]`) to the tile's samples of `y` (`[batch, features]`).
    pub(super) fn store(&self, tile: &[f32], mut y: ArrayViewMut2<'_, f32>, isa: Isa) {
        let mut y = y.slice_axis_mut(Axis(0), self.samples.clone().into());
        let (samples, features) = y.dim();
        if let Some(target) = y.as_slice_mut() {
            let (rows, columns, source_stride, target_stride) = (features, samples, self.width, features);
            isa.run(Transpose { rows, columns, source: tile, source_stride, target, target_stride });
            return;
        }
        for (mut column, lanes) in y.columns_mut().into_iter().zip(tile.chunks_exact(self.width)) {
            match column.as_slice_mut() {
                Some(column) => column.copy_from_slice(&lanes[..samples]),
                None => column.iter_mut().zip(lanes).for_each(|(value, &lane)| *value = lane),
            }
        }
    }
}
