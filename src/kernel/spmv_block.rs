//! `Y = activation(W·X + bias)` for a few samples, `W` packed in [blocks](BlockMatrix).

use super::spmv::Spmv;
use super::{Task, Vector};
use crate::format::{BlockMatrix, Rows};

/// How many values before it needs them a block asks for them.
const AHEAD: usize = 512;

impl Task for Spmv<'_, BlockMatrix> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let (rows, columns) = self.matrix.shape();
        assert_eq!(self.matrix.lanes(), V::LANES, "packed for other registers");
        self.layer.check((rows, columns), columns);
        // Chains of sums enough to hide the latency of a multiply-add. SAFETY: the caller promises the instruction set;
        // the slices have just been measured, and the matrix is packed for the registers of `V`.
        unsafe {
            match self.layer.y.samples() {
                1 => self.vectors::<V, 1, 4>(),
                2 => self.vectors::<V, 2, 2>(),
                3 => self.vectors::<V, 3, 2>(),
                4 => self.vectors::<V, 4, 2>(),
                samples => unreachable!("{samples} samples do not share their weights"),
            }
        }
    }
}

impl Spmv<'_, BlockMatrix> {
    /// All rows for `B` samples, with `A` chains of sums.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, `samples` is `B`, and what `run` asserts holds.
    #[inline(always)]
    unsafe fn vectors<V: Vector, const B: usize, const A: usize>(&mut self) {
        let rows = self.matrix.blocks().rows;
        // SAFETY: the caller's promises; these are the vectors of a block, or the blocks of a vector.
        unsafe {
            match (rows / V::LANES, V::LANES / rows) {
                (1, _) => self.blocks::<V, B, A, 1, 1>(),
                (2, _) => self.blocks::<V, B, A, 2, 1>(),
                (4.., _) => self.blocks::<V, B, A, 4, 1>(),
                (_, 2) => self.blocks::<V, B, A, 1, 2>(),
                _ => self.blocks::<V, B, A, 1, 4>(),
            }
        }
    }

    /// [`vectors`](Self::vectors), where a block has `C` vectors, or a vector has `P` blocks.
    ///
    /// # Safety
    /// As [`vectors`](Self::vectors), and that they have.
    #[inline(always)]
    unsafe fn blocks<V: Vector, const B: usize, const A: usize, const C: usize, const P: usize>(&mut self) {
        let rows = self.matrix.blocks().rows;
        let block_rows = self.layer.vectors(rows);
        // SAFETY: for the whole body: the caller's promises, and the matrix has these rows.
        unsafe {
            for first in block_rows.clone().step_by(P) {
                if P == 1 {
                    let sums = self.sums::<V, B, A, C, P>(first);
                    self.finish(first * rows, sums);
                    continue;
                }
                // The sums of a block's rows are in several parts of a vector, and as many blocks' rows fill one.
                let mut parts = [[V::splat(0.0); P]; B];
                for (part, block_row) in (first..block_rows.end).take(P).enumerate() {
                    let sums = self.sums::<V, B, A, C, P>(block_row);
                    for (parts, sums) in parts.iter_mut().zip(sums) {
                        parts[part] = sums[0];
                    }
                }
                let mut sums = [[V::splat(0.0)]; B];
                for (sums, parts) in sums.iter_mut().zip(parts) {
                    *sums = [V::fold(parts)];
                }
                self.finish(first * rows, sums);
            }
        }
    }

    /// The sums of a block's rows, for `B` samples.
    ///
    /// # Safety
    /// As [`blocks`](Self::blocks), and there is such a row of blocks.
    #[inline(always)]
    unsafe fn sums<V: Vector, const B: usize, const A: usize, const C: usize, const P: usize>(
        &self,
        block_row: usize,
    ) -> [[V; C]; B] {
        let (blocks, x) =
            ((self.matrix.columns(), self.matrix.values()), (self.layer.x, self.layer.x_stride));
        // SAFETY: the caller's promises; `BlockMatrix` has blocks between ascending pointers, which `P` divides.
        unsafe {
            let [mut block, end] =
                [block_row, block_row + 1].map(|at| V::read(self.matrix.pointers(), at) as usize);
            let mut sums = [[[V::splat(0.0); C]; B]; A];
            while block + A * P <= end {
                for sums in &mut sums {
                    multiply::<V, B, C, P>(blocks, block, x, sums);
                    block += P;
                }
            }
            while block < end {
                multiply::<V, B, C, P>(blocks, block, x, &mut sums[0]);
                block += P;
            }
            let mut total = sums[0];
            for sums in &sums[1..] {
                for (total, sums) in total.iter_mut().zip(sums) {
                    for (total, &sum) in total.iter_mut().zip(sums) {
                        *total = total.add(sum);
                    }
                }
            }
            total
        }
    }

    /// Writes the sums of the rows from this one on where they belong.
    ///
    /// # Safety
    /// As [`blocks`](Self::blocks), and there is such a row.
    #[inline(always)]
    unsafe fn finish<V: Vector, const B: usize, const C: usize>(&mut self, row: usize, sums: [[V; C]; B]) {
        for (sample, sums) in sums.iter().enumerate() {
            for (index, &sums) in sums.iter().enumerate() {
                // SAFETY: the caller's promises.
                unsafe { self.layer.finish(sample, Rows::From(row + index * V::LANES), sums) };
            }
        }
    }
}

/// Adds the weights of `P` blocks from this one on, or those of one in `C` vectors, times their activations to the
/// sums.
///
/// # Safety
/// The CPU has the instruction set of `V`; the matrix has those blocks, in so many vectors, and each sample of `x`,
/// which are `x_stride` apart, has the features of their columns.
#[inline(always)]
unsafe fn multiply<V: Vector, const B: usize, const C: usize, const P: usize>(
    (columns, values): (&[u32], &[f32]),
    block: usize,
    (x, x_stride): (&[f32], usize),
    sums: &mut [[V; C]; B],
) {
    // SAFETY: the caller's promises; `BlockMatrix` has a column below `in` and the values of its rows for each block.
    unsafe {
        let value = block * (C * V::LANES / P);
        V::prefetch(values, value + AHEAD);
        let mut features = [0; P];
        if P == 1 {
            features[0] = V::read(columns, block) as usize;
        }
        for (index, pair) in features.chunks_exact_mut(2).enumerate() {
            let both = V::read_two(columns, block + 2 * index);
            pair.copy_from_slice(&[both as u32 as usize, (both >> 32) as usize]);
        }
        let mut weights = [V::splat(0.0); C];
        for (index, weights) in weights.iter_mut().enumerate() {
            *weights = V::load(values, value + index * V::LANES);
        }
        for (sample, sums) in sums.iter_mut().enumerate() {
            let x = V::splat_parts(x, features.map(|feature| sample * x_stride + feature));
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = weights.mul_add(x, *sum);
            }
        }
    }
}
