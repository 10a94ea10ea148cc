//! `Y = activation(W·X + bias)` for a few samples, `W` packed with a [constant fan-in](FanInMatrix).

use super::spmv::{Rows, Spmv};
use super::{Task, Vector};
use crate::format::FanInMatrix;

impl Task for Spmv<'_, FanInMatrix> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let (rows, columns) = self.matrix.shape();
        assert_eq!(self.matrix.lanes(), V::LANES, "packed for other registers");
        self.layer.check((rows, columns), columns);
        // SAFETY: the caller promises the instruction set; the slices have just been measured, and the matrix is packed for
        // the registers of `V`.
        unsafe {
            match self.layer.samples {
                1 => self.rows::<V, 1>(),
                2 => self.rows::<V, 2>(),
                3 => self.rows::<V, 3>(),
                4 => self.rows::<V, 4>(),
                samples => unreachable!("{samples} samples do not share their columns"),
            }
        }
    }
}

impl Spmv<'_, FanInMatrix> {
    /// All rows for `B` samples.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, `samples` is `B`, and what `run` asserts holds.
    #[inline(always)]
    unsafe fn rows<V: Vector, const B: usize>(&mut self) {
        let (matrix, x, x_stride) = (self.matrix, self.layer.x, self.layer.x_stride);
        let (columns, values) = (matrix.columns(), matrix.values());
        for (index, row) in (0..matrix.shape().0).step_by(V::LANES).enumerate() {
            // SAFETY: for the whole body: `FanInMatrix` has, for each vector of rows, a vector of columns below `in` and a vector
            // of values for each slot; each sample of `x` has `in` features.
            unsafe {
                let mut sums = [V::splat(0.0); B];
                for slot in 0..matrix.fan_in() {
                    let at = (index * matrix.fan_in() + slot) * V::LANES;
                    let weights = V::load(values, at);
                    for (sample, sum) in sums.iter_mut().enumerate() {
                        let x = x.get_unchecked(sample * x_stride..);
                        *sum = weights.mul_add(V::gather(x, columns, at), *sum);
                    }
                }
                for (sample, &sums) in sums.iter().enumerate() {
                    self.layer.finish(sample, Rows::From(row), sums);
                }
            }
        }
    }
}
