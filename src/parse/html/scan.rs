//! The tokenizer: from bytes to text and tags, one at a time, without a tree and without copying.
//!
//! It decides where markup begins and ends. It does not know which elements matter, nor when the content of an element
//! is raw text: its caller says so with [`Scanner::raw_text`] and [`Scanner::script`], as a tree builder would.
//! Every byte is looked at a bounded number of times, whatever the bytes are.
//!
//! Source: WHATWG HTML 13.2.5. Two rules matter most for links in the wild: a tag that is cut off by the end of the
//! input does not count, and a comment ends at `-->`, `--!>`, `<!-->` and `<!--->`.

use memchr::{memchr, memchr2, memmem};

use super::attributes::{Attributes, Known, Quoted, is_space, tag_end};
use super::marks::Marks;
use super::near;

/// A whole tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag<'a> {
    /// As written, in any case.
    pub(super) name: &'a [u8],
    pub(super) attributes: Attributes<'a>,
    /// Written with `/>`; means something only in SVG and MathML.
    pub(super) self_closing: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Token<'a> {
    /// With character references.
    Text(&'a [u8]),
    /// The content of a CDATA section: text without character references.
    Verbatim(&'a [u8]),
    Start(Tag<'a>),
    End(Tag<'a>),
    /// What a conditional comment holds: markup for old browsers.
    Conditional(&'a [u8]),
}

/// Names of elements, by first letter and length: enough to pass over nearly all tags of a page unread.
#[derive(Debug)]
pub(super) struct Names {
    /// By the lower five bits of the first letter, in which case does not matter: bit `n` for a name of `n` bytes.
    lengths: [u32; 32],
}

impl Names {
    pub(super) const fn new(names: &[&str]) -> Self {
        let mut lengths = [0; 32];
        let mut at = 0;
        while at < names.len() {
            let name = names[at].as_bytes();
            lengths[(name[0] & 31) as usize] |= 1 << name.len();
            at += 1;
        }
        Self { lengths }
    }

    /// Whether one of them begins with this letter.
    #[inline]
    fn may_begin_with(&self, letter: u8) -> bool {
        self.lengths[usize::from(letter & 31)] != 0
    }

    /// Whether a name may be one of these. False only if it is none.
    #[inline]
    fn may_have(&self, name: &[u8]) -> bool {
        let Some(first) = name.first() else { return false };
        name.len() < 32 && self.lengths[usize::from(first & 31)] >> name.len() & 1 != 0
    }
}

/// Which tokens are given out beside tags.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shown {
    pub(super) text: bool,
    /// `<![CDATA[` opens a CDATA section here (in SVG and MathML), and not a comment.
    pub(super) cdata: bool,
    pub(super) conditionals: bool,
}

/// What a `<` turns out to be.
enum Markup {
    Start,
    End,
    /// A comment, a doctype or what is read as one, up to this place.
    Ignored(usize),
    Cdata,
    /// A `<` that is text.
    None,
}

pub(super) struct Scanner<'a> {
    input: &'a [u8],
    at: usize,
    marks: Marks<'a>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0, marks: Marks::new(input) }
    }

    /// The next token; None at the end. What is not to be shown is passed over.
    pub(super) fn next(&mut self, shown: Shown) -> Option<Token<'a>> {
        let Shown { text, cdata, conditionals } = shown;
        let mut search = self.at;
        loop {
            let Some(found) = near::find(b'<', &self.input[search..]) else {
                return if text { self.text_up_to(self.input.len()) } else { None };
            };
            let open = search + found;
            let markup = self.classify(open, cdata);
            if matches!(markup, Markup::None) {
                search = open + 1;
                continue;
            }
            if text && open > self.at {
                return self.text_up_to(open);
            }
            match markup {
                Markup::Start => return self.tag(open + 1).map(Token::Start),
                Markup::End => return self.tag(open + 2).map(Token::End),
                Markup::Cdata => return Some(Token::Verbatim(self.cdata(open + CDATA.len()))),
                Markup::Ignored(end) => {
                    self.at = end;
                    search = end;
                    if conditionals && let Some(content) = conditional(&self.input[open..end]) {
                        return Some(Token::Conditional(content));
                    }
                }
                Markup::None => {}
            }
        }
    }

    /// The next start tag of an element that may have one of these names; None at the end. Passes over all else: four of
    /// five tags of a page, and all of its text.
    ///
    /// The end of a tag is the one that [`tag_end`] finds, but the way there goes from quote to quote, for as long as what
    /// stands between them is white space, a name and `=`. Where no quotes are, the first `>` is the end.
    ///
    /// `text` is called for each text on the way, with the places where it begins and ends.
    #[inline(never)]
    pub(super) fn next_of(&mut self, names: &Names, mut text: impl FnMut(usize, usize)) -> Option<Tag<'a>> {
        let input = self.input;
        let (mut at, mut marks) = (self.at, self.marks);
        let mut text_start = at;
        let mut known = Known::default();
        // None from here on is the end of the input, perhaps inside a tag.
        self.at = input.len();
        loop {
            let Some(open) = marks.open(at) else {
                text(text_start, input.len());
                return None;
            };
            let is_end = input.get(open + 1) == Some(&b'/');
            let start = open + 1 + usize::from(is_end);
            if !input.get(start).is_some_and(u8::is_ascii_alphabetic) {
                if let Markup::Ignored(end) = self.classify(open, false) {
                    text(text_start, open);
                    (at, text_start) = (end, end);
                } else {
                    at = open + 1;
                }
                continue;
            }
            text(text_start, open);
            let mut mark = marks.inside(start)?;
            let mut quote = input[mark];
            if quote == b'>' && (is_end || !names.may_begin_with(input[start])) {
                (at, text_start) = (mark + 1, mark + 1);
                continue;
            }
            let behind_name = start + near::name(&input[start..], *b"/>>");
            let name = &input[start..behind_name];
            let is_wanted = !is_end && names.may_have(name);
            let mut behind = behind_name;
            known.clear();
            at = loop {
                if quote == b'>' {
                    break mark + 1;
                }
                let (name, equals) = attribute_name(input, behind)?;
                if name == behind || name == equals || equals + 1 != mark || input[equals] != b'=' {
                    known = Known::NOTHING;
                    break tag_end(input, behind_name)?.0;
                }
                let value = mark + 1;
                loop {
                    mark = marks.inside(mark + 1)?;
                    if input[mark] == quote {
                        break;
                    }
                }
                if is_wanted {
                    known.push(Quoted { name: &input[name..equals], value: &input[value..mark] });
                }
                behind = mark + 1;
                mark = marks.inside(behind)?;
                quote = input[mark];
            };
            text_start = at;
            if is_wanted {
                (self.at, self.marks) = (at, marks);
                if at != behind + 1 {
                    known = Known::NOTHING;
                }
                // A slash before the bracket may belong to a value.
                let self_closing = input[at - 2] == b'/' && tag_end(input, behind_name)?.1;
                return Some(Tag {
                    name,
                    attributes: Attributes { raw: &input[behind_name..at], known },
                    self_closing,
                });
            }
        }
    }

    #[inline]
    fn text_up_to(&mut self, end: usize) -> Option<Token<'a>> {
        let text = &self.input[self.at..end];
        self.at = end;
        (!text.is_empty()).then_some(Token::Text(text))
    }

    #[inline]
    fn classify(&self, open: usize, cdata: bool) -> Markup {
        match self.input.get(open + 1) {
            Some(byte) if byte.is_ascii_alphabetic() => Markup::Start,
            Some(b'/') => match self.input.get(open + 2) {
                Some(byte) if byte.is_ascii_alphabetic() => Markup::End,
                // `</` as the last thing of the input is text.
                None => Markup::None,
                Some(_) => Markup::Ignored(self.behind_bracket(open + 2)),
            },
            Some(b'!') => {
                let rest = &self.input[open..];
                if rest.starts_with(b"<!--") {
                    Markup::Ignored(self.comment_end(open))
                } else if cdata && rest.starts_with(CDATA) {
                    Markup::Cdata
                } else {
                    Markup::Ignored(self.behind_bracket(open + 2))
                }
            }
            Some(b'?') => Markup::Ignored(self.behind_bracket(open + 1)),
            _ => Markup::None,
        }
    }

    fn behind_bracket(&self, from: usize) -> usize {
        memchr(b'>', &self.input[from..]).map_or(self.input.len(), |length| from + length + 1)
    }

    /// The place behind the comment that opens with `<!--` at `open`.
    fn comment_end(&self, open: usize) -> usize {
        let content = open + 4;
        let mut at = content;
        while let Some(found) = memchr(b'>', &self.input[at..]) {
            at += found;
            // `<!-->` and `<!--->` end too: their dashes may be those of the opening.
            let before = &self.input[open + 2..at];
            if before.ends_with(b"--") || self.input[content..at].ends_with(b"--!") {
                return at + 1;
            }
            at += 1;
        }
        self.input.len()
    }

    fn cdata(&mut self, start: usize) -> &'a [u8] {
        let rest = &self.input[start..];
        let length = memmem::find(rest, b"]]>");
        self.at = length.map_or(self.input.len(), |length| start + length + 3);
        &rest[..length.unwrap_or(rest.len())]
    }

    fn tag(&mut self, start: usize) -> Option<Tag<'a>> {
        let rest = &self.input[start..];
        let length = near::name(rest, *b"/>>");
        let behind_name = start + length;
        let Some((end, self_closing)) = tag_end(self.input, behind_name) else {
            self.at = self.input.len();
            return None;
        };
        self.at = end;
        let attributes = Attributes { raw: &self.input[behind_name..end], known: Known::NOTHING };
        Some(Tag { name: &rest[..length], attributes, self_closing })
    }

    /// The content of an element whose start tag was just read and that holds text only, up to its end tag, which is
    /// read too. Without one it is all the rest.
    pub(super) fn raw_text(&mut self, name: &str) -> &'a [u8] {
        let start = self.at;
        let mut search = start;
        while let Some(found) = near::find(b'<', &self.input[search..]) {
            let open = search + found;
            if self.input.get(open + 1) == Some(&b'/') && self.is_tag(open + 2, name) {
                return self.close_raw_text(start, open, name);
            }
            search = open + 1;
        }
        self.at = self.input.len();
        &self.input[start..]
    }

    /// As [`Scanner::raw_text`] for `script`, where `<!--` and a second `<script>` hide an end tag.
    pub(super) fn script(&mut self) -> &'a [u8] {
        #[derive(PartialEq)]
        enum Script {
            Plain,
            Escaped,
            DoubleEscaped,
        }
        let start = self.at;
        let mut state = Script::Plain;
        // From here on dashes count towards the `-->` that ends the escape.
        let mut dashes = start;
        let mut search = start;
        while let Some(found) = memchr2(b'<', b'>', &self.input[search..]) {
            let at = search + found;
            search = at + 1;
            if self.input[at] == b'>' {
                if state != Script::Plain && self.input[dashes..at].ends_with(b"--") {
                    state = Script::Plain;
                }
                continue;
            }
            let is_end = self.input.get(at + 1) == Some(&b'/') && self.is_tag(at + 2, "script");
            match state {
                Script::Plain | Script::Escaped if is_end => return self.close_raw_text(start, at, "script"),
                Script::Plain if self.input[at..].starts_with(b"<!--") => {
                    state = Script::Escaped;
                    dashes = at + 2;
                }
                Script::Escaped if self.is_tag(at + 1, "script") => state = Script::DoubleEscaped,
                Script::DoubleEscaped if is_end => state = Script::Escaped,
                _ => {}
            }
        }
        self.at = self.input.len();
        &self.input[start..]
    }

    /// Whether a tag of this name begins at `at`: the name, and then what ends a name.
    fn is_tag(&self, at: usize, name: &str) -> bool {
        let end = at + name.len();
        self.input.get(at..end).is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
            && self.input.get(end).is_some_and(|&byte| is_space(byte) || matches!(byte, b'/' | b'>'))
    }

    fn close_raw_text(&mut self, start: usize, open: usize, name: &str) -> &'a [u8] {
        self.at = tag_end(self.input, open + 2 + name.len()).map_or(self.input.len(), |(end, _)| end);
        &self.input[start..open]
    }

    /// Nothing but text follows (`<plaintext>`).
    pub(super) fn stop(&mut self) {
        self.at = self.input.len();
    }
}

/// Where the next attribute's name begins behind `at`, and where it likely ends.
#[inline]
fn attribute_name(input: &[u8], mut at: usize) -> Option<(usize, usize)> {
    while input.get(at).copied().is_some_and(is_space) {
        at += 1;
    }
    Some((at, at + near::likely_name(input.get(at..)?, *b"/>=")))
}

/// What stands between `<!--[if …]>` and `<![endif]-->`.
fn conditional(comment: &[u8]) -> Option<&[u8]> {
    let condition = comment.strip_prefix(b"<!--[if")?;
    let content = &condition[memmem::find(condition, b"]>")? + 2..];
    Some(&content[..memmem::find(content, b"<![endif]").unwrap_or(content.len())])
}

const CDATA: &[u8] = b"<![CDATA[";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The tokens of a page in short: text as it is, tags by name.
    fn tokens(input: &str) -> String {
        let mut scanner = Scanner::new(input.as_bytes());
        let mut out = Vec::new();
        while let Some(token) = scanner.next(Shown { text: true, ..Shown::default() }) {
            let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            match token {
                Token::Text(text) | Token::Verbatim(text) | Token::Conditional(text) => out.push(shown(text)),
                Token::Start(tag) => out.push(format!("[{}]", shown(tag.name))),
                Token::End(tag) => out.push(format!("[/{}]", shown(tag.name))),
            }
        }
        out.join(" ")
    }

    type Seen<'a> = (&'a [u8], &'a [u8], bool, [Option<&'a [u8]>; 3]);

    fn seen<'a>(tag: &Tag<'a>) -> Seen<'a> {
        (tag.name, tag.attributes.raw, tag.self_closing, tag.attributes.find(["a", "b", "href"]))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn tags_of_some_names_are_those_among_all(
            pieces in proptest::collection::vec(proptest::sample::select(vec![
                "<a", "<abc", "<b", "</a", "<q", "<A\"", "<", ">", "/", "/>", " ", "\n\t", "=", "\"", "'", "a", "b=", " a=\"x\"", " b='y>'",
                " href=\"long enough to be in two blocks at once\"", " b=c", "<!--", "-->", "<!x", "<?", "é", "\0", "\x01", "text of some words",
            ]), 0..60),
        ) {
            const NAMES: Names = Names::new(&["a", "abc"]);
            let page = pieces.concat();
            let mut all = Scanner::new(page.as_bytes());
            let mut expected = Vec::new();
            while let Some(token) = all.next(Shown::default()) {
                match token {
                    Token::Start(tag) if NAMES.may_have(tag.name) => expected.push(seen(&tag)),
                    _ => {}
                }
            }
            let mut some = Scanner::new(page.as_bytes());
            let mut found = Vec::new();
            while let Some(tag) = some.next_of(&NAMES, |_, _| {}) {
                found.push(seen(&tag));
            }
            prop_assert_eq!(found, expected, "{:?}", page);
            let texts = |token: &Token<'_>| if let Token::Text(text) = token { text.to_vec() } else { Vec::new() };
            let mut all = Scanner::new(page.as_bytes());
            let mut expected = Vec::new();
            while let Some(token) = all.next(Shown { text: true, ..Shown::default() }) {
                expected.push(texts(&token));
            }
            let mut some = Scanner::new(page.as_bytes());
            let mut found = Vec::new();
            while some.next_of(&NAMES, |start, end| found.push(page.as_bytes()[start..end].to_vec())).is_some() {}
            expected.retain(|text| !text.is_empty());
            found.retain(|text| !text.is_empty());
            prop_assert_eq!(found, expected, "{:?}", page);
        }
    }

    #[test]
    fn tags_are_told_from_text() {
        assert_eq!(tokens("a<b>c</b >d"), "a [b] c [/b] d");
        assert_eq!(tokens("1 < 2 <3 <"), "1 < 2 <3 <");
        assert_eq!(tokens("<a<b>x"), "[a<b] x");
        assert_eq!(tokens("</>x</ b>y</"), "x y</");
        assert_eq!(tokens("<!doctype html PUBLIC \"a>b\">c<?php a>b"), "b\">c b",);
        assert_eq!(tokens("<![CDATA[<b>]]>"), "]]>", "in HTML this is a comment up to the first bracket");
    }

    #[test]
    fn a_tag_cut_off_by_the_end_does_not_count() {
        for cut in ["x<a", "x<a href", "x<a href=", "x<a href=y", "x<a href='y'", "x<a href='y>", "x</a", "x<a /"] {
            assert_eq!(tokens(cut), "x", "{cut}");
        }
    }

    #[test]
    fn comments_end_in_all_the_odd_ways() {
        for comment in ["<!---->", "<!-- > -->", "<!-->", "<!--->", "<!-- --!>", "<!----!>", "<!--- --->", "<!--<!-->"]
        {
            assert_eq!(tokens(&format!("{comment}x<b>")), "x [b]", "{comment}");
        }
        for open in ["<!--", "<!--!>", "<!---!>", "<!-- ->", "<!-- --", "<!-- -- >"] {
            assert_eq!(tokens(&format!("{open}<b>")), "", "{open}");
        }
    }

    fn script(content: &str) -> (String, String) {
        let mut scanner = Scanner::new(content.as_bytes());
        let text = String::from_utf8_lossy(scanner.script()).into_owned();
        (text, String::from_utf8_lossy(&scanner.input[scanner.at..]).into_owned())
    }

    #[test]
    fn a_script_ends_where_a_browser_ends_it() {
        let ends = |content: &str, text: &str| assert_eq!(script(content), (text.to_owned(), "x".to_owned()));
        ends("a</b</script>x", "a</b");
        ends("'<b>'</SCRIPT\n y='>'>x", "'<b>'");
        ends("</scripts></script/>x", "</scripts>");
        ends("<!--</script>x", "<!--");
        ends("<!--<script></script></script>x", "<!--<script></script>");
        ends("<!--<script>--></script>x", "<!--<script>-->");
        ends("<!--><script></script>x", "<!--><script>");
        ends("<!--<scripty></script>x", "<!--<scripty>");
        ends("<script></script>x", "<script>");
        assert_eq!(script("<!--<script></script>x").1, "", "the end tag only closed the inner script");
        assert_eq!(script("a</script").1, "");
    }

    #[test]
    fn raw_text_ends_at_its_own_end_tag() {
        let mut scanner = Scanner::new(b"<b></c></titles></tiTLE\t>x");
        assert_eq!(scanner.raw_text("title"), b"<b></c></titles>");
        assert_eq!(&scanner.input[scanner.at..], b"x");
        let mut scanner = Scanner::new(b"a</title");
        assert_eq!(scanner.raw_text("title"), b"a</title");
    }
}
