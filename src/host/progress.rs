//! How far a run has come, on standard error: a line that is redrawn on a terminal, elsewhere a line from time to time.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::watcher::{self, Watcher};

#[cfg(feature = "program")]
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Without a terminal the first line comes after this time, each further one after twice as long as the one before …
const FIRST: Duration = Duration::from_secs(10);
/// … but after this time at the latest.
const LONGEST: Duration = Duration::from_secs(600);
/// How often a second the line on a terminal is redrawn at most.
#[cfg(feature = "program")]
const REDRAWS: u8 = 4;

/// The progress of one run.
pub(crate) enum Progress {
    /// Nothing is shown.
    Silent,
    /// A line that is redrawn.
    #[cfg(feature = "program")]
    Redrawn(ProgressBar),
    /// A line from time to time.
    Logged(Mutex<Log>),
    /// Whoever watches is told.
    Told(Arc<Watcher>),
}

impl Progress {
    /// Progress of `total` steps, of which `done` were done by an earlier attempt. A watcher of the run shows it himself.
    pub fn new(visible: bool, total: u64, done: u64) -> Self {
        if let Some(watcher) = watcher::current() {
            watcher.begin(total, done);
            return Self::Told(watcher);
        }
        if !visible {
            return Self::Silent;
        }
        // A notebook pretends to be a terminal, but keeps every line that was ever drawn.
        let notebook = std::env::var_os("JPY_PARENT_PID").is_some();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if notebook || dumb || !std::io::stderr().is_terminal() {
            return Self::Logged(Mutex::new(Log::new(total, done)));
        }
        Self::drawn(total, done)
    }

    /// A bar on the terminal.
    #[cfg(feature = "program")]
    fn drawn(total: u64, done: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(REDRAWS));
        // The message takes what the terminal leaves: a line that is too long would be drawn anew below each time.
        let style = ProgressStyle::with_template("{bar:12} {percent:>3} %  {wide_msg}  {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_position(done);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_secs(1));
        Self::Redrawn(bar)
    }

    /// Without the crate that draws bars, lines on a terminal too.
    #[cfg(not(feature = "program"))]
    fn drawn(total: u64, done: u64) -> Self {
        Self::Logged(Mutex::new(Log::new(total, done)))
    }

    /// So many steps are done in all.
    pub fn set_position(&self, position: u64) {
        match self {
            Self::Silent => {}
            #[cfg(feature = "program")]
            Self::Redrawn(bar) => bar.set_position(position),
            Self::Logged(log) => {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.position = position;
                log.tell();
            }
            Self::Told(watcher) => watcher.set_position(position),
        }
    }

    /// One step more is done.
    pub fn inc(&self) {
        match self {
            Self::Silent => {}
            #[cfg(feature = "program")]
            Self::Redrawn(bar) => bar.inc(1),
            Self::Logged(log) => {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.position += 1;
                log.tell();
            }
            Self::Told(watcher) => watcher.inc(),
        }
    }

    /// What is to be said of the run.
    pub fn set_message(&self, message: String) {
        match self {
            Self::Silent => {}
            #[cfg(feature = "program")]
            Self::Redrawn(bar) => bar.set_message(message),
            Self::Logged(log) => log.lock().unwrap_or_else(PoisonError::into_inner).message = message,
            Self::Told(watcher) => watcher.set_message(message),
        }
    }

    /// The run is over: its line disappears.
    pub fn finish_and_clear(&self) {
        #[cfg(feature = "program")]
        if let Self::Redrawn(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// Lines for where nothing can be redrawn.
pub(crate) struct Log {
    total: u64,
    /// What was done before.
    done: u64,
    position: u64,
    message: String,
    begun: Instant,
    due: Duration,
}

impl Log {
    fn new(total: u64, done: u64) -> Self {
        Self { total, done, position: done, message: String::new(), begun: Instant::now(), due: FIRST }
    }

    /// Writes a line if it is time for one. Nobody who does not listen stops a run.
    fn tell(&mut self) {
        if let Some(line) = self.line(self.begun.elapsed()) {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    fn line(&mut self, elapsed: Duration) -> Option<String> {
        if elapsed < self.due {
            return None;
        }
        self.due = elapsed + elapsed.clamp(FIRST, LONGEST);
        let percent = 100 * self.position / self.total.max(1);
        let (now, all) = (self.position.saturating_sub(self.done), self.total.saturating_sub(self.done));
        let left = match now {
            0 => String::new(),
            _ => format!("  about {} left", told(elapsed.mul_f64((all.max(now) - now) as f64 / now as f64))),
        };
        Some(format!("{percent:>3} %  {}{left}", self.message))
    }
}

/// A time in the unit that suits it.
fn told(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds @ 100..6000 => format!("{} min", (seconds + 30) / 60),
        seconds => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_leaves_few_lines_where_nothing_is_redrawn() {
        let mut log = Log::new(100_000, 0);
        log.message = "epoch 1/10".into();
        let mut lines = Vec::new();
        for second in 0..100_000 {
            log.position = second;
            lines.extend(log.line(Duration::from_secs(second)));
        }
        assert_eq!(lines[0], "  0 %  epoch 1/10  about 27.8 h left");
        assert_eq!(lines.last().unwrap().split("  ").last(), Some("about 6 min left"));
        // More than a day: 10, 20, 40 … 640 s, then one every ten minutes.
        assert_eq!(lines.len(), 172);
        // A run that goes on is not as fast as what it found done.
        let mut log = Log::new(100, 50);
        log.position = 60;
        assert_eq!(log.line(Duration::from_secs(10)).unwrap(), " 60 %    about 40 s left");
    }
}
