//! Which format and which kernel a layer gets.
//!
//! One rule so far: a single sample runs on plain CSR, row by row, and everything else in panels, where a kept
//! weight serves a whole tile of samples. Costs by layer, and dense where sparse would lose, will take its place.

use std::fmt;

use crate::Isa;

/// A packed layout of [`format`](crate::format).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// [`CsrMatrix`](crate::format::CsrMatrix).
    Csr,
    /// [`PanelMatrix`](crate::format::PanelMatrix).
    Panel,
}

/// What runs a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choice {
    /// The layout that its weights are packed in.
    pub format: Format,
    /// The instruction set of its kernel.
    pub isa: Isa,
}

impl Choice {
    /// The choice for a batch of `batch` samples.
    pub fn for_batch(batch: usize, isa: Isa) -> Self {
        Self { format: if batch <= 1 { Format::Csr } else { Format::Panel }, isa }
    }
}

impl fmt::Display for Choice {
    /// The name of the kernel: operation, format, instruction set, type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.format {
            // One sum a row gathers its activations one by one, with the same code on every CPU.
            Format::Csr => write!(f, "spmv_csr_portable_f32"),
            Format::Panel => write!(f, "spmm_panel_{}_f32", self.isa),
        }
    }
}

/// Bytes of activations that a panel may hold: what is left of a first-level cache of 32 kB beside the weights and
/// the sums that stream past.
const PANEL_BYTES: usize = 28 << 10;

/// Columns of a panel whose activations stay in the first-level cache.
pub(crate) fn panel_width(isa: Isa) -> usize {
    PANEL_BYTES / (size_of::<f32>() * isa.lanes() * isa.tile_vectors())
}
