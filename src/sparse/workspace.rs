//! The memory of a forward pass.

use std::sync::atomic::{AtomicU64, Ordering};

use ndarray::{ArrayView2, ArrayViewMut2};

use super::run::Stretch;
use crate::aligned::Aligned;
use crate::plan::{Batch, Plan};

/// The memory that a forward pass needs beside its input and output, made by
/// [`SparseMlp::workspace`](super::SparseMlp::workspace).
#[derive(Debug)]
pub struct Workspace {
    /// The network and the batch that it is ready for, if it is for any: by `plan` and `stretches`, and with room
    /// between these.
    pub(super) ready: Option<(Identity, Batch)>,
    /// What runs the layers.
    pub(super) plan: Plan,
    /// The same, by layouts.
    pub(super) stretches: Vec<Stretch>,
    /// For each thread, activations before and after a layer, in a tile or in rows.
    pub(super) threads: Vec<Buffers>,
    /// Activations of many samples, before and after some layers that share a layout.
    pub(super) between: [Aligned<f32>; 2],
}

impl Clone for Workspace {
    /// With the room that the other one has, too.
    fn clone(&self) -> Self {
        let mut stretches = Vec::with_capacity(self.stretches.capacity());
        stretches.extend_from_slice(&self.stretches);
        let (plan, threads, between) = (self.plan.clone(), self.threads.clone(), self.between.clone());
        Self { ready: self.ready, plan, stretches, threads, between }
    }
}

/// A network: another one has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u64);

impl Identity {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Two of a thread's, of which layers read the one and write the other.
pub(super) type Buffers = [Aligned<f32>; 2];

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
