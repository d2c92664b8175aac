//! The sandbox of the engine: the kernel refuses certain operations to all code in the process. If a document, an
//! answer or a model made the engine run foreign code, that code could read models and talk to servers, and nothing else.
//!
//! Landlock (landlock(7)) permits reading some paths, and forbids writing and signals to other processes. A seccomp
//! filter refuses what Landlock does not cover: new programs and processes, the memory of other processes, mounts,
//! rights of files, kernel modules. Both imply `no_new_privs`.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};
use seccompiler::{SeccompAction, SeccompCmpArgLen, SeccompCmpOp};

use crate::seccomp::{self, Rules};

/// The version of Landlock whose restrictions are requested; an older kernel applies those that it knows. Version 6 is
/// the first that restricts signals.
const LANDLOCK_ABI: ABI = ABI::V6;

/// Paths that native libraries, the resolver and TLS read on any system. Paths that do not exist are left out.
const SYSTEM_PATHS: &[&str] = &[
    // Shared libraries.
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    // Names (nsswitch.conf(5), resolv.conf(5)).
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/run/systemd/resolve",
    // Certificates.
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/ssl",
    "/usr/local/ssl",
    // Processors and memory.
    "/proc",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/dev/urandom",
    "/dev/null",
    "/etc/localtime",
    "/usr/share/zoneinfo",
];

/// Variables of the environment that name files or folders of certificates.
const CERTIFICATE_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// System calls that the engine never makes.
const REFUSED_CALLS: &[i64] = &[
    // Programs, and other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    // Changes of files, which Landlock restricts only in part, and only if the kernel has Landlock.
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_utimensat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_truncate,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    // Interfaces of the kernel itself.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // The engine's only listening socket is opened before.
    libc::SYS_listen,
];

/// Older forms of these calls, which only x86-64 has.
#[cfg(target_arch = "x86_64")]
const REFUSED_OLDER_CALLS: &[i64] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_unlink,
    libc::SYS_rmdir,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_mkdir,
    libc::SYS_mknod,
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
];

#[cfg(not(target_arch = "x86_64"))]
const REFUSED_OLDER_CALLS: &[i64] = &[libc::SYS_renameat];

/// The socket families that the engine opens; the resolver uses netlink. Unix sockets are excluded: with `peer` or
/// `trust`, PostgreSQL's own socket accepts the server's system user as a superuser, and Landlock does not restrict
/// connections to it.
const SOCKET_FAMILIES: [i32; 3] = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Restricts this thread and those that it starts from now on: they can read files below `readable` and in the system's
/// folders, and write none. Returns a description of the restrictions in force. Logs those that the kernel does not support.
pub fn enter(readable: impl IntoIterator<Item = PathBuf>) -> String {
    let mut in_force = vec!["no_new_privs"];
    match restrict_files(readable.into_iter().collect()) {
        Ok(RestrictionStatus { ruleset: RulesetStatus::FullyEnforced, .. }) => in_force.push("landlock"),
        Ok(RestrictionStatus { ruleset: RulesetStatus::PartiallyEnforced, .. }) => {
            in_force.push("landlock (partial)");
        }
        Ok(_) => log_missing("Landlock", "the kernel does not support it"),
        Err(error) => log_missing("Landlock", &error.to_string()),
    }
    match filter_calls() {
        Ok(()) => in_force.push("seccomp"),
        Err(reason) => log_missing("a seccomp filter", &reason),
    }
    in_force.join(", ")
}

fn log_missing(what: &str, reason: &str) {
    eprintln!("ragstone-engine: runs without {what}: {reason}");
}

fn restrict_files(readable: Vec<PathBuf>) -> Result<RestrictionStatus, RulesetError> {
    let named = CERTIFICATE_VARIABLES.iter().filter_map(std::env::var_os).map(PathBuf::from);
    let paths = SYSTEM_PATHS.iter().map(PathBuf::from).chain(named).chain(readable);
    Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK_ABI))?
        .scope(Scope::from_all(LANDLOCK_ABI))?
        .create()?
        .add_rules(path_beneath_rules(paths, AccessFs::ReadFile | AccessFs::ReadDir))?
        .restrict_self()
}

/// The folder, or its nearest existing ancestor: what is created in that one later can be read too.
pub fn existing_folder(folder: &Path) -> PathBuf {
    folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn filter_calls() -> Result<(), String> {
    seccomp::hide_clone3()?;
    let refused = REFUSED_CALLS.iter().chain(REFUSED_OLDER_CALLS).map(|&call| (call, Vec::new()));
    let mut rules: Rules = refused.collect();
    let thread = libc::CLONE_THREAD as u64;
    rules.insert(
        libc::SYS_clone,
        vec![seccomp::rule(SeccompCmpArgLen::Dword, [(0, SeccompCmpOp::MaskedEq(thread), 0)])?],
    );
    let other_family = SOCKET_FAMILIES.map(|family| (0, SeccompCmpOp::Ne, family as u64));
    rules.insert(libc::SYS_socket, vec![seccomp::rule(SeccompCmpArgLen::Dword, other_family)?]);
    seccomp::apply(rules, SeccompAction::Allow, seccomp::refusal(libc::EPERM))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::ErrorKind,
        os::unix::{fs::PermissionsExt, net::UnixListener},
        process::Command,
    };

    use rustix::{net, process};

    use super::*;

    /// The result of `attempt` inside a sandbox that can read `readable`.
    fn inside<T: Send + 'static>(readable: PathBuf, attempt: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(move || {
            assert_eq!(enter([readable]), "no_new_privs, landlock, seccomp");
            attempt()
        })
        .join()
        .unwrap()
    }

    #[test]
    fn models_are_read_and_nothing_else() {
        let (models, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (model, secret) = (models.path().join("model"), elsewhere.path().join("secret"));
        fs::write(&model, "weights").unwrap();
        fs::write(&secret, "key").unwrap();
        let (read, refused, listed) = inside(models.path().into(), move || {
            (fs::read(model), fs::read(secret), fs::read_dir("/etc").map(|_| ()))
        });
        assert_eq!(read.unwrap(), b"weights");
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_eq!(listed.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn nothing_is_written_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "as it was").unwrap();
        let path = file.clone();
        let attempts = inside(folder.path().into(), move || {
            [
                fs::write(&path, "changed"),
                fs::write(path.with_extension("new"), ""),
                fs::remove_file(&path),
                fs::rename(&path, path.with_extension("moved")),
                fs::create_dir(path.with_extension("folder")),
                fs::set_permissions(&path, fs::Permissions::from_mode(0o666)),
                UnixListener::bind(path.with_extension("socket")).map(|_| ()),
            ]
        });
        for attempt in attempts {
            assert_eq!(attempt.unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
        assert_eq!(fs::read(file).unwrap(), b"as it was");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_program_is_run_and_no_process_is_signalled() {
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = process::Pid::from_child(&other);
        let (run, signal, sockets) = inside("/".into(), move || {
            let packets = net::socket(net::AddressFamily::PACKET, net::SocketType::RAW, None);
            let unix = net::socket(net::AddressFamily::UNIX, net::SocketType::STREAM, None);
            let killed = process::kill_process(pid, process::Signal::KILL);
            (Command::new("/bin/true").status(), killed, [packets, unix])
        });
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(run.unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_eq!(signal.unwrap_err(), rustix::io::Errno::PERM);
        for socket in sockets {
            assert_eq!(socket.unwrap_err(), rustix::io::Errno::PERM);
        }
    }

    #[test]
    fn threads_are_started_and_servers_are_reached() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let connected = inside("/".into(), move || {
            std::thread::spawn(move || std::net::TcpStream::connect(address).is_ok()).join().unwrap()
        });
        assert!(connected);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_read_once_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let models = folder.path().join("ragstone/models");
        assert_eq!(existing_folder(&models), folder.path());
        fs::create_dir_all(&models).unwrap();
        assert_eq!(existing_folder(&models), models);
    }
}
