//! `farpane doctor`: tries what is promised.
//!
//! `doctor sandbox` shuts itself in exactly as `serve` does, then tries from inside what an intruder would: one line each. A
//! promise that does not hold is a line that begins with `NO` and exit status 1. Nothing that is tried does harm where it
//! succeeds: the process to be traced and signalled is the doctor's own, the program to be run only says that it ran.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use clap::Subcommand;
use farpane_engine::frame::DmaBuf;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::process::{Pid, Signal};

use crate::app::AppError;
use crate::helper::open_helper::Setup;
use crate::helper::{self, DisplayAddress, OpenRequest, Opener, OpenerError, Relay, RemoteOpener};
use crate::sandbox::{self, Files, Mode, Plan};

/// What the doctor looks at.
#[derive(Subcommand, Debug)]
pub(super) enum What {
    /// The sandbox of `serve`: what it denies, and that serving works inside
    Sandbox {
        /// Look without it, to see that the doctor notices
        #[arg(long, hide = true)]
        off: bool,
    },
    /// What was run although nothing may be
    #[command(hide = true)]
    Ran,
    /// What may be traced and signalled
    #[command(hide = true)]
    Patient,
}

/// What came of one attempt.
type Attempt = (&'static str, Promise, Result<(), io::Error>);

/// What is promised of an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Promise {
    Denied,
    Works,
}

/// Runs what was asked for.
///
/// # Errors
/// When something that is promised does not hold.
pub(super) fn run(what: What) -> Result<(), AppError> {
    let held = match what {
        What::Sandbox { off } => sandbox_holds(if off { Mode::Off } else { Mode::On }),
        What::Ran => Ok(tell("run a program", Promise::Denied, &Ok(()))),
        What::Patient => be_patient().map(|()| true),
    };
    match held {
        Ok(true) => Ok(()),
        Ok(false) => Err(AppError::Failed("what is promised does not hold here; see the lines with NO".into())),
        Err(error) => Err(AppError::Failed(format!("doctor: {error}"))),
    }
}

/// Makes a folder, says where, and removes it when the doctor ends, who may remove nothing by then.
fn be_patient() -> io::Result<()> {
    let mut name = [0; 8];
    getrandom::fill(&mut name).map_err(io::Error::other)?;
    let path = std::env::temp_dir().join(format!("farpane-doctor-{:016x}", u64::from_ne_bytes(name)));
    std::fs::create_dir(&path)?;
    println!("{}", path.display());
    let ended = io::stdin().read_to_end(&mut Vec::new());
    std::fs::remove_dir_all(&path)?;
    ended.map(drop)
}

/// One line for an attempt; whether the promise held.
fn tell(what: &str, promise: Promise, result: &Result<(), io::Error>) -> bool {
    let refused = |e: &io::Error| e.kind() == io::ErrorKind::PermissionDenied;
    let (held, line) = match (promise, result) {
        (Promise::Denied, Err(e)) if refused(e) => (true, format!("ok  denied: {what}")),
        (Promise::Denied, Err(e)) => (false, format!("NO  failed, but was not denied: {what}: {e}")),
        (Promise::Denied, Ok(())) => (false, format!("NO  not denied: {what}")),
        (Promise::Works, Ok(())) => (true, format!("ok  works: {what}")),
        (Promise::Works, Err(e)) => (false, format!("NO  does not work: {what}: {e}")),
    };
    let mut out = io::stdout().lock();
    // that nobody reads it is no failure
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    held
}

/// What is there to be tried on.
struct Ward {
    file: PathBuf,
    unix: PathBuf,
    listener: UnixListener,
    tcp: TcpListener,
    udp: UdpSocket,
    patient: Child,
}

impl Ward {
    fn new() -> io::Result<Self> {
        let mut patient = Command::new(helper::THIS_PROGRAM)
            .args(["doctor", "patient"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut folder = String::new();
        let told = patient.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        BufReader::new(told).read_line(&mut folder)?;
        let folder = Path::new(folder.trim_end_matches('\n'));
        let (file, unix) = (folder.join("file"), folder.join("socket"));
        std::fs::write(&file, "outside")?;
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file.with_extension("log"))?;
        let (listener, tcp) = (UnixListener::bind(&unix)?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        udp.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Ward { file, unix, listener, tcp, udp, patient })
    }

    fn patient(&self) -> Option<Pid> {
        i32::try_from(self.patient.id()).ok().and_then(Pid::from_raw)
    }

    /// What nobody inside may do.
    fn forbidden(&self) -> Vec<Attempt> {
        let denied = |what, result| (what, Promise::Denied, result);
        let pid = self.patient().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        let traced = pid.as_ref().map_err(|e| e.kind().into()).and_then(|pid| {
            let pid = nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get());
            // unlike attaching it stops nothing
            nix::sys::ptrace::seize(pid, nix::sys::ptrace::Options::empty()).map_err(io::Error::from)
        });
        let signalled = pid.and_then(|pid| rustix::process::kill_process(pid, Signal::CONT).map_err(io::Error::from));
        let to = self.tcp.local_addr().and_then(TcpStream::connect);
        vec![
            denied("open a file for reading", std::fs::File::open(&self.file).map(drop)),
            denied("open a file for writing", std::fs::OpenOptions::new().write(true).open(&self.file).map(drop)),
            denied("make a file", std::fs::write(self.file.with_extension("new"), "x")),
            denied("list a folder", std::fs::read_dir("/").map(drop)),
            denied("remove a file", std::fs::remove_file(&self.file)),
            denied("rename a file", std::fs::rename(&self.file, self.file.with_extension("moved"))),
            denied("open the memory of a process", std::fs::File::open("/proc/self/mem").map(drop)),
            denied("connect by TCP", to.map(drop)),
            denied("connect to a Unix socket", UnixStream::connect(&self.unix).map(drop)),
            denied("send a datagram to an address", self.astray()),
            denied("open the audit log by itself", std::fs::File::open(self.log()).map(drop)),
            denied("open a UDP socket", UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(drop)),
            denied("listen on another port", TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop)),
            denied("trace a process", traced),
            denied("signal a process", signalled),
            denied("start a process", start()),
        ]
    }

    /// What serving needs.
    fn needed(&self, opener: &RemoteOpener) -> Vec<Attempt> {
        let works = |what, result| (what, Promise::Works, result);
        vec![
            works("open through the helper what it was set up for", self.opened(opener)),
            works("accept a connection, read and write", self.accepted(opener)),
            works("begin an audit log and put it aside, through the helper", self.logged(opener)),
            works("send a line to a log, through the helper", self.sent(opener)),
            works("start a thread, and wait for it", std::thread::Builder::new().spawn(|| ()).map(drop)),
            works("share memory", shared()),
            works("read a dma-buf", read_dma_buf()),
            works("draw random numbers", getrandom::fill(&mut [0; 32]).map_err(io::Error::other)),
            works("stand back behind others", rustix::process::nice(1).map(drop).map_err(io::Error::from)),
        ]
    }

    fn log(&self) -> PathBuf {
        self.file.with_extension("log")
    }

    /// A datagram from a socket that is there already.
    fn astray(&self) -> io::Result<()> {
        self.udp.send_to(b"astray", self.udp.local_addr()?)?;
        self.udp.recv(&mut [0; 16]).map(drop)
    }

    fn logged(&self, opener: &RemoteOpener) -> io::Result<()> {
        let [first, next] = self.log_requests();
        for request in [first, next] {
            let mut log = std::fs::File::from(opener.open(&request).map_err(io::Error::other)?);
            log.write_all(b"line\n")?;
            let length = log.metadata()?.len();
            if length != 5 {
                return Err(io::Error::other(format!("a new log has {length} bytes (expected 5)")));
            }
        }
        Ok(())
    }

    fn log_requests(&self) -> [OpenRequest; 2] {
        [OpenRequest::Log(self.log()), OpenRequest::NextLog { path: self.log(), keep: 2 }]
    }

    fn sent(&self, opener: &RemoteOpener) -> io::Result<()> {
        let to = OpenRequest::Udp(self.udp.local_addr()?);
        let end = opener.open(&to).map_err(io::Error::other)?;
        Relay::over(end)?.send(b"line")?;
        let mut heard = [0; 16];
        let length = self.udp.recv(&mut heard)?;
        if heard.get(..length) == Some(b"line") { Ok(()) } else { Err(io::Error::other("another line came")) }
    }

    fn opened(&self, opener: &RemoteOpener) -> io::Result<()> {
        let opened = opener.open(&OpenRequest::Trace(self.file.clone())).map_err(io::Error::other)?;
        let mut text = String::new();
        std::fs::File::from(opened).read_to_string(&mut text)?;
        let other = OpenRequest::Trace(self.unix.clone());
        match opener.open(&other) {
            Err(OpenerError::NotAllowed(_)) if text == "outside" => Ok(()),
            _ => Err(io::Error::other("the helper opens what it was not set up for, or something else")),
        }
    }

    fn accepted(&self, opener: &RemoteOpener) -> io::Result<()> {
        let display = OpenRequest::Display(DisplayAddress::Unix(self.unix.clone()));
        let mut caller = UnixStream::from(opener.open(&display).map_err(io::Error::other)?);
        let (mut called, _) = self.listener.accept()?;
        caller.write_all(b"hello")?;
        let mut heard = [0; 5];
        called.read_exact(&mut heard)?;
        if heard == *b"hello" { Ok(()) } else { Err(io::Error::other("other bytes came")) }
    }
}

fn start() -> io::Result<()> {
    let started = Command::new(helper::THIS_PROGRAM).arg("--version").stdout(Stdio::null()).spawn();
    started.and_then(|mut child| child.wait()).map(drop)
}

fn shared() -> io::Result<()> {
    let memory = rustix::fs::memfd_create("doctor", MemfdFlags::CLOEXEC)?;
    rustix::fs::ftruncate(memory.as_fd(), 4096)?;
    Ok(())
}

/// What the processor does to a dma-buf, with memory that stands in for one: the kernel may refuse it as none, the sandbox may not.
fn read_dma_buf() -> io::Result<()> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = rustix::fs::memfd_create("doctor", flags)?;
    rustix::fs::ftruncate(memory.as_fd(), 4096)?;
    rustix::fs::fcntl_add_seals(memory.as_fd(), SealFlags::SHRINK)?;
    let buffer = DmaBuf::new(memory, Vec::new())?;
    drop(buffer.read()?);
    match buffer.ask_fence() {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOTTY.raw_os_error()) => Ok(()),
        other => other.map(drop),
    }
}

/// Shuts itself in and tries. False when a promise does not hold.
fn sandbox_holds(mode: Mode) -> io::Result<bool> {
    let ward = Ward::new()?;
    let display = OpenRequest::Display(DisplayAddress::Unix(ward.unix.clone()));
    let mut allowed = vec![OpenRequest::Trace(ward.file.clone()), display];
    allowed.extend(ward.log_requests());
    allowed.push(OpenRequest::Udp(ward.udp.local_addr()?));
    let setup = Setup { allowed, ..Setup::default() };
    let (helper, _) = helper::spawn(Path::new(helper::THIS_PROGRAM), "open-helper", helper::Surroundings::Bare)
        .map_err(io::Error::other)?;

    let early = sandbox::enter_early(&Plan { mode, clients: 64, ..Plan::default() }).map_err(io::Error::other)?;
    let opener = RemoteOpener::start(helper, &setup).map_err(io::Error::other)?;
    let mut held = true;
    let mut look = |attempts: Vec<Attempt>, whose: &str| {
        for (what, promise, result) in attempts {
            held &= tell(&format!("{what}{whose}"), promise, &result);
        }
    };
    match early.files {
        Files::Holds(_) => look(
            vec![
                ("open a file for reading", Promise::Denied, std::fs::File::open(&ward.file).map(drop)),
                ("make a file", Promise::Denied, std::fs::write(ward.file.with_extension("early"), "x")),
            ],
            " (by Landlock alone)",
        ),
        files => println!("--  Landlock: {files}"),
    }
    if let Some(missing) = early.files.missing() {
        println!("--  this kernel lacks {missing}");
    }

    std::thread::scope(|scope| {
        // runs already when the filter comes, as the threads of a server do
        let (go, gone) = mpsc::channel::<()>();
        let older = scope.spawn({
            let ward = &ward;
            move || gone.recv_timeout(Duration::from_secs(60)).map(|()| ward.forbidden())
        });
        early.enter_late().map_err(io::Error::other)?;
        look(ward.forbidden(), "");
        look(ward.needed(&opener), "");
        let newer = scope.spawn(|| ward.forbidden());
        look(newer.join().unwrap_or_default(), " (a later thread)");
        let _ = go.send(());
        let attempts = older.join().ok().and_then(Result::ok).unwrap_or_default();
        if attempts.is_empty() {
            return Err(io::Error::other("the thread that ran before did not answer"));
        }
        look(attempts, " (an earlier thread)");
        // last: where it is not denied, nothing is left of this process but what it became
        let ran = Command::new(OsStr::new(helper::THIS_PROGRAM)).args(["doctor", "ran"]).exec();
        look(vec![("run a program", Promise::Denied, Err(ran))], "");
        Ok(())
    })?;
    Ok(held)
}
