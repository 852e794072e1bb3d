//! The tokenizer: from bytes to text and tags, one at a time, without a tree and without copying.
//!
//! It decides where markup begins and ends. It does not know which elements matter, nor when the content of an element
//! is raw text: its caller says so with [`Scanner::raw_text`] and [`Scanner::script`], as a tree builder would.
//! Every byte is looked at a bounded number of times, whatever the bytes are.
//!
//! Source: WHATWG HTML 13.2.5. Two rules matter most for links in the wild: a tag that is cut off by the end of the
//! input does not count, and a comment ends at `-->`, `--!>`, `<!-->` and `<!--->`.

use memchr::{memchr, memchr2, memmem};

use super::attributes::{Attributes, is_space, tag_end};

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
}

impl<'a> Scanner<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// The next token; None at the end. What is not to be shown is passed over.
    pub(super) fn next(&mut self, shown: Shown) -> Option<Token<'a>> {
        let Shown { text, cdata, conditionals } = shown;
        let mut search = self.at;
        loop {
            let Some(found) = memchr(b'<', &self.input[search..]) else {
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

    fn text_up_to(&mut self, end: usize) -> Option<Token<'a>> {
        let text = &self.input[self.at..end];
        self.at = end;
        (!text.is_empty()).then_some(Token::Text(text))
    }

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
        let length = rest.iter().position(|&byte| is_space(byte) || matches!(byte, b'/' | b'>')).unwrap_or(rest.len());
        let behind_name = start + length;
        let Some((end, self_closing)) = tag_end(self.input, behind_name) else {
            self.at = self.input.len();
            return None;
        };
        self.at = end;
        let attributes = Attributes { raw: &self.input[behind_name..end] };
        Some(Tag { name: &rest[..length], attributes, self_closing })
    }

    /// The content of an element whose start tag was just read and that holds text only, up to its end tag, which is
    /// read too. Without one it is all the rest.
    pub(super) fn raw_text(&mut self, name: &str) -> &'a [u8] {
        let start = self.at;
        let mut search = start;
        while let Some(found) = memmem::find(&self.input[search..], b"</") {
            let open = search + found;
            if self.is_tag(open + 2, name) {
                return self.close_raw_text(start, open, name);
            }
            search = open + 2;
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

/// What stands between `<!--[if …]>` and `<![endif]-->`.
fn conditional(comment: &[u8]) -> Option<&[u8]> {
    let condition = comment.strip_prefix(b"<!--[if")?;
    let content = &condition[memmem::find(condition, b"]>")? + 2..];
    Some(&content[..memmem::find(content, b"<![endif]").unwrap_or(content.len())])
}

const CDATA: &[u8] = b"<![CDATA[";

#[cfg(test)]
mod tests {
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
