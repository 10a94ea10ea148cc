//! How each of the others runs a network.

use faer::linalg::matmul::matmul;
use faer::sparse::linalg::matmul::sparse_dense_matmul;
use faer::sparse::{SparseColMat, SparseRowMat, SymbolicSparseColMat, SymbolicSparseRowMat};
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, s};
use tombola::Activation;
use tombola::dense::Orientation;

use super::mkl::Mkl;
use super::networks::Order;
use super::{Case, Cut, Runner, Storage, pool};

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
pub(super) fn faer_threads<'a>(case: &'a Case, orientation: Orientation) -> Runner<'a> {
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

pub(super) fn mkl_dense<'a>(case: &'a Case, mkl: &'static Mkl, order: Order) -> Runner<'a> {
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

pub(super) fn mkl_packed<'a>(case: &'a Case, mkl: &'static Mkl) -> Runner<'a> {
    let order = if case.batch == 1 { Order::RowMajor } else { case.order() };
    let weights = case.model.dense.weight_views();
    let weights: Vec<_> = weights.into_iter().map(|weight| mkl.pack(weight, case.batch, order)).collect();
    let mut hidden = Hidden::new(case, case.batch, order);
    Box::new(move |x, y| {
        hidden.run(case, x, y, |index, x, y| mkl.multiply_packed(x, &weights[index], y));
    })
}

/// On activations with a sample's features side by side, which both of its loops want.
pub(super) fn faer_sparse<'a>(case: &'a Case, storage: Storage) -> Runner<'a> {
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

pub(super) fn sprs<'a>(case: &'a Case, order: Order) -> Runner<'a> {
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

pub(super) fn mkl_sparse<'a>(case: &'a Case, mkl: &'static Mkl, cut: Cut) -> Runner<'a> {
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
