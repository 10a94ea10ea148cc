//! Ctrl-C, and the signals that ask a program to end.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Failure;

/// Whether the user wants the program to stop, from now on. Who asks twice does not want to wait.
pub(crate) fn watch() -> Result<impl Fn() -> bool, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let wanted = Arc::clone(&stop);
    handle(move || {
        if wanted.swap(true, Ordering::Relaxed) {
            process::exit(130);
        }
    })?;
    Ok(move || stop.load(Ordering::Relaxed))
}

/// From now on, ends the program when the user wants it to stop, and removes this file, which is not finished.
pub(crate) fn remove_when_stopped(draft: PathBuf) -> Result<(), Failure> {
    handle(move || {
        // What is not there any more is finished, and so is the program, nearly. There is nobody left to tell if it
        // cannot be removed.
        if fs::remove_file(&draft).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return;
        }
        eprintln!("tombola: stopped; nothing is written");
        process::exit(130);
    })
}

fn handle(handler: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    if outlives_its_terminal() {
        return Ok(());
    }
    ctrlc::set_handler(handler).map_err(|error| Failure::io(format!("signals: {error}")))
}

/// Whether SIGHUP, the first of the signals, is ignored, as nohup has it: a handler would be one for that, too. Only
/// Linux tells.
fn outlives_its_terminal() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}
