//! Finding winning tickets (Frankle & Carbin, *The Lottery Ticket Hypothesis*, ICLR 2019).
//!
//! A [`Search`] trains a network, prunes its smallest weights by magnitude, and rewinds the survivors to the values
//! that they started from: [in one shot](Search::one_shot) or [in rounds](Search::iterative), each a little sparser.
//! What comes out is a [`Ticket`]. To see that both its mask and its initial weights matter, it is trained beside
//! controls: the [same mask with fresh weights](Ticket::reinitialised), or [with nothing but their
//! signs](Ticket::sign_only), and [another mask of the same counts](Ticket::shuffled_mask), or [of the same total
//! count](Ticket::random_mask), on the same weights.
//!
//! Other ways to a mask: other [scores](Score) of a trained network; pruning [before training](Foresight); and masks
//! that [change during training](Rewiring), from a random one of some [distribution](Distribution) over the layers.
//! Which layers can do without many weights, a [scan](Sensitivity) tells.

mod control;
mod distribution;
mod foresight;
mod name;
mod report;
mod rewiring;
mod score;
mod search;
mod sensitivity;
mod surface;

use ndarray::{Array2, ArrayView2};

use crate::data::Split;
use crate::dense::{DenseMlp, Evaluation, History, Training};
use crate::{Mask, Result, SparseMlp};

pub use distribution::Distribution;
pub use foresight::Foresight;
use name::{name_of, named};
pub use report::Spread;
pub use rewiring::{Decay, Growth, Rewired, Rewiring};
pub use score::Score;
pub use search::{Round, Scope, Search};
pub use sensitivity::{Pruned, Sensitivity};

/// A sparse subnetwork at its first values: the initial network, which of its weights stay, and how they were found.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    initial: DenseMlp,
    masks: Vec<Mask>,
    origin: Origin,
}

/// How a ticket was found.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Origin {
    /// The whole network, before any pruning.
    Dense,
    /// Pruned once, by the magnitude of the trained weights.
    OneShot {
        /// One ranking for each layer or for all.
        scope: Scope,
        /// Share of the weights that were pruned.
        sparsity: f64,
    },
    /// Pruned, rewound and trained again, round after round.
    Iterative {
        /// One ranking for each layer or for all.
        scope: Scope,
        /// Share of the remaining weights that a round prunes.
        rate: f64,
        /// Rounds until here.
        rounds: usize,
    },
    /// A control: another ticket's mask on fresh weights.
    Reinitialised,
    /// A control: a random mask with another ticket's count in each layer, on its weights.
    ShuffledMask,
    /// A control: a random mask with another ticket's total count, on its weights.
    RandomMask,
    /// A control: another ticket's mask and signs, all weights of a layer of one magnitude.
    SignOnly,
    /// Brought by the caller.
    Given,
}

/// A network after training, and how good it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The network after the last epoch.
    pub network: DenseMlp,
    /// What happened on the way.
    pub history: History,
    /// On the test samples, with the weights of the epoch of lowest validation loss.
    pub test: Evaluation,
}

impl Ticket {
    /// A ticket of an initial network and one mask a layer.
    ///
    /// # Errors
    /// When there is not one mask a layer, of its shape.
    pub fn new(initial: DenseMlp, masks: Vec<Mask>) -> Result<Self> {
        initial.check_masks("Ticket::new", &masks)?;
        Ok(Self { initial, masks, origin: Origin::Given })
    }

    /// The ticket that is the whole network.
    pub fn dense(initial: DenseMlp) -> Self {
        let masks = initial.layers().iter().map(|layer| Mask::all(layer.shape())).collect();
        Self { initial, masks, origin: Origin::Dense }
    }

    /// The network that the ticket was drawn from, at its first values, whole.
    pub fn initial(&self) -> &DenseMlp {
        &self.initial
    }

    /// One mask a layer.
    pub fn masks(&self) -> &[Mask] {
        &self.masks
    }

    /// How it was found.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Count of kept weights.
    pub fn kept(&self) -> usize {
        self.masks.iter().map(Mask::kept).sum()
    }

    /// Kept weights over all weights.
    pub fn density(&self) -> f64 {
        self.kept() as f64 / self.initial.weights() as f64
    }

    /// The rewound network: every kept weight at its first value, every other exactly 0.0, biases at their first
    /// values.
    ///
    /// # Errors
    /// Never: the masks fit.
    pub fn rewound(&self) -> Result<DenseMlp> {
        let mut network = self.initial.clone();
        network.apply_masks(&self.masks)?;
        Ok(network)
    }

    /// Trains the rewound network under the mask.
    ///
    /// # Errors
    /// As [`Training::run`].
    pub fn train(&self, training: &Training, data: &Split) -> Result<Trained> {
        let mut network = self.initial.clone();
        let history = training.run(
            &mut network,
            Some(&self.masks),
            data.training.samples(),
            data.validation.samples(),
        )?;
        let test = history.best.evaluate(data.test.samples())?;
        Ok(Trained { network, history, test })
    }

    /// A network with this ticket's masks (after training, say) for sparse inference.
    ///
    /// # Errors
    /// When `network` has other shapes than the masks.
    pub fn to_sparse(&self, network: &DenseMlp) -> Result<SparseMlp> {
        network.to_sparse(&self.masks)
    }
}

/// As rankings take them.
fn views(scores: &[Array2<f64>]) -> Vec<ArrayView2<'_, f64>> {
    scores.iter().map(|scores| scores.view()).collect()
}
