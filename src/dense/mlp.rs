//! The network itself.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

use super::DenseInference;
use crate::rng::{Stream, generator};
use crate::{Activation, Error, Mask, Result, SparseLinear, SparseMlp, csr};

/// A linear layer with dense weights: `y = activation(W·x + b)`.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseLayer {
    pub(super) weight: Array2<f32>,
    pub(super) bias: Array1<f32>,
    pub(super) activation: Activation,
}

impl DenseLayer {
    /// A layer of a weight matrix `[out, in]`, a bias `[out]` and an activation.
    ///
    /// # Errors
    /// When the weight has no elements, the bias has another length than `out`, or a slope is not finite.
    pub fn new(weight: Array2<f32>, bias: Array1<f32>, activation: Activation) -> Result<Self> {
        let operation = "DenseLayer::new";
        if weight.is_empty() {
            return Err(Error::shape(operation, "weight", "at least one row and one column", weight.shape()));
        }
        if bias.len() != weight.nrows() {
            let expected = format!("[{}], one a row of the weight", weight.nrows());
            return Err(Error::shape(operation, "bias", expected, bias.shape()));
        }
        activation.check(operation)?;
        let weight = weight.as_standard_layout().into_owned();
        let bias = bias.as_standard_layout().into_owned();
        Ok(Self { weight, bias, activation })
    }

    /// `[out, in]`, row-major.
    pub fn weight(&self) -> ArrayView2<'_, f32> {
        self.weight.view()
    }

    /// `[out]`.
    pub fn bias(&self) -> ArrayView1<'_, f32> {
        self.bias.view()
    }

    /// What comes after the linear map.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// `(out, in)`.
    pub fn shape(&self) -> (usize, usize) {
        self.weight.dim()
    }
}

/// How weights and biases begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Initialisation {
    /// PyTorch's default for `nn.Linear`: weights and biases uniform in ±1/√in.
    TorchDefault,
    /// Normal with variance 2/(in + out), biases 0 (Glorot & Bengio 2010): Frankle & Carbin's choice.
    GlorotNormal,
}

impl fmt::Display for Initialisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TorchDefault => "torch-default",
            Self::GlorotNormal => "glorot-normal",
        })
    }
}

impl FromStr for Initialisation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "torch-default" => Ok(Self::TorchDefault),
            "glorot-normal" => Ok(Self::GlorotNormal),
            _ => {
                let expected = "torch-default or glorot-normal";
                Err(Error::value("Initialisation::from_str", "initialisation", expected, format!("`{name}`")))
            }
        }
    }
}

impl Initialisation {
    /// The standard deviation of the weights of a layer.
    pub fn deviation(self, inputs: usize, out: usize) -> f32 {
        match self {
            // Of numbers uniform in ±bound it is bound/√3.
            Self::TorchDefault => 1.0 / (3.0 * inputs as f32).sqrt(),
            Self::GlorotNormal => (2.0 / (inputs + out) as f32).sqrt(),
        }
    }

    fn layer(self, inputs: usize, out: usize, generator: &mut impl Rng) -> (Array2<f32>, Array1<f32>) {
        match self {
            Self::TorchDefault => {
                let bound = 1.0 / (inputs as f32).sqrt();
                let mut uniform = || bound * (2.0 * generator.random::<f32>() - 1.0);
                let weight = Array2::from_shape_simple_fn((out, inputs), &mut uniform);
                (weight, Array1::from_shape_simple_fn(out, uniform))
            }
            Self::GlorotNormal => {
                let deviation = self.deviation(inputs, out);
                let normal = || {
                    let sample: f32 = StandardNormal.sample(generator);
                    deviation * sample
                };
                (Array2::from_shape_simple_fn((out, inputs), normal), Array1::zeros(out))
            }
        }
    }
}

/// Inputs `[samples, features]` and the class of each.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// `[samples, features]`.
    pub x: ArrayView2<'a, f32>,
    /// One class a sample, from 0.
    pub labels: &'a [usize],
}

/// How good a network is on some samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean cross-entropy of the softmax, in nats; a softmax after the last layer is this one.
    pub loss: f64,
    /// Share of the samples whose largest output is their class.
    pub accuracy: f64,
}

impl Evaluation {
    /// That of logits `[samples, classes]`; there are samples, and their labels are classes.
    pub(crate) fn of_logits(logits: ArrayView2<'_, f32>, labels: &[usize]) -> Self {
        let (mut loss, mut correct) = (0.0, 0);
        for (row, &label) in logits.rows().into_iter().zip(labels) {
            let max = row.fold(f32::NEG_INFINITY, |max, &logit| max.max(logit));
            let sum: f64 = row.iter().map(|&logit| f64::from(logit - max).exp()).sum();
            loss += sum.ln() - f64::from(row[label] - max);
            // The first of equals, so that a network that says nothing gets no credit for it.
            correct += usize::from(row.iter().position(|&logit| logit == max) == Some(label));
        }
        let count = labels.len() as f64;
        Self { loss: loss / count, accuracy: correct as f64 / count }
    }
}

/// A multi-layer perceptron with dense weights.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseMlp {
    pub(super) layers: Vec<DenseLayer>,
}

impl From<&SparseMlp> for DenseMlp {
    /// The dense network of a sparse one: zeros where it has no weights.
    fn from(mlp: &SparseMlp) -> Self {
        let layers = mlp.layers().iter().map(|layer| DenseLayer {
            weight: csr::to_dense(layer.csr()),
            bias: layer.bias().to_owned(),
            activation: layer.activation(),
        });
        Self { layers: layers.collect() }
    }
}

impl DenseMlp {
    /// A chain of layers, first to last.
    ///
    /// # Errors
    /// When there is no layer, a layer takes another count of features than the one before it gives, or one before
    /// the last has a softmax.
    pub fn new(layers: Vec<DenseLayer>) -> Result<Self> {
        let operation = "DenseMlp::new";
        if layers.is_empty() {
            return Err(Error::shape(operation, "layers", "at least one layer", 0));
        }
        for (index, pair) in layers.windows(2).enumerate() {
            pair[0].activation.check_hidden(operation, index)?;
            let (gives, takes) = (pair[0].shape().0, pair[1].shape().1);
            if gives != takes {
                let expected = format!("{gives} inputs, the outputs of layer {index}");
                let subject = format!("weight of layer {}", index + 1);
                return Err(Error::shape(operation, subject, expected, pair[1].shape()));
            }
        }
        Ok(Self { layers })
    }

    /// A fresh network of the given `sizes` (inputs, hidden…, outputs), with ReLU between the layers and nothing
    /// after the last. The same `seed` gives the same network.
    ///
    /// ```
    /// use tombola::dense::{DenseMlp, Initialisation};
    /// let mlp = DenseMlp::initialise(&[784, 300, 100, 10], Initialisation::TorchDefault, 1)?;
    /// assert_eq!(mlp.weights(), 266_200);
    /// # Ok::<(), tombola::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there are fewer than two sizes, one of them is 0, or a layer has so many weights that there is no memory
    /// for them.
    pub fn initialise(sizes: &[usize], initialisation: Initialisation, seed: u64) -> Result<Self> {
        if sizes.len() < 2 || sizes.contains(&0) {
            let expected = "at least two sizes, all above 0";
            return Err(Error::shape("DenseMlp::initialise", "sizes", expected, sizes));
        }
        for pair in sizes.windows(2) {
            let fits = |count: usize| Vec::<f32>::new().try_reserve_exact(count).is_ok();
            if !pair[0].checked_mul(pair[1]).is_some_and(fits) {
                let expected = "layers that there is memory for";
                return Err(Error::shape("DenseMlp::initialise", "sizes", expected, sizes));
            }
        }
        let last = sizes.len() - 2;
        let shapes = sizes.windows(2).enumerate().map(|(index, pair)| {
            let activation = if index == last { Activation::Identity } else { Activation::Relu };
            ((pair[1], pair[0]), activation)
        });
        Ok(Self::fresh(shapes, initialisation, seed))
    }

    /// A fresh network of the shapes and with the activations of this one.
    pub fn reinitialised(&self, initialisation: Initialisation, seed: u64) -> Self {
        Self::fresh(self.layers.iter().map(|layer| (layer.shape(), layer.activation)), initialisation, seed)
    }

    fn fresh(
        shapes: impl Iterator<Item = ((usize, usize), Activation)>,
        initialisation: Initialisation,
        seed: u64,
    ) -> Self {
        let mut generator = generator(seed, Stream::Initialisation);
        let layers = shapes.map(|((out, inputs), activation)| {
            let (weight, bias) = initialisation.layer(inputs, out, &mut generator);
            DenseLayer { weight, bias, activation }
        });
        Self { layers: layers.collect() }
    }

    /// The network with other activations, one a layer.
    ///
    /// ```
    /// use tombola::Activation::{Gelu, Softmax};
    /// use tombola::dense::{DenseMlp, Initialisation};
    /// let mlp = DenseMlp::initialise(&[784, 300, 10], Initialisation::TorchDefault, 1)?;
    /// let mlp = mlp.with_activations(&[Gelu, Softmax])?;
    /// # Ok::<(), tombola::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is not one activation a layer, a slope is not finite, or a softmax comes before the last layer.
    pub fn with_activations(mut self, activations: &[Activation]) -> Result<Self> {
        let operation = "DenseMlp::with_activations";
        if activations.len() != self.layers.len() {
            let expected = format!("{}, one a layer", self.layers.len());
            return Err(Error::shape(operation, "activations", expected, activations.len()));
        }
        for (layer, &activation) in self.layers.iter_mut().zip(activations) {
            activation.check(operation)?;
            layer.activation = activation;
        }
        Self::new(self.layers)
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[DenseLayer] {
        &self.layers
    }

    /// The weight matrix of a layer, `[out, in]`, to change; `None` past the last layer.
    pub fn weight_mut(&mut self, layer: usize) -> Option<ArrayViewMut2<'_, f32>> {
        self.layers.get_mut(layer).map(|layer| layer.weight.view_mut())
    }

    /// The bias of a layer, `[out]`, to change; `None` past the last layer.
    pub fn bias_mut(&mut self, layer: usize) -> Option<ArrayViewMut1<'_, f32>> {
        self.layers.get_mut(layer).map(|layer| layer.bias.view_mut())
    }

    /// Views of the weight matrices `[out, in]`, first to last.
    pub fn weight_views(&self) -> Vec<ArrayView2<'_, f32>> {
        self.layers.iter().map(DenseLayer::weight).collect()
    }

    /// Count of weights, without biases.
    pub fn weights(&self) -> usize {
        self.layers.iter().map(|layer| layer.weight.len()).sum()
    }

    /// Features of a sample.
    pub fn inputs(&self) -> usize {
        self.layers[0].weight.ncols()
    }

    /// Features of an output.
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].weight.nrows()
    }

    /// The output `[batch, out]` for `x` of shape `[batch, in]`. To run many batches, hold a [`DenseInference`].
    ///
    /// # Errors
    /// When `x` has another count of features.
    pub fn forward(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        let mut y = Array2::zeros((x.nrows(), self.outputs()));
        DenseInference::once(self).forward_into(x, y.view_mut())?;
        Ok(y)
    }

    /// Loss and accuracy on some samples.
    ///
    /// # Errors
    /// When there are no samples, their shapes do not fit the network or each other, or a label is no class.
    pub fn evaluate(&self, samples: Samples<'_>) -> Result<Evaluation> {
        self.check_samples("DenseMlp::evaluate", samples)?;
        let mut outputs = Array2::zeros((samples.labels.len(), self.outputs()));
        DenseInference::once(self).logits().forward_into(samples.x, outputs.view_mut())?;
        Ok(Evaluation::of_logits(outputs.view(), samples.labels))
    }

    /// Adds normal noise of the given standard `deviation` to every weight and bias: a stand-in for
    /// training.
    ///
    /// # Errors
    /// When `deviation` is negative or not finite.
    pub fn add_noise(&mut self, deviation: f32, seed: u64) -> Result<()> {
        if !(deviation.is_finite() && deviation >= 0.0) {
            let expected = "a finite number, 0 or above";
            return Err(Error::value("DenseMlp::add_noise", "deviation", expected, deviation));
        }
        let mut generator = generator(seed, Stream::Noise);
        for layer in &mut self.layers {
            for value in layer.weight.iter_mut().chain(&mut layer.bias) {
                let noise: f32 = StandardNormal.sample(&mut generator);
                *value += deviation * noise;
            }
        }
        Ok(())
    }

    /// Sets every pruned weight to exactly 0.0. Biases have no mask.
    ///
    /// # Errors
    /// When there is not one mask a layer, of its shape.
    pub fn apply_masks(&mut self, masks: &[Mask]) -> Result<()> {
        self.check_masks("DenseMlp::apply_masks", masks)?;
        for (layer, mask) in self.layers.iter_mut().zip(masks) {
            for (index, mut row) in layer.weight.rows_mut().into_iter().enumerate() {
                let mut pruned = ndarray::Array1::zeros(row.len());
                mask.row(index).for_each(|column| pruned[column] = row[column]);
                row.assign(&pruned);
            }
        }
        Ok(())
    }

    /// The network with only the kept weights, for sparse inference.
    ///
    /// # Errors
    /// When there is not one mask a layer, of its shape, or `TOMBOLA_ISA` names an instruction set that this CPU
    /// lacks.
    pub fn to_sparse(&self, masks: &[Mask]) -> Result<SparseMlp> {
        self.check_masks("DenseMlp::to_sparse", masks)?;
        let layers = self.layers.iter().zip(masks).map(|(layer, mask)| {
            SparseLinear::new(mask.apply(layer.weight())?, Some(layer.bias.clone()), layer.activation)
        });
        SparseMlp::new(layers.collect::<Result<_>>()?)
    }

    pub(crate) fn check_masks(&self, operation: &'static str, masks: &[Mask]) -> Result<()> {
        if masks.len() != self.layers.len() {
            let expected = format!("{} masks, one a layer", self.layers.len());
            return Err(Error::shape(operation, "masks", expected, masks.len()));
        }
        for (index, (layer, mask)) in self.layers.iter().zip(masks).enumerate() {
            mask.check_shape(operation, &format!("weight of layer {index}"), layer.shape())?;
        }
        Ok(())
    }

    pub(crate) fn check_samples(&self, operation: &'static str, samples: Samples<'_>) -> Result<()> {
        let Samples { x, labels } = samples;
        if x.nrows() == 0 || x.ncols() != self.inputs() {
            let expected = format!("[samples, {}] with at least one sample", self.inputs());
            return Err(Error::shape(operation, "x", expected, x.shape()));
        }
        if labels.len() != x.nrows() {
            let expected = format!("{}, one a sample", x.nrows());
            return Err(Error::shape(operation, "labels", expected, labels.len()));
        }
        if let Some((index, label)) = labels.iter().enumerate().find(|&(_, &label)| label >= self.outputs()) {
            let expected = format!("classes below {}", self.outputs());
            return Err(Error::value(operation, "labels", expected, format!("{label} at {index}")));
        }
        Ok(())
    }
}
