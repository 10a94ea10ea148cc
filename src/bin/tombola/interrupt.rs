//! Ctrl-C, and the signals that ask a program to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Failure;

/// Whether the user wants the program to stop, from now on. Who asks twice does not want to wait.
pub(crate) fn watch() -> Result<impl Fn() -> bool, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let wanted = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if wanted.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|error| Failure::io(format!("signals: {error}")))?;
    Ok(move || stop.load(Ordering::Relaxed))
}
