//! AVX-512F.

use std::arch::x86_64::*;

use super::{Task, Vector};

pub(super) const LANES: usize = 16;

#[derive(Clone, Copy)]
struct Lanes(__m512);

/// # Safety
/// The CPU has AVX-512F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn run<T: Task>(task: T) {
    // SAFETY: the caller's promise.
    unsafe { task.run::<Lanes>() }
}

impl Vector for Lanes {
    const LANES: usize = LANES;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the CPU has the instructions; so below.
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(memory: &[f32], at: usize) -> Self {
        debug_assert!(at + LANES <= memory.len());
        // SAFETY: the caller promises that the lanes lie in `memory`.
        Self(unsafe { _mm512_loadu_ps(memory.as_ptr().add(at)) })
    }

    #[inline(always)]
    unsafe fn store(self, memory: &mut [f32], at: usize) {
        debug_assert!(at + LANES <= memory.len());
        // SAFETY: the caller promises that the lanes lie in `memory`.
        unsafe { _mm512_storeu_ps(memory.as_mut_ptr().add(at), self.0) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, sum.0) })
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        // The second operand is the one that comes back when either is NaN.
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_max_ps(_mm512_setzero_ps(), self.0) })
    }
}
