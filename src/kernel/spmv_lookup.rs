//! `Y = activation(W·X + bias)` for a few samples, `W` packed in [slots for lookup](LookupMatrix).

use super::activate::fused;
use super::vector::MAX_LANES;
use super::{SpmvCsr, Task, Vector};
use crate::Activation;
use crate::format::{CsrMatrix, LookupMatrix};

/// One layer on one to four samples, which share the permutation's indices. Activations are sample-major: `x_stride` and
/// `y_stride` floats apart.
pub(crate) struct SpmvLookup<'a> {
    pub(crate) matrix: &'a LookupMatrix,
    /// The same matrix in plain CSR, for what does not come out finite.
    pub(crate) exact: &'a CsrMatrix,
    /// `[out]`.
    pub(crate) bias: &'a [f32],
    /// Applied if it [is fused](super::is_fused).
    pub(crate) activation: Activation,
    pub(crate) samples: usize,
    /// `[samples, x_stride]`, of which each sample's first `in` are its features; readable to whole panels.
    pub(crate) x: &'a [f32],
    pub(crate) x_stride: usize,
    /// `[samples, y_stride]`.
    pub(crate) y: &'a mut [f32],
    pub(crate) y_stride: usize,
}

/// Sums that run side by side, to hide the latency of a multiply-add.
const SUMS: usize = 4;

/// How many values before it needs them a chunk asks for them: each is read once, so a large matrix comes from the third
/// level of the cache or from memory at every pass.
const AHEAD: usize = 1024;

impl Task for SpmvLookup<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let (rows, columns) = self.matrix.shape();
        let registers = self.matrix.registers();
        assert_eq!(registers.lanes, V::LANES, "packed for other registers");
        assert_eq!(self.bias.len(), rows, "one bias a row");
        assert_eq!(self.exact.shape(), self.matrix.shape(), "the same matrix in CSR");
        assert!(
            self.x_stride >= columns.next_multiple_of(registers.columns()),
            "x is readable to whole panels"
        );
        assert!(self.x.len() >= self.samples * self.x_stride, "x is [samples, x_stride]");
        assert!(
            self.y_stride >= rows && self.y.len() >= self.samples * self.y_stride,
            "y is [samples, y_stride]"
        );
        for index in 0..self.matrix.chunks().len() {
            // SAFETY: the caller promises the instruction set; the slices have just been measured, and the matrix is
            // packed for the registers of `V`.
            unsafe {
                match self.samples {
                    1 => self.chunk::<V, 1, SUMS>(index),
                    2 => self.chunk::<V, 2, 2>(index),
                    3 => self.chunk::<V, 3, 2>(index),
                    4 => self.chunk::<V, 4, 2>(index),
                    samples => unreachable!("{samples} samples do not share one lookup"),
                }
            }
        }
    }
}

impl SpmvLookup<'_> {
    /// The rows of a chunk for `B` samples, with `A` sums for each.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, `samples` is `B`, and what `run` asserts holds.
    #[inline(always)]
    unsafe fn chunk<V: Vector, const B: usize, const A: usize>(&mut self, index: usize) {
        let slots = self.matrix.chunks()[index].slots;
        macro_rules! with_slots {
            ($($n:literal)*) => {
                match slots {
                    // SAFETY: the caller's promises, and `slots` is `$n`.
                    $($n => unsafe { self.panels::<V, B, A, $n>(index) },)*
                    // SAFETY: see above; no other number is packed.
                    _ => unsafe { self.panels::<V, B, A, 0>(index) },
                }
            };
        }
        // SAFETY: the caller's promises.
        let sums = with_slots!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
        // SAFETY: the caller's promises.
        unsafe { self.finish(index, sums) };
    }

    /// The sums of a chunk over all panels, with `S` slots in each.
    ///
    /// # Safety
    /// As [`chunk`](Self::chunk), and `S` is the chunk's number of slots.
    #[inline(always)]
    unsafe fn panels<V: Vector, const B: usize, const A: usize, const S: usize>(
        &self,
        index: usize,
    ) -> [V; B] {
        let chunk = self.matrix.chunks()[index];
        let registers = self.matrix.registers();
        let panels = if S == 0 { 0 } else { self.matrix.shape().1.div_ceil(registers.columns()) };
        let per_word = 31 / V::INDEX_BITS;
        // SAFETY: `LookupMatrix` has, for each panel of the chunk, `S` vectors of values and a vector of words for
        // each `per_word` slots; each sample of `x` is readable to whole panels.
        unsafe {
            let mut sums = [[V::splat(0.0); B]; A];
            for panel in 0..panels {
                let mut tables = [[V::splat(0.0); 2]; B];
                for (sample, table) in tables.iter_mut().enumerate() {
                    let at = sample * self.x_stride + panel * 2 * V::LANES;
                    *table = [V::load(self.x, at), V::load(self.x, at + V::LANES)];
                }
                let word = chunk.word + panel * S.div_ceil(per_word) * V::LANES;
                let value = chunk.value + panel * S * V::LANES;
                for slot in 0..S {
                    V::prefetch(self.matrix.values(), value + AHEAD + slot * V::LANES);
                }
                for at in 0..S.div_ceil(per_word) {
                    V::prefetch(self.matrix.words(), word + AHEAD / 4 + at * V::LANES);
                }
                let mut columns = V::load_index(self.matrix.words(), word);
                for slot in 0..S {
                    if slot > 0 {
                        columns = if slot % per_word == 0 {
                            V::load_index(self.matrix.words(), word + slot / per_word * V::LANES)
                        } else {
                            V::next_index(columns)
                        };
                    }
                    let weight = V::load(self.matrix.values(), value + slot * V::LANES);
                    for (sum, &table) in sums[slot % A].iter_mut().zip(&tables) {
                        *sum = weight.mul_add(V::lookup(table, columns), *sum);
                    }
                }
            }
            let mut total = sums[0];
            for sums in &sums[1..] {
                for (total, &sum) in total.iter_mut().zip(sums) {
                    *total = total.add(sum);
                }
            }
            total
        }
    }

    /// Adds the tail and the bias to the sums of a chunk, applies the activation, and writes them where they belong.
    ///
    /// # Safety
    /// As [`chunk`](Self::chunk).
    #[inline(always)]
    unsafe fn finish<V: Vector, const B: usize>(&mut self, index: usize, sums: [V; B]) {
        let first = index * V::LANES;
        for (sample, mut sums) in sums.into_iter().enumerate() {
            // SAFETY: `samples` strides lie in `x`, as `run` asserts. `LookupMatrix` has a row, or the mark of none, for
            // each lane of each chunk, and keeps rows below `out` and the columns of the tail below `in`, between
            // ascending pointers. No vector has more than `MAX_LANES` lanes.
            unsafe {
                let x = self.x.get_unchecked(sample * self.x_stride..);
                let pointers = self.matrix.tail_pointers();
                let (start, end) = (V::read(pointers, first), V::read(pointers, first + V::LANES));
                if start < end {
                    let mut lanes = [0.0; MAX_LANES];
                    sums.store(&mut lanes, 0);
                    for (lane, sum) in lanes.iter_mut().enumerate().take(V::LANES) {
                        for at in V::read(pointers, first + lane)..V::read(pointers, first + lane + 1) {
                            let column = V::read(self.matrix.tail_columns(), at as usize) as usize;
                            *sum += V::read(self.matrix.tail_values(), at as usize) * V::read(x, column);
                        }
                    }
                    sums = V::load(&lanes, 0);
                }
                if let (Some(row), true) = (self.matrix.chunks()[index].neighbours, sums.all_finite()) {
                    let sums = sums.add(V::load(self.bias, row));
                    let y = match self.activation {
                        Activation::Relu => sums.relu(),
                        _ => sums,
                    };
                    y.store(self.y, sample * self.y_stride + row);
                    continue;
                }
                let mut lanes = [0.0; MAX_LANES];
                sums.store(&mut lanes, 0);
                for (lane, sum) in lanes.into_iter().enumerate().take(V::LANES) {
                    let row = V::read(self.matrix.rows(), first + lane);
                    if row == u32::MAX {
                        break;
                    }
                    let row = row as usize;
                    let bias = V::read(self.bias, row);
                    let exact = !sum.is_finite();
                    let sum = if exact { SpmvCsr::row::<V>(self.exact, row, bias, x) } else { sum + bias };
                    self.y[sample * self.y_stride + row] = fused(self.activation, sum);
                }
            }
        }
    }
}
