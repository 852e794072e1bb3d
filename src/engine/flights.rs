//! Requests under way: how far each has come, when it is overdue, and the way to cut it off.
//!
//! Decides when a request is cut off for having outlived a deadline; the dispatcher owns the table and asks. A request that
//! is cut off still reports: its place, its permit and what it has cost come back by the same two events as those of any
//! other.
//!
//! Every wait of a request has a deadline of its own, so nothing here should ever be overdue: this is the second pair of
//! eyes, for a resolver, a stack or a pool of ours that breaks its word.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::fetch::progress::Progress;
use crate::model::fetch_error::Stage;
use crate::model::units::Moment;

/// How long after its own deadline a request is ended.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The same for one whose answer has come: its page is read on a pool, which a machine under load keeps waiting.
const PATIENCE_WITH_PAGES: Duration = Duration::from_mins(1);

/// Between two looks at a request whose deadlines stand still.
const SPACING: Duration = Duration::from_secs(1);

/// Place of a request in the table, given again when it has landed.
pub type FlightId = usize;

/// Why a request is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nobody waits for its answer any more.
    Unwanted,
    /// It outlived its own deadline.
    Overdue,
    /// The time of its URL is over.
    UrlDeadline,
}

/// What the task of a request takes along.
#[derive(Debug)]
pub struct Boarding {
    pub id: FlightId,
    pub progress: Arc<Progress>,
    pub cut: oneshot::Receiver<Cut>,
}

#[derive(Debug)]
struct Flight {
    progress: Arc<Progress>,
    /// None once it was used.
    cut: Option<oneshot::Sender<Cut>>,
    /// When it is to be over by its own deadline, and when the time of its URL is.
    due: Moment,
    url_due: Moment,
}

impl Flight {
    /// When it has to be cut off, as far as is known now, and why; None: its deadlines stand still.
    fn end(&self) -> (Option<Moment>, Cut) {
        let patience = if self.progress.stage() == Stage::Parse { PATIENCE_WITH_PAGES } else { PATIENCE };
        match self.progress.respite().map(|respite| self.due.plus(respite).plus(patience)) {
            Some(end) if end < self.url_due => (Some(end), Cut::Overdue),
            None if self.url_due == Moment::NEVER => (None, Cut::Overdue),
            _ => (Some(self.url_due), Cut::UrlDeadline),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Flights {
    table: Vec<Option<Flight>>,
    free: Vec<FlightId>,
    next_look: Moment,
}

impl Default for Flights {
    fn default() -> Self {
        Self { table: Vec::new(), free: Vec::new(), next_look: Moment::NEVER }
    }
}

impl Flights {
    /// A request starts that is to be over at `due`, and its URL at `url_due`.
    pub fn take_off(&mut self, due: Moment, url_due: Moment) -> Boarding {
        let (sender, cut) = oneshot::channel();
        let progress = Arc::<Progress>::default();
        self.next_look = self.next_look.min(due.plus(PATIENCE)).min(url_due);
        let flight = Some(Flight { progress: Arc::clone(&progress), cut: Some(sender), due, url_due });
        let id = if let Some(id) = self.free.pop() {
            self.table[id] = flight;
            id
        } else {
            self.table.push(flight);
            self.table.len() - 1
        };
        Boarding { id, progress, cut }
    }

    /// It has reported its end.
    pub fn land(&mut self, id: FlightId) {
        self.table[id] = None;
        self.free.push(id);
    }

    /// Ends it; the first reason stands.
    pub fn cut(&mut self, id: FlightId, why: Cut) {
        if let Some(cut) = self.table[id].as_mut().and_then(|flight| flight.cut.take()) {
            // One that has just come to its own end does not listen any more.
            let _ = cut.send(why);
        }
    }

    /// Cuts off what has outlived a deadline.
    pub fn watch(&mut self, now: Moment) {
        if now < self.next_look {
            return;
        }
        self.next_look = Moment::NEVER;
        for id in 0..self.table.len() {
            let Some(flight) = self.table[id].as_ref().filter(|flight| flight.cut.is_some()) else { continue };
            match flight.end() {
                (Some(end), why) if end <= now => self.cut(id, why),
                (Some(end), _) => self.next_look = self.next_look.min(end),
                (None, _) => self.next_look = self.next_look.min(now.plus(SPACING)),
            }
        }
    }

    /// When [`Flights::watch`] is to be called next.
    #[must_use]
    pub fn next_look(&self) -> Option<Moment> {
        Some(self.next_look).filter(|look| *look < Moment::NEVER)
    }

    /// The earliest moment at which the time of a URL that is under way is over.
    #[must_use]
    pub fn next_url_due(&self) -> Option<Moment> {
        self.table.iter().flatten().map(|flight| flight.url_due).min()
    }

    /// Requests under way.
    pub fn iter(&self) -> impl Iterator<Item = FlightId> {
        self.table.iter().enumerate().filter_map(|(id, flight)| flight.as_ref().map(|_| id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::START.plus(Duration::from_secs(seconds))
    }

    fn reason(boarding: &mut Boarding) -> Option<Cut> {
        boarding.cut.try_recv().ok()
    }

    #[test]
    fn what_outlives_its_deadline_by_five_seconds_is_cut_off_once() {
        let mut flights = Flights::default();
        assert_eq!(flights.next_look(), None);
        let mut late = flights.take_off(at(30), Moment::NEVER);
        let mut early = flights.take_off(at(10), Moment::NEVER);
        let mut never = flights.take_off(Moment::NEVER, Moment::NEVER);
        assert_eq!(flights.next_look(), Some(at(15)));
        flights.land(early.id);
        flights.watch(at(15));
        assert_eq!((reason(&mut early), reason(&mut late), flights.next_look()), (None, None, Some(at(35))));
        flights.watch(at(35));
        assert_eq!((reason(&mut late), reason(&mut never)), (Some(Cut::Overdue), None));
        assert_eq!(flights.next_look(), None, "it is told once, and has no further deadline");
        flights.cut(late.id, Cut::Unwanted);
        flights.land(late.id);
        assert_eq!(flights.iter().collect::<Vec<_>>(), [never.id]);
    }

    #[test]
    fn the_time_of_a_url_is_kept_exactly() {
        let mut flights = Flights::default();
        let mut boarding = flights.take_off(at(30), at(7));
        assert_eq!((flights.next_look(), flights.next_url_due()), (Some(at(7)), Some(at(7))));
        flights.watch(at(7));
        assert_eq!(reason(&mut boarding), Some(Cut::UrlDeadline));
    }

    #[test]
    fn deadlines_that_stand_still_are_not_outlived() {
        let mut flights = Flights::default();
        let mut boarding = flights.take_off(at(30), Moment::NEVER);
        boarding.progress.wait_for_memory(true);
        flights.watch(at(100));
        assert_eq!((reason(&mut boarding), flights.next_look()), (None, Some(at(101))));
        boarding.progress.wait_for_memory(false);
        boarding.progress.stopped_for(Duration::from_secs(90));
        flights.watch(at(101));
        assert_eq!((reason(&mut boarding), flights.next_look()), (None, Some(at(125))));
        boarding.progress.reading();
        flights.watch(at(125));
        assert_eq!((reason(&mut boarding), flights.next_look()), (None, Some(at(180))));
        flights.watch(at(180));
        assert_eq!(reason(&mut boarding), Some(Cut::Overdue));
    }

    #[test]
    fn the_url_deadline_does_not_stand_still() {
        let mut flights = Flights::default();
        let mut boarding = flights.take_off(at(30), at(60));
        boarding.progress.wait_for_memory(true);
        flights.watch(at(50));
        assert_eq!((reason(&mut boarding), flights.next_look()), (None, Some(at(60))));
        flights.watch(at(60));
        assert_eq!(reason(&mut boarding), Some(Cut::UrlDeadline));
    }
}
