//! Vectors in plain Rust, which the compiler turns into what the target has. Every access is checked: what is `unsafe`
//! here is so for the trait's sake alone, and no wrong matrix makes it read out of bounds.

use super::vector::{Column, MAX_LANES};
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

    const GATHERS: bool = false;

    const PANEL_STEPS: usize = 1;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    unsafe fn splat_parts<const P: usize>(memory: &[f32], places: [usize; P]) -> Self {
        let values = places.map(|place| memory[place]);
        Self(std::array::from_fn(|lane| values[lane * P / LANES]))
    }

    #[inline(always)]
    unsafe fn fold<const P: usize>(vectors: [Self; P]) -> Self {
        Self(std::array::from_fn(|lane| {
            let lanes = vectors[lane * P / LANES].0;
            lanes.iter().skip(lane % (LANES / P)).step_by(LANES / P).sum()
        }))
    }

    #[inline(always)]
    unsafe fn splat_four(memory: &[f32], at: usize) -> [Self; 4] {
        std::array::from_fn(|offset| Self([memory[at + offset]; LANES]))
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
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        Self(self.0.map(|lane| if lane < 0.0 { 0.0 } else { lane }))
    }

    #[inline(always)]
    unsafe fn mul(self, factor: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] * factor.0[lane]))
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] - other.0[lane]))
    }

    #[inline(always)]
    unsafe fn div(self, divisor: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] / divisor.0[lane]))
    }

    #[inline(always)]
    unsafe fn sqrt(self) -> Self {
        Self(self.0.map(f32::sqrt))
    }

    #[inline(always)]
    unsafe fn keep(self, bits: u64) -> Self {
        Self(std::array::from_fn(|lane| if bits >> lane & 1 == 1 { self.0[lane] } else { 0.0 }))
    }

    #[inline(always)]
    unsafe fn sums(memory: &[f32]) -> Self {
        // By halves, so that no addition waits for seven others.
        Self(std::array::from_fn(|n| {
            let lanes = &memory[n * LANES..(n + 1) * LANES];
            let quarters: [f32; 4] = std::array::from_fn(|lane| lanes[lane] + lanes[lane + 4]);
            (quarters[0] + quarters[2]) + (quarters[1] + quarters[3])
        }))
    }

    #[inline(always)]
    unsafe fn at_least(self, bound: Self) -> Self {
        Self(std::array::from_fn(
            |lane| if self.0[lane] < bound.0[lane] { bound.0[lane] } else { self.0[lane] },
        ))
    }

    #[inline(always)]
    unsafe fn if_below(self, bound: Self, then: Self, otherwise: Self) -> Self {
        let (x, then, otherwise) = (self.0, then.0, otherwise.0);
        Self(std::array::from_fn(|lane| if x[lane] < bound.0[lane] { then[lane] } else { otherwise[lane] }))
    }

    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        // In two steps, as 2ⁿ may be no normal number; only the second can round. The sum with 1.5·2²³ has n in its
        // lowest bits: a cast that saturates would be slower.
        const WHOLE: f32 = 12_582_912.0;
        let power = |n: i32| f32::from_bits(((n + 127) << 23).cast_unsigned());
        Self(std::array::from_fn(|lane| {
            let n = (n.0[lane] + WHOLE).to_bits().cast_signed() - WHOLE.to_bits().cast_signed();
            let half = n >> 1;
            self.0[lane] * power(half) * power(n - half)
        }))
    }

    type Index = [u32; LANES];

    #[inline(always)]
    unsafe fn load_index(words: &[u32], at: usize) -> [u32; LANES] {
        let mut index = [0; LANES];
        index.copy_from_slice(&words[at..at + LANES]);
        index
    }

    #[inline(always)]
    unsafe fn index_of_shorts(shorts: &[u16], at: usize) -> [u32; LANES] {
        let shorts = &shorts[at..at + LANES];
        std::array::from_fn(|lane| shorts[lane].into())
    }

    #[inline(always)]
    unsafe fn index_of_bytes(bytes: &[u8], at: usize) -> [u32; LANES] {
        let bytes = &bytes[at..at + LANES];
        std::array::from_fn(|lane| bytes[lane].into())
    }

    #[inline(always)]
    unsafe fn add_index(a: [u32; LANES], b: [u32; LANES]) -> [u32; LANES] {
        std::array::from_fn(|lane| a[lane].wrapping_add(b[lane]))
    }

    #[inline(always)]
    unsafe fn shift(index: [u32; LANES], bits: u32) -> [u32; LANES] {
        index.map(|word| word >> bits)
    }

    #[inline(always)]
    unsafe fn gather<C: Column>(memory: &[f32], columns: &[C], at: usize) -> Self {
        let columns = &columns[at..at + LANES];
        Self(std::array::from_fn(|lane| memory[columns[lane].place()]))
    }

    #[inline(always)]
    unsafe fn gather_at_once(memory: &[f32], columns: [u32; LANES]) -> Self {
        Self(columns.map(|column| memory[column as usize]))
    }

    #[inline(always)]
    unsafe fn repeat(memory: &[f32], at: usize, count: usize) -> Self {
        let memory = &memory[at..at + count.min(LANES)];
        Self(std::array::from_fn(|lane| memory[lane % count]))
    }

    #[inline(always)]
    unsafe fn lookup<const T: usize>(table: &[Self; T], index: [u32; LANES]) -> Self {
        Self(index.map(|word| {
            let column = word as usize % (T * LANES);
            table[column / LANES].0[column % LANES]
        }))
    }

    #[inline(always)]
    unsafe fn all_finite(self) -> bool {
        self.0.iter().all(|lane| lane.is_finite())
    }

    #[inline(always)]
    unsafe fn transpose(rows: &[&[f32]; MAX_LANES], at: usize, mut put: impl FnMut(usize, Self)) {
        let columns: [[f32; LANES]; LANES] =
            std::array::from_fn(|column| std::array::from_fn(|lane| rows[lane][at + column]));
        columns.into_iter().enumerate().for_each(|(index, lanes)| put(index, Self(lanes)));
    }

    #[inline(always)]
    unsafe fn read_four(memory: &[u16], at: usize) -> u64 {
        memory[at..at + 4].iter().rev().fold(0, |four, &value| four << 16 | u64::from(value))
    }

    #[inline(always)]
    unsafe fn read_two(memory: &[u32], at: usize) -> u64 {
        u64::from(memory[at]) | u64::from(memory[at + 1]) << 32
    }

    #[inline(always)]
    unsafe fn read<T: Copy>(memory: &[T], at: usize) -> T {
        memory[at]
    }
}
