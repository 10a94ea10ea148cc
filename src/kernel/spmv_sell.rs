//! `Y = activation(W·X + bias)` for a few samples, `W` packed in [sliced ELLPACK](SellMatrix).

use super::spmv::Spmv;
use super::vector::Column;
use super::{Task, Vector};
use crate::format::{Columns, SellMatrix};

/// How many slots before it needs them the matrix is asked for, and the bytes of values from which on: what does not stay in the second
/// level takes 7 to 18% less so on Intel's cores since Golden Cove, and as long as without on AMD's Zen 3.
const AHEAD: usize = 32;
const FAR: usize = 1 << 20;

impl Task for Spmv<'_, SellMatrix> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let (rows, columns) = self.matrix.shape();
        assert_eq!(self.matrix.lanes(), V::LANES, "packed for other registers");
        self.layer.check((rows, columns), columns);
        // SAFETY: the caller promises the instruction set; the slices have just been measured, and the matrix is packed for
        // the registers of `V`.
        unsafe {
            // The instruction takes a column for a number with a sign.
            match (self.matrix.columns(), self.layer.gather_at_once && columns <= 1 << 31) {
                (Columns::Narrow(columns), true) => self.samples::<V, u16, true>(columns),
                (Columns::Narrow(columns), false) => self.samples::<V, u16, false>(columns),
                (Columns::Wide(columns), true) => self.samples::<V, u32, true>(columns),
                (Columns::Wide(columns), false) => self.samples::<V, u32, false>(columns),
            }
        }
    }
}

impl Spmv<'_, SellMatrix> {
    /// All chunks, for as many samples as there are.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, `columns` are the matrix's, at once below 2³¹, and what `run` asserts holds.
    #[inline(always)]
    unsafe fn samples<V: Vector, C: Column, const AT_ONCE: bool>(&mut self, columns: &[C]) {
        // SAFETY: the caller's promises.
        unsafe {
            match self.layer.samples {
                1 => self.chunks::<V, C, 1, AT_ONCE>(columns),
                2 => self.chunks::<V, C, 2, AT_ONCE>(columns),
                3 => self.chunks::<V, C, 3, AT_ONCE>(columns),
                4 => self.chunks::<V, C, 4, AT_ONCE>(columns),
                samples => unreachable!("{samples} samples do not share their columns"),
            }
        }
    }

    /// All chunks for `B` samples.
    ///
    /// # Safety
    /// As [`samples`](Self::samples), and there are `B` of them.
    #[inline(always)]
    unsafe fn chunks<V: Vector, C: Column, const B: usize, const AT_ONCE: bool>(&mut self, columns: &[C]) {
        let (values, x, x_stride) = (self.matrix.values(), self.layer.x, self.layer.x_stride);
        let far = AT_ONCE && size_of_val(values) >= FAR;
        for (slots, rows) in self.matrix.starts().windows(2).zip(self.matrix.rows().vectors()) {
            // SAFETY: for the whole body: `SellMatrix` has for each slot a vector of columns below `in` and a vector of values,
            // and for each chunk its rows; each sample of `x` has `in` features.
            unsafe {
                let mut sums = [V::splat(0.0); B];
                for slot in slots[0] as usize..slots[1] as usize {
                    let at = slot * V::LANES;
                    if far {
                        V::prefetch(columns, at + AHEAD * V::LANES);
                        V::prefetch(values, at + AHEAD * V::LANES);
                    }
                    let weights = V::load(values, at);
                    for (sample, sum) in sums.iter_mut().enumerate() {
                        let x = x.get_unchecked(sample * x_stride..);
                        *sum = weights.mul_add(V::gather::<C, AT_ONCE>(x, columns, at), *sum);
                    }
                }
                for (sample, &sums) in sums.iter().enumerate() {
                    self.layer.finish(sample, rows, sums);
                }
            }
        }
    }
}
