//! Every setting, once. Sorted by name under each heading. Defaults are not here but in `config.toml`.

use super::{Kind, Run, Setting};

pub const INPUT: &str = "Input";
pub const SCOPE: &str = "Scope";
pub const REQUESTS: &str = "Requests";
pub const POLITENESS: &str = "Politeness";
pub const LIMITS: &str = "Limits";
pub const FAILURES: &str = "Failures";
pub const OUTPUT: &str = "Output";
pub const DISPLAY: &str = "Display";
pub const FILES: &str = "Configuration";

/// Headings in the order of help.
pub const HEADINGS: [&str; 9] = [INPUT, SCOPE, REQUESTS, POLITENESS, LIMITS, FAILURES, OUTPUT, DISPLAY, FILES];

/// Names of `--format`; the library's table has the same (tested).
pub const FORMATS: &[&str] = &["jsonl", "json", "csv", "sqlite", "warc", "parquet"];

/// Words of `--follow`: all links, those to documents, and the elements they can stand in.
pub const FOLLOW: &[&str] = &[
    "pages",
    "all",
    "a",
    "area",
    "link",
    "base",
    "form",
    "button",
    "input",
    "img",
    "image",
    "source",
    "picture",
    "audio",
    "video",
    "track",
    "iframe",
    "frame",
    "object",
    "param",
    "embed",
    "applet",
    "script",
    "blockquote",
    "q",
    "ins",
    "del",
    "html",
    "head",
    "body",
    "table",
    "thead",
    "tbody",
    "tfoot",
    "tr",
    "td",
    "th",
    "style",
    "css",
    "meta",
    "use",
    "svg",
    "header",
    "manifest",
    "feed",
    "markdown",
];

const NO_LIMIT: u32 = u32::MAX;

/// A crawl of one page takes 11 to 12 MiB.
pub const LEAST_MEMORY: u64 = 16 << 20;

pub const SETTINGS: &[Setting] = &[
    // Input
    Setting::new("mirrors", Kind::Switch, "", "All URLs of one line (or all arguments) are mirrors of one document: the first to answer is its record")
        .only(Run::Fetch)
        .under(INPUT),
    Setting::new("sitemaps", Kind::Switch, "", "Also start from the sitemaps that robots.txt names").only(Run::Crawl).under(INPUT),
    Setting::new("strict-input", Kind::Switch, "", "Check all input first; a line that cannot be read ends the run with exit code 2")
        .under(INPUT),
    Setting::new("unique", Kind::Switch, "", "Ask each canonical URL once; a repeated line ends as 'skipped: duplicate'")
        .only(Run::Fetch)
        .under(INPUT),
    // Scope
    Setting::new("allow-private", Kind::Switch, "", "Follow discovered links to private, loopback and link-local addresses").under(SCOPE).not_local(),
    Setting::new("deny-cidr", Kind::Networks, "NET", "Connect to no address of this network, be the host typed or not; repeatable")
        .under(SCOPE)
        .not_local(),
    Setting::new("exclude", Kind::Patterns, "RE", "Do not follow links whose URL matches; wins over --include; repeatable")
        .only(Run::Crawl)
        .under(SCOPE),
    Setting::new("follow", Kind::Words(FOLLOW), "LIST", "Links to follow by what they stand in: pages (what leads to documents), all, or elements such as img,script (commas between)")
        .only(Run::Crawl)
        .under(SCOPE),
    Setting::new("include", Kind::Patterns, "RE", "Follow only links whose URL matches; repeatable, any match counts")
        .only(Run::Crawl)
        .under(SCOPE),
    Setting::new("js-links", Kind::Switch, "", "Also find links in string literals of scripts that look like paths").only(Run::Crawl).under(SCOPE),
    Setting::new(
        "max-depth",
        Kind::Whole { least: 0, most: NO_LIMIT, none: true },
        "N",
        "Links from a seed; 0: only the seeds",
    )
    .short('l')
    .only(Run::Crawl)
    .under(SCOPE),
    Setting::new(
        "max-per-pattern",
        Kind::Whole { least: 1, most: NO_LIMIT, none: true },
        "N",
        "Pages of one URL pattern to ask although it seems to have no end, before the rest is 'skipped: trap'; none: follow traps",
    )
    .only(Run::Crawl)
    .under(SCOPE),
    Setting::new("outside", Kind::Word(&["ignore", "check"]), "MODE", "check: links out of scope are asked once (HEAD, or else GET) and followed no further: broken links in one pass (ignore, check)")
        .only(Run::Crawl)
        .under(SCOPE),
    Setting::new("refused", Kind::Switch, "", "Write records also for links outside scope and depth").only(Run::Crawl).under(SCOPE),
    Setting::new(
        "scope",
        Kind::Word(&["host", "domain", "prefix", "any"]),
        "RULE",
        "Links to follow: same host key, same registrable domain, below the seed's directory, or all (host, domain, prefix, any)",
    )
    .only(Run::Crawl)
    .under(SCOPE),
    // Requests
    Setting::new("cacert", Kind::Text, "FILE", "PEM file of the only certificate authorities to trust, instead of the system's")
        .under(REQUESTS)
        .not_local(),
    Setting::new("cache", Kind::Text, "DIR", "Keep answers there as RFC 9111 allows, use those that are fresh, and ask about the others with their validators")
        .under(REQUESTS)
        .not_local(),
    Setting::new("cache-size", Kind::Size { least: 0 }, "SIZE", "Bytes of the cache; beyond it what was not used for the longest time goes").under(REQUESTS),
    Setting::new("cert", Kind::Text, "FILE", "PEM file of a client certificate, shown only to hosts that were typed").under(REQUESTS).not_local(),
    Setting::new("compressed", Kind::Switch, "", "Ask for compressed bodies and decode them; --no-compressed: neither (default: on)").under(REQUESTS),
    Setting::new("connect-to", Kind::Texts, "MAP", "HOST1:PORT1:HOST2:PORT2: connect to the latter for URLs of the former; each may be empty; repeatable")
        .under(REQUESTS)
        .not_local(),
    Setting::new("cookie", Kind::Texts, "LINE|FILE", "Send these cookies ('k=v; k2=v2') to hosts that were typed; or read FILE and keep what servers set ('': no file); repeatable")
        .short('b')
        .under(REQUESTS)
        .not_local(),
    Setting::new("cookie-jar", Kind::Text, "FILE", "Keep the cookies that servers set, and write all of them to FILE at the end, as curl does")
        .short('c')
        .under(REQUESTS)
        .not_local(),
    Setting::new("dns", Kind::Dns, "WHO", "Who is asked for names: own (the servers of resolv.conf), system (getaddrinfo), or SERVER[:PORT]")
        .under(REQUESTS)
        .not_local(),
    Setting::new("fallback", Kind::Word(&["none", "stale"]), "MODE", "stale: give the stored answer when a fetch fails or a breaker is open (none, stale)")
        .under(REQUESTS),
    Setting::new("header", Kind::Texts, "LINE", "Send this header; 'Name:' removes one, 'Name;' sends it empty, @FILE reads lines; repeatable")
        .short('H')
        .under(REQUESTS)
        .not_local(),
    Setting::new("hedge-after", Kind::HedgeAfter, "DUR", "When the next mirror is asked too: after DUR, or after the p95 of the host asked; none: only after a failure")
        .under(REQUESTS),
    Setting::new("http-version", Kind::Word(&["1.1", "2"]), "VER", "Highest version of HTTP: 1.1, or 2 where https agrees on it").under(REQUESTS),
    Setting::new("insecure", Kind::Switch, "", "Do not check certificates").short('k').under(REQUESTS).not_local(),
    Setting::new("interface", Kind::Text, "NAME|IP", "Connect from this network interface, or this address").under(REQUESTS).not_local(),
    Setting::new("ip-version", Kind::Word(&["any", "4", "6"]), "VER", "Connect to addresses of this version only (any, 4, 6)").under(REQUESTS),
    Setting::new("key", Kind::Text, "FILE", "PEM file of the key of --cert, if it does not stand there").under(REQUESTS).not_local(),
    Setting::new(
        "max-redirs",
        Kind::Whole { least: 0, most: 1000, none: true },
        "N",
        "Redirects followed for one URL; one more is a failure (kind redirect)",
    )
    .under(REQUESTS),
    Setting::new("netrc", Kind::Switch, "", "Take logins from ~/.netrc, or the file that NETRC names: each goes to the machine it is for")
        .short('n')
        .under(REQUESTS)
        .not_local(),
    Setting::new("noproxy", Kind::Text, "LIST", "Ask these hosts without a proxy: names with all below them, addresses, networks (10.0.0.0/8), or *; environment: as no_proxy says")
        .under(REQUESTS)
        .not_local(),
    Setting::new("offline", Kind::Switch, "", "Ask nobody: the cache answers, or the URL fails").under(REQUESTS),
    Setting::new("proxy", Kind::Texts, "URL", "Proxy: http, https, socks4, socks4a, socks5 or socks5h; none: no proxy; environment: as http_proxy and its kin say; of several each host gets one")
        .short('x')
        .under(REQUESTS)
        .not_local(),
    Setting::new("race", Kind::Word(&["hedge", "all"]), "MODE", "How the mirrors of a job are asked: one after the other, or all at once (hedge, all)")
        .under(REQUESTS),
    Setting::new("referer", Kind::Text, "URL", "Send this Referer").short('e').under(REQUESTS),
    Setting::new("resolve", Kind::Texts, "MAP", "HOST:PORT:ADDRESS[,ADDRESS]: connect there instead of looking the host up; host *: any other; repeatable")
        .under(REQUESTS)
        .not_local(),
    Setting::new("user", Kind::Text, "NAME:PASSWORD", "Basic authorization, sent only to hosts that were typed").short('u').under(REQUESTS),
    Setting::new("user-agent", Kind::Text, "TEXT", "Name of this agent; the part before '/' is what robots.txt calls us")
        .short('A')
        .under(REQUESTS),
    // Politeness
    Setting::new("concurrency", Kind::Whole { least: 1, most: 100_000, none: false }, "N", "Requests in flight, whole run")
        .short('j')
        .under(POLITENESS),
    Setting::new("delay", Kind::Duration, "DUR", "Least gap at one host from the end of a request to the start of the next").under(POLITENESS),
    Setting::new(
        "host-concurrency",
        Kind::Whole { least: 1, most: 100_000, none: true },
        "N",
        "Requests in flight at one host, which starts with 1 and doubles with each answer",
    )
    .under(POLITENESS),
    Setting::new("host-rate", Kind::Rate, "RATE", "Starts of requests at one host, evenly spaced: 20/s, 30/m, 100/h, 500/d").under(POLITENESS),
    Setting::new(
        "ip-concurrency",
        Kind::Whole { least: 1, most: 100_000, none: true },
        "N",
        "Requests in flight at all hosts of one address; on loopback only if it is set",
    )
    .under(POLITENESS),
    Setting::new("max-crawl-delay", Kind::Duration, "DUR", "A longer Crawl-delay of robots.txt is kept too, with a warning").under(POLITENESS),
    Setting::new("rate", Kind::Rate, "RATE", "Starts of requests, whole run, evenly spaced").under(POLITENESS),
    Setting::new("robots", Kind::Word(&["obey", "ignore"]), "MODE", "robots.txt, its Crawl-delay, and nofollow of pages and links (obey, ignore)").under(POLITENESS),
    Setting::new(
        "throttle",
        Kind::Word(&["adaptive", "off"]),
        "MODE",
        "Ask a host less that gets slow, fails or says that it will refuse (adaptive, off)",
    )
    .under(POLITENESS),
    // Limits
    Setting::new("connect-timeout", Kind::Duration, "DUR", "Time to connect, TLS included").under(LIMITS),
    Setting::new("deadline", Kind::Duration, "DUR", "Time for the whole run").under(LIMITS),
    Setting::new("grace", Kind::Duration, "DUR", "Time for requests in flight after the first stop").under(LIMITS),
    Setting::new("limit-rate", Kind::Size { least: 0 }, "SIZE", "Fastest a body is read, in bytes on the wire a second; for each transfer").under(LIMITS),
    Setting::new("max-filesize", Kind::Size { least: 0 }, "SIZE", "Bytes of a body after decoding; more is the failure 'too_large'").under(LIMITS),
    Setting::new("max-memory", Kind::Size { least: LEAST_MEMORY }, "SIZE", "Memory of the process: URLs seen and waiting go to disk, and nothing new starts while there is more")
        .under(LIMITS),
    Setting::new(
        "max-pages",
        Kind::Whole { least: 1, most: NO_LIMIT, none: true },
        "N",
        "Stop after N records that are not 'skipped'",
    )
    .under(LIMITS),
    Setting::new(
        "max-ratio",
        Kind::Whole { least: 1, most: NO_LIMIT, none: true },
        "N",
        "Decoded bytes of a body for each byte on the wire, beyond 1 MiB; more is the failure 'too_large'",
    )
    .under(LIMITS),
    Setting::new("read-timeout", Kind::Duration, "DUR", "Longest silence in a body").under(LIMITS),
    Setting::new("speed-limit", Kind::Size { least: 0 }, "SIZE", "Lowest speed of a body, in bytes on the wire a second; below it for too long is the failure 'too_slow'")
        .under(LIMITS),
    Setting::new("speed-time", Kind::Duration, "DUR", "How long a body may be slower than --speed-limit").under(LIMITS),
    Setting::new("timeout", Kind::Duration, "DUR", "Time for one request, whole").short('m').alias("max-time").under(LIMITS),
    Setting::new("url-deadline", Kind::Duration, "DUR", "Time for one URL: all its attempts and waits").under(LIMITS),
    // Failures
    Setting::new("accept", Kind::Statuses, "LIST", "Statuses that are 'ok'").under(FAILURES),
    Setting::new("breaker-cooldown", Kind::Duration, "DUR", "Time from the opening of a breaker to the first probe").under(FAILURES),
    Setting::new(
        "breaker-failures",
        Kind::Whole { least: 0, most: 1_000_000, none: true },
        "N",
        "Failures in a row that open a host's breaker; 0: never",
    )
    .under(FAILURES),
    Setting::new(
        "breaker-wait",
        Kind::Patience,
        "N|DUR",
        "Failed probes, or time, after which the waiting URLs of an open host end as 'skipped: breaker_open'",
    )
    .under(FAILURES),
    Setting::new("fail-early", Kind::Switch, "", "Stop at the first failure, after its retries").under(FAILURES),
    Setting::new("fail-on", Kind::FailOn, "POLICY", "When failures make the exit code 1: never, seeds, any, a count (10) or a share (5%)")
        .under(FAILURES),
    Setting::new("max-retry-after", Kind::Duration, "DUR", "A longer Retry-After ends the URL at once, and the others of its host while it lasts").under(FAILURES),
    Setting::new("retries", Kind::Whole { least: 0, most: 1000, none: false }, "N", "Further attempts after the first").under(FAILURES),
    Setting::new("retry-all", Kind::Switch, "", "Repeat also POST, PUT, PATCH and DELETE that may have had an effect").under(FAILURES),
    // Output
    Setting::new("durability", Kind::Word(&["commit", "each"]), "MODE", "With --state: what is written survives a loss of power within a second (commit), or at once (each)").under(OUTPUT),
    Setting::new("exec", Kind::Text, "COMMAND", "Run COMMAND for each record, which stands on its standard input; {url}, {status} and {body_file} in its words are filled; no shell")
        .under(OUTPUT)
        .not_local(),
    Setting::new("exec-timeout", Kind::Duration, "DUR", "Time of one command of --exec, and for that of --pipe to read on; then it is ended").under(OUTPUT),
    Setting::new("extract", Kind::Texts, "NAME=SELECTOR", "Put what the selector finds into data.NAME; behind it @ATTR, ::text, ::html, ::all (a list); /a/b in JSON; repeatable").under(OUTPUT),
    Setting::new("format", Kind::Word(FORMATS), "FORMAT", "Format of standard output (jsonl, json, csv)").under(OUTPUT),
    Setting::new("markdown", Kind::Switch, "", "Put the main text of pages into data.markdown, with absolute links").under(OUTPUT),
    Setting::new("media-type", Kind::Texts, "LIST", "Keep only bodies of these types (text/html, image/*) in records and files; links of the others are followed too; commas between").under(OUTPUT),
    Setting::new("metadata", Kind::Switch, "", "Put into data.metadata what pages say of themselves: description, dates, Open Graph, JSON-LD, feeds …")
        .under(OUTPUT),
    Setting::new("ordered", Kind::Switch, "", "Records in the order of input, not of completion").only(Run::Fetch).under(OUTPUT),
    Setting::new("output", Kind::Texts, "FILE", "Write records to FILE, in the format of its ending, or FORMAT:FILE; '-' is standard output; repeatable")
        .short('o')
        .under(OUTPUT)
        .not_local(),
    Setting::new("pipe", Kind::Text, "COMMAND", "Start COMMAND once, and write all records to its standard input; no shell").under(OUTPUT).not_local(),
    Setting::new("rules", Kind::Text, "FILE", "Read rules for fields of pages from FILE (TOML): by URL, nested, typed").under(OUTPUT),
    Setting::new("save-bodies", Kind::Text, "DIR", "Save each body as a file below DIR, which its record names in body_file").under(OUTPUT).not_local(),
    Setting::new("summary", Kind::Text, "FILE", "Write the closing summary as JSON").under(OUTPUT).not_local(),
    Setting::new("text", Kind::Switch, "", "Put the main text of pages into data.text, without menus and footers").under(OUTPUT),
    Setting::new(
        "with",
        Kind::Words(&["body", "links", "headers", "digest"]),
        "LIST",
        "More keys in records: body, links, headers, digest (commas between)",
    )
    .under(OUTPUT),
    // Display
    Setting::new("color", Kind::Word(&["auto", "always", "never"]), "WHEN", "Colours on standard error (auto, always, never)").under(DISPLAY),
    Setting::new("log-format", Kind::Word(&["text", "json"]), "FORMAT", "Format of log lines (text, json)").under(DISPLAY),
    Setting::new("no-progress", Kind::Switch, "", "No progress line").under(DISPLAY),
    Setting::new("quiet", Kind::Count, "", "No progress, notices or summary; twice: nothing at all").short('q').under(DISPLAY),
    Setting::new("verbose", Kind::Count, "", "More log lines on standard error; twice: all").short('v').under(DISPLAY),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stand_sorted_under_their_headings() {
        let place = |setting: &Setting| (HEADINGS.iter().position(|h| *h == setting.heading), setting.name);
        let mut sorted = SETTINGS.to_vec();
        sorted.sort_by_key(place);
        let names = |settings: &[Setting]| settings.iter().map(|s| s.name).collect::<Vec<_>>();
        assert_eq!(names(SETTINGS), names(&sorted));
        assert!(SETTINGS.iter().all(|setting| HEADINGS.contains(&setting.heading)));
    }

    #[test]
    fn formats_are_those_of_the_library() {
        assert_eq!(FORMATS, lycosa::sinks::FORMATS.iter().map(|format| format.name).collect::<Vec<_>>());
    }

    #[test]
    fn no_name_letter_or_alias_stands_twice() {
        let mut spellings: Vec<String> = Vec::new();
        for setting in SETTINGS {
            spellings.push(setting.name.to_owned());
            spellings.extend(setting.short.map(String::from));
            spellings.extend(setting.alias.map(str::to_owned));
        }
        let count = spellings.len();
        spellings.sort();
        spellings.dedup();
        assert_eq!(spellings.len(), count);
    }
}
