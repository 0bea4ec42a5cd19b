//! Landlock: no file, no folder, no TCP, no signal to a process outside.

use std::fmt;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::{Plan, SandboxError};

/// The newest interface whose rights are asked for: the newest that this was tried on.
const ASKED: ABI = ABI::V7;

/// What each version of the interface brought.
const BROUGHT: [(ABI, &str); 5] = [
    (ABI::V2, "moving files between folders (Linux 5.19)"),
    (ABI::V3, "truncating files (6.2)"),
    (ABI::V4, "TCP connections (6.7)"),
    (ABI::V5, "device controls (6.10)"),
    (ABI::V6, "signals and abstract sockets (6.12)"),
];

/// What Landlock does for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// It was not asked to.
    Off,
    /// The kernel has none.
    NotBuilt,
    /// The kernel has one that was not switched on at boot.
    NotEnabled,
    /// It holds, with what this version of its interface knows.
    Holds(ABI),
}

impl Files {
    /// Whether files outside are out of reach.
    pub fn holds(self) -> bool {
        matches!(self, Files::Holds(_))
    }

    /// What it does not do here.
    pub fn missing(self) -> Option<String> {
        let abi = match self {
            Files::Off => return None,
            Files::NotBuilt => return Some("Landlock (Linux 5.13)".into()),
            Files::NotEnabled => return Some("Landlock, which is not among the kernel's lsm= at boot".into()),
            Files::Holds(abi) => abi,
        };
        let missing: Vec<&str> = BROUGHT.iter().filter(|(from, _)| abi < *from).map(|(_, what)| *what).collect();
        (!missing.is_empty()).then(|| format!("Landlock for {}", missing.join(", ")))
    }
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Files::Off => f.write_str("off"),
            Files::NotBuilt => f.write_str("not in this kernel"),
            Files::NotEnabled => f.write_str("not enabled in this kernel"),
            Files::Holds(abi) => write!(f, "version {}", *abi as u8),
        }
    }
}

/// Takes everything from this thread, and from threads that it starts, but what the plan leaves it.
pub(super) fn restrict(plan: &Plan) -> Result<Files, SandboxError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ASKED))?
        .handle_access(AccessNet::from_all(ASKED))?
        .scope(Scope::from_all(ASKED))?
        .create()?;
    for path in plan.read.iter().chain(&plan.read_early) {
        let rights = AccessFs::from_read(ASKED) & !AccessFs::Execute;
        let rights = if path.is_dir() { rights } else { rights & AccessFs::from_file(ASKED) };
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(path)?, rights))?;
    }
    for path in &plan.devices {
        let rights = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
        let rights = if path.is_dir() { rights | AccessFs::ReadDir } else { rights };
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(path)?, rights))?;
    }
    for folder in &plan.write {
        let files = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::WriteFile | AccessFs::Truncate;
        let names = AccessFs::MakeReg | AccessFs::MakeDir | AccessFs::RemoveFile;
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(folder)?, files | names))?;
    }
    for port in &plan.ports {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    let status = ruleset.restrict_self()?;
    Ok(match (status.landlock, status.ruleset) {
        (LandlockStatus::NotEnabled, _) => Files::NotEnabled,
        (
            LandlockStatus::Available { effective_abi, .. },
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced,
        ) => Files::Holds(effective_abi),
        _ => Files::NotBuilt,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_kernel_that_has_it() {
        assert_eq!(Files::Holds(ABI::V7).missing(), None);
        assert_eq!(Files::Holds(ABI::V9).missing(), None);
        let old = Files::Holds(ABI::V3).missing().expect("much");
        assert!(old.contains("TCP connections (6.7)") && !old.contains("truncating"), "{old}");
        assert!(Files::NotEnabled.missing().is_some_and(|m| m.contains("lsm=")));
        assert!(Files::NotBuilt.missing().is_some() && !Files::NotBuilt.holds());
    }

    #[test]
    fn a_restricted_thread_reads_what_it_was_left_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("farpane-landlock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let (left, taken) = (folder.join("left"), folder.join("taken"));
        [&left, &taken].iter().for_each(|path| std::fs::write(path, "text").expect("a file"));
        let tried = {
            let (left, taken) = (left.clone(), taken.clone());
            // Landlock holds for this thread alone
            std::thread::spawn(move || {
                let holds = restrict(&Plan { read: vec![left.clone()], ..Plan::default() }).expect("restricts").holds();
                let write = std::fs::OpenOptions::new().write(true).open(&left).is_ok();
                (holds, std::fs::read(&left).is_ok(), write, std::fs::read(&taken).is_ok())
            })
        };
        let (holds, read, write, other) = tried.join().expect("ends");
        std::fs::remove_dir_all(&folder).expect("this thread may");
        assert!(read);
        assert_eq!((write, other), (!holds, !holds), "Landlock holds: {holds}");
    }

    #[test]
    fn a_restricted_thread_binds_the_ports_it_was_left_and_no_other() {
        // two ports that are free
        let free = || std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
        let (left, other) = (free(), free());
        let tried = std::thread::spawn(move || {
            let holds = restrict(&Plan { ports: vec![left.port()], ..Plan::default() }).expect("restricts");
            let knows = matches!(holds, Files::Holds(abi) if abi >= ABI::V4);
            // somebody else may have taken a port meanwhile: only a refusal counts
            let refused = |at| {
                let bound = std::net::TcpListener::bind(at);
                bound.is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
            };
            (knows, refused(left), refused(other))
        });
        let (knows, ours, others) = tried.join().expect("ends");
        assert_eq!((ours, others), (false, knows && left != other));
    }

    #[test]
    fn a_restricted_thread_keeps_files_in_a_folder_that_it_was_left() {
        let top = std::env::temp_dir().join(format!("farpane-landlock-kept-{}", std::process::id()));
        let (left, taken) = (top.join("left"), top.join("taken"));
        [&left, &taken].iter().for_each(|path| std::fs::create_dir_all(path).expect("a folder"));
        let tried = std::thread::spawn({
            let (left, taken) = (left.clone(), taken.clone());
            move || {
                let plan = Plan { write: vec![left.clone()], ..Plan::default() };
                let holds = restrict(&plan).expect("restricts").holds();
                let keep = |folder: &std::path::Path| {
                    let (new, kept) = (folder.join("new"), folder.join("kept"));
                    std::fs::write(&new, "kept")?;
                    std::fs::rename(&new, &kept)?;
                    std::fs::File::open(folder)?.sync_all()?;
                    std::fs::read_to_string(&kept).inspect(|_| std::fs::remove_file(&kept).expect("may"))
                };
                (holds, keep(&left), keep(&taken).is_err())
            }
        });
        let (holds, kept, refused) = tried.join().expect("ends");
        std::fs::remove_dir_all(&top).expect("this thread may");
        assert_eq!((kept.expect("keeps").as_str(), refused), ("kept", holds));
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error() {
        let plan = Plan { read: vec!["/nonexistent/path".into()], ..Plan::default() };
        let tried = std::thread::spawn(move || restrict(&plan).map_err(|e| e.to_string()));
        let said = tried.join().expect("ends").expect_err("is not there");
        assert!(said.contains("/nonexistent/path"), "{said}");
    }
}
