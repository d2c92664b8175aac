//! The type of a file, found from its bytes; name and media type decide between kinds of text.

use docling::InputFormat;

use crate::{file::File, mbox, text};

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// PDF.
    Pdf,
    /// A format that docling reads.
    Office(InputFormat),
    /// A message, of which docling reads the text.
    Message,
    /// Messages in one file (RFC 4155).
    Mbox,
    /// A zip archive.
    Zip,
    /// A tar archive.
    Tar,
    /// A file compressed by gzip.
    Gzip,
    /// Text that is kept as it is: plain text, Markdown, JSON.
    Text(&'static str),
    /// An image, which has no text layer.
    Image,
}

/// The format of a file; `None` if it has none of those.
pub fn detect(file: &File) -> Option<Format> {
    if file.bytes.starts_with(b"\x1f\x8b") {
        return Some(Format::Gzip);
    }
    if file.bytes.get(257..262) == Some(b"ustar") {
        return Some(Format::Tar);
    }
    let found = InputFormat::detect(&file.bytes);
    if found.is_none() && (file.bytes.starts_with(b"PK\x03\x04") || file.bytes.starts_with(b"PK\x05\x06")) {
        return Some(Format::Zip);
    }
    match found {
        Some(InputFormat::Pdf) => Some(Format::Pdf),
        Some(InputFormat::Image) => Some(Format::Image),
        Some(InputFormat::Audio | InputFormat::Video) => None,
        Some(format) if !is_of_text(format) => Some(of_docling(format)),
        _ if mbox::is_mbox(&file.bytes) => Some(Format::Mbox),
        found => text_format(file, found),
    }
}

/// True for a file of Office that is encrypted: a compound file with a stream that holds the encrypted package ([MS-OFFCRYPTO]
/// 2.3.4.4).
pub fn is_encrypted_office(bytes: &[u8]) -> bool {
    let name: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
    bytes.starts_with(b"\xd0\xcf\x11\xe0") && bytes.windows(name.len()).any(|window| window == name)
}

/// The name of the type that users see.
pub fn name(format: Format, file: &File) -> String {
    match format {
        Format::Pdf => "pdf".to_owned(),
        Format::Office(format) => format.as_str().to_owned(),
        Format::Message if file.bytes.starts_with(b"\xd0\xcf\x11\xe0") => "msg".to_owned(),
        Format::Message => "eml".to_owned(),
        Format::Mbox => "mbox".to_owned(),
        Format::Zip => "zip".to_owned(),
        Format::Tar => "tar".to_owned(),
        Format::Gzip => "gzip".to_owned(),
        Format::Text(name) => name.to_owned(),
        Format::Image => "image".to_owned(),
    }
}

fn of_docling(format: InputFormat) -> Format {
    match format {
        InputFormat::Email => Format::Message,
        format => Format::Office(format),
    }
}

/// True for formats that are told from other text by what a text may well begin with.
fn is_of_text(format: InputFormat) -> bool {
    matches!(
        format,
        InputFormat::Html
            | InputFormat::Xml
            | InputFormat::JsonDocling
            | InputFormat::Ipynb
            | InputFormat::Email
            | InputFormat::Latex
            | InputFormat::Vtt
            | InputFormat::Svg
            | InputFormat::Feed
            | InputFormat::Abiword
            | InputFormat::DocTags
            | InputFormat::XmlJats
            | InputFormat::XmlUspto
            | InputFormat::XmlXbrl
    )
}

fn text_format(file: &File, found: Option<InputFormat>) -> Option<Format> {
    if found.is_none() && !text::looks_like_text(&file.bytes) {
        return office_by_name(file);
    }
    let mime = file.mime.as_deref().map(|mime| mime.split(';').next().unwrap_or_default().trim());
    let hint = match (file.extension().as_deref(), mime) {
        (Some("csv" | "tsv"), _) | (None, Some("text/csv" | "text/tab-separated-values")) => {
            Some(Format::Office(InputFormat::Csv))
        }
        (Some("md" | "markdown"), _) | (None, Some("text/markdown")) => Some(Format::Text("markdown")),
        (Some("txt" | "log"), _) => Some(Format::Text("text")),
        (Some("adoc" | "asciidoc"), _) => Some(Format::Office(InputFormat::Asciidoc)),
        (Some("html" | "htm" | "xhtml"), _) | (None, Some("text/html")) => {
            Some(Format::Office(InputFormat::Html))
        }
        (Some("eml"), _) | (None, Some("message/rfc822")) => Some(Format::Message),
        (Some("tex"), _) => Some(Format::Office(InputFormat::Latex)),
        _ => None,
    };
    Some(hint.unwrap_or(match found {
        Some(InputFormat::JsonDocling | InputFormat::DocTags) => Format::Text("json"),
        Some(format) => of_docling(format),
        None => Format::Text("text"),
    }))
}

/// The format of Office that the name claims: old and damaged files do not show it otherwise.
fn office_by_name(file: &File) -> Option<Format> {
    let claimed = InputFormat::from_extension(&file.extension()?)?;
    let is_office = matches!(
        claimed,
        InputFormat::Doc
            | InputFormat::Xls
            | InputFormat::Ppt
            | InputFormat::Docx
            | InputFormat::Xlsx
            | InputFormat::Pptx
    );
    is_office.then_some(Format::Office(claimed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(bytes: &[u8], name: Option<&str>, mime: Option<&str>) -> Option<Format> {
        let file =
            File { bytes: bytes.to_vec(), name: name.map(str::to_owned), mime: mime.map(str::to_owned) };
        detect(&file)
    }

    #[test]
    fn bytes_decide_and_hints_choose_between_kinds_of_text() {
        let page = b"<!DOCTYPE html><html><body>text</body></html>";
        for (bytes, name, mime, expected) in [
            (&b"%PDF-1.7\n"[..], Some("a.docx"), None, Some(Format::Pdf)),
            (b"{\\rtf1 text}", Some("a.doc"), None, Some(Format::Office(InputFormat::Rtf))),
            (page, None, None, Some(Format::Office(InputFormat::Html))),
            (page, Some("a.txt"), None, Some(Format::Text("text"))),
            (b"a,b\n1,2\n", Some("table.CSV"), None, Some(Format::Office(InputFormat::Csv))),
            (b"a,b\n1,2\n", None, Some("text/csv; charset=utf-8"), Some(Format::Office(InputFormat::Csv))),
            (b"a,b\n1,2\n", None, None, Some(Format::Text("text"))),
            (b"# A\n", Some("a.md"), None, Some(Format::Text("markdown"))),
            (b"{\"a\": 1}", None, None, Some(Format::Text("json"))),
            (b"From a@b Mon Jan  1 00:00:00 2024\nSubject: x\n\ny\n", None, None, Some(Format::Mbox)),
            (b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", None, None, Some(Format::Zip)),
            (b"\x89PNG\r\n\x1a\n\0\0", None, None, Some(Format::Image)),
            (
                b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0\0",
                Some("a.doc"),
                None,
                Some(Format::Office(InputFormat::Doc)),
            ),
            (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0", Some("a.txt"), None, None),
        ] {
            assert_eq!(detected(bytes, name, mime), expected, "{name:?} {mime:?}");
        }
    }
}
