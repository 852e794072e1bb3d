//! Where the files of curl's flags are found: from the directory of the command, also when its run goes on elsewhere.

use super::Authority;
use crate::support::*;

#[test]
fn a_run_that_goes_on_elsewhere_finds_its_files() {
    let authority = Authority::new();
    let site = authority.server();
    let (visitor, key) = authority.sign("a visitor");
    let connect = format!("::127.0.0.1:{}", site.port());
    let first = lycosa(["fetch", "--state", "state", "--max-pages", "1", "-o", "out.jsonl", "--cacert", "ca.pem"])
        .args(["--cert", "visitor.pem", "--key", "visitor.key", "-b", "cookies", "-c", "jar", "--connect-to", &connect])
        .args(["https://site.example/a", "https://site.example/b"])
        .file("ca.pem", authority.certificate.pem())
        .file("visitor.pem", visitor.pem())
        .file("visitor.key", key.serialize_pem())
        .file("cookies", "site.example\tFALSE\t/\tFALSE\t0\tread\t1\n")
        .run()
        .exits(4);
    let seen = site.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    // Every command runs in a directory of its own, and this one has files of the same names that are of no use.
    let second = lycosa(["resume".as_ref(), first.path("state").as_os_str(), "--max-pages".as_ref(), "none".as_ref()]);
    let names = ["ca.pem", "visitor.pem", "visitor.key", "cookies", "jar"];
    let second = names.into_iter().fold(second, |command, name| command.file(name, "nothing of use\n")).run().exits(0);
    let seen = site.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].contains("with certificate") && seen[0].contains("cookie: read=1"), "{seen:?}");
    let jar = |run: &Run| std::fs::read_to_string(run.path("jar")).unwrap();
    assert!(jar(&first).contains("read\t1") && jar(&second) == "nothing of use\n");
    assert_eq!(std::fs::read_to_string(first.path("out.jsonl")).unwrap().lines().count(), 2);
}

/// `openssl x509 -req` without extensions makes certificates of version 1.
#[test]
fn a_client_certificate_of_version_1_disturbs_nothing() {
    let visitor = include_str!("../../../src/fetch/tests/version_1.pem");
    let site = Site::start_tls(|_| text("page"));
    let run = lycosa(["fetch", "-k", "--cert", "visitor.pem", &site.url("/")]).file("visitor.pem", visitor);
    assert_eq!(run.run().exits(0).record()["status"], 200);
}
