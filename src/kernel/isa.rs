//! Which instruction sets this CPU has.

use std::fmt;

use super::cpu::{is_amd, is_golden_cove, is_sapphire_rapids};
use super::vector::MAX_LANES;
use super::{Task, portable};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::{Error, ErrorKind, Result};

/// An instruction set that this CPU has: holding the value is the proof, there is no other way to make one.
///
/// ```
/// use tombola::Isa;
/// let best = Isa::detect()?;
/// assert!(Isa::available().any(|isa| isa == best));
/// # Ok::<(), tombola::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Isa(Set);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// All sets that this build has code for, slowest first.
const SETS: &[Set] = &[
    Set::Portable,
    #[cfg(target_arch = "x86_64")]
    Set::Avx2,
    #[cfg(target_arch = "x86_64")]
    Set::Avx512,
];

/// Samples that share a pass over the weights of formats for rows, at most, on any.
pub(crate) const MAX_ROW_SAMPLES: usize = 4;

/// Vectors in the widest tile of any.
pub(crate) const MAX_TILE_VECTORS: usize = 4;

/// Samples in it.
pub(crate) const MAX_TILE: usize = MAX_TILE_VECTORS * MAX_LANES;

impl Set {
    fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
        }
    }

    fn available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
        }
    }
}

impl Isa {
    /// The environment variable that forces an instruction set: `TOMBOLA_ISA=portable`, `avx2` or `avx512`.
    pub const VARIABLE: &'static str = "TOMBOLA_ISA";

    /// The widest instruction set of this CPU, or the one that [`TOMBOLA_ISA`](Self::VARIABLE) names.
    ///
    /// # Errors
    /// When the variable names a set that this CPU or this build does not have.
    pub fn detect() -> Result<Self> {
        match std::env::var_os(Self::VARIABLE) {
            Some(name) if !name.is_empty() => Self::from_name(&name.to_string_lossy()),
            _ => Ok(Self::widest()),
        }
    }

    /// The widest instruction set of this CPU.
    pub(crate) fn widest() -> Self {
        Self::available().last().unwrap_or(Self::portable())
    }

    /// The set of a name (`portable`, `avx2`, `avx512`), if this CPU has it.
    ///
    /// # Errors
    /// When no set has this name, or this CPU or this build lacks it.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::available().find(|isa| isa.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::available().map(Self::name).collect();
            let expected = format!("one that this CPU and build have ({})", names.join(", "));
            Error::new(ErrorKind::Unsupported, "Isa::from_name", "instruction set", expected, name)
        })
    }

    /// The sets that this CPU has, slowest first; `portable` is always one of them.
    pub fn available() -> impl Iterator<Item = Self> {
        SETS.iter().copied().filter(|set| set.available()).map(Self)
    }

    /// The names of the sets that this build knows and this CPU lacks.
    pub fn unavailable() -> impl Iterator<Item = &'static str> {
        SETS.iter().filter(|set| !set.available()).map(|set| set.name())
    }

    /// Plain Rust, for every CPU.
    pub const fn portable() -> Self {
        Self(Set::Portable)
    }

    /// `portable`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Samples in one vector: a tile of activations is one to four of them wide.
    pub(crate) fn lanes(self) -> usize {
        match self.0 {
            Set::Portable => portable::LANES,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => avx512::LANES,
        }
    }

    /// Vectors in the widest tile: the sums of a group of rows, an activation and a weight must fit the registers.
    pub(crate) fn tile_vectors(self) -> usize {
        match self.0 {
            Set::Portable => 1,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => 3,
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => 4,
        }
    }

    /// Vectors of the widest tile of a batch, which is its first. All of its tiles are about the same: six vectors take
    /// up to 5% less as 3 + 3 than as 4 + 2 (on a Granite Rapids), and one by itself takes more than its share.
    pub(crate) fn widest_tile(self, batch: usize) -> usize {
        let vectors = batch.div_ceil(self.lanes()).max(1);
        vectors.div_ceil(vectors.div_ceil(self.tile_vectors()))
    }

    /// Samples that share a pass over the weights of formats for rows, at most: their sums must fit the registers.
    pub(crate) fn row_samples(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => MAX_ROW_SAMPLES,
            _ => 2,
        }
    }

    /// Samples of the largest of a batch's groups that share a pass. All are of about the same size: one sample left over
    /// would cost nearly as much as four.
    pub(crate) fn samples_together(self, batch: usize) -> usize {
        let groups = batch.div_ceil(self.row_samples()).max(1);
        batch.div_ceil(groups).max(1)
    }

    /// Whether this is the AVX-512 or AVX2 of a core of Intel's since Golden Cove: those have a third port for short
    /// loads, and outside of servers most of them have AVX2 alone.
    pub(crate) fn is_golden_cove(self) -> bool {
        self != Self::portable() && is_golden_cove()
    }

    /// Whether this is AVX-512 of such a core.
    pub(crate) fn is_golden_cove_avx512(self) -> bool {
        self.lanes() == MAX_LANES && is_golden_cove()
    }

    /// Whether this is AVX-512 of the first servers with such cores, whose clocks are slower and whose third level is
    /// about as fast as that of later ones.
    pub(crate) fn is_sapphire_rapids_avx512(self) -> bool {
        self.lanes() == MAX_LANES && is_sapphire_rapids()
    }

    /// Whether weights are splat faster by a load each than four by one load and shuffles.
    ///
    /// With AVX-512 all shuffles share one of the two ports that multiply, on Intel. Where there is a third port for
    /// short loads, panels take 8 to 20% less time by loads with one vector of samples, and 2% less with four. AMD's
    /// cores shuffle on two ports, and load on two.
    pub(crate) fn splats_by_loads(self) -> bool {
        self.is_golden_cove_avx512()
    }

    /// Whether panels of so many weights are asked for ahead of their use: where they come from far away at every pass.
    /// For fewer asking takes longer than waiting. (On a Granite Rapids a quarter longer for 16 samples with 18 MB of
    /// values; with 34 MB it is waiting that takes 40% longer.)
    pub(crate) fn asks_ahead(self, weights: usize) -> bool {
        weights >= if self.is_golden_cove_avx512() { 5_000_000 } else { 5 << 19 }
    }

    /// Whether panels have two sums for each row, which take turns, where a batch is one vector: four rows make no more
    /// than four chains of multiply-adds, which wait for each other.
    ///
    /// With AVX2 on AMD's Zen 3 batches of up to 8 take 10 to 20% less time so, with AVX-512 on a Granite Rapids those
    /// of 8 and 16 up to 10% from 90% sparsity on. On a Zen 5 four weights of 16 samples took 4.3 cycles with a single
    /// sum, and a chain takes 4, where their loads need no more than 3: there it is counted, not measured. Elsewhere
    /// shuffles take as long as the chains, or there are not the registers.
    pub(crate) fn sums_twice(self) -> bool {
        match self.0 {
            Set::Portable => false,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => true,
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => self.is_amd_avx512() || self.is_golden_cove_avx512(),
        }
    }

    /// Whether a gather takes less by the CPU's instruction than lane by lane: layers in sliced ELLPACK take 11% less
    /// with AVX-512 and 18% less with AVX2 on a Granite Rapids. (By gaps between columns, which only the instruction
    /// can do, it is up to 16% less again where they come from beyond the second level.) AMD's instruction takes twice
    /// as long as loads do on a Zen 3, and, counted from its operations, one and a half times as long on a Zen 5;
    /// Intel's cores up to Ice Lake have had to slow theirs down. (The small cores beside large ones were not
    /// measured.)
    pub(crate) fn gathers_at_once(self) -> bool {
        self.is_golden_cove()
    }

    /// Whether this is AVX-512 of an AMD CPU: what it takes differs from Intel's by more than a factor.
    pub(crate) fn is_amd_avx512(self) -> bool {
        self.lanes() == MAX_LANES && is_amd()
    }

    /// Runs a task with this instruction set.
    pub(crate) fn run<T: Task>(self, task: T) {
        match self.0 {
            Set::Portable => portable::run(task),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value exists, so the CPU has AVX2 and FMA.
            Set::Avx2 => unsafe { avx2::run(task) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value exists, so the CPU has AVX-512F.
            Set::Avx512 => unsafe { avx512::run(task) },
        }
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Isa({})", self.name())
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
