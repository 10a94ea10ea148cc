//! What it takes to bring activations from one layout to another.

use super::cost::{ByCpu, beyond, of_golden_cove, of_granite_rapids};
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
            // Each group of samples after the first goes through the lines of feature-major ones again.
            let groups = batch.samples() > isa.row_samples();
            let elsewhere = |each| ((0.5 * each, 0.0, 0.0), (1.5 * each, 0.0, 0.0));
            let (row_major, feature_major) = ByCpu {
                amd: elsewhere(0.17),
                golden_cove: (
                    if out { (0.135, 6.5, 0.0) } else { (0.087, 6.5, 0.1) },
                    match (groups, out) {
                        (true, false) => (0.43, 4.0, 0.0),
                        (true, true) => (0.35, 4.0, 0.0),
                        (false, false) => (0.31, 0.0, 0.0),
                        (false, true) => (0.24, 0.0, 0.0),
                    },
                ),
                golden_cove_avx2: (
                    if out { (0.02, 0.6, 0.0) } else { (0.04, 0.6, 0.0) },
                    if out { (0.13, 1.0, 0.0) } else { (0.3, 1.0, 0.0) },
                ),
                avx512: elsewhere(0.4),
                avx2: elsewhere(0.25),
                portable: elsewhere(0.4),
            }
            .of(isa);
            let (each, sample, far) = if batch.is_feature_major() { feature_major } else { row_major };
            each * activations + sample * samples + far * beyond(activations, 2e5)
        }
        Layout::Tiles if isa.is_golden_cove() => tiles_of_golden_cove(way, features, batch, isa),
        Layout::Tiles => {
            let lanes = batch.samples().div_ceil(isa.lanes()) as f64 * isa.lanes() as f64;
            // Per lane and per sample.
            let (lane, sample) = ByCpu {
                amd: (0.05, 1.4),
                golden_cove: (0.0, 0.0), // (by itself, above)
                golden_cove_avx2: (0.0, 0.0),
                avx512: (0.17, 5.0),
                avx2: (0.13, 2.2),
                portable: (0.7, 5.0),
            }
            .of(isa);
            lane * features * lanes + sample * samples
        }
        Layout::Batch => 0.0,
    };
    1e-9 * nanoseconds * of_granite_rapids(isa)
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
    let tiles = (vectors / isa.tile_vectors() as f64).ceil();
    match (way, batch.is_feature_major()) {
        (way, false) => {
            let (tile, call, sample, [each, near, more, far]) = match way {
                Way::In => of_golden_cove(
                    isa,
                    (75.0, 22.0, 0.68, [0.37, 1.17, 0.68, 0.11]),
                    (50.0, 10.0, 0.4, [0.37, 0.6, 0.14, 0.0]),
                ),
                Way::Out => of_golden_cove(
                    isa,
                    (0.0, 22.0, 0.68, [0.23, 1.93, 1.08, 0.08]),
                    (0.0, 10.0, 0.4, [0.23, 1.18, 0.23, 0.04]),
                ),
            };
            let moved = if few { each * activations } else { each_vector(near, more) };
            tile * tiles + call + sample * samples + moved + far * beyond(activations, 2e5)
        }
        // A tile as they lie.
        (Way::Out, true) if !unfilled && tiles == 1.0 => 0.0,
        (way, true) => {
            let (tile, [near, more, far], [unfilled_one, unfilled_more]) = match way {
                Way::In => of_golden_cove(
                    isa,
                    (75.0, [0.58, 1.13, 0.1], [0.48, 0.48]),
                    (50.0, [0.6, 0.41, 0.21], [0.0; 2]),
                ),
                Way::Out => of_golden_cove(
                    isa,
                    (0.0, [0.0, 1.79, 0.2], [2.5, 1.4]),
                    (0.0, [0.85, 0.33, 0.085], [1.06, 0.0]),
                ),
            };
            let unfilled = match unfilled {
                false => 0.0,
                true if vectors == 1.0 => unfilled_one,
                true => unfilled_more,
            };
            tile * tiles + each_vector(near, more) + unfilled * features + far * beyond(activations, 1e5)
        }
    }
}
