//! Calls to the operating system, and the only unsafe code of the engine.

use std::{
    ffi::CStr,
    fs,
    path::{Path, PathBuf},
};

use rustix::process::{Resource, Rlimit};

/// Sets variables that native libraries read from the environment. Call it first in `main`, before any thread exists.
pub fn prepare_environment() {
    // SAFETY: the process has one thread; nothing reads the environment at the same time.
    unsafe {
        // ONNX Runtime 1.29 and newer look up a host and write to the home folder unless telemetry is off.
        std::env::set_var("ORT_DISABLE_TELEMETRY", "1");
        std::env::set_var("TOKENIZERS_PARALLELISM", "false");
    }
}

/// Ends the process without running the exit handlers of native libraries, whose threads may still be running.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// The version of the ONNX Runtime library at `path`, such as `1.28.0`.
///
/// # Errors
/// The loader's message; the file is not an ONNX Runtime.
pub fn onnxruntime_version(path: &Path) -> Result<String, String> {
    /// The head of `OrtApiBase` (onnxruntime_c_api.h), unchanged since version 1.
    #[repr(C)]
    struct ApiBase {
        get_api: extern "C" fn(u32) -> *const std::ffi::c_void,
        get_version_string: extern "C" fn() -> *const std::ffi::c_char,
    }
    // SAFETY: the path is the administrator's setting; loading a library runs its constructors, as its later use would.
    let library = unsafe { libloading::Library::new(path) }.map_err(|error| error.to_string())?;
    let version = {
        // SAFETY: every ONNX Runtime exports this function with this signature; the strings it leads to are static.
        let base = unsafe { library.get::<extern "C" fn() -> *const ApiBase>(b"OrtGetApiBase\0") }
            .map_err(|_| "it is not an ONNX Runtime library: it has no symbol OrtGetApiBase".to_owned())?(
        );
        // SAFETY: null is checked; otherwise the pointer is to a static.
        let base = unsafe { base.as_ref() }.ok_or("OrtGetApiBase returned nothing")?;
        // SAFETY: the version is a static, null-terminated string.
        unsafe { CStr::from_ptr((base.get_version_string)()) }.to_string_lossy().into_owned()
    };
    // Unloading would run destructors that the library does not expect; besides, it is loaded again at once.
    std::mem::forget(library);
    Ok(version)
}

/// Limits the private memory of the process to `bytes`, and makes it the first process that the kernel kills when memory runs
/// out.
///
/// # Errors
/// The system's message.
pub fn limit_memory(bytes: u64) -> Result<(), String> {
    // A process may always raise its own score; if that fails nevertheless, the engine works without it.
    let _ = fs::write("/proc/self/oom_score_adj", "900");
    rustix::process::setrlimit(Resource::Data, Rlimit { current: Some(bytes), maximum: Some(bytes) })
        .map_err(|error| error.to_string())
}

/// Returns freed memory to the system, which the C library would keep: two models of 90 MB take 239 MB with this call
/// and took 322 MB without it, and the memory of an unloaded model was not released.
pub fn release_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim has no preconditions, and any thread may call it.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Resident memory of this process in bytes, 0 if it is not known.
pub fn resident_bytes() -> u64 {
    memory_pages(1) * rustix::param::page_size() as u64
}

/// The limit set by [`limit_memory`].
pub fn memory_limit() -> u64 {
    rustix::process::getrlimit(Resource::Data).current.unwrap_or(u64::MAX)
}

/// True if the private memory of the process is close to that limit.
pub fn is_near_memory_limit() -> bool {
    memory_pages(5) * rustix::param::page_size() as u64 > memory_limit() / 8 * 7
}

/// A field of `/proc/self/statm` in pages, 0 if it is not known.
fn memory_pages(field: usize) -> u64 {
    let line = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    line.split(' ').nth(field).and_then(|pages| pages.parse().ok()).unwrap_or(0)
}

/// How fast a processor computes in bf16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bf16 {
    /// The processor does not support it.
    Missing,
    /// It takes longer than fp32. Intel's AVX-512 does as many multiplications per cycle in bf16 as in fp32, and
    /// rounding to bf16 takes extra time.
    Slower,
    /// It takes less time than fp32: with AMX, and with AMD's AVX-512.
    Faster,
}

/// How fast this processor computes in bf16.
pub fn bf16() -> Bf16 {
    bf16_by(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

fn bf16_by(cpuinfo: &str) -> Bf16 {
    let has = |field: &str, word: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(field)).unwrap_or_default();
        line.split_whitespace().any(|found| found == word)
    };
    match (has("flags", "amx_bf16"), has("flags", "avx512_bf16")) {
        (true, _) => Bf16::Faster,
        (false, true) if has("vendor_id", "AuthenticAMD") => Bf16::Faster,
        (false, true) => Bf16::Slower,
        (false, false) => Bf16::Missing,
    }
}

/// Whether the file that this process runs has been replaced or removed.
pub fn executable_replaced() -> bool {
    fs::read_link("/proc/self/exe").is_ok_and(|path| path.to_string_lossy().ends_with(" (deleted)"))
}

/// Folder of this program, with symbolic links resolved.
pub fn executable_directory() -> PathBuf {
    let program = std::env::current_exe().and_then(|path| path.canonicalize()).unwrap_or_default();
    program.parent().unwrap_or(Path::new("/")).to_owned()
}

/// Number of processors that this process may use.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The text without control characters except line breaks: text of another server must not control the terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() && letter != '\n' { '\u{fffd}' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_is_worth_what_maker_and_instructions_make_of_it() {
        let worth = |vendor: &str, flags: &str| {
            bf16_by(&format!("processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: fpu {flags}\n"))
        };
        assert_eq!(worth("AuthenticAMD", "avx512_bf16 avx512_vnni"), Bf16::Faster);
        assert_eq!(worth("GenuineIntel", "avx512_bf16 avx512_vnni"), Bf16::Slower);
        assert_eq!(worth("GenuineIntel", "avx512_bf16 amx_bf16"), Bf16::Faster);
        assert_eq!(worth("GenuineIntel", "avx512_vnni"), Bf16::Missing);
        assert_eq!(bf16_by(""), Bf16::Missing);
    }

    #[test]
    fn a_terminal_is_not_steered() {
        assert_eq!(printable("a\u{1b}[2J\rb\nc é"), "a\u{fffd}[2J\u{fffd}b\nc é");
    }
}
