//! A test in a network of its own, where loopback is all there is: what a fault would send elsewhere gets nowhere.
//!
//! It runs once more as a process of its own in a new network namespace, which most Linux machines give to any user.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};

/// Stands in the environment of that process.
const MARK: &str = "TEST_IN_A_NETWORK_OF_ITS_OWN";

/// Makes the namespace, and runs what follows there.
const ENTER: &str = "ip link set lo up && exec \"$@\"";

/// What a test can reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Network {
    /// Loopback only.
    Own,
    /// Whatever the machine can: it gives no namespaces.
    Shared,
}

/// Runs a test in a network of its own, if the machine gives one; else it says so, and runs it here. `name` is the whole
/// name of the test that calls this.
#[track_caller]
pub fn alone(name: &str, test: impl FnOnce(Network)) {
    if std::env::var_os(MARK).is_some() {
        assert_nothing_is_reachable();
        test(Network::Own);
        return;
    }
    // As root in a namespace of our own users, or because we are root.
    let Some(flags) = ["-rn", "-n"].into_iter().find(|flags| enters(flags)) else {
        tell(name);
        test(Network::Shared);
        return;
    };
    let itself = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.args([flags, "sh", "-c", ENTER, "sh"]).arg(itself).args([name, "--exact", "--nocapture"]).env(MARK, "1");
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{name} in a network of its own:\n{said}");
}

fn enters(flags: &str) -> bool {
    let mut command = Command::new("unshare");
    command.args([flags, "sh", "-c", ENTER, "sh", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Asks the system for a way to metadata services; nothing is sent.
fn assert_nothing_is_reachable() {
    let v4 = SocketAddr::from((Ipv4Addr::new(169, 254, 169, 254), 80));
    let v6 = SocketAddr::from((Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 80));
    for (from, to) in [("0.0.0.0:0", v4), ("[::]:0", v6)] {
        let routed = UdpSocket::bind(from).and_then(|socket| socket.connect(to));
        assert!(routed.is_err(), "there is a way to {to}");
    }
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.connect("127.0.0.1:9")).expect("loopback");
}

#[expect(clippy::print_stderr, reason = "said to whoever reads why less was tested")]
fn tell(name: &str) {
    eprintln!(
        "{name}: no network of its own, since unshare and ip do not let us make one here; ways off loopback are left out"
    );
}
