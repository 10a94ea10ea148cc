//! The dense network: forward, gradients and training against loops in f64.
#![cfg(feature = "dense")]

mod common;

use common::{ACTIVATIONS, Layer, activate, assert_within, noise_matrix, reference};
use ndarray::{Array1, Array2, array, s};
use tombola::dense::{
    DenseInference, DenseLayer, DenseMlp, Initialisation, Optimizer, Orientation, Samples, Training,
};
use tombola::{Activation, ErrorKind, Mask};

fn network(sizes: &[usize], seed: u64) -> DenseMlp {
    let mut network = DenseMlp::initialise(sizes, Initialisation::TorchDefault, seed).unwrap();
    network.add_noise(0.1, seed).unwrap();
    network
}

fn layers(network: &DenseMlp) -> Vec<Layer> {
    let layer = |layer: &DenseLayer| Layer {
        weight: layer.weight().to_owned(),
        mask: Mask::all(layer.shape()),
        bias: layer.bias().to_vec(),
        activation: layer.activation(),
    };
    network.layers().iter().map(layer).collect()
}

#[test]
fn every_orientation_is_right() {
    for sizes in [&[1, 1][..], &[7, 13, 5], &[100, 50, 31, 10], &[784, 300, 100, 10]] {
        let network = network(sizes, 1);
        let layers = layers(&network);
        for orientation in Orientation::ALL {
            let mut inference = DenseInference::new(&network, orientation);
            // Down and up again: buffers are kept.
            for batch in [17, 1, 64, 2] {
                let what = format!("{sizes:?}, {}, batch {batch}", orientation.name());
                let x = noise_matrix(batch, sizes[0], 2);
                let expected = reference(&layers, x.view());
                let mut y = Array2::zeros((batch, network.outputs()));
                inference.forward_into(x.view(), y.view_mut()).unwrap();
                assert_within(&what, y.view(), &expected);
                // Feature-major on both sides.
                let by_features = x.t().as_standard_layout().into_owned();
                let mut y = Array2::zeros((network.outputs(), batch));
                inference.forward_into(by_features.t(), y.view_mut().reversed_axes()).unwrap();
                assert_within(&what, y.t(), &expected);
            }
        }
    }
}

#[test]
fn every_activation_is_right_in_every_orientation() {
    for activation in ACTIVATIONS {
        let hidden = if activation == Activation::Softmax { Activation::Gelu } else { activation };
        let network = network(&[30, 21, 7], 1).with_activations(&[hidden, activation]).unwrap();
        let layers = layers(&network);
        for orientation in Orientation::ALL {
            let mut inference = DenseInference::new(&network, orientation);
            for batch in [1, 5, 16, 37] {
                let what = format!("{activation}, {}, batch {batch}", orientation.name());
                let x = noise_matrix(batch, 30, 2);
                let expected = reference(&layers, x.view());
                let mut y = Array2::zeros((batch, 7));
                inference.forward_into(x.view(), y.view_mut()).unwrap();
                assert_within(&what, y.view(), &expected);
                let mut y = Array2::zeros((7, batch));
                inference.forward_into(x.view(), y.view_mut().reversed_axes()).unwrap();
                assert_within(&what, y.t(), &expected);
                let mut y = Array2::zeros((2 * batch, 7));
                inference.forward_into(x.view(), y.slice_mut(s![..;2, ..])).unwrap();
                assert_within(&what, y.slice(s![..;2, ..]), &expected);
            }
        }
    }
}

/// A layer of the reference for the loss.
type Linear = (Array2<f64>, Array1<f64>, Activation);

/// The loss in f64 loops, from the definition: the mean of −log softmax.
fn loss(layers: &[Linear], x: &Array2<f32>, labels: &[usize]) -> f64 {
    let mut total = 0.0;
    for (row, &label) in x.rows().into_iter().zip(labels) {
        let mut values = row.mapv(f64::from);
        for (weight, bias, activation) in layers {
            values = weight.dot(&values) + bias;
            if *activation != Activation::Softmax {
                activate(*activation, values.as_slice_mut().unwrap());
            }
        }
        total += values.mapv(f64::exp).sum().ln() - values[label];
    }
    total / labels.len() as f64
}

#[test]
fn gradients_are_those_of_finite_differences() {
    use Activation::{Gelu, GeluTanh, Identity, LeakyRelu, Relu, Sigmoid, Softmax, Tanh};
    for activations in [
        [Relu, Relu, Identity],
        [LeakyRelu(0.2), LeakyRelu(-0.3), Softmax],
        [Gelu, GeluTanh, Identity],
        [GeluTanh, Gelu, Softmax],
        [Sigmoid, Tanh, Identity],
        [Tanh, Sigmoid, Gelu],
        [Identity, LeakyRelu(0.0), Tanh],
    ] {
        check_gradients(&network(&[9, 12, 7, 4], 3).with_activations(&activations).unwrap());
    }
}

fn check_gradients(network: &DenseMlp) {
    let x = noise_matrix(11, 9, 4);
    let labels: Vec<usize> = (0..11).map(|index| index * 7 % 4).collect();
    let mut layers: Vec<_> = network
        .layers()
        .iter()
        .map(|layer| (layer.weight().mapv(f64::from), layer.bias().mapv(f64::from), layer.activation()))
        .collect();
    let (found, gradients) = network.loss_and_gradients(Samples { x: x.view(), labels: &labels }).unwrap();
    assert!((found - loss(&layers, &x, &labels)).abs() < 1e-6);

    const STEP: f64 = 1e-6;
    let mut largest = 0.0_f64;
    let mut compare = |found: f32, difference: f64, place: String| {
        let error = (f64::from(found) - difference).abs();
        largest = largest.max(difference.abs());
        assert!(error < 1e-6 + 1e-5 * difference.abs(), "{place}: {found} for {difference}");
    };
    for index in 0..layers.len() {
        let (rows, columns) = layers[index].0.dim();
        for row in 0..rows {
            for column in 0..columns {
                let mut at = |shift: f64| {
                    layers[index].0[(row, column)] += shift;
                    let loss = loss(&layers, &x, &labels);
                    layers[index].0[(row, column)] -= shift;
                    loss
                };
                let difference = (at(STEP) - at(-STEP)) / (2.0 * STEP);
                let found = gradients.weight(index).unwrap()[(row, column)];
                compare(found, difference, format!("weight {index} [{row}, {column}]"));
            }
            let mut at = |shift: f64| {
                layers[index].1[row] += shift;
                let loss = loss(&layers, &x, &labels);
                layers[index].1[row] -= shift;
                loss
            };
            let difference = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            compare(gradients.bias(index).unwrap()[row], difference, format!("bias {index} [{row}]"));
        }
    }
    assert!(largest > 0.01, "gradients that are all but zero would prove nothing");
    assert!(gradients.weight(3).is_none());
}

#[test]
fn optimizers_step_as_pytorchs_do() {
    // One sample, so that a step is one gradient; the formulas of torch.optim.SGD and Adam, in f64.
    let start = network(&[20, 3], 5); // 60 weights: whole blocks and a rest
    let x = noise_matrix(1, 20, 6);
    let samples = Samples { x: x.view(), labels: &[1] };
    let gradient = |network: &DenseMlp| {
        network.loss_and_gradients(samples).unwrap().1.weight(0).unwrap().mapv(f64::from)
    };
    for optimizer in [Optimizer::Sgd { rate: 0.1, momentum: 0.9 }, Optimizer::Adam { rate: 0.01 }] {
        let mut expected = start.layers()[0].weight().mapv(f64::from);
        let (mut first, mut second) = (Array2::<f64>::zeros((3, 20)), Array2::<f64>::zeros((3, 20)));
        for steps in 1..=4 {
            let mut network = start.clone();
            let recipe = Training { optimizer, batch: 1, epochs: steps, seed: 0 };
            let before = {
                let mut network = start.clone();
                if steps > 1 {
                    Training { epochs: steps - 1, ..recipe }
                        .run(&mut network, None, samples, samples)
                        .unwrap();
                }
                network
            };
            let g = gradient(&before);
            match optimizer {
                Optimizer::Sgd { rate, momentum } => {
                    first = first * f64::from(momentum) + g;
                    expected = expected - &first * f64::from(rate);
                }
                Optimizer::Adam { rate } => {
                    first = first * 0.9 + &g * 0.1;
                    second = second * 0.999 + &g * &g * 0.001;
                    let mean = &first / (1.0 - 0.9_f64.powi(steps as i32));
                    let square = &second / (1.0 - 0.999_f64.powi(steps as i32));
                    expected = expected - mean * f64::from(rate) / (square.mapv(f64::sqrt) + 1e-8);
                }
                _ => unreachable!(),
            }
            recipe.run(&mut network, None, samples, samples).unwrap();
            for (found, expected) in network.layers()[0].weight().iter().zip(&expected) {
                assert!(
                    (f64::from(*found) - expected).abs() < 2e-6,
                    "{optimizer:?} {steps}: {found} for {expected}"
                );
            }
        }
    }
}

/// Two classes that a line separates.
fn halves(count: usize) -> (Array2<f32>, Vec<usize>) {
    let x = noise_matrix(count, 6, 11);
    let labels = x.rows().into_iter().map(|row| usize::from(row[0] + row[1] > 0.0)).collect();
    (x, labels)
}

#[test]
fn training_learns_and_the_mask_holds() {
    let (x, labels) = halves(300);
    let samples = Samples { x: x.view(), labels: &labels };
    for optimizer in [Optimizer::Sgd { rate: 0.1, momentum: 0.9 }, Optimizer::Adam { rate: 0.01 }] {
        let mut network = network(&[6, 30, 2], 7);
        let masks: Vec<_> =
            network.weight_views().into_iter().map(|weight| Mask::magnitude(weight, 0.7).unwrap()).collect();
        // One epoch at a time, to look after each; 7 leaves an odd last batch.
        for epoch in 0..12 {
            let recipe = Training { optimizer, batch: 7, epochs: 1, seed: epoch };
            recipe.run(&mut network, Some(&masks), samples, samples).unwrap();
            for (layer, mask) in network.layers().iter().zip(&masks) {
                for ((row, column), &weight) in layer.weight().indexed_iter() {
                    let kept = mask.get(row, column).unwrap();
                    assert!(kept || weight.to_bits() == 0, "{optimizer:?}: {weight} at [{row}, {column}]");
                }
            }
        }
        let moved = network.layers()[0].bias().iter().any(|&bias| bias != 0.0);
        assert!(moved, "biases are trained");
        let accuracy = network.evaluate(samples).unwrap().accuracy;
        assert!(accuracy > 0.95, "{optimizer:?}: {accuracy}");
    }
}

#[test]
fn the_best_epoch_is_the_first_of_lowest_validation_loss() {
    let (x, labels) = halves(120);
    let wrong: Vec<_> = labels.iter().map(|label| 1 - label).collect();
    let training = Samples { x: x.view(), labels: &labels };
    let mut trained = network(&[6, 20, 2], 1);
    let recipe = Training { optimizer: Optimizer::Adam { rate: 0.01 }, batch: 10, epochs: 8, seed: 1 };
    // Validation that training makes worse: the first epoch is the best one.
    let validation = Samples { x: x.view(), labels: &wrong };
    let history = recipe.run(&mut trained, None, training, validation).unwrap();
    let lowest = history.epochs.iter().map(|epoch| epoch.validation.loss).fold(f64::INFINITY, f64::min);
    assert_eq!(history.epochs[history.best_epoch() - 1].validation.loss, lowest);
    assert_eq!(history.best.evaluate(validation).unwrap().loss, lowest);
    assert_ne!(history.best, trained);
    assert_eq!(history.epochs.len(), 8);
}

#[test]
fn evaluation_counts() {
    let layer = DenseLayer::new(array![[1.0], [0.0]], array![0.0, 0.0], Activation::Identity).unwrap();
    let network = DenseMlp::new(vec![layer]).unwrap();
    let x = array![[3.0], [-3.0], [0.0]];
    let evaluation = network.evaluate(Samples { x: x.view(), labels: &[0, 0, 1] }).unwrap();
    assert_eq!(evaluation.accuracy, 1.0 / 3.0); // a tie goes to the first class
    let expected = ((1.0 + (-3.0_f64).exp()).ln() + (1.0 + 3.0_f64.exp()).ln() + 2.0_f64.ln()) / 3.0;
    assert!((evaluation.loss - expected).abs() < 1e-6);
}

#[test]
fn a_softmax_does_not_count_twice() {
    let samples = noise_matrix(40, 6, 2) * 60.0; // some shares are 0, and their loss is not infinite
    let labels: Vec<usize> = (0..40).map(|index| index % 3).collect();
    let samples = Samples { x: samples.view(), labels: &labels };
    let plain = network(&[6, 20, 3], 1);
    let softmax = plain.clone().with_activations(&[Activation::Relu, Activation::Softmax]).unwrap();
    let evaluation = plain.evaluate(samples).unwrap();
    assert!(softmax.forward(samples.x).unwrap().iter().all(|share| (0.0..=1.0).contains(share)));
    assert!(evaluation.loss.is_finite());
    assert_eq!(softmax.evaluate(samples).unwrap(), evaluation);
    assert_eq!(softmax.loss_and_gradients(samples).unwrap(), plain.loss_and_gradients(samples).unwrap());

    // And one class without any share.
    let layer = |activation| DenseLayer::new(array![[1.0], [0.0]], array![0.0, 0.0], activation).unwrap();
    let network = DenseMlp::new(vec![layer(Activation::Softmax)]).unwrap();
    let x = array![[500.0]];
    let samples = Samples { x: x.view(), labels: &[1] };
    assert_eq!(network.forward(samples.x).unwrap(), array![[1.0, 0.0]]);
    assert_eq!(network.evaluate(samples).unwrap().loss, 500.0);
    assert_eq!(network.loss_and_gradients(samples).unwrap().0, 500.0);
}

#[test]
fn networks_learn_with_any_activation() {
    let (x, labels) = halves(300);
    let samples = Samples { x: x.view(), labels: &labels };
    let recipe = Training { optimizer: Optimizer::Adam { rate: 0.01 }, batch: 7, epochs: 12, seed: 1 };
    for hidden in ACTIVATIONS.into_iter().filter(|&activation| activation != Activation::Softmax) {
        let mut network = network(&[6, 30, 2], 7).with_activations(&[hidden, Activation::Softmax]).unwrap();
        recipe.run(&mut network, None, samples, samples).unwrap();
        let accuracy = network.evaluate(samples).unwrap().accuracy;
        assert!(accuracy > 0.95, "{hidden}: {accuracy}");
    }
}

#[test]
fn seeds_make_networks() {
    let make = |seed| DenseMlp::initialise(&[100, 50, 10], Initialisation::TorchDefault, seed).unwrap();
    assert_eq!(make(1), make(1));
    assert_ne!(make(1), make(2));
    let network = make(3);
    for (layer, bound) in network.layers().iter().zip([0.1, 1.0 / 50.0_f32.sqrt()]) {
        let largest =
            layer.weight().iter().chain(layer.bias()).fold(0.0_f32, |max, value| max.max(value.abs()));
        assert!((0.95 * bound..=bound).contains(&largest), "{largest} of {bound}");
    }
    let glorot = DenseMlp::initialise(&[200, 300, 10], Initialisation::GlorotNormal, 1).unwrap();
    let weight = glorot.layers()[0].weight();
    let variance = weight.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / weight.len() as f64;
    assert!((variance / (2.0 / 500.0) - 1.0).abs() < 0.05, "{variance}");
    assert!(glorot.layers()[0].bias().iter().all(|&bias| bias == 0.0));
}

#[test]
fn what_is_refused_is_named() {
    let mut network = network(&[6, 5, 2], 1);
    let (x, labels) = halves(10);
    let samples = Samples { x: x.view(), labels: &labels };
    let recipe = Training { optimizer: Optimizer::Adam { rate: 0.01 }, batch: 5, epochs: 1, seed: 0 };
    let mut fault = |recipe: Training, masks: Option<&[Mask]>, samples, text: &str| {
        let before = network.clone();
        let error =
            recipe.run(&mut network, masks, samples, Samples { x: x.view(), labels: &labels }).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(network, before, "a refusal leaves the network alone");
    };
    fault(Training { batch: 0, ..recipe }, None, samples, "batch: expected at least 1, found 0");
    fault(Training { epochs: 0, ..recipe }, None, samples, "epochs: expected at least 1");
    for rate in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        fault(Training { optimizer: Optimizer::Adam { rate }, ..recipe }, None, samples, "rate: expected");
    }
    let optimizer = Optimizer::Sgd { rate: 0.1, momentum: 1.0 };
    fault(Training { optimizer, ..recipe }, None, samples, "momentum: expected a number in [0, 1), found 1");
    fault(recipe, Some(&[Mask::all((5, 6))]), samples, "expected 2 masks, one a layer, found 1");
    fault(recipe, Some(&[Mask::all((5, 6)), Mask::all((5, 2))]), samples, "weight of layer 1");
    let empty = Array2::zeros((0, 6));
    fault(recipe, None, Samples { x: empty.view(), labels: &[] }, "training: x: expected [samples, 6]");
    fault(recipe, None, Samples { x: x.view(), labels: &labels[1..] }, "labels: expected 10");
    let classes = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0];
    fault(recipe, None, Samples { x: x.view(), labels: &classes }, "classes below 2, found 2 at 2");

    for sizes in [&[][..], &[3], &[3, 0, 2]] {
        assert_eq!(
            DenseMlp::initialise(sizes, Initialisation::TorchDefault, 0).unwrap_err().kind(),
            ErrorKind::Shape
        );
    }
    assert!(DenseMlp::new(vec![]).is_err());
    assert!(DenseLayer::new(Array2::zeros((0, 3)), Array1::zeros(0), Activation::Relu).is_err());
    assert!(DenseLayer::new(Array2::zeros((2, 3)), Array1::zeros(3), Activation::Relu).is_err());
    let layer = |out, inputs| {
        DenseLayer::new(Array2::zeros((out, inputs)), Array1::zeros(out), Activation::Relu).unwrap()
    };
    assert!(DenseMlp::new(vec![layer(3, 4), layer(2, 2)]).unwrap_err().to_string().contains("3 inputs"));
    let error = network.clone().with_activations(&[Activation::Relu]).unwrap_err();
    assert!(error.to_string().contains("activations: expected 2, one a layer, found 1"), "{error}");
    let error = network.clone().with_activations(&[Activation::Softmax; 2]).unwrap_err();
    assert!(error.to_string().contains("activation of layer 0: expected softmax after the last"), "{error}");
    let slope = Activation::LeakyRelu(f32::NAN);
    assert!(network.clone().with_activations(&[slope; 2]).is_err());
    assert!(DenseLayer::new(Array2::zeros((2, 3)), Array1::zeros(2), slope).is_err());
    assert!(network.forward(Array2::zeros((2, 7)).view()).is_err());
    assert!(network.add_noise(f32::NAN, 0).is_err());
}

#[test]
fn divergence_is_an_error() {
    let (x, labels) = halves(50);
    let x = x * 1e20;
    let samples = Samples { x: x.view(), labels: &labels };
    let recipe =
        Training { optimizer: Optimizer::Sgd { rate: 1e20, momentum: 0.0 }, batch: 5, epochs: 9, seed: 0 };
    let error = recipe.run(&mut network(&[6, 5, 2], 1), None, samples, samples).unwrap_err();
    assert!(error.to_string().contains("loss of epoch"), "{error}");
}
