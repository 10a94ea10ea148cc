//! The cost model: what a plan expects a layer to take.
//!
//! For each format, a sum of counts that can be told from the mask, times nanoseconds. Those are fitted (non-negative least
//! squares on relative errors) to single layers between 8×8 and 4096×4096 of some thousand shapes, densities, patterns, batches
//! up to 260 and both layouts, all formats in turn on one thread of a noisy 2.8 GHz Ice Lake server, for each instruction set by
//! itself: the logarithm of measured over fitted has a standard deviation of 0.12 (gathers) to 0.35 (N:M). Some were then set by
//! hand: all by a few percent for the fits' bias, the ways, N:M, CSR's constant, panels of AVX-512, and what dense weights
//! take from far away. That server's
//! faer always multiplies with AVX-512; for CPUs that have not, its multiply-adds are taken to be as much slower as vectors are
//! shorter.

use super::{Format, Layout};
use crate::Isa;
use crate::format::{Blocks, LookupWork};

/// What the cost of a layer depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Profile {
    pub(crate) out: usize,
    pub(crate) inputs: usize,
    pub(crate) kept: usize,
    /// Loads of activations that a batch needs for each kept weight: 1, or less where rows share columns.
    pub(crate) loads: f64,
    /// What lookups do, with vectors of the layer's instruction set.
    pub(crate) lookups: LookupWork,
    /// Slots of all rows in the N:M pattern that the layer fits, if it does.
    pub(crate) slots: Option<usize>,
    /// The blocks that the layer falls into, if it does.
    pub(crate) blocks: Option<Blocks>,
    /// Slots of a row in a constant fan-in, if it has one.
    pub(crate) fan_in: Option<usize>,
}

/// The seconds that it takes to bring so many features of a batch into a layout, or out of it, from a matrix or to one.
pub(super) fn way(layout: Layout, features: usize, batch: usize, isa: Isa) -> f64 {
    let (features, samples) = (features as f64, batch as f64);
    let nanoseconds = match layout {
        Layout::Rows if batch == 1 => 0.05 * features,
        Layout::Rows => 0.4 * features * samples,
        Layout::Tiles => {
            let lanes = batch.next_multiple_of(isa.lanes()) as f64;
            by_isa(isa, [0.17, 0.25, 0.7]) * features * lanes + 5.0 * samples
        }
        Layout::Batch => 0.0,
    };
    1e-9 * nanoseconds
}

/// The one of AVX-512, AVX2 and portable code.
fn by_isa<T>(isa: Isa, [avx512, avx2, portable]: [T; 3]) -> T {
    match isa.lanes() {
        _ if isa == Isa::portable() => portable,
        8 => avx2,
        _ => avx512,
    }
}

/// How much of a count lies beyond a cache that holds so many.
fn beyond(count: f64, cache: f64) -> f64 {
    (count - cache).max(0.0)
}

/// The time that a layer is expected to take in a format, without the ways into its layout and out of it.
pub(super) fn seconds(layer: Profile, format: Format, batch: usize, isa: Isa) -> f64 {
    if !format.runs_on(isa) {
        return f64::INFINITY;
    }
    let (lanes, samples) = (isa.lanes(), batch as f64);
    let (out, kept) = (layer.out as f64, layer.kept as f64);
    let chunks = layer.out.div_ceil(lanes) as f64;
    // Samples that share a pass over the weights of formats for rows.
    let groups = batch.div_ceil(isa.lookup_samples()) as f64;
    let nanoseconds = match format {
        Format::Csr => {
            // Of short rows the sum of a vector's lanes, and the branches, are the better part.
            let short = kept.min(8.0 * out);
            let (weight, far) = by_isa(isa, [(0.55, 0.05), (0.55, 0.07), (0.8, 0.14)]);
            200.0 + samples * (2.2 * out + weight * kept + 0.3 * short + far * beyond(kept, 1e5))
        }
        Format::Lookup => {
            let LookupWork { tables, slots, cycles, tail } = layer.lookups;
            // A chunk with a tail takes its lanes apart and puts them together again.
            let lanes_apart = tail.min(chunks) * lanes as f64;
            let weights = slots * lanes as f64;
            by_isa(
                isa,
                [
                    samples
                        * (10.5 * chunks + 0.18 * cycles + 0.47 * tables + 1.2 * tail + 1.5 * lanes_apart)
                        + groups * (0.57 * slots + 0.06 * beyond(weights, 1e5) + 0.14 * beyond(weights, 6e5))
                        + 150.0,
                    samples
                        * (12.0 * chunks + 0.69 * cycles + 0.29 * tables + 0.96 * tail + 1.8 * lanes_apart)
                        + groups * (0.04 * beyond(weights, 1e5) + 0.05 * beyond(weights, 6e5))
                        + 100.0,
                    f64::INFINITY,
                ],
            )
        }
        Format::Nm => {
            let Some(weights) = layer.slots else { return f64::INFINITY };
            let (weights, slots) = (weights as f64, weights as f64 / lanes as f64);
            let (load, slot) = by_isa(isa, [(0.6, 0.25), (0.4, 0.4), (0.0, f64::INFINITY)]);
            groups * (load * slots + 0.06 * beyond(weights, 1e5) + 0.08 * beyond(weights, 6e5))
                + samples * (slot * slots + 4.6 * chunks)
                + 190.0
        }
        Format::Block => {
            let Some(blocks) = layer.blocks else { return f64::INFINITY };
            let places = blocks.places() as f64;
            // A block's weights are loaded for a group of samples; for each of these its activation is splat.
            let (load, splat, far) = match blocks.rows {
                4 => by_isa(isa, [(0.125, 0.108, 0.0), (0.164, 0.058, 0.1), (0.18, 0.12, 0.03)]),
                8 => by_isa(isa, [(0.097, 0.066, 0.0), (0.096, 0.037, 0.09), (0.2, 0.1, 0.1)]),
                16 => by_isa(isa, [(0.071, 0.049, 0.01), (0.082, 0.029, 0.06), (0.13, 0.1, 0.03)]),
                _ => by_isa(isa, [(0.032, 0.058, 0.04), (0.067, 0.024, 0.05), (0.16, 0.065, 0.0)]),
            };
            groups * (load * places + far * beyond(places, 1e5))
                + samples * (splat * places + 18.0 * out / blocks.rows as f64)
                + 150.0
        }
        Format::FanIn => {
            let Some(fan_in) = layer.fan_in else { return f64::INFINITY };
            let gather = by_isa(isa, [0.61, 1.15, 1.47]);
            samples * chunks * (gather * (lanes * fan_in) as f64 + 5.5) + 125.0
        }
        Format::Panel => {
            // Per kept weight, its splat and the vectors of the tile, as many of which as no other row has loaded already;
            // per group of rows in a panel, its sums, which are taken up and put away.
            let vectors = batch.div_ceil(lanes) as f64;
            let tiles = batch.div_ceil(lanes * isa.tile_vectors()) as f64;
            let width = panel_width((layer.out, layer.inputs), layer.loads * kept, isa);
            let sums = (layer.out.div_ceil(4) * layer.inputs.div_ceil(width)) as f64 * vectors;
            let loads = layer.loads * kept * vectors;
            let far = tiles * beyond(kept, 1e5);
            by_isa(
                isa,
                [
                    kept * (0.13 * tiles + 0.157 * vectors) + 0.31 * loads + 3.2 * sums + 0.18 * far + 320.0,
                    kept * (0.21 * tiles + 0.11 * vectors) + 0.27 * loads + 2.9 * sums + 0.055 * far + 300.0,
                    kept * 0.73 * tiles + 0.78 * loads + 0.07 * far + 400.0,
                ],
            )
        }
        Format::Dense => {
            let (inputs, weights) = (layer.inputs as f64, out * layer.inputs as f64);
            let activations = samples * (inputs + out);
            let multiply = by_isa(isa, [1.0, 2.0, 2.6]) * samples * weights;
            // A single sample waits for its weights rather than for their multiplication.
            let slower = by_isa(isa, [1.0, 1.0, 1.7]);
            match batch {
                // By columns: see `SparseLinear`.
                1 if layer.inputs < 64 && layer.out >= layer.inputs => {
                    0.12 * slower * weights + 0.06 * out + 135.0
                }
                1 => {
                    let far = 0.045 * beyond(weights, 1.5e5) + 0.25 * beyond(weights, 1.2e6);
                    0.085 * slower * weights + far + 2.3 * out + 135.0
                }
                2..=12 => {
                    let far = 0.125 * beyond(weights, 1.5e5) + 0.4 * beyond(weights, 2e6);
                    0.034 * weights + 0.02 * multiply + far + 0.35 * activations + 165.0
                }
                // What it multiplies, faer packs, unless there is too little to gain by it.
                _ => {
                    let packing = 0.107 * weights / (1.0 + samples / 64.0) + 0.32 * beyond(weights, 1.5e5);
                    0.0155 * multiply + packing + 0.2 * activations + 4.2 * out + 190.0
                }
            }
        }
    };
    1e-9 * nanoseconds
}

/// Bytes of activations that a panel holds, about: most of a first-level cache, and the rest is for what streams through.
const PANEL_BYTES: usize = 40 << 10;

/// Loads of activations for a row below which a panel is too narrow: taking up and putting away a row's sums then costs as much
/// as reading a larger panel from the second level.
const FEW: f64 = 8.0;

/// Columns of a layer's panels, which are all of about the same width, if so many activations are loaded for all of its rows:
/// one for each kept weight, or fewer where rows share columns.
pub(crate) fn panel_width((out, inputs): (usize, usize), loads: f64, isa: Isa) -> usize {
    let width = PANEL_BYTES / (size_of::<f32>() * isa.lanes() * isa.tile_vectors());
    let loads = width as f64 * loads / (out * inputs) as f64;
    let width = match loads {
        FEW.. => width,
        _ if loads >= FEW / 2.0 => 2 * width,
        _ => 4 * width,
    };
    let panels = ((inputs + width / 2) / width).max(1);
    inputs.div_ceil(panels)
}
