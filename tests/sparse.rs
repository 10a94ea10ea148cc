//! The sparse forward pass, on every instruction set of this machine, against loops in f64.

mod common;

use common::{Layer, assert_within, bits, every_kernel, isas, layer, noise_matrix, reference, sparse};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, ShapeBuilder, array, s};
use proptest::prelude::*;
use tombola::plan::{Batch, Format};
use tombola::{Activation, Csr, ErrorKind, Isa, Mask, SparseLinear, SparseMlp};

/// The one body for every kernel: all of them agree with the reference within its bound, in a fresh and in a used
/// workspace, and give the same bits in both.
fn check(layers: &[Layer], x: ArrayView2<'_, f32>) {
    let expected = reference(layers, x);
    for (what, mlp) in every_kernel(layers) {
        let what = format!("{what}, batch {}, {}", x.nrows(), mlp.explain(x.nrows()));
        let y = mlp.forward(x).unwrap();
        assert_within(&what, y.view(), &expected);

        let mut workspace = mlp.workspace(x.nrows());
        let other = noise_matrix(3, mlp.inputs(), 99);
        mlp.forward_into(other.view(), Array2::zeros((3, mlp.outputs())).view_mut(), &mut workspace).unwrap();
        let mut again = Array2::from_elem(y.dim(), f32::NAN);
        mlp.forward_into(x, again.view_mut(), &mut workspace).unwrap();
        assert_eq!(bits(y.flatten().view()), bits(again.flatten().view()), "{what}");
    }
}

#[test]
fn shapes_that_hurt() {
    for (out, inputs) in [(1, 1), (1, 7), (7, 1), (13, 127), (127, 113), (64, 64), (33, 300)] {
        for density in [0.0, 0.03, 0.2, 1.0] {
            for batch in [1, 2, 3, 8, 15, 16, 17, 31, 33, 48, 63, 64, 65, 130] {
                let layers = [layer(out, inputs, density, Activation::Relu, 5)];
                check(&layers, noise_matrix(batch, inputs, 6).view());
            }
        }
    }
}

#[test]
fn skewed_and_structured_masks() {
    let (out, inputs) = (61, 257);
    let masks = [
        Mask::from_fn((out, inputs), |row, _| row == 17), // one dense row
        Mask::from_fn((out, inputs), |_, column| column == 200), // one dense column
        Mask::from_fn((out, inputs), |row, column| column < 256 >> (row % 9)), // power-law rows
        Mask::from_fn((out, inputs), |row, column| row % 2 == 0 && column > 200), // empty rows and columns
        Mask::from_fn((out, inputs), |row, column| row == 60 && column == 256), // the last weight alone
        Mask::from_fn((out, inputs), |row, column| (row / 4 * 31 + column * 17) % 10 < 3), // rows in fours
        Mask::from_fn((out, inputs), |row, column| (row / 2 * 31 + column * 17) % 10 < 4), // rows in pairs
        Mask::from_fn((out, inputs), |row, column| (row / 16 + column) % 5 == 0 || (row + column) % 23 == 0), // some of both
        Mask::from_fn((out, inputs), |row, column| (row * 7 + column / 4) % 4 == column % 4), // 1:4
        Mask::from_fn((out, inputs), |row, column| (row / 8 * 31 + column * 17) % 10 < 2), // rows in eights
        Mask::from_fn((out, inputs), |row, column| {
            (row / 16 * 31 + column * 17) % 10 < 2 && row + column != 70
        }), // nearly
        Mask::from_fn((out, inputs), |row, column| (row / 32 + column) % 7 == 0),          // rows in halves
    ];
    for mask in masks {
        for batch in [1, 3, 4, 17, 64, 100] {
            let layer = Layer { mask: mask.clone(), ..layer(out, inputs, 1.0, Activation::Identity, 8) };
            check(&[layer], noise_matrix(batch, inputs, 9).view());
        }
    }
}

#[test]
fn chains_of_layers() {
    let layers = [
        layer(300, 784, 0.1, Activation::Relu, 1),
        layer(100, 300, 0.1, Activation::Relu, 2),
        layer(10, 100, 0.2, Activation::Identity, 3),
    ];
    for batch in [1, 17, 64, 200] {
        check(&layers, noise_matrix(batch, 784, 4).view());
    }
}

/// More rows than the panels of a tile are walked for at once, and more columns than a panel has.
#[test]
fn tall_and_wide() {
    for (out, inputs) in [(1100, 40), (513, 513), (40, 1100)] {
        for activation in [Activation::Relu, Activation::Tanh] {
            let layers = [layer(out, inputs, 0.02, activation, 1)];
            check(&layers, noise_matrix(70, inputs, 2).view());
        }
    }
    let layers = [layer(1100, 30, 0.1, Activation::Relu, 1), layer(1030, 1100, 0.01, Activation::Softmax, 2)];
    check(&layers, noise_matrix(20, 30, 3).view());
    // Column numbers that need more than 16 bits.
    check(&[layer(19, 66_000, 0.003, Activation::Relu, 1)], noise_matrix(3, 66_000, 2).view());
}

/// So many weights that threads may share their rows out, few samples, and several groups of them.
fn many_weights() -> Vec<Vec<Layer>> {
    let with = |mask: Mask, activation| {
        let (out, inputs) = mask.shape();
        Layer { mask, ..layer(out, inputs, 1.0, activation, 5) }
    };
    // Power-law rows, of which the longest come last; rows in fours; no more rows than fit one share, or hardly; one
    // row that has nearly all of the weights; and two thirds of them.
    let power = Mask::from_fn((700, 640), |row, column| column < 640 * row * row / (700 * 700));
    let fours = Mask::from_fn((300, 640), |row, column| (row / 4 * 31 + column * 17) % 10 < 8);
    vec![
        vec![with(power, Activation::Gelu), layer(333, 700, 0.7, Activation::Softmax, 6)],
        vec![with(fours, Activation::Relu)],
        vec![layer(65, 2100, 1.0, Activation::Identity, 7)],
        vec![layer(1, 140_000, 1.0, Activation::Identity, 8)],
        vec![with(Mask::from_fn((1300, 900), |row, column| row == 700 || column == 0), Activation::Tanh)],
        vec![with(Mask::from_fn((2100, 100), |row, _| row < 1400), Activation::LeakyRelu(0.1))],
    ]
}

#[test]
fn shares_of_rows() {
    for layers in many_weights() {
        for batch in [1, 3, 9, 65] {
            check(&layers, noise_matrix(batch, layers[0].weight.ncols(), 2).view());
        }
    }
}

/// What a long batch gives, its parts give, to the bit.
#[test]
fn a_hundred_thousand_samples() {
    const BATCH: usize = 100_000;
    let layers = [layer(30, 20, 0.2, Activation::Relu, 1), layer(3, 30, 0.5, Activation::Softmax, 2)];
    let x = noise_matrix(BATCH, 20, 3);
    for (kernel, mlp) in every_kernel(&layers) {
        let y = mlp.forward(x.view()).unwrap();
        let mut workspace = mlp.workspace(BATCH);
        for start in [0, 49_920, BATCH - 64] {
            let part = s![start..start + 64, ..];
            let mut expected = Array2::zeros((64, 3));
            mlp.forward_into(x.slice(part), expected.view_mut(), &mut workspace).unwrap();
            assert_eq!(y.slice(part), expected, "{kernel}, from sample {start}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_layer(
        out in 1..600_usize, inputs in 1..900_usize, batch in 1..130_usize, density in 0.0..=1.0_f64, seed: u64,
        activation in prop::sample::select(&common::ACTIVATIONS[..]),
    ) {
        // The square, so that half of the cases are as sparse as tickets are.
        let layer = layer(out, inputs, density * density, activation, seed >> 1);
        check(&[layer], noise_matrix(batch, inputs, seed).view());
    }
}

#[test]
fn views_of_any_strides() {
    // Batches that are one whole tile on some instruction set, and what else a last vector of samples can hold.
    for batch in [1, 2, 3, 5, 8, 11, 16, 17, 64, 70] {
        views_of_a_batch(batch);
    }
}

fn views_of_a_batch(batch: usize) {
    let layers = [layer(37, 90, 0.3, Activation::Relu, 1), layer(21, 37, 0.5, Activation::Identity, 2)];
    let plain = noise_matrix(batch, 90, 3);
    for (isa, mlp) in every_kernel(&layers) {
        let expected = mlp.forward(plain.view()).unwrap();
        let mut workspace = mlp.workspace(batch);
        // Feature-major batches may have another plan, and faer may sum in another order where strides are others.
        let [by_rows, by_features] = [mlp.plan(batch), mlp.plan(Batch::feature_major(batch))]
            .map(|plan| plan.choices().collect::<Vec<_>>());
        let same_bits = by_rows == by_features && by_rows.iter().all(|choice| choice.format != Format::Dense);
        let agrees = |y: ArrayView2<'_, f32>, expected: ArrayView2<'_, f32>| {
            let near = (&y - &expected).iter().all(|difference| difference.abs() < 1e-5);
            if same_bits { y == expected } else { near }
        };

        let by_features = plain.t().as_standard_layout().into_owned();
        let mut spaced = Array2::zeros((2 * batch, 3 * 90 + 1));
        spaced.slice_mut(s![..;2, 1..;3]).assign(&plain);
        let mut mirrored = plain.clone();
        mirrored.invert_axis(Axis(1));
        let mut mirrored = mirrored.as_standard_layout().into_owned();
        mirrored.invert_axis(Axis(1));
        let mut wide = Array2::zeros((batch, 120));
        wide.slice_mut(s![.., 7..97]).assign(&plain);
        let mut wide_by_features = Array2::zeros((90, batch + 9));
        wide_by_features.slice_mut(s![.., 2..2 + batch]).assign(&plain.t());
        let among_others = wide_by_features.slice(s![.., 2..2 + batch]).reversed_axes();
        let (wide, spaced) = (wide.slice(s![.., 7..97]), spaced.slice(s![..;2, 1..;3]));
        for x in [by_features.t(), among_others, wide, spaced, mirrored.view()] {
            assert_eq!(x, plain);
            let mut y = Array2::zeros((21, batch));
            mlp.forward_into(x, y.view_mut().reversed_axes(), &mut workspace).unwrap();
            assert!(agrees(y.t(), expected.view()), "{isa}");
            let mut y = Array2::zeros((21, batch + 7));
            let among_others = y.slice_mut(s![.., 3..3 + batch]).reversed_axes();
            mlp.forward_into(x, among_others, &mut workspace).unwrap();
            assert!(agrees(y.slice(s![.., 3..3 + batch]).t(), expected.view()), "{isa}, batch {batch}");
            assert!(
                y.slice(s![.., ..3]).iter().chain(y.slice(s![.., 3 + batch..])).all(|&value| value == 0.0),
                "{isa}, batch {batch}: written beside"
            );
            let mut y = Array2::zeros((batch, 50));
            mlp.forward_into(x, y.slice_mut(s![.., 5..26]), &mut workspace).unwrap();
            assert!(agrees(y.slice(s![.., 5..26]), expected.view()), "{isa}");
            assert!(
                y.column(4).iter().chain(&y.column(26)).all(|&value| value == 0.0),
                "{isa}: written beside"
            );
            let mut y = Array2::zeros((batch, 50));
            mlp.forward_into(x, y.slice_mut(s![.., 3..45;2]), &mut workspace).unwrap();
            assert!(agrees(y.slice(s![.., 3..45;2]), expected.view()), "{isa}");
            assert!(y.column(4).iter().all(|&value| value == 0.0), "{isa}: written between the strides");
        }
        // One row again and again: a stride of 0. (Of a group of samples the last may be summed in another order.)
        let row = plain.slice(s![batch / 2..=batch / 2, ..]);
        let y = mlp.forward(row.broadcast((batch, 90)).unwrap()).unwrap();
        let expected = expected.slice(s![batch / 2..=batch / 2, ..]);
        assert!((&y - &expected).iter().all(|difference| difference.abs() < 1e-5), "{isa}");
    }
}

/// A feature-major output without a gap may be summed where it is, over one panel or several: wherever it begins, and
/// whatever comes after the sums.
#[test]
fn outputs_that_are_a_tile() {
    for activation in [Activation::Relu, Activation::Gelu, Activation::Softmax] {
        for (inputs, batch) in [(90, 8), (90, 16), (900, 16), (900, 24), (1700, 16), (900, 32), (90, 64)] {
            let layers = [layer(150, inputs, 0.1, activation, 1)];
            let x = noise_matrix(batch, inputs, 2);
            let expected = reference(&layers, x.view());
            for (what, mlp) in every_kernel(&layers) {
                for offset in 0..17 {
                    let mut memory = vec![f32::NAN; 150 * batch + 34];
                    let y = &mut memory[offset..offset + 150 * batch];
                    let mut y = ArrayViewMut2::from_shape((150, batch), y).unwrap().reversed_axes();
                    mlp.forward_into(x.view(), y.view_mut(), &mut mlp.workspace(batch)).unwrap();
                    let what = format!("{what}, {activation:?}, {inputs} columns, batch {batch} at {offset}");
                    assert_within(&what, y.view(), &expected);
                    let beside = memory[..offset].iter().chain(&memory[offset + 150 * batch..]);
                    assert!(beside.into_iter().all(|value| value.is_nan()), "{what}: written beside");
                }
            }
        }
    }
}

/// Where a batch lies feature-major, dense products go through rows for few samples, by the layer's shape and size.
#[test]
fn feature_major_batches() {
    for (out, inputs) in [(1, 1), (9, 31), (33, 12), (150, 200)] {
        for (density, activation) in [(1.0, Activation::Relu), (0.7, Activation::Gelu)] {
            let layers = [layer(out, inputs, density, activation, 1)];
            for batch in [2, 4, 7, 8, 12, 13, 16, 17, 20, 21, 40] {
                let x = noise_matrix(batch, inputs, 2);
                let expected = reference(&layers, x.view());
                let x = Array2::from_shape_fn((batch, inputs).f(), |at| x[at]);
                for (what, mlp) in every_kernel(&layers) {
                    let mut y = Array2::from_elem((batch, out).f(), f32::NAN);
                    mlp.forward_into(x.view(), y.view_mut(), &mut mlp.workspace(batch)).unwrap();
                    assert_within(&format!("{what}, {out}×{inputs}, batch {batch}"), y.view(), &expected);
                }
            }
        }
    }
}

#[test]
fn a_sample_does_not_depend_on_its_batch() {
    let layers = [layer(40, 150, 0.2, Activation::Relu, 1), layer(9, 40, 0.5, Activation::Identity, 2)];
    let x = noise_matrix(200, 150, 3);
    for (what, mlp) in every_kernel(&layers) {
        let all = mlp.forward(x.view()).unwrap();
        let panels = |batch| mlp.plan(batch).choices().all(|choice| choice.format == Format::Panel);
        for batch in 1..200 {
            let some = mlp.forward(x.slice(s![..batch, ..])).unwrap();
            // A batch that is one vector may have panels and sums of its own.
            if batch > 16 && panels(batch) && panels(200) {
                assert_eq!(some, all.slice(s![..batch, ..]), "{what}, batch {batch}");
            }
            let some = &some - &all.slice(s![..batch, ..]);
            assert!(some.iter().all(|difference| difference.abs() < 1e-5), "{what}, batch {batch}");
        }
    }
}

#[cfg(feature = "rayon")]
#[test]
fn threads_do_not_show() {
    let narrow = [layer(70, 150, 0.2, Activation::Gelu, 1), layer(9, 70, 0.5, Activation::Softmax, 2)];
    // So many rows that threads share them out, where there are too few samples for that.
    let wide = [layer(1300, 150, 0.05, Activation::Gelu, 3), layer(1100, 1300, 0.01, Activation::Softmax, 4)];
    threads_do_not_show_in(&narrow, &[1, 2, 8, 17, 31, 64, 100, 333]);
    threads_do_not_show_in(&wide, &[1, 17, 64, 100, 600]);
    // Whose dense product takes a single sample by columns.
    let short = [layer(2600, 60, 0.3, Activation::Relu, 6)];
    threads_do_not_show_in(&short, &[1, 2]);
    // A single output, of which faer's threads would add up parts where samples lie side by side.
    let one = [layer(1, 300, 0.9, Activation::Identity, 7)];
    threads_do_not_show_in(&one, &[2, 300]);
    let last = [layer(1000, 256, 0.9, Activation::Relu, 8), layer(1, 1000, 0.9, Activation::Identity, 9)];
    threads_do_not_show_in(&last, &[128]);
    // Packed in other panels where one vector of samples, or two, is the whole batch, and not a thread's part of it.
    let long = [layer(70, 700, 0.08, Activation::Relu, 5)];
    threads_do_not_show_in(&long, &[16, 17, 31, 64, 80]);
    for layers in many_weights() {
        threads_do_not_show_in(&layers, &[1, 3, 9, 64]);
    }
}

#[cfg(feature = "rayon")]
fn threads_do_not_show_in(layers: &[common::Layer], batches: &[usize]) {
    for (isa, mlp) in every_kernel(layers) {
        let outputs = mlp.outputs();
        for &batch in batches {
            let x = noise_matrix(batch, mlp.inputs(), 3);
            let by_features = x.t().as_standard_layout().into_owned();
            let expected = mlp.forward(x.view()).unwrap();
            let mut expected_by_features = Array2::zeros((outputs, batch));
            let y = expected_by_features.view_mut().reversed_axes();
            mlp.forward_into(by_features.t(), y, &mut mlp.workspace(batch)).unwrap();
            for threads in [1, 2, 3, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    let mut workspace = mlp.parallel_workspace(batch);
                    let mut y = Array2::zeros(expected.dim());
                    mlp.forward_into(x.view(), y.view_mut(), &mut workspace).unwrap();
                    assert_eq!(y, expected, "{isa}, batch {batch}, {threads} threads");
                    let mut y = Array2::zeros((outputs, batch));
                    mlp.forward_into(by_features.t(), y.view_mut().reversed_axes(), &mut workspace).unwrap();
                    assert_eq!(
                        y, expected_by_features,
                        "{isa}, batch {batch}, {threads} threads, feature-major"
                    );
                });
            }
        }
    }
}

/// The stride of an axis of one place means nothing, and of views that share their numbers it may be anything.
/// The columns of a single one may be any number of floats apart.
#[test]
fn a_column_without_a_neighbour() {
    let (batch, layers) = (70, [layer(1, 30, 0.5, Activation::Relu, 5)]);
    let x = noise_matrix(batch, 30, 6);
    for (what, mlp) in every_kernel(&layers) {
        let mut y = vec![0.0; batch];
        let view =
            ArrayViewMut2::from_shape((batch, 1).strides((1, isize::MAX as usize / 4)), &mut y).unwrap();
        mlp.forward_into(x.view(), view, &mut mlp.workspace(batch)).unwrap();
        assert_eq!(bits(ArrayView1::from(&y)), bits(mlp.forward(x.view()).unwrap().column(0)), "{what}");
    }
}

#[test]
fn strides_below_zero() {
    for (isa, mlp) in every_kernel(&[layer(1, 50, 0.4, Activation::Relu, 1)]) {
        for batch in [1, 7, 17, 23, 64] {
            let values = noise_matrix(1, batch + 49, 2);
            let mut x =
                ArrayView2::from_shape((batch, 50).strides((1, 1)), values.as_slice().unwrap()).unwrap();
            x.invert_axis(Axis(1));
            let expected = mlp.forward(x.as_standard_layout().view()).unwrap();
            let mut y = Array2::zeros((batch, 1));
            y.invert_axis(Axis(1));
            mlp.forward_into(x, y.view_mut(), &mut mlp.workspace(batch)).unwrap();
            let near = (&y - &expected).iter().all(|difference| difference.abs() < 1e-4);
            assert!(near, "{isa}, batch {batch}: {y} for {expected}");
        }
    }
}

#[test]
fn layouts_are_explained() {
    for isa in isas() {
        let mlp = sparse(&[layer(200, 300, 0.05, Activation::Relu, 1)], isa);
        let one = mlp.explain(1);
        assert!(one.starts_with("layer 0: 200×300, 3000 weights (5.0%), relu: spmv_"), "{one}");
        assert!(one.contains(isa.name()), "{one}");
        let many = mlp.explain(512);
        assert!(many.contains(&format!("spmm_panel_{isa}_f32 in about")), "{many}");
        let plan = mlp.plan(512);
        assert!(plan.conversions() > 0.0 && plan.total() == plan.seconds(0) + plan.conversions());
        assert!(many.lines().nth(1).is_some_and(|line| line.starts_with("in all about ")), "{many}");
    }
}

#[test]
fn what_is_not_kept_cannot_be_seen() {
    // Infinities and NaN reach exactly the outputs that keep a weight for them.
    let weight =
        array![[1.0, 0.0, 0.0, 2.0], [0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0]];
    let mask = Mask::nonzero(weight.view());
    for activation in [Activation::Identity, Activation::Relu] {
        let layer = Layer { weight: weight.clone(), mask: mask.clone(), bias: vec![0.0; 4], activation };
        for (isa, mlp) in every_kernel(&[layer]) {
            for batch in [1, 2, 19, 64] {
                let mut x = Array2::ones((batch, 4));
                x.row_mut(batch - 1).assign(&array![f32::INFINITY, f32::NAN, f32::INFINITY, 1.0e-45]);
                let y = mlp.forward(x.view()).unwrap();
                for row in y.rows().into_iter().take(batch - 1) {
                    let last = if activation == Activation::Relu { 0.0 } else { -1.0 };
                    assert_eq!(row, array![3.0, 3.0, 0.0, last]);
                }
                let last = y.row(batch - 1);
                assert_eq!(last[0], f32::INFINITY, "{isa}, batch {batch}");
                assert!(last[1].is_nan(), "{isa}, batch {batch}: {activation:?} must keep NaN");
                assert_eq!(last[2], 0.0);
                let negative = if activation == Activation::Relu { 0.0 } else { f32::NEG_INFINITY };
                assert_eq!(last[3], negative);
            }
        }
    }
}

#[test]
fn one_model_serves_many_threads() {
    let layers = [layer(100, 200, 0.2, Activation::Relu, 1), layer(10, 100, 0.3, Activation::Identity, 2)];
    let mlp = sparse(&layers, Isa::detect().unwrap());
    let x = noise_matrix(64, 200, 3);
    let expected = mlp.clone().forward(x.view()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(mlp.forward(x.view()).unwrap(), expected));
        }
    });
}

#[test]
fn an_empty_batch_has_an_empty_answer() {
    let mlp = sparse(&[layer(3, 4, 0.5, Activation::Relu, 1)], Isa::detect().unwrap());
    assert_eq!(mlp.forward(Array2::zeros((0, 4)).view()).unwrap().dim(), (0, 3));
}

#[test]
fn what_is_refused_is_named() {
    let csr =
        |out, inputs| -> Csr { Mask::all((out, inputs)).apply(Array2::ones((out, inputs)).view()).unwrap() };
    let linear = |out, inputs| SparseLinear::new(csr(out, inputs), None, Activation::Relu).unwrap();

    let error = SparseLinear::new(csr(3, 4), Some(Array1::zeros(4)), Activation::Relu).unwrap_err();
    assert_eq!(error.to_string(), "SparseLinear::new: bias: expected [3], found [4]");
    assert_eq!(SparseMlp::new(vec![]).unwrap_err().kind(), ErrorKind::Shape);
    let error = SparseMlp::new(vec![linear(3, 4), linear(2, 5)]).unwrap_err();
    assert!(error.to_string().contains("weight of layer 1: expected 3 inputs"), "{error}");

    let mlp = SparseMlp::new(vec![linear(3, 4)]).unwrap();
    let error = mlp.forward(Array2::zeros((2, 5)).view()).unwrap_err();
    assert_eq!(error.to_string(), "SparseMlp::forward: x: expected [batch, 4], found [2, 5]");
    let x = Array2::zeros((2, 4));
    for shape in [(2, 4), (1, 3), (0, 3)] {
        let mut y = Array2::zeros(shape);
        let error = mlp.forward_into(x.view(), y.view_mut(), &mut mlp.workspace(2)).unwrap_err();
        assert!(error.to_string().contains("y: expected [2, 3]"), "{error}");
    }
    let wide = SparseMlp::new(vec![linear(30, 40)]).unwrap();
    let mut y = Array2::zeros((2, 30));
    let error = wide.forward_into(Array2::zeros((2, 40)).view(), y.view_mut(), &mut mlp.workspace(2));
    assert!(error.unwrap_err().to_string().contains("workspace"));
}

#[test]
fn an_instruction_set_must_be_there() {
    let error = Isa::from_name("mmx").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("portable"), "{error}");
    for name in Isa::unavailable() {
        assert!(Isa::from_name(name).is_err());
    }
    for isa in Isa::available() {
        assert_eq!(Isa::from_name(isa.name()).unwrap(), isa);
    }
}
