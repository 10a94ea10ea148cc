//! Steps of gradient descent.

use super::vector::{MAX_LANES, spread};
use super::{Task, Vector};
use crate::Mask;

/// How a step follows from a gradient, with all that the count of steps has a say in.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    /// `v ← momentum·v + g`, `w ← w − rate·v`.
    Sgd { rate: f32, momentum: f32 },
    /// `m ← m + (1 − β₁)·(g − m)`, `v ← β₂·v + (1 − β₂)·g²`, `w ← w − rate·m / (√v·scale + ε)`.
    Adam { rate: f32, scale: f32 },
}

impl Rule {
    /// Adam's β₁ and β₂.
    pub(crate) const BETA: [f32; 2] = [0.9, 0.999];
    /// Adam's ε.
    const EPSILON: f32 = 1e-8;
}

/// A step of some values along their gradient.
pub(crate) struct Descend<'a> {
    pub(crate) rule: Rule,
    pub(crate) values: &'a mut [f32],
    /// The mean of the gradient (Adam), or the velocity (SGD); one a value.
    pub(crate) first: &'a mut [f32],
    /// The mean of its square; SGD leaves it alone.
    pub(crate) second: &'a mut [f32],
    /// One a value.
    pub(crate) gradient: &'a [f32],
    /// If some of the values are pruned, the mask in which they are the rows from this one on: pruned values become
    /// 0.0, whatever their gradient.
    pub(crate) mask: Option<(&'a Mask, usize)>,
}

/// Below this a moment is 0: it would move a weight by nothing that can be seen, and on its way down, once the
/// gradients stay away, come by the subnormal numbers, where each operation takes a hundred times as long.
const NOTHING: f32 = 1e-30;

impl Task for Descend<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { rule, values, first, second, gradient, mask } = self;
        let len = values.len();
        assert!([first.len(), second.len(), gradient.len()] == [len; 3], "one of each a value");
        // SAFETY: the caller promises the instruction set, and the slices have the same length.
        unsafe {
            let Some((mask, row)) = mask else {
                return each::<V>(rule, values, [first, second], gradient, |_| u64::MAX);
            };
            let columns = mask.shape().1;
            for (index, start) in (0..len).step_by(columns).enumerate() {
                let (bits, row) = (mask.row_bits(row + index), start..start + columns);
                let moments = [&mut first[row.clone()], &mut second[row.clone()]];
                let kept = |at: usize| bits[at / 64] >> (at % 64);
                each::<V>(rule, &mut values[row.clone()], moments, &gradient[row], kept);
            }
        }
    }
}

/// A step of some values. The lowest bit of `kept(at)` says whether that one is kept, the bits above speak of the ones
/// after it.
///
/// # Safety
/// The CPU has the instruction set of `V`, and the slices have the same length.
#[inline(always)]
unsafe fn each<V: Vector>(
    rule: Rule,
    values: &mut [f32],
    [first, second]: [&mut [f32]; 2],
    gradient: &[f32],
    kept: impl Fn(usize) -> u64,
) {
    let len = values.len();
    let whole = len / V::LANES * V::LANES;
    // SAFETY: the caller's promises; `at` and the lanes from there lie in the slices, or in the padded parts of them.
    unsafe {
        for at in (0..whole).step_by(V::LANES) {
            let gradient = V::load(gradient, at).keep(kept(at));
            let square = if rule.has_squares() { V::load(second, at) } else { V::splat(0.0) };
            let [value, mean, square] = rule.step(V::load(values, at), V::load(first, at), square, gradient);
            value.keep(kept(at)).store(values, at);
            mean.store(first, at);
            if rule.has_squares() {
                square.store(second, at);
            }
        }
        if whole < len {
            let parts = [&*values, first, second, gradient].map(|part| padded(&part[whole..]));
            let [value, mean, square, gradient] = parts.map(|part| V::load(&part, 0));
            let stepped = rule.step(value, mean, square, gradient.keep(kept(whole)));
            let [value, mean, square] = stepped;
            for (part, x) in [(values, value.keep(kept(whole))), (first, mean), (second, square)] {
                part[whole..].copy_from_slice(&spread(x)[..len - whole]);
            }
        }
    }
}

/// The values, and 0 in the lanes beyond.
fn padded(values: &[f32]) -> [f32; MAX_LANES] {
    let mut padded = [0.0; MAX_LANES];
    padded[..values.len()].copy_from_slice(values);
    padded
}

impl Rule {
    /// Whether a step has to do with the mean of the square.
    fn has_squares(self) -> bool {
        matches!(self, Self::Adam { .. })
    }

    /// What becomes of a value, the mean of its gradient (or its velocity), and the mean of the square.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`.
    #[inline(always)]
    unsafe fn step<V: Vector>(self, value: V, mean: V, square: V, gradient: V) -> [V; 3] {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Self::Sgd { rate, momentum } => {
                    let velocity = flush(mean.mul_add(V::splat(momentum), gradient));
                    [velocity.mul_add(V::splat(-rate), value), velocity, square]
                }
                Self::Adam { rate, scale } => {
                    let [keep, keep_square] = Self::BETA;
                    let mean = flush(gradient.sub(mean).mul_add(V::splat(1.0 - keep), mean));
                    let square = square.mul(V::splat(keep_square));
                    let square = gradient.mul(V::splat(1.0 - keep_square)).mul_add(gradient, square);
                    let square = square.if_below(V::splat(NOTHING), V::splat(0.0), square);
                    let divisor = square.sqrt().mul_add(V::splat(scale), V::splat(Self::EPSILON));
                    [value.sub(mean.mul(V::splat(rate)).div(divisor)), mean, square]
                }
            }
        }
    }
}

/// 0 where a lane is closer to it than [`NOTHING`], else the lane; so NaN stays NaN.
///
/// # Safety
/// The CPU has the instruction set of `V`.
#[inline(always)]
unsafe fn flush<V: Vector>(x: V) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let bound = V::splat(NOTHING);
        let above = x.if_below(bound, V::splat(0.0), x);
        x.if_below(V::splat(-NOTHING), x, above)
    }
}
