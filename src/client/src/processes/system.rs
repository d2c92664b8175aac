//! Calls to the operating system that the standard library does not have.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

/// Linux numbers its signals from 1 to this.
const MAX_SIGNAL: libc::c_int = 64;

/// Connects to a socket without ever blocking. The standard library can only connect blockingly, which would hang where the
/// backlog is full; this returns `WouldBlock` then.
pub fn connect_nonblocking(path: &Path) -> io::Result<UnixStream> {
    // SAFETY: an all-zero sockaddr_un is a valid value.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= address.sun_path.len() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "path is longer than 107 bytes"));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    // SAFETY: the descriptor is owned as soon as it is known to be one; the address lives through the call.
    unsafe {
        let socket =
            libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        let socket = OwnedFd::from_raw_fd(socket);
        let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
        if libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(UnixStream::from(socket))
    }
}

/// The user id of the process at the other end of a socket.
pub fn peer_user(stream: &UnixStream) -> io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: libc::uid_t::MAX, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    let option = (&raw mut peer).cast();
    // SAFETY: the buffer has the length that is given.
    let result = unsafe {
        libc::getsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, option, &mut length)
    };
    if result == 0 { Ok(peer.uid) } else { Err(io::Error::last_os_error()) }
}

/// The user id that this process has.
pub fn own_user() -> u32 {
    // SAFETY: needs nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Whether this process may use a file in the ways of `mode`: `X_OK`, `W_OK` or both.
pub fn is_accessible(path: &Path, mode: libc::c_int) -> bool {
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: the path is terminated and lives through the call.
    unsafe { libc::access(path.as_ptr(), mode) == 0 }
}

/// Sends a signal to a process. False if there is no such process any more.
pub fn send_signal(pid: i32, signal: libc::c_int) -> bool {
    // SAFETY: a system call on numbers.
    unsafe { libc::kill(pid, signal) == 0 }
}

/// Starts a program from a process of the server, in a state as if it were not one of the server's: default signal handlers, no
/// descriptors of the server, more of its own, a lower priority by `nice`. It is killed when the parent dies.
pub fn spawn_detached(command: &mut Command, nice: i32) -> io::Result<Child> {
    let parent = std::process::id();
    // SAFETY: between fork and exec only system calls are made, which are safe in a process with one thread.
    unsafe { command.pre_exec(move || detach(parent, nice)) };
    command.spawn()
}

/// Makes a process of its own out of the copy of a Postgres worker.
fn detach(parent: u32, nice: i32) -> io::Result<()> {
    // SAFETY: system calls with valid arguments. Descriptors are marked to be closed at exec instead of being closed,
    // since the standard library still needs one to report a failed exec.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        // By system call, since the C library refuses the two signals that it keeps for itself. All zero is SIG_DFL.
        let default = [0_u64; 4];
        for signal in 1..=MAX_SIGNAL {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0_usize, size_of::<u64>());
        }
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before the line above took effect.
        if libc::getppid() as u32 != parent {
            libc::_exit(0);
        }
        let mut files: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut files) == 0 {
            files.rlim_cur = files.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &files);
        }
        if nice != 0 {
            libc::setpriority(libc::PRIO_PROCESS, 0, nice);
        }
    }
    Ok(())
}
