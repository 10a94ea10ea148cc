//! The figures that tombola is judged by: every contender in turn, in one process, on one thread and on all cores.
//!
//! `cargo bench --bench summary` measures for half an hour, prints, and writes `benches/RESULTS-avx2.md` and
//! `benches/speedup-avx2.svg`, or by the name of another instruction set. A filter (`-- 4096`) selects networks by
//! their names and only prints; `--out FOLDER` writes there, whatever was selected; `--test` only shows that it runs.

#[path = "../baselines/mod.rs"]
mod baselines;
mod chart;
mod report;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use baselines::networks::{Model, Network, is_test, networks};
use baselines::{Case, Contender, Family};
use tombola::Isa;
use tombola::measure::{Ratio, Timing, interleaved};

/// Seconds for a case, about; more where contenders are slow.
const BUDGET: f64 = 2.0;
/// The fewest and the most rounds of a case.
const ROUNDS: (f64, f64) = (7.0, 60.0);
/// A variant this many times slower than the best of its family does not come to the final.
const FAR_BEHIND: f64 = 1.4;

/// A network, a batch and a sparsity, and how everyone did.
struct Line {
    network: &'static Network,
    batch: usize,
    sparsity: f64,
    times: Vec<(Contender, Timing)>,
}

impl Line {
    /// The best of a family.
    fn best(&self, family: Family) -> Option<&(Contender, Timing)> {
        let of_family = self.times.iter().filter(|(contender, _)| contender.family() == family);
        of_family.min_by(|(_, a), (_, b)| a.best().total_cmp(&b.best()))
    }

    /// How many times faster a family is than another.
    fn speedup(&self, family: Family, over: Family) -> Option<Ratio> {
        Some(self.best(family)?.1.speedup_over(&self.best(over)?.1))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { filters, out } = Arguments::parse();
    let mut lines = Vec::new();
    for network in networks() {
        if !(filters.is_empty() || filters.iter().any(|filter| network.name.contains(filter))) {
            continue;
        }
        println!("\n{}\n\n{}", network.name, report::plain_head());
        for &sparsity in network.sparsities() {
            let model = Arc::new(Model::new(network, sparsity));
            for &batch in network.batches() {
                let line = measure(Case::new(Arc::clone(&model), batch));
                println!("{}", report::plain(&line));
                lines.push(line);
            }
        }
    }
    if let Some(folder) = out.filter(|_| !lines.is_empty()) {
        fs::create_dir_all(&folder)?;
        let isa = Isa::detect()?;
        let [results, picture] = [format!("RESULTS-{isa}.md"), format!("speedup-{isa}.svg")];
        fs::write(folder.join(&results), report::markdown(&lines, isa, &picture))?;
        chart::draw(&lines, &folder.join(&picture))?;
        println!("\nwrote {results} and {picture} to {}", folder.display());
    }
    Ok(())
}

fn measure(case: Case) -> Line {
    let line =
        |times| Line { network: case.model.network, batch: case.batch, sparsity: case.model.sparsity, times };
    if is_test() {
        return line(race(&case, Contender::all(case.batch), 1));
    }
    let heat = line(race(&case, Contender::all(case.batch), 2));
    let (mut finalists, mut round) = (Vec::new(), 0.0);
    for (contender, timing) in &heat.times {
        let best = heat.best(contender.family()).map_or(f64::INFINITY, |(_, timing)| timing.best());
        if timing.best() <= FAR_BEHIND * best {
            finalists.push(*contender);
            // A sample is half a millisecond or a call, and as much to warm up, or some calls of up to a millisecond
            // each.
            round += 2.0 * timing.best().max(7e-4) + (8.0 * timing.best()).min(1e-2);
        }
    }
    let rounds = (BUDGET / round).clamp(ROUNDS.0, ROUNDS.1);
    line(race(&case, finalists, rounds as usize))
}

/// Runs contenders in turn.
fn race(case: &Case, contenders: Vec<Contender>, rounds: usize) -> Vec<(Contender, Timing)> {
    let mut ready: Vec<_> = contenders.iter().map(|&contender| case.ready(contender)).collect();
    let mut calls: Vec<_> =
        ready.iter_mut().map(|(run, y)| move || run(case.x.view(), y.view_mut())).collect();
    let mut calls: Vec<&mut dyn FnMut()> = calls.iter_mut().map(|call| call as &mut dyn FnMut()).collect();
    let timings = interleaved(rounds, &mut calls);
    contenders.into_iter().zip(timings).collect()
}

struct Arguments {
    /// Parts of networks' names.
    filters: Vec<String>,
    /// Where the results go, if they are to be kept.
    out: Option<PathBuf>,
}

impl Arguments {
    /// Takes what `cargo bench` and users of criterion's benches hand to all benches, and makes nothing of most of it.
    fn parse() -> Self {
        const WITH_VALUE: [&str; 16] = [
            "-s",
            "--save-baseline",
            "-b",
            "--baseline",
            "--baseline-lenient",
            "--load-baseline",
            "--sample-size",
            "--warm-up-time",
            "--measurement-time",
            "--nresamples",
            "--noise-threshold",
            "--confidence-level",
            "--significance-level",
            "--profile-time",
            "--color",
            "--output-format",
        ];
        let (mut filters, mut out) = (Vec::new(), None);
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            if argument == "--out" {
                out = arguments.next().map(PathBuf::from);
            } else if WITH_VALUE.contains(&&*argument) {
                arguments.next();
            } else if !argument.starts_with('-') {
                filters.push(argument);
            }
        }
        // Part of a run, or a test, does not overwrite the results of a whole one.
        if out.is_none() && filters.is_empty() {
            let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
            out = Some(if is_test() { std::env::temp_dir().join("tombola-summary") } else { benches });
        }
        Self { filters, out }
    }
}
