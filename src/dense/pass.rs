//! Forward, loss and backward.

use faer::{MatMut, MatRef};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use super::{DenseMlp, Samples, multiply};
use crate::{Activation, Result};

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
    /// The mean softmax cross-entropy of some samples, in nats, and its gradient.
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
    /// The gradient by a layer's output and by its input, `[batch, features]`.
    deltas: [Vec<f32>; 2],
    pub(super) gradients: Gradients,
}

impl Pass {
    pub(super) fn new(mlp: &DenseMlp, max_batch: usize) -> Self {
        let mut activations = vec![vec![0.0; max_batch * mlp.inputs()]];
        activations.extend(mlp.layers.iter().map(|layer| vec![0.0; max_batch * layer.shape().0]));
        let widest = mlp.layers.iter().map(|layer| layer.shape().0.max(layer.shape().1)).max().unwrap_or(0);
        let gradients = mlp.layers.iter().map(|layer| LayerGradient {
            weight: Array2::zeros(layer.weight.dim()),
            bias: Array1::zeros(layer.bias.dim()),
        });
        Self {
            batch: 0,
            labels: Vec::with_capacity(max_batch),
            activations,
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
            let input = MatRef::from_row_major_slice(&before[index][..batch * inputs], batch, inputs);
            let output = &mut after[0][..batch * out];
            let target = MatMut::from_row_major_slice_mut(output, batch, out);
            multiply(target, input, weight(&layer.weight).transpose());
            for row in output.chunks_exact_mut(out) {
                row.iter_mut().zip(&layer.bias).for_each(|(value, &bias)| {
                    *value = layer.activation.apply(*value + bias);
                });
            }
        }
        let loss = self.softmax(mlp.outputs());
        self.backward(mlp);
        loss
    }

    /// The mean cross-entropy of the outputs; its gradient by them goes to the first delta.
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
            let output = &self.activations[index + 1];
            match layer.activation {
                Activation::Identity => {}
                // Where the output is 0 the input was not above it; there the gradient is 0 by convention.
                Activation::Relu => delta.iter_mut().zip(output).for_each(|(delta, &output)| {
                    *delta = if output > 0.0 { *delta } else { 0.0 };
                }),
            }
            let gradient = &mut self.gradients.layers[index];
            gradient.bias.fill(0.0);
            for row in delta.chunks_exact(out) {
                gradient.bias.iter_mut().zip(row).for_each(|(sum, &delta)| *sum += delta);
            }
            let delta = MatRef::from_row_major_slice(delta, batch, out);
            let input =
                MatRef::from_row_major_slice(&self.activations[index][..batch * inputs], batch, inputs);
            let Some(target) = gradient.weight.as_slice_mut() else {
                unreachable!("gradients are row-major")
            };
            multiply(MatMut::from_row_major_slice_mut(target, out, inputs), delta.transpose(), input);
            if index > 0 {
                let target = MatMut::from_row_major_slice_mut(&mut by_input[..batch * inputs], batch, inputs);
                multiply(target, delta, weight(&layer.weight));
                std::mem::swap(by_output, by_input);
            }
        }
    }
}

/// faer's view of a row-major weight matrix.
fn weight(weight: &Array2<f32>) -> MatRef<'_, f32> {
    let slice = weight.as_slice().unwrap_or_else(|| unreachable!("weights are kept row-major"));
    MatRef::from_row_major_slice(slice, weight.nrows(), weight.ncols())
}
