//! What becomes of the program on Ctrl-C and SIGTERM: no file stays half-written, and the user hears how to go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use crate::error::Result;
#[cfg(unix)]
use crate::{error::Error, text};

/// Held for reading by whoever writes a file; the end of the program waits for it.
static WRITING: RwLock<()> = RwLock::new(());

/// What to say at an interruption.
static ADVICE: Mutex<String> = Mutex::new(String::new());

/// Whether somebody else tells the user.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Nothing is said at an interruption: another process does.
pub fn silence() {
    SILENT.store(true, Ordering::Relaxed);
}

/// Puts an interruption off until the guard is dropped.
pub fn hold() -> RwLockReadGuard<'static, ()> {
    WRITING.read().unwrap_or_else(PoisonError::into_inner)
}

/// What the user is told if the program is interrupted from now on.
pub fn advise(advice: impl Into<String>) {
    *ADVICE.lock().unwrap_or_else(PoisonError::into_inner) = advice.into();
}

/// Ends the program on Ctrl-C with exit code 130 and on SIGTERM with 143, after the files that are being written; a second
/// signal ends it at once.
///
/// # Errors
/// If the system lets no signal be caught.
#[cfg(unix)]
pub fn watch() -> Result<()> {
    use std::io::Write;
    use std::sync::Arc;

    use signal_hook::consts::{SIGINT, SIGTERM};

    let refused = |e| Error::io("signals", "catch", e);
    let again = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))
            .map_err(refused)?;
    }
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).map_err(refused)?;
    let wait = move || {
        let Some(signal) = signals.forever().next() else { return };
        again.store(true, Ordering::Relaxed);
        let _written = WRITING.write().unwrap_or_else(PoisonError::into_inner);
        let advice = ADVICE.lock().unwrap_or_else(PoisonError::into_inner);
        let advice = if advice.is_empty() { "nothing was written" } else { advice.as_str() };
        if !SILENT.load(Ordering::Relaxed) {
            // A progress bar has left the cursor in its line.
            let _ = writeln!(std::io::stderr(), "\nholograd: interrupted; {}", text::printable(advice));
        }
        std::process::exit(128 + signal);
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map_err(refused)?;
    Ok(())
}

/// Elsewhere the system ends the program as it does by itself.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn watch() -> Result<()> {
    Ok(())
}
