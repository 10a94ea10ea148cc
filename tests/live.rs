//! tombola and the Python packages that its users come from, each reading what the other writes, bit for bit.
//!
//! The interpreter is `python3`, or what the variable `TOMBOLA_PYTHON` names. What it lacks of numpy, scipy,
//! safetensors, torch and compressed-tensors is skipped, and the test says so.
#![cfg(feature = "numpy")]

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::{env, fs, io};

use common::bits;
use serde_json::Value;
use tombola::csr;
use tombola::io::{Import, Model};

/// Not through `eprintln!`, of which nobody sees anything when a test passes.
fn say(text: &str) {
    io::stderr().write_all(format!("live: {text}\n").as_bytes()).unwrap();
}

fn python(interpreter: &str, arguments: &[&str]) -> io::Result<Output> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live.py");
    Command::new(interpreter).arg("-B").arg(script).args(arguments).output()
}

/// What it printed; it must have gone well.
fn run(interpreter: &str, arguments: &[&str]) -> String {
    let output = python(interpreter, arguments).unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The bits of an array, in one row.
fn numbers(array: &Value) -> Vec<u32> {
    match array {
        Value::Array(elements) => elements.iter().flat_map(numbers).collect(),
        number => vec![number.as_u64().unwrap() as u32],
    }
}

#[test]
fn python_and_tombola_read_each_other() {
    let named = env::var("TOMBOLA_PYTHON");
    let interpreter = named.as_deref().unwrap_or("python3");
    if named.is_err() && python(interpreter, &["packages"]).is_err() {
        return say("skipped, for there is no python3");
    }
    let packages = run(interpreter, &["packages"]);
    let lacks = |package: &&str| !packages.split_whitespace().any(|name| name == *package);
    let missing: Vec<_> = ["numpy", "scipy", "safetensors"].into_iter().filter(lacks).collect();
    if !missing.is_empty() {
        return say(&format!("skipped, for {interpreter} has no {}", missing.join(", ")));
    }
    for package in ["torch", "compressed_tensors"].iter().filter(|package| lacks(package)) {
        say(&format!("skipped what needs {package}, for {interpreter} has none"));
    }

    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    run(interpreter, &["write", place]);
    let manifest: Value =
        serde_json::from_slice(&fs::read(folder.path().join("manifest.json")).unwrap()).unwrap();
    for entry in manifest.as_array().unwrap() {
        let mut import = Import::new();
        if let Some(masks) = entry["masks"].as_str() {
            import = import.masks(folder.path().join(masks));
        }
        let file = entry["file"].as_str().unwrap();
        let Model { names, mlp } = import.read(folder.path().join(file)).unwrap();
        assert_eq!(serde_json::json!(names), entry["names"], "{file}");
        for (layer, expected) in mlp.layers().iter().zip(entry["layers"].as_array().unwrap()) {
            let weight = bits(csr::to_dense(layer.csr()).flatten().view());
            assert!(weight == numbers(&expected["weight"]), "{file}: a weight of {:?}", layer.shape());
            assert!(
                bits(layer.bias()) == numbers(&expected["bias"]),
                "{file}: a bias of {:?}",
                layer.shape()
            );
        }
        assert_eq!(mlp.layers().len(), entry["layers"].as_array().unwrap().len(), "{file}");
    }

    let model = Import::new().read(folder.path().join("orig.safetensors")).unwrap();
    for file in ["out.safetensors", "out.{}.npz", "out.{}.mtx", "out.{}.npy"] {
        model.save(folder.path().join(file)).unwrap();
    }
    for file in ["out.dense.safetensors", "out.dense.npz"] {
        model.save_dense(folder.path().join(file)).unwrap();
    }
    run(interpreter, &["check", place]);
}
