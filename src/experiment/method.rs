//! How masks are found.

use std::fmt;
use std::str::FromStr;

use crate::ticket::{Distribution, Foresight, Growth, Rewiring, Score};
use crate::{Error, Result};

/// How the masks of the rounds are found. A round always has the same density, whatever the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Each round prunes the trained network of the round before, by a score. As text, `iterative:magnitude`.
    Iterative(Score),
    /// Each round prunes the trained dense network. As text, `one-shot:magnitude`.
    OneShot(Score),
    /// Each round prunes the network at its first values. As text, `snip`, `grasp` or `synflow`.
    Foresight(Foresight),
    /// Each round trains a random mask, and rewires it meanwhile. As text, `set:erk`, `rigl:uniform`.
    Dynamic(Growth, Distribution),
}

impl Method {
    /// Whether masks come from a network that was trained.
    pub(super) fn prunes_trained(self) -> bool {
        matches!(self, Self::Iterative(_) | Self::OneShot(_))
    }

    /// How masks change during training, in epochs of so many iterations.
    pub(super) fn rewiring(self, epoch: usize) -> Option<Rewiring> {
        match self {
            Self::Dynamic(Growth::Random, _) => Some(Rewiring::set(epoch)),
            Self::Dynamic(Growth::Gradient, _) => Some(Rewiring::rigl()),
            _ => None,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iterative(score) => write!(f, "iterative:{score}"),
            Self::OneShot(score) => write!(f, "one-shot:{score}"),
            Self::Foresight(foresight) => write!(f, "{foresight}"),
            Self::Dynamic(growth, distribution) => write!(f, "{growth}:{distribution}"),
        }
    }
}

impl FromStr for Method {
    type Err = Error;

    /// A score left out is `magnitude`, a distribution `erk`.
    fn from_str(text: &str) -> Result<Self> {
        let fault = || {
            let expected = "iterative:SCORE or one-shot:SCORE (magnitude, initial-magnitude, magnitude-increase, movement \
                            or random), snip, grasp, synflow, set:SPREAD or rigl:SPREAD (erk or uniform)";
            Error::value("Method::from_str", "method", expected, format!("`{text}`"))
        };
        let (name, detail) = text.split_once(':').map_or((text, None), |(name, detail)| (name, Some(detail)));
        let score = || detail.unwrap_or("magnitude").parse().map_err(|_: Error| fault());
        let distribution = || detail.unwrap_or("erk").parse().map_err(|_: Error| fault());
        match (name, detail) {
            ("iterative", _) => Ok(Self::Iterative(score()?)),
            ("one-shot", _) => Ok(Self::OneShot(score()?)),
            ("set" | "rigl", _) => {
                Ok(Self::Dynamic(name.parse().map_err(|_: Error| fault())?, distribution()?))
            }
            (_, None) => name.parse().map(Self::Foresight).map_err(|_: Error| fault()),
            (_, Some(_)) => Err(fault()),
        }
    }
}
