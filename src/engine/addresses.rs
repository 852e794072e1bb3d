//! Hosts that share one address: their requests in flight together, and who waits for a place.
//!
//! It counts, for each address that the limit covers, what is in flight there, and keeps the hosts that could be asked
//! but for it in the order they came. A host's address is that of its last answer, or its name if that is one. Until an
//! answer has told where a name is, the name counts as an address: all its ports share the places. It never decides who
//! goes next beyond that order: the dispatcher wakes one host for each place, and that one passes the gate like any other.

use std::collections::VecDeque;
use std::net::IpAddr;

use foldhash::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::event::{HostId, Spot};
use super::settings::IpLimit;

/// Names whose address is remembered for their other ports; of any further name each port learns its own.
const MANY_NAMES: usize = 16 * 1024;

/// Where a host is, as far as its own answers tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    Unknown,
    /// Where the limit does not hold: on loopback, behind a proxy, or where nobody can tell.
    Exempt,
    At(IpAddr),
}

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
    known: HashMap<Spot, Address>,
    /// Where names are; None if the limit does not hold there. The first answer stands.
    names: HashMap<u64, Option<Spot>>,
}

impl Addresses {
    #[must_use]
    pub fn new(limit: Option<IpLimit>) -> Self {
        Self { limit, known: HashMap::default(), names: HashMap::default() }
    }

    /// Where the next request to a host is counted; None: nowhere.
    #[must_use]
    pub fn spot(&self, host_key: &str, known: Whereabouts) -> Option<Spot> {
        let limit = self.limit?;
        match known {
            Whereabouts::Exempt => return None,
            Whereabouts::At(address) => return Some(Spot::Address(address)),
            Whereabouts::Unknown => {}
        }
        let name = name_of(host_key);
        if let Ok(address) = name.trim_matches(['[', ']']).parse() {
            return self.covered(address).map(Spot::Address);
        }
        if name == "localhost" && !limit.loopback {
            return None;
        }
        let name = xxh3_64(name.as_bytes());
        self.names.get(&name).copied().unwrap_or(Some(Spot::Name(name)))
    }

    /// An answer of a host has told its address. What is under way to its name is counted there from now on. Returns the
    /// host's whereabouts, and who waited for a place at the name.
    pub fn learn(&mut self, host_key: &str, address: IpAddr) -> (Whereabouts, VecDeque<HostId>) {
        let covered = self.covered(address);
        let whereabouts = covered.map_or(Whereabouts::Exempt, Whereabouts::At);
        let name = xxh3_64(name_of(host_key).as_bytes());
        if self.limit.is_none() || self.names.len() >= MANY_NAMES || self.names.contains_key(&name) {
            return (whereabouts, VecDeque::new());
        }
        let spot = covered.map(Spot::Address);
        self.names.insert(name, spot);
        let moved = self.known.remove(&Spot::Name(name)).unwrap_or_default();
        if let Some(spot) = spot.filter(|_| moved.in_flight > 0) {
            self.known.entry(spot).or_default().in_flight += moved.in_flight;
        }
        (whereabouts, moved.waiting)
    }

    /// The address, if the limit covers it. An IPv4 address is the same one when written as IPv6.
    #[must_use]
    fn covered(&self, address: IpAddr) -> Option<IpAddr> {
        let limit = self.limit?;
        let address = address.to_canonical();
        (limit.loopback || !address.is_loopback()).then_some(address)
    }

    #[must_use]
    pub fn has_place(&self, spot: Spot) -> bool {
        let most = self.limit.map_or(u32::MAX, |limit| limit.places);
        self.known.get(&spot).is_none_or(|known| known.in_flight < most)
    }

    /// A request starts there.
    pub fn take(&mut self, spot: Spot) {
        self.known.entry(spot).or_default().in_flight += 1;
    }

    /// A request that was counted there has ended. Returns where there is a place now.
    pub fn give_back(&mut self, spot: Spot) -> Option<Spot> {
        let spot = match spot {
            Spot::Name(name) => self.names.get(&name).copied().unwrap_or(Some(spot))?,
            Spot::Address(_) => spot,
        };
        if let Some(known) = self.known.get_mut(&spot) {
            known.in_flight = known.in_flight.saturating_sub(1);
            self.tidy(spot);
        }
        Some(spot)
    }

    /// A host waits for a place there.
    pub fn wait(&mut self, spot: Spot, host: HostId) {
        self.known.entry(spot).or_default().waiting.push_back(host);
    }

    /// The host that waits longest, if there is a place for it. It may have gone elsewhere since.
    pub fn next_waiting(&mut self, spot: Spot) -> Option<HostId> {
        if !self.has_place(spot) {
            return None;
        }
        let host = self.known.get_mut(&spot)?.waiting.pop_front();
        self.tidy(spot);
        host
    }

    fn tidy(&mut self, spot: Spot) {
        if self.known.get(&spot).is_some_and(|known| known.in_flight == 0 && known.waiting.is_empty()) {
            self.known.remove(&spot);
        }
    }

    #[cfg(test)]
    pub fn most_in_flight(&self) -> u32 {
        self.known.values().map(|known| known.in_flight).max().unwrap_or(0)
    }
}

/// A host key without its port.
fn name_of(host_key: &str) -> &str {
    match host_key.rsplit_once(':') {
        // An IPv6 address has colons of its own, inside brackets.
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host_key,
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
            ("127.0.0.1:8080", None),
            ("[::1]", None),
            ("localhost:8080", None),
        ] {
            let expected = address.map(|address| Spot::Address(address.parse().unwrap()));
            assert_eq!(limited.spot(key, Whereabouts::Unknown), expected, "{key}");
        }
        let spot = addresses(true).spot("127.0.0.1:8080", Whereabouts::Unknown);
        assert_eq!(spot, Some(Spot::Address("127.0.0.1".parse().unwrap())));
        assert_eq!(Addresses::new(None).spot("192.0.2.7", Whereabouts::Unknown), None);
    }

    #[test]
    fn a_name_is_an_address_until_its_own_is_known() {
        let mut addresses = addresses(true);
        let spot = |addresses: &Addresses, key| addresses.spot(key, Whereabouts::Unknown).unwrap();
        let name = spot(&addresses, "h.test:1");
        assert!(matches!(name, Spot::Name(_)) && name == spot(&addresses, "h.test"));
        assert_ne!(name, spot(&addresses, "g.test"));
        addresses.take(name);
        addresses.take(name);
        assert!(!addresses.has_place(name));
        addresses.wait(name, 7);
        addresses.give_back(name);
        let (whereabouts, waited) = addresses.learn("h.test:1", "192.0.2.7".parse().unwrap());
        let address = spot(&addresses, "h.test:2");
        assert_eq!((whereabouts, waited), (Whereabouts::At("192.0.2.7".parse().unwrap()), VecDeque::from([7])));
        assert_eq!(address, Spot::Address("192.0.2.7".parse().unwrap()));
        addresses.take(address);
        assert!(!addresses.has_place(address), "what is under way to the name is counted there");
        assert_eq!(addresses.give_back(name), Some(address));
        assert!(addresses.has_place(address));
        addresses.give_back(address);
        assert!(addresses.known.is_empty());
        let mut exempt = super::tests::addresses(false);
        exempt.take(name);
        assert_eq!(exempt.learn("h.test", "127.0.0.1".parse().unwrap()).0, Whereabouts::Exempt);
        assert_eq!((exempt.give_back(name), exempt.spot("h.test:9", Whereabouts::Unknown)), (None, None));
        assert!(exempt.known.is_empty());
    }

    #[test]
    fn places_are_taken_given_back_and_waited_for_in_order() {
        let mut addresses = addresses(true);
        let address = Spot::Address("127.0.0.1".parse().unwrap());
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
