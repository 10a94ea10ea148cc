//! AVX-512F.

use std::arch::asm;
use std::arch::x86_64::*;

use super::vector::{Column, MAX_LANES};
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

/// The four floats from `place` on, four times over. In assembly, since the compiler would make a load of each splat
/// that is shuffled from the intrinsic's result.
///
/// # Safety
/// The CPU has AVX-512F, and `place` has four floats.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn repeat_four(place: *const f32) -> __m512 {
    let four;
    // SAFETY: it reads the four floats and touches nothing else.
    unsafe {
        asm!(
            "vbroadcastf32x4 {four}, [{place}]",
            four = out(zmm_reg) four,
            place = in(reg) place,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    four
}

/// Some lanes of a vector, and a float in the others, where `mask` has ones. In assembly, since the compiler would put
/// such a vector together by shuffles, which are scarcer than loads.
///
/// # Safety
/// The CPU has AVX-512F, and `memory` has a float at `place`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn splat_into(lanes: __m512, mask: __mmask16, memory: *const f32, place: usize) -> __m512 {
    let mut lanes = lanes;
    // SAFETY: it reads the float and touches nothing else.
    unsafe {
        asm!(
            "vbroadcastss {lanes}{{{mask}}}, dword ptr [{memory} + 4 * {place}]",
            lanes = inout(zmm_reg) lanes,
            mask = in(kreg) mask,
            memory = in(reg) memory,
            place = in(reg) place,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    lanes
}

/// A float in every lane of half a vector. In assembly, for the same reason as in [`splat_into`].
///
/// # Safety
/// The CPU has AVX-512F, and `memory` has a float at `place`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn splat_half(memory: *const f32, place: usize) -> __m256 {
    let lanes;
    // SAFETY: it reads the float and touches nothing else.
    unsafe {
        asm!(
            "vbroadcastss {lanes}, dword ptr [{memory} + 4 * {place}]",
            lanes = out(ymm_reg) lanes,
            memory = in(reg) memory,
            place = in(reg) place,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    lanes
}

/// The floats of `memory` that `columns[at..at + 8]` number: by splats, which are blended on any port. (Counted from
/// ports for AMD's cores and Intel's up to Ice Lake, not measured there; later ones of Intel's take the instruction.)
///
/// # Safety
/// The CPU has AVX-512F, the eight lie in `columns`, and each is below `memory.len()`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn gather_half<C: Column>(memory: &[f32], columns: &[C], at: usize) -> __m256 {
    debug_assert!(columns[at..at + LANES / 2].iter().all(|column| column.place() < memory.len()));
    // SAFETY: the caller's promises.
    unsafe {
        let memory = memory.as_ptr();
        let [a, b, c, d] = C::four::<Lanes>(columns, at);
        let first = _mm256_blend_ps::<0b0010>(splat_half(memory, a), splat_half(memory, b));
        let second = _mm256_blend_ps::<0b1000>(splat_half(memory, c), splat_half(memory, d));
        let [a, b, c, d] = C::four::<Lanes>(columns, at + 4);
        let third = _mm256_blend_ps::<0b0010_0000>(splat_half(memory, a), splat_half(memory, b));
        let fourth = _mm256_blend_ps::<0b1000_0000>(splat_half(memory, c), splat_half(memory, d));
        let low = _mm256_blend_ps::<0b1100>(first, second);
        let high = _mm256_blend_ps::<0b1100_0000>(third, fourth);
        _mm256_blend_ps::<0b1111_0000>(low, high)
    }
}

/// A one for each of so many lanes.
#[inline(always)]
fn first_lanes(count: usize) -> __mmask16 {
    ((1_u32 << count) - 1) as __mmask16
}

/// The sum of the halves of `a`, and that of `b`.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_halves(a: __m512, b: __m512) -> __m512 {
    _mm512_add_ps(_mm512_shuffle_f32x4::<0b01_00_01_00>(a, b), _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b))
}

/// The sums of the first two quarters and of the last two of `a`, and then those of `b`.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_neighbours(a: __m512, b: __m512) -> __m512 {
    _mm512_add_ps(_mm512_shuffle_f32x4::<0b10_00_10_00>(a, b), _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b))
}

impl Vector for Lanes {
    const LANES: usize = LANES;

    const GATHERS: bool = false;

    const PANEL_STEPS: usize = 1;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the CPU has the instructions; so below.
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn splat_parts<const P: usize>(memory: &[f32], places: [usize; P]) -> Self {
        debug_assert!(4 * P <= LANES && places.iter().all(|&place| place < memory.len()));
        // SAFETY: the CPU has the instructions, and the caller promises that the places lie in `memory`.
        unsafe {
            let mut lanes = _mm512_set1_ps(*memory.get_unchecked(places[0]));
            for (part, &place) in places.iter().enumerate().skip(1) {
                let mask = ((1_u32 << (LANES / P)) - 1) << (part * LANES / P);
                lanes = splat_into(lanes, mask as __mmask16, memory.as_ptr(), place);
            }
            Self(lanes)
        }
    }

    #[inline(always)]
    unsafe fn fold<const P: usize>(vectors: [Self; P]) -> Self {
        debug_assert!(4 * P <= LANES);
        let [a, b, c, d] = [0, P / 4, P / 2, P - 1].map(|at| vectors[at].0);
        // SAFETY: see `splat`.
        unsafe {
            Self(match P {
                1 => a,
                2 => add_halves(a, d),
                _ => add_neighbours(add_neighbours(a, b), add_neighbours(c, d)),
            })
        }
    }

    #[inline(always)]
    unsafe fn splat_four(memory: &[f32], at: usize) -> [Self; 4] {
        debug_assert!(at + 4 <= memory.len());
        // SAFETY: the caller promises that the four lie in `memory`.
        unsafe {
            let four = repeat_four(memory.as_ptr().add(at));
            [
                Self(_mm512_permute_ps::<0b00_00_00_00>(four)),
                Self(_mm512_permute_ps::<0b01_01_01_01>(four)),
                Self(_mm512_permute_ps::<0b10_10_10_10>(four)),
                Self(_mm512_permute_ps::<0b11_11_11_11>(four)),
            ]
        }
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
    unsafe fn load_some(memory: &[f32]) -> Self {
        debug_assert!(memory.len() <= LANES);
        // SAFETY: the lanes that are read lie in `memory`.
        Self(unsafe { _mm512_maskz_loadu_ps(first_lanes(memory.len()), memory.as_ptr()) })
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

    #[inline(always)]
    unsafe fn mul(self, factor: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_mul_ps(self.0, factor.0) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn div(self, divisor: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_div_ps(self.0, divisor.0) })
    }

    #[inline(always)]
    unsafe fn sqrt(self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_sqrt_ps(self.0) })
    }

    #[inline(always)]
    unsafe fn keep(self, bits: u64) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_maskz_mov_ps(bits as __mmask16, self.0) })
    }

    #[inline(always)]
    unsafe fn sums(memory: &[f32]) -> Self {
        debug_assert!(memory.len() >= LANES * LANES);
        // SAFETY: the CPU has the instructions, and the caller promises that the vectors lie in `memory`.
        unsafe {
            // Half of the floats are added to the other half, until lane n of quarter i has the sum of vector 4 * i +
            // n: with shuffles inside of quarters, then between them. (No closures: they would be compiled for any
            // CPU.)
            let mut quads = [_mm512_setzero_ps(); 4];
            for (i, quad) in quads.iter_mut().enumerate() {
                let a = Self::load(memory, 4 * i * LANES).0;
                let b = Self::load(memory, (4 * i + 1) * LANES).0;
                let c = Self::load(memory, (4 * i + 2) * LANES).0;
                let d = Self::load(memory, (4 * i + 3) * LANES).0;
                let ab = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
                let cd = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
                let (low, high) = (_mm512_unpacklo_pd(ab, cd), _mm512_unpackhi_pd(ab, cd));
                *quad = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
            }
            let halves = [add_neighbours(quads[0], quads[1]), add_neighbours(quads[2], quads[3])];
            Self(add_neighbours(halves[0], halves[1]))
        }
    }

    #[inline(always)]
    unsafe fn at_least(self, bound: Self) -> Self {
        // As in `relu`.
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_max_ps(bound.0, self.0) })
    }

    #[inline(always)]
    unsafe fn if_below(self, bound: Self, then: Self, otherwise: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe {
            let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, bound.0);
            Self(_mm512_mask_blend_ps(below, otherwise.0, then.0))
        }
    }

    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_scalef_ps(self.0, n.0) })
    }

    type Index = __m512i;

    #[inline(always)]
    unsafe fn load_index(words: &[u32], at: usize) -> __m512i {
        debug_assert!(at + LANES <= words.len());
        // SAFETY: the caller promises that the lanes lie in `words`.
        unsafe { _mm512_loadu_si512(words.as_ptr().add(at).cast()) }
    }

    #[inline(always)]
    unsafe fn index_of_shorts(shorts: &[u16], at: usize) -> __m512i {
        debug_assert!(at + LANES <= shorts.len());
        // SAFETY: the caller promises that the lanes lie in `shorts`.
        unsafe { _mm512_cvtepu16_epi32(_mm256_loadu_si256(shorts.as_ptr().add(at).cast())) }
    }

    #[inline(always)]
    unsafe fn index_of_bytes(bytes: &[u8], at: usize) -> __m512i {
        debug_assert!(at + LANES <= bytes.len());
        // SAFETY: the caller promises that the lanes lie in `bytes`.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(bytes.as_ptr().add(at).cast())) }
    }

    #[inline(always)]
    unsafe fn add_index(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see `splat`.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn shift(index: __m512i, bits: u32) -> __m512i {
        // SAFETY: see `splat`.
        unsafe { _mm512_srlv_epi32(index, _mm512_set1_epi32(bits as i32)) }
    }

    #[inline(always)]
    unsafe fn gather_at_once(memory: &[f32], columns: __m512i) -> Self {
        // SAFETY: the caller promises that what the columns number lies in `memory`.
        Self(unsafe { _mm512_i32gather_ps::<{ size_of::<f32>() as i32 }>(columns, memory.as_ptr()) })
    }

    #[inline(always)]
    unsafe fn gather<C: Column>(memory: &[f32], columns: &[C], at: usize) -> Self {
        // SAFETY: the caller promises that the columns lie in `columns`, and what they number in `memory`.
        unsafe {
            let low = _mm512_castps_pd(_mm512_castps256_ps512(gather_half(memory, columns, at)));
            let high = _mm256_castps_pd(gather_half(memory, columns, at + LANES / 2));
            Self(_mm512_castpd_ps(_mm512_insertf64x4::<1>(low, high)))
        }
    }

    #[inline(always)]
    unsafe fn repeat(memory: &[f32], at: usize, count: usize) -> Self {
        debug_assert!(at + count.min(LANES) <= memory.len());
        // SAFETY: the caller promises that so many floats lie in `memory`.
        unsafe {
            let memory = memory.as_ptr().add(at);
            Self(match count {
                4 => repeat_four(memory),
                8 => _mm512_castpd_ps(_mm512_broadcast_f64x4(_mm256_loadu_pd(memory.cast()))),
                _ => _mm512_loadu_ps(memory),
            })
        }
    }

    #[inline(always)]
    unsafe fn lookup<const T: usize>(table: &[Self; T], index: __m512i) -> Self {
        // A permutation of two vectors looks at five bits of each lane; the bits above choose between such pairs.
        // SAFETY: see `splat`.
        unsafe {
            let pair = |pair: usize| _mm512_permutex2var_ps(table[2 * pair].0, index, table[2 * pair + 1].0);
            let by_bit = |bit: i32| _mm512_test_epi32_mask(index, _mm512_set1_epi32(1 << bit));
            Self(match T {
                1 => _mm512_permutexvar_ps(index, table[0].0),
                2 => pair(0),
                4 => _mm512_mask_blend_ps(by_bit(5), pair(0), pair(1)),
                _ => {
                    let (fifth, sixth) = (by_bit(5), by_bit(6));
                    let low = _mm512_mask_blend_ps(fifth, pair(0), pair(1));
                    let high = _mm512_mask_blend_ps(fifth, pair(2), pair(3));
                    _mm512_mask_blend_ps(sixth, low, high)
                }
            })
        }
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
    unsafe fn transpose(rows: &[&[f32]; MAX_LANES], at: usize, mut put: impl FnMut(usize, Self)) {
        debug_assert!(rows.iter().all(|row| row.len() >= at + LANES));
        for half in [0, LANES / 2] {
            // Half of two rows, four apart, in a vector, put together by loads: quarter l of quads[i][k] is column
            // k + 4 * (l % 2) of the half, of rows 8 * i + 4 * (l / 2) to 8 * i + 4 * (l / 2) + 3.
            // SAFETY: the CPU has the instructions, and the caller promises that rows have so many floats.
            unsafe {
                let mut quads = [[_mm512_setzero_ps(); 4]; 2];
                for (i, quads) in quads.iter_mut().enumerate() {
                    let mut pairs = [_mm512_setzero_ps(); 4];
                    for (k, pair) in pairs.iter_mut().enumerate() {
                        let low = _mm256_loadu_ps(rows[8 * i + k].as_ptr().add(at + half));
                        let high = _mm256_loadu_ps(rows[8 * i + k + 4].as_ptr().add(at + half));
                        let pair_of_rows = _mm512_castps_pd(_mm512_castps256_ps512(low));
                        let pair_of_rows = _mm512_insertf64x4::<1>(pair_of_rows, _mm256_castps_pd(high));
                        *pair = _mm512_castpd_ps(pair_of_rows);
                    }
                    let [a, b, c, d] = pairs;
                    let low = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
                    let high = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
                    let low_below = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
                    let high_below = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
                    *quads = [
                        _mm512_castpd_ps(_mm512_unpacklo_pd(low, low_below)),
                        _mm512_castpd_ps(_mm512_unpackhi_pd(low, low_below)),
                        _mm512_castpd_ps(_mm512_unpacklo_pd(high, high_below)),
                        _mm512_castpd_ps(_mm512_unpackhi_pd(high, high_below)),
                    ];
                }
                let [above, below] = quads;
                for (k, (above, below)) in above.into_iter().zip(below).enumerate() {
                    put(half + k, Self(_mm512_shuffle_f32x4::<0b10_00_10_00>(above, below)));
                    put(half + k + 4, Self(_mm512_shuffle_f32x4::<0b11_01_11_01>(above, below)));
                }
            }
        }
    }
}
