//! Charts against the remaining weights, as in Frankle & Carbin's figures.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Report;
use super::page::{name, percent};
use crate::experiment::{Control, Measured, Run};
use crate::{Error, ErrorKind, Result};

const SIZE: (u32, u32) = (860, 540);
const HEAD: u32 = 86;
/// Of what is left of the y axis.
const LEFT: u32 = 80;
const MARGIN: u32 = 8;
const RIGHT: u32 = 22;
/// What the label of a tick on the x axis takes, with a gap.
const LABEL: f64 = 40.0;
pub(super) const GREY: RGBColor = RGBColor(0x44, 0x44, 0x44);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What to draw against the remaining weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Chart {
    /// The test accuracy at early stop.
    Accuracy,
    /// The iteration of early stop.
    EarlyStop,
}

impl Chart {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Accuracy, Self::EarlyStop];

    /// `accuracy`, `early-stop`: what its file is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::EarlyStop => "early-stop",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Accuracy => "Test accuracy at early stop",
            Self::EarlyStop => "Iteration of early stop",
        }
    }

    fn axis(self) -> &'static str {
        match self {
            Self::Accuracy => "test accuracy (%)",
            Self::EarlyStop => "iteration of lowest validation loss",
        }
    }

    fn value(self, early_stop: &Measured) -> f64 {
        match self {
            Self::Accuracy => 100.0 * early_stop.test_accuracy,
            Self::EarlyStop => early_stop.iteration as f64,
        }
    }
}

impl Report {
    /// A chart as SVG: the mean over trials against the remaining weights, on a log scale that falls from left to
    /// right, with bars from the lowest trial to the highest. A control that fails altogether leaves the chart below,
    /// so that the rest stays readable; the chart says so.
    ///
    /// # Errors
    /// When no trial has ended a training.
    pub fn chart(&self, chart: Chart) -> Result<String> {
        let lines = lines(self, chart);
        if lines.is_empty() {
            return Err(Error::value("Report::chart", "report", "at least one training", "none"));
        }
        let mut svg = String::new();
        // Nothing but memory is written to.
        draw(self, chart, &lines, &mut svg).map_err(|source| {
            Error::caused_by(
                ErrorKind::Unsupported,
                "Report::chart",
                chart.name(),
                "a chart that can be drawn",
                source,
            )
        })?;
        Ok(svg)
    }
}

/// The ticket, or a control, through the rounds.
struct Line {
    control: Option<Control>,
    points: Vec<Point>,
}

/// A training over trials.
#[derive(Clone, Copy)]
struct Point {
    /// How far right it stands: −log₁₀ of the share of remaining weights.
    x: f64,
    mean: f64,
    lowest: f64,
    highest: f64,
}

fn lines(report: &Report, chart: Chart) -> Vec<Line> {
    let kinds = std::iter::once(None).chain(Control::ALL.map(Some));
    let line = |control| {
        let rows = report.rows.iter().filter(|row| row.run.control == control && row.remaining.mean > 0.0);
        let points = rows.map(|row| {
            let values: Vec<f64> =
                report.summaries(row.run).map(|summary| chart.value(&summary.early_stop)).collect();
            Point {
                x: -row.remaining.mean.log10(),
                mean: values.iter().sum::<f64>() / values.len() as f64,
                lowest: values.iter().copied().fold(f64::INFINITY, f64::min),
                highest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            }
        });
        Line { control, points: points.collect() }
    };
    kinds.map(line).filter(|line| !line.points.is_empty()).collect()
}

/// Colours that the colour-blind can tell apart (Okabe & Ito 2008); the marks differ, too.
fn colour(control: Option<Control>) -> RGBColor {
    match control {
        None => RGBColor(0x00, 0x72, 0xB2),
        Some(Control::Reinitialised) => RGBColor(0xD5, 0x5E, 0x00),
        Some(Control::RandomMask) => RGBColor(0x00, 0x9E, 0x73),
        Some(Control::ShuffledMask) => RGBColor(0xCC, 0x79, 0xA7),
        Some(Control::SignOnly) => RGBColor(0xE6, 0x9F, 0x00),
    }
}

fn mark(area: &Area<'_>, control: Option<Control>, (x, y): (i32, i32)) -> Drawn {
    let style = colour(control).filled();
    let polygon = |points: &[(i32, i32)]| {
        area.draw(&Polygon::new(points.iter().map(|&(dx, dy)| (x + dx, y + dy)).collect::<Vec<_>>(), style))
    };
    match control {
        None => area.draw(&Circle::new((x, y), 4, style)),
        Some(Control::Reinitialised) => polygon(&[(-5, 4), (5, 4), (0, -5)]),
        Some(Control::RandomMask) => polygon(&[(-4, -4), (4, -4), (4, 4), (-4, 4)]),
        Some(Control::ShuffledMask) => polygon(&[(-5, 0), (0, -5), (5, 0), (0, 5)]),
        Some(Control::SignOnly) => polygon(&[(-5, -4), (5, -4), (0, 5)]),
    }?;
    Ok(())
}

fn draw(report: &Report, chart: Chart, lines: &[Line], svg: &mut String) -> Drawn {
    let dense = lines[0].points.iter().find(|point| lines[0].control.is_none() && point.x == 0.0);
    let dense = dense.map(|point| point.mean);
    let (y, y_ticks, cut) = vertical(chart, lines);
    let (x, x_ticks) = horizontal(lines);

    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    // White by itself: a page may be dark.
    root.fill(&WHITE)?;
    let (_, body) = root.split_vertically(HEAD);
    let decimals = decimals(&y_ticks);
    let mut builder = ChartBuilder::on(&body);
    builder
        .margin_left(MARGIN)
        .margin_right(RIGHT)
        .margin_bottom(MARGIN)
        .x_label_area_size(46)
        .y_label_area_size(LEFT - MARGIN);
    let axis = |range: &Range<f64>, ticks| Axis { range: range.clone(), ticks };
    let mut axes = builder.build_cartesian_2d(axis(&x, x_ticks), axis(&y, y_ticks))?;
    axes.configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.1))
        .axis_style(GREY)
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .x_label_formatter(&|x| percent(10_f64.powf(-x)))
        .y_label_formatter(&|y| format!("{y:.decimals$}"))
        .x_desc("weights remaining (%)")
        .y_desc(chart.axis())
        .draw()?;
    let place = |x, y| axes.backend_coord(&(x, y));

    if let Some(dense) = dense {
        let ((left, height), (right, _)) = (place(x.start, dense), place(x.end, dense));
        dashed(&root, left..right, height)?;
    }
    for (index, line) in lines.iter().enumerate() {
        // Bars of the same round beside each other.
        let aside = (6 * index as i32 - 3 * (lines.len() as i32 - 1)) / 2;
        let place = |x, y| {
            let (x, y) = place(x, y);
            (x + aside, y)
        };
        let colour = colour(line.control);
        for pair in line.points.windows(2) {
            if let Some([from, to]) = above(pair, y.start) {
                let path = vec![place(from.0, from.1), place(to.0, to.1)];
                root.draw(&PathElement::new(path, colour.stroke_width(2)))?;
            }
        }
        for point in line.points.iter().filter(|point| point.mean >= y.start) {
            let [bottom, top] = [point.lowest.max(y.start), point.highest].map(|end| place(point.x, end));
            let mut bar = vec![[bottom, top]];
            // An end for each that is a trial, and not the frame.
            let ends = [top].into_iter().chain((point.lowest >= y.start).then_some(bottom));
            bar.extend(ends.map(|(x, y)| [(x - 3, y), (x + 3, y)]));
            for stroke in bar {
                root.draw(&PathElement::new(stroke, colour.stroke_width(1)))?;
            }
            mark(&root, line.control, place(point.x, point.mean))?;
        }
    }
    head(&root, report, chart, lines, dense.is_some(), cut.then_some(y.start))?;
    root.present()?;
    Ok(())
}

/// What of a line between two points is above the floor.
fn above(pair: &[Point], floor: f64) -> Option<[(f64, f64); 2]> {
    let [from, to] = [(pair[0].x, pair[0].mean), (pair[1].x, pair[1].mean)];
    let at_floor = || (from.0 + (to.0 - from.0) * (floor - from.1) / (to.1 - from.1), floor);
    match (from.1 >= floor, to.1 >= floor) {
        (true, true) => Some([from, to]),
        (true, false) => Some([from, at_floor()]),
        (false, true) => Some([at_floor(), to]),
        (false, false) => None,
    }
}

/// Title, what the bars are, and which line is which.
fn head(
    root: &Area<'_>,
    report: &Report,
    chart: Chart,
    lines: &[Line],
    dense: bool,
    cut: Option<f64>,
) -> Drawn {
    let text = |text: &str, place, size: u32, colour: &RGBColor| {
        let style =
            ("sans-serif", size).into_text_style(root).pos(Pos::new(HPos::Left, VPos::Center)).color(colour);
        root.draw(&Text::new(text.to_owned(), place, style))
    };
    text(chart.title(), (LEFT as i32, 20), 19, &BLACK)?;
    let trials = report.trials.len();
    let mut caption = match trials {
        1 => "One trial".to_owned(),
        _ => format!("Mean of {trials} trials, bars from the lowest trial to the highest"),
    };
    if report.unfinished().next().is_some() {
        caption += if trials == 1 { ", not finished" } else { ", some not finished" };
    }
    if let Some(floor) = cut {
        caption += &format!("; what falls below {floor} is not drawn");
    }
    text(&caption, (LEFT as i32, 43), 13, &GREY)?;
    let mut left = LEFT as i32;
    for line in lines {
        let label = line
            .control
            .map_or("winning ticket".to_owned(), |control| name(Run { round: 1, control: Some(control) }));
        root.draw(&PathElement::new(
            vec![(left, 67), (left + 26, 67)],
            colour(line.control).stroke_width(2),
        ))?;
        mark(root, line.control, (left + 13, 67))?;
        text(&label, (left + 33, 67), 14, &BLACK)?;
        left += 50 + 7 * label.len() as i32;
    }
    if dense {
        dashed(root, left..left + 26, 67)?;
        text("dense", (left + 33, 67), 14, &BLACK)?;
    }
    Ok(())
}

fn dashed(root: &Area<'_>, x: Range<i32>, y: i32) -> Drawn {
    for left in x.clone().step_by(9) {
        let dash = vec![(left, y), ((left + 5).min(x.end), y)];
        root.draw(&PathElement::new(dash, GREY.stroke_width(1)))?;
    }
    Ok(())
}

/// The range of the x axis, and the rounds of the longest line that have room for a label.
fn horizontal(lines: &[Line]) -> (Range<f64>, Vec<f64>) {
    let all = || lines.iter().flat_map(|line| &line.points).map(|point| point.x);
    let (first, last) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let margin = (0.03 * (last - first)).max(0.01);
    let range = first - margin..last + margin;
    let pixel = (range.end - range.start) / f64::from(SIZE.0 - LEFT - RIGHT);
    let mut ticks: Vec<f64> = Vec::new();
    for x in lines.iter().max_by_key(|line| line.points.len()).into_iter().flat_map(|line| &line.points) {
        if ticks.last().is_none_or(|last| x.x - last >= LABEL * pixel) {
            ticks.push(x.x);
        }
    }
    (range, ticks)
}

/// The range of the y axis, its ticks, and whether something falls below it.
///
/// All of the ticket is in it, and of the controls what does not lie three times as deep.
fn vertical(chart: Chart, lines: &[Line]) -> (Range<f64>, Vec<f64>, bool) {
    let lowest = |lines: &[Line]| {
        lines.iter().flat_map(|line| &line.points).map(|point| point.lowest).fold(f64::INFINITY, f64::min)
    };
    let highest = lines.iter().flat_map(|line| &line.points).map(|point| point.highest).fold(0.0, f64::max);
    let (low, high) = match chart {
        Chart::EarlyStop => (0.0, highest.max(1.0)),
        Chart::Accuracy => {
            // The ticket's line is the first, if it has one.
            let depth = (highest - lowest(&lines[..1])).max(1.0);
            (lowest(lines).max(highest - 3.0 * depth), highest.max(lowest(lines) + 0.5))
        }
    };
    let (range, ticks) = nice(low, high, 7.0);
    let cut = lowest(lines) < range.start;
    (range, ticks, cut)
}

/// Whole steps of 1, 2 or 5 times a power of ten around a range, about so many.
pub(super) fn nice(low: f64, high: f64, count: f64) -> (Range<f64>, Vec<f64>) {
    let rough = (high - low) / count;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|&step| step >= rough);
    let step = step.unwrap_or(rough);
    let (first, last) = ((low / step + 1e-9).floor() as i64, (high / step - 1e-9).ceil() as i64);
    let ticks: Vec<f64> = (first..=last).map(|index| index as f64 * step).collect();
    (first as f64 * step..last as f64 * step, ticks)
}

/// Decimals that tell ticks apart.
pub(super) fn decimals(ticks: &[f64]) -> usize {
    let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(1.0, f64::min);
    (-(step + 1e-9).log10().floor()).max(0.0) as usize
}

/// An axis whose ticks are given.
struct Axis {
    range: Range<f64>,
    ticks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        from + (f64::from(to - from) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}
