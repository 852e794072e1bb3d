//! The suite of all frontiers over a frontier in memory with much, little and no room; and what only this one promises.

use std::collections::HashSet;

use super::host_queue::job_size;
use super::*;
use crate::frontier::contract::{Walk, drain, frontier_contract, full_job, job};

fn memory(heap_limit: usize, file_limit: u64) -> MemoryFrontier {
    MemoryFrontier::new(MemorySettings { heap_limit, file_limit, dir: None })
}

fn nowhere() -> MemoryFrontier {
    let dir = Some("/nonexistent/directory".into());
    MemoryFrontier::new(MemorySettings { heap_limit: 4096, dir, ..MemorySettings::default() })
}

frontier_contract!(default_limits, Box::new(MemoryFrontier::new(MemorySettings::default())));
frontier_contract!(always_spilling, Box::new(memory(4096, 1 << 30)));
frontier_contract!(file_gets_full, Box::new(memory(4096, 24 * 1024)));
frontier_contract!(no_file, Box::new(memory(4096, 0)));
frontier_contract!(no_directory, Box::new(nowhere()));

/// Compares what is counted on the way with what is there.
fn check(frontier: &MemoryFrontier) {
    let (mut heap, mut listed) = (0, 0);
    for (id, host) in frontier.hosts.iter() {
        heap += host.queue.heap() + host.queue.blocks().map(Block::own_size).sum::<usize>();
        heap += if host.queue.is_empty() { 0 } else { host_size(&host.name) };
        let best = host.queue.best().map(class_of);
        listed += 1;
        match host.place {
            Place::Line(class) => {
                assert_eq!(best, Some(class));
                assert_eq!(frontier.line.get(&(class, host.ticket)), Some(&id));
            }
            Place::Due(until) => {
                assert!(best.is_some());
                assert_eq!(frontier.due.get(&(until, host.ticket)), Some(&id));
            }
            Place::Idle(until) => {
                assert!(best.is_none());
                assert_eq!(frontier.idle.get(&(until, host.ticket)), Some(&id));
            }
            Place::Leased => listed -= 1,
            Place::Nowhere => panic!("{} is in no list", host.name),
        }
    }
    assert_eq!(listed, frontier.line.len() + frontier.due.len() + frontier.idle.len());
    heap += frontier.parcels.values().map(Block::own_size).sum::<usize>();
    assert_eq!(frontier.heap, heap);
    let tails = frontier.hosts.iter().flat_map(|(_, host)| host.queue.blocks());
    let spilled: usize = tails.chain(frontier.parcels.values()).map(|block| block.heap).sum();
    assert_eq!(frontier.spilled, spilled);
}

#[test]
fn the_books_are_right_after_every_operation() {
    for (seed, (heap_limit, file_limit)) in
        (100..).zip([(1 << 24, 0), (4096, 1 << 30), (0, 1 << 30), (20_000, 1 << 20), (4096, 24 * 1024), (20_000, 0)])
    {
        let mut frontier = memory(heap_limit, file_limit);
        Walk::new(seed).run(&mut frontier, 1500, check);
        assert_eq!((frontier.heap, frontier.spilled), (0, 0));
    }
}

/// Discovers one job after the other, and gives the number of the first after which `room` is false.
fn fill(frontier: &mut MemoryFrontier, room: impl Fn(&MemoryFrontier) -> bool, host: impl Fn(u64) -> String) -> u64 {
    let mut number = frontier.counts.pending;
    while room(frontier) {
        frontier.discover(&mut vec![job(number, &host(number))]).unwrap();
        number += 1;
        assert!(number < 1_000_000, "there is always room");
    }
    number
}

#[test]
fn heap_room_ends_exactly_at_the_limit_and_comes_back_with_a_lease() {
    const LIMIT: usize = 256 * 1024;
    for file_limit in [0, 1 << 30] {
        let mut frontier = memory(LIMIT, file_limit);
        let count = fill(&mut frontier, MemoryFrontier::has_heap_room, |_| "host".into());
        let sizes: usize = (0..count).map(|number| job_size(&job(number, "host"))).sum();
        let total = sizes + host_size("host");
        let last = job_size(&job(count - 1, "host"));
        assert!((LIMIT..LIMIT + last).contains(&total), "{total} bytes when room ended");
        assert_eq!(frontier.has_room(), file_limit > 0);

        // Some jobs less, and there is room; the same jobs again, and there is none. Without a file it is one job; with it
        // the list of what is in the file takes some bytes too.
        let mut jobs = Vec::new();
        while !frontier.has_heap_room() {
            frontier.lease(Moment::START, 1, &mut jobs).unwrap();
            frontier.defer("host", Moment::START);
        }
        assert!(frontier.has_room());
        assert!(jobs.len() <= if file_limit == 0 { 1 } else { 8 }, "{} jobs", jobs.len());
        frontier.put_back(&mut jobs).unwrap();
        assert!(!frontier.has_heap_room());
    }
}

#[test]
fn a_file_does_not_make_room_to_read_ahead() {
    let mut frontier = memory(64 * 1024, 1 << 30);
    let count = fill(&mut frontier, MemoryFrontier::has_heap_room, |number| format!("h{}", number % 20));
    // The engine takes more than there is room for: links of pages cannot be refused.
    let mut more: Vec<Job> = (count..10 * count).map(|number| job(number, "crowd")).collect();
    frontier.discover(&mut more).unwrap();
    assert!(frontier.heap < 64 * 1024 && frontier.spilled > 0);
    assert!(!frontier.has_heap_room());
    assert!(frontier.has_room());
    drain(&mut frontier, 0, 10);
    assert!(frontier.has_heap_room());
}

#[test]
fn when_the_file_is_full_jobs_stay_in_memory() {
    let mut frontier = memory(16 * 1024, 64 * 1024);
    let count = fill(&mut frontier, MemoryFrontier::has_room, |number| format!("h{}", number % 3));
    assert!(!frontier.file.has_space());
    assert!(frontier.spilled > 32 * 1024, "the file was used first");
    let mut more: Vec<Job> = (count..count + 500).map(|number| full_job(number, "late")).collect();
    frontier.discover(&mut more).unwrap();
    assert!(!frontier.has_room());
    check(&frontier);
    let mut numbers: Vec<u64> = drain(&mut frontier, 0, 10).iter().map(|job| job.number).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..count + 500));
    assert!(frontier.has_room());
    assert!(frontier.file.has_space());
}

#[test]
fn a_hundred_thousand_jobs_go_through_64_kib_in_order_of_rank() {
    const COUNT: u64 = 100_000;
    let mut random = fastrand::Rng::with_seed(11);
    for spread in [1_u32, 4] {
        let mut frontier = memory(64 * 1024, 1 << 30);
        for first in (0..COUNT).step_by(1000) {
            let mut jobs: Vec<Job> = (first..first + 1000).map(|number| job(number, "host")).collect();
            for job in &mut jobs {
                job.depth = random.u32(0..spread);
            }
            frontier.discover(&mut jobs).unwrap();
            let jobs: usize = frontier.hosts.iter().map(|(_, host)| host.queue.heap()).sum();
            assert!(jobs < 64 * 1024, "{jobs} bytes of jobs in memory");
        }
        let ranks: Vec<Rank> = drain(&mut frontier, 0, 64).iter().map(Rank::of).collect();
        assert_eq!(ranks.len() as u64, COUNT);
        assert!(ranks.is_sorted());
    }
}

#[test]
fn many_small_hosts_leave_memory_and_keep_their_turns() {
    const COUNT: u64 = 50_000;
    let mut frontier = memory(256 * 1024, 1 << 30);
    for number in 0..COUNT {
        frontier.discover(&mut vec![job(number, &format!("host-{number}.example"))]).unwrap();
        assert!(frontier.has_room(), "{} bytes in memory", frontier.heap);
    }
    assert!(frontier.hosts.iter().count() < 1000, "hosts are forgotten, not only their jobs");
    let mut turn = 0;
    let mut jobs = Vec::new();
    while let Some(host) = frontier.lease(Moment::START, 5, &mut jobs).unwrap() {
        assert!(frontier.heap < 512 * 1024);
        let [job] = &jobs[..] else { panic!("{} jobs", jobs.len()) };
        assert_eq!(job.number, turn);
        turn += 1;
        jobs.clear();
        frontier.defer(&host, Moment::START);
    }
    assert_eq!(turn, COUNT);
    assert_eq!(frontier.hosts.iter().count(), 0);
}

#[test]
fn a_host_made_anew_finds_the_jobs_that_went_with_its_parcel() {
    let mut frontier = memory(64 * 1024, 1 << 30);
    let mut jobs: Vec<Job> = (0..2000).map(|number| job(number, &format!("h{number}"))).collect();
    frontier.discover(&mut jobs).unwrap();
    assert!(frontier.hosts.find("h1500").is_none());
    // A better job of a host that went: it is asked first, and alone.
    frontier.discover(&mut vec![Job { priority: 5, ..job(3000, "h1500") }]).unwrap();
    assert_eq!(&*frontier.lease(Moment::START, 9, &mut jobs).unwrap().unwrap(), "h1500");
    assert_eq!(jobs.iter().map(|job| job.number).collect::<Vec<_>>(), [3000]);
    frontier.defer("h1500", Moment::from_nanos(10));
    let rest = drain(&mut frontier, 9, 9);
    assert!(rest.iter().all(|job| job.number != 1500), "its older job must wait for the host");
    assert_eq!(rest.len(), 1999);
    assert_eq!(frontier.next_due(), Some(Moment::from_nanos(10)));
    assert_eq!(drain(&mut frontier, 10, 9).len(), 1);
}

#[test]
fn the_file_is_used_again_and_again_without_growing() {
    // Twenty times as many jobs go through the file as it can hold.
    let mut frontier = memory(64 * 1024, 256 * 1024);
    let (mut next, mut seen) = (0, HashSet::new());
    while next < 60_000 {
        let mut jobs: Vec<Job> = (next..next + 1000).map(|number| job(number, &format!("h{}", number % 7))).collect();
        next += 1000;
        frontier.discover(&mut jobs).unwrap();
        assert!(frontier.has_room() && frontier.spilled > 0);
        assert!(drain(&mut frontier, 0, 50).iter().all(|job| seen.insert(job.number)));
    }
    assert_eq!(seen.len(), 60_000);
}

#[test]
fn an_idle_host_is_forgotten_when_its_deferral_has_passed() {
    let mut frontier = memory(1 << 20, 0);
    frontier.discover(&mut vec![job(0, "a")]).unwrap();
    frontier.lease(Moment::START, 1, &mut Vec::new()).unwrap();
    frontier.defer("a", Moment::from_nanos(10));
    frontier.defer("never-leased", Moment::from_nanos(10));
    assert_eq!(frontier.hosts.iter().count(), 2);
    assert!(frontier.has_heap_room());
    frontier.best(Moment::from_nanos(10));
    assert_eq!(frontier.hosts.iter().count(), 0);
}

#[test]
fn a_host_in_the_line_can_be_deferred_and_again() {
    let mut frontier = memory(1 << 20, 0);
    frontier.discover(&mut vec![job(0, "a")]).unwrap();
    frontier.defer("a", Moment::from_nanos(10));
    assert_eq!(frontier.best(Moment::from_nanos(9)), None);
    frontier.defer("a", Moment::from_nanos(20));
    assert_eq!(frontier.next_due(), Some(Moment::from_nanos(20)));
    assert_eq!(frontier.best(Moment::from_nanos(19)), None);
    frontier.defer("a", Moment::START);
    assert!(frontier.best(Moment::from_nanos(19)).is_some());
    check(&frontier);
}

#[test]
fn a_closed_frontier_is_empty() {
    let mut frontier = memory(4096, 1 << 20);
    frontier.discover(&mut (0..100).map(|number| job(number, "a")).collect()).unwrap();
    assert!(frontier.spilled > 0);
    frontier.close().unwrap();
    assert_eq!(frontier.counts(), Counts::default());
    assert_eq!(frontier.best(Moment::NEVER), None);
}
