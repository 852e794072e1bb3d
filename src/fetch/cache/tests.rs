use std::time::Duration;

use http::header::{ETAG, HeaderMap, HeaderValue};

use super::*;

fn cache(dir: &Path, size: Option<u64>) -> Cache {
    let settings = CacheSettings { dir: dir.to_owned(), size };
    Cache::open(&settings, BodyPool::new(1 << 20), WallTime(1_700_000_000_000)).unwrap()
}

fn entry(url: &str) -> Entry {
    let mut headers = HeaderMap::new();
    headers.insert(ETAG, HeaderValue::from_static("\"1\""));
    Entry::new(url, 200, 11, &headers, 5, 6)
}

/// Stores, and waits until it lies on the disk.
fn put(dir: &Path, url: &str, body: &'static [u8], at: i64) {
    let cache = cache(dir, None);
    cache.store(entry(url), Bytes::from_static(body), WallTime(at));
    cache.close();
}

async fn get(cache: &Cache, url: &str) -> Option<(Entry, Bytes)> {
    let opened = cache.look_up(url, WallTime(1_700_000_000_000)).await?;
    let (entry, body) = cache.read_body(opened, false).await?;
    Some((entry, body.bytes))
}

#[tokio::test]
async fn what_is_stored_is_found_again_by_another_process() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "http://a/", b"body", 0);
    let cache = cache(dir.path(), None);
    assert!(cache.may_have("http://a/") && !cache.may_have("http://a/b"));
    let (found, body) = get(&cache, "http://a/").await.unwrap();
    assert_eq!((&found, &*body), (&entry("http://a/"), &b"body"[..]));
    assert_eq!(found.headers()[ETAG], "\"1\"");
    assert!(get(&cache, "http://a/b").await.is_none());
    cache.remove("http://a/");
    assert!(!cache.may_have("http://a/"));
    cache.close();
    assert!(get(&cache, "http://a/").await.is_none());
}

/// A pipe has nobody at its other end: to open it like a file would never return.
#[tokio::test]
async fn what_is_no_file_is_a_miss() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "http://a/", b"body", 0);
    let path = Key::of("http://a/").path(&dir.path().join("v1"));
    for make in [fifo, |path: &Path| fs::create_dir(path).unwrap()] {
        let cache = cache(dir.path(), None);
        let _ = fs::remove_file(&path);
        make(&path);
        assert!(cache.may_have("http://a/") && cache.look_up("http://a/", WallTime(0)).await.is_none());
    }
}

fn fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

#[test]
fn a_damaged_file_is_a_miss_and_never_a_wrong_answer() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "http://a/", b"some body", 0);
    let path = Key::of("http://a/").path(&dir.path().join("v1"));
    let whole = fs::read(&path).unwrap();
    let read = || Opened::open(&path, "http://a/", WallTime(0))?.read();
    let expected = read().unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(read().is_none(), "cut at {length}");
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, flipped).unwrap();
        assert!(read().is_none(), "bit {bit}");
    }
    fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    assert!(read().is_none(), "one byte more");
    fs::write(&path, &whole).unwrap();
    assert_eq!(read().unwrap(), expected);
    assert!(Opened::open(&path, "http://b/", WallTime(0)).is_none(), "another URL of the same hash");
}

#[test]
fn what_was_not_used_for_the_longest_time_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let url = |n: i64| format!("http://a/{n}");
    let path = |n: i64| Key::of(&url(n)).path(&dir.path().join("v1"));
    for n in 0..10 {
        put(dir.path(), &url(n), &[b'x'; 10_000], (n + 1) * 1000);
    }
    // Used just now.
    assert!(Opened::open(&path(0), &url(0), WallTime(1_000_000)).is_some());
    let foreign = dir.path().join("v1/ab/of-somebody");
    make_dir(foreign.parent().unwrap()).unwrap();
    fs::write(&foreign, vec![0; 50_000]).unwrap();
    drop(cache(dir.path(), Some(60_000)));
    let left: Vec<i64> = (0..10).filter(|n| path(*n).exists()).collect();
    assert_eq!(left, [0, 6, 7, 8, 9]);
    assert!(foreign.exists(), "what is not ours is left alone");
}

#[test]
fn the_limit_holds_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(dir.path(), Some(100_000));
    for n in 0..100 {
        cache.store(entry(&format!("http://a/{n}")), Bytes::from(vec![7; 5_000]), WallTime(n * 1000));
    }
    cache.close();
    let count = |n: &i64| Key::of(&format!("http://a/{n}")).path(&dir.path().join("v1")).exists();
    let left: Vec<i64> = (0..100).filter(count).collect();
    assert!((15..=20).contains(&left.len()), "{left:?}");
    assert_eq!(left.last(), Some(&99));
}

#[test]
fn files_that_nobody_finished_are_swept_up() {
    let dir = tempfile::tempdir().unwrap();
    let now = WallTime(1_700_000_000_000);
    drop(cache(dir.path(), None));
    let new = dir.path().join("v1/new");
    for (name, seconds) in [("old", 4000), ("young", 60)] {
        let file = File::create(new.join(name)).unwrap();
        file.set_modified(entry::system_time(now) - Duration::from_secs(seconds)).unwrap();
    }
    drop(cache(dir.path(), None));
    assert!(!new.join("old").exists() && new.join("young").exists());
}

#[test]
fn two_caches_write_one_directory_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let body = |n: usize| Bytes::from(vec![u8::try_from(n % 251).unwrap(); 3_000]);
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let dir = dir.path();
            scope.spawn(move || {
                let cache = cache(dir, None);
                for n in 0..300 {
                    cache.store(entry(&format!("http://a/{}", n % 50)), body(n + worker), WallTime(0));
                }
            });
        }
    });
    for n in 0..50 {
        let url = format!("http://a/{n}");
        let (_, body) =
            Opened::open(&Key::of(&url).path(&dir.path().join("v1")), &url, WallTime(0)).unwrap().read().unwrap();
        assert!(body.len() == 3_000 && body.iter().all(|byte| *byte == body[0]));
    }
    assert_eq!(fs::read_dir(dir.path().join("v1/new")).unwrap().count(), 0);
}

#[test]
fn a_directory_that_cannot_be_one_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings = CacheSettings { dir: file.path().to_owned(), size: None };
    assert!(Cache::open(&settings, BodyPool::new(1), WallTime(0)).is_err());
}
