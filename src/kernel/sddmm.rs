//! `G = D·Xᵀ` at some places only (sampled dense-dense product): the gradient by kept weights, of that by their layer's
//! outputs and its inputs. And the sums of the rows of `D`, the gradient by the bias.

use super::vector::{MAX_LANES, load, store};
use super::{Task, Vector};
use crate::format::Pattern;

/// The product of a tile of samples. Activations and their gradients are feature-major: `samples` floats for each
/// feature.
pub(crate) struct Sddmm<'a> {
    /// Not a transposed one.
    pub(crate) pattern: &'a Pattern,
    /// Samples of the tile: one to four times the lanes of the instruction set.
    pub(crate) samples: usize,
    /// `[out, samples]`.
    pub(crate) delta: &'a [f32],
    /// `[in, samples]`.
    pub(crate) x: &'a [f32],
    /// One a place.
    pub(crate) gradient: &'a mut [f32],
    /// Whether the product is added to what is there.
    pub(crate) add: bool,
}

impl Task for Sddmm<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (rows, columns) = self.pattern.shape();
        assert!(self.pattern.order().is_none(), "the places are in the gradient's order");
        assert_eq!(self.gradient.len(), self.pattern.kept(), "one gradient a place");
        assert_eq!(self.delta.len(), rows * self.samples, "delta is [out, samples]");
        assert_eq!(self.x.len(), columns * self.samples, "x is [in, samples]");
        // SAFETY: the caller promises the instruction set; the slices have just been measured against `samples`,
        // and `N` vectors are what `samples` is in each arm.
        unsafe { run_tile!(self, V) }
    }
}

impl Sddmm<'_> {
    /// # Safety
    /// The CPU has the instruction set of `V`, `samples` is `N` vectors, and the slices have the lengths that `run`
    /// asserts.
    #[inline(always)]
    unsafe fn tile<V: Vector, const N: usize>(self) {
        let Self { pattern, delta, x, gradient, add, .. } = self;
        let (rows, columns, pointers) = (pattern.shape().0, pattern.columns(), pattern.pointers());
        let mut sums = Sums::new(gradient, add);
        let rows_of_panels = (0..rows).cycle();
        for (segment, row) in (0..pointers.len() - 1).zip(rows_of_panels) {
            // SAFETY: for the whole body: `Pattern` keeps a row's places between ascending pointers and its columns
            // below `in`, so the vectors of a row or a column lie in `delta` or `x`, which hold `N` vectors for each. A
            // place is pushed once, in order.
            unsafe {
                let start = V::read(pointers, segment) as usize;
                let end = V::read(pointers, segment + 1) as usize;
                if start == end {
                    continue;
                }
                let mut deltas = [V::splat(0.0); N];
                for (n, lanes) in deltas.iter_mut().enumerate() {
                    *lanes = V::load(delta, (row * N + n) * V::LANES);
                }
                for at in start..end {
                    let column = V::read(columns, at) as usize;
                    let mut sum = deltas[0].mul(V::load(x, column * N * V::LANES));
                    for (n, &lanes) in deltas.iter().enumerate().skip(1) {
                        sum = lanes.mul_add(V::load(x, (column * N + n) * V::LANES), sum);
                    }
                    sums.push(at, sum);
                }
            }
        }
        // SAFETY: the caller promises the instruction set.
        unsafe { sums.finish::<V>() };
    }
}

/// `sums[row] = Σ rows[row, ..]`.
pub(crate) struct RowSums<'a> {
    /// `[rows, samples]`.
    pub(crate) rows: &'a [f32],
    /// Whole vectors.
    pub(crate) samples: usize,
    /// `[rows]`.
    pub(crate) sums: &'a mut [f32],
    /// Whether the sums are added to what is there.
    pub(crate) add: bool,
}

impl Task for RowSums<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { rows, samples, sums, add } = self;
        assert!(samples > 0 && samples.is_multiple_of(V::LANES), "whole vectors of samples");
        assert_eq!(rows.len(), sums.len() * samples, "one sum a row");
        let mut sums = Sums::new(sums, add);
        for (index, row) in rows.chunks_exact(samples).enumerate() {
            // SAFETY: the caller promises the instruction set; a row is whole vectors, and pushed once, in order.
            unsafe {
                let mut sum = V::load(row, 0);
                for at in (V::LANES..samples).step_by(V::LANES) {
                    sum = sum.add(V::load(row, at));
                }
                sums.push(index, sum);
            }
        }
        // SAFETY: the caller promises the instruction set.
        unsafe { sums.finish::<V>() };
    }
}

/// Vectors that wait until there is one for each lane of another: all of their sums then come from the same few
/// shuffles.
struct Sums<'a> {
    waiting: Lines,
    sums: &'a mut [f32],
    add: bool,
}

/// Memory that begins at a cache line.
#[repr(align(64))]
struct Lines([f32; MAX_LANES * MAX_LANES]);

impl<'a> Sums<'a> {
    #[inline(always)]
    fn new(sums: &'a mut [f32], add: bool) -> Self {
        Self { waiting: Lines([0.0; MAX_LANES * MAX_LANES]), sums, add }
    }

    /// Takes the vector whose sum is `sums[index]`.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, the one before had the index before, or this is 0; and
    /// `index < sums.len()`.
    #[inline(always)]
    unsafe fn push<V: Vector>(&mut self, index: usize, vector: V) {
        let lane = index % V::LANES;
        // SAFETY: the caller's promises, and there is room for a vector for each lane.
        unsafe {
            vector.store(&mut self.waiting.0, lane * V::LANES);
            if lane + 1 == V::LANES {
                let at = index - lane;
                let sums = V::sums(&self.waiting.0);
                let sums = if self.add { sums.add(V::load(self.sums, at)) } else { sums };
                sums.store(self.sums, at);
            }
        }
    }

    /// Writes the sums of the vectors that still wait.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, and each index has been pushed.
    #[inline(always)]
    unsafe fn finish<V: Vector>(self) {
        let lanes = self.sums.len() % V::LANES;
        let at = self.sums.len() - lanes;
        // SAFETY: the caller's promises, and the lanes lie in `sums`.
        unsafe {
            if lanes > 0 {
                let sums: V = V::sums(&self.waiting.0);
                let sums = if self.add { sums.add(load(self.sums, at, lanes, 0.0)) } else { sums };
                store(sums, self.sums, at, lanes);
            }
        }
    }
}
