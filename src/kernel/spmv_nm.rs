//! `Y = activation(W·X + bias)` for a few samples, `W` packed in [N:M groups](NmMatrix).

use super::spmv::Spmv;
use super::{Task, Vector};
use crate::format::{NM_BLOCK, NmMatrix, Rows};

/// How many values before it needs them a block asks for them.
const AHEAD: usize = 1024;

impl Task for Spmv<'_, NmMatrix> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let (rows, columns) = self.matrix.shape();
        let m = self.matrix.pattern().m;
        assert_eq!(self.matrix.lanes(), V::LANES, "packed for other registers");
        self.layer.check((rows, columns), columns.next_multiple_of(m));
        // SAFETY: the caller promises the instruction set; the slices have just been measured, and the matrix is packed
        // for the registers of `V`.
        unsafe {
            match self.layer.y.samples() {
                1 => self.blocks::<V, 1>(),
                2 => self.blocks::<V, 2>(),
                3 => self.blocks::<V, 3>(),
                4 => self.blocks::<V, 4>(),
                samples => unreachable!("{samples} samples do not share one lookup"),
            }
        }
    }
}

impl Spmv<'_, NmMatrix> {
    /// All rows for `B` samples.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, `samples` is `B`, and what `run` asserts holds.
    #[inline(always)]
    unsafe fn blocks<V: Vector, const B: usize>(&mut self) {
        let vectors = self.layer.vectors(V::LANES);
        let whole = vectors.start + vectors.len() / NM_BLOCK * NM_BLOCK;
        // SAFETY: the caller's promises; the matrix has these blocks, for shares are of whole ones.
        unsafe {
            for first in (vectors.start..whole).step_by(NM_BLOCK) {
                // Sums, positions and tables of all vectors stay in registers, or those of half of them at a time.
                if B <= if V::LANES == 16 { 3 } else { 1 } {
                    self.tables::<V, B, NM_BLOCK>(first, 0, NM_BLOCK);
                } else {
                    self.tables::<V, B, { NM_BLOCK / 2 }>(first, 0, NM_BLOCK);
                    self.tables::<V, B, { NM_BLOCK / 2 }>(first, NM_BLOCK / 2, NM_BLOCK);
                }
            }
            for first in whole..vectors.end {
                self.tables::<V, B, 1>(first, 0, 1);
            }
        }
    }

    /// [`vectors`](Self::vectors) with as many tables as a group has vectors of activations.
    ///
    /// # Safety
    /// As [`vectors`](Self::vectors).
    #[inline(always)]
    unsafe fn tables<V: Vector, const B: usize, const C: usize>(
        &mut self,
        first: usize,
        skip: usize,
        together: usize,
    ) {
        // SAFETY: the caller's promises.
        unsafe {
            match self.matrix.pattern().m.div_ceil(V::LANES) {
                1 => self.vectors::<V, B, C, 1>(first, skip, together),
                2 => self.vectors::<V, B, C, 2>(first, skip, together),
                _ => self.vectors::<V, B, C, 4>(first, skip, together),
            }
        }
    }

    /// `C` vectors of rows after the first `skip` of a block of `together`, which begins with the vector `first`.
    ///
    /// # Safety
    /// As [`blocks`](Self::blocks), there are such a block and so many of its vectors, and groups are of at most `T`
    /// vectors of columns.
    #[inline(always)]
    unsafe fn vectors<V: Vector, const B: usize, const C: usize, const T: usize>(
        &mut self,
        first: usize,
        skip: usize,
        together: usize,
    ) {
        let (matrix, x, x_stride) = (self.matrix, self.layer.x, self.layer.x_stride);
        let pattern = matrix.pattern();
        let (words, values) = (matrix.words(), matrix.values());
        let mut word = (first * matrix.words_of_row() + skip) * V::LANES;
        let mut value = (first * matrix.slots_of_row() + skip) * V::LANES;
        // SAFETY: for the whole body: `NmMatrix` has, for each vector of the block, a vector of values for each of `n`
        // slots of each group, and a vector of words for each `per_word` of those; each sample of `x` is readable to
        // whole groups.
        unsafe {
            let mut sums = [[V::splat(0.0); C]; B];
            let (mut positions, mut left) = ([V::load_index(words, word); C], 0);
            for group in 0..matrix.groups() {
                let mut tables = [[V::splat(0.0); T]; B];
                for (sample, table) in tables.iter_mut().enumerate() {
                    for (offset, vector) in table.iter_mut().enumerate() {
                        let at = sample * x_stride + group * pattern.m + offset * V::LANES;
                        *vector = V::repeat(x, at, pattern.m);
                    }
                }
                for _ in 0..pattern.n {
                    if left == 0 {
                        for (index, positions) in positions.iter_mut().enumerate() {
                            *positions = V::load_index(words, word + index * V::LANES);
                        }
                        (word, left) = (word + together * V::LANES, pattern.per_word());
                        V::prefetch(words, word + AHEAD / 4);
                    }
                    left -= 1;
                    for (index, positions) in positions.iter_mut().enumerate() {
                        V::prefetch(values, value + AHEAD + index * V::LANES);
                        let weight = V::load(values, value + index * V::LANES);
                        for (sums, table) in sums.iter_mut().zip(&tables) {
                            sums[index] = weight.mul_add(V::lookup(table, *positions), sums[index]);
                        }
                        *positions = V::shift(*positions, pattern.bits());
                    }
                    value += together * V::LANES;
                }
            }
            for (sample, sums) in sums.iter().enumerate() {
                for (index, &sums) in sums.iter().enumerate() {
                    let row = (first + skip + index) * V::LANES;
                    self.layer.finish(sample, Rows::From(row), sums);
                }
            }
        }
    }
}
