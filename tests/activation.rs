//! Activations: every one on every instruction set against f64, over all of the numbers.

mod common;

use common::{
    ACTIVATIONS, activate, assert_within, erfc, every_kernel, isas, layer, noise_matrix, reference,
};
use ndarray::{Array2, Axis, array, s};
use tombola::{Activation, Csr, ErrorKind, Isa, Mask, SparseLinear, SparseMlp};

/// A layer that gives what it takes, apart from the activation.
fn passing(width: usize, activation: Activation, isa: Isa) -> SparseMlp {
    let size = u32::try_from(width).unwrap();
    let csr = Csr::new((width, width), (0..=size).collect(), (0..size).collect(), vec![1.0; width]);
    SparseMlp::new(vec![SparseLinear::with_isa(csr, None, activation, isa).unwrap()]).unwrap()
}

/// The outputs for some values, however many fit a sample.
fn outputs(mlp: &SparseMlp, values: &[f32], batch: usize) -> Vec<f32> {
    let mut padded = values.to_vec();
    padded.resize(values.len().next_multiple_of(mlp.inputs() * batch), 0.0);
    let x = Array2::from_shape_vec((padded.len() / mlp.inputs(), mlp.inputs()), padded).unwrap();
    let mut y = Array2::zeros(x.dim());
    let mut workspace = mlp.workspace(batch);
    for (x, y) in x.axis_chunks_iter(Axis(0), batch).zip(y.axis_chunks_iter_mut(Axis(0), batch)) {
        mlp.forward_into(x, y, &mut workspace).unwrap();
    }
    y.into_iter().take(values.len()).collect()
}

/// Floats of every magnitude, a grid where the functions bend, and all that is special.
fn numbers() -> Vec<f32> {
    let special = [0.0, f32::MIN_POSITIVE, f32::from_bits(1), f32::MAX, f32::INFINITY, 0.625, 1e30, 1e-30];
    let special = special.into_iter().flat_map(|x| [x, -x]).chain([f32::NAN]);
    let magnitudes = (0..=u32::MAX).step_by(32_749).map(f32::from_bits);
    special.chain(magnitudes).chain((-100_000..=100_000).map(|n| n as f32 * 1.001e-3)).collect()
}

/// How far from the true value an activation may be at an argument: in units in the last place of that, and absolute.
fn bound(activation: Activation, x: f64) -> (f64, f64) {
    let ulps = match activation {
        Activation::Identity | Activation::Relu => 0.0,
        Activation::LeakyRelu(_) => 0.5,
        Activation::Sigmoid => 2.5,
        Activation::Tanh => 2.0,
        Activation::Gelu => 4.5,
        // Below 0 an exponential passes on the three roundings of the argument of tanh: far below, many units of
        // what is next to nothing.
        Activation::GeluTanh if x < 0.0 => return (5.0 - 5.0 * (x + 0.045 * x.powi(3)).max(-100.0), 5e-8),
        Activation::GeluTanh => 5.0,
        _ => unreachable!("{activation} is no function of one value"),
    };
    (ulps, f64::INFINITY)
}

/// Units in the last place between a float and a number.
fn ulps(found: f32, expected: f64) -> f64 {
    let exponent = expected.abs().log2().floor().max(-126.0);
    (f64::from(found) - expected).abs() / 2.0_f64.powf(exponent - 23.0)
}

#[test]
fn every_function_is_right_everywhere() {
    let values = numbers();
    for activation in ACTIVATIONS.into_iter().filter(|&activation| activation != Activation::Softmax) {
        let expected: Vec<f64> = values
            .iter()
            .map(|&x| {
                let mut value = [f64::from(x)];
                activate(activation, &mut value);
                value[0]
            })
            .collect();
        let check = |what: &str, found: &[f32]| {
            let mut worst = (0.0, 0.0);
            for ((&x, &found), &expected) in values.iter().zip(found).zip(&expected) {
                // What is beyond the floats rounds to infinity.
                if expected.is_nan() || f64::from(expected as f32).is_infinite() {
                    assert_eq!(found.is_nan(), expected.is_nan(), "{what}: {found} at {x}");
                    assert!(expected.is_nan() || found == expected as f32, "{what}: {found} at {x}");
                    continue;
                }
                let (error, (relative, absolute)) = (ulps(found, expected), bound(activation, f64::from(x)));
                if error > worst.0 {
                    worst = (error, x);
                }
                let within = error <= relative && (f64::from(found) - expected).abs() <= absolute;
                assert!(within, "{what}: {found} at {x:e} is {error} units from {expected:e}");
            }
            println!("{what}: {:.2} units in the last place at {:e}", worst.0, worst.1);
        };
        for isa in isas() {
            let mut first = None;
            for (width, batch) in [(1, 1024), (7, 1024), (16, 64), (17, 1), (17, 3), (17, 1024)] {
                let mlp = passing(width, activation, isa);
                let found = outputs(&mlp, &values, batch);
                check(&format!("{activation}, {isa}, {batch} x {width}, {}", mlp.explain(batch)), &found);
                // All NaN are the same, the rest is so bit for bit.
                let found: Vec<_> = found.iter().map(|y| (!y.is_nan()).then_some(y.to_bits())).collect();
                let first = first.get_or_insert_with(|| found.clone());
                assert!(*first == found, "{activation}, {isa}: a value's place shows");
            }
        }
        let found: Vec<_> = values.iter().map(|&x| activation.apply(x)).collect();
        check(&format!("{activation}, one by one"), &found);
    }
}

#[test]
fn zeros_keep_their_sign() {
    for activation in ACTIVATIONS {
        let [plus, minus] = [0.0, -0.0].map(|x| activation.apply(x));
        match activation {
            Activation::Sigmoid => assert_eq!([plus, minus], [0.5, 0.5]),
            Activation::Softmax => assert_eq!([plus, minus], [1.0, 1.0]),
            _ => {
                assert_eq!([plus, minus].map(f32::to_bits), [0.0_f32, -0.0].map(f32::to_bits), "{activation}")
            }
        }
    }
}

#[test]
fn limits_are_pytorchs_or_better() {
    let (low, high) = (f32::NEG_INFINITY, f32::INFINITY);
    for (activation, expected) in [
        (Activation::Relu, [0.0, high]),
        (Activation::LeakyRelu(0.5), [low, high]),
        (Activation::Gelu, [0.0, high]),
        (Activation::GeluTanh, [0.0, high]),
        (Activation::Sigmoid, [0.0, 1.0]),
        (Activation::Tanh, [-1.0, 1.0]),
    ] {
        assert_eq!([low, high].map(|x| activation.apply(x)), expected, "{activation}");
        assert!(activation.apply(f32::NAN).is_nan(), "{activation}");
    }
}

#[test]
fn networks_of_every_activation() {
    for activation in ACTIVATIONS {
        let hidden = if activation == Activation::Softmax { Activation::Gelu } else { activation };
        let layers = [
            layer(70, 90, 0.3, hidden, 1),
            layer(33, 70, 0.5, hidden, 2), // an odd last group, a rest of a vector
            layer(13, 33, 0.5, activation, 3),
        ];
        for (what, mlp) in every_kernel(&layers) {
            for batch in [1, 2, 4, 17, 64, 130] {
                let x = noise_matrix(batch, 90, 4);
                let y = mlp.forward(x.view()).unwrap();
                let what = format!("{what}, batch {batch}, {}", mlp.explain(batch));
                assert_within(&what, y.view(), &reference(&layers, x.view()));
            }
        }
    }
}

#[test]
fn a_softmax_is_a_distribution() {
    for isa in isas() {
        for classes in [1, 2, 10, 16, 17, 1000, 5001] {
            let mlp = passing(classes, Activation::Softmax, isa);
            for batch in [1, 3, 70] {
                // Logits up to 200 apart, so that some shares are subnormal and some 0.
                let x = 100.0 * noise_matrix(batch, classes, 5) + 1e4;
                let y = mlp.forward(x.view()).unwrap();
                for (x, y) in x.rows().into_iter().zip(y.rows()) {
                    let sum: f64 = y.iter().copied().map(f64::from).sum();
                    assert!((sum - 1.0).abs() < 5e-6, "{isa}, {classes} classes, batch {batch}: {sum}");
                    let mut expected = x.mapv(f64::from).to_vec();
                    activate(Activation::Softmax, &mut expected);
                    for (&found, &expected) in y.iter().zip(&expected) {
                        let bound = 2e-5 * expected + 2.0_f64.powi(-149);
                        assert!(
                            (f64::from(found) - expected).abs() <= bound,
                            "{isa}: {found} for {expected}"
                        );
                    }
                }
            }
        }
    }
}

/// Equal shares are the hardest for a sum, and show what each addition loses.
#[test]
fn a_softmax_of_very_many_classes_adds_up() {
    const CLASSES: usize = 100_003;
    let x = Array2::from_shape_fn((17, CLASSES), |(sample, class)| if sample == class { 1.0 } else { 0.7 });
    for isa in isas() {
        let mlp = passing(CLASSES, Activation::Softmax, isa);
        for batch in [1, 17] {
            let y = mlp.forward(x.slice(s![..batch, ..])).unwrap();
            let expected = 1.0 / (CLASSES as f64 - 1.0 + 0.3_f64.exp());
            assert!((f64::from(y[(0, CLASSES / 2)]) / expected - 1.0).abs() < 5e-6, "{isa}, batch {batch}");
        }
    }
}

#[test]
fn a_softmax_of_what_is_not_finite() {
    let (low, high) = (f32::NEG_INFINITY, f32::INFINITY);
    for isa in isas() {
        for width in [3, 20] {
            let mlp = passing(width, Activation::Softmax, isa);
            for batch in [5, 64] {
                let mut x = Array2::from_elem((batch, width), low);
                x.slice_mut(s![.., ..3]).assign(&array![2.0, low, 2.0]);
                x[(1, 2)] = f32::NAN;
                x[(2, 2)] = high;
                x.row_mut(3).fill(low);
                let y = mlp.forward(x.view()).unwrap();
                for (sample, y) in y.rows().into_iter().enumerate() {
                    if (1..4).contains(&sample) {
                        assert!(y.iter().all(|y| y.is_nan()), "{isa}, {sample}: {y}");
                    } else {
                        assert_eq!(y.slice(s![..3]), array![0.5, 0.0, 0.5], "{isa}");
                        assert!(y.iter().skip(3).all(|&y| y == 0.0), "{isa}: {y}");
                    }
                }
            }
        }
    }
}

#[test]
fn names_are_read_back() {
    let slopes = [0.2, -0.0, f32::MIN_POSITIVE, f32::from_bits(1), f32::MAX, 0.1 + 0.2, 1.0 / 3.0, -7.0];
    for activation in ACTIVATIONS.into_iter().chain(slopes.map(Activation::LeakyRelu)) {
        let read: Activation = activation.to_string().parse().unwrap();
        assert_eq!(read, activation);
        if let (Activation::LeakyRelu(read), Activation::LeakyRelu(slope)) = (read, activation) {
            assert_eq!(read.to_bits(), slope.to_bits());
        }
    }
    assert_eq!(Activation::LeakyRelu(0.2).to_string(), "leaky_relu(0.2)");
    for name in [
        "",
        "Relu",
        "relu ",
        "relu()",
        "leaky_relu",
        "leaky_relu()",
        "leaky_relu(0.1",
        "leaky_relu 0.1",
        "leaky_relu(x)",
        "leaky_relu(nan)",
        "leaky_relu(inf)",
        "leaky_relu(-infinity)",
        "leaky_relu(1e39)",
        "leaky_relu(0.1))",
        "gelu(tanh)",
    ] {
        let error = name.parse::<Activation>().unwrap_err();
        assert!(error.to_string().contains(&format!("found {name:?}")), "{error}");
    }
}

#[test]
fn what_is_refused_is_named() {
    let csr = || Mask::all((4, 4)).apply(Array2::ones((4, 4)).view()).unwrap();
    for slope in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = SparseLinear::new(csr(), None, Activation::LeakyRelu(slope)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().contains("activation: expected a finite slope"), "{error}");
    }
    let linear = |activation| SparseLinear::new(csr(), None, activation).unwrap();
    let (softmax, relu) = (Activation::Softmax, Activation::Relu);
    let error = SparseMlp::new([relu, softmax, relu].map(linear).into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    assert!(error.to_string().contains("activation of layer 1: expected softmax after the last"), "{error}");
}

/// The reference's own reference: values of SciPy's `erfc`.
#[test]
fn the_reference_knows_the_error_function() {
    for (x, expected) in [
        (-3.5, 1.9999992569016276),
        (-0.3, 1.3286267594591274),
        (0.1, 0.8875370839817152),
        (1.0, 0.15729920705028516),
        (1.999, 0.0046984433486294865),
        (2.0, 0.004677734981047266),
        (2.5, 0.00040695201744495886),
        (5.0, 1.5374597944280347e-12),
        (9.5, 3.7692144856548797e-41),
        (20.0, 5.395865611607901e-176),
    ] {
        assert!((erfc(x) / expected - 1.0).abs() < 1e-12, "{x}: {}", erfc(x));
    }
    assert_eq!((erfc(f64::INFINITY), erfc(f64::NEG_INFINITY)), (0.0, 2.0));
}
