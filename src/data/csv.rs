//! Data sets as comma-separated numbers.

use std::io::Read;

use csv::ReaderBuilder;
use ndarray::Array2;

use super::Dataset;
use crate::{Error, ErrorKind, Result};

impl Dataset {
    /// Reads one sample a line: its features and, last, its class, a whole number from 0. There is no header. `name`
    /// is what an error calls the source.
    ///
    /// ```
    /// use tombola::data::Dataset;
    /// let set = Dataset::from_csv("0.5,1,0\n2,3,1\n".as_bytes(), "two samples")?;
    /// assert_eq!((set.len(), set.features(), set.classes()), (2, 2, 2));
    /// # Ok::<(), tombola::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the source cannot be read, its lines differ in length, or a field is no number of its kind: the error
    /// names line and column.
    pub fn from_csv(mut source: impl Read, name: &str) -> Result<Self> {
        let operation = "Dataset::from_csv";
        let (mut values, mut labels, mut text) = (Vec::new(), Vec::new(), Vec::new());
        source.read_to_end(&mut text).map_err(|error| {
            Error::caused_by(ErrorKind::Io, operation, name, "lines of the same count of numbers", error)
        })?;
        // The reader counts a line when it comes to the next, and passes over empty ones.
        let line = |start: u64| {
            let (before, record) = text.split_at(text.len().min(start as usize));
            let blank = record.iter().take_while(|byte| b"\r\n".contains(byte));
            1 + before.iter().chain(blank).filter(|&&byte| byte == b'\n').count()
        };
        let reader = ReaderBuilder::new().has_headers(false).from_reader(&text[..]);
        for record in reader.into_records() {
            let record = record.map_err(|error| {
                let kind = if error.is_io_error() { ErrorKind::Io } else { ErrorKind::Format };
                Error::caused_by(kind, operation, name, "lines of the same count of numbers", error)
            })?;
            let fault = |column: usize, expected: &str| {
                let line = line(record.position().map_or(0, csv::Position::byte));
                let subject = format!("{name}, line {line}, column {}", column + 1);
                Error::new(ErrorKind::Format, operation, subject, expected, format!("{:?}", &record[column]))
            };
            let features = record.len() - 1;
            if features == 0 {
                return Err(fault(0, "at least one feature and a class"));
            }
            for column in 0..features {
                let value = record[column].trim().parse::<f32>().ok().filter(|value| value.is_finite());
                values.push(value.ok_or_else(|| fault(column, "a finite number"))?);
            }
            let label = record[features].trim().parse();
            labels.push(label.map_err(|_| fault(features, "a class, a whole number from 0"))?);
        }
        let features = if labels.is_empty() { 0 } else { values.len() / labels.len() };
        let x = Array2::from_shape_vec((labels.len(), features), values)
            .unwrap_or_else(|error| unreachable!("the reader refuses ragged lines: {error}"));
        Self::new(x, labels).map_err(|error| error.within(name))
    }
}
