//! A crawl of one host with the `spider` crate: default features, 64 requests at once, no robots.txt, no delay, one line of JSON for each page.
//!
//! Written as the crate's own documentation shows it: subscribe, read pages in a task, crawl. The channel between the two is a broadcast
//! channel that drops what a slow reader has not taken; it gets room for every page of the sites measured here, and a loss is told and makes
//! the exit code 1.
//!
//! Usage: `spider-client URL OUTPUT`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::ExitCode;

use spider::page::Page;
use spider::tokio;
use spider::tokio::sync::broadcast::Receiver;
use spider::tokio::sync::broadcast::error::RecvError;
use spider::website::Website;

const CONCURRENCY: usize = 64;
const CHANNEL_PAGES: usize = 16_384;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(output)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: spider-client URL OUTPUT");
        return ExitCode::from(2);
    };
    let output = match File::create(&output) {
        Ok(file) => BufWriter::new(file),
        Err(error) => {
            eprintln!("spider-client: {output}: {error}");
            return ExitCode::from(3);
        }
    };

    let mut website = Website::new(&url);
    website.with_respect_robots_txt(false).with_delay(0).with_concurrency_limit(Some(CONCURRENCY));
    let records = tokio::spawn(write_records(website.subscribe(CHANNEL_PAGES), output));
    website.crawl().await;
    website.unsubscribe();

    match records.await {
        Ok(Ok(0)) => ExitCode::SUCCESS,
        Ok(Ok(lost)) => {
            eprintln!("spider-client: the channel dropped {lost} pages");
            ExitCode::from(1)
        }
        Ok(Err(error)) => {
            eprintln!("spider-client: {error}");
            ExitCode::from(3)
        }
        Err(error) => {
            eprintln!("spider-client: {error}");
            ExitCode::from(6)
        }
    }
}

/// Writes a line for each page until the crawl closes the channel; returns how many pages the channel dropped.
async fn write_records(mut pages: Receiver<Page>, mut output: BufWriter<File>) -> std::io::Result<u64> {
    let mut lost = 0;
    loop {
        match pages.recv().await {
            Ok(page) => writeln!(
                output,
                "{{\"url\":\"{}\",\"status\":{},\"size\":{}}}",
                page.get_url().replace('\\', "\\\\").replace('"', "\\\""),
                page.status_code.as_u16(),
                page.get_html_bytes_u8().len()
            )?,
            Err(RecvError::Lagged(missed)) => lost += missed,
            Err(RecvError::Closed) => break,
        }
    }
    output.flush()?;
    Ok(lost)
}
