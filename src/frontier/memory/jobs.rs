//! Waiting jobs in order of number, in short stretches.
//!
//! A queue in one piece copies all of itself when it grows and when it gives memory back: of a list of 20,000 URLs that was
//! a fifth of the memory that a run takes anew, and at its peak three times what the jobs need. Here what is full or empty
//! is never touched again. Decides nothing; called by `host_queue`.

use std::collections::VecDeque;

use crate::model::job::Job;

/// Jobs of a stretch: 4 KiB. What a host that once had many jobs keeps is at most two of them, partly empty.
const STRETCH: usize = 32;

/// The first stretch stands apart: most hosts of a long list have one job, and need no list of stretches.
#[derive(Default)]
pub(super) struct Jobs {
    /// Empty only if there is no job at all.
    first: VecDeque<Job>,
    /// None is empty.
    rest: VecDeque<VecDeque<Job>>,
}

impl Jobs {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    pub(super) fn front(&self) -> Option<&Job> {
        self.first.front()
    }

    /// Adds a job at the place of its number, behind those of the same.
    pub(super) fn insert(&mut self, job: Job) {
        // Most come last. Jobs that come back have old numbers: their stretch is one of the first.
        if self.last().is_none_or(|last| last.number <= job.number) {
            return self.push_back(job);
        }
        let is_before = |stretch: &VecDeque<Job>| stretch.back().is_some_and(|last| last.number <= job.number);
        let at = if is_before(&self.first) { self.rest.partition_point(is_before) + 1 } else { 0 };
        let stretch = if at == 0 { &mut self.first } else { &mut self.rest[at - 1] };
        let place = stretch.partition_point(|waiting| waiting.number <= job.number);
        stretch.insert(place, job);
        if stretch.len() >= 2 * STRETCH {
            let half = stretch.split_off(STRETCH);
            self.rest.insert(at, half);
        }
    }

    fn last(&self) -> Option<&Job> {
        self.rest.back().unwrap_or(&self.first).back()
    }

    fn push_back(&mut self, job: Job) {
        let stretch = self.rest.back_mut().unwrap_or(&mut self.first);
        if stretch.len() < STRETCH {
            if stretch.capacity() == 0 {
                // A deque's usual first step would be four.
                stretch.reserve_exact(1);
            }
            return stretch.push_back(job);
        }
        let mut next = VecDeque::with_capacity(STRETCH);
        next.push_back(job);
        self.rest.push_back(next);
    }

    pub(super) fn pop_front(&mut self) -> Option<Job> {
        let job = self.first.pop_front()?;
        if self.first.is_empty()
            && let Some(next) = self.rest.pop_front()
        {
            self.first = next;
            self.shrink();
        }
        Some(job)
    }

    pub(super) fn pop_back(&mut self) -> Option<Job> {
        let Some(stretch) = self.rest.back_mut() else { return self.first.pop_back() };
        let job = stretch.pop_back();
        if stretch.is_empty() {
            self.rest.pop_back();
            self.shrink();
        }
        job
    }

    /// Gives memory back when three quarters of the list are free.
    fn shrink(&mut self) {
        if self.rest.capacity() > STRETCH && self.rest.len() < self.rest.capacity() / 4 {
            self.rest.shrink_to(self.rest.len() * 2);
        }
    }
}

impl IntoIterator for Jobs {
    type Item = Job;
    type IntoIter = std::iter::Chain<
        std::collections::vec_deque::IntoIter<Job>,
        std::iter::Flatten<std::collections::vec_deque::IntoIter<VecDeque<Job>>>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::job::JobKind;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64),
        /// Of so many, numbers from here on.
        Append(u64),
        Front(usize),
        Back(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..300_u64).prop_map(Step::Insert),
            2 => (1..100_u64).prop_map(Step::Append),
            1 => (1..80_usize).prop_map(Step::Front),
            1 => (1..80_usize).prop_map(Step::Back),
        ];
        prop::collection::vec(step, 0..80)
    }

    fn job(number: u64, line: u64) -> Job {
        let mut job = Job::new(JobKind::Link, "http://a/", "a".into());
        (job.number, job.line) = (number, line);
        job
    }

    proptest! {
        #[test]
        fn they_are_what_one_sorted_list_would_be(steps in steps()) {
            let (mut jobs, mut list) = (Jobs::default(), Vec::new());
            for (line, step) in (0..).zip(steps) {
                match step {
                    Step::Insert(number) => {
                        jobs.insert(job(number, line));
                        let at = list.partition_point(|(other, _)| *other <= number);
                        list.insert(at, (number, line));
                    }
                    Step::Append(count) => {
                        let next = list.last().map_or(0, |(number, _)| number + 1);
                        for number in next..next + count {
                            jobs.insert(job(number, line));
                            list.push((number, line));
                        }
                    }
                    Step::Front(count) => {
                        for _ in 0..count.min(list.len()) {
                            prop_assert_eq!(jobs.pop_front().map(|job| (job.number, job.line)), Some(list.remove(0)));
                        }
                    }
                    Step::Back(count) => {
                        for _ in 0..count.min(list.len()) {
                            prop_assert_eq!(jobs.pop_back().map(|job| (job.number, job.line)), list.pop());
                        }
                    }
                }
                prop_assert_eq!(jobs.front().map(|job| job.number), list.first().map(|(number, _)| *number));
                prop_assert_eq!(jobs.is_empty(), list.is_empty());
                prop_assert!(jobs.rest.iter().all(|stretch| (1..2 * STRETCH).contains(&stretch.len())));
            }
            let left: Vec<_> = jobs.into_iter().map(|job| (job.number, job.line)).collect();
            prop_assert_eq!(left, list);
        }
    }

    #[test]
    fn what_is_taken_out_takes_its_memory_along() {
        let mut jobs = Jobs::default();
        for number in 0..10_000 {
            jobs.insert(job(number, 0));
        }
        for _ in 0..9_999 {
            jobs.pop_front();
        }
        let room =
            jobs.first.capacity() + jobs.rest.capacity() + jobs.rest.iter().map(VecDeque::capacity).sum::<usize>();
        assert!(room <= 4 * STRETCH, "{room}");
    }
}
