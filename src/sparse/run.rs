//! The forward pass, as a plan has it.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};

use super::bands::{Input, Output};
use super::rows::Rows;
use super::shares::Group;
use super::tile::{Tile, tiles};
use super::workspace::{Buffers, Workspace, matrix, matrix_mut};
use super::{SparseLinear, SparseMlp, join};
use crate::aligned::Aligned;
use crate::format::{SHARE_WEIGHTS, bands};
use crate::plan::{Format, Layout, Plan};

/// Samples that are taken together where activations of the whole batch lie between layers: enough for a dense product
/// to pay for packing its weights, and no more memory than that.
pub(super) const CHUNK: usize = 2048;

/// Samples of a feature that a thread writes at least, where they lie side by side: narrower parts get in each other's
/// way, presumably as cores fetch lines ahead that another one writes. (1024×1024, 128 and 256 samples, on two threads
/// of a Granite Rapids: 0.9 to 1.7 times as fast as on one, and 1.6 to 2 where they share rows.)
const SIDE_BY_SIDE: usize = 256;

/// From this many kept weights per input and output on, threads share the rows of a layer; with fewer, they share the
/// samples of a tile. (Measured with 64 samples on two threads of a Granite Rapids, up to 20% either way.)
const MANY_WEIGHTS: usize = 100;

/// Some neighbouring layers that work on the same layout, each by its format.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    layout: Layout,
    layers: Range<usize>,
    /// Whether the activations that it hands to the next stretch lie feature-major. (Those of the last one lie as the
    /// caller's `y` does.)
    by_features: bool,
}

impl Stretch {
    /// The one that begins with a layer, if there is such a layer. A dense layer is one of its own.
    fn at(plan: &Plan, start: usize) -> Option<Self> {
        let layout = plan.format(start)?.layout();
        let mut end = start + 1;
        while layout != Layout::Batch && plan.format(end).is_some_and(|format| format.layout() == layout) {
            end += 1;
        }
        Some(Self { layout, layers: start..end, by_features: false })
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
        workspace.ready = None;
        workspace.plan.clone_from(plan);
        self.make_ready(x.nrows(), workspace);
        self.run(x, y, workspace);
    }

    /// Makes a workspace ready to run its plan, which is one of this network, for a batch.
    pub(super) fn make_ready(&self, batch: usize, workspace: &mut Workspace) {
        let Workspace { plan, stretches, between, .. } = workspace;
        stretches.clear();
        stretches.extend(self::stretches(plan));
        let dense = || {
            let layers = self.layers().iter().zip(plan.choices());
            layers.filter(|(_, choice)| choice.format == Format::Dense).map(|(layer, _)| layer.shape())
        };
        for index in 1..stretches.len() {
            let rows = stretches[index - 1..=index].iter().any(|stretch| stretch.layout == Layout::Rows);
            let by_features = !rows && plan.lie_by_features(dense(), batch.min(CHUNK));
            stretches[index - 1].by_features = by_features;
        }
        let needed = self.between_len(plan, batch);
        if between[0].len() < needed {
            *between = std::array::from_fn(|_| Aligned::zeros(needed));
        }
    }

    /// Runs the plan of the workspace, which is ready for these samples.
    // A view that is handed on is copied, which waits for what has just been written: that takes 3 ns, and a small layer
    // no more than 100.
    #[inline(always)]
    pub(super) fn run(
        &self,
        mut x: ArrayView2<'_, f32>,
        mut y: ArrayViewMut2<'_, f32>,
        workspace: &mut Workspace,
    ) {
        let batch = x.nrows();
        // From the caller's activations to the caller's, however many samples.
        if let [stretch] = &workspace.stretches[..] {
            return self.run_stretch(stretch, x, y, &workspace.plan, &mut workspace.threads, batch);
        }
        while x.nrows() > CHUNK {
            let (chunk, x_rest) = x.split_at(Axis(0), CHUNK);
            let (y_chunk, y_rest) = y.split_at(Axis(0), CHUNK);
            self.run_chunk(chunk, y_chunk, workspace, batch);
            (x, y) = (x_rest, y_rest);
        }
        self.run_chunk(x, y, workspace, batch);
    }

    // Rarer, and twice.
    #[inline(never)]
    fn run_chunk(
        &self,
        x: ArrayView2<'_, f32>,
        mut y: ArrayViewMut2<'_, f32>,
        workspace: &mut Workspace,
        batch: usize,
    ) {
        let Workspace { plan, stretches, threads, between: [before, after], .. } = workspace;
        let samples = x.nrows();
        let (mut before, mut after) = (&mut before[..], &mut after[..]);
        let mut lies_by_features = false;
        for stretch in &*stretches {
            let layers = &stretch.layers;
            let x = if layers.start == 0 {
                x
            } else {
                let inputs = self.layers()[layers.start].shape().1;
                matrix(&before[..samples * inputs], samples, lies_by_features)
            };
            let y = if layers.end == self.layers().len() {
                y.view_mut()
            } else {
                let out = self.layers()[layers.end - 1].shape().0;
                matrix_mut(&mut after[..samples * out], samples, stretch.by_features)
            };
            lies_by_features = stretch.by_features;
            self.run_stretch(stretch, x, y, plan, threads, batch);
            std::mem::swap(&mut before, &mut after);
        }
    }

    /// Some samples through a stretch of a plan, which is one for a batch of `batch` samples.
    // As `run`.
    #[inline(always)]
    fn run_stretch(
        &self,
        Stretch { layout, layers, .. }: &Stretch,
        x: ArrayView2<'_, f32>,
        y: ArrayViewMut2<'_, f32>,
        plan: &Plan,
        threads: &mut [Buffers],
        batch: usize,
    ) {
        let layers = layers.clone();
        match layout {
            Layout::Rows => {
                self.run_rows(plan, layers, x, y, threads, self.isa().samples_together(batch));
            }
            Layout::Tiles => self.run_tiles(layers, x, y, threads, self.isa().widest_tile(batch)),
            Layout::Batch => {
                #[cfg(feature = "dense")]
                {
                    let count = threads.len();
                    self.layers()[layers.start].forward_batch(x, y, &mut threads[0], count);
                }
            }
        }
    }

    /// A larger batch, in tiles. Threads share its samples out as long as that gives each half enough, and then the
    /// rows of those layers that have many. The whole batch has a `widest` tile of so many vectors.
    // What it prepares would be prepared for every layout, which takes as long as a small layer.
    #[inline(never)]
    fn run_tiles(
        &self,
        layers: Range<usize>,
        x: ArrayView2<'_, f32>,
        mut y: ArrayViewMut2<'_, f32>,
        threads: &mut [Buffers],
        widest: usize,
    ) {
        if threads.len() > 1 && self.share_samples(layers.clone(), &y) {
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

    /// Whether halves of some threads share the samples of a batch that ends in `y`, rather than the rows of its
    /// layers.
    fn share_samples(&self, layers: Range<usize>, y: &ArrayViewMut2<'_, f32>) -> bool {
        let layers = &self.layers()[layers];
        let (samples, by_features) = (y.nrows(), y.strides()[0] == 1 && y.strides()[1] != 1);
        if samples <= self.isa().lanes() {
            // Of one vector there would be nothing left for the others.
            false
        } else if layers.iter().all(|layer| bands(layer.shape().0) == 1) {
            true
        } else if by_features {
            samples >= 2 * SIDE_BY_SIDE
        } else if tiles(samples, self.isa()).nth(1).is_some() {
            true
        } else {
            // Narrower tiles take longer for each sample. That is worth it where threads would bring each other more
            // than they compute.
            let kept: usize = layers.iter().map(SparseLinear::kept).sum();
            let activations: usize = layers.iter().map(|layer| layer.shape().0 + layer.shape().1).sum();
            samples >= 4 * self.isa().lanes() && kept < MANY_WEIGHTS * activations
        }
    }

    /// Runs one tile through some layers, on some threads: `x` is the whole `[batch, in]`, `y` the `[samples, out]` of
    /// the tile.
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

    /// A small batch, with the features of a sample side by side. Threads share its groups of samples out, if there is
    /// one for each of them, and else the rows of those layers that have many weights.
    // As above.
    #[inline(never)]
    fn run_rows(
        &self,
        plan: &Plan,
        layers: Range<usize>,
        x: ArrayView2<'_, f32>,
        mut y: ArrayViewMut2<'_, f32>,
        threads: &mut [Buffers],
        together: usize,
    ) {
        if threads.len() > 1 && self.share_groups(layers.clone(), x.nrows(), together, threads.len()) {
            let count = x.nrows().div_ceil(together);
            if count > threads.len() && count % threads.len() == 1 {
                // The last group comes after the others: of it they share the rows, rather than wait for a thread that
                // has one more.
                let (x_alike, x_last) = x.split_at(Axis(0), (count - 1) * together);
                let (y_alike, y_last) = y.split_at(Axis(0), (count - 1) * together);
                self.run_rows(plan, layers.clone(), x_alike, y_alike, threads, together);
                self.run_rows(plan, layers, x_last, y_last, threads, together);
                return;
            }
            let (left, right) = threads.split_at_mut(threads.len() / 2);
            let middle = count * left.len() / (left.len() + right.len()) * together;
            let (x_left, x_right) = x.split_at(Axis(0), middle);
            let (y_left, y_right) = y.split_at(Axis(0), middle);
            join(
                || self.run_rows(plan, layers.clone(), x_left, y_left, left, together),
                || self.run_rows(plan, layers.clone(), x_right, y_right, right, together),
            );
            return;
        }
        let (stride, threads, [before, after]) = (self.row_stride(), threads.len(), &mut threads[0]);
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
                let group = Group { samples, x: before, stride, together };
                self.layers()[index].forward_rows(format, group, after, threads);
                std::mem::swap(&mut before, &mut after);
            }
            rows.store(before, y.view_mut(), self.isa());
        }
    }

    /// Whether threads share the groups of some samples, of which each has work enough then, rather than the rows of
    /// layers.
    fn share_groups(&self, layers: Range<usize>, samples: usize, together: usize, threads: usize) -> bool {
        let kept: usize = self.layers()[layers].iter().map(SparseLinear::kept).sum();
        samples.div_ceil(together) >= threads && kept * samples >= threads * SHARE_WEIGHTS
    }
}
