//! Whole forward passes: faer in each of its orientations, sprs as a Rust user has it today, and tombola, over batch and
//! sparsity, on one thread. `cargo bench` runs them; the sparse times include the conversion of the caller's layout,
//! bias and activation, as the dense times do.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::{Array2, Axis};
use tombola::dense::{DenseInference, DenseMlp, Initialisation, Orientation};
use tombola::{Activation, Mask};

const NETWORKS: [(&str, &[usize]); 2] =
    [("LeNet-300-100", &[784, 300, 100, 10]), ("1024x1024", &[1024, 1024])];
const BATCHES: [usize; 3] = [1, 64, 512];
const SPARSITIES: [f64; 3] = [0.8, 0.9, 0.95];

fn forward(criterion: &mut Criterion) {
    for (name, sizes) in NETWORKS {
        let network =
            DenseMlp::initialise(sizes, Initialisation::TorchDefault, 1).expect("the sizes are positive");
        for batch in BATCHES {
            let mut group = criterion.benchmark_group(format!("{name}/batch {batch}"));
            group.throughput(Throughput::Elements(batch as u64));
            let x = Array2::from_shape_fn((batch, network.inputs()), |(i, j)| ((i * 31 + j) as f32).sin());
            let mut y = Array2::zeros((batch, network.outputs()));
            for orientation in Orientation::ALL {
                let mut dense = DenseInference::new(&network, orientation);
                group.bench_function(BenchmarkId::new("faer", orientation.name()), |bencher| {
                    bencher.iter(|| {
                        dense.forward_into(black_box(x.view()), y.view_mut()).expect("the shapes fit")
                    });
                });
            }
            for sparsity in SPARSITIES {
                let masks =
                    network.weight_views().into_iter().map(|weight| Mask::magnitude(weight, sparsity));
                let masks = masks.collect::<Result<Vec<_>, _>>().expect("no weight is NaN");
                let sparse = network.to_sparse(&masks).expect("the masks fit");
                let mut workspace = sparse.workspace(batch);
                group.bench_function(BenchmarkId::new("tombola", sparsity), |bencher| {
                    bencher.iter(|| {
                        sparse
                            .forward_into(black_box(x.view()), y.view_mut(), &mut workspace)
                            .expect("the shapes fit");
                    });
                });
                group.bench_function(BenchmarkId::new("sprs", sparsity), |bencher| {
                    bencher.iter(|| by_sprs(&sparse, black_box(&x)));
                });
            }
            group.finish();
        }
    }
}

/// The same with sprs' own product, on feature-major activations: `Y = W·X`.
fn by_sprs(mlp: &tombola::SparseMlp, x: &Array2<f32>) -> Array2<f32> {
    let mut activations = x.t().as_standard_layout().into_owned();
    for layer in mlp.layers() {
        let bias = layer.bias().insert_axis(Axis(1));
        let mut next = bias.broadcast((layer.shape().0, x.nrows())).expect("one bias a row").to_owned();
        sprs::prod::csr_mulacc_dense_rowmaj(layer.csr().view(), activations.view(), next.view_mut());
        if layer.activation() == Activation::Relu {
            next.mapv_inplace(|value| Activation::Relu.apply(value));
        }
        activations = next;
    }
    activations.reversed_axes().as_standard_layout().into_owned()
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = forward
}
criterion_main!(benches);
