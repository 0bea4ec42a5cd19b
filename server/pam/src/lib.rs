//! Logging in through PAM: one function over libpam, with the conversation as a closure.
//!
//! It authenticates and checks the account; sessions, credentials and new passwords are others' business. PAM modules are code of
//! the system that runs in the calling process and may take as long as they like, so the caller gives them a process of
//! their own. Tested by `tests/stacks.rs` with a folder of service files, without rights.
#![deny(unsafe_op_in_unsafe_fn)]

mod ffi;

use std::cell::Cell;
use std::ffi::{CString, NulError, c_int};
use std::path::Path;

use zeroize::Zeroizing;

/// What is to become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Asks for a reply that must not be seen while it is typed.
    Hidden,
    /// Asks for a reply that may be seen.
    Visible,
    /// Says that something is wrong; wants no reply.
    Error,
    /// Says something; wants no reply.
    Info,
}

impl Style {
    /// Whether it wants a reply.
    pub const fn asks(self) -> bool {
        matches!(self, Style::Hidden | Style::Visible)
    }
}

/// What a module says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What is to become of it.
    pub style: Style,
    /// For people; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// Who wants to log in to what.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The service: a file of this name says what is asked.
    pub service: &'a str,
    /// The user; the modules ask for a name where there is none.
    pub user: Option<&'a str>,
    /// Where the user is, for the modules' rules and logs.
    pub rhost: Option<&'a str>,
    /// The terminal, for the modules' rules and logs.
    pub tty: Option<&'a str>,
    /// A folder of service files in place of the system's.
    pub folder: Option<&'a Path>,
}

/// How a login ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The proof is right and the account may be used; the user as the modules have it.
    Granted {
        /// The name.
        user: String,
    },
    /// The modules said no, with this code of PAM's.
    Refused(i32),
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum PamError {
    /// A text with a NUL byte in it.
    #[error("{0} has a byte 0 in it (expected none)")]
    Nul(&'static str),
    /// PAM itself fails: a service that is not there, a module that cannot be loaded, a server that does not answer.
    #[error("pam: {text} (code {code})")]
    Broken {
        /// PAM's code.
        code: i32,
        /// PAM's text for it.
        text: String,
    },
}

/// Answers messages: one reply for each that asks, in order; none to end the conversation.
pub type Converse<'a> = dyn FnMut(&[Message]) -> Option<Vec<Zeroizing<String>>> + 'a;

fn text(what: &'static str, text: &str) -> Result<CString, PamError> {
    CString::new(text).map_err(|_: NulError| PamError::Nul(what))
}

/// Logs in: authenticates and checks the account.
///
/// # Errors
/// When PAM cannot judge.
pub fn login(request: Request<'_>, converse: &mut Converse<'_>) -> Result<Verdict, PamError> {
    let service = text("service", request.service)?;
    let user = request.user.map(|user| text("user", user)).transpose()?;
    let folder = request.folder.map(|folder| text("folder", &folder.to_string_lossy())).transpose()?;
    let items = [(ffi::PAM_RHOST, "rhost", request.rhost), (ffi::PAM_TTY, "tty", request.tty)];
    // who does not answer is refused, whatever code the module makes of it; also where the closure does not come back
    let ended = Cell::new(false);
    let mut answer = |messages: &[Message]| {
        ended.set(true);
        let asking = messages.iter().filter(|message| message.style.asks()).count();
        let replies = converse(messages).filter(|r| r.len() == asking && !r.iter().any(|r| r.contains('\0')));
        ended.set(replies.is_none());
        replies
    };
    let mut conversation = ffi::Conversation::new(&mut answer);
    let mut handle = ffi::Handle::start(&service, user.as_deref(), folder.as_deref(), &mut conversation)?;
    for (item, what, value) in items {
        if let Some(value) = value {
            let code = handle.set(item, &text(what, value)?);
            sound(&handle, code)?;
        }
    }
    for step in [ffi::Handle::authenticate, ffi::Handle::check_account] {
        match step(&mut handle) {
            ffi::PAM_SUCCESS => {}
            code if ended.get() => return Ok(Verdict::Refused(code)),
            code => {
                sound(&handle, code)?;
                return Ok(Verdict::Refused(code));
            }
        }
    }
    match handle.user() {
        Some(user) => Ok(Verdict::Granted { user }),
        None => Ok(Verdict::Refused(ffi::PAM_USER_UNKNOWN)),
    }
}

/// Tells a module's no from PAM's inability.
fn sound(handle: &ffi::Handle<'_>, code: c_int) -> Result<(), PamError> {
    if ffi::BROKEN.contains(&code) {
        return Err(PamError::Broken { code, text: handle.text_of(code) });
    }
    Ok(())
}
