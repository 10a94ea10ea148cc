//! Plans from times on this machine, and plans by the caller's word.

use std::cell::RefCell;

use ndarray::Array2;

use super::run::CHUNK;
use super::tile::tiles;
#[cfg(feature = "dense")]
use super::workspace::Buffer;
use super::workspace::Workspace;
use super::{SparseLinear, SparseMlp};
use crate::Result;
use crate::measure::interleaved;
use crate::plan::{Format, Layout, Plan};

/// Rounds of each timing.
const ROUNDS: usize = 7;

impl Plan {
    /// The plan that runs a batch of `batch` samples fastest on this machine, on one thread. Each layer is timed in each
    /// layout, and then the whole network by the best plan of these times, by the cost model's, and with all layers in
    /// one format. That is some 50 passes or more, and packs the weights in every format.
    /// [`SparseMlp::with_plan`] puts the plan to use.
    pub fn measured(mlp: &SparseMlp, batch: usize) -> Self {
        // A longer batch is more of the same.
        let samples = batch.clamp(1, CHUNK);
        let layers = mlp.layers().iter().map(|layer| (layer.profile(), times(mlp, layer, samples)));
        let measured = Self::of_times(layers, batch, mlp.isa());

        let mut modelled = Self::empty(mlp.isa());
        modelled.model(mlp.profiles(), batch, mlp.isa());
        let mut candidates = vec![measured.clone(), measured.with_formats_of(&modelled)];
        let uniform = Format::ALL.into_iter().filter_map(|format| Self::uniform(mlp, batch, format).ok());
        candidates.extend(uniform.map(|plan| measured.with_formats_of(&plan)));
        let mut distinct: Vec<Self> = Vec::new();
        for plan in candidates {
            if !distinct.contains(&plan) {
                distinct.push(plan);
            }
        }

        let x = Array2::from_elem((samples, mlp.inputs()), 0.5);
        let outputs = RefCell::new((Array2::zeros((samples, mlp.outputs())), mlp.workspace(samples)));
        let mut runs: Vec<_> = distinct
            .iter()
            .map(|plan| {
                || {
                    let (y, workspace) = &mut *outputs.borrow_mut();
                    workspace.plan.clone_from(plan);
                    mlp.run(x.view(), y.view_mut(), workspace);
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
    pub fn uniform(mlp: &SparseMlp, batch: usize, format: Format) -> Result<Self> {
        Self::forced(mlp.profiles(), batch, mlp.isa(), format)
    }
}

/// The seconds that a layer takes alone in each of [`Layout::ALL`], without the way in and out.
fn times(mlp: &SparseMlp, layer: &SparseLinear, samples: usize) -> [f64; 3] {
    let isa = mlp.isa();
    let (shape, Workspace { threads, .. }) = (layer.shape(), mlp.workspace(1));
    let buffers = RefCell::new(threads);
    let mut rows = || {
        let [before, after] = &mut buffers.borrow_mut()[0];
        let (together, stride) = (isa.lookup_samples(), mlp.row_stride());
        for start in (0..samples).step_by(together) {
            let count = together.min(samples - start);
            let [before, after] =
                [&mut *before, &mut *after].map(|buffer| &mut buffer.as_mut_slice()[..count * stride]);
            layer.forward_rows(Format::of(Layout::Rows, isa), count, stride, before, after);
        }
    };
    let mut by_tiles = || {
        let [before, after] = &mut buffers.borrow_mut()[0];
        for tile in tiles(samples, isa) {
            let (before, after) = (before.as_mut_slice(), after.as_mut_slice());
            layer.forward_tile(
                tile.width,
                &before[..shape.1 * tile.width],
                &mut after[..shape.0 * tile.width],
            );
        }
    };
    #[cfg(feature = "dense")]
    {
        let x = Array2::from_elem((samples, shape.1), 0.5);
        let mut y = Array2::zeros((samples, shape.0));
        let mut dense = || {
            let buffers = &mut buffers.borrow_mut()[0];
            layer.forward_batch(x.view(), y.view_mut(), buffers.each_mut().map(Buffer::as_mut_slice), 1);
        };
        let timings = interleaved(ROUNDS, &mut [&mut rows, &mut by_tiles, &mut dense]);
        std::array::from_fn(|layout| timings[layout].best())
    }
    #[cfg(not(feature = "dense"))]
    {
        let timings = interleaved(ROUNDS, &mut [&mut rows, &mut by_tiles]);
        [timings[0].best(), timings[1].best(), f64::INFINITY]
    }
}
