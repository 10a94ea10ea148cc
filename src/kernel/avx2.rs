//! AVX2 and FMA.

use std::arch::asm;
use std::arch::x86_64::*;
use std::slice;

use super::vector::{Column, MAX_LANES};
use super::{Task, Vector};

pub(super) const LANES: usize = 8;

#[derive(Clone, Copy)]
struct Lanes(__m256);

/// # Safety
/// The CPU has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run<T: Task>(task: T) {
    // SAFETY: the caller's promise.
    unsafe { task.run::<Lanes>() }
}

/// The sign in each of so many lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn first_lanes(count: usize) -> __m256i {
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

/// Four floats in each half, by one load. The compiler would make a load of each shuffle of it, if it saw where it
/// comes from.
///
/// # Safety
/// The CPU has AVX2, and `place` has four floats.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn repeat_four(place: *const f32) -> __m256 {
    let four;
    // SAFETY: it reads the four floats and touches nothing else.
    unsafe {
        asm!(
            "vbroadcastf128 {four}, [{place}]",
            four = out(ymm_reg) four,
            place = in(reg) place,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    four
}

/// The same vector, in a register: AMD's Zen 3 permutes one from memory only every other cycle.
///
/// # Safety
/// The CPU has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn loaded(mut vector: __m256) -> __m256 {
    // SAFETY: it changes nothing, which the compiler cannot see.
    unsafe { asm!("/* {0} */", inout(ymm_reg) vector, options(pure, nomem, nostack, preserves_flags)) };
    vector
}

/// The same place, as it is: where several loads use one, the compiler would scale it by itself, and they do that for
/// nothing.
#[inline(always)]
fn unscaled(mut place: usize) -> usize {
    // SAFETY: it changes nothing, which the compiler cannot see.
    unsafe { asm!("/* {0} */", inout(reg) place, options(pure, nomem, nostack, preserves_flags)) };
    place
}

impl Vector for Lanes {
    const LANES: usize = LANES;

    const GATHERS: bool = true;

    const PANEL_STEPS: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the CPU has the instructions; so below.
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn splat_parts<const P: usize>(memory: &[f32], places: [usize; P]) -> Self {
        debug_assert!(4 * P <= LANES && places.iter().all(|&place| place < memory.len()));
        // SAFETY: the CPU has the instructions, and the caller promises that the places lie in `memory`.
        unsafe {
            let low = _mm256_broadcast_ss(memory.get_unchecked(places[0]));
            let high = _mm256_broadcast_ss(memory.get_unchecked(places[P - 1]));
            Self(if P == 1 { low } else { _mm256_blend_ps::<0b1111_0000>(low, high) })
        }
    }

    #[inline(always)]
    unsafe fn fold<const P: usize>(vectors: [Self; P]) -> Self {
        debug_assert!(4 * P <= LANES);
        let (a, b) = (vectors[0], vectors[P - 1]);
        if P == 1 {
            return a;
        }
        // SAFETY: see `splat`.
        unsafe {
            let low = _mm256_permute2f128_ps::<0x20>(a.0, b.0);
            let high = _mm256_permute2f128_ps::<0x31>(a.0, b.0);
            Self(_mm256_add_ps(low, high))
        }
    }

    #[inline(always)]
    unsafe fn splat_four(memory: &[f32], at: usize) -> [Self; 4] {
        debug_assert!(at + 4 <= memory.len());
        // SAFETY: the caller promises that the four lie in `memory`.
        unsafe {
            let four = repeat_four(memory.as_ptr().add(at));
            [
                Self(_mm256_permute_ps::<0b00_00_00_00>(four)),
                Self(_mm256_permute_ps::<0b01_01_01_01>(four)),
                Self(_mm256_permute_ps::<0b10_10_10_10>(four)),
                Self(_mm256_permute_ps::<0b11_11_11_11>(four)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn again(memory: &[f32]) -> &[f32] {
        let mut start = memory.as_ptr();
        // SAFETY: it changes nothing, which the compiler cannot see; so the slice is the same.
        unsafe {
            asm!("/* {0} */", inout(reg) start, options(pure, readonly, nostack, preserves_flags));
            slice::from_raw_parts(start, memory.len())
        }
    }

    #[inline(always)]
    unsafe fn load(memory: &[f32], at: usize) -> Self {
        debug_assert!(at + LANES <= memory.len());
        // SAFETY: the caller promises that the lanes lie in `memory`.
        Self(unsafe { _mm256_loadu_ps(memory.as_ptr().add(at)) })
    }

    #[inline(always)]
    unsafe fn store(self, memory: &mut [f32], at: usize) {
        debug_assert!(at + LANES <= memory.len());
        // SAFETY: the caller promises that the lanes lie in `memory`.
        unsafe { _mm256_storeu_ps(memory.as_mut_ptr().add(at), self.0) }
    }

    #[inline(always)]
    unsafe fn load_some(memory: &[f32]) -> Self {
        debug_assert!(memory.len() <= LANES);
        // SAFETY: the CPU has the instructions, and the lanes that are read lie in `memory`.
        Self(unsafe { _mm256_maskload_ps(memory.as_ptr(), first_lanes(memory.len())) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, sum.0) })
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        // The second operand is the one that comes back when either is NaN.
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_max_ps(_mm256_setzero_ps(), self.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, factor: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_mul_ps(self.0, factor.0) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn div(self, divisor: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_div_ps(self.0, divisor.0) })
    }

    #[inline(always)]
    unsafe fn sqrt(self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_sqrt_ps(self.0) })
    }

    #[inline(always)]
    unsafe fn keep(self, bits: u64) -> Self {
        // SAFETY: see `splat`.
        unsafe {
            let lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let kept = _mm256_and_si256(_mm256_set1_epi32(bits as i32), lanes);
            let kept = _mm256_castsi256_ps(_mm256_cmpeq_epi32(kept, lanes));
            Self(_mm256_and_ps(self.0, kept))
        }
    }

    #[inline(always)]
    unsafe fn sums(memory: &[f32]) -> Self {
        debug_assert!(memory.len() >= LANES * LANES);
        // SAFETY: the CPU has the instructions, and the caller promises that the vectors lie in `memory`.
        unsafe {
            // Lane n of each half has half of the sum of vector 4 * i + n.
            let mut quads = [_mm256_setzero_ps(); 2];
            for (i, quad) in quads.iter_mut().enumerate() {
                let a = Self::load(memory, 4 * i * LANES).0;
                let b = Self::load(memory, (4 * i + 1) * LANES).0;
                let c = Self::load(memory, (4 * i + 2) * LANES).0;
                let d = Self::load(memory, (4 * i + 3) * LANES).0;
                *quad = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            }
            let low = _mm256_permute2f128_ps::<0x20>(quads[0], quads[1]);
            let high = _mm256_permute2f128_ps::<0x31>(quads[0], quads[1]);
            Self(_mm256_add_ps(low, high))
        }
    }

    #[inline(always)]
    unsafe fn at_least(self, bound: Self) -> Self {
        // As in `relu`.
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_max_ps(bound.0, self.0) })
    }

    #[inline(always)]
    unsafe fn if_below(self, bound: Self, then: Self, otherwise: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe {
            let below = _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, bound.0);
            Self(_mm256_blendv_ps(otherwise.0, then.0, below))
        }
    }

    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        // In two steps, as 2ⁿ may be no normal number; only the second can round.
        // SAFETY: see `splat`.
        unsafe {
            let n = _mm256_cvtps_epi32(n.0);
            let half = _mm256_srai_epi32::<1>(n);
            let mut scaled = self.0;
            for n in [half, _mm256_sub_epi32(n, half)] {
                let exponent = _mm256_add_epi32(n, _mm256_set1_epi32(127));
                let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent));
                scaled = _mm256_mul_ps(scaled, power);
            }
            Self(scaled)
        }
    }

    type Index = __m256i;

    #[inline(always)]
    unsafe fn load_index(words: &[u32], at: usize) -> __m256i {
        debug_assert!(at + LANES <= words.len());
        // SAFETY: the caller promises that the lanes lie in `words`.
        unsafe { _mm256_loadu_si256(words.as_ptr().add(at).cast()) }
    }

    #[inline(always)]
    unsafe fn index_of_shorts(shorts: &[u16], at: usize) -> __m256i {
        debug_assert!(at + LANES <= shorts.len());
        // SAFETY: the caller promises that the lanes lie in `shorts`.
        unsafe { _mm256_cvtepu16_epi32(_mm_loadu_si128(shorts.as_ptr().add(at).cast())) }
    }

    #[inline(always)]
    unsafe fn index_of_bytes(bytes: &[u8], at: usize) -> __m256i {
        debug_assert!(at + LANES <= bytes.len());
        // SAFETY: the caller promises that the lanes lie in `bytes`.
        unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.as_ptr().add(at).cast())) }
    }

    #[inline(always)]
    unsafe fn add_index(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see `splat`.
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn shift(index: __m256i, bits: u32) -> __m256i {
        // SAFETY: see `splat`.
        unsafe { _mm256_srlv_epi32(index, _mm256_set1_epi32(bits as i32)) }
    }

    #[inline(always)]
    unsafe fn gather_at_once(memory: &[f32], columns: __m256i) -> Self {
        // SAFETY: the caller promises that what the columns number lies in `memory`.
        Self(unsafe { _mm256_i32gather_ps::<{ size_of::<f32>() as i32 }>(memory.as_ptr(), columns) })
    }

    #[inline(always)]
    unsafe fn gather<C: Column>(memory: &[f32], columns: &[C], at: usize) -> Self {
        // SAFETY: the caller promises that the columns lie in `columns`, and what they number in `memory`.
        unsafe {
            let [a, b, c, d] = C::four::<Self>(columns, at);
            let [e, f, g, h] = C::four::<Self>(columns, at + 4);
            let float = |place: usize| *memory.get_unchecked(unscaled(place));
            Self(_mm256_setr_ps(
                float(a),
                float(b),
                float(c),
                float(d),
                float(e),
                float(f),
                float(g),
                float(h),
            ))
        }
    }

    #[inline(always)]
    unsafe fn repeat(memory: &[f32], at: usize, count: usize) -> Self {
        debug_assert!(at + count.min(LANES) <= memory.len());
        // SAFETY: the caller promises that so many floats lie in `memory`.
        unsafe {
            let memory = memory.as_ptr().add(at);
            Self(match count {
                4 => _mm256_broadcast_ps(&*memory.cast()),
                _ => _mm256_loadu_ps(memory),
            })
        }
    }

    #[inline(always)]
    unsafe fn lookup<const T: usize>(table: &[Self; T], index: __m256i) -> Self {
        // A permutation looks at three bits; each bit above them, moved to the sign, chooses between two halves.
        // SAFETY: see `splat`.
        unsafe {
            let mut lanes = [_mm256_setzero_ps(); T];
            for (lanes, table) in lanes.iter_mut().zip(table) {
                *lanes = _mm256_permutevar8x32_ps(if T == 1 { loaded(table.0) } else { table.0 }, index);
            }
            let (mut count, mut shift) = (T, 28);
            while count > 1 {
                count /= 2;
                let sign = _mm256_castsi256_ps(_mm256_sll_epi32(index, _mm_cvtsi32_si128(shift)));
                for at in 0..count {
                    lanes[at] = _mm256_blendv_ps(lanes[2 * at], lanes[2 * at + 1], sign);
                }
                shift -= 1;
            }
            Self(lanes[0])
        }
    }

    #[inline(always)]
    unsafe fn all_finite(self) -> bool {
        // x − x is 0 for finite numbers and NaN for the others.
        // SAFETY: see `splat`.
        unsafe {
            let zeros = _mm256_sub_ps(self.0, self.0);
            _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_EQ_OQ>(zeros, _mm256_setzero_ps())) == 0xFF
        }
    }

    #[inline(always)]
    unsafe fn transpose(rows: &[&[f32]; MAX_LANES], at: usize, mut put: impl FnMut(usize, Self)) {
        // SAFETY: the CPU has the instructions, and the caller promises that rows have so many floats.
        unsafe {
            let mut pairs = [_mm256_setzero_pd(); LANES];
            for i in 0..4 {
                let (even, odd) = (Self::load(rows[2 * i], at).0, Self::load(rows[2 * i + 1], at).0);
                pairs[2 * i] = _mm256_castps_pd(_mm256_unpacklo_ps(even, odd));
                pairs[2 * i + 1] = _mm256_castps_pd(_mm256_unpackhi_ps(even, odd));
            }
            // Half h of quads[4 * i + k] is column 4 * h + k of rows 4 * i to 4 * i + 3.
            let mut quads = [_mm256_setzero_ps(); LANES];
            for i in 0..2 {
                let [a, b, c, d] = [pairs[4 * i], pairs[4 * i + 1], pairs[4 * i + 2], pairs[4 * i + 3]];
                quads[4 * i] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
                quads[4 * i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
                quads[4 * i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
                quads[4 * i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
            }
            for k in 0..4 {
                let left = _mm256_permute2f128_ps::<0x20>(quads[k], quads[4 + k]);
                let right = _mm256_permute2f128_ps::<0x31>(quads[k], quads[4 + k]);
                put(k, Self(left));
                put(k + 4, Self(right));
            }
        }
    }
}
