//! The command `lycosa`: what was typed, in files and in the environment becomes settings; signals, logs, progress and
//! the exit code are kept here. Nothing below this floor knows a flag.

#![cfg_attr(fuzzing, no_main)]
#![cfg_attr(fuzzing, expect(dead_code, reason = "under libFuzzer only what its targets reach is used"))]

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use args::Typed;
use args::query::Question;
use settings::UsageError;

mod allocator;
mod args;
mod clash;
mod commands;
mod console;
mod demo;
mod env;
mod exit;
mod file;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod layers;
mod logging;
mod memo;
mod netrc;
mod settings;
mod spelling;
mod standard;
mod watch;

#[global_allocator]
static ALLOCATOR: allocator::MiMalloc = allocator::MiMalloc;

/// Gives freed memory back after 2 ms. On a batch of 20,000 URLs, giving it back at once costs 10 % of the time (memory
/// is taken again a moment later, page by page); on a crawl of 10,000 pages of which some have 6 MB, the allocator's own
/// 10 ms cost up to 8 MB more.
fn return_memory_soon() {
    /// `mi_option_purge_delay` of mimalloc 2 and 3, in milliseconds; the bindings do not name it.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    #[expect(unsafe_code, reason = "sets a number of the allocator, before any other thread runs")]
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, 2);
    }
}

/// A file that has reached `ulimit -f` is an output that cannot be written, with its message and exit code: the signal
/// would end the process before the write tells (EFBIG, setrlimit(2)).
fn report_full_files() {
    #[expect(unsafe_code, reason = "ignores a signal, before any other thread runs")]
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

fn main() -> ExitCode {
    return_memory_soon();
    report_full_files();
    // A panic in the run itself is an internal error with a code of its own; the hook has told of it.
    let code = std::panic::catch_unwind(command).unwrap_or(exit::INTERNAL);
    ExitCode::from(code)
}

/// Returns the exit code.
fn command() -> u8 {
    let words: Vec<OsString> = std::env::args_os().collect();
    match args::parse(&words) {
        Err(error) => usage(&error, args::quiet(&words).max(env::quiet())),
        Ok(Typed::Show(text)) => print(text.as_bytes()),
        Ok(Typed::Demo) => commands::demo::run(&commands::demo::DISPLAY),
        Ok(Typed::Query(flags)) => match flags.question {
            Question::Robots => commands::robots::run(&flags),
            Question::Explain => commands::explain::run(&flags),
            Question::Sitemap => commands::sitemap::run(&flags),
        },
        Ok(Typed::Run(flags)) => commands::run::run(&flags),
        Ok(Typed::Resume(flags)) => commands::state::resume(&flags),
        Ok(Typed::Status(flags)) => commands::state::status(&flags),
        Ok(Typed::Extract(flags)) => commands::extract::run(&flags),
        Ok(Typed::Audit(flags)) => audit(&flags),
        Ok(Typed::Config(action)) => match commands::config::print(&action) {
            Ok((text, warnings)) => {
                for warning in warnings {
                    let _ = writeln!(std::io::stderr(), "lycosa: warning: {}", settings::one_line(&warning));
                }
                print(text.as_bytes())
            }
            Err(error) => usage(&error, 0),
        },
        Ok(Typed::Generate(artefact)) => match commands::generate::generate(artefact) {
            Ok(text) => print(&text),
            Err(error) => output_failed(&error),
        },
    }
}

/// Returns the exit code: 1 if a limit was broken.
fn audit(flags: &commands::audit::AuditFlags) -> u8 {
    match commands::audit::audit(flags) {
        Ok(verdict) => {
            for warning in verdict.warnings {
                let _ = writeln!(std::io::stderr(), "lycosa: warning: {}", settings::one_line(&warning));
            }
            match print(verdict.text.as_bytes()) {
                0 => verdict.code,
                failed => failed,
            }
        }
        Err((code, error)) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            code
        }
    }
}

/// Tells what has to be mended: with `-q` in one line, with `-qq` by the exit code alone. Returns that.
fn usage(error: &UsageError, quiet: u32) -> u8 {
    let _ = match quiet {
        0 => writeln!(std::io::stderr(), "{error}"),
        1 => writeln!(std::io::stderr(), "{}", error.first_line()),
        _ => Ok(()),
    };
    exit::USAGE
}

/// Writes to standard output. Returns the exit code: a reader that has gone away has read enough.
fn print(text: &[u8]) -> u8 {
    if standard::output_was_closed() {
        return output_failed(&standard::closed());
    }
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => 0,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(error) => output_failed(&error),
    }
}

fn output_failed(error: &std::io::Error) -> u8 {
    let _ = writeln!(std::io::stderr(), "lycosa: cannot write standard output: {error}");
    exit::OUTPUT
}
