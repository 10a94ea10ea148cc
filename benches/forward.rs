//! Whole forward passes of every contender, over networks, batches, sparsities and threads, one after another: to look
//! into one of them (`cargo bench --bench forward -- '1024×1024/batch 64'`) and to see a change from one run to the
//! next. Ratios between contenders are the `summary` bench's business, which runs them in turn.

mod baselines;

use std::cell::LazyCell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use baselines::networks::{Model, Network, networks};
use baselines::{Case, Contender, Family};
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};

fn forward(criterion: &mut Criterion) {
    for network in networks() {
        // Nothing is made before a benchmark that the filter selects asks for it.
        let models: Vec<_> = (network.sparsities().iter())
            .map(|&sparsity| LazyCell::new(move || Arc::new(Model::new(network, sparsity))))
            .collect();
        for &batch in network.batches() {
            let cases: Vec<_> = (models.iter())
                .map(|model| LazyCell::new(move || Case::new(Arc::clone(model), batch)))
                .collect();
            let group = format!("{}/batch {batch}", network.name);
            // To the dense ones a sparsity is like another.
            contest(criterion, format!("{group}/dense"), network, batch, &cases[0], Contender::is_dense);
            for (sparsity, case) in network.sparsities().iter().zip(&cases) {
                let group = format!("{group}/{}%", 100.0 * sparsity);
                contest(criterion, group, network, batch, case, |contender| !contender.is_dense());
            }
        }
    }
}

fn contest<F: FnOnce() -> Case>(
    criterion: &mut Criterion,
    group: String,
    network: &Network,
    batch: usize,
    case: &LazyCell<Case, F>,
    takes_part: impl Fn(Contender) -> bool,
) {
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(batch as u64)).sampling_mode(SamplingMode::Flat);
    for contender in Contender::all(batch).into_iter().filter(|&contender| takes_part(contender)) {
        // They would take a second and more for a pass, to show that they are slow.
        let slow = matches!(contender.family(), Family::Sprs | Family::FaerSparse);
        if slow && network.weights() * batch > 1 << 30 {
            continue;
        }
        let mut ready = None;
        group.bench_function(contender.to_string(), |bencher| {
            let (run, y) = ready.get_or_insert_with(|| case.ready(contender));
            bencher.iter(|| run(black_box(case.x.view()), y.view_mut()));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(150));
    targets = forward
}
criterion_main!(benches);
