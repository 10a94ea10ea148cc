//! Checkpoints as PyTorch and its friends write them, read as sparse models.
#![cfg(feature = "io")]

mod common;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use common::noise_matrix;
use half::{bf16, f16};
use ndarray::Array2;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use tempfile::TempDir;
use tombola::io::Import;
use tombola::mask::Criterion;
use tombola::{Activation, ErrorKind, Mask, csr, io};

/// A tensor to be written.
struct Entry {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn entry<const N: usize>(
    name: &str,
    dtype: Dtype,
    shape: &[usize],
    values: impl IntoIterator<Item = [u8; N]>,
) -> Entry {
    let bytes = values.into_iter().flatten().collect();
    Entry { name: name.into(), dtype, shape: shape.into(), bytes }
}

fn floats(name: &str, values: &Array2<f32>) -> Entry {
    entry(name, Dtype::F32, values.shape(), values.iter().map(|value| value.to_le_bytes()))
}

fn bias(name: &str, values: &[f32]) -> Entry {
    entry(name, Dtype::F32, &[values.len()], values.iter().map(|value| value.to_le_bytes()))
}

fn bools(name: &str, mask: &Mask) -> Entry {
    let keeps = mask.to_array();
    entry(name, Dtype::BOOL, keeps.shape(), keeps.iter().map(|&keep| [u8::from(keep)]))
}

fn write(path: &Path, entries: &[Entry]) {
    let tensors = entries.iter().map(|Entry { name, dtype, shape, bytes }| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    serialize_to_file(tensors, None, path).unwrap();
}

/// A folder, and a file in it with these tensors.
fn file(entries: &[Entry]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    write(&path, entries);
    (folder, path)
}

/// Two layers, 12 → 10 → 4, and masks for them.
fn layers() -> ([Array2<f32>; 2], [Mask; 2]) {
    let weights = [noise_matrix(10, 12, 1), noise_matrix(4, 10, 2)];
    let masks = [Mask::random((10, 12), 0.7, 3).unwrap(), Mask::random((4, 10), 0.5, 4).unwrap()];
    (weights, masks)
}

/// What every way of saying it comes to.
fn check(import: &Import, path: &Path, names: [&str; 2]) {
    let (weights, masks) = layers();
    let model = import.read(path).unwrap();
    assert_eq!(model.names, names);
    for ((layer, weight), mask) in model.mlp.layers().iter().zip(&weights).zip(&masks) {
        assert_eq!(*layer.csr(), mask.apply(weight.view()).unwrap());
    }
    let activations: Vec<_> = model.mlp.layers().iter().map(|layer| layer.activation()).collect();
    assert_eq!(activations, [Activation::Relu, Activation::Identity]);
}

#[test]
fn every_way_to_hold_a_pruned_layer() {
    let (weights, masks) = layers();
    let zeroed: Vec<_> =
        weights.iter().zip(&masks).map(|(w, m)| csr::to_dense(&m.apply(w.view()).unwrap())).collect();
    let in_pairs = |first: &dyn Fn(usize, &str) -> Vec<Entry>, names: [&str; 2]| {
        names.into_iter().enumerate().flat_map(|(index, name)| first(index, name)).collect::<Vec<_>>()
    };

    for names in [["fc1", "fc2"], ["0", "2"], ["model.fc9", "model.fc10"]] {
        let (_folder, path) =
            file(&in_pairs(&|index, name| vec![floats(&format!("{name}.weight"), &zeroed[index])], names));
        check(&Import::new(), &path, names);
    }

    let names = ["fc1", "fc2"];
    let (_folder, path) = file(&in_pairs(
        &|index, name| {
            vec![
                floats(&format!("{name}.weight_orig"), &weights[index]),
                bools(&format!("{name}.weight_mask"), &masks[index]),
            ]
        },
        names,
    ));
    check(&Import::new(), &path, names);

    let (_folder, path) = file(&in_pairs(
        &|index, name| {
            vec![
                floats(&format!("{name}.parametrizations.weight.original"), &weights[index]),
                bools(&format!("{name}.parametrizations.weight.0.mask"), &masks[index]),
            ]
        },
        names,
    ));
    check(&Import::new(), &path, names);

    // A file of masks, by each of the names and dtypes that they have.
    let (_folder, path) =
        file(&in_pairs(&|index, name| vec![floats(&format!("{name}.weight"), &weights[index])], names));
    for ending in ["", ".weight", ".weight_mask", "_mask", ".mask"] {
        let mask = |index: usize, name: &str| vec![bools(&format!("{name}{ending}"), &masks[index])];
        let (_masks, file) = file(&in_pairs(&mask, names));
        check(&Import::new().masks(file), &path, names);
    }
    let typed = |dtype, index: usize, name: &str| {
        let keeps = masks[index].to_array();
        let keeps = keeps.iter().map(|&keep| u8::from(keep));
        let shape = weights[index].shape();
        vec![match dtype {
            Dtype::U8 => entry(name, dtype, shape, keeps.map(|keep| [keep])),
            Dtype::I32 => entry(name, dtype, shape, keeps.map(|keep| i32::from(keep).to_le_bytes())),
            Dtype::I64 => entry(name, dtype, shape, keeps.map(|keep| i64::from(keep).to_le_bytes())),
            Dtype::F16 => entry(name, dtype, shape, keeps.map(|keep| f16::from(keep).to_le_bytes())),
            Dtype::BF16 => entry(name, dtype, shape, keeps.map(|keep| bf16::from(keep).to_le_bytes())),
            Dtype::F64 => entry(name, dtype, shape, keeps.map(|keep| f64::from(keep).to_le_bytes())),
            _ => entry(name, Dtype::F32, shape, keeps.map(|keep| f32::from(keep).to_le_bytes())),
        }]
    };
    for dtype in [Dtype::U8, Dtype::I32, Dtype::I64, Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64] {
        let (_masks, file) = file(&in_pairs(&|index, name| typed(dtype, index, name), names));
        check(&Import::new().masks(file), &path, names);
    }

    // compressed-tensors, with its row offsets and without.
    for with_offsets in [true, false] {
        let (_folder, path) = file(&in_pairs(
            &|index, name| {
                let kept = masks[index].apply(weights[index].view()).unwrap();
                let (out, inputs) = kept.shape();
                let mut bits = vec![0_u8; out * inputs.div_ceil(8)];
                for (_, (row, column)) in &kept {
                    bits[row as usize * inputs.div_ceil(8) + column as usize / 8] |= 1 << (column % 8);
                }
                let pointers = kept.proper_indptr();
                let offsets = pointers[..out].iter().map(|&at| i64::from(at).to_le_bytes());
                let name = format!("{name}.weight");
                let mut entries = vec![
                    bias(&format!("{name}.compressed"), kept.data()),
                    entry(
                        &format!("{name}.bitmask"),
                        Dtype::U8,
                        &[out, inputs.div_ceil(8)],
                        bits.iter().map(|&byte| [byte]),
                    ),
                    entry(
                        &format!("{name}.shape"),
                        Dtype::I64,
                        &[2],
                        [out, inputs].map(|size| (size as i64).to_le_bytes()),
                    ),
                ];
                if with_offsets {
                    entries.push(entry(&format!("{name}.row_offsets"), Dtype::I64, &[out], offsets));
                }
                entries
            },
            names,
        ));
        check(&Import::new(), &path, names);
    }

    // And tombola's own, which keeps the names.
    let (folder, path) =
        file(&in_pairs(&|index, name| vec![floats(&format!("{name}.weight"), &zeroed[index])], names));
    let model = Import::new().read(path).unwrap();
    let path = folder.path().join("ticket.safetensors");
    model.save(&path).unwrap();
    check(&Import::new(), &path, names);
}

/// A kept weight may be 0.0: the mask says what stays.
#[test]
fn a_mask_keeps_zeros() {
    let zero = Array2::zeros((2, 3));
    let (_folder, path) = file(&[floats("fc.weight", &zero)]);
    let (_masks, masks) = file(&[bools("fc", &Mask::all((2, 3)))]);
    assert_eq!(io::load(&path).unwrap().kept(), 0);
    assert_eq!(Import::new().masks(masks).read(&path).unwrap().mlp.kept(), 6);
}

/// A layer that is sparse in its file keeps what the mask does of its entries, zeros among them, and no more.
#[test]
fn a_sparse_layer_is_restricted() {
    let (weights, masks) = layers();
    let (folder, path) = file(&[floats("a.weight", &weights[0])]);
    let (_masks, all) = file(&[bools("a", &masks[0])]);
    let ticket = folder.path().join("ticket.safetensors");
    let mut weight = weights[0].clone();
    weight.row_mut(3).fill(0.0);
    write(&path, &[floats("a.weight", &weight)]);
    Import::new().masks(&all).read(&path).unwrap().save(&ticket).unwrap();
    for seed in 0..4 {
        let mask = Mask::random((10, 12), [0.0, 0.5, 0.9, 0.99][seed as usize], seed).unwrap();
        let (_masks, some) = file(&[bools("a", &mask)]);
        let model = Import::new().masks(some).read(&ticket).unwrap();
        let both = mask.and(&masks[0]).unwrap();
        assert_eq!(*model.mlp.layers()[0].csr(), both.apply(weight.view()).unwrap());
    }
}

/// Of a ticket, too, and they keep their activations.
#[test]
fn some_layers_are_taken() {
    let (weights, _) = layers();
    let (folder, path) = file(&[floats("a.weight", &weights[0]), floats("b.weight", &weights[1])]);
    let ticket = folder.path().join("ticket.safetensors");
    let activations = [Activation::Gelu, Activation::Softmax];
    Import::new().activations(activations).read(path).unwrap().save(&ticket).unwrap();
    for (name, activation) in ["a", "b"].into_iter().zip(activations) {
        let model = Import::new().layers([name]).read(&ticket).unwrap();
        assert_eq!((model.names, model.mlp.layers()[0].activation()), (vec![name.to_owned()], activation));
    }
}

#[test]
fn half_precision_is_widened() {
    let weight = noise_matrix(3, 4, 1);
    let wide = weight.mapv(|value| bf16::from_f32(value).to_f32());
    let bytes = weight.iter().map(|&value| bf16::from_f32(value).to_le_bytes());
    let (_folder, path) = file(&[entry("fc.weight", Dtype::BF16, &[3, 4], bytes)]);
    assert_eq!(csr::to_dense(io::load(path).unwrap().layers()[0].csr()), wide);

    let wide = weight.mapv(|value| f16::from_f32(value).to_f32());
    let bytes = weight.iter().map(|&value| f16::from_f32(value).to_le_bytes());
    let (_folder, path) = file(&[entry("fc.weight", Dtype::F16, &[3, 4], bytes)]);
    assert_eq!(csr::to_dense(io::load(path).unwrap().layers()[0].csr()), wide);
}

#[test]
fn biases_and_their_masks() {
    let weight = noise_matrix(3, 4, 1);
    let mask = entry("fc.bias_mask", Dtype::F32, &[3], [1.0_f32, 0.0, 1.0].map(f32::to_le_bytes));
    let (_folder, path) = file(&[floats("fc.weight", &weight), bias("fc.bias_orig", &[1.0, 2.0, 3.0]), mask]);
    assert_eq!(io::load(path).unwrap().layers()[0].bias().to_vec(), [1.0, 0.0, 3.0]);
}

#[test]
fn what_is_asked_for_is_pruned() {
    let (weights, masks) = layers();
    let (_folder, path) = file(&[
        floats("fc1.weight_orig", &weights[0]),
        bools("fc1.weight_mask", &masks[0]),
        floats("fc2.weight", &weights[1]),
    ]);
    let kept = |criterion| -> Vec<usize> {
        let model = Import::new().prune(criterion).read(&path).unwrap();
        model.mlp.layers().iter().map(|layer| layer.kept()).collect()
    };
    assert_eq!(kept(Criterion::Magnitude(0.8)), [24, 8]);
    assert_eq!(kept(Criterion::Magnitude(0.1)), [36, 36], "what the mask prunes stays pruned");
    assert_eq!(kept(Criterion::Global(0.9)).iter().sum::<usize>(), 16);
    let above = kept(Criterion::Quantile(0.8));
    assert_eq!(above[1], 8);
    assert!(above[0] <= 24);
    for text in ["magnitude:0.8", "global:0.25", "quantile:0"] {
        assert_eq!(text.parse::<Criterion>().unwrap().to_string(), text);
    }
    for text in ["", "magnitude", "magnitude:1", "magnitude:x", "magnitude:NaN", "size:0.5"] {
        assert_eq!(text.parse::<Criterion>().unwrap_err().kind(), ErrorKind::Value, "{text}");
    }
}

#[test]
fn layers_are_put_in_order() {
    let weight = |name: &str, out, inputs| floats(&format!("{name}.weight"), &noise_matrix(out, inputs, 1));
    let read = |entries: &[Entry]| {
        let (_folder, path) = file(entries);
        Import::new().read(path).map(|model| model.names)
    };
    assert_eq!(read(&[weight("fc10", 2, 3), weight("fc9", 3, 4)]).unwrap(), ["fc9", "fc10"]);
    // By their shapes, where their names do not say.
    assert_eq!(
        read(&[weight("input", 7, 5), weight("hidden", 6, 7), weight("output", 2, 6)]).unwrap(),
        ["input", "hidden", "output"]
    );
    // Squares could stand in any order, so their names decide; and here nothing does.
    assert_eq!(read(&[weight("b", 3, 3), weight("a", 3, 3)]).unwrap(), ["a", "b"]);
    let ambiguous = [weight("a", 4, 3), weight("b", 3, 3), weight("c", 3, 3)];
    let error = read(&ambiguous).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert!(error.to_string().contains("layer `b`: expected 4 inputs, to follow `a`"), "{error}");

    let (_folder, path) = file(&ambiguous);
    let model = Import::new().layers(["c", "b", "a"]).read(&path).unwrap();
    assert_eq!(model.names, ["c", "b", "a"]);
    let error = Import::new().layers(["c", "d"]).read(&path).unwrap_err().to_string();
    assert!(error.contains("layer `d`: expected one of the file's, found a, b"), "{error}");
}

#[test]
fn pickles_of_pytorch_are_told_from_what_can_be_read() {
    let archive = b"PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0e\x00\x00\x00model/data.pkl";
    let before = b"\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19.";
    for bytes in [&archive[..], before] {
        let error = Import::new().parse("model.pt", bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        let text = error.to_string();
        assert!(text.contains("model.pt: file: expected tensors without Python's objects"), "{text}");
        assert!(text.ends_with("found a pickle of PyTorch"), "{text}");
    }
}

#[test]
fn what_is_no_mlp_is_named() {
    let fc = || floats("fc.weight", &noise_matrix(3, 4, 1));
    let masks = |entries: &[Entry]| {
        let (_folder, path) = file(&[fc()]);
        let (_masks, masks) = file(entries);
        Import::new().masks(masks).read(path).unwrap_err().to_string()
    };
    let error = |entries: &[Entry]| {
        let (_folder, path) = file(entries);
        let text = io::load(&path).unwrap_err().to_string();
        assert!(text.contains("checkpoint.safetensors"), "{text}");
        text
    };
    let zeros =
        |name: &str, shape: &[usize]| entry(name, Dtype::F32, shape, vec![[0_u8; 4]; shape.iter().product()]);
    for (found, expected) in [
        (error(&[]), "file: expected at least one layer"),
        (
            error(&[fc(), zeros("bn.running_mean", &[3])]),
            "`bn.running_mean`: expected the weight, mask or bias",
        ),
        (
            error(&[zeros("conv.weight", &[2, 2, 3, 3])]),
            "`conv.weight`: expected the weight of a linear layer",
        ),
        (error(&[zeros("fc.weight", &[0, 3])]), "`fc.weight`: expected the weight of a linear layer"),
        (error(&[fc(), zeros("fc.bias", &[4])]), "`fc.bias`: expected [3], found [4]"),
        (error(&[zeros("fc.bias", &[4])]), "layer `fc`: expected `fc.shape` with it"),
        (error(&[fc(), zeros("fc.weight_mask", &[4, 3])]), "`fc.weight_mask`: expected [3, 4]"),
        (
            error(&[fc(), zeros("fc.weight_orig", &[3, 4])]),
            "`fc.weight_orig`: expected one tensor of this kind",
        ),
        (
            error(&[entry("fc.weight", Dtype::I32, &[1, 1], [[0; 4]])]),
            "`fc.weight`: expected F32, F16, BF16 or F64, found I32",
        ),
        (
            error(&[entry("fc.weight", Dtype::F64, &[1, 1], [1e300_f64.to_le_bytes()])]),
            "`fc.weight`: expected numbers that fit f32",
        ),
        (
            error(&[fc(), entry("fc.weight_mask", Dtype::F32, &[3, 4], [f32::NAN.to_le_bytes(); 12])]),
            "`fc.weight_mask`: expected a mask of 0 and 1, found NaN",
        ),
        (masks(&[zeros("other", &[3, 4])]), "mask: expected the name of a layer: fc, found `other`"),
        (masks(&[zeros("fc", &[4, 3])]), "layer `fc`"),
        (masks(&[zeros("fc", &[12])]), "`fc`: expected the mask of a linear layer"),
        (masks(&[zeros("fc", &[3, 4]), zeros("fc_mask", &[3, 4])]), "expected one mask for a layer"),
    ] {
        assert!(found.contains(expected), "{found}\nis not: {expected}");
    }
}

/// Broken compressed and sparse layers: what does not fit together is refused before anything is made of it.
#[test]
fn tensors_of_a_layer_must_fit_each_other() {
    let numbers = |name: &str, values: &[i64]| {
        entry(name, Dtype::I64, &[values.len()], values.iter().map(|value| value.to_le_bytes()))
    };
    let bytes = |name: &str, shape: &[usize], values: &[u8]| {
        entry(name, Dtype::U8, shape, values.iter().map(|&byte| [byte]))
    };
    type Parts<'a> = HashMap<&'a str, Entry>;
    let packed = || -> Parts<'_> {
        HashMap::from([
            ("compressed", bias("compressed", &[1.0, 2.0])),
            ("bitmask", bytes("bitmask", &[2, 1], &[0b001, 0b100])),
            ("shape", numbers("shape", &[2, 3])),
            ("row_offsets", numbers("row_offsets", &[0, 1])),
        ])
    };
    let sparse = || -> Parts<'_> {
        HashMap::from([
            ("crow_indices", numbers("crow_indices", &[0, 1, 2])),
            ("col_indices", numbers("col_indices", &[2, 0])),
            ("values", bias("values", &[1.0, 2.0])),
            ("shape", numbers("shape", &[2, 3])),
        ])
    };
    let read = |parts: Parts<'_>| {
        let (_folder, path) = file(&parts.into_values().collect::<Vec<_>>());
        io::load(path)
    };
    assert_eq!(read(packed()).unwrap().kept(), 2);
    assert_eq!(read(sparse()).unwrap().kept(), 2);
    let huge = i64::from(u32::MAX);
    for (mut parts, change) in [
        (packed(), bias("compressed", &[1.0])),
        (packed(), bias("compressed", &[1.0, 2.0, 3.0])),
        (packed(), bytes("bitmask", &[1, 2], &[1, 4])),
        (packed(), bytes("bitmask", &[2, 1], &[255, 255])),
        (packed(), numbers("shape", &[2, 3, 1])),
        (packed(), numbers("shape", &[-2, 3])),
        (packed(), numbers("shape", &[huge, huge])),
        (packed(), numbers("row_offsets", &[0, 2])),
        (packed(), numbers("row_offsets", &[0])),
        (sparse(), numbers("crow_indices", &[0, 2, 1])),
        (sparse(), numbers("crow_indices", &[0, 1])),
        (sparse(), numbers("crow_indices", &[0, 1, 3])),
        (sparse(), numbers("crow_indices", &[1, 1, 2])),
        (sparse(), numbers("col_indices", &[3, 0])),
        (sparse(), numbers("col_indices", &[0])),
        (sparse(), bias("values", &[1.0])),
        (sparse(), numbers("shape", &[huge, 3])),
        (sparse(), numbers("shape", &[2, huge])),
        (sparse(), numbers("shape", &[0, 3])),
    ] {
        let what = format!("{} {:?} {:?}", change.name, change.shape, change.bytes);
        let name = ["compressed", "bitmask", "shape", "row_offsets", "crow_indices", "col_indices", "values"]
            .into_iter()
            .find(|&name| name == change.name)
            .unwrap();
        parts.insert(name, change);
        assert!(read(parts).is_err(), "{what}");
    }
}

#[cfg(not(feature = "numpy"))]
#[test]
fn a_feature_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weight.npy");
    std::fs::write(&path, b"\x93NUMPY\x01\x00").unwrap();
    let error = io::load(path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("feature `numpy`"), "{error}");
}
