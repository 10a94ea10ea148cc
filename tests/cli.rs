//! The program.
#![cfg(feature = "cli")]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::noise_matrix;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use tombola::{Activation, Isa, Mask, SparseLinear, SparseMlp, io};

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
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(text.contains("ticket.safetensors: 1 layer, 120 of 1200 weights (10.0%)"), "{text}");
    assert_eq!(lines[3][..5], ["layers.0", "30×40", "120", "10.0%", "10.0%"], "{text}");
    assert_eq!(lines[3][12..15], ["unstructured", "4920", "1204"], "{text}");
    assert!(lines[6][0] == "layers.0" && lines[6][1].starts_with("spmm_panel_"), "{text}");
    assert!(lines[7][..2] == ["between", "layouts"] && lines[8][0] == "all", "{text}");
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

    // By a pattern, and without what reads nothing.
    let small = place("small.safetensors");
    let output = tombola(&["shrink", &checkpoint, "--prune", "block:3x40:0.5", &small]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "head: 30×40 → 30×40, 600 → 600 weights\n", "the outputs of a network stay");
    assert_eq!(io::load(&small).unwrap().kept(), 600);
    assert_eq!(tombola(&["shrink", &checkpoint, &checkpoint]).status.code(), Some(2));
    assert_eq!(tombola(&["convert", &checkpoint, "--prune", "5:4", &small]).status.code(), Some(2));

    // And back to a checkpoint with zeros.
    let pruned = place("pruned.safetensors");
    assert!(tombola(&["convert", &ticket, "--dense", &pruned]).status.success());
    let bytes = std::fs::read(&pruned).unwrap();
    assert_eq!(SafeTensors::deserialize(&bytes).unwrap().tensor("head.weight").unwrap().shape(), [30, 40]);
    assert_eq!(io::load(&pruned).unwrap().layers()[0].csr(), io::load(&ticket).unwrap().layers()[0].csr());

    let before = std::fs::read(&masks).unwrap();
    let output = tombola(&["convert", &checkpoint, "--masks", &masks, &masks]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read(&masks).unwrap(), before);
    // Nor through a name that comes of the layer's.
    let head = place("head.mtx");
    assert!(tombola(&["convert", &checkpoint, &place("{}.mtx")]).status.success());
    // What the file does not say is said.
    let said = |arguments: &[&str]| String::from_utf8(tombola(arguments).stderr).unwrap();
    let dense = place("dense.npz");
    let text = said(&["convert", &checkpoint, "--activations", "gelu", "--dense", &dense]);
    assert!(text.ends_with("dense.npz has no place for activations\n"), "{text}");
    assert_eq!(said(&["convert", &checkpoint, "--dense", &dense]), "");
    let before = std::fs::read(&head).unwrap();
    let output = tombola(&["convert", &head, "--prune", "magnitude:0.9", &place("{}.mtx")]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read(&head).unwrap(), before);
    let output = tombola(&["convert", &checkpoint, "--layers", "tail", &ticket]);
    assert_eq!(output.status.code(), Some(4));
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
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("tombola: no such file: file: expected one that can be read"), "{text}");
    assert_eq!(tombola(&["inspect"]).status.code(), Some(2));
    // What the environment or an option asks for is no fault of a file.
    let program = env!("CARGO_BIN_EXE_tombola");
    let output = Command::new(program).args(["inspect", "x"]).env(Isa::VARIABLE, "mmx").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && text.starts_with("tombola: TOMBOLA_ISA"), "{text}");
    for (option, value) in [("--batch", "0"), ("--batch", "99999999999999"), ("--rounds", "0")] {
        assert_eq!(tombola(&["bench", "x", option, value]).status.code(), Some(2), "{option} {value}");
    }
    assert_eq!(tombola(&["run", "x", "y", "-o", "z", "--threads", "99999999"]).status.code(), Some(2));
    let output = Command::new(program).args(["completions", "bash"]).env(Isa::VARIABLE, "mmx").output();
    assert!(output.unwrap().status.success());
}

/// Of an empty matrix with a million rows and columns nothing is spread out.
#[test]
fn weights_that_no_memory_holds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.mtx");
    fs::write(&path, "%%MatrixMarket matrix coordinate real general\n1048576 1048576 0\n").unwrap();
    let path = path.to_str().unwrap();
    for arguments in [
        &["inspect", path][..],
        &["bench", path],
        &["convert", path, "dense.npy"],
        &["shrink", path, "--dense", "dense.safetensors"],
    ] {
        let output = tombola(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(4), "{text}");
        assert!(text.contains("found 1048576×1048576"), "{text}");
    }
    let trial = folder.path().join("trial");
    let output = tombola(&["find", "--out", trial.to_str().unwrap(), "--hidden", "18446744073709551615"]);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!trial.exists());
}

#[test]
fn several_files_are_written_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let bytes = [0_u8; 48];
    let tensors = |second| {
        let tensor = |shape| TensorView::new(Dtype::F32, shape, &bytes).unwrap();
        [("a.weight", tensor(vec![4, 3])), (second, tensor(vec![3, 4]))]
    };
    let path = place("model.safetensors");
    fs::write(place("layer-a.npy"), "mine").unwrap();
    let long = format!("{}.weight", "b".repeat(300));
    for second in ["b/c.weight", &long] {
        serialize_to_file(tensors(second), None, path.as_ref()).unwrap();
        let output = tombola(&["convert", &path, &place("layer-{}.npy")]);
        assert!(!output.status.success());
        assert_eq!(fs::read(place("layer-a.npy")).unwrap(), b"mine", "{second}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
    // Nor do names from files control the terminal.
    serialize_to_file(tensors("b\u{1b}[31m\n.weight"), None, path.as_ref()).unwrap();
    let text = String::from_utf8(tombola(&["convert", &path, &place("x.safetensors")]).stdout).unwrap();
    assert!(text.contains("\nb\\u{1b}[31m\\n: 3×4"), "{text}");
    // Not every system has such names.
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let one = place("one.safetensors");
        serialize_to_file([tensors("b").into_iter().next().unwrap()], None, one.as_ref()).unwrap();
        let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"odd\xff.npy"));
        let output =
            Command::new(env!("CARGO_BIN_EXE_tombola")).args(["convert", &one]).arg(&odd).output().unwrap();
        assert!(output.status.success() && odd.exists());
    }
}

/// A network of three layers with a dead unit, in a file.
fn network(folder: &Path) -> (SparseMlp, String) {
    let shapes = [(30, 40), (20, 30), (10, 20)];
    let layers = shapes.into_iter().enumerate().map(|(index, (out, inputs))| {
        let mut weight = noise_matrix(out, inputs, index as u64);
        if index == 1 {
            weight.column_mut(3).fill(0.0);
        }
        let csr = Mask::magnitude(weight.view(), 0.8).unwrap().apply(weight.view()).unwrap();
        SparseLinear::new(csr, None, Activation::Relu).unwrap()
    });
    let mlp = SparseMlp::new(layers.collect()).unwrap();
    let path = folder.join("ticket.safetensors");
    io::save(&mlp, &path).unwrap();
    (mlp, path.to_str().unwrap().to_owned())
}

#[test]
fn inspect_speaks_json() {
    let folder = tempfile::tempdir().unwrap();
    let (mlp, path) = network(folder.path());
    let output = tombola(&["inspect", &path, "--json", "--batch", "1,64"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let statistics = mlp.statistics();
    assert_eq!(value["layers"].as_array().unwrap().len(), 3);
    for (layer, statistics) in value["layers"].as_array().unwrap().iter().zip(&statistics) {
        assert_eq!(layer["kept"], statistics.kept);
        assert_eq!(layer["effective"], statistics.effective);
        assert_eq!(layer["row_lengths"]["max"], statistics.row_lengths[4]);
        assert_eq!(layer["plans"].as_array().unwrap().len(), 2);
        let chosen = |candidate: &&serde_json::Value| candidate["chosen"] == true;
        let candidates = layer["plans"][1]["candidates"].as_array().unwrap();
        assert_eq!(candidates.iter().filter(chosen).count(), 1);
    }
    for plan in value["plans"].as_array().unwrap() {
        let chosen = value["layers"].as_array().unwrap().iter().map(|layer| {
            let plans = layer["plans"].as_array().unwrap();
            let of_batch = plans.iter().find(|of_layer| of_layer["batch"] == plan["batch"]).unwrap();
            let candidates = of_batch["candidates"].as_array().unwrap();
            candidates.iter().find(|candidate| candidate["chosen"] == true).unwrap()["seconds"]
                .as_f64()
                .unwrap()
        });
        let sum = chosen.sum::<f64>() + plan["conversions"].as_f64().unwrap();
        assert!((plan["seconds"].as_f64().unwrap() / sum - 1.0).abs() < 1e-9);
    }
    // The unit that the second layer ignores has weights that nothing uses.
    assert!(statistics[0].effective < statistics[0].kept);
    assert!(statistics[1].empty_columns > 0);
}

/// The outputs are those of the library, whatever the batch, the threads and the order of the input.
#[test]
fn run_writes_the_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let (mlp, path) = network(folder.path());
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let x = noise_matrix(131, 40, 7);
    let expected: Vec<f32> = mlp.forward(x.view()).unwrap().into_iter().collect();
    let (rows, columns) = (place("x.npy"), place("columns.npy"));
    fs::write(&rows, npy("<f4", false, "(131, 8, 5)", x.iter().flat_map(|value| value.to_le_bytes())))
        .unwrap();
    let transposed = x.t();
    let values = transposed.iter().flat_map(|value| value.to_be_bytes());
    fs::write(&columns, npy(">f4", true, "(131, 40)", values)).unwrap();
    for (input, options) in [
        (&rows, &[][..]),
        (&rows, &["--batch", "1"]),
        (&rows, &["--batch", "17", "--threads", "3"]),
        (&columns, &["--batch", "1000", "--threads", "2"]),
    ] {
        let outputs = place("y.npy");
        let output = tombola(&[&["run", &path, input, "-o", &outputs], options].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
        let mut reader = io::SampleReader::open(&outputs).unwrap();
        assert_eq!((reader.samples(), reader.features()), (131, 10));
        let mut y = ndarray::Array2::zeros((131, 10));
        assert_eq!(reader.read(y.view_mut()).unwrap(), 131);
        assert_eq!(reader.read(y.view_mut()).unwrap(), 0);
        // Another batch may have another kernel, which rounds otherwise.
        assert!(y.iter().zip(&expected).all(|(y, expected)| (y - expected).abs() < 1e-4));
    }

    // Through pipes.
    let mut child = Command::new(env!("CARGO_BIN_EXE_tombola"))
        .args(["run", &path, "-", "-o", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(&rows).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout.len(), 128 + 131 * 10 * 4);
}

#[test]
fn run_leaves_nothing_behind_when_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path) = network(folder.path());
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (short, wide, outputs) = (place("short.npy"), place("wide.npy"), place("y.npy"));
    fs::write(&short, npy("<f4", false, "(3, 40)", [0; 400])).unwrap();
    fs::write(&wide, npy("<f4", false, "(1, 41)", [0; 164])).unwrap();
    for (input, status, expected) in [
        (&short, 4, "short.npy: expected 3 samples of 40 features, found the end of the file before"),
        (&wide, 4, "wide.npy: expected samples of 40 features"),
        (&path, 4, "ticket.safetensors: expected a .npy file"),
        (&place("none.npy"), 3, "none.npy: expected a file that can be read"),
    ] {
        let output = tombola(&["run", &path, input, "-o", &outputs]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{text}");
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    assert_eq!(tombola(&["run", &path, &short, "-o", &short]).status.code(), Some(2));
}

#[test]
fn bench_times_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path) = network(folder.path());
    let output = tombola(&["bench", &path, "--batch", "1,17", "--rounds", "1", "--json"]);
    assert!(output.status.success());
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for batch in value["batches"].as_array().unwrap() {
        let contenders = batch["contenders"].as_array().unwrap();
        // Three orientations, and at least panels and CSR.
        assert!(contenders.len() >= 5, "{batch}");
        assert_eq!(contenders.iter().filter(|contender| contender["pick"] == true).count(), 1);
        assert!(contenders.iter().all(|contender| contender["best_seconds"].as_f64().unwrap() > 0.0));
        assert!(batch["regret"].as_f64().unwrap() >= 1.0);
    }
    let output = tombola(&["bench", &path, "--batch", "2", "--rounds", "1"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("batch 2") && text.contains('▸') && text.contains("dense X·V"), "{text}");
    assert_eq!(tombola(&["bench", &path, "--batch", "0"]).status.code(), Some(2));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = tombola(&["completions", shell]);
        assert!(String::from_utf8(output.stdout).unwrap().contains("inspect"), "{shell}");
    }
}

/// A `.npy` file, version 1.
fn npy(descr: &str, fortran_order: bool, shape: &str, data: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let order = if fortran_order { "True" } else { "False" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(118_u16.to_le_bytes());
    bytes.extend(format!("{header:<117}\n").bytes());
    bytes.extend(data);
    bytes
}

/// A small trial.
fn find(out: &str) -> Vec<&str> {
    let recipe =
        ["--hidden", "20", "--iterations", "300", "--evaluate-every", "50", "--checkpoint-every", "40"];
    [&["find", "--out", out, "--rounds", "2", "--controls", "shuffled-mask"], &recipe[..]].concat()
}

/// All files of a trial but the checkpoint's, by name.
fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for part in ["", "tickets", "trained"] {
        for entry in fs::read_dir(Path::new(folder).join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                files.push((
                    path.file_name().unwrap().to_string_lossy().into_owned(),
                    fs::read(path).unwrap(),
                ));
            }
        }
    }
    files.sort();
    files
}

/// A killed trial goes on from its last checkpoint, one that was asked to stop from where it was, both to the same
/// bits.
#[test]
fn find_goes_on_whatever_ended_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let whole = place("whole");
    let output = tombola(&find(&whole));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(text.starts_with("round 0: 100.0% of the weights, test accuracy "), "{text}");

    let ended = place("ended");
    for kill in ["-KILL", "-INT"] {
        let _ = fs::remove_dir_all(&ended);
        let mut child = Command::new(env!("CARGO_BIN_EXE_tombola"))
            .args(find(&ended))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Once something was written down, in the middle of it.
        let records = Path::new(&ended).join("records.jsonl");
        while fs::metadata(&records).map_or(0, |metadata| metadata.len()) < 1500 {
            assert!(child.try_wait().unwrap().is_none_or(|status| status.success()), "it ended by itself");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let killed = Command::new("kill").args([kill, &child.id().to_string()]).status().unwrap();
        let status = child.wait().unwrap();
        // A fast machine may have been done before.
        assert!(!killed.success() || !status.success() || files(&ended) == files(&whole));
        if kill == "-INT" && !status.success() {
            // Under nohup, as these tests may run, it leaves all signals as they are.
            let status_of_tests = fs::read_to_string("/proc/self/status").unwrap_or_default();
            let ignored = status_of_tests.lines().find_map(|line| line.strip_prefix("SigIgn:"));
            let nohup = ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1);
            assert_eq!(status.code(), (!nohup).then_some(130));
        }
        if !status.success() {
            let output = tombola(&["find", "--resume", "--out", &ended]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        for ((name, expected), (other, found)) in files(&whole).into_iter().zip(files(&ended)) {
            assert_eq!(name, other);
            assert!(expected == found, "{kill}: {name} differs");
        }
    }

    // What is there is not written over, and a trial has the recipe that it began with.
    let before = files(&whole);
    assert_eq!(tombola(&find(&whole)).status.code(), Some(3));
    assert_eq!(tombola(&["find", "--resume", "--out", &whole, "--rounds", "5"]).status.code(), Some(2));
    assert_eq!(tombola(&["find", "--resume", "--out", &place("nothing")]).status.code(), Some(3));
    assert_eq!(tombola(&["find", "--resume", "--out", &whole, "--data", "mnist1d"]).status.code(), Some(4));
    assert!(tombola(&["find", "--resume", "--out", &whole, "--data", "digits"]).status.success());
    assert!(files(&whole) == before);
    assert_eq!(tombola(&["find", "--out", &place("new"), "--method", "luck"]).status.code(), Some(2));

    // And it can be reported, inspected and run.
    let output = tombola(&["report", &whole]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ticket = Path::new(&whole).join("trained/round-02.safetensors");
    assert!(tombola(&["inspect", ticket.to_str().unwrap()]).status.success());
}

/// Whoever reads the lines may have seen enough; the trial goes on.
#[test]
fn find_works_without_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let trial = folder.path().join("trial").to_str().unwrap().to_owned();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tombola"))
        .args(find(&trial))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(fs::read_to_string(folder.path().join("trial/rounds.jsonl")).unwrap().lines().count(), 5);
}

#[test]
fn scan_tells_what_each_layer_can_do_without() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("trial").to_str().unwrap().to_owned();
    let recipe = ["--hidden", "30,20", "--iterations", "300", "--rounds", "0"];
    assert!(tombola(&[&["find", "--out", &out], &recipe[..]].concat()).status.success());
    let trained = format!("{out}/trained/round-00.safetensors");
    let output = tombola(&["scan", &trained, "--data", "digits", "--sparsity", "0,0.5,0.99", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let layers = value["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 3);
    for layer in layers {
        let accuracies: Vec<f64> = layer["scan"]
            .as_array()
            .unwrap()
            .iter()
            .map(|found| found["accuracy"].as_f64().unwrap())
            .collect();
        assert_eq!(accuracies[0], value["accuracy"].as_f64().unwrap());
        assert!(accuracies[2] < accuracies[0]);
        assert!([0.0, 0.5].contains(&layer["suggested"].as_f64().unwrap()));
    }
    let output = tombola(&["scan", &trained, "--data", "digits"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("suggested") && text.contains("fc3"), "{text}");
    assert_eq!(tombola(&["scan", &trained, "--data", "mnist1d"]).status.code(), Some(4));
}
