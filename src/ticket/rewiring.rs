//! Dynamic sparse training: masks that change as the network learns.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use ndarray::{Array2, ArrayView2};
use rand::RngExt;

use super::distribution::layer_seed;
use crate::rng::{Stream, generator};
use crate::{Error, Mask, Result};

/// Where connections grow in the place of those that were dropped.
///
/// As text it is the name of its method in lower case: `set`, `rigl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Growth {
    /// At random: SET (Mocanu et al., *Scalable Training of Artificial Neural Networks with Adaptive Sparse
    /// Connectivity Inspired by Network Science*, Nature Communications 2018).
    Random,
    /// Where the magnitude of the dense gradient is largest: RigL (Evci, Gale, Menick, Castro & Elsen, *Rigging the
    /// Lottery*, ICML 2020).
    Gradient,
}

const NAMES: [(Growth, &str); 2] = [(Growth::Random, "set"), (Growth::Gradient, "rigl")];

/// How the share of connections that an update replaces goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Decay {
    /// It stays.
    Constant,
    /// `fraction/2 · (1 + cos(πt/T_end))` at step t: Dettmers & Zettlemoyer 2019, and RigL.
    Cosine,
}

/// A recipe for dynamic sparse training: every `interval` steps each layer drops the kept weights that are smallest by
/// magnitude, and grows as many others. The count of a layer never changes.
///
/// Mocanu et al. drop a share of the positive weights and the same share of the negative ones; here, as in RigL, one
/// ranking by magnitude goes over both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rewiring {
    /// Where connections grow.
    pub growth: Growth,
    /// Steps of training between two updates, RigL's ΔT.
    pub interval: usize,
    /// Share of a layer's kept weights that the first update replaces: RigL's α, SET's ζ.
    pub fraction: f64,
    /// How the share goes on.
    pub decay: Decay,
    /// Share of the training after which the masks stay, T_end over all steps.
    pub end: f64,
}

/// A layer's mask after an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewired {
    /// With as many weights as before.
    pub mask: Mask,
    /// The weights that begin anew, at 0.0 and without moments: all others of the mask go on as they are.
    pub grown: Mask,
}

impl Rewiring {
    /// SET as its authors run it: ζ = 0.3 after every epoch, until the end.
    pub fn set(steps_of_epoch: usize) -> Self {
        let growth = Growth::Random;
        Self { growth, interval: steps_of_epoch, fraction: 0.3, decay: Decay::Constant, end: 1.0 }
    }

    /// RigL as its authors run it: ΔT = 100 and α = 0.3, decayed to 0 at three quarters of the training.
    pub fn rigl() -> Self {
        Self { growth: Growth::Gradient, interval: 100, fraction: 0.3, decay: Decay::Cosine, end: 0.75 }
    }

    /// Refuses what no training can follow.
    ///
    /// # Errors
    /// When `interval` is 0, or `fraction` or `end` outside of [0, 1].
    pub fn check(&self) -> Result<()> {
        let operation = "Rewiring::check";
        if self.interval == 0 {
            return Err(Error::value(operation, "interval", "at least 1", self.interval));
        }
        check_share(operation, "fraction", self.fraction)?;
        check_share(operation, "end", self.end)
    }

    /// The share of connections to replace after `step` of the `steps` of the whole training, and `None` if the masks
    /// are to stay: they change at the positive multiples of the interval that are below `end · steps`. Whether such an
    /// update takes the place of the next step, [`Growth::takes_a_step`] tells.
    pub fn fraction_at(&self, step: usize, steps: usize) -> Option<f64> {
        let end = self.end * steps as f64;
        if step == 0 || self.interval == 0 || !step.is_multiple_of(self.interval) || step as f64 >= end {
            return None;
        }
        Some(match self.decay {
            Decay::Constant => self.fraction,
            Decay::Cosine => 0.5 * self.fraction * (1.0 + (PI * step as f64 / end).cos()),
        })
    }
}

impl Growth {
    /// Whether an update takes the place of a step of the optimizer, which has the gradient that the update needs: so
    /// in RigL. SET changes the mask between two steps.
    pub fn takes_a_step(self) -> bool {
        self == Self::Gradient
    }

    /// Drops `fraction` of the weights that a layer's `mask` keeps, rounded to the nearest count (halves to even),
    /// those smallest by magnitude, and grows as many. Ties stay, and grow, in the order of their index.
    ///
    /// As both papers have it, a connection may grow wherever there is none once the smallest are dropped, so it may be
    /// one of these. Under RigL a weight that is dropped and grown at once has never gone: it keeps its value, as in
    /// its authors' program, and is not among the `grown`. Under SET it begins anew. A layer that keeps everything, or
    /// nothing, has nothing to rewire, and stays.
    ///
    /// `weight` and `gradient` are `[out, in]`. The gradient is that of the loss by all weights, the pruned ones, too;
    /// SET does not look at it. `seed` is for SET: give each update its own, and each layer of a network, as
    /// [`rewire_all`](Self::rewire_all) does.
    ///
    /// # Errors
    /// When a shape is not that of the mask, `fraction` is outside of [0, 1], a kept weight is NaN, or a gradient is
    /// NaN that RigL looks at.
    pub fn rewire(
        self,
        mask: &Mask,
        weight: ArrayView2<'_, f32>,
        gradient: ArrayView2<'_, f32>,
        fraction: f64,
        seed: u64,
    ) -> Result<Rewired> {
        let operation = "Growth::rewire";
        check_share(operation, "fraction", fraction)?;
        mask.check_shape(operation, "weight", weight.dim())?;
        mask.check_shape(operation, "gradient", gradient.dim())?;
        let kept = mask.kept();
        let drop = (fraction * kept as f64).round_ties_even() as usize;
        if drop == 0 || kept == mask.len() {
            return Ok(Rewired { mask: mask.clone(), grown: Mask::none(mask.shape()) });
        }
        let survivors = mask.magnitude_within(weight, kept - drop)?;
        let free = survivors.complement();
        let grown = match self {
            Self::Random => {
                let mut generator = generator(seed, Stream::Growth);
                let scores = Array2::from_shape_simple_fn(mask.shape(), || generator.random::<f64>());
                free.highest_within(scores.view(), drop)?
            }
            Self::Gradient => {
                free.magnitude_within(gradient, drop).map_err(|error| error.within("gradient"))?
            }
        };
        let rewired = survivors.or(&grown)?;
        let grown = match self {
            Self::Random => grown,
            Self::Gradient => grown.and(&mask.complement())?,
        };
        Ok(Rewired { mask: rewired, grown })
    }

    /// [`rewire`](Self::rewire) for all layers of a network, first to last.
    ///
    /// # Errors
    /// As [`rewire`](Self::rewire), and when there is not one weight and one gradient a mask.
    pub fn rewire_all(
        self,
        masks: &[Mask],
        weights: &[ArrayView2<'_, f32>],
        gradients: &[ArrayView2<'_, f32>],
        fraction: f64,
        seed: u64,
    ) -> Result<Vec<Rewired>> {
        for (name, count) in [("weights", weights.len()), ("gradients", gradients.len())] {
            if count != masks.len() {
                let expected = format!("{} matrices, one a mask", masks.len());
                return Err(Error::shape("Growth::rewire_all", name, expected, count));
            }
        }
        let layers = masks.iter().zip(weights).zip(gradients).zip(0_u64..);
        let rewired = layers.map(|(((mask, &weight), &gradient), layer)| {
            self.rewire(mask, weight, gradient, fraction, layer_seed(seed, layer))
                .map_err(|error| error.within(format!("layer {layer}")))
        });
        rewired.collect()
    }
}

fn check_share(operation: &'static str, subject: &str, share: f64) -> Result<()> {
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    Err(Error::value(operation, subject, "a number in [0, 1]", share))
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(super::name_of(&NAMES, *self))
    }
}

impl FromStr for Growth {
    type Err = Error;

    /// The growth of a method's name, as [`Display`](fmt::Display) writes it.
    fn from_str(name: &str) -> Result<Self> {
        super::named(&NAMES, "Growth::from_str", name)
    }
}
