//! Samples from and to `.npy` files, batch by batch: such a file may be larger than memory.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

#[cfg(feature = "search")]
use ndarray::{Array2, Axis};
use ndarray::{ArrayView2, ArrayViewMut2};

use super::file::{Draft, fault};
use super::numpy::{self, Header};
use super::storage::Storage;
use super::tensors::Info;
#[cfg(feature = "search")]
use crate::data::{Dataset, class};
use crate::{Error, ErrorKind, Result};

const READ: &str = "SampleReader::read";

/// Bytes within which the header of a file ends: that of an array of numbers has some hundred.
const HEADER: usize = 1 << 16;

/// The samples of a `.npy` file, read in order.
///
/// The first dimension is that of the samples, and all others are the features of one: images `[n, 28, 28]` have 784.
/// Any dtype of integers or floats is converted to f32.
///
/// ```no_run
/// use tombola::io::{SampleReader, load};
/// let mlp = load("ticket.safetensors")?;
/// let mut samples = SampleReader::open("images.npy")?;
/// let mut x = ndarray::Array2::zeros((64, samples.features()));
/// loop {
///     let read = samples.read(x.view_mut())?;
///     if read == 0 {
///         break;
///     }
///     println!("{}", mlp.forward(x.slice(ndarray::s![..read, ..]))?);
/// }
/// # Ok::<(), tombola::Error>(())
/// ```
pub struct SampleReader {
    name: String,
    source: Box<dyn Read>,
    header: Header,
    samples: usize,
    features: usize,
    done: usize,
    bytes: Vec<u8>,
}

impl SampleReader {
    /// The samples of a file.
    ///
    /// # Errors
    /// When the file cannot be read, is none of numpy's, or holds no samples of numbers.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        match File::open(path) {
            Ok(file) => Self::new(BufReader::with_capacity(1 << 16, file), name),
            Err(error) => Err(Error::caused_by(ErrorKind::Io, READ, name, "a file that can be read", error)),
        }
    }

    /// The samples that come out of a source; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn new(mut source: impl Read + 'static, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let fault = |expected: &str, found: String| {
            Err(Error::new(ErrorKind::Format, READ, name.clone(), expected, found))
        };
        let Some(text) = header_text(&mut source).map_err(|error| unreadable(&name, error))? else {
            return fault("a .npy file", "another, or only the beginning of one".into());
        };
        let Some(header) = Header::parse(&text) else {
            return fault("a header of descr, fortran_order and shape", format!("{:?}", text.trim_end()));
        };
        let Some((_, size, _)) = header.dtype() else {
            return fault("an array of numbers", format!("dtype {}", header.descr));
        };
        let &[samples, ref rest @ ..] = &header.shape[..] else {
            return fault("samples, [n, features…]", "a single number".into());
        };
        let features = rest.iter().try_fold(1, |len: usize, &dimension| len.checked_mul(dimension));
        let len = features.and_then(|features| features.checked_mul(samples)?.checked_mul(size));
        let (Some(features @ 1..), Some(len)) = (features, len) else {
            return fault("samples, [n, features…]", format!("{:?}", header.shape));
        };
        let mut source: Box<dyn Read> = Box::new(source);
        if header.fortran_order {
            // Its first sample ends near the end of the file: there is no way but to read it whole.
            let mut data = Vec::new();
            let most = (len as u64).saturating_add(1);
            source.take(most).read_to_end(&mut data).map_err(|error| unreadable(&name, error))?;
            if data.len() != len {
                let found = if data.len() < len { data.len().to_string() } else { "more".into() };
                return fault(&format!("{len} bytes of data"), found);
            }
            source = Box::new(io::Cursor::new(numpy::by_rows(&data, &header.shape, size)));
        }
        Ok(Self { name, source, header, samples, features, done: 0, bytes: Vec::new() })
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Features of a sample.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Reads the next samples into the rows of `x` (`[batch, features]`), and returns how many those are: fewer than
    /// there are rows only at the end. With the last sample the file has to end: what follows it would be samples of
    /// which the header knows nothing.
    ///
    /// # Errors
    /// When `x` has other columns, the file cannot be read, ends early or goes on after its samples, or a number does
    /// not fit f32.
    pub fn read(&mut self, mut x: ArrayViewMut2<'_, f32>) -> Result<usize> {
        if x.ncols() != self.features {
            return Err(Error::shape(READ, "x", format!("[batch, {}]", self.features), x.shape()));
        }
        let count = x.nrows().min(self.samples - self.done);
        let (dtype, size, big_endian) =
            self.header.dtype().unwrap_or_else(|| unreachable!("the header was checked"));
        self.bytes.resize(count * self.features * size, 0);
        self.source.read_exact(&mut self.bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.ends_early(),
            _ => unreadable(&self.name, error),
        })?;
        if big_endian {
            self.bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        let place = 0..self.bytes.len();
        let storage = Storage::Memory(std::mem::take(&mut self.bytes));
        let info = Info { dtype, shape: vec![count, self.features], place };
        let values = info.tensor(READ, &self.name, &storage).numbers()?;
        // The memory serves the next batch, too.
        self.bytes = storage.into_bytes().map_err(|error| unreadable(&self.name, error))?;
        for (mut row, values) in x.rows_mut().into_iter().zip(values.chunks_exact(self.features)) {
            row.iter_mut().zip(values).for_each(|(place, &value)| *place = value);
        }
        self.done += count;
        if self.done == self.samples {
            self.check_end()?;
        }
        Ok(count)
    }

    /// Refuses what comes after the last sample.
    fn check_end(&mut self) -> Result<()> {
        match self.source.read_exact(&mut [0]) {
            Ok(()) => {
                let expected = format!("the end of the file after {} samples", self.samples);
                Err(Error::new(ErrorKind::Format, READ, self.name.clone(), expected, "more"))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(unreadable(&self.name, error)),
        }
    }

    fn ends_early(&self) -> Error {
        let expected = format!("{} samples of {} features", self.samples, self.features);
        Error::new(ErrorKind::Format, READ, self.name.clone(), expected, "the end of the file before")
    }
}

/// Samples into a `.npy` file of f32, which appears whole or not at all when the last has been written.
pub struct SampleWriter {
    name: String,
    sink: BufWriter<Sink>,
    shape: [usize; 2],
    done: usize,
}

enum Sink {
    File(Draft),
    Stream(Box<dyn Write>),
}

impl SampleWriter {
    /// A file for so many samples of so many features.
    ///
    /// # Errors
    /// When no file can be made beside its place.
    pub fn create(path: impl AsRef<Path>, shape: [usize; 2]) -> Result<Self> {
        let path = path.as_ref();
        let draft = Draft::new(path).map_err(|error| fault(path, error))?;
        Self::start(path.display().to_string(), Sink::File(draft), shape)
    }

    /// The same into a stream, as they come; `name` is what errors call it.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn new(stream: impl Write + 'static, name: impl Into<String>, shape: [usize; 2]) -> Result<Self> {
        Self::start(name.into(), Sink::Stream(Box::new(stream)), shape)
    }

    fn start(name: String, sink: Sink, shape: [usize; 2]) -> Result<Self> {
        let mut sink = BufWriter::with_capacity(1 << 16, sink);
        numpy::write_header("<f4", &shape, &mut sink).map_err(|error| fault(Path::new(&name), error))?;
        Ok(Self { name, sink, shape, done: 0 })
    }

    /// The file beside its place in which the samples are until it is [finished](Self::finish): a program that ends
    /// before without dropping this leaves it behind. A stream has none.
    pub fn draft(&self) -> Option<&Path> {
        match self.sink.get_ref() {
            Sink::File(draft) => Some(draft.path()),
            Sink::Stream(_) => None,
        }
    }

    /// Writes the next samples, `[batch, features]`.
    ///
    /// # Errors
    /// When they are more than there should be, have other features, or cannot be written.
    pub fn write(&mut self, y: ArrayView2<'_, f32>) -> Result<()> {
        let [samples, features] = self.shape;
        if y.ncols() != features || y.nrows() > samples - self.done {
            let expected = format!("[at most {}, {features}]", samples - self.done);
            return Err(Error::shape("SampleWriter::write", "y", expected, y.shape()));
        }
        let values = y.as_standard_layout();
        let write = |value: &f32| self.sink.write_all(&value.to_le_bytes());
        values.iter().try_for_each(write).map_err(|error| fault(Path::new(&self.name), error))?;
        self.done += y.nrows();
        Ok(())
    }

    /// Ends the file, and puts it where it belongs.
    ///
    /// # Errors
    /// When samples are missing, or the file cannot be written.
    pub fn finish(self) -> Result<()> {
        let [samples, _] = self.shape;
        if self.done < samples {
            let expected = format!("{samples} samples");
            return Err(Error::new(ErrorKind::Shape, "SampleWriter::finish", self.name, expected, self.done));
        }
        let fault = |error| fault(Path::new(&self.name), error);
        match self.sink.into_inner().map_err(|error| fault(error.into_error()))? {
            Sink::Stream(mut stream) => stream.flush().map_err(fault),
            Sink::File(draft) => draft.finish().map_err(fault),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(draft) => draft.write(bytes),
            Self::Stream(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(draft) => draft.flush(),
            Self::Stream(stream) => stream.flush(),
        }
    }
}

/// Reads a pair of `.npy` files: samples `x` `[samples, features…]` and their classes `y` `[samples]`, whole numbers
/// from 0.
///
/// # Errors
/// When a file cannot be read or is broken, the counts differ, a number is not finite in f32, or a label is no whole
/// number from 0 to 65,535: the error names the file.
#[cfg(feature = "search")]
pub fn read_samples(x: impl AsRef<Path>, y: impl AsRef<Path>) -> Result<Dataset> {
    let operation = "io::read_samples";
    let all = |path: &Path| {
        let mut reader = SampleReader::open(path)?;
        // Not by what a header claims: as much as a file of this length can hold.
        let len = std::fs::metadata(path).map_or(0, |metadata| metadata.len() as usize);
        if reader.samples.max(1).checked_mul(reader.features).is_none_or(|values| values > len) {
            return Err(reader.ends_early());
        }
        let mut values = Array2::zeros((reader.samples, reader.features));
        // By batches: of the bytes of the file there are never more than those of one.
        for batch in values.axis_chunks_iter_mut(Axis(0), 1024) {
            reader.read(batch)?;
        }
        Ok(values)
    };
    let (x_path, y_path) = (x.as_ref(), y.as_ref());
    let labels = all(y_path)?;
    let fault = |path: &Path, expected: String, found: String| {
        Error::new(ErrorKind::Format, operation, path.display().to_string(), expected, found)
    };
    if labels.ncols() != 1 {
        let expected = "[samples], a class of each".to_owned();
        return Err(fault(y_path, expected, format!("{} numbers of each", labels.ncols())));
    }
    let classes = labels.iter().map(|&label| {
        let found = || fault(y_path, "classes, whole numbers from 0".to_owned(), label.to_string());
        class(f64::from(label)).ok_or_else(found)
    });
    let classes = classes.collect::<Result<Vec<_>>>()?;
    let samples = all(x_path)?;
    if samples.nrows() != classes.len() {
        let expected = format!("{} samples, as many as {} has labels", classes.len(), y_path.display());
        return Err(fault(x_path, expected, samples.nrows().to_string()));
    }
    Dataset::new(samples, classes)
        .map_err(|error| error.within(format!("{}, {}", x_path.display(), y_path.display())))
}

/// The text between the magic bytes and the data; `None` when there is no such thing.
fn header_text(source: &mut impl Read) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let mut more = |bytes: &mut Vec<u8>, len: usize| source.by_ref().take(len as u64).read_to_end(bytes);
    more(&mut bytes, numpy::PREFIX)?;
    let Some(place) = numpy::header_place(&bytes).filter(|place| place.end <= HEADER) else {
        return Ok(None);
    };
    let missing = place.end.saturating_sub(bytes.len());
    more(&mut bytes, missing)?;
    Ok(bytes.get(place).and_then(|text| String::from_utf8(text.to_vec()).ok()))
}

fn unreadable(name: &str, error: io::Error) -> Error {
    Error::caused_by(ErrorKind::Io, READ, name, "a file that can be read", error)
}
