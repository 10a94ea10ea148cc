//! Dynamic sparse training: how counts spread over layers, and how masks change.
#![cfg(feature = "search")]

mod common;

use common::{noise, noise_matrix};
use ndarray::{Array2, array};
use proptest::prelude::*;
use tombola::ticket::{Decay, Distribution, Growth, Rewired, Rewiring};
use tombola::{ErrorKind, Mask};

fn kept(masks: &[Mask]) -> Vec<usize> {
    masks.iter().map(Mask::kept).collect()
}

/// The published way: make the layer of the highest density dense, one at a time, as long as one is above 1.
fn erk_densities(shapes: &[(usize, usize)], keep: f64) -> Vec<f64> {
    let raw: Vec<f64> =
        shapes.iter().map(|&(out, inputs)| (out + inputs) as f64 / (out * inputs) as f64).collect();
    let len = |index: usize| (shapes[index].0 * shapes[index].1) as f64;
    let mut dense = vec![];
    loop {
        let open = (0..shapes.len()).filter(|index| !dense.contains(index));
        let divisor: f64 = open.clone().map(|index| raw[index] * len(index)).sum();
        let epsilon = (keep - dense.iter().map(|&index| len(index)).sum::<f64>()) / divisor;
        match open.max_by(|&a, &b| raw[a].total_cmp(&raw[b])) {
            Some(highest) if raw[highest] * epsilon > 1.0 => dense.push(highest),
            _ => {
                let density = |index| if dense.contains(&index) { 1.0 } else { epsilon * raw[index] };
                return (0..shapes.len()).map(density).collect();
            }
        }
    }
}

#[test]
fn erk_is_the_published_formula() {
    for shapes in [
        &[(300, 784), (100, 300), (10, 100)][..],
        &[(1, 1), (1000, 1000), (3, 7)],
        &[(20, 64), (20, 20), (20, 20), (10, 20)],
    ] {
        let all: usize = shapes.iter().map(|(out, inputs)| out * inputs).sum();
        for keep in [0, 1, 7, all / 50, all / 10, all / 2, all - 1, all] {
            let counts = Distribution::Erk.counts(shapes, keep).unwrap();
            assert_eq!(counts.iter().sum::<usize>(), keep);
            let densities = erk_densities(shapes, keep as f64);
            for ((count, density), (out, inputs)) in counts.iter().zip(densities).zip(shapes) {
                let exact = density * (out * inputs) as f64;
                assert!(
                    (*count as f64 - exact).abs() < 1.0 + 1e-6,
                    "{shapes:?}, {keep}: {count} for {exact}"
                );
            }
        }
    }
}

#[test]
fn uniform_is_one_density() {
    let shapes = [(300, 784), (100, 300), (10, 100)];
    assert_eq!(Distribution::Uniform.counts(&shapes, 26_620).unwrap(), [23_520, 3000, 100]);
    // Remainders .6, .3 and .1 of shares 0.6, 0.3, 0.1: the largest gets it.
    assert_eq!(Distribution::Uniform.counts(&[(1, 6), (1, 3), (1, 1)], 1).unwrap(), [1, 0, 0]);
    // Among equals the earlier.
    assert_eq!(Distribution::Uniform.counts(&[(2, 2), (2, 2), (2, 2)], 7).unwrap(), [3, 2, 2]);
    assert!(Distribution::Uniform.counts(&[], 0).unwrap().is_empty());
    for distribution in [Distribution::Uniform, Distribution::Erk] {
        assert_eq!(distribution.to_string().parse::<Distribution>().unwrap(), distribution);
        assert_eq!(distribution.counts(&[(2, 3)], 7).unwrap_err().kind(), ErrorKind::Value);
    }
}

#[test]
fn masks_of_a_distribution() {
    let shapes = [(30, 64), (1, 30), (10, 1)];
    for distribution in [Distribution::Uniform, Distribution::Erk] {
        let counts = distribution.counts(&shapes, 500).unwrap();
        let masks = distribution.masks(&shapes, 500, 1).unwrap();
        assert_eq!(kept(&masks), counts);
        assert_eq!(masks.iter().map(Mask::shape).collect::<Vec<_>>(), shapes);
        assert_eq!(masks, distribution.masks(&shapes, 500, 1).unwrap());
        assert_ne!(masks, distribution.masks(&shapes, 500, 2).unwrap());
    }
    let masks = Distribution::Uniform.masks(&[(9, 9), (9, 9)], 60, 1).unwrap();
    assert_ne!(masks[0], masks[1], "each layer has its own");
}

proptest! {
    #[test]
    fn counts_are_exact(
        shapes in prop::collection::vec((1..40_usize, 1..40_usize), 1..6),
        share in 0.0..=1.0_f64,
    ) {
        let all: usize = shapes.iter().map(|(out, inputs)| out * inputs).sum();
        let keep = (share * all as f64) as usize;
        for distribution in [Distribution::Uniform, Distribution::Erk] {
            let counts = distribution.counts(&shapes, keep).unwrap();
            prop_assert_eq!(counts.iter().sum::<usize>(), keep);
            prop_assert!(counts.iter().zip(&shapes).all(|(&count, (out, inputs))| count <= out * inputs));
        }
    }
}

#[test]
fn rigl_grows_where_the_gradient_is_large() {
    // Kept: 4, -0.1, 3, 0.2. The two smallest go.
    let mask = Mask::from_array(array![[true, true, false, false], [false, true, true, false]].view());
    let weight = array![[4.0, -0.1, 0.0, 0.0], [0.0, 3.0, 0.2, 0.0]];
    let gradient = array![[9.0, 0.5, 0.4, -7.0], [0.1, 9.0, 0.6, 0.3]];
    let rewired = Growth::Gradient.rewire(&mask, weight.view(), gradient.view(), 0.5, 0).unwrap();
    // Of 0.5, 0.4, -7, 0.1, 0.6 and 0.3 the largest are -7 and 0.6, which has only just been dropped.
    let expected = array![[true, false, false, true], [false, true, true, false]];
    assert_eq!(rewired.mask.to_array(), expected);
    assert_eq!(rewired.grown, Mask::from_fn((2, 4), |row, column| (row, column) == (0, 3)));
}

#[test]
fn set_begins_anew_what_it_grows() {
    let mask = Mask::random_count((20, 30), 120, 1).unwrap();
    let weight = noise_matrix(20, 30, 2);
    let unread = Array2::from_elem((20, 30), f32::NAN);
    let rewire = |seed| Growth::Random.rewire(&mask, weight.view(), unread.view(), 0.3, seed).unwrap();
    let survivors = mask.magnitude_within(weight.view(), 84).unwrap();
    let mut counts = Array2::<usize>::zeros((20, 30));
    for seed in 0..2000 {
        let Rewired { mask: after, grown } = rewire(seed);
        assert_eq!((after.kept(), grown.kept()), (120, 36));
        assert_eq!(after, survivors.or(&grown).unwrap());
        assert_eq!(survivors.and(&grown).unwrap().kept(), 0);
        counts.zip_mut_with(&grown.to_array(), |count, &grown| *count += usize::from(grown));
    }
    // 2000·36/516 = 139.5 each, with a standard deviation of 11; what was just dropped is like the rest.
    for ((row, column), &count) in counts.indexed_iter() {
        let expected = if survivors.get(row, column).unwrap() { 0..1 } else { 80..200 };
        assert!(expected.contains(&count), "{count} at {row}, {column}");
    }
    assert_eq!(rewire(1), rewire(1));
    assert_ne!(rewire(1), rewire(2));
}

#[test]
fn the_count_of_a_layer_never_changes() {
    let mut seeds = 0..;
    for shape in [(1, 1), (1, 70), (13, 7), (20, 65)] {
        let len = shape.0 * shape.1;
        for keep in [0, 1, len / 3, len - 1, len] {
            let seed = seeds.next().unwrap();
            let mask = Mask::random_count(shape, keep, seed).unwrap();
            let (weight, gradient) =
                (noise_matrix(shape.0, shape.1, seed), noise_matrix(shape.0, shape.1, seed + 1));
            for growth in [Growth::Random, Growth::Gradient] {
                for fraction in [0.0, 0.3, 0.5, 1.0] {
                    let what = format!("{growth}, {mask:?}, {fraction}");
                    let rewired =
                        growth.rewire(&mask, weight.view(), gradient.view(), fraction, seed).unwrap();
                    assert_eq!(rewired.mask.kept(), keep, "{what}");
                    assert_eq!(rewired.grown.and(&rewired.mask).unwrap(), rewired.grown, "{what}");
                    let new = rewired.mask.and(&mask.complement()).unwrap();
                    assert_eq!(new.and(&rewired.grown).unwrap(), new, "{what}: what is new begins at 0");
                    if keep == 0 || keep == len || fraction == 0.0 {
                        assert_eq!((&rewired.mask, rewired.grown.kept()), (&mask, 0), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn rigl_is_its_definition() {
    let mut noise = noise(7);
    for seed in 0..20 {
        // Few values, so that there are ties.
        let mut matrix = || Array2::from_shape_simple_fn((6, 11), || (3.0 * noise()).round());
        let (weight, gradient) = (matrix(), matrix());
        let mask = Mask::random_count((6, 11), 25, seed).unwrap();
        let mut kept: Vec<_> =
            weight.indexed_iter().filter(|((r, c), _)| mask.get(*r, *c).unwrap()).collect();
        kept.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        let survivors: Vec<_> = kept[..15].iter().map(|(place, _)| *place).collect();
        let mut free: Vec<_> =
            gradient.indexed_iter().filter(|(place, _)| !survivors.contains(place)).collect();
        free.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        let grown: Vec<_> = free[..10].iter().map(|(place, _)| *place).collect();
        let found = Growth::Gradient.rewire(&mask, weight.view(), gradient.view(), 0.4, 0).unwrap();
        let expected = |place| survivors.contains(&place) || grown.contains(&place);
        assert_eq!(found.mask, Mask::from_fn((6, 11), |row, column| expected((row, column))));
        assert_eq!(found.grown, found.mask.and(&mask.complement()).unwrap());
    }
}

#[test]
fn all_layers_and_what_is_refused() {
    let shapes = [(8, 8), (8, 8)];
    let masks =
        [Mask::random_count(shapes[0], 20, 1).unwrap(), Mask::random_count(shapes[0], 20, 1).unwrap()];
    let weight = noise_matrix(8, 8, 1);
    let views = [weight.view(), weight.view()];
    let found = Growth::Random.rewire_all(&masks, &views, &views, 0.5, 3).unwrap();
    assert_ne!(found[0], found[1], "each layer has its own numbers");
    assert_eq!(found[0], Growth::Random.rewire(&masks[0], views[0], views[0], 0.5, 3).unwrap());
    assert!(Growth::Random.rewire_all(&masks, &views[..1], &views, 0.5, 3).is_err());
    assert!(Growth::Random.rewire_all(&masks, &views, &views[..1], 0.5, 3).is_err());

    let rewire = |weight: &Array2<f32>, gradient: &Array2<f32>, fraction| {
        Growth::Gradient.rewire(&masks[0], weight.view(), gradient.view(), fraction, 0)
    };
    for fraction in [-0.1, 1.5, f64::NAN] {
        assert_eq!(rewire(&weight, &weight, fraction).unwrap_err().kind(), ErrorKind::Value);
    }
    let (wide, broken) = (noise_matrix(8, 9, 1), Array2::from_elem((8, 8), f32::NAN));
    assert_eq!(rewire(&wide, &weight, 0.5).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(rewire(&weight, &wide, 0.5).unwrap_err().kind(), ErrorKind::Shape);
    assert!(rewire(&broken, &weight, 0.5).is_err());
    assert!(rewire(&weight, &broken, 0.5).unwrap_err().to_string().contains("gradient"));
}

#[test]
fn updates_have_a_schedule() {
    let rigl = Rewiring::rigl();
    assert_eq!((rigl.interval, rigl.fraction, rigl.end, rigl.decay), (100, 0.3, 0.75, Decay::Cosine));
    for step in [0, 1, 99, 101, 750, 800, 1000] {
        assert_eq!(rigl.fraction_at(step, 1000), None, "{step}");
    }
    // α/2·(1 + cos(πt/750)): at 250 the cosine is ½, at 500 it is −½.
    let every = Rewiring { interval: 250, ..rigl };
    for (step, expected) in [(250, 0.225), (500, 0.075)] {
        let found = every.fraction_at(step, 1000).unwrap();
        assert!((found - expected).abs() < 1e-15, "{found} for {expected}");
    }
    let set = Rewiring::set(24);
    assert_eq!((set.fraction_at(24, 240), set.fraction_at(216, 240)), (Some(0.3), Some(0.3)));
    assert_eq!((set.fraction_at(25, 240), set.fraction_at(240, 240)), (None, None));
    for growth in [Growth::Random, Growth::Gradient] {
        assert_eq!(growth.to_string().parse::<Growth>().unwrap(), growth);
    }
    assert_eq!("rigl".parse::<Growth>().unwrap(), Growth::Gradient);

    assert!(rigl.check().is_ok() && set.check().is_ok());
    for broken in [
        Rewiring { interval: 0, ..rigl },
        Rewiring { fraction: 1.1, ..rigl },
        Rewiring { end: f64::NAN, ..rigl },
    ] {
        assert_eq!(broken.check().unwrap_err().kind(), ErrorKind::Value);
    }
    assert_eq!(Rewiring { interval: 0, ..rigl }.fraction_at(100, 1000), None);
}
