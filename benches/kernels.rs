//! Each sparse format on each instruction set of this machine, against its roof: GFLOP/s of kept work, one thread, on
//! random masks or those with the structure that the format needs. A batch comes and goes feature-major, with bias and
//! ReLU, so this is a layer as inference runs it.

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::{Array1, Array2, ShapeBuilder};
use tombola::measure::Roofs;
use tombola::plan::{Format, Plan};
use tombola::{Activation, Isa, Mask, SparseLinear, SparseMlp};

const LAYERS: [(usize, usize); 3] = [(300, 784), (1024, 1024), (4096, 4096)];
const TINY: [(usize, usize); 1] = [(50, 70)];
const SPARSITIES: [f64; 4] = [0.8, 0.9, 0.95, 0.98];

/// The formats, and the batches for which they may make sense: beyond, a sample takes as long as in the last.
const FORMATS: [(&str, Format, &[usize]); 6] = [
    ("CSR", Format::Csr, &[1, 4]),
    ("SELL", Format::Sell, &[1, 4]),
    ("lookup", Format::Lookup, &[1, 4, 16]),
    ("N:32", Format::Nm, &[1, 4, 16]),
    ("16×1", Format::Block, &[1, 4, 16]),
    ("panel", Format::Panel, &[4, 16, 64, 128, 512]),
];

/// The network in a format; `None` where the instruction set has no kernel for it.
fn with_format(mlp: SparseMlp, batch: usize, format: Format) -> Option<SparseMlp> {
    let plan = Plan::uniform(&mlp, batch, format).ok()?;
    Some(mlp.with_plan(plan).expect("the plan is this network's"))
}

fn kernels(criterion: &mut Criterion) {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let skipped: Vec<_> = Isa::unavailable().collect();
    if !skipped.is_empty() {
        println!("not on this machine, and skipped: {}", skipped.join(", "));
    }
    let mut table = Vec::new();
    for isa in Isa::available() {
        let roofs = Roofs::of(isa);
        let (load, fma) = (1e-9 * roofs.load, 1e-9 * roofs.fma);
        println!("{isa}: load roof {load:.1} GFLOP/s, FMA roof {fma:.1} GFLOP/s");
        for &(out, inputs) in if is_test { &TINY[..] } else { &LAYERS } {
            for sparsity in SPARSITIES {
                for (name, format, batches) in FORMATS {
                    let mlp = layer((out, inputs), sparsity, format, isa);
                    for &batch in batches {
                        // Plain Rust takes its time.
                        if out * inputs * batch > 1 << 31 && isa == Isa::portable() {
                            continue;
                        }
                        let Some(mlp) = with_format(mlp.clone(), batch, format) else { continue };
                        let (shape, sparsity) = (format!("{out}×{inputs}"), format!("{}%", 100.0 * sparsity));
                        let group = format!("{isa}/{name}/{shape}/{sparsity}");
                        let Some(best) = bench(criterion, group, &mlp, batch) else { continue };
                        let gflops = 2e-9 * (mlp.kept() * batch) as f64 / best;
                        table.push(format!(
                            "{:<9} {name:<7} {shape:<10} {sparsity:>8} {batch:>6} {:>11.1} {gflops:>9.1} {:>8.0}% {:>8.0}%",
                            isa.name(),
                            1e6 * best,
                            100.0 * gflops / load,
                            100.0 * gflops / fma,
                        ));
                    }
                }
            }
        }
    }
    if !table.is_empty() && !is_test {
        println!("\nThe best sample of each, and its share of the two roofs:\n");
        println!(
            "{:<9} {:<7} {:<10} {:>8} {:>6} {:>11} {:>9} {:>9} {:>9}",
            "ISA", "format", "layer", "sparsity", "batch", "µs", "GFLOP/s", "of load", "of FMA"
        );
        table.iter().for_each(|line| println!("{line}"));
    }
}

/// A layer whose mask has the structure that a format needs, if it needs one.
fn layer(shape: (usize, usize), sparsity: f64, format: Format, isa: Isa) -> SparseMlp {
    let weight = Array2::from_shape_fn(shape, |(i, j)| ((31 * i + j) as f32).sin());
    let mask = match format {
        Format::Nm => Mask::n_of_m(weight.view(), (32.0 * (1.0 - sparsity)).round() as usize, 32),
        Format::Block => Mask::blocks(weight.view(), "16x1".parse().expect("a block"), sparsity),
        _ => Mask::random(shape, sparsity, 1),
    };
    let mask = mask.expect("a sparsity of a layer");
    let csr = mask.apply(weight.view()).expect("the mask fits");
    let bias = Array1::from_elem(shape.0, 0.1);
    let layer = SparseLinear::with_isa(csr, Some(bias), Activation::Relu, isa);
    SparseMlp::new(vec![layer.expect("a valid CSR")]).expect("one layer")
}

/// The time of a layer's best sample, in seconds, if the filter selects it.
fn bench(criterion: &mut Criterion, group: String, mlp: &SparseMlp, batch: usize) -> Option<f64> {
    let best = Cell::new(f64::INFINITY);
    let mut ready = None;
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements((2 * mlp.kept() * batch) as u64));
    group.bench_function(BenchmarkId::new("batch", batch), |bencher| {
        let (x, y, workspace) = ready.get_or_insert_with(|| {
            let x = Array2::from_shape_fn((batch, mlp.inputs()).f(), |(i, j)| ((31 * i + j) as f32).sin());
            (x, Array2::zeros((batch, mlp.outputs()).f()), mlp.workspace(batch))
        });
        bencher.iter_custom(|iterations| {
            let start = Instant::now();
            for _ in 0..iterations {
                mlp.forward_into(black_box(x.view()), y.view_mut(), workspace).expect("the shapes fit");
            }
            let time = start.elapsed();
            best.set(best.get().min(time.as_secs_f64() / iterations as f64));
            time
        });
    });
    group.finish();
    Some(best.get()).filter(|best| best.is_finite())
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(150));
    targets = kernels
}
criterion_main!(benches);
