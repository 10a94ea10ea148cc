#![no_main]
//! An array of numpy.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = [b"\x93NUMPY", bytes].concat();
    tombola_fuzz::read(tombola_fuzz::PLAIN, "fuzz.npy", &file);
});
