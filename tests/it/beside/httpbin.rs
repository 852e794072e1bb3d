//! httpbin: every group of its endpoints, asked by jobs of one fetch and by curl.

use serde_json::{Value, json};

use super::curl::{Seen, curl, told};
use super::programs::httpbin;
use crate::support::*;

/// One request, as a job and as arguments of curl.
#[derive(Debug)]
struct Case {
    method: &'static str,
    path: &'static str,
    headers: &'static [&'static str],
    body: Option<&'static str>,
    compare: Compare,
}

/// What of the answers is the same each time they are asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Compare {
    All,
    /// The body is another one each time.
    NotBody,
    /// So are these headers, and perhaps the body.
    NotHeader(&'static str),
}

const fn get(path: &'static str) -> Case {
    Case { method: "GET", path, headers: &[], body: None, compare: Compare::All }
}

const fn with(path: &'static str, headers: &'static [&'static str]) -> Case {
    Case { method: "GET", path, headers, body: None, compare: Compare::All }
}

const fn send(method: &'static str, path: &'static str, headers: &'static [&'static str], body: &'static str) -> Case {
    Case { method, path, headers, body: Some(body), compare: Compare::All }
}

const FORM: &[&str] = &["Content-Type: application/x-www-form-urlencoded"];
const JSON: &[&str] = &["Content-Type: application/json"];

/// By the groups of httpbin's own page.
const CASES: &[Case] = &[
    // HTTP methods
    get("/get"),
    get("/get?a=1&a=2&b=%C3%A9+x"),
    send("POST", "/post", FORM, "a=1&b=two+words"),
    send("POST", "/post", JSON, "{\"a\": [1, 2.5, null, \"é\"]}"),
    send("POST", "/post", &["Content-Type: text/plain"], ""),
    send("PUT", "/put", JSON, "{\"put\": true}"),
    send("PATCH", "/patch", FORM, "patch=1"),
    send("DELETE", "/delete", FORM, "delete=1"),
    Case { method: "DELETE", ..get("/delete?x=1") },
    Case { method: "HEAD", ..get("/get") },
    Case { method: "OPTIONS", ..get("/get") },
    Case { method: "POST", ..get("/get") },
    // Auth
    get("/basic-auth/user/secret"),
    with("/basic-auth/user/secret", &["Authorization: Basic dXNlcjpzZWNyZXQ="]),
    with("/basic-auth/user/secret", &["Authorization: Basic dXNlcjp3cm9uZw=="]),
    get("/hidden-basic-auth/user/secret"),
    with("/hidden-basic-auth/user/secret", &["Authorization: Basic dXNlcjpzZWNyZXQ="]),
    get("/bearer"),
    with("/bearer", &["Authorization: Bearer t0ken"]),
    Case { compare: Compare::NotHeader("www-authenticate"), ..get("/digest-auth/auth/user/secret") },
    // Status codes (not 429, at which lycosa holds the host and asks again)
    get("/status/200"),
    get("/status/201"),
    get("/status/204"),
    get("/status/304"),
    get("/status/400"),
    get("/status/402"),
    get("/status/404"),
    get("/status/406"),
    get("/status/410"),
    get("/status/418"),
    get("/status/500"),
    get("/status/502"),
    get("/status/503"),
    get("/status/599"),
    get("/status/301"),
    get("/status/302"),
    get("/status/303"),
    get("/status/307"),
    Case { method: "PUT", ..get("/status/404") },
    // Request inspection
    get("/headers"),
    with("/headers", &["X-Seen: a, b", "X-Empty;", "Referer: http://from.example/"]),
    get("/ip"),
    get("/user-agent"),
    // Response inspection
    Case { compare: Compare::NotHeader("last-modified"), ..get("/cache") },
    with("/cache", &["If-None-Match: \"x\""]),
    with("/cache", &["If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT"]),
    get("/cache/60"),
    get("/etag/abc"),
    with("/etag/abc", &["If-None-Match: abc"]),
    with("/etag/abc", &["If-None-Match: \"other\""]),
    with("/etag/abc", &["If-Match: \"other\""]),
    get("/response-headers?X-One=1&X-One=2&X-Two=a%20b"),
    // Response formats
    get("/brotli"),
    get("/deflate"),
    get("/gzip"),
    get("/deny"),
    get("/encoding/utf8"),
    get("/html"),
    get("/json"),
    get("/robots.txt"),
    get("/xml"),
    // Dynamic data
    get("/base64/SFRUUEJJTiBpcyBhd2Vzb21l"),
    get("/bytes/0"),
    Case { compare: Compare::NotBody, ..get("/bytes/1024?seed=1") },
    Case { compare: Compare::NotBody, ..get("/bytes/100000?seed=2") },
    get("/delay/1"),
    get("/drip?duration=1&numbytes=20&code=200&delay=0"),
    get("/links/5/0"),
    get("/links/5"),
    get("/range/1024"),
    with("/range/1024", &["Range: bytes=10-99"]),
    with("/range/1024", &["Range: bytes=-5"]),
    with("/range/1024", &["Range: bytes=2000-"]),
    get("/range/26?duration=1&chunk_size=5"),
    Case { compare: Compare::NotBody, ..get("/stream-bytes/5000?seed=3&chunk_size=700") },
    get("/stream/7"),
    Case { compare: Compare::NotBody, ..get("/uuid") },
    // Cookies
    get("/cookies"),
    with("/cookies", &["Cookie: a=1; b=two"]),
    get("/cookies/set?a=1"),
    get("/cookies/delete?a="),
    // Images
    with("/image", &["Accept: image/webp"]),
    with("/image", &["Accept: image/svg+xml"]),
    with("/image", &["Accept: text/html"]),
    get("/image/jpeg"),
    get("/image/png"),
    get("/image/svg"),
    get("/image/webp"),
    // Redirects
    get("/redirect/1"),
    get("/redirect/4"),
    get("/relative-redirect/3"),
    get("/absolute-redirect/3"),
    get("/redirect-to?url=/get%3Fthere%3D1&status_code=301"),
    get("/redirect-to?url=/get&status_code=308"),
    send("POST", "/redirect-to?url=/anything&status_code=301", FORM, "a=1"),
    send("POST", "/redirect-to?url=/anything&status_code=302", FORM, "a=1"),
    send("POST", "/redirect-to?url=/anything&status_code=303", FORM, "a=1"),
    send("POST", "/redirect-to?url=/anything&status_code=307", FORM, "a=1"),
    send("POST", "/redirect-to?url=/anything&status_code=308", JSON, "{\"kept\": 1}"),
    // Anything
    get("/anything"),
    get("/anything/deep/path%20with%2Fslash?q=a%26b"),
    send("POST", "/anything", &["Content-Type: application/octet-stream"], "raw \u{1} bytes"),
    send("PUT", "/anything/x", JSON, "[1]"),
    get("/forms/post"),
    get("/nowhere"),
    get("/"),
];

impl Case {
    fn job(&self, id: usize, url: &str) -> String {
        let headers: serde_json::Map<String, Value> = self
            .headers
            .iter()
            .map(|line| match line.split_once(": ") {
                Some((name, value)) => (name.to_owned(), json!(value)),
                None => (line.trim_end_matches(';').to_owned(), json!("")),
            })
            .collect();
        let mut job = json!({"url": url, "id": id, "headers": headers, "method": self.method});
        if let Some(body) = self.body {
            job["body"] = json!(body);
        }
        job.to_string()
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = COMMON.iter().map(|&argument| argument.to_owned()).collect();
        // Of itself curl says so of what it posts, and drops it with the body; what was said with -H it would keep.
        for line in self.headers.iter().filter(|_| self.headers != FORM) {
            arguments.extend(["-H".to_owned(), (*line).to_owned()]);
        }
        match (self.method, self.body) {
            ("HEAD", _) => arguments.push("-I".to_owned()),
            // Said with -X, curl would keep the method over redirects.
            ("GET", None) => {}
            (method, body) => {
                if let Some(body) = body {
                    arguments.extend(["--data-binary".to_owned(), body.to_owned()]);
                }
                if method != "POST" || body.is_none() {
                    arguments.extend(["-X".to_owned(), method.to_owned()]);
                }
            }
        }
        arguments
    }

    /// Leaves out what is another each time.
    fn settled(&self, mut seen: Seen) -> Seen {
        match self.compare {
            Compare::All => {}
            Compare::NotBody => seen.body = format!("{} bytes", seen.body.len()).into_bytes(),
            Compare::NotHeader(name) => {
                seen.headers.remove(name);
                seen.headers.remove("etag");
            }
        }
        seen
    }
}

/// What both send alike, whoever they are.
const COMMON: [&str; 6] = ["-A", "both/1.0", "-H", "Accept: */*", "-H", "Accept-Encoding: gzip, deflate, br"];

#[test]
fn every_group_of_httpbin_answers_jobs_as_it_answers_curl() {
    let server = httpbin();
    let lines: Vec<String> = CASES.iter().enumerate().map(|(id, case)| case.job(id, &server.url(case.path))).collect();
    // curl's own limits: it does not give up on a host that answers 503.
    let run = lycosa(["fetch", "--with", "body,headers", "--retries", "0", "--breaker-failures", "0", "--ordered"])
        .args(["--fail-on", "never", "--throttle", "off"])
        .args(COMMON)
        .lines(lines)
        .run()
        .exits(0);
    let records = run.records();
    assert_eq!(records.len(), CASES.len());
    let mut wrong = Vec::new();
    for (case, record) in CASES.iter().zip(&records) {
        let theirs = case.settled(curl(&case.arguments(), &server.url(case.path)));
        let ours = case.settled(told(record));
        if theirs != ours {
            wrong.push(format!("{case:?}\n  curl:   {theirs:?}\n  lycosa: {ours:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}
