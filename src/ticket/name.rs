//! Names of choices, as text.

use crate::{Error, Result};

/// The name of a choice.
pub(super) fn name_of<T: Copy + PartialEq>(names: &[(T, &'static str)], choice: T) -> &'static str {
    match names.iter().find(|(known, _)| *known == choice) {
        Some((_, name)) => name,
        None => unreachable!("every choice has a name"),
    }
}

/// The choice of a name.
pub(super) fn named<T: Copy>(names: &[(T, &str)], operation: &'static str, name: &str) -> Result<T> {
    names.iter().find(|(_, known)| *known == name).map(|&(choice, _)| choice).ok_or_else(|| {
        let known: Vec<_> = names.iter().map(|(_, name)| *name).collect();
        Error::value(operation, "name", format!("one of {}", known.join(", ")), format!("`{name}`"))
    })
}
