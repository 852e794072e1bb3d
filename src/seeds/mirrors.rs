//! A job whose document is found at several places: a line of several URLs, or the `mirrors` of a JSON job.
//!
//! Decides what makes one job of several URLs; never which of them is asked. Called by [`super::Reader`] (lines and
//! arguments with `--mirrors`) and [`super::job_line`].

use super::line::{self, Typed};
use crate::model::job::{JobSpec, Mirror};

/// More than any document has, and few enough to be asked all at once.
const MOST: usize = 64;

/// Reads the URLs of a line, with white space between them.
pub(super) fn read_line(text: &str) -> Result<Typed, String> {
    read(&text.split_whitespace().collect::<Vec<_>>())
}

/// One job of URLs in order of preference; a repeated one counts once. At least one is given.
pub(super) fn read(texts: &[&str]) -> Result<Typed, String> {
    if texts.len() > MOST {
        return Err(format!("more than {MOST} mirrors"));
    }
    let mut mirrors: Vec<Mirror> = Vec::with_capacity(texts.len());
    let mut inputs: Vec<Box<str>> = Vec::with_capacity(texts.len());
    let mut first: Option<Typed> = None;
    for text in texts {
        let of_many = |message: String| {
            if texts.len() > 1 { format!("{}: {message}", line::shown(text).escape_debug()) } else { message }
        };
        let mut typed = line::read_url(text).map_err(of_many)?;
        let url = typed.job.url.clone();
        inputs.push(typed.job.input.take().unwrap_or_else(|| url.clone()));
        let user_info = typed.job.spec.take().and_then(|spec| spec.user_info);
        if !mirrors.iter().any(|mirror| mirror.url == url) {
            mirrors.push(Mirror { url, user_info, repeated: false });
        }
        match &mut first {
            Some(first) => first.bare |= typed.bare,
            None => first = Some(typed),
        }
    }
    let mut typed = first.ok_or("no mirror")?;
    typed.job.input = Some(inputs.join(" ").into());
    typed.job.spec = Some(Box::new(JobSpec { mirrors, ..JobSpec::default() }));
    Ok(typed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(typed: &Typed) -> Vec<&str> {
        typed.job.mirrors().iter().map(|mirror| &*mirror.url).collect()
    }

    #[test]
    fn the_urls_of_a_line_are_one_job() {
        let typed = read_line("https://a.example/x\t HTTPS://me:pw@B.example/x#y  https://a.example/x").unwrap();
        assert_eq!(urls(&typed), ["https://a.example/x", "https://b.example/x"]);
        assert_eq!((&*typed.job.url, &*typed.job.host), ("https://a.example/x", "a.example"));
        assert_eq!(typed.job.input.as_deref(), Some("https://a.example/x HTTPS://B.example/x#y https://a.example/x"));
        assert_eq!(typed.job.mirrors()[1].user_info, Some(("me".into(), "pw".into())));
        assert!(!typed.bare && read_line("https://a.example/ b.example").unwrap().bare);
    }

    #[test]
    fn one_bad_url_spoils_the_job() {
        let told = read_line("https://a.example/ ftp://me:pw@b.example/").unwrap_err();
        assert_eq!(told, "ftp://b.example/: scheme 'ftp' is not http or https");
        assert_eq!(read_line("ftp://b.example/").unwrap_err(), "scheme 'ftp' is not http or https");
        assert_eq!(read_line(&"https://a.example/ ".repeat(65)).unwrap_err(), "more than 64 mirrors");
    }
}
