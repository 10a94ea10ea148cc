//! Accuracy against speed-up: which pattern gives the most of the one at a wanted amount of the other.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A pattern at one sparsity.
pub struct Point {
    pub pattern: &'static str,
    /// In percent.
    pub accuracy: f64,
    /// Over dense, for each of the batches.
    pub speed: [f64; 2],
}

const SIZE: (u32, u32) = (860, 420);
const HEAD: u32 = 60;
/// What is worse than dense by more than this (in points) is off the chart, which says so.
const LOWEST: f64 = 6.0;
/// One a pattern.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x22, 0x22, 0x22),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x1F, 0x83, 0xB4),
    RGBColor(0x2C, 0xA0, 0x6A),
    RGBColor(0xB0, 0x28, 0x4C),
    RGBColor(0x9A, 0x7B, 0x4F),
    RGBColor(0x6A, 0x3D, 0x9A),
];
/// The speed-ups that are written below the axis.
const TICKS: [f64; 7] = [1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0];
const GREY: RGBColor = RGBColor(0x66, 0x66, 0x66);

/// A panel for each batch, a line for each pattern from low to high sparsity.
pub fn draw(points: &[Point], dense: f64, batches: [usize; 2], path: &Path) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    // White by itself: a page may be dark.
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD);
    let patterns: Vec<&[Point]> = points.chunk_by(|a, b| a.pattern == b.pattern).collect();
    let style = |size: u32| {
        ("sans-serif", size).into_text_style(&head).pos(Pos::new(HPos::Left, VPos::Center)).color(&BLACK)
    };
    let lowest = dense - LOWEST;
    let below = points.iter().filter(|point| point.accuracy < lowest);
    let below: Vec<_> = below.map(|point| format!("{} with {:.1}%", point.pattern, point.accuracy)).collect();
    let below =
        if below.is_empty() { String::new() } else { format!(" (below the chart: {})", below.join(", ")) };
    let title =
        format!("Accuracy of the ticket against its speed-up over dense, from half pruned to 95%{below}");
    head.draw(&Text::new(title, (14, 16), style(15)))?;
    for (index, (pattern, colour)) in patterns.iter().zip(COLOURS).enumerate() {
        let x = 14 + 118 * index as i32;
        head.draw(&PathElement::new([(x, 44), (x + 20, 44)], colour.stroke_width(2)))?;
        head.draw(&Text::new(pattern[0].pattern, (x + 26, 44), style(13)))?;
    }

    let visible = || points.iter().filter(|point| point.accuracy >= lowest);
    let bottom = visible().map(|point| point.accuracy).fold(dense, f64::min).floor();
    let top = visible().map(|point| point.accuracy).fold(dense, f64::max) + 0.3;
    for (batch, panel) in body.split_evenly((1, batches.len())).iter().enumerate() {
        let fastest = visible().map(|point| point.speed[batch]).fold(2.0, f64::max);
        let slowest = visible().map(|point| point.speed[batch]).fold(1.0, f64::min);
        let mut chart = ChartBuilder::on(panel)
            .caption(format!("batch {}", batches[batch]), ("sans-serif", 15))
            .margin(6)
            .margin_right(16)
            .x_label_area_size(38)
            .y_label_area_size(54)
            .build_cartesian_2d((0.9 * slowest..1.15 * fastest).log_scale(), bottom..top)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .axis_style(GREY)
            .label_style(("sans-serif", 12))
            .axis_desc_style(("sans-serif", 12))
            .x_label_formatter(&|&speedup| {
                if TICKS.contains(&speedup) { format!("×{speedup}") } else { String::new() }
            })
            .y_label_formatter(&|accuracy| format!("{accuracy:.1}"))
            .x_desc("speed-up over dense")
            .y_desc("test accuracy (%)")
            .draw()?;
        let ends = [0.9 * slowest, 1.15 * fastest].map(|speed| (speed, dense));
        chart.draw_series(DashedLineSeries::new(ends, 5, 4, GREY.stroke_width(1)))?;
        let at_end = Pos::new(HPos::Right, VPos::Bottom);
        let style = ("sans-serif", 12).into_text_style(panel).pos(at_end).color(&GREY);
        chart.draw_series([Text::new("dense", ends[1], style)])?;
        for (pattern, colour) in patterns.iter().zip(COLOURS) {
            let shown: Vec<_> = pattern
                .iter()
                .filter(|point| point.accuracy >= lowest)
                .map(|point| (point.speed[batch], point.accuracy))
                .collect();
            chart.draw_series(LineSeries::new(shown.iter().copied(), colour.stroke_width(2)))?;
            chart.draw_series(shown.iter().map(|&at| Circle::new(at, 3, colour.filled())))?;
        }
    }
    root.present()?;
    Ok(())
}
