//! Criteria by name.

use std::fmt;
use std::str::FromStr;

use ndarray::ArrayView2;

use super::ranking::{Rank, keep_largest};
use super::{Mask, prune_count};
use crate::{Error, Result, mask};

/// How to prune the layers of a network to a sparsity, the share of all their weights that is pruned in the end. What
/// masks have pruned before counts, and stays pruned.
///
/// As text it is its name and the sparsity: `magnitude:0.8`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Criterion {
    /// Each layer keeps its largest weights: [`Mask::magnitude`].
    Magnitude(f64),
    /// The largest of all layers stay: [`Mask::magnitude_global`].
    Global(f64),
    /// Each layer keeps what is above its [quantile](super::quantile), the rule of the lecture: [`Mask::above`].
    Quantile(f64),
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
                let above = |weight| Mask::above(weight, mask::quantile(weight, sparsity)?);
                layers.iter().map(|&(weight, mask)| above(weight)?.and(mask)).collect()
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
        }
    }
}

impl FromStr for Criterion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fault = || {
            let expected = "magnitude:S, global:S or quantile:S with a sparsity S in [0, 1)";
            Error::value("Criterion::from_str", "criterion", expected, format!("`{text}`"))
        };
        let (name, sparsity) = text.split_once(':').ok_or_else(fault)?;
        let sparsity = sparsity.parse().map_err(|_| fault())?;
        if !(0.0..1.0).contains(&sparsity) {
            return Err(fault());
        }
        match name {
            "magnitude" => Ok(Self::Magnitude(sparsity)),
            "global" => Ok(Self::Global(sparsity)),
            "quantile" => Ok(Self::Quantile(sparsity)),
            _ => Err(fault()),
        }
    }
}
