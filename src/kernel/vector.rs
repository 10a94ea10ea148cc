//! What an algorithm needs of an instruction set.

pub(super) use crate::format::MAX_LANES;

/// A register of f32 lanes.
///
/// An implementation must not hand intrinsics to others in closures (`map`, `from_fn`): those do not have the
/// instructions of the function they stand in, and where the compiler does not inline them in time, each intrinsic
/// becomes a call.
///
/// The portable implementation checks every access to memory; the others do not. So the portable kernels are sound
/// whatever a matrix holds, and the others by the invariants that its constructor checked.
pub(crate) trait Vector: Copy {
    /// Lanes of a register.
    const LANES: usize;

    /// Whether plain CSR had better multiply a vector of a row's weights by a [gather](Self::gather), and add up the
    /// lanes at the end, than one weight at a time. Measured with AVX2 only.
    const GATHERS: bool;

    /// How many steps of four weights panels take in one turn of their loop. Measured with AVX2 only: a turn of four
    /// takes 24 samples 2 to 8% less time.
    const PANEL_STEPS: usize;

    /// `value` in every lane.
    ///
    /// # Safety
    /// The CPU has the instruction set: true inside of a [`Task`] that `Isa::run` runs. So for all methods.
    unsafe fn splat(value: f32) -> Self;

    /// Some values of `memory`, 1 or 2 or 4, in as many neighbouring lanes each, four or more, in turn.
    ///
    /// # Safety
    /// Each place is below `memory.len()`.
    unsafe fn splat_parts<const P: usize>(memory: &[f32], places: [usize; P]) -> Self;

    /// Of some vectors, 1 or 2 or 4, in as many parts of four or more neighbouring lanes, the sum of each one's parts,
    /// in turn.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn fold<const P: usize>(vectors: [Self; P]) -> Self;

    /// A splat of each of `memory[at..at + 4]`, by one load: where loads are what a kernel waits for, shuffles are
    /// free.
    ///
    /// # Safety
    /// `at + 4 <= memory.len()`.
    unsafe fn splat_four(memory: &[f32], at: usize) -> [Self; 4];

    /// `memory[at..at + LANES]`.
    ///
    /// # Safety
    /// `at + LANES <= memory.len()`.
    unsafe fn load(memory: &[f32], at: usize) -> Self;

    /// The same memory, from which the compiler loads again what it has in registers already: where these are few, it
    /// would put sums away to keep it.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    #[inline(always)]
    unsafe fn again(memory: &[f32]) -> &[f32] {
        memory
    }

    /// `memory[at..at + LANES] = self`.
    ///
    /// # Safety
    /// `at + LANES <= memory.len()`.
    unsafe fn store(self, memory: &mut [f32], at: usize);

    /// All of `memory`, no more than a vector, and 0 in the lanes behind it.
    ///
    /// # Safety
    /// See [`splat`](Self::splat), and `memory.len() <= LANES`.
    #[inline(always)]
    unsafe fn load_some(memory: &[f32]) -> Self {
        let mut lanes = [0.0; MAX_LANES];
        lanes[..memory.len()].copy_from_slice(memory);
        // SAFETY: the caller's promise; no vector has more lanes.
        unsafe { Self::load(&lanes, 0) }
    }

    /// `self · factor + sum`, fused where the hardware fuses.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self;

    /// `self + other`.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn add(self, other: Self) -> Self;

    /// 0 where a lane is below 0, else the lane; so NaN stays NaN.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn relu(self) -> Self;

    /// `self · factor`, rounded.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn mul(self, factor: Self) -> Self;

    /// `self − other`.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn sub(self, other: Self) -> Self;

    /// `self / divisor`.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn div(self, divisor: Self) -> Self;

    /// The square root.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    #[cfg_attr(not(feature = "dense"), allow(dead_code))] // for training
    unsafe fn sqrt(self) -> Self;

    /// The lanes whose bit is one, the first lane's the lowest, and 0 in the others, NaN or not.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn keep(self, bits: u64) -> Self;

    /// The sum of each of `LANES` vectors that follow each other in `memory`.
    ///
    /// # Safety
    /// `LANES² <= memory.len()`.
    #[cfg_attr(not(feature = "dense"), allow(dead_code))] // for training
    unsafe fn sums(memory: &[f32]) -> Self;

    /// `bound` where a lane is below it, else the lane; so NaN stays NaN, and a bound of NaN is none.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn at_least(self, bound: Self) -> Self;

    /// In each lane `then` where `self < bound`, else `otherwise`: also where either is NaN.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn if_below(self, bound: Self, then: Self, otherwise: Self) -> Self;

    /// `self · 2ⁿ`, rounded once, for lanes in [½, 2] and whole numbers n from −250 to 128.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn scale(self, n: Self) -> Self;

    /// Asks for the cache line of `memory[at]`, if there is one. It is only a hint: any `at` will do.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    #[inline(always)]
    unsafe fn prefetch<T>(memory: &[T], at: usize) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch reads nothing and faults nowhere.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(memory.as_ptr().wrapping_add(at).cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (memory, at);
    }

    /// Column numbers of a lookup, one a lane, in the lowest bits of each; bits above them are the numbers to come.
    type Index: Copy;

    /// `words[at..at + LANES]`.
    ///
    /// # Safety
    /// `at + LANES <= words.len()`.
    unsafe fn load_index(words: &[u32], at: usize) -> Self::Index;

    /// `shorts[at..at + LANES]`.
    ///
    /// # Safety
    /// `at + LANES <= shorts.len()`.
    unsafe fn index_of_shorts(shorts: &[u16], at: usize) -> Self::Index;

    /// `bytes[at..at + LANES]`.
    ///
    /// # Safety
    /// `at + LANES <= bytes.len()`.
    unsafe fn index_of_bytes(bytes: &[u8], at: usize) -> Self::Index;

    /// The sum of each lane's two.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn add_index(a: Self::Index, b: Self::Index) -> Self::Index;

    /// The number that follows after some bits of each lane.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn shift(index: Self::Index, bits: u32) -> Self::Index;

    /// In each lane, the float of `memory` that its one of `columns[at..at + LANES]` numbers: lane by lane.
    ///
    /// # Safety
    /// `at + LANES <= columns.len()`, and each of those is below `memory.len()`.
    unsafe fn gather<C: Column>(memory: &[f32], columns: &[C], at: usize) -> Self;

    /// In each lane, the float of `memory` that its index numbers: by one instruction, if there is one.
    ///
    /// # Safety
    /// Each is below `memory.len()`, and below 2³¹.
    unsafe fn gather_at_once(memory: &[f32], columns: Self::Index) -> Self;

    /// `memory[at..at + count]`, again and again, where `count` is a power of two from 4 on; of more than a vector, the
    /// first of them.
    ///
    /// # Safety
    /// `at + count.min(LANES) <= memory.len()`.
    unsafe fn repeat(memory: &[f32], at: usize, count: usize) -> Self;

    /// In each lane, the lane that its index numbers of a table of `T` vectors: 1, 2, 4 or 8.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn lookup<const T: usize>(table: &[Self; T], index: Self::Index) -> Self;

    /// Whether no lane is infinite or NaN.
    ///
    /// # Safety
    /// See [`splat`](Self::splat).
    unsafe fn all_finite(self) -> bool;

    /// Transposes a square of `LANES` floats a side: of `rows`, the first `LANES`, from `at` on. `put` takes each
    /// column.
    ///
    /// # Safety
    /// Those rows have `at + LANES` floats.
    unsafe fn transpose(rows: &[&[f32]; MAX_LANES], at: usize, put: impl FnMut(usize, Self));

    /// `memory[at..at + 4]`, the first in the lowest bits: one scalar load. (Four loads would tempt the compiler to put
    /// column numbers into vectors, and to take them out again one by one.)
    ///
    /// # Safety
    /// `at + 4 <= memory.len()`.
    #[inline(always)]
    unsafe fn read_four(memory: &[u16], at: usize) -> u64 {
        debug_assert!(at + 4 <= memory.len());
        // SAFETY: the caller's promise.
        u64::from_le(unsafe { memory.as_ptr().add(at).cast::<u64>().read_unaligned() })
    }

    /// `memory[at..at + 2]`, the first in the lowest bits, by one load.
    ///
    /// # Safety
    /// `at + 2 <= memory.len()`.
    #[inline(always)]
    unsafe fn read_two(memory: &[u32], at: usize) -> u64 {
        debug_assert!(at + 2 <= memory.len());
        // SAFETY: the caller's promise.
        u64::from_le(unsafe { memory.as_ptr().add(at).cast::<u64>().read_unaligned() })
    }

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

/// A column number.
pub(crate) trait Column: Copy {
    /// The column.
    fn place(self) -> usize;

    /// The columns of `columns[at..at + 4]`, by as few loads as can be.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, and `at + 4 <= columns.len()`.
    unsafe fn four<V: Vector>(columns: &[Self], at: usize) -> [usize; 4];
}

impl Column for u16 {
    #[inline(always)]
    fn place(self) -> usize {
        self.into()
    }

    #[inline(always)]
    unsafe fn four<V: Vector>(columns: &[u16], at: usize) -> [usize; 4] {
        // SAFETY: the caller's promises.
        let four = unsafe { V::read_four(columns, at) };
        [four & 0xFFFF, four >> 16 & 0xFFFF, four >> 32 & 0xFFFF, four >> 48].map(|column| column as usize)
    }
}

impl Column for u32 {
    #[inline(always)]
    fn place(self) -> usize {
        self as usize
    }

    #[inline(always)]
    unsafe fn four<V: Vector>(columns: &[u32], at: usize) -> [usize; 4] {
        // SAFETY: the caller's promises.
        let [first, second] = unsafe { [V::read_two(columns, at), V::read_two(columns, at + 2)] };
        [first & 0xFFFF_FFFF, first >> 32, second & 0xFFFF_FFFF, second >> 32].map(|column| column as usize)
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

/// `memory[at..at + lanes]`, and `fill` in the lanes beyond.
///
/// # Safety
/// The CPU has the instruction set of `V`, and the lanes lie in `memory`.
#[inline(always)]
pub(super) unsafe fn load<V: Vector>(memory: &[f32], at: usize, lanes: usize, fill: f32) -> V {
    // SAFETY: the caller's promise; no vector has more than `MAX_LANES` lanes.
    unsafe {
        if lanes == V::LANES {
            return V::load(memory, at);
        }
        let mut padded = [fill; MAX_LANES];
        padded[..lanes].copy_from_slice(&memory[at..at + lanes]);
        V::load(&padded, 0)
    }
}

/// `memory[at..at + lanes] = x`, without the lanes beyond.
///
/// # Safety
/// As [`load`].
#[inline(always)]
pub(super) unsafe fn store<V: Vector>(x: V, memory: &mut [f32], at: usize, lanes: usize) {
    // SAFETY: the caller's promise; no vector has more than `MAX_LANES` lanes.
    unsafe {
        if lanes == V::LANES {
            return x.store(memory, at);
        }
        copy_some(&spread(x), &mut memory[at..at + lanes]);
    }
}

/// `to[..] = from[..to.len()]`, up to a vector, by its first and its last lanes, which meet or overlap: a store of some
/// lanes of a vector takes ten cycles on AMD's Zen 3, and the standard library's copying as long to find out how to go
/// about it.
#[inline(always)]
pub(super) fn copy_some(from: &[f32], to: &mut [f32]) {
    #[inline(always)]
    fn ends<const N: usize>(from: &[f32], to: &mut [f32]) {
        let last = to.len() - N;
        to[..N].copy_from_slice(&from[..N]);
        to[last..].copy_from_slice(&from[last..][..N]);
    }
    debug_assert!(to.len() <= MAX_LANES);
    match to.len() {
        8.. => ends::<8>(from, to),
        4.. => ends::<4>(from, to),
        2.. => ends::<2>(from, to),
        1 => ends::<1>(from, to),
        0 => {}
    }
}

/// The lanes as an array, of which the first `LANES` count.
///
/// # Safety
/// The CPU has the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn spread<V: Vector>(x: V) -> [f32; MAX_LANES] {
    let mut lanes = [0.0; MAX_LANES];
    // SAFETY: the caller's promise; no vector has more than `MAX_LANES` lanes.
    unsafe { x.store(&mut lanes, 0) };
    lanes
}
