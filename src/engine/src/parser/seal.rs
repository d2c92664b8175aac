//! The sandbox of a child: no files, no network, no programs, no other processes. Unlike the engine's (`sandbox.rs`) it
//! lists the system calls that are permitted.

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetError, Scope};
use seccompiler::{SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompRule};

use crate::seccomp::{self, Rules};

/// The version of Landlock whose restrictions are requested; an older kernel applies those that it knows.
const LANDLOCK_ABI: ABI = ABI::V6;

/// System calls of a program that computes: memory, threads, time, and open files.
const PERMITTED_CALLS: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Seals this thread and those that it starts.
///
/// # Errors
/// The filter cannot be applied. A kernel without Landlock is no error: the filter refuses to open files as well.
pub fn enter() -> Result<(), String> {
    // Landlock denies what the filter denies already, for the case of a gap in the list.
    let _ = deny_files();
    let permitted = PERMITTED_CALLS.iter().map(|&call| (call, Vec::new()));
    let mut rules: Rules = permitted.collect();
    let thread = libc::CLONE_THREAD as u64;
    rules.insert(libc::SYS_clone, vec![only_if(0, SeccompCmpOp::MaskedEq(thread), thread)?]);
    // A process may signal itself, which abort() does.
    rules.insert(libc::SYS_tgkill, vec![only_if(0, SeccompCmpOp::Eq, u64::from(std::process::id()))?]);
    // Reading limits, as the C library does for stacks; setting them has a third argument.
    rules.insert(libc::SYS_prlimit64, vec![only_if(2, SeccompCmpOp::Eq, 0)?]);
    seccomp::hide_clone3()?;
    rules.insert(libc::SYS_clone3, Vec::new());
    seccomp::apply(rules, seccomp::refusal(libc::EPERM), SeccompAction::Allow)
}

fn deny_files() -> Result<(), RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK_ABI))?
        .handle_access(AccessNet::from_all(LANDLOCK_ABI))?
        .scope(Scope::from_all(LANDLOCK_ABI))?
        .create()?
        .restrict_self()
        .map(drop)
}

fn only_if(argument: u8, comparison: SeccompCmpOp, value: u64) -> Result<SeccompRule, String> {
    seccomp::rule(SeccompCmpArgLen::Qword, [(argument, comparison, value)])
}

#[cfg(test)]
mod tests {
    use std::{fs, io::ErrorKind, net::TcpStream, os::unix::net::UnixStream, process::Command};

    use super::*;

    #[test]
    fn a_sealed_thread_computes_and_reaches_nothing() {
        let attempts = std::thread::spawn(|| {
            enter().unwrap();
            let computed = std::thread::spawn(|| vec![1u64; 1 << 20].iter().sum::<u64>()).join().unwrap();
            assert_eq!(computed, 1 << 20);
            [
                fs::read("/etc/passwd").map(drop),
                fs::read("/proc/self/maps").map(drop),
                fs::read_dir("/").map(drop),
                fs::write("/tmp/ragstone-seal", ""),
                TcpStream::connect("127.0.0.1:1").map(drop),
                UnixStream::pair().map(drop),
                Command::new("/bin/true").status().map(drop),
            ]
        });
        for attempt in attempts.join().unwrap() {
            assert_eq!(attempt.unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
    }
}
