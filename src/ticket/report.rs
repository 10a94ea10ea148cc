//! What a search says, over its trials.

use std::fmt;

/// Mean and sample standard deviation (with n − 1) of some trials.
///
/// ```
/// use tombola::ticket::Spread;
/// let spread: Spread = [1.0, 2.0, 3.0].into_iter().collect();
/// assert_eq!(format!("{spread:.1}"), "2.0 ± 1.0");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean; NaN of nothing.
    pub mean: f64,
    /// The sample standard deviation; 0 of fewer than two.
    pub deviation: f64,
    /// How many trials.
    pub count: usize,
}

impl Spread {
    /// Whether this spread lies below another: mean plus deviation below its mean minus its deviation.
    pub fn is_clearly_below(&self, other: &Self) -> bool {
        self.mean + self.deviation < other.mean - other.deviation
    }
}

impl FromIterator<f64> for Spread {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let values: Vec<f64> = values.into_iter().collect();
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = if count < 2 { 0.0 } else { (squares / (count - 1) as f64).sqrt() };
        Self { mean, deviation, count }
    }
}

impl fmt::Display for Spread {
    /// `mean ± deviation`; the precision is that of both.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = f.precision().unwrap_or(2);
        write!(f, "{:.precision$} ± {:.precision$}", self.mean, self.deviation)
    }
}
