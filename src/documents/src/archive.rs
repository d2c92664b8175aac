//! Files in archives. Each is unpacked when it is read, within the budget of the document.

use std::io::{Cursor, ErrorKind, Read};

use flate2::read::MultiGzDecoder;
use zip::{ZipArchive, result::ZipError};

use crate::{budget::Budget, file::File};

/// Why files of an archive are not read.
#[derive(Debug, PartialEq, Eq)]
pub enum ArchiveError {
    /// The archive is damaged.
    Malformed(String),
    /// The archive needs a password.
    Encrypted,
    /// It exceeds a limit.
    OverLimit(String),
}

/// A file of an archive, or the name of one and why it cannot be read.
pub type Member = Result<File, (String, ArchiveError)>;

/// Calls `visit` with the files of a zip archive, in the order of its directory.
pub fn read_zip(
    bytes: &[u8],
    budget: &mut Budget,
    mut visit: impl FnMut(&mut Budget, Member) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut archive =
        ZipArchive::new(Cursor::new(bytes)).map_err(|error| ArchiveError::Malformed(error.to_string()))?;
    for index in 0..archive.len() {
        let (name, is_file) = match archive.by_index_raw(index) {
            Ok(entry) => {
                let name =
                    entry.name().map_or_else(|_| format!("file {}", index + 1), |name| name.into_owned());
                (name, entry.is_file())
            }
            Err(error) => return Err(ArchiveError::Malformed(error.to_string())),
        };
        if !is_file || is_of_system(&name) {
            continue;
        }
        budget.take_file().map_err(|limit| ArchiveError::OverLimit(limit.0))?;
        let member = match archive.by_index(index) {
            Ok(entry) => unpack(entry, budget),
            Err(ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED)) => Err(ArchiveError::Encrypted),
            Err(error) => Err(ArchiveError::Malformed(error.to_string())),
        };
        match member {
            Err(limit @ ArchiveError::OverLimit(_)) => return Err(limit),
            Err(error) => visit(budget, Err((name, error)))?,
            Ok(bytes) => visit(budget, Ok(File { bytes, name: Some(name), mime: None }))?,
        }
    }
    Ok(())
}

/// Calls `visit` with the files of a tar archive (POSIX.1-2001, with the long names of GNU tar).
pub fn read_tar(
    bytes: &[u8],
    budget: &mut Budget,
    mut visit: impl FnMut(&mut Budget, Member) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut rest = bytes;
    let mut long_name = None;
    while let Some(header) = rest.get(..BLOCK).filter(|header| header.iter().any(|byte| *byte != 0)) {
        let size = octal(&header[124..136])
            .ok_or_else(|| ArchiveError::Malformed("a header has no valid size".to_owned()))?;
        let cut = || ArchiveError::Malformed("it ends in the middle of a file".to_owned());
        let content = rest[BLOCK..].get(..size).ok_or_else(cut)?;
        match header[156] {
            b'L' => long_name = Some(c_string(content)),
            b'x' => long_name = pax_path(content).or(long_name),
            b'0' | 0 => {
                let name = long_name.take().unwrap_or_else(|| short_name(header));
                if !is_of_system(&name) {
                    budget.take_file().map_err(|limit| ArchiveError::OverLimit(limit.0))?;
                    budget.take_bytes(size).map_err(|limit| ArchiveError::OverLimit(limit.0))?;
                    visit(budget, Ok(File { bytes: content.to_vec(), name: Some(name), mime: None }))?;
                }
            }
            _ => long_name = None,
        }
        rest = rest[BLOCK..].get(size.next_multiple_of(BLOCK)..).unwrap_or_default();
    }
    Ok(())
}

/// The file in a gzip file, without the extension that its name may have for that.
pub fn read_gzip(file: &File, budget: &mut Budget) -> Result<File, ArchiveError> {
    let bytes = unpack(MultiGzDecoder::new(&*file.bytes), budget)?;
    let name = file.name.as_deref().map(|name| match name.strip_suffix(".tgz") {
        Some(stem) => format!("{stem}.tar"),
        None => name.strip_suffix(".gz").unwrap_or(name).to_owned(),
    });
    Ok(File { bytes, name, mime: None })
}

fn unpack(packed: impl Read, budget: &mut Budget) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    let mut limited = packed.take(budget.bytes() + 1);
    limited.read_to_end(&mut bytes).map_err(|error| match error.kind() {
        ErrorKind::OutOfMemory => {
            ArchiveError::OverLimit("unpacked, it takes more memory than rag.parse_memory".to_owned())
        }
        _ => ArchiveError::Malformed(error.to_string()),
    })?;
    budget.take_bytes(bytes.len()).map_err(|limit| ArchiveError::OverLimit(limit.0))?;
    Ok(bytes)
}

/// Size of a block of a tar archive.
const BLOCK: usize = 512;

/// Files that systems add for themselves.
fn is_of_system(name: &str) -> bool {
    name.starts_with("__MACOSX/") || name.rsplit('/').next().is_some_and(|name| name.starts_with("._"))
}

fn octal(field: &[u8]) -> Option<usize> {
    let digits = c_string(field);
    usize::from_str_radix(digits.trim(), 8).ok()
}

fn c_string(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn short_name(header: &[u8]) -> String {
    let (name, prefix) = (c_string(&header[..100]), c_string(&header[345..500]));
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

/// The path in the records of a pax header: `LENGTH path=VALUE\n`.
fn pax_path(records: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(records);
    let mut values =
        text.lines().filter_map(|line| line.split_once(' ')?.1.strip_prefix("path=").map(str::to_owned));
    values.next_back()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn collect(
        read: impl FnOnce(&mut Vec<String>, &mut Budget) -> Result<(), ArchiveError>,
    ) -> (Vec<String>, Result<(), ArchiveError>) {
        let (mut found, mut budget) = (Vec::new(), Budget::new(10));
        let result = read(&mut found, &mut budget);
        (found, result)
    }

    fn describe(member: Member) -> String {
        match member {
            Ok(file) => {
                format!("{}={}", file.name.unwrap_or_default(), String::from_utf8_lossy(&file.bytes))
            }
            Err((name, error)) => format!("{name}: {error:?}"),
        }
    }

    fn tar_file(name: &str, content: &[u8]) -> Vec<u8> {
        let mut header = vec![0; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = b'0';
        header[257..262].copy_from_slice(b"ustar");
        header.extend_from_slice(content);
        header.resize(header.len().next_multiple_of(BLOCK), 0);
        header
    }

    #[test]
    fn files_of_a_zip_archive_are_unpacked() {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        writer.add_directory("a", options).unwrap();
        for (name, content) in [("a/1.txt", "one"), ("__MACOSX/x", ""), ("b.txt", "two")] {
            writer.start_file(name, options).unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
        let bytes = writer.finish().unwrap().into_inner();
        let (found, result) = collect(|found, budget| {
            read_zip(&bytes, budget, |_, member| {
                found.push(describe(member));
                Ok(())
            })
        });
        assert_eq!((found, result), (vec!["a/1.txt=one".to_owned(), "b.txt=two".to_owned()], Ok(())));
        let cut = read_zip(&bytes[..bytes.len() / 2], &mut Budget::new(1), |_, _| Ok(()));
        assert!(matches!(cut, Err(ArchiveError::Malformed(_))), "{cut:?}");
    }

    #[test]
    fn files_of_a_tar_archive_are_read() {
        let mut bytes = [tar_file("a.txt", b"one"), tar_file("b.txt", &[b'x'; 600])].concat();
        bytes.extend([0; 1024]);
        let (found, result) = collect(|found, budget| {
            read_tar(&bytes, budget, |_, member| {
                found.push(describe(member));
                Ok(())
            })
        });
        assert_eq!(result, Ok(()));
        assert_eq!(found, ["a.txt=one".to_owned(), format!("b.txt={}", "x".repeat(600))]);
        let cut = read_tar(&bytes[..700], &mut Budget::new(1), |_, _| Ok(()));
        assert_eq!(cut, Ok(()), "the first file is whole");
        let cut = read_tar(&bytes[..1600], &mut Budget::new(1), |_, _| Ok(()));
        assert!(matches!(cut, Err(ArchiveError::Malformed(_))));
    }

    #[test]
    fn a_bomb_ends_at_the_budget() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
        // A gzip file may have many members.
        let bytes = encoder.finish().unwrap().repeat(4);
        let file = File { bytes, name: Some("bomb.gz".into()), mime: None };
        let mut budget = Budget::new(1);
        budget.take_bytes(509 << 20).unwrap();
        let error = read_gzip(&file, &mut budget).err();
        assert_eq!(error, Some(ArchiveError::OverLimit("unpacked, it is larger than 512 MB".to_owned())));
    }
}
