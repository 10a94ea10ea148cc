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
#[cfg_attr(feature = "experiment", derive(serde::Serialize))]
pub struct Spread {
    /// The mean; NaN of nothing.
    pub mean: f64,
    /// The sample standard deviation; 0 of fewer than two.
    pub deviation: f64,
    /// How many trials.
    pub count: usize,
}

impl Spread {
    /// The standard error of the mean; 0 of fewer than two.
    pub fn standard_error(&self) -> f64 {
        self.deviation / (self.count.max(1) as f64).sqrt()
    }

    /// Whether the mean is below 0 by more than three standard errors: of differences between trials that share their
    /// seed, it says that the first of the two is worse, and that chance is a poor explanation.
    pub fn is_clearly_negative(&self) -> bool {
        self.mean < -3.0 * self.standard_error()
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
    /// `mean ± deviation`; the precision is that of both, and a `+` asks for the sign of the mean.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (precision, deviation) = (f.precision().unwrap_or(2), self.deviation);
        if f.sign_plus() {
            write!(f, "{:+.precision$} ± {deviation:.precision$}", self.mean)
        } else {
            write!(f, "{:.precision$} ± {deviation:.precision$}", self.mean)
        }
    }
}
