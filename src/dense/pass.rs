//! Forward, loss and backward.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use super::{DenseMlp, Samples};
use crate::kernel::Activate;
use crate::kernel::gemm;
use crate::sparse::{matrix, matrix_mut};
use crate::{Activation, Isa, Result};

/// The gradient of the loss by every parameter, first layer to last.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    pub(super) layers: Vec<LayerGradient>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct LayerGradient {
    pub(super) weight: Array2<f32>,
    pub(super) bias: Array1<f32>,
}

impl Gradients {
    /// By the weights of a layer, `[out, in]`; `None` past the last layer.
    pub fn weight(&self, layer: usize) -> Option<ArrayView2<'_, f32>> {
        self.layers.get(layer).map(|layer| layer.weight.view())
    }

    /// By the biases of a layer, `[out]`; `None` past the last layer.
    pub fn bias(&self, layer: usize) -> Option<ArrayView1<'_, f32>> {
        self.layers.get(layer).map(|layer| layer.bias.view())
    }
}

impl DenseMlp {
    /// The mean softmax cross-entropy of some samples, in nats, and its gradient. A softmax after the last layer is
    /// the one of the loss.
    ///
    /// # Errors
    /// When there are no samples, their shapes do not fit the network or each other, or a label is no class.
    pub fn loss_and_gradients(&self, samples: Samples<'_>) -> Result<(f64, Gradients)> {
        self.check_samples("DenseMlp::loss_and_gradients", samples)?;
        let mut pass = Pass::new(self, samples.labels.len());
        pass.load(samples, 0..samples.labels.len());
        let loss = pass.run(self);
        Ok((loss, pass.gradients))
    }
}

/// The buffers of a training step for batches of up to some size.
pub(super) struct Pass {
    batch: usize,
    labels: Vec<usize>,
    /// Row-major `[batch, features]`: the input, then each layer's output.
    activations: Vec<Vec<f32>>,
    /// What each layer's activation was applied to, `[batch, out]`, where its derivative cannot do without.
    sums: Vec<Vec<f32>>,
    /// The gradient by a layer's output and by its input, `[batch, features]`.
    deltas: [Vec<f32>; 2],
    pub(super) gradients: Gradients,
}

impl Pass {
    pub(super) fn new(mlp: &DenseMlp, max_batch: usize) -> Self {
        let mut activations = vec![vec![0.0; max_batch * mlp.inputs()]];
        activations.extend(mlp.layers.iter().map(|layer| vec![0.0; max_batch * layer.shape().0]));
        let sums = mlp.layers.iter().map(|layer| {
            let len = if needs_sums(layer.activation) { max_batch * layer.shape().0 } else { 0 };
            vec![0.0; len]
        });
        let widest = mlp.layers.iter().map(|layer| layer.shape().0.max(layer.shape().1)).max().unwrap_or(0);
        let gradients = mlp.layers.iter().map(|layer| LayerGradient {
            weight: Array2::zeros(layer.weight.dim()),
            bias: Array1::zeros(layer.bias.dim()),
        });
        Self {
            batch: 0,
            labels: Vec::with_capacity(max_batch),
            activations,
            sums: sums.collect(),
            deltas: [vec![0.0; max_batch * widest], vec![0.0; max_batch * widest]],
            gradients: Gradients { layers: gradients.collect() },
        }
    }

    /// Takes some of the samples as the batch: at most as many as the pass was made for.
    pub(super) fn load(&mut self, samples: Samples<'_>, indices: impl Iterator<Item = usize>) {
        self.labels.clear();
        let features = samples.x.ncols();
        for (index, row) in indices.zip(self.activations[0].chunks_exact_mut(features)) {
            samples.x.row(index).iter().zip(row).for_each(|(&value, place)| *place = value);
            self.labels.push(samples.labels[index]);
        }
        self.batch = self.labels.len();
    }

    /// Forward and backward for the batch that was loaded: returns the mean loss and leaves the gradients.
    pub(super) fn run(&mut self, mlp: &DenseMlp) -> f64 {
        let batch = self.batch;
        for (index, layer) in mlp.layers.iter().enumerate() {
            let (out, inputs) = layer.shape();
            let (before, after) = self.activations.split_at_mut(index + 1);
            let input = matrix(&before[index][..batch * inputs], batch, false);
            let output = &mut after[0][..batch * out];
            let target = matrix_mut(output, batch, false);
            gemm(target, input, layer.weight.t(), 1);
            for row in output.chunks_exact_mut(out) {
                row.iter_mut().zip(&layer.bias).for_each(|(value, &bias)| *value += bias);
            }
            if needs_sums(layer.activation) {
                self.sums[index][..batch * out].copy_from_slice(output);
            }
            // A softmax comes with the loss.
            if layer.activation != Activation::Softmax {
                let (activation, values) = (layer.activation, output);
                Isa::widest().run(Activate { activation, values, features: out, by_features: false });
            }
        }
        let loss = self.softmax(mlp.outputs());
        self.backward(mlp);
        loss
    }

    /// The mean cross-entropy of the logits; its gradient by them goes to the first delta.
    fn softmax(&mut self, classes: usize) -> f64 {
        let logits = self.activations[self.activations.len() - 1].chunks_exact(classes);
        let deltas = self.deltas[0].chunks_exact_mut(classes);
        let scale = 1.0 / self.batch as f32;
        let mut loss = 0.0;
        for ((&label, logits), delta) in self.labels.iter().zip(logits).zip(deltas) {
            let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for (delta, &logit) in delta.iter_mut().zip(logits) {
                *delta = (logit - max).exp();
                sum += *delta;
            }
            loss += f64::from(sum).ln() - f64::from(logits[label] - max);
            delta.iter_mut().for_each(|delta| *delta *= scale / sum);
            delta[label] -= scale;
        }
        loss / self.batch as f64
    }

    /// From the first delta, the gradient by the last layer's output, to the gradients by all parameters.
    fn backward(&mut self, mlp: &DenseMlp) {
        let batch = self.batch;
        let [by_output, by_input] = &mut self.deltas;
        for (index, layer) in mlp.layers.iter().enumerate().rev() {
            let (out, inputs) = layer.shape();
            let delta = &mut by_output[..batch * out];
            derive(layer.activation, delta, &self.activations[index + 1], &self.sums[index]);
            let gradient = &mut self.gradients.layers[index];
            gradient.bias.fill(0.0);
            for row in delta.chunks_exact(out) {
                gradient.bias.iter_mut().zip(row).for_each(|(sum, &delta)| *sum += delta);
            }
            let delta = matrix(delta, batch, false);
            let input = matrix(&self.activations[index][..batch * inputs], batch, false);
            gemm(gradient.weight.view_mut(), delta.t(), input, 1);
            if index > 0 {
                let target = matrix_mut(&mut by_input[..batch * inputs], batch, false);
                gemm(target, delta, layer.weight.view(), 1);
                std::mem::swap(by_output, by_input);
            }
        }
    }
}

/// Whether a derivative is not a function of the activation's output alone.
fn needs_sums(activation: Activation) -> bool {
    match activation {
        Activation::Gelu | Activation::GeluTanh => true,
        // Outputs have one sign on both sides of 0.
        Activation::LeakyRelu(slope) => slope < 0.0,
        _ => false,
    }
}

/// From the gradient by an activation's outputs to that by its inputs, the `sums`, which are there if
/// [`needs_sums`] says so.
fn derive(activation: Activation, delta: &mut [f32], outputs: &[f32], sums: &[f32]) {
    /// 1/√(2π).
    const DENSITY: f32 = 0.398_942_3;
    let by_output = |delta: &mut [f32], factor: fn(f32) -> f32| {
        delta.iter_mut().zip(outputs).for_each(|(delta, &y)| *delta *= factor(y));
    };
    // Both GELUs are x·P(x); the factor is P + x·P′, of x and P. P(0) is ½.
    let by_share = |delta: &mut [f32], factor: fn(f32, f32) -> f32| {
        for (delta, (&y, &x)) in delta.iter_mut().zip(outputs.iter().zip(sums)) {
            *delta *= factor(x, if x == 0.0 { 0.5 } else { y / x });
        }
    };
    match activation {
        // The loss has the derivative of the softmax in it.
        Activation::Identity | Activation::Softmax => {}
        // Where the output is 0 the input was not above it; there the gradient is 0 by convention.
        Activation::Relu => delta.iter_mut().zip(outputs).for_each(|(delta, &y)| {
            *delta = if y > 0.0 { *delta } else { 0.0 };
        }),
        Activation::LeakyRelu(slope) => {
            let signs = if slope < 0.0 { sums } else { outputs };
            delta.iter_mut().zip(signs).for_each(|(delta, &sign)| {
                *delta = if sign > 0.0 { *delta } else { slope * *delta };
            });
        }
        Activation::Sigmoid => by_output(delta, |y| y * (1.0 - y)),
        Activation::Tanh => by_output(delta, |y| 1.0 - y * y),
        Activation::Gelu => by_share(delta, |x, share| share + x * DENSITY * (-0.5 * x * x).exp()),
        Activation::GeluTanh => by_share(delta, |x, share| {
            // P is the sigmoid of 2u, with u = √(2/π)·(x + 0.044715·x³), and √(2/π) = 2/√(2π).
            let slope = 4.0 * DENSITY * (1.0 + 3.0 * 0.044_715 * x * x);
            share + x * share * (1.0 - share) * slope
        }),
    }
}
