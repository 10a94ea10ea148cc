//! Gradient descent.

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

/// What is remembered of a weight matrix or a bias.
struct Parameter {
    /// 1 where a weight is kept and 0 where it is pruned; nothing for a parameter without a mask.
    keep: Option<Vec<f32>>,
    /// The mean of the gradient (Adam), or the velocity (SGD).
    first: Vec<f32>,
    /// The mean of its square; nothing for SGD.
    second: Vec<f32>,
}

impl Descent {
    pub(super) fn new(optimizer: Optimizer, mlp: &DenseMlp, masks: Option<&[Mask]>) -> Self {
        let parameter = |len, keep| {
            let squares = if matches!(optimizer, Optimizer::Adam { .. }) { len } else { 0 };
            Parameter { keep, first: vec![0.0; len], second: vec![0.0; squares] }
        };
        let mut parameters = Vec::new();
        for (index, layer) in mlp.layers.iter().enumerate() {
            let keep =
                masks.map(|masks| masks[index].to_array().iter().map(|&keep| f32::from(keep)).collect());
            parameters.push(parameter(layer.weight.len(), keep));
            parameters.push(parameter(layer.bias.len(), None));
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

impl Parameter {
    fn step(&mut self, optimizer: Optimizer, steps: i32, values: &mut [f32], gradient: &[f32]) {
        match optimizer {
            Optimizer::Sgd { rate, momentum } => {
                let update = |value: &mut f32, gradient: f32, velocity: &mut f32, _: &mut f32| {
                    *velocity = momentum * *velocity + gradient;
                    *value -= rate * *velocity;
                };
                self.update(values, gradient, update);
            }
            Optimizer::Adam { rate } => {
                let [correction, square_correction] = BETA.map(|beta| 1.0 - f64::from(beta).powi(steps));
                let rate = (f64::from(rate) / correction) as f32;
                let scale = (1.0 / square_correction.sqrt()) as f32;
                let update = |value: &mut f32, gradient: f32, mean: &mut f32, square: &mut f32| {
                    *mean += (1.0 - BETA[0]) * (gradient - *mean);
                    *square = BETA[1] * *square + (1.0 - BETA[1]) * gradient * gradient;
                    *value -= rate * *mean / (square.sqrt() * scale + EPSILON);
                };
                self.update(values, gradient, update);
            }
        }
    }

    /// Applies `update` to each value with its gradient and moments. With a mask it sees the gradient 0 at pruned
    /// weights, and the value is 0.0 whatever it does.
    #[inline]
    fn update(
        &mut self,
        values: &mut [f32],
        gradient: &[f32],
        update: impl Fn(&mut f32, f32, &mut f32, &mut f32),
    ) {
        // SGD has no second moment, and its update looks at none: the first's place keeps the loops the same.
        let mut unused = Vec::new();
        let second = if self.second.is_empty() {
            unused.resize(values.len(), 0.0);
            &mut unused
        } else {
            &mut self.second
        };
        let moments = self.first.iter_mut().zip(second);
        let values = values.iter_mut().zip(gradient).zip(moments);
        match &self.keep {
            None => values
                .for_each(|((value, &gradient), (first, second))| update(value, gradient, first, second)),
            Some(keep) => values.zip(keep).for_each(|(((value, &gradient), (first, second)), &keep)| {
                update(value, if keep == 0.0 { 0.0 } else { gradient }, first, second);
                *value = if keep == 0.0 { 0.0 } else { *value };
            }),
        }
    }
}
