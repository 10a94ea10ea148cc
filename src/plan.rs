//! Which format and which kernel each layer of a network gets, for a batch size.
//!
//! A layer works on activations in one of three layouts: in *rows*, a sample's features side by side, for kernels that
//! vectorise over the rows of a weight matrix; in *tiles*, a feature's samples side by side, for kernels that vectorise over
//! the batch; or as the whole *batch*, for the dense product. Bringing them from one to another costs time, so a [`Plan`]
//! looks at all layers together: it is the cheapest way through them, by a small cost model or by times
//! [measured](Plan::measured) on this machine.

use std::fmt;

use crate::format::Blocks;
use crate::{Error, Isa, Result};

/// How a layer's weights are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// [`CsrMatrix`](crate::format::CsrMatrix).
    Csr,
    /// [`LookupMatrix`](crate::format::LookupMatrix).
    Lookup,
    /// [`NmMatrix`](crate::format::NmMatrix): planned where a layer [fits](crate::format::NmMatrix::fit).
    Nm,
    /// [`BlockMatrix`](crate::format::BlockMatrix): planned where a layer [fits](crate::format::BlockMatrix::fit).
    Block,
    /// [`FanInMatrix`](crate::format::FanInMatrix): planned where a layer [fits](crate::format::FanInMatrix::fit).
    FanIn,
    /// [`PanelMatrix`](crate::format::PanelMatrix).
    Panel,
    /// A dense matrix with zeros, multiplied by faer (feature `dense`): for masks that keep too much.
    Dense,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Csr, Self::Lookup, Self::Nm, Self::Block, Self::FanIn, Self::Panel, Self::Dense];

    /// The layout of activations that its kernels work on.
    pub(crate) fn layout(self) -> Layout {
        match self {
            Self::Csr | Self::Lookup | Self::Nm | Self::Block | Self::FanIn => Layout::Rows,
            Self::Panel => Layout::Tiles,
            Self::Dense => Layout::Batch,
        }
    }

    /// Whether this build can run it with an instruction set.
    pub(crate) fn runs_on(self, isa: Isa) -> bool {
        match self {
            Self::Csr | Self::Block | Self::FanIn | Self::Panel => true,
            Self::Lookup | Self::Nm => isa != Isa::portable(),
            Self::Dense => cfg!(feature = "dense"),
        }
    }
}

/// How activations lie while a layer works on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Layout {
    /// `[samples, features]`, a few samples at a time, for formats that vectorise over the rows of a weight matrix.
    Rows,
    /// `[features, samples]`, some dozens of samples at a time, for formats that vectorise over the batch.
    Tiles,
    /// All samples as one matrix, for the dense product.
    Batch,
}

impl Layout {
    /// Nanoseconds that it takes to bring an activation into the layout, or out of it, from the matrix of a batch.
    fn way(self) -> f64 {
        match self {
            Self::Rows => 0.05,
            Self::Tiles => 0.1,
            Self::Batch => 0.0,
        }
    }
}

/// What runs a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choice {
    /// How its weights are held.
    pub format: Format,
    /// The instruction set of its kernel. (faer chooses its own.)
    pub isa: Isa,
}

impl fmt::Display for Choice {
    /// The name of the kernel: operation, format, instruction set, type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, isa } = self;
        match format {
            Format::Csr => write!(f, "spmv_csr_{isa}_f32"),
            Format::Lookup => write!(f, "spmv_lookup_{isa}_f32"),
            Format::Nm => write!(f, "spmv_nm_{isa}_f32"),
            Format::Block => write!(f, "spmv_block_{isa}_f32"),
            Format::FanIn => write!(f, "spmv_fan_in_{isa}_f32"),
            Format::Panel => write!(f, "spmm_panel_{isa}_f32"),
            Format::Dense => write!(f, "gemm_faer_f32"),
        }
    }
}

/// Where the times of a plan come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The cost model, calibrated on one thread of a 2.8 GHz Ice Lake server. It is there to choose with: a single time
    /// can be off by a factor of two, and by more on other machines.
    Model,
    /// Runs on this machine.
    Measured,
    /// The caller named the format; the times are the model's.
    Forced,
}

/// What runs each layer of a network for a batch size, and how long it is expected to take.
#[derive(Debug, PartialEq)]
pub struct Plan {
    batch: usize,
    isa: Isa,
    origin: Origin,
    steps: Vec<Step>,
}

/// The seconds of a layer in each of [`Format::ALL`]; infinite where that cannot run.
pub(crate) type Seconds = [f64; Format::ALL.len()];

/// A layer of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    format: Format,
    out: usize,
    inputs: usize,
    /// Loads of activations for each kept weight, in panels.
    loads: f64,
    /// The seconds of the layer alone.
    seconds: Seconds,
    /// The cheapest way to the end of this layer in each format: its seconds, and the format of the layer before.
    ways: [(f64, Format); Format::ALL.len()],
}

impl Plan {
    /// A plan without layers, to be [modelled](Self::model).
    pub(crate) fn empty(isa: Isa) -> Self {
        Self { batch: 0, isa, origin: Origin::Model, steps: Vec::new() }
    }

    /// Makes this the cheapest plan by the cost model. It allocates only when it has never had so many layers.
    pub(crate) fn model(&mut self, layers: impl Iterator<Item = Profile>, batch: usize, isa: Isa) {
        (self.batch, self.isa, self.origin) = (batch, isa, Origin::Model);
        self.fill(layers.map(|layer| (layer, Format::ALL.map(|format| seconds(layer, format, batch, isa)))));
        self.choose(|step, format| match format {
            Format::Dense => 1.0,
            Format::Panel if step.loads < SHARED => SURE_MARGIN,
            _ => MARGIN,
        });
    }

    /// The cheapest plan by given times.
    pub(crate) fn of_times(layers: impl Iterator<Item = (Profile, Seconds)>, batch: usize, isa: Isa) -> Self {
        let mut plan = Self { batch, origin: Origin::Measured, ..Self::empty(isa) };
        plan.fill(layers);
        plan.choose(|_, _| 1.0);
        plan
    }

    /// This plan's times, with what runs the layers from another plan of the same network.
    pub(crate) fn with_formats_of(&self, other: &Self) -> Self {
        let mut plan = self.clone();
        plan.steps.iter_mut().zip(&other.steps).for_each(|(step, other)| step.format = other.format);
        plan
    }

    /// All layers in one format.
    pub(crate) fn forced(
        layers: impl Iterator<Item = Profile>,
        batch: usize,
        isa: Isa,
        format: Format,
    ) -> Result<Self> {
        if !format.runs_on(isa) {
            let expected = format!("a format that this build runs with {isa}");
            return Err(Error::value("Plan::uniform", "format", expected, format!("{format:?}")));
        }
        let mut plan = Self::empty(isa);
        plan.model(layers, batch, isa);
        plan.origin = Origin::Forced;
        plan.steps.iter_mut().for_each(|step| step.format = format);
        Ok(plan)
    }

    /// The batch size that it was made for.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Where its times come from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What runs each layer, first to last.
    pub fn choices(&self) -> impl ExactSizeIterator<Item = Choice> + Clone {
        self.steps.iter().map(|step| Choice { format: step.format, isa: self.isa })
    }

    /// For each layer, the kernels that could run it and the seconds that it would take alone on one thread, fastest
    /// first.
    pub fn candidates(&self, layer: usize) -> Vec<(Choice, f64)> {
        let Some(step) = self.steps.get(layer) else { return Vec::new() };
        let times = Format::ALL.map(|format| (format, step.seconds[format as usize]));
        let mut candidates: Vec<_> = times.into_iter().filter(|(_, seconds)| seconds.is_finite()).collect();
        candidates.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        candidates.into_iter().map(|(format, seconds)| (Choice { format, isa: self.isa }, seconds)).collect()
    }

    /// Refuses a plan that is not one of these layers.
    pub(crate) fn check(
        &self,
        operation: &'static str,
        layers: impl Iterator<Item = Profile>,
        isa: Isa,
    ) -> Result<()> {
        if self.isa != isa {
            return Err(Error::value(operation, "plan", format!("one for {isa}"), self.isa));
        }
        let shapes: Vec<_> = layers.map(|layer| (layer.out, layer.inputs)).collect();
        let planned: Vec<_> = self.steps.iter().map(|step| (step.out, step.inputs)).collect();
        if planned != shapes {
            return Err(Error::shape(operation, "plan", format!("layers of the shapes {shapes:?}"), planned));
        }
        Ok(())
    }

    /// The seconds that a layer takes alone on one thread, as chosen.
    ///
    /// # Panics
    /// When there is no such layer.
    pub fn seconds(&self, layer: usize) -> f64 {
        let step = self.steps[layer];
        step.seconds[step.format as usize]
    }

    /// The seconds of all layers, as chosen.
    pub(crate) fn total(&self) -> f64 {
        (0..self.steps.len()).map(|layer| self.seconds(layer)).sum()
    }

    fn fill(&mut self, layers: impl Iterator<Item = (Profile, Seconds)>) {
        let ways = [(f64::INFINITY, Format::Dense); Format::ALL.len()];
        self.steps.clear();
        self.steps.extend(layers.map(|(layer, seconds)| Step {
            format: Format::Panel,
            out: layer.out,
            inputs: layer.inputs,
            loads: layer.loads,
            seconds,
            ways,
        }));
    }

    /// Finds the cheapest way through the layers, from the caller's input, which is a batch, to the output, which is
    /// one, too. Another layout than the layer before has costs a way for each activation between them, and a sparse
    /// format must win over the dense product by `margin`.
    fn choose(&mut self, margin: impl Fn(&Step, Format) -> f64) {
        // What comes before the first layer is like a dense one that took no time.
        let mut before = Format::ALL.map(|format| if format == Format::Dense { 0.0 } else { f64::INFINITY });
        for step in &mut self.steps {
            let activations = 1e-9 * (self.batch * step.inputs) as f64;
            step.ways = Format::ALL.map(|format| {
                let ways = Format::ALL.map(|from| {
                    let [from_layout, layout] = [from, format].map(Format::layout);
                    let way = activations * (from_layout.way() + layout.way());
                    (before[from as usize] + if from_layout == layout { 0.0 } else { way }, from)
                });
                let (cost, from) = cheapest(ways);
                (cost + margin(step, format) * step.seconds[format as usize], from)
            });
            before = step.ways.map(|(cost, _)| cost);
        }
        // Backwards along the cheapest way.
        let (_, mut format) = cheapest(Format::ALL.map(|format| (before[format as usize], format)));
        for step in self.steps.iter_mut().rev() {
            step.format = format;
            format = step.ways[format as usize].1;
        }
    }
}

/// The first of the cheapest.
fn cheapest([first, rest @ ..]: [(f64, Format); Format::ALL.len()]) -> (f64, Format) {
    rest.into_iter().fold(first, |a, b| if b.0 < a.0 { b } else { a })
}

impl Clone for Plan {
    fn clone(&self) -> Self {
        Self { steps: self.steps.clone(), ..*self }
    }

    /// Allocates only when there are more layers than before.
    fn clone_from(&mut self, other: &Self) {
        let mut steps = std::mem::take(&mut self.steps);
        steps.clone_from(&other.steps);
        *self = Self { steps, ..*other };
    }
}

/// What the cost of a layer depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    pub(crate) out: usize,
    pub(crate) inputs: usize,
    pub(crate) kept: usize,
    /// Loads of activations that a batch needs for each kept weight: 1, or less where rows share columns.
    pub(crate) loads: f64,
    /// Slots of all rows in the N:M pattern that the layer fits, if it does.
    pub(crate) slots: Option<usize>,
    /// The blocks that the layer falls into, if it does.
    pub(crate) blocks: Option<Blocks>,
    /// Slots of a row in a constant fan-in, if it has one.
    pub(crate) fan_in: Option<usize>,
}

/// By how much a sparse format must be expected to win over the dense product: the model knows neither well enough to
/// tell less, and dense is what a user has without us.
const MARGIN: f64 = 1.25;

/// The same where the rows of a layer share nearly all of their columns: panels are a dense product then, and its time is
/// known well. (It is often faster than faer's, which packs what it multiplies anew each time.)
const SURE_MARGIN: f64 = 1.1;

/// [Loads](Profile::loads) below which they do.
const SHARED: f64 = 0.35;

/// The time that a layer is expected to take in a format, on one thread of a 2.8 GHz Ice Lake server with AVX-512. Lookups are
/// fitted to layers up to 4096×4096 at 0 to 95% and batches of 1 to 16 (standard deviation of the ratio: 26%, outliers of a
/// noisy machine not in the fit). Panels were fitted so, too, for each instruction set a vector and a weight were then set
/// by hand as the loop became faster and shared its loads, from single runs. What a call takes whatever the layer (the last terms) is
/// read off layers of 10×64 to 64×64. The slope of lookups that come from memory is by hand,
/// too. The dense constants are read off times of
/// the same layers. The rest is carried over to the other instruction sets.
fn seconds(layer: Profile, format: Format, batch: usize, isa: Isa) -> f64 {
    if !format.runs_on(isa) {
        return f64::INFINITY;
    }
    let (kept, lanes, samples) = (layer.kept as f64, isa.lanes(), batch as f64);
    let portable = isa == Isa::portable();
    // What weights take on their way from beyond the second-level cache, and from memory.
    let far = |weights: f64| 0.14 * (weights - 1e5).max(0.0) + 0.2 * (weights - 6e5).max(0.0);
    let nanoseconds = match format {
        Format::Csr => samples * (0.5 * kept + 2.0 * layer.out as f64) + 100.0,
        Format::Lookup => {
            // A pass over the weights serves a group of samples.
            let groups = batch.div_ceil(isa.lookup_samples()) as f64;
            let narrower = 16.0 / lanes as f64;
            // Panels are the wider, the fewer entries their rows have: so the root.
            let chunks = layer.out.div_ceil(lanes) as f64;
            let cells = (kept * chunks * layer.inputs.div_ceil(2 * lanes) as f64).sqrt();
            let weights = narrower * groups * (0.027 * kept + far(kept));
            // Rows that share their columns crowd some panels and leave others empty: more of them is tail, which each sample pays
            // for anew.
            let crowded = if layer.blocks.is_some() && batch > 1 { 1.4 } else { 1.0 };
            crowded * (weights + cells * (0.2 * groups + 0.34 * samples) + 38.0 / narrower * chunks * samples)
                + 100.0
        }
        Format::Nm => {
            let Some(slots) = layer.slots else { return f64::INFINITY };
            let (slots, groups) = (slots as f64, batch.div_ceil(isa.lookup_samples()) as f64);
            let narrower = 16.0 / lanes as f64;
            let chunks = layer.out.div_ceil(lanes) as f64;
            let weights = narrower * slots * (0.027 * groups + 0.06 * (samples - groups));
            weights + 0.9 * narrower * groups * far(slots) + 38.0 / narrower * chunks * samples + 100.0
        }
        Format::Block => {
            let Some(blocks) = layer.blocks else { return f64::INFINITY };
            let (places, groups) = (blocks.places() as f64, batch.div_ceil(isa.lookup_samples()) as f64);
            // An activation is splat for each block, of which a vector may have several; so are sums added up.
            let (weight, splat, sums) = match lanes / blocks.rows {
                _ if portable => (0.2, 0.12, 20.0),
                0 | 1 => (0.01, 0.06, 20.0),
                2 => (0.01, 0.09, 30.0),
                _ => (0.01, 0.17, 40.0),
            };
            let weights = groups * (weight * places + 0.6 * far(places)) + splat * samples * places;
            weights + sums * layer.out as f64 / blocks.rows as f64 * samples + 100.0
        }
        Format::FanIn => {
            let Some(fan_in) = layer.fan_in else { return f64::INFINITY };
            let chunks = layer.out.div_ceil(lanes) as f64;
            let slots = chunks * (lanes * fan_in) as f64;
            let gather = match lanes {
                _ if portable => 1.3,
                8 => 1.15,
                _ => 0.6,
            };
            gather * slots * samples + 10.0 * chunks * samples + 100.0
        }
        Format::Panel => {
            // Per kept weight, its broadcast and the vectors of the tile, as many of which as no other row has loaded already; per group of rows in a panel, its sums, which
            // are taken up and put away.
            let vectors = batch.div_ceil(lanes) as f64;
            let tiles = batch.div_ceil(lanes * isa.tile_vectors()) as f64;
            let (vector, load, weight) = match lanes {
                _ if portable => (0.6, 0.9, 0.0),
                // It has as many ports for loads as for multiply-adds.
                8 => (0.33, 0.02, 0.12),
                _ => (0.12, 0.21, 0.12),
            };
            // A tile of one vector waits for its sums, whatever it loads.
            let vector = vector + load * if vectors > tiles || portable { layer.loads } else { 1.0 };
            let groups = layer.out.div_ceil(4)
                * layer.inputs.div_ceil(panel_width((layer.out, layer.inputs), layer.loads * kept, isa));
            let sums = groups as f64 * (8.0 * tiles + 4.3 * vectors);
            kept * (weight * tiles + vector * vectors) + sums + 300.0 + 10.0 * samples
        }
        Format::Dense => {
            // Per weight, its way from memory, the product's own packing of it, and the multiply-adds.
            let weights = (layer.out * layer.inputs) as f64;
            let far = match size_of::<f32>() as f64 * weights {
                ..1.2e6 if batch > 1 => 0.05,
                ..6e5 => 0.08,
                ..8e6 => 0.125,
                ..3e7 if batch == 1 => 0.22,
                ..3e7 => 0.3,
                _ => 0.36,
            };
            let multiply = if portable { 0.04 } else { 0.216 / lanes as f64 };
            let product = weights
                * match batch {
                    1 => far,
                    2..=12 => far + multiply * samples,
                    _ => 0.3 / (1.0 + samples / 64.0) + multiply * samples,
                };
            product + 100.0 + 40.0 * samples
        }
    };
    1e-9 * nanoseconds
}

/// The density up to which a layer trains faster on its kept weights than by dense products. With AVX-512 the two are even
/// between a half and two thirds, whether the batch is 1, 60 or 1000, since all that there is to do on either side grows with it;
/// AVX2 sparse kernels are even with dense AVX-512 products at 0.4.
#[cfg(feature = "dense")]
pub(crate) const SPARSE_TRAINING: f64 = 0.4;

/// Bytes of activations that a panel holds, about: most of a first-level cache, and the rest is for what streams through.
const PANEL_BYTES: usize = 40 << 10;

/// Loads of activations for a row below which a panel is too narrow: taking up and putting away a row's sums then costs as much
/// as reading a larger panel from the second level.
const FEW: f64 = 8.0;

/// Columns of a layer's panels, which are all of about the same width, if so many activations are loaded for all of its rows:
/// one for each kept weight, or fewer where rows share columns.
pub(crate) fn panel_width((out, inputs): (usize, usize), loads: f64, isa: Isa) -> usize {
    let width = PANEL_BYTES / (size_of::<f32>() * isa.lanes() * isa.tile_vectors());
    let loads = width as f64 * loads / (out * inputs) as f64;
    let width = match loads {
        FEW.. => width,
        _ if loads >= FEW / 2.0 => 2 * width,
        _ => 4 * width,
    };
    let panels = ((inputs + width / 2) / width).max(1);
    inputs.div_ceil(panels)
}
