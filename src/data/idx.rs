//! IDX, the format of MNIST (LeCun, Cortes & Burges, *The MNIST database of handwritten digits*): two zeros, a byte for
//! the type of the numbers, one for the count of dimensions, the dimensions in 32 bits each, the numbers; all
//! big-endian.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use ndarray::Array2;

use super::{Dataset, Split, class};
use crate::{Error, ErrorKind, Result};

const OPERATION: &str = "Dataset::from_idx";

/// Deflate codes 258 bytes in two bits, and no more.
const DEFLATE: u64 = 1032;

/// A training sample in so many is for validation: of 60,000, the 5,000 of Frankle & Carbin.
const VALIDATION: usize = 12;

impl Dataset {
    /// Reads a pair of IDX files, as they are or with gzip (their first bytes tell): the images, `[samples, …]` of any
    /// count of dimensions, which become the features, and the label of each. Bytes 0 to 255 become 0 to 1; numbers of
    /// the five other types are taken as they are, rounded to f32.
    ///
    /// # Errors
    /// When a file cannot be read, is no IDX file, is shorter or longer than its dimensions say, the counts differ, a
    /// number does not fit f32, or a label is no whole number from 0 to 65,535: the error names the file.
    pub fn from_idx(images: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<Self> {
        let (images, labels) = (Idx::open(images.as_ref())?, Idx::open(labels.as_ref())?);
        if labels.shape != images.shape[..1] {
            let expected = format!("[{}], as many as {} has images", images.shape[0], images.path.display());
            return Err(labels.fault(&expected, format!("{:?}", labels.shape)));
        }
        let files = format!("{}, {}", images.path.display(), labels.path.display());
        let shape = (images.shape[0], images.len / images.shape[0]);
        let scale = if images.number == Number::U8 { 255.0 } else { 1.0 };
        let labels = labels.read("classes, whole numbers from 0", class)?;
        let x = images.read("finite numbers that fit f32", |value| {
            Some((value / scale) as f32).filter(|value| value.is_finite())
        })?;
        let x =
            Array2::from_shape_vec(shape, x).unwrap_or_else(|error| unreachable!("read to the end: {error}"));
        Self::new(x, labels).map_err(|error| error.within(files))
    }
}

impl Split {
    /// Reads a folder of the four files of MNIST, Fashion-MNIST and others of their form: `train-images-idx3-ubyte`,
    /// `train-labels-idx1-ubyte`, and `t10k-…` for the test, also as `train-images.idx3-ubyte`, with or without `.gz`.
    /// Pixels are from 0 to 1 ([`normalise`](Split::normalise) does the rest).
    ///
    /// A twelfth of the training samples is for validation, drawn by chance (by `seed`): 5,000 of MNIST's 60,000, as in
    /// Frankle & Carbin. For another count, there are [`Dataset::from_idx`] and [`Split::with_test`].
    ///
    /// # Errors
    /// When a file is missing, or as [`Dataset::from_idx`] and [`Split::with_test`].
    pub fn from_idx(folder: impl AsRef<Path>, seed: u64) -> Result<Self> {
        let folder = folder.as_ref();
        let part = |name: &str| {
            Dataset::from_idx(
                find(folder, &format!("{name}-images"), "idx3-ubyte")?,
                find(folder, &format!("{name}-labels"), "idx1-ubyte")?,
            )
        };
        let (test, training) = (part("t10k")?, part("train")?);
        let validation = training.len() / VALIDATION;
        Self::with_test(training, test, validation.max(1), seed)
            .map_err(|error| error.within(folder.display()))
    }
}

/// The file of a folder, under one of the names that it goes by.
fn find(folder: &Path, name: &str, ending: &str) -> Result<PathBuf> {
    let names = ["-", "."].map(|joint| ["", ".gz"].map(|gz| format!("{name}{joint}{ending}{gz}"))).concat();
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        let expected = format!("one of the files {}", names.join(", "));
        Error::new(ErrorKind::Io, "Split::from_idx", folder.display().to_string(), expected, "none")
    })
}

/// A type of numbers.
#[derive(Clone, Copy, PartialEq)]
enum Number {
    U8,
    I8,
    I16,
    I32,
    F32,
    F64,
}

impl Number {
    fn of(code: u8) -> Option<Self> {
        Some(match code {
            0x08 => Self::U8,
            0x09 => Self::I8,
            0x0B => Self::I16,
            0x0C => Self::I32,
            0x0D => Self::F32,
            0x0E => Self::F64,
            _ => return None,
        })
    }

    fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// An IDX file, read up to its numbers.
struct Idx<'a> {
    path: &'a Path,
    source: Box<dyn Read>,
    number: Number,
    /// One dimension or more, none of them 0.
    shape: Vec<usize>,
    /// Count of numbers.
    len: usize,
}

impl<'a> Idx<'a> {
    /// Reads the header, and refuses one that claims more numbers than a file of this size can hold: what is allocated
    /// for them later is in proportion to the file.
    fn open(path: &'a Path) -> Result<Self> {
        let broken = |error| broken(path, error);
        let file = File::open(path).map_err(broken)?;
        let size = file.metadata().map_err(broken)?.len();
        let mut file = BufReader::new(file);
        let gzip = file.fill_buf().map_err(broken)?.starts_with(&[0x1F, 0x8B]);
        let (mut source, most): (Box<dyn Read>, _) = if gzip {
            (Box::new(MultiGzDecoder::new(file)), size.saturating_mul(DEFLATE))
        } else {
            (Box::new(file), size)
        };
        let mut word = || {
            let mut word = [0; 4];
            source.read_exact(&mut word).map_err(broken).map(|()| word)
        };
        let magic = word()?;
        let [_, _, code, dimensions] = magic;
        let number = Number::of(code).filter(|_| magic.starts_with(&[0, 0]) && dimensions > 0);
        let Some(number) = number else {
            let expected = "an IDX file: 0, 0, a type of numbers (8, 9, 11 to 14), and one dimension or more";
            return Err(fault(path, expected, format!("{magic:?}")));
        };
        let shape =
            (0..dimensions).map(|_| Ok(u32::from_be_bytes(word()?) as usize)).collect::<Result<Vec<_>>>()?;
        let len = shape.iter().try_fold(1, |len: usize, &dimension| len.checked_mul(dimension));
        let room = |len: &usize| {
            let bytes = (*len as u64).checked_mul(number.size() as u64);
            *len > 0 && bytes.is_some_and(|bytes| bytes <= most)
        };
        let Some(len) = len.filter(room) else {
            let expected = format!("dimensions that the {size} bytes of the file can fill, none of them 0");
            return Err(fault(path, &expected, format!("{shape:?}")));
        };
        Ok(Self { path, source, number, shape, len })
    }

    fn fault(&self, expected: &str, found: impl std::fmt::Display) -> Error {
        fault(self.path, expected, found)
    }

    /// Reads the numbers, as many as the dimensions say, and sees that there the file ends.
    fn read<T>(mut self, expected: &str, convert: impl Fn(f64) -> Option<T>) -> Result<Vec<T>> {
        let mut numbers = Vec::new();
        if let Err(error) = numbers.try_reserve_exact(self.len) {
            let expected = format!("room in memory for {} numbers", self.len);
            let file = self.path.display().to_string();
            return Err(Error::caused_by(ErrorKind::Io, OPERATION, file, expected, error));
        }
        let mut buffer = [0; 1 << 16]; // of whole numbers
        let mut left = self.len * self.number.size();
        while left > 0 {
            let bytes = left.min(buffer.len());
            let bytes = &mut buffer[..bytes];
            self.source.read_exact(bytes).map_err(|error| broken(self.path, error))?;
            left -= bytes.len();
            let mut push = |number: f64| {
                let converted = convert(number)
                    .ok_or_else(|| self.fault(expected, format!("{number} at {}", numbers.len())))?;
                numbers.push(converted);
                Ok(())
            };
            match self.number {
                Number::U8 => bytes.iter().try_for_each(|&byte| push(f64::from(byte))),
                Number::I8 => bytes.iter().try_for_each(|&byte| push(f64::from(byte as i8))),
                Number::I16 => each(bytes, |bytes| push(f64::from(i16::from_be_bytes(bytes)))),
                Number::I32 => each(bytes, |bytes| push(f64::from(i32::from_be_bytes(bytes)))),
                Number::F32 => each(bytes, |bytes| push(f64::from(f32::from_be_bytes(bytes)))),
                Number::F64 => each(bytes, |bytes| push(f64::from_be_bytes(bytes))),
            }?;
        }
        // With gzip, this is also where the checksum is compared.
        match self.source.read(&mut buffer[..1]) {
            Ok(0) => Ok(numbers),
            Ok(_) => {
                let expected = format!("the end after the {} numbers of {:?}", self.len, self.shape);
                Err(self.fault(&expected, "more"))
            }
            Err(error) => Err(broken(self.path, error)),
        }
    }
}

fn each<const N: usize>(bytes: &[u8], push: impl FnMut([u8; N]) -> Result<()>) -> Result<()> {
    bytes.as_chunks().0.iter().copied().try_for_each(push)
}

fn fault(path: &Path, expected: &str, found: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Format, OPERATION, path.display().to_string(), expected, found)
}

/// An error of reading: the file's, if it ends early or is no proper gzip, or else the system's.
fn broken(path: &Path, error: io::Error) -> Error {
    let (kind, expected) = match error.kind() {
        io::ErrorKind::UnexpectedEof => (ErrorKind::Format, "a whole IDX file"),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            (ErrorKind::Format, "an undamaged gzip file")
        }
        _ => (ErrorKind::Io, "a file that can be read"),
    };
    Error::caused_by(kind, OPERATION, path.display().to_string(), expected, error)
}
