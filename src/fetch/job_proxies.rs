//! Proxies that single jobs or tables of hosts name: a client for each, beside that of the run.
//!
//! Decides how many are kept; all else such a client does as the run's does, with its body memory. Called by `client`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Clients that are kept with their connections; one that is dropped ends with its last request.
const MOST: usize = 16;

/// The clients of jobs' own proxies, the last used ones.
#[derive(Debug)]
pub(super) struct JobProxies<C> {
    clients: Mutex<VecDeque<(Box<str>, Arc<C>)>>,
}

impl<C> Default for JobProxies<C> {
    fn default() -> Self {
        Self { clients: Mutex::default() }
    }
}

impl<C> JobProxies<C> {
    /// The client of a proxy, made if it is not there.
    ///
    /// # Errors
    /// The proxy's address cannot be used.
    pub(super) fn client<E>(&self, proxy: &str, make: impl FnOnce() -> Result<C, E>) -> Result<Arc<C>, E> {
        // A client is made without waiting for anything; it is whole or not there.
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = clients.iter().position(|(address, _)| **address == *proxy) {
            let (address, client) = clients.remove(at).expect("its place was just found");
            clients.push_back((address, Arc::clone(&client)));
            return Ok(client);
        }
        let client = Arc::new(make()?);
        if clients.len() >= MOST {
            clients.pop_front();
        }
        clients.push_back((proxy.into(), Arc::clone(&client)));
        Ok(client)
    }
}
