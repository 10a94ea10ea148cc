//! Which samples an iteration trains on.

use rand::seq::SliceRandom;

use crate::rng::{Stream, generator};

/// Minibatches, each epoch in a new order, which its number and the seed determine: so iterations can be taken up
/// anywhere.
pub(super) struct Batches {
    seed: u64,
    batch: usize,
    epoch: Option<usize>,
    order: Vec<usize>,
}

impl Batches {
    pub(super) fn new(samples: usize, batch: usize, seed: u64) -> Self {
        Self { seed, batch, epoch: None, order: (0..samples).collect() }
    }

    /// Iterations of an epoch.
    pub(super) fn of_epoch(&self) -> usize {
        self.order.len().div_ceil(self.batch)
    }

    /// The samples of an iteration; the last of an epoch takes what is left.
    pub(super) fn of(&mut self, iteration: usize) -> &[usize] {
        let of_epoch = self.of_epoch();
        let (epoch, index) = (iteration / of_epoch, iteration % of_epoch);
        if self.epoch != Some(epoch) {
            // Seeds of epochs are far apart, so that a neighbouring trial does not have a neighbouring epoch's order.
            let seed = self.seed.wrapping_add((epoch as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            self.order.sort_unstable();
            self.order.shuffle(&mut generator(seed, Stream::Batches));
            self.epoch = Some(epoch);
        }
        let start = index * self.batch;
        &self.order[start..self.order.len().min(start + self.batch)]
    }
}
