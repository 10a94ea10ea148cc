//! The dense MLP on faer: the baseline that sparse inference is held against, and training.
//!
//! Everything in here is single-threaded and seeded: the same seed gives the same network on the same machine.
//! (Another CPU may sum in another order, so weights agree between machines to rounding, not to the bit.)

mod inference;
mod mlp;
mod optimizer;
mod pass;
mod train;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

pub use inference::{DenseInference, Orientation};
pub use mlp::{DenseLayer, DenseMlp, Evaluation, Initialisation, Samples};
pub use optimizer::Optimizer;
pub use pass::Gradients;
pub use train::{Epoch, History, Training};

/// `c = a·b` on one thread.
fn multiply(c: MatMut<'_, f32>, a: MatRef<'_, f32>, b: MatRef<'_, f32>) {
    matmul(c, Accum::Replace, a, b, 1.0, Par::Seq);
}
