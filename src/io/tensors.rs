//! The tensors of a file, by name, before anyone asks what they mean.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::ops::Range;

use half::{bf16, f16};
use safetensors::Dtype;

#[cfg(feature = "numpy")]
use super::numpy;
use super::storage::{Origin, Storage};
use super::{checkpoint, market, names};
use crate::csr::Csr;
use crate::{Error, ErrorKind, Result};

/// How a `.npy` file begins.
pub(super) const NPY_MAGIC: &[u8] = b"\x93NUMPY";

/// How a zip archive begins, and so a `.npz` file.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

/// How a file begins that PyTorch pickled before it took to archives: with a number of its own, which is no length that
/// a header of safetensors could have.
const PICKLE_MAGIC: &[u8] = b"\x80\x02\x8A\x0A\x6C\xFC\x9C\x46";

/// How the first member of the archives is called, in the folder of a name.
const PICKLE: &[u8] = b"/data.pkl";

/// Bytes by whose look it is told what a file is.
const START: usize = 512;

/// The tensors of a file by their names. What is in them is read when somebody asks.
pub(super) struct Tensors {
    operation: &'static str,
    storage: Storage,
    infos: HashMap<String, Info>,
    metadata: HashMap<String, String>,
    unnamed: bool,
}

/// What a tensor is, and where in the storage it lies: in as many bytes as it has.
pub(super) struct Info {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) place: Range<usize>,
}

impl Info {
    pub(super) fn tensor<'a>(
        &'a self,
        operation: &'static str,
        name: &'a str,
        storage: &'a Storage,
    ) -> Tensor<'a> {
        let Self { dtype, shape, place } = self;
        Tensor { operation, name, dtype: *dtype, shape, storage, place }
    }
}

impl Tensors {
    /// Opens a file for an operation that its errors will name. What kind of file it is, its first bytes say.
    pub(super) fn read(operation: &'static str, origin: Origin) -> Result<Self> {
        let unreadable = |error| unreadable(operation, "file", error);
        let name = origin.stem();
        let storage = origin.open().map_err(unreadable)?;
        let start = storage.start(START).map_err(unreadable)?.into_owned();
        if is_pickle(&start) {
            let expected = "tensors without Python's objects, as `safetensors.torch.save_file` writes them";
            return Err(Error::new(ErrorKind::Format, operation, "file", expected, "a pickle of PyTorch"));
        }
        if start.get(..market::MAGIC.len()).is_some_and(|start| start.eq_ignore_ascii_case(market::MAGIC)) {
            return market::read(operation, &storage.into_bytes().map_err(unreadable)?, &name);
        }
        #[cfg(feature = "numpy")]
        if start.starts_with(NPY_MAGIC) {
            return numpy::read_npy(operation, storage, &name);
        } else if start.starts_with(ZIP_MAGIC) {
            return numpy::read_npz(operation, storage, &name);
        }
        #[cfg(not(feature = "numpy"))]
        if [NPY_MAGIC, ZIP_MAGIC].into_iter().any(|magic| start.starts_with(magic)) {
            let expected = "a build with the feature `numpy`, for files of numpy";
            return Err(Error::new(ErrorKind::Unsupported, operation, "file", expected, "one without"));
        }
        checkpoint::read(operation, storage)
    }

    /// The tensors of a storage, and the metadata that comes with them.
    pub(super) fn new(
        operation: &'static str,
        storage: Storage,
        infos: HashMap<String, Info>,
        metadata: HashMap<String, String>,
    ) -> Self {
        Self { operation, storage, infos, metadata, unnamed: false }
    }

    /// Says that it is one matrix, whose name is the file's and no more.
    pub(super) fn unnamed(mut self) -> Self {
        self.unnamed = true;
        self
    }

    /// Whether it is one matrix, whose name is the file's and no more.
    pub(super) fn is_unnamed(&self) -> bool {
        self.unnamed
    }

    /// The names, in no order.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.infos.keys().map(String::as_str)
    }

    /// An entry of the file's metadata.
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// All of the file's metadata.
    #[cfg(feature = "experiment")]
    pub(super) fn into_metadata(self) -> HashMap<String, String> {
        self.metadata
    }

    /// The tensor of a name.
    pub(super) fn get<'a>(&'a self, name: &'a str) -> Option<Tensor<'a>> {
        Some(self.infos.get(name)?.tensor(self.operation, name, &self.storage))
    }

    /// The same, where names say nothing by shapes: a matrix is the weight of a layer of its name, and a vector the
    /// bias of the only matrix of its number (`W1`, `b1`), or else of the matrix before it.
    #[cfg(feature = "numpy")]
    pub(super) fn named_by_shape(mut self) -> Result<Self> {
        let (known, mut other): (Vec<_>, Vec<_>) =
            self.infos.into_iter().partition(|(name, _)| names::is_part(name));
        self.infos = known.into_iter().collect();
        other.sort_by(|(a, _), (b, _)| names::natural(a, b));
        let outputs = |info: &Info| if let [out, _] = info.shape[..] { Some(out) } else { None };
        let matrices: Vec<_> =
            other.iter().filter_map(|(name, info)| Some((name.clone(), outputs(info)?))).collect();
        let number = |name: &str| name.chars().filter(char::is_ascii_digit).collect::<String>();
        let (mut before, mut left) = (None, matrices.iter());
        for (name, info) in other {
            let part = match info.shape[..] {
                [_, _] => {
                    before = left.next();
                    names::join(&name, "weight")
                }
                [len] => {
                    let own = number(&name);
                    let mut same =
                        matrices.iter().filter(|(matrix, _)| !own.is_empty() && number(matrix) == own);
                    match same.next().filter(|_| same.next().is_none()).or(before) {
                        Some((matrix, out)) if *out == len => names::join(matrix, "bias"),
                        _ => name.clone(),
                    }
                }
                _ => name.clone(),
            };
            if self.infos.contains_key(&part) {
                return Err(fault(self.operation, &name, format!("the only `{part}`"), "another"));
            }
            self.infos.insert(part, info);
        }
        Ok(self)
    }

    /// The weights of a layer, as tombola's own files have them, which have their name from the file alone.
    pub(super) fn of_csr(operation: &'static str, layer: &str, csr: &Csr) -> Self {
        let (mut bytes, mut infos) = (Vec::new(), HashMap::new());
        let mut push = |ending: &str, dtype, len, values: Vec<u8>| {
            let start = bytes.len();
            bytes.extend(values);
            let info = Info { dtype, shape: vec![len], place: start..bytes.len() };
            infos.insert(names::join(layer, ending), info);
        };
        let wide = |values: &[u32]| values.iter().flat_map(|&value| i64::from(value).to_le_bytes()).collect();
        push("shape", Dtype::I64, 2, wide(&[csr.rows() as u32, csr.cols() as u32]));
        push("crow_indices", Dtype::I64, csr.rows() + 1, wide(&csr.proper_indptr()));
        push("col_indices", Dtype::I64, csr.nnz(), wide(csr.indices()));
        let values = csr.data().iter().flat_map(|value| value.to_le_bytes()).collect();
        push("values", Dtype::F32, csr.nnz(), values);
        Self::new(operation, Storage::Memory(bytes), infos, HashMap::new()).unnamed()
    }
}

/// A tensor as it lies in a file: little-endian, row-major.
#[derive(Clone, Copy)]
pub(super) struct Tensor<'a> {
    operation: &'static str,
    pub(super) name: &'a str,
    pub(super) dtype: Dtype,
    pub(super) shape: &'a [usize],
    storage: &'a Storage,
    place: &'a Range<usize>,
}

impl<'a> Tensor<'a> {
    /// Its numbers as f32.
    ///
    /// # Errors
    /// When it has another dtype than F16, BF16, F32 or F64, an F64 is too large for f32, or the file cannot be read.
    pub(super) fn floats(&self) -> Result<Vec<f32>> {
        Ok(match self.dtype {
            Dtype::F32 => self.storage.floats(self.place.clone()).map_err(|error| self.unreadable(error))?,
            Dtype::F16 => self.each(|bytes| Ok(f16::from_le_bytes(bytes).to_f32()))?,
            Dtype::BF16 => self.each(|bytes| Ok(bf16::from_le_bytes(bytes).to_f32()))?,
            Dtype::F64 => self.each(|bytes| {
                let value = f64::from_le_bytes(bytes);
                let narrowed = value as f32;
                if value.is_finite() && narrowed.is_infinite() {
                    return Err(self.fault("numbers that fit f32", value));
                }
                Ok(narrowed)
            })?,
            other => return Err(self.fault("F32, F16, BF16 or F64", format!("{other:?}"))),
        })
    }

    /// Its numbers as f32, floats or integers.
    ///
    /// # Errors
    /// As [`floats`](Self::floats), for dtypes that are neither.
    #[cfg(feature = "numpy")]
    pub(super) fn numbers(&self) -> Result<Vec<f32>> {
        match self.dtype {
            Dtype::BOOL | Dtype::U8 => self.each(|[byte]| Ok(f32::from(byte))),
            Dtype::I8 => self.each(|bytes| Ok(f32::from(i8::from_le_bytes(bytes)))),
            Dtype::U16 => self.each(|bytes| Ok(f32::from(u16::from_le_bytes(bytes)))),
            Dtype::I16 => self.each(|bytes| Ok(f32::from(i16::from_le_bytes(bytes)))),
            Dtype::U32 => self.each(|bytes| Ok(u32::from_le_bytes(bytes) as f32)),
            Dtype::I32 => self.each(|bytes| Ok(i32::from_le_bytes(bytes) as f32)),
            Dtype::U64 => self.each(|bytes| Ok(u64::from_le_bytes(bytes) as f32)),
            Dtype::I64 => self.each(|bytes| Ok(i64::from_le_bytes(bytes) as f32)),
            _ => self.floats(),
        }
    }

    /// Its numbers as those of a mask: 1 where a weight is kept, 0 where it is pruned.
    ///
    /// # Errors
    /// When it has a dtype that is no mask's, or holds another number, NaN among them.
    pub(super) fn keeps(&self) -> Result<Vec<bool>> {
        let bit = |value: f64| match value {
            0.0 => Ok(false),
            1.0 => Ok(true),
            other => Err(self.fault("a mask of 0 and 1", other)),
        };
        match self.dtype {
            Dtype::BOOL | Dtype::U8 => self.each(|[byte]| bit(f64::from(byte))),
            Dtype::I8 => self.each(|bytes| bit(f64::from(i8::from_le_bytes(bytes)))),
            Dtype::I16 => self.each(|bytes| bit(f64::from(i16::from_le_bytes(bytes)))),
            Dtype::I32 => self.each(|bytes| bit(f64::from(i32::from_le_bytes(bytes)))),
            Dtype::I64 => self.each(|bytes| bit(i64::from_le_bytes(bytes) as f64)),
            Dtype::F16 => self.each(|bytes| bit(f16::from_le_bytes(bytes).to_f64())),
            Dtype::BF16 => self.each(|bytes| bit(bf16::from_le_bytes(bytes).to_f64())),
            Dtype::F32 => self.each(|bytes| bit(f64::from(f32::from_le_bytes(bytes)))),
            Dtype::F64 => self.each(|bytes| bit(f64::from_le_bytes(bytes))),
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
            Dtype::I32 => self.each(|bytes| narrow(i64::from(i32::from_le_bytes(bytes)))),
            Dtype::I64 => self.each(|bytes| narrow(i64::from_le_bytes(bytes))),
            other => Err(self.fault("I32 or I64", format!("{other:?}"))),
        }
    }

    /// Its bytes, if it is U8.
    pub(super) fn bytes(&self) -> Result<Cow<'a, [u8]>> {
        if self.dtype == Dtype::U8 { self.raw() } else { Err(self.fault("U8", format!("{:?}", self.dtype))) }
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
        fault(self.operation, self.name, expected, found)
    }

    fn raw(&self) -> Result<Cow<'a, [u8]>> {
        self.storage.bytes(self.place.clone()).map_err(|error| self.unreadable(error))
    }

    fn each<T, const N: usize>(&self, read: impl Fn([u8; N]) -> Result<T>) -> Result<Vec<T>> {
        self.raw()?.as_chunks().0.iter().map(|&bytes| read(bytes)).collect()
    }

    fn unreadable(&self, error: io::Error) -> Error {
        unreadable(self.operation, format!("`{}`", self.name), error)
    }
}

/// Whether a file that begins so is one of `torch.save`: a pickle, or an archive of which the first member is one.
fn is_pickle(start: &[u8]) -> bool {
    let in_archive = start.starts_with(ZIP_MAGIC) && start.windows(PICKLE.len()).any(|name| name == PICKLE);
    start.starts_with(PICKLE_MAGIC) || in_archive
}

/// An error about the tensor of a name.
pub(super) fn fault(
    operation: &'static str,
    name: &str,
    expected: impl std::fmt::Display,
    found: impl std::fmt::Display,
) -> Error {
    Error::new(ErrorKind::Format, operation, format!("`{name}`"), expected, found)
}

/// An error of reading a file, or a tensor of it.
pub(super) fn unreadable(operation: &'static str, subject: impl Into<String>, error: io::Error) -> Error {
    Error::caused_by(ErrorKind::Io, operation, subject, "one that can be read", error)
}
