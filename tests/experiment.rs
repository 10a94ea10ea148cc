//! Trials: what they do, what they write down, and that nothing that ends them changes that.
#![cfg(feature = "experiment")]

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use tombola::data::Split;
use tombola::dense::{DenseMlp, Optimizer, Schedule};
use tombola::experiment::{Control, Evaluated, Header, Method, Recipe, Rewind, Summary, Trial};
use tombola::ticket::Scope;
use tombola::{ErrorKind, Mask, csr, io, mask};

/// Seconds, not minutes.
fn recipe() -> Recipe {
    Recipe {
        hidden: vec![30, 20],
        iterations: 60,
        evaluate_every: 20,
        checkpoint_every: 25,
        rounds: 2,
        rate: 0.5,
        output_rate: 0.25,
        ..Recipe::digits()
    }
}

fn run(folder: &Path, recipe: Recipe, seed: u64) -> Vec<Summary> {
    let data = Split::digits().unwrap();
    let mut trial = Trial::start(folder, recipe, seed, &data).unwrap();
    let mut summaries = Vec::new();
    let (all, mut done) = (trial.iterations().0, 0);
    while !trial.is_finished() {
        let step = trial.step().unwrap();
        done += step.iterations;
        assert_eq!(trial.iterations(), (all, done));
        summaries.extend(step.finished);
    }
    assert_eq!(done, all);
    summaries
}

fn lines<T: serde::de::DeserializeOwned>(path: impl AsRef<Path>) -> Vec<T> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All files of a trial, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                files.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_trial_writes_down_what_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = Recipe { controls: Control::ALL.to_vec(), ..recipe() };
    let summaries = run(folder.path(), recipe.clone(), 1);
    assert_eq!(Header::read(folder.path()).unwrap(), Header { version: 1, seed: 1, recipe });
    assert_eq!(lines::<Summary>(folder.path().join("rounds.jsonl")), summaries);
    let runs: Vec<_> = summaries.iter().map(|summary| (summary.run.round, summary.run.control)).collect();
    let controls = || Control::ALL.into_iter().map(Some);
    let round = |round| [None].into_iter().chain(controls()).map(move |control| (round, control));
    let expected: Vec<_> = [(0, None)].into_iter().chain(round(1)).chain(round(2)).collect();
    assert_eq!(runs, expected);

    // 64·30, 30·20 and 20·10 weights; half of them a round, three quarters of the last layer's.
    for summary in &summaries {
        assert_eq!(summary.weights, [1920, 600, 200]);
        let kept = [[1920, 600, 200], [960, 300, 150], [480, 150, 112]][summary.run.round];
        match summary.run.control {
            Some(Control::RandomMask) => {
                assert_eq!(summary.kept.iter().sum::<usize>(), kept.iter().sum::<usize>())
            }
            _ => assert_eq!(summary.kept, kept),
        }
        assert!(summary.effective.iter().zip(&summary.kept).all(|(effective, kept)| effective <= kept));
        assert_eq!(summary.end.iteration, 60);
    }

    let records: Vec<Evaluated> = lines(folder.path().join("records.jsonl"));
    for summary in &summaries {
        let of_run: Vec<_> = records.iter().filter(|record| record.run == summary.run).collect();
        let iterations: Vec<_> = of_run.iter().map(|record| record.measured.iteration).collect();
        assert_eq!(iterations, [0, 20, 40, 60]);
        assert!(of_run[0].training_loss.is_none() && of_run[1].training_loss.unwrap() > 0.0);
        let lowest =
            of_run.iter().map(|record| record.measured.validation_loss).fold(f64::INFINITY, f64::min);
        assert_eq!(summary.early_stop.validation_loss, lowest);
        assert_eq!(of_run[3].measured, summary.end);
    }

    // Tickets nest, begin at the first values, and are what was trained.
    let read = |part: &str, round: usize| {
        io::load(folder.path().join(format!("{part}/round-{round:02}.safetensors"))).unwrap()
    };
    let initial = DenseMlp::from(&read("tickets", 0));
    for round in 1..=2 {
        let (before, ticket, trained) =
            (read("tickets", round - 1), read("tickets", round), read("trained", round));
        for (index, layer) in ticket.layers().iter().enumerate() {
            let mask = csr::mask(layer.csr());
            assert_eq!(mask.and(&csr::mask(before.layers()[index].csr())).unwrap(), mask);
            assert_eq!(mask, csr::mask(trained.layers()[index].csr()));
            assert_eq!(mask.apply(initial.layers()[index].weight()).unwrap(), *layer.csr());
            // By magnitude: what the round before trained and this one pruned is no larger than what it kept.
            let weights = DenseMlp::from(&read("trained", round - 1));
            let expected = Mask::magnitude_within(
                &csr::mask(before.layers()[index].csr()),
                weights.layers()[index].weight(),
                mask.kept(),
            );
            assert_eq!(expected.unwrap(), mask);
        }
    }
}

/// Whatever ends a trial and wherever, it ends with the same bits.
#[test]
fn a_trial_that_goes_on_comes_to_the_same_bits() {
    let data = Split::digits().unwrap();
    for (method, rewind, schedule) in [
        ("iterative", Rewind::Iteration(30), Schedule::Cosine),
        ("one-shot:movement", Rewind::LearningRate(30), Schedule::WarmUp(40)),
        ("rigl", Rewind::Initial, Schedule::Constant),
        ("set:uniform", Rewind::Initial, Schedule::Constant),
    ] {
        let recipe = Recipe {
            method: method.parse().unwrap(),
            rewind,
            schedule,
            iterations: 130,
            rate: 0.8,
            ..recipe()
        };
        let whole = tempfile::tempdir().unwrap();
        run(whole.path(), recipe.clone(), 3);
        let folder = tempfile::tempdir().unwrap();
        let mut trial = Trial::start(folder.path(), recipe, 3, &data).unwrap();
        let mut steps = 0_usize;
        while !trial.is_finished() {
            steps += 1;
            trial.step().unwrap();
            match steps % 5 {
                // It is asked to stop, and saves.
                1 => trial.checkpoint().unwrap(),
                // It is killed, and loses what came after the last checkpoint.
                3 => {}
                _ => continue,
            }
            drop(trial);
            trial = Trial::resume(folder.path(), &data).unwrap();
            if steps > 500 {
                // It loses too much to come to an end so.
                while !trial.is_finished() {
                    trial.step().unwrap();
                }
            }
        }
        for ((name, expected), (other, found)) in files(whole.path()).into_iter().zip(files(folder.path())) {
            assert_eq!(name, other);
            assert!(expected == found, "{method}: {name} differs");
        }
    }
}

/// An update of RigL takes the place of a step, one of SET comes between two.
#[test]
fn updates_of_masks_come_where_their_papers_have_them() {
    let data = Split::digits().unwrap();
    for (method, steps) in [("rigl", 109), ("set", 110)] {
        let folder = tempfile::tempdir().unwrap();
        let method = method.parse().unwrap();
        let recipe = Recipe { method, iterations: 200, evaluate_every: 10, checkpoint_every: 10, ..recipe() };
        let mut trial = Trial::start(folder.path(), recipe, 1, &data).unwrap();
        while trial.iterations().1 < 200 + 110 {
            trial.step().unwrap();
        }
        assert_eq!(trial.iterations().1, 310);
        let bytes = fs::read(folder.path().join("checkpoint.safetensors")).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["steps"], steps.to_string(), "{method}");
    }
}

#[test]
fn every_method_and_rewind_keeps_its_counts() {
    for method in
        ["snip", "grasp", "synflow", "set", "rigl:uniform", "one-shot:magnitude-increase", "iterative:random"]
    {
        let folder = tempfile::tempdir().unwrap();
        let recipe =
            Recipe { method: method.parse().unwrap(), iterations: 120, controls: vec![], ..recipe() };
        let summaries = run(folder.path(), recipe, 2);
        let kept: Vec<usize> = summaries.iter().map(|summary| summary.kept.iter().sum()).collect();
        assert_eq!(kept, [2720, 1410, 742], "{method}");
    }
    for (pattern, kept) in [
        ("n:8", [2720, 1400, 700]),
        ("2x1", [2720, 1360, 680]),
        ("fan-in", [2720, 1360, 690]),
        ("neurons", [2720, 1310, 620]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let pattern = pattern.parse().unwrap();
        let recipe = Recipe { pattern, output_rate: 0.5, controls: vec![], ..recipe() };
        let summaries = run(folder.path(), recipe.clone(), 2);
        let found: Vec<usize> = summaries.iter().map(|summary| summary.kept.iter().sum()).collect();
        assert_eq!(found, kept, "{pattern}");
        assert_eq!(Header::read(folder.path()).unwrap().recipe, recipe);
    }
    for (rewind, iterations) in [
        ("initial", [0, 60]),
        ("iteration:20", [20, 60]),
        ("learning-rate:15", [45, 60]),
        ("fine-tune:10", [60, 70]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let rewind: Rewind = rewind.parse().unwrap();
        let recipe = Recipe { rewind, scope: Scope::Global, ..recipe() };
        let summaries = run(folder.path(), recipe, 2);
        let kept: Vec<usize> = summaries.iter().map(|summary| summary.kept.iter().sum()).collect();
        assert_eq!(kept, [2720, 1360, 1360, 680, 680], "{rewind}");
        let records: Vec<Evaluated> = lines(folder.path().join("records.jsonl"));
        let of_ticket = records.iter().filter(|record| record.run == summaries[1].run);
        let of_ticket: Vec<_> = of_ticket.map(|record| record.measured.iteration).collect();
        assert_eq!([of_ticket[0], of_ticket[of_ticket.len() - 1]], iterations, "{rewind}");
    }
}

/// It learns: on the digits a third of the weights are as good as all.
#[test]
fn tickets_win() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = Recipe { hidden: vec![100], iterations: 400, evaluate_every: 50, ..recipe() };
    let summaries = run(folder.path(), recipe, 1);
    for summary in summaries.iter().filter(|summary| summary.run.control.is_none()) {
        assert!(summary.early_stop.test_accuracy > 0.9, "{summary:?}");
        assert!(summary.end.test_accuracy > 0.9, "{summary:?}");
    }
}

#[test]
fn a_trial_that_diverges_fails_for_good() {
    let data = Split::digits().unwrap();
    let folder = tempfile::tempdir().unwrap();
    // In its last step: the loss before it is still finite.
    let optimizer = Optimizer::Sgd { rate: 1e38, momentum: 0.0 };
    let recipe = Recipe { optimizer, iterations: 1, rounds: 0, controls: vec![], ..recipe() };
    let mut trial = Trial::start(folder.path(), recipe, 1, &data).unwrap();
    trial.step().unwrap(); // Before the first iteration.
    let error = trial.step().unwrap_err().to_string();
    assert!(error.contains("loss after iteration 1: expected finite numbers"), "{error}");
    let error = trial.step().unwrap_err().to_string();
    assert!(error.contains("resume it from its last checkpoint"), "{error}");
    assert!(!trial.is_finished() && trial.checkpoint().is_err());
    drop(trial);
    let mut trial = Trial::resume(folder.path(), &data).unwrap();
    trial.step().unwrap();
    assert!(trial.step().unwrap_err().to_string().contains("loss after iteration 1"));
}

#[test]
fn a_schedule_may_come_down_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let schedule = "step:0.1:1".parse().unwrap();
    run(folder.path(), Recipe { schedule, rounds: 0, controls: vec![], ..recipe() }, 1);
}

#[test]
fn no_ticket_is_its_own_control() {
    let folder = tempfile::tempdir().unwrap();
    let controls = vec![Control::ShuffledMask, Control::RandomMask];
    let method = "set:uniform".parse().unwrap();
    let recipe =
        Recipe { iterations: 20, rounds: 1, rate: 0.5, output_rate: 0.5, method, controls, ..recipe() };
    let records = |run: &dyn Fn(&Evaluated) -> bool| -> Vec<f64> {
        let records: Vec<Evaluated> = lines(folder.path().join("records.jsonl"));
        records.iter().filter(|record| run(record)).map(|record| record.measured.validation_loss).collect()
    };
    run(folder.path(), recipe, 1);
    let of = |control| records(&move |record| record.run.round == 1 && record.run.control == control);
    let [ticket, shuffled, random] = [None, Some(Control::ShuffledMask), Some(Control::RandomMask)].map(of);
    assert!(ticket[0] != shuffled[0] && ticket[0] != random[0] && shuffled[0] != random[0]);
}

/// A step that changes nothing shows where they begin: at their first values, even where the ticket's are those it was
/// trained to.
#[test]
fn other_masks_do_not_begin_with_zeros() {
    let data = Split::digits().unwrap();
    let first = |rewind| {
        let folder = tempfile::tempdir().unwrap();
        let (optimizer, controls) =
            (Optimizer::Adam { rate: 1e-30 }, vec![Control::ShuffledMask, Control::RandomMask]);
        let recipe = Recipe { optimizer, controls, rewind, iterations: 1, rounds: 4, rate: 0.5, ..recipe() };
        let mut trial = Trial::start(folder.path(), recipe, 1, &data).unwrap();
        while !trial.is_finished() {
            trial.step().unwrap();
        }
        let records: Vec<Evaluated> = lines(folder.path().join("records.jsonl"));
        let of = |control| {
            let mut records = records.iter();
            let found = records.find(|record| record.run.round == 4 && record.run.control == Some(control));
            found.unwrap().measured.validation_loss
        };
        [of(Control::ShuffledMask), of(Control::RandomMask)]
    };
    let [initial, trained] = [Rewind::Initial, Rewind::LearningRate(1)].map(first);
    for (initial, trained) in initial.into_iter().zip(trained) {
        assert!((initial - trained).abs() < 1e-6, "{initial} and {trained}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let data = Split::digits().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let start = |recipe| Trial::start(folder.path(), recipe, 1, &data).map(|_| ());
    let snip: Method = "snip".parse().unwrap();
    for (recipe, expected) in [
        (Recipe { batch: 0, ..recipe() }, "batch: expected at least 1, found 0"),
        (Recipe { rate: 1.0, ..recipe() }, "rate: expected a number in [0, 1), found 1"),
        (Recipe { hidden: vec![3, 0], ..recipe() }, "hidden: expected at least one unit a layer"),
        (Recipe { rewind: Rewind::Iteration(61), ..recipe() }, "rewind: expected 1 to 60 iterations"),
        (Recipe { rewind: Rewind::FineTune(usize::MAX), ..recipe() }, "rewind: expected at most 4294967295"),
        (Recipe { rounds: usize::MAX, ..recipe() }, "rounds: expected at most 1000"),
        (
            Recipe { rewind: Rewind::FineTune(5), method: snip, ..recipe() },
            "rewind: expected initial or iteration:N with the method snip, found fine-tune:5",
        ),
        (
            Recipe { pattern: mask::Pattern::FanIn, method: snip, ..recipe() },
            "pattern: expected unstructured, where masks are not found by magnitude, found fan-in",
        ),
        (
            Recipe { pattern: mask::Pattern::FanIn, scope: Scope::Global, ..recipe() },
            "pattern: expected unstructured or blocks, where layers share a ranking, found fan-in",
        ),
        (
            Recipe { controls: vec![Control::SignOnly; 2], ..recipe() },
            "controls: expected each of them once, found sign-only twice",
        ),
        (
            Recipe { optimizer: Optimizer::Adam { rate: -1.0 }, ..recipe() },
            "rate: expected a finite number above 0",
        ),
        (Recipe { schedule: Schedule::WarmUp(0), ..recipe() }, "schedule: expected counts above 0"),
        (
            Recipe { schedule: Schedule::Step { factor: 2.0, every: 5 }, ..recipe() },
            "schedule: expected counts above 0, and factors in (0, 1], found step:2:5",
        ),
        (
            Recipe { pattern: mask::Pattern::OfEvery(0), ..recipe() },
            "pattern: expected N of every one or more",
        ),
    ] {
        let error = start(recipe).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    start(recipe()).unwrap();
    {
        let _at_work = Trial::resume(folder.path(), &data).unwrap();
        let error = Trial::resume(folder.path(), &data).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("another process is at work on this trial"), "{error}");
    }
    let moved = data.clone().normalise(0.0, 2.0).unwrap();
    let error = Trial::resume(folder.path(), &moved).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("data: expected the samples that the trial began with"), "{error}");
    // There is a trial now.
    assert_eq!(start(recipe()).unwrap_err().kind(), ErrorKind::Io);
    let resume = || Trial::resume(folder.path(), &data).map(|_| ());
    resume().unwrap();
    // It was stopped before there was a checkpoint.
    fs::remove_file(folder.path().join("checkpoint.safetensors")).unwrap();
    resume().unwrap();
    let header = folder.path().join("trial.json");
    let text = fs::read_to_string(&header).unwrap();
    // A recipe of less than what was done.
    let mut trial = Trial::resume(folder.path(), &data).unwrap();
    while trial.iterations().1 < 100 {
        trial.step().unwrap();
    }
    trial.checkpoint().unwrap();
    drop(trial);
    // A trial without its header is still one; and another file of a name that it has is not written over.
    let elsewhere = tempfile::tempdir().unwrap();
    let checkpoint = elsewhere.path().join("checkpoint.safetensors");
    fs::write(&checkpoint, "mine").unwrap();
    let error = Trial::start(elsewhere.path(), recipe(), 1, &data).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("found checkpoint.safetensors"), "{error}");
    assert_eq!(fs::read(&checkpoint).unwrap(), b"mine");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    let records = folder.path().join("records.jsonl");
    let before = fs::read(&records).unwrap();
    fs::remove_file(&header).unwrap();
    assert_eq!(start(recipe()).unwrap_err().kind(), ErrorKind::Io);
    assert!(!before.is_empty() && fs::read(&records).unwrap() == before);
    fs::write(&header, text.replace("\"rounds\": 2", "\"rounds\": 0")).unwrap();
    let error = resume().unwrap_err().to_string();
    assert!(error.contains("expected a position within the trial's recipe, found training 1"), "{error}");
    fs::write(&header, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
    assert!(resume().unwrap_err().to_string().contains("trial.json: version: expected 1, found 2"));
    fs::write(&header, &text[..text.len() / 2]).unwrap();
    assert_eq!(resume().unwrap_err().kind(), ErrorKind::Format);
    fs::write(&header, &text).unwrap();
    fs::write(folder.path().join("checkpoint.safetensors"), "nothing").unwrap();
    assert!(resume().unwrap_err().to_string().contains("checkpoint.safetensors"));
    for text in ["", "iterative:", "iterative:size", "snip:magnitude", "set:large"] {
        assert!(text.parse::<Method>().is_err(), "{text}");
    }
}
