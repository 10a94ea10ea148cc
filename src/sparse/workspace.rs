//! The memory of a forward pass.

use ndarray::{ArrayView2, ArrayViewMut2};

use crate::plan::Plan;

/// The memory that a forward pass needs beside its input and output, made by
/// [`SparseMlp::workspace`](super::SparseMlp::workspace).
#[derive(Clone, Debug)]
pub struct Workspace {
    /// What runs the layers for the batch at hand.
    pub(super) plan: Plan,
    /// For each thread, activations before and after a layer, in a tile or in rows.
    pub(super) threads: Vec<[Buffer; 2]>,
    /// Activations of many samples, before and after some layers that share a layout.
    pub(super) between: [Buffer; 2],
}

/// Activations as `[batch, features]`, row-major or feature-major.
pub(crate) fn matrix(values: &[f32], batch: usize, by_features: bool) -> ArrayView2<'_, f32> {
    let shape = shape(values.len(), batch, by_features);
    let matrix =
        ArrayView2::from_shape(shape, values).unwrap_or_else(|error| unreachable!("it fits: {error}"));
    if by_features { matrix.reversed_axes() } else { matrix }
}

/// [`matrix`], to be written.
pub(crate) fn matrix_mut(values: &mut [f32], batch: usize, by_features: bool) -> ArrayViewMut2<'_, f32> {
    let shape = shape(values.len(), batch, by_features);
    let matrix =
        ArrayViewMut2::from_shape(shape, values).unwrap_or_else(|error| unreachable!("it fits: {error}"));
    if by_features { matrix.reversed_axes() } else { matrix }
}

fn shape(len: usize, batch: usize, by_features: bool) -> (usize, usize) {
    if by_features { (len / batch, batch) } else { (batch, len / batch) }
}

/// Floats that begin at a cache line, so that no vector straddles two.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Vec<f32>,
    start: usize,
    pub(super) len: usize,
}

/// A cache line, in bytes.
const LINE: usize = 64;

impl Buffer {
    pub(crate) fn new(len: usize) -> Self {
        let memory = vec![0.0_f32; len + LINE / size_of::<f32>()];
        // Where this cannot be told, the buffer is as good, only slower.
        let start = memory.as_ptr().align_offset(LINE);
        Self { start: if start + len <= memory.len() { start } else { 0 }, memory, len }
    }

    pub(crate) fn of(values: &[f32]) -> Self {
        let mut buffer = Self::new(values.len());
        buffer.as_mut_slice().copy_from_slice(values);
        buffer
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..self.start + self.len]
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl Clone for Buffer {
    /// The same floats, whose first is at the beginning of a cache line again.
    fn clone(&self) -> Self {
        Self::of(self.as_slice())
    }
}
