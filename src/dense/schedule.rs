//! How the step size changes during training.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// By what the step size of an [`Optimizer`](super::Optimizer) is multiplied as training goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Schedule {
    /// By 1. As text, `constant`.
    #[default]
    Constant,
    /// By a line from 0 to 1 over the first so many iterations, then by 1. As text, `warm-up:1000`.
    WarmUp(usize),
    /// By half a wave of the cosine, from 1 to 0 at the end. As text, `cosine`.
    Cosine,
    /// By a factor, again and again after so many iterations. As text, `step:0.1:20000`.
    Step {
        /// The factor.
        factor: f32,
        /// The iterations.
        every: usize,
    },
}

impl Schedule {
    /// The multiplier of an iteration, counted from 0, of `total`. It comes down to nearly nothing, but never is 0.
    pub fn factor(self, iteration: usize, total: usize) -> f32 {
        let factor = match self {
            Self::Constant => 1.0,
            Self::WarmUp(iterations) => ((iteration as f32 + 1.0) / iterations.max(1) as f32).min(1.0),
            Self::Cosine => {
                let done = iteration as f64 / total.max(1) as f64;
                (0.5 + 0.5 * (std::f64::consts::PI * done.min(1.0)).cos()) as f32
            }
            Self::Step { factor, every } => {
                let times = i32::try_from(iteration / every.max(1)).unwrap_or(i32::MAX);
                factor.powi(times)
            }
        };
        factor.max(f32::MIN_POSITIVE)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::WarmUp(iterations) => write!(f, "warm-up:{iterations}"),
            Self::Cosine => f.write_str("cosine"),
            Self::Step { factor, every } => write!(f, "step:{factor}:{every}"),
        }
    }
}

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fault = || {
            let expected =
                "constant, cosine, warm-up:N or step:FACTOR:N with a factor in (0, 1] and N above 0";
            Error::value("Schedule::from_str", "schedule", expected, format!("`{text}`"))
        };
        let count = |word: &str| word.parse().ok().filter(|&count: &usize| count > 0).ok_or_else(fault);
        match &text.split(':').collect::<Vec<_>>()[..] {
            ["constant"] => Ok(Self::Constant),
            ["cosine"] => Ok(Self::Cosine),
            ["warm-up", iterations] => Ok(Self::WarmUp(count(iterations)?)),
            ["step", factor, every] => {
                let factor = factor.parse().ok().filter(|&factor: &f32| factor > 0.0 && factor <= 1.0);
                Ok(Self::Step { factor: factor.ok_or_else(fault)?, every: count(every)? })
            }
            _ => Err(fault()),
        }
    }
}
