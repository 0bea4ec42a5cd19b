//! Questions to a helper and its answers, many at once: each has a number, and a slow one holds up no other.
//!
//! One thread receives the answers. When the helper ends or says what nobody understands, everything that waits fails at
//! once and every later question too: the helper is not started again, since what reads the network can start nothing.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::wire::{Receiver, Sender, WireError};

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
    /// The question cannot be asked.
    #[error(transparent)]
    Wire(#[from] WireError),
}

type Answer<A> = (A, Vec<OwnedFd>);
type Wake<A> = Box<dyn FnOnce(Answer<A>) + Send>;

/// Who waits for what; none once the helper is gone.
type Waiting<A> = Mutex<Option<HashMap<u64, Wake<A>>>>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One end of a socket to a helper that answers questions `Q` by `A`.
///
/// It has no thread before it is first asked, so that it can be made before the sandbox is entered.
pub struct Calls<Q, A> {
    name: &'static str,
    sender: Mutex<Sender>,
    idle: Mutex<Option<Receiver>>,
    waiting: Arc<Waiting<A>>,
    next: AtomicU64,
    question: PhantomData<fn(Q)>,
}

impl<Q: Serialize, A: DeserializeOwned + Send + 'static> Calls<Q, A> {
    /// Calls over both ends of a socket. `name` is the receiving thread's, which the first call starts, and the helper's in the
    /// log.
    pub fn new(name: &'static str, sender: Sender, receiver: Receiver) -> Self {
        Self {
            name,
            sender: Mutex::new(sender),
            idle: Mutex::new(Some(receiver)),
            waiting: Arc::new(Mutex::new(Some(HashMap::new()))),
            next: AtomicU64::new(0),
            question: PhantomData,
        }
    }

    /// Starts the thread that receives, if it is not running.
    fn listen(&self) -> Result<(), CallError> {
        if let Some(receiver) = locked(&self.idle).take() {
            let (name, waiting) = (self.name, Arc::clone(&self.waiting));
            let thread = std::thread::Builder::new().name(name.into());
            thread.spawn(move || receive(name, receiver, &waiting)).map_err(|_| CallError::Gone)?;
        }
        Ok(())
    }

    /// Asks; `wake` is called with the answer, or dropped when there will be none.
    fn begin(&self, question: Q, wake: Wake<A>) -> Result<Pending<'_, A>, CallError> {
        self.listen()?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        locked(&self.waiting).as_mut().ok_or(CallError::Gone)?.insert(id, wake);
        let pending = Pending { waiting: &self.waiting, id };
        locked(&self.sender).send(&Numbered { id, body: question }, &[])?;
        Ok(pending)
    }

    /// Asks and waits for the answer, as long as it may take.
    ///
    /// # Errors
    /// When the helper is gone or does not answer in time.
    pub fn call(&self, question: Q, limit: Duration) -> Result<Answer<A>, CallError> {
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
        let (tell, told) = tokio::sync::oneshot::channel();
        let pending = self.begin(question, Box::new(move |answer| drop(tell.send(answer))))?;
        let answer = told.await.map_err(|_| CallError::Gone);
        drop(pending);
        answer
    }

    /// Says something that has no answer. Fails silently: whoever is gone needs not be told.
    pub fn tell(&self, body: Q) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let _ = locked(&self.sender).send(&Numbered { id, body }, &[]);
    }
}

impl<Q, A> Drop for Calls<Q, A> {
    fn drop(&mut self) {
        locked(&self.sender).close();
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

fn receive<A: DeserializeOwned>(name: &str, mut receiver: Receiver, waiting: &Waiting<A>) {
    let why = loop {
        match receiver.receive::<Numbered<A>>(None) {
            Ok((Numbered { id, body }, fds)) => {
                let wake = locked(waiting).as_mut().and_then(|waiting| waiting.remove(&id));
                // of an answer that nobody waits for any more, what came with it is closed
                if let Some(wake) = wake {
                    wake((body, fds));
                }
            }
            Err(error) => break error,
        }
    };
    receiver.close();
    let failed = locked(waiting).take().map_or(0, |waiting| waiting.len());
    match why {
        WireError::Closed => tracing::debug!(helper = name, failed, "the helper process has ended"),
        why => tracing::error!(helper = name, error = %why, failed, "the helper process cannot be understood"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire;
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    type Asked = Numbered<String>;

    fn calls() -> (Calls<String, String>, Sender, Receiver) {
        let (a, b) = UnixStream::pair().expect("a socket");
        let ((ours_out, ours_in), (out, inn)) = (wire::ends(a), wire::ends(b));
        (Calls::new("test", ours_out, ours_in), out, inn)
    }

    #[test]
    fn answers_find_their_questions_in_any_order() {
        let (calls, mut out, mut inn) = calls();
        let helper = std::thread::spawn(move || {
            let asked: Vec<Asked> = (0..3).map(|_| inn.receive(None).expect("a question").0).collect();
            for Numbered { id, body } in asked.into_iter().rev() {
                out.send(&Numbered { id, body: format!("to {body}") }, &[]).expect("sends");
            }
        });
        std::thread::scope(|scope| {
            for name in ["a", "b", "c"] {
                let calls = &calls;
                scope.spawn(move || {
                    let (answer, _) = calls.call(name.into(), Duration::from_secs(20)).expect("an answer");
                    assert_eq!(answer, format!("to {name}"));
                });
            }
        });
        helper.join().expect("ends");
    }

    #[test]
    fn a_question_that_was_given_up_is_forgotten_and_its_late_answer_hurts_nobody() {
        let (calls, mut out, mut inn) = calls();
        assert!(matches!(calls.call("slow".into(), Duration::ZERO), Err(CallError::TooSlow(_))));
        let (late, _) = inn.receive::<Asked>(None).expect("a question");
        assert_eq!(locked(&calls.waiting).as_ref().map(HashMap::len), Some(0));
        out.send(&late, &[]).expect("sends");
        let helper = std::thread::spawn(move || {
            let (next, _) = inn.receive::<Asked>(None).expect("a question");
            out.send(&next, &[]).expect("sends");
        });
        assert_eq!(calls.call("quick".into(), Duration::from_secs(20)).expect("an answer").0, "quick");
        helper.join().expect("ends");
    }

    #[test]
    fn the_helper_s_end_fails_those_who_wait_and_all_who_come() {
        for wrong in [false, true] {
            let (calls, mut out, mut inn) = calls();
            let helper = std::thread::spawn(move || {
                inn.receive::<Asked>(None).expect("a question");
                if wrong {
                    out.send(&"what is this", &[]).expect("sends");
                    assert!(matches!(inn.receive::<Asked>(None), Err(WireError::Closed)), "the server closes");
                }
            });
            let begun = Instant::now();
            assert!(matches!(calls.call("a".into(), Duration::from_secs(60)), Err(CallError::Gone)));
            assert!(begun.elapsed() < Duration::from_secs(50), "waited in vain");
            helper.join().expect("ends");
            assert!(calls.call("b".into(), Duration::from_secs(60)).is_err());
        }
    }
}
