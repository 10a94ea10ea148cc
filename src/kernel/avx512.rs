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
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        // The second operand is the one that comes back when either is NaN.
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_max_ps(_mm512_setzero_ps(), self.0) })
    }

    type Index = __m512i;

    #[inline(always)]
    unsafe fn load_index(words: &[u32], at: usize) -> __m512i {
        debug_assert!(at + LANES <= words.len());
        // SAFETY: the caller promises that the lanes lie in `words`.
        unsafe { _mm512_loadu_si512(words.as_ptr().add(at).cast()) }
    }

    #[inline(always)]
    unsafe fn next_index(index: __m512i) -> __m512i {
        // SAFETY: see `splat`.
        unsafe { _mm512_srli_epi32::<5>(index) }
    }

    #[inline(always)]
    unsafe fn lookup([low, high]: [Self; 2], index: __m512i) -> Self {
        // The instruction looks at five bits of each lane.
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_permutex2var_ps(low.0, index, high.0) })
    }

    #[inline(always)]
    unsafe fn all_finite(self) -> bool {
        // x − x is 0 for finite numbers and NaN for the others.
        // SAFETY: see `splat`.
        unsafe {
            let zeros = _mm512_sub_ps(self.0, self.0);
            _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(zeros, _mm512_setzero_ps()) == !0
        }
    }

    #[inline(always)]
    unsafe fn transpose(
        (count, columns): (usize, usize),
        source: &[f32],
        at: usize,
        stride: usize,
        target: &mut [f32],
        to: usize,
        target_stride: usize,
    ) {
        // SAFETY: the caller promises that rows and columns lie in `source` and `target`.
        unsafe {
            let mut rows = [_mm512_setzero_ps(); LANES];
            for (row, lanes) in rows.iter_mut().enumerate().take(count) {
                *lanes = Self::load(source, at + row * stride).0;
            }
            let mut pairs = rows;
            for i in 0..8 {
                pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
                pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
            }
            // Quarter q of quads[4 * i + k] is column 4 * q + k of rows 4 * i to 4 * i + 3.
            let mut quads = rows;
            for i in 0..4 {
                let [a, b, c, d] = [0, 1, 2, 3].map(|k| _mm512_castps_pd(pairs[4 * i + k]));
                quads[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
                quads[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
                quads[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
                quads[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
            }
            for k in 0..4 {
                let even = _mm512_shuffle_f32x4::<0x88>(quads[k], quads[4 + k]);
                let odd = _mm512_shuffle_f32x4::<0xDD>(quads[k], quads[4 + k]);
                let even_below = _mm512_shuffle_f32x4::<0x88>(quads[8 + k], quads[12 + k]);
                let odd_below = _mm512_shuffle_f32x4::<0xDD>(quads[8 + k], quads[12 + k]);
                let mut put = |column: usize, lanes| {
                    if column < columns {
                        Self(lanes).store(target, to + column * target_stride);
                    }
                };
                put(k, _mm512_shuffle_f32x4::<0x88>(even, even_below));
                put(k + 4, _mm512_shuffle_f32x4::<0x88>(odd, odd_below));
                put(k + 8, _mm512_shuffle_f32x4::<0xDD>(even, even_below));
                put(k + 12, _mm512_shuffle_f32x4::<0xDD>(odd, odd_below));
            }
        }
    }
}
