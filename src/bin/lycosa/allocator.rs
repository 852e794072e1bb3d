//! The allocator of the command: mimalloc.
//!
//! Asks it for an alignment only where its blocks do not have that by themselves, as the standard library does with the
//! system's: asked with one, it takes twice as long, and for what is larger than 1 KiB it goes its slowest way, and often
//! gives a block of the next size. Decides nothing else. Called by everything that allocates.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};

/// Measured against the system's allocator: a crawl makes and drops many small texts on one thread.
pub struct MiMalloc;

/// What every block of mimalloc is aligned to (`MI_MAX_ALIGN_SIZE`), or to its size, where that is less.
const OWN_ALIGN: usize = 16;

fn is_own(layout: Layout, size: usize) -> bool {
    layout.align() <= OWN_ALIGN && layout.align() <= size
}

#[expect(unsafe_code, reason = "an allocator; each function passes its own promises on to mimalloc's of the same name")]
unsafe impl GlobalAlloc for MiMalloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = layout.size();
        unsafe { if is_own(layout, size) { mi_malloc(size) } else { mi_malloc_aligned(size, layout.align()) }.cast() }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let size = layout.size();
        unsafe { if is_own(layout, size) { mi_zalloc(size) } else { mi_zalloc_aligned(size, layout.align()) }.cast() }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        unsafe { mi_free(block.cast()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let block = block.cast();
        unsafe {
            if is_own(layout, size) { mi_realloc(block, size) } else { mi_realloc_aligned(block, size, layout.align()) }
                .cast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "calls an allocator")]
    fn blocks_have_their_alignment_and_keep_their_bytes() {
        for align in [1, 2, 8, 16, 32, 128, 4096] {
            for size in [1, 7, 8, 9, 24, 1000, 1025, 5000, 70_000, 3_000_000] {
                let layout = Layout::from_size_align(size, align).unwrap();
                unsafe {
                    let zeroed = MiMalloc.alloc_zeroed(layout);
                    assert!(std::slice::from_raw_parts(zeroed, size).iter().all(|byte| *byte == 0));
                    let block = MiMalloc.alloc(layout);
                    assert_eq!((zeroed.addr() % align, block.addr() % align), (0, 0), "{size} bytes at {align}");
                    block.write_bytes(7, size);
                    let larger = MiMalloc.realloc(block, layout, 3 * size);
                    assert_eq!(larger.addr() % align, 0, "{size} bytes at {align}");
                    assert!(std::slice::from_raw_parts(larger, size).iter().all(|byte| *byte == 7));
                    MiMalloc.dealloc(larger, Layout::from_size_align(3 * size, align).unwrap());
                    MiMalloc.dealloc(zeroed, layout);
                }
            }
        }
    }
}
