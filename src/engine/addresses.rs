//! Hosts that share one address: their requests in flight together, and who waits for a place.
//!
//! It counts, for each address that the limit covers, what is in flight there, and keeps the hosts that could be asked
//! but for it in the order they came. A host's address is that of its last answer, or its name if that is one; the first
//! requests to a name are not counted yet. It never decides who goes next beyond that order: the dispatcher wakes
//! one host for each place, and that one passes the gate like any other.

use std::collections::VecDeque;
use std::net::IpAddr;

use foldhash::HashMap;

use super::event::HostId;
use super::settings::IpLimit;

/// What is known of one address while anything is in flight there or waits.
#[derive(Debug, Default)]
struct Address {
    in_flight: u32,
    waiting: VecDeque<HostId>,
}

/// See the module.
#[derive(Debug)]
pub struct Addresses {
    limit: Option<IpLimit>,
    known: HashMap<IpAddr, Address>,
}

impl Addresses {
    #[must_use]
    pub fn new(limit: Option<IpLimit>) -> Self {
        Self { limit, known: HashMap::default() }
    }

    /// The address, if the limit covers it. An IPv4 address is the same one when written as IPv6.
    #[must_use]
    pub fn covered(&self, address: IpAddr) -> Option<IpAddr> {
        let limit = self.limit?;
        let address = address.to_canonical();
        (limit.loopback || !address.is_loopback()).then_some(address)
    }

    /// The covered address that is a host's own name.
    #[must_use]
    pub fn of_name(&self, host_key: &str) -> Option<IpAddr> {
        self.limit?;
        let name = match host_key.rsplit_once(':') {
            // An IPv6 address has colons of its own, inside brackets.
            Some((name, port)) if !port.ends_with(']') => name,
            _ => host_key,
        };
        self.covered(name.trim_matches(['[', ']']).parse().ok()?)
    }

    #[must_use]
    pub fn has_place(&self, address: IpAddr) -> bool {
        let most = self.limit.map_or(u32::MAX, |limit| limit.places);
        self.known.get(&address).is_none_or(|known| known.in_flight < most)
    }

    /// A request starts there.
    pub fn take(&mut self, address: IpAddr) {
        self.known.entry(address).or_default().in_flight += 1;
    }

    /// A request that was counted there has ended.
    pub fn give_back(&mut self, address: IpAddr) {
        if let Some(known) = self.known.get_mut(&address) {
            known.in_flight = known.in_flight.saturating_sub(1);
            self.tidy(address);
        }
    }

    /// A host waits for a place there.
    pub fn wait(&mut self, address: IpAddr, host: HostId) {
        self.known.entry(address).or_default().waiting.push_back(host);
    }

    /// The host that waits longest, if there is a place for it. It may have gone elsewhere since.
    pub fn next_waiting(&mut self, address: IpAddr) -> Option<HostId> {
        if !self.has_place(address) {
            return None;
        }
        let host = self.known.get_mut(&address)?.waiting.pop_front();
        self.tidy(address);
        host
    }

    fn tidy(&mut self, address: IpAddr) {
        if self.known.get(&address).is_some_and(|known| known.in_flight == 0 && known.waiting.is_empty()) {
            self.known.remove(&address);
        }
    }

    #[cfg(test)]
    pub fn most_in_flight(&self) -> u32 {
        self.known.values().map(|known| known.in_flight).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(loopback: bool) -> Addresses {
        Addresses::new(Some(IpLimit { places: 2, loopback }))
    }

    #[test]
    fn names_that_are_addresses() {
        let limited = addresses(false);
        for (key, address) in [
            ("192.0.2.7", Some("192.0.2.7")),
            ("192.0.2.7:8080", Some("192.0.2.7")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:8080", Some("2001:db8::1")),
            ("[::ffff:192.0.2.7]", Some("192.0.2.7")),
            ("example.org", None),
            ("example.org:8080", None),
            ("127.0.0.1:8080", None),
            ("[::1]", None),
        ] {
            assert_eq!(limited.of_name(key), address.map(|address| address.parse().unwrap()), "{key}");
        }
        assert_eq!(addresses(true).of_name("127.0.0.1:8080"), "127.0.0.1".parse().ok());
        assert_eq!(Addresses::new(None).of_name("192.0.2.7"), None);
    }

    #[test]
    fn places_are_taken_given_back_and_waited_for_in_order() {
        let mut addresses = addresses(true);
        let address: IpAddr = "127.0.0.1".parse().unwrap();
        addresses.take(address);
        assert!(addresses.has_place(address));
        addresses.take(address);
        assert!(!addresses.has_place(address));
        for host in [7, 8] {
            addresses.wait(address, host);
        }
        assert_eq!(addresses.next_waiting(address), None);
        addresses.give_back(address);
        assert_eq!((addresses.next_waiting(address), addresses.next_waiting(address)), (Some(7), Some(8)));
        assert_eq!(addresses.next_waiting(address), None);
        addresses.give_back(address);
        assert!(addresses.known.is_empty(), "nothing is kept of an address that is not in use");
    }
}
