//! Controls: tickets of which one thing is taken away, to see what it is worth.

use super::distribution::{Distribution, random_masks};
use super::{Origin, Ticket};
use crate::dense::Initialisation;
use crate::{Mask, Result};

impl Ticket {
    /// The same masks on a fresh network (Frankle & Carbin, ICLR 2019). It tells what the first values are worth.
    pub fn reinitialised(&self, initialisation: Initialisation, seed: u64) -> Self {
        let initial = self.initial.reinitialised(initialisation, seed);
        Self { initial, masks: self.masks.clone(), origin: Origin::Reinitialised }
    }

    /// As many weights in each layer, chosen by chance, at the same first values: the mask's entries in another order
    /// (Frankle & Carbin, ICLR 2019). It tells what the choice within the layers is worth. A mask that was drawn by
    /// chance with the same seed is drawn again.
    ///
    /// # Errors
    /// Never: the counts are those of masks of these shapes.
    pub fn shuffled_mask(&self, seed: u64) -> Result<Self> {
        let counts: Vec<_> = self.masks.iter().map(Mask::kept).collect();
        self.with_random_mask(&counts, Origin::ShuffledMask, seed)
    }

    /// As many weights in the whole network, chosen by chance with [one density](Distribution::Uniform) for all layers,
    /// at the same first values. Beside [`shuffled_mask`](Self::shuffled_mask) it tells what the counts of the layers
    /// are worth.
    ///
    /// # Errors
    /// Never: the count is that of masks of these shapes.
    pub fn random_mask(&self, seed: u64) -> Result<Self> {
        let counts = Distribution::Uniform.counts(&self.shapes(), self.kept())?;
        self.with_random_mask(&counts, Origin::RandomMask, seed)
    }

    /// The same masks, and of the first values of the weights only the sign: each is ±the standard deviation that
    /// `initialisation` has in its layer, and 0.0 stays (Zhou, Lan, Liu & Yosinski, *Deconstructing Lottery Tickets*,
    /// NeurIPS 2019). Biases stay, too. It tells what the magnitudes are worth.
    pub fn sign_only(&self, initialisation: Initialisation) -> Self {
        let mut initial = self.initial.clone();
        for (layer, (out, inputs)) in self.shapes().into_iter().enumerate() {
            let deviation = initialisation.deviation(inputs, out);
            let weight = initial.weight_mut(layer).into_iter().flatten();
            weight.filter(|weight| **weight != 0.0).for_each(|weight| *weight = deviation * weight.signum());
        }
        Self { initial, masks: self.masks.clone(), origin: Origin::SignOnly }
    }

    fn with_random_mask(&self, counts: &[usize], origin: Origin, seed: u64) -> Result<Self> {
        let masks = random_masks(&self.shapes(), counts, seed)?;
        Ok(Self { initial: self.initial.clone(), masks, origin })
    }

    fn shapes(&self) -> Vec<(usize, usize)> {
        self.masks.iter().map(Mask::shape).collect()
    }
}
