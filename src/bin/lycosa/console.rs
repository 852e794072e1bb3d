//! Standard error: the progress line, and everything that is written over it.
//!
//! All text of the command for a person goes through here, so that a log line never tears the progress line. A standard
//! error that cannot be written is nobody's failure: the records matter.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::settings::one_line;
use crate::settings::resolve::Display;

/// Draws of the progress line in a second.
pub const HERTZ: u8 = 5;

/// Cheap to clone; usable from any thread.
#[derive(Debug, Clone)]
pub struct Console {
    bar: ProgressBar,
    progress: bool,
    color: bool,
    quiet: u32,
}

impl Console {
    /// `records` says that records go to standard output. On a terminal they would start in the middle of a progress
    /// line that nobody takes away before them.
    pub fn new(display: &Display, records: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let torn = records && std::io::stdout().is_terminal();
        let progress = terminal && !torn && !display.no_progress && display.quiet == 0;
        let target = if progress { ProgressDrawTarget::stderr_with_hz(HERTZ) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target)
            .with_style(ProgressStyle::with_template("{wide_msg}").expect("a fixed template"));
        Self { bar, progress, color: colored(display.color, terminal), quiet: display.quiet }
    }

    /// Whether there is a progress line at all.
    pub fn has_progress(&self) -> bool {
        self.progress
    }

    /// Whether escape codes may be written.
    pub fn has_color(&self) -> bool {
        self.color
    }

    /// Draws the progress line anew, cut to the width of the terminal.
    pub fn draw(&self, line: String) {
        self.bar.set_message(line);
    }

    /// Takes the progress line away, for good.
    pub fn end_progress(&self) {
        self.bar.finish_and_clear();
    }

    /// Writes whole lines; the progress line makes way.
    pub fn write(&self, lines: &str) {
        self.bar.suspend(|| {
            let _ = std::io::stderr().lock().write_all(lines.as_bytes());
        });
    }

    /// Something to know, unless `-q`.
    pub fn notice(&self, text: &str) {
        if self.quiet == 0 {
            self.write(&format!("lycosa: {}\n", one_line(text)));
        }
    }

    /// Why the exit code is not 0, unless `-qq`.
    pub fn failure(&self, text: &str) {
        if self.quiet < 2 {
            self.write(&format!("lycosa: {}\n", one_line(text)));
        }
    }

    /// Lines that `-q` leaves out, as they are.
    pub fn report(&self, lines: &str) {
        if self.quiet == 0 {
            self.write(lines);
        }
    }

    pub fn quiet(&self) -> u32 {
        self.quiet
    }
}

/// `--color`, and for `auto` the terminal and NO_COLOR (no-color.org: set and not empty).
fn colored(choice: &str, terminal: bool) -> bool {
    match choice {
        "always" => true,
        "never" => false,
        _ => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}
