//! The derivatives of activations.

use super::{Task, Vector};
use crate::Activation;

/// From the gradient by an activation's outputs to that by its inputs, in place. In plain Rust: the compiler finds the
/// vectors of the instruction set that it runs with.
pub(crate) struct Derive<'a> {
    pub(crate) activation: Activation,
    pub(crate) delta: &'a mut [f32],
    /// What the activation gave, one for each of `delta`.
    pub(crate) outputs: &'a [f32],
    /// What it was applied to, if it [needs that](needs_sums).
    pub(crate) sums: &'a [f32],
}

/// Whether a derivative is not a function of the activation's output alone.
pub(crate) fn needs_sums(activation: Activation) -> bool {
    match activation {
        Activation::Gelu | Activation::GeluTanh => true,
        // Outputs have one sign on both sides of 0.
        Activation::LeakyRelu(slope) => slope < 0.0,
        _ => false,
    }
}

/// 1/√(2π).
const DENSITY: f32 = 0.398_942_3;

impl Task for Derive<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        match self.activation {
            // The loss has the derivative of the softmax in it.
            Activation::Identity | Activation::Softmax => {}
            // Where the output is 0 the input was not above it; there the gradient is 0 by convention.
            Activation::Relu => self.by_output(|delta, y| if y > 0.0 { delta } else { 0.0 }),
            Activation::LeakyRelu(slope) => {
                let slopes = |delta, sign| if sign > 0.0 { delta } else { slope * delta };
                if slope < 0.0 {
                    self.by_both(|delta, _, x| slopes(delta, x));
                } else {
                    self.by_output(slopes);
                }
            }
            Activation::Sigmoid => self.by_output(|delta, y| delta * (y * (1.0 - y))),
            Activation::Tanh => self.by_output(|delta, y| delta * (1.0 - y * y)),
            // Both GELUs are x·P(x); the factor is P + x·P′.
            Activation::Gelu => {
                self.by_both(|delta, y, x| delta * (share(y, x) + x * DENSITY * (-0.5 * x * x).exp()));
            }
            Activation::GeluTanh => self.by_both(|delta, y, x| {
                // P is the sigmoid of 2u, with u = √(2/π)·(x + 0.044715·x³), and √(2/π) = 2/√(2π).
                let (share, slope) = (share(y, x), 4.0 * DENSITY * (1.0 + 3.0 * 0.044_715 * x * x));
                // Where the share is 0 or 1, x² may be infinite.
                let bend = x * share * (1.0 - share);
                delta * (share + if bend == 0.0 { 0.0 } else { bend * slope })
            }),
        }
    }
}

/// P of y = x·P(x). P(0) is ½.
#[inline(always)]
fn share(y: f32, x: f32) -> f32 {
    if x == 0.0 { 0.5 } else { y / x }
}

impl Derive<'_> {
    /// By a function of the gradient and the output.
    #[inline(always)]
    fn by_output(self, function: impl Fn(f32, f32) -> f32) {
        self.delta.iter_mut().zip(self.outputs).for_each(|(delta, &y)| *delta = function(*delta, y));
    }

    /// By a function of the gradient, the output and the sum.
    #[inline(always)]
    fn by_both(self, function: impl Fn(f32, f32, f32) -> f32) {
        let both = self.outputs.iter().zip(self.sums);
        self.delta.iter_mut().zip(both).for_each(|(delta, (&y, &x))| *delta = function(*delta, y, x));
    }
}
