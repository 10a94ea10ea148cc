//! Activations on vectors. The smooth ones come from one exponential, for arguments up to 0 only, so that nothing
//! overflows.
//!
//! Where accuracy hangs on an exact product, one factor has so few bits that the product is exact with and without a
//! fused multiply-add: every instruction set runs the same steps, and they differ by roundings. The polynomials are
//! minimax fits of the relative error, which is below 3·10⁻⁸ for each of them.

use super::vector::{load, spread, store};
use super::{Isa, Task, Vector};
use crate::Activation;

/// Applies an activation to what a layer has computed, in place.
pub(crate) struct Activate<'a> {
    pub(crate) activation: Activation,
    /// `[features, samples]` or `[samples, features]`.
    pub(crate) values: &'a mut [f32],
    pub(crate) features: usize,
    /// Which of the two.
    pub(crate) by_features: bool,
}

impl Task for Activate<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { activation, values, features, by_features } = self;
        // SAFETY: the caller promises the instruction set; the strips lie in `values`.
        unsafe {
            if activation == Activation::Softmax {
                for strip in Strip::of::<V>(values.len(), features, by_features) {
                    softmax::<V>(values, &strip);
                }
            } else {
                each::<V>(activation, values);
            }
        }
    }
}

impl Activation {
    /// The function at one point. [`Softmax`](Self::Softmax) is that of a sample with this one feature.
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Relu if x < 0.0 => 0.0,
            Self::LeakyRelu(slope) if x < 0.0 => slope * x,
            Self::Relu | Self::LeakyRelu(_) => x,
            Self::Gelu | Self::GeluTanh | Self::Sigmoid | Self::Tanh | Self::Softmax => {
                let mut values = [x];
                let task =
                    Activate { activation: self, values: &mut values, features: 1, by_features: false };
                Isa::portable().run(task);
                values[0]
            }
        }
    }
}

/// Whether kernels apply an activation to a sum in its register. The others follow as an [`Activate`]: inside of a
/// kernel, what they need of registers would be missing in its loops.
pub(crate) fn is_fused(activation: Activation) -> bool {
    matches!(activation, Activation::Identity | Activation::Relu)
}

/// An activation that [is fused](is_fused), at one point; others are left for later.
#[inline(always)]
pub(super) fn fused(activation: Activation, x: f32) -> f32 {
    if activation == Activation::Relu { activation.apply(x) } else { x }
}

/// Applies an activation to each value. The bits of a result depend on nothing but its argument.
///
/// # Safety
/// The CPU has the instruction set of `V`.
#[inline(always)]
unsafe fn each<V: Vector>(activation: Activation, values: &mut [f32]) {
    for start in (0..values.len()).step_by(V::LANES) {
        let lanes = (values.len() - start).min(V::LANES);
        // SAFETY: the caller promises the instruction set; the lanes lie in `values`.
        unsafe {
            let x: V = load(values, start, lanes, 0.0);
            let y = match activation {
                Activation::Identity | Activation::Softmax => return,
                Activation::Relu => x.relu(),
                Activation::LeakyRelu(slope) => leaky_relu(x, slope),
                Activation::Gelu => gelu(x),
                Activation::GeluTanh => gelu_tanh(x),
                Activation::Sigmoid => sigmoid(x),
                Activation::Tanh => tanh(x),
            };
            store(y, values, start, lanes);
        }
    }
}

/// # Safety
/// The CPU has the instruction set of `V`; so below.
#[inline(always)]
unsafe fn leaky_relu<V: Vector>(x: V, slope: f32) -> V {
    // SAFETY: the caller's promise; so below.
    unsafe { x.if_below(V::splat(0.0), x.mul(V::splat(slope)), x) }
}

/// `−|x|`; a zero keeps its sign.
///
/// # Safety
/// See [`leaky_relu`].
#[inline(always)]
unsafe fn below_zero<V: Vector>(x: V) -> V {
    // SAFETY: see `leaky_relu`.
    unsafe {
        let zero = V::splat(0.0);
        zero.if_below(x, zero.sub(x), x)
    }
}

/// `e^(x + low)` for x in [−150, 0] and a `low` that is small against it, to one unit in the last place.
///
/// # Safety
/// See [`leaky_relu`].
#[inline(always)]
unsafe fn exp_of_sum<V: Vector>(x: V, low: V) -> V {
    /// (eʳ − 1 − r) / r² for |r| ≤ ln(2)/2.
    const POLYNOMIAL: [f32; 5] = [0.499_999_94, 0.166_665_2, 0.041_668_404, 0.008_368_899, 0.001_381_422_2];
    /// Added to a number below 2²², it leaves no bits behind the point.
    const ROUND: f32 = 12_582_912.0; // 1.5·2²³
    /// ln(2) to nine bits, and the rest: the product of the first with a whole number of 15 bits is exact.
    const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
    // SAFETY: see `leaky_relu`.
    unsafe {
        let n = x.mul_add(V::splat(std::f32::consts::LOG2_E), V::splat(ROUND)).sub(V::splat(ROUND));
        let r = n.mul_add(V::splat(-LN_2[0]), x).add(n.mul_add(V::splat(-LN_2[1]), low));
        polynomial(&POLYNOMIAL, r).mul(r).mul_add(r, r).add(V::splat(1.0)).scale(n)
    }
}

/// `eˣ` for x up to 0, to one unit in the last place, into the subnormal numbers.
///
/// # Safety
/// See [`leaky_relu`].
#[inline(always)]
unsafe fn exp<V: Vector>(x: V) -> V {
    // SAFETY: see `leaky_relu`. From −104 on down the result is 0.
    unsafe { exp_of_sum(x.at_least(V::splat(-120.0)), V::splat(0.0)) }
}

/// `Σ cᵢ·xⁱ`.
///
/// # Safety
/// See [`leaky_relu`].
#[inline(always)]
unsafe fn polynomial<V: Vector, const N: usize>(coefficients: &[f32; N], x: V) -> V {
    // SAFETY: see `leaky_relu`.
    unsafe {
        let mut sum = V::splat(coefficients[N - 1]);
        for &coefficient in coefficients[..N - 1].iter().rev() {
            sum = sum.mul_add(x, V::splat(coefficient));
        }
        sum
    }
}

/// # Safety
/// See [`leaky_relu`].
#[inline(always)]
unsafe fn sigmoid<V: Vector>(x: V) -> V {
    // SAFETY: see `leaky_relu`.
    unsafe {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        let e = exp(below_zero(x));
        x.if_below(zero, e, one).div(e.add(one))
    }
}

/// # Safety
/// See [`leaky_relu`].
#[inline(always)]
unsafe fn tanh<V: Vector>(x: V) -> V {
    /// (tanh(x)/x − 1) / x² in powers of x², for |x| ≤ 0.625.
    const POLYNOMIAL: [f32; 5] = [-0.333_332_8, 0.133_314_31, -0.053_738_758, 0.020_635_817, -0.005_701_183];
    // SAFETY: see `leaky_relu`.
    unsafe {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        let below = below_zero(x);
        let e = exp(below.add(below));
        let far = one.sub(e).div(one.add(e));
        let far = x.if_below(zero, zero.sub(far), far);
        // There the difference from 1 would cancel.
        let square = x.mul(x);
        let near = polynomial(&POLYNOMIAL, square).mul_add(square, one).mul(x);
        below.if_below(V::splat(-0.625), far, near)
    }
}

/// `x·Φ(x) = max(x, 0) − a·Φ(−a)` with `a = |x|`, and `Φ(−a) = e^(−a²/2)·R(a)`, Mills' ratio over √(2π), which is
/// smooth all the way.
///
/// # Safety
/// See [`leaky_relu`].
#[inline(always)]
unsafe fn gelu<V: Vector>(x: V) -> V {
    /// R(a)/t in powers of t − ½, for t = 1 / (1 + a·`SCALE`) and a ≤ 14.6.
    const POLYNOMIAL: [f32; 9] = [
        0.199_380_89,
        0.313_131_33,
        0.377_231_15,
        0.326_397,
        0.164_784_74,
        -0.006_605_854_3,
        -0.071_238_756,
        -0.019_588_593,
        0.030_607_741,
    ];
    const SCALE: f32 = 17.0 / 64.0;
    /// A product with 2¹² + 1 cuts a number into halves of 12 bits (Dekker 1971), whose squares are exact.
    const CUT: f32 = 4097.0;
    // SAFETY: see `leaky_relu`.
    unsafe {
        // −a; beyond 14.6 the product is 0.
        let below = below_zero(x).at_least(V::splat(-15.0));
        let cut = below.mul(V::splat(CUT));
        let high = cut.sub(cut.sub(below));
        let low = below.sub(high);
        // a² = high² + low·(a + high)
        let half = V::splat(-0.5);
        let e = exp_of_sum(high.mul(high).mul(half), below.add(high).mul(low).mul(half));
        let (one, scaled) = (V::splat(1.0), below.mul(V::splat(SCALE)));
        let t = one.div(one.sub(scaled));
        // t − ½, but for the roundings that t has where it is nearly 1.
        let middle = scaled.mul_add(t, V::splat(0.5));
        let ratio = polynomial(&POLYNOMIAL, middle).mul(t);
        // The exponential last: it may be subnormal.
        x.relu().add(below.mul(ratio).mul(e))
    }
}

/// With `a = |x|` and `u = √(2/π)·(a + 0.044715·a³)` it is `max(x, 0) − a / (1 + e²ᵘ)`.
///
/// # Safety
/// See [`leaky_relu`].
#[inline(always)]
unsafe fn gelu_tanh<V: Vector>(x: V) -> V {
    /// 2·√(2/π), and that times 0.044715.
    const FACTORS: [f32; 2] = [1.595_769, 0.071_354_814];
    // SAFETY: see `leaky_relu`.
    unsafe {
        // −a; beyond 11 the quotient is 0.
        let below = below_zero(x).at_least(V::splat(-12.0));
        let e = exp_of_sum(polynomial(&FACTORS, below.mul(below)).mul(below), V::splat(0.0));
        x.relu().add(below.mul(e).div(e.add(V::splat(1.0))))
    }
}

/// The vectors that hold one sample, or as many samples as a vector has lanes.
struct Strip {
    /// The first vector, and from each to the next.
    start: usize,
    step: usize,
    vectors: usize,
    /// Lanes in use, and those of the last vector.
    lanes: [usize; 2],
    /// Whether all lanes are one sample's.
    across: bool,
}

impl Strip {
    /// The strips of `len` values: `[features, samples]` or `[samples, features]`.
    #[inline(always)]
    fn of<V: Vector>(len: usize, features: usize, by_features: bool) -> impl Iterator<Item = Self> {
        let samples = len.checked_div(features).unwrap_or(0);
        assert_eq!(samples * features, len, "whole samples");
        let across = !by_features;
        (0..samples).step_by(if across { 1 } else { V::LANES }).map(move |sample| {
            if across {
                let vectors = features.div_ceil(V::LANES);
                let lanes = [V::LANES, features - (vectors - 1) * V::LANES];
                Self { start: sample * features, step: V::LANES, vectors, lanes, across }
            } else {
                let lanes = [(samples - sample).min(V::LANES); 2];
                Self { start: sample, step: samples, vectors: features, lanes, across }
            }
        })
    }

    /// Where a vector begins, and its lanes.
    #[inline(always)]
    fn vector(&self, index: usize) -> (usize, usize) {
        let last = index + 1 == self.vectors;
        (self.start + index * self.step, self.lanes[usize::from(last)])
    }
}

/// Exponentials that are added up before they go into a compensated sum.
const BLOCK: usize = 32;

/// Softmax in place.
///
/// # Safety
/// The CPU has the instruction set of `V`, and the strip lies in `values`.
#[inline(always)]
unsafe fn softmax<V: Vector>(values: &mut [f32], strip: &Strip) {
    // SAFETY: the caller's promises. Lanes not in use hold −∞, which has no part in a maximum or a sum.
    unsafe {
        let mut max = V::splat(f32::NEG_INFINITY);
        for index in 0..strip.vectors {
            let (at, lanes) = strip.vector(index);
            max = max.at_least(load(values, at, lanes, f32::NEG_INFINITY));
        }
        if strip.across {
            max = V::splat(spread(max)[..V::LANES].iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
        // Kahan's sum of short sums: its error does not grow with the count of features. A maximum may have passed by
        // a NaN; the sum does not.
        let (mut sum, mut excess) = (V::splat(0.0), V::splat(0.0));
        for block in (0..strip.vectors).step_by(BLOCK) {
            let mut part = V::splat(0.0);
            for index in block..(block + BLOCK).min(strip.vectors) {
                let (at, lanes) = strip.vector(index);
                let e = exp(load::<V>(values, at, lanes, f32::NEG_INFINITY).sub(max));
                store(e, values, at, lanes);
                part = part.add(e);
            }
            let part = part.sub(excess);
            let next = sum.add(part);
            excess = next.sub(sum).sub(part);
            sum = next;
        }
        if strip.across {
            sum = V::splat(spread(sum)[..V::LANES].iter().sum());
        }
        for index in 0..strip.vectors {
            let (at, lanes) = strip.vector(index);
            store(load::<V>(values, at, lanes, 0.0).div(sum), values, at, lanes);
        }
    }
}
