#![no_main]
//! Checkpoints and tickets in safetensors files.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = tombola_fuzz::safetensors(bytes);
    if !file.starts_with(b"PK\x03\x04") {
        tombola_fuzz::read(tombola_fuzz::PLAIN, "fuzz.safetensors", &file);
    }
});
