//! From a mask to packed weights: what loading a model costs, in bytes of dense weights read.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use tombola::format::{CsrMatrix, LookupMatrix, PanelMatrix, Window};
use tombola::{Activation, Isa, Mask, SparseLinear, SparseMlp};

const LAYERS: [(usize, usize); 5] = [(300, 784), (100, 300), (10, 100), (1024, 1024), (4096, 4096)];
const TINY: [(usize, usize); 1] = [(10, 100)];
const SPARSITIES: [f64; 4] = [0.5, 0.8, 0.9, 0.95];

fn convert(criterion: &mut Criterion) {
    let isa = Isa::detect().expect("an instruction set");
    // Lanes of a vector, and columns of a panel: as the plan has them where rows are not nearly empty.
    let (lanes, width) = match isa.name() {
        "avx512" => (16, 192),
        "avx2" => (8, 768),
        _ => (8, 1536),
    };
    let window = Window::all(lanes).expect("lanes of a vector").next().expect("a window");
    let is_test = std::env::args().any(|argument| argument == "--test");
    for &shape in if is_test { &TINY[..] } else { &LAYERS } {
        let weight = Array2::from_shape_fn(shape, |(i, j)| ((31 * i + j) as f32).sin());
        let mut group = criterion.benchmark_group(format!("convert {}×{}", shape.0, shape.1));
        group.throughput(Throughput::Bytes((size_of::<f32>() * weight.len()) as u64));
        for sparsity in SPARSITIES {
            let percent = format!("{}%", 100.0 * sparsity);
            let mask = Mask::random(shape, sparsity, 1).expect("a sparsity of a layer");
            let to_csr = || mask.apply(black_box(weight.view())).expect("the mask fits");
            let csr = to_csr();
            let checked = CsrMatrix::new(csr.clone()).expect("a valid CSR");
            let to_lookup = |matrix: &CsrMatrix| LookupMatrix::new(matrix, window);
            let to_panels = |matrix: &CsrMatrix| PanelMatrix::new(matrix, width).expect("a width in range");

            group.bench_function(BenchmarkId::new("mask to CSR", &percent), |bencher| {
                bencher.iter_with_large_drop(to_csr);
            });
            group.bench_function(BenchmarkId::new("CSR checked", &percent), |bencher| {
                bencher.iter_batched(|| csr.clone(), CsrMatrix::new, BatchSize::LargeInput);
            });
            group.bench_function(BenchmarkId::new("CSR to lookup", &percent), |bencher| {
                bencher.iter_with_large_drop(|| to_lookup(black_box(&checked)));
            });
            group.bench_function(BenchmarkId::new("CSR to panels", &percent), |bencher| {
                bencher.iter_with_large_drop(|| to_panels(black_box(&checked)));
            });
            group.bench_function(BenchmarkId::new("all together", &percent), |bencher| {
                bencher.iter_with_large_drop(|| {
                    let matrix = CsrMatrix::new(to_csr()).expect("a valid CSR");
                    (to_lookup(&matrix), to_panels(&matrix))
                });
            });
            // With the plan, and in each format that a batch of up to so many samples needs, which may be four.
            for batch in [1, 64] {
                let name = format!("CSR to ready for batches up to {batch}");
                group.bench_function(BenchmarkId::new(name, &percent), |bencher| {
                    bencher.iter_batched(
                        || csr.clone(),
                        |csr| {
                            let layer = SparseLinear::new(csr, None, Activation::Relu);
                            let mlp = SparseMlp::new(vec![layer.expect("a valid CSR")]).expect("a network");
                            let workspace = mlp.workspace(batch);
                            (mlp, workspace)
                        },
                        BatchSize::LargeInput,
                    );
                });
            }
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400));
    targets = convert
}
criterion_main!(benches);
