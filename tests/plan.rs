//! What a plan chooses, and that every way through a network gives the same answers.

mod common;

use common::{isas, noise_matrix};
use ndarray::{Array2, ShapeBuilder};
use tombola::mask::Block;
use tombola::plan::{Batch, Format, Origin, Plan};
use tombola::{Activation, ErrorKind, Isa, Mask, SparseLinear, SparseMlp};

fn linear(out: usize, inputs: usize, sparsity: f64, isa: Isa) -> SparseLinear {
    let weight = noise_matrix(out, inputs, 1);
    let csr = Mask::random((out, inputs), sparsity, 2).unwrap().apply(weight.view()).unwrap();
    SparseLinear::with_isa(csr, None, Activation::Relu, isa).unwrap()
}

fn formats(plan: &Plan) -> Vec<Format> {
    plan.choices().map(|choice| choice.format).collect()
}

#[test]
fn batches_run_in_panels_and_single_samples_in_rows() {
    for isa in isas() {
        let mlp = SparseMlp::new(vec![linear(400, 300, 0.9, isa), linear(200, 400, 0.9, isa)]).unwrap();
        let rows = if isa == Isa::portable() { Format::Sell } else { Format::Lookup };
        assert_eq!(formats(&mlp.plan(1)), [rows; 2], "{isa}");
        assert_eq!(formats(&mlp.plan(256)), [Format::Panel; 2], "{isa}");
        let plan = mlp.plan(64);
        assert_eq!((plan.batch(), plan.origin()), (64, Origin::Model));
        let times: Vec<f64> = plan.candidates(1).into_iter().map(|(_, seconds)| seconds).collect();
        assert!(times.is_sorted() && times[0] > 0.0 && times.len() >= 2, "{times:?}");
        assert!(plan.candidates(2).is_empty());
    }
}

#[test]
fn any_batch_has_a_plan() {
    for isa in isas() {
        let mlp = SparseMlp::new(vec![linear(40, 30, 0.9, isa)]).unwrap();
        for batch in [Batch::row_major(usize::MAX), Batch::feature_major(usize::MAX)] {
            assert!(mlp.plan(batch).total() > 0.0 && !mlp.explain(batch).is_empty(), "{isa}");
        }
    }
}

#[cfg(feature = "dense")]
#[test]
fn a_mask_that_keeps_too_much_runs_dense() {
    for isa in isas() {
        // (For a single sample lookups may be the faster, whatever the mask keeps, for some blocks, of which such a
        // layer is full, and for many panels, in which unpruned rows share all columns.)
        let mlp = SparseMlp::new(vec![linear(512, 512, 0.0, isa)]).unwrap();
        assert_eq!(formats(&mlp.plan(Batch::feature_major(512))), [Format::Dense], "{isa}");
        for batch in [Batch::row_major(512), Batch::row_major(2000), Batch::feature_major(2000)] {
            let format = formats(&mlp.plan(batch))[0];
            assert!(matches!(format, Format::Dense | Format::Panel), "{isa}, {batch:?}: {format:?}");
        }
        // One layer of the two, and the sparse one keeps its format. (In panels unpruned rows share all columns: where
        // that is about as fast as the dense product, it saves the way from one layout to the other.)
        let mlp = SparseMlp::new(vec![linear(512, 512, 0.0, isa), linear(512, 512, 0.95, isa)]).unwrap();
        let [first, second] = formats(&mlp.plan(512))[..] else { panic!("two layers") };
        assert!(matches!(first, Format::Dense | Format::Panel), "{isa}: {first:?}");
        assert_eq!(second, Format::Panel, "{isa}");
    }
}

/// A network's layers share the caches: what one of them finds there by itself, it may have to wait for beside others.
#[cfg(feature = "dense")]
#[test]
fn a_layer_is_expected_to_take_no_less_beside_others() {
    for isa in isas() {
        let square = linear(500, 500, 0.7, isa);
        let alone = SparseMlp::new(vec![square.clone()]).unwrap().plan(1);
        let beside = SparseMlp::new(vec![square; 8]).unwrap().plan(1);
        let time = |plan: &Plan, layer, format| {
            let candidates = plan.candidates(layer);
            candidates.iter().find(|(choice, _)| choice.format == format).map(|&(_, seconds)| seconds)
        };
        let mut longer = 0;
        for format in Format::ALL {
            let (alone, beside) = (time(&alone, 0, format), time(&beside, 3, format));
            assert!(beside >= alone, "{isa}, {format:?}: {beside:?} beside others, {alone:?} alone");
            longer += usize::from(beside > alone);
        }
        assert!(longer > 0, "{isa}: eight dense layers of 1 MB are as near as one");
    }
}

/// Stretches of other formats follow each other, in chunks of a batch and with threads, and give what panels alone do.
#[test]
fn formats_mix() {
    for isa in isas() {
        let layers = [(120, 90, 0.0), (130, 120, 0.0), (140, 130, 0.95), (20, 140, 0.9), (30, 20, 0.0)];
        let layers = layers.into_iter().map(|(out, inputs, sparsity)| linear(out, inputs, sparsity, isa));
        let mlp = SparseMlp::new(layers.collect()).unwrap();
        for batch in [1, 2, 5, 12, 13, 64, 2048, 4100] {
            let panels = Plan::uniform(&mlp, batch, Format::Panel).unwrap();
            let expected = mlp.clone().with_plan(panels).unwrap();
            let x = noise_matrix(batch, 90, 3);
            let expected = expected.forward(x.view()).unwrap();
            let largest = expected.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
            let agrees = |y: &Array2<f32>, what: &str| {
                let far = (y - &expected).iter().fold(0.0, |far: f32, difference| far.max(difference.abs()));
                assert!(far <= 1e-5 * largest, "{isa}, batch {batch}, {what}: {far} of {largest}");
            };
            agrees(&mlp.forward(x.view()).unwrap(), &format!("{:?}", formats(&mlp.plan(batch))));
            // A workspace of a smaller batch grows.
            let mut y = Array2::zeros(expected.dim());
            mlp.forward_into(x.view(), y.view_mut(), &mut mlp.workspace(1)).unwrap();
            agrees(&y, "in a small workspace");
            #[cfg(feature = "rayon")]
            rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap().install(|| {
                mlp.forward_into(x.view(), y.view_mut(), &mut mlp.parallel_workspace(batch)).unwrap();
                agrees(&y, "on three threads");
            });
        }
    }
}

#[test]
fn a_measured_plan_gives_the_same_answers() {
    for isa in isas() {
        let mlp = SparseMlp::new(vec![linear(40, 60, 0.5, isa), linear(30, 40, 0.9, isa)]).unwrap();
        for batch in [1, 30] {
            let x = noise_matrix(batch, 60, 3);
            let expected = mlp.forward(x.view()).unwrap();
            let plan = Plan::measured(&mlp, batch);
            assert_eq!((plan.batch(), plan.origin()), (batch, Origin::Measured));
            let y = mlp.clone().with_plan(plan).unwrap().forward(x.view()).unwrap();
            assert!((y - expected).iter().all(|difference| difference.abs() < 1e-4), "{isa}");
        }
    }
}

#[test]
fn the_smallest_plan_that_reaches_a_batch_runs_it() {
    let isa = Isa::detect().unwrap();
    let mlp = SparseMlp::new(vec![linear(40, 60, 0.9, isa)]).unwrap();
    let plan = |batch, format| Plan::uniform(&mlp, batch, format).unwrap();
    let given = mlp.clone().with_plan(plan(64, Format::Panel)).unwrap();
    let given = given.with_plan(plan(4, Format::Csr)).unwrap();
    for (batch, format) in [(1, Format::Csr), (4, Format::Csr), (5, Format::Panel), (1000, Format::Panel)] {
        assert_eq!(formats(&given.plan(batch)), [format], "batch {batch}");
    }
    let given = given.with_plan(plan(4, Format::Panel)).unwrap();
    assert_eq!(
        formats(&given.plan(1)),
        [Format::Panel],
        "the later plan of a batch size replaces the earlier"
    );
}

#[test]
fn one_workspace_serves_many_networks() {
    let isa = Isa::detect().unwrap();
    let one = SparseMlp::new(vec![linear(40, 60, 0.9, isa)]).unwrap();
    let two = SparseMlp::new(vec![linear(60, 60, 0.2, isa), linear(40, 60, 0.95, isa)]).unwrap();
    let planned = |format| {
        let plan = Plan::uniform(&two, 16, format).unwrap();
        two.clone().with_plan(plan).unwrap()
    };
    let networks = [one.clone(), two.clone(), one, planned(Format::Panel), planned(Format::Csr), two.clone()];
    let mut workspace = two.workspace(20);
    for batch in [16, 16, 1, 20, 16] {
        let x = Array2::from_shape_fn((batch, 60), |(i, j)| ((i * 60 + j) as f32).sin());
        for mlp in &networks {
            let mut y = Array2::zeros((batch, 40));
            mlp.forward_into(x.view(), y.view_mut(), &mut workspace).unwrap();
            assert_eq!(y, mlp.forward(x.view()).unwrap(), "{}", mlp.explain(batch));
        }
    }
}

#[test]
fn plans_of_others_are_refused() {
    let isa = Isa::detect().unwrap();
    let mlp = |out, isa| SparseMlp::new(vec![linear(out, 60, 0.9, isa)]).unwrap();
    let error = mlp(40, isa).with_plan(mlp(41, isa).plan(3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert!(error.to_string().contains("[(40, 60)], found [(41, 60)]"), "{error}");
    let portable = mlp(40, Isa::portable());
    if isa != Isa::portable() {
        assert_eq!(portable.clone().with_plan(mlp(40, isa).plan(3)).unwrap_err().kind(), ErrorKind::Value);
    }
    let error = Plan::uniform(&portable, 1, Format::Lookup).unwrap_err();
    assert!(error.to_string().contains("portable, found Lookup"), "{error}");
}

#[cfg(feature = "dense")]
#[test]
fn a_comparison_has_every_way() {
    use tombola::compare::{Comparison, Way};
    for (out, inputs, batch) in [(1, 1, 1), (17, 23, 1), (64, 100, 17)] {
        let layers = [common::layer(out, inputs, 0.2, Activation::Relu, 5)];
        let mlp = common::sparse(&layers, Isa::detect().unwrap());
        let comparison = Comparison::of(&mlp, batch, 2);
        assert_eq!(comparison.batch(), batch);
        let contenders = comparison.contenders();
        let dense = contenders.iter().filter(|(way, _)| matches!(way, Way::Dense(_))).count();
        assert_eq!(dense, 3);
        let Way::Sparse(plan) = &contenders[comparison.pick()].0 else { panic!("the pick is a plan") };
        assert!(plan.choices().eq(mlp.plan(batch).choices()));
        let best = contenders.iter().map(|(_, timing)| timing.best()).fold(f64::INFINITY, f64::min);
        assert_eq!(best, comparison.best().best());
        assert!(comparison.regret() >= 1.0 && comparison.dense().best() >= best);
    }
}

#[test]
fn a_mask_is_planned_by_what_it_is() {
    for isa in isas() {
        let layer = |mask: &Mask| {
            let weight = noise_matrix(1024, 1024, 1);
            SparseLinear::with_isa(mask.apply(weight.view()).unwrap(), None, Activation::Identity, isa)
                .unwrap()
        };
        // However it was made.
        let every = Mask::from_fn((1024, 1024), |row, column| (column % 8).abs_diff(row % 7) < 2);
        let random = Mask::random((1024, 1024), 0.75, 1).unwrap();
        let size = "16x1".parse::<Block>().unwrap();
        let blocks = Mask::blocks(noise_matrix(1024, 1024, 1).view(), size, 0.9).unwrap();
        let first =
            |mask: &Mask| SparseMlp::new(vec![layer(mask)]).unwrap().plan(1).choices().next().unwrap().format;
        // Without lookups, in whatever is left.
        if isa == Isa::portable() {
            assert_ne!(first(&every), Format::Nm);
        } else {
            assert_eq!([first(&every), first(&random)], [Format::Nm, Format::Lookup], "{isa}");
        }
        // For a single sample lookups may be as fast, whatever the rows share.
        let in_blocks = first(&blocks) == Format::Block;
        assert!(in_blocks || isa != Isa::portable() && first(&blocks) == Format::Lookup, "{isa}");
        // A few weights a row: whatever is fastest of what works row by row.
        let few = Mask::from_fn((1024, 1024), |row, column| (row * 7 + column) % 256 == 0);
        assert!([Format::Sell, Format::Csr, Format::Lookup].contains(&first(&few)), "{isa}");
    }
}

/// Where a batch lies feature-major, the ways into rows are longer and those into tiles shorter, and a plan says which
/// it is for.
#[test]
fn plans_know_how_a_batch_lies() {
    for isa in isas() {
        let mlp = SparseMlp::new(vec![linear(300, 784, 0.8, isa)]).unwrap();
        for batch in [2, 12, 17, 100] {
            let [rows, features] = [Batch::row_major(batch), Batch::feature_major(batch)].map(|batch| {
                let plan = Plan::uniform(&mlp, batch, Format::Sell).unwrap();
                assert_eq!(
                    (plan.batch(), plan.is_feature_major()),
                    (batch.samples(), batch.is_feature_major())
                );
                plan.conversions()
            });
            assert!(rows < features, "{isa}, batch {batch}: {rows} s row-major, {features} s feature-major");
            assert_eq!(mlp.plan(batch), mlp.plan(Batch::row_major(batch)));
            assert_eq!(mlp.explain(batch), mlp.explain(Batch::row_major(batch)));
        }
        // One sample lies both ways.
        assert_eq!(mlp.plan(Batch::feature_major(1)), mlp.plan(1));
    }
}

/// A plan that was made for batches that lie one way runs those, and the others only where none was made for them.
#[test]
fn given_plans_serve_the_batches_that_lie_as_theirs() {
    for isa in isas() {
        let mlp = SparseMlp::new(vec![linear(60, 80, 0.9, isa)]).unwrap();
        let given = |batch: Batch, format| Plan::uniform(&mlp, batch, format).unwrap();
        let by_rows = mlp.clone().with_plan(given(Batch::row_major(16), Format::Csr)).unwrap();
        assert_eq!(formats(&by_rows.plan(Batch::feature_major(300))), [Format::Csr]);
        let both = by_rows.with_plan(given(Batch::feature_major(16), Format::Panel)).unwrap();
        for batch in [2, 16, 300] {
            assert_eq!(formats(&both.plan(batch)), [Format::Csr]);
            assert_eq!(formats(&both.plan(Batch::feature_major(batch))), [Format::Panel]);
            // It is the layout of x and y that says which: CSR and panels add in other orders.
            let x = noise_matrix(batch, 80, 3);
            let forward = |mlp: &SparseMlp, by_features: bool| {
                let shape = |features| (batch, features).set_f(by_features);
                let (mut x_so, mut y) = (Array2::zeros(shape(80)), Array2::zeros(shape(60)));
                x_so.assign(&x);
                mlp.forward_into(x_so.view(), y.view_mut(), &mut mlp.workspace(batch)).unwrap();
                y
            };
            for (batch, format) in
                [(Batch::row_major(batch), Format::Csr), (Batch::feature_major(batch), Format::Panel)]
            {
                let alone = mlp.clone().with_plan(given(batch, format)).unwrap();
                let by_features = batch.is_feature_major();
                assert_eq!(forward(&both, by_features), forward(&alone, by_features), "{isa}, {batch:?}");
            }
        }
    }
}

#[test]
fn a_plan_is_measured_as_its_batch_lies() {
    for isa in isas() {
        let mlp = SparseMlp::new(vec![linear(40, 60, 0.5, isa), linear(30, 40, 0.9, isa)]).unwrap();
        let plan = Plan::measured(&mlp, Batch::feature_major(20));
        assert_eq!((plan.batch(), plan.is_feature_major(), plan.origin()), (20, true, Origin::Measured));
    }
}

/// A format that a layer does not fit runs all the same; how long it takes, nobody knows.
#[test]
fn no_time_is_made_up_for_a_format_that_does_not_fit() {
    for isa in isas() {
        let mlp = SparseMlp::new(vec![linear(40, 60, 0.5, isa)]).unwrap();
        let plan = Plan::uniform(&mlp, 3, Format::Block).unwrap();
        assert_eq!(plan.seconds(0), f64::INFINITY, "random weights are no blocks");
        let x = noise_matrix(3, 60, 3);
        let expected = mlp.forward(x.view()).unwrap();
        let forced = mlp.with_plan(plan).unwrap();
        let text = forced.explain(3);
        assert!(text.contains("in an unknown time (") && text.contains("in all an unknown time"), "{text}");
        let y = forced.forward(x.view()).unwrap();
        assert!((y - expected).iter().all(|difference| difference.abs() < 1e-4), "{isa}");
    }
}
