//! One-shot and iterative magnitude pruning.

use std::fmt;
use std::str::FromStr;

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

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LayerWise => "layer-wise",
            Self::Global => "global",
        })
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "layer-wise" => Ok(Self::LayerWise),
            "global" => Ok(Self::Global),
            _ => Err(Error::value("Scope::from_str", "scope", "layer-wise or global", format!("`{name}`"))),
        }
    }
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
        self.check(dense)?;
        let weights = dense.trained.network.weight_views();
        let masks = match self.scope {
            Scope::LayerWise => {
                weights.into_iter().map(|weight| Mask::magnitude(weight, sparsity)).collect::<Result<_>>()?
            }
            Scope::Global => Mask::magnitude_global(&weights, sparsity)?,
        };
        let origin = Origin::OneShot { scope: self.scope, sparsity };
        self.train(Ticket { initial: self.initial.clone(), masks, origin })
    }

    /// Prunes the share `rate` of what remains, rewinds and trains, `rounds` times over, starting from the trained
    /// dense network. Returns all rounds in order, without the dense one.
    ///
    /// Round k keeps `n·(1 − rate)ᵏ` of a layer's `n` weights, rounded: rounding does not add up over the rounds.
    ///
    /// # Errors
    /// When `rate` is outside of [0, 1), `dense` is another network's, or training fails.
    pub fn iterative(&self, dense: &Round, rate: f64, rounds: usize) -> Result<Vec<Round>> {
        self.check(dense)?;
        if !(0.0..1.0).contains(&rate) {
            return Err(Error::value("Search::iterative", "rate", "a number in [0, 1)", rate));
        }
        let mut found: Vec<Round> = Vec::new();
        for round in 1..=rounds {
            let remaining = (1.0 - rate).powf(round as f64);
            let masks = self.prune(found.last().unwrap_or(dense), remaining)?;
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

    /// The masks of a round without its smallest trained weights, so that the share `remaining` of all are left.
    fn prune(&self, round: &Round, remaining: f64) -> Result<Vec<Mask>> {
        let keep = |len: usize| (remaining * len as f64).round_ties_even() as usize;
        let weights = round.trained.network.weight_views();
        let masks = round.ticket.masks();
        match self.scope {
            Scope::LayerWise => {
                let layers = masks.iter().zip(weights);
                layers.map(|(mask, weight)| mask.magnitude_within(weight, keep(mask.len()))).collect()
            }
            Scope::Global => Mask::magnitude_within_global(masks, &weights, keep(self.initial.weights())),
        }
    }

    fn check(&self, round: &Round) -> Result<()> {
        if round.ticket.initial == self.initial {
            return Ok(());
        }
        let expected = "the dense round of this search, from its initial network";
        Err(Error::value("Search", "round", expected, "another initial network"))
    }
}
