//! Training by minibatches.

use rand::seq::SliceRandom;

use super::{DenseMlp, Evaluation, Optimizer, Samples, Trainer};
use crate::rng::{Stream, generator};
use crate::{Error, Mask, Result};

/// A recipe: everything that, with the data and the initial network, determines what training gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// How gradients become steps.
    pub optimizer: Optimizer,
    /// Samples of a step; the last step of an epoch takes what is left.
    pub batch: usize,
    /// Passes over the training samples, each in a new order.
    pub epochs: usize,
    /// Of the orders.
    pub seed: u64,
}

/// One epoch, as seen when it has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Mean training loss over the epoch's steps, in nats.
    pub training_loss: f64,
    /// On the validation samples.
    pub validation: Evaluation,
}

/// What happened in a training run.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// First to last.
    pub epochs: Vec<Epoch>,
    /// The network as it was when the validation loss was lowest.
    pub best: DenseMlp,
    best_epoch: usize,
}

impl History {
    /// The epoch, counted from 1, after which the validation loss was lowest (the first of equals): where early
    /// stopping would have stopped.
    pub fn best_epoch(&self) -> usize {
        self.best_epoch
    }
}

impl Training {
    /// Trains a network in place on `training`, and watches it on `validation`, which has no say in the weights.
    ///
    /// With `masks` (one a layer) a pruned weight is exactly 0.0 before the first step and after every one, and layers
    /// that keep few of their weights train on those alone: see [`Trainer`].
    ///
    /// # Errors
    /// When the recipe is out of range, the samples or the masks do not fit the network, `TOMBOLA_ISA` names an
    /// instruction set that this CPU lacks, or the loss is no longer finite: the network is then left as it was at that
    /// step.
    pub fn run(
        &self,
        mlp: &mut DenseMlp,
        masks: Option<&[Mask]>,
        training: Samples<'_>,
        validation: Samples<'_>,
    ) -> Result<History> {
        let operation = "Training::run";
        for (name, value) in [("batch", self.batch), ("epochs", self.epochs)] {
            if value == 0 {
                return Err(Error::value(operation, name, "at least 1", value));
            }
        }
        mlp.check_samples(operation, training).map_err(|error| error.within("training"))?;
        mlp.check_samples(operation, validation).map_err(|error| error.within("validation"))?;
        let mut trainer = Trainer::new(mlp, masks, self.optimizer)?;
        let mut order: Vec<usize> = (0..training.labels.len()).collect();
        let mut generator = generator(self.seed, Stream::Batches);
        let mut history = History { epochs: Vec::new(), best: trainer.network(), best_epoch: 0 };
        let mut lowest = f64::INFINITY;
        for epoch in 1..=self.epochs {
            order.shuffle(&mut generator);
            let mut loss = 0.0;
            for batch in order.chunks(self.batch) {
                loss += trainer.step(training, batch)? * batch.len() as f64;
            }
            *mlp = trainer.network();
            let finite = |what: &str, loss: f64| {
                let expected = "a finite number (a lower rate?)";
                let fault = || Error::value(operation, format!("{what} of epoch {epoch}"), expected, loss);
                if loss.is_finite() { Ok(loss) } else { Err(fault()) }
            };
            let training_loss = finite("loss", loss / order.len() as f64)?;
            let validation = mlp.evaluate(validation)?;
            // The last step may be the one that went too far.
            finite("validation loss", validation.loss)?;
            history.epochs.push(Epoch { training_loss, validation });
            if validation.loss < lowest {
                lowest = validation.loss;
                history.best_epoch = epoch;
                history.best.clone_from(mlp);
            }
        }
        Ok(history)
    }
}
