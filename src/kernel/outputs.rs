//! Rows of a layer's outputs for a few samples, which threads can share out among them.

use std::marker::PhantomData;
use std::ops::Range;
use std::slice;

/// Some rows of `[samples, stride]`, of each sample. (An array view, too, could be split by its columns, but takes as
/// long to make as a tenth of a small layer.)
pub(crate) struct Outputs<'a> {
    /// The first of the rows, of the first sample.
    first: *mut f32,
    samples: usize,
    stride: usize,
    /// The number of the first of the rows.
    start: usize,
    /// How many they are.
    len: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a mutable borrow of floats that no other has.
unsafe impl Send for Outputs<'_> {}

impl<'a> Outputs<'a> {
    /// All rows, of which there are `out`.
    ///
    /// # Panics
    /// When `y` is not `[samples, stride]`, or the stride less than the rows.
    pub(crate) fn new(y: &'a mut [f32], samples: usize, stride: usize, out: usize) -> Self {
        assert!(out <= stride && samples * stride <= y.len(), "y is [samples, stride]");
        Self { first: y.as_mut_ptr(), samples, stride, start: 0, len: out, borrowed: PhantomData }
    }

    pub(crate) fn samples(&self) -> usize {
        self.samples
    }

    /// The first of the rows.
    #[inline(always)]
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    #[inline(always)]
    pub(crate) fn rows(&self) -> Range<usize> {
        self.start..self.start + self.len
    }

    /// The rows before one of them, and the others.
    ///
    /// # Panics
    /// When there is no such row.
    pub(crate) fn split_at(self, row: usize) -> (Self, Self) {
        let Range { start, end } = self.rows();
        assert!(start <= row && row <= end, "one of {start}..{end}");
        let middle = self.first.wrapping_add(row - start);
        (Self { len: row - start, ..self }, Self { first: middle, start: row, len: end - row, ..self })
    }

    /// The same rows, for as long as they are borrowed.
    pub(crate) fn reborrow(&mut self) -> Outputs<'_> {
        Outputs { ..*self }
    }

    /// The rows of a sample.
    ///
    /// # Safety
    /// There is such a sample.
    #[inline(always)]
    pub(crate) unsafe fn sample_unchecked(&mut self, sample: usize) -> &mut [f32] {
        // SAFETY: the caller's promise; `new` has measured the samples, and no one else has these rows of them.
        unsafe { slice::from_raw_parts_mut(self.first.add(sample * self.stride), self.len) }
    }

    /// The rows of a sample.
    ///
    /// # Panics
    /// When there is no such sample.
    pub(crate) fn sample(&mut self, sample: usize) -> &mut [f32] {
        assert!(sample < self.samples, "one of {} samples", self.samples);
        // SAFETY: it has just been looked up.
        unsafe { self.sample_unchecked(sample) }
    }
}
