//! Trials merged into a report.
#![cfg(feature = "plot")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use resvg::tiny_skia::Pixmap;
use resvg::usvg::{Options, Tree};
use tempfile::TempDir;
use tombola::dense::{Initialisation, Optimizer};
use tombola::experiment::{
    Chart, Control, Header, Measured, Pictures, Recipe, Report, Rewind, Run, Summary, picture,
};
use tombola::ticket::{Scope, Spread};
use tombola::{Activation, ErrorKind, Mask, SparseLinear, SparseMlp, io};

const TICKET: Run = Run { round: 1, control: None };
const DENSE: Run = Run { round: 0, control: None };
const FRESH: Run = Run { round: 1, control: Some(Control::Reinitialised) };

/// Of a network 16 → 10 → 4.
fn recipe() -> Recipe {
    Recipe {
        hidden: vec![10],
        initialisation: Initialisation::GlorotNormal,
        optimizer: Optimizer::Adam { rate: 0.0012 },
        batch: 60,
        iterations: 5000,
        evaluate_every: 100,
        scope: Scope::LayerWise,
        rate: 0.5,
        output_rate: 0.5,
        rounds: 1,
        rewind: Rewind::Initial,
        controls: vec![Control::Reinitialised],
        ..Recipe::digits()
    }
}

fn measured(iteration: usize, test_accuracy: f64) -> Measured {
    let (validation_loss, validation_accuracy, test_loss) = (0.25, 0.875, 0.5);
    Measured { iteration, validation_loss, validation_accuracy, test_loss, test_accuracy }
}

fn summary(run: Run, iteration: usize, accuracy: f64) -> Summary {
    let kept = if run.round == 0 { vec![160, 40] } else { vec![80, 20] };
    let effective = if run.round == 0 { vec![160, 40] } else { vec![76, 20] };
    let (early_stop, end) = (measured(iteration, accuracy), measured(5000, accuracy - 0.125));
    Summary { run, weights: vec![160, 40], kept, effective, early_stop, end }
}

fn lines(summaries: &[Summary]) -> String {
    summaries.iter().map(|summary| serde_json::to_string(summary).unwrap() + "\n").collect()
}

/// Writes the folder of a trial.
fn trial(place: &TempDir, name: &str, seed: u64, recipe: &Recipe, rounds: &str) -> PathBuf {
    let folder = place.path().join(name);
    fs::create_dir_all(&folder).unwrap();
    let header = Header { version: 1, seed, recipe: recipe.clone() };
    fs::write(folder.join("trial.json"), serde_json::to_string(&header).unwrap()).unwrap();
    fs::write(folder.join("rounds.jsonl"), rounds).unwrap();
    folder
}

/// Three trials: the second lacks its control, the third has only the dense network.
fn three(place: &TempDir) -> [PathBuf; 3] {
    let first = [summary(DENSE, 1000, 0.90), summary(TICKET, 400, 0.94), summary(FRESH, 1500, 0.88)];
    let second = [summary(DENSE, 1200, 0.92), summary(TICKET, 500, 0.95)];
    let third = [summary(DENSE, 1700, 0.97)];
    [
        trial(place, "c", 30, &recipe(), &lines(&third)),
        trial(place, "a", 10, &recipe(), &lines(&first)),
        trial(place, "b", 20, &recipe(), &lines(&second)),
    ]
}

fn assert_spread(spread: Spread, mean: f64, deviation: f64, count: usize) {
    let close = |a: f64, b: f64| (a - b).abs() < 1e-12 * b.abs().max(1.0);
    assert!(
        close(spread.mean, mean) && close(spread.deviation, deviation),
        "{spread:?}, not {mean} ± {deviation}"
    );
    assert_eq!(spread.count, count);
}

#[test]
fn numbers_are_over_trials() {
    let place = tempfile::tempdir().unwrap();
    let report = Report::read(three(&place)).unwrap();
    let seeds: Vec<u64> = report.trials.iter().map(|trial| trial.seed).collect();
    assert_eq!((seeds, &report.weights), (vec![10, 20, 30], &vec![160, 40]));
    let runs: Vec<Run> = report.rows.iter().map(|row| row.run).collect();
    assert_eq!(runs, [DENSE, TICKET, FRESH]);

    let [dense, ticket, fresh] = &report.rows[..] else { unreachable!() };
    // 0.90, 0.92, 0.97 are 0.03, 0.01 and 0.04 from their mean; 1000, 1200, 1700 are 300, 100 and 400.
    assert_spread(dense.early_stop.test_accuracy, 0.93, (0.0026_f64 / 2.0).sqrt(), 3);
    assert_spread(dense.end.test_accuracy, 0.805, (0.0026_f64 / 2.0).sqrt(), 3);
    assert_spread(dense.early_stop.iteration, 1300.0, 130_000_f64.sqrt(), 3);
    assert_spread(dense.early_stop.validation_accuracy, 0.875, 0.0, 3);
    assert_spread(dense.early_stop.validation_loss, 0.25, 0.0, 3);
    assert_spread(dense.early_stop.test_loss, 0.5, 0.0, 3);
    assert_eq!(dense.difference, None);
    assert_spread(ticket.early_stop.test_accuracy, 0.945, 0.005 * 2_f64.sqrt(), 2);
    assert_spread(ticket.remaining, 0.5, 0.0, 2);
    assert_spread(ticket.effective, 0.48, 0.0, 2);
    assert_spread(ticket.kept[0], 80.0, 0.0, 2);
    // +0.04 and +0.03, and −600 and −700 iterations, whatever the third trial's dense network does.
    let difference = ticket.difference.as_ref().unwrap();
    assert_eq!(difference.to, DENSE);
    assert_spread(difference.early_stop.test_accuracy, 0.035, 0.005 * 2_f64.sqrt(), 2);
    assert_spread(difference.early_stop.iteration, -650.0, 50.0 * 2_f64.sqrt(), 2);
    let difference = fresh.difference.as_ref().unwrap();
    assert_eq!(difference.to, TICKET);
    assert_spread(difference.early_stop.test_accuracy, -0.06, 0.0, 1);
    assert_spread(difference.end.test_accuracy, -0.06, 0.0, 1);
}

#[test]
fn the_order_of_the_folders_does_not_matter() {
    let place = tempfile::tempdir().unwrap();
    let mut folders = three(&place);
    let report = Report::read(&folders).unwrap();
    folders.reverse();
    assert_eq!(Report::read(&folders).unwrap(), report);
    folders.swap(0, 1);
    assert_eq!(Report::read(&folders).unwrap().to_json(), report.to_json());
}

#[test]
fn unfinished_trials_count_and_are_told() {
    let place = tempfile::tempdir().unwrap();
    let folders = three(&place);
    let report = Report::read(&folders).unwrap();
    let unfinished: Vec<u64> = report.unfinished().map(|trial| trial.seed).collect();
    assert_eq!(unfinished, [20, 30]);
    assert!(
        report.summary().contains("Not finished: seed 20 (at round 1), seed 30 (at round 0)."),
        "{}",
        report.summary()
    );
    let counts: Vec<String> = report.table()[1..].iter().map(|row| row[8].clone()).collect();
    assert_eq!(counts, ["3", "2", "1"]);
    assert_eq!(
        report.table()[2],
        [
            "1",
            "ticket",
            "50.0 (48.0)",
            "80 20",
            "94.50 ± 0.71",
            "82.00 ± 0.71",
            "450 ± 71",
            "+3.50 ± 0.71",
            "2"
        ]
    );
    // One is stopped while it writes a line.
    let rounds = folders[1].join("rounds.jsonl");
    let text = fs::read_to_string(&rounds).unwrap();
    fs::write(&rounds, format!("{text}{}", &text[..text.len() / 4])).unwrap();
    assert_eq!(Report::read(&folders).unwrap(), report);
    fs::write(&rounds, text.trim_end()).unwrap();
    assert_eq!(Report::read(&folders).unwrap(), report);
    // A trial that has just begun has no rounds, or no file of them.
    fs::remove_file(folders[0].join("rounds.jsonl")).unwrap();
    let report = Report::read(&folders[..1]).unwrap();
    assert!(report.rows.is_empty() && report.weights.is_empty());
    assert!(report.summary().contains("Not finished: seed 30 (no round)."), "{}", report.summary());
    assert!(report.to_markdown().contains("No training has ended yet."));
    assert_eq!(report.chart(Chart::Accuracy).unwrap_err().kind(), ErrorKind::Value);
    let finished = Report::read(&folders[1..2]).unwrap();
    assert_eq!(finished.unfinished().count(), 0);
    assert!(!finished.summary().contains("Not finished"));
}

#[test]
fn what_is_clearly_worse_is_said() {
    let place = tempfile::tempdir().unwrap();
    let folders: Vec<PathBuf> = [(1, 0.90, 0.89), (2, 0.91, 0.91), (3, 0.92, 0.92)]
        .into_iter()
        .map(|(seed, dense, ticket): (u64, f64, f64)| {
            // Worse by 5, 5.5 and 6 points; the ticket is not, by 1, 0 and 0.
            let fresh = ticket - 0.045 - 0.005 * seed as f64;
            let rounds =
                [summary(DENSE, 1000, dense), summary(TICKET, 400, ticket), summary(FRESH, 1500, fresh)];
            trial(&place, &seed.to_string(), seed, &recipe(), &lines(&rounds))
        })
        .collect();
    let findings = Report::read(&folders).unwrap().findings();
    assert_eq!(
        findings,
        [
            "ticket: nowhere clearly below the dense network",
            "reinitialised: first clearly below its ticket at 50.0% of the weights, round 1 (-5.50 points)"
        ]
    );
    // One trial proves nothing.
    assert!(Report::read(&folders[..1]).unwrap().findings().is_empty());
}

#[test]
fn what_cannot_be_merged_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = |name: &str| place.path().join(name);
    let good = trial(&place, "good", 1, &recipe(), &lines(&[summary(DENSE, 1000, 0.9)]));
    let refuse = |name: &str, kind: ErrorKind, expected: &[&str]| {
        let error = Report::read([&good, &folder(name)]).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        expected.iter().for_each(|expected| assert!(error.to_string().contains(expected), "{error}"));
    };

    refuse("none", ErrorKind::Io, &["none: expected the folder of a trial, with a trial.json"]);
    fs::create_dir(folder("empty")).unwrap();
    refuse("empty", ErrorKind::Io, &["empty: expected the folder of a trial, with a trial.json"]);

    trial(&place, "same", 1, &recipe(), "");
    refuse("same", ErrorKind::Format, &["same: expected another seed", "good", "found 1 in both"]);
    refuse("good", ErrorKind::Format, &["good: expected another seed"]);
    trial(&place, "other", 2, &Recipe { rate: 0.2, batch: 7, ..recipe() }, "");
    let expected = ["other: expected the recipe of ", "good (batch 60, rate 0.5), found batch 7, rate 0.2"];
    refuse("other", ErrorKind::Format, &expected);

    trial(&place, "new", 3, &recipe(), "");
    fs::write(folder("new").join("trial.json"), r#"{"version": 2, "recipes": []}"#).unwrap();
    refuse("new", ErrorKind::Format, &["trial.json: version: expected 1, found 2"]);
    fs::write(folder("new").join("trial.json"), r#"{"version": 1, "seed": 3}"#).unwrap();
    refuse("new", ErrorKind::Format, &["trial.json: expected the header of a trial, found missing field"]);
    fs::write(folder("new").join("trial.json"), "{").unwrap();
    refuse("new", ErrorKind::Format, &["trial.json: expected the header of a trial, found EOF"]);

    let whole = lines(&[summary(DENSE, 1000, 0.9), summary(TICKET, 400, 0.8)]);
    let broken = |rounds: &str, expected: &[&str]| {
        trial(&place, "broken", 4, &recipe(), rounds);
        refuse("broken", ErrorKind::Format, expected);
    };
    broken(
        &format!("{}\n{whole}", &whole[..9]),
        &["rounds.jsonl: line 1: expected what came of a training, whole, found EOF"],
    );
    broken(&format!("{whole}\n"), &["rounds.jsonl: line 3: "]);
    broken(&whole.replace("\"round\":0", "\"round\":\"0\""), &["rounds.jsonl: line 1: "]);
    broken(&format!("{whole}{whole}"), &["line 3: expected each training once, found round 0 again"]);
    let with = |change: fn(&mut Summary)| {
        let mut summary = summary(TICKET, 400, 0.9);
        change(&mut summary);
        lines(&[self::summary(DENSE, 1000, 0.9), summary])
    };
    broken(&with(|summary| summary.kept = vec![80]), &["line 2: expected as many layers"]);
    broken(
        &with(|summary| summary.kept = vec![161, 20]),
        &["line 2: expected in each layer", "found 76, 161 and 160"],
    );
    broken(&with(|summary| summary.effective = vec![80, 21]), &["line 2: expected in each layer"]);
    let expected = ["broken: expected layers of [160, 40] weights, as in", "found [160, 41], round 1"];
    broken(&with(|summary| summary.weights = vec![160, 41]), &expected);

    let error = Report::read(Vec::<PathBuf>::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
}

/// The last newline is all that is missing: nothing is lost.
#[test]
fn a_last_line_without_its_end_is_whole() {
    let place = tempfile::tempdir().unwrap();
    let text = lines(&[summary(DENSE, 1000, 0.9), summary(TICKET, 400, 0.8)]);
    let folder = trial(&place, "a", 1, &recipe(), text.trim_end());
    assert_eq!(Report::read([folder]).unwrap().rows.len(), 2);
}

/// The y of the marks of the tickets: circles in their colour, but for that of the legend.
fn marks(svg: &str) -> Vec<(i32, i32)> {
    let circles = svg.split("<circle ").skip(1).filter(|circle| circle.contains("fill=\"#0072B2\""));
    let number = |circle: &str, key: &str| {
        circle.split(&format!("{key}=\"")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    };
    circles.map(|circle| (number(circle, "cx"), number(circle, "cy"))).filter(|&(_, y)| y > 86).collect()
}

#[test]
fn charts_fall_with_the_weights() {
    let place = tempfile::tempdir().unwrap();
    let report = Report::read(three(&place)).unwrap();
    for chart in Chart::ALL {
        let svg = report.chart(chart).unwrap();
        let tree = Tree::from_str(&svg, &Options::default()).unwrap();
        assert_eq!((tree.size().width(), tree.size().height()), (860.0, 540.0));
        for text in
            ["weights remaining (%)", "100", "50.0", "winning ticket", "reinitialised", "dense", "3 trials"]
        {
            assert!(svg.contains(text), "{text}");
        }
        assert_eq!(report.chart(chart).unwrap(), svg);
        // Dense is left, with more weights; and below the ticket, or stopped later.
        let [dense, ticket] = marks(&svg)[..] else { panic!("{:?}", marks(&svg)) };
        assert!(dense.0 + 400 < ticket.0);
        assert_eq!(dense.1 > ticket.1, chart == Chart::Accuracy);
    }
}

#[test]
fn a_control_that_fails_leaves_the_chart() {
    let place = tempfile::tempdir().unwrap();
    let rounds =
        |fresh| lines(&[summary(DENSE, 1000, 0.90), summary(TICKET, 400, 0.94), summary(FRESH, 1500, fresh)]);
    let chart = |name: &str, fresh| {
        let folder = trial(&place, name, 1, &recipe(), &rounds(fresh));
        Report::read([folder]).unwrap().chart(Chart::Accuracy).unwrap()
    };
    let (near, far) = (chart("near", 0.89), chart("far", 0.3));
    assert!(!near.contains("is not drawn") && far.contains("what falls below 82 is not drawn"), "{far}");
    // The mark of the control is then in the legend alone.
    let triangles = |svg: &str| svg.matches("<polygon ").count();
    assert_eq!((triangles(&near), triangles(&far)), (2, 1));
}

/// The ticket of a round, in the folder of its trial.
fn ticket(folder: &Path, round: usize) -> Vec<Mask> {
    let masks: Vec<Mask> = [((10, 16), 80), ((4, 10), 20)]
        .into_iter()
        .map(|(shape, kept)| Mask::random_count(shape, kept, round as u64).unwrap())
        .collect();
    let layers = masks.iter().map(|mask| {
        let weight = common::noise_matrix(mask.shape().0, mask.shape().1, 5);
        SparseLinear::new(mask.apply(weight.view()).unwrap(), None, Activation::Relu).unwrap()
    });
    let mlp = SparseMlp::new(layers.collect()).unwrap();
    fs::create_dir_all(folder.join("tickets")).unwrap();
    io::save(&mlp, folder.join(format!("tickets/round-{round:02}.safetensors"))).unwrap();
    masks
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_folder_holds_the_report() {
    let place = tempfile::tempdir().unwrap();
    let folders = three(&place);
    let masks = ticket(&folders[1], 1);
    let report = Report::read(&folders).unwrap();
    let out = place.path().join("new/report");
    assert!(report.write(&out, &Pictures::new()).unwrap().is_empty());
    let expected = [
        "accuracy.png",
        "accuracy.svg",
        "early-stop.png",
        "early-stop.svg",
        "footprint-round-01.png",
        "mask-round-01-layers.0.png",
        "mask-round-01-layers.1.png",
        "report.json",
        "report.md",
    ];
    assert_eq!(names(&out), expected);
    let page = fs::read_to_string(out.join("report.md")).unwrap();
    // All pictures are linked to, PNG in the place of SVG.
    for name in expected.iter().filter(|name| name.ends_with("png") && !name.starts_with(['a', 'e'])) {
        assert!(page.contains(&format!("]({name})")), "{name}: {page}");
    }
    assert!(page.contains("](accuracy.svg)") && page.contains("](early-stop.svg)"));
    assert!(page.contains("| 1 | ticket | 50.0 (48.0) | 80 20 | 94.50 ± 0.71 |"), "{page}");
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(json["rows"][2]["control"], "reinitialised");
    assert_eq!(json["rows"][0]["early_stop"]["test_accuracy"]["count"], 3);
    assert_eq!(json["trials"][0]["rounds"][1]["early_stop"]["test_accuracy"], 0.94);
    assert_eq!(json["recipe"]["rate"], 0.5);
    // What is drawn is what is kept.
    let image = fs::read(out.join("mask-round-01-layers.0.png")).unwrap();
    assert_eq!(image, picture::mask(&masks[0]).unwrap());
    for chart in ["accuracy.png", "early-stop.png"] {
        let image = Pixmap::decode_png(&fs::read(out.join(chart)).unwrap()).unwrap();
        assert_eq!((image.width(), image.height()), (1720, 1080));
        let has = |colour: [u8; 3]| image.pixels().iter().any(|p| [p.red(), p.green(), p.blue()] == colour);
        assert!(has([255; 3]) && has([0x00, 0x72, 0xB2]) && has([0xD5, 0x5E, 0x00]));
        // The title, where there is nothing else.
        let ink = (0..80).any(|y| (132..400).any(|x| image.pixel(x, y).unwrap().red() < 100));
        assert!(ink, "{chart}: no title");
    }
    // The same input, the same bytes.
    let again = place.path().join("again");
    report.write(&again, &Pictures::new()).unwrap();
    for name in expected {
        assert_eq!(fs::read(out.join(name)).unwrap(), fs::read(again.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn nothing_is_left_out_in_silence() {
    let place = tempfile::tempdir().unwrap();
    let folders = three(&place);
    let report = Report::read(&folders).unwrap();
    let out = place.path().join("report");
    // No ticket of round 1: the report says so; when it is asked for, it is an error and nothing is written.
    let wished = Pictures::new().rounds([1]);
    assert_eq!(report.write(&out, &wished).unwrap_err().kind(), ErrorKind::Io);
    assert!(!out.exists());
    let left_out = report.write(&out, &Pictures::new()).unwrap();
    assert!(
        left_out.len() == 1 && left_out[0].contains("pictures of round 1, as there is no"),
        "{left_out:?}"
    );
    assert!(fs::read_to_string(out.join("report.md")).unwrap().contains(&left_out[0]));
    // A ticket that is another than the trial's.
    let mut other = summary(TICKET, 400, 0.94);
    other.kept = vec![79, 20];
    trial(&place, "a", 10, &recipe(), &lines(&[summary(DENSE, 1000, 0.9), other]));
    ticket(&folders[1], 1);
    let error = Report::read(&folders).unwrap().write(&out, &wished).unwrap_err();
    assert!(error.to_string().contains("expected layers that keep [79, 20] weights"), "{error}");
    // An image that is not the input's; and one that is.
    let error = report.write(&out, &Pictures::new().image(5, 3)).unwrap_err();
    assert!(
        error.to_string().contains("image: expected 16 pixels, the inputs of the mask, found 5×3"),
        "{error}"
    );
    assert!(report.write(&out, &Pictures::new().image(8, 2)).unwrap().is_empty());
    // Not a single training.
    trial(&place, "a", 10, &recipe(), "");
    let bare = Report::read(&folders[1..2]).unwrap();
    let left_out = bare.write(place.path().join("bare"), &Pictures::new()).unwrap();
    assert_eq!(left_out.len(), 2, "{left_out:?}");
    assert_eq!(names(&place.path().join("bare")), ["report.json", "report.md"]);
}

#[cfg(feature = "cli")]
mod program {
    use super::*;
    use std::process::{Command, Output};

    fn tombola(folders: &[PathBuf], options: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tombola"));
        command.arg("report").args(folders).args(options).output().unwrap()
    }

    #[test]
    fn report_prints_a_table_or_json() {
        let place = tempfile::tempdir().unwrap();
        let folders = three(&place);
        let output = tombola(&folders, &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(text.starts_with("3 trials of digits") && text.contains("Not finished: seed 20"), "{text}");
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[3][..6], ["0", "dense", "100", "160", "40", "93.00"], "{text}");
        assert_eq!(lines[4][..6], ["1", "ticket", "50.0", "(48.0)", "80", "20"], "{text}");
        assert!(text.lines().skip(1).all(|line| line.chars().count() <= 120), "{text}");
        let output = tombola(&folders, &["--json"]);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), Report::read(&folders).unwrap().to_json());
    }

    #[test]
    fn report_writes_a_folder() {
        let place = tempfile::tempdir().unwrap();
        let folders = three(&place);
        let out = place.path().join("report");
        let out = out.to_str().unwrap();
        let output = tombola(&folders, &["--out", out]);
        assert!(output.status.success() && !output.stdout.is_empty());
        assert!(
            String::from_utf8(output.stderr).unwrap().starts_with("tombola: left out: pictures of round 1")
        );
        ticket(&folders[1], 1);
        let output = tombola(&folders, &["--out", out, "--rounds", "1", "--image", "8x2", "--json"]);
        assert!(output.status.success() && output.stderr.is_empty());
        assert_eq!(output.stdout, fs::read(Path::new(out).join("report.json")).unwrap());
        assert!(Path::new(out).join("footprint-round-01.png").exists());
    }

    #[test]
    fn report_fails_with_the_status_that_says_why() {
        let place = tempfile::tempdir().unwrap();
        let folders = three(&place);
        let status = |folders: &[PathBuf], options: &[&str], expected: &str| {
            let output = tombola(folders, options);
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(output.stdout.is_empty() && text.contains(expected), "{text}");
            output.status.code()
        };
        let out = place.path().join("report");
        let out = out.to_str().unwrap();
        assert_eq!(status(&[], &[], "DIR"), Some(2));
        assert_eq!(status(&folders, &["--image", "4x4"], "--out"), Some(2));
        assert_eq!(
            status(&folders, &["--out", out, "--image", "4by4"], "expected a width and a height"),
            Some(2)
        );
        assert_eq!(status(&[place.path().to_owned()], &[], "expected the folder of a trial"), Some(3));
        assert_eq!(status(&folders, &["--out", out, "--rounds", "9"], "round-09.safetensors"), Some(3));
        assert_eq!(status(&[folders[0].clone(), folders[0].clone()], &[], "another seed"), Some(4));
        let file = folders[0].join("trial.json");
        assert_eq!(
            status(&folders, &["--out", file.to_str().unwrap()], "expected a folder that can be made"),
            Some(3)
        );
    }
}
