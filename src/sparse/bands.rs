//! A layer on a tile of samples, its bands of rows shared out between threads.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};

use super::tile::Tile;
use super::workspace::Buffers;
use super::{SparseLinear, join};
use crate::Activation;
use crate::format::PanelMatrix;
use crate::kernel::{Activate, MAX_TILE, SpmmPanel, is_fused};

/// Bands of rows that are walked together while a tile is loaded: their sums, too, stay in the second-level cache.
const BANDS_TOGETHER: usize = 2;

/// What a layer reads.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    /// The caller's `[batch, in]`.
    Batch(ArrayView2<'a, f32>),
    /// `[in, width]`.
    Tile(&'a [f32]),
}

/// Where some rows of a layer leave their activations.
pub(super) struct Output<'a> {
    /// `[rows, width]`.
    pub(super) tile: &'a mut [f32],
    /// The tile's samples in the caller's `[batch, out]`, after the last layer.
    pub(super) batch: Option<ArrayViewMut2<'a, f32>>,
}

impl Output<'_> {
    /// The first `rows`, and the others.
    fn split(self, rows: usize, width: usize) -> (Self, Self) {
        let (tile, tile_rest) = self.tile.split_at_mut(rows * width);
        let (batch, batch_rest) = self.batch.map(|batch| batch.split_at(Axis(1), rows)).unzip();
        (Self { tile, batch }, Self { tile: tile_rest, batch: batch_rest })
    }
}

impl SparseLinear {
    /// Whether the sums of a tile are kept in the caller's `y` from the first panel on, instead of in a buffer that is
    /// copied there at the end. For that `y` has to lie as a tile does: feature-major, without gaps, with no samples
    /// but the tile's. Each panel loads the sums and stores them again; where `y` does not begin at a whole vector,
    /// half of the vectors of 8 lanes and all of those of 16 cross a cache line each time, and with many panels that
    /// takes longer than the copy (measured with AVX2).
    fn sums_at_once(&self, tile: &Tile, y: &ArrayViewMut2<'_, f32>) -> bool {
        let (lanes, panels) = (self.isa().lanes(), self.panels(tile.widest).panels_of_band());
        let aligned = (y.as_ptr() as usize).is_multiple_of(size_of::<f32>() * lanes);
        y.nrows() == tile.width && y.t().is_standard_layout() && (aligned || lanes * panels <= 32)
    }

    /// The layer on a tile of samples. Threads of the current rayon pool share its rows out, as many as there are
    /// `others` beside this one. Each brings samples of the caller's into a buffer for itself, `own` or the first of
    /// its two: to wait for what another one has brought would take longer.
    pub(super) fn forward_tile(
        &self,
        tile: &Tile,
        input: Input<'_>,
        own: &mut [f32],
        others: &mut [Buffers],
        mut output: Output<'_>,
    ) {
        if let Some(y) = output.batch.take_if(|y| self.sums_at_once(tile, y)) {
            output.tile = y.reversed_axes().into_slice().unwrap_or_else(|| unreachable!("there is no gap"));
        }
        let softmax = self.activation() == Activation::Softmax;
        // It is not there before all rows are.
        let batch = if softmax { output.batch.take() } else { None };
        let rows = Output { tile: &mut *output.tile, batch: output.batch };
        self.share_bands(0..self.panels(tile.widest).bands(), tile, input, own, others, rows);
        if softmax {
            let (activation, values, features) = (self.activation(), &mut *output.tile, self.shape().0);
            self.isa().run(Activate { activation, values, features, by_features: true });
        }
        if let Some(batch) = batch {
            tile.store(output.tile, batch, self.isa());
        }
    }

    fn share_bands(
        &self,
        bands: Range<usize>,
        tile: &Tile,
        input: Input<'_>,
        own: &mut [f32],
        others: &mut [Buffers],
        output: Output<'_>,
    ) {
        let matrix = self.panels(tile.widest);
        if others.is_empty() || bands.len() < 2 {
            match input {
                Input::Batch(x) => self.forward_loading(matrix, bands, tile, x, own, output.tile),
                Input::Tile(x) => {
                    let panels = 0..matrix.panels_of_band();
                    self.forward_bands(matrix, bands, panels, tile, x, output.tile);
                }
            }
            if let Some(batch) = output.batch {
                tile.store(output.tile, batch, self.isa());
            }
            return;
        }
        // With more threads than bands, a half of the threads could be left without a band: no more of them than bands
        // are counted.
        let threads = (others.len() + 1).min(bands.len());
        let middle = bands.start + bands.len() * (threads / 2) / threads;
        let (left, right) = output.split(matrix.rows_of(bands.start..middle).len(), tile.width);
        let (beside_left, rest) = others.split_at_mut(threads / 2 - 1);
        let ([first], beside_right) = rest.split_at_mut(1) else { unreachable!("half the threads or more") };
        join(
            || self.share_bands(bands.start..middle, tile, input, own, beside_left, left),
            || self.share_bands(middle..bands.end, tile, input, &mut first[0], beside_right, right),
        );
    }

    /// Some bands of the layer on a tile of the caller's samples, which are brought into `buffer` (`[in, width]` and
    /// more) a panel at a time: the first bands of rows find them in the cache.
    fn forward_loading(
        &self,
        matrix: &PanelMatrix,
        bands: Range<usize>,
        tile: &Tile,
        x: ArrayView2<'_, f32>,
        buffer: &mut [f32],
        y: &mut [f32],
    ) {
        let (width, mut rows) = (tile.width, [&[] as &[f32]; MAX_TILE]);
        let source = tile.source(x, &mut rows);
        let together = (bands.start + BANDS_TOGETHER).min(bands.end);
        let (first, rest) = y.split_at_mut(matrix.rows_of(bands.start..together).len() * width);
        for panel in 0..matrix.panels_of_band() {
            let features = matrix.columns_of(panel..panel + 1);
            // What no other band needs is overwritten, and so never leaves the first-level cache.
            let start = if rest.is_empty() { 0 } else { features.start * width };
            let buffer = &mut buffer[start..start + features.len() * width];
            tile.load(&source, features, buffer, self.isa());
            self.forward_bands(matrix, bands.start..together, panel..panel + 1, tile, buffer, first);
        }
        let (panels, loaded) = (0..matrix.panels_of_band(), &buffer[..self.shape().1 * width]);
        self.forward_bands(matrix, together..bands.end, panels, tile, loaded, rest);
    }

    /// Some bands of rows, of which `y` has the outputs, on some panels, of which `x` has the inputs.
    fn forward_bands(
        &self,
        matrix: &PanelMatrix,
        bands: Range<usize>,
        panels: Range<usize>,
        tile: &Tile,
        x: &[f32],
        y: &mut [f32],
    ) {
        let (activation, samples, isa) = (self.activation(), tile.width, self.isa());
        let complete = panels.end == matrix.panels_of_band();
        let mut rest = y;
        for band in bands {
            let rows = matrix.rows_of(band..band + 1);
            let (y, after) = rest.split_at_mut(rows.len() * samples);
            let (bias, panels) = (&self.bias_slice()[rows.clone()], panels.clone());
            let y = &mut *y;
            isa.run(SpmmPanel {
                matrix,
                band,
                panels,
                bias,
                activation,
                samples,
                sums_twice: tile.widest == 1 && isa.sums_twice(),
                splat_by_loads: isa.splats_by_loads(),
                ask_ahead: isa.asks_ahead(matrix.values().len()),
                x,
                y,
            });
            if complete && !is_fused(activation) && activation != Activation::Softmax {
                let features = rows.len();
                isa.run(Activate { activation, values: y, features, by_features: true });
            }
            rest = after;
        }
    }
}
