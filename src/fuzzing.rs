//! Fuzzing: the targets of the library, each of which lives beside the code it is for.
//!
//! Only in builds for tests and for fuzzing. Each target takes any bytes and panics if a promise is broken. `cargo test` runs
//! every one on seeds and their changes (`mutation`); `fuzz/run` runs them under libFuzzer, which sees what code an input
//! reaches. To add one: a [`target::Target`] in the `fuzz.rs` of its room, and its line below.

#[macro_use]
mod mutation;
pub mod target;

#[cfg(all(fuzzing, not(test)))]
pub use mutation::{begin, run};
#[cfg(all(fuzzing, not(test)))]
pub use target::Target;

targets! {
    url = crate::model::fuzz::URL,
    robots = crate::policy::fuzz::ROBOTS,
    robots_twice = crate::policy::fuzz::ROBOTS_TWICE,
    retry_after = crate::policy::fuzz::RETRY_AFTER,
    rate_fields = crate::policy::fuzz::RATE_FIELDS,
    cookies = crate::policy::cookies::fuzz::COOKIES,
    cookie_file = crate::policy::cookies::fuzz::COOKIE_FILE,
    netrc = crate::policy::netrc::fuzz::NETRC,
    robots_tag = crate::policy::fuzz::ROBOTS_TAG,
    html = crate::parse::html::fuzz::HTML,
    html_twice = crate::parse::html::fuzz::HTML_TWICE,
    references = crate::parse::html::fuzz::REFERENCES,
    documents = crate::parse::fuzz::DOCUMENTS,
    link_headers = crate::parse::fuzz::LINK_HEADERS,
    charset = crate::parse::fuzz::CHARSET,
    sitemap = crate::parse::fuzz::SITEMAP,
    bodies = crate::fetch::fuzz::BODIES,
    freshness = crate::policy::freshness::fuzz::FRESHNESS,
    cache = crate::fetch::cache::fuzz::CACHE,
    journal = crate::frontier::journal::fuzz::JOURNAL,
    jobs = crate::seeds::fuzz::JOBS,
}
