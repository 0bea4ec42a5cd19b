//! Questions to a helper and its answers, many at once: each has a number, and a slow one holds up no other.
//!
//! One thread receives the answers, from [`Calls::watch`] on. When the helper ends or says what nobody understands, everything
//! that waits fails at once. A [`Line`] that can be had again is: that thread gets the next helper, and questions find it. Meanwhile,
//! and for ever where none is to be had, every question fails at once.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::wire::{self, Packed, Receiver, Sender, WireError};

/// After this long a helper that ended is started again at first; twice as long each time that it ends soon.
const FIRST_REST: Duration = Duration::from_millis(50);
/// The longest such time.
const LONGEST_REST: Duration = Duration::from_secs(5);
/// A helper that lived as long as this ended for a reason of its own.
const LIVED: Duration = Duration::from_secs(30);

/// A question or an answer with its number.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbered<T> {
    /// Its number.
    pub id: u64,
    /// What is asked or answered.
    pub body: T,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The helper is gone.
    #[error("the helper process has ended")]
    Gone,
    /// It does not answer.
    #[error("the helper process did not answer within {} ms", .0.as_millis())]
    TooSlow(Duration),
    /// It answers something else.
    #[error("the helper process answered another question")]
    Strange,
    /// It is not as it has to be.
    #[error("the helper process is of no use: {0}")]
    Unfit(String),
    /// The question cannot be asked.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// What became of a helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has ended.
    Ended,
    /// Another one is there.
    Again,
    /// There will be no other.
    Lost,
}

/// Gets a helper's socket once more; fails with [`CallError::Gone`] when none will ever be had.
pub type Again = Box<dyn FnMut() -> Result<UnixStream, CallError> + Send>;

/// Tells what became of a helper.
pub type Tell = Box<dyn Fn(Change) + Send>;

/// The way to a helper.
pub struct Line {
    /// The helper in the log, and the name of the thread that hears it.
    pub name: &'static str,
    /// Our end of its socket.
    pub socket: UnixStream,
    /// What gets the next one when it has ended.
    pub again: Option<Again>,
    /// Who is told.
    pub tell: Option<Tell>,
}

impl Line {
    /// The way to a helper that is never started again.
    pub fn once(name: &'static str, socket: UnixStream) -> Self {
        Line { name, socket, again: None, tell: None }
    }
}

type Answer<A> = (A, Vec<OwnedFd>);
type Wake<A> = Box<dyn FnOnce(Answer<A>) + Send>;
type Greet = Box<dyn FnMut(&mut Receiver) -> Result<(), CallError> + Send>;

/// Who waits for what; none while there is no helper.
type Waiting<A> = Mutex<Option<HashMap<u64, Wake<A>>>>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread that receives has in common with those who ask.
struct Shared<A> {
    sender: Mutex<Option<Sender>>,
    waiting: Waiting<A>,
    /// Nobody asks any more.
    over: AtomicBool,
    /// What is to be done once another helper is there.
    then: OnceLock<Arc<dyn Fn() + Send + Sync>>,
}

/// What receives.
struct Hearing {
    name: &'static str,
    receiver: Receiver,
    again: Option<Again>,
    tell: Option<Tell>,
    greet: Greet,
}

/// One end of a socket to a helper that answers questions `Q` by `A`.
///
/// It has no thread before [`Calls::watch`], so that it can be made, and asked one thing after the other, before the sandbox is entered.
pub struct Calls<Q, A> {
    shared: Arc<Shared<A>>,
    idle: Mutex<Option<Hearing>>,
    next: AtomicU64,
    question: PhantomData<fn(Q)>,
}

impl<Q: Serialize, A: DeserializeOwned + Send + 'static> Calls<Q, A> {
    /// Calls over a line to a helper that says nothing before it is asked.
    pub fn new(line: Line) -> Self {
        let (sender, receiver) = wire::ends(line.socket);
        Self::met(sender, Hearing::new(line.name, receiver, line.again, line.tell, Box::new(|_| Ok(()))))
    }

    /// Calls over a line to a helper that says something of itself first, which `greet` receives: here and of each that
    /// is started again.
    ///
    /// # Errors
    /// As `greet`.
    pub fn greeted(
        line: Line,
        mut greet: impl FnMut(&mut Receiver) -> Result<(), CallError> + Send + 'static,
    ) -> Result<Self, CallError> {
        let (sender, mut receiver) = wire::ends(line.socket);
        greet(&mut receiver)?;
        Ok(Self::met(sender, Hearing::new(line.name, receiver, line.again, line.tell, Box::new(greet))))
    }

    fn met(sender: Sender, hearing: Hearing) -> Self {
        let shared = Shared {
            sender: Mutex::new(Some(sender)),
            waiting: Mutex::new(Some(HashMap::new())),
            over: AtomicBool::new(false),
            then: OnceLock::new(),
        };
        Self {
            shared: Arc::new(shared),
            idle: Mutex::new(Some(hearing)),
            next: AtomicU64::new(0),
            question: PhantomData,
        }
    }

    /// Has `then` done, on a thread of its own, whenever another helper has taken the place of one that ended. Only the first counts.
    pub fn when_again(&self, then: impl Fn() + Send + Sync + 'static) {
        let _ = self.shared.then.set(Arc::new(then));
    }

    /// Starts the thread that receives, if it is not running: from here on the helper's end is noticed.
    ///
    /// # Errors
    /// When there are no threads left.
    pub fn watch(&self) -> Result<(), CallError> {
        if let Some(hearing) = locked(&self.idle).take() {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name(hearing.name.into());
            thread.spawn(move || hearing.run(&shared)).map_err(|_| CallError::Gone)?;
        }
        Ok(())
    }

    /// A number that no other question or number has.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn send(&self, id: u64, body: Q) -> Result<(), CallError> {
        Ok(locked(&self.shared.sender).as_mut().ok_or(CallError::Gone)?.send(&Numbered { id, body }, &[])?)
    }

    /// Asks; `wake` is called with the answer, or dropped when there will be none.
    fn begin(&self, question: Q, wake: Wake<A>) -> Result<Pending<'_, A>, CallError> {
        let id = self.number();
        locked(&self.shared.waiting).as_mut().ok_or(CallError::Gone)?.insert(id, wake);
        let pending = Pending { waiting: &self.shared.waiting, id };
        self.send(id, question)?;
        Ok(pending)
    }

    /// Asks while no thread receives, and receives the answer here.
    fn alone(&self, receiver: &mut Receiver, question: Q, limit: Duration) -> Result<Answer<A>, CallError> {
        let id = self.number();
        self.send(id, question)?;
        answer(receiver, id, limit)
    }

    /// Asks what has a second message, while no thread receives yet, and waits for the answer as long as it may take.
    ///
    /// # Errors
    /// When the helper is gone, does not answer in time, or a thread receives already.
    pub fn call_with(&self, question: Q, more: &Packed, limit: Duration) -> Result<Answer<A>, CallError> {
        let mut idle = locked(&self.idle);
        let hearing = idle.as_mut().ok_or(CallError::Strange)?;
        let id = self.number();
        self.send(id, question)?;
        locked(&self.shared.sender).as_mut().ok_or(CallError::Gone)?.send_packed(more)?;
        answer(&mut hearing.receiver, id, limit)
    }

    /// Asks and waits for the answer, as long as it may take.
    ///
    /// # Errors
    /// When the helper is gone or does not answer in time.
    pub fn call(&self, question: Q, limit: Duration) -> Result<Answer<A>, CallError> {
        if let Some(hearing) = locked(&self.idle).as_mut() {
            return self.alone(&mut hearing.receiver, question, limit);
        }
        let (tell, told) = mpsc::sync_channel(1);
        // whoever gave up hears nothing
        let pending = self.begin(question, Box::new(move |answer| drop(tell.try_send(answer))))?;
        let answer = told.recv_timeout(limit).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => CallError::TooSlow(limit),
            mpsc::RecvTimeoutError::Disconnected => CallError::Gone,
        });
        drop(pending);
        answer
    }

    /// Asks and waits for the answer, however long it takes. Losing the future gives the question up.
    ///
    /// # Errors
    /// When the helper is gone.
    pub async fn ask(&self, question: Q) -> Result<Answer<A>, CallError> {
        self.watch()?;
        let (tell, told) = tokio::sync::oneshot::channel();
        let pending = self.begin(question, Box::new(move |answer| drop(tell.send(answer))))?;
        let answer = told.await.map_err(|_| CallError::Gone);
        drop(pending);
        answer
    }

    /// Says something that has no answer. Fails silently: whoever is gone needs not be told.
    pub fn tell(&self, body: Q) {
        let _ = self.send(self.number(), body);
    }
}

impl<Q, A> Drop for Calls<Q, A> {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        if let Some(sender) = locked(&self.shared.sender).take() {
            sender.close();
        }
    }
}

/// A question that somebody waits for the answer to; dropping it forgets it.
struct Pending<'a, A> {
    waiting: &'a Waiting<A>,
    id: u64,
}

impl<A> Drop for Pending<'_, A> {
    fn drop(&mut self) {
        if let Some(waiting) = locked(self.waiting).as_mut() {
            waiting.remove(&self.id);
        }
    }
}

impl<A> Shared<A> {
    /// Nobody is there; returns how many waited for an answer.
    fn hang_up(&self) -> usize {
        locked(&self.sender).take();
        locked(&self.waiting).take().map_or(0, |waiting| waiting.len())
    }

    /// Another helper is there; false when nobody asks any more.
    fn pick_up(&self, sender: Sender) -> bool {
        *locked(&self.waiting) = Some(HashMap::new());
        *locked(&self.sender) = Some(sender);
        // asked after the sender is in its place: whoever drops the calls either finds it or is seen here
        let over = self.over.load(Ordering::Acquire);
        if over {
            self.hang_up();
        }
        !over
    }
}

impl Hearing {
    fn new(name: &'static str, receiver: Receiver, again: Option<Again>, tell: Option<Tell>, greet: Greet) -> Self {
        Hearing { name, receiver, again, tell, greet }
    }

    fn told(&self, change: Change) {
        if let Some(tell) = &self.tell {
            tell(change);
        }
    }

    fn run<A: DeserializeOwned>(mut self, shared: &Shared<A>) {
        let mut rest = FIRST_REST;
        loop {
            let since = Instant::now();
            let why = receive(&mut self.receiver, &shared.waiting);
            self.receiver.close();
            let failed = shared.hang_up();
            if shared.over.load(Ordering::Acquire) {
                return;
            }
            let helper = self.name;
            match why {
                WireError::Closed => tracing::error!(helper, failed, "the helper process has ended"),
                why => tracing::error!(helper, error = %why, failed, "the helper process cannot be understood"),
            }
            self.told(Change::Ended);
            if since.elapsed() >= LIVED {
                rest = FIRST_REST;
            }
            let Some(sender) = self.next(shared, &mut rest) else { return };
            if !shared.pick_up(sender) {
                return;
            }
            tracing::warn!(helper, "the helper process was started again");
            self.told(Change::Again);
            if let Some(then) = shared.then.get().cloned()
                && std::thread::Builder::new().name(helper.into()).spawn(move || then()).is_err()
            {
                tracing::error!(helper, "no thread for what follows a start");
            }
        }
    }

    /// The next helper; none when there will be none.
    fn next<A>(&mut self, shared: &Shared<A>, rest: &mut Duration) -> Option<Sender> {
        let helper = self.name;
        let mut said = false;
        loop {
            std::thread::sleep(*rest);
            *rest = (*rest * 2).min(LONGEST_REST);
            if shared.over.load(Ordering::Acquire) {
                return None;
            }
            let got = match &mut self.again {
                Some(again) => again(),
                None => Err(CallError::Gone),
            };
            let met = got.and_then(|socket| {
                let (sender, mut receiver) = wire::ends(socket);
                (self.greet)(&mut receiver)?;
                Ok((sender, receiver))
            });
            match met {
                Ok((sender, receiver)) => {
                    self.receiver = receiver;
                    return Some(sender);
                }
                Err(CallError::Gone) => {
                    tracing::error!(helper, "no other one can be started; start farpane again");
                    self.told(Change::Lost);
                    return None;
                }
                Err(error) if !said => {
                    tracing::error!(helper, %error, "the helper process is not started again yet");
                    said = true;
                }
                Err(_) => {}
            }
        }
    }
}

/// The answer to one question, of a helper that nobody else asks.
fn answer<A: DeserializeOwned>(receiver: &mut Receiver, id: u64, limit: Duration) -> Result<Answer<A>, CallError> {
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let (answer, fds) = receiver.receive::<Numbered<A>>(Some(left)).map_err(|error| match error {
            WireError::TooSlow(_) => CallError::TooSlow(limit),
            WireError::Closed => CallError::Gone,
            error => error.into(),
        })?;
        // an answer to what was given up before
        if answer.id == id {
            return Ok((answer.body, fds));
        }
    }
}

/// Hands answers to those who wait until there are no more; returns why.
fn receive<A: DeserializeOwned>(receiver: &mut Receiver, waiting: &Waiting<A>) -> WireError {
    loop {
        match receiver.receive::<Numbered<A>>(None) {
            Ok((Numbered { id, body }, fds)) => {
                let wake = locked(waiting).as_mut().and_then(|waiting| waiting.remove(&id));
                // of an answer that nobody waits for any more, what came with it is closed
                if let Some(wake) = wake {
                    wake((body, fds));
                }
            }
            Err(error) => return error,
        }
    }
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
