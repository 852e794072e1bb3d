//! nginx with TLS, HTTP/2, gzip and brotli: the same flags for curl and for lycosa.

use std::path::Path;

use super::curl::both;
use super::programs::{Program, free_port, nginx};

/// nginx over TLS, with a certificate that only `ca.pem` in its directory vouches for.
struct Tls {
    program: Program,
    authority: String,
}

fn start() -> Tls {
    let port = free_port();
    let plain = free_port();
    let http = format!(
        "types {{ text/html html; text/plain txt; application/json json; }}
         gzip_types *; gzip_min_length 100; brotli_types *; brotli_min_length 100; etag on;
         server {{
           listen 127.0.0.1:{port} ssl http2; listen 127.0.0.1:{plain};
           ssl_certificate cert.pem; ssl_certificate_key key.pem;
           root files;
           location /gzip/ {{ alias files/; gzip on; }}
           location /brotli/ {{ alias files/; gzip on; brotli on; }}
           location = /moved {{ return 301 /page.html; }}
           location = /gone {{ return 410 'gone\\n'; }}
           location = /empty {{ return 204; }}
         }}"
    );
    let program = nginx(port, &["ngx_http_brotli_filter_module"], &http, |directory| {
        certificate(directory);
        let files = directory.join("files");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("page.html"), "<title>a page</title>\n".repeat(2_000)).unwrap();
        std::fs::write(files.join("small.txt"), "small\n").unwrap();
        std::fs::write(files.join("empty.txt"), "").unwrap();
        let noise: Vec<u8> = (0..300_000_u64).map(|at| (at.wrapping_mul(at) >> 7).to_le_bytes()[0]).collect();
        std::fs::write(files.join("noise.bin"), noise).unwrap();
    });
    let authority = program.directory.path().join("cert.pem").to_str().unwrap().to_owned();
    Tls { program, authority }
}

fn certificate(directory: &Path) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

impl Tls {
    fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.program.port)
    }

    /// Both see the same over HTTP/2, as negotiated, and over HTTP/1.1.
    fn agree(&self, path: &str, arguments: &[&str]) {
        for version in [&[][..], &["--http1.1"], &["--http2"]] {
            let mut all = vec!["--cacert", &self.authority, "-A", "both/1.0"];
            all.extend(version);
            all.extend(arguments);
            let (curl, lycosa, _) = both(&all, &self.url(path));
            assert!(!curl.failed, "{path} {all:?}");
            assert_eq!(curl.version, if version == ["--http1.1"] { "HTTP/1.1" } else { "HTTP/2" }, "{path}");
            assert_eq!(curl, lycosa, "{path} {all:?}");
        }
    }
}

#[test]
fn codings_versions_and_conditions_over_tls() {
    let server = start();
    for path in ["/page.html", "/gzip/page.html", "/brotli/page.html", "/noise.bin", "/gzip/noise.bin"] {
        for coding in ["gzip", "br", "gzip, br", "identity"] {
            server.agree(path, &["-H", &format!("Accept-Encoding: {coding}")]);
        }
    }
    let coded = ["-H", "Accept-Encoding: gzip, br"];
    for path in ["/small.txt", "/empty.txt", "/moved", "/gone", "/empty", "/nowhere", "/brotli/"] {
        server.agree(path, &coded);
    }
    server.agree("/page.html", &["-H", "Range: bytes=5-14", "-H", "Accept-Encoding: identity"]);
    server.agree("/page.html", &["-H", "Range: bytes=999999999-", "-H", "Accept-Encoding: identity"]);
    server.agree("/page.html", &["-H", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"]);
    server.agree("/page.html", &["-I", "-H", "Accept-Encoding: identity"]);
    server.agree("/page.html", &["-X", "DELETE"]);
    server.agree("/page.html", &["-d", "a=1"]);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_by_both_and_taken_with_k() {
    let server = start();
    let (curl, lycosa, record) = both(&[], &server.url("/small.txt"));
    assert!(curl.failed && lycosa.failed);
    assert_eq!((record["error"]["kind"].as_str(), record["error"]["stage"].as_str()), (Some("tls"), Some("tls")));
    let (curl, lycosa, _) = both(&["-k", "-H", "Accept-Encoding: identity"], &server.url("/small.txt"));
    assert_eq!(curl.status, 200);
    assert_eq!(curl, lycosa);
}
