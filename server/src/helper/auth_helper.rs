//! The process that holds secrets: identity key, RSA key, TLS key, users and their passwords, codes, PAM.
//!
//! What reads the network asks it and gets an agreement, a signature, a verdict; no key and no password hash ever comes back.
//! Questions have numbers, so that a login that waits for a person holds up no handshake. The other side may have been
//! taken over: it can use the keys for as long as it lives and guess passwords as slowly as they are judged, and can take nothing
//! away. Here are the messages and what asks; [`serve`] is the helper's side.
//!
//! Key operations block for at most [`KEY_LIMIT`]; one that is not answered is one that failed. In a runtime of several threads
//! the others go on meanwhile, whatever waits in this one. Logins are futures.

mod certificates;
pub mod hex;
mod remote_key;
mod serve;

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use farpane_channel::{PublicKey, SharedSecret, StaticKey};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Handle, RuntimeFlavor};
use zeroize::Zeroizing;

use super::calls::{CallError, Calls, Line};
use super::wire::{self, Receiver, WireError};
use crate::auth::{Caller, Judge, Judging, Login, Secret, Turn};
use crate::security::rsa_aes::key::{KEY_BITS, RsaKey, RsaPublic};
use hex::Hex;

pub use certificates::RemoteCertificates;
pub use serve::{Keys, serve};

/// What a key operation may take: RSA of 8,192 bits takes a tenth of it on a slow machine.
pub const KEY_LIMIT: Duration = Duration::from_secs(2);
/// What opening keys may take: RSA keys are made at the first start.
const OPEN_LIMIT: Duration = Duration::from_secs(120);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Ask {
    /// The X25519 agreement of the identity key with this one.
    Agree { their: Hex },
    /// So many bytes that were encrypted to the RSA key, or as many random ones.
    Decrypt { block: Hex, length: u8 },
    /// Load the TLS key and its certificates, to be known by this number.
    Load { number: u64 },
    /// The certificates under that number, from this byte on.
    Public { number: u64, at: usize },
    /// A signature by the TLS key under that number.
    Sign { number: u64, scheme: u16, message: Hex },
    /// Nothing is served any more with what was loaded under that number. Has no answer.
    Forget { number: u64 },
    /// A login that says everything at once.
    Password { caller: Caller, user: String, password: Secret },
    /// A login's first turn. The server chooses its number.
    Begin { login: u64, caller: Caller, user: String },
    /// A login's next turn.
    Next { login: u64, replies: Vec<Secret> },
    /// A login that nobody goes on with. Has no answer.
    Abandon { login: u64 },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Told {
    Bytes(Option<Hex>),
    Loaded(Loaded),
    Failed(String),
    Turn(Turn),
}

/// What loading the TLS key came to.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Loaded {
    /// Of its certificates.
    bytes: usize,
    schemes: Vec<u16>,
    algorithm: u8,
    public: Option<Hex>,
}

/// What the helper is and can, its first message.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Opened {
    Ready(Box<Presented>),
    Failed(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Presented {
    identity: Option<Hex>,
    rsa: Option<Hex>,
    judge: Option<Chains>,
    session_password: Option<Secret>,
}

/// What a judge says of its chains.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chains {
    takes_passwords: bool,
    wants_certificates: bool,
    certificate_suffices: bool,
}

/// Why the helper could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum AuthHelperError {
    /// It says what is wrong with keys or users: for the administrator to mend.
    #[error("{0}")]
    Keys(String),
    /// It does not speak as expected.
    #[error("auth-helper: {0}")]
    Wire(#[from] WireError),
    /// It does not answer.
    #[error("auth-helper: {0}")]
    Call(#[from] CallError),
}

/// The keys and the judge of a helper.
pub struct RemoteKeys {
    calls: Arc<Calls<Ask, Told>>,
    presented: Presented,
}

impl RemoteKeys {
    /// Tells a helper that was just started what to hold, waits until it does. It is not started again.
    ///
    /// # Errors
    /// What is wrong with keys or users, in the helper's words; or the helper is gone.
    pub fn start(socket: UnixStream, setup: &impl Serialize) -> Result<Self, AuthHelperError> {
        wire::ends(socket.try_clone().map_err(WireError::Io)?).0.send(setup, &[])?;
        Self::over(Line::once("farpane-auth", socket))
    }

    /// Waits until a helper that has been told what to hold does, here and whenever it is started again. Then its keys
    /// have to be the same: they are what the server is known by.
    ///
    /// # Errors
    /// As [`RemoteKeys::start`].
    pub fn over(line: Line) -> Result<Self, AuthHelperError> {
        let (tell, told) = mpsc::channel();
        let mut known: Option<[Option<Vec<u8>>; 2]> = None;
        let greet = move |receiver: &mut Receiver| {
            let presented = match receiver.receive::<Opened>(Some(OPEN_LIMIT))?.0 {
                Opened::Ready(presented) => *presented,
                Opened::Failed(why) => return Err(CallError::Unfit(why)),
            };
            let bytes = |key: &Option<Hex>| key.as_ref().map(|key| key.bytes().to_vec());
            let keys = [bytes(&presented.identity), bytes(&presented.rsa)];
            match &known {
                Some(known) if *known != keys => {
                    return Err(CallError::Unfit("it holds other keys than before; start farpane again".into()));
                }
                Some(_) => {}
                None => known = Some(keys),
            }
            // only the first is waited for
            let _ = tell.send(presented);
            Ok(())
        };
        let calls = Calls::greeted(line, greet).map_err(|error| match error {
            CallError::Unfit(why) => AuthHelperError::Keys(why),
            error => error.into(),
        })?;
        let presented = told.try_recv().map_err(|_| CallError::Gone)?;
        Ok(RemoteKeys { calls: Arc::new(calls), presented })
    }

    /// From here on the helper's end is noticed: starts a thread. `again` is done on a thread of its own whenever another helper has
    /// taken its place: what it had loaded has to be loaded anew.
    ///
    /// # Errors
    /// When there are no threads left.
    pub fn watch(&self, again: impl Fn() + Send + Sync + 'static) -> Result<(), CallError> {
        self.calls.when_again(again);
        self.calls.watch()
    }

    /// The identity key, where the helper has one.
    pub fn identity(&self) -> Option<RemoteIdentity> {
        let public = self.presented.identity.as_ref()?.bytes().try_into().ok()?;
        Some(RemoteIdentity { calls: Arc::clone(&self.calls), public: PublicKey::new(public) })
    }

    /// The RSA key, where the helper has one.
    pub fn rsa(&self) -> Option<RemoteRsa> {
        let public = RsaPublic::parse(self.presented.rsa.as_ref()?.bytes(), &KEY_BITS).ok()?;
        Some(RemoteRsa { calls: Arc::clone(&self.calls), public })
    }

    /// The judge, where the helper has one.
    pub fn judge(&self) -> Option<RemoteJudge> {
        let chains = self.presented.judge?;
        Some(RemoteJudge { calls: Arc::clone(&self.calls), next: Arc::default(), chains })
    }

    /// The one-time password of this run, where some chain takes it: to be told to whoever started the server, once.
    pub fn take_session_password(&mut self) -> Option<Secret> {
        self.presented.session_password.take()
    }

    /// Certificates, their key and whom clients have theirs from.
    pub fn certificates(&self) -> RemoteCertificates {
        RemoteCertificates { calls: Arc::clone(&self.calls) }
    }
}

/// Waits for something in a thread of a runtime whose other threads take over what waits there.
fn waiting<T>(wait: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
        _ => wait(),
    }
}

/// Asks for bytes, and has none where there is no answer.
fn bytes(calls: &Calls<Ask, Told>, question: Ask) -> Option<Zeroizing<Vec<u8>>> {
    match waiting(|| calls.call(question, KEY_LIMIT)) {
        Ok((Told::Bytes(bytes), _)) => bytes.map(Hex::into_bytes),
        Ok(_) => None,
        Err(error) => {
            tracing::error!(%error, "no key operation");
            None
        }
    }
}

/// The identity key of a helper.
pub struct RemoteIdentity {
    calls: Arc<Calls<Ask, Told>>,
    public: PublicKey,
}

impl StaticKey for RemoteIdentity {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn agree(&self, their: &PublicKey) -> Option<SharedSecret> {
        let shared = bytes(&self.calls, Ask::Agree { their: Hex::of(their.as_bytes()) })?;
        let shared: &[u8; 32] = shared.as_slice().try_into().ok()?;
        Some(Zeroizing::new(*shared))
    }
}

/// The RSA key of a helper.
pub struct RemoteRsa {
    calls: Arc<Calls<Ask, Told>>,
    public: RsaPublic,
}

impl RsaKey for RemoteRsa {
    fn public(&self) -> &RsaPublic {
        &self.public
    }

    fn decrypt(&self, block: &[u8], length: usize) -> Option<Zeroizing<Vec<u8>>> {
        let length = u8::try_from(length).ok()?;
        bytes(&self.calls, Ask::Decrypt { block: Hex::of(block), length })
    }
}

/// The judge of a helper.
#[derive(Clone)]
pub struct RemoteJudge {
    calls: Arc<Calls<Ask, Told>>,
    next: Arc<AtomicU64>,
    chains: Chains,
}

async fn turn(calls: &Calls<Ask, Told>, question: Ask) -> Turn {
    match calls.ask(question).await {
        Ok((Told::Turn(turn), _)) => turn,
        Ok(_) => Turn::Unavailable,
        Err(error) => {
            tracing::error!(%error, "no login can be judged");
            Turn::Unavailable
        }
    }
}

impl Judge for RemoteJudge {
    fn begin(&self, caller: Caller, user: String) -> Box<dyn Login> {
        let login = self.next.fetch_add(1, Ordering::Relaxed);
        let calls = Arc::clone(&self.calls);
        Box::new(RemoteLogin { calls, login, first: Some((caller, user)), open: false })
    }

    fn password(&self, caller: Caller, user: String, password: Secret) -> Judging<'_> {
        Box::pin(turn(&self.calls, Ask::Password { caller, user, password }))
    }

    fn takes_passwords(&self) -> bool {
        self.chains.takes_passwords
    }

    fn wants_certificates(&self) -> bool {
        self.chains.wants_certificates
    }

    fn certificate_suffices(&self) -> bool {
        self.chains.certificate_suffices
    }
}

struct RemoteLogin {
    calls: Arc<Calls<Ask, Told>>,
    login: u64,
    /// Who wants to log in, before the first turn.
    first: Option<(Caller, String)>,
    /// The helper may still have it.
    open: bool,
}

impl Login for RemoteLogin {
    fn next(&mut self, replies: Vec<Secret>) -> Judging<'_> {
        let login = self.login;
        let question = match self.first.take() {
            Some((caller, user)) => Ask::Begin { login, caller, user },
            None => Ask::Next { login, replies },
        };
        self.open = true;
        Box::pin(async move {
            let turn = turn(&self.calls, question).await;
            self.open = !matches!(turn, Turn::Granted(_) | Turn::Refused);
            turn
        })
    }
}

impl Drop for RemoteLogin {
    fn drop(&mut self) {
        if self.open {
            self.calls.tell(Ask::Abandon { login: self.login });
        }
    }
}

#[cfg(test)]
mod tests;
