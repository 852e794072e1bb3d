//! When a transfer is given up: times and sizes. Each limit has a control that it lets pass.

use std::net::{Ipv4Addr, TcpListener};

use super::{Watcher, both};
use crate::support::*;

#[test]
fn sizes() {
    let site = Watcher::plain();
    let url = format!("http://{}/", site.address);
    for limit in ["29999", "30000", "30001", "29k", "30k", "30K", "1M", "1m", "1G", "1g"] {
        both(&[&url, "--max-filesize", limit]).agree(&[&site], 1);
    }
    // A head says how long a body would be: that is no body.
    both(&[&url, "-I"]).agree(&[&site], 1);
}

#[test]
fn times() {
    let _alone = measuring();
    let site = Watcher::plain();
    let (slow, large) = (format!("http://{}/slow", site.address), format!("http://{}/large", site.address));
    for (flags, succeeds) in [
        (&["-m", "0.3"][..], false),
        (&["--max-time", "0.3"], false),
        (&["-m", "20"], true),
        (&["-m", "0.3", "-m", "20"], true),
        (&["--connect-timeout", "0.5"], true),
    ] {
        let arguments = [&[slow.as_str()], flags].concat();
        both(&arguments).agree(&[&site], 1);
        let run = lycosa(["fetch", "--retries", "0"]).args(arguments).run();
        assert_eq!(run.code == 0, succeeds, "{flags:?}");
    }
    // How fast curl is on loopback depends on what it finds in its buffers: the pace itself is judged above.
    for rate in ["100M", "100m", "100000k", "100000K", "1G", "100000000"] {
        both(&[&large, "--limit-rate", rate, "-m", "15"]).agree(&[&site], 1);
    }
    both(&[&large, "-m", "15"]).agree(&[&site], 1);
}

/// TLS is part of connecting: to one who never answers the greeting nobody gets through.
#[test]
fn the_time_to_connect() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    both(&[&url, "-k", "--connect-timeout", "0.5", "-m", "15"]).agree(&[], 0);
}
