//! The life of one desktop, from its display server's start to the end of the last process on it.

use std::fs::File;
use std::future::pending;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::child::{Child, command, end_orphans, find, how, reap};
use super::door::{Door, knocked};
use super::parts::SCREEN;
use super::restart::{History, Next};
use super::screen::{Kind, Screen};
use super::{DesktopError, Place, Restart, Told, Wish};

/// What the line begins with that says that the desktop is up.
pub const READY: &str = "farpane: desktop ";

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
    let mut desktop = Desktop::new(wish, &place, &log, session);
    match wish.on_demand {
        true => desktop.door = Some(Door::open(&place)?),
        false => desktop.screen = Some(Screen::start(wish, &place, &log).await?),
    }
    let result = desktop.run(tell).await;
    desktop.end().await;
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

/// A desktop with all its processes.
pub(super) struct Desktop<'a> {
    pub wish: &'a Wish,
    pub place: &'a Place,
    pub log: &'a File,
    session: Vec<String>,
    /// None while a desktop on demand waits.
    pub screen: Option<Screen>,
    pub server: Option<Child>,
    program: Option<Child>,
    /// Where the server says that it listens.
    pub listens: Vec<String>,
    /// Where the server asks for a desktop on demand; none for one that is there from the start.
    pub door: Option<Door>,
    /// How the program, the server, and starts of a desktop on demand have done.
    programs: History,
    servers: History,
    starts: History,
    /// Since when the program and the server run, and the desktop is what it is.
    program_since: Instant,
    server_since: Instant,
    since: SystemTime,
    restarts: u32,
}

/// What happened.
enum Event {
    /// A signal to end came.
    Stop,
    /// Some process ended.
    Child,
    /// The server asks for the desktop.
    Knock(std::io::Result<()>),
    /// The display server ended.
    Screen(std::io::Result<ExitStatus>),
    /// The program ended.
    Program(std::io::Result<ExitStatus>),
    /// The server ended.
    Server(std::io::Result<ExitStatus>),
}

/// What becomes of the desktop then.
#[derive(PartialEq, Eq)]
enum Then {
    GoOn,
    End,
}

impl<'a> Desktop<'a> {
    fn new(wish: &'a Wish, place: &'a Place, log: &'a File, session: Vec<String>) -> Self {
        let now = Instant::now();
        Self {
            wish,
            place,
            log,
            session,
            screen: None,
            server: None,
            program: None,
            listens: Vec::new(),
            door: None,
            programs: History::new(wish.restart),
            servers: History::new(Restart::Always),
            starts: History::new(Restart::Always),
            program_since: now,
            server_since: now,
            since: SystemTime::now(),
            restarts: 0,
        }
    }

    pub(super) fn ended(&self, what: &str, how: String) -> DesktopError {
        DesktopError::Ended { what: what.into(), how, log: self.wish.log.clone() }
    }

    async fn run(&mut self, tell: &mut (dyn FnMut(&str) + Send)) -> Result<(), DesktopError> {
        let mut signals = Signals::new()?;
        tokio::select! {
            up = self.come_up(tell) => up?,
            () = signals.stop() => return Ok(()),
        }
        let mut told = self.told();
        self.place.tell(&told)?;
        tell(&match &told.display {
            Some(display) => format!("{READY}{} is on display {display}", self.wish.name),
            None => format!("{READY}{} waits for its first login", self.wish.name),
        });
        loop {
            let then = match self.next(&mut signals).await {
                Event::Stop => Then::End,
                Event::Child => {
                    reap(&self.own());
                    Then::GoOn
                }
                Event::Knock(knock) => {
                    knock.map_err(DesktopError::io("the desktop's door"))?;
                    self.on_knock(&mut signals).await?
                }
                Event::Screen(status) => {
                    let name = self.screen.as_ref().map_or("the display server", |screen| screen.name);
                    return Err(self.ended(name, in_words(status)));
                }
                Event::Program(status) => self.on_program(status, &mut signals).await?,
                Event::Server(status) => self.on_server(status, &mut signals).await?,
            };
            if then == Then::End {
                return Ok(());
            }
            let new = self.told();
            if new != told {
                self.place.tell(&new)?;
                told = new;
            }
        }
    }

    async fn next(&mut self, signals: &mut Signals) -> Event {
        tokio::select! {
            _ = signals.term.recv() => Event::Stop,
            _ = signals.int.recv() => Event::Stop,
            _ = signals.child.recv() => Event::Child,
            knock = knocked(&mut self.door) => Event::Knock(knock),
            status = wait(self.screen.as_mut().map(|screen| &mut screen.child)) => Event::Screen(status),
            status = wait(self.program.as_mut()) => Event::Program(status),
            status = wait(self.server.as_mut()) => Event::Server(status),
        }
    }

    /// Processes that somebody waits for.
    fn own(&self) -> [Option<u32>; 3] {
        let screen = self.screen.as_ref().map(|screen| &screen.child);
        [screen, self.server.as_ref(), self.program.as_ref()].map(|child| child.and_then(Child::id))
    }

    /// Everything that must be there before the desktop is said to be up, or to wait.
    async fn come_up(&mut self, tell: &mut (dyn FnMut(&str) + Send)) -> Result<(), DesktopError> {
        self.serve(tell).await?;
        if self.door.is_some() { Ok(()) } else { self.begin().await }
    }

    /// Starts what is looked at: the display server, where there is none, and the program.
    async fn begin(&mut self) -> Result<(), DesktopError> {
        if self.screen.is_none() {
            self.screen = Some(Screen::start(self.wish, self.place, self.log).await?);
        }
        self.start_program()?;
        tokio::time::sleep(STARTED).await;
        let program = self.program.as_mut().and_then(|child| child.process.try_wait().ok().flatten());
        match program {
            Some(status) => Err(self.ended(&self.session.join(" "), format!("{} at once", how(status)))),
            None => Ok(()),
        }
    }

    fn start_program(&mut self) -> Result<(), DesktopError> {
        let (Some((program, arguments)), Some(screen)) = (self.session.split_first(), &self.screen) else {
            return Ok(());
        };
        let mut command = command(program, self.log).map_err(DesktopError::io(program))?;
        screen.surround(&mut command).env("FARPANE_DESKTOP", self.wish.name.to_string());
        let child = Child::start(command.args(arguments)).map_err(DesktopError::io(program))?;
        self.program = Some(child);
        self.program_since = Instant::now();
        Ok(())
    }

    /// The server asks for the desktop: a client has been let in.
    async fn on_knock(&mut self, signals: &mut Signals) -> Result<Then, DesktopError> {
        if self.screen.is_none() {
            tracing::info!("the desktop starts: somebody has logged in");
            let began = Instant::now();
            let begun = tokio::select! {
                begun = self.begin() => begun,
                () = signals.stop() => return Ok(Then::End),
            };
            if let Err(error) = begun {
                return self.not_begun(error, began.elapsed()).await;
            }
            self.starts = History::new(Restart::Always);
            self.since = SystemTime::now();
        }
        if let Some(door) = &mut self.door {
            door.up();
        }
        Ok(Then::GoOn)
    }

    /// A desktop on demand has not come up, which took so long. It waits for the next login, unless that happens too often.
    async fn not_begun(&mut self, error: DesktopError, took: Duration) -> Result<Then, DesktopError> {
        if let Some(door) = &mut self.door {
            door.not_up(&error.for_clients());
        }
        self.rest().await;
        match self.starts.ended(false, took) {
            Next::Again(_) => {
                tracing::warn!(%error, "the desktop did not come up; it waits for the next login");
                Ok(Then::GoOn)
            }
            Next::End | Next::GiveUp => Err(error),
        }
    }

    async fn on_program(
        &mut self,
        status: std::io::Result<ExitStatus>,
        signals: &mut Signals,
    ) -> Result<Then, DesktopError> {
        self.program = None;
        let what = self.session.join(" ");
        let well = status.as_ref().is_ok_and(ExitStatus::success);
        let how = in_words(status);
        match self.programs.ended(well, self.program_since.elapsed()) {
            Next::End if self.door.is_some() => {
                tracing::info!(program = %what, how, "the desktop has ended; it waits for the next login");
                self.rest().await;
            }
            Next::End => return Ok(Then::End),
            Next::GiveUp => return Err(self.ended(&what, how)),
            Next::Again(delay) => {
                tracing::warn!(program = %what, how, ?delay, "starts again");
                if signals.stop_within(delay).await {
                    return Ok(Then::End);
                }
                self.start_program()?;
                self.restarts += 1;
            }
        }
        Ok(Then::GoOn)
    }

    async fn on_server(
        &mut self,
        status: std::io::Result<ExitStatus>,
        signals: &mut Signals,
    ) -> Result<Then, DesktopError> {
        self.server = None;
        let how = in_words(status);
        match self.servers.ended(false, self.server_since.elapsed()) {
            Next::Again(delay) => {
                tracing::warn!(how, ?delay, "the server starts again");
                if signals.stop_within(delay).await {
                    return Ok(Then::End);
                }
                self.serve(&mut |_| ()).await?;
                self.server_since = Instant::now();
                Ok(Then::GoOn)
            }
            Next::End | Next::GiveUp => Err(self.ended("the server", how)),
        }
    }

    fn told(&self) -> Told {
        Told {
            name: self.wish.name.clone(),
            pid: std::process::id(),
            server: self.server.as_ref().and_then(Child::id),
            display: self.screen.as_ref().map(|screen| screen.display.clone()),
            listens: self.listens.clone(),
            command: self.session.clone(),
            since: self.since.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            restarts: self.restarts,
        }
    }

    /// Ends everything but the server, which is told first: a desktop on demand waits again.
    async fn rest(&mut self) {
        if let Some(door) = &mut self.door {
            door.close();
        }
        self.end_screen().await;
        end_orphans(PATIENCE, self.server.as_ref().and_then(Child::id)).await;
        self.place.remove(SCREEN);
        self.programs = History::new(self.wish.restart);
        self.since = SystemTime::now();
        self.restarts = 0;
    }

    /// Ends the program, then what it draws on.
    async fn end_screen(&mut self) {
        if let Some(mut program) = self.program.take() {
            program.end(PATIENCE).await;
        }
        if let Some(mut screen) = self.screen.take() {
            screen.child.end(PATIENCE).await;
        }
    }

    /// Ends the program, then the server, then what they draw on.
    async fn end(&mut self) {
        for mut child in [self.program.take(), self.server.take()].into_iter().flatten() {
            child.end(PATIENCE).await;
        }
        self.end_screen().await;
        end_orphans(PATIENCE, None).await;
    }
}

/// The signals that a supervisor listens to.
struct Signals {
    term: Signal,
    int: Signal,
    child: Signal,
}

impl Signals {
    fn new() -> Result<Self, DesktopError> {
        let listen = |kind| signal(kind).map_err(|error| DesktopError::Io("signals".into(), error));
        Ok(Self {
            term: listen(SignalKind::terminate())?,
            int: listen(SignalKind::interrupt())?,
            child: listen(SignalKind::child())?,
        })
    }

    /// Waits for one that asks for the end.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }

    /// Waits so long; true when one came meanwhile that asks for the end.
    async fn stop_within(&mut self, delay: Duration) -> bool {
        tokio::time::timeout(delay, self.stop()).await.is_ok()
    }
}

/// How a process ended; for ever where there is none.
async fn wait(child: Option<&mut Child>) -> std::io::Result<ExitStatus> {
    match child {
        Some(child) => child.process.wait().await,
        None => pending().await,
    }
}

fn in_words(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), how)
}
