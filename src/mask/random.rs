//! Masks by chance: the control that every criterion has to beat.

use rand::seq::index;

use super::{Mask, check_not_empty, prune_count};
use crate::rng::{Stream, generator};
use crate::{Error, Result};

impl Mask {
    /// Keeps exactly `keep` of the weights of a layer of `shape` (`[out, in]`), each subset equally likely.
    ///
    /// The same `seed` gives the same mask on every platform. To draw for several layers, give each its own seed.
    ///
    /// # Errors
    /// When the layer is empty or has fewer than `keep` weights.
    pub fn random_count(shape: (usize, usize), keep: usize, seed: u64) -> Result<Self> {
        let operation = "Mask::random_count";
        check_not_empty(operation, shape)?;
        let len = shape.0.saturating_mul(shape.1);
        if keep > len {
            return Err(Error::value(operation, "keep", format!("at most {len} (shape {shape:?})"), keep));
        }
        let mut mask = Self::none(shape);
        for index in index::sample(&mut generator(seed, Stream::Mask), len, keep) {
            mask.keep(index / shape.1, index % shape.1);
        }
        Ok(mask)
    }

    /// Prunes `round(sparsity·n)` of the `n` weights of a layer of `shape` (`[out, in]`) by chance.
    ///
    /// # Errors
    /// When `sparsity` is outside of [0, 1) or the layer is empty.
    pub fn random(shape: (usize, usize), sparsity: f64, seed: u64) -> Result<Self> {
        let operation = "Mask::random";
        check_not_empty(operation, shape)?;
        let len = shape.0.saturating_mul(shape.1);
        Self::random_count(shape, len - prune_count(operation, sparsity, len)?, seed)
    }
}
