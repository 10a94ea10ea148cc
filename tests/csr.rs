//! Masks to CSR and back, and the packed formats.

mod common;

use common::{bits, noise_matrix};
use ndarray::{Array2, array};
use proptest::prelude::*;
use sprs::CsMatI;
use tombola::csr::{self, Csr};
use tombola::format::{BlockMatrix, CsrMatrix, LookupMatrix, Nm, NmMatrix, PanelMatrix, SellMatrix, Window};
use tombola::mask::{Block, Norm};
use tombola::{ErrorKind, Mask};

#[test]
fn the_mask_decides_not_the_value() {
    let weight = array![[0.0, -0.0, 5.0], [0.0, 1.0, f32::NAN]];
    let mask = Mask::from_array(array![[true, true, false], [false, true, true]].view());
    let csr = mask.apply(weight.view()).unwrap();
    assert_eq!(csr.indices(), [0, 1, 1, 2]);
    assert_eq!(csr.proper_indptr()[..], [0, 2, 4]);
    assert_eq!(csr.data()[0].to_bits(), 0);
    assert_eq!(csr.data()[1].to_bits(), (-0.0_f32).to_bits());
    assert!(csr.data()[3].is_nan());
    assert_eq!(csr::mask(&csr), mask);
}

#[test]
fn shapes_are_checked() {
    let error = Mask::all((2, 3)).apply(Array2::zeros((3, 2)).view()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert_eq!(error.to_string(), "Mask::apply: weight: expected the shape (2, 3) of the mask, found (3, 2)");
}

#[test]
fn a_dimension_beyond_u32_is_refused() {
    // An array of 2³² columns and no rows costs nothing.
    let shape = (0, u32::MAX as usize + 1);
    let error = Mask::none(shape).apply(Array2::zeros(shape).view()).unwrap_err();
    assert!(error.to_string().contains("4294967295 columns"), "{error}");
}

#[test]
fn a_transposed_weight_is_read_by_its_view() {
    let weight = noise_matrix(7, 70, 1);
    let mask = Mask::magnitude(weight.t(), 0.5).unwrap();
    let csr = mask.apply(weight.t()).unwrap();
    assert_eq!(csr.shape(), (70, 7));
    assert!(csr.iter().all(|(&value, (row, column))| value == weight[(column as usize, row as usize)]));
}

/// A CSR whose parts nobody checked.
fn unchecked(shape: (usize, usize), pointers: &[u32], columns: &[u32], values: &[f32]) -> Csr {
    let (pointers, columns, values) = (pointers.to_vec(), columns.to_vec(), values.to_vec());
    // SAFETY: none; that is what the constructors under test are for. They look at the parts through safe accessors.
    #[allow(unsafe_code)]
    unsafe {
        CsMatI::new_unchecked(sprs::CompressedStorage::CSR, shape, pointers, columns, values)
    }
}

#[test]
fn broken_invariants_are_told_apart() {
    let ones = [1.0; 3];
    let cases = [
        (unchecked((2, 4), &[0, 2, 3], &[2, 1, 0], &ones), "unsorted columns 2 and 1 in row 0"),
        (unchecked((2, 4), &[0, 2, 3], &[1, 1, 0], &ones), "duplicate columns 1 and 1 in row 0"),
        (unchecked((2, 4), &[0, 2, 3], &[0, 1, 4], &ones), "column 4 in row 1"),
        (unchecked((2, 4), &[0, 4, 3], &[0, 1, 2], &ones), "4 then 3 at row 1"),
        (unchecked((2, 4), &[0, 1, 2], &[0, 1, 2], &ones), "a last row pointer of 2"),
        (unchecked((2, 4), &[0, 1, 4], &[0, 1, 2], &ones), "a last row pointer of 4"),
        (unchecked((1, 3), &[5, 3], &[], &[]), "5 then 3 at row 0"),
        (unchecked((2, 3), &[u32::MAX, 0, 1], &[0, 1], &ones[..2]), "4294967295 then 0 at row 0"),
        (unchecked((usize::MAX, 3), &[0, 0], &[], &[]), "at most 4294967295 rows"),
        (unchecked((2, 4), &[0, 3], &[0, 1, 2], &ones), "expected 3 row pointers, found 2"),
        (unchecked((2, 4), &[0, 2, 3], &[0, 1, 2], &ones[..2]), "2 values"),
        (CsMatI::zero((0, 4)), "(0, 4)"),
        (CsMatI::zero((4, 0)), "(4, 0)"),
        (CsMatI::zero((2, 2)).into_csc(), "compressed columns"),
    ];
    for (csr, fault) in cases {
        let error = CsrMatrix::new(csr).unwrap_err();
        assert!(error.to_string().contains(fault), "{error}");
    }
}

#[test]
fn compressed_columns_are_understood() {
    let weight = noise_matrix(5, 9, 1);
    let mask = Mask::magnitude(weight.view(), 0.5).unwrap();
    let csr = mask.apply(weight.view()).unwrap();
    let csc = csr.to_csc();
    assert_eq!(csr::to_dense(&csc), csr::to_dense(&csr));
    assert_eq!(csr::mask(&csc), mask);
    assert_eq!(csr::bytes(&csc), 8 * mask.kept() + 4 * 10);
}

#[test]
fn more_than_32_bits_can_count_is_refused() {
    let mut csr = Csr::zero((1, (1 << 32) + 100));
    csr.insert(0, 1000, 1.0);
    let error = CsrMatrix::new(csr).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert!(error.to_string().contains("at most 4294967295 rows and columns"), "{error}");
}

#[test]
fn widths_are_checked() {
    let matrix = CsrMatrix::new(CsMatI::zero((3, 3))).unwrap();
    for width in [0, 8_193, usize::MAX] {
        assert_eq!(PanelMatrix::new(&matrix, width).unwrap_err().kind(), ErrorKind::Value);
    }
    for lanes in [0, 2, 5, 32, usize::MAX] {
        assert_eq!(Window::all(lanes).err().map(|error| error.kind()), Some(ErrorKind::Value));
        assert_eq!(NmMatrix::new(&matrix, lanes).unwrap_err().kind(), ErrorKind::Value);
        assert_eq!(BlockMatrix::new(&matrix, lanes).unwrap_err().kind(), ErrorKind::Value);
        assert_eq!(SellMatrix::new(&matrix, lanes).unwrap_err().kind(), ErrorKind::Value);
        assert_eq!(SellMatrix::by_gaps(&matrix, lanes).unwrap_err().kind(), ErrorKind::Value);
    }
    assert_eq!(PanelMatrix::new(&matrix, 8_192).unwrap().to_csr(), *matrix.csr());
}

/// Rows that share columns, all of them or in part: blocks, N:M, and a mixture with rows of their own.
#[test]
fn rows_that_share_columns_are_given_back() {
    let hash = |a: usize, b: usize| (a * 7919 + b * 104_729) % 101;
    type Keep<'a> = &'a dyn Fn(usize, usize) -> bool;
    let masks: [(&str, Keep<'_>); 5] = [
        ("blocks of 4 rows", &|row, column| hash(row / 4, column) < 30),
        ("blocks of 16 rows, and more", &|row, column| hash(row / 16, column) < 20 || hash(row, column) < 5),
        ("pairs", &|row, column| hash(row / 2, column) < 40),
        ("2:4", &|row, column| {
            let first = hash(row, column / 4) % 4;
            [first, (first + 1 + hash(column / 4, row) % 3) % 4].contains(&(column % 4))
        }),
        ("all", &|_, _| true),
    ];
    for (what, keep) in masks {
        for shape in [(1, 1), (3, 9), (64, 48), (67, 300), (530, 31)] {
            let mask = Mask::from_fn(shape, keep);
            let csr = mask.apply(noise_matrix(shape.0, shape.1, 5).view()).unwrap();
            let matrix = CsrMatrix::new(csr.clone()).unwrap();
            for width in [1, 5, 64, 128, 301] {
                let packed = PanelMatrix::new(&matrix, width).unwrap();
                assert!(packed.to_csr() == csr, "{what} of {shape:?}, panels of {width}");
            }
            for lanes in [4, 8, 16] {
                let packed = BlockMatrix::new(&matrix, lanes).unwrap();
                assert!(packed.to_csr() == csr, "{what} of {shape:?}, {lanes} lanes");
            }
        }
    }
}

/// N:M is recognised, in the smallest groups that it fits, and takes the bytes that are promised.
#[test]
fn n_of_every_m_is_recognised() {
    let weight = noise_matrix(96, 320, 5);
    let matrix = |mask: &Mask| CsrMatrix::new(mask.apply(weight.view()).unwrap()).unwrap();
    for (n, m, bytes) in [(2, 4, 4.25), (1, 4, 4.25), (4, 8, 4.4), (2, 8, 4.4), (5, 16, 4.52), (2, 32, 4.8)] {
        let matrix = matrix(&Mask::n_of_m(weight.view(), n, m).unwrap());
        assert_eq!(NmMatrix::fit(&matrix), Some(Nm { n, m }));
        let packed = NmMatrix::new(&matrix, 16).unwrap();
        assert_eq!((packed.pattern(), packed.shape()), (Nm { n, m }, (96, 320)));
        let found = packed.bytes() as f64 / matrix.kept() as f64;
        assert!((found - bytes).abs() < 0.01, "{n}:{m}: {found} bytes a weight");
    }
    // A few that are missing do not hide it; what has no such order, and what has nothing or all, is none.
    let mask = Mask::n_of_m(weight.view(), 2, 4).unwrap();
    let fewer = Mask::from_fn((96, 320), |row, column| {
        (row + column) % 10 > 0 && mask.get(row, column) == Some(true)
    });
    assert_eq!(NmMatrix::fit(&matrix(&fewer)), Some(Nm { n: 2, m: 4 }));
    for sparsity in [0.5, 0.8, 0.95] {
        assert_eq!(NmMatrix::fit(&matrix(&Mask::random((96, 320), sparsity, 1).unwrap())), None);
    }
    assert_eq!(NmMatrix::fit(&matrix(&Mask::all((96, 320)))), None);
    assert_eq!(NmMatrix::fit(&CsrMatrix::new(CsMatI::zero((96, 320))).unwrap()), None);
}

/// Blocks are recognised, in the height that they were made with, and take the bytes that are promised.
#[test]
fn blocks_are_recognised() {
    let weight = noise_matrix(96, 320, 5);
    let matrix = |mask: &Mask| CsrMatrix::new(mask.apply(weight.view()).unwrap()).unwrap();
    let blocks = |rows, columns| {
        let block = Block { rows, columns, norm: Norm::L1 };
        Mask::blocks(weight.view(), block, 0.8).unwrap()
    };
    for (rows, columns, expected) in [(4, 1, 4), (8, 1, 8), (16, 1, 16), (32, 1, 32), (4, 4, 4), (16, 16, 16)]
    {
        let matrix = matrix(&blocks(rows, columns));
        let found = BlockMatrix::fit(&matrix).unwrap();
        assert_eq!((found.rows, found.places()), (expected, matrix.kept()));
        let packed = BlockMatrix::new(&matrix, 4).unwrap();
        assert_eq!((packed.blocks(), packed.shape()), (found, (96, 320)));
        let pointers = 4 * (96 / expected + 1);
        assert_eq!(packed.bytes(), 4 * matrix.kept() + 4 * found.count + pointers);
    }
    // A few that are missing do not hide them; lower blocks and single weights are none.
    let mask = blocks(16, 1);
    let fewer = Mask::from_fn((96, 320), |row, column| {
        (row + column) % 15 > 0 && mask.get(row, column) == Some(true)
    });
    assert_eq!(BlockMatrix::fit(&matrix(&fewer)).unwrap().rows, 16);
    for mask in [blocks(2, 1), blocks(1, 16), Mask::random((96, 320), 0.5, 1).unwrap()] {
        assert_eq!(BlockMatrix::fit(&matrix(&mask)), None);
    }
    assert_eq!(BlockMatrix::fit(&CsrMatrix::new(CsMatI::zero((96, 320))).unwrap()), None);
    // Rows beyond the last count for nothing.
    let weight = noise_matrix(33, 64, 5);
    let all = CsrMatrix::new(Mask::all((33, 64)).apply(weight.view()).unwrap()).unwrap();
    assert!(BlockMatrix::fit(&all).is_some());
}

/// Sliced ELLPACK holds what rows of about the same length keep, and little more: as they are, or after they are
/// sorted.
#[test]
fn slots_are_little_more_than_weights() {
    let weight = noise_matrix(96, 320, 5);
    let packed = |mask: &Mask| {
        let matrix = CsrMatrix::new(mask.apply(weight.view()).unwrap()).unwrap();
        SellMatrix::new(&matrix, 16).unwrap()
    };
    let mask = Mask::fan_in(weight.view(), 9).unwrap();
    assert_eq!(packed(&mask).slots(), mask.kept());
    let random = Mask::random((96, 320), 0.95, 1).unwrap();
    // Row by row 1 to 96 weights, in no order: chunks of 16 rows would keep room for nearly 96 in each.
    let skewed = Mask::from_fn((96, 320), |row, column| column <= row * 31 % 96);
    for mask in [&random, &skewed] {
        let (packed, kept) = (packed(mask), mask.kept());
        assert!(packed.slots() < kept + kept / 5, "{} slots for {kept} weights", packed.slots());
        // Of each chunk and each row a few numbers more.
        let bytes = 6 * packed.slots()..6 * packed.slots() + 8 * 96 + 24 * 6;
        assert!(bytes.contains(&packed.bytes()), "{} bytes", packed.bytes());
    }
    // Column numbers that need more than 16 bits take 4 bytes.
    let [narrow, wide] = [0x1_0000, 0x1_0001].map(|columns| {
        let csr = CsMatI::new((1, columns), vec![0, 1], vec![columns as u32 - 1], vec![3.0]);
        let packed = SellMatrix::new(&CsrMatrix::new(csr.clone()).unwrap(), 4).unwrap();
        assert_eq!(packed.to_csr(), csr);
        packed.bytes()
    });
    assert_eq!(wide - narrow, 2 * 4);
}

/// A gap takes a byte, or several slots, or two bytes, where too many of them are long.
#[test]
fn gaps_take_a_byte_or_two() {
    let packed = |columns: usize, apart: &[u32]| {
        // One row, so that its slots are the chunk's, beside which there are 48 bytes; the other lanes are empty.
        let places: Vec<u32> = apart
            .iter()
            .scan(0, |place, gap| {
                *place += gap;
                Some(*place)
            })
            .collect();
        let values = (1..=places.len()).map(|value| value as f32).collect();
        let csr = CsMatI::new((1, columns), vec![0, places.len() as u32], places, values);
        let packed = SellMatrix::by_gaps(&CsrMatrix::new(csr.clone()).unwrap(), 4).unwrap();
        assert_eq!(packed.to_csr(), csr);
        (packed.slots() / 4, (packed.bytes() - 48) / packed.slots())
    };
    // From the first column to the last, with the longest gap of a byte.
    assert_eq!(packed(257, &[0, 255, 1]), (3, 5));
    assert_eq!(packed(256, &[255]), (1, 5));
    // One slot more for each 255 columns, if there are few.
    let mut gaps = [1; 100];
    gaps[10] = 256;
    assert_eq!(packed(1000, &gaps), (101, 5));
    gaps[10] = 3 * 255;
    assert_eq!(packed(1000, &gaps), (102, 5));
    gaps[0] = 2 * 255;
    assert_eq!(packed(2000, &gaps), (103, 5));
    gaps[10] += 1;
    assert_eq!(packed(2000, &gaps), (100, 6));
    assert_eq!(packed(300, &[256]), (1, 6));
    // Of two bytes, too, there can be longer ones; where they were many, columns are numbers.
    gaps[10] = 100_000;
    assert_eq!(packed(200_000, &gaps), (101, 6));
    assert_eq!(packed(200_000, &[65_535, 1]), (2, 6));
    assert_eq!(packed(200_000, &[65_536]), (1, 8));
}

/// What rows share is held once.
#[test]
fn shared_columns_are_held_once() {
    let matrix = |rows_of_block: usize| {
        let mask = Mask::from_fn((64, 100), |row, column| (row / rows_of_block * 31 + column * 17) % 10 < 3);
        CsrMatrix::new(mask.apply(noise_matrix(64, 100, 5).view()).unwrap()).unwrap()
    };
    let [shared, alone] = [16, 1].map(|rows| {
        let matrix = matrix(rows);
        let bytes = PanelMatrix::new(&matrix, 100).unwrap().bytes();
        (bytes - 36 * 16) as f64 / matrix.kept() as f64
    });
    assert!(shared < 4.6, "{shared} bytes a weight");
    assert!(alone < 6.1, "{alone} bytes a weight");
}

proptest! {
    #[test]
    fn csr_to_dense_gives_back_mask_times_weight(
        rows in 1..40_usize, columns in 1..200_usize, density in 0.0..=1.0_f64, seed: u64,
    ) {
        let weight = noise_matrix(rows, columns, seed);
        let keep = (density * weight.len() as f64) as usize;
        let mask = Mask::random_count((rows, columns), keep, seed).unwrap();
        let csr = mask.apply(weight.view()).unwrap();
        prop_assert_eq!(csr.nnz(), keep);
        prop_assert!(csr.check_compressed_structure().is_ok());
        let expected = Array2::from_shape_fn((rows, columns), |place| {
            if mask.get(place.0, place.1) == Some(true) { weight[place] } else { 0.0 }
        });
        let dense = csr::to_dense(&csr);
        prop_assert_eq!(bits(dense.flatten().view()), bits(expected.flatten().view()));
        prop_assert_eq!(csr::mask(&csr), mask);
    }

    #[test]
    fn packed_formats_give_the_csr_back(
        rows in 1..40_usize, columns in 1..200_usize, density in 0.0..=1.0_f64, width in 1..220_usize, seed: u64,
    ) {
        // Zeros of both signs among the kept weights: padding must not be taken for them.
        let weight = noise_matrix(rows, columns, seed).mapv(|value| if value.abs() < 0.3 { 0.0_f32.copysign(value) } else { value });
        let mask = Mask::random_count((rows, columns), (density * weight.len() as f64) as usize, seed).unwrap();
        let csr = mask.apply(weight.view()).unwrap();
        let matrix = CsrMatrix::new(csr.clone()).unwrap();
        let same = |packed: Csr| {
            packed == csr && bits(packed.data().into()) == bits(csr.data().into())
        };
        prop_assert!(same(PanelMatrix::new(&matrix, width).unwrap().to_csr()));
        for lanes in [4, 8, 16] {
            for window in Window::all(lanes).unwrap() {
                prop_assert!(same(LookupMatrix::new(&matrix, window).to_csr()), "{window:?}");
            }
            prop_assert!(same(NmMatrix::new(&matrix, lanes).unwrap().to_csr()), "{lanes} lanes");
            prop_assert!(same(SellMatrix::new(&matrix, lanes).unwrap().to_csr()), "{lanes} lanes");
            prop_assert!(same(SellMatrix::by_gaps(&matrix, lanes).unwrap().to_csr()), "{lanes} lanes");
            prop_assert!(same(BlockMatrix::new(&matrix, lanes).unwrap().to_csr()), "{lanes} lanes");
        }
    }
}
