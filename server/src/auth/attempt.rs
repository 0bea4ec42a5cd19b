//! One login: the chains that are open to its caller, one after the other, each asked to its end before it is judged.
//!
//! Every wrong proof takes one way: a factor that is wrong is remembered, the rest of its chain is asked and judged all the
//! same, and the verdict is one word. So unknown users, wrong proofs and disabled users look and cost alike.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use super::factor::{Ask, Certificate, Code, Factor, Outcome, Proof, Session, Step, UserPassword, cut_code};
use super::judge::Shared;
use super::login::{
    Caller, Granted, Judging, Login, MAX_NAME, MAX_PROMPTS, MAX_REPLY, Prompt, PromptKind, Secret, Turn,
};
use super::settings::{Chain, FactorName};
use super::system::System;
use super::users::{Spending, UserFileError};

/// Turns of one login at most, of whatever conversation.
const MOST_TURNS: u32 = 32;

/// What the last turn asked for.
enum Asked {
    Nothing,
    Password,
    Code,
    /// So many replies to a factor's own prompts; whether they are one password.
    These {
        replies: usize,
        password: bool,
    },
}

/// The chain that is being asked.
struct Running {
    left: VecDeque<FactorName>,
    name: FactorName,
    factor: Box<dyn Factor>,
    asked: Asked,
    /// Passwords of this chain that were asked for so far.
    passwords: usize,
    /// The factor's own prompts were answered with a password that was known.
    answered: bool,
    user: String,
    wrong: bool,
    proved: Vec<(FactorName, Proof)>,
}

/// What has been said in this login; the same question in another chain is not asked again.
#[derive(Default)]
struct Said {
    passwords: Vec<Secret>,
    code: Option<Secret>,
    /// For chains without a code, where the password came with or without one.
    whole: Option<Secret>,
    /// Nothing more can be asked.
    all: bool,
}

/// One login.
pub(super) struct Attempt {
    shared: Arc<Shared>,
    caller: Arc<Caller>,
    user: String,
    chains: VecDeque<Chain>,
    running: Option<Running>,
    said: Said,
    some_wrong: bool,
    turns: u32,
    over: bool,
}

impl Attempt {
    pub(super) fn new(shared: Arc<Shared>, caller: Caller, user: String, chains: Vec<Chain>) -> Self {
        // nobody has a name that long
        let user = if user.len() > MAX_NAME { String::new() } else { user };
        // where no chain is open to the caller, no proof is enough
        let nobody = chains.is_empty();
        let (caller, chains) = (Arc::new(caller), chains.into());
        let (said, some_wrong) = (Said::default(), nobody);
        Attempt { shared, caller, user, chains, running: None, said, some_wrong, turns: 0, over: false }
    }

    /// Says everything at once: nothing will be asked.
    pub(super) fn with(mut self, password: Secret, append_otp: bool) -> Self {
        let password = within(password);
        let (before, code) = if append_otp { cut_code(&password) } else { (password.clone(), Secret::default()) };
        self.said = Said { passwords: vec![before], code: Some(code), whole: Some(password), all: true };
        self
    }

    fn factor(&self, name: FactorName, user: &str) -> Option<Box<dyn Factor>> {
        let (shared, caller, user) = (self.shared.clone(), self.caller.clone(), user.to_owned());
        Some(match name {
            FactorName::Session => Box::new(Session { shared }),
            FactorName::UserFile => Box::new(UserPassword { shared, caller, user }),
            FactorName::Totp => Box::new(Code { shared, user }),
            FactorName::Certificate => Box::new(Certificate { shared, caller, user }),
            FactorName::System => {
                // the modules' rules and logs know addresses; what is none is of this machine
                let address = caller.peer.parse::<SocketAddr>().map(|at| at.ip().to_canonical().to_string());
                Box::new(System::new(shared.pam.clone()?, user, address.unwrap_or_default()))
            }
        })
    }

    fn start(&self, chain: Chain) -> Option<Running> {
        let mut left = VecDeque::from(chain);
        let name = left.pop_front()?;
        let user = self.user.clone();
        let factor = self.factor(name, &user)?;
        let (asked, proved) = (Asked::Nothing, Vec::new());
        Some(Running { left, name, factor, asked, passwords: 0, answered: false, user, wrong: false, proved })
    }

    async fn run(&mut self, mut replies: Vec<Secret>) -> Turn {
        loop {
            let Some(mut running) = self.running.take() else {
                let Some(chain) = self.chains.pop_front() else {
                    return if self.some_wrong { Turn::Refused } else { Turn::Unavailable };
                };
                self.running = self.start(chain);
                continue;
            };
            let input = std::mem::take(&mut replies);
            match std::mem::replace(&mut running.asked, Asked::Nothing) {
                Asked::Nothing => {}
                Asked::Password => self.said.passwords.extend(input.first().cloned()),
                Asked::Code => self.said.code = input.first().cloned(),
                Asked::These { password: true, .. } => self.said.passwords.extend(input.first().cloned()),
                Asked::These { .. } => {}
            }
            let mut step = running.factor.next(input).await;
            // what is known already is not asked for
            let done = loop {
                match step {
                    Step::Done(outcome) => break outcome,
                    Step::Ask(ask) => match self.answer(&mut running, ask) {
                        Ok(known) => step = running.factor.next(known).await,
                        Err(Some(prompts)) => {
                            self.running = Some(running);
                            return Turn::Ask(prompts);
                        }
                        Err(None) => break Outcome::Wrong,
                    },
                }
            };
            match done {
                Outcome::Proved(proof) => running.proved.push((running.name, proof)),
                Outcome::Wrong => running.wrong = true,
                // nothing can come of this chain any more, whatever was proved
                Outcome::Unavailable => continue,
            }
            if running.user.is_empty() {
                let named = running.proved.last().and_then(|(_, proof)| proof.user.clone());
                running.user = named.unwrap_or_default();
            }
            if let Some(next) = running.left.pop_front() {
                let Some(factor) = self.factor(next, &running.user) else { continue };
                (running.name, running.factor, running.answered) = (next, factor, false);
                self.running = Some(running);
                continue;
            }
            if running.wrong {
                self.some_wrong = true;
                continue;
            }
            match self.grant(running).await {
                Ok(granted) => return Turn::Granted(granted),
                Err(wrong) => self.some_wrong |= wrong,
            }
        }
    }

    /// The answer to what a factor asks where it is known; else the prompts to show, or none where nothing can be asked.
    fn answer(&self, running: &mut Running, ask: Ask) -> Result<Vec<Secret>, Option<Vec<Prompt>>> {
        let show = |running: &mut Running, asked, prompts| {
            running.asked = asked;
            Err((!self.said.all).then_some(prompts))
        };
        let hidden = |text: &str| vec![Prompt { text: text.to_owned(), kind: PromptKind::Hidden }];
        match ask {
            Ask::Password(text) => {
                let nth = running.passwords;
                running.passwords = nth.saturating_add(1);
                match self.password(running, nth) {
                    Some(known) => Ok(vec![known]),
                    None => show(running, Asked::Password, hidden(text)),
                }
            }
            Ask::Code(text) => match &self.said.code {
                Some(known) => Ok(vec![known.clone()]),
                None => show(running, Asked::Code, hidden(text)),
            },
            Ask::These(mut prompts) => {
                prompts.truncate(MAX_PROMPTS);
                let asking: Vec<PromptKind> = prompts.iter().map(|p| p.kind).filter(|kind| kind.asks()).collect();
                if asking.is_empty() && self.said.all {
                    return Ok(Vec::new());
                }
                let password = !running.answered && asking == [PromptKind::Hidden];
                if !password {
                    return show(running, Asked::These { replies: asking.len(), password: false }, prompts);
                }
                running.answered = true;
                let nth = running.passwords;
                running.passwords = nth.saturating_add(1);
                match self.password(running, nth) {
                    Some(known) => Ok(vec![known]),
                    None => show(running, Asked::These { replies: 1, password: true }, prompts),
                }
            }
        }
    }

    /// The password that was said for the `nth` one of this chain.
    fn password(&self, running: &Running, nth: usize) -> Option<Secret> {
        let coded = running.name == FactorName::Totp
            || running.left.contains(&FactorName::Totp)
            || running.proved.iter().any(|(name, _)| *name == FactorName::Totp);
        match &self.said.whole {
            Some(whole) if !coded && nth == 0 => Some(whole.clone()),
            _ => self.said.passwords.get(nth).cloned(),
        }
    }

    /// Carries out what follows from a chain that was proved. An error says whether the proof turned out wrong after all.
    async fn grant(&mut self, mut running: Running) -> Result<Granted, bool> {
        let named: Vec<&(FactorName, Proof)> =
            running.proved.iter().filter(|(name, _)| *name != FactorName::Session).collect();
        // PAM may know the user by another name; where others vouch for the name too it has to be the same
        let said = named.iter().find_map(|(name, proof)| proof.user.clone().filter(|_| *name == FactorName::System));
        let user = match said {
            Some(said) if said != running.user && named.len() > 1 => return Err(true),
            Some(said) => said,
            None if named.is_empty() => String::new(),
            None => running.user.clone(),
        };
        if user.is_empty() && !named.is_empty() {
            return Err(true);
        }
        let factors = running.proved.iter().map(|(name, _)| name.name().to_owned()).collect();
        let mut granted = Granted { user, groups: Vec::new(), factors };
        let mut spendings: Vec<Spending> = Vec::new();
        let mut renew = None;
        for (_, proof) in &mut running.proved {
            granted.groups.append(&mut proof.groups);
            spendings.extend(proof.spending.take());
            renew = renew.or(proof.renew.take());
        }
        if granted.user.is_empty() {
            return Ok(granted);
        }
        let (shared, name) = (self.shared.clone(), granted.user.clone());
        let looked = self.shared.blocking(move || {
            let users = shared.users.load()?;
            if users.get(&name).is_some_and(|user| user.disabled) {
                return Ok(None);
            }
            if !spendings.is_empty() {
                match shared.users.spend(&name, &spendings) {
                    Err(UserFileError::Spent | UserFileError::Unknown(_)) => return Ok(None),
                    spent => spent?,
                }
            }
            Ok(Some(users.get(&name).map(|user| user.groups.clone()).unwrap_or_default()))
        });
        let groups = looked.await.ok_or(false)?.ok_or(true)?;
        for group in groups {
            if !granted.groups.contains(&group) {
                granted.groups.push(group);
            }
        }
        if let Some(password) = renew {
            self.renew(granted.user.clone(), password).await;
        }
        Ok(granted)
    }

    /// Keeps an imported password as argon2id; that it cannot be done harms nobody.
    async fn renew(&mut self, name: String, password: Secret) {
        let shared = self.shared.clone();
        let renewing = move || {
            let users = shared.users.load()?;
            let old = users.get(&name).and_then(|user| user.password.as_ref()).filter(|old| old.is_outdated());
            let Some(old) = old else { return Ok(()) };
            let new = old.renewed(password.reveal())?;
            let renewed = shared.users.change(|users| {
                let user = users.get_mut(&name)?;
                // somebody may have set another one meanwhile
                if user.password.as_ref().is_some_and(|kept| *kept.print() == *old.print()) {
                    user.password = Some(new);
                }
                Ok(())
            });
            if let Err(error) = renewed {
                tracing::debug!(user = name, %error, "the imported password stays as it is");
            }
            Ok::<(), UserFileError>(())
        };
        self.shared.hashing(&self.caller, renewing).await;
    }
}

/// What is too long to be right is an empty reply.
fn within(reply: Secret) -> Secret {
    if reply.reveal().len() > MAX_REPLY { Secret::default() } else { reply }
}

impl Login for Attempt {
    fn next(&mut self, replies: Vec<Secret>) -> Judging<'_> {
        Box::pin(async move {
            self.turns = self.turns.saturating_add(1);
            let wanted = match self.running.as_ref().map(|running| &running.asked) {
                None | Some(Asked::Nothing) => 0,
                Some(Asked::Password | Asked::Code) => 1,
                Some(Asked::These { replies, .. }) => *replies,
            };
            if self.over || replies.len() != wanted || self.turns > MOST_TURNS {
                self.over = true;
                self.running = None;
                return Turn::Refused;
            }
            let turn = self.run(replies.into_iter().map(within).collect()).await;
            self.over = !matches!(turn, Turn::Ask(_));
            turn
        })
    }
}
