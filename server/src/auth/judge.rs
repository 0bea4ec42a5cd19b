//! The judge of this process: chains of factors over the user file, the one-time password, certificates and PAM.

use std::path::PathBuf;
use std::sync::Arc;

use super::attempt::Attempt;
use super::login::{Caller, Judge, Judging, Login, Secret};
use super::queue::{HashQueue, network_of};
use super::session_password::SessionPassword;
use super::settings::{Chain, FactorName, Settings, SettingsError};
use super::stored::Hasher;
use super::system::{Pam, SystemHelper};
use super::users::{UserFile, UserFileError};

/// Tells the time: seconds since 1970.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Tells the user whose certificate (DER, its chain already checked) this is.
pub type CertificateNames = Arc<dyn Fn(&[u8]) -> Option<String> + Send + Sync>;

/// What a judge is made of.
pub struct Parts {
    /// `[auth]`.
    pub settings: Settings,
    /// The user file where the settings name none.
    pub users: PathBuf,
    /// Who a certificate belongs to; none where nobody can show one.
    pub certificates: Option<CertificateNames>,
    /// How PAM is reached; none where it cannot be.
    pub system: Option<SystemHelper>,
    /// The time, for codes.
    pub clock: WallClock,
}

/// Why there is no judge: for the administrator to mend.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The user file is.
    #[error(transparent)]
    Users(#[from] UserFileError),
    /// A chain that nobody can prove.
    #[error("auth.chains: {factor} needs {what}")]
    Lacking {
        /// The factor.
        factor: &'static str,
        /// What is not there, and how it comes to be.
        what: String,
    },
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// What all logins share.
pub(super) struct Shared {
    pub users: UserFile,
    pub session: Option<SessionPassword>,
    pub certificates: Option<CertificateNames>,
    pub hasher: Hasher,
    pub clock: WallClock,
    pub pam: Option<Arc<Pam>>,
    queue: HashQueue,
    chains: Vec<Chain>,
    append_otp: bool,
}

impl Shared {
    /// Does work that waits for the disk; none where it could not be done, of which the log has the reason.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, UserFileError> + Send + 'static,
    ) -> Option<T> {
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(done)) => Some(done),
            Ok(Err(error)) => {
                tracing::warn!(%error, "no login can be judged");
                None
            }
            Err(error) => {
                tracing::error!(%error, "judging a login failed");
                None
            }
        }
    }

    /// Does work that costs a password hash, in turn; none also where the queue is full.
    pub(super) async fn hashing<T: Send + 'static>(
        &self,
        caller: &Caller,
        work: impl FnOnce() -> Result<T, UserFileError> + Send + 'static,
    ) -> Option<T> {
        let permit = self.queue.permit(&network_of(&caller.peer), caller.known).await?;
        // the permit goes with the work: who gives the login up does not free it before the work is done
        self.blocking(move || {
            let done = work();
            drop(permit);
            done
        })
        .await
    }
}

/// Whether a name, a password and perhaps a code after it can prove all of a chain.
fn is_plain(chain: &Chain, append_otp: bool) -> bool {
    let passwords = chain.iter().filter(|factor| factor.is_password()).count();
    passwords == 1 && (append_otp || !chain.contains(&FactorName::Totp))
}

/// Judges in this process. Its futures are to be run by tokio.
#[derive(Clone)]
pub struct LocalJudge(Arc<Shared>);

impl LocalJudge {
    /// A judge, after a look at everything it needs.
    ///
    /// # Errors
    /// When the settings are wrong, the user file is, or a chain could never be proved.
    pub fn new(parts: Parts) -> Result<Self, JudgeError> {
        Self::of_run(parts, SessionPassword::generate()?)
    }

    /// The same with a one-time password of the run that was made before: a judge that takes another's place takes what
    /// people were told.
    ///
    /// # Errors
    /// As [`LocalJudge::new`].
    pub fn of_run(parts: Parts, session: SessionPassword) -> Result<Self, JudgeError> {
        let Parts { settings, users, certificates, system, clock } = parts;
        settings.check()?;
        let users = UserFile::new(settings.users.clone().unwrap_or(users));
        let read = users.load()?;
        let chains = settings.chains_in_force(read.iter().next().is_some());
        let uses = |factor| chains.iter().any(|chain| chain.contains(&factor));
        let lacking = |factor: FactorName, what| JudgeError::Lacking { factor: factor.name(), what };
        let nobody = |advice: &str| format!("a user in {}; {advice} makes one", users.path().display());
        if uses(FactorName::UserFile) && !read.iter().any(|user| user.password.is_some()) {
            return Err(lacking(FactorName::UserFile, nobody("`farpane user add NAME`")));
        }
        let coded = read.iter().any(|user| user.seed.is_some());
        if uses(FactorName::Totp) && !coded {
            return Err(lacking(FactorName::Totp, nobody("`farpane user totp NAME`")));
        }
        if uses(FactorName::Certificate) && certificates.is_none() {
            return Err(lacking(FactorName::Certificate, "tls.client_ca".into()));
        }
        if uses(FactorName::System) && system.is_none() {
            return Err(lacking(FactorName::System, "a process for PAM".into()));
        }
        if coded && !uses(FactorName::Totp) {
            tracing::warn!("no chain of auth.chains asks for the codes that users have set up");
        }
        let session = uses(FactorName::Session).then_some(session);
        let pam = system.map(|helper| Arc::new(Pam::new(helper, settings.pam_service, settings.pam_folder)));
        let (hasher, queue, append_otp) = (Hasher::default(), HashQueue::default(), settings.append_otp == 6);
        Ok(LocalJudge(Arc::new(Shared { users, session, certificates, hasher, clock, pam, queue, chains, append_otp })))
    }

    /// The one-time password of this run, where some chain takes it: to be told to whoever started the server.
    pub fn session_password(&self) -> Option<&Secret> {
        self.0.session.as_ref().map(SessionPassword::shown)
    }

    /// The chains in force.
    pub fn chains(&self) -> &[Chain] {
        &self.0.chains
    }

    /// How many argon2id and bcrypt computations were done so far.
    pub fn hash_counts(&self) -> (u64, u64) {
        self.0.hasher.counts()
    }

    /// The chains that this caller could prove at all: nothing in it hangs on the user.
    fn open_to(&self, caller: &Caller, plain: bool) -> Vec<Chain> {
        let chains = self.0.chains.iter();
        let chains = chains.filter(|c| caller.certificate.is_some() || !c.contains(&FactorName::Certificate));
        chains.filter(|chain| !plain || is_plain(chain, self.0.append_otp)).cloned().collect()
    }
}

impl Judge for LocalJudge {
    fn begin(&self, caller: Caller, user: String) -> Box<dyn Login> {
        let chains = self.open_to(&caller, false);
        Box::new(Attempt::new(self.0.clone(), caller, user, chains))
    }

    fn password(&self, caller: Caller, user: String, password: Secret) -> Judging<'_> {
        let chains = self.open_to(&caller, true);
        let mut attempt = Attempt::new(self.0.clone(), caller, user, chains).with(password, self.0.append_otp);
        Box::pin(async move { attempt.next(Vec::new()).await })
    }

    fn takes_passwords(&self) -> bool {
        self.0.chains.iter().any(|chain| is_plain(chain, self.0.append_otp))
    }

    fn wants_certificates(&self) -> bool {
        self.0.chains.iter().any(|chain| chain.contains(&FactorName::Certificate))
    }

    fn certificate_suffices(&self) -> bool {
        self.0.chains.iter().any(|chain| **chain == [FactorName::Certificate])
    }
}

#[cfg(test)]
mod tests;
