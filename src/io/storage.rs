//! The bytes of a file, of which no more is in memory than somebody asks for.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where a storage comes from: a file, or what one would hold and be called.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    File(PathBuf),
    Bytes(String, Vec<u8>),
}

impl Origin {
    fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Bytes(name, _) => Path::new(name),
        }
    }

    /// What errors call it.
    pub(super) fn name(&self) -> String {
        self.path().display().to_string()
    }

    /// The name without its folder and its extension: that of a layer which has none of its own.
    pub(super) fn stem(&self) -> String {
        self.path().file_stem().map_or("layer".into(), |stem| stem.to_string_lossy().into_owned())
    }

    pub(super) fn open(self) -> io::Result<Storage> {
        match self {
            Self::File(path) => Storage::open(&path),
            Self::Bytes(_, bytes) => Ok(Storage::Memory(bytes)),
        }
    }
}

/// Bytes on the disk or, of what is there already or cannot be read twice, in memory.
pub(super) enum Storage {
    /// A file, and how long it is.
    File(File, usize),
    Memory(Vec<u8>),
}

impl Storage {
    /// A pipe, too, is one.
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if let (true, Ok(len)) = (metadata.is_file(), usize::try_from(metadata.len())) {
            return Ok(Self::File(file, len));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Self::Memory(bytes))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::File(_, len) => *len,
            Self::Memory(bytes) => bytes.len(),
        }
    }

    /// The first bytes, or all if there are fewer.
    pub(super) fn start(&self, len: usize) -> io::Result<Cow<'_, [u8]>> {
        self.bytes(0..len.min(self.len()))
    }

    /// Those of a place within it.
    pub(super) fn bytes(&self, place: Range<usize>) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Memory(bytes) => Ok(Cow::Borrowed(&bytes[place])),
            Self::File(file, _) => read(file, place).map(Cow::Owned),
        }
    }

    /// The numbers at a place as long as some of them, little-endian.
    pub(super) fn floats(&self, place: Range<usize>) -> io::Result<Vec<f32>> {
        match self {
            Self::Memory(bytes) => {
                Ok(bytes[place].as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
            }
            Self::File(file, _) => {
                let mut floats = vec![0.0_f32; place.len() / size_of::<f32>()];
                read_into(file, place.start, bytemuck::cast_slice_mut(&mut floats))?;
                if cfg!(target_endian = "big") {
                    floats.iter_mut().for_each(|float| *float = f32::from_bits(float.to_bits().swap_bytes()));
                }
                Ok(floats)
            }
        }
    }

    /// All of them.
    pub(super) fn into_bytes(self) -> io::Result<Vec<u8>> {
        match self {
            Self::File(file, len) => read(&file, 0..len),
            Self::Memory(bytes) => Ok(bytes),
        }
    }
}

fn read(file: &File, place: Range<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; place.len()];
    read_into(file, place.start, &mut bytes)?;
    Ok(bytes)
}

fn read_into(mut file: &File, start: usize, bytes: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(start as u64))?;
    file.read_exact(bytes)
}
