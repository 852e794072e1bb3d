//! Requests under way: how far each has come, when it is overdue, and the way to cut it off.
//!
//! A request that is cut off still reports: its place, its permit and what it has cost come back by the same two events
//! as those of any other. Decides nothing; the dispatcher owns the table.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::fetch::progress::Progress;
use crate::model::units::Moment;

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
    due: Moment,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Flights {
    table: Vec<Option<Flight>>,
    free: Vec<FlightId>,
}

impl Flights {
    /// A request starts that is to be over at `due`, unless its deadlines stand still.
    pub fn take_off(&mut self, due: Moment) -> Boarding {
        let (sender, cut) = oneshot::channel();
        let progress = Arc::<Progress>::default();
        let flight = Some(Flight { progress: Arc::clone(&progress), cut: Some(sender), due });
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

    /// Puts off its end.
    pub fn extend(&mut self, id: FlightId, due: Moment) {
        if let Some(flight) = &mut self.table[id] {
            flight.due = due;
        }
    }

    /// Those that are later than `patience` after their end.
    pub fn overdue(&self, patience: Duration, now: Moment) -> Vec<FlightId> {
        let late = |flight: &Flight| {
            let respite = flight.progress.respite();
            flight.cut.is_some() && respite.is_some_and(|respite| flight.due.plus(respite).plus(patience) <= now)
        };
        let flights = self.table.iter().enumerate();
        flights.filter_map(|(id, flight)| flight.as_ref().filter(|flight| late(flight)).map(|_| id)).collect()
    }

    /// The earliest end of those that are under way; None if none has one.
    pub fn next_end(&self) -> Option<Moment> {
        let flights = self.table.iter().flatten().filter(|flight| flight.cut.is_some());
        flights.map(|flight| flight.due).min().filter(|due| *due < Moment::NEVER)
    }

    /// Requests under way.
    pub fn iter(&self) -> impl Iterator<Item = FlightId> {
        self.table.iter().enumerate().filter_map(|(id, flight)| flight.as_ref().map(|_| id))
    }
}
