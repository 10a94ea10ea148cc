//! Scores for pruning trained networks.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array2, Zip};
use rand::RngExt;

use super::views;
use crate::dense::DenseMlp;
use crate::rng::{Stream, generator};
use crate::{Error, Mask, Result};

/// What makes a trained weight worth keeping: its final value w_f, its initial value w_i, or how far it came between
/// them (Zhou, Lan, Liu & Yosinski, *Deconstructing Lottery Tickets*, NeurIPS 2019). The highest stay.
///
/// As text it is its name in lower case: `magnitude`, `initial-magnitude`, `magnitude-increase`, `movement`, `random`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Score {
    /// |w_f|: what Frankle & Carbin (ICLR 2019) rank by.
    #[default]
    Magnitude,
    /// |w_i|: it knows nothing of the training.
    InitialMagnitude,
    /// |w_f| − |w_i|: what grew.
    MagnitudeIncrease,
    /// |w_f − w_i|: what moved, towards 0 or away from it.
    Movement,
    /// Chance, the control: each subset of the kept weights is equally likely.
    Random,
}

const NAMES: [(Score, &str); 5] = [
    (Score::Magnitude, "magnitude"),
    (Score::InitialMagnitude, "initial-magnitude"),
    (Score::MagnitudeIncrease, "magnitude-increase"),
    (Score::Movement, "movement"),
    (Score::Random, "random"),
];

impl Score {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Magnitude, Self::InitialMagnitude, Self::MagnitudeIncrease, Self::Movement, Self::Random];

    /// A score for each weight, a matrix `[out, in]` for each layer, of a network at its first values and after
    /// training. They are f64, in which no difference of two f32 is lost to rounding that would make a tie. `seed` is
    /// [`Random`](Self::Random)'s.
    ///
    /// # Errors
    /// When the networks have other shapes.
    pub fn scores(self, initial: &DenseMlp, trained: &DenseMlp, seed: u64) -> Result<Vec<Array2<f64>>> {
        let (initial, trained) = (initial.weight_views(), trained.weight_views());
        let shapes = |weights: &[ndarray::ArrayView2<'_, f32>]| -> Vec<_> {
            weights.iter().map(|weight| weight.dim()).collect()
        };
        if shapes(&initial) != shapes(&trained) {
            let expected = format!("the shapes {:?} of the initial network", shapes(&initial));
            return Err(Error::shape("Score::scores", "trained", expected, shapes(&trained)));
        }
        let mut generator = generator(seed, Stream::Mask);
        let mut score = |&first: &f32, &last: &f32| {
            let (first, last) = (f64::from(first), f64::from(last));
            match self {
                Self::Magnitude => last.abs(),
                Self::InitialMagnitude => first.abs(),
                Self::MagnitudeIncrease => last.abs() - first.abs(),
                Self::Movement => (last - first).abs(),
                Self::Random => generator.random(),
            }
        };
        let layers = initial.iter().zip(&trained);
        Ok(layers.map(|(first, last)| Zip::from(first).and(last).map_collect(&mut score)).collect())
    }

    /// Of the weights that `masks` keep, those of highest [score](Self::scores) in each layer: exactly `keep[l]` of
    /// layer `l`. Ties stay in the order of their index.
    ///
    /// # Errors
    /// When there is not one mask a layer, of its shape, and one count a mask, a mask keeps fewer than its count, or
    /// the score of a kept weight is NaN.
    pub fn masks(
        self,
        initial: &DenseMlp,
        trained: &DenseMlp,
        masks: &[Mask],
        keep: &[usize],
        seed: u64,
    ) -> Result<Vec<Mask>> {
        let operation = "Score::masks";
        initial.check_masks(operation, masks)?;
        if keep.len() != masks.len() {
            let expected = format!("{} counts, one a layer", masks.len());
            return Err(Error::shape(operation, "keep", expected, keep.len()));
        }
        let scores = self.scores(initial, trained, seed)?;
        let layers = masks.iter().zip(&scores).zip(keep).enumerate();
        let ranked = layers.map(|(layer, ((mask, scores), &keep))| {
            mask.highest_within(scores.view(), keep).map_err(|error| error.within(format!("layer {layer}")))
        });
        ranked.collect()
    }

    /// [`masks`](Self::masks) with one ranking over all layers: `keep` is the count of them all.
    ///
    /// # Errors
    /// As [`masks`](Self::masks).
    pub fn masks_global(
        self,
        initial: &DenseMlp,
        trained: &DenseMlp,
        masks: &[Mask],
        keep: usize,
        seed: u64,
    ) -> Result<Vec<Mask>> {
        initial.check_masks("Score::masks_global", masks)?;
        Mask::highest_within_global(masks, &views(&self.scores(initial, trained, seed)?), keep)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(super::name_of(&NAMES, *self))
    }
}

impl FromStr for Score {
    type Err = Error;

    /// The score of a name, as [`Display`](fmt::Display) writes it.
    fn from_str(name: &str) -> Result<Self> {
        super::named(&NAMES, "Score::from_str", name)
    }
}
