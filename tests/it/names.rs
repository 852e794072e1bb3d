//! Names where the machine names no name server: in a container without `/etc/resolv.conf` the system is asked.
//!
//! The files of the machine are covered by others in a mount namespace of the command's own; where the machine gives none,
//! that is said and left out.

use std::path::Path;

use crate::support::*;

/// Covers two files, and runs what follows.
const COVER: &str = "mount --bind \"$1\" /etc/resolv.conf && mount --bind \"$2\" /etc/hosts && shift 2 && exec \"$@\"";

/// A command that sees these files in the place of those of the machine.
fn covered(flags: &str, resolv_conf: &Path, hosts: &Path, command: &[&str]) -> Command {
    let files = [resolv_conf, hosts].map(|path| path.display().to_string());
    program("unshare", [flags, "sh", "-c", COVER, "sh"]).args(files).args(command.iter().copied())
}

#[test]
fn without_a_name_server_the_system_is_asked() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).unwrap();
        directory.path().join(name)
    };
    let site = Site::start(|_: &Request| html(""));
    let (address, port) = site.host().split_once(':').expect("host and port");
    let hosts = file("hosts", &format!("{address} listed.test\n"));
    let none = file("none", "# nobody\n");
    // Nobody listens there, which is not the same as to have no server.
    let one = file("one", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
    let able = |flags: &&str| covered(flags, &none, &hosts, &["true"]).run().code == 0;
    let Some(flags) = ["-rm", "-m"].into_iter().find(able) else {
        eprintln!("no file system of its own: unshare and mount do not let us make one here");
        return;
    };
    let (listed, missing) = (format!("http://listed.test:{port}/"), format!("http://missing.test:{port}/"));
    let fetch = [env!("CARGO_BIN_EXE_lycosa"), "fetch", "--retries", "0", &listed, &missing];
    for (resolv_conf, is_asked) in [(&none, true), (&one, false)] {
        let before = site.hits();
        let run = covered(flags, resolv_conf, &hosts, &fetch).run().exits(1);
        let records = run.records();
        let of = |url: &str| records.iter().find(|record| field(record, "url") == url).expect("a record");
        assert_eq!((of(&listed)["status"].as_u64(), site.hits()), (Some(200), before + 1), "{}", run.stderr);
        assert_eq!(field(&of(&missing)["error"], "kind"), "dns", "{}", of(&missing));
        let warnings = run.stderr.matches("names are looked up by the system").count();
        assert_eq!(warnings, usize::from(is_asked), "once, and only without a server: {}", run.stderr);
    }
}
