//! Names by getaddrinfo.
//!
//! Decides what its answers mean, and for how long they hold, of which it says nothing. Runs on tokio's blocking threads,
//! where a look-up that nobody waits for any more ends on its own. Called by `cache`, and by `server` where the machine
//! names no name server.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::cache::{Found, LookUp};
use super::{ResolveError, no_descriptor};

/// The system may cache by itself, by the time the name server states; ours comes on top of it.
const HOLDS: Duration = Duration::from_mins(1);
/// A name that is not known.
const DENIAL_HOLDS: Duration = Duration::from_secs(5);

pub(super) fn source() -> LookUp {
    Box::new(|name| Box::pin(async move { look_up(&name).await }))
}

pub(super) async fn look_up(name: &str) -> Found {
    match tokio::net::lookup_host((name, 0)).await {
        Ok(addresses) => {
            let addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
            if addresses.is_empty() { Found::nothing(DENIAL_HOLDS) } else { Found::addresses(addresses, HOLDS) }
        }
        Err(error) => match no_descriptor().map_or_else(|| of_getaddrinfo(error), ResolveError::unavailable) {
            ResolveError::Unavailable(error) => Found::unavailable(error),
            _ => Found::nothing(DENIAL_HOLDS),
        },
    }
}

/// std gives no code of getaddrinfo, only the text of gai_strerror, which is English unless the program sets a locale.
/// glibc, musl and macOS word EAI_NONAME and EAI_NODATA so; anything else may pass.
fn of_getaddrinfo(error: io::Error) -> ResolveError {
    const NOT_FOUND: [&str; 6] = [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
        "Name has no usable address",
        "nodename nor servname provided, or not known",
        "No such host is known",
    ];
    let text = error.to_string();
    if NOT_FOUND.iter().any(|known| text.contains(known)) {
        ResolveError::NotFound
    } else {
        ResolveError::unavailable(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_name_is_final() {
        let error = |text: &str| of_getaddrinfo(io::Error::other(text.to_owned()));
        let prefix = "failed to lookup address information: ";
        assert!(matches!(error(&format!("{prefix}Name or service not known")), ResolveError::NotFound));
        let later = error(&format!("{prefix}Temporary failure in name resolution"));
        assert!(matches!(later, ResolveError::Unavailable(_)));
    }
}
