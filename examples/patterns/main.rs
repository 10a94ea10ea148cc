//! What a pattern costs in accuracy, and what it buys in speed: iterative pruning of LeNet-300-100 by several patterns
//! and to several sparsities, as a table in Markdown and, if asked for, a chart.
//!
//! `cargo run --release --example patterns` takes handwritten digits, and half a minute. For MNIST, or another set in
//! its four files, and for a chart: `cargo run --release --example patterns -- FOLDER CHART.svg`.

mod chart;

use std::error::Error;
use std::time::Instant;

use ndarray::{Array2, s};
use tombola::data::Split;
use tombola::dense::{DenseInference, DenseMlp, Initialisation, Optimizer, Orientation, Training};
use tombola::io::Source;
use tombola::mask::Pattern;
use tombola::measure::{Timing, interleaved};
use tombola::ticket::{Round, Scope, Search, Spread, Ticket};
use tombola::{Result, SparseMlp};

const HIDDEN: [usize; 2] = [300, 100];
const SEEDS: u64 = 5;
const PATTERNS: [&str; 7] = ["unstructured", "n:32", "fan-in", "4x1", "16x1", "4x4", "neurons"];
/// Each prunes what the one before it left.
const SPARSITIES: [f64; 5] = [0.5, 0.75, 0.8, 0.9, 0.95];
const BATCHES: [usize; 2] = [1, 64];
/// Iterations of a training, about: at least so many, in whole epochs.
const ITERATIONS: usize = 6000;
const BATCH: usize = 60;
/// Passes over a small set of data: enough.
const MOST_EPOCHS: usize = 60;

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut arguments = std::env::args().skip(1);
    let source: Source = arguments.next().as_deref().unwrap_or("digits").parse()?;
    let data = source.load(0)?;
    let trials = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..=SEEDS)
            .map(|seed| {
                scope.spawn({
                    let data = &data;
                    move || trial(seed, data)
                })
            })
            .collect();
        let join =
            |worker: std::thread::ScopedJoinHandle<'_, _>| worker.join().expect("a trial does not panic");
        workers.into_iter().map(join).collect::<Result<Vec<Trial>>>()
    })?;

    let dense: Spread = trials.iter().map(|trial| accuracy(&trial.dense)).collect();
    let [one, many] = BATCHES;
    println!(
        "LeNet-300-100 on {source}, {SEEDS} seeds: accuracy of the test, mean ± standard deviation; × is how many times"
    );
    println!("faster a ticket runs than the dense network (faer, its best orientation), one thread.\n");
    println!("| pattern | weights % | accuracy % | batch {one} | batch {many} |");
    println!("|---|---|---|---|---|");
    println!("| dense | 100.0 | {dense:.2} | | |");
    let mut points = Vec::new();
    for (pattern, name) in PATTERNS.into_iter().enumerate() {
        for step in 0..SPARSITIES.len() {
            let rounds = || trials.iter().map(|trial| &trial.tickets[pattern][step]);
            let accuracy: Spread = rounds().map(accuracy).collect();
            let density: Spread = rounds().map(|round| 100.0 * round.ticket.density()).collect();
            let speed = speed(&trials[0].dense, &trials[0].tickets[pattern][step], &data)?;
            let [one, many] = speed.map(|ratio| format!("×{ratio:.1}"));
            println!("| {name} | {:.1} | {accuracy:.2} | {one} | {many} |", density.mean);
            points.push(chart::Point { pattern: name, accuracy: accuracy.mean, speed });
        }
    }
    if let Some(path) = arguments.next() {
        chart::draw(&points, dense.mean, BATCHES, path.as_ref())?;
    }
    eprintln!("\nDone in {:.0} s.", start.elapsed().as_secs_f64());
    Ok(())
}

/// What one seed gives: a ticket for each pattern and sparsity.
struct Trial {
    dense: Round,
    tickets: Vec<Vec<Round>>,
}

fn trial(seed: u64, data: &Split) -> Result<Trial> {
    let sizes = [data.features(), HIDDEN[0], HIDDEN[1], data.classes()];
    let initial = DenseMlp::initialise(&sizes, Initialisation::GlorotNormal, seed)?;
    let epochs = ITERATIONS.div_ceil(data.training.len().div_ceil(BATCH)).min(MOST_EPOCHS);
    let training = Training { optimizer: Optimizer::Adam { rate: 1.2e-3 }, batch: BATCH, epochs, seed };
    let search = Search::new(initial.clone(), training, Scope::LayerWise, data);
    let dense = search.dense()?;
    let tickets = PATTERNS.map(|pattern| {
        let pattern: Pattern = pattern.parse()?;
        let mut rounds: Vec<Round> = Vec::new();
        for sparsity in SPARSITIES {
            // Train, prune, rewind: each round from what the last one trained.
            let before = rounds.last().unwrap_or(&dense);
            let weights = before.trained.network.weight_views();
            let keep: Vec<usize> = weights
                .iter()
                .map(|weight| ((1.0 - sparsity) * weight.len() as f64).round() as usize)
                .collect();
            let layers: Vec<_> = weights.into_iter().zip(before.ticket.masks()).collect();
            let masks = pattern.masks(&layers, &keep)?;
            rounds.push(search.train(Ticket::new(initial.clone(), masks)?)?);
        }
        Ok(rounds)
    });
    Ok(Trial { dense, tickets: tickets.into_iter().collect::<Result<_>>()? })
}

fn accuracy(round: &Round) -> f64 {
    100.0 * round.trained.test.accuracy
}

/// How many times faster a ticket is than the dense network, for each of the batches. Neurons that are dead are
/// removed.
fn speed(dense: &Round, ticket: &Round, data: &Split) -> Result<[f64; BATCHES.len()]> {
    let sparse: SparseMlp = ticket.trained.history.best.to_sparse(ticket.ticket.masks())?.shrink()?;
    let mut ratios = [0.0; BATCHES.len()];
    for (ratio, batch) in ratios.iter_mut().zip(BATCHES) {
        let x = data.test.samples().x.slice_move(s![..batch, ..]);
        let mut inferences =
            Orientation::ALL.map(|orientation| DenseInference::new(&dense.trained.history.best, orientation));
        let mut outputs = [(); 4].map(|()| Array2::zeros((batch, data.classes())));
        let mut workspace = sparse.workspace(batch);
        let ([a, b, c], [ya, yb, yc, y]) = (&mut inferences, &mut outputs);
        let timings = interleaved(
            15,
            &mut [
                &mut || a.forward_into(x, ya.view_mut()).expect("shapes fit"),
                &mut || b.forward_into(x, yb.view_mut()).expect("shapes fit"),
                &mut || c.forward_into(x, yc.view_mut()).expect("shapes fit"),
                &mut || sparse.forward_into(x, y.view_mut(), &mut workspace).expect("shapes fit"),
            ],
        );
        let dense = timings[..3].iter().map(Timing::best).fold(f64::INFINITY, f64::min);
        *ratio = dense / timings[3].best();
    }
    Ok(ratios)
}
