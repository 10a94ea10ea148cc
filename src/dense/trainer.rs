//! Training, step by step.

use ndarray::{Array1, Array2};

use super::layer::Layer;
use super::pass::Pass;
use super::{DenseMlp, Gradients, Optimizer, Samples};
use crate::{Error, Isa, Mask, Result, plan};

/// How training multiplies. The results agree to rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Products {
    /// For each layer, whichever is expected to be faster: sparse where the mask keeps at most a share of the weights
    /// that [`Products::SPARSE`] says.
    #[default]
    Fastest,
    /// Dense products for all layers; masks are enforced after them.
    Dense,
    /// Kept weights only, forward and backward, in all layers.
    Sparse,
}

impl Products {
    /// The density up to which [`Fastest`](Self::Fastest) trains a layer on its kept weights alone. With AVX-512 the
    /// two ways take the same time a little above a half, for batches of 1, 60 and 1000; kernels of AVX2 are even with
    /// dense products of AVX-512 at this density.
    pub const SPARSE: f64 = plan::SPARSE_TRAINING;

    fn is_sparse(self, mask: Option<&Mask>) -> bool {
        match self {
            Self::Fastest => mask.is_some_and(|mask| mask.density() <= Self::SPARSE),
            Self::Dense => false,
            Self::Sparse => true,
        }
    }
}

/// A network in training, with what its optimizer remembers: one [`step`](Self::step) at a time.
///
/// A layer that keeps few of its weights trains on those alone: forward, backward, its gradient and the optimizer's
/// step touch no others. A pruned weight is exactly 0.0 either way, and what is kept trains to the same values within
/// rounding. The same steps give the same bits on the same instruction set.
///
/// What training has come to can be taken out at any step, whole and independent of the way of the products:
/// [`network`](Self::network) and [`moments`](Self::moments). A trainer that they are [restored](Self::restore) to goes
/// on as this one would have.
///
/// ```
/// use tombola::Mask;
/// use tombola::dense::{DenseMlp, Initialisation, Optimizer, Samples, Trainer};
/// let mlp = DenseMlp::initialise(&[4, 30, 2], Initialisation::TorchDefault, 1)?;
/// let masks = [Mask::random((30, 4), 0.9, 1)?, Mask::random((2, 30), 0.5, 1)?];
/// let x = ndarray::array![[0.1, 0.9, 0.3, 0.0], [0.7, 0.0, 0.2, 0.5], [0.3, 0.3, 0.9, 0.1]];
/// let samples = Samples { x: x.view(), labels: &[1, 0, 1] };
/// let mut trainer = Trainer::new(&mlp, Some(&masks), Optimizer::Adam { rate: 1.2e-3 })?;
/// let first = trainer.step(samples, &[2, 0])?;
/// let second = trainer.step(samples, &[1, 2])?;
/// let trained = trainer.network();
/// # assert!(first.is_finite() && second.is_finite() && trained != mlp);
/// # Ok::<(), tombola::Error>(())
/// ```
pub struct Trainer {
    optimizer: Optimizer,
    steps: u64,
    layers: Vec<Layer>,
    pass: Pass,
}

/// What an optimizer remembers of a network, in the shapes of its parameters: 0.0 where a weight is pruned.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Steps that have been made.
    pub steps: u64,
    /// First to last.
    pub layers: Vec<LayerMoments>,
}

/// What an optimizer remembers of a layer: the mean of the gradient (Adam) or the velocity (SGD), and the mean of its
/// square, which SGD leaves at 0.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerMoments {
    /// `[out, in]`.
    pub weight: [Array2<f32>; 2],
    /// `[out]`.
    pub bias: [Array1<f32>; 2],
}

impl Trainer {
    /// Begins to train a copy of a network, under `masks` (one a layer) if there are some, by the fastest products of
    /// this CPU (see [`Isa::detect`]).
    ///
    /// # Errors
    /// When the optimizer is out of range, the masks do not fit the network, or `TOMBOLA_ISA` names an instruction set
    /// that this CPU lacks.
    pub fn new(mlp: &DenseMlp, masks: Option<&[Mask]>, optimizer: Optimizer) -> Result<Self> {
        Self::with_products(mlp, masks, optimizer, Products::Fastest, Isa::detect()?)
    }

    /// [`new`](Self::new) with given products and the kernels of a given instruction set. (faer, which multiplies dense
    /// matrices, looks for its own.)
    ///
    /// # Errors
    /// When the optimizer is out of range or the masks do not fit the network.
    pub fn with_products(
        mlp: &DenseMlp,
        masks: Option<&[Mask]>,
        optimizer: Optimizer,
        products: Products,
        isa: Isa,
    ) -> Result<Self> {
        let operation = "Trainer::new";
        optimizer.check(operation)?;
        if let Some(masks) = masks {
            mlp.check_masks(operation, masks)?;
        }
        let layers = mlp.layers.iter().enumerate().map(|(index, layer)| {
            let mask = masks.map(|masks| &masks[index]);
            match mask {
                _ if !products.is_sparse(mask) => Ok(Layer::dense(layer, mask, isa)),
                Some(mask) => Layer::sparse(layer, mask, isa),
                None => Layer::sparse(layer, &Mask::all(layer.shape()), isa),
            }
        });
        let layers = layers.collect::<Result<Vec<_>>>()?;
        Ok(Self { optimizer, steps: 0, pass: Pass::new(&layers, isa), layers })
    }

    /// One step of gradient descent along the gradient of the mean softmax cross-entropy of some of the samples, as
    /// [that of a network](DenseMlp::loss_and_gradients). Returns this loss, in nats, from before the step.
    ///
    /// # Errors
    /// When `indices` is empty or names a sample that is not there, the samples do not fit the network, or a label is
    /// no class.
    pub fn step(&mut self, samples: Samples<'_>, indices: &[usize]) -> Result<f64> {
        self.load("Trainer::step", samples, indices)?;
        self.steps = self.steps.saturating_add(1);
        let rule = self.optimizer.rule(self.steps);
        Ok(self.pass.run(&mut self.layers, |_, layer, evidence| layer.descend(rule, evidence)))
    }

    /// Goes on by another optimizer, or the same with another rate: what it remembers stays.
    ///
    /// # Errors
    /// When the optimizer is out of range.
    pub fn set_optimizer(&mut self, optimizer: Optimizer) -> Result<()> {
        optimizer.check("Trainer::set_optimizer")?;
        self.optimizer = optimizer;
        Ok(())
    }

    /// The loss of some of the samples and its gradients, without a step: 0.0 where a layer that trains on its kept
    /// weights has none.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn loss_and_gradients(
        &mut self,
        samples: Samples<'_>,
        indices: &[usize],
    ) -> Result<(f64, Gradients)> {
        self.load("Trainer::loss_and_gradients", samples, indices)?;
        Ok(self.pass.gradients(&mut self.layers))
    }

    fn load(&mut self, operation: &'static str, samples: Samples<'_>, indices: &[usize]) -> Result<()> {
        let Samples { x, labels } = samples;
        let (inputs, classes) = (self.layers[0].shape().1, self.layers[self.layers.len() - 1].shape().0);
        if x.ncols() != inputs {
            return Err(Error::shape(operation, "x", format!("[samples, {inputs}]"), x.shape()));
        }
        if labels.len() != x.nrows() {
            let expected = format!("{}, one a sample", x.nrows());
            return Err(Error::shape(operation, "labels", expected, labels.len()));
        }
        if indices.is_empty() {
            return Err(Error::shape(operation, "indices", "at least one sample", 0));
        }
        for &index in indices {
            match labels.get(index) {
                None => {
                    let expected = format!("samples below {}", labels.len());
                    return Err(Error::value(operation, "indices", expected, index));
                }
                Some(&label) if label >= classes => {
                    let expected = format!("classes below {classes}");
                    return Err(Error::value(operation, "labels", expected, format!("{label} at {index}")));
                }
                Some(_) => {}
            }
        }
        self.pass.load(samples, indices);
        Ok(())
    }

    /// How many steps have been made, those before a [`restore`](Self::restore) included.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether each layer trains on its kept weights alone, first to last.
    pub fn is_sparse(&self) -> Vec<bool> {
        self.layers.iter().map(Layer::is_sparse).collect()
    }

    /// The network as it is now. Pruned weights are exactly 0.0.
    pub fn network(&self) -> DenseMlp {
        DenseMlp { layers: self.layers.iter().map(Layer::network).collect() }
    }

    /// What the optimizer remembers.
    pub fn moments(&self) -> Moments {
        Moments { steps: self.steps, layers: self.layers.iter().map(Layer::moments).collect() }
    }

    /// Goes on from where another trainer with the same masks and optimizer was: from its network and its moments.
    /// Values at pruned weights are left out.
    ///
    /// # Errors
    /// When the network or the moments have other shapes; nothing has changed then.
    pub fn restore(&mut self, network: &DenseMlp, moments: &Moments) -> Result<()> {
        let operation = "Trainer::restore";
        let own: Vec<_> = self.layers.iter().map(Layer::shape).collect();
        let theirs: Vec<_> = network.layers.iter().map(|layer| layer.shape()).collect();
        if own != theirs {
            return Err(Error::shape(operation, "network", format!("layers of {own:?}"), theirs));
        }
        if moments.layers.len() != own.len() {
            let expected = format!("{}, one a layer", own.len());
            return Err(Error::shape(operation, "moments", expected, moments.layers.len()));
        }
        for (index, (moments, shape)) in moments.layers.iter().zip(own).enumerate() {
            let fits = moments.weight.iter().all(|weight| weight.dim() == shape)
                && moments.bias.iter().all(|bias| bias.len() == shape.0);
            if !fits {
                let expected = format!("the shapes of a weight {shape:?} and its bias");
                let found: Vec<_> = moments.weight.iter().map(|weight| weight.dim()).collect();
                return Err(Error::shape(operation, format!("moments of layer {index}"), expected, found));
            }
        }
        self.steps = moments.steps;
        for (layer, (network, moments)) in
            self.layers.iter_mut().zip(network.layers.iter().zip(&moments.layers))
        {
            layer.restore(network, moments);
        }
        Ok(())
    }
}
