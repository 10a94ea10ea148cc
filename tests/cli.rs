//! The program.
#![cfg(feature = "cli")]

mod common;

use std::process::{Command, Output};

use common::noise_matrix;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use tombola::{Activation, Mask, SparseLinear, SparseMlp, io};

fn tombola(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tombola")).args(arguments).output().unwrap()
}

#[test]
fn inspect_says_what_a_file_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ticket.safetensors");
    let csr = Mask::random((30, 40), 0.9, 1).unwrap().apply(noise_matrix(30, 40, 2).view()).unwrap();
    let mlp = SparseMlp::new(vec![SparseLinear::new(csr, None, Activation::Relu).unwrap()]).unwrap();
    io::save(&mlp, &path).unwrap();
    let output = tombola(&["inspect", path.to_str().unwrap(), "--batch", "512"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(text.starts_with("layer 0: 30×40, 120 weights (10.0%), relu: spmm_panel_"), "{text}");
    assert!(text.contains("4920 bytes dense, 1204 as CSR"), "{text}");
}

#[test]
fn convert_makes_a_ticket_of_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (checkpoint, masks, ticket) =
        (place("checkpoint.safetensors"), place("masks.safetensors"), place("ticket.safetensors"));
    let weight = noise_matrix(30, 40, 2);
    let mask = Mask::random((30, 40), 0.9, 1).unwrap();
    let bytes: Vec<u8> = weight.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensor = TensorView::new(Dtype::F32, vec![30, 40], &bytes).unwrap();
    serialize_to_file([("head.weight", tensor)], None, checkpoint.as_ref()).unwrap();
    let keeps: Vec<u8> = mask.to_array().iter().map(|&keep| u8::from(keep)).collect();
    let tensor = TensorView::new(Dtype::BOOL, vec![30, 40], &keeps).unwrap();
    serialize_to_file([("head.weight_mask", tensor)], None, masks.as_ref()).unwrap();

    let output = tombola(&["convert", &checkpoint, "--masks", &masks, &ticket, "--activations", "tanh"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "head: 30×40, 120 of 1200 weights (10.0%), tanh\n");
    let mlp = io::load(&ticket).unwrap();
    assert_eq!(*mlp.layers()[0].csr(), mask.apply(weight.view()).unwrap());

    let output = tombola(&["convert", &checkpoint, "--prune", "magnitude:0.8", &ticket]);
    assert!(output.status.success());
    assert_eq!(io::load(&ticket).unwrap().kept(), 240);

    // And back to a checkpoint with zeros.
    let pruned = place("pruned.safetensors");
    assert!(tombola(&["convert", &ticket, "--dense", &pruned]).status.success());
    let bytes = std::fs::read(&pruned).unwrap();
    assert_eq!(SafeTensors::deserialize(&bytes).unwrap().tensor("head.weight").unwrap().shape(), [30, 40]);
    assert_eq!(io::load(&pruned).unwrap().layers()[0].csr(), io::load(&ticket).unwrap().layers()[0].csr());

    let before = std::fs::read(&masks).unwrap();
    let output = tombola(&["convert", &checkpoint, "--masks", &masks, &masks]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read(&masks).unwrap(), before);
    // Nor through a name that comes of the layer's.
    let head = place("head.mtx");
    assert!(tombola(&["convert", &checkpoint, &place("{}.mtx")]).status.success());
    let before = std::fs::read(&head).unwrap();
    let output = tombola(&["convert", &head, "--prune", "magnitude:0.9", &place("{}.mtx")]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read(&head).unwrap(), before);
    let output = tombola(&["convert", &checkpoint, "--layers", "tail", &ticket]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("checkpoint.safetensors: layer `tail`: expected one of the file's, found head"),
        "{text}"
    );
    assert_eq!(tombola(&["convert", &checkpoint, "--prune", "magnitude:2", &ticket]).status.code(), Some(2));
}

#[test]
fn what_fails_says_so_on_stderr() {
    let output = tombola(&["inspect", "no such file"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.starts_with("tombola: Import::read: no such file: file: expected one that can be read"),
        "{text}"
    );
    assert_eq!(tombola(&["inspect"]).status.code(), Some(2));
}
