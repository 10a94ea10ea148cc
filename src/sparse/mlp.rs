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
    /// Activations before and after a layer.
    buffers: [Buffer; 2],
}

impl SparseMlp {
    /// A chain of layers, first to last.
    ///
    /// # Errors
    /// When there is no layer, a layer takes another count of features than the one before it gives, or the layers
    /// are for different instruction sets.
    pub fn new(layers: Vec<SparseLinear>) -> Result<Self> {
        let operation = "SparseMlp::new";
        let Some(first) = layers.first() else {
            return Err(Error::shape(operation, "layers", "at least one layer", 0));
        };
        let isa = first.isa();
        for (index, pair) in layers.windows(2).enumerate() {
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
        self.forward_into(x, y.view_mut(), &mut self.workspace(x.nrows()))?;
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
        mut y: ArrayViewMut2<'_, f32>,
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
        if workspace.buffers[0].len < needed {
            let expected = format!("one of this network, of {needed} floats");
            return Err(Error::shape(operation, "workspace", expected, workspace.buffers[0].len));
        }
        match plan::layout(x.nrows(), self.isa) {
            Layout::Rows => self.forward_rows(x, y, workspace),
            Layout::Tiles => {
                for tile in tiles(x.nrows(), self.isa) {
                    self.forward_tile(&tile, x, &mut y, workspace);
                }
            }
        }
        Ok(())
    }

    /// A small batch, with the features of a sample side by side.
    fn forward_rows(&self, x: ArrayView2<'_, f32>, mut y: ArrayViewMut2<'_, f32>, workspace: &mut Workspace) {
        // In groups of about the same size: one left over would cost nearly as much as four.
        let groups = x.nrows().div_ceil(self.isa.lookup_samples()).max(1);
        let (together, stride) = (x.nrows().div_ceil(groups).max(1), self.row_stride());
        let outputs = self.outputs();
        for (x, mut y) in x.axis_chunks_iter(Axis(0), together).zip(y.axis_chunks_iter_mut(Axis(0), together))
        {
            let samples = x.nrows();
            let [before, after] = &mut workspace.buffers;
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
        workspace: &mut Workspace,
    ) {
        let [before, after] = &mut workspace.buffers;
        let (mut before, mut after) = (before.as_mut_slice(), after.as_mut_slice());
        tile.load(x, &mut before[..self.inputs() * tile.width], self.isa);
        for layer in &self.layers {
            let (out, inputs) = layer.shape();
            layer.forward_tile(tile.width, &before[..inputs * tile.width], &mut after[..out * tile.width]);
            std::mem::swap(&mut before, &mut after);
        }
        tile.store(&before[..self.outputs() * tile.width], y.view_mut(), self.isa);
    }

    /// A workspace for [`forward_into`](Self::forward_into), with all weights packed that batches of up to
    /// `max_batch` samples need.
    pub fn workspace(&self, max_batch: usize) -> Workspace {
        for layout in [plan::layout(1, self.isa), plan::layout(max_batch, self.isa)] {
            self.layers.iter().for_each(|layer| layer.pack(layout));
        }
        Workspace { buffers: std::array::from_fn(|_| Buffer::new(self.buffer_len())) }
    }

    /// What runs each layer for a batch of `batch` samples, a line a layer.
    pub fn explain(&self, batch: usize) -> String {
        let layout = plan::layout(batch, self.isa);
        let mut text = String::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let (out, inputs) = layer.shape();
            let density = 100.0 * layer.kept() as f64 / (out * inputs) as f64;
            let (kept, activation) = (layer.kept(), layer.activation().name());
            writeln!(
                text,
                "layer {index}: {out}×{inputs}, {kept} weights ({density:.1}%), {activation}: {}",
                layer.choice(layout)
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
