//! A trial: its trainings, one after another.

use std::ops::Range;
use std::path::Path;

use ndarray::Axis;

use super::batches::Batches;
use super::design::Design;
use super::folder::{Folder, Lines, Parameters, Position, TrainingPosition};
use super::{Evaluated, Header, Measured, Recipe, Run, Summary};
use crate::data::Split;
use crate::dense::{DenseMlp, Evaluation, Optimizer, Samples, Trainer};
use crate::ticket::Rewiring;
use crate::{Error, ErrorKind, Mask, Result};

/// Iterations of a [`step`](Trial::step), at most: so long it cannot be interrupted.
const STEP: usize = 100;

/// An experiment with a seed, in a folder, as far as it has come.
///
/// Whatever ends the process that runs it, it goes on from its last checkpoint, to the same bits.
///
/// ```
/// use tombola::data::Split;
/// use tombola::experiment::{Recipe, Trial};
///
/// let data = Split::digits()?;
/// let recipe = Recipe { iterations: 100, rounds: 2, ..Recipe::digits() };
/// let folder = tempfile::tempdir()?;
/// let mut trial = Trial::start(folder.path(), recipe, 1, &data)?;
/// while !trial.is_finished() {
///     if let Some(summary) = trial.step()?.finished {
///         println!("{}: {:.1}%", summary.run, 100.0 * summary.end.test_accuracy);
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Trial<'a> {
    folder: Folder,
    header: Header,
    design: Design,
    data: &'a Split,
    checksum: u32,
    /// Trainings that are done.
    done: usize,
    training: Option<Training>,
    /// Whether a step ended in an error, so that what is in memory may be other than what is in files.
    failed: bool,
    records: Lines,
    rounds: Lines,
}

/// A training at work.
struct Training {
    run: Run,
    /// Iterations, as the schedule counts them.
    range: Range<usize>,
    iteration: usize,
    masks: Vec<Mask>,
    trainer: Trainer,
    batches: Batches,
    /// How the masks change, if they do.
    rewiring: Option<Rewiring>,
    /// Sum and count of the losses since the last evaluation.
    losses: (f64, usize),
    best: Option<Measured>,
    last: Option<Measured>,
}

/// What a [`step`](Trial::step) did.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The training that it is part of.
    pub run: Run,
    /// The iterations that it made.
    pub iterations: usize,
    /// The evaluation after them, if one was due.
    pub evaluated: Option<Evaluated>,
    /// What came of the training, if it is done.
    pub finished: Option<Summary>,
}

impl<'a> Trial<'a> {
    /// Begins a trial of a recipe in a new folder.
    ///
    /// # Errors
    /// When the recipe does not fit the data, there is a trial in the folder, or it cannot be written to.
    pub fn start(folder: impl AsRef<Path>, recipe: Recipe, seed: u64, data: &'a Split) -> Result<Self> {
        recipe.check()?;
        let header = Header { version: Header::VERSION, seed, recipe };
        // A network that cannot be made leaves no folder behind.
        Design::new(&header, data).initial()?;
        let (folder, lines) = Folder::create(folder.as_ref(), &header)?;
        let position = Position::start(data);
        folder.write_checkpoint(&position, None)?;
        Self::at(folder, lines, header, data, position, None)
    }

    /// Goes on with the trial in a folder. The data may have moved since, but not changed.
    ///
    /// # Errors
    /// When there is none, or its files are broken or another data set's.
    pub fn resume(folder: impl AsRef<Path>, data: &'a Split) -> Result<Self> {
        let (header, folder) = (Header::read(&folder)?, Folder::open(folder.as_ref()));
        let network = Design::new(&header, data).initial()?;
        let lines = folder.lines()?;
        let (position, parameters) = match folder.is_at_the_start(&lines)? {
            true => (Position::start(data), None),
            false => folder.read_checkpoint(&network)?,
        };
        if position.data != data.checksum() {
            return Err(Error::value(
                "Trial::resume",
                "data",
                "the samples that the trial began with",
                "others (or the same as another version reads them)",
            ));
        }
        Self::at(folder, lines, header, data, position, parameters)
    }

    fn at(
        folder: Folder,
        [mut records, mut rounds]: [Lines; 2],
        header: Header,
        data: &'a Split,
        position: Position,
        parameters: Option<Parameters>,
    ) -> Result<Self> {
        let design = Design::new(&header, data);
        let ranges: Vec<_> = design.runs().iter().map(|&run| design.range(run)).collect();
        let stands = match &position.training {
            Some(training) => ranges
                .get(position.runs)
                .is_some_and(|range| (range.start..=range.end).contains(&training.iteration)),
            None => position.runs <= ranges.len(),
        };
        if !stands {
            let expected = "a position within the trial's recipe";
            let found = format!("training {}", position.runs);
            return Err(Error::new(ErrorKind::Format, "Trial::resume", "checkpoint", expected, found));
        }
        let (done, checksum) = (position.runs, position.data);
        records.go_on(position.lens[0])?;
        rounds.go_on(position.lens[1])?;
        folder.sweep()?;
        let mut trial = Self {
            folder,
            header,
            design,
            data,
            checksum,
            done,
            training: None,
            failed: false,
            records,
            rounds,
        };
        if let (Some(parameters), Some(position)) = (parameters, position.training) {
            let mut training = trial.training(&parameters.network, parameters.masks)?;
            training.trainer.restore(&parameters.network, &parameters.moments)?;
            let TrainingPosition { iteration, losses, best, last } = position;
            trial.training = Some(Training { iteration, losses, best, last, ..training });
        }
        Ok(trial)
    }

    /// What the trial is.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether there is nothing left to do.
    pub fn is_finished(&self) -> bool {
        self.done == self.design.runs().len()
    }

    /// The iterations of all trainings, and those that are done.
    pub fn iterations(&self) -> (usize, usize) {
        let lens: Vec<usize> = self.design.runs().iter().map(|&run| self.design.range(run).len()).collect();
        let under_way =
            self.training.as_ref().map_or(0, |training| training.iteration - training.range.start);
        (lens.iter().sum(), lens[..self.done].iter().sum::<usize>() + under_way)
    }

    /// Trains for some iterations: up to 100, to the next evaluation, or to where a checkpoint is due, which is then
    /// written.
    ///
    /// # Errors
    /// When a loss is no longer finite, a file cannot be written, the trial is finished, or a step before failed:
    /// [`resume`](Self::resume) then goes on from the last checkpoint.
    pub fn step(&mut self) -> Result<Step> {
        self.check_sound("Trial::step")?;
        let step = self.make_step();
        self.failed = step.is_err() && !self.is_finished();
        step
    }

    fn check_sound(&self, operation: &'static str) -> Result<()> {
        match self.failed {
            true => {
                let expected = "one that has not failed (resume it from its last checkpoint)";
                Err(Error::value(operation, "trial", expected, "one that has"))
            }
            false => Ok(()),
        }
    }

    fn make_step(&mut self) -> Result<Step> {
        let mut training = match self.training.take() {
            Some(training) => training,
            None => self.begin()?,
        };
        let result = self.advance(&mut training);
        let run = training.run;
        match result {
            Ok(step) if step.finished.is_none() => {
                let due = training.iteration.is_multiple_of(self.header.recipe.checkpoint_every);
                self.training = Some(training);
                if due && step.iterations > 0 {
                    self.checkpoint()?;
                }
                Ok(step)
            }
            Ok(step) => {
                self.done += 1;
                self.checkpoint()?;
                Ok(step)
            }
            Err(error) => Err(error.within(run)),
        }
    }

    /// Writes down where the trial stands, so that it can go on from here.
    ///
    /// # Errors
    /// When a file cannot be written, or a step has failed.
    pub fn checkpoint(&self) -> Result<()> {
        self.check_sound("Trial::checkpoint")?;
        let parameters = self.training.as_ref().map(|training| Parameters {
            network: training.trainer.network(),
            masks: training.masks.clone(),
            moments: training.trainer.moments(),
        });
        let training = self.training.as_ref().map(|training| TrainingPosition {
            iteration: training.iteration,
            losses: training.losses,
            best: training.best,
            last: training.last,
        });
        let lens = [self.records.sync()?, self.rounds.sync()?];
        let position = Position { runs: self.done, lens, data: self.checksum, training };
        self.folder.write_checkpoint(&position, parameters.as_ref())
    }

    /// The training that comes next.
    fn begin(&mut self) -> Result<Training> {
        let Some(&run) = self.design.runs().get(self.done) else {
            let expected = "a trial that is not finished";
            return Err(Error::value("Trial::step", "trial", expected, "one that is"));
        };
        let (network, masks) = self.design.begin(run, &self.folder, self.data)?;
        if run.control.is_none() {
            self.folder.write_ticket("tickets", run.round, network.to_sparse(&masks)?)?;
        }
        self.training(&network, masks)
    }

    /// The training at hand, at its first iteration.
    fn training(&self, network: &DenseMlp, masks: Vec<Mask>) -> Result<Training> {
        let run = self.design.runs()[self.done];
        let range = self.design.range(run);
        let Recipe { optimizer, batch, .. } = self.header.recipe;
        let batches = Batches::new(self.data.training.len(), batch, self.header.seed);
        Ok(Training {
            run,
            iteration: range.start,
            range,
            trainer: Trainer::new(network, Some(&masks), optimizer)?,
            masks,
            rewiring: self.design.rewiring(run, batches.of_epoch()),
            batches,
            losses: (0.0, 0),
            best: None,
            last: None,
        })
    }

    fn advance(&mut self, training: &mut Training) -> Result<Step> {
        let recipe = &self.header.recipe;
        let (run, start) = (training.run, training.iteration);
        let mut step = Step { run, iterations: 0, evaluated: None, finished: None };
        if training.last.is_some() {
            let samples = self.data.training.samples();
            // Where something else is to be done than to train.
            let rewire_every = training.rewiring.map_or(STEP, |rewiring| rewiring.interval);
            let stops = [recipe.evaluate_every, recipe.checkpoint_every, rewire_every];
            let next = stops.map(|every| (start / every + 1) * every);
            let mut end = next.into_iter().fold(training.range.end.min(start + STEP), usize::min);
            if let Some(rewound) = self.design.rewound_at(run).filter(|&at| at > start) {
                end = end.min(rewound);
            }
            let rewired =
                training.rewiring.and_then(|rewiring| rewiring.fraction_at(start, recipe.iterations));
            let mut first = start;
            if let Some(fraction) = rewired {
                let seed = self.design.seed_of(run.round).wrapping_add(start as u64);
                let loss = training.rewire(fraction, seed, samples, recipe.optimizer)?;
                if training.rewiring.is_some_and(|rewiring| rewiring.growth.takes_a_step()) {
                    training.losses = (training.losses.0 + loss, training.losses.1 + 1);
                    first += 1;
                }
            }
            for iteration in first..end {
                let factor = recipe
                    .schedule
                    .factor(iteration.min(recipe.iterations.saturating_sub(1)), recipe.iterations);
                training.trainer.set_optimizer(recipe.optimizer.scaled(factor))?;
                let loss = training.trainer.step(samples, training.batches.of(iteration))?;
                training.losses = (training.losses.0 + loss, training.losses.1 + 1);
            }
            step.iterations = end - start;
            training.iteration = end;
            if !training.losses.0.is_finite() {
                let subject = format!("loss before iteration {end}");
                let expected = "a finite number (a lower rate?)";
                return Err(Error::value("Trial::step", subject, expected, training.losses.0));
            }
            if self.design.rewound_at(run) == Some(end) {
                let masks = training.masks.clone();
                self.folder.write_ticket("rewind", 0, training.trainer.network().to_sparse(&masks)?)?;
            }
        }

        let at_end = training.iteration == training.range.end;
        if training.last.is_none() || at_end || training.iteration.is_multiple_of(recipe.evaluate_every) {
            let evaluated = training.evaluate(self.data)?;
            let Measured { iteration, validation_loss, test_loss, .. } = evaluated.measured;
            if !(validation_loss + test_loss).is_finite() {
                let subject = format!("validation and test loss after iteration {iteration}");
                let (expected, found) =
                    ("finite numbers (a lower rate?)", format!("{validation_loss} and {test_loss}"));
                return Err(Error::value("Trial::step", subject, expected, found));
            }
            self.records.push(&evaluated)?;
            step.evaluated = Some(evaluated);
        }
        if at_end {
            let summary = training.summary()?;
            if run.control.is_none() {
                let trained = training.trainer.network().to_sparse(&training.masks)?;
                self.folder.write_ticket("trained", run.round, trained)?;
            }
            self.rounds.push(&summary)?;
            step.finished = Some(summary);
        }
        Ok(step)
    }
}

impl Training {
    fn evaluate(&mut self, data: &Split) -> Result<Evaluated> {
        // Sparsely where that is faster; what this network gives are logits.
        let network = self.trainer.network().to_sparse(&self.masks)?;
        let evaluate = |samples: Samples<'_>| {
            Ok(Evaluation::of_logits(network.forward(samples.x)?.view(), samples.labels))
        };
        let validation = evaluate(data.validation.samples())?;
        let test = evaluate(data.test.samples())?;
        let measured = Measured::new(self.iteration, validation, test);
        let (sum, count) = std::mem::take(&mut self.losses);
        if self.best.is_none_or(|best| measured.validation_loss < best.validation_loss) {
            self.best = Some(measured);
        }
        self.last = Some(measured);
        let training_loss = (count > 0).then(|| sum / count as f64);
        Ok(Evaluated { run: self.run, training_loss, measured })
    }

    /// Replaces a share of the kept weights; what grows begins at 0.0, and the optimizer remembers nothing of it. The
    /// loss is that of the samples that come next, before.
    fn rewire(
        &mut self,
        fraction: f64,
        seed: u64,
        samples: Samples<'_>,
        optimizer: Optimizer,
    ) -> Result<f64> {
        let Some(rewiring) = self.rewiring else { return Ok(0.0) };
        let (mut network, mut moments) = (self.trainer.network(), self.trainer.moments());
        // By all weights, the pruned ones, too.
        let indices = self.batches.of(self.iteration);
        let labels: Vec<usize> = indices.iter().map(|&index| samples.labels[index]).collect();
        let x = samples.x.select(Axis(0), indices);
        let (loss, gradients) = network.loss_and_gradients(Samples { x: x.view(), labels: &labels })?;
        let gradients: Vec<_> = (0..self.masks.len()).filter_map(|layer| gradients.weight(layer)).collect();
        let weights = network.weight_views();
        let rewired = rewiring.growth.rewire_all(&self.masks, &weights, &gradients, fraction, seed)?;
        for (layer, (rewired, moments)) in rewired.iter().zip(&mut moments.layers).enumerate() {
            let Some(mut weight) = network.weight_mut(layer) else { continue };
            let [first, second] = &mut moments.weight;
            for row in 0..weight.nrows() {
                for column in rewired.grown.row(row) {
                    let place = (row, column);
                    (weight[place], first[place], second[place]) = (0.0, 0.0, 0.0);
                }
            }
        }
        self.masks = rewired.into_iter().map(|rewired| rewired.mask).collect();
        self.trainer = Trainer::new(&network, Some(&self.masks), optimizer)?;
        self.trainer.restore(&network, &moments)?;
        Ok(loss)
    }

    fn summary(&self) -> Result<Summary> {
        let (Some(early_stop), Some(end)) = (self.best, self.last) else {
            unreachable!("a training ends with an evaluation");
        };
        Ok(Summary {
            run: self.run,
            weights: self.masks.iter().map(Mask::len).collect(),
            kept: self.masks.iter().map(Mask::kept).collect(),
            effective: Mask::effective(&self.masks)?.iter().map(Mask::kept).collect(),
            early_stop,
            end,
        })
    }
}
