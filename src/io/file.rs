//! Files that appear whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use crate::{Error, ErrorKind, Result};

/// Writes a file beside its place, and moves it there. Where a link stands, that is the place that it leads to; and a
/// file that is there leaves its permissions behind.
pub(super) fn write(
    path: &Path,
    contents: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> Result<()> {
    draft(path, contents).and_then(Draft::finish).map_err(|error| fault(path, error))
}

/// Writes some files beside their places, and moves them there only when the last of them is written.
pub(super) fn write_all<T>(
    files: impl IntoIterator<Item = (PathBuf, T)>,
    contents: impl Fn(T, &mut BufWriter<&mut File>) -> io::Result<()>,
) -> Result<()> {
    // Closed, as there may be more than can be open.
    let written =
        |(path, of): (PathBuf, T)| match draft(&path, |file| contents(of, file)).and_then(Draft::close) {
            Ok(written) => Ok((path, written)),
            Err(error) => Err(fault(&path, error)),
        };
    let written: Vec<(PathBuf, Written)> = files.into_iter().map(written).collect::<Result<_>>()?;
    written.into_iter().try_for_each(|(path, written)| written.finish().map_err(|error| fault(&path, error)))
}

/// An error of writing a file.
pub(super) fn fault(path: &Path, error: io::Error) -> Error {
    let subject = path.display().to_string();
    Error::caused_by(ErrorKind::Io, "io::save", subject, "a file that can be written", error)
}

fn draft(
    path: &Path,
    contents: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> io::Result<Draft> {
    let mut draft = Draft::new(path)?;
    let mut buffered = BufWriter::new(draft.file.as_file_mut());
    contents(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    Ok(draft)
}

/// How the name of a draft begins: a process that is killed leaves it, and then it should say whose it is.
const PREFIX: &str = ".tombola-";

/// Removes the drafts that a killed process left in a folder.
#[cfg(feature = "experiment")]
pub(super) fn sweep(folder: &Path) -> Result<()> {
    let drafts = || {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    drafts().map_err(|error| fault(folder, error))
}

/// A file that is being written beside its place.
pub(super) struct Draft {
    file: NamedTempFile,
    place: PathBuf,
    permissions: Option<Permissions>,
}

impl Draft {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let place = destination(path)?;
        let permissions = match fs::metadata(&place) {
            // A device or a pipe would be replaced by a file.
            Ok(there) if !there.is_file() => return Err(io::Error::other("something there that is no file")),
            // To rename another one over it would take the folder's leave, not the file's.
            Ok(there) if there.permissions().readonly() => {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "a file there that is write-protected",
                ));
            }
            Ok(there) => Some(there.permissions()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        // A new file gets all that the umask leaves; and what is private is so from the first byte on.
        #[cfg(unix)]
        builder.permissions(
            permissions.clone().unwrap_or_else(|| std::os::unix::fs::PermissionsExt::from_mode(0o666)),
        );
        let file = builder.tempfile_in(folder).map_err(|error| unnamed(&error))?;
        Ok(Self { file, place, permissions })
    }

    /// Where it is being written.
    #[cfg(feature = "numpy")]
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Moves it to its place.
    pub(super) fn finish(self) -> io::Result<()> {
        self.close()?.finish()
    }

    /// Sees that all of it is on the disk.
    fn close(self) -> io::Result<Written> {
        if let Some(permissions) = self.permissions {
            self.file.as_file().set_permissions(permissions)?;
        }
        self.file.as_file().sync_all()?;
        Ok(Written { file: self.file.into_temp_path(), place: self.place })
    }
}

/// An error of making a draft, without the draft's name: nobody has asked for it.
fn unnamed(error: &io::Error) -> io::Error {
    match error.kind() {
        kind @ io::ErrorKind::NotFound => io::Error::new(kind, "no folder there that takes files"),
        kind => kind.into(),
    }
}

/// A draft that is written, and closed.
struct Written {
    file: TempPath,
    place: PathBuf,
}

impl Written {
    /// Moves it to its place.
    fn finish(self) -> io::Result<()> {
        self.file.persist(self.place)?;
        Ok(())
    }
}

#[cfg(feature = "numpy")]
impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Where a path leads, through links and also to what is not there yet.
fn destination(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
            Ok(target) => destination(&path.parent().unwrap_or(Path::new("")).join(target)),
            Err(_) => Ok(path.to_owned()),
        },
        result => result,
    }
}
