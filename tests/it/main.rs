//! lycosa as people and scripts see it: the binary is run, real servers on loopback answer it, and what it promises is
//! judged by its records, its exit code, and the servers' own logs.
//!
//! A test belongs to the module of what it is about, not of how it is done:
//!
//! - `layering` reads the source: imports point down. It runs nothing.
//! - `input` is about lines, jobs, lists and standard input, up to the moment a URL is accepted.
//! - `records` is about the shape of what comes out: keys, types, order, outputs.
//! - `sinks` is about output formats, read back by programs that are not ours.
//! - `crawl` is about which links are followed, and that each page is asked once.
//! - `links` is about links beside `<a href>`, and the sitemaps of a site.
//! - `politeness` is about how fast and how much at once; every test has a control run without the limit.
//! - `robots` is about robots.txt however it comes, nofollow, and the commands that only tell.
//! - `refusals` is about servers that refuse, or say that they will: every form of it, and what it costs.
//! - `resilience` is about servers that fail, refuse, die and return.
//! - `race` is about jobs with mirrors: who wins, and how the others are let go.
//! - `time` is about the deadline of one URL.
//! - `state` is about runs that are kept on disk: killed at any moment, resumed, and none the worse for it.
//! - `fields` is about `--extract` and `--rules`: what pages give by rules, and what is told of bad ones.
//! - `faults` is about what a machine does to such a run: full and read-only disks, locks, versions, clocks.
//! - `ending` is about exit codes, limits, signals, readers that stop or leave, and the summary.
//! - `guard` is about the ways from a page into private networks, and about names.
//! - `hostile` is about servers that mean harm: kind and stage of each failure, and memory.
//! - `http` is about what is sent and how an answer is read.
//! - `beside` is about what lycosa and curl see of the same servers and proxies, none of which are ours.
//! - `curl` is about flags that curl has, too: both programs side by side, judged by what servers and proxies see.
//! - `cookies` is about who we are to servers: cookies and their files, beside curl.
//! - `secrets` is about what must not be seen in anything that is written.
//! - `hosts` is about tables in files: what is otherwise for some hosts.
//! - `audit` is about `lycosa audit`: it finds what was planted in records, and nothing in what a run did.
//! - `cache` is about answers that are kept: what a second run asks, and what it need not.
//! - `traps` is about sites without an end, and about those that only look so.
//! - `commands` is about what records and bodies are handed to: programs, and files of their own.
//! - `config` is about flags, environment and files, and what a mistake is told.
//! - `demo` is about the bundled demonstration.
//! - `docs` is about the pages at the root: what they name exists.
//! - `support` is the scripted server, the command under observation, and their own tests.
//!
//! No test asserts how long something takes: rates and gaps are judged in the server's log with the tolerance of the
//! promise, everything else by counts or against a control run. Tests that measure time hold `support::measuring`.

#![expect(clippy::disallowed_methods, reason = "the tests stand outside of the run and judge it by their own clock")]
#![expect(clippy::unwrap_used, reason = "whatever goes wrong in a test fails it")]

mod audit;
mod beside;
mod cache;
mod commands;
mod config;
mod cookies;
mod crawl;
mod curl;
mod demo;
mod docs;
mod ending;
mod faults;
mod fields;
mod fuzz_workspace;
mod guard;
mod hostile;
mod hosts;
mod http;
mod input;
mod layering;
mod links;
mod politeness;
mod race;
mod records;
mod refusals;
mod resilience;
mod robots;
mod secrets;
mod sinks;
mod state;
mod support;
mod time;
mod traps;
