//! The one error type of the crate.

use std::fmt::{self, Write};

/// What went wrong, where, and what would have been right.
///
/// ```
/// use tombola::{ErrorKind, Mask};
/// let weight = ndarray::Array2::<f32>::ones((2, 3));
/// let error = Mask::magnitude(weight.view(), 1.5).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Value);
/// assert_eq!(error.to_string(), "Mask::magnitude: sparsity: expected a number in [0, 1), found 1.5");
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    subject: String,
    expected: String,
    found: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The class of an [`Error`], for programs that must tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Two shapes that have to agree do not, or a shape has no elements.
    Shape,
    /// A number is outside of its range, or is NaN where none may be.
    Value,
    /// A sparse matrix breaks one of the invariants of its format.
    Structure,
    /// This CPU or this build lacks what was asked for.
    Unsupported,
    /// A file could not be read or written.
    Io,
    /// A file was read, and its contents are not what they should be.
    Format,
}

/// `Result` with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `operation` about `subject` (a tensor, an argument or a file).
    pub(crate) fn new(
        kind: ErrorKind,
        operation: &'static str,
        subject: impl Into<String>,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        Self {
            kind,
            operation,
            subject: subject.into(),
            expected: expected.to_string(),
            found: found.to_string(),
            source: None,
        }
    }

    pub(crate) fn shape(
        operation: &'static str,
        subject: impl Into<String>,
        expected: impl fmt::Display,
        found: impl fmt::Debug,
    ) -> Self {
        Self::new(ErrorKind::Shape, operation, subject, expected, format!("{found:?}"))
    }

    pub(crate) fn value(
        operation: &'static str,
        subject: impl Into<String>,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        Self::new(ErrorKind::Value, operation, subject, expected, found)
    }

    /// An error whose cause is another library's.
    #[cfg(any(feature = "io", feature = "search"))]
    pub(crate) fn caused_by(
        kind: ErrorKind,
        operation: &'static str,
        subject: impl Into<String>,
        expected: impl fmt::Display,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let source = source.into();
        Self { source: Some(source), ..Self::new(kind, operation, subject, expected, "") }
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The operation that refused, as `Type::function`.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The tensor, argument or file that the error is about.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The same error about a tensor with a name: `layers.2: bias` says more than `bias`.
    pub(crate) fn within(mut self, outer: impl fmt::Display) -> Self {
        self.subject = format!("{outer}: {}", self.subject);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = Escaped(f);
        write!(f, "{}: {}: expected {}, found ", self.operation, self.subject, self.expected)?;
        match &self.source {
            Some(source) => write!(f, "{source}"),
            None => f.write_str(&self.found),
        }
    }
}

/// Text in which no character controls a terminal, breaks the line or turns its direction: names come from files.
struct Escaped<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|letter| match letter {
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                write!(self.0, "{}", letter.escape_unicode())
            }
            _ if letter.is_control() => write!(self.0, "{}", letter.escape_debug()),
            _ => self.0.write_char(letter),
        })
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
