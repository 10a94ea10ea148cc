//! The search: what a ticket is, and that a seed gives the same one twice.
#![cfg(feature = "search")]

mod common;

use common::bits;
use tombola::data::Split;
use tombola::dense::{DenseMlp, Initialisation, Optimizer, Training};
use tombola::mask::quantile;
use tombola::ticket::{Origin, Round, Scope, Search, Spread, Ticket};
use tombola::{Error, ErrorKind, Mask};

const SIZES: [usize; 4] = [64, 40, 20, 10];

fn search(data: &Split, scope: Scope, seed: u64) -> Search<'_> {
    let training = Training { optimizer: Optimizer::Adam { rate: 2e-3 }, batch: 60, epochs: 4, seed };
    Search::new(
        DenseMlp::initialise(&SIZES, Initialisation::GlorotNormal, seed).unwrap(),
        training,
        scope,
        data,
    )
}

/// Every kept weight is at its first value to the bit, every other is 0.0, and biases are at theirs.
fn assert_rewound(ticket: &Ticket) {
    let rewound = ticket.rewound().unwrap();
    for ((layer, first), mask) in rewound.layers().iter().zip(ticket.initial().layers()).zip(ticket.masks()) {
        for ((row, column), weight) in layer.weight().indexed_iter() {
            let kept = mask.get(row, column).unwrap();
            let expected = if kept { first.weight()[(row, column)] } else { 0.0 };
            assert_eq!(weight.to_bits(), expected.to_bits());
        }
        assert_eq!(bits(layer.bias()), bits(first.bias()));
    }
}

fn kept(round: &Round) -> Vec<usize> {
    round.ticket.masks().iter().map(Mask::kept).collect()
}

#[test]
fn the_lectures_demo_keeps_1100_of_5500() {
    for seed in 0..20 {
        let mut network = DenseMlp::initialise(&[100, 50, 10], Initialisation::TorchDefault, seed).unwrap();
        network.add_noise(0.1, seed).unwrap();
        let masks = network.weight_views().into_iter().map(|weight| {
            let threshold = quantile(weight, 0.8).unwrap();
            Mask::above(weight, threshold).unwrap()
        });
        let kept: Vec<_> = masks.map(|mask| mask.kept()).collect();
        assert_eq!(kept, [1000, 100]);
    }
}

#[test]
fn a_seed_gives_the_same_ticket_twice() {
    let data = Split::digits().unwrap();
    let run = |seed| {
        let search = search(&data, Scope::LayerWise, seed);
        let dense = search.dense()?;
        let mut rounds = search.iterative(&dense, 0.4, 2)?;
        rounds.push(search.one_shot(&dense, 0.8)?);
        rounds.push(search.train(rounds[0].ticket.reinitialised(Initialisation::GlorotNormal, 9))?);
        rounds.push(search.train(rounds[0].ticket.shuffled_mask(9)?)?);
        rounds.push(search.train(rounds[0].ticket.random_mask(9)?)?);
        rounds.push(search.train(rounds[0].ticket.sign_only(Initialisation::GlorotNormal))?);
        Ok::<_, Error>(rounds)
    };
    // At the same time, on two threads: neither the order nor the thread shows.
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| run(1).unwrap());
        (run(1).unwrap(), other.join().unwrap())
    });
    assert_eq!(first, second);
    assert_ne!(first[0].ticket, run(2).unwrap()[0].ticket);
}

#[test]
fn rounds_keep_exact_counts_and_nest() {
    let data = Split::digits().unwrap();
    let search = search(&data, Scope::LayerWise, 1);
    let dense = search.dense().unwrap();
    assert_eq!(kept(&dense), [2560, 800, 200]);
    assert_eq!(dense.ticket.origin(), Origin::Dense);
    let rounds = search.iterative(&dense, 0.2, 3).unwrap();
    let expected = [[2048, 640, 160], [1638, 512, 128], [1311, 410, 102]]; // n·0.8ᵏ, rounded
    for (round, expected) in rounds.iter().zip(expected) {
        assert_eq!(kept(round), expected);
        assert_rewound(&round.ticket);
    }
    for pair in rounds.windows(2) {
        for (before, after) in pair[0].ticket.masks().iter().zip(pair[1].ticket.masks()) {
            let rows = 0..after.shape().0;
            let mut places = rows.flat_map(|row| after.row(row).map(move |column| (row, column)));
            assert!(
                places.all(|(row, column)| before.get(row, column) == Some(true)),
                "what is pruned stays pruned"
            );
        }
    }
    let one_shot = search.one_shot(&dense, 0.8).unwrap();
    assert_eq!(kept(&one_shot), [512, 160, 40]);
    assert_eq!(one_shot.ticket.origin(), Origin::OneShot { scope: Scope::LayerWise, sparsity: 0.8 });
    assert_rewound(&one_shot.ticket);
    // The mask held through training.
    for (layer, mask) in one_shot.trained.network.layers().iter().zip(one_shot.ticket.masks()) {
        assert_eq!(Mask::nonzero(layer.weight()), *mask);
    }
}

#[test]
fn a_global_ranking_keeps_the_count_of_all() {
    let data = Split::digits().unwrap();
    let search = search(&data, Scope::Global, 1);
    let dense = search.dense().unwrap();
    let one_shot = search.one_shot(&dense, 0.8).unwrap();
    assert_eq!(one_shot.ticket.kept(), 712);
    assert_ne!(kept(&one_shot), [512, 160, 40]);
    let rounds = search.iterative(&dense, 0.5, 2).unwrap();
    assert_eq!([rounds[0].ticket.kept(), rounds[1].ticket.kept()], [1780, 890]);
}

#[test]
fn controls_change_one_thing_each() {
    let initial = DenseMlp::initialise(&SIZES, Initialisation::TorchDefault, 1).unwrap();
    let masks: Vec<_> =
        initial.weight_views().into_iter().map(|weight| Mask::magnitude(weight, 0.8).unwrap()).collect();
    let ticket = Ticket::new(initial, masks).unwrap();
    assert_eq!(ticket.origin(), Origin::Given);

    let reinitialised = ticket.reinitialised(Initialisation::TorchDefault, 2);
    assert_eq!(reinitialised.masks(), ticket.masks());
    for (fresh, layer) in reinitialised.initial().layers().iter().zip(ticket.initial().layers()) {
        assert_eq!((fresh.shape(), fresh.activation()), (layer.shape(), layer.activation()));
        assert_ne!(fresh.weight(), layer.weight());
    }
    assert_rewound(&reinitialised);

    let shuffled = ticket.shuffled_mask(2).unwrap();
    assert_eq!(shuffled.origin(), Origin::ShuffledMask);
    assert_eq!(shuffled.initial(), ticket.initial());
    for (shuffled, mask) in shuffled.masks().iter().zip(ticket.masks()) {
        assert_eq!((shuffled.shape(), shuffled.kept()), (mask.shape(), mask.kept()));
        assert_ne!(shuffled, mask);
    }
    assert_rewound(&shuffled);
    assert_ne!(shuffled.masks(), ticket.shuffled_mask(3).unwrap().masks());
}

#[test]
fn a_random_mask_keeps_the_total_count() {
    let initial = DenseMlp::initialise(&SIZES, Initialisation::TorchDefault, 1).unwrap();
    // All in the first layer, none in the last: 801 of 3560 are 22.5%.
    let masks = [(64, 40, 800), (40, 20, 1), (20, 10, 0)];
    let masks = masks.map(|(inputs, out, keep)| Mask::random_count((out, inputs), keep, 1).unwrap());
    let ticket = Ticket::new(initial, masks.to_vec()).unwrap();
    let random = ticket.random_mask(2).unwrap();
    assert_eq!((random.origin(), random.initial()), (Origin::RandomMask, ticket.initial()));
    assert_eq!(random.masks().iter().map(Mask::kept).collect::<Vec<_>>(), [576, 180, 45]);
    assert_rewound(&random);
    for kept in [0, 1] {
        let masks = [(64, 40), (40, 20), (20, 10)].map(|(inputs, out)| match kept {
            0 => Mask::none((out, inputs)),
            _ => Mask::all((out, inputs)),
        });
        let ticket = Ticket::new(ticket.initial().clone(), masks.to_vec()).unwrap();
        assert_eq!(ticket.random_mask(2).unwrap().masks(), ticket.masks());
        assert_eq!(ticket.shuffled_mask(2).unwrap().masks(), ticket.masks());
    }
}

#[test]
fn only_signs_are_left() {
    // A hundred standard errors of a standard deviation would show another formula.
    for (initialisation, expected) in [
        (Initialisation::TorchDefault, [1.0 / 192.0_f32, 1.0 / 120.0, 1.0 / 60.0]),
        (Initialisation::GlorotNormal, [2.0 / 104.0, 2.0 / 60.0, 2.0 / 30.0]),
    ] {
        let mut initial = DenseMlp::initialise(&SIZES, initialisation, 1).unwrap();
        initial.weight_mut(1).unwrap()[(3, 5)] = 0.0;
        let masks: Vec<_> =
            initial.weight_views().into_iter().map(|weight| Mask::magnitude(weight, 0.5).unwrap()).collect();
        let ticket = Ticket::new(initial, masks).unwrap();
        let signs = ticket.sign_only(initialisation);
        assert_eq!((signs.masks(), signs.origin()), (ticket.masks(), Origin::SignOnly));
        let layers = signs.initial().layers().iter().zip(ticket.initial().layers());
        for ((sign, layer), expected) in layers.zip(expected.map(f32::sqrt)) {
            let weight = layer.weight();
            let measured = weight.iter().map(|weight| weight * weight).sum::<f32>() / weight.len() as f32;
            assert!((measured.sqrt() / expected - 1.0).abs() < 0.2, "{measured} is not {expected}²");
            for (sign, &weight) in sign.weight().iter().zip(weight) {
                let magnitude = if weight == 0.0 { 0.0 } else { expected };
                assert!((sign.abs() - magnitude).abs() < 1e-6 && sign * weight >= 0.0, "{sign} for {weight}");
            }
            assert_eq!(bits(sign.bias()), bits(layer.bias()));
        }
        assert_rewound(&signs);
    }
}

#[test]
fn a_ticket_learns_the_digits_and_runs_sparse() {
    let data = Split::digits().unwrap();
    let training = Training { optimizer: Optimizer::Adam { rate: 2e-3 }, batch: 60, epochs: 30, seed: 1 };
    let initial = DenseMlp::initialise(&SIZES, Initialisation::GlorotNormal, 1).unwrap();
    let search = Search::new(initial, training, Scope::LayerWise, &data);
    let round = search.one_shot(&search.dense().unwrap(), 0.8).unwrap();
    let accuracy = round.trained.test.accuracy;
    assert!(accuracy > 0.93, "{accuracy}");

    let network = &round.trained.history.best;
    let sparse = round.ticket.to_sparse(network).unwrap();
    let x = data.test.samples().x;
    let (dense, sparse) = (network.forward(x).unwrap(), sparse.forward(x).unwrap());
    let largest = dense.fold(0.0_f32, |max, value| max.max(value.abs()));
    let difference = (&dense - &sparse).fold(0.0_f32, |max, value| max.max(value.abs()));
    assert!(difference < 1e-5 * largest, "{difference} of {largest}");
}

#[test]
fn what_is_refused_is_named() {
    let data = Split::digits().unwrap();
    let (one, other) = (search(&data, Scope::LayerWise, 1), search(&data, Scope::LayerWise, 2));
    let dense = one.dense().unwrap();
    for sparsity in [1.0, -0.5, f64::NAN] {
        assert_eq!(one.one_shot(&dense, sparsity).unwrap_err().kind(), ErrorKind::Value);
        assert_eq!(one.iterative(&dense, sparsity, 1).unwrap_err().kind(), ErrorKind::Value);
    }
    assert!(other.one_shot(&dense, 0.5).unwrap_err().to_string().contains("another initial network"));
    assert!(Ticket::new(dense.ticket.initial().clone(), vec![]).is_err());
}

#[test]
fn spreads() {
    let spread = |values: &[f64]| values.iter().copied().collect::<Spread>();
    assert_eq!(spread(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).deviation, (32.0_f64 / 7.0).sqrt());
    assert_eq!(spread(&[3.0]), Spread { mean: 3.0, deviation: 0.0, count: 1 });
    assert_eq!(spread(&[1.0, 3.0]).standard_error(), 1.0);
    assert!(spread(&[-3.0, -4.0, -5.0]).is_clearly_negative());
    assert!(!spread(&[-1.0, 1.0, -2.0, 0.5]).is_clearly_negative());
    assert!(!spread(&[3.0, 4.0, 5.0]).is_clearly_negative());
}
