//! One-shot and iterative magnitude pruning.

use super::{Origin, Ticket, Trained};
use crate::data::Split;
use crate::dense::{DenseMlp, Training};
use crate::{Error, Mask, Result};

/// Whether each layer loses the same share of its weights, or all layers share one ranking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The same share of each layer.
    #[default]
    LayerWise,
    /// One ranking over all layers.
    Global,
}

/// A search for tickets in one initial network.
#[derive(Clone, Debug)]
pub struct Search<'a> {
    initial: DenseMlp,
    training: Training,
    scope: Scope,
    data: &'a Split,
}

/// A ticket and what training made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// The ticket.
    pub ticket: Ticket,
    /// After training.
    pub trained: Trained,
}

impl<'a> Search<'a> {
    /// A search from the network `initial`, trained by one recipe throughout.
    pub fn new(initial: DenseMlp, training: Training, scope: Scope, data: &'a Split) -> Self {
        Self { initial, training, scope, data }
    }

    /// Trains the whole network: round 0 of every search.
    ///
    /// # Errors
    /// As [`Training::run`].
    pub fn dense(&self) -> Result<Round> {
        self.train(Ticket::dense(self.initial.clone()))
    }

    /// Prunes the share `sparsity` of the weights of a trained dense network at once, and trains the rewound ticket.
    ///
    /// # Errors
    /// When `sparsity` is outside of [0, 1), `dense` is another network's, or training fails.
    pub fn one_shot(&self, dense: &Round, sparsity: f64) -> Result<Round> {
        let masks = self.prune(dense, sparsity)?;
        let origin = Origin::OneShot { scope: self.scope, sparsity };
        self.train(Ticket { initial: self.initial.clone(), masks, origin })
    }

    /// Prunes the share `rate` of what remains, rewinds and trains, `rounds` times over, starting from the trained
    /// dense network. Returns all rounds in order, without the dense one.
    ///
    /// # Errors
    /// When `rate` is outside of [0, 1), `dense` is another network's, or training fails.
    pub fn iterative(&self, dense: &Round, rate: f64, rounds: usize) -> Result<Vec<Round>> {
        let mut found: Vec<Round> = Vec::with_capacity(rounds);
        for round in 1..=rounds {
            let masks = self.prune(found.last().unwrap_or(dense), rate)?;
            let origin = Origin::Iterative { scope: self.scope, rate, rounds: round };
            found.push(self.train(Ticket { initial: self.initial.clone(), masks, origin })?);
        }
        Ok(found)
    }

    /// Trains a ticket by the recipe and on the data of this search; so controls are trained as tickets are.
    ///
    /// # Errors
    /// As [`Training::run`].
    pub fn train(&self, ticket: Ticket) -> Result<Round> {
        let trained = ticket.train(&self.training, self.data)?;
        Ok(Round { ticket, trained })
    }

    /// The masks of a round without its smallest trained weights.
    fn prune(&self, round: &Round, rate: f64) -> Result<Vec<Mask>> {
        if round.ticket.initial != self.initial {
            let expected = "a round of this search, from its initial network";
            return Err(Error::value("Search", "round", expected, "another initial network"));
        }
        let weights = round.trained.network.weight_views();
        let masks = round.ticket.masks();
        match self.scope {
            Scope::LayerWise => {
                masks.iter().zip(weights).map(|(mask, weight)| mask.magnitude_further(weight, rate)).collect()
            }
            Scope::Global => Mask::magnitude_further_global(masks, &weights, rate),
        }
    }
}
