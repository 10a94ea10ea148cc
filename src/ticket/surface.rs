//! The loss surface around a network's weights: its gradient, and products with its Hessian, in f64.

use ndarray::{Array1, Array2, Axis};

use crate::Activation;
use crate::dense::{DenseMlp, Samples};

/// The mean softmax cross-entropy of some samples, its logits divided by a temperature, at the weights of a network:
/// what a forward and a backward pass leave. A softmax after the last layer is the one of the loss.
pub(super) struct Surface {
    temperature: f64,
    layers: Vec<Layer>,
    /// The softmax of the logits over the temperature, `[samples, classes]`.
    shares: Array2<f64>,
}

struct Layer {
    /// `[out, in]`.
    weight: Array2<f64>,
    /// `[samples, in]`.
    input: Array2<f64>,
    /// First and second derivative of the activation at the sums of inputs times weights, `[samples, out]`.
    slope: Array2<f64>,
    bend: Array2<f64>,
    /// Gradient of the loss by the activation's outputs and by its sums, `[samples, out]`.
    by_output: Array2<f64>,
    by_sum: Array2<f64>,
}

impl Surface {
    /// The samples fit the network, which the caller has checked.
    pub(super) fn new(network: &DenseMlp, samples: Samples<'_>, temperature: f64) -> Self {
        let mut values = samples.x.mapv(f64::from);
        let mut layers = Vec::with_capacity(network.layers().len());
        for layer in network.layers() {
            let weight = layer.weight().mapv(f64::from);
            let sums = values.dot(&weight.t()) + layer.bias().mapv(f64::from);
            let activation = layer.activation();
            let output = sums.mapv(|x| derivatives(activation, x)[0]);
            layers.push(Layer {
                weight,
                input: std::mem::replace(&mut values, output),
                slope: sums.mapv(|x| derivatives(activation, x)[1]),
                bend: sums.mapv(|x| derivatives(activation, x)[2]),
                by_output: Array2::zeros(sums.dim()),
                by_sum: Array2::zeros(sums.dim()),
            });
        }
        let shares = softmax(values / temperature);
        let mut by_output = shares.clone();
        for (mut row, &label) in by_output.rows_mut().into_iter().zip(samples.labels) {
            row[label] -= 1.0;
        }
        by_output /= temperature * samples.labels.len() as f64;
        for layer in layers.iter_mut().rev() {
            layer.by_sum = &by_output * &layer.slope;
            let by_input = layer.by_sum.dot(&layer.weight);
            layer.by_output = std::mem::replace(&mut by_output, by_input);
        }
        Self { temperature, layers, shares }
    }

    /// The weights, `[out, in]`, first layer to last.
    pub(super) fn weights(&self) -> impl Iterator<Item = &Array2<f64>> {
        self.layers.iter().map(|layer| &layer.weight)
    }

    /// The gradient by the weights, `[out, in]`.
    pub(super) fn gradient(&self) -> Vec<Array2<f64>> {
        self.layers.iter().map(|layer| layer.by_sum.t().dot(&layer.input)).collect()
    }

    /// The Hessian by the weights (not the biases) times a `direction` of their shapes, by the operator R{·}, the
    /// derivative of each value of the two passes along that direction (Pearlmutter, *Fast Exact Multiplication by the
    /// Hessian*, Neural Computation 1994).
    pub(super) fn hessian_times(&self, direction: &[Array2<f64>]) -> Vec<Array2<f64>> {
        let mut r_values = Array2::zeros(self.layers[0].input.dim());
        // R of each layer's inputs and sums.
        let mut forward = Vec::with_capacity(self.layers.len());
        for (layer, direction) in self.layers.iter().zip(direction) {
            let r_sums = r_values.dot(&layer.weight.t()) + layer.input.dot(&direction.t());
            let r_output = &r_sums * &layer.slope;
            forward.push((std::mem::replace(&mut r_values, r_output), r_sums));
        }
        // R of the softmax p at logits over the temperature z: p·(R{z} − Σ p·R{z}).
        let r_logits = r_values / self.temperature;
        let means: Array1<f64> = (&self.shares * &r_logits).sum_axis(Axis(1));
        let mut r_by_output = &self.shares * &(r_logits - means.insert_axis(Axis(1)));
        r_by_output /= self.temperature * self.shares.nrows() as f64;

        let mut products = Vec::with_capacity(self.layers.len());
        for ((layer, direction), (r_input, r_sums)) in self.layers.iter().zip(direction).zip(&forward).rev() {
            let r_by_sum = &r_by_output * &layer.slope + &layer.by_output * &layer.bend * r_sums;
            products.push(r_by_sum.t().dot(&layer.input) + layer.by_sum.t().dot(r_input));
            r_by_output = r_by_sum.dot(&layer.weight) + layer.by_sum.dot(direction);
        }
        products.reverse();
        products
    }
}

fn softmax(mut logits: Array2<f64>) -> Array2<f64> {
    for mut row in logits.rows_mut() {
        let max = row.fold(f64::NEG_INFINITY, |max, &logit| max.max(logit));
        row.mapv_inplace(|logit| (logit - max).exp());
        let sum = row.sum();
        row /= sum;
    }
    logits
}

/// An activation at `x`, and its first and second derivative there. Where ReLU has a kink the slope is that below 0, as
/// in training.
fn derivatives(activation: Activation, x: f64) -> [f64; 3] {
    match activation {
        // The softmax is part of the loss.
        Activation::Identity | Activation::Softmax => [x, 1.0, 0.0],
        Activation::Relu => linear(x, 0.0),
        Activation::LeakyRelu(slope) => linear(x, f64::from(slope)),
        Activation::Gelu => {
            let share = 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
            let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
            [x * share, share + x * density, density * (2.0 - x * x)]
        }
        Activation::GeluTanh => {
            // x times the sigmoid of 2u, with u as the variant says.
            let scale = 2.0 * std::f64::consts::FRAC_2_PI.sqrt();
            let inner = scale * (x + 0.044_715 * x.powi(3));
            let (slope, bend) = (scale * (1.0 + 3.0 * 0.044_715 * x * x), scale * 6.0 * 0.044_715 * x);
            let [share, first, second] = sigmoid(inner);
            let (first, second) = (first * slope, second * slope * slope + first * bend);
            [x * share, share + x * first, 2.0 * first + x * second]
        }
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => {
            let y = x.tanh();
            let slope = 1.0 - y * y;
            [y, slope, -2.0 * y * slope]
        }
    }
}

/// Slope 1 above 0, and another below.
fn linear(x: f64, below: f64) -> [f64; 3] {
    let slope = if x > 0.0 { 1.0 } else { below };
    [slope * x, slope, 0.0]
}

fn sigmoid(x: f64) -> [f64; 3] {
    let y = 1.0 / (1.0 + (-x).exp());
    let slope = y * (1.0 - y);
    [y, slope, slope * (1.0 - 2.0 * y)]
}
