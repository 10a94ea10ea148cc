//! The inner loops, and the only `unsafe` code of the crate.
//!
//! Each algorithm is written once, as a [`Task`] over the small [`Vector`] trait: `spmm_panel` for batches, [`Spmv`]
//! for a few samples (`spmv_lookup` for any mask, `spmv_nm` where every M columns keep N, `spmv_block` where
//! neighbouring rows share their columns, `spmv_sell` where few weights are left or come from far away, `spmv_csr` on
//! plain CSR, which also does sums again that are not finite), `transpose` between the caller's layout and the
//! kernels', and `activate` for what comes after; `roof` for what they are held against. Training has `spmm_pattern`
//! and `sddmm` for sparse layers, `derive` for the derivatives of activations, and `descend` for the optimizer. (The
//! dense product is faer's: `gemm`.) Where threads share the outputs of a few samples, [`Outputs`] keeps their rows
//! apart. An instruction set is one file that names its intrinsics (`avx512`, `avx2`) or spells them out in plain Rust
//! (`portable`), and one arm in [`Isa::run`]. NEON would be one more of each. What else a CPU is asked is in `cpu`.
//!
//! The tests run clean under the address sanitizer, on every instruction set of an x86 (in minutes, so by hand, with
//! any compiler):
//! `RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test --target x86_64-unknown-linux-gnu --lib --test sparse`.
//!
//! But for `gemm`, nothing in here allocates or starts threads. What a task may assume of a packed matrix, that
//! matrix's constructor has checked; what it assumes of the slices, its `run` asserts.
#![allow(unsafe_code)]

/// A task's loop for a tile of as many vectors `V` as its samples are: one to four; with a flag of the task's own, if
/// it has one.
macro_rules! run_tile {
    ($task:ident, $V:ident $(, $flag:literal)?) => {
        match $task.samples {
            n if n == $V::LANES => $task.tile::<$V, 1 $(, $flag)?>(),
            n if n == 2 * $V::LANES => $task.tile::<$V, 2 $(, $flag)?>(),
            n if n == 3 * $V::LANES => $task.tile::<$V, 3 $(, $flag)?>(),
            n if n == 4 * $V::LANES => $task.tile::<$V, 4 $(, $flag)?>(),
            n => unreachable!("{n} samples are no tile of {} lanes", $V::LANES),
        }
    };
}

mod activate;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod cpu;
#[cfg(feature = "dense")]
mod derive;
#[cfg(feature = "dense")]
mod descend;
#[cfg(feature = "dense")]
mod gemm;
mod isa;
mod outputs;
mod portable;
mod roof;
#[cfg(feature = "dense")]
mod sddmm;
mod spmm_panel;
#[cfg(feature = "dense")]
mod spmm_pattern;
mod spmv;
mod spmv_block;
mod spmv_csr;
mod spmv_lookup;
mod spmv_nm;
mod spmv_sell;
mod transpose;
mod vector;

pub(crate) use activate::{Activate, is_fused};
pub(crate) use cpu::first_level_cache;
#[cfg(feature = "dense")]
pub(crate) use derive::{Derive, needs_sums};
#[cfg(feature = "dense")]
pub(crate) use descend::{Descend, Rule};
#[cfg(feature = "dense")]
pub(crate) use gemm::{finish, gemm, gemm_into};
pub use isa::Isa;
pub(crate) use isa::{MAX_ROW_SAMPLES, MAX_TILE, MAX_TILE_VECTORS};
pub(crate) use outputs::Outputs;
pub(crate) use roof::{FmaRoof, LoadRoof};
#[cfg(feature = "dense")]
pub(crate) use sddmm::{RowSums, Sddmm};
pub(crate) use spmm_panel::SpmmPanel;
#[cfg(feature = "dense")]
pub(crate) use spmm_pattern::SpmmPattern;
pub(crate) use spmv::{RowLayer, Spmv};
pub(crate) use spmv_csr::SpmvCsr;
pub(crate) use transpose::{CopySlice, FeaturesToTile, RowsToTile, TileToFeatures, TileToRows};
use vector::{Task, Vector};
