//! Pruning before training.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array1, Array2, Axis};

use super::surface::Surface;
use super::views;
use crate::dense::{DenseMlp, Samples};
use crate::{Error, Mask, Result};

/// How to prune a network at its first values, before it is trained. One ranking goes over all layers.
///
/// As text it is its name in lower case: `snip`, `grasp`, `synflow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Foresight {
    /// SNIP (Lee, Ajanthan & Torr, ICLR 2019): |g ⊙ w| with the gradient g of the loss, how much the loss reacts to the
    /// connection. At high sparsity it may prune a whole layer, which leaves a network that nothing flows through;
    /// nothing here prevents that.
    Snip,
    /// GraSP (Wang, Zhang & Grosse, ICLR 2020): keeps the flow of the gradient. It prunes where −w ⊙ Hg is highest,
    /// with the Hessian H and the gradient g by the weights (not the biases, as in the authors' program), both of the
    /// loss whose logits are divided by the temperature 200. It, too, may prune a whole layer.
    Grasp,
    /// SynFlow (Tanaka, Kunin, Yamins & Ganguli, NeurIPS 2020): what goes through the weight when ones go into the
    /// network of the magnitudes |W| without biases, the sum over all paths through it of the products of their |w|. It
    /// looks at no data, and prunes in 100 rounds to counts that fall exponentially. The scores of each layer sum up to
    /// the same flow, so that the fewer weights a layer has left, the more each is worth: layers do not collapse while
    /// the count has room for paths. Activations are left out: ReLU changes nothing of what is not below 0. Between the
    /// only weight into a unit and the only one out of it, which are worth the same, rounding decides.
    SynFlow,
}

const NAMES: [(Foresight, &str); 3] =
    [(Foresight::Snip, "snip"), (Foresight::Grasp, "grasp"), (Foresight::SynFlow, "synflow")];

/// GraSP's.
const TEMPERATURE: f64 = 200.0;
/// SynFlow's.
const ROUNDS: u32 = 100;

impl Foresight {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Snip, Self::Grasp, Self::SynFlow];

    /// How much each weight is worth, a matrix `[out, in]` for each layer; the highest are to stay. For GraSP that is w
    /// ⊙ Hg. SynFlow's are those of the whole network, up to a factor that all share, and `samples` are nothing to it.
    /// SNIP and GraSP look at all `samples` at once; their authors take ten of each class.
    ///
    /// To rank within layers, give them to [`Mask::highest_within`].
    ///
    /// # Errors
    /// For SNIP and GraSP, when there are no samples, their shapes do not fit the network or each other, or a label is
    /// no class.
    pub fn scores(self, network: &DenseMlp, samples: Samples<'_>) -> Result<Vec<Array2<f64>>> {
        if self != Self::SynFlow {
            network.check_samples("Foresight::scores", samples)?;
        }
        Ok(match self {
            Self::Snip => {
                let surface = Surface::new(network, samples, 1.0);
                let scores = surface.weights().zip(surface.gradient());
                scores.map(|(weight, gradient)| (weight * gradient).abs()).collect()
            }
            Self::Grasp => {
                let surface = Surface::new(network, samples, TEMPERATURE);
                let products = surface.hessian_times(&surface.gradient());
                surface.weights().zip(products).map(|(weight, product)| weight * product).collect()
            }
            Self::SynFlow => synaptic_flow(&magnitudes(network)),
        })
    }

    /// One mask a layer, together exactly `keep` of the weights of highest [score](Self::scores). Ties stay in the
    /// order of layers and indices.
    ///
    /// # Errors
    /// As [`scores`](Self::scores), when the network has fewer weights than `keep`, or a score is NaN.
    pub fn masks(self, network: &DenseMlp, samples: Samples<'_>, keep: usize) -> Result<Vec<Mask>> {
        let all: Vec<_> = network.layers().iter().map(|layer| Mask::all(layer.shape())).collect();
        if keep > network.weights() {
            let expected = format!("at most {}", network.weights());
            return Err(Error::value("Foresight::masks", "keep", expected, keep));
        }
        match self {
            Self::Snip | Self::Grasp => {
                Mask::highest_within_global(&all, &views(&self.scores(network, samples)?), keep)
            }
            Self::SynFlow => flow_masks(network, all, keep),
        }
    }
}

/// SynFlow's rounds: each scores the network that the one before it left.
fn flow_masks(network: &DenseMlp, mut masks: Vec<Mask>, keep: usize) -> Result<Vec<Mask>> {
    let all = network.weights() as f64;
    let mut weights = magnitudes(network);
    for round in 1..=ROUNDS {
        let left = (keep as f64 / all).powf(f64::from(round) / f64::from(ROUNDS));
        let left = if round == ROUNDS { keep } else { (left * all).round_ties_even() as usize };
        masks = Mask::highest_within_global(&masks, &views(&synaptic_flow(&weights)), left)?;
        for (weight, mask) in weights.iter_mut().zip(&masks) {
            weight.zip_mut_with(&mask.to_array(), |weight, &keep| *weight = if keep { *weight } else { 0.0 });
        }
    }
    Ok(masks)
}

fn magnitudes(network: &DenseMlp) -> Vec<Array2<f64>> {
    network.layers().iter().map(|layer| layer.weight().mapv(|weight| f64::from(weight.abs()))).collect()
}

/// Each weight times the flow into it and the flow that its output passes on, up to a factor that all share: a score
/// is linear in each layer, so dividing a layer by a number divides all scores of the network by it. Each layer is
/// divided so that its largest output is 1, and neither depth nor width takes the products out of range.
fn synaptic_flow(weights: &[Array2<f64>]) -> Vec<Array2<f64>> {
    let mut flow = weights.first().map_or(Array1::zeros(0), |weight| Array1::ones(weight.ncols()));
    let mut into = Vec::with_capacity(weights.len());
    for weight in weights {
        let sums = weight.dot(&flow);
        let largest = sums.fold(0.0_f64, |max, &sum| max.max(sum));
        // Where nothing flows any more, all scores are 0.
        let scale = if largest > 0.0 { largest.recip() } else { 1.0 };
        into.push((std::mem::replace(&mut flow, sums * scale), scale));
    }
    let mut passed = Array1::ones(flow.len());
    let mut scores = Vec::with_capacity(weights.len());
    for (weight, (flow, scale)) in weights.iter().zip(into).rev() {
        let weight = weight * scale;
        scores.push(&weight * &flow * passed.view().insert_axis(Axis(1)));
        passed = weight.t().dot(&passed);
    }
    scores.reverse();
    scores
}

impl fmt::Display for Foresight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(super::name_of(&NAMES, *self))
    }
}

impl FromStr for Foresight {
    type Err = Error;

    /// The method of a name, as [`Display`](fmt::Display) writes it.
    fn from_str(name: &str) -> Result<Self> {
        super::named(&NAMES, "Foresight::from_str", name)
    }
}
