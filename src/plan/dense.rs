//! What dense layers take by faer, and how it is fastest asked for them.

use super::Batch;
use super::cost::{ByCpu, Profile, beyond, dot, of_golden_cove};
use crate::Isa;

/// The nanoseconds of a dense layer that has such a `share` of its network's weights.
pub(super) fn nanoseconds(layer: Profile, share: f64, batch: Batch, isa: Isa) -> f64 {
    // The same on a Sapphire or Emerald Rapids: few samples wait for the clock, many for multiplications.
    let of_granite_rapids = match batch.samples() {
        _ if !isa.is_sapphire_rapids_avx512() => 1.0,
        1 => 1.2,
        2..FEW_SAMPLES => 1.125,
        _ => 1.055,
    };
    of_granite_rapids * fitted(layer, share, batch, isa)
}

/// The nanoseconds on a CPU of those that it was fitted to.
fn fitted(layer: Profile, share: f64, batch: Batch, isa: Isa) -> f64 {
    let (samples, shape) = (batch.samples() as f64, (layer.out, layer.inputs));
    let (out, inputs, weights) =
        (layer.out as f64, layer.inputs as f64, layer.out as f64 * layer.inputs as f64);
    let multiply = ByCpu { portable: 2.6, ..ByCpu::all(1.0) }.of(isa) * samples * weights;
    let away = |cache| beyond(weights, share * cache);
    let near =
        OfFaer { amd: 1.5e5, golden_cove: 4e5, golden_cove_avx2: 1e5, avx512: 1.5e5, avx2: 1e5 }.of(isa);
    // A single sample waits for its weights rather than for their multiplication.
    let slower = ByCpu { portable: 1.7, ..ByCpu::all(1.0) }.of(isa);
    match batch.samples() {
        1 if by_columns(shape, isa) => {
            let [call, weight, row] = OfFaer {
                amd: [115.0, 0.0525, 0.0],
                golden_cove: [90.0, 0.063, 0.0],
                golden_cove_avx2: [54.0, 0.061, 0.1],
                avx512: [135.0, 0.12, 0.06],
                avx2: [137.0, 0.071, 0.035],
            }
            .of(isa);
            call + weight * slower * weights + row * out
        }
        1 => {
            let far = [away(near), away(1.2e6)];
            let [call, weight, row, far_each, farther_each] = OfFaer {
                amd: [70.0, 0.045, 0.7, 0.006, 0.0445],
                golden_cove: [74.0, 0.058, 0.45, 0.106, 0.0],
                golden_cove_avx2: [48.0, 0.047, 1.9, 0.035, 0.05],
                avx512: [135.0, 0.085, 2.3, 0.045, 0.25],
                avx2: [99.0, 0.0575, 2.2, 0.019, 0.13],
            }
            .of(isa);
            call + weight * slower * weights + row * out + dot([far_each, farther_each], far)
        }
        // Where it is known how a batch lies.
        2.. if isa.is_golden_cove() => golden_cove(shape, share, batch, isa),
        few @ 2..FEW_SAMPLES => {
            // There faer takes four samples at a time; what an Ice Lake takes was fitted without.
            let fours = few.next_multiple_of(4);
            let taken = OfFaer { avx512: few, ..OfFaer::all(fours) }.of(isa) as f64;
            let multiply = multiply / samples * taken;
            let [call, weight, each, input, output, from, far_each, farther_each] = OfFaer {
                amd: [96.0, 0.0, 0.0085, 0.02, 0.02, 4.5e6, 0.006, 0.15],
                golden_cove: [0.0; 8], // (by itself, above)
                golden_cove_avx2: [0.0; 8],
                avx512: [165.0, 0.034, 0.02, 0.35, 0.35, 2e6, 0.125, 0.4],
                avx2: [152.0, 0.0, 0.025, 0.4, 0.6, 3e6, 0.048, 0.64],
            }
            .of(isa);
            // With AVX2: weights as they are take longer, wherever they come from.
            let as_they_are = by_weights(shape, few, isa);
            let (weight, far_each) = if as_they_are { (0.2, 0.0) } else { (weight, far_each) };
            let work = [weights, multiply, samples * inputs, samples * out];
            let far = [away(near), away(from)];
            call + dot([weight, each, input, output], work) + dot([far_each, farther_each], far)
        }
        // What it multiplies, faer packs, unless there is too little to gain by it.
        _ => {
            let packed = weights / (1.0 + samples / 64.0);
            let [call, each @ ..] = OfFaer {
                amd: [162.0, 0.0085, 0.08, 0.02, 0.087, 0.087, 0.0],
                golden_cove: [0.0; 7], // (by itself, above)
                golden_cove_avx2: [0.0; 7],
                avx512: [190.0, 0.0155, 0.107, 0.32, 0.2, 0.2, 4.2],
                avx2: [345.0, 0.0212, 0.0488, 0.115, 0.137, 0.31, 2.4],
            }
            .of(isa);
            call + dot(each, [multiply, packed, away(near), samples * inputs, samples * out, out])
        }
    }
}

/// The nanoseconds of more than one sample on Intel's cores since Golden Cove.
fn golden_cove(shape: (usize, usize), share: f64, batch: Batch, isa: Isa) -> f64 {
    if !batch.is_feature_major() {
        rows_of_golden_cove(shape, share, batch.samples(), isa)
    } else if few_samples(shape, batch.samples(), isa) {
        rows_of_golden_cove(shape, share, batch.samples(), isa) + ways_to_rows(shape, batch.samples(), isa)
    } else {
        columns_of_golden_cove(shape, share, batch.samples(), isa)
    }
}

/// The nanoseconds of rows. faer's vectors lie along the outputs: the last of them takes as long as any, and longer
/// where it is not full.
fn rows_of_golden_cove((out, inputs): (usize, usize), share: f64, samples: usize, isa: Isa) -> f64 {
    let lanes = isa.lanes();
    let (vectors, unfilled) = (out.div_ceil(lanes), count(!out.is_multiple_of(lanes)));
    // Three vectors at a time; one, or less.
    let (threes, narrow) = (vectors.div_ceil(3) as f64, count(out <= lanes));
    let passes = samples.div_ceil(4) as f64;
    let (few, samples, inputs) = (samples < FEW_SAMPLES, samples as f64, inputs as f64);
    let (vectors, out) = (vectors as f64, out as f64);
    let weights = out * inputs;
    let begin = count(samples * weights > TINY as f64);
    let beyond = |cache| beyond(weights, share * cache);
    if few {
        // Four samples at a time.
        let (ends, work, far, each_far) = of_golden_cove(
            isa,
            ([56.0, 123.0, 4.0, 0.0845], [0.685, 0.0181, 0.66], [4e5, LARGE as f64], [0.063, 0.0361, 0.1]),
            ([42.0, 172.0, 1.0, 0.2], [0.49, 0.007, 0.0], [2e5, 2e6], [0.02, 0.06, 0.1]),
        );
        let [far, farther] = far.map(beyond);
        dot(ends, [1.0, begin, samples, samples * out])
            + passes * inputs * dot(work, [vectors, unfilled * out, narrow])
            + dot(each_far, [far, passes * far, samples * farther])
    } else {
        let packed = weights / (1.0 + samples / 64.0);
        let (begins, work, farther, each_near, ends, far_out) = of_golden_cove(
            isa,
            (
                [55.0, 164.0],
                [0.192, 0.0, 0.078, 0.3],
                LARGE as f64,
                [0.3, 0.00063],
                [4.26, 2.93, 0.147, 0.102],
                0.15,
            ),
            ([20.0, 175.0], [0.096, 0.141, 0.026, 0.06], 2e6, [0.32, 0.00086], [1.24, 0.0, 0.024, 0.23], 0.0),
        );
        let near = beyond(2e5);
        dot(begins, [1.0, begin])
            + dot(work, [samples * inputs * vectors, samples * inputs * threes, packed, beyond(farther)])
            + dot(each_near, [near, samples * near])
            + samples * dot(ends, [unfilled, narrow, narrow * inputs, out])
            + far_out * (samples * out - 2e5).max(0.0)
    }
}

/// The nanoseconds of columns, along which faer's vectors lie.
fn columns_of_golden_cove((out, inputs): (usize, usize), share: f64, samples: usize, isa: Isa) -> f64 {
    let lanes = isa.lanes();
    let (vectors, unfilled) = (samples.div_ceil(lanes), count(!samples.is_multiple_of(lanes)));
    let (threes, narrow) = (vectors.div_ceil(3) as f64, count(samples <= lanes));
    // Of four outputs that it takes together, those that are not there.
    let lacking = (out.next_multiple_of(4) - out) as f64;
    let (vectors, samples, out, inputs) = (vectors as f64, samples as f64, out as f64, inputs as f64);
    let weights = out * inputs;
    let packed = weights / (1.0 + samples / 64.0);
    let begin = count(samples * weights > TINY as f64);
    let large = if samples > 64.0 { vectors } else { 0.0 };
    let (begins, each, each_lacking, read, farther, ends, far_out) = of_golden_cove(
        isa,
        (
            [68.0, 161.0],
            [0.1435, 0.0453, 0.024, 0.053],
            0.187,
            [0.13, 0.063, 0.2],
            LARGE as f64,
            [0.137, 1.9, 0.7],
            0.15,
        ),
        (
            [22.0, 170.0],
            [0.083, 0.173, 0.0026, 0.043],
            0.074,
            [0.003, 0.0245, 0.35],
            2e6,
            [0.228, 1.45, 0.105],
            1.24,
        ),
    );
    let [near, farther] = [2e5, farther].map(|cache| beyond(weights, share * cache));
    // Of many samples many inputs take longer, presumably since each feature then lies in a page of its own.
    let pages = 0.44 * beyond(inputs * beyond(samples, 300.0), 5e4);
    dot(begins, [1.0, begin])
        + weights * dot(each, [vectors, threes, large, narrow])
        + each_lacking * vectors * inputs * lacking
        + dot(read, [packed, near, farther])
        + dot(ends, [samples * out, unfilled * out, inputs])
        + far_out * beyond(samples * out, 2e5)
        + pages
}

/// The nanoseconds of the ways of columns to rows and back, around a dense layer.
fn ways_to_rows((out, inputs): (usize, usize), samples: usize, isa: Isa) -> f64 {
    let (call, each) = of_golden_cove(isa, (14.0, [3.0, 0.333, 0.294]), (7.0, [0.5, 0.42, 0.25]));
    call + samples as f64 * dot(each, [1.0, inputs as f64, out as f64])
}

/// One or none.
fn count(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// One of something of faer's for each kind of CPU, as [`ByCpu`]: for portable code it is that of the first server's
/// AVX-512.
struct OfFaer<T> {
    amd: T,
    golden_cove: T,
    golden_cove_avx2: T,
    avx512: T,
    avx2: T,
}

impl<T: Copy> OfFaer<T> {
    fn all(each: T) -> Self {
        Self { amd: each, golden_cove: each, golden_cove_avx2: each, avx512: each, avx2: each }
    }

    fn of(self, isa: Isa) -> T {
        let Self { amd, golden_cove, golden_cove_avx2, avx512, avx2 } = self;
        ByCpu { amd, golden_cove, golden_cove_avx2, avx512, avx2, portable: avx512 }.of(isa)
    }
}

/// Samples below which a dense layer brings a batch into rows, unless its outputs lie so: there faer is several times
/// as fast. ([`few_samples`] has the exceptions, to either side.)
pub(crate) const FEW_SAMPLES: usize = 13;

/// Samples above which activations had better lie as the caller's between dense layers on Intel since Golden Cove: the
/// way from row-major to feature-major ones and back, which the model does not know, then takes longer than they save.
/// (Of 13 to 15 networks, with 500 to 2048 samples, 2% to 24% longer; with 200 to 384 it is even. Feature-major ones
/// are faster so, too, by 2 to 18%, but for some 900 to 1020 samples that do not fill their vectors.)
const MANY_SAMPLES: usize = 384;

/// Multiply-adds up to which faer has kernels of their own for a product, which begin at once.
const TINY: usize = 4096;

/// Weights from which on they do not stay in the third-level cache of Intel's servers since Golden Cove, or in what a
/// virtual machine has of it.
const LARGE: usize = 9_000_000;

/// Whether samples are so few with an instruction set, and the layer's shape. On Intel since Golden Cove large weights,
/// which faer reads once for four rows, are worth it for four samples alone (8 samples of 4096×4096 take 10 to 11 ms
/// so, and 7 to 8 as they lie), and [tiny](TINY) products where there are outputs enough: on the other side of these by
/// up to twice as long, of 116 layers. From some hundred inputs and outputs on, as many weights as the second level
/// keeps are worth it for up to 20: as they lie, they take 1.05 to 1.4 times as long, of some 90 layers. With AVX2 the
/// rows are worth the way there where the transposed weights are, and where there are outputs enough: the fewer, the
/// sooner faer is as fast on the samples of a feature, of which eight fill a vector. (Measured on 64 layers, of 6 to 64
/// outputs, on a Zen 3. On Intel since Golden Cove, 40 outputs and more are worth it for up to 12 samples, too: by the
/// times of some 90 layers as they lie, in rows, and of the ways, 1 to 2 times as fast for 9 to 12.)
#[inline]
pub(crate) fn few_samples(shape: (usize, usize), samples: usize, isa: Isa) -> bool {
    let weights = shape.0 * shape.1;
    let by_outputs = match shape.0 {
        ..=8 => 0,
        9..=15 => 5,
        16..=39 => 8,
        _ => 9,
    };
    let outputs = match samples {
        _ if weights.saturating_mul(samples) > TINY => 0,
        ..4 => 0,
        4 => 14,
        // faer's own kernels are for four samples and for eight.
        8 | 12 => usize::MAX,
        _ => 2 * samples,
    };
    let golden_cove = match weights {
        LARGE.. => 5,
        _ if shape.0 <= outputs => 0,
        ..=280_000 if weights > 72 * (shape.0 + shape.1) => 21,
        _ => FEW_SAMPLES,
    };
    let golden_cove_avx2 = if shape.0 < 40 { by_outputs } else { FEW_SAMPLES };
    samples < ByCpu { golden_cove, golden_cove_avx2, avx2: by_outputs, ..ByCpu::all(FEW_SAMPLES) }.of(isa)
        && !by_weights(shape, samples, isa)
}

/// Whether faer multiplies rows of samples faster by a layer's weights as they are than by their transpose: with AVX2,
/// but on Intel since Golden Cove, where they do not stay in a cache, or are packed for many samples anyway. (Measured
/// on some 40 random layers of 256 to 3400 thousand weights, and on squares of 300 to 4096, on a Zen 3: the other way
/// round takes up to three times as long from there on, and up to twice as long below. On the others it is the weights
/// as they are that take 1.05 to 3.5 times as long, of 40 layers of 300 to 4400 thousand.)
#[inline]
pub(crate) fn by_weights((out, inputs): (usize, usize), samples: usize, isa: Isa) -> bool {
    let avx2 = match out * inputs {
        2_000_001.. => true,
        1_200_001.. => samples >= 4,
        weights => {
            samples >= FEW_SAMPLES && (weights > 750_000 || samples.saturating_mul(weights) >= 30_000_000)
        }
    };
    ByCpu { avx2, ..ByCpu::all(false) }.of(isa)
}

/// Whether faer multiplies one sample faster by the columns of a layer's weights than by their rows, which are short:
/// with AVX2 also rows of 64 to 150, where there are many. (By up to 25%, on 16 layers of 300 to 2000 outputs on a
/// Zen 3; on Intel since Golden Cove by 1.1 to 1.8 times on 9 of 12 layers of 190 outputs and more.)
#[inline]
pub(crate) fn by_columns((out, inputs): (usize, usize), isa: Isa) -> bool {
    let [golden_cove_avx2, avx2] = [190, 300].map(|many| inputs <= 150 && out >= many);
    inputs < 64 && out >= inputs || ByCpu { golden_cove_avx2, avx2, ..ByCpu::all(false) }.of(isa)
}

/// Whether faer multiplies a batch faster where activations lie feature-major between dense layers of such shapes. On
/// AMD that is where not all outputs fill their vectors: then samples had better; both limits of batches were measured,
/// the one of AMD on twelve networks, the others on two. On Intel since Golden Cove it is by what the layers are
/// expected to take; the outer ends, which lie as the caller's, speak for the caller's layout. (By the times of 60
/// networks of two to four layers and 13 to 384 samples, all dense, measured both ways, from which that word of the
/// ends was chosen: so 2.0% slower than the better of the two if the caller's are row-major, and 0.7% if feature-major;
/// by one choice for all batches from 13 to 191 10% and 5%.)
pub(crate) fn by_features(
    mut shapes: impl Iterator<Item = (usize, usize)> + Clone,
    batch: Batch,
    isa: Isa,
) -> bool {
    let samples = batch.samples();
    if isa.is_amd_avx512() {
        samples >= 40 && shapes.any(|(out, _)| out % isa.lanes() != 0)
    } else if isa.is_golden_cove() && samples > MANY_SAMPLES {
        batch.is_feature_major()
    } else if isa.is_golden_cove() && samples >= FEW_SAMPLES {
        let nanoseconds =
            |batch| shapes.clone().map(|shape| golden_cove(shape, 1.0, batch, isa)).sum::<f64>();
        let ends = if batch.is_feature_major() { 1.1 } else { 1.0 };
        nanoseconds(Batch::feature_major(samples)) < ends * nanoseconds(Batch::row_major(samples))
    } else {
        (FEW_SAMPLES..192).contains(&samples)
    }
}

/// How activations lie for the layers of a network if all are dense: as the caller's where there is one, or where not
/// enough is known.
pub(super) fn inner(shapes: impl Iterator<Item = (usize, usize)> + Clone, caller: Batch, isa: Isa) -> Batch {
    let samples = caller.samples();
    if !isa.is_golden_cove() || shapes.clone().nth(1).is_none() {
        caller
    } else if by_features(shapes, caller, isa) {
        Batch::feature_major(samples)
    } else {
        Batch::row_major(samples)
    }
}
