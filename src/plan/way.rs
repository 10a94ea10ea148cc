//! What it takes to bring activations from one layout to another.

use super::cost::{ByCpu, beyond};
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

/// The seconds that it takes to bring so many features of a batch from a matrix that lies as the batch does into a layout, or back.
pub(super) fn way(way: Way, layout: Layout, features: usize, batch: Batch, isa: Isa) -> f64 {
    let (features, samples) = (features as f64, batch.samples() as f64);
    let (activations, out) = (features * samples, way == Way::Out);
    let whole = |count: f64| count % isa.lanes() as f64 == 0.0;
    let nanoseconds = match layout {
        Layout::Rows if batch.samples() == 1 => 0.05 * features,
        Layout::Rows => {
            // (Per activation and per sample. Each layout and direction was measured on Golden Cove alone. Elsewhere one time was fitted to
            // both layouts together; that row-major activations take half of it, and feature-major ones half as much again, is a guess.)
            let (row_major, feature_major) = if isa.is_golden_cove_avx512() {
                // Each group of samples goes through the lines of feature-major ones again.
                let feature_major = match (batch.samples() > isa.row_samples(), out) {
                    (true, false) => (0.43, 4.0),
                    (true, true) => (0.35, 4.0),
                    (false, false) => (0.31, 0.0),
                    (false, true) => (0.24, 0.0),
                };
                ((if out { 0.135 } else { 0.087 }, 6.5), feature_major)
            } else {
                let each =
                    ByCpu { amd: 0.17, golden_cove: 0.0, avx512: 0.4, avx2: 0.25, portable: 0.4 }.of(isa);
                ((0.5 * each, 0.0), (1.5 * each, 0.0))
            };
            let (each, sample) = if batch.is_feature_major() { feature_major } else { row_major };
            each * activations + sample * samples
        }
        Layout::Tiles => {
            let lanes = (batch.samples().div_ceil(isa.lanes()) as f64) * isa.lanes() as f64;
            // Per lane and per sample, and per activation that the second level does not keep.
            let (lane, sample, far) = if isa.is_golden_cove_avx512() {
                // What lies side by side in the output is written vector by vector, and the last of them, if it is not full, slowly.
                match (batch.is_feature_major(), out) {
                    (false, false) => (0.108, 1.0, 0.06),
                    (false, true) if whole(features) => (0.105, 1.0, 0.15),
                    (false, true) => (0.17, 1.0, 0.15),
                    (true, false) => (0.078, 0.25, 0.1),
                    (true, true) if whole(samples) => (0.05, 0.25, 0.28),
                    (true, true) => (0.11, 0.25, 0.28),
                }
            } else {
                ByCpu {
                    amd: (0.05, 1.4, 0.0),
                    golden_cove: (0.0, 0.0, 0.0),
                    avx512: (0.17, 5.0, 0.0),
                    avx2: (0.13, 2.2, 0.0),
                    portable: (0.7, 5.0, 0.0),
                }
                .of(isa)
            };
            lane * features * lanes + sample * samples + far * beyond(activations, 2e5)
        }
        Layout::Batch => 0.0,
    };
    1e-9 * nanoseconds
}
