use std::io::{Cursor, Write};

use ragstone_core::protocol::{FileBytes, ParseLimits};

use super::*;

fn parse(bytes: &[u8], name: Option<&str>) -> Result<ParsedDocument, ParseRefusal> {
    parse_pages(bytes, name, 100)
}

fn parse_pages(bytes: &[u8], name: Option<&str>, pages: u32) -> Result<ParsedDocument, ParseRefusal> {
    read(ParseTask {
        content: FileBytes(bytes.to_vec()),
        name: name.map(str::to_owned),
        mime: None,
        limits: ParseLimits { memory_mb: 512, timeout_ms: 60_000, pages },
    })
}

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A PDF with a line of text on each page, and a document title.
fn pdf(pages: &[&str]) -> Vec<u8> {
    let kids: Vec<String> = (0..pages.len()).map(|page| format!("{} 0 R", 4 + 2 * page)).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), pages.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    for (index, text) in pages.iter().enumerate() {
        let stream = format!("BT /F1 12 Tf 72 720 Td ({text}) Tj ET");
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {} 0 R \
             /Resources << /Font << /F1 3 0 R >> >> >>",
            5 + 2 * index
        ));
        objects.push(format!("<< /Length {} >>\nstream\n{stream}\nendstream", stream.len()));
    }
    objects
        .push("<< /Title (Annual report) /Author (A. Smith) /CreationDate (D:20240102030405Z) >>".to_owned());
    let mut file = "%PDF-1.4\n".to_owned();
    let mut offsets = Vec::new();
    for (object, number) in objects.iter().zip(1..) {
        offsets.push(file.len());
        file += &format!("{number} 0 obj\n{object}\nendobj\n");
    }
    let table = file.len();
    file += &format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    offsets.iter().for_each(|offset| file += &format!("{offset:010} 00000 n \n"));
    file += &format!(
        "trailer\n<< /Size {} /Root 1 0 R /Info {} 0 R >>\nstartxref\n{table}\n%%EOF\n",
        objects.len() + 1,
        objects.len()
    );
    file.into_bytes()
}

fn docx(body: &str) -> Vec<u8> {
    let document = format!(
        "<?xml version=\"1.0\"?><w:document \
         xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"><w:body>{body}</w:body></w:document>"
    );
    zipped(&[
        (
            "[Content_Types].xml",
            b"<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\">\
              <Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
              <Override PartName=\"/word/document.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml\"/>\
              <Override PartName=\"/docProps/core.xml\" ContentType=\"application/vnd.openxmlformats-package.core-properties+xml\"/></Types>",
        ),
        (
            "_rels/.rels",
            b"<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
              <Relationship Id=\"r1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"word/document.xml\"/>\
              <Relationship Id=\"r2\" Type=\"http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties\" Target=\"docProps/core.xml\"/></Relationships>",
        ),
        ("word/document.xml", document.as_bytes()),
        (
            "docProps/core.xml",
            b"<cp:coreProperties xmlns:cp=\"http://schemas.openxmlformats.org/package/2006/metadata/core-properties\" \
              xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmlns:dcterms=\"http://purl.org/dc/terms/\" \
              xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><dc:title>Lease</dc:title>\
              <dc:creator>B. Jones</dc:creator><dcterms:created xsi:type=\"dcterms:W3CDTF\">2020-01-01T00:00:00Z</dcterms:created>\
              </cp:coreProperties>",
        ),
    ])
}

const MESSAGE: &str = "From: a@example.com\r\nTo: b@example.com\r\nSubject: The plan\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=\"x\"\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nHello there.\r\n\
    --x\r\nContent-Type: text/markdown; name=\"plan.md\"\r\nContent-Disposition: attachment; filename=\"plan.md\"\r\n\r\n\
    # Step one\r\n\r\nDo it.\r\n--x--\r\n";

#[test]
fn a_pdf_is_read_page_by_page() {
    let found = parse(&pdf(&["The first page", "The second page"]), None).unwrap();
    let pages: Vec<_> = found.parts.iter().map(|part| (part.page, part.content.as_str())).collect();
    assert_eq!(pages, [(Some(1), "The first page"), (Some(2), "The second page")]);
    let info = found.info;
    assert_eq!((info.format.as_str(), info.pages, info.pages_without_text), ("pdf", Some(2), 0));
    assert_eq!((info.title.as_deref(), info.author.as_deref()), (Some("Annual report"), Some("A. Smith")));
    assert_eq!(info.created, Some(1_704_164_645));
    assert_eq!(found.omissions, Vec::<String>::new());
}

#[test]
fn pages_over_the_limit_are_left_out_and_counted() {
    let found = parse_pages(&pdf(&["one", "two", "three"]), None, 2).unwrap();
    assert_eq!((found.parts.len(), found.info.pages), (2, Some(3)));
    assert_eq!(found.omissions, ["1 pages are left out: rag.parse_pages is 2."]);
}

#[test]
fn a_word_document_becomes_markdown() {
    let body = "<w:p><w:pPr><w:pStyle w:val=\"Heading1\"/></w:pPr><w:r><w:t>Terms</w:t></w:r></w:p>\
        <w:p><w:r><w:t>The rent is due &amp; payable.</w:t></w:r></w:p>\
        <w:tbl><w:tr><w:tc><w:p><w:r><w:t>Month</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>Rent</w:t></w:r></w:p></w:tc></w:tr>\
        <w:tr><w:tc><w:p><w:r><w:t>May</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>900</w:t></w:r></w:p></w:tc></w:tr></w:tbl>";
    let found = parse(&docx(body), None).unwrap();
    assert_eq!(found.parts.len(), 1);
    let content = &found.parts[0].content;
    assert!(content.contains("The rent is due & payable."), "{content}");
    assert!(content.contains("| Month | Rent |"), "{content}");
    assert!(content.contains("| May | 900 |"), "{content}");
    assert_eq!((found.info.format.as_str(), found.info.pages), ("docx", None));
    assert_eq!(
        (found.info.title.as_deref(), found.info.author.as_deref()),
        (Some("Lease"), Some("B. Jones"))
    );
    assert_eq!(found.info.created, Some(1_577_836_800));
}

#[test]
fn html_and_csv_and_rtf_become_markdown() {
    let html = parse(
        b"<html><body><h1>Title</h1><p>A <b>bold</b> claim.</p><script>x()</script></body></html>",
        None,
    );
    let part = &html.unwrap().parts[0];
    assert_eq!(part.heading.as_deref(), Some("Title"));
    assert_eq!(part.content, "# Title\n\nA **bold** claim.");
    let csv = parse("city,people\nMünchen,1500000\n".as_bytes(), Some("a.csv")).unwrap();
    assert!(csv.parts[0].content.contains("| München | 1500000 |"), "{}", csv.parts[0].content);
    let rtf = parse(b"{\\rtf1\\ansi Plain and {\\b bold} text.\\par}", None).unwrap();
    assert!(rtf.parts[0].content.contains("Plain and"), "{}", rtf.parts[0].content);
    assert_eq!(rtf.info.format, "rtf");
}

#[test]
fn text_stays_as_it_is() {
    let found = parse("# Über\n\nText_with & <signs>\n".as_bytes(), Some("a.md")).unwrap();
    assert_eq!(found.parts[0].content, "# Über\n\nText_with & <signs>");
    assert_eq!((found.parts[0].heading.as_deref(), found.info.format.as_str()), (Some("Über"), "markdown"));
    let json = parse(b"{\"a\": [1, 2]}", None).unwrap();
    assert_eq!((json.parts[0].content.as_str(), json.info.format.as_str()), ("{\"a\": [1, 2]}", "json"));
    assert_eq!(parse(b"", None).unwrap().parts, []);
}

#[test]
fn a_message_is_read_with_its_attachments() {
    let found = parse(MESSAGE.as_bytes(), None).unwrap();
    assert_eq!(found.info.format, "eml");
    assert_eq!(found.info.attachments, ["plan.md"]);
    assert!(found.parts[0].content.contains("Hello there."), "{}", found.parts[0].content);
    assert_eq!(found.parts[1].heading.as_deref(), Some("plan.md > Step one"));
    assert!(found.parts[1].content.contains("Do it."), "{}", found.parts[1].content);
    let mbox =
        format!("From a@example.com Mon Jan  1 00:00:00 2024\n{MESSAGE}\nFrom b Tue\nSubject: Two\n\nBye.\n");
    let found = parse(mbox.as_bytes(), None).unwrap();
    assert_eq!(found.info.format, "mbox");
    let headings: Vec<_> = found.parts.iter().map(|part| part.heading.clone().unwrap_or_default()).collect();
    assert!(headings[1].starts_with("message 1 > plan.md"), "{headings:?}");
    assert!(headings[2].starts_with("message 2"), "{headings:?}");
}

#[test]
fn an_archive_is_read_file_by_file_and_a_bad_file_stops_no_other() {
    let inner = zipped(&[("deep.txt", b"In the inner archive.")]);
    let bytes = zipped(&[
        ("a/one.txt", b"First file."),
        ("broken.pdf", b"%PDF-1.7\nnothing follows"),
        ("inner.zip", &inner),
        ("program", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0"),
    ]);
    let found = parse(&bytes, Some("all.zip")).unwrap();
    let parts: Vec<_> =
        found.parts.iter().map(|part| (part.heading.as_deref().unwrap(), part.content.as_str())).collect();
    assert_eq!(parts, [("a/one.txt", "First file."), ("inner.zip > deep.txt", "In the inner archive.")]);
    assert_eq!(
        found.info.attachments,
        ["a/one.txt", "broken.pdf", "inner.zip", "inner.zip > deep.txt", "program"]
            .into_iter()
            .filter(|name| !name.contains('>'))
            .collect::<Vec<_>>()
    );
    assert_eq!(found.omissions.len(), 2, "{:?}", found.omissions);
    assert!(
        found.omissions[0].starts_with("\"broken.pdf\" is left out: it is not valid pdf"),
        "{:?}",
        found.omissions
    );
    assert_eq!(found.omissions[1], "\"program\" is left out: its type is not known.");
}

#[test]
fn archives_are_read_to_a_depth() {
    let mut bytes = b"At the bottom.".to_vec();
    for level in 0..6 {
        bytes = zipped(&[(if level == 0 { "bottom.txt" } else { "more.zip" }, &bytes)]);
    }
    let found = parse(&bytes, None).unwrap();
    assert_eq!(found.parts, []);
    assert_eq!(
        found.omissions,
        ["\"more.zip > more.zip > more.zip > more.zip\" is left out: files are nested more than 3 deep."]
    );
}

#[test]
fn a_compressed_file_is_read() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"# Packed").unwrap();
    let found = parse(&encoder.finish().unwrap(), Some("notes.md.gz")).unwrap();
    assert_eq!((found.info.format.as_str(), found.parts[0].content.as_str()), ("markdown", "# Packed"));
}

#[test]
fn what_is_no_document_is_refused() {
    let noise: Vec<u8> = (0..5000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert_eq!(parse(&noise, Some("x.bin")), Err(ParseRefusal::UnknownType("x.bin".into())));
    for (bytes, format) in [
        (b"%PDF-1.7\n%%EOF".to_vec(), "pdf"),
        (docx("")[..200].to_vec(), "zip"),
        (b"\x1f\x8b\x08\0garbage".to_vec(), "gzip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1garbage".to_vec(), ""),
    ] {
        match parse(&bytes, None) {
            Err(ParseRefusal::Malformed { format: found, .. }) => assert_eq!(found, format),
            other => {
                assert!(matches!(other, Err(ParseRefusal::UnknownType(_))) && format.is_empty(), "{other:?}")
            }
        }
    }
}

#[test]
fn a_protected_pdf_is_refused_as_such() {
    let file = String::from_utf8(pdf(&["secret"])).unwrap();
    let trailer = "/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 \
        /O <0000000000000000000000000000000000000000000000000000000000000000> \
        /U <1111111111111111111111111111111111111111111111111111111111111111> >> \
        /ID [<00><00>] /Root 1 0 R";
    let protected = file.replace("/Root 1 0 R", trailer);
    assert_eq!(parse(protected.as_bytes(), None), Err(ParseRefusal::Encrypted("pdf".into())));
}

#[test]
fn a_protected_office_file_is_refused_as_such() {
    let mut file = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
    file.resize(2000, 0);
    file.extend("EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes));
    assert_eq!(parse(&file, Some("a.docx")), Err(ParseRefusal::Encrypted("office".into())));
}

#[test]
fn entities_are_not_expanded_without_end() {
    let entities: String =
        (1..10).map(|n| format!("<!ENTITY e{n} \"{}\">", format!("&e{};", n - 1).repeat(10))).collect();
    let xml = format!(
        "<?xml version=\"1.0\"?><!DOCTYPE w:document [<!ENTITY e0 \"boom\">{entities}]>\
         <w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"><w:body><w:p><w:r>\
         <w:t>&e9;</w:t></w:r></w:p></w:body></w:document>"
    );
    let mut bytes = docx("");
    bytes = zipped(&[
        (
            "[Content_Types].xml",
            b"<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>",
        ),
        ("word/document.xml", xml.as_bytes()),
        ("filler", &bytes),
    ]);
    let size = match parse(&bytes, Some("a.docx")) {
        Ok(found) => found.parts.iter().map(|part| part.content.len()).sum(),
        Err(_) => 0,
    };
    assert!(size < 1 << 20, "{size} bytes");
}
