use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::audit::chain::{self, Checked, Fault};
use crate::helper::{InProcess, aside};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("farpane-audit-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        Scratch(folder)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const NOW: Moment = Moment::from_millis(1_700_000_000_123);

fn line(n: u32) -> Line {
    let json = format!("{{\"event\":\"connect\",\"session\":{n}}}");
    Line { at: NOW.plus(Duration::from_secs(n.into())), event: "connect", severity: Severity::Info, json }
}

fn machine() -> Machine {
    Machine { host: "a host".into(), pid: 77 }
}

fn here() -> Arc<dyn Opener> {
    Arc::new(InProcess)
}

const SYSLOG: &str = "<86>1 2023-11-14T22:13:21.123Z ahost farpane 77 connect - {\"event\":\"connect\",\"session\":1}";

fn receive(socket: &UnixDatagram) -> String {
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut bytes = [0; 4096];
    let n = socket.recv(&mut bytes).unwrap();
    String::from_utf8(bytes[..n].to_vec()).unwrap()
}

#[test]
fn the_journal_gets_fields_and_may_be_started_late_and_anew() {
    let scratch = Scratch::new("journal");
    let path = scratch.path("socket");
    let mut journal = Journald::new(path.clone(), here());
    assert!(journal.write(&line(1)).is_err(), "nobody is there");
    for n in 2..4 {
        let socket = UnixDatagram::bind(&path).unwrap();
        journal.write(&line(n)).unwrap();
        let fields = receive(&socket);
        let message = format!("MESSAGE={{\"event\":\"connect\",\"session\":{n}}}");
        assert_eq!(fields.lines().next(), Some(message.as_str()));
        for field in ["PRIORITY=6", "SYSLOG_IDENTIFIER=farpane", "FARPANE_EVENT=connect"] {
            assert!(fields.lines().any(|l| l == field), "{fields}");
        }
        assert!(fields.ends_with('\n'));
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn syslog_is_spoken_over_each_socket() {
    let scratch = Scratch::new("syslog");
    let path = scratch.path("log");
    let unix = UnixDatagram::bind(&path).unwrap();
    Syslog::new(SinkSpec::SyslogUnix(path), machine(), here()).write(&line(1)).unwrap();
    assert_eq!(receive(&unix), SYSLOG);

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    Syslog::new(SinkSpec::SyslogUdp(udp.local_addr().unwrap()), machine(), here()).write(&line(1)).unwrap();
    let mut bytes = [0; 4096];
    let n = udp.recv(&mut bytes).unwrap();
    assert_eq!(std::str::from_utf8(&bytes[..n]).unwrap(), SYSLOG);

    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut syslog = Syslog::new(SinkSpec::SyslogTcp(tcp.local_addr().unwrap()), machine(), here());
    syslog.write(&line(1)).unwrap();
    syslog.write(&line(1)).unwrap();
    drop(syslog);
    let mut text = String::new();
    tcp.accept().unwrap().0.read_to_string(&mut text).unwrap();
    let counted = format!("{} {SYSLOG}", SYSLOG.len());
    assert_eq!(text, counted.repeat(2));
}

#[test]
fn a_syslog_server_that_is_away_is_left_alone_for_a_while() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut syslog = Syslog::new(SinkSpec::SyslogTcp(address), machine(), here());
    assert!(matches!(syslog.write(&line(1)), Err(SinkError::Open(_))));
    assert!(matches!(syslog.write(&line(2)), Err(SinkError::Resting(_))));
    assert!(matches!(syslog.write(&line(6)), Err(SinkError::Open(_))), "tried again");
}

fn write(path: &Path, most: u64, keep: u32, lines: std::ops::Range<u32>) {
    let mut file = ChainFile::open(path, most, keep, here(), NOW).unwrap();
    for n in lines {
        file.write(&line(n)).unwrap();
    }
    file.settle().unwrap();
}

fn names(checked: &Checked) -> Vec<String> {
    checked.files.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_file_goes_on_over_restarts_and_rotations_as_one_chain() {
    let scratch = Scratch::new("file");
    let path = scratch.path("deep/er/audit.log");
    write(&path, 1 << 20, 3, 0..5);
    write(&path, 1 << 20, 3, 5..9);
    let checked = chain::verify(&path, None).unwrap();
    assert_eq!((checked.events, checked.from_start), (9, true));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    // each line is about 120 bytes: some ten to a file
    write(&path, 1500, 3, 9..50);
    let whole = chain::verify(&path, Some(checked.last));
    assert!(matches!(whole, Err(Fault::NotSeen(..))), "its file was rotated away and removed: {whole:?}");
    let checked = chain::verify(&path, None).unwrap();
    assert_eq!(names(&checked), ["audit.log.3", "audit.log.2", "audit.log.1", "audit.log"]);
    assert!(!checked.from_start && checked.events < 50, "{checked:?}");
    write(&path, 1500, 3, 50..52);
    assert!(chain::verify(&path, Some(checked.last)).is_ok());
}

#[test]
fn faults_between_files_are_found() {
    let scratch = Scratch::new("between");
    let path = scratch.path("audit.log");
    write(&path, 1500, 9, 0..40);
    let good = chain::verify(&path, None).unwrap();
    assert!(good.files.len() >= 4 && good.from_start && good.events == 40);
    let newest = aside(&path, 1);
    let text = std::fs::read_to_string(&newest).unwrap();
    // the last line of a file that was rotated away
    let cut = text.trim_end().rfind('\n').unwrap() + 1;
    std::fs::write(&newest, &text[..cut]).unwrap();
    assert!(matches!(chain::verify(&path, None), Err(Fault::Gap(file, _)) if file == path));
    std::fs::write(&newest, &text).unwrap();
    assert_eq!(chain::verify(&path, None).unwrap(), good);
    // a file in the middle
    std::fs::rename(aside(&path, 2), scratch.path("aside")).unwrap();
    std::fs::rename(aside(&path, 3), aside(&path, 2)).unwrap();
    assert!(matches!(chain::verify(&path, None), Err(Fault::Gap(..))));
    // the end of the last file shows only to those who noted the hash
    let text = std::fs::read_to_string(&path).unwrap();
    let cut = text.trim_end().rfind('\n').unwrap() + 1;
    std::fs::remove_file(aside(&path, 2)).unwrap();
    std::fs::write(&path, &text[..cut]).unwrap();
    assert!(chain::verify(&path, None).is_ok());
    assert!(matches!(chain::verify(&path, Some(good.last)), Err(Fault::NotSeen(..))));
}

#[test]
fn half_a_line_of_a_crash_is_set_aside_and_stays_visible() {
    let scratch = Scratch::new("crash");
    let path = scratch.path("audit.log");
    write(&path, 1 << 20, 3, 0..5);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 20]).unwrap();
    write(&path, 1 << 20, 3, 5..7);
    assert_eq!(chain::check_bytes(&std::fs::read(&path).unwrap()).unwrap().0, 2);
    assert!(matches!(chain::verify(&path, None), Err(Fault::Cut(file, 6)) if file == aside(&path, 1)));
}

#[test]
fn files_that_others_can_get_at_or_have_open_are_refused() {
    let scratch = Scratch::new("refused");
    let path = scratch.path("audit.log");
    let open = |path: &Path| ChainFile::open(path, 1 << 20, 3, here(), NOW);
    let first = open(&path).unwrap();
    assert!(open(&path).err().unwrap().to_string().contains("another server writes it"));
    drop(first);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(open(&path).err().unwrap().to_string().contains("chmod 600"));
    let link = scratch.path("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(open(&link), Err(SinkError::Open(..))));
    assert!(open(&scratch.0).is_err());
    let pipe = scratch.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .unwrap();
    assert!(open(&pipe).is_err(), "a pipe is neither waited for nor written");
    let shared = scratch.path("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(open(&shared.join("audit.log")).err().unwrap().to_string().contains("chmod go-w"));
}

#[test]
fn settings_open_their_sinks() {
    let scratch = Scratch::new("open");
    let sinks = vec![SinkSpec::Journald, SinkSpec::SyslogUnix(scratch.path("none")), SinkSpec::File(scratch.path("a"))];
    let settings = AuditSettings { sinks, ..AuditSettings::default() };
    let names: Vec<String> = open(&settings, &machine(), &here(), NOW).unwrap().iter().map(|s| s.name()).collect();
    assert_eq!(names.len(), 3);
    assert!(names[0] == "journald" && names[2].starts_with("file /"), "{names:?}");
}

#[test]
fn settings_say_what_may_have_to_be_connected_to() {
    let sinks = ["journald", "syslog", "syslog:udp:192.0.2.1:514", "syslog:tcp:[::1]:6514", "file:/x"];
    let settings = AuditSettings { sinks: sinks.map(|s| s.parse().unwrap()).into(), ..AuditSettings::default() };
    let asked: Vec<String> = requests(&settings).iter().map(ToString::to_string).collect();
    // a file is opened, and put aside
    assert_eq!(asked, [JOURNAL, "/dev/log", "192.0.2.1:514", "[::1]:6514", "/x", "/x"]);
}
