//! The helper's side: keys and a judge, asked over a socket.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use farpane_channel::{PublicKey, StaticKey};
use rustls::SignatureScheme;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::super::calls::Numbered;
use super::super::wire::{self, AsyncSender, WireError};
use super::certificates::{Held, MOST};
use super::hex::Hex;
use super::{Ask, Chains, Loaded, Opened, Presented, Told};
use crate::auth::{Judge, Login, Secret, Turn};
use crate::security::rsa_aes::key::RsaKey;
use crate::security::tls::CertificateSource;

/// What the first message may take.
const SETUP_LIMIT: Duration = Duration::from_secs(10);
/// Logins at once.
const MOST_LOGINS: usize = 256;
/// Key operations that wait or run at once.
const MOST_OPERATIONS: usize = 256;
/// Turns of a login at most: more than any chain has.
const MOST_TURNS: usize = 32;
/// Logins that one connection may try (`docs/processes.md`).
const MOST_TRIES: u8 = 6;
/// Connections whose tries are remembered: more than can be open at once.
const MOST_CONNECTIONS: usize = 4096;
/// A login that nobody ended is over after this long.
const LOGIN_LIMIT: Duration = Duration::from_secs(600);
/// What a key can sign with, best first.
const SCHEMES: [SignatureScheme; 10] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA512,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA256,
];

/// TLS keys that connections may still have begun with.
const MOST_LOADED: usize = 32;

/// What a helper holds.
#[derive(Default)]
pub struct Keys {
    /// The identity key of the channel.
    pub identity: Option<Arc<dyn StaticKey>>,
    /// The RSA key.
    pub rsa: Option<Arc<dyn RsaKey>>,
    /// Where the TLS key and its certificates come from.
    pub certificates: Option<Box<dyn CertificateSource>>,
    /// Who judges logins.
    pub judge: Option<Arc<dyn Judge>>,
    /// The one-time password of this run, where some chain takes it.
    pub session_password: Option<Secret>,
}

impl Keys {
    pub(super) fn presented(&self) -> Presented {
        let chains = |judge: &Arc<dyn Judge>| Chains {
            takes_passwords: judge.takes_passwords(),
            wants_certificates: judge.wants_certificates(),
            certificate_suffices: judge.certificate_suffices(),
        };
        Presented {
            identity: self.identity.as_ref().map(|identity| Hex::of(identity.public().as_bytes())),
            rsa: self.rsa.as_ref().map(|rsa| Hex::of(rsa.public().block())),
            judge: self.judge.as_ref().map(chains),
            session_password: self.session_password.clone(),
        }
    }
}

/// What requests share.
struct Helper {
    keys: Keys,
    now: fn() -> SystemTime,
    loaded: Mutex<HashMap<u64, Held>>,
    operations: Arc<Semaphore>,
}

/// Answers on their way to the socket.
type Answers = mpsc::UnboundedSender<Numbered<Told>>;

/// Does the helper's work until the other end closes. `open` makes keys of the first message, or says what is wrong; `now` tells
/// whether a certificate is good.
///
/// # Errors
/// When the other end says what nobody understands, or the system has no resources left.
pub fn serve<S: DeserializeOwned>(
    socket: UnixStream,
    now: fn() -> SystemTime,
    open: impl FnOnce(S) -> Result<Keys, String>,
) -> Result<(), WireError> {
    let (mut sender, mut receiver) = wire::ends(socket.try_clone()?);
    let (setup, _) = receiver.receive::<S>(Some(SETUP_LIMIT))?;
    let keys = match open(setup) {
        Ok(keys) => keys,
        Err(why) => return sender.send(&Opened::Failed(why), &[]),
    };
    sender.send(&Opened::Ready(Box::new(keys.presented())), &[])?;
    let operations = Arc::new(Semaphore::new(MOST_OPERATIONS));
    let helper = Helper { keys, now, loaded: Mutex::default(), operations };
    // one thread for messages; what computes has threads of its own
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(answer_all(socket, Arc::new(helper)));
    // a login that waits for a module of PAM must not hold up the end
    runtime.shutdown_background();
    match ended {
        Err(WireError::Closed) => Ok(()),
        other => other,
    }
}

async fn answer_all(socket: UnixStream, helper: Arc<Helper>) -> Result<(), WireError> {
    let (sender, mut receiver) = wire::async_ends(socket)?;
    let (answers, waiting) = mpsc::unbounded_channel();
    let mut logins = Logins { running: HashMap::new(), answers: answers.clone() };
    let mut tries = Tries::default();
    let mut sending = std::pin::pin!(send_all(sender, waiting));
    loop {
        let (question, _) = tokio::select! {
            received = receiver.receive::<Numbered<Ask>>() => received?,
            failed = &mut sending => return failed,
        };
        let Numbered { id, body } = question;
        match body {
            Ask::Agree { .. } | Ask::Decrypt { .. } | Ask::Load { .. } | Ask::Public { .. } | Ask::Sign { .. } => {
                operate(&helper, id, body, &answers);
            }
            Ask::Forget { number } => drop(helper.loaded().remove(&number)),
            Ask::Password { caller, .. } | Ask::Begin { caller, .. } if !tries.one_more(caller.connection) => {
                tell(&answers, id, Told::Turn(Turn::Refused));
            }
            Ask::Password { caller, user, password } => {
                let Some(judge) = helper.keys.judge.clone() else {
                    unavailable(&answers, id);
                    continue;
                };
                let done = answers.clone();
                // a number that logins which go on cannot have: they count up from 0
                logins.run(u64::MAX - id, id, async move {
                    let turn = judge.password(caller, user, password).await;
                    tell(&done, id, Told::Turn(turn));
                });
            }
            Ask::Begin { login, caller, user } => match &helper.keys.judge {
                Some(judge) => logins.begin(login, id, judge.begin(caller, user)),
                None => unavailable(&answers, id),
            },
            Ask::Next { login, replies } => logins.next(login, id, replies),
            Ask::Abandon { login } => logins.end(login),
        }
    }
}

/// How often each connection has tried. The highest numbers are the newest connections.
#[derive(Default)]
struct Tries(BTreeMap<u64, u8>);

impl Tries {
    /// Counts a try; false when there were as many as may be.
    fn one_more(&mut self, connection: u64) -> bool {
        let tries = self.0.entry(connection).or_default();
        *tries = tries.saturating_add(1);
        let may = *tries <= MOST_TRIES;
        if self.0.len() > MOST_CONNECTIONS {
            self.0.pop_first();
        }
        may
    }
}

async fn send_all(
    mut sender: AsyncSender,
    mut answers: mpsc::UnboundedReceiver<Numbered<Told>>,
) -> Result<(), WireError> {
    while let Some(answer) = answers.recv().await {
        match sender.send(&answer, &[]).await {
            // more prompts than a message holds: a login that cannot go on
            Err(WireError::Size(_)) => {
                let body = Told::Turn(Turn::Unavailable);
                sender.send(&Numbered { id: answer.id, body }, &[]).await?;
            }
            sent => sent?,
        }
    }
    Err(WireError::Closed)
}

fn tell(answers: &Answers, id: u64, body: Told) {
    // nobody listens in the end
    let _ = answers.send(Numbered { id, body });
}

fn unavailable(answers: &Answers, id: u64) {
    tell(answers, id, Told::Turn(Turn::Unavailable));
}

/// Carries out a key operation on a thread of its own: RSA takes milliseconds.
fn operate(helper: &Arc<Helper>, id: u64, question: Ask, answers: &Answers) {
    let Ok(permit) = Arc::clone(&helper.operations).try_acquire_owned() else {
        return tell(answers, id, Told::Bytes(None));
    };
    let (helper, answers) = (Arc::clone(helper), answers.clone());
    tokio::task::spawn_blocking(move || {
        tell(&answers, id, helper.operation(question));
        drop(permit);
    });
}

impl Helper {
    fn loaded(&self) -> MutexGuard<'_, HashMap<u64, Held>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn operation(&self, question: Ask) -> Told {
        match question {
            Ask::Agree { their } => Told::Bytes(self.agree(&their)),
            Ask::Decrypt { block, length } => {
                let plain = self.keys.rsa.as_ref().and_then(|rsa| rsa.decrypt(block.bytes(), length.into()));
                Told::Bytes(plain.map(|plain| Hex::of(&plain)))
            }
            Ask::Load { number } => self.load(number).map_or_else(Told::Failed, Told::Loaded),
            Ask::Public { number, at } => Told::Bytes(self.loaded().get_mut(&number).and_then(|held| held.piece(at))),
            Ask::Sign { number, scheme, message } => {
                let key = self.loaded().get(&number).map(|held| Arc::clone(&held.key));
                let signer = key.and_then(|key| key.choose_scheme(&[scheme.into()]));
                let signature = signer.and_then(|signer| signer.sign(message.bytes()).ok());
                Told::Bytes(signature.map(|signature| Hex::of(&signature)))
            }
            Ask::Forget { .. } => Told::Bytes(None),
            Ask::Password { .. } | Ask::Begin { .. } | Ask::Next { .. } | Ask::Abandon { .. } => {
                Told::Turn(Turn::Unavailable)
            }
        }
    }

    fn agree(&self, their: &Hex) -> Option<Hex> {
        let their = PublicKey::new(their.bytes().try_into().ok()?);
        self.keys.identity.as_ref()?.agree(&their).map(|shared| Hex::of(shared.as_slice()))
    }

    fn load(&self, number: u64) -> Result<Loaded, String> {
        let source = self.keys.certificates.as_ref().ok_or("there is no certificate to serve with")?;
        let material = source.load((self.now)()).map_err(|error| error.to_string())?;
        let (held, key) = (Held::new(&material), &material.key);
        if held.len() > MOST {
            return Err(format!("{} bytes of certificates and lists (expected at most {MOST})", held.len()));
        }
        let loaded = Loaded {
            bytes: held.len(),
            schemes: SCHEMES.iter().filter(|s| key.choose_scheme(&[**s]).is_some()).map(|s| u16::from(*s)).collect(),
            algorithm: key.algorithm().into(),
            public: key.public_key().map(|public| Hex::of(&public)),
        };
        let mut all = self.loaded();
        if all.len() >= MOST_LOADED || all.contains_key(&number) {
            return Err("too many certificates are in use by connections that began long ago".into());
        }
        all.insert(number, held);
        Ok(loaded)
    }
}

/// A login that goes on, or one that says everything at once.
struct Running {
    task: AbortHandle,
    /// Where replies go, with the number of the question; none for a login of one turn.
    replies: Option<mpsc::Sender<(u64, Vec<Secret>)>>,
}

struct Logins {
    running: HashMap<u64, Running>,
    answers: Answers,
}

impl Drop for Logins {
    fn drop(&mut self) {
        self.running.values().for_each(|running| running.task.abort());
    }
}

impl Logins {
    /// Whether there is room for another.
    fn room(&mut self, id: u64) -> bool {
        self.running.retain(|_, running| !running.task.is_finished());
        let room = self.running.len() < MOST_LOGINS;
        if !room {
            unavailable(&self.answers, id);
        }
        room
    }

    fn run(&mut self, login: u64, id: u64, turn: impl Future<Output = ()> + Send + 'static) {
        // a number twice is a mistake or an attack, and neither login goes on
        if self.running.get(&login).is_some_and(|running| !running.task.is_finished()) {
            self.end(login);
            return unavailable(&self.answers, id);
        }
        if self.room(id) {
            let task = tokio::spawn(turn).abort_handle();
            self.running.insert(login, Running { task, replies: None });
        }
    }

    fn begin(&mut self, login: u64, id: u64, state: Box<dyn Login>) {
        // a number that is in use is a mistake or an attack: neither login goes on
        if self.running.contains_key(&login) {
            self.end(login);
            return unavailable(&self.answers, id);
        }
        if self.room(id) {
            let (replies, replied) = mpsc::channel(1);
            let turns = tokio::time::timeout(LOGIN_LIMIT, turns(state, id, replied, self.answers.clone()));
            let task = tokio::spawn(async move { turns.await.unwrap_or(()) }).abort_handle();
            self.running.insert(login, Running { task, replies: Some(replies) });
        }
    }

    fn next(&mut self, login: u64, id: u64, replies: Vec<Secret>) {
        let to = self.running.get(&login).and_then(|running| running.replies.as_ref());
        // replies before the prompts, or to a login that is over, are nobody's
        if to.is_none_or(|to| to.try_send((id, replies)).is_err()) {
            self.end(login);
            unavailable(&self.answers, id);
        }
    }

    fn end(&mut self, login: u64) {
        if let Some(running) = self.running.remove(&login) {
            running.task.abort();
        }
    }
}

/// The turns of one login, to its verdict.
async fn turns(mut login: Box<dyn Login>, id: u64, mut replied: mpsc::Receiver<(u64, Vec<Secret>)>, answers: Answers) {
    let mut next = Some((id, Vec::new()));
    for _ in 0..MOST_TURNS {
        let Some((id, replies)) = next else { return };
        let turn = login.next(replies).await;
        let over = !matches!(turn, Turn::Ask(_));
        tell(&answers, id, Told::Turn(turn));
        if over {
            return;
        }
        next = replied.recv().await;
    }
    if let Some((id, _)) = next {
        unavailable(&answers, id);
    }
}
