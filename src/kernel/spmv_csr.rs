//! `y = activation(W·x + bias)` for one sample, `W` in plain [CSR](CsrMatrix).

use std::ops::Range;

use super::activate::fused;
use super::{Task, Vector};
use crate::Activation;
use crate::format::CsrMatrix;

/// One layer on one sample.
pub(crate) struct SpmvCsr<'a> {
    pub(crate) matrix: &'a CsrMatrix,
    /// `[out]`.
    pub(crate) bias: &'a [f32],
    /// Applied if it [is fused](super::is_fused).
    pub(crate) activation: Activation,
    /// `[in]`.
    pub(crate) x: &'a [f32],
    /// `[out]`.
    pub(crate) y: &'a mut [f32],
}

/// Sums of a row that run side by side, to hide the latency of an addition.
const SUMS: usize = 4;

impl Task for SpmvCsr<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (rows, columns) = self.matrix.shape();
        assert_eq!(self.bias.len(), rows, "one bias a row");
        assert!(self.x.len() >= columns, "x is [in]");
        assert_eq!(self.y.len(), rows, "y is [out]");
        for (row, (y, &bias)) in self.y.iter_mut().zip(self.bias).enumerate() {
            // SAFETY: `row` is a row, and `x` has been measured.
            *y = fused(self.activation, unsafe { Self::row::<V>(self.matrix, row, bias, self.x) });
        }
    }
}

impl SpmvCsr<'_> {
    /// The product of one row, and the bias.
    ///
    /// # Safety
    /// `row` is a row of the matrix, and `x` has a feature for each of its columns.
    #[inline(always)]
    pub(super) unsafe fn row<V: Vector>(matrix: &CsrMatrix, row: usize, bias: f32, x: &[f32]) -> f32 {
        // SAFETY: `CsrMatrix` keeps a row's entries between ascending pointers, and columns below `in`.
        unsafe {
            let start = V::read(matrix.pointers(), row) as usize;
            let end = V::read(matrix.pointers(), row + 1) as usize;
            dot::<V>(matrix.values(), matrix.columns(), start..end, bias, x)
        }
    }
}

/// `first`, and the products of some entries.
///
/// # Safety
/// The entries lie in `values` and `columns`, and `x` has a feature for each of their columns.
#[inline(always)]
unsafe fn dot<V: Vector>(
    values: &[f32],
    columns: &[u32],
    entries: Range<usize>,
    first: f32,
    x: &[f32],
) -> f32 {
    // SAFETY: the caller's promises.
    unsafe {
        let product = |at| V::read(values, at) * V::read(x, V::read(columns, at) as usize);
        if entries.len() < 2 * SUMS {
            return entries.fold(first, |sum, at| sum + product(at));
        }
        let mut sums = [first, 0.0, 0.0, 0.0];
        let mut at = entries.start;
        while at + SUMS <= entries.end {
            for (offset, sum) in sums.iter_mut().enumerate() {
                *sum += product(at + offset);
            }
            at += SUMS;
        }
        for (sum, at) in sums.iter_mut().zip(at..entries.end) {
            *sum += product(at);
        }
        (sums[0] + sums[1]) + (sums[2] + sums[3])
    }
}
