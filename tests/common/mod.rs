//! What several test programs share: an independent reference, and the instruction sets to run on.
#![allow(dead_code)] // Each test program uses its part.

use std::io::Write;
use std::sync::Once;

use ndarray::{Array2, ArrayView1, ArrayView2};
use tombola::plan::{Format, Plan};
use tombola::{Activation, Isa, Mask, SparseLinear, SparseMlp};

/// A layer, as the reference takes it: dense, with a mask beside it.
pub struct Layer {
    pub weight: Array2<f32>,
    pub mask: Mask,
    pub bias: Vec<f32>,
    pub activation: Activation,
}

/// A random layer.
pub fn layer(out: usize, inputs: usize, density: f64, activation: Activation, seed: u64) -> Layer {
    let keep = (density * (out * inputs) as f64).round() as usize;
    let mut bias = noise(seed + 1);
    Layer {
        weight: noise_matrix(out, inputs, seed),
        mask: Mask::random_count((out, inputs), keep, seed).unwrap(),
        bias: (0..out).map(|_| bias()).collect(),
        activation,
    }
}

/// A network for an instruction set.
pub fn sparse(layers: &[Layer], isa: Isa) -> SparseMlp {
    let layers = layers.iter().map(|layer| {
        let csr = layer.mask.apply(layer.weight.view()).unwrap();
        SparseLinear::with_isa(csr, Some(layer.bias.clone().into()), layer.activation, isa).unwrap()
    });
    SparseMlp::new(layers.collect()).unwrap()
}

/// The network as it is planned, and all in one format, for each instruction set of this machine and each format that
/// it runs.
pub fn every_kernel(layers: &[Layer]) -> Vec<(String, SparseMlp)> {
    let mut mlps = Vec::new();
    for isa in isas() {
        let mlp = sparse(layers, isa);
        for format in Format::ALL {
            if let Ok(plan) = Plan::uniform(&mlp, 1, format) {
                mlps.push((format!("{isa}, {format:?}"), mlp.clone().with_plan(plan).unwrap()));
            }
        }
        mlps.push((format!("{isa}, as planned"), mlp));
    }
    mlps
}

/// The forward pass in f64 loops, and for each output the bound on the error of one computed in f32.
///
/// A sum of n products, in any order and fused or not, is off by at most γₙ·Σ|w||x| with γₙ = n·u/(1 − n·u) and
/// u = 2⁻²⁴ (Higham, *Accuracy and Stability of Numerical Algorithms*, §3.1); the bias is one more term and the
/// product one more rounding. Errors that come in pass through with Σ|w|·e, and through the activation as
/// [`activation_error`] says.
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
                next[(sample, row)] = sum;
                // The smallest subnormal for each term, where products underflow.
                next_errors[(sample, row)] = gamma * magnitude + carried + terms * 2.0_f64.powi(-149);
            }
            let (mut values, mut errors) = (next.row_mut(sample), next_errors.row_mut(sample));
            let sums = values.to_vec();
            activate(layer.activation, values.as_slice_mut().unwrap());
            activation_error(
                layer.activation,
                &sums,
                values.as_slice().unwrap(),
                errors.as_slice_mut().unwrap(),
            );
        }
        (values, errors) = (next, next_errors);
    }
    (values, errors)
}

/// An activation of the outputs of one sample, in f64 from its definition.
pub fn activate(activation: Activation, values: &mut [f64]) {
    let logistic = |x: f64| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) };
    let limit = |x: f64, y: f64| if x == f64::NEG_INFINITY { 0.0 } else { y };
    let function = |x: f64| match activation {
        Activation::Identity => x,
        Activation::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Activation::LeakyRelu(slope) => {
            if x < 0.0 {
                f64::from(slope) * x
            } else {
                x
            }
        }
        Activation::Gelu => limit(x, 0.5 * x * erfc(-x * std::f64::consts::FRAC_1_SQRT_2)),
        // (1 + tanh u)/2 is the logistic function of 2u.
        Activation::GeluTanh => {
            let u = std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044715 * x * x * x);
            limit(x, x * logistic(2.0 * u))
        }
        Activation::Sigmoid => logistic(x),
        Activation::Tanh => x.tanh(),
        _ => unreachable!("{activation} is no function of one value"),
    };
    if activation == Activation::Softmax {
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        values.iter_mut().for_each(|value| *value = (*value - max).exp());
        let sum: f64 = values.iter().sum();
        values.iter_mut().for_each(|value| *value /= sum);
    } else {
        values.iter_mut().for_each(|value| *value = function(*value));
    }
}

/// 1 − erf, to a relative 10⁻¹²: the series of erf for small x (Abramowitz & Stegun 7.1.6), the continued fraction
/// for large (7.1.14), which is accurate where erf is all but 1.
pub fn erfc(x: f64) -> f64 {
    let scale = (-x * x).exp() / std::f64::consts::PI.sqrt();
    if x < 0.0 {
        2.0 - erfc(-x)
    } else if x < 2.0 {
        let (mut term, mut sum) = (x, 0.0);
        for n in 1..60 {
            sum += term;
            term *= 2.0 * x * x / f64::from(2 * n + 1);
        }
        1.0 - 2.0 * scale * sum
    } else if x.is_finite() {
        scale / (1..150).rev().fold(x, |tail, n| x + 0.5 * f64::from(n) / tail)
    } else {
        scale // 0, or NaN
    }
}

/// From bounds on the errors of the `sums` to bounds on the errors of an activation's values.
fn activation_error(activation: Activation, sums: &[f64], values: &[f64], errors: &mut [f64]) {
    // The largest slope; the largest error of its own in units in the last place, and absolute.
    let (slope, ulps, absolute) = match activation {
        Activation::Identity | Activation::Relu => (1.0, 0.0, 0.0),
        Activation::LeakyRelu(slope) => (f64::from(slope.abs()).max(1.0), 0.5, 0.0),
        Activation::Gelu => (1.13, 7.0, 0.0),
        Activation::GeluTanh => (1.13, 5.0, 5e-8),
        Activation::Sigmoid => (0.25, 5.0, 0.0),
        Activation::Tanh => (1.0, 5.0, 0.0),
        // When logits move by at most e, so does the logarithm of the sum of their exponentials, and the logarithm of a
        // share by at most 2e: the share itself by p·(exp(2e) − 1). An exponential of x − max is off by the rounding
        // of that difference and two units in the last place, a sum by 32 terms and the lanes.
        Activation::Softmax => {
            let error = errors.iter().copied().fold(0.0, f64::max);
            let max = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let spread = sums.iter().map(|sum| max - sum).fold(0.0, f64::max);
            let own = (80.0 + 2.0 * spread) * 2.0_f64.powi(-24);
            for (error_of, &value) in errors.iter_mut().zip(values) {
                *error_of = value * (2.0 * error).exp_m1() * (1.0 + own) + own * value + 2.0_f64.powi(-149);
            }
            return;
        }
        _ => unreachable!("{activation} has no bound"),
    };
    for (error, &value) in errors.iter_mut().zip(values) {
        let passed = slope * *error;
        let own = ulps * 2.0_f64.powi(-23) * (value.abs() + passed);
        *error = passed + own + absolute + if ulps > 0.0 { 2.0_f64.powi(-148) } else { 0.0 };
    }
}

/// One of each activation, and of `LeakyRelu` those with an odd slope.
pub const ACTIVATIONS: [Activation; 10] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu(Activation::LEAKY_SLOPE),
    Activation::LeakyRelu(-1.5),
    Activation::LeakyRelu(1.0e-40),
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Softmax,
];

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
