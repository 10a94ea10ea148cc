//! Masks with a structure, against what their definitions say, weight by weight.

mod common;

use common::noise_matrix;
use ndarray::{Array2, array};
use proptest::prelude::*;
use tombola::mask::{Block, Criterion, Norm, Pattern, neurons};
use tombola::{ErrorKind, Mask};

fn block(text: &str) -> Block {
    text.parse().unwrap()
}

/// The mask that keeps a weight for which fewer than `n` of its `m` neighbours go before it.
fn n_of_m_by_definition(weight: &Array2<f32>, n: usize, m: usize) -> Mask {
    Mask::from_fn(weight.dim(), |row, column| {
        let first = column / m * m;
        let value = weight[(row, column)].abs();
        let before = (first..(first + m).min(weight.ncols())).filter(|&other| {
            let rival = weight[(row, other)].abs();
            rival > value || rival == value && other < column
        });
        before.count() < n
    })
}

fn norm_by_definition(weight: &Array2<f32>, block: Block, (i, j): (usize, usize)) -> f64 {
    let rows = i * block.rows..((i + 1) * block.rows).min(weight.nrows());
    let columns = j * block.columns..((j + 1) * block.columns).min(weight.ncols());
    let values =
        rows.flat_map(|row| columns.clone().map(move |column| f64::from(weight[(row, column)]).abs()));
    let values: Vec<f64> = values.collect();
    let mean = |values: &mut dyn Iterator<Item = f64>, count: usize| values.sum::<f64>() / count as f64;
    match block.norm {
        Norm::L1 => mean(&mut values.iter().copied(), values.len()),
        Norm::L2 => mean(&mut values.iter().map(|value| value * value), values.len()),
        _ => values.iter().copied().fold(0.0, f64::max),
    }
}

proptest! {
    #[test]
    fn n_of_every_m_stay(rows in 1..20_usize, columns in 1..70_usize, m in 1..33_usize, share in 0.0..=1.0_f64, seed: u64) {
        // With ties.
        let weight = noise_matrix(rows, columns, seed).mapv(|value| (4.0 * value).round());
        let n = (share * m as f64) as usize;
        let mask = Mask::n_of_m(weight.view(), n, m).unwrap();
        prop_assert_eq!(&mask, &n_of_m_by_definition(&weight, n, m));
        let whole = columns / m;
        prop_assert_eq!(mask.kept(), rows * (whole * n + n.min(columns - whole * m)));
        // Once more changes nothing, and fewer of them are some of them.
        prop_assert_eq!(&mask.n_of_m_within(weight.view(), n, m).unwrap(), &mask);
        let fewer = mask.n_of_m_within(weight.view(), n / 2, m).unwrap();
        prop_assert_eq!(&fewer, &Mask::n_of_m(weight.view(), n / 2, m).unwrap());
    }

    #[test]
    fn every_row_has_the_same_fan_in(rows in 1..20_usize, columns in 1..70_usize, keep in 0..80_usize, seed: u64) {
        let weight = noise_matrix(rows, columns, seed);
        let mask = Mask::fan_in(weight.view(), keep).unwrap();
        prop_assert_eq!(&mask, &n_of_m_by_definition(&weight, keep, columns));
        prop_assert!((0..rows).all(|row| mask.row(row).count() == keep.min(columns)));
    }

    #[test]
    fn the_highest_blocks_stay_whole(
        rows in 1..40_usize, columns in 1..40_usize, sides in (1..9_usize, 1..9_usize), which in 0..3_usize,
        sparsity in 0.0..1.0_f64, seed: u64,
    ) {
        let weight = noise_matrix(rows, columns, seed);
        let block = Block { rows: sides.0, columns: sides.1, norm: [Norm::L1, Norm::L2, Norm::Max][which] };
        let mask = Mask::blocks(weight.view(), block, sparsity).unwrap();
        let (down, across) = (rows.div_ceil(block.rows), columns.div_ceil(block.columns));
        let all = down * across;
        let kept = all - (sparsity * all as f64).round_ties_even() as usize;
        prop_assert_eq!(mask.kept_blocks(block).unwrap(), kept);
        let keeps = |(i, j)| mask.get(i * block.rows, j * block.columns).unwrap();
        for row in 0..rows {
            for column in 0..columns {
                prop_assert_eq!(mask.get(row, column).unwrap(), keeps((row / block.rows, column / block.columns)));
            }
        }
        let places = || (0..down).flat_map(|i| (0..across).map(move |j| (i, j)));
        let norms = |kept| places().filter(move |&place| keeps(place) == kept).map(|place| norm_by_definition(&weight, block, place));
        let (least, most) = (norms(true).fold(f64::INFINITY, f64::min), norms(false).fold(0.0, f64::max));
        prop_assert!(least >= most * (1.0 - 1e-12), "{} stays, {} goes", least, most);
    }
}

#[test]
fn a_smaller_block_at_the_edge_is_ranked_as_the_others() {
    // By sums the last column would go, by means the first.
    let weight = array![[1.0_f32, 1.0, 1.5]];
    for norm in ["1x2", "1x2:l1", "1x2:max"] {
        let mask = Mask::blocks(weight.view(), block(norm), 0.5).unwrap();
        assert_eq!(mask.to_array(), array![[false, false, true]], "{norm}");
    }
}

#[test]
fn blocks_of_all_layers_share_a_ranking() {
    let (first, second) = (array![[3.0_f32, 1.0], [3.0, 1.0]], array![[2.0_f32, 0.5], [2.0, 0.5]]);
    let masks = [Mask::all((2, 2)), Mask::all((2, 2))];
    let views = [first.view(), second.view()];
    let kept = Mask::blocks_within_global(&masks, &views, block("2x1"), 2).unwrap();
    assert_eq!(kept[0].to_array(), array![[true, false], [true, false]]);
    assert_eq!(kept, [kept[0].clone(), kept[0].clone()]);
    let layers: Vec<_> = views.into_iter().zip(&masks).collect();
    let criterion: Criterion = "global-block:2x1:0.5".parse().unwrap();
    assert_eq!(criterion.masks(&layers).unwrap(), kept);
    // What was pruned stays pruned, and counts as 0.
    let holed = Mask::from_fn((2, 2), |row, column| (row, column) != (0, 0));
    let kept = holed.blocks_within(first.view(), block("2x1:l1"), 1).unwrap();
    assert_eq!(kept.to_array(), array![[false, false], [true, false]]);
}

/// Rows of a layer and columns of the next go together, and the network's outputs stay.
#[test]
fn neurons_go_with_what_reads_them() {
    let first = array![[3.0_f32, 0.0], [0.1, 0.2], [0.0, 4.0], [1.0, 1.0]];
    let second = noise_matrix(3, 4, 1);
    let third = noise_matrix(5, 3, 2);
    let masks = [Mask::all((4, 2)), Mask::all((3, 4)), Mask::all((5, 3))];
    let layers: Vec<_> = [first.view(), second.view(), third.view()].into_iter().zip(&masks).collect();
    let pruned = neurons(&layers, Norm::L2, &[2, 1]).unwrap();
    assert_eq!(pruned[0], Mask::from_fn((4, 2), |row, _| row == 0 || row == 2));
    // The norms of the second layer are those of the columns that are left.
    let norm = |row: usize| second[(row, 0)].powi(2) + second[(row, 2)].powi(2);
    let best = (0..3).max_by(|&a, &b| norm(a).total_cmp(&norm(b))).unwrap();
    assert_eq!(pruned[1], Mask::from_fn((3, 4), |row, column| row == best && column % 2 == 0));
    assert_eq!(pruned[2], Mask::from_fn((5, 3), |_, column| column == best));
    let criterion: Criterion = "neurons:0.5".parse().unwrap();
    assert_eq!(criterion.masks(&layers).unwrap()[0], pruned[0]);
    // At least one stays.
    let criterion: Criterion = "neurons:0.99".parse().unwrap();
    let least = criterion.masks(&layers).unwrap();
    assert_eq!(least.iter().map(Mask::kept).collect::<Vec<_>>(), [2, 1, 5]);
}

/// What a mask is, it is by whatever way it came about.
#[test]
fn structure_is_recognised() {
    let weight = noise_matrix(67, 96, 1);
    let blocks = |text: &str| Mask::blocks(weight.view(), block(text), 0.6).unwrap();
    let all = Mask::all((67, 96));
    for (mask, expected) in [
        (all.clone(), "dense"),
        (Mask::none((67, 96)), "empty"),
        (Mask::from_fn((67, 96), |row, column| row % 3 == 0 && column % 7 == 2), "neurons 23×14"),
        (blocks("16x1"), "blocks 16×1"),
        (blocks("4x1"), "blocks 4×1"),
        (blocks("8x8"), "blocks 8×8"),
        (blocks("1x4"), "blocks 1×4"),
        (Mask::n_of_m(weight.view(), 2, 4).unwrap(), "2:4"),
        (Mask::n_of_m(weight.view(), 5, 16).unwrap(), "5:16"),
        (Mask::fan_in(weight.view(), 9).unwrap(), "fan-in 9"),
        (Mask::magnitude(weight.view(), 0.7).unwrap(), "unstructured"),
        // One row says nothing about the others; a matrix narrower than a group, nothing about groups.
        (Mask::random((1, 50), 0.5, 1).unwrap(), "unstructured"),
        (Mask::from_fn((3, 3), |row, column| (row + column) % 3 == 0), "fan-in 1"),
    ] {
        assert_eq!(mask.structure().to_string(), expected);
        let broken = Mask::from_fn(mask.shape(), |row, column| {
            mask.get(row, column) == Some(true) && (row, column) != (33, mask.row(33).next().unwrap_or(0))
        });
        if mask.shape() == (67, 96) && mask.kept() > 0 {
            assert_eq!(broken.structure().to_string(), "unstructured", "{expected}, but for one weight");
        }
    }
}

#[test]
fn layers_share_a_ranking_of_blocks() {
    let weights = [noise_matrix(48, 64, 1), 0.1 * noise_matrix(32, 48, 2)];
    let masks = weights.each_ref().map(|weight| Mask::all(weight.dim()));
    let layers: Vec<_> = weights.iter().map(|weight| weight.view()).zip(&masks).collect();
    let pattern: Pattern = "16x1".parse().unwrap();
    let found = pattern.masks_global(&layers, 1600).unwrap();
    assert_eq!(found.iter().map(Mask::kept).sum::<usize>(), 1600);
    assert_eq!(found[1].kept(), 0, "the small weights of the second layer go first");
    assert_eq!(found[0].structure().to_string(), "blocks 16×1");
    let found = Pattern::Unstructured.masks_global(&layers, 1600).unwrap();
    let views: Vec<_> = weights.iter().map(|weight| weight.view()).collect();
    assert_eq!(found, Mask::magnitude_within_global(&masks, &views, 1600).unwrap());
    for pattern in [Pattern::OfEvery(4), Pattern::FanIn, Pattern::Neurons] {
        assert!(!pattern.is_global());
        assert_eq!(pattern.masks_global(&layers, 1600).unwrap_err().kind(), ErrorKind::Value);
    }
    assert_eq!(pattern.masks_global(&layers, 10_000).unwrap_err().kind(), ErrorKind::Value);
}

/// A pattern keeps about as many weights as it is asked for, in its own steps.
#[test]
fn patterns_keep_to_a_budget() {
    let weights = [noise_matrix(48, 64, 1), noise_matrix(32, 48, 2), noise_matrix(10, 32, 3)];
    let all: Vec<Mask> = weights.iter().map(|weight| Mask::all(weight.dim())).collect();
    for (text, steps) in [
        ("unstructured", [1, 1, 1]),
        ("n:16", [4 * 48, 3 * 32, 2 * 10]),
        ("16x1", [16, 16, 10]),
        ("4x4:max", [16, 16, 16]),
        ("fan-in", [48, 32, 10]),
    ] {
        let pattern: Pattern = text.parse().unwrap();
        assert_eq!(pattern.to_string(), text);
        let mut masks = all.clone();
        for share in [0.5, 0.25, 0.1] {
            let layers: Vec<_> = weights.iter().map(|weight| weight.view()).zip(&masks).collect();
            let keep: Vec<usize> =
                weights.iter().map(|weight| (share * weight.len() as f64) as usize).collect();
            let found = pattern.masks(&layers, &keep).unwrap();
            for (layer, mask) in found.iter().enumerate() {
                let far = mask.kept().abs_diff(keep[layer]);
                assert!(
                    far <= steps[layer],
                    "{text} at {share}: {} of layer {layer} for {}",
                    mask.kept(),
                    keep[layer]
                );
                assert_eq!(mask.and(&masks[layer]).unwrap(), *mask, "{text}: what is pruned stays pruned");
            }
            masks = found;
        }
    }
    let layers: Vec<_> = weights.iter().map(|weight| weight.view()).zip(&all).collect();
    let whole: usize = weights.iter().map(|weight| weight.len()).sum();
    for share in [1.0, 0.5, 0.1, 0.0] {
        let budget = (share * whole as f64) as usize;
        let masks =
            Pattern::Neurons.masks(&layers, &[budget, 0, 0].map(|keep: usize| keep.min(3072))).unwrap();
        let units: Vec<usize> = masks
            .iter()
            .map(|mask| (0..mask.shape().0).filter(|&row| mask.row(row).count() > 0).count())
            .collect();
        let kept: usize = masks.iter().map(Mask::kept).sum();
        assert_eq!(kept, 64 * units[0] + units[0] * units[1] + units[1] * 10, "whole neurons");
        assert!(kept <= budget.clamp(64 + 1 + 10, 3072), "{kept} of {budget}");
    }
    assert_eq!(Pattern::OfEvery(4).masks(&layers, &[1]).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(Pattern::FanIn.masks(&layers, &[1, 1, 10_000]).unwrap_err().kind(), ErrorKind::Value);
    for text in ["", "n:", "n:0", "16", "blocks", "0x4"] {
        assert!(text.parse::<Pattern>().is_err(), "{text}");
    }
}

#[test]
fn criteria_are_read_and_written() {
    for text in [
        "2:4",
        "1:32",
        "fan-in:0.9",
        "neurons:0.5",
        "block:16x1:0.9",
        "block:4x4:l1:0",
        "global-block:1x8:max:0.25",
    ] {
        assert_eq!(text.parse::<Criterion>().unwrap().to_string(), text);
    }
    for text in [
        "5:4",
        "0:0",
        "2:4:0.5",
        "fan-in:1",
        "fan-in",
        "block:0.9",
        "block:16:0.9",
        "block:0x1:0.9",
        "block:2x2:l3:0.9",
        "neurons:x:0.5",
        "-1:4",
    ] {
        let error = text.parse::<Criterion>().unwrap_err();
        assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
    }
    let weight = noise_matrix(6, 8, 3);
    let all = Mask::all((6, 8));
    let masks =
        |text: &str| text.parse::<Criterion>().unwrap().masks(&[(weight.view(), &all)]).unwrap().remove(0);
    assert_eq!(masks("2:4"), Mask::n_of_m(weight.view(), 2, 4).unwrap());
    assert_eq!(masks("fan-in:0.75"), Mask::fan_in(weight.view(), 2).unwrap());
    assert_eq!(masks("block:2x1:0.5"), Mask::blocks(weight.view(), block("2x1"), 0.5).unwrap());
    assert_eq!(masks("neurons:0.5"), all);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let weight = noise_matrix(4, 6, 3);
    let mut broken = weight.clone();
    broken[(2, 3)] = f32::NAN;
    let empty = Array2::zeros((0, 6));
    let nowhere = Block { rows: 0, columns: 1, norm: Norm::L2 };
    let all = Mask::all((4, 6));
    let values = [
        Mask::n_of_m(weight.view(), 5, 4),
        Mask::n_of_m(weight.view(), 0, 0),
        Mask::n_of_m(broken.view(), 2, 4),
        Mask::fan_in(broken.view(), 2),
        Mask::blocks(broken.view(), block("2x2"), 0.5),
        Mask::blocks(weight.view(), nowhere, 0.5),
        Mask::blocks(weight.view(), block("2x2"), 1.0),
        all.blocks_within(weight.view(), block("2x2"), 7),
        neurons(&[(weight.view(), &all), (weight.t(), &Mask::all((6, 4)))], Norm::L1, &[0])
            .map(|_| all.clone()),
    ];
    for (index, result) in values.into_iter().enumerate() {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Value, "{index}");
    }
    let shapes = [
        Mask::n_of_m(empty.view(), 2, 4),
        Mask::fan_in(empty.view(), 2),
        Mask::blocks(empty.view(), block("2x2"), 0.5),
        Mask::all((3, 6)).n_of_m_within(weight.view(), 2, 4),
        Mask::all((3, 6)).blocks_within(weight.view(), block("2x2"), 1),
        neurons(&[(weight.view(), &all), (weight.view(), &all)], Norm::L1, &[2]).map(|_| all.clone()),
        neurons(&[(weight.view(), &all)], Norm::L1, &[2]).map(|_| all.clone()),
    ];
    for (index, result) in shapes.into_iter().enumerate() {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Shape, "{index}");
    }
    // What the mask has pruned may be NaN.
    let holed = Mask::from_fn((4, 6), |row, column| (row, column) != (2, 3));
    assert!(holed.n_of_m_within(broken.view(), 2, 4).is_ok());
    assert!(holed.blocks_within(broken.view(), block("2x2"), 2).is_ok());
}
