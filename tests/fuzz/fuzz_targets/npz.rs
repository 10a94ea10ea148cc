#![no_main]
//! Archives of numpy's arrays and scipy's matrices.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tombola_fuzz::read(tombola_fuzz::PACKED, "fuzz.npz", &tombola_fuzz::archive(bytes));
});
