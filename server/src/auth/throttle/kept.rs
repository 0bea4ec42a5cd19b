//! A [`Throttle`] that outlives the process.
//!
//! Only the server writes the state file. Whoever wants penalties cleared leaves a request beside it, a file of its own each; the server
//! takes the requests over at every [`Kept::tick`] and removes them. So nobody needs to know whether a server runs, no two programs
//! write one file, and nothing a server saves undoes what was cleared.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Throttle;
use super::list::{Penalty, Which};
use super::store::{self, MAX_FILE, StoreError};
use crate::auth::Moment;
use crate::helper::private::{self, PrivateError};

/// Changes are saved this long after the last save.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// Longest request, in bytes.
const MAX_REQUEST: u64 = 1024;
/// Requests taken at once; the others wait for the next tick.
const MAX_REQUESTS: usize = 256;

/// Why state cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] PrivateError),
    /// A file is not what it should be.
    #[error("{0}: {1}")]
    Broken(PathBuf, StoreError),
    /// A file is no text.
    #[error("{0}: no text")]
    NoText(PathBuf),
    /// A request cannot be understood.
    #[error("{0}: asks for nothing that is known")]
    Request(PathBuf),
    /// The folder cannot be searched, or a file in it cannot be moved or removed.
    #[error("{0}: {1}")]
    Folder(PathBuf, io::Error),
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// What was saved last.
#[derive(Debug, Default)]
struct Saved {
    changes: u64,
    at: Option<Moment>,
}

/// A throttle and its file.
#[derive(Debug)]
pub struct Kept {
    path: Option<PathBuf>,
    throttle: Mutex<Throttle>,
    saved: Mutex<Saved>,
}

fn fresh() -> Result<Throttle, getrandom::Error> {
    let mut key = [0; 16];
    getrandom::fill(&mut key)?;
    Ok(Throttle::new(key))
}

/// Reads a state file; none when it is not there.
fn load(path: &Path, now: Moment) -> Result<Option<Throttle>, KeptError> {
    let Some(bytes) = private::read(path, MAX_FILE)? else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).map_err(|_| KeptError::NoText(path.to_owned()))?;
    store::read(text, now).map(Some).map_err(|error| KeptError::Broken(path.to_owned(), error))
}

impl Kept {
    /// A throttle that is forgotten with the process.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn in_memory() -> Result<Self, KeptError> {
        Ok(Kept { path: None, throttle: Mutex::new(fresh()?), saved: Mutex::default() })
    }

    /// The throttle of a file, with the requests beside it carried out. A file that cannot be used is set aside (`.broken`), and counting
    /// begins anew; what was wrong comes back to be told.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn open(path: &Path, now: Moment) -> Result<(Self, Vec<KeptError>), KeptError> {
        let mut wrong = Vec::new();
        let throttle = match load(path, now) {
            Ok(Some(throttle)) => throttle,
            Ok(None) => fresh()?,
            Err(error) => {
                wrong.push(error);
                let mut aside = path.as_os_str().to_owned();
                aside.push(".broken");
                if let Err(error) = std::fs::rename(path, aside) {
                    wrong.push(KeptError::Folder(path.to_owned(), error));
                }
                fresh()?
            }
        };
        let saved = Saved { changes: throttle.changes(), at: None };
        let kept = Kept { path: Some(path.to_owned()), throttle: Mutex::new(throttle), saved: Mutex::new(saved) };
        wrong.extend(kept.tick(now).1);
        Ok((kept, wrong))
    }

    /// The throttle itself.
    pub fn lock(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries requests out, and saves what changed once that is due. Blocks on the disk: call it once a second from a thread that may.
    /// Returns how many penalties were cleared, and what went wrong.
    pub fn tick(&self, now: Moment) -> (usize, Vec<KeptError>) {
        let Some(path) = &self.path else { return (0, Vec::new()) };
        let (mut done, mut wrong, mut cleared) = (Vec::new(), Vec::new(), 0_usize);
        match requests(path) {
            Ok(requests) => {
                for (file, which) in requests {
                    match which {
                        Ok(which) => cleared = cleared.saturating_add(self.lock().clear(&which)),
                        Err(error) => wrong.push(error),
                    }
                    done.push(file);
                }
            }
            Err(error) => wrong.push(error),
        }
        let due = {
            let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
            saved.at.is_none_or(|at| at > now || now.since(at) >= SAVE_EVERY)
        };
        if due {
            self.lock().tidy(now);
        }
        if (due || !done.is_empty())
            && let Err(error) = self.save(now)
        {
            // requests stay and are carried out again
            wrong.push(error);
            return (cleared, wrong);
        }
        wrong.extend(done.iter().filter_map(|file| remove(file).err()));
        (cleared, wrong)
    }

    /// Whether nothing is counted against anybody and all is saved: until the next failure there is nothing to do.
    pub fn is_idle(&self) -> bool {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner).changes;
        let throttle = self.lock();
        throttle.counts_nothing() && (self.path.is_none() || throttle.changes() == saved)
    }

    /// Saves what changed since the last time.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, now: Moment) -> Result<(), KeptError> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = {
            let throttle = self.lock();
            if throttle.changes() == saved.changes {
                return Ok(());
            }
            throttle.clone()
        };
        // logins go on while the copy is written down
        let (changes, text) = (copy.changes(), store::write(&copy));
        // a disk that refuses is not asked again at once
        saved.at = Some(now);
        private::write(path, text.as_bytes())?;
        saved.changes = changes;
        Ok(())
    }
}

fn remove(file: &Path) -> Result<(), KeptError> {
    std::fs::remove_file(file).map_err(|error| KeptError::Folder(file.to_owned(), error))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The names of requests begin with this.
fn prefix(path: &Path) -> String {
    format!("{}.clear-", path.file_name().unwrap_or_default().to_string_lossy())
}

/// A request and what came of reading it.
type Read = (PathBuf, Result<Which, KeptError>);

/// The requests beside a state file, oldest first.
fn requests(path: &Path) -> Result<Vec<Read>, KeptError> {
    let entries = match std::fs::read_dir(folder(path)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(KeptError::Folder(folder(path).to_owned(), error)),
    };
    let prefix = prefix(path);
    let ours =
        |name: &str| name.strip_prefix(&prefix).is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
    let mut files: Vec<PathBuf> =
        entries.flatten().filter(|e| e.file_name().to_str().is_some_and(ours)).map(|e| e.path()).collect();
    files.sort();
    files.truncate(MAX_REQUESTS);
    let read = |file: PathBuf| {
        let which = private::read(&file, MAX_REQUEST).map_err(KeptError::from).and_then(|bytes| {
            let text = bytes.as_ref().and_then(|b| std::str::from_utf8(b).ok());
            let which = text.and_then(|t| t.strip_suffix('\n')?.strip_prefix("clear ")?.parse().ok());
            which.ok_or_else(|| KeptError::Request(file.clone()))
        });
        (file, which)
    };
    Ok(files.into_iter().map(read).collect())
}

/// Asks for penalties to be cleared, of a server that runs or that starts later.
///
/// # Errors
/// When the request cannot be written.
pub fn request(path: &Path, which: &Which, now: Moment) -> Result<(), KeptError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}{:015}-{}-{count}", prefix(path), now.millis(), std::process::id());
    let file = folder(path).join(name);
    private::write(&file, format!("clear {which}\n").as_bytes())?;
    // what root asks for is read by the server's own user
    if rustix::process::geteuid().is_root() {
        let owner = std::fs::metadata(folder(path)).map_err(|e| KeptError::Folder(folder(path).to_owned(), e))?;
        std::os::unix::fs::lchown(&file, Some(owner.uid()), Some(owner.gid()))
            .map_err(|e| KeptError::Folder(file.clone(), e))?;
    }
    Ok(())
}

/// What a state file says.
#[derive(Debug)]
pub struct Shown {
    /// What is counted, with the requests beside the file carried out.
    pub penalties: Vec<Penalty>,
    /// Requests that no server has taken yet.
    pub waiting: usize,
}

/// Reads a state file without changing anything.
///
/// # Errors
/// When it cannot be read, or is broken.
pub fn show(path: &Path, now: Moment) -> Result<Shown, KeptError> {
    let pending: Vec<Which> = requests(path)?.into_iter().filter_map(|(_, which)| which.ok()).collect();
    let penalties = load(path, now)?.map_or(Vec::new(), |mut throttle| {
        for which in &pending {
            throttle.clear(which);
        }
        throttle.list(now)
    });
    Ok(Shown { penalties, waiting: pending.len() })
}
