//! The lottery ticket hypothesis, from dense weights to a winning ticket that runs sparse.
//!
//! Run it with `cargo run --release --example lottery_ticket`; behind a `--`, `sgd` trains with SGD and momentum in
//! place of Adam.

use std::time::Instant;

use ndarray::{Array2, ArrayView2};
use tombola::data::Split;
use tombola::dense::{DenseInference, DenseMlp, Initialisation, Optimizer, Orientation, Training};
use tombola::mask::quantile;
use tombola::measure::interleaved;
use tombola::plan::Format;
use tombola::ticket::{Round, Scope, Search, Spread, Ticket};
use tombola::{Isa, Mask, Result};

fn main() -> Result<()> {
    let start = Instant::now();
    let optimizer = match std::env::args().nth(1).as_deref() {
        None | Some("adam") => Optimizer::Adam { rate: 1.2e-3 },
        Some("sgd") => Optimizer::Sgd { rate: 0.05, momentum: 0.9 },
        Some(other) => {
            eprintln!("lottery_ticket: expected the optimizer `adam` or `sgd`, found `{other}`");
            std::process::exit(2);
        }
    };
    demo()?;
    let (network, ticket) = claim(optimizer)?;
    speed(&network, &ticket)?;
    println!("\nDone in {:.0} s.", start.elapsed().as_secs_f64());
    Ok(())
}

/// Part 1: one ticket, step by step, with training only simulated.
fn demo() -> Result<()> {
    const SPARSITY: f64 = 0.8;
    println!("1. The idea: draw a ticket from a 100 → 50 → 10 network\n");
    let initial = DenseMlp::initialise(&[100, 50, 10], Initialisation::TorchDefault, 42)?;
    println!("   Step 1: save the initial weights              w₀ of fc1[0, 0] = {:+.4}", first(&initial));

    let mut trained = initial.clone();
    trained.add_noise(0.1, 42)?;
    println!("   Step 2: train (simulated: add N(0, 1)·0.1)    w  of fc1[0, 0] = {:+.4}", first(&trained));

    println!("   Step 3: mask what is not above the 0.8 quantile of the trained |w|");
    let masks = trained
        .weight_views()
        .into_iter()
        .map(|weight| Mask::above(weight, quantile(weight, SPARSITY)?))
        .collect::<Result<Vec<_>>>()?;
    for (index, (weight, mask)) in trained.weight_views().into_iter().zip(&masks).enumerate() {
        let threshold = quantile(weight, SPARSITY)?;
        println!(
            "           fc{}: threshold {threshold:.4}, {} of {} stay",
            index + 1,
            mask.kept(),
            mask.len()
        );
    }

    let ticket = Ticket::new(initial, masks)?;
    let rewound = ticket.rewound()?;
    println!("   Step 4: rewind the survivors to w₀ and drop the rest");
    let (kept, all) = (ticket.kept(), rewound.weights());
    println!("\n   Winning ticket: {kept}/{all} weights ({:.0}%)\n", 100.0 * ticket.density());
    Ok(())
}

fn first(network: &DenseMlp) -> f32 {
    network.layers()[0].weight()[(0, 0)]
}

const SIZES: [usize; 4] = [64, 300, 100, 10];
const SEEDS: u64 = 5;
/// Four rounds at this rate leave 20% of the weights.
const ROUNDS_TO_80: f64 = 4.0;
const ROUNDS: usize = 10;
const BATCH: usize = 60;
const EPOCHS: usize = 80;
/// The rounds that have their controls trained too.
const COMPARED: [usize; 4] = [4, 6, 8, 10];

/// What one seed gives.
struct Trial {
    dense: Round,
    one_shot: Contest,
    rounds: Vec<Contest>,
}

/// A ticket beside its controls.
struct Contest {
    ticket: Round,
    reinitialised: Round,
    shuffled_mask: Round,
}

/// Part 2: the hypothesis on handwritten digits. Returns a trained ticket for part 3.
fn claim(optimizer: Optimizer) -> Result<(DenseMlp, Ticket)> {
    println!("2. The claim: train tickets for handwritten digits, {SEEDS} seeds\n");
    println!("   Network {SIZES:?}, {EPOCHS} epochs in batches of {BATCH}, {optimizer:?}");
    let data = Split::digits()?;
    let (training, validation, test) = (data.training.len(), data.validation.len(), data.test.len());
    println!("   {training} images for training, {validation} for validation, {test} for the test");
    println!("   (training 110 small networks; this takes less than a minute)\n");
    let trials = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..=SEEDS)
            .map(|seed| {
                scope.spawn({
                    let data = &data;
                    move || trial(seed, optimizer, data)
                })
            })
            .collect();
        let join =
            |worker: std::thread::ScopedJoinHandle<'_, _>| worker.join().expect("a trial does not panic");
        workers.into_iter().map(join).collect::<Result<Vec<Trial>>>()
    })?;

    println!(
        "   Mean ± standard deviation of the test accuracy at the epoch of lowest validation loss, of that"
    );
    println!("   epoch, and of what a control's accuracy lacks to the ticket's of the same seed\n");
    println!("   {:<20} {:>7}  {:>14} {:>13} {:>15}", "", "weights", "accuracy %", "epoch", "difference");
    row("dense", trials.iter().map(|trial| &trial.dense));
    println!();
    println!("\n   pruned in one shot");
    contest(trials.iter().map(|trial| &trial.one_shot));
    let mut parted = [None; 2];
    for (index, rounds) in COMPARED.iter().enumerate() {
        println!("\n   pruned in {rounds} rounds");
        let differences = contest(trials.iter().map(|trial| &trial.rounds[index]));
        let sparsity = 100.0 * (1.0 - trials[0].rounds[index].ticket.ticket.density());
        for (parted, difference) in parted.iter_mut().zip(differences) {
            *parted = parted.or(difference.is_clearly_negative().then_some(sparsity));
        }
    }
    println!("\n   Where a control first lacks more than three standard errors of that difference:");
    for (name, parted) in ["fresh weights", "shuffled mask"].into_iter().zip(parted) {
        println!(
            "   {name:<20} {}",
            parted.map_or("nowhere".into(), |sparsity| format!("at {sparsity:.1}% sparsity"))
        );
    }
    println!();
    let winner = trials.into_iter().next().expect("at least one seed").rounds.swap_remove(0).ticket;
    Ok((winner.trained.history.best, winner.ticket))
}

fn trial(seed: u64, optimizer: Optimizer, data: &Split) -> Result<Trial> {
    let initial = DenseMlp::initialise(&SIZES, Initialisation::GlorotNormal, seed)?;
    let training = Training { optimizer, batch: BATCH, epochs: EPOCHS, seed };
    let search = Search::new(initial, training, Scope::LayerWise, data);
    let with_controls = |ticket: Round| {
        // Seeds that no search uses.
        let fresh = ticket.ticket.reinitialised(Initialisation::GlorotNormal, 1000 + seed);
        let shuffled = ticket.ticket.shuffled_mask(1000 + seed)?;
        Ok(Contest { ticket, reinitialised: search.train(fresh)?, shuffled_mask: search.train(shuffled)? })
    };
    let dense = search.dense()?;
    let one_shot = with_controls(search.one_shot(&dense, 0.8)?)?;
    let rounds = search.iterative(&dense, 1.0 - 0.2_f64.powf(1.0 / ROUNDS_TO_80), ROUNDS)?;
    let compared = rounds.into_iter().enumerate().filter(|(index, _)| COMPARED.contains(&(index + 1)));
    let rounds = compared.map(|(_, round)| with_controls(round)).collect::<Result<_>>()?;
    Ok(Trial { dense, one_shot, rounds })
}

/// Prints a ticket and its controls, and returns what the controls' accuracies lack.
fn contest<'a>(contests: impl Iterator<Item = &'a Contest> + Clone) -> [Spread; 2] {
    row("  winning ticket", contests.clone().map(|contest| &contest.ticket));
    println!();
    type Control = fn(&Contest) -> &Round;
    let fresh: Control = |contest| &contest.reinitialised;
    let shuffled: Control = |contest| &contest.shuffled_mask;
    [("  fresh weights", fresh), ("  shuffled mask", shuffled)].map(|(name, control)| {
        row(name, contests.clone().map(control));
        let lack = |contest| accuracy(control(contest)) - accuracy(&contest.ticket);
        let difference: Spread = contests.clone().map(lack).collect();
        println!(" {:>15}", format!("{difference:+.2}"));
        difference
    })
}

fn accuracy(round: &Round) -> f64 {
    100.0 * round.trained.test.accuracy
}

fn row<'a>(name: &str, rounds: impl Iterator<Item = &'a Round> + Clone) {
    let accuracy: Spread = rounds.clone().map(accuracy).collect();
    let epoch: Spread = rounds.clone().map(|round| round.trained.history.best_epoch() as f64).collect();
    let density: Spread = rounds.map(|round| 100.0 * round.ticket.density()).collect();
    let (accuracy, epoch) = (format!("{accuracy:.2}"), format!("{epoch:.1}"));
    print!("   {name:<20} {:>6.1}%  {accuracy:>14} {epoch:>13}", density.mean);
}

const BATCHES: [usize; 3] = [1, 64, 512];
const TIMING_ROUNDS: usize = 30;

/// Part 3: the ticket as CSR, and what its sparsity is worth.
fn speed(network: &DenseMlp, ticket: &Ticket) -> Result<()> {
    println!(
        "3. The speed: sparse against dense (faer, its best orientation), one thread, {}\n",
        Isa::detect()?
    );
    println!(
        "   {:<22} {:>8} {:>6} {:>11} {:>11}  {:<20} {:>9} {:>9}",
        "network", "sparsity", "batch", "dense µs", "sparse µs", "speed-up (quartiles)", "|Δ| abs", "|Δ| rel"
    );
    let mut sizes = vec![compare("digits ticket", network, ticket.masks())?];
    for (name, layers) in [("LeNet-300-100", &[784, 300, 100, 10][..]), ("1024×1024", &[1024, 1024])] {
        let network = DenseMlp::initialise(layers, Initialisation::TorchDefault, 1)?;
        for sparsity in [0.8, 0.9, 0.95] {
            let masks = network.weight_views().into_iter().map(|weight| Mask::magnitude(weight, sparsity));
            sizes.push(compare(name, &network, &masks.collect::<Result<Vec<_>>>()?)?);
        }
    }
    println!(
        "\n   Best of {TIMING_ROUNDS} interleaved rounds. |Δ|: largest difference of an output, absolute and"
    );
    println!("   relative to the largest output.\n");
    println!("   {:<22} {:>8} {:>12} {:>12} {:>12} {:>12}", "", "", "", "", "packed for", "packed for");
    println!(
        "   {:<22} {:>8} {:>12} {:>12} {:>12} {:>12}",
        "bytes", "sparsity", "dense", "CSR", "one sample", "batches"
    );
    sizes.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// Prints a line for each batch size, and returns one on the memory.
fn compare(name: &str, network: &DenseMlp, masks: &[Mask]) -> Result<String> {
    let mut pruned = network.clone();
    pruned.apply_masks(masks)?;
    let sparse = pruned.to_sparse(masks)?;
    let sparsity = 100.0 * (1.0 - sparse.kept() as f64 / network.weights() as f64);
    for batch in BATCHES {
        let x = Array2::from_shape_fn((batch, network.inputs()), |(i, j)| ((i * 31 + j) as f32).sin());
        let outputs = (batch, network.outputs());

        let mut dense = Orientation::ALL.map(|orientation| DenseInference::new(&pruned, orientation));
        let [mut y0, mut y1, mut y2, mut y] = [(); 4].map(|()| Array2::zeros(outputs));
        let mut workspace = sparse.workspace(batch);
        let [a, b, c] = &mut dense;
        let timings = interleaved(
            TIMING_ROUNDS,
            &mut [
                &mut || a.forward_into(x.view(), y0.view_mut()).expect("the shapes fit"),
                &mut || b.forward_into(x.view(), y1.view_mut()).expect("the shapes fit"),
                &mut || c.forward_into(x.view(), y2.view_mut()).expect("the shapes fit"),
                &mut || sparse.forward_into(x.view(), y.view_mut(), &mut workspace).expect("the shapes fit"),
            ],
        );
        let (sparse_time, dense_times) = timings.split_last().expect("four candidates");
        let best =
            dense_times.iter().min_by(|a, b| a.best().total_cmp(&b.best())).expect("three orientations");
        let (absolute, relative) = difference(y.view(), y0.view());
        println!(
            "   {name:<22} {sparsity:>7.1}% {batch:>6} {:>11.1} {:>11.1}  {:<20} {absolute:>9.1e} {relative:>9.1e}",
            1e6 * best.best(),
            1e6 * sparse_time.best(),
            sparse_time.speedup_over(best),
        );
    }
    let layers = sparse.layers();
    let [dense, csr, rows, tiles] = [
        layers.iter().map(|layer| layer.dense_bytes()).sum::<usize>(),
        layers.iter().map(|layer| layer.csr_bytes()).sum(),
        layers.iter().map(|layer| layer.packed_bytes(Format::Lookup)).sum(),
        layers.iter().map(|layer| layer.packed_bytes(Format::Panel)).sum(),
    ];
    Ok(format!("   {name:<22} {sparsity:>7.1}% {dense:>12} {csr:>12} {rows:>12} {tiles:>12}"))
}

/// The largest absolute difference, and the same over the largest output.
fn difference(y: ArrayView2<'_, f32>, expected: ArrayView2<'_, f32>) -> (f32, f32) {
    let absolute = y.iter().zip(expected).fold(0.0_f32, |max, (y, expected)| max.max((y - expected).abs()));
    (absolute, absolute / expected.fold(0.0, |max: f32, value| max.max(value.abs())))
}
