//! The generator behind every random choice: portable, seeded, and one stream for each purpose, so that
//! (say) a longer training run does not change which mask a control draws.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

/// What a stream of random numbers is for. The numbers are part of the results: never renumber them.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum Stream {
    Mask = 1,
    #[cfg(feature = "dense")]
    Initialisation = 2,
    #[cfg(feature = "dense")]
    Noise = 3,
    #[cfg(feature = "dense")]
    Batches = 4,
    #[cfg(feature = "search")]
    Split = 5,
    #[cfg(feature = "search")]
    Samples = 6,
    #[cfg(feature = "search")]
    Growth = 7,
}

/// The generator of one stream of one seed: ChaCha with 8 rounds, the same numbers on every platform.
pub(crate) fn generator(seed: u64, stream: Stream) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(stream as u64);
    generator
}
