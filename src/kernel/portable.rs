//! Vectors in plain Rust, which the compiler turns into what the target has. Every access is checked: nothing in
//! this file is `unsafe`, and no wrong matrix makes it read out of bounds.

use super::{Task, Vector};

pub(super) const LANES: usize = 8;

#[derive(Clone, Copy)]
struct Lanes([f32; LANES]);

pub(super) fn run<T: Task>(task: T) {
    // SAFETY: arrays need no instruction set.
    unsafe { task.run::<Lanes>() }
}

impl Vector for Lanes {
    const LANES: usize = LANES;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    unsafe fn load(memory: &[f32], at: usize) -> Self {
        let mut lanes = [0.0; LANES];
        lanes.copy_from_slice(&memory[at..at + LANES]);
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn store(self, memory: &mut [f32], at: usize) {
        memory[at..at + LANES].copy_from_slice(&self.0);
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
        // Not `f32::mul_add`: without an FMA unit that is a call into the maths library.
        Self(std::array::from_fn(|lane| self.0[lane] * factor.0[lane] + sum.0[lane]))
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        Self(self.0.map(|lane| if lane < 0.0 { 0.0 } else { lane }))
    }

    #[inline(always)]
    unsafe fn read<T: Copy>(memory: &[T], at: usize) -> T {
        memory[at]
    }
}
