//! Delivery: the one owner of `seq`, between the jobs and the sinks.
//!
//! Bounded by count and bytes: while it is full nothing is admitted, but what is in flight always finds room, so the
//! reader's pace becomes the run's pace and no request ever waits for a reader. Each sink has a thread of its own;
//! records go to it in batches, since a crossing for each record costs more than writing it.
//!
//! accepted (here) -> written (in every sink) are counted apart; what was accepted but not written is `left`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::outcome::{Counted, Finished, Share};
use crate::fetch::body::Reservation;
use crate::model::mark::OutputMark;
use crate::model::units::Moment;
use crate::sinks::{Line, Sink, SinkError};

/// Records that may wait for the sinks.
const MAX_RECORDS: u64 = 1024;
/// Bytes that may wait for the sinks.
const MAX_BYTES: u64 = 8 << 20;
/// Bytes that `--ordered` may hold back beside that.
const MAX_HELD_BYTES: usize = 32 << 20;
/// A batch is handed over at this size, or
const BATCH_BYTES: usize = 64 << 10;
/// when its first record is this old.
const BATCH_AGE: Duration = Duration::from_millis(2);

/// Records on their way to every sink, with the body memory they hold.
struct Batch {
    lines: Vec<Line>,
    bytes: u64,
    _memory: Vec<Reservation>,
}

/// What a sink's thread tells.
#[derive(Debug, Default)]
struct Progress {
    /// Handed over and not written yet.
    waiting_records: AtomicU64,
    waiting_bytes: AtomicU64,
    written: AtomicU64,
    failed: AtomicBool,
    error: Mutex<Option<SinkError>>,
    /// With a journal: where the output stood behind each batch, with the next `seq`, since these were last taken.
    marks: Option<Mutex<VecDeque<Mark>>>,
}

/// The next `seq`, and where an output stands before it.
type Mark = (u64, Option<OutputMark>);

/// One sink with what drives it.
struct Output {
    name: String,
    progress: Arc<Progress>,
    drive: Drive,
    finished: watch::Receiver<bool>,
}

enum Drive {
    /// In the dispatcher's own thread: simulations.
    Inline(Box<dyn Sink>),
    Thread(mpsc::Sender<Arc<Batch>>),
    Closed,
}

/// A sink that cannot be written any more.
#[derive(Debug)]
pub enum SinkFailure {
    /// The last reader has gone away.
    ClosedPipe,
    Failed(String),
}

/// See the module.
pub struct Delivery {
    outputs: Vec<Output>,
    next_seq: u64,
    batch: Vec<Line>,
    memory: Vec<Reservation>,
    batch_bytes: usize,
    batch_since: Option<Moment>,
    /// With `--ordered`: records that came before their turn, by job number.
    order: Option<Order>,
    room: Arc<Notify>,
    crossings: u64,
    /// Of which jobs the records from here on are, and what they counted as: those that may not be in every sink yet.
    unsure: VecDeque<Accepted>,
    unsure_from: u64,
    /// With a journal: where each output stands at `unsure_from`. A record is sure when the journal is to say so.
    marks: Option<Vec<Option<OutputMark>>>,
    /// Records that were held back for their turn, and that a later process will ask for again.
    dropped: Vec<Counted>,
}

/// A record that has its `seq`.
pub struct Accepted {
    /// Of its job.
    pub number: u64,
    pub counted: Counted,
    pub share: Share,
}

/// Records that are in every output.
pub struct Written {
    /// In the order of `seq`.
    pub records: Vec<Accepted>,
    /// Where each output stands behind the last of them.
    pub marks: Vec<Option<OutputMark>>,
}

/// How a run goes on that was begun by an earlier process, or that a later one may go on with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Continuation {
    /// The `seq` of the next record.
    pub next_seq: u64,
    /// A journal is told of each record that is written, with the places of the outputs.
    pub journaled: bool,
}

#[derive(Default)]
struct Order {
    next: u64,
    held: BTreeMap<u64, Finished>,
    held_bytes: usize,
}

impl Delivery {
    /// `inline`: no threads, as simulations need it.
    #[must_use]
    pub fn new(sinks: Vec<(String, Box<dyn Sink>)>, ordered: bool, inline: bool, before: Continuation) -> Self {
        let room = Arc::new(Notify::new());
        let marks = before.journaled.then(|| sinks.iter().map(|(_, sink)| sink.mark()).collect());
        let outputs: Vec<Output> =
            sinks.into_iter().map(|(name, sink)| Output::new(name, sink, inline, &room, before)).collect();
        // With a journal every line has its record at its own place: there are none between that were written before.
        let order = Order { next: before.next_seq, ..Order::default() };
        Self {
            outputs,
            next_seq: before.next_seq,
            batch: Vec::new(),
            memory: Vec::new(),
            batch_bytes: 0,
            batch_since: None,
            order: ordered.then_some(order),
            room,
            crossings: 0,
            unsure: VecDeque::new(),
            unsure_from: before.next_seq,
            marks,
            dropped: Vec::new(),
        }
    }

    /// Told whenever a sink has made room, has failed or has finished.
    #[must_use]
    pub fn room(&self) -> Arc<Notify> {
        self.room.clone()
    }

    /// Whether more may be admitted. What is in flight may always be accepted.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.sinks_have_room() && self.order.as_ref().is_none_or(|order| order.held_bytes < MAX_HELD_BYTES)
    }

    fn sinks_have_room(&self) -> bool {
        let (records, bytes) = self.waiting();
        records < MAX_RECORDS && bytes < MAX_BYTES
    }

    fn waiting(&self) -> (u64, u64) {
        // The slowest sink counts.
        let mut records = 0;
        let mut bytes = 0;
        for Output { progress, .. } in &self.outputs {
            records = progress.waiting_records.load(Ordering::Acquire).max(records);
            bytes = progress.waiting_bytes.load(Ordering::Acquire).max(bytes);
        }
        (records + self.batch.len() as u64, bytes + self.batch_bytes as u64)
    }

    /// Accepts the record of a job; in any order of jobs, unless `--ordered` puts them in their place.
    pub fn accept(&mut self, finished: Finished, now: Moment) {
        let Some(order) = &mut self.order else { return self.emit(finished, now) };
        order.held_bytes += finished.size();
        order.held.insert(finished.number, finished);
        self.emit_in_order(now);
    }

    fn emit_in_order(&mut self, now: Moment) {
        while let Some(order) = &mut self.order
            && let Some(finished) = order.held.remove(&order.next)
        {
            order.next += 1;
            order.held_bytes -= finished.size();
            self.emit(finished, now);
        }
    }

    /// With `--ordered`: the number of the oldest job without a record.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.order.as_ref().map(|order| order.next)
    }

    /// [`Delivery::oldest`], while it may be admitted although there is no room: it alone lets go what is held back. Not
    /// while the sinks are full, which empty without it: their reader stops the oldest job as any other.
    #[must_use]
    pub fn oldest_admitted(&self) -> Option<u64> {
        self.oldest().filter(|_| self.sinks_have_room())
    }

    /// The run stops: records that wait for an older one that will not come are written now, in their order. With a
    /// journal they are dropped: whoever goes on asks again, and keeps the order.
    pub fn give_up_order(&mut self, now: Moment) {
        let Some(order) = self.order.take() else { return };
        for finished in order.held.into_values() {
            if self.marks.is_some() {
                self.dropped.push(finished.counted);
            } else {
                self.emit(finished, now);
            }
        }
    }

    fn emit(&mut self, finished: Finished, now: Moment) {
        let size = finished.size();
        let Finished { number, counted, share, .. } = finished;
        self.unsure.push_back(Accepted { number, counted, share });
        self.batch.push(Line { seq: self.next_seq, json: finished.json, record: finished.record });
        self.memory.extend(finished.memory);
        self.next_seq += 1;
        self.batch_bytes += size;
        self.batch_since.get_or_insert(now);
        if self.batch_bytes >= BATCH_BYTES {
            self.flush();
        }
    }

    /// When [`Delivery::flush`] should be called at the latest.
    #[must_use]
    pub fn flush_due(&self) -> Option<Moment> {
        self.batch_since.map(|since| since.plus(BATCH_AGE))
    }

    /// Hands what is there to the sinks.
    pub fn flush(&mut self) {
        self.batch_since = None;
        if self.batch.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut self.batch);
        let bytes = std::mem::take(&mut self.batch_bytes) as u64;
        let batch = Arc::new(Batch { lines, bytes, _memory: std::mem::take(&mut self.memory) });
        for output in &mut self.outputs {
            self.crossings += u64::from(output.send(&batch));
        }
        self.settle_written();
    }

    fn settle_written(&mut self) {
        if self.marks.is_some() {
            return;
        }
        let written = self.written();
        while self.unsure_from < written && self.unsure.pop_front().is_some() {
            self.unsure_from += 1;
        }
    }

    /// Records that were accepted and are not known to be written, however many of them are.
    #[must_use]
    pub fn has_unsure(&self) -> bool {
        !self.unsure.is_empty()
    }

    /// What the records counted as that are not known to be written.
    pub fn unsure(&self) -> impl Iterator<Item = Counted> {
        let held = self.order.iter().flat_map(|order| order.held.values().map(|finished| finished.counted));
        self.unsure.iter().map(|accepted| accepted.counted).chain(held)
    }

    /// With a journal: what has been written to every output since this was last called. None if there is nothing new.
    pub fn take_written(&mut self) -> Option<Written> {
        let sure = self.sure();
        let marks = self.marks.as_mut()?;
        let count = usize::try_from(sure.checked_sub(self.unsure_from)?).ok().filter(|count| *count > 0)?;
        for (output, mark) in self.outputs.iter().zip(marks.iter_mut()) {
            output.progress.take_mark(sure, mark);
        }
        self.unsure_from = sure;
        let marks = marks.clone();
        Some(Written { records: self.unsure.drain(..count).collect(), marks })
    }

    /// Up to where all outputs have written whole batches that can be gone back to; outputs whose reader has gone away
    /// do not count, unless all have.
    fn sure(&self) -> u64 {
        let last = |output: &Output| output.progress.last_mark().unwrap_or(self.unsure_from);
        let open = self.outputs.iter().filter(|output| !output.has_closed_pipe()).map(last).min();
        open.or_else(|| self.outputs.iter().map(last).max()).unwrap_or(self.next_seq - self.batch.len() as u64)
    }

    /// What the records counted as that are not in every sink.
    pub fn unwritten(&mut self) -> Vec<Counted> {
        self.settle_written();
        let unsure = std::mem::take(&mut self.unsure).into_iter().map(|accepted| accepted.counted);
        unsure.chain(std::mem::take(&mut self.dropped)).collect()
    }

    /// Records that are in every sink for sure, those of earlier processes among them. To be asked after
    /// [`Delivery::unwritten`] or [`Delivery::take_written`].
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.unsure_from
    }

    /// Records that are in every sink that can still be written; of the last sink, if all have failed.
    #[must_use]
    pub fn written(&self) -> u64 {
        let written = |output: &&Output| output.progress.written.load(Ordering::Acquire);
        let whole = self.outputs.iter().filter(|output| !output.has_closed_pipe()).map(|output| written(&output)).min();
        whole.or_else(|| self.outputs.iter().map(|output| written(&output)).max()).unwrap_or(self.next_seq)
    }

    /// Messages between threads so far.
    #[must_use]
    pub fn crossings(&self) -> u64 {
        self.crossings
    }

    /// The first failure that ends the run: an output that cannot be written, or the last reader gone.
    #[must_use]
    pub fn failure(&self) -> Option<SinkFailure> {
        let mut open = 0;
        for output in &self.outputs {
            if !output.progress.failed.load(Ordering::Acquire) {
                open += 1;
            } else if !output.has_closed_pipe() {
                let error = output.progress.error.lock().unwrap_or_else(PoisonError::into_inner);
                let cause = error.as_ref().map_or_else(String::new, |error| format!("{error}: {}", error.source));
                return Some(SinkFailure::Failed(cause));
            }
        }
        (open == 0 && !self.outputs.is_empty()).then_some(SinkFailure::ClosedPipe)
    }

    /// Ends all sinks: nothing is accepted after it.
    pub fn close(&mut self) {
        self.flush();
        for output in &mut self.outputs {
            output.close();
        }
    }

    /// Names of the sinks that have not finished yet.
    #[must_use]
    pub fn unfinished(&self) -> Vec<String> {
        let late = self.outputs.iter().filter(|output| !*output.finished.borrow());
        late.map(|output| format!("sink {}", output.name)).collect()
    }
}

impl Output {
    fn new(name: String, sink: Box<dyn Sink>, inline: bool, room: &Arc<Notify>, before: Continuation) -> Self {
        let progress = Arc::new(Progress {
            written: AtomicU64::new(before.next_seq),
            marks: before.journaled.then(Mutex::default),
            ..Progress::default()
        });
        let (done, finished) = watch::channel(inline);
        if inline {
            return Self { name, progress, drive: Drive::Inline(sink), finished };
        }
        let (sender, receiver) = mpsc::channel();
        let thread = SinkThread { sink, receiver, progress: progress.clone(), room: room.clone(), done };
        let started = std::thread::Builder::new().name("lycosa-sink".to_owned()).spawn(move || thread.run());
        if let Err(source) = started {
            progress.fail(SinkError { target: name.clone(), written: 0, source });
        }
        Self { name, progress, drive: Drive::Thread(sender), finished }
    }

    fn has_closed_pipe(&self) -> bool {
        self.progress.failed.load(Ordering::Acquire)
            && self
                .progress
                .error
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_ref()
                .is_some_and(SinkError::is_closed_pipe)
    }

    /// Returns whether another thread was told.
    fn send(&mut self, batch: &Arc<Batch>) -> bool {
        match &mut self.drive {
            Drive::Inline(sink) => {
                self.progress.write(sink.as_mut(), batch);
                false
            }
            Drive::Thread(sender) => {
                self.progress.waiting_records.fetch_add(batch.lines.len() as u64, Ordering::AcqRel);
                self.progress.waiting_bytes.fetch_add(batch.bytes, Ordering::AcqRel);
                sender.send(batch.clone()).is_ok()
            }
            Drive::Closed => false,
        }
    }

    fn close(&mut self) {
        if let Drive::Inline(sink) = &mut self.drive
            && let Err(error) = sink.finish()
        {
            self.progress.fail(error);
        }
        self.drive = Drive::Closed;
    }
}

impl Progress {
    fn fail(&self, error: SinkError) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.failed.store(true, Ordering::Release);
    }

    /// The `seq` behind the last whole batch, if there was one since these were taken.
    fn last_mark(&self) -> Option<u64> {
        let marks = self.marks.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        marks.back().map(|(seq, _)| *seq)
    }

    /// Takes what was noted up to a `seq`; the last of it is where the output stands there.
    fn take_mark(&self, sure: u64, mark: &mut Option<OutputMark>) {
        let Some(marks) = &self.marks else { return };
        let mut marks = marks.lock().unwrap_or_else(PoisonError::into_inner);
        while marks.front().is_some_and(|(seq, _)| *seq <= sure) {
            *mark = marks.pop_front().and_then(|(_, mark)| mark);
        }
    }

    fn write(&self, sink: &mut dyn Sink, batch: &Batch) {
        let mut rest = &batch.lines[..];
        while !rest.is_empty() && !self.failed.load(Ordering::Acquire) {
            let (lines, later) = rest.split_at(sink.atomic_bytes().map_or(rest.len(), |bytes| fitting(rest, bytes)));
            match sink.write(lines) {
                Ok(()) => {
                    self.written.fetch_add(lines.len() as u64, Ordering::AcqRel);
                }
                Err(error) => {
                    self.written.fetch_add(error.written as u64, Ordering::AcqRel);
                    self.fail(error);
                }
            }
            rest = later;
        }
        if let (Some(marks), Some(last)) = (&self.marks, batch.lines.last())
            && !self.failed.load(Ordering::Acquire)
        {
            marks.lock().unwrap_or_else(PoisonError::into_inner).push_back((last.seq + 1, sink.mark()));
        }
    }
}

/// How many of these lines make at most so many bytes of output; at least one.
fn fitting(lines: &[Line], bytes: usize) -> usize {
    /// Around the text of a record: `schema`, `seq` and what stands between two lines.
    const AROUND: usize = 64;
    let mut total = 0;
    let fit = lines.iter().take_while(|line| {
        total += line.json.len() + AROUND;
        total <= bytes
    });
    fit.count().max(1)
}

struct SinkThread {
    sink: Box<dyn Sink>,
    receiver: mpsc::Receiver<Arc<Batch>>,
    progress: Arc<Progress>,
    room: Arc<Notify>,
    done: watch::Sender<bool>,
}

impl SinkThread {
    fn run(mut self) {
        while let Ok(batch) = self.next() {
            self.progress.write(self.sink.as_mut(), &batch);
            let before = self.progress.waiting_records.fetch_sub(batch.lines.len() as u64, Ordering::AcqRel);
            let bytes = self.progress.waiting_bytes.fetch_sub(batch.bytes, Ordering::AcqRel);
            // The dispatcher only waits for room when there was little: a wake for every batch would cost a crossing.
            if before >= MAX_RECORDS / 2 || bytes >= MAX_BYTES / 2 || self.progress.failed.load(Ordering::Acquire) {
                self.room.notify_one();
            }
        }
        // After a failed write `finish` still closes what can be closed.
        if let Err(error) = self.sink.finish()
            && !self.progress.failed.load(Ordering::Acquire)
        {
            self.progress.fail(error);
        }
        drop(self.sink);
        let _ = self.done.send(true);
        self.room.notify_one();
    }

    /// The next batch; commits first when none is waiting, so that a reader sees records as they come.
    fn next(&mut self) -> Result<Arc<Batch>, mpsc::RecvError> {
        match self.receiver.try_recv() {
            Ok(batch) => Ok(batch),
            Err(mpsc::TryRecvError::Disconnected) => Err(mpsc::RecvError),
            Err(mpsc::TryRecvError::Empty) => {
                if !self.progress.failed.load(Ordering::Acquire)
                    && let Err(error) = self.sink.commit()
                {
                    self.progress.fail(error);
                    self.room.notify_one();
                }
                self.receiver.recv()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::Outcome;
    use crate::policy::traps::Evidence;

    /// A sink that writes when it is allowed to.
    struct Stuck(mpsc::Receiver<()>);

    impl Sink for Stuck {
        fn write(&mut self, _: &[Line]) -> Result<(), SinkError> {
            // The end of the channel is a reader who reads on.
            let _ = self.0.recv();
            Ok(())
        }

        fn commit(&mut self) -> Result<u64, SinkError> {
            Ok(0)
        }

        fn finish(&mut self) -> Result<(), SinkError> {
            Ok(())
        }
    }

    fn ordered() -> (Delivery, mpsc::Sender<()>) {
        let (reader, gate) = mpsc::channel();
        (Delivery::new(vec![("stuck".to_owned(), Box::new(Stuck(gate)))], true, false, Continuation::default()), reader)
    }

    fn finished(number: u64, bytes: usize) -> Finished {
        let counted = Counted { typed: true, outcome: Outcome::Ok, error: None, skip: None };
        Finished {
            number,
            counted,
            json: vec![b' '; bytes],
            record: None,
            evidence: Evidence::default(),
            page: None,
            share: Share::default(),
            memory: None,
        }
    }

    #[test]
    fn a_reader_that_stops_stops_the_oldest_job_too() {
        let (mut delivery, reader) = ordered();
        for number in 0..MAX_RECORDS {
            assert_eq!(delivery.oldest_admitted(), Some(number));
            delivery.accept(finished(number, 100), Moment::START);
        }
        assert!(!delivery.has_room());
        assert_eq!((delivery.oldest(), delivery.oldest_admitted()), (Some(MAX_RECORDS), None));
        drop(reader);
        delivery.flush();
        while !delivery.has_room() {
            std::thread::yield_now();
        }
        assert_eq!(delivery.oldest_admitted(), Some(MAX_RECORDS));
    }

    #[test]
    fn lines_for_a_pipe_go_in_groups_that_it_takes_whole() {
        let lines: Vec<Line> = [100, 100, 5000, 100, 100]
            .map(|bytes| Line { seq: u64::MAX, json: vec![b' '; bytes], record: None })
            .into();
        let (mut rest, mut groups) = (&lines[..], Vec::new());
        while !rest.is_empty() {
            groups.push(fitting(rest, 512));
            rest = &rest[groups[groups.len() - 1]..];
        }
        assert_eq!(groups, [2, 1, 2], "and one that is too long for it alone");
    }

    #[test]
    fn the_oldest_job_goes_while_others_are_held_back_for_it() {
        let (mut delivery, reader) = ordered();
        drop(reader);
        delivery.accept(finished(1, MAX_HELD_BYTES), Moment::START);
        assert!(!delivery.has_room());
        assert_eq!(delivery.oldest_admitted(), Some(0));
        delivery.accept(finished(0, 100), Moment::START);
        while !delivery.has_room() {
            std::thread::yield_now();
        }
    }
}
