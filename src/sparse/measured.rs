//! Plans from times on this machine, and plans by the caller's word.

use std::cell::RefCell;

use ndarray::{Array2, ShapeBuilder};

use super::bands::{Input, Output};
use super::run::CHUNK;
use super::shares::Group;
use super::tile::tiles;
use super::workspace::Workspace;
use super::{SparseLinear, SparseMlp};
use crate::Result;
use crate::measure::interleaved;
use crate::plan::{Batch, Choice, Format, Layout, Plan, Seconds};

/// Rounds of each timing.
const ROUNDS: usize = 7;

/// What the cost model finds so many times slower than the best is not timed: the model is not as far off as that, and
/// a batch of thousands through a kernel for single samples would take minutes.
const HOPELESS: f64 = 6.0;

impl Plan {
    /// The plan that runs a batch fastest on this machine, on one thread. (A number is a row-major batch of so many
    /// samples; for others see [`Batch`].) Each layer is timed in each format that the cost model gives a chance, and
    /// then the whole network by the best plan of these times, by the cost model's, and with all layers in one format,
    /// as far as the cost model gives these a chance. That is some 50 passes or more, and packs the weights in those
    /// formats. [`SparseMlp::with_plan`] puts the plan to use.
    pub fn measured(mlp: &SparseMlp, batch: impl Into<Batch>) -> Self {
        let batch = batch.into();
        // A longer batch is more of the same.
        let part = batch.with_samples(batch.samples().clamp(1, CHUNK));
        let share = batch.samples().max(1) as f64 / part.samples() as f64;
        let mut modelled = Self::empty(mlp.isa());
        modelled.model(mlp.profiles(), batch, mlp.isa());
        let layers = mlp.layers().iter().enumerate();
        let layers = layers
            .map(|(index, layer)| (layer.profile(), times(mlp, layer, part, &modelled.candidates(index))))
            .map(|(profile, times)| (profile, times.map(|seconds| share * seconds)));
        let measured = Self::of_times(layers, batch, mlp.isa());

        let mut candidates = vec![measured.clone(), measured.with_formats_of(&modelled)];
        let uniform = Format::ALL.into_iter().filter_map(|format| Self::uniform(mlp, batch, format).ok());
        let uniform = uniform.filter(|plan| plan.total() <= HOPELESS * modelled.total());
        candidates.extend(uniform.map(|plan| measured.with_formats_of(&plan)));
        let mut distinct: Vec<Self> = Vec::new();
        for plan in candidates {
            if !distinct.contains(&plan) {
                distinct.push(plan);
            }
        }

        let (x, y) = activations(mlp.inputs(), mlp.outputs(), part);
        let outputs = RefCell::new((y, mlp.workspace(part.samples())));
        let mut runs: Vec<_> = distinct
            .iter()
            .map(|plan| {
                || {
                    let (y, workspace) = &mut *outputs.borrow_mut();
                    mlp.run_planned(plan, x.view(), y.view_mut(), workspace);
                }
            })
            .collect();
        let mut runs: Vec<&mut dyn FnMut()> = runs.iter_mut().map(|run| run as &mut dyn FnMut()).collect();
        let timings = interleaved(ROUNDS, &mut runs);
        let fastest =
            distinct.into_iter().zip(timings).min_by(|(_, a), (_, b)| a.best().total_cmp(&b.best()));
        fastest.map_or(measured, |(plan, _)| plan)
    }

    /// The plan that runs all layers in one format: to compare formats with.
    ///
    /// # Errors
    /// When this build cannot run the format with the network's instruction set.
    pub fn uniform(mlp: &SparseMlp, batch: impl Into<Batch>, format: Format) -> Result<Self> {
        Self::forced(mlp.profiles(), batch.into(), mlp.isa(), format)
    }
}

/// The seconds that a layer takes alone, without the way in and out, by those candidates, fastest first, that have a
/// chance.
fn times(mlp: &SparseMlp, layer: &SparseLinear, batch: Batch, candidates: &[(Choice, f64)]) -> Seconds {
    let (isa, samples) = (mlp.isa(), batch.samples());
    let (shape, Workspace { threads, .. }) = (layer.shape(), mlp.workspace(1));
    let threads = RefCell::new(threads);
    #[cfg(feature = "dense")]
    let (x, y) = activations(shape.1, shape.0, batch);
    #[cfg(feature = "dense")]
    let y = RefCell::new(y);
    let pass = |format: Format| {
        let mut threads = threads.borrow_mut();
        let [before, after] = &mut threads[0];
        match format.layout() {
            Layout::Rows => {
                let (together, stride) = (isa.samples_together(samples), mlp.row_stride());
                for start in (0..samples).step_by(together) {
                    let count = together.min(samples - start);
                    let (x, y) = (&before[..count * stride], &mut after[..count * stride]);
                    let group = Group { samples: count, x, stride, together };
                    layer.forward_rows(format, group, y, 1);
                }
            }
            Layout::Tiles => {
                for tile in tiles(samples, isa) {
                    let (inputs, outputs) = (shape.1 * tile.width, shape.0 * tile.width);
                    let output = Output { tile: &mut after[..outputs], batch: None };
                    layer.forward_tile(&tile, Input::Tile(&before[..inputs]), &mut [], &mut [], output);
                }
            }
            Layout::Batch => {
                #[cfg(feature = "dense")]
                layer.forward_batch(x.view(), y.borrow_mut().view_mut(), &mut threads[0], 1);
            }
        }
    };
    let limit = candidates.first().map_or(0.0, |(_, fastest)| HOPELESS * fastest);
    let chances = candidates.iter().filter(|(_, expected)| *expected <= limit);
    let formats: Vec<_> = chances.map(|(choice, _)| choice.format).collect();
    let mut runs: Vec<_> = formats.iter().map(|&format| move || pass(format)).collect();
    let mut runs: Vec<&mut dyn FnMut()> = runs.iter_mut().map(|run| run as &mut dyn FnMut()).collect();
    let timings = interleaved(ROUNDS, &mut runs);
    Format::ALL.map(|format| {
        let timing = formats.iter().zip(&timings).find(|&(&timed, _)| timed == format);
        timing.map_or(f64::INFINITY, |(_, timing)| timing.best())
    })
}

/// Input and output of a batch.
fn activations(inputs: usize, outputs: usize, batch: Batch) -> (Array2<f32>, Array2<f32>) {
    let shape = |features| (batch.samples(), features).set_f(batch.is_feature_major());
    (Array2::from_elem(shape(inputs), 0.5), Array2::zeros(shape(outputs)))
}
