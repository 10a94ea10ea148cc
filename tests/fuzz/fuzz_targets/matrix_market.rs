#![no_main]
//! Matrices as text.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = [b"%%MatrixMarket matrix coordinate ", bytes].concat();
    tombola_fuzz::read(tombola_fuzz::TEXT, "fuzz.mtx", &file);
});
