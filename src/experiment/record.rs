//! What a trial writes down, a line of JSON at a time.

use std::path::Path;
use std::{fmt, fs};

use serde::{Deserialize, Serialize};

use super::{Control, Recipe};
use crate::dense::Evaluation;
use crate::{Error, ErrorKind, Result};

/// What is in `trial.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Of the layout of the folder: [`Header::VERSION`].
    pub version: u32,
    /// Of everything random in the trial.
    pub seed: u64,
    /// What it does.
    pub recipe: Recipe,
}

impl Header {
    /// The version that this crate writes, and the only one that it reads.
    pub const VERSION: u32 = 1;

    /// Reads it from the folder of a trial.
    ///
    /// # Errors
    /// When there is none, or it is broken or of another version.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self> {
        let (operation, folder) = ("Header::read", folder.as_ref());
        let path = folder.join(Self::FILE);
        let bytes = fs::read(&path).map_err(|source| {
            let expected = "the folder of a trial, with a trial.json that can be read";
            Error::caused_by(ErrorKind::Io, operation, folder.display().to_string(), expected, source)
        })?;
        let broken = |source| {
            let subject = path.display().to_string();
            Error::caused_by(ErrorKind::Format, operation, subject, "the header of a trial", source)
        };
        // The version first: another one may have other fields.
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(broken)?;
        if value["version"] != Self::VERSION {
            let (subject, expected) = (format!("{}: version", path.display()), Self::VERSION);
            return Err(Error::new(ErrorKind::Format, operation, subject, expected, &value["version"]));
        }
        let header: Self = serde_json::from_slice(&bytes).map_err(broken)?;
        header.recipe.check().map_err(|error| error.within(path.display()))?;
        Ok(header)
    }

    /// Its name in the folder.
    pub(super) const FILE: &str = "trial.json";
}

/// One training of a trial: the ticket of a round, or a control of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Run {
    /// Rounds of pruning before it; 0 is the dense network.
    pub round: usize,
    /// What kind of control it is; none for the ticket itself.
    pub control: Option<Control>,
}

impl fmt::Display for Run {
    /// `round 3`, `round 3, reinitialised`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round {}", self.round)?;
        match self.control {
            Some(control) => write!(f, ", {control}"),
            None => Ok(()),
        }
    }
}

/// Loss and accuracy on the validation and the test samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Iterations before it, as the schedule counts them: a ticket that was rewound to an iteration begins there.
    pub iteration: usize,
    /// Mean cross-entropy on the validation samples, in nats.
    pub validation_loss: f64,
    /// Share of the validation samples that are classified right.
    pub validation_accuracy: f64,
    /// Mean cross-entropy on the test samples, in nats.
    pub test_loss: f64,
    /// Share of the test samples that are classified right.
    pub test_accuracy: f64,
}

impl Measured {
    pub(super) fn new(iteration: usize, validation: Evaluation, test: Evaluation) -> Self {
        Self {
            iteration,
            validation_loss: validation.loss,
            validation_accuracy: validation.accuracy,
            test_loss: test.loss,
            test_accuracy: test.accuracy,
        }
    }
}

/// A line of `records.jsonl`: an evaluation during training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// What is trained.
    #[serde(flatten)]
    pub run: Run,
    /// Mean loss of the training batches since the evaluation before; none at the start.
    pub training_loss: Option<f64>,
    /// How good it is.
    #[serde(flatten)]
    pub measured: Measured,
}

/// A line of `rounds.jsonl`: what came of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What was trained.
    #[serde(flatten)]
    pub run: Run,
    /// Weights of each layer, kept or not.
    pub weights: Vec<usize>,
    /// Weights that each layer keeps.
    pub kept: Vec<usize>,
    /// Of these, the weights on a path from an input to an output.
    pub effective: Vec<usize>,
    /// At the iteration of lowest validation loss (the first of equals), where early stopping would have stopped.
    pub early_stop: Measured,
    /// At the end of training.
    pub end: Measured,
}

impl Summary {
    /// Kept weights over all weights.
    pub fn density(&self) -> f64 {
        self.kept.iter().sum::<usize>() as f64 / self.weights.iter().sum::<usize>() as f64
    }
}
