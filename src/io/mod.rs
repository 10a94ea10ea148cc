//! Sparse models in files, and data sets by name (`Source`, with feature `search`).
//!
//! [`Import`] reads the files in which a pruned network comes out of Python: F32, F16, BF16 or F64 weights with zeros
//! or with masks. What kind of file it is, its first bytes say: safetensors, Matrix Market, or (feature `numpy`)
//! numpy's `.npy` and `.npz`, with tensors of the same names. Of a layer `fc1` these are
//!
//! | as | tensors |
//! |---|---|
//! | PyTorch saves it, pruned weights as zeros | `fc1.weight` `[out, in]`, `fc1.bias` `[out]` |
//! | `torch.nn.utils.prune` keeps it | `fc1.weight_orig`, `fc1.weight_mask`, and the same of the bias |
//! | `torch.nn.utils.parametrize` keeps it | `fc1.parametrizations.weight.original`, `….weight.0.mask` |
//! | compressed-tensors packs it (`sparse_bitmask`) | `fc1.weight.compressed`, `….bitmask`, `….shape`, `….row_offsets` |
//! | or 2:4 (`sparse_24_bitmask`) | `fc1.compressed` `[out, in/2]`, `….bitmask`, `….shape` |
//! | tombola writes it | see below |
//!
//! Arrays of a `.npz` whose names say nothing are taken by their dimensions: a matrix is a weight, and a vector the
//! bias of the matrix with its number (`W1` and `b1`) or else of the one before it. An archive of
//! `scipy.sparse.save_npz` (CSR or CSC), a `.npy` and a `.mtx` are one layer, named like the file; as a file of
//! [masks](Import::masks) they are one mask, which a model of a single layer takes whatever the file is called.
//!
//! # What is written
//!
//! The extension of the path says in what form. [`Model::save`] leaves pruned weights out where the form allows it;
//! [`Model::save_dense`] writes their zeros.
//!
//! | extension | [`Model::save`] | [`Model::save_dense`] |
//! |---|---|---|
//! | `.safetensors` | all layers as CSR, see below | `fc1.weight`, `fc1.bias` of all layers, F32 |
//! | `.npz` | one layer, for `scipy.sparse.load_npz` | `fc1.weight`, `fc1.bias` of all layers, for `numpy.load` |
//! | `.npy` | the weight of one layer, with its zeros | the same |
//! | `.mtx` | one layer, for `scipy.io.mmread` | |
//!
//! In a file of one layer there are its weights alone. A model of several layers makes several files, `{}` in the path
//! for the names. Both safetensors files record activations and the order of the layers in their metadata, and read
//! back as the model that they were; but a kept weight of 0.0 is lost among the zeros of a dense file. What is written
//! streams: beyond the model there is a row in memory. And a file appears whole or not at all, in the place of the one
//! that was there.
//!
//! # tombola's own files
//!
//! [`save`] and [`Model::save`] write a safetensors file that PyTorch users can read without tombola. For a layer `fc1`
//! of shape `[out, in]` it holds
//!
//! | tensor | dtype, shape |
//! |---|---|
//! | `fc1.crow_indices` | I32 (I64 from 2³¹ on) `[out + 1]` |
//! | `fc1.col_indices` | I32 (I64 from 2³¹ on) `[kept]` |
//! | `fc1.values` | F32 `[kept]` |
//! | `fc1.shape` | I64 `[2]` |
//! | `fc1.bias` | F32 `[out]` |
//!
//! so that, with `t = safetensors.torch.load_file("ticket.safetensors")`, the weight is
//! `torch.sparse_csr_tensor(t["fc1.crow_indices"], t["fc1.col_indices"], t["fc1.values"], t["fc1.shape"].tolist())`.
//! The metadata names the format, its version, the layers in their order, and their activations. Packed layouts are
//! never written: they are rebuilt on load.

mod array;
mod checkpoint;
mod export;
mod file;
mod header;
mod import;
mod market;
mod masks;
mod names;
#[cfg(feature = "numpy")]
mod numpy;
#[cfg(feature = "numpy")]
mod samples;
#[cfg(feature = "numpy")]
mod scipy;
#[cfg(feature = "search")]
mod source;
#[cfg(feature = "experiment")]
pub(crate) mod state;
mod storage;
mod tensors;

use std::path::Path;

pub use export::save;
pub use import::{Import, Model};
#[cfg(all(feature = "numpy", feature = "search"))]
pub use samples::read_samples;
#[cfg(feature = "numpy")]
pub use samples::{SampleReader, SampleWriter};
#[cfg(feature = "search")]
pub use source::Source;

use crate::{Result, SparseMlp};

/// What the metadata of tombola's own files calls them.
const FORMAT: &str = "tombola";
const VERSION: &str = "1";

/// Rows and columns that a sparse matrix in a file may have beyond what the file has of entries or bytes: an empty one
/// takes no room there, and some in memory.
const EMPTY: usize = 1 << 20;

/// Weights that a sparse matrix of so many entries may be spread out to where each takes so many bits: for each entry
/// 16 KB of them, and 64 MB for any; and never more than there are numbers of 32 bits.
fn most_weights(entries: usize, bits: usize) -> usize {
    let bytes = entries.saturating_mul(16 << 10).saturating_add(64 << 20);
    (bytes.saturating_mul(8) / bits).min(u32::MAX as usize)
}

/// Reads a model from a file as it is: [`Import::read`] without wishes.
///
/// # Errors
/// As [`Import::read`].
pub fn load(path: impl AsRef<Path>) -> Result<SparseMlp> {
    Ok(Import::new().read(path)?.mlp)
}
