//! Between the caller's `[batch, features]` and the kernels' tiles, `[features, samples]`.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis, s};

use crate::Isa;
use crate::kernel::{CopyRows, Transpose};

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
    /// Copies some features of the tile's samples of `x` (`[batch, features]`) to `tile` (`[features, width]`); lanes
    /// without a sample become 0.
    pub(super) fn load(&self, x: ArrayView2<'_, f32>, features: Range<usize>, tile: &mut [f32], isa: Isa) {
        let ((batch, width), (samples, start)) = (x.dim(), (self.samples.len(), self.samples.start));
        if let Some(source) = x.to_slice() {
            return isa.run(Transpose {
                rows: samples,
                columns: features.len(),
                padded_rows: self.width,
                source: &source[start * width + features.start..],
                source_stride: width,
                target: tile,
                target_stride: self.width,
            });
        }
        if samples < self.width {
            tile.chunks_exact_mut(self.width).for_each(|lanes| lanes[samples..].fill(0.0));
        }
        if let Some(source) = x.reversed_axes().to_slice() {
            isa.run(CopyRows {
                rows: features.len(),
                columns: samples,
                source: &source[features.start * batch + start..],
                source_stride: batch,
                target: tile,
                target_stride: self.width,
            });
        } else {
            let x = x.slice(s![self.samples.clone(), features]);
            for (column, lanes) in x.columns().into_iter().zip(tile.chunks_exact_mut(self.width)) {
                match column.as_slice() {
                    Some(column) => lanes[..samples].copy_from_slice(column),
                    None => column.iter().zip(lanes).for_each(|(&value, lane)| *lane = value),
                }
            }
        }
    }

    /// Copies `tile` (`[features, width]`) to the tile's samples of `y` (`[batch, features]`).
    pub(super) fn store(&self, tile: &[f32], mut y: ArrayViewMut2<'_, f32>, isa: Isa) {
        let ((batch, features), (samples, start)) = (y.dim(), (self.samples.len(), self.samples.start));
        if let Some(target) = y.as_slice_mut() {
            isa.run(Transpose {
                rows: features,
                columns: samples,
                padded_rows: features,
                source: tile,
                source_stride: self.width,
                target: &mut target[start * features..],
                target_stride: features,
            });
        } else if let Some(target) = y.view_mut().reversed_axes().as_slice_mut() {
            isa.run(CopyRows {
                rows: features,
                columns: samples,
                source: tile,
                source_stride: self.width,
                target: &mut target[start..],
                target_stride: batch,
            });
        } else {
            let mut y = y.slice_axis_mut(Axis(0), self.samples.clone().into());
            for (mut column, lanes) in y.columns_mut().into_iter().zip(tile.chunks_exact(self.width)) {
                match column.as_slice_mut() {
                    Some(column) => column.copy_from_slice(&lanes[..samples]),
                    None => column.iter_mut().zip(lanes).for_each(|(value, &lane)| *value = lane),
                }
            }
        }
    }
}
