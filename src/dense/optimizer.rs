//! Gradient descent.

use std::fmt;
use std::str::FromStr;

use crate::aligned::Aligned;
use crate::kernel::{Descend, Rule};
use crate::{Error, Isa, Mask, Result};

/// How a gradient becomes a step. The defaults and the formulas are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Stochastic gradient descent: `v ← momentum·v + g`, `w ← w − rate·v`.
    Sgd {
        /// Step size.
        rate: f32,
        /// Share of the last step that goes on, in [0, 1).
        momentum: f32,
    },
    /// Adam (Kingma & Ba, ICLR 2015) with β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
    Adam {
        /// Step size.
        rate: f32,
    },
}

impl fmt::Display for Optimizer {
    /// `adam:0.0012`, `sgd:0.1`, `sgd:0.1:0.9` with momentum.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adam { rate } => write!(f, "adam:{rate}"),
            Self::Sgd { rate, momentum: 0.0 } => write!(f, "sgd:{rate}"),
            Self::Sgd { rate, momentum } => write!(f, "sgd:{rate}:{momentum}"),
        }
    }
}

impl FromStr for Optimizer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let operation = "Optimizer::from_str";
        let fault = || {
            let expected = "adam:RATE, sgd:RATE or sgd:RATE:MOMENTUM";
            Error::value(operation, "optimizer", expected, format!("`{text}`"))
        };
        let mut words = text.split(':');
        let name = words.next().unwrap_or_default();
        let numbers = words.map(|word| word.parse().map_err(|_| fault())).collect::<Result<Vec<f32>>>()?;
        let optimizer = match (name, &numbers[..]) {
            ("adam", &[rate]) => Self::Adam { rate },
            ("sgd", &[rate]) => Self::Sgd { rate, momentum: 0.0 },
            ("sgd", &[rate, momentum]) => Self::Sgd { rate, momentum },
            _ => return Err(fault()),
        };
        optimizer.check(operation)?;
        Ok(optimizer)
    }
}

impl Optimizer {
    /// The same with `factor` times the step size, or, where that would be too small for a number, the smallest one.
    #[must_use]
    pub fn scaled(self, factor: f32) -> Self {
        let scaled = |rate: f32| match factor * rate {
            0.0 if factor > 0.0 && rate > 0.0 => f32::MIN_POSITIVE,
            scaled => scaled,
        };
        match self {
            Self::Sgd { rate, momentum } => Self::Sgd { rate: scaled(rate), momentum },
            Self::Adam { rate } => Self::Adam { rate: scaled(rate) },
        }
    }

    pub(crate) fn check(self, operation: &'static str) -> Result<()> {
        let (Self::Sgd { rate, .. } | Self::Adam { rate }) = self;
        if !(rate.is_finite() && rate > 0.0) {
            return Err(Error::value(operation, "rate", "a finite number above 0", rate));
        }
        match self {
            Self::Sgd { momentum, .. } if !(0.0..1.0).contains(&momentum) => {
                Err(Error::value(operation, "momentum", "a number in [0, 1)", momentum))
            }
            _ => Ok(()),
        }
    }

    /// The rule of a step, the first of which is step 1.
    pub(super) fn rule(self, step: u64) -> Rule {
        match self {
            Self::Sgd { rate, momentum } => Rule::Sgd { rate, momentum },
            Self::Adam { rate } => {
                let step = i32::try_from(step).unwrap_or(i32::MAX);
                let [correction, square_correction] = Rule::BETA.map(|beta| 1.0 - f64::from(beta).powi(step));
                let rate = (f64::from(rate) / correction) as f32;
                Rule::Adam { rate, scale: (1.0 / square_correction.sqrt()) as f32 }
            }
        }
    }
}

/// A weight matrix or a bias in training.
pub(super) struct Parameter {
    pub(super) values: Aligned<f32>,
    /// Of each value, the mean of the gradient (Adam) or the velocity (SGD), and the mean of its square, which SGD
    /// leaves at 0.
    pub(super) moments: [Aligned<f32>; 2],
}

impl Parameter {
    pub(super) fn new(values: &[f32]) -> Self {
        let moments = [Aligned::zeros(values.len()), Aligned::zeros(values.len())];
        Self { values: Aligned::from(values), moments }
    }

    /// A step along the gradient, of which there is one a value: of the values from `start` on, which are rows of the
    /// mask from `row` on, if there is one.
    pub(super) fn descend(
        &mut self,
        rule: Rule,
        gradient: &[f32],
        start: usize,
        mask: Option<(&Mask, usize)>,
        isa: Isa,
    ) {
        let range = start..start + gradient.len();
        let values = &mut self.values[range.clone()];
        let [first, second] = &mut self.moments;
        let first = &mut first[range.clone()];
        let second = &mut second[range];
        isa.run(Descend { rule, values, first, second, gradient, mask });
    }
}
