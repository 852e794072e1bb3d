//! Jobs whose time is over leave the frontier out of turn, wherever they wait.
//!
//! It decides which blocks have to be read for it: those that hold an old job. Their other jobs stay in memory, or go back
//! to the file like any. Called for [`Frontier::expire`](crate::frontier::Frontier::expire) alone.

use std::io;

use super::MemoryFrontier;
use super::host_queue::{Class, class_of};
use super::host_size;
use super::hosts::{HostId, Place};
use super::spill::{decode, share_sources};
use crate::model::job::Job;
use crate::model::units::Moment;

impl MemoryFrontier {
    /// Takes up to `limit` jobs accepted at `until` or before. Returns a moment before which none of the others was.
    pub(super) fn take_expired(
        &mut self,
        until: Moment,
        limit: usize,
        out: &mut Vec<Job>,
    ) -> io::Result<Option<Moment>> {
        let full = out.len() + limit;
        self.expire_parcels(until, full, out)?;
        let old = |(id, host): (HostId, &super::hosts::Host)| (host.queue.oldest()? <= until).then_some(id);
        let ids: Vec<HostId> = self.hosts.iter().filter_map(old).collect();
        for id in ids {
            if out.len() >= full {
                break;
            }
            self.expire_host(id, until, full, out)?;
        }
        let hosts = self.hosts.iter().filter_map(|(_, host)| host.queue.oldest());
        Ok(hosts.chain(self.parcels.values().map(|parcel| parcel.oldest)).min())
    }

    fn expire_parcels(&mut self, until: Moment, full: usize, out: &mut Vec<Job>) -> io::Result<()> {
        let old = self.parcels.iter().filter(|(_, parcel)| parcel.oldest <= until);
        let places: Vec<(Class, u64)> = old.map(|(place, _)| *place).collect();
        for place in places {
            if out.len() >= full {
                break;
            }
            let Some(parcel) = self.parcels.get(&place) else { continue };
            let mut jobs: Vec<(u64, Job)> = decode(&self.file.read(&parcel.extent)?)?;
            if let Some(parcel) = self.parcels.remove(&place) {
                self.gone_from_file(&parcel);
            }
            share_sources(jobs.iter_mut().map(|(_, job)| job));
            let mut kept = Vec::new();
            for (ticket, job) in jobs {
                if job.accepted <= until && out.len() < full { out.push(job) } else { kept.push((ticket, job)) }
            }
            self.unpack(kept);
        }
        Ok(())
    }

    fn expire_host(&mut self, id: HostId, until: Moment, full: usize, out: &mut Vec<Job>) -> io::Result<()> {
        loop {
            let host = &mut self.hosts[id];
            let before = host.queue.heap();
            host.queue.take_accepted(until, full - out.len(), out);
            self.heap -= before - host.queue.heap();
            if out.len() >= full || !self.read_old_block(id, until)? {
                break;
            }
        }
        let host = &self.hosts[id];
        if host.queue.is_empty() {
            self.heap -= host_size(&host.name);
        }
        self.list_anew(id);
        Ok(())
    }

    /// Reads a block that may hold an old job. False if there is none.
    fn read_old_block(&mut self, id: HostId, until: Moment) -> io::Result<bool> {
        let host = &mut self.hosts[id];
        let Some((at, block)) = host.queue.old_block(until) else { return Ok(false) };
        let mut jobs: Vec<Job> = decode(&self.file.read(&block.extent)?)?;
        share_sources(jobs.iter_mut());
        let before = host.queue.heap();
        let block = host.queue.take_block(at);
        for job in jobs {
            host.queue.push(job);
        }
        self.heap += host.queue.heap() - before;
        if let Some(block) = block {
            self.gone_from_file(&block);
        }
        Ok(true)
    }

    /// Puts a host that has lost jobs into the list where it belongs now.
    fn list_anew(&mut self, id: HostId) {
        let host = &mut self.hosts[id];
        match host.place {
            Place::Line(class) if host.queue.best().map(class_of) != Some(class) => {
                self.line.remove(&(class, host.ticket));
                self.line_up(id);
            }
            Place::Due(until) if host.queue.is_empty() => {
                host.place = Place::Idle(until);
                self.due.remove(&(until, host.ticket));
                self.idle.insert((until, host.ticket), id);
            }
            _ => {}
        }
    }
}
