//! `Y = activation(W·X + bias)` for a few samples, `W` in plain [CSR](CsrMatrix).

use std::ops::Range;

use super::activate::fused;
use super::vector::spread;
use super::{Outputs, Task, Vector};
use crate::Activation;
use crate::format::CsrMatrix;

/// One layer on a few samples, one after the other.
pub(crate) struct SpmvCsr<'a> {
    pub(crate) matrix: &'a CsrMatrix,
    /// `[out]`.
    pub(crate) bias: &'a [f32],
    /// Applied if it [is fused](super::is_fused).
    pub(crate) activation: Activation,
    /// `[samples, x_stride]`, of which each sample's first `in` are its features.
    pub(crate) x: &'a [f32],
    pub(crate) x_stride: usize,
    pub(crate) y: Outputs<'a>,
}

/// Sums of a row that run side by side, to hide the latency of an addition.
const SUMS: usize = 4;

impl Task for SpmvCsr<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let (rows, columns) = self.matrix.shape();
        assert_eq!(self.bias.len(), rows, "one bias a row");
        assert!(self.x_stride >= columns, "x is [in] for each sample");
        let rows = self.y.rows();
        let bias = &self.bias[rows.clone()];
        for sample in 0..self.y.samples() {
            let x = &self.x[sample * self.x_stride..][..columns];
            for ((row, y), &bias) in rows.clone().zip(self.y.sample(sample)).zip(bias) {
                // SAFETY: `row` is a row, for there is a bias of it, and `x` has been measured.
                *y = fused(self.activation, unsafe { Self::row::<V>(self.matrix, row, bias, x) });
            }
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

/// The sum of a vector's lanes.
///
/// # Safety
/// The CPU has the instruction set of `V`.
#[inline(always)]
unsafe fn total<V: Vector>(sums: V) -> f32 {
    // SAFETY: the caller's promise.
    let mut lanes = unsafe { spread(sums) };
    let mut count = V::LANES;
    while count > 1 {
        count /= 2;
        let (low, high) = lanes.split_at_mut(count);
        low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
    }
    lanes[0]
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
        let (mut first, mut at) = (first, entries.start);
        if V::GATHERS && entries.len() >= 2 * V::LANES {
            let mut sums = V::splat(0.0);
            while at + V::LANES <= entries.end {
                sums = V::load(values, at).mul_add(V::gather(x, columns, at), sums);
                at += V::LANES;
            }
            first += total(sums);
        }
        if entries.end - at < 2 * SUMS {
            return (at..entries.end).fold(first, |sum, at| sum + product(at));
        }
        let mut sums = [first, 0.0, 0.0, 0.0];
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
