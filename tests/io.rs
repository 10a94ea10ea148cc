//! Models in files: what is written is read back, and what is broken is refused.
#![cfg(feature = "io")]

mod common;

use std::fs;
use std::path::Path;

use common::{ACTIVATIONS, bits, noise_matrix};
use safetensors::SafeTensors;
use tombola::{Activation, ErrorKind, Mask, SparseLinear, SparseMlp, io};

fn model() -> SparseMlp {
    let layer = |out, inputs, density: f64, activation, seed| {
        let mask = Mask::random((out, inputs), 1.0 - density, seed).unwrap();
        let csr = mask.apply(noise_matrix(out, inputs, seed).view()).unwrap();
        SparseLinear::new(
            csr,
            Some(noise_matrix(1, out, seed + 1).flatten().to_owned().into_shape_with_order(out).unwrap()),
            activation,
        )
        .unwrap()
    };
    SparseMlp::new(vec![
        layer(20, 30, 0.2, Activation::Relu, 1),
        layer(15, 20, 0.01, Activation::Relu, 2),
        layer(10, 15, 1.0, Activation::Identity, 3),
    ])
    .unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ticket.safetensors");
    let mlp = model();
    io::save(&mlp, &path).unwrap();
    io::save(&mlp, &path).unwrap(); // over the first
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the file");
    let read = io::load(&path).unwrap();
    for (read, written) in read.layers().iter().zip(mlp.layers()) {
        assert_eq!((read.csr(), read.activation()), (written.csr(), written.activation()));
        assert_eq!(bits(read.bias()), bits(written.bias()));
    }
    assert_eq!(read.layers().len(), 3);

    let bytes = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let names: Vec<_> = ["crow_indices", "col_indices", "values", "shape", "bias"]
        .map(|name| format!("layers.0.{name}"))
        .into();
    assert!(names.iter().all(|name| file.tensor(name).is_ok()));
}

#[test]
fn every_activation_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ticket.safetensors");
    let odd = Activation::LeakyRelu(f32::from_bits(0x3DCC_CCCF));
    let activations: Vec<_> = [odd].into_iter().chain(ACTIVATIONS).collect(); // the softmax is the last
    let layer = |&activation| {
        let csr = Mask::all((3, 3)).apply(noise_matrix(3, 3, 1).view()).unwrap();
        SparseLinear::new(csr, None, activation).unwrap()
    };
    io::save(&SparseMlp::new(activations.iter().map(layer).collect()).unwrap(), &path).unwrap();
    let read = io::load(&path).unwrap();
    let read: Vec<_> = read.layers().iter().map(SparseLinear::activation).collect();
    assert_eq!(read, activations);
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no such folder").join("ticket.safetensors");
    let error = io::save(&model(), &missing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("no such folder"), "{error}");
}

fn fault(path: &Path, bytes: &[u8]) -> String {
    fs::write(path, bytes).unwrap();
    let error = io::load(path).unwrap_err().to_string();
    assert!(error.contains("broken.safetensors"), "{error}");
    error
}

#[test]
fn broken_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.safetensors");
    assert_eq!(io::load(&path).unwrap_err().kind(), ErrorKind::Io);
    io::save(&model(), &path).unwrap();
    let whole = fs::read(&path).unwrap();
    for len in (0..whole.len()).step_by(97) {
        fault(&path, &whole[..len]);
    }
    // A header that claims more than there is.
    let mut long = whole.clone();
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fault(&path, &long);

    // Any one byte changed is an error or another valid model, never a panic.
    for index in (0..whole.len()).step_by(3) {
        let mut changed = whole.clone();
        changed[index] ^= 0x55;
        fs::write(&path, &changed).unwrap();
        let _ = io::load(&path);
    }

    let swapped = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = whole.windows(from.len()).position(|bytes| bytes == from.as_bytes()).unwrap();
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    for (from, to, expected) in [
        ("\"version\":\"1\"", "\"version\":\"9\"", "metadata `version`: expected 1, found 9"),
        ("relu,relu", "relu,rulu", "metadata `activations`"),
        ("relu,relu,", "relu_relu,", "metadata `activations`"),
        ("layers.1.values", "layers.1.valves", "layer `layers.1`: expected `layers.1.values` with it"),
    ] {
        let error = fault(&path, &swapped(from, to));
        assert!(error.contains(expected), "{error}");
    }
}
