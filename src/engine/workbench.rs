//! The hosts that could be asked: the ready set, and the heap of those that wait for their time.
//!
//! Entries are checked when they are taken: a host's ticket says which of its entries is the valid one, so that moving a
//! host never searches a heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::event::HostId;
use super::hosts::{Hosts, Place};
use crate::frontier::Rank;
use crate::model::units::Moment;

/// Priority and depth of a host's head; equals take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    unpriority: i8,
    depth: u32,
    /// A request of the host is under way: among equals the idle go first, since a connection that is kept costs a third
    /// of a request less than a new one.
    busy: bool,
    /// The number of the entry, or with `--ordered` of the job.
    order: u64,
}

impl Turn {
    /// Whether a host that is not here yet, with a job of this rank, goes before.
    #[must_use]
    pub fn is_after(&self, rank: Rank, ordered: bool) -> bool {
        let newcomer = (rank.unpriority, rank.depth).cmp(&(self.unpriority, self.depth));
        newcomer.is_lt() || (newcomer.is_eq() && (self.busy || (ordered && rank.number < self.order)))
    }
}

type Entry = Reverse<(Turn, HostId, u64)>;

/// See the module.
#[derive(Debug, Default)]
pub struct Workbench {
    /// Hosts below their quarter of the permits, and those at or above it.
    poor: BinaryHeap<Entry>,
    rich: BinaryHeap<Entry>,
    waiting: BinaryHeap<Reverse<(Moment, HostId, u64)>>,
    /// Hosts with a retry that is due then; they are looked at again whatever their place.
    alarms: BinaryHeap<Reverse<(Moment, HostId)>>,
    tickets: u64,
    ordered: bool,
}

impl Workbench {
    #[must_use]
    pub fn new(ordered: bool) -> Self {
        Self { ordered, ..Self::default() }
    }

    fn ticket(&mut self, hosts: &mut Hosts, id: HostId, place: Place) -> u64 {
        self.tickets += 1;
        let host = hosts.get_mut(id);
        host.ticket = self.tickets;
        host.place = place;
        self.tickets
    }

    /// Puts a host into the ready set, at the end of its equals.
    pub fn make_ready(&mut self, hosts: &mut Hosts, id: HostId, rank: Rank, rich: bool) {
        let ticket = self.ticket(hosts, id, Place::Ready { rich });
        let busy = !self.ordered && hosts.get(id).pace.in_flight() > 0;
        let order = if self.ordered { rank.number } else { ticket };
        let entry = Reverse((Turn { unpriority: rank.unpriority, depth: rank.depth, busy, order }, id, ticket));
        if rich { self.rich.push(entry) } else { self.poor.push(entry) }
    }

    /// Parks a host until a moment.
    pub fn park(&mut self, hosts: &mut Hosts, id: HostId, until: Moment) {
        let ticket = self.ticket(hosts, id, Place::Parked);
        self.waiting.push(Reverse((until, id, ticket)));
    }

    /// Takes a host out: it is idle, or waits for one of its own requests.
    pub fn set_aside(&mut self, hosts: &mut Hosts, id: HostId, place: Place) {
        self.ticket(hosts, id, place);
    }

    /// The next ready host, and its turn.
    pub fn peek(&mut self, hosts: &Hosts, rich: bool) -> Option<(HostId, Turn)> {
        let heap = if rich { &mut self.rich } else { &mut self.poor };
        while let Some(Reverse((turn, id, ticket))) = heap.peek() {
            if hosts.has_ticket(*id, *ticket) {
                return Some((*id, *turn));
            }
            heap.pop();
        }
        None
    }

    /// Has a host looked at again at a moment.
    pub fn set_alarm(&mut self, id: HostId, at: Moment) {
        self.alarms.push(Reverse((at, id)));
    }

    /// A host whose time has come: parked until now, or with a retry that is due.
    pub fn pop_due(&mut self, hosts: &Hosts, now: Moment) -> Option<HostId> {
        if let Some(Reverse((at, id))) = self.alarms.peek().copied()
            && at <= now
        {
            self.alarms.pop();
            return Some(id);
        }
        while let Some(Reverse((due, id, ticket))) = self.waiting.peek() {
            let (due, id, valid) = (*due, *id, hosts.has_ticket(*id, *ticket));
            if valid && due > now {
                return None;
            }
            self.waiting.pop();
            if valid {
                return Some(id);
            }
        }
        None
    }

    /// When the next host is due.
    pub fn next_due(&mut self, hosts: &Hosts) -> Option<Moment> {
        while let Some(Reverse((_, id, ticket))) = self.waiting.peek()
            && !hosts.has_ticket(*id, *ticket)
        {
            self.waiting.pop();
        }
        let parked = self.waiting.peek().map(|entry| entry.0.0);
        let alarm = self.alarms.peek().map(|entry| entry.0.0);
        parked.into_iter().chain(alarm).min()
    }
}
