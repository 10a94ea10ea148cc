//! `Y = activation(W·X + bias)` for a few samples, `W` packed in [sliced ELLPACK](SellMatrix).

use super::spmv::Spmv;
use super::vector::{Column, MAX_LANES};
use super::{Task, Vector};
use crate::format::{Columns, MAX_GATHERED, SellMatrix};

/// How many slots before it needs them a matrix of gaps is asked for, and the bytes of values from which on. What does
/// not stay in the second level takes 3 to 18% less time so on a Granite Rapids, whether 16 slots before or 96; what
/// does, up to 6% more. Layers of 0.9 MB are often not alone.
const AHEAD: usize = 32;
const FAR: usize = 3 << 18;

impl Task for Spmv<'_, SellMatrix> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let (rows, columns) = self.matrix.shape();
        assert_eq!(self.matrix.lanes(), V::LANES, "packed for other registers");
        self.layer.check((rows, columns), columns);
        self.layer.check_chunks(self.matrix.rows());
        let by_gaps = matches!(self.matrix.columns(), Columns::Gaps(_) | Columns::WideGaps(_));
        assert!(!by_gaps || columns <= MAX_GATHERED, "columns are numbers with a sign when gathered at once");
        // SAFETY: the caller promises the instruction set; the slices have just been measured, and the matrix is packed
        // for the registers of `V`.
        unsafe {
            match self.matrix.columns() {
                Columns::Narrow(numbers) => self.samples::<V, _>(Numbers(numbers)),
                Columns::Wide(numbers) => self.samples::<V, _>(Numbers(numbers)),
                Columns::Gaps(gaps) => self.samples::<V, _>(Gaps(gaps)),
                Columns::WideGaps(gaps) => self.samples::<V, _>(Gaps(gaps)),
            }
        }
    }
}

/// How the activations of slots are found.
trait Find<V: Vector>: Copy {
    /// The columns of the slot whose vector begins at `at`, given those of the slot before in the same chunk.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`; so below. The slot is one of the matrix.
    unsafe fn columns(self, before: V::Index, at: usize) -> V::Index;

    /// The activations of that slot.
    ///
    /// # Safety
    /// The columns are the slot's, and below `x.len()`.
    unsafe fn gather(self, x: &[f32], columns: V::Index, at: usize) -> V;

    /// Asks for the columns and the values of a slot, where that pays.
    ///
    /// # Safety
    /// See [`columns`](Self::columns); there need be no such slot.
    #[inline(always)]
    unsafe fn ask_ahead(self, _values: &[f32], _at: usize) {}
}

/// Lane by lane, from where the numbers of the columns lie in memory.
#[derive(Clone, Copy)]
struct Numbers<'a, C>(&'a [C]);

impl<V: Vector, C: Column> Find<V> for Numbers<'_, C> {
    #[inline(always)]
    unsafe fn columns(self, before: V::Index, _: usize) -> V::Index {
        before
    }

    #[inline(always)]
    unsafe fn gather(self, x: &[f32], _: V::Index, at: usize) -> V {
        // SAFETY: the caller's promises.
        unsafe { V::gather(x, self.0, at) }
    }
}

/// At once, by the sums of the gaps between columns.
#[derive(Clone, Copy)]
struct Gaps<'a, G>(&'a [G]);

impl<V: Vector, G: Gap> Find<V> for Gaps<'_, G> {
    #[inline(always)]
    unsafe fn columns(self, before: V::Index, at: usize) -> V::Index {
        // SAFETY: the caller's promises.
        unsafe { V::add_index(before, G::load::<V>(self.0, at)) }
    }

    #[inline(always)]
    unsafe fn gather(self, x: &[f32], columns: V::Index, _: usize) -> V {
        // SAFETY: the caller's promises.
        unsafe { V::gather_at_once(x, columns) }
    }

    #[inline(always)]
    unsafe fn ask_ahead(self, values: &[f32], at: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            V::prefetch(self.0, at);
            V::prefetch(values, at);
        }
    }
}

/// A gap between columns.
trait Gap: Copy {
    /// `gaps[at..at + LANES]`.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, and `at + LANES <= gaps.len()`.
    unsafe fn load<V: Vector>(gaps: &[Self], at: usize) -> V::Index;
}

impl Gap for u8 {
    #[inline(always)]
    unsafe fn load<V: Vector>(gaps: &[u8], at: usize) -> V::Index {
        // SAFETY: the caller's promises.
        unsafe { V::index_of_bytes(gaps, at) }
    }
}

impl Gap for u16 {
    #[inline(always)]
    unsafe fn load<V: Vector>(gaps: &[u16], at: usize) -> V::Index {
        // SAFETY: the caller's promises.
        unsafe { V::index_of_shorts(gaps, at) }
    }
}

impl Spmv<'_, SellMatrix> {
    /// All chunks, for as many samples as there are.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, what is found is the matrix's, and what `run` asserts holds.
    #[inline(always)]
    unsafe fn samples<V: Vector, F: Find<V>>(&mut self, find: F) {
        // SAFETY: the caller's promises.
        unsafe {
            match self.layer.y.samples() {
                1 => self.chunks::<V, F, 1>(find),
                2 => self.chunks::<V, F, 2>(find),
                3 => self.chunks::<V, F, 3>(find),
                4 => self.chunks::<V, F, 4>(find),
                samples => unreachable!("{samples} samples do not share their columns"),
            }
        }
    }

    /// All chunks for `B` samples.
    ///
    /// # Safety
    /// As [`samples`](Self::samples), and there are `B` of them.
    #[inline(always)]
    unsafe fn chunks<V: Vector, F: Find<V>, const B: usize>(&mut self, find: F) {
        let (values, x, x_stride) = (self.matrix.values(), self.layer.x, self.layer.x_stride);
        let far = size_of_val(values) >= FAR;
        let chunks = self.layer.vectors(V::LANES);
        let starts = &self.matrix.starts()[chunks.start..=chunks.end];
        for (slots, rows) in starts.windows(2).zip(self.matrix.rows().vectors(chunks)) {
            // SAFETY: for the whole body: `SellMatrix` has for each slot a vector of columns below `in`, or of the gaps
            // between those of a chunk, and a vector of values, and for each chunk its rows; each sample of `x` has
            // `in` features.
            unsafe {
                let mut sums = [V::splat(0.0); B];
                let mut columns = V::load_index(&[0; MAX_LANES], 0);
                for slot in slots[0] as usize..slots[1] as usize {
                    let at = slot * V::LANES;
                    if far {
                        find.ask_ahead(values, at + AHEAD * V::LANES);
                    }
                    columns = find.columns(columns, at);
                    let weights = V::load(values, at);
                    for (sample, sum) in sums.iter_mut().enumerate() {
                        let x = x.get_unchecked(sample * x_stride..);
                        *sum = weights.mul_add(find.gather(x, columns, at), *sum);
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
    fn columns_are_numbers_or_gaps_to_the_same_sums() {
        // Numbers of 16 bits and of 32, gaps of 8 bits and of 16, some longer than these, and so many that they are
        // asked for ahead.
        let shapes = [(1, 1, 0.0), (37, 211, 0.8), (35, 9_001, 0.985), (7, 5_003, 0.998), (19, 70_001, 0.7)];
        let shapes = shapes.into_iter().chain([(5, 400_000, 0.99999)]);
        for (rows, columns, sparsity) in shapes {
            let weight = Array2::from_shape_fn((rows, columns), |(i, j)| ((31 * i + 7 * j) as f32).sin());
            let mask = Mask::random((rows, columns), sparsity, 1).unwrap();
            let exact = CsrMatrix::new(mask.apply(weight.view()).unwrap()).unwrap();
            let bias: Vec<f32> = (0..rows).map(|row| (row as f32).cos()).collect();
            for isa in Isa::available() {
                let packed =
                    [SellMatrix::new, SellMatrix::by_gaps].map(|pack| pack(&exact, isa.lanes()).unwrap());
                for samples in 1..=isa.row_samples() {
                    let x: Vec<f32> = (0..samples * columns).map(|at| (at as f32).sin()).collect();
                    let [by_numbers, by_gaps] = packed.each_ref().map(|matrix| {
                        let mut y = vec![0.0; samples * rows];
                        let layer = RowLayer {
                            exact: &exact,
                            bias: &bias,
                            activation: Activation::Relu,
                            x: &x,
                            x_stride: columns,
                            y: Outputs::new(&mut y, samples, rows, rows),
                        };
                        isa.run(Spmv { matrix, layer });
                        y
                    });
                    assert_eq!(by_numbers, by_gaps, "{isa}, {samples} samples");
                    for (at, &y) in by_gaps.iter().enumerate() {
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
