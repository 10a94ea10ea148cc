//! What the masks of a network are like.

use super::SparseMlp;
use crate::mask::Structure;
use crate::{Mask, csr};

/// What a layer's mask is like.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerStatistics {
    /// `(out, in)`.
    pub shape: (usize, usize),
    /// Weights that are kept.
    pub kept: usize,
    /// Of these, the weights on a path from an input of the network to an output: see [`Mask::effective`].
    pub effective: usize,
    /// Outputs without a weight.
    pub empty_rows: usize,
    /// Inputs without a weight.
    pub empty_columns: usize,
    /// Kept weights of a row: the fewest, the quartiles and the most.
    pub row_lengths: [usize; 5],
    /// What it is, however it was made.
    pub structure: Structure,
}

impl LayerStatistics {
    /// Weights, kept or not.
    pub fn weights(&self) -> usize {
        self.shape.0 * self.shape.1
    }

    /// Kept weights over all weights.
    pub fn density(&self) -> f64 {
        self.kept as f64 / self.weights() as f64
    }

    /// One minus the [density](Self::density): the share of weights that are pruned.
    pub fn direct_sparsity(&self) -> f64 {
        1.0 - self.density()
    }

    /// The share of weights that are pruned or that no path uses.
    pub fn effective_sparsity(&self) -> f64 {
        1.0 - self.effective as f64 / self.weights() as f64
    }
}

impl SparseMlp {
    /// What each layer's mask is like, first to last.
    pub fn statistics(&self) -> Vec<LayerStatistics> {
        let masks: Vec<Mask> = self.layers().iter().map(|layer| csr::mask(layer.csr())).collect();
        let effective = Mask::effective(&masks)
            .unwrap_or_else(|error| unreachable!("the layers were checked to be a chain: {error}"));
        let layers = masks.iter().zip(effective);
        let layers = layers.map(|(mask, effective)| {
            let (out, inputs) = mask.shape();
            let mut lengths: Vec<usize> = (0..out).map(|row| mask.row(row).count()).collect();
            lengths.sort_unstable();
            let mut used = vec![false; inputs];
            (0..out).for_each(|row| mask.row(row).for_each(|column| used[column] = true));
            LayerStatistics {
                shape: (out, inputs),
                kept: mask.kept(),
                effective: effective.kept(),
                empty_rows: lengths.iter().filter(|&&length| length == 0).count(),
                empty_columns: used.iter().filter(|&&used| !used).count(),
                row_lengths: [0, 1, 2, 3, 4].map(|quarter| lengths[(out - 1) * quarter / 4]),
                structure: mask.structure(),
            }
        });
        layers.collect()
    }
}
