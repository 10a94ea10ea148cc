//! The results in words.

use std::fmt::Write;

use tombola::Isa;
use tombola::measure::Roofs;

use super::Line;
use crate::baselines::mkl::mkl;
use crate::baselines::networks::{Masks, Order};
use crate::baselines::{Family, threads};

pub fn plain_head() -> String {
    format!(
        "{:>8} {:>6} {:>10} {:>10}  {:<20} {:<20} {:<20}",
        "sparsity",
        "batch",
        "faer µs",
        "tombola µs",
        "×faster (quartiles)",
        "than MKL dense",
        "than MKL sparse"
    )
}

pub fn plain(line: &Line) -> String {
    let time = |family| line.best(family).map_or(f64::NAN, |(_, timing)| 1e6 * timing.best());
    let over = |family| line.speedup(Family::Tombola, family).map_or("–".into(), |ratio| ratio.to_string());
    format!(
        "{:>7}% {:>6} {:>10.1} {:>10.1}  {:<20} {:<20} {:<20}",
        100.0 * line.sparsity,
        line.batch,
        time(Family::Faer),
        time(Family::Tombola),
        over(Family::Faer),
        over(Family::MklDense),
        over(Family::MklSparse)
    )
}

/// The results of an instruction set, with their chart by its name.
pub fn markdown(lines: &[Line], isa: Isa, picture: &str) -> String {
    let mut text = String::from("# Results\n\n");
    write(&mut text, lines, isa, picture)
        .unwrap_or_else(|_| unreachable!("a String takes all that is written to it"));
    text
}

fn write(text: &mut String, lines: &[Line], isa: Isa, picture: &str) -> std::fmt::Result {
    let Roofs { load, fma } = Roofs::of(isa);
    let threads = threads();
    writeln!(text, "`cargo bench --bench summary` wrote this file and the chart.\n")?;
    writeln!(text, "| | |\n|---|---|")?;
    writeln!(text, "| CPU | {}, {threads} threads |", cpu())?;
    writeln!(text, "| instruction set | {isa} |")?;
    writeln!(
        text,
        "| roofs of one thread | {:.0} GFLOP/s with a load for each multiply-add, {:.0} without |",
        1e-9 * load,
        1e-9 * fma
    )?;
    let (faer, sprs) = (version("faer"), version("sprs"));
    writeln!(text, "| versions | tombola {}, faer {faer}, sprs {sprs} |", env!("CARGO_PKG_VERSION"))?;
    writeln!(text, "| MKL | {} |\n", mkl().map_or("none found, so not compared", |mkl| &mkl.version))?;
    writeln!(
        text,
        "One thread where nothing else is said, all contenders in turn in one process. Times are the best of all rounds, \
         in µs. Behind a ×: how many times faster tombola is, by the best times, and in brackets the quartiles of the \
         ratios of single rounds. Times begin and end with activations as the caller has them and include bias and \
         activation; what is done once for a network (packing weights, MKL's hints and `optimize`) is not in them. \
         Of each contender the best of its ways for that case counts: three orientations for faer, `sgemm` (`sgemv` for \
         one sample) on weights in two orders and packed for MKL dense, whole batches and panels of 64 samples for MKL \
         sparse, CSR and CSC for faer sparse, activations in two orders for sprs. Everyone's outputs agree with \
         tombola's.\n"
    )?;
    writeln!(text, "![Speed-up over dense against sparsity]({picture})")?;
    for group in lines.chunk_by(|a, b| a.network.name == b.network.name) {
        let network = group[0].network;
        let sizes = network.sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(" → ");
        let order = match network.order {
            Order::RowMajor => "row-major",
            Order::ColumnMajor => "feature-major",
        };
        let masks = match network.masks {
            Masks::Uniform => "random masks (`Mask::random`)".to_owned(),
            Masks::PowerLaw => {
                "random masks whose n-th longest row has a share of 1/n, at most the whole row".to_owned()
            }
            Masks::OfEvery(n, m) => format!("the largest {n} of every {m} weights (`Mask::n_of_m`)"),
            Masks::Blocks(rows) => format!("columns of {rows} rows, by their L2 norm (`Mask::blocks`)"),
            Masks::Neurons => {
                "the hidden neurons of the largest L2 norms (`mask::neurons`), the others taken out \
                               (`SparseMlp::shrink`); the dense networks, too, are without them"
                    .to_owned()
            }
        };
        writeln!(text, "\n## {}\n\n{sizes}, activations {order}, {masks}.\n", network.name)?;
        writeln!(
            text,
            "| batch | sparsity | faer | tombola | speed-up | MKL dense | MKL sparse | sprs | faer sparse | faer, {threads} \
             threads | tombola, {threads} threads |"
        )?;
        writeln!(text, "|---:|---:|---|---:|---|---|---|---|---|---|---|")?;
        let mut group: Vec<&Line> = group.iter().collect();
        group.sort_by(|a, b| (a.batch, a.sparsity).partial_cmp(&(b.batch, b.sparsity)).expect("numbers"));
        for line in group {
            row(text, line)?;
        }
    }
    Ok(())
}

fn row(text: &mut String, line: &Line) -> std::fmt::Result {
    let time = |family| {
        let Some((contender, timing)) = line.best(family) else { return "–".to_owned() };
        // One sample has one way to lie.
        let sparse = matches!(family, Family::Sprs | Family::MklSparse);
        let variant = if sparse && line.batch == 1 { "" } else { contender.variant() };
        format!("{:.1} {variant}", 1e6 * timing.best()).trim_end().to_owned()
    };
    let ratio = |family, over| line.speedup(family, over).map_or(String::new(), |ratio| format!(" {ratio}"));
    write!(
        text,
        "| {} | {}% | {} | {} | **{}** ",
        line.batch,
        100.0 * line.sparsity,
        time(Family::Faer),
        time(Family::Tombola),
        ratio(Family::Tombola, Family::Faer).trim(),
    )?;
    for family in [Family::MklDense, Family::MklSparse, Family::Sprs, Family::FaerSparse] {
        write!(text, "| {}{} ", time(family), ratio(Family::Tombola, family))?;
    }
    writeln!(
        text,
        "| {} | {}{} |",
        time(Family::FaerThreads),
        time(Family::TombolaThreads),
        ratio(Family::TombolaThreads, Family::FaerThreads)
    )
}

/// The processor's name, where the system tells.
fn cpu() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned()
}

/// The version of a package that this was built with.
fn version(package: &str) -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let begin = format!("name = \"{package}\"\nversion = \"");
    let version = lock.split_once(&begin).and_then(|(_, rest)| rest.split_once('"'));
    version.map_or("?", |(version, _)| version)
}
