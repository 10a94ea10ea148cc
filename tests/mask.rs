//! Masks: counts, ties, the quantile, and what is refused.

mod common;

use common::noise_matrix;
use ndarray::{Array2, array};
use proptest::prelude::*;
use tombola::mask::{Criterion, quantile};
use tombola::{ErrorKind, Mask};

/// Sixty numbers that f32 holds exactly, with ties.
fn eighths() -> Array2<f32> {
    Array2::from_shape_fn((6, 10), |(i, j)| (((10 * i + j) * 37 % 101) as f32 - 50.0) / 8.0)
}

/// What a mask has pruned is among what the quantile prunes, and may be anything.
#[test]
fn a_quantile_counts_what_is_pruned() {
    let weight = array![[10.0, f32::NAN, 1.0, 2.0]];
    let mask = Mask::from_fn((1, 4), |_, column| column >= 2);
    let kept = |sparsity| {
        Criterion::Quantile(sparsity).masks(&[(weight.view(), &mask)]).unwrap()[0].to_array().row(0).to_vec()
    };
    assert_eq!(kept(0.5), [false, false, true, true]);
    assert_eq!(kept(0.7), [false, false, false, true]);
}

/// Even of more columns than there are.
#[test]
fn groups_may_be_as_long_as_they_like() {
    let weight = array![[1.0, 3.0, 2.0]];
    for m in [3, 4, usize::MAX] {
        assert_eq!(Mask::n_of_m(weight.view(), 1, m).unwrap().to_array(), array![[false, true, false]]);
    }
}

#[test]
fn quantile_is_numpys() {
    // numpy 2.4.6: w = np.array([((i * 37) % 101 - 50) / 8 for i in range(60)]);
    // [(q, np.quantile(np.abs(w), q), (np.abs(w) > np.quantile(np.abs(w), q)).sum()) for q in …]
    let expected = [
        (0.0, 0.0, 59),
        (0.1, 0.725, 54),
        (0.25, 1.59375, 45),
        (0.5, 3.1875, 30),
        (0.8, 5.0, 11),
        (0.9, 5.6375, 6),
        (0.99, 6.25, 0),
        (1.0, 6.25, 0),
    ];
    let weight = eighths();
    for (q, value, above) in expected {
        let found = quantile(weight.view(), q).unwrap();
        assert!((found - value).abs() < 1e-12, "quantile {q}: {found} for {value}");
        assert_eq!(Mask::above(weight.view(), found).unwrap().kept(), above, "above the quantile {q}");
    }
    assert_eq!(quantile(array![[3.0]].view(), 0.7).unwrap(), 3.0);
    let infinite = array![[1.0, f32::INFINITY, f32::NEG_INFINITY]];
    assert_eq!(quantile(infinite.view(), 0.75).unwrap(), f64::INFINITY);
}

#[test]
fn ties_stay_in_the_order_of_their_index() {
    let weight = array![[1.0, -2.0, 2.0], [2.0, -1.0, 2.0]];
    let mask = Mask::magnitude_count(weight.view(), 3).unwrap();
    assert_eq!(mask.to_array(), array![[false, true, true], [true, false, false]]);
    let all_equal = Array2::<f32>::ones((7, 13));
    let mask = Mask::magnitude(all_equal.view(), 0.5).unwrap();
    assert_eq!(mask.kept(), 91 - 46); // 45.5 rounds to the even 46
    assert!(mask.to_array().iter().take(45).all(|&keep| keep));
}

#[test]
fn one_ranking_for_all_layers() {
    let (large, small) = (noise_matrix(20, 30, 1) + 10.0, noise_matrix(10, 20, 2));
    let masks = Mask::magnitude_global(&[large.view(), small.view()], 0.25).unwrap();
    assert_eq!(masks[0].kept(), 600); // all pruned weights are of the layer of small ones
    assert_eq!(masks[1].kept(), 0);
    let further = Mask::magnitude_within_global(&masks, &[large.view(), small.view()], 300).unwrap();
    assert_eq!((further[0].kept(), further[1].kept()), (300, 0));
    assert_eq!(
        Mask::magnitude_within_global(&masks, &[large.view()], 300).unwrap_err().kind(),
        ErrorKind::Shape
    );
}

#[test]
fn what_is_refused_is_named() {
    let weight = eighths();
    for sparsity in [1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
        let error = Mask::magnitude(weight.view(), sparsity).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().contains("sparsity: expected a number in [0, 1)"), "{error}");
        assert!(Mask::random((6, 10), sparsity, 0).is_err());
        assert!(Mask::magnitude_global(&[weight.view()], sparsity).is_err());
    }
    for empty in [(0, 5), (5, 0), (0, 0)] {
        let weight = Array2::<f32>::zeros(empty);
        assert_eq!(Mask::magnitude(weight.view(), 0.5).unwrap_err().kind(), ErrorKind::Shape);
        assert_eq!(quantile(weight.view(), 0.5).unwrap_err().kind(), ErrorKind::Shape);
        assert_eq!(Mask::random(empty, 0.5, 0).unwrap_err().kind(), ErrorKind::Shape);
    }
    assert!(quantile(weight.view(), 1.1).unwrap_err().to_string().contains("1.1"));
    assert!(Mask::above(weight.view(), f64::NAN).unwrap_err().to_string().contains("threshold"));
    let mut holed = weight.clone();
    holed[(4, 7)] = f32::NAN;
    for error in [
        Mask::magnitude(holed.view(), 0.5).unwrap_err(),
        Mask::above(holed.view(), 0.5).unwrap_err(),
        quantile(holed.view(), 0.5).map(|_| ()).unwrap_err(),
    ] {
        assert!(error.to_string().contains("NaN at [4, 7]"), "{error}");
    }
    let error = Mask::magnitude_global(&[weight.view(), holed.view()], 0.5).unwrap_err();
    assert!(error.to_string().contains("layer 1"), "{error}");
    let error = Mask::random_count((2, 3), 7, 0).unwrap_err();
    assert!(error.to_string().contains("at most 6"), "{error}");
    assert!(Mask::all((2, 3)).magnitude_within(weight.view(), 1).is_err());
    let error = Mask::none((6, 10)).magnitude_within(weight.view(), 1).unwrap_err();
    assert!(error.to_string().contains("keep: expected at most 0, found 1"), "{error}");
}

#[test]
fn a_nan_that_is_pruned_already_does_no_harm() {
    let weight = array![[f32::NAN, 1.0, 2.0]];
    let mask = Mask::from_array(array![[false, true, true]].view());
    assert_eq!(mask.magnitude_within(weight.view(), 1).unwrap().row(0).collect::<Vec<_>>(), [2]);
}

#[test]
fn chance_is_seeded_and_even() {
    let draw = |seed| Mask::random_count((40, 50), 500, seed).unwrap();
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    // Every position should be drawn about a quarter of the time: 400 draws, 8.7 standard deviations either way.
    let mut hits = Array2::<u32>::zeros((40, 50));
    for seed in 0..400 {
        hits += &draw(seed).to_array().mapv(u32::from);
    }
    assert!(hits.iter().all(|&hits| (25..=175).contains(&hits)), "{hits}");
}

proptest! {
    #[test]
    fn magnitude_keeps_the_largest_and_exactly_as_many(
        rows in 1..20_usize, columns in 1..150_usize, sparsity in 0.0..0.999_f64, seed: u64,
    ) {
        // Few distinct values, so that there are ties.
        let weight = noise_matrix(rows, columns, seed).mapv(|value| (value * 8.0).round());
        let mask = Mask::magnitude(weight.view(), sparsity).unwrap();
        let len = rows * columns;
        prop_assert_eq!(mask.kept(), len - (sparsity * len as f64).round_ties_even() as usize);
        let mut order: Vec<usize> = (0..len).collect();
        let at = |index: usize| weight[(index / columns, index % columns)].abs();
        order.sort_by(|&a, &b| at(b).total_cmp(&at(a))); // stable: ties by index
        let expected: std::collections::HashSet<_> = order[..mask.kept()].iter().copied().collect();
        for index in 0..len {
            prop_assert_eq!(mask.get(index / columns, index % columns), Some(expected.contains(&index)));
        }
        prop_assert_eq!(mask.get(rows, 0), None);
    }

    #[test]
    fn a_random_mask_has_its_count(rows in 1..20_usize, columns in 1..150_usize, share in 0.0..=1.0_f64, seed: u64) {
        let keep = (share * (rows * columns) as f64) as usize;
        let mask = Mask::random_count((rows, columns), keep, seed).unwrap();
        prop_assert_eq!(mask.kept(), keep);
        prop_assert_eq!((0..rows).map(|row| mask.row(row).count()).sum::<usize>(), keep);
    }
}

/// Against a count of the paths.
#[test]
fn effective_weights_are_those_on_a_path() {
    for (seed, shapes) in [
        &[(1, 1)][..],
        &[(3, 5), (4, 3)],
        &[(7, 11), (13, 7), (5, 13)],
        &[(20, 30), (20, 20), (20, 20), (1, 20)],
    ]
    .into_iter()
    .enumerate()
    {
        for sparsity in [0.0, 0.5, 0.8, 0.9, 0.97] {
            let masks = shapes.iter().enumerate();
            let masks: Vec<Mask> = masks
                .map(|(layer, &shape)| Mask::random(shape, sparsity, (10 * seed + layer) as u64).unwrap())
                .collect();
            let floats = |mask: &Mask| mask.to_array().mapv(|keep| f64::from(u8::from(keep)));
            let mut forward = vec![ndarray::Array1::<f64>::ones(shapes[0].1)];
            for mask in &masks {
                forward.push(floats(mask).dot(&forward[forward.len() - 1]));
            }
            let mut backward = vec![ndarray::Array1::<f64>::ones(shapes[shapes.len() - 1].0)];
            for mask in masks.iter().rev() {
                backward.push(floats(mask).t().dot(&backward[backward.len() - 1]));
            }
            backward.reverse();
            let effective = Mask::effective(&masks).unwrap();
            for (layer, (mask, effective)) in masks.iter().zip(&effective).enumerate() {
                let expected = Mask::from_fn(mask.shape(), |row, column| {
                    mask.get(row, column).unwrap()
                        && forward[layer][column] > 0.0
                        && backward[layer + 1][row] > 0.0
                });
                assert_eq!(*effective, expected, "{shapes:?} {sparsity} layer {layer}");
            }
        }
    }
    assert!(Mask::effective(&[]).unwrap().is_empty());
    let error = Mask::effective(&[Mask::all((2, 3)), Mask::all((2, 3))]).unwrap_err();
    assert!(error.to_string().contains("mask of layer 1: expected 2 inputs"), "{error}");
}

#[test]
fn the_highest_scores_stay_whatever_their_sign() {
    let mut generator = common::noise(3);
    for (shape, keep) in [((1, 1), 1), ((7, 13), 0), ((7, 13), 40), ((5, 67), 335)] {
        // A few values only, so that there are ties; of both signs, and with both zeros.
        let scores = ndarray::Array2::from_shape_simple_fn(shape, || (4.0_f32 * generator()).round() / 2.0);
        let within = Mask::from_fn(shape, |row, column| keep == 335 || (row + column) % 3 != 1);
        let mut order: Vec<_> =
            scores.indexed_iter().filter(|((r, c), _)| within.get(*r, *c).unwrap()).collect();
        order.sort_by(|a, b| b.1.partial_cmp(a.1).unwrap());
        let keep = keep.min(order.len());
        let kept: Vec<_> = order[..keep].iter().map(|(place, _)| *place).collect();
        let expected = Mask::from_fn(shape, |row, column| kept.contains(&(row, column)));
        assert_eq!(within.highest_within(scores.view(), keep).unwrap(), expected);
        // The same in f64, with numbers that f32 takes for 0.
        let fine = scores.mapv(|score| f64::from(score) * 1e-200);
        assert_eq!(within.highest_within(fine.view(), keep).unwrap(), expected);
        let masks = [within.clone(), within.clone()];
        let both = Mask::highest_within_global(&masks, &[scores.view(), scores.view()], 2 * keep).unwrap();
        assert_eq!(both.iter().map(Mask::kept).sum::<usize>(), 2 * keep);
        assert!(within.highest_within(scores.view(), within.kept() + 1).is_err());
    }
}

#[test]
fn masks_combine_bit_by_bit() {
    for shape in [(1, 1), (3, 64), (7, 13), (5, 67), (0, 4), (4, 0)] {
        let (a, b) = (
            Mask::from_fn(shape, |row, column| (row + column) % 3 != 1),
            Mask::from_fn(shape, |row, column| (2 * row + column) % 5 < 2),
        );
        let (with, without) = (a.to_array(), b.to_array());
        assert_eq!(a.or(&b).unwrap().to_array(), &with | &without);
        assert_eq!(a.and(&b).unwrap().to_array(), &with & &without);
        assert_eq!(a.complement().to_array(), !&with);
        assert_eq!(a.complement().kept() + a.kept(), a.len());
        assert_eq!(a.complement().complement(), a);
        assert!(a.or(&Mask::all((shape.0 + 1, shape.1))).is_err());
    }
}
