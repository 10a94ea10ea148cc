//! What can be said of timings without a clock's mercy.

use tombola::Isa;
use tombola::measure::Roofs;

#[test]
fn roofs_are_positive_and_finite_on_every_instruction_set() {
    for isa in Isa::available() {
        let Roofs { load, fma } = Roofs::of(isa);
        println!("{isa}: {:.1} GFLOP/s with a load each, {:.1} without", 1e-9 * load, 1e-9 * fma);
        assert!(load > 0.0 && load.is_finite(), "{isa}: {load}");
        assert!(fma > 0.0 && fma.is_finite(), "{isa}: {fma}");
    }
}
