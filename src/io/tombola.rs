//! The crate's own files.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::serialize;
use safetensors::{Dtype, View};

use super::export::{atomically, fault};
use super::names::join;
use super::{FORMAT, VERSION};
use crate::{Result, SparseMlp};

/// Writes a model to a file in tombola's [format](crate::io), its layers as `layers.0`, `layers.1` and so on. The file
/// appears whole or not at all: it is written beside its place and moved there.
///
/// # Errors
/// When the file cannot be written.
pub fn save(mlp: &SparseMlp, path: impl AsRef<Path>) -> Result<()> {
    let names: Vec<_> = (0..mlp.layers().len()).map(|index| format!("layers.{index}")).collect();
    write(&names, mlp, path.as_ref())
}

/// [`save`] with names for the layers.
pub(super) fn write(names: &[String], mlp: &SparseMlp, path: &Path) -> Result<()> {
    let mut tensors = Vec::new();
    for (layer_name, layer) in names.iter().zip(mlp.layers()) {
        let csr = layer.csr();
        let (out, inputs) = layer.shape();
        let pointers = csr.proper_indptr();
        let mut push = |name: &str, tensor| tensors.push((join(layer_name, name), tensor));
        push("crow_indices", Tensor::indices(&pointers));
        push("col_indices", Tensor::indices(csr.indices()));
        push("values", Tensor::floats(csr.data()));
        push("shape", Tensor::new(Dtype::I64, [out, inputs].map(|size| (size as i64).to_le_bytes())));
        push("bias", Tensor::floats(&layer.bias().to_vec()));
    }
    let activations: Vec<_> = mlp.layers().iter().map(|layer| layer.activation().to_string()).collect();
    let metadata = HashMap::from(
        [
            ("format", FORMAT),
            ("version", VERSION),
            ("layers", &serde_json::json!(names).to_string()),
            ("activations", &activations.join(",")),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let bytes = serialize(tensors, Some(metadata)).map_err(|error| fault(path, error))?;
    atomically(path, |file| file.write_all(&bytes))
}

/// A tensor of one dimension, to be written.
struct Tensor {
    dtype: Dtype,
    shape: [usize; 1],
    bytes: Vec<u8>,
}

impl Tensor {
    fn new<const N: usize>(dtype: Dtype, values: impl IntoIterator<Item = [u8; N]>) -> Self {
        let bytes: Vec<u8> = values.into_iter().flatten().collect();
        Self { dtype, shape: [bytes.len() / N], bytes }
    }

    fn floats(values: &[f32]) -> Self {
        Self::new(Dtype::F32, values.iter().map(|value| value.to_le_bytes()))
    }

    /// Torch knows no unsigned indices: 32 signed bits where they suffice, else 64.
    fn indices(values: &[u32]) -> Self {
        if values.iter().all(|&value| i32::try_from(value).is_ok()) {
            Self::new(Dtype::I32, values.iter().map(|value| value.to_le_bytes()))
        } else {
            Self::new(Dtype::I64, values.iter().map(|&value| i64::from(value).to_le_bytes()))
        }
    }
}

impl View for Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
