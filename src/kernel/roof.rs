//! How fast a core multiplies and adds when nothing else holds it up: the loops behind [`Roofs`].
//!
//! [`Roofs`]: crate::measure::Roofs

use super::{Task, Vector};

/// Multiply-adds on registers alone: `SUMS` chains, each of which waits for its last result only. Too few of them leave
/// the units idle, too many do not fit the registers; so a caller tries some numbers.
pub(crate) struct FmaRoof<'a, const SUMS: usize> {
    /// Multiply-adds of vectors in each chain.
    pub(crate) steps: usize,
    /// `(factor, addend)`: unknown to the compiler, or there would be nothing to compute.
    pub(crate) operands: (f32, f32),
    /// Where the sums go, so that someone could read them: a vector or more.
    pub(crate) sink: &'a mut [f32],
}

impl<const SUMS: usize> Task for FmaRoof<'_, SUMS> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { steps, operands: (factor, addend), sink } = self;
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let (factor, addend) = (V::splat(factor), V::splat(addend));
            let mut sums = [addend; SUMS];
            for (n, sum) in sums.iter_mut().enumerate() {
                // Chains that began alike would be one to the compiler.
                *sum = sum.add(V::splat(n as f32));
            }
            for _ in 0..steps {
                for sum in &mut sums {
                    *sum = sum.mul_add(factor, addend);
                }
            }
            put::<V, SUMS>(sums, sink);
        }
    }
}

/// Multiply-adds that each take one operand from memory, as a kernel does that has a vector of activations to load for
/// every weight: `sum += weight · memory[..]`, in `SUMS` sums.
pub(crate) struct LoadRoof<'a, const SUMS: usize> {
    /// How often the memory is gone through.
    pub(crate) passes: usize,
    pub(crate) weight: f32,
    /// Begins at a cache line and is small enough for the first-level cache; a multiple of `SUMS` vectors long.
    pub(crate) memory: &'a [f32],
    /// See [`FmaRoof`].
    pub(crate) sink: &'a mut [f32],
}

impl<const SUMS: usize> Task for LoadRoof<'_, SUMS> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { passes, weight, memory, sink } = self;
        assert_eq!(memory.len() % (SUMS * V::LANES), 0, "whole vectors for all sums");
        // SAFETY: the caller promises the instruction set; and `at` and the `SUMS` vectors from there lie in `memory`,
        // whose length is a multiple of them.
        unsafe {
            let weight = V::splat(weight);
            let mut sums = [V::splat(0.0); SUMS];
            for _ in 0..passes {
                let mut at = 0;
                while at < memory.len() {
                    for (n, sum) in sums.iter_mut().enumerate() {
                        *sum = weight.mul_add(V::load(memory, at + n * V::LANES), *sum);
                    }
                    at += SUMS * V::LANES;
                }
            }
            put::<V, SUMS>(sums, sink);
        }
    }
}

/// # Safety
/// The CPU has the instruction set of `V`.
#[inline(always)]
unsafe fn put<V: Vector, const SUMS: usize>(sums: [V; SUMS], sink: &mut [f32]) {
    assert!(sink.len() >= V::LANES, "a vector of room");
    // SAFETY: the caller's promise, and the length that has just been asserted.
    unsafe {
        let mut total = V::splat(0.0);
        for sum in sums {
            total = total.add(sum);
        }
        total.store(sink, 0);
    }
}
