//! What an algorithm needs of an instruction set.

/// A register of f32 lanes.
///
/// The portable implementation checks every access to memory; the others do not. So the portable kernels are sound
/// whatever a matrix holds, and the others by the invariants that its constructor checked.
pub(crate) trait Vector: Copy {
    /// Lanes of a register.
    const LANES: usize;

    /// `value` in every lane.
    ///
    /// # Safety
    /// The CPU has the instruction set: true inside of a [`Task`] that `Isa::run` runs. So for all methods.
    unsafe fn splat(value: f32) -> Self;

    /// `memory[at..at + LANES]`.
    ///
    /// # Safety
    /// `at + LANES <= memory.len()`.
    unsafe fn load(memory: &[f32], at: usize) -> Self;

    /// `memory[at..at + LANES] = self`.
    ///
    /// # Safety
    /// `at + LANES <= memory.len()`.
    unsafe fn store(self, memory: &mut [f32], at: usize);

    /// `self · factor + sum`, fused where the hardware fuses.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self;

    /// 0 where a lane is below 0, else the lane; so NaN stays NaN.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn relu(self) -> Self;

    /// `memory[at]`.
    ///
    /// # Safety
    /// `at < memory.len()`.
    #[inline(always)]
    unsafe fn read<T: Copy>(memory: &[T], at: usize) -> T {
        debug_assert!(at < memory.len());
        // SAFETY: the caller's promise.
        unsafe { *memory.get_unchecked(at) }
    }
}

/// An algorithm over vectors. `run` and all that it calls must be `#[inline(always)]`, or the code would be compiled
/// without the instructions that it is written for.
pub(crate) trait Task {
    /// Does the work.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`.
    unsafe fn run<V: Vector>(self);
}
