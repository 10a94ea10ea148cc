//! What each layer alone can do without.

use crate::dense::{DenseMlp, Evaluation, Samples};
use crate::{Error, Mask, Result};

/// How a network fares when one layer at a time is pruned by magnitude and nothing is trained again (Li, Kadav,
/// Durdanovic, Samet & Graf, *Pruning Filters for Efficient ConvNets*, ICLR 2017, §3.2; Han et al., NeurIPS 2015).
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// The network as it came.
    pub unpruned: Evaluation,
    /// For each layer what was found at each sparsity, in the order in which they were asked for.
    pub layers: Vec<Vec<Pruned>>,
}

/// A network of which one layer is pruned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pruned {
    /// Share of the layer's weights that was to be pruned; the count is rounded, halves to even. Zeros that the layer
    /// had before are the first to go.
    pub sparsity: f64,
    /// How the network fares.
    pub evaluation: Evaluation,
}

impl Sensitivity {
    /// Evaluates `network` on `samples` once for each layer and sparsity. Of `n` weights the `round(sparsity·n)`
    /// smallest by magnitude are pruned; at sparsity 1 the layer gives its biases alone.
    ///
    /// # Errors
    /// When a sparsity is outside of [0, 1], a weight is NaN, there are no samples, their shapes do not fit the network
    /// or each other, or a label is no class.
    pub fn scan(network: &DenseMlp, samples: Samples<'_>, sparsities: &[f64]) -> Result<Self> {
        let operation = "Sensitivity::scan";
        if let Some(&sparsity) = sparsities.iter().find(|sparsity| !(0.0..=1.0).contains(*sparsity)) {
            return Err(Error::value(operation, "sparsities", "numbers in [0, 1]", sparsity));
        }
        let unpruned = network.evaluate(samples)?;
        let whole: Vec<_> = network.layers().iter().map(|layer| Mask::all(layer.shape())).collect();
        let prune = |layer: usize, sparsity: f64| {
            let weight = network.layers()[layer].weight();
            let prune = (sparsity * weight.len() as f64).round_ties_even() as usize;
            let mut masks = whole.clone();
            masks[layer] = Mask::magnitude_count(weight, weight.len() - prune)
                .map_err(|error| error.within(format!("layer {layer}")))?;
            let mut pruned = network.clone();
            pruned.apply_masks(&masks)?;
            Ok(Pruned { sparsity, evaluation: pruned.evaluate(samples)? })
        };
        let layers = (0..whole.len())
            .map(|layer| sparsities.iter().map(|&sparsity| prune(layer, sparsity)).collect())
            .collect::<Result<_>>()?;
        Ok(Self { unpruned, layers })
    }

    /// For each layer the largest scanned sparsity at which the accuracy lacks at most `tolerance` to that of the whole
    /// network, and 0 if there is none. Nothing is interpolated: what is suggested was measured. (That all layers are
    /// pruned so at once was not: their losses add up, or worse.)
    ///
    /// # Errors
    /// When `tolerance` is NaN.
    pub fn suggested(&self, tolerance: f64) -> Result<Vec<f64>> {
        // Far below a sample's share: a loss of exactly the tolerance is not to fail by the rounding of a difference.
        const ROUNDING: f64 = 1e-9;
        if tolerance.is_nan() {
            return Err(Error::value("Sensitivity::suggested", "tolerance", "a number", tolerance));
        }
        let tolerated =
            |pruned: &&Pruned| self.unpruned.accuracy - pruned.evaluation.accuracy <= tolerance + ROUNDING;
        let largest = |layer: &Vec<Pruned>| {
            layer.iter().filter(tolerated).map(|pruned| pruned.sparsity).fold(0.0, f64::max)
        };
        Ok(self.layers.iter().map(largest).collect())
    }
}
