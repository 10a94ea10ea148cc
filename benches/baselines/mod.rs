//! What the benches run: networks, and everyone who can run them.
//!
//! Every contender takes the caller's activations as they lie, `[batch, features]` row-major or feature-major, and
//! leaves its outputs in the same order, with bias and activation: conversions, buffers and all that a program would
//! have to do again for the next batch are in its time, and what a program does once (packing, hints) is not.

// Each bench has its own copy of this module, and none uses all of it.
#![allow(dead_code, unreachable_pub)]

pub mod mkl;

use std::fmt;
use std::sync::{Arc, OnceLock};

use faer::linalg::matmul::matmul;
use faer::sparse::linalg::matmul::sparse_dense_matmul;
use faer::sparse::{SparseColMat, SparseRowMat, SymbolicSparseColMat, SymbolicSparseRowMat};
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, ShapeBuilder, s};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tombola::dense::{DenseInference, DenseLayer, DenseMlp, Initialisation, Orientation};
use tombola::{Activation, Mask, SparseMlp};

use mkl::{Mkl, mkl};

/// How a matrix lies in memory. Activations are `[batch, features]`, so column-major ones are feature-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    RowMajor,
    ColumnMajor,
}

impl Order {
    /// The order of a contiguous matrix. A single row is of both; it is called row-major.
    pub fn of(matrix: ArrayView2<'_, f32>) -> Self {
        if matrix.is_standard_layout() {
            return Self::RowMajor;
        }
        assert!(matrix.t().is_standard_layout(), "row-major or column-major");
        Self::ColumnMajor
    }

    pub fn zeros(self, shape: (usize, usize)) -> Array2<f32> {
        Array2::zeros(shape.set_f(self == Self::ColumnMajor))
    }
}

/// The sizes of a network, how its caller's activations lie, and where its weights are kept.
#[derive(Debug)]
pub struct Network {
    pub name: &'static str,
    pub sizes: &'static [usize],
    pub order: Order,
    pub rows: Rows,
}

/// How many weights the rows of a mask keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// What chance gives them: about the same. The hardest case, for there is nothing to find.
    Uniform,
    /// The n-th longest row a share of 1/n, in no order, and none more than there are columns.
    PowerLaw,
}

impl Network {
    pub fn weights(&self) -> usize {
        self.sizes.windows(2).map(|pair| pair[0] * pair[1]).sum()
    }
}

const NETWORKS: &[Network] = &[
    Network {
        name: "LeNet-300-100",
        sizes: &[784, 300, 100, 10],
        order: Order::RowMajor,
        rows: Rows::Uniform,
    },
    Network { name: "1024×1024", sizes: &[1024, 1024], order: Order::ColumnMajor, rows: Rows::Uniform },
    Network {
        name: "1024×1024 row-major",
        sizes: &[1024, 1024],
        order: Order::RowMajor,
        rows: Rows::Uniform,
    },
    Network {
        name: "1024×1024 skewed",
        sizes: &[1024, 1024],
        order: Order::ColumnMajor,
        rows: Rows::PowerLaw,
    },
    Network {
        name: "768→3072→768", sizes: &[768, 3072, 768], order: Order::RowMajor, rows: Rows::Uniform
    },
    Network { name: "4096×4096", sizes: &[4096, 4096], order: Order::ColumnMajor, rows: Rows::Uniform },
];

/// Small ones, to see that everything works.
const TINY: &[Network] = &[
    Network { name: "60→40→10", sizes: &[60, 40, 10], order: Order::RowMajor, rows: Rows::Uniform },
    Network { name: "70×50", sizes: &[70, 50], order: Order::ColumnMajor, rows: Rows::PowerLaw },
];

pub const SPARSITIES: [f64; 3] = [0.8, 0.9, 0.95];

/// Whether the bench only has to show that it runs: `cargo bench -- --test`.
pub fn is_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

pub fn networks() -> &'static [Network] {
    if is_test() { TINY } else { NETWORKS }
}

pub fn batches() -> &'static [usize] {
    // 70 is a whole panel of samples and a part of one.
    if is_test() { &[1, 70] } else { &[1, 16, 64, 256, 512] }
}

/// A network with pruned weights, dense and sparse.
pub struct Model {
    pub network: &'static Network,
    pub sparsity: f64,
    /// With zeros where the sparse one has nothing.
    pub dense: DenseMlp,
    pub sparse: SparseMlp,
}

impl Model {
    pub fn new(network: &'static Network, sparsity: f64) -> Self {
        let initial = DenseMlp::initialise(network.sizes, Initialisation::TorchDefault, 1)
            .expect("the sizes are positive");
        // A layer by itself stands for one inside of a network: it has a ReLU.
        let last = initial.layers().len() - 1;
        let layers = initial.layers().iter().enumerate().map(|(index, layer)| {
            let activation = if index < last || last == 0 { Activation::Relu } else { Activation::Identity };
            DenseLayer::new(layer.weight().to_owned(), layer.bias().to_owned(), activation)
        });
        let mut dense =
            DenseMlp::new(layers.collect::<Result<_, _>>().expect("as they were")).expect("the sizes fit");
        let masks: Vec<Mask> = (dense.weight_views().iter().enumerate())
            .map(|(index, weight)| network.rows.mask(weight.dim(), sparsity, 1 + index as u64))
            .collect();
        dense.apply_masks(&masks).expect("the masks fit");
        let sparse = dense.to_sparse(&masks).expect("the masks fit");
        Self { network, sparsity, dense, sparse }
    }
}

impl Rows {
    pub fn mask(self, shape: (usize, usize), sparsity: f64, seed: u64) -> Mask {
        match self {
            Self::Uniform => Mask::random(shape, sparsity, seed).expect("a sparsity of a layer"),
            Self::PowerLaw => {
                let lengths = power_law(shape, sparsity);
                let rows: Vec<Mask> = (lengths.iter().enumerate())
                    .map(|(row, &len)| {
                        Mask::random_count((1, shape.1), len, seed + 1000 * (1 + row as u64))
                            .expect("no row is longer than the matrix is wide")
                    })
                    .collect();
                Mask::from_fn(shape, |row, column| rows[row].get(0, column) == Some(true))
            }
        }
    }
}

/// Lengths of rows, the n-th longest about `scale / n`, together about what the sparsity leaves.
fn power_law((rows, columns): (usize, usize), sparsity: f64) -> Vec<usize> {
    let wanted = (1.0 - sparsity) * (rows * columns) as f64;
    let length = |scale: f64, rank: usize| (scale / (1 + rank) as f64).round().min(columns as f64);
    let (mut low, mut high) = (0.0, (rows * columns) as f64);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        let sum: f64 = (0..rows).map(|rank| length(middle, rank)).sum();
        if sum < wanted { low = middle } else { high = middle }
    }
    // Shuffled, as neurons come: a prime that divides no count of rows here visits each once.
    (0..rows).map(|row| length(high, row * 7919 % rows) as usize).collect()
}

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

/// A thread a core.
fn pool() -> &'static ThreadPool {
    static POOL: OnceLock<ThreadPool> = OnceLock::new();
    POOL.get_or_init(|| ThreadPoolBuilder::new().num_threads(threads()).build().expect("threads"))
}

/// The activations between the layers.
struct Hidden(Vec<Array2<f32>>);

impl Hidden {
    fn new(case: &Case, batch: usize, order: Order) -> Self {
        let layers = case.model.dense.layers().split_last().expect("a layer").1;
        Self(layers.iter().map(|layer| order.zeros((batch, layer.shape().0))).collect())
    }

    /// Runs all layers, each of which computes its outputs of its inputs without bias and activation.
    fn run(
        &mut self,
        case: &Case,
        x: ArrayView2<'_, f32>,
        mut y: ArrayViewMut2<'_, f32>,
        mut layer: impl FnMut(usize, ArrayView2<'_, f32>, ArrayViewMut2<'_, f32>),
    ) {
        let (mut input, layers) = (x, case.model.dense.layers());
        for (index, hidden) in self.0.iter_mut().enumerate() {
            layer(index, input, hidden.view_mut());
            finish(layers[index].bias(), layers[index].activation(), hidden.view_mut());
            input = hidden.view();
        }
        let last = layers.len() - 1;
        layer(last, input, y.view_mut());
        finish(layers[last].bias(), layers[last].activation(), y);
    }
}

/// Adds the bias and applies the activation, in one pass over a contiguous `[batch, out]`.
fn finish(bias: ArrayView1<'_, f32>, activation: Activation, mut y: ArrayViewMut2<'_, f32>) {
    fn each<'a>(
        activation: Activation,
        values: impl Iterator<Item = &'a mut f32>,
        biases: impl Iterator<Item = f32>,
    ) {
        // One loop an activation, so that each of them vectorises.
        match activation {
            Activation::Identity => values.zip(biases).for_each(|(value, bias)| *value += bias),
            Activation::Relu => {
                values.zip(biases).for_each(|(value, bias)| *value = Activation::Relu.apply(*value + bias));
            }
            other => unreachable!("no network here has {other}"),
        }
    }
    let bias = bias.to_slice().expect("contiguous");
    let batch = y.nrows();
    if let Some(y) = y.as_slice_mut() {
        y.chunks_exact_mut(bias.len()).for_each(|row| each(activation, row.iter_mut(), bias.iter().copied()));
    } else {
        let mut y = y.reversed_axes();
        let y = y.as_slice_mut().expect("row-major or column-major");
        for (column, &bias) in y.chunks_exact_mut(batch).zip(bias) {
            each(activation, column.iter_mut(), std::iter::repeat(bias));
        }
    }
}

/// Copies a contiguous matrix into one of any order, in blocks that stay in the cache.
fn copy(from: ArrayView2<'_, f32>, mut to: ArrayViewMut2<'_, f32>) {
    const BLOCK: usize = 16;
    if Order::of(from) == Order::of(to.view()) {
        return to.assign(&from);
    }
    for (from, mut to) in from.axis_chunks_iter(Axis(0), BLOCK).zip(to.axis_chunks_iter_mut(Axis(0), BLOCK)) {
        for (from, mut to) in
            from.axis_chunks_iter(Axis(1), BLOCK).zip(to.axis_chunks_iter_mut(Axis(1), BLOCK))
        {
            to.assign(&from);
        }
    }
}

/// A runner that works on activations of an order, from one that is given them; converts where the caller's differ.
fn in_order<'a>(
    case: &'a Case,
    order: Order,
    mut run: impl FnMut(ArrayView2<'_, f32>, ArrayViewMut2<'_, f32>) + 'a,
) -> Runner<'a> {
    if case.batch == 1 || order == case.order() {
        return Box::new(run);
    }
    let mut input = order.zeros(case.x.dim());
    let mut output = order.zeros((case.batch, case.model.dense.outputs()));
    Box::new(move |x, y| {
        copy(x, input.view_mut());
        run(input.view(), output.view_mut());
        copy(output.view(), y);
    })
}

fn mat(x: ArrayView2<'_, f32>) -> MatRef<'_, f32> {
    let (rows, columns) = x.dim();
    match x.to_slice() {
        Some(slice) => MatRef::from_row_major_slice(slice, rows, columns),
        None => {
            let slice = x.reversed_axes().to_slice().expect("row-major or column-major");
            MatRef::from_column_major_slice(slice, rows, columns)
        }
    }
}

fn mat_mut(x: ArrayViewMut2<'_, f32>) -> MatMut<'_, f32> {
    let (rows, columns) = x.dim();
    if x.is_standard_layout() {
        MatMut::from_row_major_slice_mut(x.into_slice().expect("row-major"), rows, columns)
    } else {
        let slice = x.reversed_axes().into_slice().expect("row-major or column-major");
        MatMut::from_column_major_slice_mut(slice, rows, columns)
    }
}

/// As tombola's `DenseInference`, on all cores.
fn faer_threads<'a>(case: &'a Case, orientation: Orientation) -> Runner<'a> {
    let weights: Vec<_> = (case.model.dense.weight_views().into_iter())
        .map(|weight| match orientation {
            Orientation::Pretransposed => weight.t().as_standard_layout().into_owned(),
            Orientation::XWt | Orientation::WXt => weight.reversed_axes().to_owned(),
        })
        .collect();
    let order = if orientation == Orientation::WXt { Order::ColumnMajor } else { Order::RowMajor };
    let mut hidden = Hidden::new(case, case.batch, order);
    Box::new(move |x, y| {
        pool().install(|| {
            hidden.run(case, x, y, |index, x, y| {
                let weight = mat(weights[index].view());
                matmul(mat_mut(y), Accum::Replace, mat(x), weight, 1.0, Par::rayon(0));
            });
        });
    })
}

fn mkl_dense<'a>(case: &'a Case, mkl: &'static Mkl, order: Order) -> Runner<'a> {
    let weights: Vec<_> = (case.model.dense.weight_views().into_iter())
        .map(|weight| {
            let mut laid_out = order.zeros(weight.dim());
            laid_out.assign(&weight);
            laid_out
        })
        .collect();
    let mut hidden = Hidden::new(case, case.batch, case.order());
    Box::new(move |x, y| {
        hidden.run(case, x, y, |index, x, y| mkl.multiply(x, weights[index].view(), y));
    })
}

fn mkl_packed<'a>(case: &'a Case, mkl: &'static Mkl) -> Runner<'a> {
    let order = if case.batch == 1 { Order::RowMajor } else { case.order() };
    let weights = case.model.dense.weight_views();
    let weights: Vec<_> = weights.into_iter().map(|weight| mkl.pack(weight, case.batch, order)).collect();
    let mut hidden = Hidden::new(case, case.batch, order);
    Box::new(move |x, y| {
        hidden.run(case, x, y, |index, x, y| mkl.multiply_packed(x, &weights[index], y));
    })
}

/// On activations with a sample's features side by side, which both of its loops want.
fn faer_sparse<'a>(case: &'a Case, storage: Storage) -> Runner<'a> {
    enum Matrix {
        Csr(SparseRowMat<u32, f32>),
        Csc(SparseColMat<u32, f32>),
    }
    let weights: Vec<_> = (case.model.sparse.layers().iter())
        .map(|layer| {
            let (rows, columns) = layer.shape();
            let pointers = |csr: &tombola::Csr| csr.proper_indptr().to_vec();
            match storage {
                Storage::Csr => {
                    let csr = layer.csr();
                    let places = SymbolicSparseRowMat::new_checked(
                        rows,
                        columns,
                        pointers(csr),
                        None,
                        csr.indices().to_vec(),
                    );
                    Matrix::Csr(SparseRowMat::new(places, csr.data().to_vec()))
                }
                Storage::Csc => {
                    let csc = layer.csr().to_csc();
                    let places = SymbolicSparseColMat::new_checked(
                        rows,
                        columns,
                        pointers(&csc),
                        None,
                        csc.indices().to_vec(),
                    );
                    Matrix::Csc(SparseColMat::new(places, csc.data().to_vec()))
                }
            }
        })
        .collect();
    let mut hidden = Hidden::new(case, case.batch, Order::RowMajor);
    in_order(case, Order::RowMajor, move |x, y| {
        hidden.run(case, x, y, |index, x, y| {
            let (x, y) = (mat(x).transpose(), mat_mut(y).transpose_mut());
            match &weights[index] {
                Matrix::Csr(csr) => sparse_dense_matmul(y, Accum::Replace, csr.as_ref(), x, 1.0, Par::Seq),
                Matrix::Csc(csc) => sparse_dense_matmul(y, Accum::Replace, csc.as_ref(), x, 1.0, Par::Seq),
            }
        });
    })
}

fn sprs<'a>(case: &'a Case, order: Order) -> Runner<'a> {
    let mut hidden = Hidden::new(case, case.batch, order);
    in_order(case, order, move |x, y| {
        hidden.run(case, x, y, |index, x, mut y| {
            let csr = case.model.sparse.layers()[index].csr().view();
            y.fill(0.0);
            if let (1, Some(x), Some(y)) = (x.nrows(), x.as_slice(), y.as_slice_mut()) {
                sprs::prod::mul_acc_mat_vec_csr(csr, x, y);
            } else if order == Order::ColumnMajor {
                sprs::prod::csr_mulacc_dense_rowmaj(csr, x.t(), y.reversed_axes());
            } else {
                sprs::prod::csr_mulacc_dense_colmaj(csr, x.t(), y.reversed_axes());
            }
        });
    })
}

fn mkl_sparse<'a>(case: &'a Case, mkl: &'static Mkl, cut: Cut) -> Runner<'a> {
    const PANEL: usize = 64;
    let (order, width) = match cut {
        Cut::Whole => (case.order(), case.batch),
        Cut::Panels => (Order::ColumnMajor, PANEL.min(case.batch)),
    };
    let layers = case.model.sparse.layers();
    let weights: Vec<_> = layers.iter().map(|layer| mkl.sparse(layer.csr(), width, order)).collect();
    if cut == Cut::Whole || case.batch == 1 {
        let mut hidden = Hidden::new(case, case.batch, order);
        return Box::new(move |x, y| {
            hidden.run(case, x, y, |index, x, y| weights[index].multiply(x, y));
        });
    }
    // Whole panels, and what is left over.
    let rest = case.batch % width;
    let mut panels: Vec<_> = ([width, rest].into_iter().filter(|&samples| samples > 0))
        .map(|samples| {
            let buffer = |features| order.zeros((samples, features));
            let (input, output) = (buffer(case.model.dense.inputs()), buffer(case.model.dense.outputs()));
            (input, output, Hidden::new(case, samples, order))
        })
        .collect();
    Box::new(move |x, mut y| {
        for start in (0..case.batch).step_by(width) {
            let samples = start..(start + width).min(case.batch);
            let (input, output, hidden) = &mut panels[usize::from(samples.len() < width)];
            mkl.copy(x.slice(s![samples.clone(), ..]), input.view_mut());
            hidden.run(case, input.view(), output.view_mut(), |index, x, y| weights[index].multiply(x, y));
            mkl.copy(output.view(), y.slice_mut(s![samples, ..]));
        }
    })
}
