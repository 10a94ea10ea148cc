//! What it takes to bring activations from one layout to another.

use super::cost::{ByCpu, beyond, of_granite_rapids, of_zen_3};
use super::{Batch, Layout};
use crate::Isa;

/// Which way activations go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    /// From a matrix to the layout that a kernel works on.
    In,
    /// From there to a matrix.
    Out,
}

/// The seconds that it takes to bring so many features of a batch from a matrix that lies as the batch does into a
/// layout, or back.
pub(super) fn way(way: Way, layout: Layout, features: usize, batch: Batch, isa: Isa) -> f64 {
    let (features, samples) = (features as f64, batch.samples() as f64);
    let (activations, out) = (features * samples, way == Way::Out);
    let nanoseconds = match layout {
        Layout::Rows if batch.samples() == 1 => 0.05 * features,
        Layout::Rows => {
            // (Per activation, per sample, and per activation from far away. Each layout and direction was measured on
            // Golden Cove alone. Elsewhere one time was fitted to both layouts together; that row-major activations
            // take half of it, and feature-major ones half as much again, is a guess.)
            let (row_major, feature_major) = if isa.is_golden_cove_avx512() {
                // Each group of samples goes through the lines of feature-major ones again.
                let feature_major = match (batch.samples() > isa.row_samples(), out) {
                    (true, false) => (0.43, 4.0, 0.0),
                    (true, true) => (0.35, 4.0, 0.0),
                    (false, false) => (0.31, 0.0, 0.0),
                    (false, true) => (0.24, 0.0, 0.0),
                };
                (if out { (0.135, 6.5, 0.0) } else { (0.087, 6.5, 0.1) }, feature_major)
            } else {
                let each =
                    ByCpu { amd: 0.17, golden_cove: 0.0, avx512: 0.4, avx2: 0.25, portable: 0.4 }.of(isa);
                ((0.5 * each, 0.0, 0.0), (1.5 * each, 0.0, 0.0))
            };
            let (each, sample, far) = if batch.is_feature_major() { feature_major } else { row_major };
            each * activations + sample * samples + far * beyond(activations, 2e5)
        }
        Layout::Tiles if isa.is_golden_cove_avx512() => tiles_of_golden_cove(way, features, batch, isa),
        Layout::Tiles => {
            let lanes = batch.samples().div_ceil(isa.lanes()) as f64 * isa.lanes() as f64;
            // Per lane and per sample.
            let (lane, sample) = ByCpu {
                amd: (0.05, 1.4),
                golden_cove: (0.0, 0.0), // (by itself, above)
                avx512: (0.17, 5.0),
                avx2: (0.13, 2.2),
                portable: (0.7, 5.0),
            }
            .of(isa);
            lane * features * lanes + sample * samples
        }
        Layout::Batch => 0.0,
    };
    1e-9 * nanoseconds * of_granite_rapids(isa) * of_zen_3(isa)
}

/// The nanoseconds of the way into tiles or out of them on Intel's cores since Golden Cove.
fn tiles_of_golden_cove(way: Way, features: f64, batch: Batch, isa: Isa) -> f64 {
    let samples = batch.samples() as f64;
    let (activations, vectors) = (features * samples, batch.samples().div_ceil(isa.lanes()) as f64);
    let unfilled = !batch.samples().is_multiple_of(isa.lanes());
    // How much of it does not stay in the first level, besides what a layer does between the two ways.
    let away = ((activations - 2e3) / 6e3).clamp(0.0, 1.0);
    let each_vector = |near: f64, more: f64| features * vectors * (near + more * away);
    // Fewer features of a row than a vector has are taken one by one.
    let few = features < isa.lanes() as f64;
    // What a tile takes by itself is in the way in.
    let each_tile = 75.0 * (vectors / isa.tile_vectors() as f64).ceil();
    match (way, batch.is_feature_major()) {
        (Way::In, false) => {
            let moved = if few { 0.37 * activations } else { each_vector(1.17, 0.68) };
            each_tile + 22.0 + 0.68 * samples + moved + 0.11 * beyond(activations, 2e5)
        }
        (Way::Out, false) => {
            let moved = if few { 0.23 * activations } else { each_vector(1.93, 1.08) };
            22.0 + 0.68 * samples + moved + 0.08 * beyond(activations, 2e5)
        }
        (Way::In, true) => {
            let unfilled = if unfilled { 0.48 } else { 0.0 };
            each_tile + each_vector(0.58, 1.13) + unfilled * features + 0.1 * beyond(activations, 1e5)
        }
        // A tile as they lie.
        (Way::Out, true) if !unfilled && vectors <= isa.tile_vectors() as f64 => 0.0,
        (Way::Out, true) => {
            let unfilled = match unfilled {
                false => 0.0,
                true if vectors == 1.0 => 2.5,
                true => 1.4,
            };
            each_vector(0.0, 1.79) + unfilled * features + 0.2 * beyond(activations, 1e5)
        }
    }
}
