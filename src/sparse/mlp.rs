//! A chain of sparse layers.

use std::fmt::Write;

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};

use super::SparseLinear;
use super::tile::{Tile, tiles};
use crate::plan::Layout;
use crate::{Error, Isa, Result, plan};

/// A multi-layer perceptron with sparse weights. It is `Sync`: one model serves any number of threads, each with
/// its own [`Workspace`].
///
/// ```
/// use ndarray::{Array1, Array2};
/// use tombola::{Activation, Mask, SparseLinear, SparseMlp};
///
/// let weight = Array2::from_shape_fn((300, 784), |(i, j)| ((i * 784 + j) as f32).sin()); // [out, in]
/// let csr = Mask::magnitude(weight.view(), 0.9)?.apply(weight.view())?;
/// let layer = SparseLinear::new(csr, Some(Array1::zeros(300)), Activation::Relu)?;
/// let mlp = SparseMlp::new(vec![layer])?;
///
/// let x = Array2::ones((64, 784)); // [batch, in]
/// let y = mlp.forward(x.view())?; // [batch, out]
/// assert_eq!(y.dim(), (64, 300));
/// # Ok::<(), tombola::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SparseMlp {
    layers: Vec<SparseLinear>,
    isa: Isa,
}

/// The memory that a forward pass needs beside its input and output, made by [`SparseMlp::workspace`].
#[derive(Clone, Debug)]
pub struct Workspace {
    /// For each thread, activations before and after a layer.
    threads: Vec<[Buffer; 2]>,
}

impl SparseMlp {
    /// A chain of layers, first to last.
    ///
    /// # Errors
    /// When there is no layer, a layer takes another count of features than the one before it gives, one before the
    /// last has a softmax, or the layers are for different instruction sets.
    pub fn new(layers: Vec<SparseLinear>) -> Result<Self> {
        let operation = "SparseMlp::new";
        let Some(first) = layers.first() else {
            return Err(Error::shape(operation, "layers", "at least one layer", 0));
        };
        let isa = first.isa();
        for (index, pair) in layers.windows(2).enumerate() {
            pair[0].activation().check_hidden(operation, index)?;
            let (gives, takes) = (pair[0].shape().0, pair[1].shape().1);
            let subject = format!("weight of layer {}", index + 1);
            if gives != takes {
                let expected = format!("{gives} inputs, the outputs of layer {index}");
                return Err(Error::shape(operation, subject, expected, pair[1].shape()));
            }
            if pair[1].isa() != isa {
                return Err(Error::value(operation, subject, format!("kernels for {isa}"), pair[1].isa()));
            }
        }
        Ok(Self { layers, isa })
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[SparseLinear] {
        &self.layers
    }

    /// Features of a sample.
    pub fn inputs(&self) -> usize {
        self.layers[0].shape().1
    }

    /// Features of an output.
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].shape().0
    }

    /// Count of kept weights in all layers.
    pub fn kept(&self) -> usize {
        self.layers.iter().map(SparseLinear::kept).sum()
    }

    /// The output `[batch, out]` for `x` of shape `[batch, in]`, row-major or of any strides.
    ///
    /// # Errors
    /// When `x` has another count of features.
    pub fn forward(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        let mut y = Array2::zeros((x.nrows(), self.outputs()));
        self.forward_into(x, y.view_mut(), &mut self.buffers(1))?;
        Ok(y)
    }

    /// [`forward`](Self::forward) into `y` (`[batch, out]`, of any strides), allocating nothing.
    ///
    /// The same input gives the same bits, whatever the workspace held before. A batch beyond the one that the
    /// workspace was made for is served too, and may pack weights first.
    ///
    /// # Errors
    /// When `x` or `y` has another shape, or the workspace is too small because it is another network's.
    pub fn forward_into(
        &self,
        x: ArrayView2<'_, f32>,
        y: ArrayViewMut2<'_, f32>,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let operation = "SparseMlp::forward";
        if x.ncols() != self.inputs() {
            return Err(Error::shape(operation, "x", format!("[batch, {}]", self.inputs()), x.shape()));
        }
        if y.dim() != (x.nrows(), self.outputs()) {
            let expected = format!("[{}, {}]", x.nrows(), self.outputs());
            return Err(Error::shape(operation, "y", expected, y.shape()));
        }
        let needed = self.buffer_len();
        if let Some([buffer, _]) = workspace.threads.iter().find(|[buffer, _]| buffer.len < needed) {
            let expected = format!("one of this network, of {needed} floats");
            return Err(Error::shape(operation, "workspace", expected, buffer.len));
        }
        match self.layout(x.nrows()) {
            Layout::Rows => self.forward_rows(x, y, &mut workspace.threads[0]),
            Layout::Tiles => self.forward_tiles(x, y, &mut workspace.threads),
        }
        Ok(())
    }

    /// A larger batch, a part for each thread: its samples, in tiles.
    fn forward_tiles(
        &self,
        x: ArrayView2<'_, f32>,
        mut y: ArrayViewMut2<'_, f32>,
        threads: &mut [[Buffer; 2]],
    ) {
        #[cfg(feature = "rayon")]
        if threads.len() > 1 {
            let (left, right) = threads.split_at_mut(threads.len() / 2);
            // Whole vectors to the left, so that only the last part has an incomplete one.
            let share = x.nrows() * left.len() / (left.len() + right.len());
            let middle = share.next_multiple_of(self.isa.lanes()).min(x.nrows());
            let (x_left, x_right) = x.split_at(Axis(0), middle);
            let (y_left, y_right) = y.split_at(Axis(0), middle);
            rayon::join(
                || self.forward_tiles(x_left, y_left, left),
                || self.forward_tiles(x_right, y_right, right),
            );
            return;
        }
        for tile in tiles(x.nrows(), self.isa) {
            self.forward_tile(&tile, x, &mut y, &mut threads[0]);
        }
    }

    /// A small batch, with the features of a sample side by side.
    fn forward_rows(&self, x: ArrayView2<'_, f32>, mut y: ArrayViewMut2<'_, f32>, buffers: &mut [Buffer; 2]) {
        // In groups of about the same size: one left over would cost nearly as much as four.
        let groups = x.nrows().div_ceil(self.isa.lookup_samples()).max(1);
        let (together, stride) = (x.nrows().div_ceil(groups).max(1), self.row_stride());
        let outputs = self.outputs();
        for (x, mut y) in x.axis_chunks_iter(Axis(0), together).zip(y.axis_chunks_iter_mut(Axis(0), together))
        {
            let samples = x.nrows();
            let [before, after] = &mut *buffers;
            let mut before = &mut before.as_mut_slice()[..samples * stride];
            let mut after = &mut after.as_mut_slice()[..samples * stride];
            for (row, x) in before.chunks_exact_mut(stride).zip(x.rows()) {
                match x.as_slice() {
                    Some(x) => row[..x.len()].copy_from_slice(x),
                    None => x.iter().zip(row).for_each(|(&value, place)| *place = value),
                }
            }
            for layer in &self.layers {
                layer.forward_rows(samples, stride, before, after);
                std::mem::swap(&mut before, &mut after);
            }
            for (row, mut y) in before.chunks_exact(stride).zip(y.rows_mut()) {
                match y.as_slice_mut() {
                    Some(y) => y.copy_from_slice(&row[..outputs]),
                    None => y.iter_mut().zip(row).for_each(|(place, &value)| *place = value),
                }
            }
        }
    }

    /// Runs one tile through all layers.
    fn forward_tile(
        &self,
        tile: &Tile,
        x: ArrayView2<'_, f32>,
        y: &mut ArrayViewMut2<'_, f32>,
        [before, after]: &mut [Buffer; 2],
    ) {
        let (mut before, mut after) = (before.as_mut_slice(), after.as_mut_slice());
        for (index, layer) in self.layers.iter().enumerate() {
            let (out, inputs) = layer.shape();
            let after_layer = &mut after[..out * tile.width];
            if index == 0 {
                layer.forward_loading(tile, x, before, after_layer);
            } else {
                layer.forward_tile(tile.width, &before[..inputs * tile.width], after_layer);
            }
            std::mem::swap(&mut before, &mut after);
        }
        tile.store(&before[..self.outputs() * tile.width], y.view_mut(), self.isa);
    }

    /// A workspace for [`forward_into`](Self::forward_into) on one thread, with all weights packed that batches of up
    /// to `max_batch` samples need.
    pub fn workspace(&self, max_batch: usize) -> Workspace {
        self.pack(max_batch);
        self.buffers(1)
    }

    fn pack(&self, max_batch: usize) {
        // Beyond a few tiles the layout no longer changes with the batch.
        let batches = (1..=max_batch.min(4 * self.isa.lanes())).chain([max_batch]);
        for layout in batches.map(|batch| self.layout(batch)) {
            self.layers.iter().for_each(|layer| layer.pack(layout));
        }
    }

    /// [`workspace`](Self::workspace) for as many threads as the current rayon pool has: with it, `forward_into` cuts
    /// a batch into a part for each of them. The bits of the result do not depend on their number.
    ///
    /// ```
    /// # use ndarray::Array2;
    /// # use tombola::{Activation, Mask, SparseLinear, SparseMlp};
    /// # let csr = Mask::all((2, 3)).apply(Array2::ones((2, 3)).view())?;
    /// # let mlp = SparseMlp::new(vec![SparseLinear::new(csr, None, Activation::Relu)?])?;
    /// let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
    /// let (x, mut y) = (Array2::ones((256, 3)), Array2::zeros((256, 2)));
    /// pool.install(|| {
    ///     let mut workspace = mlp.parallel_workspace(256);
    ///     mlp.forward_into(x.view(), y.view_mut(), &mut workspace)
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "rayon")]
    pub fn parallel_workspace(&self, max_batch: usize) -> Workspace {
        self.pack(max_batch);
        self.buffers(rayon::current_num_threads())
    }

    /// A workspace for a network whose weights are packed when they are first needed.
    fn buffers(&self, threads: usize) -> Workspace {
        let buffers = || std::array::from_fn(|_| Buffer::new(self.buffer_len()));
        Workspace { threads: std::iter::repeat_with(buffers).take(threads).collect() }
    }

    /// How activations lie between the layers for a batch of `batch` samples.
    pub fn layout(&self, batch: usize) -> Layout {
        plan::layout(self.layers.iter().map(SparseLinear::profile), batch, self.isa)
    }

    /// What runs each layer for a batch of `batch` samples, and how long it is expected to take on one thread of a
    /// 2.8 GHz Ice Lake server: a line a layer. The times are a rough model's, which can be off by a
    /// factor of two, and more on other machines: measure yours.
    pub fn explain(&self, batch: usize) -> String {
        let layout = self.layout(batch);
        let mut text = String::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let (out, inputs) = layer.shape();
            let density = 100.0 * layer.kept() as f64 / (out * inputs) as f64;
            let (kept, activation) = (layer.kept(), layer.activation());
            writeln!(
                text,
                "layer {index}: {out}×{inputs}, {kept} weights ({density:.1}%), {activation}: {} in about {:.1} µs",
                layer.choice(layout),
                1e6 * plan::seconds(layer.profile(), layout, batch, self.isa)
            )
            .unwrap_or_else(|_| unreachable!("a String takes all that is written to it"));
        }
        text
    }

    /// Floats from a sample to the next in rows, for every layer: a lookup reads two vectors at a time.
    fn row_stride(&self) -> usize {
        self.widest().next_multiple_of(2 * self.isa.lanes())
    }

    /// Floats of the widest layer's activations, in the widest tile or in rows.
    fn buffer_len(&self) -> usize {
        let tile = self.widest() * self.isa.lanes() * self.isa.tile_vectors();
        tile.max(self.row_stride() * self.isa.lookup_samples())
    }

    /// Features of the widest layer.
    fn widest(&self) -> usize {
        self.layers.iter().map(|layer| layer.shape().0.max(layer.shape().1)).max().unwrap_or(0)
    }
}

/// Floats that begin at a cache line, so that no vector straddles two.
#[derive(Debug)]
struct Buffer {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

/// A cache line, in bytes.
const LINE: usize = 64;

impl Buffer {
    fn new(len: usize) -> Self {
        let memory = vec![0.0_f32; len + LINE / size_of::<f32>()];
        // Where this cannot be told, the buffer is as good, only slower.
        let start = memory.as_ptr().align_offset(LINE);
        Self { start: if start + len <= memory.len() { start } else { 0 }, memory, len }
    }

    fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl Clone for Buffer {
    /// A buffer of the same length: its contents are scratch, and another address needs another start.
    fn clone(&self) -> Self {
        Self::new(self.len)
    }
}
