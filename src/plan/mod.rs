//! Which format and which kernel each layer of a network gets, for a batch size.
//!
//! A layer works on activations in one of three layouts: in *rows*, a sample's features side by side, for kernels that
//! vectorise over the rows of a weight matrix; in *tiles*, a feature's samples side by side, for kernels that vectorise
//! over the batch; or as the whole *batch*, for the dense product. Bringing them from one to another costs time, so a
//! [`Plan`] looks at all layers together: it is the cheapest way through them, by a small cost model or by times
//! [measured](Plan::measured) on this machine. How far the ways at both ends are, and how fast a dense layer is,
//! depends on how the caller's activations lie: a [`Batch`] says so.

mod batch;
mod cost;
mod dense;
mod way;

use std::fmt;

pub use batch::Batch;
use cost::{Network, seconds};
pub(crate) use cost::{Profile, lookups, panel_width};
pub(crate) use dense::FEW_SAMPLES;
#[cfg(feature = "dense")]
pub(crate) use dense::{by_columns, by_weights, few_samples};
use way::{Way, way};

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
    /// [`SellMatrix`](crate::format::SellMatrix).
    Sell,
    /// [`PanelMatrix`](crate::format::PanelMatrix).
    Panel,
    /// A dense matrix with zeros, multiplied by faer (feature `dense`): for masks that keep too much.
    Dense,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Csr, Self::Lookup, Self::Nm, Self::Block, Self::Sell, Self::Panel, Self::Dense];

    /// The layout of activations that its kernels work on.
    pub(crate) fn layout(self) -> Layout {
        match self {
            Self::Csr | Self::Lookup | Self::Nm | Self::Block | Self::Sell => Layout::Rows,
            Self::Panel => Layout::Tiles,
            Self::Dense => Layout::Batch,
        }
    }

    /// Whether this build can run it with an instruction set.
    pub(crate) fn runs_on(self, isa: Isa) -> bool {
        match self {
            Self::Csr | Self::Block | Self::Sell | Self::Panel => true,
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
    const ALL: [Self; 3] = [Self::Rows, Self::Tiles, Self::Batch];
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
            Format::Sell => write!(f, "spmv_sell_{isa}_f32"),
            Format::Panel => write!(f, "spmm_panel_{isa}_f32"),
            Format::Dense => write!(f, "gemm_faer_f32"),
        }
    }
}

/// Where the times of a plan come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The cost model, calibrated on one thread of servers: a 2.8 GHz Ice Lake, for the AVX-512 of AMD a 3.9 GHz Zen 5,
    /// for that of Intel since Golden Cove a 4.0 GHz Granite Rapids and an Emerald Rapids, for AVX2 these two and, of
    /// other CPUs, a 3.2 GHz Zen 3. It is there to choose with: a single time can be off by a factor of two, and by more
    /// on other machines.
    Model,
    /// Runs on this machine.
    Measured,
    /// The caller named the format; the times are the model's.
    Forced,
}

/// What runs each layer of a network for a batch size, and how long it is expected to take.
#[derive(Debug, PartialEq)]
pub struct Plan {
    batch: Batch,
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
    /// The seconds of the layer, without conversions.
    seconds: Seconds,
    /// The cheapest way to the end of this layer in each of [`Layout::ALL`]: its seconds, and the layout of the layer
    /// before.
    ways: [(f64, Layout); Layout::ALL.len()],
}

impl Step {
    /// The fastest format that works on a layout.
    fn fastest(&self, layout: Layout) -> Format {
        let formats = Format::ALL.into_iter().filter(|format| format.layout() == layout);
        let fastest = formats.min_by(|&a, &b| self.seconds[a as usize].total_cmp(&self.seconds[b as usize]));
        fastest.unwrap_or_else(|| unreachable!("each layout has a format"))
    }
}

impl Plan {
    /// A plan without layers, to be [modelled](Self::model).
    pub(crate) fn empty(isa: Isa) -> Self {
        Self { batch: Batch::row_major(0), isa, origin: Origin::Model, steps: Vec::new() }
    }

    /// Makes this the cheapest plan by the cost model. It allocates only when it has never had so many layers.
    pub(crate) fn model(&mut self, layers: impl Iterator<Item = Profile> + Clone, batch: Batch, isa: Isa) {
        (self.batch, self.isa, self.origin) = (batch, isa, Origin::Model);
        let network = Network::of(layers.clone(), batch, isa);
        let seconds = |layer| Format::ALL.map(|format| seconds(layer, network, format, isa));
        self.fill(layers.map(|layer| (layer, seconds(layer))));
        self.choose(margin(isa));
    }

    /// The cheapest plan by given times.
    pub(crate) fn of_times(layers: impl Iterator<Item = (Profile, Seconds)>, batch: Batch, isa: Isa) -> Self {
        let mut plan = Self { batch, origin: Origin::Measured, ..Self::empty(isa) };
        plan.fill(layers);
        plan.choose(1.0);
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
        layers: impl Iterator<Item = Profile> + Clone,
        batch: Batch,
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

    /// The samples of the batch that it was made for.
    pub fn batch(&self) -> usize {
        self.batch.samples()
    }

    /// Whether the batch that it was made for lies [feature-major](Batch::feature_major).
    pub fn is_feature_major(&self) -> bool {
        self.batch.is_feature_major()
    }

    /// Whether activations between its dense layers, which have such shapes, `(out, in)`, lie feature-major for so many
    /// samples at once.
    pub(crate) fn lie_by_features(
        &self,
        shapes: impl Iterator<Item = (usize, usize)> + Clone,
        samples: usize,
    ) -> bool {
        dense::by_features(shapes, self.batch.with_samples(samples), self.isa)
    }

    /// Where its times come from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What runs each layer, first to last.
    pub fn choices(&self) -> impl ExactSizeIterator<Item = Choice> + Clone {
        self.steps.iter().map(|step| Choice { format: step.format, isa: self.isa })
    }

    /// The format of a layer, if there is such a layer.
    pub(crate) fn format(&self, layer: usize) -> Option<Format> {
        self.steps.get(layer).map(|step| step.format)
    }

    /// For each layer, the kernels that could run it and the seconds that it would take without conversions on one
    /// thread, fastest first.
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

    /// The seconds that a layer takes without conversions on one thread, as chosen; infinite where it was
    /// [forced](Self::uniform) into a format that it does not fit, N:M or blocks.
    ///
    /// # Panics
    /// When there is no such layer.
    pub fn seconds(&self, layer: usize) -> f64 {
        let step = self.steps[layer];
        step.seconds[step.format as usize]
    }

    /// The seconds that it is expected to take to bring activations from the caller's layout to those that the kernels
    /// work on, from one of these to the next, and back, on one thread: the cost model's word, whatever the plan's
    /// origin.
    pub fn conversions(&self) -> f64 {
        let (mut before, mut seconds) = (Layout::Batch, 0.0);
        for (layer, step) in self.steps.iter().enumerate() {
            let layout = step.format.layout();
            seconds += self.change(layer, before, layout);
            before = layout;
        }
        seconds + self.change(self.steps.len(), before, Layout::Batch)
    }

    /// The seconds of all layers, as chosen, and of the [`conversions`](Self::conversions).
    pub fn total(&self) -> f64 {
        (0..self.steps.len()).map(|layer| self.seconds(layer)).sum::<f64>() + self.conversions()
    }

    /// The seconds from one layout to another, before a layer or behind the last one.
    fn change(&self, layer: usize, from: Layout, to: Layout) -> f64 {
        if from == to {
            return 0.0;
        }
        let (features, batch, switch) = match self.steps.get(layer) {
            Some(step) if layer == 0 => (step.inputs, self.batch, 0.0),
            Some(step) => (step.inputs, self.batch.inner(), SWITCH),
            None => (self.steps.last().map_or(0, |step| step.out), self.batch, 0.0),
        };
        let way = |direction, layout| way(direction, layout, features, batch, self.isa);
        switch + way(Way::Out, from) + way(Way::In, to)
    }

    fn fill(&mut self, layers: impl Iterator<Item = (Profile, Seconds)>) {
        let ways = [(f64::INFINITY, Layout::Batch); Layout::ALL.len()];
        self.steps.clear();
        self.steps.extend(layers.map(|(layer, seconds)| Step {
            format: Format::Panel,
            out: layer.out,
            inputs: layer.inputs,
            seconds,
            ways,
        }));
    }

    /// Finds the cheapest way through the layers, from the caller's input, which is a batch, to the output, which is
    /// one, too. Another layout than the layer before has costs a way for each activation between them, and a sparse
    /// format must win over the dense product by `margin`.
    fn choose(&mut self, margin: f64) {
        // What comes before the first layer is like a dense one that took no time.
        let mut before = Layout::ALL.map(|layout| if layout == Layout::Batch { 0.0 } else { f64::INFINITY });
        for index in 0..self.steps.len() {
            let step = &self.steps[index];
            let ways = Layout::ALL.map(|layout| {
                let ways =
                    Layout::ALL.map(|from| (before[from as usize] + self.change(index, from, layout), from));
                let (cost, from) = cheapest(ways);
                let margin = if layout == Layout::Batch { 1.0 } else { margin };
                (cost + margin * step.seconds[step.fastest(layout) as usize], from)
            });
            before = ways.map(|(cost, _)| cost);
            self.steps[index].ways = ways;
        }
        // Backwards along the cheapest way.
        let end = self.steps.len();
        let (_, mut layout) = cheapest(
            Layout::ALL
                .map(|layout| (before[layout as usize] + self.change(end, layout, Layout::Batch), layout)),
        );
        for step in self.steps.iter_mut().rev() {
            step.format = step.fastest(layout);
            layout = step.ways[layout as usize].1;
        }
    }
}

/// The first of the cheapest.
fn cheapest([first, rest @ ..]: [(f64, Layout); Layout::ALL.len()]) -> (f64, Layout) {
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

/// By how much a sparse format must be expected to win over the dense product: the model knows neither well enough to
/// tell less, and dense is what a user has without us. Where it knows how a batch lies, it knows them better.
fn margin(isa: Isa) -> f64 {
    if isa.is_golden_cove() { 1.05 } else { 1.1 }
}

/// The seconds that it takes to go on in another layout after a layer, besides the way there. What a layer takes by
/// itself has those of both ends in it. (Measured on the Zen 3, about.)
const SWITCH: f64 = 80e-9;

/// The density up to which a layer trains faster on its kept weights than by dense products. With AVX-512 the two are
/// even between a half and two thirds, whether the batch is 1, 60 or 1000, since all that there is to do on either side
/// grows with it; AVX2 sparse kernels are even with dense AVX-512 products at 0.4.
#[cfg(feature = "dense")]
pub(crate) const SPARSE_TRAINING: f64 = 0.4;
