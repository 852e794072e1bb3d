//! Which links are wanted: scope, include and exclude, depth.

use crate::model::record::SkipReason;

/// How far from the seeds links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rule {
    /// Same host key as a seed.
    #[default]
    Host,
    /// Same registrable domain as a seed (public suffix list); an IP address only itself.
    Domain,
    /// Below the directory of a seed, on its origin.
    Prefix,
    Any,
}

/// Resolved settings of scope.
#[derive(Debug, Clone, Default)]
pub struct ScopeSettings {
    pub rule: Rule,
    /// Unanchored, over the whole canonical URL; any match counts; none: everything.
    pub include: Vec<regex::Regex>,
    /// As `include`, and stronger.
    pub exclude: Vec<regex::Regex>,
    /// Links from a seed; None is no limit.
    pub max_depth: Option<u32>,
}

/// The scope of a run: settings and what the seeds have added.
#[derive(Debug)]
pub struct Scope {
    _settings: ScopeSettings,
}

impl Scope {
    #[must_use]
    pub fn new(settings: ScopeSettings) -> Self {
        Self { _settings: settings }
    }

    /// A seed's URL, or the URL a seed finally redirected to, widens the scope. Canonical. Returns whether the scope
    /// is wider now.
    pub fn add_seed(&mut self, _url: &str) -> bool {
        todo!()
    }

    /// May a link (canonical URL) found at `depth` links from a seed be followed?
    ///
    /// # Errors
    /// `Scope` or `Depth`: scope is asked first.
    pub fn link(&self, _url: &str, _depth: u32) -> Result<(), SkipReason> {
        todo!()
    }

    /// May a redirect of a link lead here (canonical URL)? Redirects do not count for depth; include and exclude hold.
    ///
    /// # Errors
    /// `Scope`.
    pub fn redirect(&self, _url: &str) -> Result<(), SkipReason> {
        todo!()
    }

    /// For `lycosa explain`: the rule that decided, in words.
    #[must_use]
    pub fn explain(&self, _url: &str, _depth: u32) -> String {
        todo!()
    }
}
