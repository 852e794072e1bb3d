//! The table of hosts: each known host once, found by name or by a small number.
//!
//! It decides nothing; the frontier says when a host is made and when it is forgotten.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use foldhash::HashMap;

use super::host_queue::{Class, HostQueue};
use crate::model::units::Moment;

/// Number of a host in the table; given again after the host was forgotten.
pub(super) type HostId = u32;

/// Where a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In no list: just made, or on the way from one list to another.
    Nowhere,
    /// In the line, with the class it stands at: it has jobs and may be leased.
    Line(Class),
    /// Deferred, with jobs.
    Due(Moment),
    /// Deferred, without jobs: known only so that a job that comes early waits.
    Idle(Moment),
    /// With the engine.
    Leased,
}

pub(super) struct Host {
    pub name: Arc<str>,
    pub queue: HostQueue,
    pub place: Place,
    /// Grows with each turn, so that among equals the host that has waited longest goes first.
    pub ticket: u64,
}

/// What a host with waiting jobs occupies beyond them and its name, on a 64-bit machine: its entry (144), its place in the
/// table of names (40) and in the line (44), and four heap blocks of its own (140).
pub(super) const HOST_OVERHEAD: usize = 368;

#[derive(Default)]
pub(super) struct Hosts {
    entries: Vec<Option<Host>>,
    free: Vec<HostId>,
    by_name: HashMap<Arc<str>, HostId>,
}

impl Hosts {
    pub(super) fn find(&self, name: &str) -> Option<HostId> {
        self.by_name.get(name).copied()
    }

    /// Adds a host that is not in the table.
    pub(super) fn insert(&mut self, name: &str, ticket: u64) -> HostId {
        let name: Arc<str> = name.into();
        let host = Host { name: Arc::clone(&name), queue: HostQueue::default(), place: Place::Nowhere, ticket };
        let id = if let Some(id) = self.free.pop() {
            self.entries[id as usize] = Some(host);
            id
        } else {
            self.entries.push(Some(host));
            HostId::try_from(self.entries.len() - 1).expect("four thousand million hosts do not fit into memory")
        };
        self.by_name.insert(name, id);
        id
    }

    pub(super) fn remove(&mut self, id: HostId) -> Host {
        let host = self.entries[id as usize].take().expect("lists name only hosts in the table");
        self.by_name.remove(&host.name);
        self.free.push(id);
        host
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (HostId, &Host)> {
        (0..).zip(&self.entries).filter_map(|(id, host)| host.as_ref().map(|host| (id, host)))
    }
}

impl Index<HostId> for Hosts {
    type Output = Host;

    fn index(&self, id: HostId) -> &Host {
        self.entries[id as usize].as_ref().expect("lists name only hosts in the table")
    }
}

impl IndexMut<HostId> for Hosts {
    fn index_mut(&mut self, id: HostId) -> &mut Host {
        self.entries[id as usize].as_mut().expect("lists name only hosts in the table")
    }
}
