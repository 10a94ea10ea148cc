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
            // Plain Rust has no permutation of registers to look up with.
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

/// What the cost of a layer depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    pub(crate) out: usize,
    pub(crate) inputs: usize,
    pub(crate) kept: usize,
}

/// The layout in which some layers take less time together.
pub(crate) fn layout(layers: impl Iterator<Item = Profile> + Clone, batch: usize, isa: Isa) -> Layout {
    let cost = |layout| layers.clone().map(|layer| seconds(layer, layout, batch, isa)).sum::<f64>();
    if cost(Layout::Rows) <= cost(Layout::Tiles) { Layout::Rows } else { Layout::Tiles }
}

/// The time that a layer is expected to take, conversion of layouts included, on one thread of a 2.8 GHz Ice Lake server.
/// The constants are read off layers from 128×128 to 4096×4096 at 80 and 95% with AVX-512 and carried over to the other
/// instruction sets. They are there to choose between layouts: single times were within a factor of 1.7 of
/// the measured ones on these layers with warm caches, and within 2.3 on the smallest.
pub(crate) fn seconds(layer: Profile, layout: Layout, batch: usize, isa: Isa) -> f64 {
    let (kept, lanes) = (layer.kept as f64, isa.lanes());
    let nanoseconds = match (layout, Choice::for_layout(layout, isa).format) {
        (Layout::Rows, Format::Lookup) => {
            // A pass serves a group of samples: per kept weight, and per chunk and panel, a part for the weights and a
            // part for each sample. Weights beyond the second-level cache cost their way from the third.
            let groups = batch.div_ceil(isa.lookup_samples());
            let samples = batch as f64 / groups.max(1) as f64;
            let cells = (layer.out.div_ceil(lanes) * layer.inputs.div_ceil(2 * lanes)) as f64;
            let far = if kept > 300_000.0 { 0.2 } else { 0.0 };
            let weight = (0.05 + 0.025 * samples) * 16.0 / lanes as f64 + far;
            groups as f64 * (kept * weight + cells * (1.5 + 1.4 * samples))
        }
        (Layout::Rows, _) => batch as f64 * (0.5 * kept + 2.0 * layer.out as f64),
        (Layout::Tiles, _) => {
            // Per kept weight, its broadcast and the vectors of the tile; per feature, the way in and out.
            let vectors = batch.div_ceil(lanes) as f64;
            let tiles = batch.div_ceil(lanes * isa.tile_vectors()) as f64;
            let (vector, weight) = if isa == Isa::portable() { (1.0, 0.5) } else { (0.38, 0.18) };
            let features = (layer.out + layer.inputs) as f64;
            kept * (weight * tiles + vector * vectors) + features * (tiles + 1.5 * vectors)
        }
    };
    1e-9 * nanoseconds
}

/// Bytes of activations that a panel may hold: a little more than a first-level cache. From the second level a kernel
/// reads only a tenth slower, and fewer panels mean fewer sums to put away and take up again.
const PANEL_BYTES: usize = 56 << 10;

/// Columns of a panel.
pub(crate) fn panel_width(isa: Isa) -> usize {
    PANEL_BYTES / (size_of::<f32>() * isa.lanes() * isa.tile_vectors())
}
