//! What comes after a linear layer.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// The function applied to each output of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `x`.
    #[default]
    Identity,
    /// `max(x, 0)`; NaN stays NaN, as in PyTorch.
    Relu,
}

impl Activation {
    /// The function at one point.
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
        }
    }
}

const NAMES: [(Activation, &str); 2] = [(Activation::Identity, "identity"), (Activation::Relu, "relu")];

impl fmt::Display for Activation {
    /// A name that [`FromStr`] takes back: `relu`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(activation, _)| activation == self) {
            Some((_, name)) => f.write_str(name),
            None => unreachable!("every activation has a name"),
        }
    }
}

impl FromStr for Activation {
    type Err = Error;

    /// The activation of a name, as [`Display`](fmt::Display) writes it.
    fn from_str(name: &str) -> Result<Self> {
        let found = NAMES.iter().find(|(_, known)| *known == name).map(|(activation, _)| *activation);
        found.ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(_, name)| *name).collect();
            Error::value("Activation::from_str", "name", names.join(", "), format!("{name:?}"))
        })
    }
}
