//! One sparse layer.

use std::sync::{Arc, OnceLock};

use ndarray::{Array1, ArrayView1};
#[cfg(feature = "dense")]
use ndarray::{ArrayView2, ArrayViewMut2};

#[cfg(feature = "dense")]
use super::rows::Rows;
#[cfg(feature = "dense")]
use super::shares::Group;
#[cfg(feature = "dense")]
use super::workspace::{Buffers, matrix, matrix_mut};
#[cfg(feature = "dense")]
use crate::aligned::Aligned;
use crate::csr::{self, Csr};
use crate::format::{BlockMatrix, CsrMatrix, LookupMatrix, NmMatrix, PanelMatrix, SellMatrix, SellWork};
use crate::kernel::MAX_TILE_VECTORS;
#[cfg(feature = "dense")]
use crate::kernel::{finish, gemm};
use crate::plan::{Format, Profile};
#[cfg(feature = "dense")]
use crate::plan::{by_columns, by_weights, few_samples};
use crate::{Activation, Error, Isa, Result, plan};

/// A linear layer with sparse weights: `y = activation(W·x + b)`, `W` of shape `[out, in]`.
///
/// Weights are packed for a kernel when a batch first needs it, once for all threads.
#[derive(Clone, Debug)]
pub struct SparseLinear {
    matrix: CsrMatrix,
    bias: Array1<f32>,
    activation: Activation,
    isa: Isa,
    /// What the plan asks for of the mask.
    profile: OnceLock<Profile>,
    /// For batches whose widest tile is one vector, two, and so on: some of them the same.
    panels: [OnceLock<Arc<PanelMatrix>>; MAX_TILE_VECTORS],
    lookup: OnceLock<LookupMatrix>,
    /// For samples that share a pass, if another window is better for so many.
    shared_lookup: OnceLock<LookupMatrix>,
    nm: OnceLock<NmMatrix>,
    blocks: OnceLock<BlockMatrix>,
    sell: OnceLock<SellMatrix>,
    /// `[out, in]`, row-major. From the beginning of a cache line faer reads it by a sixth faster.
    #[cfg(feature = "dense")]
    dense: OnceLock<Aligned<f32>>,
    /// `[in, out]`, row-major.
    #[cfg(feature = "dense")]
    transposed: OnceLock<Aligned<f32>>,
}

impl SparseLinear {
    /// A layer of a CSR weight matrix `[out, in]`, a bias `[out]` (zeros if there is none) and an activation, for the
    /// fastest kernels of this CPU (see [`Isa::detect`]).
    ///
    /// # Errors
    /// When the CSR breaks its invariants, the bias has another length, a slope is not finite, or `TOMBOLA_ISA` names
    /// an instruction set that this CPU lacks.
    pub fn new(weight: Csr, bias: Option<Array1<f32>>, activation: Activation) -> Result<Self> {
        Self::with_isa(weight, bias, activation, Isa::detect()?)
    }

    /// [`new`](Self::new) with the kernels of a given instruction set.
    ///
    /// # Errors
    /// When the CSR breaks its invariants, the bias has another length or a slope is not finite.
    pub fn with_isa(
        weight: Csr,
        bias: Option<Array1<f32>>,
        activation: Activation,
        isa: Isa,
    ) -> Result<Self> {
        activation.check("SparseLinear::new")?;
        let matrix = CsrMatrix::new(weight)?;
        let out = matrix.shape().0;
        let bias = bias.unwrap_or_else(|| Array1::zeros(out));
        if bias.len() != out {
            return Err(Error::shape("SparseLinear::new", "bias", format!("[{out}]"), bias.shape()));
        }
        // The kernels read it as a slice, whatever strides it came with.
        let bias = bias.as_standard_layout().into_owned();
        Ok(Self {
            matrix,
            bias,
            activation,
            isa,
            profile: OnceLock::new(),
            panels: [const { OnceLock::new() }; MAX_TILE_VECTORS],
            lookup: OnceLock::new(),
            shared_lookup: OnceLock::new(),
            nm: OnceLock::new(),
            blocks: OnceLock::new(),
            sell: OnceLock::new(),
            #[cfg(feature = "dense")]
            dense: OnceLock::new(),
            #[cfg(feature = "dense")]
            transposed: OnceLock::new(),
        })
    }

    /// The weights, as they came.
    pub fn csr(&self) -> &Csr {
        self.matrix.csr()
    }

    /// The bias, `[out]`.
    pub fn bias(&self) -> ArrayView1<'_, f32> {
        self.bias.view()
    }

    /// What comes after the linear map.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// The instruction set of its kernels.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// `(out, in)`.
    pub fn shape(&self) -> (usize, usize) {
        self.matrix.shape()
    }

    /// Count of kept weights.
    pub fn kept(&self) -> usize {
        self.matrix.kept()
    }

    /// Bytes of weights and bias as dense f32.
    pub fn dense_bytes(&self) -> usize {
        let (out, inputs) = self.shape();
        size_of::<f32>() * (out * inputs + out)
    }

    /// Bytes of the weights as CSR, and of the bias.
    pub fn csr_bytes(&self) -> usize {
        csr::bytes(self.csr()) + size_of_val(self.bias_slice())
    }

    /// Bytes of the weights as packed in a format, and of the bias. (Panels and slots for lookup may be packed once
    /// more: panels for batches of one vector of samples, and with AVX2 of two, slots for samples that share a
    /// pass.)
    pub fn packed_bytes(&self, format: Format) -> usize {
        let weights = match format {
            Format::Csr => csr::bytes(self.csr()),
            Format::Lookup => self.lookup(1).bytes(),
            Format::Nm => self.nm().bytes(),
            Format::Block => self.blocks().bytes(),
            Format::Sell => self.sell().bytes(),
            Format::Panel => self.panels(self.isa.tile_vectors()).bytes(),
            Format::Dense => return self.dense_bytes(),
        };
        weights + size_of_val(self.bias_slice())
    }

    pub(super) fn profile(&self) -> Profile {
        *self.profile.get_or_init(|| {
            let (out, inputs) = self.shape();
            let width =
                plan::panel_width((out, inputs), self.kept() as f64, self.isa, self.isa.tile_vectors());
            let loads = PanelMatrix::loads(&self.matrix, width);
            let lookups = plan::lookups(&self.matrix, self.isa);
            let slots = NmMatrix::fit(&self.matrix).map(|nm| (out * nm.slots(inputs), nm.m));
            let blocks = BlockMatrix::fit(&self.matrix);
            let sell = SellWork::of(&self.matrix, self.isa.lanes(), self.isa.gathers_at_once());
            Profile { out, inputs, kept: self.kept(), loads, lookups, slots, blocks, sell }
        })
    }

    /// Packs the weights in a format, if that has not been done, for a batch.
    pub(super) fn pack(&self, format: Format, batch: usize) {
        match format {
            Format::Csr => {}
            Format::Lookup => {
                self.lookup(self.isa.samples_together(batch));
            }
            Format::Nm => {
                self.nm();
            }
            Format::Block => {
                self.blocks();
            }
            Format::Sell => {
                self.sell();
            }
            Format::Panel => {
                self.panels(self.isa.widest_tile(batch));
            }
            Format::Dense => {
                #[cfg(feature = "dense")]
                {
                    self.dense();
                    self.transposed();
                }
            }
        }
    }

    /// The panels for batches whose widest tile is of so many vectors.
    pub(super) fn panels(&self, widest: usize) -> &Arc<PanelMatrix> {
        self.panels[widest - 1].get_or_init(|| {
            let Profile { out, inputs, kept, loads, .. } = self.profile();
            let width = |vectors| plan::panel_width((out, inputs), loads * kept as f64, self.isa, vectors);
            let wider = widest + 1..=self.isa.tile_vectors();
            match wider.rev().find(|&vectors| width(vectors) == width(widest)) {
                Some(wider) => Arc::clone(self.panels(wider)),
                None => PanelMatrix::new(&self.matrix, width(widest))
                    .map_or_else(|error| unreachable!("the plan's width is in range: {error}"), Arc::new),
            }
        })
    }

    /// The slots for lookup, for batches of which so many samples go together at most.
    pub(super) fn lookup(&self, together: usize) -> &LookupMatrix {
        let windows = self.profile().lookups.map(|work| work.window);
        let window = windows[together - 1];
        let packed = if window == windows[0] { &self.lookup } else { &self.shared_lookup };
        packed.get_or_init(|| LookupMatrix::new(&self.matrix, window))
    }

    pub(super) fn nm(&self) -> &NmMatrix {
        self.nm.get_or_init(|| {
            NmMatrix::new(&self.matrix, self.isa.lanes())
                .unwrap_or_else(|error| unreachable!("vectors have so many lanes: {error}"))
        })
    }

    pub(super) fn blocks(&self) -> &BlockMatrix {
        self.blocks.get_or_init(|| {
            BlockMatrix::new(&self.matrix, self.isa.lanes())
                .unwrap_or_else(|error| unreachable!("vectors have so many lanes: {error}"))
        })
    }

    pub(super) fn sell(&self) -> &SellMatrix {
        self.sell.get_or_init(|| {
            let pack = if self.isa.gathers_at_once() { SellMatrix::by_gaps } else { SellMatrix::new };
            pack(&self.matrix, self.isa.lanes())
                .unwrap_or_else(|error| unreachable!("vectors have so many lanes: {error}"))
        })
    }

    /// The layer on a whole batch, by the dense product on some threads of the current rayon pool. What a pruned weight
    /// multiplies counts there, if it is infinite or NaN: samples with NaN in their output are done again from the CSR.
    /// The buffers hold the activations of a tile, before and after the layer.
    #[cfg(feature = "dense")]
    pub(super) fn forward_batch(
        &self,
        x: ArrayView2<'_, f32>,
        mut y: ArrayViewMut2<'_, f32>,
        [before, after]: &mut Buffers,
        threads: usize,
    ) {
        let (samples, (out, inputs)) = (x.nrows(), self.shape());
        // Where only the outputs lie in rows, that is enough: the way there for the inputs takes longer than it saves.
        // (By 0 to a third, of six networks with 2 to 12 samples on a Granite Rapids.)
        let rows = y.strides()[1] == 1;
        // Threads must not show: for these faer's share out the inputs, and each output's sum with them.
        let columns = samples == 1 && by_columns((out, inputs), self.isa);
        let threads = if columns || out == 1 { 1 } else { threads };
        // Which way round faer is fastest: measured.
        let finite = if samples > 1 && !rows && few_samples((out, inputs), samples, self.isa) {
            // So much faster on rows that they are worth the way to them, and back.
            let (x_rows, y_rows) = (&mut before[..samples * inputs], &mut after[..samples * out]);
            Rows { samples: 0..samples, stride: inputs }.load(x, x_rows, self.isa);
            let mut product = matrix_mut(y_rows, samples, false);
            gemm(product.view_mut(), matrix(x_rows, samples, false), self.transposed(), threads);
            let finite = finish(product, self.bias_slice(), self.activation, self.isa);
            Rows { samples: 0..samples, stride: out }.store(y_rows, y.view_mut(), self.isa);
            finite
        } else {
            if columns {
                gemm(y.view_mut(), x, self.transposed(), threads);
            } else if samples == 1 {
                gemm(y.view_mut().reversed_axes(), self.dense(), x.t(), threads);
            } else if rows && !by_weights((out, inputs), samples, self.isa) {
                gemm(y.view_mut(), x, self.transposed(), threads);
            } else {
                gemm(y.view_mut(), x, self.dense().t(), threads);
            }
            finish(y.view_mut(), self.bias_slice(), self.activation, self.isa)
        };
        if finite {
            return;
        }
        for (x, mut y) in x.rows().into_iter().zip(y.rows_mut()) {
            if y.iter().any(|value| value.is_nan()) {
                let stride = x.len().max(y.len());
                let (before, after) = (&mut before[..stride], &mut after[..stride]);
                before.iter_mut().zip(&x).for_each(|(place, &value)| *place = value);
                let group = Group { samples: 1, x: before, stride, together: 1 };
                self.forward_rows(Format::Csr, group, after, 1);
                y.iter_mut().zip(after).for_each(|(place, value)| *place = *value);
            }
        }
    }

    #[cfg(feature = "dense")]
    fn dense(&self) -> ArrayView2<'_, f32> {
        let weights = self.dense.get_or_init(|| self.matrix.to_dense());
        matrix(weights, self.shape().0, false)
    }

    #[cfg(feature = "dense")]
    fn transposed(&self) -> ArrayView2<'_, f32> {
        let weights = self.transposed.get_or_init(|| self.dense().reversed_axes().into());
        matrix(weights, self.shape().1, false)
    }

    pub(super) fn matrix(&self) -> &CsrMatrix {
        &self.matrix
    }

    pub(super) fn bias_slice(&self) -> &[f32] {
        self.bias.as_slice().unwrap_or_else(|| unreachable!("the constructor made it contiguous"))
    }
}
