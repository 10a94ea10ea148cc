//! The dense product, by faer, on the arrays that the crate has.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{ArrayView2, ArrayViewMut2};

use super::{Activate, is_fused};
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
/// feature-major. What is not the identity or ReLU takes a second pass.
pub(crate) fn finish(mut y: ArrayViewMut2<'_, f32>, bias: &[f32], activation: Activation, isa: Isa) {
    if y.strides()[1] == 1 {
        for mut row in y.rows_mut() {
            match row.as_slice_mut() {
                Some(row) => each(activation, row.iter_mut(), bias.iter().copied()),
                None => each(activation, row.iter_mut(), bias.iter().copied()),
            }
        }
    } else {
        for (mut column, &bias) in y.columns_mut().into_iter().zip(bias) {
            match column.as_slice_mut() {
                Some(column) => each(activation, column.iter_mut(), std::iter::repeat(bias)),
                None => each(activation, column.iter_mut(), std::iter::repeat(bias)),
            }
        }
    }
    if is_fused(activation) {
        return;
    }
    let features = bias.len();
    if let Some(values) = y.as_slice_mut() {
        isa.run(Activate { activation, values, features, by_features: false });
    } else if let Some(values) = y.view_mut().reversed_axes().as_slice_mut() {
        isa.run(Activate { activation, values, features, by_features: true });
    } else {
        for mut row in y.rows_mut() {
            let mut values = row.to_vec();
            isa.run(Activate { activation, values: &mut values, features, by_features: false });
            row.iter_mut().zip(values).for_each(|(place, value)| *place = value);
        }
    }
}

fn each<'a>(
    activation: Activation,
    values: impl Iterator<Item = &'a mut f32>,
    biases: impl Iterator<Item = f32>,
) {
    // One loop an activation, so that each of them vectorises.
    match activation {
        Activation::Relu => {
            values.zip(biases).for_each(|(value, bias)| *value = Activation::Relu.apply(*value + bias));
        }
        _ => values.zip(biases).for_each(|(value, bias)| *value += bias),
    }
}
