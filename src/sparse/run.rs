//! The forward pass, as a plan has it.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};

use super::bands::{Input, Output};
use super::rows::Rows;
use super::tile::{Tile, tiles};
use super::workspace::{Buffers, Workspace, matrix, matrix_mut};
use super::{SparseMlp, join};
use crate::aligned::Aligned;
use crate::plan::{self, Format, Layout, Plan};

/// Samples that are taken together where activations of the whole batch lie between layers: enough for a dense product
/// to pay for packing its weights, and no more memory than that.
pub(super) const CHUNK: usize = 2048;

/// Some neighbouring layers that work on the same layout, each by its format.
struct Stretch {
    layout: Layout,
    layers: Range<usize>,
}

impl Stretch {
    /// The one that begins with a layer, if there is such a layer. A dense layer is one of its own.
    fn at(plan: &Plan, start: usize) -> Option<Self> {
        let layout = plan.format(start)?.layout();
        let mut end = start + 1;
        while layout != Layout::Batch && plan.format(end).is_some_and(|format| format.layout() == layout) {
            end += 1;
        }
        Some(Self { layout, layers: start..end })
    }
}

/// All of a plan.
fn stretches(plan: &Plan) -> impl Iterator<Item = Stretch> {
    std::iter::successors(Stretch::at(plan, 0), |stretch| Stretch::at(plan, stretch.layers.end))
}

impl SparseMlp {
    /// Floats of each of the two matrices that lie between the stretches of a plan, for a batch.
    pub(super) fn between_len(&self, plan: &Plan, batch: usize) -> usize {
        let after = stretches(plan).filter_map(|stretch| self.layers().get(stretch.layers.end));
        after.map(|layer| layer.shape().1).max().unwrap_or(0) * batch.min(CHUNK)
    }

    /// [`run`](Self::run) by another plan of this network.
    pub(crate) fn run_planned(
        &self,
        plan: &Plan,
        x: ArrayView2<'_, f32>,
        y: ArrayViewMut2<'_, f32>,
        workspace: &mut Workspace,
    ) {
        workspace.plan.clone_from(plan);
        self.run(x, y, workspace);
    }

    /// Runs the plan of the workspace, which is one for these samples.
    pub(super) fn run(
        &self,
        mut x: ArrayView2<'_, f32>,
        mut y: ArrayViewMut2<'_, f32>,
        Workspace { plan, threads, between }: &mut Workspace,
    ) {
        let needed = self.between_len(plan, x.nrows());
        if between[0].len() < needed {
            *between = std::array::from_fn(|_| Aligned::zeros(needed));
        }
        let batch = x.nrows();
        while needed > 0 && x.nrows() > CHUNK {
            let (chunk, x_rest) = x.split_at(Axis(0), CHUNK);
            let (y_chunk, y_rest) = y.split_at(Axis(0), CHUNK);
            self.run_chunk(chunk, y_chunk, plan, threads, between, batch);
            (x, y) = (x_rest, y_rest);
        }
        self.run_chunk(x, y, plan, threads, between, batch);
    }

    fn run_chunk(
        &self,
        x: ArrayView2<'_, f32>,
        mut y: ArrayViewMut2<'_, f32>,
        plan: &Plan,
        threads: &mut [Buffers],
        [before, after]: &mut Buffers,
        batch: usize,
    ) {
        let samples = x.nrows();
        let (mut before, mut after) = (&mut before[..], &mut after[..]);
        let features = || {
            let layers = self.layers().iter().zip(plan.choices());
            let dense = layers.filter(|(_, choice)| choice.format == Format::Dense);
            plan::by_features(dense.map(|(layer, _)| layer.shape().0), samples, self.isa())
        };
        let mut by_features = false;
        for Stretch { layout, layers } in stretches(plan) {
            let (inputs, out) =
                (self.layers()[layers.start].shape().1, self.layers()[layers.end - 1].shape().0);
            let x =
                if layers.start == 0 { x } else { matrix(&before[..samples * inputs], samples, by_features) };
            let y = match plan.format(layers.end) {
                Some(next) => {
                    let rows = [layout, next.layout()].contains(&Layout::Rows);
                    by_features = !rows && features();
                    matrix_mut(&mut after[..samples * out], samples, by_features)
                }
                None => y.view_mut(),
            };
            match layout {
                Layout::Rows => self.run_rows(plan, layers, x, y, &mut threads[0], batch == 1),
                Layout::Tiles => self.run_tiles(layers, x, y, threads, self.isa().widest_tile(batch)),
                Layout::Batch => {
                    #[cfg(feature = "dense")]
                    {
                        let count = threads.len();
                        let buffers = threads[0].each_mut().map(|buffer| &mut buffer[..]);
                        self.layers()[layers.start].forward_batch(x, y, buffers, count);
                    }
                }
            }
            std::mem::swap(&mut before, &mut after);
        }
    }

    /// A larger batch, in tiles. Threads share its samples out as long as that gives each a tile, and then the rows of
    /// those layers that have many. The whole batch has a `widest` tile of so many vectors.
    fn run_tiles(
        &self,
        layers: Range<usize>,
        x: ArrayView2<'_, f32>,
        mut y: ArrayViewMut2<'_, f32>,
        threads: &mut [Buffers],
        widest: usize,
    ) {
        let one_tile = tiles(x.nrows(), self.isa()).nth(1).is_none();
        let share_rows = one_tile && self.layers()[layers.clone()].iter().any(|layer| layer.shares() > 1);
        if threads.len() > 1 && !share_rows {
            let (left, right) = threads.split_at_mut(threads.len() / 2);
            // Whole vectors to the left, so that only the last part has an incomplete one.
            let share = x.nrows() * left.len() / (left.len() + right.len());
            let middle = share.next_multiple_of(self.isa().lanes()).min(x.nrows());
            let (x_left, x_right) = x.split_at(Axis(0), middle);
            let (y_left, y_right) = y.split_at(Axis(0), middle);
            join(
                || self.run_tiles(layers.clone(), x_left, y_left, left, widest),
                || self.run_tiles(layers.clone(), x_right, y_right, right, widest),
            );
            return;
        }
        for tile in tiles(x.nrows(), self.isa()) {
            // The part of a thread is run as it would be by one: to the same bits.
            let tile = Tile { widest, ..tile };
            let y = y.view_mut().slice_axis_move(Axis(0), tile.samples.clone().into());
            self.run_tile(layers.clone(), &tile, x, y, threads);
        }
    }

    /// Runs one tile through some layers, on some threads: `x` is the whole `[batch, in]`, `y` the `[samples, out]` of the tile.
    fn run_tile(
        &self,
        layers: Range<usize>,
        tile: &Tile,
        x: ArrayView2<'_, f32>,
        y: ArrayViewMut2<'_, f32>,
        threads: &mut [Buffers],
    ) {
        let (first, others) = threads.split_first_mut().unwrap_or_else(|| unreachable!("there is a thread"));
        let [mut before, mut after] = first.each_mut().map(|buffer| &mut buffer[..]);
        let (mut y, count) = (Some(y), layers.len());
        for (index, layer) in self.layers()[layers].iter().enumerate() {
            let (out, inputs) = layer.shape();
            let batch = if index + 1 == count { y.take() } else { None };
            let output = Output { tile: &mut after[..out * tile.width], batch };
            let (input, own) = match index {
                0 => (Input::Batch(x), &mut *before),
                _ => (Input::Tile(&before[..inputs * tile.width]), &mut [] as &mut [f32]),
            };
            layer.forward_tile(tile, input, own, others, output);
            std::mem::swap(&mut before, &mut after);
        }
    }

    /// A small batch, or a `single` sample, with the features of a sample side by side.
    fn run_rows(
        &self,
        plan: &Plan,
        layers: Range<usize>,
        x: ArrayView2<'_, f32>,
        mut y: ArrayViewMut2<'_, f32>,
        [before, after]: &mut Buffers,
        single: bool,
    ) {
        // In groups of about the same size: one left over would cost nearly as much as four.
        let groups = x.nrows().div_ceil(self.isa().row_samples()).max(1);
        let (together, stride) = (x.nrows().div_ceil(groups).max(1), self.row_stride());
        let mut start = 0;
        while start < x.nrows() {
            let rows = Rows { samples: start..(start + together).min(x.nrows()), stride };
            let samples = rows.samples.len();
            start += samples;
            let mut before = &mut before[..samples * stride];
            let mut after = &mut after[..samples * stride];
            rows.load(x, before, self.isa());
            for index in layers.clone() {
                let format = plan.format(index).unwrap_or_else(|| unreachable!("the plan has this layer"));
                self.layers()[index].forward_rows(format, samples, single, stride, before, after);
                std::mem::swap(&mut before, &mut after);
            }
            rows.store(before, y.view_mut(), self.isa());
        }
    }
}
