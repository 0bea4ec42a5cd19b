//! Gatekeeping: the person at the desktop is asked before a client gets in.
//!
//! The question goes to a [`Doorkeeper`] where there is one (a hook of the administrator's, or a notification), and to whoever answers over the
//! control socket; the first answer counts, none in time is a no. INVARIANT: while a question is open no client's keys and
//! pointer reach the desktop, else one of them could press the button.

mod door;
mod hook;
#[cfg(feature = "notification")]
mod notification;

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub(super) use door::let_in;
pub use hook::Hook;
#[cfg(feature = "notification")]
pub use notification::Notification;

use super::hub::{ClientId, Hub};
use super::roster::{Described, SessionSummary, Standing};
use super::{GateRules, HubEvent};

/// Questions at once; a further client is told to come back.
const MAX_ASKING: usize = 4;

/// After a no the same user is not asked about for this long: questions stop the input of everybody else.
const REST: Duration = Duration::from_secs(30);

/// Users that are remembered for a no.
const MAX_RESTING: usize = 1024;

/// What the person at the desktop is told of a client that wants in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knock {
    /// What to call it when answering over the control socket.
    pub id: u64,
    /// The user's name; empty where none was asked for. The login was proved.
    pub user: String,
    /// Where it comes from.
    pub peer: String,
    /// The listener that it came to.
    pub listener: String,
    /// The security type of its login.
    pub security: String,
    /// The words of its device key.
    pub phrase: Option<String>,
    /// It wants the desktop alone: so many others would be disconnected.
    pub disconnects: usize,
    /// How long there is to answer.
    pub seconds: u64,
}

/// What a doorkeeper says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Let it in.
    Accept,
    /// Do not.
    Refuse,
    /// There is nobody to ask.
    Nobody,
}

/// What a doorkeeper will say.
pub type Asking<'a> = Pin<Box<dyn Future<Output = std::io::Result<Said>> + Send + 'a>>;

/// Asks the person at the desktop.
pub trait Doorkeeper: Send + Sync {
    /// Asks about one client. Dropping the future takes the question back. An error is no answer: others may still give one.
    fn ask<'a>(&'a self, knock: &'a Knock) -> Asking<'a>;
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The doorkeeper let it in.
    Accepted,
    /// Somebody let it in over the control socket.
    AcceptedByControl,
    /// Nobody was there, and the settings let in then.
    AllowedNobody,
    /// The doorkeeper said no.
    Refused,
    /// Somebody said no over the control socket.
    RefusedByControl,
    /// Nobody was there, and the settings do not let in then.
    Nobody,
    /// Nobody answered in time.
    NoAnswer,
    /// It was not asked: so many questions are open.
    Busy,
    /// It was not asked: the last answer was no, and for so long it stays that.
    Resting(Duration),
}

impl Verdict {
    /// Whether the client gets in.
    pub const fn lets_in(self) -> bool {
        matches!(self, Verdict::Accepted | Verdict::AcceptedByControl | Verdict::AllowedNobody)
    }

    /// In words for the client.
    pub fn reason(self) -> String {
        match self {
            Verdict::Accepted | Verdict::AcceptedByControl | Verdict::AllowedNobody => "let in".into(),
            Verdict::Refused | Verdict::RefusedByControl => "The person at the desktop refused".into(),
            Verdict::Nobody => "Nobody is at the desktop to let you in".into(),
            Verdict::NoAnswer => "Nobody at the desktop answered in time".into(),
            Verdict::Busy => "Others are waiting to be let in; try again later".into(),
            Verdict::Resting(left) => {
                format!("You were not let in a moment ago; try again in {} s", left.as_secs().saturating_add(1))
            }
        }
    }

    /// One word for logs.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Accepted => "accepted",
            Verdict::AcceptedByControl => "accepted-by-control",
            Verdict::AllowedNobody => "allowed-nobody",
            Verdict::Refused => "refused",
            Verdict::RefusedByControl => "refused-by-control",
            Verdict::Nobody => "nobody",
            Verdict::NoAnswer => "no-answer",
            Verdict::Busy => "busy",
            Verdict::Resting(_) => "resting",
        }
    }
}

struct Waiting {
    who: Described,
    answer: oneshot::Sender<bool>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<ClientId, Waiting>,
    resting: HashMap<String, Instant>,
}

/// The questions that are open.
#[derive(Default)]
pub struct Gate {
    doorkeeper: OnceLock<Arc<dyn Doorkeeper>>,
    state: Mutex<State>,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a question is open: input of clients does not reach the desktop then.
    pub fn is_asking(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Those that wait for an answer.
    pub fn waiting(&self, now: Instant) -> Vec<SessionSummary> {
        self.lock().waiting.values().map(|w| SessionSummary::of(&w.who, Standing::Waiting, now)).collect()
    }

    /// Answers a question; false when there is none of that client.
    pub fn answer(&self, id: ClientId, accept: bool) -> bool {
        let waiting = self.lock().waiting.remove(&id);
        waiting.is_some_and(|w| w.answer.send(accept).is_ok())
    }

    fn begin(&self, who: &Described, now: Instant) -> Result<oneshot::Receiver<bool>, Verdict> {
        let mut state = self.lock();
        if let Some(until) = state.resting.get(&who.counted_as).filter(|until| **until > now) {
            return Err(Verdict::Resting(until.saturating_duration_since(now)));
        }
        if state.waiting.len() >= MAX_ASKING {
            return Err(Verdict::Busy);
        }
        let (answer, answered) = oneshot::channel();
        state.waiting.insert(who.id, Waiting { who: who.clone(), answer });
        Ok(answered)
    }

    fn rest(&self, who: &Described, now: Instant) {
        let mut state = self.lock();
        state.resting.retain(|_, until| *until > now);
        if let (Some(until), true) = (now.checked_add(REST), state.resting.len() < MAX_RESTING) {
            state.resting.insert(who.counted_as.clone(), until);
        }
    }
}

/// An open question; dropping it takes it back, and a client that did not wait for its answer rests as after a no.
struct Open<'a> {
    gate: &'a Gate,
    who: &'a Described,
    decided: bool,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.gate.lock().waiting.remove(&self.who.id);
        if !self.decided {
            self.gate.rest(self.who, Instant::now());
        }
    }
}

impl Hub {
    /// Asks this one about clients that want in. The first to be set stays.
    pub fn set_doorkeeper(&self, doorkeeper: Arc<dyn Doorkeeper>) {
        let _ = self.gate().doorkeeper.set(doorkeeper);
    }

    /// Asks about a client that has proved itself; `disconnects` others would have to go. Dropping the future takes the question
    /// back.
    pub(super) async fn ask_about(&self, who: &Described, disconnects: usize, rules: &GateRules) -> Verdict {
        let gate = self.gate();
        let verdict = match gate.begin(who, Instant::now()) {
            Ok(answered) => {
                let mut open = Open { gate, who, decided: false };
                // what is held down is let go, and nothing comes after it
                self.tell_all(HubEvent::InputHeld);
                tracing::info!(client = %who.id, user = who.access.user, peer = who.peer, disconnects, "wants in; the desktop is asked");
                if let Some(log) = self.log() {
                    log.asked(who);
                }
                let verdict = asked(gate, who, disconnects, rules, answered).await;
                open.decided = true;
                verdict
            }
            Err(verdict) => verdict,
        };
        if matches!(verdict, Verdict::Refused | Verdict::RefusedByControl | Verdict::NoAnswer) {
            gate.rest(who, Instant::now());
        }
        tracing::info!(client = %who.id, user = who.access.user, peer = who.peer, verdict = verdict.name(), "gate");
        if let Some(log) = self.log() {
            log.gate(who, &verdict);
        }
        verdict
    }
}

async fn asked(
    gate: &Gate,
    who: &Described,
    disconnects: usize,
    rules: &GateRules,
    answered: oneshot::Receiver<bool>,
) -> Verdict {
    let knock = Knock {
        id: who.id.0,
        user: who.access.user.clone(),
        peer: who.peer.clone(),
        listener: who.listener.clone(),
        security: who.security.clone(),
        phrase: who.access.phrase.clone(),
        disconnects,
        seconds: rules.limit.as_secs(),
    };
    let said = async {
        match gate.doorkeeper.get() {
            Some(doorkeeper) => match doorkeeper.ask(&knock).await {
                Ok(Said::Accept) => return Verdict::Accepted,
                Ok(Said::Refuse) => return Verdict::Refused,
                Ok(Said::Nobody) if rules.allow_if_nobody => return Verdict::AllowedNobody,
                Ok(Said::Nobody) => return Verdict::Nobody,
                Err(error) => {
                    tracing::warn!(%error, "nobody could be asked at the desktop; waiting for the control socket")
                }
            },
            None => tracing::debug!("nothing asks at the desktop; waiting for the control socket"),
        }
        std::future::pending().await
    };
    tokio::select! {
        biased;
        accepted = answered => match accepted {
            Ok(true) => Verdict::AcceptedByControl,
            Ok(false) | Err(_) => Verdict::RefusedByControl,
        },
        verdict = said => verdict,
        () = tokio::time::sleep(rules.limit) => Verdict::NoAnswer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::ConnInfo;
    use crate::session::Access;

    fn who(id: u64, user: &str) -> Described {
        let access = Access { user: user.into(), ..Access::anonymous(false) };
        Described::new(ClientId(id), access, &ConnInfo::in_process("p"), "None (1)".into(), Instant::now())
    }

    #[test]
    fn a_question_is_answered_once_and_by_its_number() {
        let (gate, now) = (Gate::default(), Instant::now());
        let mut answered = gate.begin(&who(7, "alice"), now).unwrap();
        assert!(gate.is_asking());
        assert_eq!(gate.waiting(now).iter().map(|w| (w.id, w.state)).collect::<Vec<_>>(), [(7, Standing::Waiting)]);
        assert!(!gate.answer(ClientId(8), true));
        assert!(gate.answer(ClientId(7), true));
        assert_eq!(answered.try_recv(), Ok(true));
        assert!(!gate.answer(ClientId(7), false), "it was answered");
        assert!(!gate.is_asking());
    }

    #[test]
    fn a_question_that_is_taken_back_is_gone() {
        let (gate, alice) = (Gate::default(), who(1, "alice"));
        let _answered = gate.begin(&alice, Instant::now()).unwrap();
        drop(Open { gate: &gate, who: &alice, decided: false });
        assert!(!gate.is_asking() && !gate.answer(ClientId(1), true));
        assert!(matches!(gate.begin(&alice, Instant::now()), Err(Verdict::Resting(_))), "it may not ask in a loop");
    }

    #[test]
    fn few_are_asked_about_at_once() {
        let (gate, now) = (Gate::default(), Instant::now());
        let asked: Vec<_> = (0..4).map(|n| gate.begin(&who(n, &format!("u{n}")), now)).collect();
        assert!(asked.iter().all(Result::is_ok));
        assert_eq!(gate.begin(&who(4, "u4"), now).err(), Some(Verdict::Busy));
    }

    #[test]
    fn after_a_no_the_same_user_rests_and_others_do_not() {
        let (gate, now) = (Gate::default(), Instant::now());
        gate.rest(&who(1, "alice"), now);
        let again = gate.begin(&who(2, "alice"), now + Duration::from_secs(10)).err();
        assert_eq!(again, Some(Verdict::Resting(Duration::from_secs(20))));
        assert!(gate.begin(&who(3, "bob"), now).is_ok());
        assert!(gate.begin(&who(4, "alice"), now + REST).is_ok());
    }

    #[test]
    fn those_that_rest_are_bounded() {
        let (gate, now) = (Gate::default(), Instant::now());
        for n in 0..2 * MAX_RESTING as u64 {
            gate.rest(&who(n, &format!("u{n}")), now);
        }
        assert_eq!(gate.lock().resting.len(), MAX_RESTING);
        gate.rest(&who(1, "late"), now + REST);
        assert_eq!(gate.lock().resting.len(), 1, "what is over is forgotten");
    }
}
