//! The threads that encode, in lanes: what is small never waits behind what is large, and neither behind a film.
//!
//! A whole 4K photograph keeps every bulk thread busy for tens of milliseconds. The quick lane has threads of its own for
//! updates of a few thousand pixels, whosever they are; what is smaller still is encoded where it is asked for. Bulk threads run
//! at a lower priority than the desktop, quick ones at its own: they have little to do and somebody waits for it.

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// Updates of up to this many pixels are encoded where they are asked for: a hop to a pool would take longer.
pub(super) const INLINE_PX: u64 = 64 * 64;

/// Updates of up to this many pixels take the quick lane: half a millisecond's work, in most encodings.
pub(super) const QUICK_PX: u64 = 256 * 256;

/// Threads of the quick lane.
const QUICK_THREADS: usize = 2;

/// The pools of encoding threads, shared by all clients.
#[derive(Debug)]
pub struct Lanes {
    bulk: ThreadPool,
    quick: ThreadPool,
    films: ThreadPool,
}

impl Lanes {
    /// Starts the threads: `threads` for bulk (0: one for each core), whose niceness is raised by `nice`, and at most two for
    /// small updates, as nice as the caller. Where the system refuses the priority they are ordinary threads.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn new(threads: usize, nice: u8) -> Result<Self, ThreadPoolBuildError> {
        let bulk = ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("farpane-work-{n}"));
        let bulk = bulk.start_handler(move |_| {
            // Linux counts niceness per thread: only the caller's changes.
            let _ = rustix::process::nice(i32::from(nice));
        });
        let bulk = bulk.build()?;
        let films = ThreadPoolBuilder::new().num_threads(bulk.current_num_threads());
        let films = films.thread_name(|n| format!("farpane-film-{n}")).start_handler(move |_| {
            let _ = rustix::process::nice(i32::from(nice));
        });
        let few = QUICK_THREADS.min(bulk.current_num_threads());
        let quick = ThreadPoolBuilder::new().num_threads(few).thread_name(|n| format!("farpane-quick-{n}"));
        Ok(Self { bulk, quick: quick.build()?, films: films.build()? })
    }

    /// Lanes of pools that the caller made.
    pub fn of(bulk: ThreadPool, quick: ThreadPool, films: ThreadPool) -> Self {
        Self { bulk, quick, films }
    }

    /// The pool of films' pictures: each takes a thread for as long as a whole screen takes all of them.
    pub(super) fn films(&self) -> &ThreadPool {
        &self.films
    }

    /// The pool of large updates.
    pub fn bulk(&self) -> &ThreadPool {
        &self.bulk
    }

    /// The pool of small updates.
    pub fn quick(&self) -> &ThreadPool {
        &self.quick
    }

    /// The pool of an update of so many pixels; none for one that is encoded at once.
    pub(super) fn lane(&self, px: u64) -> Option<&ThreadPool> {
        if px <= INLINE_PX {
            return None;
        }
        Some(if px <= QUICK_PX { &self.quick } else { &self.bulk })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_threads_are_nicer_than_quick_ones() {
        let own = rustix::process::nice(0).expect("a niceness");
        let lanes = Lanes::new(2, 3).expect("threads");
        let nice = |pool: &ThreadPool| pool.broadcast(|_| rustix::process::nice(0).expect("a niceness"));
        assert_eq!(nice(lanes.bulk()), [(own + 3).min(19); 2]);
        assert_eq!(nice(lanes.quick()), [own; 2]);
        assert_eq!(rustix::process::nice(0), Ok(own), "the caller's priority changed");
    }

    #[test]
    fn a_quick_update_runs_while_every_bulk_thread_is_held() {
        let lanes = Lanes::new(1, 0).expect("threads");
        let (hold, held) = std::sync::mpsc::channel::<()>();
        lanes.bulk().spawn(move || {
            let _ = held.recv();
        });
        assert!(lanes.lane(INLINE_PX).is_none());
        let quick = lanes.lane(QUICK_PX).expect("a pool");
        assert_eq!(quick.install(|| std::thread::current().name().map(|n| n.starts_with("farpane-quick"))), Some(true));
        assert!(std::ptr::eq(lanes.lane(QUICK_PX + 1).expect("a pool"), lanes.bulk()));
        drop(hold);
    }
}
