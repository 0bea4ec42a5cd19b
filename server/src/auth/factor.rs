//! Factors: what has to be proved, each as a machine of prompts and replies.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::judge::Shared;
use super::login::{Caller, Prompt, Secret};
use super::session_password::GROUP as RECOVERY_GROUP;
use super::totp::{CODE_DIGITS, RECOVERY_LETTERS, Recovery, Seed, Used};
use super::users::Spending;

/// What a factor wants to know.
pub(super) enum Ask {
    /// A password; viewers that ask for nothing else send one along.
    Password(&'static str),
    /// A code of an app, or a recovery code.
    Code(&'static str),
    /// Whatever these say.
    These(Vec<Prompt>),
}

/// What a factor says next.
pub(super) enum Step {
    /// It wants replies.
    Ask(Ask),
    /// It is through.
    Done(Outcome),
}

/// How it ended.
pub(super) enum Outcome {
    /// The proof is right.
    Proved(Proof),
    /// The proof is wrong, or no proof would be right.
    Wrong,
    /// There is no telling.
    Unavailable,
}

/// What follows from a right proof, once all of its chain are right.
#[derive(Default)]
pub(super) struct Proof {
    /// The user's name as the factor has it, where that is its to say.
    pub user: Option<String>,
    /// Groups that it adds.
    pub groups: Vec<String>,
    /// What is used up.
    pub spending: Option<Spending>,
    /// A password that is to be kept anew.
    pub renew: Option<Secret>,
}

/// A step that is still being made.
pub(super) type Stepping<'a> = Pin<Box<dyn Future<Output = Step> + Send + 'a>>;

/// One factor of one login. Dropping it gives it up.
pub(super) trait Factor: Send {
    /// The next step; `replies` are to what it asked last, none at first.
    fn next(&mut self, replies: Vec<Secret>) -> Stepping<'_>;
}

fn done(outcome: Outcome) -> Stepping<'static> {
    Box::pin(std::future::ready(Step::Done(outcome)))
}

fn ask(what: Ask) -> Stepping<'static> {
    Box::pin(std::future::ready(Step::Ask(what)))
}

fn verdict(right: bool) -> Outcome {
    if right { Outcome::Proved(Proof::default()) } else { Outcome::Wrong }
}

/// `session`: the one-time password of this run.
pub(super) struct Session {
    pub shared: Arc<Shared>,
}

impl Factor for Session {
    fn next(&mut self, replies: Vec<Secret>) -> Stepping<'_> {
        let Some(typed) = replies.first() else { return ask(Ask::Password("One-time password")) };
        let right = self.shared.session.as_ref().is_some_and(|password| password.matches(typed.reveal()));
        done(verdict(right))
    }
}

/// `userfile`: a password of the own user file.
pub(super) struct UserPassword {
    pub shared: Arc<Shared>,
    pub caller: Arc<Caller>,
    pub user: String,
}

impl Factor for UserPassword {
    fn next(&mut self, replies: Vec<Secret>) -> Stepping<'_> {
        let Some(typed) = replies.into_iter().next() else { return ask(Ask::Password("Password")) };
        let (shared, name) = (self.shared.clone(), self.user.clone());
        Box::pin(async move {
            let judging = {
                let shared = shared.clone();
                move || {
                    let users = shared.users.load()?;
                    let user = users.get(&name).filter(|user| !user.disabled);
                    let stored = user.and_then(|user| user.password.as_ref());
                    let right = shared.hasher.judge(stored, &users.costs(), typed.reveal());
                    let renew = (right && stored.is_some_and(|s| s.is_outdated())).then_some(typed);
                    Ok((right, renew))
                }
            };
            Step::Done(match shared.hashing(&self.caller, judging).await {
                Some((true, renew)) => Outcome::Proved(Proof { renew, ..Proof::default() }),
                Some((false, _)) => Outcome::Wrong,
                None => Outcome::Unavailable,
            })
        })
    }
}

/// `totp`: a code of an app, or a recovery code.
pub(super) struct Code {
    pub shared: Arc<Shared>,
    pub user: String,
}

impl Factor for Code {
    fn next(&mut self, replies: Vec<Secret>) -> Stepping<'_> {
        let Some(typed) = replies.into_iter().next() else { return ask(Ask::Code("Code")) };
        let (shared, name) = (self.shared.clone(), self.user.clone());
        let now_s = (shared.clock)();
        Box::pin(async move {
            let judging = {
                let shared = shared.clone();
                move || {
                    let users = shared.users.load()?;
                    let user = users.get(&name).filter(|user| !user.disabled);
                    // nobody's codes are computed too, and count for nothing
                    let nobody = (Seed::nobodys(), Used::default(), Recovery::default());
                    let seed = user.and_then(|user| user.seed.as_ref());
                    let used = user.map_or(&nobody.1, |user| &user.used);
                    let recovery = user.map_or(&nobody.2, |user| &user.recovery);
                    let step = seed.unwrap_or(&nobody.0).step_of(typed.reveal().trim(), now_s, used);
                    let spare = recovery.find(typed.reveal());
                    let step = step.filter(|_| seed.is_some()).map(Spending::Step);
                    Ok(step.or(spare.map(Spending::Recovery)))
                }
            };
            Step::Done(match shared.blocking(judging).await {
                Some(spending @ Some(_)) => Outcome::Proved(Proof { spending, ..Proof::default() }),
                Some(None) => Outcome::Wrong,
                None => Outcome::Unavailable,
            })
        })
    }
}

/// `certificate`: the certificate below is the user's. Asks nothing.
pub(super) struct Certificate {
    pub shared: Arc<Shared>,
    pub caller: Arc<Caller>,
    pub user: String,
}

impl Factor for Certificate {
    fn next(&mut self, _: Vec<Secret>) -> Stepping<'_> {
        let named = self.caller.certificate.as_deref().zip(self.shared.certificates.as_ref());
        let named = named.and_then(|(der, name_of)| name_of(der));
        // who gave no name is who the certificate says
        let named = named.filter(|name| !name.is_empty() && (self.user.is_empty() || self.user == *name));
        done(match named {
            Some(name) => Outcome::Proved(Proof { user: Some(name), ..Proof::default() }),
            None => Outcome::Wrong,
        })
    }
}

/// Where a recovery code at the end of a text begins, written as it was shown: groups of four with dashes. A code of an app
/// never looks like that.
fn recovery_at(text: &str) -> Option<usize> {
    let at = text.len().checked_sub(RECOVERY_LETTERS + RECOVERY_LETTERS / RECOVERY_GROUP - 1)?;
    let code = text.get(at..)?;
    let group = |group: &str| group.len() == RECOVERY_GROUP && group.bytes().all(|b| b.is_ascii_alphanumeric());
    code.split('-').all(group).then_some(at)
}

/// Cuts the code, or the recovery code, off the end of a password; where the password is shorter there is none before it.
pub(super) fn cut_code(password: &Secret) -> (Secret, Secret) {
    let text = password.reveal();
    let last = || text.char_indices().rev().nth(CODE_DIGITS.saturating_sub(1)).map_or(0, |(at, _)| at);
    let at = recovery_at(text).unwrap_or_else(last);
    let (before, code) = text.split_at_checked(at).unwrap_or(("", text));
    (Secret::new(before.to_owned()), Secret::new(code.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_six_characters_are_the_code() {
        for (typed, before, code) in [
            ("hunter2123456", "hunter2", "123456"),
            ("123456", "", "123456"),
            ("345", "", "345"),
            ("", "", ""),
            ("pässwörd12345ß", "pässwörd", "12345ß"),
            ("hunter2abcd-efgh-2345-ijkm", "hunter2", "abcd-efgh-2345-ijkm"),
            ("pw-ABCD-efgh-2345-6789", "pw-", "ABCD-efgh-2345-6789"),
            ("abcd-efgh-2345-ijkm", "", "abcd-efgh-2345-ijkm"),
            ("abcd-efgh-2345-67é9", "abcd-efgh-234", "5-67é9"),
            ("pwabcd-efgh-2345ijkm", "pwabcd-efgh-23", "45ijkm"),
        ] {
            let (a, b) = cut_code(&Secret::new(typed.into()));
            assert_eq!((a.reveal(), b.reveal()), (before, code), "{typed}");
        }
    }
}
