//! What is asked after a redirect, and how many of them are followed, as with curl's `-L`.

use super::{Watcher, both};

#[test]
fn methods_bodies_and_headers_after_a_redirect() {
    let site = Watcher::plain();
    for code in [300, 301, 302, 303, 307, 308] {
        let url = format!("http://{}/to/{code}", site.address);
        for flags in [
            &[][..],
            &["-d", "a=1"],
            &["-I"],
            &["-e", "http://r.example/"],
            &["-u", "me:secret"],
            &["-H", "X-One: 1", "-A", "me/1"],
            &["-X", "DELETE"],
        ] {
            let arguments = [&["--location", url.as_str()], flags].concat();
            // curl says DELETE again, where RFC 9110 wants GET.
            if code == 303 && flags.contains(&"DELETE") {
                let [curl, own] = both(&arguments).shown_to(&[&site]);
                assert!(curl[1].contains(" DELETE /landed ") && own[1].contains(" GET /landed "), "{curl:?} {own:?}");
            } else {
                both(&arguments).agree(&[&site], 2);
            }
        }
    }
}

#[test]
fn a_method_that_is_typed_is_that_of_the_first_request() {
    let site = Watcher::plain();
    for (code, method) in [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")] {
        let url = format!("http://{}/to/{code}", site.address);
        let [curl, own] = both(&["-L", &url, "-X", "POST", "-d", "a=1"]).shown_to(&[&site]);
        assert_eq!(curl[0], own[0].replace("] coded", "] plain"));
        assert!(curl[1].contains(" POST /landed "), "curl says it again, with or without a body: {curl:?}");
        assert!(own[1].contains(&format!(" {method} /landed ")), "{own:?}");
    }
}

/// The type of a body goes with it: to curl that of `--json` is one more header.
#[test]
fn without_its_body_no_type_goes_along() {
    let site = Watcher::plain();
    for code in [303, 308] {
        let [curl, own] =
            both(&["-L", &format!("http://{}/to/{code}", site.address), "--json", "{}"]).shown_to(&[&site]);
        let has = |seen: &[String]| [&seen[0], &seen[1]].map(|seen| seen.contains("content-type: application/json"));
        assert_eq!((has(&curl), has(&own)), ([true, true], [true, code == 308]), "{curl:?} {own:?}");
    }
}

#[test]
fn how_many_are_followed() {
    let site = Watcher::plain();
    let chain = |length| format!("http://{}/chain/{length}", site.address);
    for (length, limit, requests) in [(0, "0", 1), (1, "0", 1), (1, "1", 2), (3, "2", 3), (3, "3", 4), (30, "29", 30)] {
        both(&["-L", &chain(length), "--max-redirs", limit]).agree(&[&site], requests);
    }
    both(&["-L", &chain(25), "--max-redirs", "2", "--max-redirs", "25"]).agree(&[&site], 26);
}
