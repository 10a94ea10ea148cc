//! How a count of weights spreads over layers.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Mask, Result};

/// How many of the kept weights each layer gets.
///
/// As text it is its name in lower case: `uniform`, `erk`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Distribution {
    /// One density for all layers, the first and the last, too.
    Uniform,
    /// Erdős–Rényi–Kernel: the density of a layer is in proportion to (in + out)/(in · out), so that small layers are
    /// denser; what would be more than dense is dense, and the others share what is left (Mocanu et al., *Scalable
    /// Training of Artificial Neural Networks with Adaptive Sparse Connectivity Inspired by Network Science*, Nature
    /// Communications 2018; Evci, Gale, Menick, Castro & Elsen, *Rigging the Lottery*, ICML 2020). These layers
    /// have no kernels, which is where the two agree.
    #[default]
    Erk,
}

const NAMES: [(Distribution, &str); 2] = [(Distribution::Uniform, "uniform"), (Distribution::Erk, "erk")];

impl Distribution {
    /// How many weights each layer of the given `shapes` (`[out, in]`) keeps, together exactly `keep`: the shares
    /// rounded down, and one more for the largest remainders, among equals the earlier layer.
    ///
    /// ```
    /// use tombola::ticket::Distribution;
    /// let shapes = [(300, 784), (100, 300), (10, 100)];
    /// assert_eq!(Distribution::Erk.counts(&shapes, 26_620)?, [18_714, 6906, 1000]); // the last layer is dense
    /// # Ok::<(), tombola::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the layers have fewer than `keep` weights.
    pub fn counts(self, shapes: &[(usize, usize)], keep: usize) -> Result<Vec<usize>> {
        let lens: Vec<usize> = shapes.iter().map(|(out, inputs)| out * inputs).collect();
        let all = lens.iter().sum();
        if keep > all {
            return Err(Error::value("Distribution::counts", "keep", format!("at most {all}"), keep));
        }
        let parts: Vec<usize> = match self {
            Self::Uniform => lens.clone(),
            // The density times the count of weights. A layer without weights gets none.
            Self::Erk => shapes.iter().zip(&lens).map(|((a, b), len)| (a + b) * len.min(&1)).collect(),
        };
        Ok(round(&shares(&parts, &lens, keep), &lens, keep))
    }

    /// A random mask for each of the layers of the given `shapes` (`[out, in]`), together with exactly `keep` weights.
    /// The same `seed` gives the same masks.
    ///
    /// # Errors
    /// When the layers have fewer than `keep` weights, or one of them has none.
    pub fn masks(self, shapes: &[(usize, usize)], keep: usize, seed: u64) -> Result<Vec<Mask>> {
        random_masks(shapes, &self.counts(shapes, keep)?, seed)
    }
}

/// `keep` in proportion to the `parts`, no share above its layer's count of weights.
fn shares(parts: &[usize], lens: &[usize], keep: usize) -> Vec<f64> {
    let mut dense = vec![false; lens.len()];
    loop {
        let taken: usize = lens.iter().zip(&dense).filter(|(_, dense)| **dense).map(|(len, _)| len).sum();
        let open: usize = parts.iter().zip(&dense).filter(|(_, dense)| !**dense).map(|(part, _)| part).sum();
        let scale = if open == 0 { 0.0 } else { (keep - taken) as f64 / open as f64 };
        // To make a layer dense raises the share of the others, so none has to be taken back.
        let full = |(index, &part): (usize, &usize)| {
            (!dense[index] && scale * part as f64 > lens[index] as f64).then_some(index)
        };
        let full: Vec<usize> = parts.iter().enumerate().filter_map(full).collect();
        if full.is_empty() {
            let share = |index| if dense[index] { lens[index] as f64 } else { scale * parts[index] as f64 };
            return (0..lens.len()).map(share).collect();
        }
        full.into_iter().for_each(|index| dense[index] = true);
    }
}

/// Whole numbers by the method of largest remainders.
fn round(shares: &[f64], lens: &[usize], keep: usize) -> Vec<usize> {
    let mut counts: Vec<usize> = shares.iter().map(|share| share.floor() as usize).collect();
    let mut order: Vec<usize> = (0..shares.len()).filter(|&index| counts[index] < lens[index]).collect();
    order.sort_by(|&a, &b| shares[b].fract().total_cmp(&shares[a].fract()));
    let missing = keep - counts.iter().sum::<usize>();
    order.into_iter().take(missing).for_each(|index| counts[index] += 1);
    counts
}

/// A mask by chance for each layer, with its count.
pub(super) fn random_masks(shapes: &[(usize, usize)], counts: &[usize], seed: u64) -> Result<Vec<Mask>> {
    let layers = shapes.iter().zip(counts).zip(0_u64..);
    layers.map(|((&shape, &keep), layer)| Mask::random_count(shape, keep, layer_seed(seed, layer))).collect()
}

/// The seed of one layer's choices: far from the others, so that a neighbouring seed does not draw a neighbouring
/// layer's mask.
pub(super) fn layer_seed(seed: u64, layer: u64) -> u64 {
    seed.wrapping_add(layer.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(super::name_of(&NAMES, *self))
    }
}

impl FromStr for Distribution {
    type Err = Error;

    /// The distribution of a name, as [`Display`](fmt::Display) writes it.
    fn from_str(name: &str) -> Result<Self> {
        super::named(&NAMES, "Distribution::from_str", name)
    }
}
