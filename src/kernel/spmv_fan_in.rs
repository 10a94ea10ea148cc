//! `Y = activation(W·X + bias)` for a few samples, `W` packed with a [constant fan-in](FanInMatrix).

use super::spmv_lookup::{Rows, finish};
use super::{Task, Vector};
use crate::Activation;
use crate::format::{CsrMatrix, FanInMatrix};

/// One layer on one to four samples, which share the column numbers. Activations are sample-major: `x_stride` and `y_stride`
/// floats apart.
pub(crate) struct SpmvFanIn<'a> {
    pub(crate) matrix: &'a FanInMatrix,
    /// The same matrix in plain CSR, for what does not come out finite.
    pub(crate) exact: &'a CsrMatrix,
    /// `[out]`.
    pub(crate) bias: &'a [f32],
    /// Applied if it [is fused](super::is_fused).
    pub(crate) activation: Activation,
    pub(crate) samples: usize,
    /// `[samples, x_stride]`, of which each sample's first `in` are its features.
    pub(crate) x: &'a [f32],
    pub(crate) x_stride: usize,
    /// `[samples, y_stride]`.
    pub(crate) y: &'a mut [f32],
    pub(crate) y_stride: usize,
}

impl Task for SpmvFanIn<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let (rows, columns) = self.matrix.shape();
        assert_eq!(self.matrix.lanes(), V::LANES, "packed for other registers");
        assert_eq!(self.bias.len(), rows, "one bias a row");
        assert_eq!(self.exact.shape(), self.matrix.shape(), "the same matrix in CSR");
        assert!(
            self.x_stride >= columns && self.x.len() >= self.samples * self.x_stride,
            "x is [samples, x_stride]"
        );
        assert!(
            self.y_stride >= rows && self.y.len() >= self.samples * self.y_stride,
            "y is [samples, y_stride]"
        );
        // SAFETY: the caller promises the instruction set; the slices have just been measured, and the matrix is packed for
        // the registers of `V`.
        unsafe {
            match self.samples {
                1 => self.rows::<V, 1>(),
                2 => self.rows::<V, 2>(),
                3 => self.rows::<V, 3>(),
                4 => self.rows::<V, 4>(),
                samples => unreachable!("{samples} samples do not share their columns"),
            }
        }
    }
}

impl SpmvFanIn<'_> {
    /// All rows for `B` samples.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, `samples` is `B`, and what `run` asserts holds.
    #[inline(always)]
    unsafe fn rows<V: Vector, const B: usize>(&mut self) {
        let Self { matrix, exact, bias, activation, x, x_stride, y, y_stride, .. } = self;
        let (columns, values) = (matrix.columns(), matrix.values());
        for (index, row) in (0..bias.len()).step_by(V::LANES).enumerate() {
            // SAFETY: for the whole body: `FanInMatrix` has, for each vector of rows, a vector of columns below `in` and a vector
            // of values for each slot; each sample of `x` has `in` features.
            unsafe {
                let mut sums = [V::splat(0.0); B];
                for slot in 0..matrix.fan_in() {
                    let at = (index * matrix.fan_in() + slot) * V::LANES;
                    let weights = V::load(values, at);
                    for (sample, sum) in sums.iter_mut().enumerate() {
                        let x = x.get_unchecked(sample * *x_stride..);
                        *sum = weights.mul_add(V::gather(x, columns, at), *sum);
                    }
                }
                for (sample, &sums) in sums.iter().enumerate() {
                    let x = x.get_unchecked(sample * *x_stride..);
                    let y = y.get_unchecked_mut(sample * *y_stride..);
                    finish(sums, Rows::From(row), exact, bias, *activation, x, y);
                }
            }
        }
    }
}
