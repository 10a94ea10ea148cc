//! `Y = activation(W·X + bias)` for a few samples, `W` packed in [slots for lookup](LookupMatrix).

use super::activate::fused;
use super::spmv_csr::dot;
use super::vector::{MAX_LANES, spread};
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

/// Sums of a sample that run side by side, to hide the latency of a multiply-add: as many as there are registers for beside the
/// tables.
const SUMS: usize = 4;
/// The same where there are 32 registers.
const MORE_SUMS: usize = 6;

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
                    1 if V::LANES == MAX_LANES => self.unrolled::<V, 1, MORE_SUMS>(index),
                    1 => self.unrolled::<V, 1, SUMS>(index),
                    2 => self.some::<V, 2>(index),
                    3 => self.some::<V, 3>(index),
                    4 => self.unrolled::<V, 4, 2>(index),
                    samples => unreachable!("{samples} samples do not share one lookup"),
                }
            }
        }
    }
}

impl SpmvLookup<'_> {
    /// The rows of a chunk for `B` samples, one or four, with `A` sums for each and loops of constant length.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, `samples` is `B`, and what `run` asserts holds.
    #[inline(always)]
    unsafe fn unrolled<V: Vector, const B: usize, const A: usize>(&mut self, index: usize) {
        let slots = self.matrix.chunks()[index].slots;
        // How many slots the last word of a panel has, for loops whose lengths are constants.
        macro_rules! with_last {
            ($tables:literal, $($n:literal)*) => {
                match last::<V>(slots, $tables) {
                    // SAFETY: the caller's promises; the matrix has so many tables, and `$n` is as asked for.
                    $($n => unsafe { self.panels::<V, B, A, $tables>(index, $n) },)*
                    _ => unreachable!("a word has no more slots"),
                }
            };
        }
        let sums = match self.matrix.registers().tables {
            // SAFETY: a vector.
            _ if slots == 0 => [unsafe { V::splat(0.0) }; B],
            2 => with_last!(2, 1 2 3 4 5 6 7 8 9 10),
            4 => with_last!(4, 1 2 3 4 5 6 7),
            _ => with_last!(8, 1 2 3 4 5 6),
        };
        // SAFETY: the caller's promises.
        unsafe { self.finish(index, sums) };
    }

    /// The rows of a chunk for `B` samples, two or three, with loops of any length: that saves the compiler many copies of
    /// them, where few batches come.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, `samples` is `B`, and what `run` asserts holds.
    #[inline(always)]
    unsafe fn some<V: Vector, const B: usize>(&mut self, index: usize) {
        let (slots, tables) = (self.matrix.chunks()[index].slots, self.matrix.registers().tables);
        let last = last::<V>(slots.max(1), tables);
        // SAFETY: the caller's promises; the matrix has so many tables.
        unsafe {
            let sums = match tables {
                _ if slots == 0 => [V::splat(0.0); B],
                2 => self.panels::<V, B, 2, 2>(index, last),
                4 => self.panels::<V, B, 2, 4>(index, last),
                _ => self.panels::<V, B, 2, 8>(index, last),
            };
            self.finish(index, sums);
        }
    }

    /// The sums of a chunk over all panels of `T` vectors, where the last word of a panel has `last` slots; `A` sums for
    /// each sample run side by side.
    ///
    /// # Safety
    /// As [`some`](Self::some), the matrix is packed for `T`, and `last` is as described.
    #[inline(always)]
    unsafe fn panels<V: Vector, const B: usize, const A: usize, const T: usize>(
        &self,
        index: usize,
        last: usize,
    ) -> [V; B] {
        let chunk = self.matrix.chunks()[index];
        let registers = self.matrix.registers();
        let panels = self.matrix.shape().1.div_ceil(registers.columns());
        let words = chunk.slots.div_ceil(per_word::<V>(T));
        let slots = (self.matrix.words(), self.matrix.values());
        // SAFETY: `LookupMatrix` has, for each panel of the chunk, as many vectors of values as slots and a vector of
        // words for each `per_word` of them; each sample of `x` is readable to whole panels.
        unsafe {
            let mut sums = [[V::splat(0.0); B]; A];
            let (mut word, mut value) = (chunk.word, chunk.value);
            for panel in 0..panels {
                let mut tables = [[V::splat(0.0); T]; B];
                for (sample, table) in tables.iter_mut().enumerate() {
                    let at = sample * self.x_stride + panel * T * V::LANES;
                    for (offset, vector) in table.iter_mut().enumerate() {
                        *vector = V::load(self.x, at + offset * V::LANES);
                    }
                }
                for _ in 1..words {
                    word_of_slots::<V, B, A, T>(slots, per_word::<V>(T), word, value, &tables, &mut sums);
                    word += V::LANES;
                    value += per_word::<V>(T) * V::LANES;
                }
                word_of_slots::<V, B, A, T>(slots, last, word, value, &tables, &mut sums);
                word += V::LANES;
                value += last * V::LANES;
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
    /// As [`some`](Self::some).
    #[inline(always)]
    unsafe fn finish<V: Vector, const B: usize>(&mut self, index: usize, sums: [V; B]) {
        let first = index * V::LANES;
        for (sample, &sums) in sums.iter().enumerate() {
            let mut sums = sums;
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
                        let start = V::read(pointers, first + lane) as usize;
                        let end = V::read(pointers, first + lane + 1) as usize;
                        let (values, columns) = (self.matrix.tail_values(), self.matrix.tail_columns());
                        *sum = dot::<V>(values, columns, start..end, *sum, x);
                    }
                    sums = V::load(&lanes, 0);
                }
                let rows = match self.matrix.chunks()[index].neighbours {
                    Some(row) => Rows::From(row),
                    None => Rows::Of(&self.matrix.rows()[first..first + V::LANES]),
                };
                let y = self.y.get_unchecked_mut(sample * self.y_stride..);
                finish(sums, rows, self.exact, self.bias, self.activation, x, y);
            }
        }
    }
}

/// Adds the slots of one word to the sums.
///
/// # Safety
/// As [`panels`](SpmvLookup::panels), and there are a vector of words and `slots` vectors of values.
#[inline(always)]
unsafe fn word_of_slots<V: Vector, const B: usize, const A: usize, const T: usize>(
    (words, values): (&[u32], &[f32]),
    slots: usize,
    word: usize,
    value: usize,
    tables: &[[V; T]; B],
    sums: &mut [[V; B]; A],
) {
    // SAFETY: the caller's promises.
    unsafe {
        V::prefetch(words, word + AHEAD / 4);
        let mut columns = V::load_index(words, word);
        for first in (0..slots).step_by(A) {
            // Each sum by a constant number: one that is told at run time would live on the stack.
            for (slot, sums) in (first..).zip(&mut *sums) {
                if slot >= slots {
                    break;
                }
                if slot > 0 {
                    columns = next_index::<V, T>(columns);
                }
                V::prefetch(values, value + AHEAD + slot * V::LANES);
                let weight = V::load(values, value + slot * V::LANES);
                for (sum, table) in sums.iter_mut().zip(tables) {
                    *sum = weight.mul_add(V::lookup(table, columns), *sum);
                }
            }
        }
    }
}

/// The rows that the lanes of a vector are the sums of.
pub(super) enum Rows<'a> {
    /// Neighbours from this one on, as many as there are.
    From(usize),
    /// One a lane, up to the first `u32::MAX`.
    Of(&'a [u32]),
}

/// Adds the bias to the sums of some rows, applies the activation, and writes them where they belong. A sum that is not
/// finite is done again from the CSR.
///
/// # Safety
/// The CPU has the instruction set of `V`; the matrix has the rows that are named, and `bias`, `x` and `y` are of its shape.
#[inline(always)]
pub(super) unsafe fn finish<V: Vector>(
    sums: V,
    rows: Rows<'_>,
    exact: &CsrMatrix,
    bias: &[f32],
    activation: Activation,
    x: &[f32],
    y: &mut [f32],
) {
    // SAFETY: the caller's promises; the lanes of neighbours that are all there lie in `bias` and `y`, and no vector has more
    // than `MAX_LANES` lanes.
    unsafe {
        if let Rows::From(row) = rows
            && row + V::LANES <= bias.len()
            && sums.all_finite()
        {
            let sums = sums.add(V::load(bias, row));
            let value = match activation {
                Activation::Relu => sums.relu(),
                _ => sums,
            };
            return value.store(y, row);
        }
        for (lane, sum) in spread(sums).into_iter().enumerate().take(V::LANES) {
            let row = match rows {
                Rows::From(row) => row + lane,
                Rows::Of(rows) => rows[lane] as usize,
            };
            if row >= bias.len() {
                break;
            }
            let bias = V::read(bias, row);
            let sum = if sum.is_finite() { sum + bias } else { SpmvCsr::row::<V>(exact, row, bias, x) };
            y[row] = fused(activation, sum);
        }
    }
}

/// Column numbers in a word, for panels of some vectors.
const fn per_word<V: Vector>(tables: usize) -> usize {
    31 / (tables * V::LANES).ilog2() as usize
}

/// Slots in the last word of a panel.
const fn last<V: Vector>(slots: usize, tables: usize) -> usize {
    (slots - 1) % per_word::<V>(tables) + 1
}

/// The next number of each lane, for panels of `T` vectors.
///
/// # Safety
/// The CPU has the instruction set of `V`.
#[inline(always)]
unsafe fn next_index<V: Vector, const T: usize>(index: V::Index) -> V::Index {
    // SAFETY: the caller's promise.
    unsafe {
        match (T * V::LANES).ilog2() {
            4 => V::next_index::<4>(index),
            5 => V::next_index::<5>(index),
            6 => V::next_index::<6>(index),
            7 => V::next_index::<7>(index),
            bits => unreachable!("no panel has 2^{bits} columns"),
        }
    }
}
