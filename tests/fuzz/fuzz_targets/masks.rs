#![no_main]
//! Masks for two checkpoints that are right: of zeros, and sparse. The masks are in a safetensors file or an archive.

use std::sync::LazyLock;

use tombola::io::Import;
use tombola_fuzz::{PACKED, archive, safetensors, use_model, within};

static CHECKPOINTS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    [
        include_bytes!("../../fixtures/zeros.safetensors").to_vec(),
        include_bytes!("../../fixtures/csr.npz").to_vec(),
    ]
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((form, bytes)) = bytes.split_first() else { return };
    let file = if form & 1 == 0 { safetensors(bytes) } else { archive(bytes) };
    for checkpoint in &*CHECKPOINTS {
        let import = Import::new().masks_from_bytes("masks", file.clone());
        match within(PACKED, file.len(), || import.parse("fc.npz", &checkpoint[..])) {
            Ok(model) => use_model(&model),
            Err(error) => assert!(error.to_string().contains("masks"), "{error}"),
        }
    }
});
