//! The training step of LeNet-300-100 at batch 60, with Adam, on one thread: dense, dense under masks, and on kept
//! weights. An element a second is an iteration a second. Ratios come from a table after that, for which all run in
//! turn. PyTorch's step is `benches/pytorch_step.py`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use tombola::dense::{DenseMlp, Initialisation, Optimizer, Products, Samples, Trainer};
use tombola::measure::interleaved;
use tombola::{Isa, Mask};

const SIZES: [usize; 4] = [784, 300, 100, 10];
const BATCH: usize = 60;

/// Samples of the data set: more than fit the second-level cache, as in training.
const SAMPLES: usize = 6000;

/// Products, and the share of the weights that masks prune.
const CASES: [(Products, Option<f64>); 7] = [
    (Products::Dense, None),
    (Products::Dense, Some(0.9)),
    (Products::Sparse, Some(0.5)),
    (Products::Sparse, Some(0.8)),
    (Products::Sparse, Some(0.9)),
    (Products::Sparse, Some(0.95)),
    (Products::Sparse, Some(0.97)),
];

fn name((products, sparsity): (Products, Option<f64>)) -> String {
    match sparsity {
        None => "dense".into(),
        Some(sparsity) if products == Products::Dense => format!("dense under masks/{}%", 100.0 * sparsity),
        Some(sparsity) => format!("kept weights/{}%", 100.0 * sparsity),
    }
}

struct Data {
    x: Array2<f32>,
    labels: Vec<usize>,
}

impl Data {
    /// Pixels that look like digits to a kernel: four of five are 0.
    fn new() -> Self {
        let pixel =
            |(i, j): (usize, usize)| if (i + j) % 5 == 0 { ((31 * i + j) % 255) as f32 / 255.0 } else { 0.0 };
        let x = Array2::from_shape_fn((SAMPLES, SIZES[0]), pixel);
        Self { x, labels: (0..SAMPLES).map(|index| index % SIZES[3]).collect() }
    }

    /// One step after the other, on batches from all over the data.
    fn steps(&self, (products, sparsity): (Products, Option<f64>)) -> impl FnMut() {
        let mlp = DenseMlp::initialise(&SIZES, Initialisation::TorchDefault, 1).expect("sizes of a network");
        let masks: Option<Vec<_>> = sparsity.map(|sparsity| {
            let mask = |weight: ndarray::ArrayView2<'_, f32>| Mask::random(weight.dim(), sparsity, 1);
            mlp.weight_views().into_iter().map(mask).collect::<Result<_, _>>().expect("a sparsity of layers")
        });
        let (optimizer, isa) = (Optimizer::Adam { rate: 1.2e-3 }, Isa::detect().expect("an instruction set"));
        let mut trainer = Trainer::with_products(&mlp, masks.as_deref(), optimizer, products, isa)
            .expect("masks of this network");
        let (mut at, mut indices) = (0, [0; BATCH]);
        move || {
            for index in &mut indices {
                at = (at + 613) % SAMPLES;
                *index = at;
            }
            let samples = Samples { x: self.x.view(), labels: &self.labels };
            trainer.step(samples, &indices).expect("samples of this network");
        }
    }
}

fn training(criterion: &mut Criterion) {
    let data = Data::new();
    let mut group = criterion.benchmark_group("LeNet-300-100 step/batch 60");
    group.throughput(Throughput::Elements(1));
    for case in CASES {
        let mut ready = None;
        group.bench_function(name(case), |bencher| {
            let step = ready.get_or_insert_with(|| data.steps(case));
            bencher.iter(step);
        });
    }
    group.finish();
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let mut steps: Vec<_> = CASES.iter().map(|&case| data.steps(case)).collect();
    let mut candidates: Vec<_> = steps.iter_mut().map(|step| step as &mut dyn FnMut()).collect();
    let timings = interleaved(200, &mut candidates);
    println!("\nIn turn, the best of 200 rounds, and how much faster than the dense step:\n");
    for (&case, timing) in CASES.iter().zip(&timings) {
        let (best, ratio) = (timing.best(), timing.speedup_over(&timings[0]));
        println!("{:<24} {:>8.1} µs {:>8.0} iterations/s  {ratio}", name(case), 1e6 * best, 1.0 / best);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = training
}
criterion_main!(benches);
