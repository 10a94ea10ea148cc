//! A chain of sparse layers.

use ndarray::{Array2, ArrayView2, ArrayViewMut2};

use super::workspace::{Identity, Workspace};
use super::{SparseLinear, join};
use crate::aligned::Aligned;
use crate::format::MAX_TABLES;
use crate::measure::duration;
use crate::plan::{Batch, FEW_SAMPLES, Format, Plan, Profile};
use crate::{Error, Isa, Result};

/// A multi-layer perceptron with sparse weights. It is `Sync`: one model serves any number of threads, each with
/// its own [`Workspace`].
///
/// ```
/// use ndarray::{Array1, Array2};
/// use tombola::{Activation, Mask, SparseLinear, SparseMlp};
///
/// let weight = Array2::from_shape_fn((300, 784), |(i, j)| ((i * 784 + j) as f32).sin()); // [out, in]
/// let csr = Mask::magnitude(weight.view(), 0.9)?.apply(weight.view())?;
/// let layer = SparseLinear::new(csr, Some(Array1::zeros(300)), Activation::Relu)?;
/// let mlp = SparseMlp::new(vec![layer])?;
///
/// let x = Array2::ones((64, 784)); // [batch, in]
/// let y = mlp.forward(x.view())?; // [batch, out]
/// assert_eq!(y.dim(), (64, 300));
/// # Ok::<(), tombola::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SparseMlp {
    layers: Vec<SparseLinear>,
    isa: Isa,
    /// Plans that replace the model's, by rising batch size.
    plans: Vec<Plan>,
    /// That of these layers and plans: clones have the same.
    identity: Identity,
}

impl SparseMlp {
    /// A chain of layers, first to last.
    ///
    /// # Errors
    /// When there is no layer, a layer takes another count of features than the one before it gives, one before the
    /// last has a softmax, or the layers are for different instruction sets.
    pub fn new(layers: Vec<SparseLinear>) -> Result<Self> {
        let operation = "SparseMlp::new";
        let Some(first) = layers.first() else {
            return Err(Error::shape(operation, "layers", "at least one layer", 0));
        };
        let isa = first.isa();
        for (index, pair) in layers.windows(2).enumerate() {
            pair[0].activation().check_hidden(operation, index)?;
            let (gives, takes) = (pair[0].shape().0, pair[1].shape().1);
            let subject = format!("weight of layer {}", index + 1);
            if gives != takes {
                let expected = format!("{gives} inputs, the outputs of layer {index}");
                return Err(Error::shape(operation, subject, expected, pair[1].shape()));
            }
            if pair[1].isa() != isa {
                return Err(Error::value(operation, subject, format!("kernels for {isa}"), pair[1].isa()));
            }
        }
        Ok(Self { layers, isa, plans: Vec::new(), identity: Identity::new() })
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[SparseLinear] {
        &self.layers
    }

    /// Features of a sample.
    pub fn inputs(&self) -> usize {
        self.layers[0].shape().1
    }

    /// Features of an output.
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].shape().0
    }

    /// Count of kept weights in all layers.
    pub fn kept(&self) -> usize {
        self.layers.iter().map(SparseLinear::kept).sum()
    }

    /// The output `[batch, out]` for `x` of shape `[batch, in]`, row-major or of any strides. It makes a plan and
    /// buffers with each call, which take a few microseconds: many small batches are faster by
    /// [`forward_into`](Self::forward_into).
    ///
    /// # Errors
    /// When `x` has another count of features.
    pub fn forward(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        let mut y = Array2::zeros((x.nrows(), self.outputs()));
        self.forward_into(x, y.view_mut(), &mut self.buffers(1, x.nrows()))?;
        Ok(y)
    }

    /// [`forward`](Self::forward) into `y` (`[batch, out]`, of any strides), allocating nothing on one thread (but
    /// where a [plan](Self::plan) has a dense layer: what faer allocates, and a sample where `y` is neither row-major
    /// nor feature-major).
    ///
    /// The same input gives the same bits, whatever the workspace held before. (Where it lies the other way, row-major
    /// or feature-major, its [plan](Self::plan) may be another, and its bits with it; and faer's may be others for
    /// other strides.) Formats add in different orders: what is infinite or NaN in one is so in all, unless finite
    /// numbers overflow on the way. A batch beyond the one that the workspace was made for is served too, and may pack
    /// weights first.
    ///
    /// # Errors
    /// When `x` or `y` has another shape, or the workspace is too small because it is another network's.
    pub fn forward_into(
        &self,
        x: ArrayView2<'_, f32>,
        y: ArrayViewMut2<'_, f32>,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let operation = "SparseMlp::forward";
        if x.ncols() != self.inputs() {
            return Err(Error::shape(operation, "x", format!("[batch, {}]", self.inputs()), x.shape()));
        }
        if y.dim() != (x.nrows(), self.outputs()) {
            let expected = format!("[{}, {}]", x.nrows(), self.outputs());
            return Err(Error::shape(operation, "y", expected, y.shape()));
        }
        if x.nrows() == 0 {
            return Ok(());
        }
        // A workspace mostly serves one network, and one kind of batch again and again.
        let batch = Batch::of(&x, &y);
        let ready = Some((self.identity, batch));
        if workspace.ready != ready {
            let needed = self.buffer_len(x.nrows());
            if let Some([buffer, _]) = workspace.threads.iter().find(|[buffer, _]| buffer.len() < needed) {
                let expected = format!("one of this network, of {needed} floats");
                return Err(Error::shape(operation, "workspace", expected, buffer.len()));
            }
            workspace.ready = None;
            self.plan_into(batch, &mut workspace.plan);
            self.make_ready(x.nrows(), workspace);
            workspace.ready = ready;
        }
        self.run(x, y, workspace);
        Ok(())
    }

    /// A workspace for [`forward_into`](Self::forward_into) on one thread, with all weights packed that batches of up
    /// to `max_batch` samples need.
    pub fn workspace(&self, max_batch: usize) -> Workspace {
        self.packed_workspace(max_batch, 1)
    }

    /// [`workspace`](Self::workspace) for as many threads as the current rayon pool has, which share the packing, too:
    /// with it, `forward_into` cuts a batch into a part for each of them, or the rows of large layers where these parts
    /// would be too small: less than two vectors of samples, or where `y` is feature-major 256 samples. Of a single
    /// sample, or a few, they share the rows of layers with more than 130,000 weights; smaller ones take less time than
    /// it takes to hand them over. The bits of the result do not depend on the number of threads.
    ///
    /// To enter a pool from outside takes some microseconds: many small batches are faster within one `install`, or
    /// from a thread that is one of the pool's (`ThreadPoolBuilder::use_current_thread`).
    ///
    /// ```
    /// # use ndarray::Array2;
    /// # use tombola::{Activation, Mask, SparseLinear, SparseMlp};
    /// # let csr = Mask::all((2, 3)).apply(Array2::ones((2, 3)).view())?;
    /// # let mlp = SparseMlp::new(vec![SparseLinear::new(csr, None, Activation::Relu)?])?;
    /// let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
    /// let (x, mut y) = (Array2::ones((256, 3)), Array2::zeros((256, 2)));
    /// pool.install(|| {
    ///     let mut workspace = mlp.parallel_workspace(256);
    ///     mlp.forward_into(x.view(), y.view_mut(), &mut workspace)
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "rayon")]
    pub fn parallel_workspace(&self, max_batch: usize) -> Workspace {
        self.packed_workspace(max_batch, rayon::current_num_threads())
    }

    fn packed_workspace(&self, max_batch: usize, threads: usize) -> Workspace {
        let mut workspace = self.buffers(threads, usize::MAX);
        let mut between = 0;
        // Beyond a few tiles a plan hardly changes with the batch.
        let batches = (1..=max_batch.min(4 * self.isa.lanes())).chain(
            std::iter::successors(Some(max_batch), |batch| Some(batch / 2)).take_while(|&batch| batch > 0),
        );
        // A layer and a format, each with the first of the batches for which it is packed alike.
        let mut needs: Vec<(usize, Format, usize)> = Vec::new();
        let alike = |a, b| (a == 1) == (b == 1) && self.isa.widest_tile(a) == self.isa.widest_tile(b);
        for batch in batches {
            for lies in [Batch::row_major(batch), Batch::feature_major(batch)] {
                self.plan_into(lies, &mut workspace.plan);
                between = between.max(self.between_len(&workspace.plan, batch));
                for (layer, choice) in workspace.plan.choices().enumerate() {
                    let known =
                        |need: &(_, _, _)| (need.0, need.1) == (layer, choice.format) && alike(need.2, batch);
                    if !needs.iter().any(known) {
                        needs.push((layer, choice.format, batch));
                    }
                }
            }
        }
        self.pack(&needs, threads);
        workspace.between = std::array::from_fn(|_| Aligned::zeros(between));
        workspace
    }

    /// Packs layers in formats for batches, on some threads of the current rayon pool.
    fn pack(&self, needs: &[(usize, Format, usize)], threads: usize) {
        if threads == 1 || needs.len() < 2 {
            needs.iter().for_each(|&(layer, format, batch)| self.layers[layer].pack(format, batch));
        } else {
            let (left, right) = needs.split_at(needs.len() / 2);
            join(|| self.pack(left, threads), || self.pack(right, threads));
        }
    }

    /// A workspace for batches of up to so many samples of a network whose weights are packed when they are first
    /// needed.
    fn buffers(&self, threads: usize, max_batch: usize) -> Workspace {
        let buffers = || std::array::from_fn(|_| Aligned::zeros(self.buffer_len(max_batch)));
        Workspace {
            ready: None,
            plan: Plan::empty(self.isa),
            stretches: Vec::with_capacity(self.layers.len()),
            threads: std::iter::repeat_with(buffers).take(threads.max(1)).collect(),
            between: std::array::from_fn(|_| Aligned::zeros(0)),
        }
    }

    /// What runs each layer for a batch, by the cost model or by the plans that this network was
    /// [given](Self::with_plan). A number is a row-major batch of so many samples; for others see [`Batch`].
    pub fn plan(&self, batch: impl Into<Batch>) -> Plan {
        let mut plan = Plan::empty(self.isa);
        self.plan_into(batch.into(), &mut plan);
        plan
    }

    /// The same network, with a plan of its own for batches of up to [`Plan::batch`] samples: the smallest of the given
    /// plans that reaches a batch is the one that runs it, and larger batches run by the largest plan. Plans for
    /// batches that lie as this one does, row-major or feature-major, come first; where there is none, the others
    /// count.
    ///
    /// ```
    /// # use ndarray::Array2;
    /// # use tombola::{Activation, Mask, SparseLinear, SparseMlp};
    /// use tombola::plan::Plan;
    /// # let csr = Mask::all((2, 3)).apply(Array2::ones((2, 3)).view())?;
    /// # let mut mlp = SparseMlp::new(vec![SparseLinear::new(csr, None, Activation::Relu)?])?;
    /// for batch in [1, 16, 256] {
    ///     let plan = Plan::measured(&mlp, batch);
    ///     mlp = mlp.with_plan(plan)?;
    /// }
    /// # Ok::<(), tombola::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the plan is another network's: its layers have other shapes, or its kernels are for another instruction
    /// set.
    pub fn with_plan(mut self, plan: Plan) -> Result<Self> {
        plan.check("SparseMlp::with_plan", self.profiles(), self.isa)?;
        let key = |plan: &Plan| (plan.batch(), plan.is_feature_major());
        match self.plans.binary_search_by_key(&key(&plan), key) {
            Ok(index) => self.plans[index] = plan,
            Err(index) => self.plans.insert(index, plan),
        }
        self.identity = Identity::new();
        Ok(self)
    }

    fn plan_into(&self, batch: Batch, plan: &mut Plan) {
        let lie_so = || self.plans.iter().filter(|plan| plan.is_feature_major() == batch.is_feature_major());
        match reaching(lie_so(), batch).or_else(|| reaching(self.plans.iter(), batch)) {
            Some(given) => plan.clone_from(given),
            None => plan.model(self.profiles(), batch, self.isa),
        }
    }

    pub(super) fn profiles(&self) -> impl Iterator<Item = Profile> + Clone {
        self.layers.iter().map(SparseLinear::profile)
    }

    /// The instruction set of its kernels.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// What runs each layer for a batch and why (a number is a row-major batch of so many samples; for others see
    /// [`Batch`]): a line a layer, with the time that it is expected to take without conversions on one thread, and
    /// what the other kernels would take; then the time of all, with that of bringing activations from layout to
    /// layout. [`Origin`](crate::plan::Origin) says how far to trust these times.
    pub fn explain(&self, batch: impl Into<Batch>) -> String {
        let plan = self.plan(batch);
        let mut text = String::new();
        for (index, (layer, choice)) in self.layers.iter().zip(plan.choices()).enumerate() {
            let (out, inputs) = layer.shape();
            let density = 100.0 * layer.kept() as f64 / (out * inputs) as f64;
            let (kept, activation) = (layer.kept(), layer.activation());
            let mut line = format!(
                "layer {index}: {out}×{inputs}, {kept} weights ({density:.1}%), {activation}: {choice} in {}",
                expected(plan.seconds(index))
            );
            let others = plan.candidates(index).into_iter().filter(|&(other, _)| other != choice);
            let others: Vec<_> =
                others.map(|(other, seconds)| format!("{other} {}", duration(seconds))).collect();
            if !others.is_empty() {
                line += &format!(" ({})", others.join(", "));
            }
            text += &line;
            text.push('\n');
        }
        let (total, conversions) = (expected(plan.total()), duration(plan.conversions()));
        text + &format!("in all {total}, of which {conversions} between layouts\n")
    }

    /// Floats from a sample to the next in rows, for every layer: a lookup reads whole windows.
    pub(super) fn row_stride(&self) -> usize {
        self.widest().next_multiple_of(MAX_TABLES * self.isa.lanes())
    }

    /// Floats of the widest layer's activations, in the widest tile of batches of up to so many samples, or in rows for
    /// lookups or for the dense product.
    fn buffer_len(&self, max_batch: usize) -> usize {
        let tile = self.isa.lanes() * max_batch.div_ceil(self.isa.lanes()).min(self.isa.tile_vectors());
        // (Where some more samples go through rows, those are no more than a tile has room for.)
        let samples = tile.max(max_batch.min(FEW_SAMPLES));
        (self.widest() * samples).max(self.row_stride() * max_batch.min(self.isa.row_samples()))
    }

    /// Features of the widest layer.
    fn widest(&self) -> usize {
        self.layers.iter().map(|layer| layer.shape().0.max(layer.shape().1)).max().unwrap_or(0)
    }
}

/// A time in words. N:M and blocks may be forced upon layers that do not fit them: the cost model has none for those.
fn expected(seconds: f64) -> String {
    if seconds.is_finite() { format!("about {}", duration(seconds)) } else { "an unknown time".to_owned() }
}

/// Of plans by rising batch size the first that reaches a batch, or the largest.
fn reaching<'a>(plans: impl Iterator<Item = &'a Plan>, batch: Batch) -> Option<&'a Plan> {
    let mut largest = None;
    for plan in plans {
        if plan.batch() >= batch.samples() {
            return Some(plan);
        }
        largest = Some(plan);
    }
    largest
}
