//! Files that mean harm, or came to it: each is refused by an error that names the file, the tensor or line, and the
//! fault, and for little memory. What is odd and right is read.
#![cfg(feature = "io")]

mod allocator;
mod masks;
mod matrix_market;
#[cfg(feature = "numpy")]
mod numpy;
mod safetensors;

use allocator::peak;
use tombola::ErrorKind;
use tombola::io::{self, Import};
use tombola::mask::Criterion;

/// A file to be refused.
struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    /// What the error says after the operation and the file.
    fault: &'static str,
    /// Whether it is an archive, which may unpack.
    packed: bool,
}

impl Case {
    fn new(name: &'static str, bytes: impl Into<Vec<u8>>, fault: &'static str) -> Self {
        Self { name, bytes: bytes.into(), fault, packed: false }
    }

    /// Bytes that refusing it may take. A header of JSON makes up to a dozen bytes of each; and an archive may be
    /// unpacked to 1032 times its size and 16 MB, of which there is one copy.
    fn room(&self) -> usize {
        let len = self.bytes.len();
        16 * len + if self.packed { 1032 * len + (16 << 20) + (1 << 16) } else { 1 << 14 }
    }
}

#[test]
fn each_is_refused_by_name() {
    let cases = safetensors::cases().into_iter().chain(matrix_market::cases());
    #[cfg(feature = "numpy")]
    let cases = cases.chain(numpy::cases());
    let cases: Vec<_> = cases.collect();
    let mut wrong = Vec::new();
    for case in &cases {
        let (result, peak) = peak(|| Import::new().parse(case.name, &case.bytes[..]));
        let text = result
            .map_or_else(|error| error.to_string(), |model| format!("{} is read", model.mlp.explain(1)));
        let expected = format!("Import::read: {}: {}", case.name, case.fault);
        if !text.starts_with(&expected) {
            wrong.push(format!("{text:.300}\nis not: {expected}\n"));
        } else if peak > case.room() {
            wrong.push(format!("{peak} bytes for {} of them: {text:.300}\n", case.bytes.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn masks_are_refused_by_name() {
    for case in masks::cases() {
        let import = Import::new().masks_from_bytes(case.name, case.bytes);
        let error = import.parse("model.safetensors", safetensors::model()).unwrap_err().to_string();
        let expected = format!("Import::read: {}", case.fault);
        assert!(error.starts_with(&expected), "{error}\nis not: {expected}");
    }
}

/// What fuzzers found: files that once panicked, took too much memory or time, or came back as another model.
#[test]
fn what_was_found_stays_fixed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/found");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let len = std::fs::metadata(&path).unwrap().len() as usize;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (_, peak) = peak(|| drop(Import::new().prune(Criterion::Magnitude(0.5)).read(&path)));
        assert!(peak <= 1536 * len + (96 << 20), "{peak} bytes for {name}");
        let Ok(model) = Import::new().read(&path) else { continue };
        let folder = tempfile::tempdir().unwrap();
        let saved = folder.path().join("saved.safetensors");
        model.save(&saved).unwrap();
        assert_eq!(Import::new().read(&saved).unwrap().names, model.names, "{name}");
    }
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("none.npz")] {
        let error = io::load(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        let text = error.to_string();
        let expected = format!("Import::read: {}: file: expected one that can be read", path.display());
        assert!(text.starts_with(&expected), "{text}\nis not: {expected}");
        let error = Import::new().masks(&path).parse("model", safetensors::model()).unwrap_err();
        assert_eq!(error.to_string(), text);
    }
}

/// Weights may be infinite or NaN: a network that diverged is still a network.
#[test]
fn odd_weights_are_kept() {
    let expected = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0].map(f32::to_bits);
    let text =
        "%%MatrixMarket matrix coordinate real general\n1 4 4\n1 1 nan\n1 2 inf\n1 3 -Infinity\n1 4 -0\n";
    let values: Vec<u8> = expected.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let sparse = safetensors::sparse([1, 4], &[0, 4], &[0, 1, 2, 3], &values);
    for (name, bytes) in [("odd.mtx", text.as_bytes().to_vec()), ("odd.safetensors", sparse)] {
        let model = Import::new().parse(name, bytes).unwrap();
        let csr = model.mlp.layers()[0].csr();
        let bits: Vec<_> = csr.data().iter().map(|value| value.to_bits()).collect();
        assert_eq!(bits, expected, "{name}");
    }
}

/// The bytes of a file are the file.
#[test]
fn bytes_are_read_as_files_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ticket.safetensors");
    let model = Import::new().parse("model.safetensors", safetensors::model()).unwrap();
    model.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let parsed = Import::new().parse("ticket.safetensors", bytes).unwrap();
    let read = Import::new().read(&path).unwrap();
    assert_eq!((&parsed.names, &read.names), (&model.names, &model.names));
    assert_eq!(parsed.mlp.layers()[0].csr(), read.mlp.layers()[0].csr());
}

/// Names of layers that are those of parts, too.
#[test]
fn tickets_keep_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ticket.safetensors");
    for name in ["weight", "bias", "mask", "a.weight", "shape", "x.parametrizations.weight.original"] {
        let header = format!(r#"{{"{name}.weight":{{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}}}"#);
        let bytes = safetensors::file(&header, &1_f32.to_le_bytes());
        let model = Import::new().layers([name]).parse("checkpoint", bytes).unwrap();
        model.save(&path).unwrap();
        assert_eq!(Import::new().read(&path).unwrap().names, [name]);
    }
    // A layer that is called like the file, which another takes its name from.
    let header = r#"{"fc.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},
        "weight":{"dtype":"F32","shape":[1,1],"data_offsets":[4,8]}}"#;
    let model = Import::new().parse("fc.safetensors", safetensors::file(header, &[0; 8])).unwrap();
    assert_eq!(model.names, ["fc_", "fc"]);
}

/// What a file makes errors say cannot make a terminal do anything.
#[test]
fn names_that_control_terminals_are_escaped() {
    let header = r#"{"\u001b[2J\n\u202eé.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let bytes = safetensors::file(header, &[0; 4]);
    let error = Import::new().parse("a\rb", bytes).unwrap_err().to_string();
    let expected = "Import::read: a\\rb: `\\u{1b}[2J\\n\\u{202e}é.weight`: expected the weight";
    assert!(error.starts_with(expected), "{error}");
    // What comes with a cause, too.
    let error = Import::new().parse("file", safetensors::file(r#"{"\u001b":1}"#, &[])).unwrap_err();
    assert!(error.to_string().contains("found `\\u{1b}`: invalid type"), "{error}");
}

/// A few entries in a matrix of many rows and columns are no reason to make it dense.
#[test]
fn pruning_does_not_spread_out_what_is_all_but_empty() {
    let text = "%%MatrixMarket matrix coordinate real general\n1000000 1000000 1\n1 1 1\n";
    let import = Import::new().prune(Criterion::Magnitude(0.5));
    let (result, peak) = peak(|| import.parse("empty.mtx", text));
    let error = result.unwrap_err().to_string();
    assert!(
        error.contains("empty.mtx: layer `empty`: expected at most 16781312 weights to prune"),
        "{error}"
    );
    assert!(peak < 96 << 20, "{peak}");
    let (result, peak) = self::peak(|| Import::new().parse("empty.mtx", text));
    assert_eq!(result.unwrap().mlp.kept(), 1);
    assert!(peak < 40 << 20, "{peak} bytes for a million empty rows");
}

/// What packs as well as anything can is an honest array, and of what it unpacks to there is one copy beside the
/// model's. Unpacked in a file, there is none.
#[test]
#[cfg(feature = "numpy")]
fn zeros_are_unpacked_once() {
    let unpacked = 32 << 20;
    let bytes = numpy::zip(&[numpy::bomb(&numpy::array("<f4", "(4096, 2048)", &[]), 32)]);
    assert!(bytes.len() * 1000 < unpacked, "{}", bytes.len());
    let (model, packed_peak) = peak(|| Import::new().parse("zeros.npz", bytes).unwrap());
    assert_eq!((model.mlp.layers()[0].shape(), model.mlp.kept()), ((4096, 2048), 0));
    // Of the mask there is a bit for each weight.
    let room = unpacked + unpacked / 32 + (1 << 20);
    assert!(packed_peak < room + unpacked, "{packed_peak}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zeros.npy");
    std::fs::write(&path, numpy::array("<f4", "(4096, 2048)", &vec![0; unpacked])).unwrap();
    let (_, peak) = self::peak(|| Import::new().read(&path).unwrap());
    assert!(peak < room, "{peak}");
    // An archive that does not pack: its bytes are not in memory beside those of its members.
    let path = folder.path().join("zeros.npz");
    let member = numpy::Member::new("fc.npy", &numpy::array("<f4", "(4096, 2048)", &vec![0; unpacked]));
    std::fs::write(&path, numpy::zip(&[member])).unwrap();
    let (_, peak) = self::peak(|| Import::new().read(&path).unwrap());
    assert!(peak < room + unpacked, "{peak}");
}
