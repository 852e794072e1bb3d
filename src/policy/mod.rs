//! Floor 2: the rules, pure and synchronous. Time and randomness come in as arguments, so every rule is tested without
//! waiting.

pub mod accept;
pub mod allowance;
pub mod audit;
pub mod breaker;
pub mod budget;
pub mod cookies;
pub mod credentials;
pub mod follow;
pub mod freshness;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod hold;
pub mod host_rules;
pub mod media_types;
pub mod netrc;
pub mod pace;
pub mod proxy_address;
pub mod rate_fields;
pub mod retry;
pub mod robots;
pub mod scope;
pub mod throttle;
pub mod traps;
