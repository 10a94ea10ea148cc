//! What trials say together.

mod page;
#[cfg(feature = "plot")]
pub mod picture;
#[cfg(feature = "plot")]
mod plot;
mod read;
#[cfg(feature = "plot")]
mod write;

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

#[cfg(feature = "plot")]
pub use plot::Chart;
pub use read::Recorded;
#[cfg(feature = "plot")]
pub use write::Pictures;

use super::{Measured, Recipe, Run, Summary};
use crate::ticket::Spread;
use crate::{Error, ErrorKind, Result};

/// Trials of one recipe and different seeds, merged.
///
/// ```no_run
/// use tombola::experiment::Report;
/// let report = Report::read(["runs/seed-1", "runs/seed-2"])?;
/// for row in &report.rows {
///     println!("{}: {:.2} of the test samples", row.run, row.early_stop.test_accuracy);
/// }
/// # Ok::<(), tombola::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What the trials do.
    pub recipe: Recipe,
    /// The trials, in the order of their seeds.
    pub trials: Vec<Recorded>,
    /// Weights of each layer, kept or not; of none while no trial has ended a training.
    pub weights: Vec<usize>,
    /// The trainings, in the order of their rounds, tickets before controls.
    pub rows: Vec<Row>,
}

/// A training, over the trials that have ended it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was trained.
    #[serde(flatten)]
    pub run: Run,
    /// Kept weights over all weights.
    pub remaining: Spread,
    /// Kept weights on a path from an input to an output, over all weights.
    pub effective: Spread,
    /// Weights that each layer keeps.
    pub kept: Vec<Spread>,
    /// At early stop.
    pub early_stop: Spreads,
    /// At the end of training.
    pub end: Spreads,
    /// To what it is held against; none for the dense network, and where no trial has both.
    pub difference: Option<Difference>,
}

/// A training minus what it is held against, in pairs of the same seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The dense network for a ticket, the ticket of the round for a control.
    pub to: Run,
    /// At early stop.
    pub early_stop: Spreads,
    /// At the end of training.
    pub end: Spreads,
}

/// A [`Measured`] over trials, or differences of such.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spreads {
    /// Iterations of training before it.
    pub iteration: Spread,
    /// Mean cross-entropy on the validation samples, in nats.
    pub validation_loss: Spread,
    /// Share of the validation samples that are classified right.
    pub validation_accuracy: Spread,
    /// Mean cross-entropy on the test samples, in nats.
    pub test_loss: Spread,
    /// Share of the test samples that are classified right.
    pub test_accuracy: Spread,
}

impl Report {
    /// Reads the folders of trials. One that is not finished counts with what it has.
    ///
    /// # Errors
    /// When there is no folder, one is none of a trial's, a file in it is broken or of another version, or trials have
    /// different recipes or the same seed.
    pub fn read(folders: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<Self> {
        let mut recipe: Option<Recipe> = None;
        let mut trials: Vec<Recorded> = Vec::new();
        for folder in folders {
            let (own, trial) = read::trial(folder.as_ref())?;
            if let (Some(recipe), Some(first)) = (&recipe, trials.first()) {
                check_recipe(recipe, first, &own, &trial)?;
            }
            if let Some(other) = trials.iter().find(|other| other.seed == trial.seed) {
                let expected = format!("another seed than that of {}", other.folder.display());
                return Err(fault(&trial, expected, format!("{} in both", trial.seed)));
            }
            recipe = Some(own);
            trials.push(trial);
        }
        let Some(recipe) = recipe else {
            return Err(Error::value("Report::read", "folders", "at least one", "none"));
        };
        trials.sort_by_key(|trial| trial.seed);
        let weights = weights(&trials)?;
        let runs: BTreeSet<Run> =
            trials.iter().flat_map(|trial| &trial.rounds).map(|summary| summary.run).collect();
        let rows = runs.into_iter().map(|run| Row::new(run, &trials)).collect();
        Ok(Self { recipe, trials, weights, rows })
    }

    /// What came of a training in each trial that has ended it, in the order of their seeds.
    pub fn summaries(&self, run: Run) -> impl Iterator<Item = &Summary> {
        summaries(&self.trials, run)
    }

    /// The trials that lack something that the recipe asks for.
    pub fn unfinished(&self) -> impl Iterator<Item = &Recorded> {
        self.trials.iter().filter(|trial| !trial.is_finished(&self.recipe))
    }
}

impl Row {
    fn new(run: Run, trials: &[Recorded]) -> Self {
        let summaries: Vec<&Summary> = summaries(trials, run).collect();
        let layers = summaries.first().map_or(0, |summary| summary.weights.len());
        let kept = |layer: usize| summaries.iter().map(|summary| summary.kept[layer] as f64).collect();
        Self {
            run,
            remaining: summaries.iter().map(|summary| summary.density()).collect(),
            effective: summaries.iter().map(|summary| share(&summary.effective, &summary.weights)).collect(),
            kept: (0..layers).map(kept).collect(),
            early_stop: summaries.iter().map(|summary| numbers(&summary.early_stop)).collect(),
            end: summaries.iter().map(|summary| numbers(&summary.end)).collect(),
            difference: Difference::new(run, trials),
        }
    }
}

impl Difference {
    fn new(run: Run, trials: &[Recorded]) -> Option<Self> {
        let to = match run {
            Run { round: 0, control: None } => return None,
            Run { control: None, .. } => Run { round: 0, control: None },
            Run { round, control: Some(_) } => Run { round, control: None },
        };
        let pairs: Vec<(&Summary, &Summary)> =
            trials.iter().filter_map(|trial| Some((trial.summary(run)?, trial.summary(to)?))).collect();
        let spreads = |measured: fn(&Summary) -> &Measured| {
            let difference = |&(own, other): &(&Summary, &Summary)| {
                let (own, other) = (numbers(measured(own)), numbers(measured(other)));
                std::array::from_fn(|index| own[index] - other[index])
            };
            pairs.iter().map(difference).collect()
        };
        let (early_stop, end) = (spreads(|summary| &summary.early_stop), spreads(|summary| &summary.end));
        (!pairs.is_empty()).then_some(Self { to, early_stop, end })
    }
}

impl FromIterator<[f64; 5]> for Spreads {
    fn from_iter<I: IntoIterator<Item = [f64; 5]>>(values: I) -> Self {
        let values: Vec<[f64; 5]> = values.into_iter().collect();
        let [iteration, validation_loss, validation_accuracy, test_loss, test_accuracy] =
            std::array::from_fn(|index| values.iter().map(|values| values[index]).collect());
        Self { iteration, validation_loss, validation_accuracy, test_loss, test_accuracy }
    }
}

/// In the order of the fields.
fn numbers(measured: &Measured) -> [f64; 5] {
    let &Measured { iteration, validation_loss, validation_accuracy, test_loss, test_accuracy } = measured;
    [iteration as f64, validation_loss, validation_accuracy, test_loss, test_accuracy]
}

fn share(part: &[usize], whole: &[usize]) -> f64 {
    part.iter().sum::<usize>() as f64 / whole.iter().sum::<usize>() as f64
}

fn summaries(trials: &[Recorded], run: Run) -> impl Iterator<Item = &Summary> {
    trials.iter().filter_map(move |trial| trial.summary(run))
}

fn fault(trial: &Recorded, expected: String, found: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Format, "Report::read", trial.folder.display().to_string(), expected, found)
}

/// Refuses a trial of another recipe, and says what is different.
fn check_recipe(recipe: &Recipe, first: &Recorded, own: &Recipe, trial: &Recorded) -> Result<()> {
    if own == recipe {
        return Ok(());
    }
    let [ours, theirs] = [recipe, own].map(|recipe| serde_json::to_value(recipe).unwrap_or_default());
    // What is at its default is not there.
    let fields: BTreeSet<_> =
        [&ours, &theirs].into_iter().filter_map(Value::as_object).flat_map(Map::keys).collect();
    let different = fields.into_iter().filter(|field| ours[field.as_str()] != theirs[field.as_str()]);
    let word = |recipe: &Value, field: &String| match &recipe[field.as_str()] {
        Value::Null => format!("{field} as it is by default"),
        value => format!("{field} {value}"),
    };
    let (expected, found): (Vec<String>, Vec<String>) =
        different.map(|field| (word(&ours, field), word(&theirs, field))).unzip();
    let expected = format!("the recipe of {} ({})", first.folder.display(), expected.join(", "));
    Err(fault(trial, expected, found.join(", ")))
}

/// The weights of each layer, which are those of the network and the same throughout.
fn weights(trials: &[Recorded]) -> Result<Vec<usize>> {
    let mut all = trials.iter().flat_map(|trial| trial.rounds.iter().map(move |summary| (trial, summary)));
    let Some((first, Summary { weights, .. })) = all.next() else { return Ok(Vec::new()) };
    match all.find(|(_, summary)| summary.weights != *weights) {
        Some((trial, summary)) => {
            let expected = format!("layers of {weights:?} weights, as in {}", first.folder.display());
            Err(fault(trial, expected, format!("{:?}, {}", summary.weights, summary.run)))
        }
        None => Ok(weights.clone()),
    }
}
