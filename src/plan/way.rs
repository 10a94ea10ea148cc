//! What it takes to bring activations from one layout to another.

use super::cost::{ByCpu, beyond, of_zen_3};
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
    let whole = |count: f64| count % isa.lanes() as f64 == 0.0;
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
        Layout::Tiles => {
            let lanes = (batch.samples().div_ceil(isa.lanes()) as f64) * isa.lanes() as f64;
            // Per lane and per sample, and per activation beyond those that the second level keeps.
            let ((lane, sample, far), near) = if isa.is_golden_cove_avx512() {
                // What lies side by side in the output is written vector by vector, and the last of them, if it is not
                // full, slowly. Feature-major samples that are a tile as they lie take no way out.
                let tile = batch.samples() <= isa.lanes() * isa.tile_vectors() && whole(samples);
                match (batch.is_feature_major(), out) {
                    (false, false) => ((0.12, 1.0, 0.1), 2e5),
                    (false, true) if whole(features) => ((0.14, 1.0, 0.1), 2e5),
                    (false, true) => ((0.21, 1.0, 0.1), 2e5),
                    (true, false) => ((0.095, 0.25, 0.12), 1e5),
                    (true, true) if tile => ((0.01, 0.0, 0.0), 1e5),
                    (true, true) if whole(samples) => ((0.13, 0.25, 0.15), 1e5),
                    (true, true) => ((0.15, 0.25, 0.15), 1e5),
                }
            } else {
                let (lane, sample) = ByCpu {
                    amd: (0.05, 1.4),
                    golden_cove: (0.0, 0.0),
                    avx512: (0.17, 5.0),
                    avx2: (0.13, 2.2),
                    portable: (0.7, 5.0),
                }
                .of(isa);
                ((lane, sample, 0.0), 0.0)
            };
            lane * features * lanes + sample * samples + far * beyond(activations, near)
        }
        Layout::Batch => 0.0,
    };
    1e-9 * nanoseconds * of_zen_3(isa)
}
