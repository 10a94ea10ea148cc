//! Files that numpy, scipy and safetensors wrote: `tests/fixtures/make.py` made them.
#![cfg(feature = "numpy")]

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use tombola::io::{Import, Model};
use tombola::{Csr, ErrorKind, Mask, io};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// What all of them hold.
fn expected() -> Csr {
    let weight =
        Array2::from_shape_fn((5, 7), |(row, column)| (((7 * row + 3 * column) % 11) as f32 - 5.5) / 4.0);
    let mask = Mask::from_fn((5, 7), |row, column| (3 * row + 5 * column) % 4 == 0);
    mask.apply(weight.view()).unwrap()
}

#[test]
fn every_file_holds_the_same() {
    let bias = [0.0, 0.125, 0.25, 0.375, 0.5];
    for (name, layer, biased) in [
        ("weight.npy", "weight", false),
        ("weight_fortran.npy", "weight_fortran", false),
        ("weight_big_endian.npy", "weight_big_endian", false),
        ("weight_f64.npy", "weight_f64", false),
        ("weight_f16.npy", "weight_f16", false),
        ("arrays.npz", "arr_0", true),
        ("named.npz", "fc", true),
        ("csr.npz", "csr", false),
        ("csc.npz", "csc", false),
        ("twice.npz", "twice", false),
        ("weight.mtx", "weight", false),
        ("zeros.safetensors", "fc", true),
        ("prune.safetensors", "fc", true),
    ] {
        let Model { names, mlp } = Import::new().read(fixture(name)).unwrap();
        assert_eq!(names, [layer], "{name}");
        assert_eq!(*mlp.layers()[0].csr(), expected(), "{name}");
        let expected = if biased { bias } else { [0.0; 5] };
        assert_eq!(mlp.layers()[0].bias().to_vec(), expected, "{name}");
    }
    let model = Import::new().masks(fixture("masks.npz")).read(fixture("zeros.safetensors")).unwrap();
    assert_eq!(*model.mlp.layers()[0].csr(), expected());
}

/// What is written reads back, bit for bit.
#[test]
fn other_formats_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let model = Import::new().read(fixture("zeros.safetensors")).unwrap();
    for name in ["out.npz", "out.mtx", "{}.out.npz"] {
        model.save(folder.path().join(name)).unwrap();
        let read = Import::new().read(folder.path().join(name.replace("{}", "fc"))).unwrap();
        assert_eq!(*read.mlp.layers()[0].csr(), expected(), "{name}");
        assert_eq!(read.names, [name.replace("{}", "fc").rsplit_once('.').unwrap().0]);
    }
    let error = model.save(folder.path().join("out.txt")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn matrix_market_as_others_write_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("matrix.mtx");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        io::load(&path).map(|mlp| tombola::csr::to_dense(mlp.layers()[0].csr()))
    };
    let head = "%%MatrixMarket matrix coordinate";
    for (text, dense) in [
        (
            format!("{head} real general\n% a comment\n\n2 2 3\n1 1 0.5\n2 2 -1e1\n1 1 0.25\n"),
            [[0.75, 0.0], [0.0, -10.0]],
        ),
        (format!("{head} integer symmetric\n2 2 2\n2 1 3\n1 1 4\n"), [[4.0, 3.0], [3.0, 0.0]]),
        (format!("{head} pattern skew-symmetric\n2 2 1\n2 1"), [[0.0, -1.0], [1.0, 0.0]]),
        (
            format!("{}\r\n2 2 1\r\n1 2 7\r\n", "%%matrixmarket MATRIX Coordinate Real General"),
            [[0.0, 7.0], [0.0, 0.0]],
        ),
    ] {
        assert_eq!(read(&text).unwrap(), ndarray::arr2(&dense), "{text}");
    }
    for (text, expected) in [
        (format!("{head} complex general\n1 1 1\n1 1 1 1\n"), "line 1: expected a coordinate matrix"),
        (format!("{head} real hermitian\n1 1 1\n1 1 1\n"), "line 1: expected general, symmetric"),
        (format!("{head} real general\n"), "line 2: expected rows, columns and entries"),
        (format!("{head} real general\n1 1\n"), "line 2: expected rows, columns and entries"),
        (format!("{head} real general\n0 1 0\n"), "line 2: expected a size that the file could fill"),
        (
            format!("{head} real general\n4000000000 1 0\n"),
            "line 2: expected a size that the file could fill",
        ),
        (
            format!("{head} real general\n1 1 99999999999\n1 1 1\n"),
            "line 2: expected the 1 entries that there are",
        ),
        (
            format!("{head} real general\n1 1 1\n1 2 1\n"),
            "line 3: expected row, column and value of a 1×1 matrix",
        ),
        (format!("{head} real general\n1 1 1\n0 1 1\n"), "line 3: expected row, column and value"),
        (format!("{head} real general\n1 1 1\n1 1 1 1\n"), "line 3: expected row, column and value"),
        (format!("{head} real general\n1 1 1\n1 1\n"), "line 3: expected row, column and value"),
        (format!("{head} real symmetric\n2 1 1\n2 1 1\n"), "line 3: expected an entry whose mirror image"),
    ] {
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nis not: {expected}");
    }
}

/// Any one byte changed, and any end cut off, is an error or another model, never a panic.
#[test]
fn broken_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let files = fs::read_dir(fixture("")).unwrap().map(|entry| entry.unwrap().path());
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension != "py")) {
        let whole = fs::read(&file).unwrap();
        let path = folder.path().join(file.file_name().unwrap());
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            // A text may lose the end of its last number.
            let text = path.extension().unwrap() == "mtx" && len + 20 > whole.len();
            assert!(text || io::load(&path).is_err(), "{} cut to {len}", file.display());
        }
        for index in 0..whole.len() {
            let mut changed = whole.clone();
            changed[index] ^= [0x01, 0x80, 0xFF][index % 3];
            fs::write(&path, &changed).unwrap();
            let _ = io::load(&path);
        }
    }
}

#[test]
fn headers_that_lie_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("array.npy");
    let read = |header: &str, data: &[u8]| {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        fs::write(&path, bytes).unwrap();
        io::load(&path)
    };
    let header = |descr: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n")
    };
    assert!(read(&header("<f4", "(1, 2)"), &[1; 8]).is_ok());
    for (header, data) in [
        (header("<f4", "(1, 3)"), &[1; 8][..]),
        (header("<f4", "(4294967296, 4294967296)"), &[1; 8]),
        (header("<f4", "(0, 2)"), &[]),
        (header("<f4", "(2,)"), &[1; 8]),
        (header("<f4", "(-1, 2)"), &[1; 8]),
        (header("<f4", "(1, 2"), &[1; 8]),
        (header("|O", "(1, 2)"), &[1; 16]),
        (header("<c8", "(1, 1)"), &[1; 8]),
        ("{'descr': '<f4'}".into(), &[1; 8]),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 2)}".into(), &[1; 8]),
        (String::new(), &[]),
    ] {
        let error = read(&header, data).unwrap_err();
        assert!([ErrorKind::Format, ErrorKind::Shape].contains(&error.kind()), "{error}");
        assert!(error.to_string().contains("array.npy: `array"), "{error}");
    }
}
