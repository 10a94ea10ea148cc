//! Which format and which kernel a layer gets.
//!
//! Two layouts of activations are possible inside of a network: *rows*, a sample's features side by side, for formats
//! that vectorise over the rows of a weight matrix, and *tiles*, a feature's samples side by side, for formats that
//! vectorise over the batch. A network keeps to one of them for a whole batch, the one whose layers take less time
//! together by a small cost model; its constants were measured on an Ice Lake server.

use std::fmt;

use crate::Isa;

/// A packed layout of [`mod@format`](crate::format).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// [`CsrMatrix`](crate::format::CsrMatrix).
    Csr,
    /// [`LookupMatrix`](crate::format::LookupMatrix).
    Lookup,
    /// [`PanelMatrix`](crate::format::PanelMatrix).
    Panel,
}

/// How activations lie between the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `[samples, features]`.
    Rows,
    /// `[features, samples]`, for some dozens of samples at a time.
    Tiles,
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
    /// The choice for activations in a given layout.
    pub fn for_layout(layout: Layout, isa: Isa) -> Self {
        let format = match layout {
            Layout::Tiles => Format::Panel,
            // Without registers that permute, a lookup is slower than the gather that it replaces.
            Layout::Rows if isa == Isa::portable() => Format::Csr,
            Layout::Rows => Format::Lookup,
        };
        Self { format, isa }
    }
}

impl fmt::Display for Choice {
    /// The name of the kernel: operation, format, instruction set, type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, isa } = self;
        match format {
            Format::Csr => write!(f, "spmv_csr_{isa}_f32"),
            Format::Lookup => write!(f, "spmv_lookup_{isa}_f32"),
            Format::Panel => write!(f, "spmm_panel_{isa}_f32"),
        }
    }
}

/// Batches up to this size run in rows.
pub(crate) fn layout(batch: usize, isa: Isa) -> Layout {
    let most = if isa == Isa::portable() { 1 } else { 2 * isa.lookup_samples() };
    if batch <= most { Layout::Rows } else { Layout::Tiles }
}

/// Bytes of activations that a panel may hold: a little more than a first-level cache. From the second level a kernel
/// reads only a tenth slower, and fewer panels mean fewer sums to put away and take up again.
const PANEL_BYTES: usize = 56 << 10;

/// Columns of a panel.
pub(crate) fn panel_width(isa: Isa) -> usize {
    PANEL_BYTES / (size_of::<f32>() * isa.lanes() * isa.tile_vectors())
}
