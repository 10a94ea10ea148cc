//! `Y = activation(W·X + bias)` for a few samples, `W` packed in [slots for lookup](LookupMatrix).

use super::spmv::Spmv;
use super::{Task, Vector};
use crate::format::{LookupMatrix, Window};

/// Sums of a single sample that run side by side, to hide the latency of a multiply-add.
const SUMS: usize = 4;

/// How many words before it needs them a chunk asks for them and their values: each is read once, so a large matrix
/// comes from the third level of the cache or from memory at every pass.
const AHEAD: usize = 10;

/// Bytes of values from which on that helps, where a step is a single slot: below, it takes longer than waiting.
const FAR: usize = 8 << 20;

impl Task for Spmv<'_, LookupMatrix> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let (rows, columns) = self.matrix.shape();
        let window = self.matrix.window();
        assert_eq!(window.lanes(), V::LANES, "packed for other registers");
        self.layer.check((rows, columns), window.readable(columns));
        self.layer.check_chunks(self.matrix.rows());
        // SAFETY: the caller promises the instruction set; the slices have just been measured, and the matrix is
        // packed for the registers of `V`.
        unsafe {
            match self.layer.y.samples() {
                1 => self.windows::<V, 1, SUMS>(),
                2 => self.windows::<V, 2, 2>(),
                3 => self.windows::<V, 3, 2>(),
                4 => self.windows::<V, 4, 2>(),
                samples => unreachable!("{samples} samples do not share one lookup"),
            }
        }
    }
}

impl Spmv<'_, LookupMatrix> {
    /// All chunks for `B` samples, with `A` sums for each, and loops of constant length.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, `samples` is `B`, and what `run` asserts holds.
    #[inline(always)]
    unsafe fn windows<V: Vector, const B: usize, const A: usize>(&mut self) {
        let window = self.matrix.window();
        // SAFETY: the caller's promises; the matrix is packed for the window that is asked for.
        unsafe {
            match (window.tables(), window.slots()) {
                (1, 1) => self.chunks::<V, B, A, 1, 1>(),
                (2, 2) => self.chunks::<V, B, A, 2, 2>(),
                (2, 3) => self.chunks::<V, B, A, 2, 3>(),
                (4, 2) => self.chunks::<V, B, A, 4, 2>(),
                (4, 5) => self.chunks::<V, B, A, 4, 5>(),
                (8, 2) => self.chunks::<V, B, A, 8, 2>(),
                window => unreachable!("nothing is packed for {window:?}"),
            }
        }
    }

    /// All chunks, with windows of `T` vectors and `N` slots.
    ///
    /// # Safety
    /// As [`windows`](Self::windows), and the matrix is packed for `T` and `N`.
    #[inline(always)]
    unsafe fn chunks<V: Vector, const B: usize, const A: usize, const T: usize, const N: usize>(&mut self) {
        // Of the constants, so that loops are of constant length.
        let window = Window::of(V::LANES, T, N);
        let (steps_of_word, bits) = (window.steps_of_word(), window.bits() as u32);
        let (starts, words, values) = (self.matrix.starts(), self.matrix.words(), self.matrix.values());
        let (x, x_stride) = (self.layer.x, self.layer.x_stride);
        let far = size_of_val(values) >= FAR;
        let chunks = self.layer.vectors(V::LANES);
        for (chunk, rows) in
            self.matrix.chunks()[chunks.clone()].iter().zip(self.matrix.rows().vectors(chunks))
        {
            // SAFETY: `LookupMatrix` has, for each vector of words of the chunk, so many steps, and for each of these
            // `N` vectors of values; each sample of `x` is readable to whole windows, and no window begins later. A
            // chunk has a row, or the mark of none, for each lane.
            unsafe {
                let mut sums = [[V::splat(0.0); B]; A];
                for word in chunk.clone() {
                    let columns = V::load_index(words, word * V::LANES);
                    if T == 1 {
                        if far {
                            V::prefetch(words, (word + AHEAD) * V::LANES);
                            for step in 0..steps_of_word {
                                V::prefetch(values, ((word + AHEAD) * steps_of_word + step) * V::LANES);
                            }
                        }
                        self.pairs::<V, B, A>(word, columns, &mut sums);
                        continue;
                    }
                    V::prefetch(words, (word + AHEAD) * V::LANES);
                    for step in 0..steps_of_word {
                        let start = V::read(starts, word * steps_of_word + step) as usize;
                        let mut tables = [[V::splat(0.0); T]; B];
                        for (sample, table) in tables.iter_mut().enumerate() {
                            for (offset, vector) in table.iter_mut().enumerate() {
                                *vector = V::load(x, sample * x_stride + start + offset * V::LANES);
                            }
                        }
                        for slot in 0..N {
                            let slot = step * N + slot;
                            // Each from the word: the shifts do not wait for each other.
                            let columns = V::shift(columns, bits * slot as u32);
                            let value = (word * steps_of_word * N + slot) * V::LANES;
                            V::prefetch(values, value + AHEAD * steps_of_word * N * V::LANES);
                            let weight = V::load(values, value);
                            for (sum, table) in sums[slot % A].iter_mut().zip(&tables) {
                                *sum = weight.mul_add(V::lookup(table, columns), *sum);
                            }
                        }
                    }
                }
                let mut total = sums[0];
                for sums in &sums[1..] {
                    for (total, &sum) in total.iter_mut().zip(sums) {
                        *total = total.add(sum);
                    }
                }
                for (sample, &sums) in total.iter().enumerate() {
                    self.layer.finish(sample, rows, sums);
                }
            }
        }
    }

    /// The steps of a word, with windows of a vector and one slot: two at a time, first their lookups and then their
    /// multiplications, for on AMD's Zen 3 the two share ports, and take turns faster by twos.
    ///
    /// # Safety
    /// As [`chunks`](Self::chunks), and the word is one of the matrix.
    #[inline(always)]
    unsafe fn pairs<V: Vector, const B: usize, const A: usize>(
        &self,
        word: usize,
        columns: V::Index,
        sums: &mut [[V; B]; A],
    ) {
        let window = Window::of(V::LANES, 1, 1);
        let (steps_of_word, bits) = (window.steps_of_word(), window.bits() as u32);
        let (starts, values) = (self.matrix.starts(), self.matrix.values());
        let (x, x_stride) = (self.layer.x, self.layer.x_stride);
        let mut columns = columns;
        for pair in (0..steps_of_word).step_by(2) {
            // SAFETY: see `chunks`; a word has an even number of steps.
            unsafe {
                let mut found = [[V::splat(0.0); B]; 2];
                for (step, found) in (pair..).zip(&mut found) {
                    let start = V::read(starts, word * steps_of_word + step) as usize;
                    for (sample, found) in found.iter_mut().enumerate() {
                        *found = V::lookup(&[V::load(x, sample * x_stride + start)], columns);
                    }
                    columns = V::shift(columns, bits);
                }
                for (step, found) in (pair..).zip(found) {
                    let value = (word * steps_of_word + step) * V::LANES;
                    let weight = V::load(values, value);
                    for (sum, found) in sums[step % A].iter_mut().zip(found) {
                        *sum = weight.mul_add(found, *sum);
                    }
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

    /// A plan takes the window that it expects to be fastest, so that no test through the public interface sees all of
    /// them.
    #[test]
    fn every_window_gives_the_product() {
        for (rows, columns, sparsity) in [(1, 1, 0.0), (37, 90, 0.0), (67, 211, 0.8), (40, 300, 0.97)] {
            let weight = Array2::from_shape_fn((rows, columns), |(i, j)| ((31 * i + 7 * j) as f32).sin());
            let mask = Mask::random((rows, columns), sparsity, 1).unwrap();
            let exact = CsrMatrix::new(mask.apply(weight.view()).unwrap()).unwrap();
            let bias: Vec<f32> = (0..rows).map(|row| (row as f32).cos()).collect();
            for isa in Isa::available() {
                for window in Window::all(isa.lanes()).unwrap() {
                    let matrix = LookupMatrix::new(&exact, window);
                    for samples in 1..=4 {
                        let x_stride = window.readable(columns);
                        let x: Vec<f32> = (0..samples * x_stride).map(|at| (at as f32).sin()).collect();
                        let mut y = vec![0.0; samples * rows];
                        let (bias, activation) = (&bias[..], Activation::Relu);
                        let layer = RowLayer {
                            exact: &exact,
                            bias,
                            activation,
                            x: &x,
                            x_stride,
                            y: Outputs::new(&mut y, samples, rows, rows),
                        };
                        isa.run(Spmv { matrix: &matrix, layer });
                        for (at, &y) in y.iter().enumerate() {
                            let (sample, row) = (at / rows, at % rows);
                            let entries = exact.csr().outer_view(row).unwrap();
                            let product = |(column, &weight): (usize, &f32)| {
                                f64::from(weight) * f64::from(x[sample * x_stride + column])
                            };
                            let sum = f64::from(bias[row]) + entries.iter().map(product).sum::<f64>();
                            // γₙ·Σ|w||x| of at most 91 products below 1 is below 1e-3.
                            let error = (f64::from(y) - sum.max(0.0)).abs();
                            assert!(error < 1e-3, "{isa}, {window:?}, {samples} samples: {y} for {sum}");
                        }
                    }
                }
            }
        }
    }
}
