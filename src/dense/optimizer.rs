//! Gradient descent.

use std::fmt;
use std::str::FromStr;

use super::{DenseMlp, Gradients};
use crate::{Error, Mask, Result};

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

const BETA: [f32; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

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
    pub(super) fn check(self, operation: &'static str) -> Result<()> {
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
}

/// An optimizer at work on one network: its moments, and which weights it may touch.
pub(super) struct Descent {
    optimizer: Optimizer,
    steps: i32,
    parameters: Vec<Parameter>,
}

/// What is remembered of a weight matrix or a bias, a number for each of its values.
struct Parameter {
    /// All ones where a value is kept, and 0 where it is pruned: an `and` with it has no branch, and stops NaN too.
    keep: Vec<u32>,
    /// The mean of the gradient (Adam), or the velocity (SGD).
    first: Vec<f32>,
    /// The mean of its square; SGD leaves it at 0.
    second: Vec<f32>,
}

impl Descent {
    pub(super) fn new(optimizer: Optimizer, mlp: &DenseMlp, masks: Option<&[Mask]>) -> Self {
        let parameter = |keep: Vec<u32>| {
            let zeros = vec![0.0; keep.len()];
            Parameter { keep, first: zeros.clone(), second: zeros }
        };
        let mut parameters = Vec::new();
        for (index, layer) in mlp.layers.iter().enumerate() {
            let keep = match masks {
                Some(masks) => {
                    masks[index].to_array().iter().map(|&keep| if keep { u32::MAX } else { 0 }).collect()
                }
                None => vec![u32::MAX; layer.weight.len()],
            };
            parameters.push(parameter(keep));
            parameters.push(parameter(vec![u32::MAX; layer.bias.len()]));
        }
        Self { optimizer, steps: 0, parameters }
    }

    /// One step along the gradients. A pruned weight is exactly 0.0 afterwards, and has gathered no momentum.
    pub(super) fn step(&mut self, mlp: &mut DenseMlp, gradients: &Gradients) {
        self.steps = self.steps.saturating_add(1);
        let mut parameters = self.parameters.iter_mut();
        for (layer, gradient) in mlp.layers.iter_mut().zip(&gradients.layers) {
            let pairs = [
                (layer.weight.as_slice_mut(), gradient.weight.as_slice()),
                (layer.bias.as_slice_mut(), gradient.bias.as_slice()),
            ];
            for ((values, gradient), parameter) in pairs.into_iter().zip(&mut parameters) {
                let (Some(values), Some(gradient)) = (values, gradient) else {
                    unreachable!("parameters and gradients are made row-major");
                };
                parameter.step(self.optimizer, self.steps, values, gradient);
            }
        }
    }
}

/// A value and its moments.
type State = (f32, f32, f32);

impl Parameter {
    fn step(&mut self, optimizer: Optimizer, steps: i32, values: &mut [f32], gradient: &[f32]) {
        match optimizer {
            Optimizer::Sgd { rate, momentum } => {
                self.update(values, gradient, |(value, velocity, unused), gradient| {
                    let velocity = momentum * velocity + gradient;
                    (value - rate * velocity, velocity, unused)
                });
            }
            Optimizer::Adam { rate } => {
                let [correction, square_correction] = BETA.map(|beta| 1.0 - f64::from(beta).powi(steps));
                let rate = (f64::from(rate) / correction) as f32;
                let scale = (1.0 / square_correction.sqrt()) as f32;
                self.update(values, gradient, |(value, mean, square), gradient| {
                    let mean = mean + (1.0 - BETA[0]) * (gradient - mean);
                    let square = BETA[1] * square + (1.0 - BETA[1]) * gradient * gradient;
                    (value - rate * mean / (square.sqrt() * scale + EPSILON), mean, square)
                });
            }
        }
    }

    /// Applies `update` to each value, its moments and its gradient. At pruned weights it sees the gradient 0, and the
    /// value becomes 0.0 whatever it says.
    #[inline]
    fn update(&mut self, values: &mut [f32], gradient: &[f32], update: impl Fn(State, f32) -> State) {
        let masked = |state, gradient, keep| {
            let and = |value: f32| f32::from_bits(value.to_bits() & keep);
            let (value, first, second) = update(state, and(gradient));
            (and(value), first, second)
        };
        let (first, second) = (&mut self.first[..], &mut self.second[..]);
        // Whole blocks go through local arrays: five slices that may overlap, for all the compiler knows, would keep
        // it from vectorising the loop.
        let (values, values_rest) = values.as_chunks_mut::<BLOCK>();
        let (first, first_rest) = first.as_chunks_mut::<BLOCK>();
        let (second, second_rest) = second.as_chunks_mut::<BLOCK>();
        let (gradient, gradient_rest) = gradient.as_chunks::<BLOCK>();
        let (keep, keep_rest) = self.keep.as_chunks::<BLOCK>();
        let moments = first.iter_mut().zip(second);
        for (((values, (first, second)), gradient), keep) in
            values.iter_mut().zip(moments).zip(gradient).zip(keep)
        {
            let (mut a, mut b, mut c, g, k) = (*values, *first, *second, *gradient, *keep);
            for i in 0..BLOCK {
                (a[i], b[i], c[i]) = masked((a[i], b[i], c[i]), g[i], k[i]);
            }
            (*values, *first, *second) = (a, b, c);
        }
        for (i, value) in values_rest.iter_mut().enumerate() {
            let state = (*value, first_rest[i], second_rest[i]);
            (*value, first_rest[i], second_rest[i]) = masked(state, gradient_rest[i], keep_rest[i]);
        }
    }
}

/// Values that are updated together.
const BLOCK: usize = 16;
