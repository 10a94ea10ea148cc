//! Dense inference, as fast as faer does it.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::DenseMlp;
use crate::aligned::Aligned;
use crate::kernel::{finish, gemm};
use crate::sparse::{matrix, matrix_mut};
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
    /// Of each layer, row-major: `[in, out]` where they are transposed, else `[out, in]`. From the beginning of a cache
    /// line faer reads them by a sixth faster, for one sample. For a single call they are not laid out.
    weights: Vec<Aligned<f32>>,
    /// Activations of hidden layers, before and after one.
    buffers: [Aligned<f32>; 2],
    /// Whether a softmax after the last layer is left out.
    logits: bool,
}

impl<'a> DenseInference<'a> {
    /// Gets a network ready.
    pub fn new(mlp: &'a DenseMlp, orientation: Orientation) -> Self {
        let weights = mlp.layers.iter().map(|layer| match orientation {
            Orientation::Pretransposed => layer.weight.t().into(),
            Orientation::XWt | Orientation::WXt => layer.weight().into(),
        });
        Self { orientation, weights: weights.collect(), ..Self::once(mlp) }
    }

    /// For a single call, in which laying weights out does not pay.
    pub(super) fn once(mlp: &'a DenseMlp) -> Self {
        let (orientation, buffers) = (Orientation::XWt, [Aligned::zeros(0), Aligned::zeros(0)]);
        Self { mlp, orientation, weights: Vec::new(), buffers, logits: false }
    }

    /// The same without a softmax after the last layer: what a loss is computed from.
    pub(super) fn logits(self) -> Self {
        Self { logits: true, ..self }
    }

    /// The output for `x` (`[batch, in]`) into `y` (`[batch, out]`), on one thread. Allocates only when the batch is
    /// larger than any before.
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
        if self.buffers[0].len() < batch * widest {
            self.buffers = [Aligned::zeros(batch * widest), Aligned::zeros(batch * widest)];
        }
        let [before, after] = &mut self.buffers;
        let (mut before, mut after) = (&mut before[..], &mut after[..]);
        let by_features = self.orientation == Orientation::WXt;

        for (index, layer) in layers.iter().enumerate() {
            let (out, inputs) = layer.shape();
            let input = match index {
                0 => x,
                _ => matrix(&before[..batch * inputs], batch, by_features),
            };
            let activation = match layer.activation {
                Activation::Softmax if self.logits => Activation::Identity,
                activation => activation,
            };
            let weight = match (self.weights.get(index), self.orientation) {
                (Some(weight), Orientation::Pretransposed) => matrix(weight, inputs, false),
                (Some(weight), _) => matrix(weight, inputs, true),
                (None, _) => layer.weight.t(),
            };
            let mut output = if index + 1 < layers.len() {
                matrix_mut(&mut after[..batch * out], batch, by_features)
            } else {
                y.view_mut()
            };
            gemm(output.view_mut(), input, weight, 1);
            let bias = layer.bias.as_slice().unwrap_or_else(|| unreachable!("biases are kept contiguous"));
            finish(output, bias, activation, Isa::widest());
            std::mem::swap(&mut before, &mut after);
        }
        Ok(())
    }
}
