//! Arrays that begin at a cache line.

use std::ops::{Deref, DerefMut};

use ndarray::{ArrayView2, s};

/// A cache line, in bytes.
const LINE: usize = 64;

/// Numbers of which the first begins a cache line, so that no vector of them straddles two.
#[derive(Debug)]
pub(crate) struct Aligned<T> {
    memory: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Aligned<T> {
    pub(crate) fn zeros(len: usize) -> Self {
        let memory = vec![T::default(); len + LINE / size_of::<T>()];
        Self { start: Self::start(&memory, len), memory, len }
    }

    /// Where in a memory a line begins, with so many numbers behind it.
    fn start(memory: &[T], len: usize) -> usize {
        // Where this cannot be told, the array is as good, only slower.
        let start = memory.as_ptr().align_offset(LINE);
        if start <= memory.len() - len { start } else { 0 }
    }
}

impl<T: Copy + Default> From<&[T]> for Aligned<T> {
    fn from(values: &[T]) -> Self {
        let mut aligned = Self::zeros(values.len());
        aligned.copy_from_slice(values);
        aligned
    }
}

impl<T: Copy + Default> From<Vec<T>> for Aligned<T> {
    /// The numbers of an array, moved within its memory: to touch some that is new takes longer.
    fn from(mut memory: Vec<T>) -> Self {
        let (len, spare) = (memory.len(), LINE / size_of::<T>());
        memory.reserve_exact(spare);
        memory.resize(len + spare, T::default());
        memory.shrink_to_fit();
        let start = Self::start(&memory, len);
        memory.copy_within(..len, start);
        Self { memory, start, len }
    }
}

impl<T: Copy + Default> From<ArrayView2<'_, T>> for Aligned<T> {
    /// A matrix, row-major.
    fn from(matrix: ArrayView2<'_, T>) -> Self {
        if let Some(values) = matrix.to_slice() {
            return Self::from(values);
        }
        let mut aligned = Self::zeros(matrix.len());
        let columns = matrix.ncols();
        // By strips of columns, since those are contiguous then: some are read side by side, and fill a line of each
        // row.
        let strip = LINE / size_of::<T>();
        for start in (0..columns).step_by(strip) {
            let strip = matrix.slice(s![.., start..columns.min(start + strip)]);
            for (row, places) in strip.rows().into_iter().zip(aligned.chunks_exact_mut(columns)) {
                places[start..].iter_mut().zip(row).for_each(|(place, &value)| *place = value);
            }
        }
        aligned
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl<T: Copy + Default> Clone for Aligned<T> {
    /// The same numbers, of which the first begins a cache line again.
    fn clone(&self) -> Self {
        Self::from(&self[..])
    }
}

impl<T: PartialEq> PartialEq for Aligned<T> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}
