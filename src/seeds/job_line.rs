//! A line with a JSON job: one object, known keys only.
//!
//! Decides what a job may say and names the first thing that is wrong; never fills in what belongs to the run (its
//! method, its headers, its timeout). Called by [`super::Reader`].
//! Sources: RFC 8259; RFC 9110 5.6.2 (tokens), 5.5 (field values); curl's `--json` for the key `json`.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderName, HeaderValue, Method};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::job_keys::quoted;
use super::line::{self, Typed};
use super::{job_keys, mirrors};
use crate::model::job::JobSpec;
use crate::model::units;

const KEYS: [&str; 16] = [
    "url",
    "mirrors",
    "id",
    "method",
    "headers",
    "body",
    "body_base64",
    "json",
    "timeout",
    "priority",
    "meta",
    "user",
    "cookies",
    "retries",
    "accept",
    "proxy",
];

/// `"timeout": "none"` or 0: longer than any run lasts, and short enough to be added to any clock.
const NO_TIMEOUT: Duration = Duration::from_hours(100 * 366 * 24);

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A job line that cannot be read, with what could be made out of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct BrokenJob {
    pub(super) url: Option<Box<str>>,
    pub(super) id: Option<Box<str>>,
    pub(super) meta: Option<Box<str>>,
    pub(super) message: String,
}

/// Reads a line that starts with `{`. A key whose value is null counts as absent: programs that write all keys of a
/// job need not leave any out. Only `json` may be null: that is a JSON text like any other.
pub(super) fn read(text: &str) -> Result<Typed, Box<BrokenJob>> {
    let mut fields: Fields = serde_json::from_str(text).map_err(|error| {
        // A job is one line: its number would only be taken for the number in the file.
        let message = format!("not a JSON object: {error}").replace(" at line 1 column ", " at column ");
        Box::new(BrokenJob { message, ..BrokenJob::default() })
    })?;
    fields.drop_nulls();
    let id = fields.id.map(read_id).transpose();
    let meta = fields.meta.map(|meta| Box::from(meta.get()));
    let made_out = |message| {
        let first = || serde_json::from_str::<Vec<String>>(fields.mirrors?.get()).ok()?.into_iter().next();
        let url = fields.url.and_then(|url| serde_json::from_str::<String>(url.get()).ok()).or_else(first);
        let id = id.clone().ok().flatten();
        Box::new(BrokenJob { url: url.map(|url| line::shown(url.trim())), id, meta: meta.clone(), message })
    };
    match fields.problem.take() {
        Some(problem) => Err(made_out(problem)),
        None => build(&fields, id.clone(), meta.clone()).map_err(made_out),
    }
}

fn build(fields: &Fields, id: Result<Option<Box<str>>, String>, meta: Option<Box<str>>) -> Result<Typed, String> {
    let mut typed = match (fields.url, fields.mirrors) {
        (Some(url), None) => line::read_url(super::trimmed(&read_string("url", url)?))?,
        (None, Some(urls)) => read_mirrors(urls)?,
        (None, None) => return Err("no 'url' and no 'mirrors'".to_owned()),
        (Some(_), Some(_)) => return Err("both 'url' and 'mirrors'".to_owned()),
    };
    let mut spec = typed.job.spec.take().map_or_else(JobSpec::default, |spec| *spec);
    spec.id = id?;
    spec.meta = meta;
    spec.headers = fields.headers.map(read_headers).transpose()?.unwrap_or_default();
    spec.body = read_body(fields, &mut spec.headers)?;
    spec.method = match fields.method {
        Some(method) => Some(read_method(method)?),
        None => spec.body.is_some().then(|| "POST".into()),
    };
    spec.timeout = fields.timeout.map(read_timeout).transpose()?;
    spec.retries = fields.retries.map(job_keys::retries).transpose()?;
    spec.accept = fields.accept.map(job_keys::accept).transpose()?;
    spec.proxy = fields.proxy.map(job_keys::proxy).transpose()?;
    if let Some(line) = fields.cookies.map(job_keys::cookies).transpose()?.filter(|line| !line.is_empty()) {
        if spec.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("cookie")) {
            return Err("both 'cookies' and a header 'Cookie'".to_owned());
        }
        spec.headers.push(("cookie".into(), line.into()));
    }
    if let Some(user) = fields.user.map(job_keys::user).transpose()? {
        // It stands over what URLs say, and over the run's `-u`; a header of the job itself stands over it, as in curl.
        if !spec.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            spec.headers.push(("authorization".into(), user.into()));
        }
    }
    typed.job.priority = fields.priority.map(read_priority).transpose()?.unwrap_or_default();
    if spec != JobSpec::default() {
        typed.job.spec = Some(Box::new(spec));
    }
    Ok(typed)
}

/// Name and value, as the line had them.
type Header = (Box<str>, Box<str>);

/// The values of a job by key, not looked into yet.
#[derive(Default)]
struct Fields<'a> {
    url: Option<&'a RawValue>,
    mirrors: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    headers: Option<&'a RawValue>,
    body: Option<&'a RawValue>,
    body_base64: Option<&'a RawValue>,
    json: Option<&'a RawValue>,
    timeout: Option<&'a RawValue>,
    priority: Option<&'a RawValue>,
    meta: Option<&'a RawValue>,
    user: Option<&'a RawValue>,
    cookies: Option<&'a RawValue>,
    retries: Option<&'a RawValue>,
    accept: Option<&'a RawValue>,
    proxy: Option<&'a RawValue>,
    /// The first key that is unknown or comes twice.
    problem: Option<String>,
}

impl<'a> Fields<'a> {
    fn slot(&mut self, key: &str) -> Option<&mut Option<&'a RawValue>> {
        Some(match key {
            "url" => &mut self.url,
            "mirrors" => &mut self.mirrors,
            "id" => &mut self.id,
            "method" => &mut self.method,
            "headers" => &mut self.headers,
            "body" => &mut self.body,
            "body_base64" => &mut self.body_base64,
            "json" => &mut self.json,
            "timeout" => &mut self.timeout,
            "priority" => &mut self.priority,
            "meta" => &mut self.meta,
            "user" => &mut self.user,
            "cookies" => &mut self.cookies,
            "retries" => &mut self.retries,
            "accept" => &mut self.accept,
            "proxy" => &mut self.proxy,
            _ => return None,
        })
    }

    fn drop_nulls(&mut self) {
        for key in KEYS.into_iter().filter(|key| *key != "json") {
            if let Some(slot) = self.slot(key) {
                *slot = slot.filter(|value| value.get() != "null");
            }
        }
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields::default();
                while let Some(key) = map.next_key::<String>()? {
                    // The line is read to its end even so: its id and meta belong into the record of the failure.
                    let problem = match fields.slot(&key) {
                        None => {
                            map.next_value::<IgnoredAny>()?;
                            unknown_key(&key)
                        }
                        Some(slot) => {
                            let value = map.next_value()?;
                            if slot.replace(value).is_none() {
                                continue;
                            }
                            format!("key '{key}' comes twice")
                        }
                    };
                    fields.problem.get_or_insert(problem);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

fn unknown_key(key: &str) -> String {
    let short = quoted(key);
    // Only what a slip of the finger makes: 'user' is not meant to be 'url'.
    let nearest = KEYS.iter().map(|known| (strsim::damerau_levenshtein(&short, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= known.len() / 3 => {
            format!("unknown key '{short}', did you mean '{known}'?")
        }
        _ => format!("unknown key '{short}'"),
    }
}

fn read_id(value: &RawValue) -> Result<Box<str>, String> {
    let text = value.get();
    if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Ok(text.into());
    }
    if text.starts_with('"') {
        Ok(read_string("id", value)?.into())
    } else {
        Err("'id' is not a string or a number".into())
    }
}

fn read_string(key: &str, value: &RawValue) -> Result<String, String> {
    serde_json::from_str(value.get()).map_err(|_| {
        // The line as a whole was JSON: a string of it fails only for `\ud800` without its other half.
        let why = if value.get().starts_with('"') {
            "has half of a surrogate pair, which is no text"
        } else {
            "is not a string"
        };
        format!("'{key}' {why}")
    })
}

fn read_mirrors(value: &RawValue) -> Result<Typed, String> {
    let urls: Vec<&RawValue> =
        serde_json::from_str(value.get()).map_err(|_| "'mirrors' is not a list of URLs".to_owned())?;
    let urls = urls.into_iter().map(|url| read_string("mirrors", url)).collect::<Result<Vec<_>, _>>();
    let urls = urls.map_err(|_| "'mirrors' is not a list of URLs".to_owned())?;
    if urls.is_empty() {
        return Err("'mirrors' is empty".to_owned());
    }
    mirrors::read(&urls.iter().map(|url| super::trimmed(url)).collect::<Vec<_>>())
}

fn read_method(value: &RawValue) -> Result<Box<str>, String> {
    let method = read_string("method", value)?;
    // As with -X. Methods are case-sensitive, and all that exist are upper case: 'post' would be another.
    let upper = method.to_ascii_uppercase();
    match Method::from_bytes(upper.as_bytes()) {
        // It asks a proxy for a tunnel, and has no answer that could be a record.
        Ok(Method::CONNECT) => Err("'method' cannot be CONNECT".to_owned()),
        Ok(_) => Ok(upper.into()),
        Err(_) => Err(format!("'method' is not a method: '{}'", quoted(&method))),
    }
}

fn read_timeout(value: &RawValue) -> Result<Duration, String> {
    let text = match serde_json::from_str::<String>(value.get()) {
        Ok(text) => text,
        // The number's own text: seconds, read as flags are.
        Err(_) => value.get().to_owned(),
    };
    if text == "none" {
        return Ok(NO_TIMEOUT);
    }
    let timeout = units::parse_duration(&quoted(&text)).map_err(|error| format!("'timeout': {error}"))?;
    Ok(if timeout.is_zero() { NO_TIMEOUT } else { timeout })
}

fn read_priority(value: &RawValue) -> Result<i8, String> {
    match serde_json::from_str::<i8>(value.get()) {
        Ok(priority @ -9..=9) => Ok(priority),
        _ => Err("'priority' is not a whole number from -9 to 9".to_owned()),
    }
}

/// The one body of a job; `json` also brings the two headers that curl's `--json` sets.
fn read_body(fields: &Fields, headers: &mut Vec<Header>) -> Result<Option<Vec<u8>>, String> {
    match (fields.body, fields.body_base64, fields.json) {
        (None, None, None) => Ok(None),
        (Some(body), None, None) => Ok(Some(read_string("body", body)?.into_bytes())),
        (None, Some(body), None) => {
            let text = read_string("body_base64", body)?;
            BASE64.decode(text).map(Some).map_err(|error| format!("'body_base64' is not base64: {error}"))
        }
        (None, None, Some(json)) => {
            for name in ["content-type", "accept"] {
                if !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
                    headers.push((name.into(), "application/json".into()));
                }
            }
            Ok(Some(json.get().into()))
        }
        _ => Err("more than one of 'body', 'body_base64' and 'json'".to_owned()),
    }
}

/// Headers as an object of strings or lists of strings, or as a list of `Name: value`.
fn read_headers(value: &RawValue) -> Result<Vec<Header>, String> {
    if let Ok(lines) = serde_json::from_str::<Vec<String>>(value.get()) {
        return lines.iter().map(|line| header_line(line)).collect();
    }
    let Ok(Pairs(pairs)) = serde_json::from_str(value.get()) else {
        return Err("'headers' is not an object, nor a list of strings 'Name: value'".to_owned());
    };
    let mut headers = Vec::with_capacity(pairs.len());
    for (at, (name, values)) in pairs.iter().enumerate() {
        if pairs[..at].iter().any(|(before, _)| before == name) {
            return Err(format!("header '{}' comes twice", quoted(name)));
        }
        let values = match serde_json::from_str::<String>(values.get()) {
            Ok(value) => vec![value],
            Err(_) => serde_json::from_str::<Vec<String>>(values.get())
                .map_err(|_| format!("header '{}' is not a string or a list of strings", quoted(name)))?,
        };
        for value in values {
            headers.push(header(name, &value)?);
        }
    }
    Ok(headers)
}

fn header_line(line: &str) -> Result<Header, String> {
    // The line is not shown: without its colon nobody knows where its secret starts.
    let (name, value) = line.split_once(':').ok_or("a header has no colon")?;
    header(name, value)
}

fn header(name: &str, value: &str) -> Result<Header, String> {
    let value = value.trim_matches([' ', '\t']);
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(format!("'{}' is not the name of a header", quoted(name)));
    }
    if HeaderValue::from_str(value).is_err() && HeaderValue::from_bytes(value.as_bytes()).is_err() {
        return Err(format!("header '{name}' has a control character in its value"));
    }
    Ok((name.into(), value.into()))
}

/// The entries of an object in order, repeated names too.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(fields: &str) -> crate::model::job::Job {
        let line = format!(r#"{{"url":"https://example.org/",{fields}}}"#);
        read(&line).unwrap_or_else(|broken| panic!("{line}: {}", broken.message)).job
    }

    fn spec(fields: &str) -> JobSpec {
        *job(fields).spec.unwrap_or_default()
    }

    fn headers(spec: &JobSpec) -> Vec<(&str, &str)> {
        spec.headers.iter().map(|(name, value)| (&**name, &**value)).collect()
    }

    #[test]
    fn a_job_of_only_a_url_is_like_a_line_of_only_a_url() {
        let typed = read(r#" {"url":"https://example.org/a"} "#.trim()).unwrap();
        assert_eq!(typed.job, line::read_url("https://example.org/a").unwrap().job);
        let typed = read(r#"{"url":" Example.org/a ","meta":null,"body":null,"id":null}"#).unwrap();
        assert!(typed.bare);
        assert_eq!((&*typed.job.url, typed.job.input.as_deref()), ("https://example.org/a", Some("Example.org/a")));
        assert_eq!(typed.job.spec, None);
    }

    #[test]
    fn ids_and_meta_come_through_unchanged() {
        assert_eq!(spec(r#""id":"a\u0062c""#).id.as_deref(), Some("abc"));
        assert_eq!(spec(r#""id":17"#).id.as_deref(), Some("17"));
        assert_eq!(spec(r#""id":-1.50"#).id.as_deref(), Some("-1.50"));
        let meta = r#"{"b": 1.0, "a":[ null,"\u00e9"], "b":12345678901234567890123}"#;
        assert_eq!(spec(&format!(r#""meta":{meta}"#)).meta.as_deref(), Some(meta));
        assert_eq!(spec(r#""meta":false"#).meta.as_deref(), Some("false"));
    }

    #[test]
    fn mirrors_share_all_else_a_job_says() {
        let line = r#"{"mirrors":["https://a.example/f"," b.example/f "],"url":null,"id":7,"body":"x","priority":2}"#;
        let typed = read(line).unwrap();
        assert!(typed.bare);
        let urls: Vec<&str> = typed.job.mirrors().iter().map(|mirror| &*mirror.url).collect();
        assert_eq!(urls, ["https://a.example/f", "https://b.example/f"]);
        let spec = typed.job.spec.as_ref().unwrap();
        assert_eq!((spec.id.as_deref(), spec.method.as_deref(), typed.job.priority), (Some("7"), Some("POST"), 2));
        assert_eq!((&*typed.job.url, typed.job.leg()), ("https://a.example/f", None));
    }

    #[test]
    fn bodies_and_the_methods_that_go_with_them() {
        let posted = spec(r#""body":"a=1""#);
        assert_eq!((posted.method.as_deref(), posted.body.as_deref()), (Some("POST"), Some(&b"a=1"[..])));
        assert_eq!(posted.headers, []);
        assert_eq!(spec(r#""body":"""#).method.as_deref(), Some("POST"), "an empty body is a body");
        let put = spec(r#""method":"PUT","body_base64":"AP8=""#);
        assert_eq!((put.method.as_deref(), put.body.as_deref()), (Some("PUT"), Some(&b"\x00\xff"[..])));
        assert_eq!(spec(r#""body_base64":"AP8""#).body.as_deref(), Some(&b"\x00\xff"[..]));
        assert_eq!(spec(r#""method":"purge""#).method.as_deref(), Some("PURGE"));

        let json = spec(r#""json":{"a": [1, 2.50]},"headers":{"Accept":"text/plain"}"#);
        assert_eq!(json.body.as_deref(), Some(&br#"{"a": [1, 2.50]}"#[..]), "the text itself");
        assert_eq!(spec(r#""json":null"#).body.as_deref(), Some(&b"null"[..]), "null is a JSON text");
        assert_eq!(headers(&json), [("Accept", "text/plain"), ("content-type", "application/json")]);
    }

    #[test]
    fn headers_in_three_spellings() {
        let object = spec(r#""headers":{"X-A":"1","x-b":["2"," 3 "]}"#);
        assert_eq!(headers(&object), [("X-A", "1"), ("x-b", "2"), ("x-b", "3")]);
        let list = spec(r#""headers":["X-A: 1","x-a:","X-B:a:b é"]"#);
        assert_eq!(headers(&list), [("X-A", "1"), ("x-a", ""), ("X-B", "a:b é")]);
        assert_eq!(spec(r#""headers":{}"#), JobSpec::default());
    }

    #[test]
    fn timeouts_and_priorities() {
        let cases = [("5", 5000), ("0.25", 250), (r#""2m""#, 120_000), (r#""200ms""#, 200)];
        for (text, ms) in cases {
            assert_eq!(spec(&format!(r#""timeout":{text}"#)).timeout, Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["0", r#""none""#] {
            assert_eq!(spec(&format!(r#""timeout":{text}"#)).timeout, Some(NO_TIMEOUT));
        }
        assert_eq!(job(r#""priority":-9"#).priority, -9);
        assert_eq!(job(r#""priority":9"#).priority, 9);
        assert_eq!(job(r#""priority":9"#).spec, None);
    }

    #[test]
    fn a_job_may_differ_from_the_run() {
        let job = spec(r#""user":"al:p:w","cookies":"a=1; b=2;","retries":0,"accept":"200..299,404""#);
        assert_eq!(headers(&job), [("cookie", "a=1; b=2"), ("authorization", "Basic YWw6cDp3")]);
        let both = spec(r#""user":"al:pw","headers":{"Authorization":"Bearer t"}"#);
        assert_eq!(headers(&both), [("Authorization", "Bearer t")]);
        assert_eq!((job.retries, job.accept.as_deref()), (Some(0), Some("200..299,404")));
        let proxy = |text: &str| spec(&format!(r#""proxy":"{text}""#)).proxy;
        assert_eq!(proxy("u:p@h:1").as_deref(), Some("http://u:p@h:1"));
        assert_eq!(proxy("socks5h://h").as_deref(), Some("socks5h://h"));
        assert_eq!(proxy("none").as_deref(), Some(""));
        assert_eq!(headers(&spec(r#""cookies":{"b":"x=y","a":""}"#)), [("cookie", "a=; b=x=y")]);
        assert_eq!(spec(r#""accept":404"#).accept.as_deref(), Some("404"));
        assert_eq!(spec(r#""cookies":"","retries":null"#), JobSpec::default());
        let of_url = r#"{"mirrors":["https://u:v@a.example/","https://b.example/"],"user":"al:pw"}"#;
        let all = read(of_url).unwrap().job;
        assert_eq!(headers(all.spec.as_ref().unwrap()), [("authorization", "Basic YWw6cHc=")], "for each of them");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (r#""uri":"x""#, "unknown key 'uri', did you mean 'url'?"),
            (r#""header":{}"#, "unknown key 'header', did you mean 'headers'?"),
            (
                r#""proxy":"ftp://u:s3cret@p""#,
                "'proxy': 'ftp' is not the scheme of a proxy (http, https, socks4, socks4a, socks5, socks5h)",
            ),
            (r#""proxy":"http://u:s3cret@[p""#, "'proxy': not the address of a proxy: invalid IPv6 address"),
            (r#""proxy":"""#, "'proxy': not the address of a proxy: no host"),
            (r#""proxy":1"#, "'proxy' is not a string"),
            (r#""user":"s3cret""#, "'user' has no password"),
            (r#""user":{"a":"b"}"#, "'user' is not a string"),
            (r#""cookies":"s3cret""#, "'cookies' has no '='"),
            (r#""cookies":["a=b"]"#, "'cookies' is not a string"),
            (r#""cookies":{"a":1}"#, "a cookie of 'cookies' is not a string"),
            (r#""cookies":{"a":"b;c"}"#, "a cookie of 'cookies' has a semicolon"),
            (r#""cookies":"a=\u0007""#, "'cookies' has a control character"),
            (r#""cookies":"a=1","headers":{"Cookie":"b=2"}"#, "both 'cookies' and a header 'Cookie'"),
            (r#""retries":-1"#, "'retries' is not a whole number from 0 to 1000"),
            (r#""retries":1001"#, "'retries' is not a whole number from 0 to 1000"),
            (r#""accept":"2xx""#, "'accept': '2xx' is not a status"),
            (r#""accept":{}"#, "'accept' is not a list of statuses"),
            (r#""cookie":"a=b""#, "unknown key 'cookie', did you mean 'cookies'?"),
            (r#""a\nb":1"#, "unknown key 'a\u{fffd}b'"),
            (r#""url":"https://b.example/""#, "key 'url' comes twice"),
            (r#""mirrors":["https://b.example/"]"#, "both 'url' and 'mirrors'"),
            (r#""meta":1,"meta":null"#, "key 'meta' comes twice"),
            (r#""id":true"#, "'id' is not a string or a number"),
            (r#""id":"\ud800""#, "'id' has half of a surrogate pair, which is no text"),
            (r#""body":"\ud800""#, "'body' has half of a surrogate pair, which is no text"),
            (r#""body":"a","json":null"#, "more than one of 'body', 'body_base64' and 'json'"),
            (r#""id":[1]"#, "'id' is not a string or a number"),
            (r#""method":"GE T""#, "'method' is not a method: 'GE T'"),
            (r#""method":"""#, "'method' is not a method: ''"),
            (r#""method":5"#, "'method' is not a string"),
            (r#""method":"CONNECT""#, "'method' cannot be CONNECT"),
            (r#""method":"connect""#, "'method' cannot be CONNECT"),
            (r#""body":5"#, "'body' is not a string"),
            (r#""body_base64":"*""#, "'body_base64' is not base64"),
            (r#""body":"a","json":1"#, "more than one of 'body', 'body_base64' and 'json'"),
            (r#""headers":"X: 1""#, "'headers' is not an object"),
            (r#""headers":{"X":1}"#, "header 'X' is not a string or a list"),
            (r#""headers":{"X":"1","X":"2"}"#, "header 'X' comes twice"),
            (r#""headers":{"X Y":"1"}"#, "'X Y' is not the name of a header"),
            (r#""headers":{"X":"1\r\nY: 2"}"#, "header 'X' has a control character"),
            (r#""headers":["secret"]"#, "a header has no colon"),
            (r#""timeout":"soon""#, "'timeout': 'soon' is not a duration"),
            (r#""timeout":-1"#, "'timeout': '-1' is not a duration"),
            (r#""timeout":true"#, "'timeout': 'true' is not a duration"),
            (r#""priority":10"#, "'priority' is not a whole number from -9 to 9"),
            (r#""priority":1.5"#, "'priority' is not a whole number from -9 to 9"),
            (r#""priority":"1""#, "'priority' is not a whole number from -9 to 9"),
        ];
        for (fields, message) in cases {
            let line = format!(r#"{{"url":"https://me:secret@example.org/",{fields}}}"#);
            let broken = read(&line).expect_err(fields);
            assert!(broken.message.starts_with(message), "{fields}: {}", broken.message);
            assert!(!broken.message.contains("s3cret"), "{}", broken.message);
            if !fields.contains(r#""url""#) {
                assert_eq!(broken.url.as_deref(), Some("https://example.org/"), "{fields}");
            }
        }
        for (line, message) in [
            ("{}", "no 'url'"),
            (r#"{"url":null}"#, "no 'url'"),
            (r#"{"mirrors":[]}"#, "'mirrors' is empty"),
            (r#"{"mirrors":"https://a.example/"}"#, "'mirrors' is not a list of URLs"),
            (r#"{"mirrors":["https://a.example/",7]}"#, "'mirrors' is not a list of URLs"),
            (r#"{"mirrors":["https://a.example/","ftp://b"]}"#, "ftp://b: scheme 'ftp' is not http or https"),
            (r#"{"url":5}"#, "'url' is not a string"),
            (r#"{"url":"ftp://x"}"#, "scheme 'ftp' is not http or https"),
            (r#"{"url":"https://example.org/""#, "not a JSON object: EOF"),
            (r#"{"url":"https://example.org/"} x"#, "not a JSON object: trailing characters at column 32"),
            ("{url: 1}", "not a JSON object: key must be a string at column 2"),
        ] {
            let broken = read(line).expect_err(line);
            assert!(broken.message.starts_with(message), "{line}: {}", broken.message);
        }
    }

    #[test]
    fn a_broken_job_keeps_its_id_and_meta() {
        let broken = read(r#"{"uri":[1,{}],"id":7,"url":5,"meta":{"a": 1}}"#).unwrap_err();
        assert_eq!(broken.id.as_deref(), Some("7"));
        assert_eq!(broken.meta.as_deref(), Some(r#"{"a": 1}"#));
        assert_eq!(broken.url, None);
        assert_eq!(broken.message, "unknown key 'uri', did you mean 'url'?");
    }
}
