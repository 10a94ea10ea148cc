//! Criteria by name.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array2, ArrayView2};

use super::ranking::{Rank, keep_largest};
use super::{Block, Mask, Norm, neurons, prune_count};
use crate::{Error, Result, mask};

/// How to prune the layers of a network to a sparsity, the share of all their weights that is pruned in the end. What
/// masks have pruned before counts, and stays pruned.
///
/// As text it is its name and the sparsity, `magnitude:0.8`, `block:16x1:0.9`, or the pattern, `2:4`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Criterion {
    /// Each layer keeps its largest weights: [`Mask::magnitude`].
    Magnitude(f64),
    /// The largest of all layers stay: [`Mask::magnitude_global`].
    Global(f64),
    /// Each layer keeps what is above its [quantile](super::quantile): [`Mask::above`].
    Quantile(f64),
    /// Each layer keeps `n` of every `m` weights along the inputs: [`Mask::n_of_m`].
    NOfM {
        /// Weights that stay.
        n: usize,
        /// Of so many.
        m: usize,
    },
    /// Each layer keeps its blocks of highest norm: [`Mask::blocks`].
    Blocks(Block, f64),
    /// The blocks of highest norm of all layers stay: [`Mask::blocks_within_global`].
    GlobalBlocks(Block, f64),
    /// Each row keeps as many weights, its largest: [`Mask::fan_in`].
    FanIn(f64),
    /// Each layer but the last keeps its outputs of highest L2 norm, at least one, and the next layer the columns that
    /// read them: [`neurons`]. The share is one of the neurons.
    Neurons(f64),
}

impl Criterion {
    /// A mask for each weight matrix (`[out, in]`), within the one that it has.
    ///
    /// # Errors
    /// When a sparsity is out of range, a shape differs from its mask's, or a kept weight is NaN.
    pub fn masks(self, layers: &[(ArrayView2<'_, f32>, &Mask)]) -> Result<Vec<Mask>> {
        let operation = "Criterion::masks";
        let keep = |sparsity, layers: &[(ArrayView2<'_, f32>, &Mask)]| {
            let all = layers.iter().map(|(weight, _)| weight.len()).sum();
            let kept = layers.iter().map(|(_, mask)| mask.kept()).sum();
            Ok((all - prune_count(operation, sparsity, all)?).min(kept))
        };
        // What stays of a layer's blocks.
        let stay = |sparsity| move |all: usize| Ok(all - prune_count(operation, sparsity, all)?);
        match self {
            Self::Magnitude(sparsity) => {
                let masks = layers.iter().map(|layer| {
                    let layer = std::slice::from_ref(layer);
                    Ok(keep_largest(Rank::Magnitude, operation, layer, keep(sparsity, layer)?)?.remove(0))
                });
                masks.collect()
            }
            Self::Global(sparsity) => {
                keep_largest(Rank::Magnitude, operation, layers, keep(sparsity, layers)?)
            }
            Self::Quantile(sparsity) => {
                let masks = layers.iter().map(|&(weight, mask)| {
                    mask.check_shape(operation, "weight", weight.dim())?;
                    // What is pruned already is among the smallest.
                    let kept = Array2::from_shape_fn(weight.dim(), |place| {
                        if mask.bit(place.0, place.1) { weight[place] } else { 0.0 }
                    });
                    Mask::above(kept.view(), mask::quantile(kept.view(), sparsity)?)?.and(mask)
                });
                masks.collect()
            }
            Self::NOfM { n, m } => {
                layers.iter().map(|&(weight, mask)| mask.n_of_m_within(weight, n, m)).collect()
            }
            Self::Blocks(block, sparsity) => {
                let masks = layers.iter().map(|&(weight, mask)| {
                    let keep = block.kept_of(operation, &[mask], stay(sparsity))?;
                    mask.blocks_within(weight, block, keep)
                });
                masks.collect()
            }
            Self::GlobalBlocks(block, sparsity) => {
                let (weights, masks): (Vec<_>, Vec<_>) = layers.iter().copied().unzip();
                let keep = block.kept_of(operation, &masks, stay(sparsity))?;
                let masks: Vec<Mask> = masks.into_iter().cloned().collect();
                Mask::blocks_within_global(&masks, &weights, block, keep)
            }
            Self::FanIn(sparsity) => {
                let masks = layers.iter().map(|&(weight, mask)| {
                    let inputs = mask.shape().1;
                    mask.fan_in_within(weight, inputs - prune_count(operation, sparsity, inputs)?)
                });
                masks.collect()
            }
            Self::Neurons(sparsity) => {
                let hidden = layers.len().saturating_sub(1);
                let keep = layers.iter().take(hidden).map(|(weight, _)| {
                    let out = weight.nrows();
                    Ok((out - prune_count(operation, sparsity, out)?).max(1))
                });
                neurons(layers, Norm::L2, &keep.collect::<Result<Vec<_>>>()?)
            }
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magnitude(sparsity) => write!(f, "magnitude:{sparsity}"),
            Self::Global(sparsity) => write!(f, "global:{sparsity}"),
            Self::Quantile(sparsity) => write!(f, "quantile:{sparsity}"),
            Self::NOfM { n, m } => write!(f, "{n}:{m}"),
            Self::Blocks(block, sparsity) => write!(f, "block:{block}:{sparsity}"),
            Self::GlobalBlocks(block, sparsity) => write!(f, "global-block:{block}:{sparsity}"),
            Self::FanIn(sparsity) => write!(f, "fan-in:{sparsity}"),
            Self::Neurons(sparsity) => write!(f, "neurons:{sparsity}"),
        }
    }
}

impl FromStr for Criterion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fault = || {
            let expected = "magnitude:S, global:S, quantile:S, fan-in:S, neurons:S, block:ROWSxCOLUMNS:S or \
                            global-block:ROWSxCOLUMNS:S with a sparsity S in [0, 1), or N:M";
            Error::value("Criterion::from_str", "criterion", expected, format!("`{text}`"))
        };
        let (name, number) = text.rsplit_once(':').ok_or_else(fault)?;
        if let (Ok(n), Ok(m)) = (name.parse(), number.parse()) {
            return if m > 0 && n <= m { Ok(Self::NOfM { n, m }) } else { Err(fault()) };
        }
        let sparsity =
            number.parse().ok().filter(|sparsity| (0.0..1.0).contains(sparsity)).ok_or_else(fault)?;
        let block = |text: &str| text.parse().map_err(|_: Error| fault());
        match name.split_once(':') {
            None => match name {
                "magnitude" => Ok(Self::Magnitude(sparsity)),
                "global" => Ok(Self::Global(sparsity)),
                "quantile" => Ok(Self::Quantile(sparsity)),
                "fan-in" => Ok(Self::FanIn(sparsity)),
                "neurons" => Ok(Self::Neurons(sparsity)),
                _ => Err(fault()),
            },
            Some(("block", sides)) => Ok(Self::Blocks(block(sides)?, sparsity)),
            Some(("global-block", sides)) => Ok(Self::GlobalBlocks(block(sides)?, sparsity)),
            Some(_) => Err(fault()),
        }
    }
}
