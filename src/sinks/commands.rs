//! The sinks of `--exec` and `--pipe`, opened together: they share what is counted and how they are ended.
//! Called when a run is made.

use super::Sink;
use super::command::{CommandError, CommandSettings, Commands};
use super::exec::Exec;
use super::pipe::Pipe;

/// A sink, and what messages call it.
pub type NamedSink = (String, Box<dyn Sink>);

/// The sinks of a run's commands. The command of `pipe` is started; that of `exec` not yet.
///
/// # Errors
/// It cannot be started, or there is no thread for it.
pub fn open(settings: &CommandSettings) -> Result<(Vec<NamedSink>, Commands), CommandError> {
    let mut commands = Commands::default();
    let mut sinks: Vec<NamedSink> = Vec::new();
    let failed = |flag, words: &[String]| {
        let program = words.first().cloned().unwrap_or_default();
        move |source| CommandError { flag, program, source }
    };
    if let Some(words) = &settings.exec {
        let sink = Exec::open(settings, words, &mut commands).map_err(failed("exec", words))?;
        sinks.push(("the command of --exec".to_owned(), Box::new(sink)));
    }
    if let Some(words) = &settings.pipe {
        let sink = Pipe::open(settings, words, &mut commands).map_err(failed("pipe", words))?;
        sinks.push(("the command of --pipe".to_owned(), Box::new(sink)));
    }
    Ok((sinks, commands))
}
