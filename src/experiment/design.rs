//! Which trainings make up a trial, and how each of them begins.

use std::collections::HashMap;
use std::ops::Range;

use ndarray::{Array2, Axis};

use super::folder::Folder;
use super::{Control, Header, Method, Recipe, Rewind, Run};
use crate::data::Split;
use crate::dense::{DenseLayer, DenseMlp, Samples};
use crate::mask::Pattern;
use crate::ticket::{Rewiring, Scope, Ticket};
use crate::{Mask, Result, csr};

/// What follows from a recipe, a seed and the shape of the data.
pub(super) struct Design {
    recipe: Recipe,
    seed: u64,
    /// Inputs, hidden units, classes.
    sizes: Vec<usize>,
    runs: Vec<Run>,
}

impl Design {
    pub(super) fn new(header: &Header, data: &Split) -> Self {
        let Header { recipe, seed, .. } = header.clone();
        let sizes = [&[data.features()], &recipe.hidden[..], &[data.classes()]].concat();
        let mut runs = vec![Run { round: 0, control: None }];
        for round in 1..=recipe.rounds {
            runs.push(Run { round, control: None });
            runs.extend(recipe.controls.iter().map(|&control| Run { round, control: Some(control) }));
        }
        Self { recipe, seed, sizes, runs }
    }

    /// The trainings in their order: the dense network, and each round's ticket before its controls.
    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The network before anything.
    pub(super) fn initial(&self) -> Result<DenseMlp> {
        DenseMlp::initialise(&self.sizes, self.recipe.initialisation, self.seed)
    }

    /// The iterations of a training, as the schedule counts them.
    pub(super) fn range(&self, run: Run) -> Range<usize> {
        let all = self.recipe.iterations;
        match self.recipe.rewind {
            _ if run.round == 0 || run.control == Some(Control::Reinitialised) => 0..all,
            Rewind::Initial => 0..all,
            Rewind::Iteration(iteration) => iteration..all,
            Rewind::LearningRate(iterations) => all - iterations..all,
            Rewind::FineTune(iterations) => all..all + iterations,
        }
    }

    /// The iteration of a training after which its network is kept, for later rounds to go back to.
    pub(super) fn rewound_at(&self, run: Run) -> Option<usize> {
        match self.recipe.rewind {
            Rewind::Iteration(iteration) if run.round == 0 => Some(iteration),
            _ => None,
        }
    }

    /// The weights that each layer keeps in a round: `n·(1 − rate)ᵏ`, rounded, so that rounding does not add up.
    fn keep(&self, round: usize) -> Vec<usize> {
        let layers = self.sizes.windows(2).map(|pair| pair[0] * pair[1]);
        let last = self.sizes.len() - 2;
        let rate = |layer| match self.recipe.scope {
            Scope::LayerWise if layer == last => self.recipe.output_rate,
            _ => self.recipe.rate,
        };
        let keep = |(layer, len): (usize, usize)| {
            (len as f64 * (1.0 - rate(layer)).powf(round as f64)).round_ties_even() as usize
        };
        layers.enumerate().map(keep).collect()
    }

    /// The network and the masks that a training begins with.
    pub(super) fn begin(&self, run: Run, folder: &Folder, data: &Split) -> Result<(DenseMlp, Vec<Mask>)> {
        let initial = self.initial()?;
        let Some(control) = run.control else {
            let network = self.rewound(run.round, folder, &initial)?;
            let masks = self.masks(run.round, folder, &initial, data)?;
            return Ok((network, masks));
        };
        let masks = folder.read_ticket("tickets", run.round)?;
        let masks = masks.layers().iter().map(|layer| csr::mask(layer.csr())).collect();
        let round = match control {
            // Where weights stay as trained, another mask keeps some that were pruned to 0 meanwhile: the dense
            // network, from which the first round goes on, still has them.
            Control::RandomMask | Control::ShuffledMask => 1,
            Control::Reinitialised | Control::SignOnly => run.round,
        };
        let ticket = Ticket::new(self.rewound(round, folder, &initial)?, masks)?;
        let seed = self.seed_of(run.round);
        let control = match control {
            Control::Reinitialised => ticket.reinitialised(self.recipe.initialisation, seed),
            // Not by the seed that a mask of the round is drawn with, which would be its own control, nor both by one.
            Control::RandomMask => ticket.random_mask(!seed.rotate_left(32))?,
            Control::ShuffledMask => ticket.shuffled_mask(!seed)?,
            Control::SignOnly => ticket.sign_only(self.recipe.initialisation),
        };
        Ok((control.initial().clone(), control.masks().to_vec()))
    }

    /// What the survivors of a round go back to.
    fn rewound(&self, round: usize, folder: &Folder, initial: &DenseMlp) -> Result<DenseMlp> {
        match self.recipe.rewind {
            _ if round == 0 => Ok(initial.clone()),
            Rewind::Initial => Ok(initial.clone()),
            Rewind::Iteration(_) => Ok((&folder.read_ticket("rewind", 0)?).into()),
            Rewind::LearningRate(_) | Rewind::FineTune(_) => {
                Ok((&folder.read_ticket("trained", self.before(round))?).into())
            }
        }
    }

    /// The round whose trained network a round prunes.
    fn before(&self, round: usize) -> usize {
        match self.recipe.method {
            Method::Iterative(_) => round - 1,
            _ => 0,
        }
    }

    /// The masks of a round's ticket.
    fn masks(&self, round: usize, folder: &Folder, initial: &DenseMlp, data: &Split) -> Result<Vec<Mask>> {
        let all = || initial.layers().iter().map(|layer| Mask::all(layer.shape())).collect();
        if round == 0 {
            return Ok(all());
        }
        let keep = self.keep(round);
        let seed = self.seed_of(round);
        match self.recipe.method {
            Method::Iterative(score) | Method::OneShot(score) => {
                let trained = folder.read_ticket("trained", self.before(round))?;
                let masks: Vec<Mask> = trained.layers().iter().map(|layer| csr::mask(layer.csr())).collect();
                let trained = DenseMlp::from(&trained);
                if self.recipe.pattern != Pattern::Unstructured {
                    let layers: Vec<_> = trained.weight_views().into_iter().zip(&masks).collect();
                    let pattern = self.recipe.pattern;
                    return match self.recipe.scope {
                        Scope::LayerWise => pattern.masks(&layers, &keep),
                        Scope::Global => pattern.masks_global(&layers, keep.iter().sum()),
                    };
                }
                match self.recipe.scope {
                    Scope::LayerWise => score.masks(initial, &trained, &masks, &keep, seed),
                    Scope::Global => score.masks_global(initial, &trained, &masks, keep.iter().sum(), seed),
                }
            }
            Method::Foresight(foresight) => {
                let (x, labels) = ten_of_each_class(data.training.samples());
                foresight.masks(initial, Samples { x: x.view(), labels: &labels }, keep.iter().sum())
            }
            Method::Dynamic(_, distribution) => {
                let shapes: Vec<_> = initial.layers().iter().map(DenseLayer::shape).collect();
                distribution.masks(&shapes, keep.iter().sum(), seed)
            }
        }
    }

    /// Whether the masks of a training change meanwhile, and how.
    pub(super) fn rewiring(&self, run: Run, epoch: usize) -> Option<Rewiring> {
        let changes = run.round > 0 && run.control.is_none();
        self.recipe.method.rewiring(epoch).filter(|_| changes)
    }

    /// A seed that is no trial's own, nor another round's.
    pub(super) fn seed_of(&self, round: usize) -> u64 {
        self.seed.wrapping_add((round as u64).wrapping_mul(0xD1B5_4A32_D192_ED03))
    }
}

/// The first ten samples of each class: what SNIP and GraSP look at.
fn ten_of_each_class(samples: Samples<'_>) -> (Array2<f32>, Vec<usize>) {
    let mut counts = HashMap::new();
    let mut taken = |&index: &usize| {
        let count = counts.entry(samples.labels[index]).or_insert(0);
        *count += 1;
        *count <= 10
    };
    let indices: Vec<usize> = (0..samples.labels.len()).filter(|index| taken(index)).collect();
    let labels = indices.iter().map(|&index| samples.labels[index]).collect();
    (samples.x.select(Axis(0), &indices), labels)
}
