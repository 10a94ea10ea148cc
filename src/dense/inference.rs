//! Dense inference, as fast as faer does it.

use faer::{MatMut, MatRef};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, CowArray, Ix2};

use super::{DenseLayer, DenseMlp, multiply};
use crate::kernel::{Activate, is_fused};
use crate::{Activation, Error, Isa, Result};

/// Which way round faer multiplies. Its speed depends on this by up to 2.5×, differently for each shape and batch,
/// so the honest baseline is the fastest of [`Orientation::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Orientation {
    /// `Y = X·Wᵀ`: everything row-major, as it comes.
    XWt,
    /// `Yᵀ = W·Xᵀ`: hidden activations are feature-major.
    WXt,
    /// `Y = X·V` with `V = Wᵀ` laid out anew, `[in, out]` row-major.
    Pretransposed,
}

impl Orientation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::XWt, Self::WXt, Self::Pretransposed];

    /// A short name: `X·Wᵀ`, `W·Xᵀ`, `X·V`.
    pub fn name(self) -> &'static str {
        match self {
            Self::XWt => "X·Wᵀ",
            Self::WXt => "W·Xᵀ",
            Self::Pretransposed => "X·V",
        }
    }
}

/// A dense network ready to run in one orientation: weights laid out for it, and buffers that are kept.
#[derive(Clone, Debug)]
pub struct DenseInference<'a> {
    mlp: &'a DenseMlp,
    orientation: Orientation,
    /// `[in, out]` row-major for each layer, where the orientation wants them.
    transposed: Vec<Array2<f32>>,
    /// Activations of hidden layers, before and after one.
    buffers: [Vec<f32>; 2],
    /// Whether a softmax after the last layer is left out.
    logits: bool,
}

impl<'a> DenseInference<'a> {
    /// Gets a network ready.
    pub fn new(mlp: &'a DenseMlp, orientation: Orientation) -> Self {
        let transposed = match orientation {
            Orientation::Pretransposed => {
                let weights = mlp.layers.iter().map(|layer| layer.weight.t());
                weights.map(|weight| weight.as_standard_layout().into_owned()).collect()
            }
            Orientation::XWt | Orientation::WXt => Vec::new(),
        };
        Self { mlp, orientation, transposed, buffers: [Vec::new(), Vec::new()], logits: false }
    }

    /// The same without a softmax after the last layer: what a loss is computed from.
    pub(super) fn logits(self) -> Self {
        Self { logits: true, ..self }
    }

    /// The output for `x` (`[batch, in]`) into `y` (`[batch, out]`), on one thread. Allocates only when the batch is
    /// larger than any before, or `x` or `y` is neither row-major nor column-major.
    ///
    /// # Errors
    /// When `x` or `y` has another shape.
    pub fn forward_into(&mut self, x: ArrayView2<'_, f32>, mut y: ArrayViewMut2<'_, f32>) -> Result<()> {
        let operation = "DenseInference::forward_into";
        let (batch, layers) = (x.nrows(), &self.mlp.layers);
        if x.ncols() != self.mlp.inputs() {
            return Err(Error::shape(operation, "x", format!("[batch, {}]", self.mlp.inputs()), x.shape()));
        }
        if y.dim() != (batch, self.mlp.outputs()) {
            let expected = format!("[{batch}, {}]", self.mlp.outputs());
            return Err(Error::shape(operation, "y", expected, y.shape()));
        }
        if batch == 0 {
            return Ok(());
        }
        let widest = layers.iter().map(|layer| layer.shape().0).max().unwrap_or(0);
        for buffer in &mut self.buffers {
            buffer.resize(buffer.len().max(batch * widest), 0.0);
        }
        let [before, after] = &mut self.buffers;
        let (mut before, mut after) = (&mut before[..], &mut after[..]);
        let by_features = self.orientation == Orientation::WXt;

        let x = contiguous(x);
        for (index, layer) in layers.iter().enumerate() {
            let (out, inputs) = layer.shape();
            let input = match index {
                0 => mat(x.view()),
                _ if by_features => MatRef::from_column_major_slice(&before[..batch * inputs], batch, inputs),
                _ => MatRef::from_row_major_slice(&before[..batch * inputs], batch, inputs),
            };
            let activation = match layer.activation {
                Activation::Softmax if self.logits => Activation::Identity,
                activation => activation,
            };
            // [in, out]
            let weight = match self.transposed.get(index) {
                Some(transposed) => mat(transposed.view()),
                None => mat(layer.weight.view()).transpose(),
            };
            if index + 1 < layers.len() {
                let after = &mut after[..batch * out];
                if by_features {
                    multiply(MatMut::from_column_major_slice_mut(after, batch, out), input, weight);
                } else {
                    multiply(MatMut::from_row_major_slice_mut(after, batch, out), input, weight);
                }
                finish(layer, activation, after, by_features);
            } else if let Some(y) = y.as_slice_mut() {
                multiply(MatMut::from_row_major_slice_mut(y, batch, out), input, weight);
                finish(layer, activation, y, false);
            } else if let Some(y) = y.view_mut().reversed_axes().as_slice_mut() {
                multiply(MatMut::from_column_major_slice_mut(y, batch, out), input, weight);
                finish(layer, activation, y, true);
            } else {
                let after = &mut after[..batch * out];
                multiply(MatMut::from_row_major_slice_mut(after, batch, out), input, weight);
                finish(layer, activation, after, false);
                y.iter_mut().zip(after.iter()).for_each(|(y, &value)| *y = value);
            }
            std::mem::swap(&mut before, &mut after);
        }
        Ok(())
    }
}

/// Adds the bias and applies the activation to `[batch, out]`, or to `[out, batch]` where the activations are
/// feature-major. What is not the identity or ReLU takes a second pass.
fn finish(layer: &DenseLayer, activation: Activation, y: &mut [f32], by_features: bool) {
    fn each<'a>(
        activation: Activation,
        values: impl Iterator<Item = &'a mut f32>,
        biases: impl Iterator<Item = f32>,
    ) {
        // One loop an activation, so that each of them vectorises.
        match activation {
            Activation::Relu => {
                values.zip(biases).for_each(|(value, bias)| *value = Activation::Relu.apply(*value + bias));
            }
            _ => values.zip(biases).for_each(|(value, bias)| *value += bias),
        }
    }
    let out = layer.bias.len();
    if by_features {
        let batch = y.len() / out;
        for (row, &bias) in y.chunks_exact_mut(batch).zip(&layer.bias) {
            each(activation, row.iter_mut(), std::iter::repeat(bias));
        }
    } else {
        for row in y.chunks_exact_mut(out) {
            each(activation, row.iter_mut(), layer.bias.iter().copied());
        }
    }
    if !is_fused(activation) {
        Isa::widest().run(Activate { activation, values: y, features: out, by_features });
    }
}

/// The array if it is row-major or column-major, else a row-major copy.
fn contiguous(x: ArrayView2<'_, f32>) -> CowArray<'_, f32, Ix2> {
    if x.is_standard_layout() || x.t().is_standard_layout() { x.into() } else { x.to_owned().into() }
}

/// faer's view of a [`contiguous`] array.
fn mat(x: ArrayView2<'_, f32>) -> MatRef<'_, f32> {
    let (rows, columns) = x.dim();
    if let Some(slice) = x.to_slice() {
        return MatRef::from_row_major_slice(slice, rows, columns);
    }
    let slice = x.reversed_axes().to_slice();
    MatRef::from_column_major_slice(slice.unwrap_or_else(|| unreachable!("contiguous")), rows, columns)
}
