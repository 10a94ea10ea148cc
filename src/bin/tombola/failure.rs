//! How the program ends when it does not end well.

use std::fmt;
use std::process::ExitCode;
use std::str::FromStr;

use tombola::{Error, ErrorKind};

/// An exit status, and a sentence for stderr.
pub(crate) struct Failure {
    status: u8,
    sentence: String,
}

impl Failure {
    /// What was to be asserted does not hold.
    pub(crate) fn assertion(sentence: impl Into<String>) -> Self {
        Self { status: 1, sentence: sentence.into() }
    }

    /// The command line makes no sense; what the parser finds of this, it tells itself, with the same status.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self { status: 2, sentence: sentence.into() }
    }

    /// The same, with what it is about.
    pub(crate) fn about(self, subject: impl fmt::Display) -> Self {
        Self { sentence: format!("{subject}: {}", self.sentence), ..self }
    }

    /// What a name or an option asks for is not to be had: the command line makes no sense, unless it is a file that is
    /// the reason.
    pub(crate) fn wish(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Value | ErrorKind::Shape | ErrorKind::Unsupported => {
                Self::usage(Self::from(error).sentence)
            }
            _ => error.into(),
        }
    }

    /// A file cannot be read or written.
    pub(crate) fn io(sentence: impl Into<String>) -> Self {
        Self { status: 3, sentence: sentence.into() }
    }

    /// A file holds something else than it should.
    pub(crate) fn contents(sentence: impl Into<String>) -> Self {
        Self { status: 4, sentence: sentence.into() }
    }

    /// The user wanted it to stop.
    pub(crate) fn interrupted(sentence: impl Into<String>) -> Self {
        Self { status: 130, sentence: sentence.into() }
    }

    /// Says so, and gives the status.
    pub(crate) fn report(self) -> ExitCode {
        eprintln!("tombola: {}", self.sentence);
        self.status.into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Io => Self::io(sentence(&error)),
            _ => Self::contents(sentence(&error)),
        }
    }
}

/// What an error says, without the function of the library that refused: to a user of the program that says nothing.
fn sentence(error: &Error) -> String {
    let text = error.to_string();
    match text.strip_prefix(error.operation()).and_then(|rest| rest.strip_prefix(": ")) {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

/// Reads what the library reads from text, for an option of the command line.
pub(crate) fn parse<T: FromStr<Err = Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| sentence(&error))
}
