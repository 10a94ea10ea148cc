//! Timings that can be held against each other.
//!
//! Machines are noisy, and their noise drifts. So candidates are run in turn, A B C A B C …, in one process, and a
//! ratio is formed round by round as well as between the best times: [`Ratio`] says both.

use std::fmt;
use std::time::{Duration, Instant};

/// Each sample runs its candidate as often as it takes to fill this time, so that the clock's own cost is nothing.
const SAMPLE: Duration = Duration::from_micros(200);

/// The times of one candidate, in seconds per call, round by round.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    rounds: Vec<f64>,
}

impl Timing {
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

/// Times candidates in turn, `rounds` times over, after one call each to warm up. Returns one timing a candidate, in
/// their order.
pub fn interleaved(rounds: usize, candidates: &mut [&mut dyn FnMut()]) -> Vec<Timing> {
    let calls: Vec<u32> = candidates.iter_mut().map(|candidate| calls_to_fill(SAMPLE, candidate)).collect();
    let mut timings = vec![Timing { rounds: Vec::new() }; candidates.len()];
    for _ in 0..rounds.max(1) {
        for ((candidate, &calls), timing) in candidates.iter_mut().zip(&calls).zip(&mut timings) {
            let start = Instant::now();
            for _ in 0..calls {
                candidate();
            }
            timing.rounds.push(start.elapsed().as_secs_f64() / f64::from(calls));
        }
    }
    timings
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

/// Lower quartile, median and upper quartile, by the nearest rank.
fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| sorted.get(sorted.len() * quarter / 4).copied().unwrap_or(f64::NAN))
}
