//! What an experiment does.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Method;
use crate::dense::{Initialisation, Optimizer, Schedule};
use crate::mask::Pattern;
use crate::ticket::{Scope, Score};
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
    /// How the step size changes.
    pub schedule: Schedule,
    /// Iterations of a training.
    pub iterations: usize,
    /// Iterations from one evaluation to the next.
    pub evaluate_every: usize,
    /// Iterations from one checkpoint to the next: what a killed process may lose.
    pub checkpoint_every: usize,
    /// How masks are found.
    pub method: Method,
    /// Which weights go together.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pattern: Pattern,
    /// Whether layers share a ranking. Methods that do not prune a trained network spread weights over layers by rules
    /// of their own; for these it says no more than how the total of a round is counted.
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

impl Recipe {
    /// The experiment of Frankle & Carbin (ICLR 2019): LeNet-300-100 on MNIST, down to 3.6% of its weights in 15
    /// rounds.
    pub fn lenet_mnist() -> Self {
        Self {
            data: "mnist".into(),
            hidden: vec![300, 100],
            initialisation: Initialisation::GlorotNormal,
            optimizer: Optimizer::Adam { rate: 1.2e-3 },
            batch: 60,
            schedule: Schedule::Constant,
            iterations: 50_000,
            evaluate_every: 200,
            checkpoint_every: 5_000,
            method: Method::Iterative(Score::Magnitude),
            pattern: Pattern::Unstructured,
            scope: Scope::LayerWise,
            rate: 0.2,
            output_rate: 0.1,
            rounds: 15,
            rewind: Rewind::Initial,
            controls: vec![Control::Reinitialised],
        }
    }

    /// The same on the digits that are in the crate, with fewer iterations and rounds: seconds.
    pub fn digits() -> Self {
        let (iterations, evaluate_every) = (1_500, 50);
        Self { data: "digits".into(), iterations, evaluate_every, rounds: 12, ..Self::lenet_mnist() }
    }

    /// The same on MNIST-1D (Greydanus & Kobak, ICML 2024), with fewer iterations and rounds.
    pub fn mnist1d() -> Self {
        let (iterations, evaluate_every) = (4_000, 100);
        Self { data: "mnist1d".into(), iterations, evaluate_every, rounds: 12, ..Self::lenet_mnist() }
    }

    /// The same shape in less time: an eighth of the iterations.
    #[must_use]
    pub fn quick(self) -> Self {
        let iterations = (self.iterations / 8).max(1);
        Self { iterations, ..self }
    }

    /// Refuses what cannot be done.
    pub(super) fn check(&self) -> Result<()> {
        let operation = "Recipe";
        let fault = |field: &str, expected: &str, found: &dyn fmt::Display| {
            Err(Error::value(operation, field, expected, found))
        };
        for (field, count) in [
            ("batch", self.batch),
            ("iterations", self.iterations),
            ("evaluate_every", self.evaluate_every),
            ("checkpoint_every", self.checkpoint_every),
        ] {
            if count == 0 {
                return fault(field, "at least 1", &count);
            }
        }
        if self.rounds > MAX_ROUNDS {
            return fault("rounds", &format!("at most {MAX_ROUNDS}"), &self.rounds);
        }
        // So that the iterations of all trainings can be added up.
        if self.iterations > u32::MAX as usize {
            return fault("iterations", &format!("at most {}", u32::MAX), &self.iterations);
        }
        for (field, rate) in [("rate", self.rate), ("output_rate", self.output_rate)] {
            if !(0.0..1.0).contains(&rate) {
                return fault(field, "a number in [0, 1)", &rate);
            }
        }
        if self.hidden.contains(&0) {
            return fault("hidden", "at least one unit a layer", &0);
        }
        let repeated = self
            .controls
            .iter()
            .enumerate()
            .find(|&(index, control)| self.controls[..index].contains(control));
        if let Some((_, control)) = repeated {
            return fault("controls", "each of them once", &format!("{control} twice"));
        }
        self.optimizer.check(operation)?;
        // What its text does not say could not be read again.
        if self.schedule.to_string().parse().ok() != Some(self.schedule) {
            return fault("schedule", "counts above 0, and factors in (0, 1]", &self.schedule);
        }
        if self.pattern.to_string().parse().ok() != Some(self.pattern) {
            return fault("pattern", "N of every one or more, or blocks of as many", &self.pattern);
        }
        if self.pattern != Pattern::Unstructured {
            let by_magnitude = match self.method {
                Method::Iterative(score) | Method::OneShot(score) => score == Score::Magnitude,
                _ => false,
            };
            if !by_magnitude {
                let expected = "unstructured, where masks are not found by magnitude";
                return fault("pattern", expected, &self.pattern);
            }
            if self.scope == Scope::Global && !self.pattern.is_global() {
                let expected = "unstructured or blocks, where layers share a ranking";
                return fault("pattern", expected, &self.pattern);
            }
        }
        match self.rewind {
            Rewind::Iteration(count) | Rewind::LearningRate(count)
                if !(1..=self.iterations).contains(&count) =>
            {
                fault("rewind", &format!("1 to {} iterations", self.iterations), &self.rewind)
            }
            Rewind::FineTune(count) if count > u32::MAX as usize => {
                fault("rewind", &format!("at most {} iterations", u32::MAX), &self.rewind)
            }
            Rewind::LearningRate(_) | Rewind::FineTune(_) if !self.method.prunes_trained() => fault(
                "rewind",
                &format!("initial or iteration:N with the method {}", self.method),
                &self.rewind,
            ),
            _ => Ok(()),
        }
    }
}

/// Far more than leave a weight, at any rate.
const MAX_ROUNDS: usize = 1000;

/// What need not be written down.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What the weights that survive a round go back to, and how they are trained from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rewind {
    /// Their first values (Frankle & Carbin, ICLR 2019). As text, `initial`.
    Initial,
    /// Those of the dense network after some iterations; training goes on from there (Frankle et al., ICML 2020).
    /// As text, `iteration:500`.
    Iteration(usize),
    /// They stay as trained, and are trained for the last so many iterations again, at the rates that those had (Renda
    /// et al., ICLR 2020). As text, `learning-rate:10000`.
    LearningRate(usize),
    /// They stay as trained, and are trained for so many iterations more, at the last rate. As text, `fine-tune:10000`.
    FineTune(usize),
}

/// What a ticket is held against, trained as it is. Where weights stay as trained, first values are those of the
/// trained dense network.
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

text!(Control, Rewind, Method, Pattern, Scope, Optimizer, Schedule, Initialisation);
