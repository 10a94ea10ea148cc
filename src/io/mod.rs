//! Sparse models in files.
//!
//! [`Import`] reads the files in which a pruned network comes out of Python: F32, F16, BF16 or F64 weights with zeros or with
//! masks. What kind of file it is, its first bytes say: safetensors, Matrix Market, or (feature `numpy`) numpy's `.npy` and
//! `.npz`, with tensors of the same names. Of a layer `fc1` these are
//!
//! | as | tensors |
//! |---|---|
//! | PyTorch saves it, pruned weights as zeros | `fc1.weight` `[out, in]`, `fc1.bias` `[out]` |
//! | `torch.nn.utils.prune` keeps it | `fc1.weight_orig`, `fc1.weight_mask`, and the same of the bias |
//! | `torch.nn.utils.parametrize` keeps it | `fc1.parametrizations.weight.original`, `….weight.0.mask` |
//! | compressed-tensors packs it (`sparse_bitmask`) | `fc1.weight.compressed`, `….bitmask`, `….shape`, `….row_offsets` |
//! | tombola writes it | see below |
//!
//! Arrays of a `.npz` whose names say nothing are taken by their dimensions: a matrix is a weight, and a vector after it its
//! bias. An archive of `scipy.sparse.save_npz` (CSR or CSC), a `.npy` and a `.mtx` are one layer, named like the file.
//!
//! # tombola's own files
//!
//! [`save`] and [`Model::save`] write a safetensors file that PyTorch users can read without tombola. For a layer `fc1` of shape
//! `[out, in]` it holds
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
//! `torch.sparse_csr_tensor(t["fc1.crow_indices"], t["fc1.col_indices"], t["fc1.values"], t["fc1.shape"].tolist())`. The
//! metadata names the format, its version, the layers in their order, and their activations. Packed layouts are never
//! written: they are rebuilt on load.

mod export;
mod header;
mod import;
mod market;
mod names;
#[cfg(feature = "numpy")]
mod numpy;
#[cfg(feature = "numpy")]
mod scipy;
mod source;
mod tensors;
mod tombola;

use std::path::Path;

pub use import::{Import, Model};
pub use tombola::save;

use crate::{Result, SparseMlp};

/// What the metadata of tombola's own files calls them.
const FORMAT: &str = "tombola";
const VERSION: &str = "1";

/// Rows and columns that a sparse matrix in a file may have beyond what the file has of entries or bytes: an empty one takes no
/// room there, and some in memory.
const EMPTY: usize = 1 << 20;

/// Weights that a sparse matrix may be spread out to for each of its entries, and those that any may be, to be pruned.
const DENSE: (usize, usize) = (4096, 1 << 24);

/// Reads a model from a file as it is: [`Import::read`] without wishes.
///
/// # Errors
/// As [`Import::read`].
pub fn load(path: impl AsRef<Path>) -> Result<SparseMlp> {
    Ok(Import::new().read(path)?.mlp)
}
