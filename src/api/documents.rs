//! `rag.parse` and `rag.document_info`: documents as Markdown.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::{PgLogLevel, default, extension_sql, name, pg_extern};
use ragstone_client::engine::call::caller;
use ragstone_client::engine::client;
use ragstone_client::settings;
use ragstone_core::protocol::{FileBytes, MAX_FRAME, ParseTask, ParsedDocument, Request, Response};
use ragstone_pg::bytes::Bytes;
use ragstone_pg::clock;
use ragstone_pg::error::{Error, Result, or_raise};
use ragstone_pg::text::Utf8;
use ragstone_pg::version;

#[pg_extern(stable, parallel_restricted, cost = 100000)]
#[allow(clippy::type_complexity, reason = "the columns of the SQL function")]
fn parse(
    content: Option<Bytes<'_>>,
    name: default!(Option<Utf8>, "NULL"),
    mime: default!(Option<Utf8>, "NULL"),
) -> TableIterator<
    'static,
    (name!(part, i32), name!(page, Option<i32>), name!(heading, Option<Utf8>), name!(content, Utf8)),
> {
    version::check();
    let document = or_raise(parsed(content, name, mime));
    let parts = document.map(|document| {
        warn_about(document.omissions);
        document.parts
    });
    TableIterator::new(parts.unwrap_or_default().into_iter().zip(1..).map(|(part, number)| {
        (number, part.page.map(|page| page as i32), part.heading.map(Utf8), Utf8(part.content))
    }))
}

#[pg_extern(stable, parallel_restricted, cost = 100000)]
#[allow(clippy::type_complexity, reason = "the columns of the SQL function")]
fn document_info(
    content: Option<Bytes<'_>>,
    name: default!(Option<Utf8>, "NULL"),
    mime: default!(Option<Utf8>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(type, Utf8),
        name!(pages, Option<i32>),
        name!(pages_without_text, i32),
        name!(title, Option<Utf8>),
        name!(author, Option<Utf8>),
        name!(language, Option<Utf8>),
        name!(created, Option<TimestampWithTimeZone>),
        name!(modified, Option<TimestampWithTimeZone>),
        name!(attachments, Vec<Utf8>),
    ),
> {
    version::check();
    let info = or_raise(parsed(content, name, mime)).map(|document| document.info);
    TableIterator::new(info.into_iter().map(|info| {
        (
            Utf8(info.format),
            info.pages.map(|pages| pages as i32),
            info.pages_without_text as i32,
            info.title.map(Utf8),
            info.author.map(Utf8),
            info.language.map(Utf8),
            info.created.and_then(timestamp),
            info.modified.and_then(timestamp),
            info.attachments.into_iter().map(Utf8).collect(),
        )
    }))
}

/// Parses a document in the engine; `None` for NULL.
fn parsed(
    content: Option<Bytes<'_>>,
    name: Option<Utf8>,
    mime: Option<Utf8>,
) -> Result<Option<Box<ParsedDocument>>> {
    let Some(content) = content else { return Ok(None) };
    if content.0.len() > MAX_BYTES {
        let (actual, limit) = (content.0.len().div_ceil(1 << 20), MAX_BYTES >> 20);
        return Err(Error::over_limit(format!("content of {actual} MB is over the limit of {limit} MB")));
    }
    let task = ParseTask {
        content: FileBytes(content.0.to_vec()),
        name: name.map(|name| name.0),
        mime: mime.map(|mime| mime.0),
        limits: settings::parse_limits(),
    };
    match client::call(Request::Parse { caller: caller(), task: Box::new(task) })? {
        Response::Parsed(document) => Ok(Some(document)),
        other => Err(Error::internal(format!("unexpected answer to a parse request: {other:?}"))),
    }
}

/// Maximum size of a document. The rest of a request takes far less than a megabyte.
const MAX_BYTES: usize = MAX_FRAME - (1 << 20);

/// How many omissions a warning lists.
const MAX_LISTED: usize = 20;

fn warn_about(omissions: Vec<String>) {
    let more = omissions.len().saturating_sub(MAX_LISTED);
    let mut facts = omissions;
    facts.truncate(MAX_LISTED);
    if facts.is_empty() {
        return;
    }
    if more > 0 {
        facts.push(format!("There are {more} more."));
    }
    Error::warning("the document was not parsed as a whole")
        .detail(facts.join("\n"))
        .notice(PgLogLevel::WARNING);
}

fn timestamp(seconds: i64) -> Option<TimestampWithTimeZone> {
    let microseconds = seconds.checked_mul(1_000_000)?;
    TimestampWithTimeZone::try_from(clock::to_postgres(microseconds)).ok()
}

extension_sql!(
    r#"
COMMENT ON FUNCTION rag.parse(bytea, text, text) IS
'parts of a document (PDF, Office, HTML, mail, archives, …) as Markdown, with pages and headings';
COMMENT ON FUNCTION rag.document_info(bytea, text, text) IS
'what a document says about itself: type, pages, title, author, dates, attachments';
"#,
    name = "document_comments",
    requires = [parse, document_info]
);
