//! Arrays on their way into a file: what they hold becomes bytes as it is written, and not before.

use std::borrow::Cow;
use std::io::{self, Write};

use safetensors::Dtype;

use crate::csr::Csr;

/// An array, and what it is called in the file.
pub(super) struct Array<'a> {
    pub(super) name: String,
    pub(super) data: Data<'a>,
}

/// What an array holds.
pub(super) enum Data<'a> {
    Floats(Cow<'a, [f32]>),
    /// In 64 bits, if it says so, else in 32. They are signed: torch and scipy know no others.
    Indices(Cow<'a, [u32]>, bool),
    Sizes([usize; 2]),
    /// The matrix with its zeros.
    Dense(&'a Csr),
    #[cfg(feature = "numpy")]
    Text(&'static str),
}

impl<'a> Data<'a> {
    /// The row pointers and columns of a matrix, as wide as each other: 32 bits where they suffice.
    pub(super) fn indices(csr: &'a Csr) -> [Self; 2] {
        let wide = csr.nnz().max(csr.cols()) > i32::MAX as usize;
        let pointers = csr.proper_indptr().into_owned();
        [Self::Indices(pointers.into(), wide), Self::Indices(csr.indices().into(), wide)]
    }
}

impl<'a> Array<'a> {
    pub(super) fn new(name: impl Into<String>, data: Data<'a>) -> Self {
        Self { name: name.into(), data }
    }

    pub(super) fn dtype(&self) -> Dtype {
        match self.data {
            Data::Floats(_) | Data::Dense(_) => Dtype::F32,
            Data::Indices(_, false) => Dtype::I32,
            Data::Indices(_, true) | Data::Sizes(_) => Dtype::I64,
            #[cfg(feature = "numpy")]
            Data::Text(_) => Dtype::U8,
        }
    }

    pub(super) fn shape(&self) -> Vec<usize> {
        match &self.data {
            Data::Floats(values) => vec![values.len()],
            Data::Indices(values, _) => vec![values.len()],
            Data::Sizes(sizes) => vec![sizes.len()],
            Data::Dense(csr) => vec![csr.rows(), csr.cols()],
            // One element, of as many bytes as it is long.
            #[cfg(feature = "numpy")]
            Data::Text(_) => vec![],
        }
    }

    /// Bytes of it, of numbers.
    pub(super) fn len(&self) -> usize {
        self.shape().iter().product::<usize>() * self.dtype().bitsize() / 8
    }

    /// Writes it little-endian and row by row.
    pub(super) fn write(&self, file: &mut impl Write) -> io::Result<()> {
        match &self.data {
            Data::Floats(values) => write_all(file, values.iter().map(|value| value.to_le_bytes())),
            Data::Indices(values, false) => write_all(file, values.iter().map(|value| value.to_le_bytes())),
            Data::Indices(values, true) => {
                write_all(file, values.iter().map(|&value| u64::from(value).to_le_bytes()))
            }
            Data::Sizes(sizes) => write_all(file, sizes.map(|size| (size as u64).to_le_bytes())),
            Data::Dense(csr) => {
                let mut row = vec![0.0_f32; csr.cols()];
                for entries in csr.outer_iterator() {
                    row.fill(0.0);
                    entries.iter().for_each(|(column, &value)| row[column] = value);
                    write_all(file, row.iter().map(|value| value.to_le_bytes()))?;
                }
                Ok(())
            }
            #[cfg(feature = "numpy")]
            Data::Text(text) => file.write_all(text.as_bytes()),
        }
    }
}

/// Into a file with a buffer these small pieces cost next to nothing.
fn write_all<const N: usize>(
    file: &mut impl Write,
    numbers: impl IntoIterator<Item = [u8; N]>,
) -> io::Result<()> {
    numbers.into_iter().try_for_each(|bytes| file.write_all(&bytes))
}
