//! seccomp: the system calls that serving needs, and no other.
//!
//! Two filters, of which the stricter answer counts. The first lets calls of the list through and fails all others with
//! EPERM. The second fails `clone3` with ENOSYS, as an old kernel would: its flags lie in memory, where no filter
//! sees them, and the C library then starts threads by `clone`, whose flags are looked at.

use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

/// Calls that are let through whatever their arguments are.
const FREE: &[libc::c_long] = &[
    // descriptors that are there already
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_ftruncate,
    libc::SYS_fdatasync,
    libc::SYS_close,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    // waiting
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_sched_yield,
    libc::SYS_restart_syscall,
    // descriptors that lead nowhere
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_memfd_create,
    // memory; with `mmap` and `mprotect` below
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // time, chance and what the process knows of itself
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_uname,
    libc::SYS_sched_getaffinity,
    // threads and signals of this process
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // the second filter has the last word
    libc::SYS_clone3,
];

/// Calls that newer architectures have no more.
#[cfg(target_arch = "x86_64")]
const OLDER: &[libc::c_long] = &[libc::SYS_poll, libc::SYS_epoll_wait, libc::SYS_time];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];

/// Commands of `fcntl`: flags, copies and the seals of shared memory.
const FCNTL: &[libc::c_int] = &[
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_ADD_SEALS,
    libc::F_GET_SEALS,
];

/// Commands of `ioctl`: what waits in a socket, whether a descriptor blocks, whether it is a terminal, and that a dma-buf is read
/// (`DMA_BUF_IOCTL_SYNC`, `DMA_BUF_IOCTL_EXPORT_SYNC_FILE`).
const IOCTL: &[libc::Ioctl] =
    &[libc::FIONREAD, libc::TIOCOUTQ, libc::FIONBIO, libc::FIOCLEX, libc::TCGETS, 0x4008_6200, 0xc008_6202];

/// Kinds of commands of `ioctl` that a GPU's driver uses: DRM, NVIDIA's, fences, dma-bufs.
const DEVICES: &[u8] = b"dF>b";

/// Commands of `prctl`: names of threads and of memory.
const PRCTL: &[libc::c_int] = &[libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA];

/// A thread of this process, in its namespaces.
const THREAD: libc::c_int = libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

type Rules = Vec<(libc::c_long, Vec<SeccompRule>)>;

fn condition(index: u8, operator: Op, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, Len::Dword, operator, value)
}

/// The bits of an argument or a command, as the kernel sees their lower half.
fn bits(value: libc::c_int) -> u64 {
    u64::from(value.cast_unsigned())
}

/// A call whose argument is one of the values.
fn one_of(call: libc::c_long, index: u8, values: impl IntoIterator<Item = u64>) -> Result<Rules, BackendError> {
    let rule = |value| SeccompRule::new(vec![condition(index, Op::Eq, value)?]);
    Ok(vec![(call, values.into_iter().map(rule).collect::<Result<_, _>>()?)])
}

/// A call of whose argument these bits have these values.
fn masked(call: libc::c_long, index: u8, mask: u64, value: u64) -> Result<Rules, BackendError> {
    Ok(vec![(call, vec![SeccompRule::new(vec![condition(index, Op::MaskedEq(mask), value)?])?])])
}

/// The kernel's word on how much of what was sent a viewer has acknowledged (`net::meter`).
fn measuring() -> Result<SeccompRule, BackendError> {
    let (family, protocol) = (bits(libc::AF_NETLINK), bits(libc::NETLINK_SOCK_DIAG));
    SeccompRule::new(vec![condition(0, Op::Eq, family)?, condition(2, Op::Eq, protocol)?])
}

/// Sending to where a socket is connected, and to no address besides.
fn sending() -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![
        // a flag that connects
        condition(3, Op::MaskedEq(bits(libc::MSG_FASTOPEN)), 0)?,
        SeccompCondition::new(4, Len::Qword, Op::Eq, 0)?,
        condition(5, Op::Eq, 0)?,
    ])
}

/// Listening on an interface whose addresses come and go: new TCP sockets, which nothing can connect.
fn listening() -> Result<Vec<SeccompRule>, BackendError> {
    let family = |family: libc::c_int| {
        let kind = bits(libc::SOCK_STREAM);
        SeccompRule::new(vec![condition(0, Op::Eq, bits(family))?, condition(1, Op::MaskedEq(0xf), kind)?])
    };
    Ok(vec![family(libc::AF_INET)?, family(libc::AF_INET6)?])
}

/// Reading paths that Landlock leaves, for a server that has such.
fn reading() -> Result<Rules, BackendError> {
    let writes = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND;
    masked(libc::SYS_openat, 2, bits(writes), 0)
}

/// Keeping files in folders that Landlock leaves: made beside, written out, put in the place of the old one.
fn writing() -> Rules {
    let calls = [
        libc::SYS_openat,
        libc::SYS_mkdirat,
        libc::SYS_unlinkat,
        libc::SYS_renameat,
        libc::SYS_renameat2,
        libc::SYS_fsync,
    ];
    #[cfg(target_arch = "x86_64")]
    let older = [libc::SYS_mkdir, libc::SYS_unlink, libc::SYS_rename];
    #[cfg(not(target_arch = "x86_64"))]
    let older = [];
    calls.into_iter().chain(older).map(|call| (call, vec![])).collect()
}

/// What the list has for some servers only.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Also {
    /// Opening files for reading.
    pub(super) reads: bool,
    /// Making and removing files too.
    pub(super) writes: bool,
    /// Listening on addresses that come later.
    pub(super) listens: bool,
    /// Controlling devices that were opened before.
    pub(super) devices: bool,
}

fn rules(also: Also) -> Result<Rules, BackendError> {
    let mut rules: Rules = FREE.iter().chain(OLDER).map(|call| (*call, Vec::new())).collect();
    rules.push((libc::SYS_sendto, vec![sending()?]));
    // a flag of sending that connects; an address in this one's memory is not seen, and no socket here would follow one
    rules.extend(masked(libc::SYS_sendmsg, 2, bits(libc::MSG_FASTOPEN), 0)?);
    // nothing that was written can be run
    rules.extend(masked(libc::SYS_mmap, 2, bits(libc::PROT_EXEC), 0)?);
    rules.extend(masked(libc::SYS_mprotect, 2, bits(libc::PROT_EXEC), 0)?);
    rules.extend(masked(libc::SYS_clone, 0, bits(THREAD | NAMESPACES), bits(THREAD))?);
    rules.extend(one_of(libc::SYS_fcntl, 1, FCNTL.iter().map(|c| bits(*c)))?);
    let ioctl = IOCTL.iter().chain(also.listens.then_some(&(libc::SIOCGIFINDEX as libc::Ioctl)));
    let mut ioctl = one_of(libc::SYS_ioctl, 1, ioctl.map(|c| *c & 0xffff_ffff))?;
    if also.devices {
        for kind in DEVICES {
            ioctl.extend(masked(libc::SYS_ioctl, 1, 0xff00, u64::from(*kind) << 8)?);
        }
    }
    // one entry a call: a later one would replace it
    rules.push((libc::SYS_ioctl, ioctl.into_iter().flat_map(|(_, rules)| rules).collect()));
    // texts on their way between programs and the clipboard
    rules.extend(one_of(libc::SYS_pipe2, 1, [bits(libc::O_CLOEXEC | libc::O_NONBLOCK)])?);
    rules.extend(one_of(libc::SYS_prctl, 0, PRCTL.iter().map(|c| bits(*c)))?);
    // its own threads' niceness, and signals to none but itself
    rules.extend(one_of(libc::SYS_getpriority, 0, [u64::from(libc::PRIO_PROCESS)])?);
    rules.extend(one_of(libc::SYS_setpriority, 1, [0])?);
    rules.extend(one_of(libc::SYS_tgkill, 0, [u64::from(std::process::id())])?);
    let mut sockets = vec![measuring()?];
    if also.listens {
        sockets.extend(listening()?);
        rules.extend([libc::SYS_bind, libc::SYS_listen].map(|call| (call, vec![])));
    }
    rules.push((libc::SYS_socket, sockets));
    if also.writes {
        rules.extend(writing());
    } else if also.reads {
        rules.extend(reading()?);
    }
    if also.reads || also.writes {
        let looks = [libc::SYS_getdents64, libc::SYS_readlinkat, libc::SYS_newfstatat, libc::SYS_statx];
        rules.extend(looks.map(|call| (call, vec![])));
    } else {
        // of descriptors that are open: an empty path beside a descriptor
        let empty = bits(libc::AT_EMPTY_PATH);
        rules.extend(masked(libc::SYS_newfstatat, 3, empty, empty)?);
        rules.extend(masked(libc::SYS_statx, 2, empty, empty)?);
    }
    Ok(rules)
}

fn compile(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Result<BpfProgram, BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules.into_iter().collect(), otherwise, matched, arch)?.try_into()
}

/// Both filters, in the order in which they are to be put on.
fn filters(also: Also) -> Result<[BpfProgram; 2], BackendError> {
    let errno = |code: libc::c_int| SeccompAction::Errno(code.cast_unsigned());
    let older = vec![(libc::SYS_clone3, Vec::new())];
    Ok([
        compile(older, SeccompAction::Allow, errno(libc::ENOSYS))?,
        compile(rules(also)?, errno(libc::EPERM), SeccompAction::Allow)?,
    ])
}

/// Puts the filters on every thread of this process.
pub(super) fn restrict(also: Also) -> Result<(), Error> {
    for filter in filters(also)? {
        seccompiler::apply_filter_all_threads(&filter)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile_with_each_call_once() {
        for which in 0..16 {
            let [reads, writes, listens, devices] = [1, 2, 4, 8].map(|bit| which & bit != 0);
            let also = Also { reads, writes, listens, devices };
            let rules = rules(also).expect("rules");
            let mut calls: Vec<_> = rules.iter().map(|(call, _)| *call).collect();
            calls.sort_unstable();
            calls.dedup();
            assert_eq!(calls.len(), rules.len(), "a call twice: the later rule would replace the earlier");
            // the kernel takes 4,096 instructions at most
            assert!(filters(also).expect("compiles").iter().all(|f| (1..4096).contains(&f.len())));
            assert_eq!(calls.contains(&libc::SYS_openat), reads || writes);
            assert_eq!(calls.contains(&libc::SYS_unlinkat), writes);
            assert_eq!(calls.contains(&libc::SYS_bind), listens);
            for never in [libc::SYS_execve, libc::SYS_execveat, libc::SYS_connect, libc::SYS_ptrace, libc::SYS_kill] {
                assert!(!calls.contains(&never), "{never}");
            }
        }
    }
}
