//! What the README shows is what the program says.
#![cfg(feature = "cli")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Tables of trials are those of the records that are committed.
#[test]
fn the_readme_shows_its_records() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let report = |of: &str| {
        let trials = (1..=5).map(|seed| root.join(format!("benches/tickets/{of}/{seed}")));
        let output = Command::new(env!("CARGO_BIN_EXE_tombola")).arg("report").args(trials).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let table = report("digits");
    assert!(readme.contains(table.trim()), "{table}");
    // Of this one, some lines.
    let table = report("mnist");
    let (_, shown) = readme.split_once("its records are in benches/tickets/mnist -->\n```text\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    assert!(shown.lines().count() > 10);
    for line in shown.lines() {
        assert!(table.lines().any(|other| other == line), "{line}\n{table}");
    }
}

/// The table of patterns is that of the committed run, all of it.
#[test]
fn the_readme_shows_what_patterns_cost() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let record = fs::read_to_string(root.join("benches/patterns/mnist.md")).unwrap();
    let rows: Vec<Vec<&str>> = record
        .lines()
        .map(|line| line.split('|').map(str::trim).collect())
        .filter(|row: &Vec<_>| row.len() > 5)
        .collect();
    let (dense, tickets) = rows[2..].split_first().unwrap();
    assert!(readme.contains(&format!("the dense network has {}", dense[3])), "{dense:?}");
    for pattern in tickets.chunk_by(|a, b| a[1] == b[1]) {
        let cells = pattern.iter().map(|row| format!("{} {} {}", row[3], row[4], row[5]));
        let line = format!("| {} | {} |", pattern[0][1], cells.collect::<Vec<_>>().join(" | "));
        assert!(readme.contains(&line), "{line}");
    }
}
