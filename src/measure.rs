//! Timings that can be held against each other.
//!
//! Machines are noisy, and their noise drifts. So candidates are run in turn, A B C C B A A B …, in one process, and a
//! ratio is formed round by round as well as between the best times: [`Ratio`] says both. What no kernel can exceed on
//! this machine is measured too: its [`Roofs`].

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::Isa;
use crate::kernel::{FmaRoof, LoadRoof};

/// Each sample runs its candidate as often as it takes to fill this time, so that the clock's own cost is nothing.
const SAMPLE: Duration = Duration::from_micros(500);

/// Calls that warm the caches for a sample, at least, unless they take about this long.
const WARMING: u32 = 8;
const LONG: Duration = Duration::from_millis(10);

/// The times of one candidate, in seconds per call, round by round.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    rounds: Vec<f64>,
}

impl Timing {
    /// A time that was taken once.
    #[cfg(feature = "dense")]
    pub(crate) fn of_one(seconds: f64) -> Self {
        Self { rounds: vec![seconds] }
    }

    /// The fastest round, in seconds: the time that the machine's noise disturbed least.
    pub fn best(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The median round, in seconds.
    pub fn median(&self) -> f64 {
        quartiles(&self.rounds)[1]
    }

    /// How many times faster `self` is than `other`, measured in the same rounds.
    pub fn speedup_over(&self, other: &Self) -> Ratio {
        let ratios: Vec<f64> =
            other.rounds.iter().zip(&self.rounds).map(|(other, own)| other / own).collect();
        Ratio { best: other.best() / self.best(), quartiles: quartiles(&ratios) }
    }
}

/// A speed-up and its spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Of the best times.
    pub best: f64,
    /// Lower quartile, median and upper quartile of the ratios of single rounds.
    pub quartiles: [f64; 3],
}

impl fmt::Display for Ratio {
    /// `×2.53 (2.41–2.60)`: of the best times, and between which quartiles the rounds lie.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, _, high] = self.quartiles;
        f.pad(&format!("×{:.2} ({low:.2}–{high:.2})", self.best))
    }
}

/// Times candidates in turn, `rounds` times over. Returns one timing a candidate, in their order.
///
/// Each sample begins with as many calls that are not timed, and eight at least if those take no more than some
/// milliseconds: they bring back into the caches what the other candidates drove out of them. Without them a candidate
/// would be slower the more memory it has, and the more others there are. (Of 10 to 20 MB a last level that others have
/// filled keeps little at first: after a single call a dense layer of 768×3072 took a quarter longer than after three,
/// and a lookup of 19 MB half as long again as after eight.) Every other round goes backwards: who comes after a
/// candidate that leaves nothing of the others in the caches is not always the same.
pub fn interleaved(rounds: usize, candidates: &mut [&mut dyn FnMut()]) -> Vec<Timing> {
    let calls: Vec<_> = candidates
        .iter_mut()
        .map(|candidate| {
            let calls = calls_to_fill(SAMPLE, candidate);
            let warming = if calls < WARMING { calls_to_fill(LONG, candidate).min(WARMING) } else { 0 };
            (warming.max(calls), calls)
        })
        .collect();
    let mut timings = vec![Timing { rounds: Vec::new() }; candidates.len()];
    let last = candidates.len().saturating_sub(1);
    for round in 0..rounds.max(1) {
        for place in 0..candidates.len() {
            let index = if round % 2 == 0 { place } else { last - place };
            let (candidate, (warming, calls)) = (&mut candidates[index], calls[index]);
            (0..warming).for_each(|_| candidate());
            let start = Instant::now();
            (0..calls).for_each(|_| candidate());
            timings[index].rounds.push(start.elapsed().as_secs_f64() / f64::from(calls));
        }
    }
    timings
}

/// Seconds in words: `1.2 µs`, `12 µs`, `1.2 ms`, `1.2 s`.
pub fn duration(seconds: f64) -> String {
    match 1e6 * seconds {
        micros @ ..9.95 => format!("{micros:.1} µs"),
        micros @ ..999.5 => format!("{micros:.0} µs"),
        micros @ ..999_500.0 => format!("{:.1} ms", 1e-3 * micros),
        micros => format!("{:.1} s", 1e-6 * micros),
    }
}

fn calls_to_fill(time: Duration, candidate: &mut dyn FnMut()) -> u32 {
    candidate();
    let mut calls = 1_u32;
    loop {
        let start = Instant::now();
        for _ in 0..calls {
            candidate();
        }
        if start.elapsed() >= time || calls >= 1 << 20 {
            return calls;
        }
        calls *= 2;
    }
}

/// Lower quartile, median and upper quartile: of n sorted values those behind the first ⌊n/4⌋, ⌊n/2⌋ and ⌊3n/4⌋.
fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| sorted.get(sorted.len() * quarter / 4).copied().unwrap_or(f64::NAN))
}

/// How fast one core multiplies and adds f32 with an instruction set, in FLOP/s (a multiply-add is two), as measured.
///
/// A kernel's rate is the kept weights times the batch, times two, over its time. Which roof bounds it is a matter of
/// what it loads:
///
/// - [`load`](Self::load) bounds the batched product of panels, and every unstructured sparse × dense product that
///   keeps its sums in registers: each multiply-add needs a vector of activations that no other weight of the row
///   shares. CSR on one sample is bound by it, too, and far below.
/// - [`fma`](Self::fma) bounds everything, dense products among it: those use a loaded vector for several rows. The
///   lookup kernel takes its activations from registers and uses a loaded vector of weights for up to four samples, so
///   for more than one sample only this roof holds.
///
/// ```
/// use tombola::Isa;
/// use tombola::measure::Roofs;
/// let Roofs { load, fma } = Roofs::of(Isa::detect()?);
/// println!("{:.0} GFLOP/s, and {:.0} with a load each", 1e-9 * fma, 1e-9 * load);
/// # Ok::<(), tombola::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roofs {
    /// Multiply-adds that each load one aligned vector from 16 KiB in the first-level cache.
    pub load: f64,
    /// Multiply-adds on registers, in independent chains.
    pub fma: f64,
}

/// Floats that the load roof reads: half of a small first-level cache, and a multiple of what 4, 8 or 16 sums take.
const ROOF_FLOATS: usize = (16 << 10) / size_of::<f32>();

/// Floats of the widest vector, at least.
const SINK: usize = 64;

/// Memory that begins at a cache line.
#[repr(align(64))]
struct Lines([f32; ROOF_FLOATS]);

impl Roofs {
    /// Measures them, in a tenth of a second or so. Of each loop there are some with fewer and some with more sums
    /// at a time, and the best repetition of the best one counts.
    pub fn of(isa: Isa) -> Self {
        let load = fastest([load_roof::<4>, load_roof::<8>, load_roof::<16>], isa);
        let fma = fastest([fma_roof::<6>, fma_roof::<8>, fma_roof::<12>], isa);
        // What goes with loads goes without, even where the compiler finds too few registers for the chains.
        Self { load, fma: fma.max(load) }
    }
}

/// A loop that takes some microseconds, and the FLOPs in it.
type Loop = fn(Isa) -> f64;

/// The highest rate of any of the loops, in FLOP/s.
fn fastest<const N: usize>(loops: [Loop; N], isa: Isa) -> f64 {
    const REPETITIONS: usize = 1000;
    let rate = |flops: Loop| {
        let start = Instant::now();
        let flops = flops(isa);
        flops / start.elapsed().as_secs_f64()
    };
    (0..REPETITIONS).flat_map(|_| loops).map(rate).fold(0.0, f64::max)
}

fn load_roof<const SUMS: usize>(isa: Isa) -> f64 {
    const PASSES: usize = 100;
    static MEMORY: Lines = Lines([1.0; ROOF_FLOATS]);
    let (memory, mut sink) = (&black_box(&MEMORY).0, [0.0; SINK]);
    isa.run(LoadRoof::<SUMS> { passes: PASSES, weight: black_box(1e-3), memory, sink: &mut sink });
    black_box(sink);
    (2 * PASSES * ROOF_FLOATS) as f64
}

fn fma_roof<const SUMS: usize>(isa: Isa) -> f64 {
    const STEPS: usize = 2000;
    let mut sink = [0.0; SINK];
    // Every chain goes to 1, neither to infinity nor to numbers so small that they are slow.
    isa.run(FmaRoof::<SUMS> { steps: STEPS, operands: black_box((0.5, 0.5)), sink: &mut sink });
    black_box(sink);
    (2 * STEPS * SUMS * isa.lanes()) as f64
}
