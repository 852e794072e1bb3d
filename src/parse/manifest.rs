//! Web app manifests: where the application starts, its icons, shortcuts and related applications.
//!
//! Never fails: a manifest that is no JSON, or has other types than it should, has no links there.
//!
//! Source: W3C Web Application Manifest (members and their processing), Manifest Incubations (share targets, protocol
//! and file actions).

use serde_json::Value;

use super::references::{Place, References, Resolver};
use super::{Extract, Wants, charset};
use crate::model::page::{Extraction, Page};
use crate::model::url::Url;

/// `application/manifest+json`.
pub struct Manifest;

/// Members that hold one URL.
const ONE: [(&str, &Place); 2] = [
    ("start_url", &Place { tag: "manifest", attribute: "start_url", leads: true }),
    ("scope", &Place { tag: "manifest", attribute: "scope", leads: true }),
];

/// Members that hold a list of objects, the member of each that is a URL, and whether they have icons of their own.
const LISTS: [(&str, &str, &Place); 6] = [
    ("icons", "src", &Place { tag: "manifest", attribute: "icons", leads: false }),
    ("screenshots", "src", &Place { tag: "manifest", attribute: "screenshots", leads: false }),
    ("shortcuts", "url", &Place { tag: "manifest", attribute: "shortcuts", leads: true }),
    ("related_applications", "url", &Place { tag: "manifest", attribute: "related_applications", leads: false }),
    ("protocol_handlers", "url", &Place { tag: "manifest", attribute: "protocol_handlers", leads: false }),
    ("file_handlers", "action", &Place { tag: "manifest", attribute: "file_handlers", leads: true }),
];

const ICONS: &Place = LISTS[0].2;
const SHARE_TARGET: &Place = &Place { tag: "manifest", attribute: "share_target", leads: false };

impl Extract for Manifest {
    fn reads(&self, media_type: &str, _: &Url) -> bool {
        media_type == "application/manifest+json"
    }

    fn extract(&self, page: &Page<'_>, wants: Wants) -> Extraction {
        if !wants.links {
            return Extraction::default();
        }
        let (text, label) = charset::decode(charset::Kind::Text, page.header_charset, page.body);
        // Its depth is capped by the reader.
        let manifest: Value = serde_json::from_str(&text).unwrap_or_default();
        let mut references = References::new(wants);
        let mut push = |value: Option<&Value>, place: &'static Place| {
            if let Some(text) = value.and_then(Value::as_str).filter(|text| !text.is_empty())
                && (place.leads || wants.everywhere)
            {
                let _ = references.push(text.to_owned().into(), place, false, None);
            }
        };
        for (member, place) in ONE {
            push(manifest.get(member), place);
        }
        for (member, url, place) in LISTS {
            for object in manifest.get(member).and_then(Value::as_array).into_iter().flatten() {
                push(object.get(url), place);
                for icon in object.get("icons").and_then(Value::as_array).into_iter().flatten() {
                    push(icon.get("src"), ICONS);
                }
            }
        }
        push(manifest.get("share_target").and_then(|target| target.get("action")), SHARE_TARGET);
        let title = manifest.get("name").and_then(Value::as_str).map(str::to_owned);
        let mut resolver = Resolver::new(page.url, None, encoding_rs::UTF_8);
        let outlinks = references.resolve(&mut resolver, page.body.len());
        Extraction { title, outlinks, charset: Some(label), ..Extraction::default() }
    }
}
