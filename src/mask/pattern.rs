//! Patterns that masks keep to while they get sparser.

use std::fmt;
use std::str::FromStr;

use ndarray::ArrayView2;

use super::ranking::{Rank, keep_largest};
use super::structured::keep_blocks;
use super::{Block, Mask, Norm, neurons};
use crate::{Error, Result};

/// Which weights go together, whatever the sparsity.
///
/// As text: `unstructured`, `n:16` for N of every 16, `16x1` for blocks of 16 rows and one column, `fan-in`, `neurons`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pattern {
    /// Each weight for itself.
    #[default]
    Unstructured,
    /// As many of every so many weights along the inputs: [`Mask::n_of_m`].
    OfEvery(usize),
    /// Blocks as a whole: [`Mask::blocks`].
    Blocks(Block),
    /// As many inputs for each output: [`Mask::fan_in`].
    FanIn,
    /// Neurons with all weights that they read and are read by: [`neurons`].
    Neurons,
}

impl Pattern {
    /// Whether layers can share a ranking: of weights, or of blocks.
    pub fn is_global(self) -> bool {
        matches!(self, Self::Unstructured | Self::Blocks(_))
    }

    /// [`masks`](Self::masks) with one ranking over all layers, of which about `keep` weights stay.
    ///
    /// # Errors
    /// As [`masks`](Self::masks), and when the pattern [has no such ranking](Self::is_global).
    pub fn masks_global(self, layers: &[(ArrayView2<'_, f32>, &Mask)], keep: usize) -> Result<Vec<Mask>> {
        let operation = "Pattern::masks_global";
        let masks: Vec<&Mask> = layers.iter().map(|(_, mask)| *mask).collect();
        let all = masks.iter().map(|mask| mask.len()).sum::<usize>();
        if keep > all || all == 0 {
            return Err(Error::value(operation, "keep", format!("at most {all}"), keep));
        }
        match self {
            Self::Unstructured => {
                let kept = masks.iter().map(|mask| mask.kept()).sum();
                keep_largest(Rank::Magnitude, operation, layers, keep.min(kept))
            }
            Self::Blocks(block) => {
                let of = |count: usize| (keep as f64 / all as f64 * count as f64).round_ties_even() as usize;
                let keep = block.kept_of(operation, &masks, |count| Ok(of(count).max(1)))?;
                keep_blocks(operation, layers, block, keep)
            }
            Self::OfEvery(_) | Self::FanIn | Self::Neurons => {
                let expected = "one of weights or blocks, of which layers can share a ranking";
                Err(Error::value(operation, "pattern", expected, self))
            }
        }
    }

    /// Of what the masks keep, what is largest by magnitude, and about `keep[l]` weights of layer `l`: as many as the
    /// pattern has a count for, rounded. N of every M, and the inputs of an output, are at least one. Hidden neurons go
    /// by the same share in every layer, the largest that keeps no more than the sum of `keep`, and at least one in
    /// each.
    ///
    /// `layers` are the weights (`[out, in]`) and masks of a network, first to last.
    ///
    /// # Errors
    /// When there is not one count a layer, one is more than the weights, a shape differs from its mask's, or a kept
    /// weight is NaN.
    pub fn masks(self, layers: &[(ArrayView2<'_, f32>, &Mask)], keep: &[usize]) -> Result<Vec<Mask>> {
        let operation = "Pattern::masks";
        if keep.len() != layers.len() {
            let expected = format!("{} counts, one a layer", layers.len());
            return Err(Error::shape(operation, "keep", expected, keep.len()));
        }
        for (index, ((_, mask), &keep)) in layers.iter().zip(keep).enumerate() {
            if keep > mask.len() || mask.is_empty() {
                let (subject, expected) =
                    (format!("keep of layer {index}"), format!("at most {}", mask.len()));
                return Err(Error::value(operation, subject, expected, keep));
            }
        }
        if self == Self::Neurons && !layers.is_empty() {
            let shapes: Vec<_> = layers.iter().map(|(_, mask)| mask.shape()).collect();
            return neurons(layers, Norm::L2, &units(&shapes, keep.iter().sum()));
        }
        let masks = layers.iter().zip(keep).enumerate().map(|(index, (layer, &keep))| {
            let &(weight, mask) = layer;
            let share = keep as f64 / mask.len() as f64;
            let of = |count: usize| (share * count as f64).round_ties_even() as usize;
            let result = match self {
                Self::OfEvery(m) => mask.n_of_m_within(weight, of(m).max(1), m),
                Self::FanIn => mask.fan_in_within(weight, of(mask.shape().1).max(1)),
                Self::Blocks(block) => block
                    .kept_of(operation, &[mask], |all| Ok(of(all).max(1)))
                    .and_then(|keep| mask.blocks_within(weight, block, keep)),
                Self::Unstructured | Self::Neurons => {
                    let keep = keep.min(mask.kept());
                    keep_largest(Rank::Magnitude, operation, &[*layer], keep).map(|mut masks| masks.remove(0))
                }
            };
            result.map_err(|error| error.within(format!("layer {index}")))
        });
        masks.collect()
    }
}

/// Units of each hidden layer, by the same share of each: the most with which a network has no more than `keep`
/// weights, and at least one.
fn units(shapes: &[(usize, usize)], keep: usize) -> Vec<usize> {
    let hidden = &shapes[..shapes.len() - 1];
    let units = |share: f64| -> Vec<usize> {
        hidden
            .iter()
            .map(|&(out, _)| ((share * out as f64).round_ties_even() as usize).clamp(1, out.max(1)))
            .collect()
    };
    let weights = |units: &[usize]| {
        let before = std::iter::once(shapes[0].1).chain(units.iter().copied());
        let after = units.iter().copied().chain([shapes[shapes.len() - 1].0]);
        before.zip(after).map(|(inputs, out)| inputs * out).sum::<usize>()
    };
    let (mut low, mut high) = (0.0, 1.0);
    if weights(&units(high)) <= keep {
        return units(high);
    }
    // Until the two are closer than a unit of any layer.
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if weights(&units(middle)) <= keep { low = middle } else { high = middle }
    }
    units(low)
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unstructured => f.pad("unstructured"),
            Self::OfEvery(m) => f.pad(&format!("n:{m}")),
            Self::Blocks(block) => f.pad(&block.to_string()),
            Self::FanIn => f.pad("fan-in"),
            Self::Neurons => f.pad("neurons"),
        }
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let expected = "unstructured, n:M (N of every M), ROWSxCOLUMNS (blocks), fan-in or neurons";
        let fault = || Error::value("Pattern::from_str", "pattern", expected, format!("`{text}`"));
        match text {
            "unstructured" => Ok(Self::Unstructured),
            "fan-in" => Ok(Self::FanIn),
            "neurons" => Ok(Self::Neurons),
            _ => match text.strip_prefix("n:") {
                Some(m) => m.parse().ok().filter(|&m| m > 0).map(Self::OfEvery).ok_or_else(fault),
                None => text.parse().map(Self::Blocks).map_err(|_: Error| fault()),
            },
        }
    }
}
