//! Charsets: which encoding a body is in, and its text.
//!
//! In order: a byte order mark, the `charset` of the content type, what the document says of itself (the first 1,024
//! bytes of HTML, the declaration of XML), UTF-8 if the bytes are valid UTF-8, and else what chardetng takes them for (of
//! HTML and plain text; other text is windows-1252 then). Labels that are not known are passed over. Nothing here fails:
//! what cannot be decoded becomes U+FFFD.
//!
//! Called by the HTML and the sitemap readers, and for `--with body`.
//!
//! Sources: WHATWG Encoding 4.2 (labels) and 6 (byte order mark first); WHATWG HTML 13.2.3.2 (prescan).

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};
use memchr::{memchr, memchr2_iter, memmem};

use super::html::attributes::{Step, is_space, step};

/// Where a document of this kind says what encoding it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `<meta charset>` and its older form, in the first 1,024 bytes.
    Html,
    /// `<?xml encoding=…?>`.
    Xml,
    /// `@charset "…";` at the very start.
    Css,
    /// Nowhere.
    Text,
}

/// How many bytes a declaration may be away from the start (WHATWG HTML 13.2.3.2).
const PRESCAN: usize = 1024;

/// How many bytes tell the encoding of a body that says nothing of it: menus and scripts may be the first of a page.
const DETECTED: usize = 256 << 10;

/// The encoding of a body. `header_charset` is the parameter of the content type, as the server wrote it.
#[must_use]
pub fn decide(kind: Kind, header_charset: Option<&str>, body: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(body) {
        return encoding;
    }
    let known = |label: &str| Encoding::for_label_no_replacement(label.trim_matches(['"', '\'']).as_bytes());
    if let Some(encoding) = header_charset.and_then(known) {
        return encoding;
    }
    let start = &body[..body.len().min(PRESCAN)];
    let declared = match kind {
        Kind::Html => xml_declaration(start).or_else(|| prescan(start)),
        Kind::Xml => xml_declaration(start),
        Kind::Css => css_declaration(start),
        Kind::Text => None,
    };
    if let Some(encoding) = declared {
        return encoding;
    }
    match kind {
        _ if Encoding::utf8_valid_up_to(body) == body.len() => UTF_8,
        Kind::Html | Kind::Text => detect(body),
        Kind::Xml | Kind::Css => WINDOWS_1252,
    }
}

/// What the bytes look like, by the frequencies of letters in languages.
fn detect(body: &[u8]) -> &'static Encoding {
    let start = &body[..body.len().min(DETECTED)];
    // As browsers do: ISO-2022-JP hides markup in ASCII, and UTF-8 was looked for already.
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(start, start.len() == body.len());
    detector.guess(None, Utf8Detection::Deny)
}

/// The text of a body without its byte order mark, and the label of the encoding that was used.
#[must_use]
pub fn decode<'a>(kind: Kind, header_charset: Option<&str>, body: &'a [u8]) -> (Cow<'a, str>, &'static str) {
    let encoding = decide(kind, header_charset, body);
    let (text, used, _) = encoding.decode(body);
    (text, label(used))
}

/// The text of a body of any media type (type/subtype in lower case, empty if there is none), and the label of its
/// encoding. None if it is not text.
///
/// Text are `text/*`, JSON, XML, JavaScript and forms, also as `+json` and `+xml`. Of a media type that says neither text
/// nor otherwise (none, `application/octet-stream`, one that is not known), the bytes decide: valid UTF-8 is
/// text. Images, sound, video and fonts are not text whatever their bytes, SVG excepted; nor is what holds control
/// characters that no text has.
#[must_use]
pub fn decode_text<'a>(
    media_type: &str,
    header_charset: Option<&str>,
    body: &'a [u8],
) -> Option<(Cow<'a, str>, &'static str)> {
    let (text, label) = if let Some(kind) = text_kind(media_type) {
        decode(kind, header_charset, body)
    } else {
        let top = media_type.split('/').next().unwrap_or_default();
        if matches!(top, "image" | "audio" | "video" | "font") {
            return None;
        }
        let text = std::str::from_utf8(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)).ok()?;
        (Cow::Borrowed(text), label(UTF_8))
    };
    (!text.bytes().any(is_binary)).then_some((text, label))
}

/// A "binary data byte" of the WHATWG MIME Sniffing standard, section 3. Each would take six bytes in JSON: a bomb of
/// NULs must not grow on its way out.
fn is_binary(byte: u8) -> bool {
    matches!(byte, 0x00..=0x08 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F)
}

/// Text among `application/…`, beside JSON and XML by suffix.
#[rustfmt::skip]
const APPLICATION: &[&str] = &[
    "json", "javascript", "x-javascript", "ecmascript", "x-ndjson", "ndjson", "jsonl", "json-seq",
    "x-www-form-urlencoded", "xml-dtd", "yaml", "x-yaml", "toml", "sql", "graphql", "x-sh",
];

/// How a media type that is text declares its encoding.
fn text_kind(media_type: &str) -> Option<Kind> {
    let (top, sub) = media_type.split_once('/')?;
    match sub {
        "html" | "xhtml+xml" => return Some(Kind::Html),
        "css" => return Some(Kind::Css),
        "xml" => return Some(Kind::Xml),
        _ if sub.ends_with("+xml") => return Some(Kind::Xml),
        _ if sub.ends_with("+json") || top == "text" => return Some(Kind::Text),
        _ => {}
    }
    (top == "application" && APPLICATION.contains(&sub)).then_some(Kind::Text)
}

/// The encoding of `@charset "…";` at the very start, byte for byte (CSS Syntax 3.2).
fn css_declaration(start: &[u8]) -> Option<&'static Encoding> {
    let rest = start.strip_prefix(b"@charset \"")?;
    let label = &rest[..memchr(b'"', rest)?];
    rest[label.len() + 1..].starts_with(b";").then_some(())?;
    // What can be read at all is ASCII, so it is not UTF-16.
    Encoding::for_label_no_replacement(label)
        .map(|found| if [UTF_16BE, UTF_16LE].contains(&found) { UTF_8 } else { found })
}

/// The encoding of `<?xml … encoding="…" …?>` at the very start.
fn xml_declaration(start: &[u8]) -> Option<&'static Encoding> {
    if !start.starts_with(b"<?xml") {
        return None;
    }
    let declaration = &start[..memchr(b'>', start)?];
    let behind = &declaration[memmem::find(declaration, b"encoding")? + 8..];
    let behind = behind.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let &quote = behind.first().filter(|byte| matches!(byte, b'"' | b'\''))?;
    let label = &behind[1..];
    for_declared_label(&label[..memchr(quote, label)?])
}

/// What a label inside a document means: a document in UTF-16 could not have been read as far as its declaration.
fn for_declared_label(label: &[u8]) -> Option<&'static Encoding> {
    let encoding = Encoding::for_label_no_replacement(label)?;
    Some(match encoding {
        _ if encoding == UTF_16BE || encoding == UTF_16LE => UTF_8,
        _ if encoding == X_USER_DEFINED => WINDOWS_1252,
        _ => encoding,
    })
}

/// "Prescan a byte stream to determine its encoding".
fn prescan(start: &[u8]) -> Option<&'static Encoding> {
    // Every declaration has the word: most pages without one are done here, at a tenth of the cost.
    if !names_charset(start) {
        return None;
    }
    let mut at = 0;
    while let Some(found) = memchr(b'<', &start[at..]) {
        at += found;
        let rest = &start[at..];
        if rest.starts_with(b"<!--") {
            // The dashes of the opening may be those of the end: `<!-->`.
            at += 2 + memmem::find(&rest[2..], b"-->")? + 3;
        } else if is_meta(rest) {
            let (encoding, next) = meta(start, at + 5)?;
            if encoding.is_some() {
                return encoding;
            }
            at = next;
        } else if rest.get(1).is_some_and(u8::is_ascii_alphabetic)
            || (rest.get(1) == Some(&b'/') && rest.get(2).is_some_and(u8::is_ascii_alphabetic))
        {
            at += rest.iter().position(|&byte| is_space(byte) || byte == b'>')?;
            at = skip_attributes(start, at)?;
        } else if matches!(rest.get(1), Some(b'!' | b'/' | b'?')) {
            at += memchr(b'>', rest)? + 1;
        } else {
            at += 1;
        }
    }
    None
}

fn names_charset(start: &[u8]) -> bool {
    memchr2_iter(b'h', b'H', start).any(|at| {
        let word = at.checked_sub(1).and_then(|from| start.get(from..from + 7));
        word.is_some_and(|word| word.eq_ignore_ascii_case(b"charset"))
    })
}

fn is_meta(rest: &[u8]) -> bool {
    rest.get(1..5).is_some_and(|name| name.eq_ignore_ascii_case(b"meta"))
        && rest.get(5).is_some_and(|&byte| is_space(byte) || byte == b'/')
}

fn skip_attributes(start: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match step(start, at) {
            Step::Attribute { next, .. } => at = next,
            Step::End { next, .. } => return Some(next),
            Step::Cut => return None,
        }
    }
}

/// The encoding of one `<meta>`, if it names one, and where to go on. None if the prescan ends inside the tag.
fn meta(start: &[u8], mut at: usize) -> Option<(Option<&'static Encoding>, usize)> {
    let mut pragma = None;
    let mut charset = None;
    let mut content = None;
    let next = loop {
        match step(start, at) {
            Step::Attribute { name, value, next } => {
                let slot = match name.to_ascii_lowercase().as_slice() {
                    b"http-equiv" => Some(&mut pragma),
                    b"charset" => Some(&mut charset),
                    b"content" => Some(&mut content),
                    _ => None,
                };
                if let Some(slot) = slot {
                    slot.get_or_insert(value);
                }
                at = next;
            }
            Step::End { next, .. } => break next,
            Step::Cut => return None,
        }
    };
    let is_pragma = pragma.is_some_and(|pragma: &[u8]| pragma.eq_ignore_ascii_case(b"content-type"));
    let label = match (charset, content) {
        (Some(charset), _) => Some(charset),
        (None, Some(content)) if is_pragma => charset_of_content(content),
        _ => None,
    };
    Some((label.and_then(for_declared_label), next))
}

/// The charset of `text/html; charset=x` ("extracting a character encoding from a meta element").
fn charset_of_content(content: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    let behind = loop {
        at += content[at..].windows(7).position(|word| word.eq_ignore_ascii_case(b"charset"))? + 7;
        if let Some(behind) = content[at..].trim_ascii_start().strip_prefix(b"=") {
            break behind.trim_ascii_start();
        }
    };
    if let Some(&quote) = behind.first().filter(|byte| matches!(byte, b'"' | b'\'')) {
        return Some(&behind[1..=memchr(quote, &behind[1..])?]);
    }
    let end = behind.iter().position(|&byte| is_space(byte) || byte == b';').unwrap_or(behind.len());
    (end > 0).then(|| &behind[..end])
}

/// The encodings of the WHATWG standard, in lower case.
#[rustfmt::skip]
const LABELS: &[&str] = &[
    "utf-8", "windows-1252", "big5", "euc-jp", "euc-kr", "gb18030", "gbk", "ibm866", "iso-2022-jp", "iso-8859-2",
    "iso-8859-3", "iso-8859-4", "iso-8859-5", "iso-8859-6", "iso-8859-7", "iso-8859-8", "iso-8859-8-i", "iso-8859-10",
    "iso-8859-13", "iso-8859-14", "iso-8859-15", "iso-8859-16", "koi8-r", "koi8-u", "macintosh", "replacement",
    "shift_jis", "utf-16be", "utf-16le", "windows-1250", "windows-1251", "windows-1253", "windows-1254",
    "windows-1255", "windows-1256", "windows-1257", "windows-1258", "windows-874", "x-mac-cyrillic", "x-user-defined",
];

/// The lower-case label of an encoding, as records show it.
#[must_use]
pub fn label(encoding: &'static Encoding) -> &'static str {
    let name = encoding.name();
    LABELS.iter().copied().find(|label| label.eq_ignore_ascii_case(name)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(header: Option<&str>, body: &[u8]) -> &'static str {
        label(decide(Kind::Html, header, body))
    }

    #[test]
    fn a_byte_order_mark_wins_then_the_header_then_the_page() {
        let page = b"<meta charset=koi8-r>";
        assert_eq!(html(Some("iso-8859-2"), b"\xef\xbb\xbf<meta charset=koi8-r>"), "utf-8");
        assert_eq!(html(Some("iso-8859-2"), b"\xff\xfe<\0"), "utf-16le");
        assert_eq!(html(Some("iso-8859-2"), page), "iso-8859-2");
        assert_eq!(html(Some(" \"ISO-8859-2\" "), page), "koi8-r", "a space in the quotes is no part of a label");
        assert_eq!(html(Some("'latin2'"), page), "iso-8859-2");
        assert_eq!(html(Some("nonsense"), page), "koi8-r");
        assert_eq!(html(Some("iso-2022-kr"), page), "koi8-r", "an encoding that is known only to be refused");
        assert_eq!(html(None, page), "koi8-r");
        assert_eq!(html(None, "é".as_bytes()), "utf-8");
        assert_eq!(html(None, b"\xe9"), "windows-1252");
        assert_eq!(html(None, b""), "utf-8");
    }

    #[test]
    fn what_is_not_declared_is_detected() {
        for (label, text) in [
            ("shift_jis", "日本語のページです。ようこそ、これは文字コードの検査です。"),
            ("euc-jp", "日本語のページです。ようこそ、これは文字コードの検査です。"),
            ("windows-1251", "Съешь ещё этих мягких французских булок, да выпей чаю."),
            ("euc-kr", "한국어 페이지입니다. 문자 인코딩을 검사합니다."),
            ("big5", "這是一個沒有聲明編碼的網頁，我們要檢查它的文字。"),
            ("windows-1252", "Ein Café in der Straße über dem Fluß, déjà vu."),
        ] {
            let encoding = Encoding::for_label(label.as_bytes()).unwrap();
            let bytes = encoding.encode(text).0;
            assert_eq!(html(None, &bytes), label);
        }
    }

    #[test]
    fn the_prescan_finds_a_declaration_where_browsers_do() {
        for (page, expected) in [
            ("<title>x</title><META/charset='Big5'>", "big5"),
            ("<meta http-equiv=Content-Type content='text/html; charset=euc-jp;x'>", "euc-jp"),
            ("<meta content=\"charset = 'gbk'\" http-equiv=content-type>", "gbk"),
            ("<meta content='charset; charset=gbk' http-equiv=content-type>", "gbk"),
            ("<meta name=x content='charset=gbk'>", "utf-8"),
            ("<meta charset=nonsense><meta charset=gbk>", "gbk"),
            ("<!-- <meta charset=gbk> --><meta charset=big5>", "big5"),
            ("<!--><meta charset=gbk>", "gbk"),
            ("<a x='<meta charset=gbk>'><meta charset=big5>", "big5"),
            ("<? <meta charset=gbk><meta charset=big5>", "big5"),
            ("</ <meta charset=gbk><meta charset=big5>", "big5"),
            ("<meta charset=utf-16>", "utf-8"),
            ("<meta charset=x-user-defined>", "windows-1252"),
            ("<metal charset=gbk>", "utf-8"),
            ("<meta charset=gbk", "utf-8"),
            ("< <3 <meta charset=gbk>", "gbk"),
            ("<?xml version='1.0' encoding='koi8-u'?><html>", "koi8-u"),
        ] {
            assert_eq!(html(None, page.as_bytes()), expected, "{page}");
        }
        let late = format!("{}<meta charset=gbk>", " ".repeat(1020));
        assert_eq!(html(None, late.as_bytes()), "utf-8");
    }

    #[test]
    fn every_encoding_has_a_label_in_lower_case_that_means_it() {
        for name in ["utf-8", "latin1", "sjis", "macintosh", "x-mac-cyrillic", "utf-16", "logical", "gb2312", "tis-620"]
        {
            let encoding = Encoding::for_label(name.as_bytes()).unwrap();
            assert_eq!(label(encoding), encoding.name().to_ascii_lowercase());
        }
    }

    #[test]
    fn media_type_and_bytes_tell_what_is_text() {
        let text =
            |media_type: &str, body: &[u8]| decode_text(media_type, None, body).map(|(text, _)| text.into_owned());
        for media_type in ["text/plain", "text/x-new", "application/json", "application/ld+json", "image/svg+xml"] {
            assert_eq!(text(media_type, b"a\t\x1bb").as_deref(), Some("a\t\x1bb"), "{media_type}");
            assert_eq!(text(media_type, b"a\0b"), None, "{media_type} that is none");
        }
        assert_eq!(text("text/csv", b"\xe9").as_deref(), Some("é"));
        assert_eq!(
            text("application/xml", b"<?xml encoding='latin2'?>\xb1").as_deref(),
            Some("<?xml encoding='latin2'?>ą")
        );
        for unknown in ["", "application/octet-stream", "application/x-thing", "thing"] {
            assert_eq!(text(unknown, "é".as_bytes()).as_deref(), Some("é"), "{unknown}");
            assert_eq!(text(unknown, b"\xe9"), None, "{unknown}");
            assert_eq!(text(unknown, b"a\0"), None, "{unknown}");
        }
        assert_eq!(text("image/png", b"abc"), None);
        assert_eq!(decode_text("text/plain", Some("koi8-r"), b"\xc1"), Some(("а".into(), "koi8-r")));
        assert_eq!(decode_text("text/plain", None, b"\xef\xbb\xbfa"), Some(("a".into(), "utf-8")));
    }
}
