//! The life of one desktop, from its X server's start to the end of the last process on it.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixDatagram;
use tokio::process::ChildStdout;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::child::{Child, command, end_orphans, find, how, reap};
use super::place::SAID;
use super::restart::{History, Next};
use super::screen::{Kind, Screen};
use super::{DesktopError, Place, Told, Wish};
use crate::helper::THIS_PROGRAM;

/// What the line begins with that says that the desktop is up.
pub const READY: &str = "farpane: desktop ";

/// How long the server may take to say that it shares the desktop.
const SERVED: Duration = Duration::from_secs(30);
/// What the server's lines begin with that name its listeners.
const LISTENS: &str = "farpane: listening on ";
/// A program that is still there after so long has come up.
const STARTED: Duration = Duration::from_millis(300);
/// Between being asked to end and being ended.
const PATIENCE: Duration = Duration::from_secs(4);

/// What users have as their session, best first.
const SESSIONS: [&str; 3] = ["/etc/X11/Xsession", "x-session-manager", "xterm"];

const HINT: &str = "; name what to run: farpane desktop start -- PROGRAM";

/// Runs a desktop until it ends or a signal ends it. `tell` gets the server's lines for people while the desktop comes up, and then one
/// that begins with [`READY`].
///
/// # Errors
/// When it does not come up, or a program of it ends that must not.
pub async fn supervise(
    wish: &Wish,
    runtime: &Path,
    path: &str,
    tell: &mut (dyn FnMut(&str) + Send),
) -> Result<(), DesktopError> {
    let session = session(wish, path)?;
    let (server, hint) = match wish.kind {
        Kind::Xvfb => ("Xvfb", "; on Debian: apt install xvfb"),
        Kind::Sway => ("sway", "; on Debian: apt install sway"),
    };
    if find(server, path).is_none() {
        return Err(DesktopError::NoProgram(server.into(), hint));
    }
    let place = Place::take(runtime, &wish.name)?;
    let log =
        File::options().create(true).append(true).open(&wish.log).map_err(DesktopError::io(wish.log.display()))?;
    // what a program of the desktop leaves behind becomes ours, and ends with us
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own)).map_err(|e| DesktopError::Io("orphans".into(), e.into()))?;
    let mut screen = Screen::start(wish, &place, &log).await?;
    let mut desktop = Desktop {
        wish,
        place: &place,
        log: &log,
        session,
        screen: &mut screen,
        server: None,
        program: None,
        listens: Vec::new(),
    };
    let result = desktop.run(tell).await;
    desktop.end().await;
    screen.child.end(PATIENCE).await;
    end_orphans(PATIENCE).await;
    result
}

/// The program that runs on the desktop, with its arguments.
fn session(wish: &Wish, path: &str) -> Result<Vec<String>, DesktopError> {
    if let Some(program) = wish.command.first() {
        return match find(program, path) {
            Some(_) => Ok(wish.command.clone()),
            None => Err(DesktopError::NoProgram(program.clone(), "")),
        };
    }
    if wish.kind == Kind::Sway {
        return Err(DesktopError::NoProgram("a session for sway".into(), HINT));
    }
    let found = SESSIONS.iter().find(|program| find(program, path).is_some());
    found.map(|program| vec![(*program).into()]).ok_or_else(|| DesktopError::NoProgram(SESSIONS.join(", "), HINT))
}

struct Desktop<'a> {
    wish: &'a Wish,
    place: &'a Place,
    log: &'a File,
    session: Vec<String>,
    screen: &'a mut Screen,
    server: Option<Child>,
    program: Option<Child>,
    /// Where the server says that it listens.
    listens: Vec<String>,
}

impl Desktop<'_> {
    /// A command with the desktop's surroundings.
    fn command(&self, program: &str) -> Result<tokio::process::Command, DesktopError> {
        let mut command = command(program, self.log).map_err(DesktopError::io(program))?;
        self.screen.surround(&mut command).env("FARPANE_DESKTOP", self.wish.name.to_string());
        Ok(command)
    }

    fn ended(&self, what: &str, how: String) -> DesktopError {
        DesktopError::Ended { what: what.into(), how, log: self.wish.log.clone() }
    }

    async fn run(&mut self, tell: &mut (dyn FnMut(&str) + Send)) -> Result<(), DesktopError> {
        let signals = |error| DesktopError::Io("signals".into(), error);
        let mut term = signal(SignalKind::terminate()).map_err(signals)?;
        let mut int = signal(SignalKind::interrupt()).map_err(signals)?;
        let mut dead = signal(SignalKind::child()).map_err(signals)?;
        tokio::select! {
            up = self.come_up(tell) => up?,
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
        }
        let mut told = self.told();
        self.place.tell(&told)?;
        tell(&format!("{READY}{} is on display {}", self.wish.name, told.display));
        let (mut programs, mut servers) = (History::new(self.wish.restart), History::new(super::Restart::Always));
        let (mut since, mut served_since) = (Instant::now(), Instant::now());
        let what = self.session.join(" ");
        loop {
            tokio::select! {
                _ = term.recv() => return Ok(()),
                _ = int.recv() => return Ok(()),
                _ = dead.recv() => {
                    reap(&[self.screen.child.id(), self.server.as_ref().and_then(Child::id), self.program.as_ref().and_then(Child::id)]);
                    continue;
                }
                status = self.screen.child.process.wait() => {
                    return Err(self.ended(self.screen.name, status.map_or_else(|e| e.to_string(), how)));
                }
                status = wait(&mut self.program), if self.program.is_some() => {
                    self.program = None;
                    let (well, how) = status.map_or_else(|e| (false, e.to_string()), |s| (s.success(), how(s)));
                    match programs.ended(well, since.elapsed()) {
                        Next::End => return Ok(()),
                        Next::GiveUp => return Err(self.ended(&what, how)),
                        Next::Again(delay) => {
                            tracing::warn!(program = %what, how, ?delay, "starts again");
                            if was_stopped(delay, &mut term, &mut int).await {
                                return Ok(());
                            }
                            self.start_program()?;
                            since = Instant::now();
                            told.restarts += 1;
                        }
                    }
                }
                status = wait(&mut self.server), if self.server.is_some() => {
                    self.server = None;
                    let how = status.map_or_else(|e| e.to_string(), how);
                    match servers.ended(false, served_since.elapsed()) {
                        Next::Again(delay) => {
                            tracing::warn!(how, ?delay, "the server starts again");
                            if was_stopped(delay, &mut term, &mut int).await {
                                return Ok(());
                            }
                            self.serve(&mut |_| ()).await?;
                            served_since = Instant::now();
                        }
                        Next::End | Next::GiveUp => return Err(self.ended("the server", how)),
                    }
                }
            }
            told.listens.clone_from(&self.listens);
            told.server = self.server.as_ref().and_then(Child::id);
            self.place.tell(&told)?;
        }
    }

    /// Everything that must be there before the desktop is said to be up.
    async fn come_up(&mut self, tell: &mut (dyn FnMut(&str) + Send)) -> Result<(), DesktopError> {
        self.serve(tell).await?;
        self.start_program()?;
        tokio::time::sleep(STARTED).await;
        let program = self.program.as_mut().and_then(|child| child.process.try_wait().ok().flatten());
        match program {
            Some(status) => Err(self.ended(&self.session.join(" "), format!("{} at once", how(status)))),
            None => Ok(()),
        }
    }

    fn start_program(&mut self) -> Result<(), DesktopError> {
        let Some((program, arguments)) = self.session.split_first() else { return Ok(()) };
        let mut command = self.command(program)?;
        let child = Child::start(command.args(arguments)).map_err(DesktopError::io(program))?;
        self.program = Some(child);
        Ok(())
    }

    /// Starts the server and waits until it shares the desktop.
    async fn serve(&mut self, tell: &mut (dyn FnMut(&str) + Send)) -> Result<(), DesktopError> {
        let socket = self.place.path("ready");
        let _ = std::fs::remove_file(&socket);
        let ready = UnixDatagram::bind(&socket).map_err(DesktopError::io(socket.display()))?;
        let mut command = self.command(THIS_PROGRAM)?;
        command.env("NOTIFY_SOCKET", &socket).arg("serve").arg("--source").arg(&self.screen.source);
        command.arg("--desktop-name").arg(self.wish.name.to_string()).args(&self.wish.serve);
        // where it was, after it has ended
        let again = std::mem::take(&mut self.listens);
        for at in if again.is_empty() { self.wanted() } else { again } {
            command.arg("--listen").arg(at);
        }
        let listens = &mut self.listens;
        let mut said = String::new();
        let mut tell = |line: &str| {
            listens.extend(line.strip_prefix(LISTENS).map(str::to_owned));
            said += line;
            said.push('\n');
            tell(line);
        };
        let mut server = Child::start(command.stdout(Stdio::piped())).map_err(DesktopError::io("the server"))?;
        let output = server.process.stdout.take();
        let server = self.server.insert(server);
        let mut lines = output.map(|output| BufReader::new(output).lines());
        let mut word = [0; 256];
        let end = tokio::time::sleep(SERVED);
        tokio::pin!(end);
        let failed = loop {
            tokio::select! {
                line = next_line(&mut lines), if lines.is_some() => match line {
                    Some(line) => tell(&line),
                    None => lines = None,
                },
                got = ready.recv(&mut word) => {
                    let got = word.get(..got.unwrap_or(0)).unwrap_or_default();
                    if got.split(|b| *b == b'\n').any(|line| line == b"READY=1") {
                        break None;
                    }
                }
                status = server.process.wait() => break Some(status.map_or_else(|e| e.to_string(), how)),
                () = &mut end => break Some(format!("did not share the desktop within {SERVED:?}")),
            }
        };
        if let Some(how) = failed {
            while let Some(line) = next_line(&mut lines).await {
                tell(&line);
            }
            return Err(self.ended("the server", how));
        }
        // what it said before it was ready, and nothing that it says later
        while let Ok(Some(line)) = tokio::time::timeout(Duration::from_millis(100), next_line(&mut lines)).await {
            tell(&line);
        }
        self.place.write(SAID, said.as_bytes())?;
        tokio::spawn(async move { while next_line(&mut lines).await.is_some() {} });
        Ok(())
    }

    /// Where the server is to listen.
    fn wanted(&self) -> Vec<String> {
        if !self.wish.listen.is_empty() {
            return self.wish.listen.clone();
        }
        vec![format!("127.0.0.1:{}", self.screen.port)]
    }

    fn told(&self) -> Told {
        Told {
            name: self.wish.name.clone(),
            pid: std::process::id(),
            server: self.server.as_ref().and_then(Child::id),
            display: self.screen.display.clone(),
            listens: self.listens.clone(),
            command: self.session.clone(),
            since: SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()),
            restarts: 0,
        }
    }

    /// Ends the program, then the server.
    async fn end(&mut self) {
        for mut child in [self.program.take(), self.server.take()].into_iter().flatten() {
            child.end(PATIENCE).await;
        }
    }
}

/// Waits so long; true when a signal came meanwhile.
async fn was_stopped(delay: Duration, term: &mut Signal, int: &mut Signal) -> bool {
    tokio::select! {
        () = tokio::time::sleep(delay) => false,
        _ = term.recv() => true,
        _ = int.recv() => true,
    }
}

async fn wait(child: &mut Option<Child>) -> std::io::Result<std::process::ExitStatus> {
    match child {
        Some(child) => child.process.wait().await,
        None => std::future::pending().await,
    }
}

async fn next_line(lines: &mut Option<tokio::io::Lines<BufReader<ChildStdout>>>) -> Option<String> {
    lines.as_mut()?.next_line().await.ok().flatten()
}
