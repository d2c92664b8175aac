//! Downloads a file with a progress bar, resumes an interrupted download, and checks the checksum.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    path::Path,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use ureq::{
    Agent, Body,
    http::{Response, StatusCode, header},
    tls::{RootCerts, TlsConfig},
};

use super::error::{PullError, write_error};
use crate::{model::folder::sha256_of, system::printable};

/// An HTTP client with the certificates of the system and the proxy of the environment.
pub struct Downloader {
    agent: Agent,
}

/// Maximum size of a file that is read into memory.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// Maximum size of any file.
const MAX_FILE_BYTES: u64 = 32 << 30;

/// Maximum time for one file. The next attempt continues where this one ended.
const MAX_FILE_TIME: Duration = Duration::from_secs(6 * 3600);

impl Downloader {
    /// A client.
    pub fn new() -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_recv_body(Some(MAX_FILE_TIME))
            .user_agent(concat!("ragstone-engine/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.into() }
    }

    /// Downloads a short file into memory.
    pub fn read(&self, url: &str) -> Result<Vec<u8>, PullError> {
        let mut response = self.get(url, 0)?;
        match response.status() {
            StatusCode::OK => response
                .body_mut()
                .with_config()
                .limit(MAX_TEXT_BYTES)
                .read_to_vec()
                .map_err(|error| broken_off(url, &error)),
            status => Err(refused(url, status)),
        }
    }

    /// Downloads a short file that may be missing.
    pub fn read_optional(&self, url: &str) -> Result<Option<Vec<u8>>, PullError> {
        match self.read(url) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(PullError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Downloads a file to `target` and returns its SHA-256, which must be `expected` if that is given. A file with the
    /// expected checksum is not downloaded again.
    pub fn fetch(&self, url: &str, target: &Path, expected: Option<&str>) -> Result<String, PullError> {
        let unreadable = |error| write_error(target, &error);
        if let (true, Some(expected)) = (target.exists(), expected)
            && sha256_of(target).map_err(unreadable)?.eq_ignore_ascii_case(expected)
        {
            return Ok(expected.to_lowercase());
        }
        let mut part = target.as_os_str().to_owned();
        part.push(".part");
        let part = Path::new(&part);
        self.fetch_part(url, part)?;
        let actual = sha256_of(part).map_err(unreadable)?;
        if let Some(expected) = expected
            && !expected.eq_ignore_ascii_case(&actual)
        {
            // Another download would only append to it.
            fs::remove_file(part).map_err(unreadable)?;
            return Err(PullError::Checksum { url: url.into(), expected: expected.into(), actual });
        }
        fs::rename(part, target).map_err(unreadable)?;
        Ok(actual)
    }

    /// Downloads the rest of a file whose beginning may be in `part`.
    fn fetch_part(&self, url: &str, part: &Path) -> Result<(), PullError> {
        let have = fs::metadata(part).map_or(0, |meta| meta.len());
        let mut response = self.get(url, have)?;
        let status = response.status();
        let (resumes, mut file) = match status {
            StatusCode::PARTIAL_CONTENT if have > 0 => (true, OpenOptions::new().append(true).open(part)),
            StatusCode::OK => (false, File::create(part)),
            // The part was already complete; if it is not, the checksum will not match.
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return Ok(()),
            status => return Err(refused(url, status)),
        };
        let file = file.as_mut().map_err(|error| write_error(part, error))?;
        let start = if resumes { have } else { 0 };
        let length = content_length(&response);
        let bar = progress_bar(url, start, length);
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0; 256 << 10];
        let mut got = 0;
        loop {
            let read = body.read(&mut buffer).map_err(|error| broken_off(url, &error))?;
            if read == 0 {
                break;
            }
            file.write_all(&buffer[..read]).map_err(|error| write_error(part, &error))?;
            got += read as u64;
            if start + got > MAX_FILE_BYTES {
                return Err(PullError::Content {
                    url: url.into(),
                    reason: format!("the file is over the limit of {MAX_FILE_BYTES} bytes"),
                });
            }
            bar.inc(read as u64);
        }
        bar.finish_and_clear();
        match length {
            Some(length) if got < length => Err(broken_off(url, &format!("got {got} of {length} bytes"))),
            _ => Ok(()),
        }
    }

    fn get(&self, url: &str, from: u64) -> Result<Response<Body>, PullError> {
        let mut request = self.agent.get(url);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.call().map_err(|error| PullError::Download { url: url.into(), reason: error.to_string() })
    }
}

fn content_length(response: &Response<Body>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn broken_off(url: &str, error: &impl ToString) -> PullError {
    PullError::Download {
        url: url.into(),
        reason: format!("{}; run the command again to continue", error.to_string()),
    }
}

fn refused(url: &str, status: StatusCode) -> PullError {
    match status {
        StatusCode::NOT_FOUND => PullError::Missing { url: url.into() },
        status => PullError::Download { url: url.into(), reason: format!("the server answers {status}") },
    }
}

fn progress_bar(url: &str, start: u64, length: Option<u64>) -> ProgressBar {
    let bar = length.map_or_else(ProgressBar::new_spinner, |length| ProgressBar::new(start + length));
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(printable(url.rsplit('/').next().unwrap_or(url)));
    bar.set_position(start);
    bar
}
