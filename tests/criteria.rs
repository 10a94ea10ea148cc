//! What weights are worth before and after training, against loops in f64, sums over paths, and PyTorch.
#![cfg(feature = "search")]

mod common;

use common::{ACTIVATIONS, activate, erfc, noise, noise_matrix};
use ndarray::{Array2, array};
use tombola::dense::{DenseLayer, DenseMlp, Evaluation, Initialisation, Samples};
use tombola::ticket::{Foresight, Pruned, Score, Sensitivity};
use tombola::{Activation, ErrorKind, Mask};

type Matrices = Vec<Array2<f64>>;

fn network(sizes: &[usize], activations: &[Activation], seed: u64) -> DenseMlp {
    let mut network = DenseMlp::initialise(sizes, Initialisation::TorchDefault, seed).unwrap();
    network.add_noise(0.4, seed).unwrap();
    network.with_activations(activations).unwrap()
}

fn weights(network: &DenseMlp) -> Matrices {
    network.weight_views().iter().map(|weight| weight.mapv(f64::from)).collect()
}

fn all(network: &DenseMlp) -> Vec<Mask> {
    network.layers().iter().map(|layer| Mask::all(layer.shape())).collect()
}

fn kept(masks: &[Mask]) -> Vec<usize> {
    masks.iter().map(Mask::kept).collect()
}

/// The mean cross-entropy of a network with other weights, its gradient by them, and how near a sum comes to 0: a loop
/// over samples, units and weights.
fn reference(
    network: &DenseMlp,
    weights: &[Array2<f64>],
    samples: Samples<'_>,
    temperature: f64,
) -> (f64, Matrices, f64) {
    let (mut loss, mut nearest) = (0.0, f64::INFINITY);
    let mut gradients: Matrices = weights.iter().map(|weight| Array2::zeros(weight.dim())).collect();
    for (x, &label) in samples.x.rows().into_iter().zip(samples.labels) {
        let mut values = vec![x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>()];
        let mut sums = Vec::new();
        for (layer, weight) in network.layers().iter().zip(weights) {
            let input = &values[values.len() - 1];
            let unit = |row: usize| {
                let products = input.iter().enumerate().map(|(column, value)| weight[(row, column)] * value);
                f64::from(layer.bias()[row]) + products.sum::<f64>()
            };
            let sum: Vec<f64> = (0..weight.nrows()).map(unit).collect();
            nearest = sum.iter().fold(nearest, |nearest, sum| nearest.min(sum.abs()));
            let mut output = sum.clone();
            if layer.activation() != Activation::Softmax {
                activate(layer.activation(), &mut output);
            }
            sums.push(sum);
            values.push(output);
        }
        let mut delta: Vec<f64> = values[weights.len()].iter().map(|logit| logit / temperature).collect();
        activate(Activation::Softmax, &mut delta);
        loss -= delta[label].ln() / samples.labels.len() as f64;
        delta[label] -= 1.0;
        delta.iter_mut().for_each(|delta| *delta /= temperature * samples.labels.len() as f64);
        for index in (0..weights.len()).rev() {
            let activation = network.layers()[index].activation();
            for (delta, &sum) in delta.iter_mut().zip(&sums[index]) {
                *delta *= slope(activation, sum);
            }
            for ((row, column), gradient) in gradients[index].indexed_iter_mut() {
                *gradient += delta[row] * values[index][column];
            }
            let weight = &weights[index];
            let back = |column| (0..weight.nrows()).map(|row| delta[row] * weight[(row, column)]).sum();
            delta = (0..weight.ncols()).map(back).collect();
        }
    }
    (loss, gradients, nearest)
}

fn slope(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Identity | Activation::Softmax => 1.0,
        Activation::Relu => f64::from(u8::from(x > 0.0)),
        Activation::LeakyRelu(slope) => {
            if x > 0.0 {
                1.0
            } else {
                f64::from(slope)
            }
        }
        Activation::Gelu => {
            let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            0.5 * erfc(-x / 2.0_f64.sqrt()) + x * density
        }
        Activation::GeluTanh => {
            let scale = (2.0 / std::f64::consts::PI).sqrt();
            let tanh = (scale * (x + 0.044715 * x * x * x)).tanh();
            0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * scale * (1.0 + 0.134145 * x * x)
        }
        Activation::Sigmoid => (-x).exp() / (1.0 + (-x).exp()).powi(2),
        Activation::Tanh => x.cosh().powi(-2),
        _ => unreachable!("{activation} is not in the tests"),
    }
}

fn assert_close(what: &str, found: &[Array2<f64>], expected: &[Array2<f64>], tolerance: f64) {
    let largest = expected.iter().flatten().fold(0.0_f64, |max, value| max.max(value.abs()));
    assert_eq!(found.len(), expected.len(), "{what}");
    for (layer, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.dim(), expected.dim(), "{what}");
        for ((place, found), expected) in found.indexed_iter().zip(expected) {
            let error = (found - expected).abs();
            assert!(
                error <= tolerance * largest,
                "{what}: {found:e} for {expected:e} at {place:?} of layer {layer}"
            );
        }
    }
}

/// Networks with each activation between the layers, and some after the last; and samples for them.
fn cases() -> impl Iterator<Item = (String, DenseMlp, Array2<f32>, Vec<usize>)> {
    let hidden = ACTIVATIONS.into_iter().filter(|activation| *activation != Activation::Softmax);
    let pairs =
        hidden.flat_map(|hidden| [Activation::Identity, Activation::Softmax].map(|last| (hidden, last)));
    let last = [Activation::Tanh, Activation::Gelu].map(|last| (Activation::Sigmoid, last));
    pairs.chain(last).map(|(hidden, last)| {
        let network = network(&[6, 5, 4, 3], &[hidden, hidden, last], 3);
        let labels = (0..7).map(|sample| sample % 3).collect();
        (format!("{hidden}, {last}"), network, 2.0 * noise_matrix(7, 6, 5), labels)
    })
}

#[test]
fn snip_is_the_gradient_times_the_weight() {
    for (what, network, x, labels) in cases() {
        let samples = Samples { x: x.view(), labels: &labels };
        let scores = Foresight::Snip.scores(&network, samples).unwrap();
        let mut moved = weights(&network);
        let mut expected: Matrices = Vec::new();
        for (layer, weight) in weights(&network).into_iter().enumerate() {
            let mut saliency = weight.clone();
            for (place, weight) in weight.indexed_iter() {
                let step = 1e-5;
                let mut loss = |by: f64| {
                    moved[layer][place] = weight + by;
                    reference(&network, &moved, samples, 1.0).0
                };
                saliency[place] = (weight * (loss(step) - loss(-step)) / (2.0 * step)).abs();
                loss(0.0);
            }
            expected.push(saliency);
        }
        assert!(reference(&network, &moved, samples, 1.0).2 > 1e-4, "{what}: a kink is too near");
        assert_close(&what, &scores, &expected, 1e-8);
    }
}

#[test]
fn grasp_is_the_hessian_times_the_gradient_times_the_weight() {
    for (what, network, x, labels) in cases() {
        let samples = Samples { x: x.view(), labels: &labels };
        let scores = Foresight::Grasp.scores(&network, samples).unwrap();
        let weights = weights(&network);
        let (_, gradient, nearest) = reference(&network, &weights, samples, 200.0);
        let largest = gradient.iter().flatten().fold(0.0_f64, |max, value| max.max(value.abs()));
        let step = 1e-4 / largest;
        assert!(nearest > 1e-3, "{what}: a kink is too near");
        let along = |step: f64| {
            let moved = weights.iter().zip(&gradient).map(|(weight, gradient)| weight + &(gradient * step));
            reference(&network, &moved.collect::<Vec<_>>(), samples, 200.0).1
        };
        let (after, before) = (along(step), along(-step));
        let expected: Matrices = weights
            .iter()
            .zip(after.iter().zip(&before))
            .map(|(weight, (after, before))| weight * &((after - before) / (2.0 * step)))
            .collect();
        assert_close(&what, &scores, &expected, 1e-6);
    }
}

#[test]
fn snip_and_grasp_are_pytorchs() {
    // As tests/fixtures/criteria.py has them.
    let eighths = |rows, columns, seed: usize| {
        Array2::from_shape_fn((rows, columns), |(i, j)| {
            ((7 * i + 3 * j + 5 * seed + i * j) % 17) as f32 / 8.0 - 1.0
        })
    };
    let (x, labels) = (eighths(6, 5, 9), [0, 1, 2, 0, 1, 2]);
    let samples = Samples { x: x.view(), labels: &labels };
    let mut lines = 0;
    for line in include_str!("fixtures/criteria.txt").lines() {
        let mut words = line.split(' ');
        let method: Foresight = words.next().unwrap().parse().unwrap();
        let activation = words.next().unwrap().parse().unwrap();
        let layer: usize = words.next().unwrap().parse().unwrap();
        let layers = [((4, 5), 1, activation), ((3, 4), 2, Activation::Identity)];
        let layers = layers.map(|((out, inputs), seed, activation)| {
            let bias = eighths(1, out, seed + 2).row(0).mapv(|value| value / 4.0);
            DenseLayer::new(eighths(out, inputs, seed), bias, activation).unwrap()
        });
        let network = DenseMlp::new(layers.to_vec()).unwrap();
        let values = words.map(|word| word.parse().unwrap()).collect();
        let expected = Array2::from_shape_vec(network.layers()[layer].shape(), values).unwrap();
        let found = method.scores(&network, samples).unwrap().swap_remove(layer);
        assert_close(line, &[found], &[expected], 1e-12);
        lines += 1;
    }
    assert_eq!(lines, 28);
}

/// For each weight the sum over all paths through it of the products of magnitudes.
fn path_sums(weights: &[Array2<f64>]) -> Matrices {
    let mut sums: Matrices = weights.iter().map(|weight| Array2::zeros(weight.dim())).collect();
    let mut units = vec![0; weights.len() + 1];
    let sizes: Vec<_> =
        std::iter::once(weights[0].ncols()).chain(weights.iter().map(Array2::nrows)).collect();
    'paths: loop {
        let places: Vec<_> = units.windows(2).map(|pair| (pair[1], pair[0])).collect();
        let product: f64 = weights.iter().zip(&places).map(|(weight, &place)| weight[place].abs()).product();
        sums.iter_mut().zip(places).for_each(|(sums, place)| sums[place] += product);
        for (unit, &size) in units.iter_mut().zip(&sizes) {
            *unit += 1;
            if *unit < size {
                continue 'paths;
            }
            *unit = 0;
        }
        return sums;
    }
}

/// SynFlow by path sums and sorting; nothing where two scores are so near that rounding decides between them, as those
/// of the only weight into a unit and the only one out of it are.
fn synflow(network: &DenseMlp, keep: usize) -> Option<Vec<Mask>> {
    let mut weights = weights(network);
    let all = network.weights();
    let mut places: Vec<_> = (0..weights.len())
        .flat_map(|layer| {
            weights[layer].indexed_iter().map(move |(place, _)| (layer, place)).collect::<Vec<_>>()
        })
        .collect();
    for round in 1..=100 {
        let left = all as f64 * (keep as f64 / all as f64).powf(f64::from(round) / 100.0);
        let sums = path_sums(&weights);
        let score = |&(layer, place): &(usize, (usize, usize))| sums[layer][place];
        places.sort_by(|a, b| score(b).total_cmp(&score(a)));
        let left = left.round_ties_even() as usize;
        if left < places.len() && left > 0 {
            let (last, first) = (score(&places[left - 1]), score(&places[left]));
            if last - first < 1e-9 * last {
                return None;
            }
        }
        for (layer, place) in places.drain(left..) {
            weights[layer][place] = 0.0;
        }
    }
    let masks = network.layers().iter().enumerate().map(|(layer, matrix)| {
        Mask::from_fn(matrix.shape(), |row, column| places.contains(&(layer, (row, column))))
    });
    Some(masks.collect())
}

/// Samples that nobody looks at.
fn no_samples(x: &Array2<f32>) -> Samples<'_> {
    Samples { x: x.view(), labels: &[] }
}

#[test]
fn synflow_sums_over_paths() {
    let nothing = Array2::zeros((0, 0));
    let mut compared = 0;
    for (sizes, seed) in
        [(&[3, 4, 2, 3][..], 1), (&[5, 3, 4], 2), (&[1, 1], 3), (&[2, 7], 4), (&[2, 3, 3, 3, 2], 5)]
    {
        let activations = vec![Activation::Identity; sizes.len() - 1];
        let network = network(sizes, &activations, seed);
        let found = Foresight::SynFlow.scores(&network, no_samples(&nothing)).unwrap();
        let expected = path_sums(&weights(&network));
        let ratio = expected[0][(0, 0)] / found[0][(0, 0)];
        let found: Matrices = found.into_iter().map(|scores| scores * ratio).collect();
        assert_close(&format!("{sizes:?}"), &found, &expected, 1e-12);
        for keep in 0..=network.weights() {
            let masks = Foresight::SynFlow.masks(&network, no_samples(&nothing), keep).unwrap();
            assert_eq!(kept(&masks).iter().sum::<usize>(), keep);
            if let Some(expected) = synflow(&network, keep) {
                assert_eq!(masks, expected, "{sizes:?}, {keep}");
                compared += 1;
            }
        }
    }
    assert!(compared > 40, "{compared}");
}

#[test]
fn synflow_leaves_no_layer_empty() {
    let nothing = Array2::zeros((0, 0));
    let deep: Vec<_> = std::iter::once(30).chain([20; 8]).chain([10]).collect();
    for sizes in [&[64, 40, 20, 10][..], &[64, 300, 4, 10], &deep] {
        for seed in 0..3 {
            let mut network = DenseMlp::initialise(sizes, Initialisation::GlorotNormal, seed).unwrap();
            // In f32, and without a scale, the products of all layers would be 0.
            for layer in 0..sizes.len() - 1 {
                network.weight_mut(layer).unwrap().mapv_inplace(|weight| weight * 1e-30);
            }
            for density in [0.5, 0.1, 0.03] {
                let keep = (density * network.weights() as f64) as usize;
                let masks = Foresight::SynFlow.masks(&network, no_samples(&nothing), keep).unwrap();
                assert_eq!(kept(&masks).iter().sum::<usize>(), keep);
                let used = kept(&Mask::effective(&masks).unwrap());
                assert!(!used.contains(&0), "{sizes:?}, seed {seed}, {density}: {used:?}");
            }
        }
    }
}

#[test]
fn foresight_keeps_the_highest_of_all_layers() {
    for (what, network, x, labels) in cases() {
        let samples = Samples { x: x.view(), labels: &labels };
        for method in [Foresight::Snip, Foresight::Grasp] {
            let scores = method.scores(&network, samples).unwrap();
            let mut order: Vec<f64> = scores.iter().flatten().copied().collect();
            order.sort_by(|a, b| b.total_cmp(a));
            for keep in [0, 1, 17, 61, 62] {
                let masks = method.masks(&network, samples, keep).unwrap();
                assert_eq!(kept(&masks).iter().sum::<usize>(), keep, "{what}, {method}");
                assert_eq!(masks, method.masks(&network, samples, keep).unwrap());
                for (mask, scores) in masks.iter().zip(&scores) {
                    for ((row, column), score) in scores.indexed_iter() {
                        match mask.get(row, column).unwrap() {
                            true => assert!(*score >= order[keep - 1], "{what}, {method}"),
                            false => assert!(*score <= order[keep], "{what}, {method}"),
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn foresight_on_a_single_weight() {
    let network = network(&[1, 1], &[Activation::Identity], 1);
    let x = array![[0.5]];
    let samples = Samples { x: x.view(), labels: &[0] };
    for method in Foresight::ALL {
        assert_eq!(method.masks(&network, samples, 0).unwrap(), [Mask::none((1, 1))]);
        assert_eq!(method.masks(&network, samples, 1).unwrap(), [Mask::all((1, 1))]);
        assert_eq!(method.masks(&network, samples, 2).unwrap_err().kind(), ErrorKind::Value);
        assert_eq!(method.to_string().parse::<Foresight>().unwrap(), method);
    }
    for method in [Foresight::Snip, Foresight::Grasp] {
        let none = Samples { x: x.view(), labels: &[] };
        assert_eq!(method.masks(&network, none, 1).unwrap_err().kind(), ErrorKind::Shape);
        let unknown = Samples { x: x.view(), labels: &[1] };
        assert_eq!(method.masks(&network, unknown, 1).unwrap_err().kind(), ErrorKind::Value);
    }
    let error = "sinp".parse::<Foresight>().unwrap_err().to_string();
    assert!(error.contains("snip, grasp, synflow") && error.contains("`sinp`"), "{error}");
}

fn single(weight: Array2<f32>) -> DenseMlp {
    let bias = ndarray::Array1::zeros(weight.nrows());
    DenseMlp::new(vec![DenseLayer::new(weight, bias, Activation::Identity).unwrap()]).unwrap()
}

#[test]
fn scores_of_trained_weights() {
    let initial = single(array![[1.0, -2.0, 0.5, -0.25, 4.0]]);
    let trained = single(array![[-1.5, -2.25, 0.0, 1.0, 3.0]]);
    let masks = [Mask::from_fn((1, 5), |_, column| column != 4)];
    for (score, expected, two) in [
        (Score::Magnitude, array![[1.5, 2.25, 0.0, 1.0, 3.0]], [true, true, false, false, false]),
        (Score::InitialMagnitude, array![[1.0, 2.0, 0.5, 0.25, 4.0]], [true, true, false, false, false]),
        (Score::MagnitudeIncrease, array![[0.5, 0.25, -0.5, 0.75, -1.0]], [true, false, false, true, false]),
        (Score::Movement, array![[2.5, 0.25, 0.5, 1.25, 1.0]], [true, false, false, true, false]),
    ] {
        assert_eq!(score.scores(&initial, &trained, 0).unwrap(), [expected], "{score}");
        let two = [Mask::from_fn((1, 5), |_, column| two[column])];
        assert_eq!(score.masks(&initial, &trained, &masks, &[2], 0).unwrap(), two, "{score}");
        assert_eq!(score.masks_global(&initial, &trained, &masks, 2, 0).unwrap(), two, "{score}");
    }
    for score in Score::ALL {
        assert_eq!(score.to_string().parse::<Score>().unwrap(), score);
    }
    assert_eq!(Score::MagnitudeIncrease.to_string(), "magnitude-increase");
    assert!("Movement".parse::<Score>().is_err());
}

#[test]
fn scores_rank_within_the_masks() {
    let sizes = [9, 70, 5, 3];
    let (initial, trained) =
        (network(&sizes, &[Activation::Relu; 3], 1), network(&sizes, &[Activation::Relu; 3], 2));
    // Something, everything and nothing of a layer.
    let within = [Mask::random_count((70, 9), 211, 1).unwrap(), Mask::all((5, 70)), Mask::none((3, 5))];
    for score in Score::ALL {
        for keep in [[0, 0, 0], [1, 349, 0], [211, 350, 0]] {
            let masks = score.masks(&initial, &trained, &within, &keep, 3).unwrap();
            assert_eq!(kept(&masks), keep, "{score}");
            let total = keep.iter().sum();
            let global = score.masks_global(&initial, &trained, &within, total, 3).unwrap();
            assert_eq!(kept(&global).iter().sum::<usize>(), total, "{score}");
            for (mask, within) in masks.iter().chain(&global).zip(within.iter().chain(&within)) {
                assert_eq!(mask.and(within).unwrap(), *mask, "{score}: what is pruned stays pruned");
            }
        }
        assert!(score.masks(&initial, &trained, &within, &[212, 0, 0], 3).is_err());
        assert!(score.masks(&initial, &trained, &within, &[1, 1], 3).is_err());
        assert!(score.masks(&initial, &trained, &within[..2], &[1, 1], 3).is_err());
        assert!(score.masks_global(&initial, &trained, &within, 562, 3).is_err());
        assert!(score.scores(&initial, &single(array![[1.0]]), 3).is_err());
    }
    let views = trained.weight_views();
    let expected = Mask::magnitude_within_global(&within, &views, 100).unwrap();
    assert_eq!(Score::Magnitude.masks_global(&initial, &trained, &within, 100, 3).unwrap(), expected);

    let random = |seed| Score::Random.masks(&initial, &trained, &within, &[100, 100, 0], seed).unwrap();
    assert_eq!(random(1), random(1));
    assert_ne!(random(1), random(2));
    let mut broken = trained.clone();
    broken.weight_mut(1).unwrap()[(0, 0)] = f32::NAN;
    let error = Score::Movement.masks(&initial, &broken, &within, &[1, 1, 0], 0).unwrap_err();
    assert!(error.to_string().contains("layer 1"), "{error}");
}

#[test]
fn chance_prefers_no_weight() {
    let network = single(Array2::ones((2, 5)));
    let mut counts = [0; 10];
    for seed in 0..3000 {
        let masks = Score::Random.masks_global(&network, &network, &all(&network), 3, seed).unwrap();
        masks[0].to_array().iter().zip(&mut counts).for_each(|(&keep, count)| *count += usize::from(keep));
    }
    // 900 each, with a standard deviation of 25.
    assert!(counts.iter().all(|count| count.abs_diff(900) < 130), "{counts:?}");
}

#[test]
fn sensitivity_prunes_one_layer_at_a_time() {
    let network = network(&[6, 11, 7, 3], &[Activation::Relu, Activation::Tanh, Activation::Identity], 1);
    let x = noise_matrix(50, 6, 2);
    let mut noise = noise(4);
    let labels: Vec<_> = (0..50).map(|_| ((noise() + 1.0) * 1.5) as usize).collect();
    let samples = Samples { x: x.view(), labels: &labels };
    let sparsities = [0.0, 0.9, 0.37, 1.0];
    let found = Sensitivity::scan(&network, samples, &sparsities).unwrap();
    assert_eq!(found.unpruned, network.evaluate(samples).unwrap());
    assert_eq!(found.layers.len(), 3);
    for (layer, points) in found.layers.iter().enumerate() {
        assert_eq!(points.iter().map(|point| point.sparsity).collect::<Vec<_>>(), sparsities);
        assert_eq!(points[0].evaluation, found.unpruned);
        for point in points {
            let mut pruned = network.clone();
            let mut weight = pruned.weight_mut(layer).unwrap();
            let mut order: Vec<f32> = weight.iter().map(|weight| weight.abs()).collect();
            order.sort_by(f32::total_cmp);
            let prune = (point.sparsity * order.len() as f64).round_ties_even() as usize;
            weight.mapv_inplace(|weight| if order[..prune].contains(&weight.abs()) { 0.0 } else { weight });
            assert_eq!(
                point.evaluation,
                pruned.evaluate(samples).unwrap(),
                "layer {layer}, {}",
                point.sparsity
            );
        }
        assert_ne!(points[3].evaluation, found.unpruned);
    }
    for sparsities in [[-0.1], [1.1], [f64::NAN]] {
        assert_eq!(Sensitivity::scan(&network, samples, &sparsities).unwrap_err().kind(), ErrorKind::Value);
    }
    assert!(Sensitivity::scan(&network, samples, &[]).unwrap().suggested(0.1).unwrap() == [0.0; 3]);
}

#[test]
fn the_largest_tolerated_sparsity_is_suggested() {
    let evaluation = |accuracy| Evaluation { loss: 0.0, accuracy };
    let layer = |points: &[(f64, f64)]| {
        let pruned = |&(sparsity, accuracy)| Pruned { sparsity, evaluation: evaluation(accuracy) };
        points.iter().map(pruned).collect::<Vec<_>>()
    };
    let sensitivity = Sensitivity {
        unpruned: evaluation(0.95),
        layers: vec![
            layer(&[(0.9, 0.3), (0.5, 0.94), (0.7, 0.939)]),
            layer(&[(0.5, 0.95), (0.7, 0.90), (0.9, 0.945)]),
            layer(&[(0.5, 0.1)]),
        ],
    };
    // 0.95 − 0.94 is more than 0.01 in f64.
    assert_eq!(sensitivity.suggested(0.01).unwrap(), [0.5, 0.9, 0.0]);
    assert_eq!(sensitivity.suggested(0.0).unwrap(), [0.0, 0.5, 0.0]);
    assert_eq!(sensitivity.suggested(1.0).unwrap(), [0.9, 0.9, 0.5]);
    assert!(sensitivity.suggested(f64::NAN).is_err());
}
