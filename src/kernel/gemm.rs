//! The dense product, by faer, on the arrays that the crate has.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{ArrayView2, ArrayViewMut2};

use super::vector::store;
use super::{Activate, Task, Vector, is_fused};
use crate::{Activation, Isa};

/// `c = a·b`, with views of any strides, on some threads of the current rayon pool.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn gemm(
    c: ArrayViewMut2<'_, f32>,
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    threads: usize,
) {
    let threads = match threads {
        0 | 1 => Par::Seq,
        threads => Par::rayon(threads),
    };
    matmul(mat_mut(c), Accum::Replace, mat(a), mat(b), 1.0, threads);
}

/// `c = a·b`, or `c += a·b`, as [`gemm`] on one thread.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn gemm_into(
    c: ArrayViewMut2<'_, f32>,
    add: bool,
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
) {
    let accumulate = if add { Accum::Add } else { Accum::Replace };
    matmul(mat_mut(c), accumulate, mat(a), mat(b), 1.0, Par::Seq);
}

fn mat(view: ArrayView2<'_, f32>) -> MatRef<'_, f32> {
    let ((rows, columns), strides) = (view.dim(), view.strides());
    // SAFETY: a view's pointer, shape and strides name elements that it borrows for as long as the result does.
    unsafe { MatRef::from_raw_parts(view.as_ptr(), rows, columns, strides[0], strides[1]) }
}

fn mat_mut(mut view: ArrayViewMut2<'_, f32>) -> MatMut<'_, f32> {
    let (rows, columns) = view.dim();
    let strides = [view.strides()[0], view.strides()[1]];
    // SAFETY: as in `mat`, and a mutable view's elements are distinct.
    unsafe { MatMut::from_raw_parts_mut(view.as_mut_ptr(), rows, columns, strides[0], strides[1]) }
}

/// Adds the bias to a product and applies the activation: `y` is `[batch, out]`, fastest where it is row-major or
/// feature-major. Returns whether all sums were finite.
pub(crate) fn finish(mut y: ArrayViewMut2<'_, f32>, bias: &[f32], activation: Activation, isa: Isa) -> bool {
    let mut finite = true;
    let mut run = |values: &mut [f32], by_features| {
        isa.run(AddBias { values, bias, by_features, activation, finite: &mut finite });
        if !is_fused(activation) {
            isa.run(Activate { activation, values, features: bias.len(), by_features });
        }
    };
    if let Some(values) = y.as_slice_mut() {
        run(values, false);
    } else if let Some(values) = y.view_mut().reversed_axes().as_slice_mut() {
        run(values, true);
    } else {
        for mut row in y.rows_mut() {
            let mut values = row.to_vec();
            run(&mut values, false);
            row.iter_mut().zip(values).for_each(|(place, value)| *place = value);
        }
    }
    finite
}

/// Adds the bias to each sum and applies an activation that [is fused](is_fused).
struct AddBias<'a> {
    /// `[features, samples]` or `[samples, features]`.
    values: &'a mut [f32],
    /// One for each feature.
    bias: &'a [f32],
    /// Which of the two.
    by_features: bool,
    activation: Activation,
    /// Set to false when a sum is not finite.
    finite: &'a mut bool,
}

impl Task for AddBias<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { values, bias, by_features, activation, finite } = self;
        let len = if by_features { values.len() / bias.len() } else { bias.len() };
        // SAFETY: the caller promises the instruction set; whole vectors lie in a row, the last one too if it has any, and
        // else it fits a vector; and it is as long as the bias where that is read along it.
        unsafe {
            // 0 · x is 0 for finite numbers and NaN for the others.
            let (zero, mut zeros) = (V::splat(0.0), V::splat(0.0));
            let mut finished = |sum: V| {
                zeros = sum.mul_add(zero, zeros);
                if activation == Activation::Relu { sum.relu() } else { sum }
            };
            let whole = len / V::LANES * V::LANES;
            for (row, feature) in values.chunks_exact_mut(len).zip(0..) {
                if whole == 0 {
                    let bias = if by_features { V::splat(bias[feature]) } else { V::load_some(bias) };
                    store(finished(V::load_some(row).add(bias)), row, 0, len);
                    continue;
                }
                let bias = |at| if by_features { V::splat(bias[feature]) } else { V::load(bias, at) };
                // The last vector reaches back over the one before: it is read before that one changes.
                let last = (whole < len).then(|| (len - V::LANES, V::load(row, len - V::LANES)));
                for at in (0..whole).step_by(V::LANES) {
                    finished(V::load(row, at).add(bias(at))).store(row, at);
                }
                if let Some((at, last)) = last {
                    finished(last.add(bias(at))).store(row, at);
                }
            }
            *finite &= zeros.all_finite();
        }
    }
}
