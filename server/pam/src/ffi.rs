//! libpam's functions, behind a handle that ends what it started.
//!
//! SOURCE: `security/pam_appl.h` and `security/_pam_types.h` of Linux-PAM 1.4 and later.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use zeroize::{Zeroize, Zeroizing};

use super::{Converse, Message, PamError, Style};

pub(crate) const PAM_SUCCESS: c_int = 0;
const PAM_BUF_ERR: c_int = 5;
pub(crate) const PAM_USER_UNKNOWN: c_int = 10;
const PAM_CONV_ERR: c_int = 19;
/// What PAM says when it cannot judge: open, symbol, service, system, buffer, abort, unknown module. That a module cannot get at
/// what it knows of a user (9) is none of them: some say it of users that are there only, so that it is a no like any other.
pub(crate) const BROKEN: [c_int; 7] = [1, 2, 3, 4, PAM_BUF_ERR, 26, 28];
const PAM_DISALLOW_NULL_AUTHTOK: c_int = 1;
const PAM_USER: c_int = 2;
pub(crate) const PAM_TTY: c_int = 3;
pub(crate) const PAM_RHOST: c_int = 4;
/// Messages of one call at most, as Linux-PAM bounds them.
const PAM_MAX_NUM_MSG: c_int = 32;

#[repr(C)]
struct PamMessage {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct PamResponse {
    text: *mut c_char,
    /// Unused; zero.
    code: c_int,
}

#[repr(C)]
struct PamConv {
    call: extern "C" fn(c_int, *mut *const PamMessage, *mut *mut PamResponse, *mut c_void) -> c_int,
    data: *mut c_void,
}

/// PAM's handle, of which nothing is known.
#[repr(C)]
struct PamHandle {
    _private: [u8; 0],
}

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_start(
        service: *const c_char,
        user: *const c_char,
        conv: *const PamConv,
        handle: *mut *mut PamHandle,
    ) -> c_int;
    fn pam_start_confdir(
        service: *const c_char,
        user: *const c_char,
        conv: *const PamConv,
        folder: *const c_char,
        handle: *mut *mut PamHandle,
    ) -> c_int;
    fn pam_end(handle: *mut PamHandle, status: c_int) -> c_int;
    fn pam_authenticate(handle: *mut PamHandle, flags: c_int) -> c_int;
    fn pam_acct_mgmt(handle: *mut PamHandle, flags: c_int) -> c_int;
    fn pam_set_item(handle: *mut PamHandle, item: c_int, value: *const c_void) -> c_int;
    fn pam_get_item(handle: *const PamHandle, item: c_int, value: *mut *const c_void) -> c_int;
    fn pam_strerror(handle: *mut PamHandle, code: c_int) -> *const c_char;
}

unsafe extern "C" {
    fn calloc(count: usize, size: usize) -> *mut c_void;
    fn strdup(text: *const c_char) -> *mut c_char;
}

/// The closure that answers, where a C callback can find it.
pub(crate) struct Conversation<'a, 'b> {
    converse: &'a mut Converse<'b>,
}

impl<'a, 'b> Conversation<'a, 'b> {
    pub(crate) fn new(converse: &'a mut Converse<'b>) -> Self {
        Conversation { converse }
    }
}

/// A reply as C has it, wiped on drop.
struct Reply(Vec<u8>);

impl Reply {
    /// None where it has a byte 0 in it, which C cannot say.
    fn new(text: &Zeroizing<String>) -> Option<Self> {
        if text.as_bytes().contains(&0) {
            return None;
        }
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        Some(Reply(bytes))
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What a module says and asks goes to the closure; its replies go back in memory that libpam wipes and frees.
extern "C" fn call(
    count: c_int,
    messages: *mut *const PamMessage,
    responses: *mut *mut PamResponse,
    data: *mut c_void,
) -> c_int {
    let Ok(n) = usize::try_from(count) else { return PAM_CONV_ERR };
    if !(1..=PAM_MAX_NUM_MSG).contains(&count) || messages.is_null() || responses.is_null() || data.is_null() {
        return PAM_CONV_ERR;
    }
    let mut said = Vec::with_capacity(n);
    for at in 0..n {
        // SAFETY: `messages` is not null (checked above) and by PAM's contract an array of `count` pointers; `at` is below it.
        let slot = unsafe { messages.add(at) };
        // SAFETY: `slot` points into that array.
        let message = unsafe { *slot };
        if message.is_null() {
            return PAM_CONV_ERR;
        }
        // SAFETY: not null (checked above), and by PAM's contract a message that lives as long as this call.
        let message = unsafe { &*message };
        let style = match message.style {
            1 => Style::Hidden,
            2 => Style::Visible,
            3 => Style::Error,
            4 => Style::Info,
            _ => return PAM_CONV_ERR,
        };
        let text = if message.text.is_null() {
            String::new()
        } else {
            // SAFETY: not null (checked above), and by PAM's contract a C string that lives as long as this call.
            unsafe { CStr::from_ptr(message.text) }.to_string_lossy().into_owned()
        };
        said.push(Message { style, text });
    }
    // SAFETY: `data` is the conversation that `Handle::start` was given: it outlives the handle, and nobody else uses it while
    // PAM is called, for that takes the handle mutably.
    let conversation = unsafe { &mut *data.cast::<Conversation<'_, '_>>() };
    // a panic must not run through C
    let answered = catch_unwind(AssertUnwindSafe(|| (conversation.converse)(&said)));
    let Ok(Some(replies)) = answered else { return PAM_CONV_ERR };
    let asking = said.iter().filter(|message| message.style.asks()).count();
    let replies: Option<Vec<Reply>> = replies.iter().map(Reply::new).collect();
    let Some(replies) = replies.filter(|replies| replies.len() == asking) else { return PAM_CONV_ERR };
    // SAFETY: calloc takes any sizes; `n` is at most 32 (checked above).
    let out = unsafe { calloc(n, size_of::<PamResponse>()) }.cast::<PamResponse>();
    if out.is_null() {
        return PAM_BUF_ERR;
    }
    let mut replies = replies.iter();
    for (at, message) in said.iter().enumerate() {
        let Some(reply) = message.style.asks().then(|| replies.next()).flatten() else { continue };
        // SAFETY: `reply` ends with its only byte 0 (`Reply::new`).
        let text = unsafe { strdup(reply.0.as_ptr().cast()) };
        // SAFETY: `at` is below `n`, the length of the array that `out` is.
        let response = unsafe { out.add(at) };
        // SAFETY: `response` points into that array, which calloc filled with zeros, a valid response.
        unsafe { (*response).text = text };
    }
    // SAFETY: `responses` is not null (checked above) and by PAM's contract a place for this pointer; libpam frees what it
    // points at.
    unsafe { *responses = out };
    PAM_SUCCESS
}

/// A started transaction; ended on drop.
pub(crate) struct Handle<'a> {
    raw: *mut PamHandle,
    status: c_int,
    /// What PAM calls back into is borrowed as long as the handle lives.
    _conversation: PhantomData<&'a mut ()>,
}

impl<'a> Handle<'a> {
    /// Starts a transaction whose modules talk to `conversation`.
    pub(crate) fn start<'b>(
        service: &CStr,
        user: Option<&CStr>,
        folder: Option<&CStr>,
        conversation: &'a mut Conversation<'_, 'b>,
    ) -> Result<Self, PamError> {
        let conv = PamConv { call, data: ptr::from_mut(conversation).cast() };
        let user = user.map_or(ptr::null(), CStr::as_ptr);
        let mut raw = ptr::null_mut();
        let code = match folder {
            Some(folder) => {
                // SAFETY: all texts are C strings or null where PAM allows it, `conv` is copied by libpam, `raw` is a place for
                // the handle, and what `conv.data` points at is borrowed for as long as the handle lives.
                unsafe { pam_start_confdir(service.as_ptr(), user, &conv, folder.as_ptr(), &mut raw) }
            }
            // SAFETY: as above.
            None => unsafe { pam_start(service.as_ptr(), user, &conv, &mut raw) },
        };
        if code != PAM_SUCCESS || raw.is_null() {
            return Err(PamError::Broken { code, text: "the transaction could not be started".into() });
        }
        Ok(Handle { raw, status: PAM_SUCCESS, _conversation: PhantomData })
    }

    /// Sets an item that is a text.
    pub(crate) fn set(&mut self, item: c_int, value: &CString) -> c_int {
        // SAFETY: the handle is live, the item is one that is a C string, and libpam copies it.
        self.status = unsafe { pam_set_item(self.raw, item, value.as_ptr().cast()) };
        self.status
    }

    /// Has the modules judge a proof; empty passwords are none.
    pub(crate) fn authenticate(&mut self) -> c_int {
        // SAFETY: the handle is live.
        self.status = unsafe { pam_authenticate(self.raw, PAM_DISALLOW_NULL_AUTHTOK) };
        self.status
    }

    /// Has the modules say whether the account may be used.
    pub(crate) fn check_account(&mut self) -> c_int {
        // SAFETY: the handle is live.
        self.status = unsafe { pam_acct_mgmt(self.raw, PAM_DISALLOW_NULL_AUTHTOK) };
        self.status
    }

    /// The user as the modules have it.
    pub(crate) fn user(&self) -> Option<String> {
        let mut value = ptr::null();
        // SAFETY: the handle is live and `value` is a place for the pointer.
        let code = unsafe { pam_get_item(self.raw, PAM_USER, &mut value) };
        if code != PAM_SUCCESS || value.is_null() {
            return None;
        }
        // SAFETY: not null (checked above); this item is a C string that lives until it is set anew or the handle ends.
        let text = unsafe { CStr::from_ptr(value.cast()) };
        text.to_str().ok().map(str::to_owned)
    }

    /// PAM's text for a code.
    pub(crate) fn text_of(&self, code: c_int) -> String {
        // SAFETY: the handle is live; any code has a text.
        let text = unsafe { pam_strerror(self.raw, code) };
        if text.is_null() {
            return String::new();
        }
        // SAFETY: not null (checked above), a C string that libpam keeps.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is live and is used no more.
        unsafe { pam_end(self.raw, self.status) };
    }
}
