//! The server's machine, driven over a transport.

use std::io;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use super::server::{Event, Server};
use super::{LONGEST, Subtype, VeNCryptError};
use crate::auth::login::Secret;
use crate::net::{Progress, Transport, limits};
use crate::security::tls::{CertificateStore, ClientCertificates, Purpose};

/// What is left to be judged.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: the certificate said who it is, and `identity` in the transport's `info` names the user.
    Nothing,
    /// Whether this user has this password.
    Password {
        /// The user's name as the client said it; may be empty.
        user: String,
        /// The password.
        password: Secret,
    },
    /// VncAuth, which begins on the returned transport.
    VncAuth,
}

/// A client that went through VeNCrypt. SecurityResult and all that follows goes over `transport`.
#[derive(Debug)]
pub struct Entered {
    /// The connection, with TLS where the subtype has it.
    pub transport: Transport,
    /// What the client chose.
    pub subtype: Subtype,
    /// What is left to be judged.
    pub asked: Asked,
}

/// Whether a subtype may be offered on this connection.
fn fit(subtype: Subtype, transport: &Transport, tls: Option<&CertificateStore>) -> Result<(), VeNCryptError> {
    let unfit = |why| Err(VeNCryptError::Unfit(subtype.kind(), why));
    let info = transport.info();
    match (subtype, tls) {
        (Subtype::Plain, _) if !info.encrypted && !info.local => unfit("others could listen in"),
        (Subtype::Plain, _) => Ok(()),
        (_, None) => unfit("there is no certificate"),
        (Subtype::X509None, Some(tls)) if tls.client_certificates() != ClientCertificates::Demanded => {
            unfit("nothing would be proved (expected client_certificates = \"demanded\")")
        }
        (_, Some(_)) => Ok(()),
    }
}

/// Takes a connection through VeNCrypt, from right after the client chose security type 19 up to what is left to be judged.
/// What needs no person (version, subtype, the client's TLS hello) has [`limits::KEY_EXCHANGE`] in all; the caller bounds the time
/// of the whole.
///
/// # Errors
/// When the client breaks the protocol or TLS does not come about; the connection is gone then. Also when something in `offer`
/// may not be offered here, before a byte is sent.
pub async fn serve(
    mut transport: Transport,
    offer: &[Subtype],
    tls: Option<&CertificateStore>,
) -> Result<Entered, VeNCryptError> {
    offer.iter().try_for_each(|subtype| fit(*subtype, &transport, tls))?;
    let deadline = Instant::now() + limits::KEY_EXCHANGE;
    let mut machine = Server::new(offer)?;
    let mut input = Zeroizing::new([0; LONGEST]);
    transport.write_all(&machine.opening()).await.map_err(broken)?;
    transport.flush().await.map_err(broken)?;
    let mut chosen = None;
    let mut asked = Asked::Nothing;
    while !machine.is_done() {
        let part = input.get_mut(..machine.needs()).ok_or(VeNCryptError::OutOfOrder)?;
        let reading = transport.read_exact(part);
        match chosen {
            // a person may be typing
            Some(_) => reading.await,
            None => tokio::time::timeout_at(deadline.into(), reading)
                .await
                .map_err(|_| VeNCryptError::TooSlow(limits::KEY_EXCHANGE.as_secs()))?,
        }
        .map_err(broken)?;
        let (output, event) = match machine.step(part) {
            Ok(step) => step,
            Err(error) => {
                // it is over either way: a peer that does not read why has lost nothing
                let _ = transport.write_all(error.parting()).await;
                let _ = transport.shutdown().await;
                return Err(error);
            }
        };
        transport.write_all(&output).await.map_err(broken)?;
        transport.flush().await.map_err(broken)?;
        match event {
            None => {}
            Some(Event::Credentials { user, password }) => asked = Asked::Password { user, password },
            Some(Event::Chosen(subtype)) => {
                chosen = Some(subtype);
                let name = subtype.kind().name();
                transport.reached(Progress::Chose(name));
                if let (true, Some(tls)) = (subtype.has_tls(), tls) {
                    transport = tls.accept_by(transport, Purpose::VeNCrypt(name), deadline).await?;
                    machine.secured()?;
                }
            }
        }
    }
    let subtype = chosen.ok_or(VeNCryptError::OutOfOrder)?;
    match subtype {
        Subtype::X509Vnc => asked = Asked::VncAuth,
        Subtype::X509None if transport.info().identity.as_ref().is_none_or(|who| who.method != "x509") => {
            return Err(VeNCryptError::Nobody);
        }
        _ => {}
    }
    Ok(Entered { transport, subtype, asked })
}

fn broken(error: io::Error) -> VeNCryptError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => VeNCryptError::Left,
        _ => VeNCryptError::Io(error),
    }
}
