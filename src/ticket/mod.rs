//! Finding winning tickets (Frankle & Carbin, *The Lottery Ticket Hypothesis*, ICLR 2019).
//!
//! A [`Search`] trains a network, prunes its smallest weights by magnitude, and rewinds the survivors to the values
//! that they started from: [in one shot](Search::one_shot) or [in rounds](Search::iterative), each a little sparser.
//! What comes out is a [`Ticket`]. To see that both its mask and its initial weights matter, it is trained beside two
//! controls: the [same mask with fresh weights](Ticket::reinitialised), and [another mask of the same counts on the
//! same weights](Ticket::random_mask).

mod report;
mod search;

use crate::data::Split;
use crate::dense::{DenseMlp, Evaluation, History, Initialisation, Training};
use crate::{Mask, Result, SparseMlp};

pub use report::Spread;
pub use search::{Round, Scope, Search};

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
    /// A control: a random mask with another ticket's counts, on its weights.
    RandomMask,
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

    /// The first control: the same masks on a fresh network. It tells what the first values are worth.
    pub fn reinitialised(&self, initialisation: Initialisation, seed: u64) -> Self {
        let initial = self.initial.reinitialised(initialisation, seed);
        Self { initial, masks: self.masks.clone(), origin: Origin::Reinitialised }
    }

    /// The second control: in each layer as many weights, chosen by chance, at the same first values. It tells what
    /// the choice is worth.
    ///
    /// # Errors
    /// Never: the counts are those of masks of these shapes.
    pub fn random_mask(&self, seed: u64) -> Result<Self> {
        let masks = self.masks.iter().zip(0_u64..).map(|(mask, layer)| {
            // Far apart, so that a neighbouring seed does not draw a neighbouring layer's mask.
            let seed = seed.wrapping_add(layer.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            Mask::random_count(mask.shape(), mask.kept(), seed)
        });
        Ok(Self {
            initial: self.initial.clone(),
            masks: masks.collect::<Result<_>>()?,
            origin: Origin::RandomMask,
        })
    }
}
