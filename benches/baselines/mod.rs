//! What the benches run: [networks], and everyone who can [run](runners) them.
//!
//! Every contender takes the caller's activations as they lie, `[batch, features]` row-major or feature-major, and
//! leaves its outputs in the same order, with bias and activation: conversions, buffers and all that a program would
//! have to do again for the next batch are in its time, and what a program does once (packing, hints) is not.

// Each bench has its own copy of this module, and none uses all of it.
#![allow(dead_code, unreachable_pub)]

pub mod mkl;
pub mod networks;
mod runners;

use std::fmt;
use std::sync::{Arc, OnceLock};

use ndarray::{Array2, ArrayView2, ArrayViewMut2};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tombola::dense::{DenseInference, Orientation};

use mkl::mkl;
use networks::{Model, Order};
use runners::{faer_sparse, faer_threads, mkl_dense, mkl_packed, mkl_sparse, sprs};

/// A model and a batch for it.
pub struct Case {
    pub model: Arc<Model>,
    pub batch: usize,
    pub x: Array2<f32>,
    /// What tombola makes of it.
    expected: OnceLock<Array2<f32>>,
}

impl Case {
    pub fn new(model: Arc<Model>, batch: usize) -> Self {
        let mut x = model.network.order.zeros((batch, model.dense.inputs()));
        x.indexed_iter_mut().for_each(|((i, j), x)| *x = ((31 * i + j) as f32).sin());
        Self { model, batch, x, expected: OnceLock::new() }
    }

    /// A contender ready to run, and outputs for it to write.
    ///
    /// Panics when it computes something other than tombola: nobody is timed doing something else.
    pub fn ready(&self, contender: Contender) -> (Runner<'_>, Array2<f32>) {
        let output = || self.order().zeros((self.batch, self.model.dense.outputs()));
        let expected = self.expected.get_or_init(|| {
            let mut y = output();
            Contender::Tombola.ready(self)(self.x.view(), y.view_mut());
            y
        });
        let (mut run, mut y) = (contender.ready(self), output());
        run(self.x.view(), y.view_mut());
        let largest = expected.iter().fold(0.0_f32, |largest, y| largest.max(y.abs()));
        let wrong = (y.iter().zip(expected)).find(|(y, expected)| {
            // Not `>`, which a NaN would pass.
            let close = (*y - *expected).abs() <= 1e-4 * largest;
            !close
        });
        let Model { network, sparsity, .. } = &*self.model;
        assert!(
            wrong.is_none() && largest > 0.0,
            "{contender} is wrong on {}, batch {}, sparsity {sparsity}: {wrong:?}",
            network.name,
            self.batch,
        );
        (run, y)
    }

    fn order(&self) -> Order {
        self.model.network.order
    }
}

/// Everyone who can run a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// Dense, by faer: the baseline.
    Faer(Orientation),
    /// Dense, by faer, on all cores.
    FaerThreads(Orientation),
    /// Dense, by MKL's `sgemm` (`sgemv` for one sample), the weights in an order.
    MklDense(Order),
    /// Dense, by MKL, the weights packed.
    MklPacked,
    /// faer's sparse × dense product.
    FaerSparse(Storage),
    /// sprs' sparse × dense product, on activations of an order.
    Sprs(Order),
    /// MKL's sparse × dense product on CSR, with hint and `optimize`.
    MklSparse(Cut),
    Tombola,
    /// On all cores.
    TombolaThreads,
}

/// Which way a sparse matrix is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    Csr,
    Csc,
}

/// What of a batch goes into one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// All of it, as the caller has it.
    Whole,
    /// 64 samples at a time, feature-major, through all layers.
    Panels,
}

/// Contenders of which only the best counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Faer,
    FaerThreads,
    MklDense,
    FaerSparse,
    Sprs,
    MklSparse,
    Tombola,
    TombolaThreads,
}

/// Computes the outputs for some activations, both of the case's shape and order.
pub type Runner<'a> = Box<dyn FnMut(ArrayView2<'_, f32>, ArrayViewMut2<'_, f32>) + 'a>;

impl Contender {
    /// All that this machine has for a batch.
    pub fn all(batch: usize) -> Vec<Self> {
        let mut all = Orientation::ALL.map(Self::Faer).to_vec();
        let orders = [Order::RowMajor, Order::ColumnMajor];
        if mkl().is_some() {
            all.extend(orders.map(Self::MklDense));
            all.push(Self::MklPacked);
        }
        all.extend([Storage::Csr, Storage::Csc].map(Self::FaerSparse));
        all.extend(orders.map(Self::Sprs));
        if mkl().is_some() {
            all.extend([Cut::Whole, Cut::Panels].map(Self::MklSparse));
        }
        all.push(Self::Tombola);
        if threads() > 1 {
            all.extend(Orientation::ALL.map(Self::FaerThreads));
            all.push(Self::TombolaThreads);
        }
        // One sample lies as it lies.
        let twice = [Self::Sprs(Order::ColumnMajor), Self::MklSparse(Cut::Panels)];
        all.retain(|contender| batch > 1 || !twice.contains(contender));
        all
    }

    pub fn family(self) -> Family {
        match self {
            Self::Faer(_) => Family::Faer,
            Self::FaerThreads(_) => Family::FaerThreads,
            Self::MklDense(_) | Self::MklPacked => Family::MklDense,
            Self::FaerSparse(_) => Family::FaerSparse,
            Self::Sprs(_) => Family::Sprs,
            Self::MklSparse(_) => Family::MklSparse,
            Self::Tombola => Family::Tombola,
            Self::TombolaThreads => Family::TombolaThreads,
        }
    }

    /// Whether its time does not depend on the sparsity.
    pub fn is_dense(self) -> bool {
        matches!(self.family(), Family::Faer | Family::FaerThreads | Family::MklDense)
    }

    /// What tells it from its family.
    pub fn variant(self) -> &'static str {
        match self {
            Self::Faer(orientation) | Self::FaerThreads(orientation) => orientation.name(),
            Self::MklDense(Order::RowMajor) => "X·Wᵀ",
            Self::MklDense(Order::ColumnMajor) => "X·V",
            Self::MklPacked => "packed",
            Self::FaerSparse(Storage::Csr) => "CSR",
            Self::FaerSparse(Storage::Csc) => "CSC",
            Self::Sprs(Order::RowMajor) => "by samples",
            Self::Sprs(Order::ColumnMajor) => "by features",
            Self::MklSparse(Cut::Whole) => "whole",
            Self::MklSparse(Cut::Panels) => "panels",
            Self::Tombola | Self::TombolaThreads => "",
        }
    }

    /// Gets it ready for a case: whatever a program would do once.
    fn ready(self, case: &Case) -> Runner<'_> {
        let Model { dense, sparse, .. } = &*case.model;
        let mkl = || mkl().expect("MKL's contenders are listed only where it is");
        match self {
            Self::Faer(orientation) => {
                let mut dense = DenseInference::new(dense, orientation);
                Box::new(move |x, y| dense.forward_into(x, y).expect("the shapes fit"))
            }
            Self::FaerThreads(orientation) => faer_threads(case, orientation),
            Self::MklDense(order) => mkl_dense(case, mkl(), order),
            Self::MklPacked => mkl_packed(case, mkl()),
            Self::FaerSparse(storage) => faer_sparse(case, storage),
            Self::Sprs(order) => sprs(case, order),
            Self::MklSparse(cut) => mkl_sparse(case, mkl(), cut),
            Self::Tombola => {
                let mut workspace = sparse.workspace(case.batch);
                Box::new(move |x, y| sparse.forward_into(x, y, &mut workspace).expect("the shapes fit"))
            }
            Self::TombolaThreads => {
                let mut workspace = pool().install(|| sparse.parallel_workspace(case.batch));
                Box::new(move |x, y| {
                    pool().install(|| sparse.forward_into(x, y, &mut workspace).expect("the shapes fit"));
                })
            }
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family() {
            Family::Faer => "faer".into(),
            Family::FaerThreads => format!("faer {} threads", threads()),
            Family::MklDense => "mkl dense".into(),
            Family::FaerSparse => "faer sparse".into(),
            Family::Sprs => "sprs".into(),
            Family::MklSparse => "mkl sparse".into(),
            Family::Tombola => "tombola".into(),
            Family::TombolaThreads => format!("tombola {} threads", threads()),
        };
        f.pad(format!("{family} {}", self.variant()).trim_end())
    }
}

pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A thread a core, of which the bench's is one: to hand work to a pool from outside, and to wait for it, takes
/// microseconds.
fn pool() -> &'static ThreadPool {
    static POOL: OnceLock<ThreadPool> = OnceLock::new();
    let builder = || ThreadPoolBuilder::new().num_threads(threads()).use_current_thread();
    POOL.get_or_init(|| builder().build().expect("threads"))
}
