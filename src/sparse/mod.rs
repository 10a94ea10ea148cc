//! Inference with a ticket: what a program links against.
//!
//! A [`SparseLinear`] is a layer, a [`SparseMlp`] a chain of them. Batches come and go as PyTorch has them, row-major
//! `[batch, features]` (views of any strides will do). Inside, a batch is cut into tiles of some dozens of samples,
//! feature-major, so that a kernel reads a weight's activations in one piece, and each tile runs through all layers
//! while it is in the cache.

mod linear;
mod mlp;
mod tile;

pub use linear::SparseLinear;
pub use mlp::{SparseMlp, Workspace};
