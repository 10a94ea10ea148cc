//! What an experiment does.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::dense::{Initialisation, Optimizer};
use crate::ticket::Scope;
use crate::{Error, Result};

/// What an experiment does: with the data and a seed it determines every bit of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The data set, as [`Source`](crate::io::Source) reads it.
    pub data: String,
    /// Units of each hidden layer.
    pub hidden: Vec<usize>,
    /// How weights and biases begin.
    pub initialisation: Initialisation,
    /// How gradients become steps.
    pub optimizer: Optimizer,
    /// Samples of an iteration.
    pub batch: usize,
    /// Iterations of a training.
    pub iterations: usize,
    /// Iterations from one evaluation to the next.
    pub evaluate_every: usize,
    /// Whether layers share a ranking.
    pub scope: Scope,
    /// Share of the remaining weights that a round prunes.
    pub rate: f64,
    /// The same of the last layer, where layers have rankings of their own.
    pub output_rate: f64,
    /// Rounds of pruning.
    pub rounds: usize,
    /// What the survivors go back to.
    pub rewind: Rewind,
    /// What is trained beside the ticket of each round.
    pub controls: Vec<Control>,
}

/// What the weights that survive a round go back to, and how they are trained from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rewind {
    /// Their first values (Frankle & Carbin, ICLR 2019). As text, `initial`.
    Initial,
    /// Those of the dense network after some iterations; training goes on from there (Frankle et al., ICML 2020).
    /// As text, `iteration:500`.
    Iteration(usize),
    /// They stay as trained, and are trained for the last so many iterations again, at the rates that those had (Renda et al.,
    /// ICLR 2020). As text, `learning-rate:10000`.
    LearningRate(usize),
    /// They stay as trained, and are trained for so many iterations more, at the last rate. As text, `fine-tune:10000`.
    FineTune(usize),
}

/// What a ticket is held against, trained as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Control {
    /// The mask on fresh weights.
    Reinitialised,
    /// As many weights by chance, of the whole network, at their first values.
    RandomMask,
    /// As many weights of each layer by chance, at their first values.
    ShuffledMask,
    /// The mask on weights that have nothing but the sign of their first value.
    SignOnly,
}

impl Control {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Reinitialised, Self::RandomMask, Self::ShuffledMask, Self::SignOnly];
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reinitialised => "reinitialised",
            Self::RandomMask => "random-mask",
            Self::ShuffledMask => "shuffled-mask",
            Self::SignOnly => "sign-only",
        })
    }
}

impl FromStr for Control {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|control| control.to_string() == name);
        known.ok_or_else(|| {
            let expected = "reinitialised, random-mask, shuffled-mask or sign-only";
            Error::value("Control::from_str", "control", expected, format!("`{name}`"))
        })
    }
}

impl fmt::Display for Rewind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Initial => f.write_str("initial"),
            Self::Iteration(iteration) => write!(f, "iteration:{iteration}"),
            Self::LearningRate(iterations) => write!(f, "learning-rate:{iterations}"),
            Self::FineTune(iterations) => write!(f, "fine-tune:{iterations}"),
        }
    }
}

impl FromStr for Rewind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fault = || {
            let expected = "initial, iteration:N, learning-rate:N or fine-tune:N";
            Error::value("Rewind::from_str", "rewind", expected, format!("`{text}`"))
        };
        if text == "initial" {
            return Ok(Self::Initial);
        }
        let (name, count) = text.split_once(':').ok_or_else(fault)?;
        let count = count.parse().map_err(|_| fault())?;
        match name {
            "iteration" => Ok(Self::Iteration(count)),
            "learning-rate" => Ok(Self::LearningRate(count)),
            "fine-tune" => Ok(Self::FineTune(count)),
            _ => Err(fault()),
        }
    }
}

text!(Control, Rewind, Scope, Optimizer, Initialisation);
