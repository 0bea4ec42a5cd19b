//! The PAM process: one login, then it ends.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use farpane_pam::{Message, Request, Style, Verdict, login};
use zeroize::Zeroizing;

use super::wire::{self, FromHelper, ToHelper};
use crate::auth::login::{MAX_PROMPT, MAX_PROMPTS, Prompt, PromptKind};

/// Runs one login through PAM, for the judge at the other end of `socket`.
///
/// # Errors
/// When the other end breaks the protocol or leaves.
pub fn pam_helper(socket: &UnixStream) -> io::Result<()> {
    let (mut input, mut output) = (socket, socket);
    // what is typed here is in no core file and in no debugger
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    let begin = wire::read(&mut input)?;
    let ToHelper::Begin { service, user, rhost, folder, limit_s } = begin else {
        return Err(io::Error::other("replies before a beginning"));
    };
    // a module that hangs must not outlive a judge that cannot end this process any more
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(limit_s));
        std::process::exit(1);
    });
    let request = Request {
        service: &service,
        user: (!user.is_empty()).then_some(user.as_str()),
        rhost: (!rhost.is_empty()).then_some(rhost.as_str()),
        tty: Some("farpane"),
        folder: folder.as_deref(),
    };
    // what is only said waits for the next question; what is said after the last one is for nobody
    let mut waiting: Vec<Prompt> = Vec::new();
    let mut broken = Ok(());
    let verdict = login(request, &mut |messages| {
        waiting.extend(messages.iter().map(prompt));
        if !messages.iter().any(|message| message.style.asks()) {
            return Some(Vec::new());
        }
        let prompts = std::mem::take(&mut waiting);
        if prompts.len() > MAX_PROMPTS {
            return None;
        }
        match ask(&mut input, &mut output, prompts) {
            Ok(replies) => Some(replies),
            Err(error) => {
                broken = Err(error);
                None
            }
        }
    });
    broken?;
    let said = match verdict {
        Ok(Verdict::Granted { user }) => FromHelper::Granted { groups: groups_of(&user), user },
        Ok(Verdict::Refused(code)) => FromHelper::Refused(code),
        // such a user cannot be
        Err(farpane_pam::PamError::Nul(_)) => FromHelper::Refused(0),
        Err(error) => FromHelper::Broken(error.to_string()),
    };
    wire::write(&mut output, &said)
}

fn ask(input: &mut impl Read, output: &mut impl Write, prompts: Vec<Prompt>) -> io::Result<Vec<Zeroizing<String>>> {
    wire::write(output, &FromHelper::Ask(prompts))?;
    match wire::read(input)? {
        ToHelper::Replies(replies) => Ok(replies.iter().map(|r| Zeroizing::new(r.reveal().to_owned())).collect()),
        ToHelper::Begin { .. } => Err(io::Error::other("a second beginning")),
    }
}

fn prompt(message: &Message) -> Prompt {
    let kind = match message.style {
        Style::Hidden => PromptKind::Hidden,
        Style::Visible => PromptKind::Visible,
        Style::Error => PromptKind::Error,
        Style::Info => PromptKind::Info,
    };
    let mut text = message.text.clone();
    while text.len() > MAX_PROMPT {
        text.pop();
    }
    Prompt { text, kind }
}

/// The groups of a user of the system, as `id` has them from wherever the system has them; none where it does not know the
/// user.
fn groups_of(user: &str) -> Vec<String> {
    let mut id = Command::new("/usr/bin/id");
    let id = id.args(["-G", "-n", "-z", "--", user]).env_clear().stdin(Stdio::null()).stderr(Stdio::null()).output();
    let Some(out) = id.ok().filter(|out| out.status.success()) else { return Vec::new() };
    let names = out.stdout.split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
