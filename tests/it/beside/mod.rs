//! lycosa beside programs that we did not write: httpbin, nginx, and proxies, each asked by `curl` and by `lycosa fetch`,
//! whose answers must be the same field by field. `./test` installs what is missing here.

mod curl;
mod httpbin;
mod nginx;
mod programs;
mod proxies;
