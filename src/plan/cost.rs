//! The cost model: what a plan expects a layer to take.
//!
//! For each format a sum of counts that the mask tells (kept weights, steps, loads of activations, …), each times
//! nanoseconds. The nanoseconds were fitted to the times of some thousand single layers, 8×8 to 4096×4096, of all
//! densities, with and without patterns, batches of up to 260 samples in both layouts, all formats in turn on one
//! thread; or set by hand, where plans are better for it. [`ByCpu`] has those of four servers, all of them virtual
//! machines with noisy neighbours; σ is the standard deviation of log(measured ÷ fitted):
//!
//! - `avx512` of an Ice Lake of 2.8 GHz, σ from 0.12 for gathers to 0.35 for N:M. By hand: ways between layouts, N:M,
//!   panels, CSR's constant, dense weights beyond the caches. The steps of lookups are counted from ports and loads.
//! - `amd` of a Zen 5 of 3.9 GHz, σ from 0.11 for gathers to 0.31 for CSR. By hand: lookups, the least that a panel's
//!   vector takes, the ways into rows and tiles, dense products of many samples.
//! - `golden_cove` of a Granite Rapids of 4.0 GHz, σ from 0.06 for sliced ELLPACK (by gaps, 140 layers that it was not
//!   fitted to) on, 0.09 for panels. By hand: lookups, the least that a panel's vector takes, dense products of more
//!   than 9 million weights, and what takes longer with more than 300 samples. Dense products of more than one sample,
//!   the ways into tiles and out of them and the ends of rows are of an Emerald Rapids, 810 layers of up to 300
//!   samples, N:M and blocks (but of four rows, by hand) of it, too, 220 layers with such masks; they are scaled: σ from
//!   0.06 for feature-major products and panels to 0.1 for blocks and for row-major products of few samples. A Sapphire
//!   or Emerald Rapids has all of it as many times longer as that one took.
//! - `golden_cove_avx2` of an Emerald Rapids whose kernels, and whose faer, were told to use AVX2, of the same 810
//!   layers, σ from 0.03 for feature-major products of many samples and 0.06 for panels to 0.1 for CSR and 0.15 for
//!   dense products of one sample. All of it is scaled to the Granite Rapids told so, of which CSR's, lookups' and
//!   sliced ELLPACK's times for a weight are (it took 1.33 times as long). N:M has 0.78 of a Zen 3's times.
//! - `avx2` of a Zen 3 of 3.2 GHz, of its least times, σ from 0.14 for lookups to 0.3 for N:M. By hand: what comes from
//!   beyond the third level, what samples share of a lookup, the ways, what activations take of dense products.
//! - `portable` of the Ice Lake again, sliced ELLPACK by hand.
//!
//! Plans were held against the fastest of all that could be made, for layers and networks that nothing had been fitted
//! to, of 1 to 300 samples, 0 to 60% pruned. On the Granite Rapids, by an earlier model of dense products and ways,
//! they were 1.7% slower for 150 single layers, and 2.2% for 100 networks. On an Emerald Rapids, by this one but for
//! its last constants, they are 1.3 and 0.9% slower for two times 160 layers and networks of up to four, none wider
//! than 500 features; by the earlier one 1.9 and 1.5%. With AVX2 on the same, 0.4% for 120 of those, and 0.7% for 120
//! of up to 1200 features, 0 to 95% pruned; by the times of the Zen 3 3.2 and 1.1%. Of 220 single layers with
//! N of M or blocks, none of which it was fitted to, they are 0.4% slower with AVX-512, and 0.3% with AVX2
//! (before blocks of four rows had their times by hand).
//!
//! Dense products are faer's, which chooses its instruction set itself: with AVX-512, its times are those of that
//! server, else those of `avx2`, and for portable code as much slower as vectors are shorter. (Where a CPU with AVX-512
//! is told to use AVX2, faer does not hear of it, and is faster than that.)

use super::{Batch, Format, dense};
use crate::Isa;
use crate::format::{Blocks, CsrMatrix, LookupWork, MAX_PANEL, NM_BLOCK, SellWork};
use crate::kernel::{MAX_ROW_SAMPLES, first_level_cache};

/// What the cost of a layer depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Profile {
    pub(crate) out: usize,
    pub(crate) inputs: usize,
    pub(crate) kept: usize,
    /// Loads of activations that a batch needs for each kept weight: 1, or less where rows share columns.
    pub(crate) loads: f64,
    /// What lookups do, with vectors of the layer's instruction set: for a sample by itself, for two together, and so on.
    pub(crate) lookups: [LookupWork; MAX_ROW_SAMPLES],
    /// Slots of all rows in the N:M pattern that the layer fits, if it does, and the columns of its groups.
    pub(crate) slots: Option<(usize, usize)>,
    /// The blocks that the layer falls into, if it does.
    pub(crate) blocks: Option<Blocks>,
    /// What sliced ELLPACK does, with vectors of the layer's instruction set.
    pub(crate) sell: SellWork,
}

/// One of something for each kind of CPU that has its own.
#[derive(Clone, Copy)]
pub(super) struct ByCpu<T> {
    /// AVX-512 on AMD.
    pub(super) amd: T,
    /// AVX-512 on Intel's cores since Golden Cove.
    pub(super) golden_cove: T,
    /// AVX2 on these: all that most of them have, outside of servers.
    pub(super) golden_cove_avx2: T,
    /// AVX-512 elsewhere.
    pub(super) avx512: T,
    pub(super) avx2: T,
    pub(super) portable: T,
}

impl<T: Copy> ByCpu<T> {
    /// The same for all.
    pub(super) fn all(each: T) -> Self {
        Self {
            amd: each,
            golden_cove: each,
            golden_cove_avx2: each,
            avx512: each,
            avx2: each,
            portable: each,
        }
    }

    /// That of an instruction set on this CPU.
    #[inline]
    pub(super) fn of(self, isa: Isa) -> T {
        let Self { amd, golden_cove, golden_cove_avx2, avx512, avx2, portable } = self;
        match isa.lanes() {
            _ if isa == Isa::portable() => portable,
            8 if isa.is_golden_cove() => golden_cove_avx2,
            8 => avx2,
            _ if isa.is_golden_cove() => golden_cove,
            _ if isa.is_amd_avx512() => amd,
            _ => avx512,
        }
    }
}

/// Of Intel's cores since Golden Cove, what AVX-512 has or what AVX2 has.
pub(super) fn of_golden_cove<T>(isa: Isa, avx512: T, avx2: T) -> T {
    if isa.is_golden_cove_avx512() { avx512 } else { avx2 }
}

/// What takes a nanosecond on the Granite Rapids takes so many on a Sapphire or Emerald Rapids, whose clocks are slower.
/// (Measured on an Emerald Rapids, on 810 layers of up to 9 million weights. Dense products take other times.)
pub(super) fn of_granite_rapids(isa: Isa) -> f64 {
    if isa.is_sapphire_rapids_avx512() { 1.13 } else { 1.0 }
}

/// The nanoseconds of some counts.
pub(super) fn dot<const N: usize>(nanoseconds: [f64; N], counts: [f64; N]) -> f64 {
    nanoseconds.into_iter().zip(counts).map(|(nanoseconds, count)| nanoseconds * count).sum()
}

/// How much of a count lies beyond a cache that holds so many.
pub(super) fn beyond(count: f64, cache: f64) -> f64 {
    (count - cache).max(0.0)
}

/// A batch, and what all layers of a network hold. Each pass goes through all of them, so that a cache keeps of a layer
/// its share. (Of 70 networks of two to five layers, none of more than 20 million weights, the plans are 1.2% slower
/// than the fastest on a Granite Rapids, without this 1.7%; and take up to 1.6 times as long as they say, without this
/// 3.1 times.)
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    batch: Batch,
    /// As it lies between dense layers, if all of them are.
    inner: Batch,
    layers: usize,
    kept: usize,
    weights: usize,
}

impl Network {
    pub(super) fn of(layers: impl Iterator<Item = Profile> + Clone, batch: Batch, isa: Isa) -> Self {
        let inner = dense::inner(layers.clone().map(|layer| (layer.out, layer.inputs)), batch, isa);
        let empty = Self { batch, inner, layers: 0, kept: 0, weights: 0 };
        layers.fold(empty, |network, layer| Self {
            layers: network.layers + 1,
            kept: network.kept + layer.kept,
            weights: network.weights + layer.out * layer.inputs,
            ..network
        })
    }

    /// The part of a network's weights that a layer has in a format.
    fn share(self, layer: Profile, format: Format) -> f64 {
        let (own, all) = match format {
            Format::Dense => (layer.out * layer.inputs, self.weights),
            _ => (layer.kept, self.kept),
        };
        own.max(1) as f64 / all.max(1) as f64
    }
}

/// The time that a layer of a network is expected to take in a format, without the ways into its layout and out of it.
pub(super) fn seconds(layer: Profile, network: Network, format: Format, isa: Isa) -> f64 {
    let batch = network.batch.samples();
    if !format.runs_on(isa) {
        return f64::INFINITY;
    }
    let (lanes, samples) = (isa.lanes(), batch as f64);
    let (out, kept) = (layer.out as f64, layer.kept as f64);
    let chunks = layer.out.div_ceil(lanes) as f64;
    // Samples that share a pass over the weights of formats for rows.
    let groups = batch.div_ceil(isa.row_samples()) as f64;
    // Each group after the first is another call of the kernel. (What that takes with AVX-512 is in the other counts.)
    let again =
        ByCpu { golden_cove_avx2: 28.0, avx2: 55.0, ..ByCpu::all(0.0) }.of(isa) * (groups - 1.0).max(0.0);
    // Weights that the second-level cache keeps from one pass to the next, about, if nothing but values is large.
    let near = ByCpu { golden_cove: 4e5, ..ByCpu::all(1e5) }.of(isa);
    // The rows of a last vector that it does not fill are written one by one. (Elsewhere that is in the other counts.)
    let last = ByCpu { golden_cove: 1.1, golden_cove_avx2: 0.8, ..ByCpu::all(0.0) }.of(isa)
        * (layer.out % lanes) as f64;
    // What a format for rows takes to begin, where it is not in the ways of more than one sample.
    let begin = |call| if batch == 1 { call } else { 10.0 };
    let share = network.share(layer, format);
    let beyond = |count, cache| beyond(count, share * cache);
    let nanoseconds = match format {
        Format::Csr => {
            // Of short rows the sum of a vector's lanes, and the branches, are the better part.
            let short = kept.min(8.0 * out);
            let [call, row, first, weight, far] = ByCpu {
                amd: [45.0, 0.95, 0.13, 0.32, 0.0],
                golden_cove: [46.0, 1.48, 0.07, 0.29, 0.06],
                golden_cove_avx2: [28.0, 1.93, 0.04, 0.22, 0.1],
                avx512: [200.0, 2.2, 0.3, 0.55, 0.05],
                avx2: [80.0, 2.1, 0.34, 0.28, 0.06],
                portable: [200.0, 2.2, 0.3, 0.8, 0.14],
            }
            .of(isa);
            call + again + samples * (row * out + first * short + weight * kept + far * beyond(kept, 1e5))
        }
        Format::Lookup => {
            let (call, chunk) = ByCpu {
                amd: (60.0, 4.0),
                golden_cove: (46.0, 2.4),
                golden_cove_avx2: (36.0, 4.3),
                avx512: (120.0, 12.0),
                avx2: (100.0, 4.0),
                portable: (f64::INFINITY, 0.0),
            }
            .of(isa);
            let together = isa.samples_together(batch);
            let work = layer.lookups[together - 1];
            let (whole, rest) = (batch / together, batch % together);
            let steps = whole as f64 * lookup_steps(work, share, together, isa)
                + if rest > 0 { lookup_steps(work, share, rest, isa) } else { 0.0 };
            call + again + samples * (chunk * chunks + last) + steps
        }
        Format::Nm => {
            let Some((weights, group)) = layer.slots else { return f64::INFINITY };
            let (weights, slots) = (weights as f64, weights as f64 / lanes as f64);
            let (call, for_sample, for_group) = ByCpu {
                amd: (65.0, [0.165, 2.3], [0.21, 0.8, 0.019, 0.009]),
                golden_cove: (begin(85.0), [0.28, 1.65], [0.355, 0.9, 0.1, 0.0]),
                golden_cove_avx2: (81.0, [0.47, 3.1], [0.0, 0.7, 0.006, 0.0]),
                avx512: (190.0, [0.25, 4.6], [0.6, 0.0, 0.06, 0.08]),
                avx2: (104.0, [0.6, 4.0], [0.0, 0.9, 0.008, 0.0]),
                portable: (f64::INFINITY, [0.0; 2], [0.0; 4]),
            }
            .of(isa);
            // Rows that do not fill a block wait for their own sums.
            let alone = (layer.out.div_ceil(lanes) % NM_BLOCK) as f64 / chunks.max(1.0);
            let bytes = [slots, alone * slots, beyond(weights, near), beyond(weights, 6e5)];
            // With AVX2 a group of two vectors takes two permutations, and what chooses between them.
            let each = if lanes == 8 { group.div_ceil(lanes) } else { 1 };
            let permutations = slots * each as f64;
            call + again + samples * dot(for_sample, [permutations, chunks]) + groups * dot(for_group, bytes)
        }
        Format::Block => {
            let Some(blocks) = layer.blocks else { return f64::INFINITY };
            let places = blocks.places() as f64;
            // A block's weights are loaded for a group of samples; for each of these its activation is splat.
            let nanoseconds = match blocks.rows {
                4 => ByCpu {
                    amd: [0.029, 0.0065, 0.0425],
                    golden_cove: [0.0228, 0.0, 0.0465],
                    golden_cove_avx2: [0.056, 0.02, 0.026],
                    avx512: [0.125, 0.0, 0.108],
                    avx2: [0.021, 0.0, 0.073],
                    portable: [0.18, 0.03, 0.12],
                },
                8 => ByCpu {
                    amd: [0.026, 0.011, 0.0195],
                    golden_cove: [0.042, 0.0, 0.0178],
                    golden_cove_avx2: [0.042, 0.02, 0.0136],
                    avx512: [0.097, 0.0, 0.066],
                    avx2: [0.097, 0.066, 0.002],
                    portable: [0.2, 0.1, 0.1],
                },
                16 => ByCpu {
                    amd: [0.0275, 0.0155, 0.007],
                    golden_cove: [0.02, 0.0, 0.0133],
                    golden_cove_avx2: [0.033, 0.02, 0.0078],
                    avx512: [0.071, 0.01, 0.049],
                    avx2: [0.043, 0.032, 0.006],
                    portable: [0.13, 0.03, 0.1],
                },
                _ => ByCpu {
                    amd: [0.029, 0.0215, 0.003],
                    golden_cove: [0.0185, 0.0, 0.0074],
                    golden_cove_avx2: [0.0118, 0.02, 0.0235],
                    avx512: [0.032, 0.04, 0.058],
                    avx2: [0.018, 0.029, 0.026],
                    portable: [0.16, 0.0, 0.065],
                },
            };
            let [load, far, splat] = nanoseconds.of(isa);
            let (call, end) = ByCpu {
                amd: (70.0, 1.8),
                golden_cove: (begin(77.0), 2.2),
                golden_cove_avx2: (begin(70.0), 5.0),
                avx512: (150.0, 18.0),
                avx2: (90.0, 7.0),
                portable: (150.0, 18.0),
            }
            .of(isa);
            let work = groups * (load * places + far * beyond(places, near)) + samples * splat * places;
            // Reading and multiplying go on at the same time, but for a tenth of the shorter. (Elsewhere what comes
            // from far away was fitted as so much more.)
            let read = match isa.is_golden_cove_avx512() {
                true => groups * reading(blocks.bytes() as f64, share, isa),
                false => 0.0,
            };
            let both = work.max(read) + 0.1 * work.min(read);
            both + samples * end * out / blocks.rows as f64 + again + call
        }
        Format::Sell => {
            // Those of AMD's and of older AVX-512 are of gathers by the instruction, which the kernel does not use
            // there any more. What outputs take that are written one by one was fitted to one CPU; elsewhere it is in
            // what all chunks take.
            let (call, gather, columns, [chunk, scattered]) = ByCpu {
                amd: (60.0, 0.235, 0.0, [4.6, 0.0]),
                golden_cove: (55.0, 0.141, 0.025, [2.6, 5.6]),
                golden_cove_avx2: (35.0, 0.139, 0.046, [4.3, 0.0]),
                avx512: (125.0, 0.61, 0.0, [5.5, 0.0]),
                avx2: (95.0, 0.136, 0.13, [5.4, 0.0]),
                portable: (125.0, 0.45, 0.0, [10.0, 0.0]),
            }
            .of(isa);
            let SellWork { slots, bytes, scattered: chunks_of_scattered } = layer.sell;
            let slots = slots as f64;
            // On an Emerald Rapids gathers take 1.3 times as long as on a Granite Rapids, lookups of large layers, which
            // wait for the third level, 1.05 to 1.1 times: 1.22 times as long to those. (By the times of both formats
            // for single samples of four networks of 4 to 17 million weights that keep 5 to 30%: by this factor within
            // 5% of the faster, without it up to 14% slower.)
            let slower = if isa.is_sapphire_rapids_avx512() { 1.22 } else { 1.0 };
            let work = slower * (samples * gather + groups * columns) * slots;
            // What is asked for ahead comes from far away while others are gathered for.
            let read = match isa.gathers_at_once() {
                true => groups * 0.95 * reading(bytes as f64 * slots, share, isa),
                false => 0.0,
            };
            let ends = chunk * chunks + scattered * chunks_of_scattered as f64;
            call + again + work.max(read) + samples * (ends + last)
        }
        Format::Panel => {
            // Per kept weight, its splat, and the vectors of the tile, of which those count as loads that no other row
            // has loaded already; per group of rows in a panel, its sums, which are taken up and put away.
            let vectors = batch.div_ceil(lanes) as f64;
            let tiles = batch.div_ceil(lanes * isa.tile_vectors()) as f64;
            let width =
                panel_width((layer.out, layer.inputs), layer.loads * kept, isa, isa.widest_tile(batch));
            let sums = (layer.out.div_ceil(4) * layer.inputs.div_ceil(width)) as f64 * vectors;
            // `place`: where a load finds its activations. `multiply`: the least that a vector takes, when the loads
            // are shared.
            let [call, weight, place, vector, load, multiply, sum] = ByCpu {
                amd: [60.0, 0.1, 0.0, 0.055, 0.077, 0.095, 2.7],
                golden_cove: [60.0, 0.038, 0.1, 0.124, 0.091, 0.147, 2.7],
                golden_cove_avx2: [60.0, 0.038, 0.063, 0.103, 0.065, 0.0, 0.8],
                avx512: [320.0, 0.13, 0.0, 0.157, 0.31, 0.0, 3.2],
                avx2: [280.0, 0.18, 0.0, 0.087, 0.064, 0.0, 3.75],
                portable: [400.0, 0.73, 0.0, 0.0, 0.78, 0.0, 0.0],
            }
            .of(isa);
            // What they take longer that come from further away: each weight, each load, each vector of a load; and
            // each from far.
            let ([each, each_load, each_vector, farther], [near, far]) = ByCpu {
                amd: ([0.056, 0.0, 0.0, 0.09], [1e5, 2.5e6]),
                golden_cove: ([0.0, 0.128, 0.088, 0.38], [2e5, 4e6]),
                golden_cove_avx2: ([0.0, 0.0, 0.038, 0.11], [1e5, 1.2e6]),
                avx512: ([0.18, 0.0, 0.0, 0.0], [1e5, 2.5e6]),
                avx2: ([0.061, 0.0, 0.0, 0.0], [1e5, 2.5e6]),
                portable: ([0.07, 0.0, 0.0, 0.0], [1e5, 2.5e6]),
            }
            .of(isa);
            let calls = if isa.is_golden_cove() { tiles } else { 1.0 };
            let products = kept * vectors * (vector + load * layer.loads).max(multiply);
            // Of one vector, chains of multiply-adds wait for each other.
            let alone =
                ByCpu { golden_cove: 0.02, golden_cove_avx2: 0.084 * layer.loads, ..ByCpu::all(0.0) }.of(isa);
            let alone = if vectors == 1.0 { alone } else { 0.0 };
            let tile = kept * (weight + place * layer.loads + alone) + farther * beyond(kept, far);
            let away = beyond(kept, near)
                * (tiles * (each + each_load * layer.loads) + vectors * each_vector * layer.loads);
            calls * call + tiles * tile + products + away + sum * sums
        }
        Format::Dense => {
            // Of all layers' inputs and outputs the two at the ends lie as the caller's.
            let Network { batch, inner, layers, .. } = network;
            let ends = 1.0 / layers as f64;
            let nanoseconds = |batch| dense::nanoseconds(layer, share, batch, isa);
            let caller = nanoseconds(batch);
            if inner == batch { caller } else { ends * caller + (1.0 - ends) * nanoseconds(inner) }
        }
    };
    let of_granite_rapids = if format == Format::Dense { 1.0 } else { of_granite_rapids(isa) };
    1e-9 * nanoseconds * of_granite_rapids
}

/// The nanoseconds of the steps of lookups for some samples that share them: of their work, or of what they read if
/// that takes longer. They have such a `share` of what the network reads.
fn lookup_steps(LookupWork { window, steps }: LookupWork, share: f64, samples: usize, isa: Isa) -> f64 {
    let wide = window.tables().ilog2() as usize;
    // Of a step, its windows, of a slot its weight and its lookup.
    let (step, weight, lookup) = ByCpu {
        amd: ([0.0, 0.42, 0.6, 0.3], 0.08, [0.0, 0.183, 0.33, 0.82]),
        golden_cove: ([0.0, 0.41, 0.45, 0.5], 0.28, [0.0, 0.24, 0.57, 1.2]),
        golden_cove_avx2: ([0.18, 0.08, 0.0, 0.0], 0.087, [0.224, 0.576, 1.407, 2.958]),
        avx512: ([0.0, 0.55, 0.8, 1.0], 0.25, [0.0, 0.4, 0.9, 2.0]),
        avx2: ([0.0, 0.75, 1.2, 0.3], 0.04, [0.635, 0.79, 1.76, 4.4]),
        portable: ([0.0; 4], 0.0, [0.0; 4]),
    }
    .of(isa);
    let slots = steps * window.slots() as f64;
    let work = step[wide] * steps + (weight + samples as f64 * lookup[wide]) * slots;
    work.max(reading(LookupWork { window, steps }.bytes(), share, isa))
}

/// The nanoseconds that it takes to read so many bytes, of all that a network reads such a `share`.
fn reading(bytes: f64, share: f64, isa: Isa) -> f64 {
    const NONE: (f64, f64, f64) = (0.0, 1.0, 0.0);
    // A byte from the second level, and what it takes longer the more of them come from further away: from the first of
    // these megabytes on none, from the second on all.
    let golden_cove =
        (0.006, [(0.7, 2.2, 0.0105), (2.2, 3.2, 0.013), (3.2, 5.0, 0.0055), (36.0, 64.0, 0.0065)]);
    let (near, farther) = ByCpu {
        amd: (0.005, [(0.6, 1.2, 0.0036), (2.0, 6.0, 0.0036), (10.0, 22.0, 0.009), NONE]),
        golden_cove,
        golden_cove_avx2: golden_cove,
        avx512: (0.008, [(0.7, 1.5, 0.009), (2.0, 6.0, 0.01), (6.0, 12.0, 0.015), NONE]),
        avx2: (0.01, [(8.0, 12.0, 0.0105), (12.0, 18.0, 0.003), (18.0, 26.0, 0.0095), NONE]),
        portable: (0.0, [NONE; 4]),
    }
    .of(isa);
    let all = 1e-6 * bytes / share;
    let far = farther.map(|(from, to, more)| more * ((all - from) / (to - from)).clamp(0.0, 1.0));
    bytes * (near + far.iter().sum::<f64>())
}

/// What lookups do for one sample, two together, and so on: with the window that is fastest for one, or with that which
/// is for as many as can be.
pub(crate) fn lookups(matrix: &CsrMatrix, isa: Isa) -> [LookupWork; MAX_ROW_SAMPLES] {
    let windows = LookupWork::of(matrix, isa.lanes());
    let fastest = |windows: &[LookupWork], samples| {
        let seconds = |work: &&LookupWork| lookup_steps(**work, 1.0, samples, isa);
        let fastest = windows.iter().min_by(|a, b| seconds(a).total_cmp(&seconds(b)));
        *fastest.unwrap_or_else(|| unreachable!("there are windows"))
    };
    let packed = [1, isa.row_samples()].map(|samples| fastest(&windows, samples));
    std::array::from_fn(|before| fastest(&packed, before + 1))
}

/// Columns of a layer's panels, which are all of about the same width, if so many activations are loaded for all of its
/// rows: one for each kept weight, or fewer where rows share columns. They are meant for batches whose widest tile is
/// of so many `vectors`: the fewer, the wider they may be.
pub(crate) fn panel_width((out, inputs): (usize, usize), loads: f64, isa: Isa, vectors: usize) -> usize {
    // Activations of a panel: five sixths of the first-level cache. The rest is for what streams through. (With 48 KB
    // so measured, and with 32 KB about the best.)
    let bytes = first_level_cache() / 6 * 5;
    let width = bytes / (size_of::<f32>() * isa.lanes() * isa.tile_vectors());
    // Loads for a row below which a panel is too narrow, and had better be a third wider, twice as wide, or four times:
    // taking up and putting away a row's sums then costs as much as reading a larger panel from the second level. That
    // of one vector of samples, of two, and of more, whose activations fit the first in ever narrower panels.
    let avx2 = [[0.0, 32.0, 12.0], [28.0, 14.0, 6.0], [15.0, 7.5, 4.0]];
    let [one, two, more] = ByCpu {
        amd: [[0.0, 16.0, 4.0], [0.0, 6.0, 3.0], [0.0, 6.0, 3.0]],
        golden_cove: [[0.0, 64.0, 20.0], [0.0, 5.5, 3.0], [0.0, 5.5, 3.0]],
        golden_cove_avx2: avx2,
        avx512: [[0.0, 16.0, 4.0], [0.0, 8.0, 4.0], [0.0, 8.0, 4.0]],
        avx2,
        portable: [[0.0, 8.0, 4.0], [0.0, 8.0, 4.0], [0.0, 8.0, 4.0]],
    }
    .of(isa);
    let [some, few, fewer] = match vectors {
        1 => one,
        2 => two,
        _ => more,
    };
    let width = match width as f64 * loads / (out * inputs) as f64 {
        loads if loads < fewer => 4 * width,
        loads if loads < few => 2 * width,
        loads if loads < some => width + width / 3,
        _ => width,
    };
    let panels = ((inputs + width / 2) / width).max(inputs.div_ceil(MAX_PANEL)).max(1);
    inputs.div_ceil(panels)
}
