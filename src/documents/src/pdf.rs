//! PDF, page by page.

use ragstone_core::protocol::{DocumentInfo, DocumentPart, ParseRefusal};
use unpdf::{
    Document, Error, ErrorKind, PageSelection, ParseOptions, PdfParser,
    render::{RenderOptions, to_markdown},
};

use crate::headings;

/// The pages of a PDF.
pub struct PdfPages {
    /// What the file says about itself.
    pub info: DocumentInfo,
    /// The pages, also those without text.
    pub parts: Vec<DocumentPart>,
    /// What could not be read, as facts.
    pub omissions: Vec<String>,
}

/// Reads the first `most` pages.
pub fn read(bytes: &[u8], most: usize) -> Result<PdfPages, ParseRefusal> {
    let last = u32::try_from(most).unwrap_or(u32::MAX).max(1);
    let options = ParseOptions::default()
        .lenient()
        .sequential()
        .with_resources(false)
        .with_pages(PageSelection::Range(1..=last));
    let parser = PdfParser::from_bytes_with_options(bytes, options).map_err(|error| refusal(&error))?;
    let total = parser.page_count();
    let mut document = parser.parse().map_err(|error| refusal(&error))?;
    let pages = std::mem::take(&mut document.pages);
    let mut info = DocumentInfo {
        format: "pdf".to_owned(),
        pages: Some(total),
        title: document.metadata.title.take(),
        author: document.metadata.author.take(),
        created: document.metadata.created.map(|time| time.timestamp()),
        modified: document.metadata.modified.map(|time| time.timestamp()),
        ..DocumentInfo::default()
    };
    let mut omissions = Vec::new();
    let unreadable: usize = pages.iter().filter(|page| page.suppressed_text_runs > 0).count();
    if unreadable > 0 {
        omissions.push(format!("On {unreadable} pages, text in fonts without a known encoding is left out."));
    }
    if document.extraction_quality.pages_incomplete {
        omissions.push("The file is damaged, and some of its pages cannot be found.".to_owned());
    }
    let mut fields = std::mem::take(&mut document.form_fields);
    let count = pages.len();
    let mut parts = Vec::with_capacity(count);
    for (index, page) in pages.into_iter().enumerate() {
        info.pages_without_text += u32::from(page.text_op_count == 0 && page.image_op_count > 0);
        let number = page.number;
        let mut single = Document::new();
        single.pages.push(page);
        if index + 1 == count {
            single.form_fields = std::mem::take(&mut fields);
        }
        let content = to_markdown(&single, &RenderOptions::default()).map_err(|error| refusal(&error))?;
        parts.push(DocumentPart { page: Some(number), heading: headings::first(&content), content });
    }
    Ok(PdfPages { info, parts, omissions })
}

fn refusal(error: &Error) -> ParseRefusal {
    match error.kind() {
        ErrorKind::Encrypted | ErrorKind::InvalidPassword => ParseRefusal::Encrypted("pdf".to_owned()),
        _ => ParseRefusal::Malformed { format: "pdf".to_owned(), reason: error.to_string() },
    }
}
