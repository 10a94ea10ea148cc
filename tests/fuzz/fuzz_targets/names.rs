#![no_main]
//! Names of tensors, and of layers to take: in the first line these, separated by commas; in each other the name of a
//! tensor and its sizes, separated by blanks.

use std::collections::BTreeMap;

use safetensors::{Dtype, tensor::TensorView};
use tombola::io::Import;
use tombola_fuzz::{PLAIN, use_model, within};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let wanted: Vec<&str> =
        lines.next().unwrap_or_default().split(',').filter(|name| !name.is_empty()).collect();
    let mut tensors = BTreeMap::new();
    for line in lines.take(200) {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let shape: Vec<usize> =
            words.filter_map(|word| word.parse().ok()).map(|size: usize| size % 8).take(3).collect();
        // Index tensors are of numbers 1 to 7, and others of 1.0.
        let dtype = if name.ends_with("weight") || name.ends_with("bias") { Dtype::F32 } else { Dtype::I32 };
        let one = if dtype == Dtype::F32 { 1_f32.to_le_bytes() } else { 1_i32.to_le_bytes() };
        let data = one.repeat(shape.iter().product());
        tensors.insert(name, (dtype, shape, data));
    }
    let views = tensors
        .iter()
        .map(|(&name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    let bytes = safetensors::serialize(views, None).unwrap();
    let import = Import::new().layers(wanted.iter().copied());
    match within(PLAIN, bytes.len(), || import.parse("file", &bytes[..])) {
        Ok(model) => {
            assert!(wanted.is_empty() || model.names == wanted);
            use_model(&model);
        }
        Err(error) => assert!(error.to_string().contains("file"), "{error}"),
    }
});
