//! What else of a CPU than its instruction sets decides which way is fastest.

use std::sync::OnceLock;

/// The facts, asked for once: under a hypervisor each question takes microseconds.
struct Cpu {
    is_amd: bool,
    is_golden_cove: bool,
    /// The numbers of the family and the model.
    model: (u8, u8),
    first_level: Option<usize>,
}

fn cpu() -> &'static Cpu {
    static CPU: OnceLock<Cpu> = OnceLock::new();
    CPU.get_or_init(Cpu::ask)
}

impl Cpu {
    #[cfg(target_arch = "x86_64")]
    fn ask() -> Self {
        use raw_cpuid::{CacheType, CpuId};

        let cpu = CpuId::new();
        let is_amd = cpu.get_vendor_info().is_some_and(|vendor| vendor.as_str() == "AuthenticAMD");
        let is_golden_cove = !is_amd && is_x86_feature_detected!("avxvnni");
        let model = cpu.get_feature_info().map(|info| (info.family_id(), info.model_id()));
        let mut caches = cpu.get_cache_parameters().into_iter().flatten();
        let first_level = caches.find(|cache| cache.level() == 1 && cache.cache_type() == CacheType::Data);
        let first_level = first_level.map(|cache| {
            let lines = cache.sets() * cache.associativity() * cache.physical_line_partitions();
            lines * cache.coherency_line_size()
        });
        Self { is_amd, is_golden_cove, model: model.unwrap_or_default(), first_level }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn ask() -> Self {
        Self { is_amd: false, is_golden_cove: false, model: (0, 0), first_level: None }
    }
}

/// Whether AMD made this CPU.
pub(super) fn is_amd() -> bool {
    cpu().is_amd
}

/// Whether Intel made this CPU, with cores since Golden Cove: AVX-VNNI came with these.
pub(super) fn is_golden_cove() -> bool {
    cpu().is_golden_cove
}

/// Whether this CPU is a Sapphire or an Emerald Rapids: Intel's servers of Golden Cove before Granite Rapids.
pub(super) fn is_sapphire_rapids() -> bool {
    !is_amd() && matches!(cpu().model, (6, 143 | 207))
}

/// Bytes of a core's first-level cache of data: what the CPU says, if that can be, or else 32 KB, than which few have
/// less.
pub(crate) fn first_level_cache() -> usize {
    cpu().first_level.filter(|bytes| (16 << 10..=128 << 10).contains(bytes)).unwrap_or(32 << 10)
}
