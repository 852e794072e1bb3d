//! Proxies that single jobs or tables of hosts name: stacks for each, beside those of the run, with which they share all
//! else: names, files, body memory.
//!
//! Decides how many are kept. Called by `client`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Proxies that are kept with their connections; one that is dropped ends with its last request.
const MOST: usize = 16;

/// The stacks of jobs' own proxies, the last used ones.
#[derive(Debug)]
pub(super) struct JobProxies<S> {
    stacks: Mutex<VecDeque<(Box<str>, Arc<S>)>>,
}

impl<S> Default for JobProxies<S> {
    fn default() -> Self {
        Self { stacks: Mutex::default() }
    }
}

impl<S> JobProxies<S> {
    /// The stacks of a proxy, made if they are not there.
    ///
    /// # Errors
    /// The proxy's address cannot be used.
    pub(super) fn of<E>(&self, proxy: &str, make: impl FnOnce() -> Result<S, E>) -> Result<Arc<S>, E> {
        // They are made without waiting for anything, and are whole or not there.
        let mut kept = self.stacks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|(address, _)| **address == *proxy) {
            let (address, stacks) = kept.remove(at).expect("its place was just found");
            kept.push_back((address, Arc::clone(&stacks)));
            return Ok(stacks);
        }
        let stacks = Arc::new(make()?);
        if kept.len() >= MOST {
            kept.pop_front();
        }
        kept.push_back((proxy.into(), Arc::clone(&stacks)));
        Ok(stacks)
    }
}
