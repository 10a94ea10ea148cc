//! Data sets as numpy's arrays.

use std::fs;
use std::path::Path;

use ndarray::Array2;
use safetensors::Dtype;

use super::numpy::Array;
use super::tensors::Tensor;
use crate::data::{Dataset, class};
use crate::{Error, ErrorKind, Result};

const OPERATION: &str = "io::read_samples";

/// Reads a pair of `.npy` files: `x` `[samples, …]`, floats or integers, of which all dimensions but the first become the
/// features, and the classes `y` `[samples]`, whole numbers from 0. Numbers are taken as they are, rounded to f32.
///
/// # Errors
/// When a file cannot be read or is broken, the counts differ, a number is not finite in f32, or a label is no whole number
/// from 0 to 65,535: the error names the file.
pub fn read_samples(x: impl AsRef<Path>, y: impl AsRef<Path>) -> Result<Dataset> {
    let (x, y) = (x.as_ref(), y.as_ref());
    // First the labels, so that of the large file and what becomes of it no more than these two are held.
    let labels = read(y, |labels| {
        if labels.shape.len() != 1 {
            return Err(labels.fault("[samples], a class of each", format!("{:?}", labels.shape)));
        }
        labels.numbers(|label| {
            class(label).ok_or_else(|| labels.fault("classes, whole numbers from 0", format!("{label}")))
        })
    })?;
    let samples = read(x, |x| {
        if x.shape.first() != Some(&labels.len()) {
            let expected = format!("[{}, …], as many as {} has labels", labels.len(), y.display());
            return Err(x.fault(expected, format!("{:?}", x.shape)));
        }
        let values = match x.dtype {
            Dtype::F16 | Dtype::F32 | Dtype::F64 => x.floats()?.into_owned(),
            _ => x.numbers(|value| Ok(value as f32))?,
        };
        let features = values.len().checked_div(labels.len()).unwrap_or(0);
        Array2::from_shape_vec((labels.len(), features), values).map_err(|error| x.fault("a matrix", error))
    })?;
    Dataset::new(samples, labels).map_err(|error| error.within(format!("{}, {}", x.display(), y.display())))
}

/// What becomes of the array in a file.
fn read<T>(path: &Path, convert: impl FnOnce(Tensor<'_>) -> Result<T>) -> Result<T> {
    let name = path.display().to_string();
    let bytes = fs::read(path).map_err(|error| {
        Error::caused_by(ErrorKind::Io, OPERATION, name.as_str(), "a file that can be read", error)
    })?;
    let Array { dtype, shape, data } = Array::read(OPERATION, &name, &bytes)?;
    convert(Tensor::new(OPERATION, &name, dtype, &shape, &data))
}
