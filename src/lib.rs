//! Winning lottery tickets that run at the speed of their sparsity.
//!
//! A dense network is trained, its smallest weights are pruned, and the survivors go back to the values that they
//! started from: this *winning ticket* trains to the accuracy of the whole (Frankle & Carbin, ICLR 2019). tombola
//! finds such tickets, turns their masks into sparse matrices, and runs them faster than the dense network that they
//! came from.
//!
//! # The way of the data
//!
//! ```text
//! weights ──prune──▶ Mask ──┐
//!                           ├─ mask.apply ─▶ CSR (sprs) ─ pack ─▶ packed layer ─ forward ─▶ activations
//! weights (rewound) ────────┘                                          ▲
//!                                                       plan: which format for this layer, batch, CPU
//! ```
//!
//! A module uses what stands above it in this table, and nothing below it.
//!
//! | module | what lives there |
//! |---|---|
//! | [`mask`] | [`Mask`], and the criteria that make one |
//! | [`csr`] | the one door from mask × weight to `sprs`' CSR, and its checks |
//! | [`mod@format`] | packed layouts, each built from a CSR and giving it back |
//! | `kernel` | the inner loops, one file an instruction set ([`Isa`]), and the door to faer; the only `unsafe` code |
//! | [`measure`] | timings side by side, and the roofs above them |
//! | [`plan`] | which format and kernel a layer gets, or the dense product where sparse would lose |
//! | [`sparse`] | [`SparseLinear`], [`SparseMlp`], [`Workspace`]: inference |
//! | [`dense`] | `DenseMlp` on faer: the baseline, and training, dense or on kept weights (feature `dense`) |
//! | [`data`] | data sets (feature `search`) |
//! | [`ticket`] | the search: one-shot, iterative, rewinding, controls; pruning before and during training (feature `search`) |
//! | [`io`] | sparse models in files (feature `io`), and data sets by name (with `search`, too) |
//! | [`experiment`] | searches in folders: recorded, resumable, merged into a report (feature `experiment`) |
//! | [`compare`] | a network on this machine, dense and in every sparse way (feature `dense`) |
//!
//! # From a weight matrix to an answer
//!
//! ```
//! use ndarray::{Array1, Array2};
//! use tombola::{Activation, Mask, SparseLinear, SparseMlp};
//!
//! let weight = Array2::from_shape_fn((10, 64), |(i, j)| ((64 * i + j) as f32).sin()); // [out, in]
//! let mask = Mask::magnitude(weight.view(), 0.8)?;
//! let csr = mask.apply(weight.view())?; // sprs::CsMatI<f32, u32, u32>
//! let layer = SparseLinear::new(csr, Some(Array1::zeros(10)), Activation::Identity)?;
//! let mlp = SparseMlp::new(vec![layer])?;
//! let y = mlp.forward(Array2::ones((32, 64)).view())?; // [batch, in] -> [batch, out]
//! assert_eq!(y.dim(), (32, 10));
//! # Ok::<(), tombola::Error>(())
//! ```
//!
//! # Features
//!
//! `dense`, `search`, `io` and `rayon` are on by default. A program that only runs tickets says
//! `default-features = false, features = ["io"]` and links sprs and the kernels, no faer; without `io` it builds its
//! layers itself. `numpy` reads numpy's and scipy's files, too, `experiment` adds searches in folders, `plot` the
//! charts of their reports, and `cli` builds the `tombola` program.
// Where a feature is off, the table's links to its modules lead to the features.
#![doc = ""]
#![cfg_attr(not(feature = "dense"), doc = "[`compare`]: #features")]
#![cfg_attr(not(feature = "dense"), doc = "[`dense`]: #features")]
#![cfg_attr(not(feature = "search"), doc = "[`data`]: #features")]
#![cfg_attr(not(feature = "search"), doc = "[`ticket`]: #features")]
#![cfg_attr(not(feature = "io"), doc = "[`io`]: #features")]
#![cfg_attr(not(feature = "experiment"), doc = "[`experiment`]: #features")]
#![deny(unreachable_pub)]

mod activation;
mod aligned;
mod error;
mod rng;

#[cfg(feature = "dense")]
pub mod compare;
pub mod csr;
#[cfg(feature = "search")]
pub mod data;
#[cfg(feature = "dense")]
pub mod dense;
#[cfg(feature = "experiment")]
pub mod experiment;
pub mod format;
#[cfg(feature = "io")]
pub mod io;
mod kernel;
pub mod mask;
pub mod measure;
pub mod plan;
pub mod sparse;
#[cfg(feature = "search")]
pub mod ticket;

pub use activation::Activation;
pub use csr::Csr;
pub use error::{Error, ErrorKind, Result};
pub use kernel::Isa;
pub use mask::Mask;
pub use sparse::{SparseLinear, SparseMlp, Workspace};
// The types of the public interface, in the versions that it speaks.
pub use {ndarray, sprs};

/// The README's program, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
