//! The program.
#![cfg(feature = "cli")]

mod common;

use std::process::{Command, Output};

use common::noise_matrix;
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
fn what_fails_says_so_on_stderr() {
    let output = tombola(&["inspect", "no such file"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.starts_with("tombola: io::load: no such file: file: expected one that can be read"),
        "{text}"
    );
    assert_eq!(tombola(&["inspect"]).status.code(), Some(2));
}
