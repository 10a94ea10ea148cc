//! A network on this machine: the dense product against every way to run it sparsely.

use std::cell::RefCell;
use std::fmt;
use std::time::Instant;

use ndarray::Array2;
use rand::RngExt;

use crate::SparseMlp;
use crate::dense::{DenseInference, DenseMlp, Orientation};
use crate::measure::{Timing, interleaved};
use crate::plan::{Format, Plan};
use crate::rng::{Stream, generator};

/// What takes more than so many times the fastest's time on its first run is not run again: its one time says enough.
const HOPELESS: f64 = 20.0;

/// How a network is run.
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    /// As a dense network, with zeros where weights were pruned: the baseline.
    Dense(Orientation),
    /// By a plan.
    Sparse(Plan),
}

impl fmt::Display for Way {
    /// `dense X·Wᵀ`, or the kernels of the layers, once if they are all the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dense(orientation) => f.pad(&format!("dense {}", orientation.name())),
            Self::Sparse(plan) => {
                let mut kernels: Vec<String> = plan.choices().map(|choice| choice.to_string()).collect();
                if kernels.windows(2).all(|pair| pair[0] == pair[1]) {
                    kernels.truncate(1);
                }
                f.pad(&kernels.join(" → "))
            }
        }
    }
}

/// The times of a network in each of its [ways](Way), for a batch, on one thread. Input and output are row-major; bias,
/// activation and the ways between layouts count.
#[derive(Clone, Debug)]
pub struct Comparison {
    batch: usize,
    contenders: Vec<(Way, Timing)>,
    pick: usize,
}

impl Comparison {
    /// Times a batch of `batch` random samples, `rounds` times over, all contenders in turn, but those that are
    /// hopelessly slow once: dense in each orientation, all layers in one format, for each format, the plan of the cost
    /// model (the pick), and the plan that [measuring](Plan::measured) finds.
    pub fn of(mlp: &SparseMlp, batch: usize, rounds: usize) -> Self {
        let batch = batch.max(1);
        let picked = mlp.plan(batch);
        let mut plans = vec![picked.clone()];
        let others = Format::ALL.into_iter().filter_map(|format| Plan::uniform(mlp, batch, format).ok());
        // Not where a layer has no chance in the format.
        let others = others.filter(|plan| plan.total().is_finite());
        for plan in others.chain([Plan::measured(mlp, batch)]) {
            if plans.iter().all(|other| !other.choices().eq(plan.choices())) {
                plans.push(plan);
            }
        }

        let mut generator = generator(0, Stream::Noise);
        let noise = || 2.0 * generator.random::<f32>() - 1.0;
        let x = Array2::from_shape_simple_fn((batch, mlp.inputs()), noise);
        let y = RefCell::new(Array2::zeros((batch, mlp.outputs())));
        let workspace = RefCell::new(mlp.workspace(batch));
        let network = DenseMlp::from(mlp);

        let (x, y, workspace) = (&x, &y, &workspace);
        let mut runs: Vec<(Way, Box<dyn FnMut() + '_>)> = Vec::new();
        for orientation in Orientation::ALL {
            let mut dense = DenseInference::new(&network, orientation);
            let run = move || {
                dense
                    .forward_into(x.view(), y.borrow_mut().view_mut())
                    .unwrap_or_else(|error| unreachable!("the shapes are the network's: {error}"));
            };
            runs.push((Way::Dense(orientation), Box::new(run)));
        }
        let pick = runs.len();
        for plan in plans {
            let way = Way::Sparse(plan.clone());
            let run = move || {
                mlp.run_planned(&plan, x.view(), y.borrow_mut().view_mut(), &mut workspace.borrow_mut());
            };
            runs.push((way, Box::new(run)));
        }

        // Packs the weights, and then tells what is worth its rounds.
        let once = |(_, run): &mut (Way, Box<dyn FnMut() + '_>)| {
            run();
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        };
        let first: Vec<f64> = runs.iter_mut().map(once).collect();
        let limit = HOPELESS * first.iter().copied().fold(f64::INFINITY, f64::min);
        let promising = runs.iter_mut().zip(&first).filter(|&(_, &seconds)| seconds <= limit);
        let mut promising: Vec<&mut dyn FnMut()> = promising.map(|((_, run), _)| &mut **run as _).collect();
        let mut timings = interleaved(rounds, &mut promising).into_iter();
        let contenders = runs.into_iter().zip(first).map(|((way, _), seconds)| {
            let timing = if seconds <= limit { timings.next() } else { None };
            (way, timing.unwrap_or_else(|| Timing::of_one(seconds)))
        });
        Self { batch, contenders: contenders.collect(), pick }
    }

    /// Samples of the batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// All ways and their times: dense first, then the pick.
    pub fn contenders(&self) -> &[(Way, Timing)] {
        &self.contenders
    }

    /// Where among the [contenders](Self::contenders) the plan of the cost model stands.
    pub fn pick(&self) -> usize {
        self.pick
    }

    /// The time of the fastest dense orientation.
    pub fn dense(&self) -> &Timing {
        let dense = self.contenders.iter().filter(|(way, _)| matches!(way, Way::Dense(_)));
        fastest(dense)
    }

    /// The time of the fastest of all.
    pub fn best(&self) -> &Timing {
        fastest(self.contenders.iter())
    }

    /// The best time of the pick over the best time of all: 1 when nothing is faster.
    pub fn regret(&self) -> f64 {
        self.contenders[self.pick].1.best() / self.best().best()
    }
}

fn fastest<'a>(contenders: impl Iterator<Item = &'a (Way, Timing)>) -> &'a Timing {
    let timings = contenders.map(|(_, timing)| timing);
    timings
        .min_by(|a, b| a.best().total_cmp(&b.best()))
        .unwrap_or_else(|| unreachable!("there are three dense contenders"))
}
