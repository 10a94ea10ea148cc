//! The crate's own files.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use ndarray::Array1;
use safetensors::tensor::{TensorView, serialize};
use safetensors::{Dtype, SafeTensors, View};
use sprs::CsMatI;

use crate::{Activation, Error, ErrorKind, Result, SparseLinear, SparseMlp};

const FORMAT: &str = "tombola";
const VERSION: &str = "1";

/// Writes a model to a file in tombola's [format](crate::io). The file appears whole or not at all: it is written
/// beside its place and moved there.
///
/// # Errors
/// When the file cannot be written.
pub fn save(mlp: &SparseMlp, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let mut tensors = Vec::new();
    for (index, layer) in mlp.layers().iter().enumerate() {
        let csr = layer.csr();
        let (out, inputs) = layer.shape();
        let pointers = csr.proper_indptr();
        let mut push = |name: &str, tensor| tensors.push((format!("layers.{index}.{name}"), tensor));
        push("crow_indices", Tensor::indices(&pointers));
        push("col_indices", Tensor::indices(csr.indices()));
        push("values", Tensor::floats(csr.data()));
        push("shape", Tensor::new(Dtype::I64, [out, inputs].map(|size| (size as i64).to_le_bytes())));
        push("bias", Tensor::floats(&layer.bias().to_vec()));
    }
    let activations: Vec<_> = mlp.layers().iter().map(|layer| layer.activation().to_string()).collect();
    let metadata = HashMap::from(
        [("format", FORMAT), ("version", VERSION), ("activations", &activations.join(","))]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let fault = |source: Box<dyn std::error::Error + Send + Sync>| {
        Error::caused_by(
            ErrorKind::Io,
            "io::save",
            path.display().to_string(),
            "a file that can be written",
            source,
        )
    };
    let bytes = serialize(tensors, Some(metadata)).map_err(|error| fault(error.into()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| fault(error.into()))?;
    file.write_all(&bytes).map_err(|error| fault(error.into()))?;
    file.as_file().sync_all().map_err(|error| fault(error.into()))?;
    file.persist(path).map_err(|error| fault(error.into()))?;
    Ok(())
}

/// Reads a model from a file that [`save`] wrote.
///
/// # Errors
/// When the file cannot be read, is no safetensors file of this format and version, or a tensor is missing, of a wrong
/// type or shape, or no valid CSR: the error names the tensor.
pub fn load(path: impl AsRef<Path>) -> Result<SparseMlp> {
    let path = path.as_ref();
    read(path).map_err(|error| error.within(path.display()))
}

fn read(path: &Path) -> Result<SparseMlp> {
    let operation = "io::load";
    let bytes = fs::read(path)
        .map_err(|error| Error::caused_by(ErrorKind::Io, operation, "file", "one that can be read", error))?;
    let invalid =
        |error| Error::caused_by(ErrorKind::Format, operation, "file", "a valid safetensors file", error);
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(invalid)?;
    let file = SafeTensors::deserialize(&bytes).map_err(invalid)?;
    let metadata = |key: &str| {
        let value = header.metadata().as_ref().and_then(|metadata| metadata.get(key));
        value.map_or("nothing", String::as_str)
    };
    for (key, expected) in [("format", FORMAT), ("version", VERSION)] {
        if metadata(key) != expected {
            let subject = format!("metadata `{key}`");
            return Err(Error::new(ErrorKind::Format, operation, subject, expected, metadata(key)));
        }
    }
    let layers = metadata("activations").split(',').enumerate().map(|(index, name)| {
        let activation = name.parse::<Activation>().map_err(|_| {
            let expected = "names of activations, separated by commas";
            Error::new(ErrorKind::Format, operation, "metadata `activations`", expected, format!("{name:?}"))
        })?;
        let layer = Layer { file: &file, prefix: format!("layers.{index}") };
        layer.read(activation)
    });
    let mlp = SparseMlp::new(layers.collect::<Result<_>>()?)?;
    let expected = mlp.layers().len() * 5;
    if file.len() != expected {
        let expected = format!("{expected} tensors, five a layer that has an activation");
        return Err(Error::new(ErrorKind::Format, operation, "file", expected, file.len()));
    }
    Ok(mlp)
}

/// The tensors of one layer.
struct Layer<'a> {
    file: &'a SafeTensors<'a>,
    prefix: String,
}

impl Layer<'_> {
    fn read(&self, activation: Activation) -> Result<SparseLinear> {
        let shape = self.integers("shape")?;
        let &[out, inputs] = &shape[..] else {
            return Err(self.fault("shape", "two sizes, [out, in]", shape.len()));
        };
        let (pointers, columns) = (self.integers("crow_indices")?, self.integers("col_indices")?);
        let values = self.floats("values")?;
        let bias = self.floats("bias")?;
        let csr = CsMatI::try_new((out as usize, inputs as usize), pointers, columns, values)
            .map_err(|(_, _, _, fault)| self.fault("crow_indices", "a valid CSR", fault))?;
        SparseLinear::new(csr, Some(Array1::from(bias)), activation)
            .map_err(|error| error.within(&self.prefix))
    }

    fn tensor(&self, name: &str, dtypes: &[Dtype]) -> Result<TensorView<'_>> {
        let full = format!("{}.{name}", self.prefix);
        let tensor =
            self.file.tensor(&full).map_err(|error| self.fault(name, "a tensor of this name", error))?;
        if !dtypes.contains(&tensor.dtype()) || tensor.shape().len() != 1 {
            let found = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
            return Err(self.fault(name, format!("one dimension of {dtypes:?}"), found));
        }
        Ok(tensor)
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let tensor = self.tensor(name, &[Dtype::F32])?;
        Ok(tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }

    fn integers(&self, name: &str) -> Result<Vec<u32>> {
        let tensor = self.tensor(name, &[Dtype::I32, Dtype::I64])?;
        let narrow = |value: i64| {
            u32::try_from(value)
                .map_err(|_| self.fault(name, "numbers that fit 32 bits, none negative", value))
        };
        if tensor.dtype() == Dtype::I32 {
            let values = tensor.data().as_chunks().0.iter();
            values.map(|&bytes| narrow(i64::from(i32::from_le_bytes(bytes)))).collect()
        } else {
            tensor.data().as_chunks().0.iter().map(|&bytes| narrow(i64::from_le_bytes(bytes))).collect()
        }
    }

    fn fault(&self, name: &str, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Format, "io::load", format!("{}.{name}", self.prefix), expected, found)
    }
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
