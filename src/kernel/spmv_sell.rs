//! `Y = activation(W·X + bias)` for a few samples, `W` packed in [sliced ELLPACK](SellMatrix).

use super::spmv::Spmv;
use super::vector::Column;
use super::{Task, Vector};
use crate::format::{Columns, SellMatrix};

/// How many slots before it needs them the matrix is asked for, and the bytes of values from which on: what does not
/// stay in the second level takes 7 to 18% less so on Intel's cores since Golden Cove, and as long as without on AMD's
/// Zen 3.
const AHEAD: usize = 32;
const FAR: usize = 1 << 20;

impl Task for Spmv<'_, SellMatrix> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let (rows, columns) = self.matrix.shape();
        assert_eq!(self.matrix.lanes(), V::LANES, "packed for other registers");
        self.layer.check((rows, columns), columns);
        self.layer.check_chunks(self.matrix.rows());
        // SAFETY: the caller promises the instruction set; the slices have just been measured, and the matrix is packed
        // for the registers of `V`.
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
    /// The CPU has the instruction set of `V`, `columns` are the matrix's, at once below 2³¹, and what `run` asserts
    /// holds.
    #[inline(always)]
    unsafe fn samples<V: Vector, C: Column, const AT_ONCE: bool>(&mut self, columns: &[C]) {
        // SAFETY: the caller's promises.
        unsafe {
            match self.layer.y.samples() {
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
        let chunks = self.layer.vectors(V::LANES);
        let starts = &self.matrix.starts()[chunks.start..=chunks.end];
        for (slots, rows) in starts.windows(2).zip(self.matrix.rows().vectors(chunks)) {
            // SAFETY: for the whole body: `SellMatrix` has for each slot a vector of columns below `in` and a vector of
            // values, and for each chunk its rows; each sample of `x` has `in` features.
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

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::format::CsrMatrix;
    use crate::kernel::{Outputs, RowLayer};
    use crate::{Activation, Isa, Mask};

    /// A CPU takes one of the two ways, so that no test through the public interface sees both.
    #[test]
    fn activations_are_gathered_either_way_to_the_same_bits() {
        // Column numbers of 16 bits and of 32, and so many of these that they are asked for ahead.
        for (rows, columns, sparsity) in [(1, 1, 0.0), (37, 211, 0.8), (19, 70_001, 0.7)] {
            let weight = Array2::from_shape_fn((rows, columns), |(i, j)| ((31 * i + 7 * j) as f32).sin());
            let mask = Mask::random((rows, columns), sparsity, 1).unwrap();
            let exact = CsrMatrix::new(mask.apply(weight.view()).unwrap()).unwrap();
            let bias: Vec<f32> = (0..rows).map(|row| (row as f32).cos()).collect();
            for isa in Isa::available() {
                let matrix = SellMatrix::new(&exact, isa.lanes()).unwrap();
                for samples in 1..=isa.row_samples() {
                    let x: Vec<f32> = (0..samples * columns).map(|at| (at as f32).sin()).collect();
                    let [at_once, by_lane] = [true, false].map(|gather_at_once| {
                        let mut y = vec![0.0; samples * rows];
                        let layer = RowLayer {
                            exact: &exact,
                            bias: &bias,
                            activation: Activation::Relu,
                            x: &x,
                            x_stride: columns,
                            y: Outputs::new(&mut y, samples, rows, rows),
                            gather_at_once,
                        };
                        isa.run(Spmv { matrix: &matrix, layer });
                        y
                    });
                    assert_eq!(at_once, by_lane, "{isa}, {samples} samples");
                    for (at, &y) in at_once.iter().enumerate() {
                        let (sample, row) = (at / rows, at % rows);
                        let entries = exact.csr().outer_view(row).unwrap();
                        let products = entries.iter().map(|(column, &weight)| {
                            f64::from(weight) * f64::from(x[sample * columns + column])
                        });
                        let (mut sum, mut size) = (f64::from(bias[row]), f64::from(bias[row]).abs());
                        products.for_each(|product| (sum, size) = (sum + product, size + product.abs()));
                        // γₙ·Σ|w||x|: a row's products and its bias are n.
                        let bound = (entries.nnz() + 2) as f64 * f64::from(f32::EPSILON) * size;
                        assert!((f64::from(y) - sum.max(0.0)).abs() <= bound, "{isa}: {y} for {sum}");
                    }
                }
            }
        }
    }
}
