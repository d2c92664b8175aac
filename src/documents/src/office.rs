//! What docling reads: documents, sheets, slides, books, pages of the web, and the text of messages.

use docling::{
    ConversionError, ConversionStatus, DoclingDocument, DocumentConverter, InputFormat,
    MarkdownExportOptions, Node, SourceDocument,
};
use ragstone_core::protocol::{DocumentInfo, DocumentPart, ParseRefusal};

use crate::{dates, headings};

/// The parts of a document.
pub struct OfficeParts {
    /// What the file says about itself.
    pub info: DocumentInfo,
    /// The parts.
    pub parts: Vec<DocumentPart>,
    /// What could not be read, as facts.
    pub omissions: Vec<String>,
}

/// Reads a document of this format.
pub fn read(bytes: Vec<u8>, format: InputFormat) -> Result<OfficeParts, ParseRefusal> {
    let converter = DocumentConverter::new().compact_tables(true);
    let source = SourceDocument::from_bytes("document", format, bytes);
    let metadata = converter.document_metadata(&source);
    let result = converter.convert(source).map_err(|error| refusal(&error, format))?;
    let omissions = match result.status {
        ConversionStatus::Success => Vec::new(),
        _ => result.errors.iter().map(|error| format!("The parser reports: {}.", error.describe())).collect(),
    };
    let (parts, pages) = split(result.document, format);
    let authors = metadata.authors.join(", ");
    let info = DocumentInfo {
        format: result.format.as_str().to_owned(),
        pages,
        title: metadata.title,
        author: (!authors.is_empty()).then_some(authors),
        language: metadata.language,
        created: metadata.created.or(metadata.date).as_deref().and_then(dates::seconds),
        modified: metadata.modified.as_deref().and_then(dates::seconds),
        ..DocumentInfo::default()
    };
    Ok(OfficeParts { info, parts, omissions })
}

/// The parts of a document, and the number of its pages if it has pages.
fn split(document: DoclingDocument, format: InputFormat) -> (Vec<DocumentPart>, Option<u32>) {
    let begins_page: fn(&Node) -> bool = match format {
        InputFormat::Xlsx | InputFormat::Pptx | InputFormat::Djvu | InputFormat::Keynote => {
            |node| matches!(node, Node::PageInfo { .. })
        }
        InputFormat::Ppt => |node| matches!(node, Node::PageBreak),
        InputFormat::Ods => |node| matches!(node, Node::Group { label, .. } if label == "sheet"),
        _ => |_| false,
    };
    let mut pages: Vec<Vec<Node>> = vec![Vec::new()];
    let mut is_paged = matches!(format, InputFormat::Ppt);
    for node in document.nodes {
        if begins_page(&node) {
            is_paged = true;
            if pages.len() > 1 || pages.last().is_some_and(|page| !page.is_empty()) {
                pages.push(Vec::new());
            }
        }
        if let Some(page) = pages.last_mut() {
            page.push(node);
        }
    }
    let count = pages.len() as u32;
    let parts = pages
        .into_iter()
        .zip(1..)
        .map(|(nodes, number)| {
            let sheet = nodes.iter().find_map(sheet_name);
            let content = markdown(nodes);
            DocumentPart {
                page: is_paged.then_some(number),
                heading: sheet.or_else(|| headings::first(&content)),
                content,
            }
        })
        .collect();
    (parts, is_paged.then_some(count))
}

fn sheet_name(node: &Node) -> Option<String> {
    match node {
        Node::Group { label, name, .. } if label == "sheet" => name.clone(),
        _ => None,
    }
}

fn markdown(nodes: Vec<Node>) -> String {
    let mut page = DoclingDocument::new("page");
    page.nodes = nodes;
    page.compact_tables = true;
    page.picture_alt_text = true;
    let options = MarkdownExportOptions {
        escape_html: false,
        escape_underscores: false,
        image_placeholder: String::new(),
        ..MarkdownExportOptions::default()
    };
    page.export_to_markdown_with_options(&options).0
}

fn refusal(error: &ConversionError, format: InputFormat) -> ParseRefusal {
    let format = format.as_str().to_owned();
    match (error.encryption(), error.limit()) {
        (Some(_), _) => ParseRefusal::Encrypted(format),
        (_, Some(limit)) => ParseRefusal::OverLimit(limit.to_string()),
        _ => ParseRefusal::Malformed { format, reason: error.to_string() },
    }
}
