//! Files that numpy, scipy, safetensors, torch and compressed-tensors wrote: `tests/fixtures/make.py` made them.
#![cfg(feature = "numpy")]

mod common;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use common::noise_matrix;
use ndarray::Array2;
use tombola::io::{Import, Model, SampleReader};
use tombola::mask::Criterion;
use tombola::{Activation, Csr, ErrorKind, Mask, SparseLinear, SparseMlp, csr, io};

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
        ("torch_prune.safetensors", "torch_prune", true),
        ("torch_bf16.safetensors", "0", true),
        ("bitmask.safetensors", "fc", true),
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

/// Sorted, both matrices come before both biases, either of which fits either.
#[test]
fn numbers_say_which_bias_is_whose() {
    let Model { names, mlp } = Import::new().read(fixture("numbered.npz")).unwrap();
    assert_eq!(names, ["W1", "W2"]);
    assert_eq!(*mlp.layers()[0].csr(), expected());
    let biases = [0, 1].map(|layer| mlp.layers()[layer].bias().to_vec());
    let [first, second] =
        [1.0_f32, -1.0].map(|sign| [0.0, 1.0, 2.0, 3.0, 4.0].map(|eighths| sign * eighths / 8.0).to_vec());
    assert_eq!(biases, [first, second]);
}

/// 2:4 as compressed-tensors packs it: the values are a matrix.
#[test]
fn two_of_four_are_unpacked() {
    let packed = Import::new().read(fixture("bitmask_24.safetensors")).unwrap();
    let unpacked = Import::new().read(fixture("bitmask_24.npy")).unwrap();
    assert_eq!(packed.names, ["fc"]);
    assert_eq!(packed.mlp.kept(), 6 * 16 / 2);
    assert_eq!(packed.mlp.layers()[0].csr(), unpacked.mlp.layers()[0].csr());
}

/// What is written reads back, bit for bit.
#[test]
fn other_formats_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let model = Import::new().read(fixture("zeros.safetensors")).unwrap();
    for name in ["out.npz", "out.mtx", "{}.out.npz", "{}.out.npy"] {
        model.save(folder.path().join(name)).unwrap();
        let read = Import::new().read(folder.path().join(name.replace("{}", "fc"))).unwrap();
        assert_eq!(*read.mlp.layers()[0].csr(), expected(), "{name}");
        assert_eq!(read.names, [name.replace("{}", "fc").rsplit_once('.').unwrap().0]);
    }
    let error = model.save(folder.path().join("out.txt")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
}

/// As numpy has it: version 1, the data at a multiple of 64 bytes.
#[test]
fn an_array_is_written_as_numpy_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weight.npy");
    let model = Import::new().read(fixture("weight.npy")).unwrap();
    for save in [Model::save, Model::save_dense] {
        save(&model, &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), fs::read(fixture("weight.npy")).unwrap());
    }
}

#[test]
fn a_dense_archive_holds_all_layers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dense.npz");
    let layer = |out, inputs| {
        let csr =
            Mask::random((out, inputs), 0.9, 1).unwrap().apply(noise_matrix(out, inputs, 2).view()).unwrap();
        SparseLinear::new(csr, Some(noise_matrix(1, out, 3).row(0).to_owned()), Activation::Tanh).unwrap()
    };
    let mlp = SparseMlp::new(vec![layer(70, 3), layer(1, 70)]).unwrap();
    let model = Model { names: vec!["b".into(), "a".into()], mlp };
    model.save_dense(&path).unwrap();
    let read = Import::new().layers(["b", "a"]).read(&path).unwrap();
    for (read, written) in read.mlp.layers().iter().zip(model.mlp.layers()) {
        assert_eq!((read.csr(), read.bias()), (written.csr(), written.bias()));
    }
    // However well its zeros would pack, it is one that is read.
    let layer = SparseLinear::new(
        Mask::none((4096, 2048)).apply(Array2::zeros((4096, 2048)).view()).unwrap(),
        None,
        Activation::Relu,
    );
    let model = Model { names: vec!["zeros".into()], mlp: SparseMlp::new(vec![layer.unwrap()]).unwrap() };
    model.save_dense(&path).unwrap();
    assert_eq!(Import::new().read(&path).unwrap().mlp.layers()[0].shape(), (4096, 2048));
}

/// A file of one mask says nothing of a layer: where there is only one, it is for that.
#[test]
fn a_mask_without_a_name_is_for_the_only_layer() {
    let folder = tempfile::tempdir().unwrap();
    let mask = csr::mask(&expected());
    let file = |name: &str| folder.path().join(name);
    let ones = mask.apply(Array2::ones((5, 7)).view()).unwrap();
    let layer = SparseLinear::new(ones, None, Activation::Identity).unwrap();
    let model = Model { names: vec!["mask".into()], mlp: SparseMlp::new(vec![layer]).unwrap() };
    for name in ["some array.npy", "some matrix.mtx", "some csr.npz"] {
        model.save(file(name)).unwrap();
        // Of a dense layer, of one with a mask, and of two that are sparse already.
        for checkpoint in ["named.npz", "prune.safetensors", "csr.npz", "weight.mtx"] {
            let read = Import::new().masks(file(name)).read(fixture(checkpoint)).unwrap();
            assert_eq!(*read.mlp.layers()[0].csr(), expected(), "{name} {checkpoint}");
        }
    }
    // An entry of 0 is no reason to keep a weight; and another number is none that a mask has.
    let head = "%%MatrixMarket matrix coordinate integer general\n5 7 2\n1 1 1\n";
    fs::write(file("mask.mtx"), format!("{head}1 5 0\n")).unwrap();
    let read = Import::new().masks(file("mask.mtx")).read(fixture("csr.npz")).unwrap();
    assert_eq!(read.mlp.kept(), 1);
    assert_eq!(read.mlp.layers()[0].csr().get(0, 0), expected().get(0, 0));
    let refused = |text: String| {
        fs::write(file("mask.mtx"), text).unwrap();
        Import::new().masks(file("mask.mtx")).read(fixture("csr.npz")).unwrap_err().to_string()
    };
    let error = refused(format!("{head}1 5 2\n"));
    assert!(error.contains("expected a mask of 0 and 1, found 2"), "{error}");
    let error = refused("%%MatrixMarket matrix coordinate pattern general\n5 8 1\n1 1\n".into());
    assert!(error.contains("layer `csr`: weight: expected the shape (5, 8) of the mask"), "{error}");
    // A matrix of a few bytes must not fill the memory.
    let error = refused("%%MatrixMarket matrix coordinate pattern general\n1000000 1000000 1\n1 1\n".into());
    assert!(error.contains("mask.mtx: layer `mask`: expected a mask for at most"), "{error}");
    let error =
        Import::new().prune(Criterion::Magnitude(0.5)).read(file("mask.mtx")).unwrap_err().to_string();
    assert!(error.contains("mask.mtx: layer `mask`: expected at most 16781312 weights to prune"), "{error}");

    // Of two layers it has to name one.
    let layer = |out, inputs| {
        SparseLinear::new(
            Mask::all((out, inputs)).apply(noise_matrix(out, inputs, 1).view()).unwrap(),
            None,
            Activation::Relu,
        )
        .unwrap()
    };
    let two = Model {
        names: vec!["a".into(), "b".into()],
        mlp: SparseMlp::new(vec![layer(5, 7), layer(5, 5)]).unwrap(),
    };
    two.save(file("two.safetensors")).unwrap();
    let read = |name: &str| Import::new().masks(file(name)).read(file("two.safetensors"));
    assert!(read("some array.npy").unwrap_err().to_string().contains("expected the name of a layer: a, b"));
    for (from, to) in [("some array.npy", "a.npy"), ("some matrix.mtx", "a.weight_mask.mtx")] {
        fs::copy(file(from), file(to)).unwrap();
        let kept: Vec<_> = read(to).unwrap().mlp.layers().iter().map(|layer| layer.kept()).collect();
        assert_eq!(kept, [mask.kept(), 25], "{to}");
    }
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
    let models = ["npy", "npz", "mtx", "safetensors"];
    let is_model =
        |file: &PathBuf| models.iter().any(|&form| file.extension().is_some_and(|end| end == form));
    for file in files.filter(is_model) {
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

/// Samples end where their header says: what comes after would be lost in silence.
#[test]
fn samples_end_with_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let text = |order: &str, shape: &str| {
        let header = format!("{{'descr': '<f4', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()].concat()
    };
    let data: Vec<u8> = (0..6).flat_map(|value| (value as f32).to_le_bytes()).collect();
    let read = |mut reader: SampleReader| {
        let mut x = Array2::zeros((2, reader.features()));
        let mut samples = Vec::new();
        loop {
            match reader.read(x.view_mut()) {
                Ok(0) => return Ok(samples),
                Ok(count) => samples.extend(x.rows().into_iter().take(count).map(|row| row.to_vec())),
                Err(error) => return Err((samples.len(), error.to_string())),
            }
        }
    };
    let whole = [text("False", "(3, 2)"), data.clone()].concat();
    let longer = [&whole[..], &[0]].concat();
    let expected = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]].map(Vec::from);
    fs::write(&path, &whole).unwrap();
    assert_eq!(read(SampleReader::open(&path).unwrap()).unwrap(), expected);
    assert_eq!(read(SampleReader::new(Cursor::new(whole), "stream").unwrap()).unwrap(), expected);
    fs::write(&path, &longer).unwrap();
    let file = read(SampleReader::open(&path).unwrap()).unwrap_err();
    let stream = read(SampleReader::new(Cursor::new(longer), "stream").unwrap()).unwrap_err();
    let fault = "expected the end of the file after 3 samples, found more";
    assert_eq!(file, (2, format!("SampleReader::read: {}: {fault}", path.display())));
    assert_eq!(stream, (2, format!("SampleReader::read: stream: {fault}")));
    // Of none there is an end, too.
    let empty = [text("False", "(0, 2)"), vec![0]].concat();
    let error = read(SampleReader::new(Cursor::new(empty), "stream").unwrap()).unwrap_err();
    assert!(error.1.ends_with("expected the end of the file after 0 samples, found more"), "{error:?}");
    // By columns it is read whole before the first.
    let columns = [text("True", "(3, 2)"), data].concat();
    let samples = read(SampleReader::new(Cursor::new(columns.clone()), "stream").unwrap()).unwrap();
    assert_eq!(samples, [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]].map(Vec::from));
    for (len, found) in [(columns.len() - 1, "23"), (columns.len() + 1, "more")] {
        let mut columns = columns.clone();
        columns.resize(len, 0);
        let error = SampleReader::new(Cursor::new(columns), "stream").map(|_| ()).unwrap_err();
        assert!(error.to_string().ends_with(&format!("expected 24 bytes of data, found {found}")), "{error}");
    }
}
