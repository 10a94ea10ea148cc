//! The dense MLP on faer: the baseline that sparse inference is held against, and training.
//!
//! [`Training`] is a recipe for some epochs, and a [`Trainer`] makes the single steps: by dense products, or, in layers
//! whose masks keep few weights, on those alone.
//!
//! Everything in here is single-threaded and seeded: the same seed gives the same network on the same machine.
//! (Another CPU may sum in another order, so weights agree between machines to rounding, not to the bit.)

mod inference;
mod layer;
mod mlp;
mod optimizer;
mod pass;
mod schedule;
mod train;
mod trainer;

pub use inference::{DenseInference, Orientation};
pub use mlp::{DenseLayer, DenseMlp, Evaluation, Initialisation, Samples};
pub use optimizer::Optimizer;
pub use pass::Gradients;
pub use schedule::Schedule;
pub use train::{Epoch, History, Training};
pub use trainer::{LayerMoments, Moments, Products, Trainer};
