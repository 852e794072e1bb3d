//! `lycosa demo`: serves the bundled site, crawls it as any site is crawled, and tells what was seen.
//!
//! Decides the exit code: that of any run if it was cut short, else 0 if every host ended as scripted and 1 if not.
//! Records go to standard output. No file is read or written, and no setting of the user has a part in it.

use lycosa::engine::stats::StoppedBy;
use lycosa::observe::report;
use lycosa::sinks::{OutputSettings, Target};

use super::conduct::{Ended, conduct};
use crate::console::Console;
use crate::demo::site::Site;
use crate::demo::{self, story};
use crate::exit::{self, FailOn};
use crate::logging;
use crate::settings::resolve::Display;

/// What shows when nothing else was typed.
pub const DISPLAY: Display = Display { color: "auto", verbose: 0, quiet: 0, log_json: false, no_progress: false };

/// Runs the command. Returns the exit code.
pub fn run(display: &Display) -> u8 {
    let console = Console::new(display, true);
    logging::start(display, &console);
    let spectator = console.clone();
    let site = match Site::start(move |news| spectator.notice(news)) {
        Ok(site) => site,
        Err(error) => {
            console.failure(&format!("cannot serve the site on loopback: {error}"));
            return exit::INTERNAL;
        }
    };
    let mut settings = demo::settings(&site.start_url());
    settings.outputs.push(OutputSettings { target: Target::Stdout, format: "jsonl" });
    console.report(&demo::opening(&site, &settings));
    let engine = settings.engine.clone();
    let Ended { summary, signal, .. } = match conduct(settings, None, &console, || Ok(())) {
        Ok(ended) => ended,
        Err(failure) => {
            console.failure(&failure.message);
            return failure.code;
        }
    };
    // The reader has seen enough.
    if summary.stopped_by == StoppedBy::Pipe {
        return 0;
    }
    console.report(&format!("\n{}", report::text(&summary)));
    let code = exit::code(&summary, FailOn::Never, signal);
    if matches!(code, exit::OUTPUT | exit::INTERNAL) || signal.is_some() {
        if console.quiet() > 0 {
            console.failure(&report::one_line(&summary, code));
        }
        return code;
    }
    let story = story::tell(&site, &engine, &summary);
    console.report(&format!("\n{}", story.text));
    for failure in &story.failures {
        console.failure(&format!("not as scripted: {failure}"));
    }
    u8::from(!story.failures.is_empty())
}
