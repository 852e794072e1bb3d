//! curl's flags that say one value of a setting: `-4` is `--ip-version 4`.
//!
//! Never a setting of their own: what they say goes into that setting, and of several the last one stands.

use clap::{Arg, ArgAction, ArgMatches};

use super::check;
use crate::settings::{Layer, Origin, Setting};

/// A flag and what it stands for.
struct Shorthand {
    long: &'static str,
    short: Option<char>,
    setting: &'static str,
    value: &'static str,
    help: &'static str,
}

const SHORTHANDS: [Shorthand; 4] = [
    Shorthand {
        long: "http1.1",
        short: None,
        setting: "http-version",
        value: "1.1",
        help: "The same as --http-version 1.1",
    },
    Shorthand { long: "http2", short: None, setting: "http-version", value: "2", help: "The same as --http-version 2" },
    Shorthand { long: "ipv4", short: Some('4'), setting: "ip-version", value: "4", help: "The same as --ip-version 4" },
    Shorthand { long: "ipv6", short: Some('6'), setting: "ip-version", value: "6", help: "The same as --ip-version 6" },
];

/// The flags, for commands that have their settings.
pub fn args() -> impl Iterator<Item = Arg> {
    SHORTHANDS.iter().map(|flag| {
        let others = SHORTHANDS.iter().filter(|other| other.setting == flag.setting && other.long != flag.long);
        let arg = Arg::new(flag.long).long(flag.long).action(ArgAction::SetTrue).help(flag.help);
        let arg = arg.overrides_with_all(others.map(|other| other.long).chain([flag.setting]));
        match flag.short {
            Some(short) => arg.short(short),
            None => arg,
        }
    })
}

/// Puts what was typed into its settings.
pub fn take(settings: &[&'static Setting], matches: &ArgMatches, layer: &mut Layer) {
    for flag in &SHORTHANDS {
        let setting = settings.iter().find(|setting| setting.name == flag.setting);
        let typed = matches.try_get_one::<bool>(flag.long).ok().flatten().copied().unwrap_or(false);
        if let Some(setting) = setting.filter(|_| typed) {
            debug_assert!(check::check(setting.kind, flag.value).is_ok(), "{} has this value", setting.name);
            layer.set(setting, vec![flag.value.to_owned()], Origin::Flag(format!("--{}", flag.long)));
        }
    }
}
