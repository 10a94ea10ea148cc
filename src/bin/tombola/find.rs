//! `tombola find`

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use tombola::dense::{Initialisation, Optimizer, Schedule};
use tombola::experiment::{Control, Header, Method, Recipe, Rewind, Summary, Trial};
use tombola::io::Source;
use tombola::mask::Pattern;
use tombola::ticket::Scope;

use crate::failure::parse;
use crate::{Failure, interrupt, print};

/// The split of the data into training, validation and test is the same for all trials.
pub(crate) const DATA_SEED: u64 = 0;

/// Find winning tickets: train, prune, rewind, again and again.
///
/// A trial is one process with one seed and one folder; `tombola report` merges any number of them. Ctrl-C saves and
/// ends it with status 130, and --resume goes on, to the same bits. A folder with a trial, or with files of the names
/// that a trial has, is never written over.
#[derive(Args)]
#[command(after_help = "Examples:
  tombola find --preset digits --out runs/1
  tombola find --preset lenet-mnist --quick --data mnist/ --out quick/1
  tombola find --preset digits --pattern 16x1 --out blocks/1
  tombola find --preset digits --method one-shot:movement --rewind iteration:100 --out movement/1
  seq 5 | parallel tombola find --preset lenet-mnist --data mnist/ --seed {} --out runs/{}
  tombola find --resume --out runs/1")]
pub(crate) struct Find {
    /// The folder of the trial.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on with the trial in that folder.
    #[arg(long, conflicts_with_all = ["preset", "recipe", "seed"])]
    resume: bool,
    /// What to start from; the options below change it.
    #[arg(long, value_enum, default_value_t = Preset::Digits)]
    preset: Preset,
    /// A recipe in JSON, what trial.json has as its "recipe", in place of a preset.
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    recipe: Option<PathBuf>,
    /// An eighth of the iterations.
    #[arg(long)]
    quick: bool,
    /// digits, mnist1d, a folder with the four files of MNIST or its kin, or a pair x.npy,y.npy; with --resume, where
    /// the data of the trial has gone. Numbers are scaled to the mean 0 and the deviation 1 of those for training (of
    /// each pixel, for digits), and so must be those that the networks are given later.
    #[arg(long)]
    data: Option<String>,
    /// Of the initial weights, the order of the samples, and what else is random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    changes: Changes,
}

/// What differs from the preset.
#[derive(Args, Default, PartialEq)]
struct Changes {
    /// Units of the hidden layers.
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    hidden: Option<Vec<usize>>,
    /// glorot-normal or torch-default.
    #[arg(long, value_parser = parse::<Initialisation>)]
    initialisation: Option<Initialisation>,
    /// adam:RATE, sgd:RATE or sgd:RATE:MOMENTUM.
    #[arg(long, value_parser = parse::<Optimizer>)]
    optimizer: Option<Optimizer>,
    /// constant, cosine, warm-up:N or step:FACTOR:N.
    #[arg(long, value_parser = parse::<Schedule>)]
    schedule: Option<Schedule>,
    /// Samples of an iteration.
    #[arg(long)]
    batch: Option<usize>,
    /// Iterations of a training.
    #[arg(long)]
    iterations: Option<usize>,
    /// Iterations from one evaluation to the next.
    #[arg(long, value_name = "N")]
    evaluate_every: Option<usize>,
    /// Iterations from one checkpoint to the next: what a killed process may lose.
    #[arg(long, value_name = "N")]
    checkpoint_every: Option<usize>,
    /// iterative:SCORE or one-shot:SCORE (magnitude, initial-magnitude, magnitude-increase, movement, random), snip,
    /// grasp, synflow, set:SPREAD or rigl:SPREAD (erk, uniform).
    #[arg(long, value_parser = parse::<Method>)]
    method: Option<Method>,
    /// unstructured, n:M (N of every M), ROWSxCOLUMNS (blocks), fan-in or neurons.
    #[arg(long, value_parser = parse::<Pattern>)]
    pattern: Option<Pattern>,
    /// layer-wise or global.
    #[arg(long, value_parser = parse::<Scope>)]
    scope: Option<Scope>,
    /// Share of the remaining weights that a round prunes.
    #[arg(long)]
    rate: Option<f64>,
    /// The same of the last layer, where layers have rankings of their own.
    #[arg(long, value_name = "RATE")]
    output_rate: Option<f64>,
    /// Rounds of pruning.
    #[arg(long)]
    rounds: Option<usize>,
    /// initial, iteration:N, learning-rate:N or fine-tune:N.
    #[arg(long, value_parser = parse::<Rewind>)]
    rewind: Option<Rewind>,
    /// What to train beside each ticket: reinitialised, random-mask, shuffled-mask, sign-only; an empty word for
    /// nothing.
    #[arg(long, value_name = "NAME,…")]
    controls: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Preset {
    /// 64-300-100-10 on the digits that are in the program, 12 rounds.
    Digits,
    /// 40-300-100-10 on MNIST-1D, 12 rounds.
    Mnist1d,
    /// LeNet-300-100 on MNIST as in Frankle & Carbin (2019), 15 rounds; --data names the folder.
    LenetMnist,
}

impl Find {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        if self.resume && (self.quick || self.changes != Changes::default()) {
            return Err(Failure::usage("--resume goes on with the recipe of the trial, and takes no other"));
        }
        let recipe = if self.resume { Header::read(&self.out)?.recipe } else { self.recipe()? };
        let data = self.data.as_ref().unwrap_or(&recipe.data).parse::<Source>()?.load(DATA_SEED)?;
        let trial = match self.resume {
            true => Trial::resume(&self.out, &data)?,
            false => {
                Trial::start(&self.out, recipe, self.seed, &data).map_err(|error| match self.recipe {
                    Some(_) => error.into(),
                    None => Failure::wish(error),
                })?
            }
        };
        work(trial, &self.out)
    }

    fn recipe(&self) -> Result<Recipe, Failure> {
        let recipe = match &self.recipe {
            Some(file) => {
                let fault = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
                let text = fs::read_to_string(file).map_err(|error| Failure::io(fault(&error)))?;
                serde_json::from_str(&text).map_err(|error| Failure::contents(fault(&error)))?
            }
            None => match self.preset {
                Preset::Digits => Recipe::digits(),
                Preset::Mnist1d => Recipe::mnist1d(),
                Preset::LenetMnist => Recipe::lenet_mnist(),
            },
        };
        let recipe = if self.quick { recipe.quick() } else { recipe };
        let data = self.data.clone().unwrap_or(recipe.data);
        self.changes.apply(Recipe { data, ..recipe })
    }
}

impl Changes {
    fn apply(&self, mut recipe: Recipe) -> Result<Recipe, Failure> {
        macro_rules! change {
            ($($field:ident),*) => {$(
                if let Some(value) = &self.$field {
                    recipe.$field = value.clone();
                }
            )*};
        }
        change!(hidden, initialisation, optimizer, schedule, batch, iterations, evaluate_every);
        change!(checkpoint_every, method, pattern, scope, rate, output_rate, rounds, rewind);
        if let Some(controls) = &self.controls {
            let names = controls.split(',').filter(|name| !name.is_empty());
            recipe.controls =
                names.map(str::parse::<Control>).collect::<Result<_, _>>().map_err(Failure::wish)?;
        }
        Ok(recipe)
    }
}

/// Trains to the end, or until someone wants it to stop.
fn work(mut trial: Trial<'_>, out: &Path) -> Result<(), Failure> {
    let stop = interrupt::watch()?;
    let (all, done) = trial.iterations();
    let style = ProgressStyle::with_template("{bar:30} {percent}% {msg}, {per_sec}, {eta} left");
    let bar = ProgressBar::new(all as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_position(done as u64);
    bar.reset_eta();
    while !trial.is_finished() {
        if stop() {
            trial.checkpoint()?;
            bar.finish_and_clear();
            return Err(Failure::interrupted(format!(
                "stopped at iteration {} of {all}; tombola find --resume --out {} goes on",
                trial.iterations().1,
                out.display()
            )));
        }
        let step = trial.step()?;
        bar.inc(step.iterations as u64);
        if let Some(evaluated) = step.evaluated {
            let accuracy = 100.0 * evaluated.measured.test_accuracy;
            bar.set_message(format!("{}: {accuracy:.2}%", evaluated.run));
        }
        if let Some(summary) = step.finished {
            bar.suspend(|| print(&line(&summary)))?;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// What came of a training.
fn line(summary: &Summary) -> String {
    let [early, end] = [summary.early_stop, summary.end].map(|measured| 100.0 * measured.test_accuracy);
    format!(
        "{}: {:.1}% of the weights, test accuracy {early:.2}% at iteration {}, {end:.2}% at the end\n",
        summary.run,
        100.0 * summary.density(),
        summary.early_stop.iteration
    )
}
