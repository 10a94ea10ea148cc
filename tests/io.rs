//! Models in files: what is written is read back, and what is broken is refused.
#![cfg(feature = "io")]

mod common;

use std::fs;
use std::path::Path;

use common::{ACTIVATIONS, bits, noise_matrix};
use ndarray::{Array2, array};
use safetensors::{Dtype, SafeTensors};
use tombola::io::{Import, Model};
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

/// With zeros, and the activations in the metadata. A kept weight of 0.0 is lost among them.
#[test]
fn a_dense_file_is_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dense.safetensors");
    let keeps = Mask::from_array(array![[true, false, true], [false, false, true]].view());
    let csr = keeps.apply(array![[1.5, 2.0, 0.0], [3.0, 4.0, f32::MIN_POSITIVE / 2.0]].view()).unwrap();
    let layers = vec![
        SparseLinear::new(csr, Some(array![0.25, -1.0]), Activation::LeakyRelu(0.1)).unwrap(),
        SparseLinear::new(
            Mask::none((1, 2)).apply(Array2::ones((1, 2)).view()).unwrap(),
            None,
            Activation::Tanh,
        )
        .unwrap(),
    ];
    let model = Model { names: vec!["fc".into(), "a.0".into()], mlp: SparseMlp::new(layers).unwrap() };
    model.save_dense(&path).unwrap();

    let bytes = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = file.tensors().into_iter().collect();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let little =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
    for ((name, tensor), (expected, shape, values)) in tensors.iter().zip([
        ("a.0.bias", &[1][..], &[0.0][..]),
        ("a.0.weight", &[1, 2], &[0.0; 2]),
        ("fc.bias", &[2], &[0.25, -1.0]),
        ("fc.weight", &[2, 3], &[1.5, 0.0, 0.0, 0.0, 0.0, f32::MIN_POSITIVE / 2.0]),
    ]) {
        assert_eq!((&name[..], tensor.dtype(), tensor.shape()), (expected, Dtype::F32, shape));
        assert_eq!(tensor.data(), little(values), "{name}");
    }
    assert_eq!(tensors.len(), 4);

    let read = Import::new().read(&path).unwrap();
    assert_eq!(read.names, model.names);
    let activations: Vec<_> = read.mlp.layers().iter().map(SparseLinear::activation).collect();
    assert_eq!(activations, [Activation::LeakyRelu(0.1), Activation::Tanh]);
    assert_eq!((model.mlp.kept(), read.mlp.kept()), (3, 2));
    let error = model.save_dense(folder.path().join("{}.mtx")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.to_string().starts_with("Model::save_dense: file: expected a name that ends in"),
        "{error}"
    );
}

#[test]
fn names_that_do_not_fit_the_layers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ticket.safetensors");
    for names in [vec!["a", "b"], vec!["a", "b", "a"], vec!["a", "b", "c", "d"]] {
        let names = names.into_iter().map(String::from).collect();
        let error = Model { names, mlp: model() }.save(&path).unwrap_err().to_string();
        assert!(error.contains("names: expected 3, one for each layer and no two the same"), "{error}");
    }
    assert!(!path.exists());
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["..", ".", "a/b"] {
        let layer = model().layers()[0].clone();
        let one = Model { names: vec![name.into()], mlp: SparseMlp::new(vec![layer]).unwrap() };
        let error = one.save(folder.path().join("in/{}/weight.mtx")).unwrap_err();
        assert!(error.to_string().contains("expected a name that can be one of a file"), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A link stays one, permissions stay, a new file has those of any new file, and what is write-protected or no file is
/// not replaced.
#[cfg(unix)]
#[test]
fn what_was_there_is_kept() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let mode = |name: &str| fs::metadata(place(name)).unwrap().mode() & 0o777;
    fs::create_dir(place("runs")).unwrap();
    let kept = model().kept();

    fs::File::create(place("any")).unwrap();
    io::save(&model(), place("new.safetensors")).unwrap();
    assert_eq!(mode("new.safetensors"), mode("any"));
    for private in [0o600, 0o640] {
        fs::set_permissions(place("new.safetensors"), fs::Permissions::from_mode(private)).unwrap();
        io::save(&model(), place("new.safetensors")).unwrap();
        assert_eq!(mode("new.safetensors"), private);
    }
    let before = fs::read(place("new.safetensors")).unwrap();
    fs::set_permissions(place("new.safetensors"), fs::Permissions::from_mode(0o444)).unwrap();
    let error = io::save(&model(), place("new.safetensors")).unwrap_err().to_string();
    assert!(error.contains("new.safetensors") && error.contains("write-protected"), "{error}");
    assert_eq!((fs::read(place("new.safetensors")).unwrap(), mode("new.safetensors")), (before, 0o444));

    // To a file, over another link, and to a file that is not there yet.
    fs::write(place("runs/old.safetensors"), "old").unwrap();
    symlink("runs/old.safetensors", place("link")).unwrap();
    symlink(place("link"), place("best.safetensors")).unwrap();
    symlink("runs/next.safetensors", place("next.safetensors")).unwrap();
    for (link, target) in
        [("best.safetensors", "runs/old.safetensors"), ("next.safetensors", "runs/next.safetensors")]
    {
        io::save(&model(), place(link)).unwrap();
        assert!(fs::symlink_metadata(place(link)).unwrap().is_symlink());
        assert!(fs::symlink_metadata(place(target)).unwrap().is_file());
        assert_eq!(io::load(place(link)).unwrap().kept(), kept);
    }
    assert!(fs::symlink_metadata(place("link")).unwrap().is_symlink());
    assert_eq!(fs::read_dir(place("runs")).unwrap().count(), 2);

    symlink("/dev/null", place("device.safetensors")).unwrap();
    symlink("circle.safetensors", place("circle.safetensors")).unwrap();
    for refused in ["device.safetensors", "circle.safetensors", "runs"] {
        let error = io::save(&model(), place(refused)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.to_string().contains(refused), "{error}");
    }
    let error = io::save(&model(), place("device.safetensors")).unwrap_err().to_string();
    assert!(error.contains("found something there that is no file"), "{error}");
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

/// A pipe cannot be read twice, nor from its middle.
#[cfg(unix)]
#[test]
fn a_pipe_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (file, pipe) = (folder.path().join("ticket.safetensors"), folder.path().join("pipe"));
    io::save(&model(), &file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        return;
    }
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, fs::read(file).unwrap()).unwrap()
    });
    assert_eq!(io::load(&pipe).unwrap().kept(), model().kept());
    writer.join().unwrap();
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
