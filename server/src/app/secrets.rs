//! What proves the server to its users and the users to the server, and what is told about it at the start.

use std::fmt::Write;
use std::fs::DirBuilder;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use farpane_channel::{Phrase, StaticKey};
use zeroize::Zeroizing;

use crate::auth::throttle::Kept;
use crate::auth::{Secret, SessionPassword};
use crate::config::Config;
use crate::helper::RemoteKeys;
use crate::net::ListenAddr;
use crate::security::channel::ChannelServer;
use crate::security::rsa_aes::{LocalRsaKey, RsaKey};
use crate::security::tls::{self, CertificateStore};
use crate::security::{Passwords, SecurityKind};

use super::gate::{Keys, Means, now};
use super::keeping::Keeper;
use super::processes::{Held, Helpers, RSA_KEY, Wanted};
use super::{AppError, keys};

/// Who failed how often, in the state folder: in a folder of its own, which alone the sandboxed server may write.
pub const PENALTIES: &str = "throttle/penalties";

/// Passwords, keys and judge of a server.
pub(super) struct Secrets {
    /// What the gate decides with.
    pub means: Means,
    /// What whoever started the server is told.
    pub told: Told,
    /// The folder that the server itself writes: who failed how often.
    pub kept: Option<PathBuf>,
    /// The process that holds keys and users, if one does.
    pub remote: Option<RemoteKeys>,
}

/// What whoever started the server is told.
#[derive(Default)]
pub(super) struct Told {
    /// The VncAuth password that was made for this run.
    one_time: Option<Secret>,
    /// The password that was made for this run.
    session: Option<Secret>,
    /// What the channel shows on the first visit.
    catchphrase: Option<Phrase>,
    /// What viewers show of the certificate.
    certificate: Option<String>,
    /// What TigerVNC shows of the RSA key.
    rsa: Option<String>,
}

/// The folder for keys and state: the configured one, systemd's, or the user's.
///
/// # Errors
/// When none is known.
pub fn state_folder(config: &Config) -> Result<PathBuf, AppError> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".local/state"));
    let found = config.state_folder.clone().or_else(|| absolute("STATE_DIRECTORY")).or_else(|| {
        let root = rustix::process::geteuid().is_root().then(|| PathBuf::from("/var/lib"));
        absolute("XDG_STATE_HOME").or(root).or_else(home).map(|base| base.join("farpane"))
    });
    found.ok_or_else(|| AppError::Usage("no folder for keys (set state_folder in the configuration, or HOME)".into()))
}

/// The names of the server's own certificate.
fn names(config: &Config) -> Vec<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    tls::own_names(&host, config.listeners.iter().map(|l| &l.address))
}

/// The server's certificate in this process: the administrator's, or one of its own.
fn certificates(config: &Config, state: &Path) -> Result<CertificateStore, AppError> {
    let files = tls::Files::new(config.tls.clone(), state.to_owned(), names(config));
    CertificateStore::open(config.tls.clone(), Box::new(files), SystemTime::now()).map_err(AppError::failed)
}

/// Who failed how often: kept in the state folder, where anybody has to prove anything.
fn throttle(config: &Config, offered: &[SecurityKind]) -> Result<Keeper, AppError> {
    if offered.iter().all(|kind| *kind == SecurityKind::None) {
        return Kept::in_memory().map(Keeper::new).map_err(AppError::failed);
    }
    let (kept, wrong) = Kept::open(&state_folder(config)?.join(PENALTIES), now()).map_err(AppError::failed)?;
    for error in wrong {
        tracing::warn!(%error, "penalties: what was counted before is not used");
    }
    Ok(Keeper::new(kept))
}

/// The folder of penalties, made where it is not there: once the server is shut in it makes no folder outside of it.
fn folder_of_penalties(state: &Path) -> Option<PathBuf> {
    let folder = state.join(PENALTIES).parent()?.to_owned();
    match DirBuilder::new().recursive(true).mode(0o700).create(&folder) {
        Ok(()) => Some(folder),
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "penalties cannot be saved");
            None
        }
    }
}

impl Secrets {
    /// Opens what the configuration needs, and makes what is missing.
    pub(super) fn open(config: &Config, helpers: &Helpers) -> Result<Self, AppError> {
        let offered: Vec<SecurityKind> = config.listeners.iter().flat_map(|l| config.offer(l)).collect();
        let offers = |kind| offered.contains(&kind);
        let mut told = Told::default();
        let passwords = match &config.password_file {
            _ if !offers(SecurityKind::VncAuth) && !offers(SecurityKind::X509Vnc) => None,
            Some(path) => Some(Passwords::read(path)?),
            None => {
                let (text, passwords) = Passwords::one_time()?;
                told.one_time = Some(text);
                Some(passwords)
            }
        };
        let proving = offered.iter().any(|kind| *kind != SecurityKind::None);
        let kept = proving.then(|| state_folder(config)).transpose()?;
        let kept = kept.as_deref().and_then(folder_of_penalties);
        let secure = config.listeners.iter().any(|l| l.address.is_encrypted());
        let mut means = Means { passwords, keys: Keys::default(), judge: None, throttle: throttle(config, &offered)? };
        let over_tls = [SecurityKind::X509Plain, SecurityKind::X509None, SecurityKind::X509Vnc];
        let users = offered.iter().any(|kind| kind.asks_for_users());
        let tls = secure || over_tls.into_iter().any(offers);
        if !users && !tls {
            return Ok(Secrets { means, told, kept, remote: None });
        }
        let rsa = [SecurityKind::Ra2, SecurityKind::Ra2x256, SecurityKind::Ra2Ne, SecurityKind::Ra2Nex256];
        let wanted = Wanted {
            state: state_folder(config)?,
            auth: users.then(|| config.auth.clone()),
            tls: config.tls.clone(),
            certificate: tls.then(|| names(config)),
            channel: offers(SecurityKind::Channel),
            rsa: rsa.into_iter().any(offers),
            session: SessionPassword::generate().map_err(AppError::failed)?.shown().clone(),
            log: config.log,
        };
        let Held { keys: held, remote } = wanted.held(helpers)?;
        if let Some(source) = held.certificates {
            let store =
                CertificateStore::open(config.tls.clone(), source, SystemTime::now()).map_err(AppError::failed)?;
            told.certificate = Some(store.facts().sha256);
            means.keys.tls = Some(Arc::new(store));
        }
        told.session = held.session_password;
        if let Some(key) = held.rsa {
            told.rsa = Some(key.public().short_fingerprint());
            means.keys.rsa = Some((key, config.rsa_aes.clone()));
        }
        if let Some(identity) = held.identity {
            told.catchphrase = Some(identity.public().fingerprint().phrase());
            means.keys.channel = Some(ChannelServer::new(identity, config.channel.engine.into(), true));
        }
        means.judge = held.judge;
        Ok(Secrets { means, told, kept, remote })
    }
}

/// What viewers compare on a first visit, in words and digits. Keys that are not there yet are made.
///
/// # Errors
/// When the folder for keys cannot be used.
pub fn id(config: &Config) -> Result<String, AppError> {
    let state = state_folder(config)?;
    let identity = keys::identity(&state)?.public().fingerprint();
    let certificate = certificates(config, &state)?.facts();
    let rsa = LocalRsaKey::load_or_generate(&state.join(RSA_KEY)).map_err(AppError::failed)?;
    let rsa_phrase = rsa.public().fingerprint().map_or_else(String::new, |f| f.phrase().to_string());
    Ok(format!(
        "channel      {}\n             {identity}\n\
         certificate  {}\n             SHA-256 {}\n             until {}\n\
         RSA key      {rsa_phrase}\n             {}\n",
        identity.phrase(),
        certificate.key.phrase(),
        certificate.sha256,
        certificate.not_after,
        rsa.public().short_fingerprint(),
    ))
}

impl Told {
    /// The lines on stdout, and how to look at the desktop.
    ///
    /// Passwords are in it: it is to be told and forgotten before anybody is let in.
    pub(super) fn lines(self, config: &Config, addresses: &[ListenAddr]) -> Zeroizing<String> {
        // no growing leaves a copy behind: each line is far shorter than its share
        let mut out = Zeroizing::new(String::with_capacity(4096));
        let mut line = |what: &str, value: &dyn std::fmt::Display| {
            // writing to a string cannot fail
            let _ = writeln!(out, "farpane: {what}: {value}");
        };
        if let Some(password) = &self.one_time {
            line("one-time password", &password.reveal());
        }
        if let Some(password) = &self.session {
            line("password for this run, with any user name", &password.reveal());
        }
        if let Some(phrase) = &self.catchphrase {
            line("catchphrase", phrase);
        }
        if let Some(certificate) = &self.certificate {
            line("certificate SHA-256", certificate);
        }
        if let Some(rsa) = &self.rsa {
            line("RSA key", rsa);
        }
        let offers = config.listeners.iter().map(|listener| config.offer(listener));
        if let Some(viewer) = addresses.iter().zip(offers).find_map(|(address, kinds)| viewer(address, &kinds)) {
            line("look at it with", &viewer);
        }
        out
    }
}

/// What to type to look at this listener with TigerVNC's viewer; nothing where that cannot.
fn viewer(address: &ListenAddr, kinds: &[SecurityKind]) -> Option<String> {
    let ListenAddr::Tcp(at) = address else { return None };
    let options = kinds.iter().find_map(|kind| match kind {
        SecurityKind::X509Plain => Some("-SecurityTypes=X509Plain "),
        SecurityKind::Ra2x256 => Some("-SecurityTypes=RA2_256 "),
        SecurityKind::VncAuth | SecurityKind::None => Some(""),
        _ => None,
    })?;
    // the addresses of an interface come and go: the machine's name does for them
    let host = match at.ip().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) {
        ip if ip.is_unspecified() => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    Some(format!("vncviewer {options}{host}::{}", at.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_viewers_line_fits_what_is_offered() {
        use SecurityKind::{Channel, None as Nothing, Ra2x256, VncAuth, X509Plain};
        for (address, kinds, expected) in [
            ("127.0.0.1:5900", &[Channel, X509Plain][..], Some("vncviewer -SecurityTypes=X509Plain 127.0.0.1::5900")),
            ("[::1]:5901", &[Channel, Ra2x256], Some("vncviewer -SecurityTypes=RA2_256 [::1]::5901")),
            ("127.0.0.1:1", &[VncAuth], Some("vncviewer 127.0.0.1::1")),
            ("127.0.0.1:1", &[Nothing], Some("vncviewer 127.0.0.1::1")),
            ("127.0.0.1:1", &[Channel], None),
            ("unix:/x", &[Nothing], None),
        ] {
            assert_eq!(viewer(&address.parse().unwrap(), kinds).as_deref(), expected, "{address}");
        }
    }
}
