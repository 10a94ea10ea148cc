//! The results in a picture: speed-up over dense against sparsity, a line a batch, a panel a network.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Line;
use crate::baselines::Family;
use crate::baselines::networks::SPARSITIES;

const PANEL: (u32, u32) = (330, 260);
const COLUMNS: usize = 3;
const HEAD: u32 = 64;
/// One a batch, from small to large.
const COLOURS: [RGBColor; 5] = [
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x2C, 0xA0, 0x6A),
    RGBColor(0x1F, 0x83, 0xB4),
    RGBColor(0x6A, 0x3D, 0x9A),
    RGBColor(0xB0, 0x28, 0x4C),
];
const GREY: RGBColor = RGBColor(0x66, 0x66, 0x66);

pub fn draw(lines: &[Line], path: &Path) -> Result<(), Box<dyn Error>> {
    // A curve takes more than a point or two.
    let is_curve = |lines: &&[Line]| lines[0].network.sparsities().len() > 2;
    let networks: Vec<&[Line]> =
        lines.chunk_by(|a, b| a.network.name == b.network.name).filter(is_curve).collect();
    if networks.is_empty() {
        return Ok(());
    }
    let lines = || networks.iter().copied().flatten();
    let mut batches: Vec<usize> = lines().map(|line| line.batch).collect();
    batches.sort_unstable();
    batches.dedup();
    let colour = |batch: usize| {
        let index = batches.iter().position(|&other| other == batch).unwrap_or(0);
        COLOURS[index % COLOURS.len()]
    };
    let quartiles = |line: &Line| {
        line.speedup(Family::Tombola, Family::Faer).map_or([f64::NAN; 3], |ratio| ratio.quartiles)
    };
    // Whole powers of two around all medians, the same for all panels. A bar that goes beyond ends at the frame.
    let medians = || lines().map(|line| quartiles(line)[1]);
    let low = medians().fold(1.0, f64::min).log2().floor().exp2();
    let high = medians().fold(2.0, f64::max).log2().ceil().exp2();
    let ticks: Vec<f64> =
        std::iter::successors(Some(low), |tick| Some(2.0 * tick)).take_while(|&tick| tick <= high).collect();

    let (columns, rows) = (COLUMNS.min(networks.len()), networks.len().div_ceil(COLUMNS));
    let size = (PANEL.0 * columns.max(2) as u32, HEAD + PANEL.1 * rows as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    // White by itself: a page may be dark.
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD);
    legend(&head, &batches, colour)?;
    for (panel, network) in body.split_evenly((rows, columns)).iter().zip(networks) {
        let x = Axis {
            range: 78.0..97.0,
            ticks: SPARSITIES.map(|sparsity| 100.0 * sparsity).to_vec(),
            scale: |x| x,
        };
        let y = Axis { range: low..high, ticks: ticks.clone(), scale: f64::log2 };
        let mut chart = ChartBuilder::on(panel)
            .caption(network[0].network.name, ("sans-serif", 15))
            .margin(6)
            .margin_right(14)
            .x_label_area_size(38)
            .y_label_area_size(54)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .axis_style(GREY)
            .label_style(("sans-serif", 12))
            .axis_desc_style(("sans-serif", 12))
            .x_label_formatter(&|sparsity| format!("{sparsity:.0}%"))
            .y_label_formatter(&|speedup| format!("×{speedup}"))
            .x_desc("pruned weights")
            .y_desc("speed-up over dense")
            .draw()?;
        chart.draw_series(DashedLineSeries::new([(78.0, 1.0), (97.0, 1.0)], 5, 4, GREY.stroke_width(1)))?;
        for &batch in &batches {
            let points: Vec<(f64, [f64; 3])> = (network.iter().filter(|line| line.batch == batch))
                .map(|line| (100.0 * line.sparsity, quartiles(line)))
                .collect();
            let colour = colour(batch);
            chart.draw_series(LineSeries::new(
                points.iter().map(|&(sparsity, [_, median, _])| (sparsity, median)),
                colour.stroke_width(2),
            ))?;
            chart.draw_series(points.iter().map(|&(sparsity, [bottom, _, top])| {
                PathElement::new(
                    [(sparsity, bottom.max(low)), (sparsity, top.min(high))],
                    colour.stroke_width(1),
                )
            }))?;
            chart.draw_series(
                points
                    .iter()
                    .map(|&(sparsity, [_, median, _])| Circle::new((sparsity, median), 3, colour.filled())),
            )?;
        }
    }
    root.present()?;
    Ok(())
}

/// The title, and which colour is which batch.
fn legend<DB: DrawingBackend>(
    head: &DrawingArea<DB, plotters::coord::Shift>,
    batches: &[usize],
    colour: impl Fn(usize) -> RGBColor,
) -> Result<(), Box<dyn Error>>
where
    DB::ErrorType: 'static,
{
    let style = |size: u32| {
        ("sans-serif", size).into_text_style(head).pos(Pos::new(HPos::Left, VPos::Center)).color(&BLACK)
    };
    let title = "Sparse against dense (faer, its best orientation), one thread: median of rounds, bars between quartiles";
    head.draw(&Text::new(title, (14, 18), style(15)))?;
    head.draw(&Text::new("batch", (14, 46), style(13)))?;
    for (index, &batch) in batches.iter().enumerate() {
        let x = 64 + 78 * index as i32;
        head.draw(&PathElement::new([(x, 46), (x + 24, 46)], colour(batch).stroke_width(2)))?;
        head.draw(&Circle::new((x + 12, 46), 3, colour(batch).filled()))?;
        head.draw(&Text::new(batch.to_string(), (x + 30, 46), style(13)))?;
    }
    Ok(())
}

/// An axis whose ticks are given.
struct Axis {
    range: Range<f64>,
    ticks: Vec<f64>,
    scale: fn(f64) -> f64,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let [low, value, high] = [self.range.start, *value, self.range.end].map(self.scale);
        from + (f64::from(to - from) * (value - low) / (high - low)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}
