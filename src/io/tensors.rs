//! The tensors of a file, by name, before anyone asks what they mean.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use half::{bf16, f16};
use safetensors::Dtype;

use super::header::Header;
#[cfg(feature = "numpy")]
use super::numpy;
use super::source::Source;
use super::{market, names};
use crate::csr::Csr;
use crate::{Error, ErrorKind, Result};

/// How a `.npy` file begins.
pub(super) const NPY_MAGIC: &[u8] = b"\x93NUMPY";

/// How a zip archive begins, and so a `.npz` file.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

/// A file of named tensors, read whole: what becomes a model takes less room than it does.
pub(super) struct Tensors {
    operation: &'static str,
    bytes: Vec<u8>,
    infos: HashMap<String, Info>,
    metadata: HashMap<String, String>,
}

/// What a tensor is, and where in the bytes of the file it lies.
struct Info {
    dtype: Dtype,
    shape: Vec<usize>,
    place: Range<usize>,
}

impl Tensors {
    /// Reads a file for an operation that its errors will name. What kind of file it is, its first bytes say.
    pub(super) fn read(operation: &'static str, source: Source) -> Result<Self> {
        let name = source.stem();
        let bytes = source.into_bytes(operation)?;
        if bytes.get(..market::MAGIC.len()).is_some_and(|start| start.eq_ignore_ascii_case(market::MAGIC)) {
            return market::read(operation, &bytes, &name);
        }
        #[cfg(feature = "numpy")]
        if bytes.starts_with(NPY_MAGIC) {
            return numpy::read_npy(operation, &bytes, &name);
        } else if bytes.starts_with(ZIP_MAGIC) {
            return numpy::read_npz(operation, bytes, &name);
        }
        #[cfg(not(feature = "numpy"))]
        if [NPY_MAGIC, ZIP_MAGIC].into_iter().any(|magic| bytes.starts_with(magic)) {
            let expected = "a build with the feature `numpy`, for files of numpy";
            return Err(Error::new(ErrorKind::Unsupported, operation, "file", expected, "one without"));
        }
        Self::safetensors(operation, bytes)
    }

    fn safetensors(operation: &'static str, bytes: Vec<u8>) -> Result<Self> {
        let Header { tensors, metadata, end } = Header::read(operation, &bytes)?;
        let infos = tensors.into_iter().map(|(name, info)| {
            let place = end + info.data_offsets.0..end + info.data_offsets.1;
            (name, Info { dtype: info.dtype, shape: info.shape, place })
        });
        let infos = infos.collect();
        Ok(Self { operation, bytes, infos, metadata })
    }

    /// The names, in no order.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.infos.keys().map(String::as_str)
    }

    /// An entry of the file's metadata.
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// The tensor of a name.
    pub(super) fn get<'a>(&'a self, name: &'a str) -> Option<Tensor<'a>> {
        let info = self.infos.get(name)?;
        let bytes = &self.bytes[info.place.clone()];
        Some(Tensor { operation: self.operation, name, dtype: info.dtype, shape: &info.shape, bytes })
    }
}

/// Tensors that come one by one.
pub(super) struct TensorsBuilder(Tensors);

impl TensorsBuilder {
    pub(super) fn new(operation: &'static str) -> Self {
        let (bytes, infos, metadata) = (Vec::new(), HashMap::new(), HashMap::new());
        Self(Tensors { operation, bytes, infos, metadata })
    }

    #[cfg(feature = "numpy")]
    pub(super) fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// Adds the weights of a layer, as tombola's own files have them.
    pub(super) fn push_csr(&mut self, layer: &str, csr: &Csr) -> Result<()> {
        let mut push = |ending: &str, dtype, len, bytes: Vec<u8>| {
            self.push(names::join(layer, ending), dtype, vec![len], &bytes)
        };
        let wide = |values: &[u32]| values.iter().flat_map(|&value| i64::from(value).to_le_bytes()).collect();
        push("shape", Dtype::I64, 2, wide(&[csr.rows() as u32, csr.cols() as u32]))?;
        push("crow_indices", Dtype::I64, csr.rows() + 1, wide(&csr.proper_indptr()))?;
        push("col_indices", Dtype::I64, csr.nnz(), wide(csr.indices()))?;
        let values = csr.data().iter().flat_map(|value| value.to_le_bytes()).collect();
        push("values", Dtype::F32, csr.nnz(), values)
    }

    /// Adds a tensor of those bytes, which are as many as it has.
    pub(super) fn push(&mut self, name: String, dtype: Dtype, shape: Vec<usize>, bytes: &[u8]) -> Result<()> {
        // Where numbers of any dtype may begin.
        let start = self.0.bytes.len().next_multiple_of(8);
        self.0.bytes.resize(start, 0);
        self.0.bytes.extend_from_slice(bytes);
        let info = Info { dtype, shape, place: start..start + bytes.len() };
        if self.0.infos.contains_key(&name) {
            let subject = format!("`{name}`");
            return Err(Error::new(
                ErrorKind::Format,
                self.0.operation,
                subject,
                "one of this name",
                "another",
            ));
        }
        self.0.infos.insert(name, info);
        Ok(())
    }

    /// All of them.
    pub(super) fn finish(self) -> Tensors {
        self.0
    }

    /// All of them; and, of those whose names say nothing, a matrix is the weight of a layer of this name, and a vector the
    /// bias of the matrix before it.
    #[cfg(feature = "numpy")]
    pub(super) fn finish_named(mut self) -> Result<Tensors> {
        let infos = std::mem::take(&mut self.0.infos);
        let (known, mut other): (Vec<_>, Vec<_>) =
            infos.into_iter().partition(|(name, _)| names::is_part(name));
        self.0.infos = known.into_iter().collect();
        other.sort_by(|(a, _), (b, _)| names::natural(a, b));
        let mut matrix = None;
        for (name, info) in other {
            let part = match (&info.shape[..], &matrix) {
                ([out, _], _) => {
                    matrix = Some((name.clone(), *out));
                    names::join(&name, "weight")
                }
                ([len], Some((layer, out))) if len == out => names::join(layer, "bias"),
                _ => name.clone(),
            };
            if self.0.infos.contains_key(&part) {
                let (subject, expected) = (format!("`{name}`"), format!("the only `{part}`"));
                return Err(Error::new(ErrorKind::Format, self.0.operation, subject, expected, "another"));
            }
            self.0.infos.insert(part, info);
        }
        Ok(self.0)
    }
}

/// A tensor as it lies in a file: little-endian, row-major.
#[derive(Clone, Copy)]
pub(super) struct Tensor<'a> {
    operation: &'static str,
    pub(super) name: &'a str,
    pub(super) dtype: Dtype,
    pub(super) shape: &'a [usize],
    bytes: &'a [u8],
}

impl<'a> Tensor<'a> {
    /// Its numbers as f32, copied only where they are not so in memory.
    ///
    /// # Errors
    /// When it has another dtype than F16, BF16, F32 or F64, or an F64 is too large for f32.
    pub(super) fn floats(&self) -> Result<Cow<'a, [f32]>> {
        Ok(match self.dtype {
            Dtype::F32 => match bytemuck::try_cast_slice(self.bytes) {
                Ok(floats) if cfg!(target_endian = "little") => Cow::Borrowed(floats),
                _ => Cow::Owned(self.each(f32::from_le_bytes).collect()),
            },
            Dtype::F16 => Cow::Owned(self.each(|bytes| f16::from_le_bytes(bytes).to_f32()).collect()),
            Dtype::BF16 => Cow::Owned(self.each(|bytes| bf16::from_le_bytes(bytes).to_f32()).collect()),
            Dtype::F64 => {
                let narrow = |value: f64| {
                    let narrowed = value as f32;
                    if value.is_finite() && narrowed.is_infinite() {
                        return Err(self.fault("numbers that fit f32", value));
                    }
                    Ok(narrowed)
                };
                Cow::Owned(self.each(f64::from_le_bytes).map(narrow).collect::<Result<_>>()?)
            }
            other => return Err(self.fault("F32, F16, BF16 or F64", format!("{other:?}"))),
        })
    }

    /// Its numbers as those of a mask: 1 where a weight is kept, 0 where it is pruned.
    ///
    /// # Errors
    /// When it has a dtype that is no mask's, or holds another number, NaN among them.
    pub(super) fn keeps(&self) -> Result<Vec<bool>> {
        let bits = |values: &mut dyn Iterator<Item = f64>| -> Result<Vec<bool>> {
            let bit = |value| match value {
                0.0 => Ok(false),
                1.0 => Ok(true),
                other => Err(self.fault("a mask of 0 and 1", other)),
            };
            values.map(bit).collect()
        };
        match self.dtype {
            Dtype::BOOL | Dtype::U8 => bits(&mut self.bytes.iter().map(|&byte| f64::from(byte))),
            Dtype::I8 => bits(&mut self.each(|bytes| f64::from(i8::from_le_bytes(bytes)))),
            Dtype::I16 => bits(&mut self.each(|bytes| f64::from(i16::from_le_bytes(bytes)))),
            Dtype::I32 => bits(&mut self.each(|bytes| f64::from(i32::from_le_bytes(bytes)))),
            Dtype::I64 => bits(&mut self.each(|bytes| i64::from_le_bytes(bytes) as f64)),
            Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64 => {
                bits(&mut self.floats()?.iter().map(|&value| f64::from(value)))
            }
            other => Err(self.fault("BOOL, an integer or a float dtype", format!("{other:?}"))),
        }
    }

    /// Its numbers as indices or sizes.
    ///
    /// # Errors
    /// When it is not I32 or I64, or a number is negative or does not fit 32 bits.
    pub(super) fn indices(&self) -> Result<Vec<u32>> {
        let narrow = |value: i64| {
            u32::try_from(value).map_err(|_| self.fault("numbers that fit 32 bits, none negative", value))
        };
        match self.dtype {
            Dtype::I32 => self.each(|bytes| narrow(i64::from(i32::from_le_bytes(bytes)))).collect(),
            Dtype::I64 => self.each(|bytes| narrow(i64::from_le_bytes(bytes))).collect(),
            other => Err(self.fault("I32 or I64", format!("{other:?}"))),
        }
    }

    /// Its bytes, if it is U8.
    pub(super) fn bytes(&self) -> Result<&'a [u8]> {
        if self.dtype == Dtype::U8 {
            Ok(self.bytes)
        } else {
            Err(self.fault("U8", format!("{:?}", self.dtype)))
        }
    }

    /// Refuses it when it has another shape.
    pub(super) fn check_shape(&self, expected: &[usize]) -> Result<()> {
        if self.shape == expected {
            Ok(())
        } else {
            Err(self.fault(format!("{expected:?}"), format!("{:?}", self.shape)))
        }
    }

    /// An error about this tensor.
    pub(super) fn fault(&self, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Format, self.operation, format!("`{}`", self.name), expected, found)
    }

    fn each<T, const N: usize>(&self, read: impl Fn([u8; N]) -> T + 'a) -> impl Iterator<Item = T> + 'a {
        self.bytes.as_chunks().0.iter().map(move |&bytes| read(bytes))
    }
}
