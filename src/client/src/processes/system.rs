//! Calls to the operating system that the standard library lacks.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

/// Linux numbers its signals from 1 to this number.
const MAX_SIGNAL: libc::c_int = 64;

/// Connects to a socket without blocking; returns `WouldBlock` if the backlog is full. The standard library would block in
/// this case.
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
    // SAFETY: the buffer has the given length.
    let result = unsafe {
        libc::getsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, option, &mut length)
    };
    if result == 0 { Ok(peer.uid) } else { Err(io::Error::last_os_error()) }
}

/// The user id of this process.
pub fn own_user() -> u32 {
    // SAFETY: has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}

/// True if this process may access a file in the ways of `mode`: `X_OK`, `W_OK` or both.
pub fn is_accessible(path: &Path, mode: libc::c_int) -> bool {
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: the path is terminated and lives through the call.
    unsafe { libc::access(path.as_ptr(), mode) == 0 }
}

/// Sends a signal to a process. Returns false if the process no longer exists.
pub fn send_signal(pid: i32, signal: libc::c_int) -> bool {
    // SAFETY: a system call with integer arguments.
    unsafe { libc::kill(pid, signal) == 0 }
}

/// Starts a program from a server process without the server's state: default signal handlers, none of the server's
/// descriptors, the maximum limit of descriptors, a priority lowered by `nice`. The kernel kills it when its parent dies.
pub fn spawn_detached(command: &mut Command, nice: i32) -> io::Result<Child> {
    let parent = std::process::id();
    // SAFETY: between fork and exec only system calls are made, which are safe in a process with one thread.
    unsafe { command.pre_exec(move || detach(parent, nice)) };
    command.spawn()
}

/// Has all descriptors from `first` on closed at exec.
///
/// # Errors
/// Before Linux 5.11 the kernel has no call for that. Nothing is started then that would have the server's files and sockets.
fn close_at_exec(first: libc::c_uint) -> io::Result<()> {
    // SAFETY: a system call on numbers.
    let status =
        unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a process of its own out of the copy of a Postgres worker.
fn detach(parent: u32, nice: i32) -> io::Result<()> {
    // SAFETY: system calls with valid arguments. Descriptors are marked to be closed at exec instead of being closed,
    // since the standard library still needs one to report a failed exec.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        // By system call, since the C library refuses two signals that it uses itself. All zeros means SIG_DFL.
        let default = [0_u64; 4];
        for signal in 1..=MAX_SIGNAL {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0_usize, size_of::<u64>());
        }
        close_at_exec(3)?;
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
