//! `[[host]]` in a file: settings for some hosts.
//!
//! Decides which settings a table may have, how tables are laid over one another, and what becomes of secrets in them. Of
//! the tables that fit a host the first that states a setting counts, those of later files before those of earlier ones;
//! what was typed as a flag, or stands in the environment, stands over all of them. Called by `file`, and when settings are
//! resolved or kept.

use std::collections::BTreeMap;

use lycosa::fetch::client::HostHeaders;
use lycosa::policy::credentials::is_credential;
use lycosa::policy::host_rules::{HostPattern, HostRule};
use serde::{Deserialize, Serialize};

use super::check::{self, Bad};
use super::request::{Headers, RequestFlags};
use super::{Given, HostTable, Layer, Origin, Setting, UsageError, setting};

/// The settings that may differ by host.
pub const KEYS: [&str; 9] =
    ["delay", "header", "host-concurrency", "host-rate", "max-filesize", "proxy", "retries", "timeout", "user"];

/// What a state directory keeps of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptTable {
    matches: Vec<String>,
    settings: BTreeMap<String, Vec<String>>,
    /// Settings whose secrets were left out.
    missing: Vec<String>,
}

/// Whether the text is a pattern of hosts.
pub fn check_match(text: &str) -> Result<HostPattern, Bad> {
    HostPattern::parse(text).map_err(|error| Bad::new(format!("match: '{text}': {error}")))
}

impl HostTable {
    fn patterns(&self) -> Vec<HostPattern> {
        self.matches.iter().filter_map(|text| HostPattern::parse(text).ok()).collect()
    }

    fn read<T>(&self, name: &str, read: impl Fn(&str) -> Result<T, Bad>) -> Result<Option<T>, UsageError> {
        let Some((setting, given)) = setting(name).zip(self.values.get(name)) else { return Ok(None) };
        let text = given.texts.last().map_or("", String::as_str);
        read(text).map(Some).map_err(|bad| UsageError::of_value(setting, &given.origin, bad))
    }

    /// # Errors
    /// A value that cannot be used.
    pub fn rule(&self, concurrency: u32) -> Result<HostRule, UsageError> {
        Ok(HostRule {
            patterns: self.patterns(),
            rate: self.read("host-rate", check::rate)?,
            places: self
                .read("host-concurrency", |text| check::whole(text, 1, 100_000, true))?
                .map(|places| places.unwrap_or(concurrency)),
            delay: self.read("delay", check::duration)?.map(Option::unwrap_or_default),
            timeout: self.read("timeout", check::duration)?,
            retries: self.read("retries", |text| check::whole(text, 0, 1000, false))?.map(Option::unwrap_or_default),
            max_filesize: self.read("max-filesize", check::size)?,
        })
    }

    /// Its headers and its proxy; None if it has neither.
    ///
    /// # Errors
    /// A value that cannot be sent.
    pub fn headers(&self) -> Result<Option<HostHeaders>, UsageError> {
        let text = |name: &str| self.values.get(name).and_then(|given| given.texts.last()).map(String::as_str);
        let user = text("user").filter(|user| *user != "none" && !user.is_empty());
        let lines = self.values.get("header").map_or(&[][..], |given| &given.texts);
        let proxy = self.read("proxy", super::transport::proxy_of_table)?.flatten().map(Into::into);
        if user.is_none() && lines.is_empty() && proxy.is_none() {
            return Ok(None);
        }
        let composed = Headers::compose("", None, user, lines, &RequestFlags::default());
        let Headers { user_agent, mut plain, credentials, removed } = composed.map_err(|(name, bad)| {
            let setting = setting(name).expect("names of settings");
            UsageError::of_value(setting, self.values.get(name).map_or(&self.origin, |given| &given.origin), bad)
        })?;
        if let Some(agent) = Some(user_agent).filter(|agent| !agent.is_empty())
            && let Ok(value) = http::HeaderValue::try_from(agent)
        {
            plain.push((http::header::USER_AGENT, value));
        }
        Ok(Some(HostHeaders { patterns: self.patterns(), headers: plain, credentials, removed, proxy }))
    }

    /// What a state keeps of it.
    pub fn kept(&self) -> KeptTable {
        let mut settings = BTreeMap::new();
        let mut missing = Vec::new();
        for (name, given) in &self.values {
            let (secret, open): (Vec<&String>, Vec<&String>) =
                given.texts.iter().partition(|text| is_secret(name, text));
            if !secret.is_empty() {
                missing.push((*name).to_owned());
            }
            settings.insert((*name).to_owned(), open.into_iter().cloned().collect());
        }
        KeptTable { matches: self.matches.clone(), settings, missing }
    }
}

/// Whether a value of this setting is a secret.
fn is_secret(name: &str, text: &str) -> bool {
    match name {
        "user" => text != "none",
        "proxy" => text.contains('@'),
        "header" => !text.starts_with('@') && is_credential(text.split([':', ';']).next().unwrap_or_default().trim()),
        _ => false,
    }
}

impl KeptTable {
    pub fn lacks_secrets(&self) -> bool {
        !self.missing.is_empty()
    }

    /// The table as it was, with secrets out of those that stand in files now.
    ///
    /// # Errors
    /// They are not there any more.
    pub fn restored(&self, now: &[HostTable]) -> Result<HostTable, UsageError> {
        let origin = Origin::Flag("[[host]]".to_owned());
        let entry = |(name, texts): (&String, &Vec<String>)| {
            Some((setting(name)?.name, Given { texts: texts.clone(), origin: origin.clone() }))
        };
        let mut table = HostTable {
            matches: self.matches.clone(),
            values: self.settings.iter().filter_map(entry).collect(),
            origin: origin.clone(),
        };
        let same: Vec<&HostTable> = now.iter().filter(|table| table.matches == self.matches).collect();
        for name in &self.missing {
            let given = same.iter().find_map(|table| table.values.get(name.as_str()));
            let secrets = given.map(|given| given.texts.iter().filter(|text| is_secret(name, text)).cloned());
            let secrets: Vec<String> = secrets.into_iter().flatten().collect();
            let (Some(setting), false) = (setting(name), secrets.is_empty()) else {
                return Err(UsageError::new(format!(
                    "credentials are not kept in the state, and {name} of [[host]] match = {:?} stands in no configuration file now",
                    self.matches
                )));
            };
            let kept = table.values.entry(setting.name).or_insert(Given { texts: Vec::new(), origin: origin.clone() });
            kept.texts.extend(secrets);
        }
        Ok(table)
    }
}

/// Settings that are sent as a header, and its name: such a line of `header` says the same.
const SENT_AS: [(&str, &str); 3] = [("referer", "referer"), ("user", "authorization"), ("user-agent", "user-agent")];

/// Takes out of the tables what was typed as a flag or stands in the environment. Of `header` that is the lines of the same
/// name, and what says the same as another setting.
pub fn settle(layers: &mut Layer) {
    let is_typed = |given: &&Given| matches!(given.origin, Origin::Flag(_) | Origin::Environment(_));
    let typed: Vec<(&'static str, Given)> =
        layers.iter().filter(|(_, given)| is_typed(given)).map(|(name, given)| (name, given.clone())).collect();
    let name_of = |line: &str| line.split([':', ';']).next().unwrap_or_default().trim().to_ascii_lowercase();
    let lines = typed.iter().filter(|(name, _)| *name == "header").flat_map(|(_, given)| &given.texts);
    let of_settings = SENT_AS.iter().filter(|(name, _)| typed.iter().any(|(typed, _)| typed == name));
    let names: Vec<String> =
        lines.map(|line| name_of(line)).chain(of_settings.map(|(_, sent)| (*sent).to_owned())).collect();
    let said_in_lines = SENT_AS.iter().filter(|(_, sent)| names.iter().any(|name| name == sent)).map(|(name, _)| *name);
    let gone: Vec<&str> =
        typed.iter().map(|(name, _)| *name).filter(|name| *name != "header").chain(said_in_lines).collect();
    for table in layers.hosts_mut() {
        table.values.retain(|name, _| !gone.contains(name));
        if let Some(own) = table.values.get_mut("header") {
            own.texts.retain(|line| !names.contains(&name_of(line)));
        }
    }
}

/// What the first table that fits a host says of a setting.
pub fn text_of<'a>(layers: &'a Layer, host_key: &str, name: &str) -> Option<&'a str> {
    let fits = |table: &&HostTable| table.patterns().iter().any(|pattern| pattern.fits(host_key));
    let given = layers.hosts().iter().filter(fits).find_map(|table| table.values.get(name));
    given.and_then(|given| given.texts.last()).map(String::as_str)
}

/// The setting of a key in a table; None if there is none or it is the same for all hosts.
pub fn key(name: &str) -> Option<&'static Setting> {
    setting(name).filter(|setting| KEYS.contains(&setting.name))
}
