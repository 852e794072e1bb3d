//! Which address of a name is tried first, by what routes this machine has. Decides the order only; sends nothing.
//!
//! Source: RFC 6724, rules 2 and 5. Called by `cache` and `server`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use super::guard::is_private;

/// IPv6 before IPv4, as RFC 6724 has it, but only families that this machine has a route for, if it has one for either. A
/// public IPv6 address that would be reached from a private one comes last: that way probably leads nowhere (rules 2 and 5).
pub(super) fn reachable_first(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (mut v6, mut v4): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let (Some(of_v6), Some(of_v4)) = (v6.first().map(route), v4.first().map(route)) else {
        v6.append(&mut v4);
        return v6;
    };
    match (of_v6, of_v4) {
        (Route::None, Route::Good | Route::Narrow) => v4,
        (Route::Good | Route::Narrow, Route::None) => v6,
        (Route::Narrow, _) => [v4, v6].concat(),
        _ => [v6, v4].concat(),
    }
}

/// How a datagram would leave for an address; none is sent.
enum Route {
    Good,
    /// From a private address to a public one.
    Narrow,
    None,
}

fn route(address: &IpAddr) -> Route {
    let unspecified: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let connected = UdpSocket::bind((unspecified, 0)).and_then(|socket| {
        socket.connect((*address, 9))?;
        socket.local_addr()
    });
    match connected {
        Ok(source) if is_private(source.ip()) && !is_private(*address) => Route::Narrow,
        Ok(_) => Route::Good,
        // A limit of this machine tells nothing of its routes.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => Route::Good,
        Err(_) => Route::None,
    }
}
