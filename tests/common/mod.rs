//! What several test programs share: an independent reference, and the instruction sets to run on.
#![allow(dead_code)] // Each test program uses its part.

use std::io::Write;
use std::sync::Once;

use ndarray::{Array2, ArrayView1, ArrayView2};
use tombola::{Activation, Isa, Mask};

/// A layer, as the reference takes it: dense, with a mask beside it.
pub struct Layer {
    pub weight: Array2<f32>,
    pub mask: Mask,
    pub bias: Vec<f32>,
    pub activation: Activation,
}

/// The forward pass in f64 loops, and for each output the bound on the error of one computed in f32.
///
/// A sum of n products, in any order and fused or not, is off by at most γₙ·Σ|w||x| with γₙ = n·u/(1 − n·u) and
/// u = 2⁻²⁴ (Higham, *Accuracy and Stability of Numerical Algorithms*, §3.1); the bias is one more term and the
/// product one more rounding. Errors that come in pass through with Σ|w|·e. ReLU makes none larger.
pub fn reference(layers: &[Layer], x: ArrayView2<'_, f32>) -> (Array2<f64>, Array2<f64>) {
    let mut values = x.mapv(f64::from);
    let mut errors = Array2::<f64>::zeros(x.dim());
    for layer in layers {
        let (out, inputs) = layer.weight.dim();
        let mut next = Array2::zeros((x.nrows(), out));
        let mut next_errors = Array2::zeros((x.nrows(), out));
        for sample in 0..x.nrows() {
            for row in 0..out {
                let bias = f64::from(layer.bias[row]);
                let (mut sum, mut magnitude, mut carried, mut terms) = (bias, bias.abs(), 0.0, 2.0);
                for column in (0..inputs).filter(|&column| layer.mask.get(row, column) == Some(true)) {
                    let weight = f64::from(layer.weight[(row, column)]);
                    let (value, error) = (values[(sample, column)], errors[(sample, column)]);
                    sum += weight * value;
                    magnitude += weight.abs() * (value.abs() + error);
                    carried += weight.abs() * error;
                    terms += 1.0;
                }
                let unit = 2.0_f64.powi(-24);
                let gamma = terms * unit / (1.0 - terms * unit);
                next[(sample, row)] = match layer.activation {
                    Activation::Relu if sum < 0.0 => 0.0,
                    _ => sum,
                };
                // The smallest subnormal for each term, where products underflow.
                next_errors[(sample, row)] = gamma * magnitude + carried + terms * 2.0_f64.powi(-149);
            }
        }
        (values, errors) = (next, next_errors);
    }
    (values, errors)
}

/// Fails with the first output that is further from the reference than its bound.
pub fn assert_within(what: &str, y: ArrayView2<'_, f32>, (values, bounds): &(Array2<f64>, Array2<f64>)) {
    assert_eq!(y.dim(), values.dim(), "{what}");
    for ((place, &y), (&value, &bound)) in y.indexed_iter().zip(values.iter().zip(bounds)) {
        let error = (f64::from(y) - value).abs();
        assert!(error <= bound, "{what}: {y} at {place:?} is {error:e} from {value}, the bound is {bound:e}");
    }
}

/// Every instruction set that this CPU has. Says once which it has not, past the test harness, which would hide it.
pub fn isas() -> impl Iterator<Item = Isa> {
    static SAY: Once = Once::new();
    SAY.call_once(|| {
        for name in Isa::unavailable() {
            let line = format!("SKIPPED: this CPU or this build has no {name}\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
        }
    });
    Isa::available()
}

/// Numbers in ±1 that look random and are the same everywhere.
pub fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }
}

/// Noise `[rows, columns]`.
pub fn noise_matrix(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    Array2::from_shape_simple_fn((rows, columns), noise(seed))
}

/// The bits of floats: what "equal bit for bit" compares.
pub fn bits(values: ArrayView1<'_, f32>) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
