//! Sparse models in files.
//!
//! tombola's own format is a safetensors file that PyTorch users can read without tombola. For a layer `layers.0` of
//! shape `[out, in]` it holds
//!
//! | tensor | dtype, shape |
//! |---|---|
//! | `layers.0.crow_indices` | I32 (I64 from 2³¹ on) `[out + 1]` |
//! | `layers.0.col_indices` | I32 (I64 from 2³¹ on) `[kept]` |
//! | `layers.0.values` | F32 `[kept]` |
//! | `layers.0.shape` | I64 `[2]` |
//! | `layers.0.bias` | F32 `[out]` |
//!
//! so that, with `t = safetensors.torch.load_file("ticket.safetensors")`, the weight is
//! `torch.sparse_csr_tensor(t["layers.0.crow_indices"], t["layers.0.col_indices"], t["layers.0.values"],
//! t["layers.0.shape"].tolist())`. The metadata names the format, its version and the activations. Packed layouts are
//! never written: they are rebuilt on load.

mod tombola;

pub use tombola::{load, save};
