//! Training on kept weights, held against dense training and against gradients in f64, with every instruction set.
#![cfg(feature = "dense")]

mod common;

use common::{ACTIVATIONS, activate, bits, isas, noise_matrix};
use ndarray::{Array1, Array2, Axis, array};
use tombola::dense::{
    DenseMlp, Initialisation, LayerMoments, Optimizer, Products, Samples, Trainer, Training,
};
use tombola::{Activation, Isa, Mask};

const OPTIMIZERS: [Optimizer; 2] =
    [Optimizer::Sgd { rate: 0.05, momentum: 0.9 }, Optimizer::Adam { rate: 0.002 }];

fn network(sizes: &[usize], seed: u64) -> DenseMlp {
    let mut network = DenseMlp::initialise(sizes, Initialisation::TorchDefault, seed).unwrap();
    network.add_noise(0.1, seed).unwrap();
    network
}

/// Masks that hurt: by chance, and with an empty row, an empty column and a full row where there is room.
fn masks(network: &DenseMlp, density: f64, seed: u64) -> Vec<Mask> {
    let mask = |(index, (out, inputs)): (usize, (usize, usize))| {
        let kept = (density * (out * inputs) as f64).round() as usize;
        let chance = Mask::random_count((out, inputs), kept, seed + index as u64).unwrap();
        if out < 4 || inputs < 4 || kept == 0 || kept == out * inputs {
            return chance;
        }
        Mask::from_fn((out, inputs), |row, column| {
            row == 2 || (row != 1 && column != 3 && chance.get(row, column) == Some(true))
        })
    };
    network.layers().iter().map(|layer| layer.shape()).enumerate().map(mask).collect()
}

fn labels(count: usize, classes: usize) -> Vec<usize> {
    (0..count).map(|index| index * 7 % classes).collect()
}

/// By the weights and by the bias of a layer.
type Gradient = (Array2<f64>, Array1<f64>);

/// Loss and gradients (weights and biases of each layer) of a masked network in f64, by the chain rule in plain loops.
/// The derivative of an activation is a central difference.
fn reference(network: &DenseMlp, masks: &[Mask], x: &Array2<f32>, labels: &[usize]) -> (f64, Vec<Gradient>) {
    let apply = |activation: Activation, x: f64| {
        let mut value = [x];
        if activation != Activation::Softmax {
            activate(activation, &mut value);
        }
        value[0]
    };
    let mut gradients: Vec<_> = network
        .layers()
        .iter()
        .map(|layer| (Array2::<f64>::zeros(layer.shape()), Array1::<f64>::zeros(layer.shape().0)))
        .collect();
    let weights: Vec<_> = network
        .layers()
        .iter()
        .zip(masks)
        .map(|(layer, mask)| {
            let keep = mask.to_array();
            Array2::from_shape_fn(layer.shape(), |place| {
                if keep[place] { f64::from(layer.weight()[place]) } else { 0.0 }
            })
        })
        .collect();
    let mut total = 0.0;
    for (row, &label) in x.rows().into_iter().zip(labels) {
        let (mut inputs, mut sums) = (vec![row.mapv(f64::from)], Vec::new());
        for (layer, weight) in network.layers().iter().zip(&weights) {
            let sum = weight.dot(&inputs[inputs.len() - 1]) + layer.bias().mapv(f64::from);
            inputs.push(sum.mapv(|x| apply(layer.activation(), x)));
            sums.push(sum);
        }
        let logits = &inputs[inputs.len() - 1];
        let max = logits.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        let shares = logits.mapv(|logit| (logit - max).exp());
        total += shares.sum().ln() + max - logits[label];
        let mut delta = &shares / shares.sum();
        delta[label] -= 1.0;
        delta /= labels.len() as f64;
        for (index, layer) in network.layers().iter().enumerate().rev() {
            const STEP: f64 = 1e-5;
            let slope = |x: f64| match layer.activation() {
                // Away from the corner, where a difference would see both sides of it.
                Activation::Relu => f64::from(u8::from(x > 0.0)),
                Activation::LeakyRelu(slope) => {
                    if x > 0.0 {
                        1.0
                    } else {
                        f64::from(slope)
                    }
                }
                activation => (apply(activation, x + STEP) - apply(activation, x - STEP)) / (2.0 * STEP),
            };
            delta *= &sums[index].mapv(slope);
            let outer = delta.view().insert_axis(Axis(1)).dot(&inputs[index].view().insert_axis(Axis(0)));
            gradients[index].0 += &outer;
            gradients[index].1 += &delta;
            delta = weights[index].t().dot(&delta);
        }
    }
    for ((gradient, _), mask) in gradients.iter_mut().zip(masks) {
        gradient.indexed_iter_mut().for_each(|((row, column), gradient)| {
            if mask.get(row, column) == Some(false) {
                *gradient = 0.0;
            }
        });
    }
    (total / labels.len() as f64, gradients)
}

/// A sparse trainer's loss and gradients against the reference. All terms of a gradient are of the size of the largest
/// one, or below, and some tens of roundings pass through them: 2·10⁻⁶ of it is some thirty units of 2⁻²⁴.
fn check_gradients(what: &str, network: &DenseMlp, masks: &[Mask], batch: usize, isa: Isa) {
    let x = noise_matrix(batch, network.inputs(), 5);
    let labels = labels(batch, network.outputs());
    let samples = Samples { x: x.view(), labels: &labels };
    let indices: Vec<_> = (0..batch).collect();
    let mut trainer =
        Trainer::with_products(network, Some(masks), OPTIMIZERS[0], Products::Sparse, isa).unwrap();
    assert!(trainer.is_sparse().iter().all(|&sparse| sparse));
    let (loss, found) = trainer.loss_and_gradients(samples, &indices).unwrap();
    let (expected_loss, expected) = reference(network, masks, &x, &labels);
    assert!(
        (loss - expected_loss).abs() < 1e-5 * (1.0 + expected_loss),
        "{what}: {loss} for {expected_loss}"
    );
    for (index, (weight, bias)) in expected.iter().enumerate() {
        let largest = weight.iter().chain(bias).fold(0.0_f64, |max, value| max.max(value.abs()));
        let found_weight = found.weight(index).unwrap();
        let pairs = found_weight.iter().zip(weight).chain(found.bias(index).unwrap().into_iter().zip(bias));
        for (found, expected) in pairs {
            let error = (f64::from(*found) - expected).abs();
            assert!(error <= 2e-6 * largest + 1e-9, "{what}, layer {index}: {found} for {expected}");
        }
        for ((row, column), gradient) in found_weight.indexed_iter() {
            assert!(masks[index].get(row, column) == Some(true) || gradient.to_bits() == 0, "{what}");
        }
    }
}

#[test]
fn gradients_on_kept_weights_are_those_of_a_reference_in_f64() {
    for isa in isas() {
        for sizes in [&[1, 1][..], &[1, 1, 1], &[7, 13, 5], &[31, 37, 17, 3], &[200, 33, 10]] {
            let network = network(sizes, 3);
            for density in [0.0, 0.1, 0.5, 1.0] {
                let masks = masks(&network, density, 9);
                for batch in [1, 17, 60, 130] {
                    let what = format!("{isa}, {sizes:?}, density {density}, batch {batch}");
                    check_gradients(&what, &network, &masks, batch, isa);
                }
            }
        }
    }
}

#[test]
fn gradients_are_right_in_layers_of_several_panels() {
    let network = network(&[2600, 9, 2600], 3);
    let masks = masks(&network, 0.3, 9);
    for isa in isas() {
        for batch in [5, 70] {
            check_gradients(&format!("{isa}, batch {batch}"), &network, &masks, batch, isa);
        }
    }
}

#[test]
fn gradients_are_right_for_every_activation() {
    for isa in isas() {
        for activation in ACTIVATIONS {
            let hidden = if activation == Activation::Softmax { Activation::Relu } else { activation };
            let network =
                network(&[11, 19, 23, 6], 4).with_activations(&[hidden, hidden, activation]).unwrap();
            let masks = masks(&network, 0.3, 2);
            check_gradients(&format!("{isa}, {activation}"), &network, &masks, 37, isa);
        }
    }
}

/// Some steps on changing batches, of which the last is a small one: the losses, and the trainer.
fn train(
    network: &DenseMlp,
    masks: &[Mask],
    optimizer: Optimizer,
    (products, isa): (Products, Isa),
    batch: usize,
) -> (Vec<f64>, Trainer) {
    let x = noise_matrix(3 * batch + 1, network.inputs(), 6);
    let labels = labels(x.nrows(), network.outputs());
    let samples = Samples { x: x.view(), labels: &labels };
    let mut trainer = Trainer::with_products(network, Some(masks), optimizer, products, isa).unwrap();
    let mut losses = Vec::new();
    for _ in 0..3 {
        for indices in (0..x.nrows()).rev().collect::<Vec<_>>().chunks(batch) {
            losses.push(trainer.step(samples, indices).unwrap());
        }
    }
    (losses, trainer)
}

/// Adam divides by the size of a gradient, so what rounding does to a small one, it does to a step: 10⁻⁴ is a twentieth
/// of one step of the dozen that are made.
#[test]
fn sparse_training_is_dense_training_within_rounding() {
    for isa in isas() {
        for (sizes, density) in
            [(&[1, 1][..], 1.0), (&[7, 13, 5], 0.4), (&[101, 67, 31, 10], 0.1), (&[40, 30, 10], 0.0)]
        {
            let network = network(sizes, 1);
            let masks = masks(&network, density, 4);
            for optimizer in OPTIMIZERS {
                for batch in [1, 17, 60, 130] {
                    let what = format!("{isa}, {sizes:?}, {optimizer:?}, batch {batch}");
                    let run = |products| train(&network, &masks, optimizer, (products, isa), batch);
                    let (losses, dense) = run(Products::Dense);
                    let (sparse_losses, sparse) = run(Products::Sparse);
                    for (found, expected) in sparse_losses.iter().zip(&losses) {
                        assert!((found - expected).abs() < 1e-4, "{what}: loss {found} for {expected}");
                    }
                    let (found, expected) = (sparse.network(), dense.network());
                    for (index, (found, expected)) in found.layers().iter().zip(expected.layers()).enumerate()
                    {
                        let mask = masks[index].to_array();
                        for ((place, &weight), &expected) in
                            found.weight().indexed_iter().zip(expected.weight())
                        {
                            assert!(
                                mask[place] || (weight.to_bits(), expected.to_bits()) == (0, 0),
                                "{what}"
                            );
                            assert!((weight - expected).abs() < 1e-4, "{what}: {weight} for {expected}");
                        }
                        for (bias, expected) in found.bias().iter().zip(expected.bias()) {
                            assert!((bias - expected).abs() < 1e-4, "{what}: bias {bias} for {expected}");
                        }
                    }
                }
            }
        }
    }
}

/// By more than the tolerance above, or that test would prove nothing.
#[test]
fn training_moves_what_is_kept_and_nothing_else() {
    for isa in isas() {
        let network = network(&[20, 30, 4], 1);
        let masks = masks(&network, 0.2, 4);
        for optimizer in OPTIMIZERS {
            for products in [Products::Dense, Products::Sparse] {
                let (_, trainer) = train(&network, &masks, optimizer, (products, isa), 17);
                for ((before, after), mask) in
                    network.layers().iter().zip(trainer.network().layers()).zip(&masks)
                {
                    let before = before.weight();
                    let moved = before.indexed_iter().filter(|&((row, column), before)| {
                        let after = after.weight()[(row, column)];
                        mask.get(row, column) == Some(true) && (before - after).abs() > 1e-3
                    });
                    let moved = moved.count();
                    assert!(2 * moved > mask.kept(), "{isa}, {optimizer:?}, {products:?}");
                }
                for (moments, mask) in trainer.moments().layers.iter().zip(&masks) {
                    for moment in &moments.weight {
                        for ((row, column), value) in moment.indexed_iter() {
                            assert!(mask.get(row, column) == Some(true) || value.to_bits() == 0);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_pruned_weight_stays_0_whatever_its_gradient() {
    // An infinite input: gradients by its column are NaN, and the kept weights of the column, but no pruned one.
    let network = network(&[20, 30, 4], 1);
    let masks = masks(&network, 0.4, 4);
    let mut x = noise_matrix(5, 20, 1);
    x[(2, 7)] = f32::INFINITY;
    let labels = labels(5, 4);
    for isa in isas() {
        for products in [Products::Dense, Products::Sparse] {
            for optimizer in OPTIMIZERS {
                let mut trainer =
                    Trainer::with_products(&network, Some(&masks), optimizer, products, isa).unwrap();
                for _ in 0..2 {
                    let samples = Samples { x: x.view(), labels: &labels };
                    assert!(!trainer.step(samples, &[0, 1, 2, 3, 4]).unwrap().is_finite());
                }
                for (layer, mask) in trainer.network().layers().iter().zip(&masks) {
                    for ((row, column), weight) in layer.weight().indexed_iter() {
                        assert!(mask.get(row, column) == Some(true) || weight.to_bits() == 0, "{isa}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_same_steps_give_the_same_bits() {
    let network = network(&[50, 40, 10], 1);
    let masks = masks(&network, 0.2, 4);
    for isa in isas() {
        for products in [Products::Fastest, Products::Dense, Products::Sparse] {
            let run = || train(&network, &masks, OPTIMIZERS[1], (products, isa), 33);
            let ((losses, first), (again, second)) = (run(), run());
            assert_eq!(losses, again);
            assert_eq!(first.network(), second.network());
            assert_eq!(first.moments(), second.moments());
        }
    }
}

#[test]
fn a_restored_trainer_goes_on_to_the_bit() {
    let network = network(&[50, 40, 10], 1);
    let masks = masks(&network, 0.2, 4);
    let x = noise_matrix(90, 50, 6);
    let labels = labels(90, 10);
    let samples = Samples { x: x.view(), labels: &labels };
    let indices: Vec<_> = (0..90).collect();
    for isa in isas() {
        for optimizer in OPTIMIZERS {
            for products in [Products::Dense, Products::Sparse] {
                let new =
                    || Trainer::with_products(&network, Some(&masks), optimizer, products, isa).unwrap();
                let mut trainer = new();
                indices.chunks(13).for_each(|batch| {
                    trainer.step(samples, batch).unwrap();
                });
                let mut restored = new();
                restored.restore(&trainer.network(), &trainer.moments()).unwrap();
                assert_eq!(restored.steps(), 7);
                for batch in indices.chunks(31) {
                    assert_eq!(trainer.step(samples, batch).unwrap(), restored.step(samples, batch).unwrap());
                }
                for (one, other) in trainer.network().layers().iter().zip(restored.network().layers()) {
                    assert_eq!(bits(one.weight().flatten().view()), bits(other.weight().flatten().view()));
                    assert_eq!(bits(one.bias()), bits(other.bias()));
                }
                assert_eq!(trainer.moments(), restored.moments());
                // And another way of the products takes over.
                let other = if products == Products::Dense { Products::Sparse } else { Products::Dense };
                let mut other =
                    Trainer::with_products(&network, Some(&masks), optimizer, other, isa).unwrap();
                other.restore(&trainer.network(), &trainer.moments()).unwrap();
                assert_eq!((other.network(), other.moments()), (trainer.network(), trainer.moments()));
            }
        }
    }
}

#[test]
fn layers_are_sparse_where_it_pays() {
    let network = network(&[50, 40, 10], 1);
    let sparse = |densities: [f64; 2]| {
        let masks: Vec<_> = network
            .weight_views()
            .iter()
            .zip(densities)
            .map(|(weight, density)| Mask::random(weight.dim(), 1.0 - density, 1).unwrap())
            .collect();
        Trainer::new(&network, Some(&masks), OPTIMIZERS[0]).unwrap().is_sparse()
    };
    assert_eq!(sparse([0.1, 0.1]), [true, true]);
    assert_eq!(sparse([0.1, 1.0]), [true, false]);
    assert_eq!(sparse([1.0, 0.9]), [false, false]);
    assert_eq!(Trainer::new(&network, None, OPTIMIZERS[0]).unwrap().is_sparse(), [false, false]);

    // One layer of each kind: in tiles, for a batch of several.
    for batch in [7, 130] {
        let mut masks = masks(&network, 0.1, 4);
        masks[1] = Mask::all((10, 40));
        let run = |products| {
            train(&network, &masks, OPTIMIZERS[1], (products, Isa::detect().unwrap()), batch).1.network()
        };
        for (found, expected) in run(Products::Fastest).layers().iter().zip(run(Products::Dense).layers()) {
            for (found, expected) in found.weight().iter().zip(expected.weight()) {
                assert!((found - expected).abs() < 1e-4, "{found} for {expected}");
            }
        }
    }
}

#[test]
fn samples_may_have_any_strides() {
    let network = network(&[21, 13, 4], 1);
    let masks = masks(&network, 0.3, 4);
    let x = noise_matrix(40, 21, 6);
    let by_features = x.t().as_standard_layout().into_owned();
    let labels = labels(40, 4);
    let run = |x| {
        let mut trainer = Trainer::new(&network, Some(&masks), OPTIMIZERS[1]).unwrap();
        trainer.step(Samples { x, labels: &labels }, &[3, 3, 39, 0, 17]).unwrap();
        trainer.network()
    };
    assert_eq!(run(x.view()), run(by_features.t()));
}

#[test]
fn moments_that_fade_become_0() {
    // A unit that no gradient reaches any more: subnormal numbers would slow its steps down by far.
    let network = network(&[3, 2], 1);
    let labels = [0, 1];
    let (busy, still) = (array![[1.0, 0.5, 0.3], [0.2, 1.0, 0.1]], array![[1.0, 0.5, 0.0], [0.2, 1.0, 0.0]]);
    for isa in isas() {
        for optimizer in OPTIMIZERS {
            let mut trainer =
                Trainer::with_products(&network, None, optimizer, Products::Dense, isa).unwrap();
            trainer.step(Samples { x: busy.view(), labels: &labels }, &[0, 1]).unwrap();
            let started = |trainer: &Trainer| trainer.moments().layers[0].weight[0][(0, 2)];
            assert_ne!(started(&trainer), 0.0);
            for _ in 0..900 {
                trainer.step(Samples { x: still.view(), labels: &labels }, &[0, 1]).unwrap();
            }
            assert_eq!(started(&trainer), 0.0, "{isa}, {optimizer:?}");
        }
    }
}

#[test]
fn what_is_refused_is_named() {
    let mlp = network(&[6, 5, 2], 1);
    let x = noise_matrix(4, 6, 1);
    let samples = Samples { x: x.view(), labels: &[0, 1, 2, 0] };
    let mut trainer = Trainer::new(&mlp, None, OPTIMIZERS[1]).unwrap();
    let mut refused = |samples, indices: &[usize], text: &str| {
        let error = trainer.step(samples, indices).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert!(trainer.loss_and_gradients(samples, indices).unwrap_err().to_string().contains(text));
        assert_eq!((trainer.steps(), trainer.network()), (0, mlp.clone()));
    };
    refused(samples, &[], "indices: expected at least one sample");
    refused(samples, &[0, 4], "indices: expected samples below 4, found 4");
    refused(samples, &[0, 2], "labels: expected classes below 2, found 2 at 2");
    refused(Samples { labels: &[0], ..samples }, &[0], "labels: expected 4, one a sample");
    let narrow = noise_matrix(4, 5, 1);
    refused(Samples { x: narrow.view(), ..samples }, &[0], "x: expected [samples, 6]");
    // Labels of samples that a step leaves out are not looked at.
    trainer.step(samples, &[0, 1, 3]).unwrap();

    let before = trainer.network();
    let moments = trainer.moments();
    let error = trainer.restore(&network(&[6, 4, 2], 1), &moments).unwrap_err();
    assert!(error.to_string().contains("network: expected layers of"), "{error}");
    let mut short = moments.clone();
    short.layers.pop();
    assert!(
        trainer.restore(&mlp, &short).unwrap_err().to_string().contains("moments: expected 2, one a layer")
    );
    let mut wrong = moments.clone();
    wrong.layers[1] =
        LayerMoments { weight: [Array2::zeros((2, 5)), Array2::zeros((5, 2))], ..wrong.layers[1].clone() };
    assert!(trainer.restore(&mlp, &wrong).unwrap_err().to_string().contains("moments of layer 1"));
    assert_eq!((trainer.network(), trainer.moments()), (before, moments));

    let error = Trainer::new(&mlp, Some(&[Mask::all((5, 6))]), OPTIMIZERS[1]).err().unwrap();
    assert!(error.to_string().contains("expected 2 masks, one a layer, found 1"), "{error}");
    let error = Trainer::new(&mlp, None, Optimizer::Adam { rate: 0.0 }).err().unwrap();
    assert!(error.to_string().contains("rate: expected a finite number above 0"), "{error}");
}

#[test]
fn training_under_sparse_masks_learns() {
    let x = noise_matrix(300, 6, 11);
    let labels: Vec<_> = x.rows().into_iter().map(|row| usize::from(row[0] + row[1] > 0.0)).collect();
    let samples = Samples { x: x.view(), labels: &labels };
    let mut network = network(&[6, 60, 2], 7);
    let masks = masks(&network, 0.25, 1);
    let recipe = Training { optimizer: Optimizer::Adam { rate: 0.01 }, batch: 7, epochs: 12, seed: 1 };
    let history = recipe.run(&mut network, Some(&masks), samples, samples).unwrap();
    assert_eq!(history.epochs.len(), 12);
    assert!(network.evaluate(samples).unwrap().accuracy > 0.95);
}
