//! Reads a file, and the files inside it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use docling::{ArchiveLimits, EmailAttachments, InputFormat};
use ragstone_core::protocol::{DocumentInfo, DocumentPart, ParseRefusal, ParseTask, ParsedDocument};

use crate::{
    archive::{self, ArchiveError, Member},
    budget::{Budget, MAX_DEPTH},
    file::File,
    format::{self, Format},
    headings, mbox, office, pdf, text,
};

/// Parses a document.
pub fn read(task: ParseTask) -> Result<ParsedDocument, ParseRefusal> {
    let mut reader = Reader {
        budget: Budget::new(task.limits.pages),
        most_pages: task.limits.pages,
        path: Vec::new(),
        parts: Vec::new(),
        omissions: Vec::new(),
    };
    let file = File { bytes: task.content.0, name: task.name, mime: task.mime };
    let info = reader.read(file)?;
    reader.omissions.dedup();
    let Reader { mut parts, omissions, .. } = reader;
    parts.iter_mut().for_each(clean);
    Ok(ParsedDocument { info: clean_info(info), parts, omissions })
}

/// Separates the names in the path of a part, and the path from the heading.
const SEPARATOR: &str = " > ";

struct Reader {
    budget: Budget,
    most_pages: u32,
    /// Names of the files that contain the current one, and its own.
    path: Vec<String>,
    parts: Vec<DocumentPart>,
    omissions: Vec<String>,
}

impl Reader {
    fn read(&mut self, file: File) -> Result<DocumentInfo, ParseRefusal> {
        if file.bytes.is_empty() {
            return Ok(DocumentInfo { format: "empty".to_owned(), ..DocumentInfo::default() });
        }
        if format::is_encrypted_office(&file.bytes) {
            return Err(ParseRefusal::Encrypted("office".to_owned()));
        }
        let Some(format) = format::detect(&file) else {
            return Err(ParseRefusal::UnknownType(file.name.unwrap_or_default()));
        };
        let format_name = format::name(format, &file);
        // A bug of a parser must not lose the other files of an archive.
        catch_unwind(AssertUnwindSafe(|| self.read_as(file, format))).unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let reason = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
            Err(ParseRefusal::Malformed {
                format: format_name,
                reason: format!("the parser failed: {reason}"),
            })
        })
    }

    fn read_as(&mut self, file: File, format: Format) -> Result<DocumentInfo, ParseRefusal> {
        let format_name = format::name(format, &file);
        match format {
            Format::Pdf => {
                let found = pdf::read(&file.bytes, self.budget.pages())?;
                self.add(found.parts, found.omissions, found.info.pages);
                self.note_pages_without_text(found.info.pages_without_text);
                Ok(found.info)
            }
            Format::Office(format) => self.read_office(file.bytes, format),
            Format::Message => self.read_message(file, format_name),
            Format::Mbox => self.read_messages(&file.bytes),
            Format::Zip => {
                self.read_archive(format_name, |budget, visit| archive::read_zip(&file.bytes, budget, visit))
            }
            Format::Tar => {
                self.read_archive(format_name, |budget, visit| archive::read_tar(&file.bytes, budget, visit))
            }
            Format::Gzip => {
                let inner = archive::read_gzip(&file, &mut self.budget)
                    .map_err(|error| archive_refusal(error, format_name))?;
                drop(file);
                self.nested(inner)
            }
            Format::Text(name) => {
                let content = text::decode(&file.bytes);
                let heading = (name == "markdown").then(|| headings::first(&content)).flatten();
                self.add(vec![DocumentPart { page: None, heading, content }], Vec::new(), None);
                Ok(DocumentInfo { format: name.to_owned(), ..DocumentInfo::default() })
            }
            Format::Image => {
                self.note_pages_without_text(1);
                Ok(DocumentInfo {
                    format: format_name,
                    pages: Some(1),
                    pages_without_text: 1,
                    ..DocumentInfo::default()
                })
            }
        }
    }

    fn read_office(&mut self, bytes: Vec<u8>, format: InputFormat) -> Result<DocumentInfo, ParseRefusal> {
        let found = office::read(bytes, format)?;
        self.add(found.parts, found.omissions, found.info.pages);
        Ok(found.info)
    }

    /// Reads a message, and what is attached to it.
    fn read_message(&mut self, file: File, format_name: String) -> Result<DocumentInfo, ParseRefusal> {
        let limits = ArchiveLimits { max_total_size: self.budget.bytes(), ..ArchiveLimits::default() };
        let attachments = EmailAttachments::open(&file.bytes, &limits).ok();
        let mut info = self.read_office(file.bytes, InputFormat::Email)?;
        info.format = format_name;
        for entry in attachments.iter().flat_map(|found| found.entries().iter().zip(std::iter::repeat(found)))
        {
            let (entry, all) = entry;
            info.attachments.push(entry.name.clone());
            match all.data(entry.index) {
                Some(_) if entry.inline => {}
                Some(bytes) => {
                    let (name, mime) = (Some(entry.name.clone()), entry.content_type.clone());
                    self.read_inside(File { bytes: bytes.to_vec(), name, mime });
                }
                None => {
                    let reason = entry.skipped.as_deref().unwrap_or("it has no content");
                    self.omissions.push(format!("\"{}\" is left out: {reason}.", entry.name));
                }
            }
        }
        Ok(info)
    }

    fn read_messages(&mut self, bytes: &[u8]) -> Result<DocumentInfo, ParseRefusal> {
        for (message, number) in mbox::messages(bytes).into_iter().zip(1..) {
            if let Err(limit) = self.budget.take_file() {
                self.omissions.push(format!("Later messages are left out: {}.", limit.0));
                break;
            }
            let (name, mime) = (Some(format!("message {number}")), Some("message/rfc822".to_owned()));
            self.read_inside(File { bytes: message.to_vec(), name, mime });
        }
        Ok(DocumentInfo { format: "mbox".to_owned(), ..DocumentInfo::default() })
    }

    fn read_archive(
        &mut self,
        format: String,
        read: impl FnOnce(
            &mut Budget,
            &mut dyn FnMut(&mut Budget, Member) -> Result<(), ArchiveError>,
        ) -> Result<(), ArchiveError>,
    ) -> Result<DocumentInfo, ParseRefusal> {
        let mut info = DocumentInfo { format: format.clone(), ..DocumentInfo::default() };
        let mut budget = std::mem::replace(&mut self.budget, Budget::new(0));
        let result = read(&mut budget, &mut |budget, member| {
            match member {
                Ok(file) => {
                    info.attachments.extend(file.name.clone());
                    std::mem::swap(budget, &mut self.budget);
                    self.read_inside(file);
                    std::mem::swap(budget, &mut self.budget);
                }
                Err((name, error)) => {
                    let refusal = archive_refusal(error, format.clone());
                    self.leave_out(&name, &refusal);
                    info.attachments.push(name);
                }
            }
            Ok(())
        });
        self.budget = budget;
        match result {
            Err(error) if self.parts.is_empty() => Err(archive_refusal(error, format)),
            Err(ArchiveError::OverLimit(limit)) => {
                self.omissions.push(format!("Later files are left out: {limit}."));
                Ok(info)
            }
            Err(ArchiveError::Malformed(reason)) => {
                self.omissions
                    .push(format!("Later files are left out, since the archive is damaged: {reason}."));
                Ok(info)
            }
            Ok(()) | Err(ArchiveError::Encrypted) => Ok(info),
        }
    }

    /// Reads a file inside another one; what is wrong with it is an omission.
    fn read_inside(&mut self, file: File) {
        let name = file.name.clone().unwrap_or_default();
        self.path.push(name.clone());
        let result = self.nested(file);
        self.path.pop();
        if let Err(refusal) = result {
            self.leave_out(&name, &refusal);
        }
    }

    fn nested(&mut self, file: File) -> Result<DocumentInfo, ParseRefusal> {
        if self.path.len() > MAX_DEPTH {
            return Err(ParseRefusal::OverLimit(format!("files are nested more than {MAX_DEPTH} deep")));
        }
        if self.budget.pages() == 0 {
            return Err(ParseRefusal::OverLimit(self.page_limit()));
        }
        self.read(file)
    }

    /// Adds parts within the limit of pages. A part without a page counts as one.
    fn add(&mut self, parts: Vec<DocumentPart>, omissions: Vec<String>, pages: Option<u32>) {
        let room = self.budget.pages();
        let total = pages.map_or(parts.len(), |pages| pages as usize);
        let prefix = self.path.join(SEPARATOR);
        let before = self.parts.len();
        self.parts.extend(parts.into_iter().take(room).map(|part| match (prefix.is_empty(), part.heading) {
            (true, heading) => DocumentPart { heading, ..part },
            (false, None) => DocumentPart { heading: Some(prefix.clone()), ..part },
            (false, Some(heading)) => {
                DocumentPart { heading: Some([&*prefix, &*heading].join(SEPARATOR)), ..part }
            }
        }));
        self.budget.take_pages(self.parts.len() - before);
        let of = if prefix.is_empty() { String::new() } else { format!(" of \"{prefix}\"") };
        self.omissions.extend(omissions);
        if total > room {
            self.omissions.push(format!("{} pages{of} are left out: {}.", total - room, self.page_limit()));
        }
    }

    fn page_limit(&self) -> String {
        format!("rag.parse_pages is {}", self.most_pages)
    }

    fn note_pages_without_text(&mut self, pages: u32) {
        let of = match &*self.path.join(SEPARATOR) {
            "" => String::new(),
            path => format!(" of \"{path}\""),
        };
        match pages {
            0 => {}
            1 => self.omissions.push(format!("1 page{of} is an image without a text layer.")),
            pages => self.omissions.push(format!("{pages} pages{of} are images without a text layer.")),
        }
    }

    fn leave_out(&mut self, name: &str, refusal: &ParseRefusal) {
        let path = self.path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(SEPARATOR);
        let reason = match refusal {
            ParseRefusal::UnknownType(_) => "its type is not known".to_owned(),
            ParseRefusal::Encrypted(_) => "it is protected by a password".to_owned(),
            ParseRefusal::Malformed { format, reason } => format!("it is not valid {format}: {reason}"),
            ParseRefusal::OverLimit(limit) => limit.clone(),
        };
        self.omissions.push(format!("\"{path}\" is left out: {}.", reason.trim_end_matches('.')));
    }
}

fn archive_refusal(error: ArchiveError, format: String) -> ParseRefusal {
    match error {
        ArchiveError::Malformed(reason) => ParseRefusal::Malformed { format, reason },
        ArchiveError::Encrypted => ParseRefusal::Encrypted(format),
        ArchiveError::OverLimit(limit) => ParseRefusal::OverLimit(limit),
    }
}

/// PostgreSQL stores no character with the number zero.
fn without_zero(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

fn clean(part: &mut DocumentPart) {
    part.content = without_zero(std::mem::take(&mut part.content)).trim().to_owned();
    part.heading = part.heading.take().map(without_zero);
}

fn clean_info(info: DocumentInfo) -> DocumentInfo {
    let tidy = |text: Option<String>| {
        text.map(|text| without_zero(text).trim().to_owned()).filter(|text| !text.is_empty())
    };
    DocumentInfo {
        title: tidy(info.title),
        author: tidy(info.author),
        language: tidy(info.language),
        attachments: info.attachments.into_iter().map(without_zero).collect(),
        ..info
    }
}

#[cfg(test)]
mod tests;
