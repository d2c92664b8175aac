//! The process that parses one document, read from its standard input.

use std::{
    fs,
    io::{self, Read, Write},
    panic, thread,
};

use ragstone_core::protocol::{
    Frame, FrameError, PREFIX, ParseRefusal, ParseTask, ParsedDocument, decode, encode, frame_length,
};
use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};

use super::{control::ChildLimits, seal};

/// Stack of the thread that parses; parsers recurse as deep as documents are nested.
const STACK_BYTES: usize = 256 << 20;

/// Parsing yields to queries and to models.
const NICE: i32 = 10;

/// Parses the document of standard input, and writes the result to standard output. Returns the exit code.
pub fn run(limits: ChildLimits) -> i32 {
    if let Err(reason) = restrict(limits) {
        eprintln!("cannot restrict the parser: {reason}");
        return 1;
    }
    // What a parser says while it panics may quote the document, and belongs in the result alone.
    panic::set_hook(Box::new(|_| {}));
    let parser = thread::Builder::new().name("parser".into()).stack_size(STACK_BYTES).spawn(parse);
    match parser.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => 0,
        _ => 1,
    }
}

fn parse() -> io::Result<()> {
    let task = read_task(&mut io::stdin().lock())?;
    let result = encoded(&ragstone_documents::parse(task))?;
    let mut output = io::stdout().lock();
    output.write_all(&result)?;
    // Standard output is buffered by lines, and the process ends without its exit handlers.
    output.flush()
}

fn read_task(input: &mut impl Read) -> io::Result<ParseTask> {
    let mut prefix = [0; PREFIX];
    input.read_exact(&mut prefix)?;
    let length = frame_length(prefix).map_err(io::Error::other)?;
    let mut frame = vec![0; length];
    input.read_exact(&mut frame)?;
    let frame: Frame<ParseTask> = decode(&frame).map_err(io::Error::other)?;
    Ok(frame.body)
}

fn encoded(result: &Result<ParsedDocument, ParseRefusal>) -> io::Result<Vec<u8>> {
    match encode(0, result) {
        Err(FrameError::TooLong(length)) => {
            let reason = format!("its text takes {} MB", length >> 20);
            encode(0, Err::<ParsedDocument, _>(ParseRefusal::OverLimit(reason)))
        }
        encoded => encoded,
    }
    .map_err(io::Error::other)
}

fn restrict(limits: ChildLimits) -> Result<(), String> {
    let text = |error: rustix::io::Errno| error.to_string();
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(text)?;
    nice(NICE).map_err(text)?;
    // The first process to kill when memory runs out. A process may always raise its own score.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let seconds = u64::from(limits.timeout_ms.div_ceil(1000)) + 1;
    let memory = address_space() + STACK_BYTES as u64 + (u64::from(limits.memory_mb) << 20);
    for (resource, soft, hard) in [
        (Resource::Core, 0, 0),
        (Resource::Fsize, 0, 0),
        (Resource::Cpu, seconds, seconds + 1),
        (Resource::As, memory, memory),
    ] {
        setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) }).map_err(text)?;
    }
    seal::enter()
}

/// Address space that the process has now, bytes.
fn address_space() -> u64 {
    let line = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = line.split(' ').next().and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default();
    pages * rustix::param::page_size() as u64
}
