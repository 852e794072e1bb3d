//! Whether standard output was open when the process started.
//!
//! The standard library opens `/dev/null` in place of a standard stream that is closed, before `main`: records would be
//! written there, and the run end as if they had been. What was there before is only seen by what runs earlier still:
//! an initialiser of the executable. (A look at the stream itself cannot tell: whoever starts a process with its output
//! to `/dev/null` may open that for reading and writing as well.)

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

static OUTPUT_CLOSED: AtomicBool = AtomicBool::new(false);

/// Called by the loader, before the standard library starts: nothing of it may be used here.
extern "C" fn look() {
    #[expect(unsafe_code, reason = "asks for the flags of a descriptor, which changes nothing")]
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    OUTPUT_CLOSED.store(flags == -1, Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "the only way to run before the standard library starts")]
#[used]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
static LOOK: extern "C" fn() = look;

/// Whether the process was started without a standard output (`>&-`).
pub fn output_was_closed() -> bool {
    OUTPUT_CLOSED.load(Ordering::Relaxed)
}

/// What a write would have said.
pub fn closed() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}
