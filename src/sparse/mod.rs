//! Inference with a ticket: what a program links against.
//!
//! A [`SparseLinear`] is a layer, a [`SparseMlp`] a chain of them. Batches come and go as PyTorch has them, row-major
//! `[batch, features]` (views of any strides will do). A [`Plan`](crate::plan::Plan) says what runs each layer.
//! Neighbours that work on the same layout of activations are one stretch: in it, a few samples or a tile of some
//! dozens, feature-major, run through all its layers while they are in the cache.

mod bands;
mod linear;
mod measured;
mod mlp;
mod rows;
mod run;
mod shares;
mod shrink;
mod statistics;
mod tile;
mod workspace;

pub use linear::SparseLinear;
pub use mlp::SparseMlp;
pub use statistics::LayerStatistics;
#[cfg(feature = "dense")]
pub(crate) use tile::{Tile, tiles};
pub use workspace::Workspace;
#[cfg(feature = "dense")]
pub(crate) use workspace::{matrix, matrix_mut};

/// Both, at the same time if the current rayon pool has a thread to spare.
fn join(a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
    #[cfg(feature = "rayon")]
    rayon::join(a, b);
    #[cfg(not(feature = "rayon"))]
    {
        a();
        b();
    }
}
