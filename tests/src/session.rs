//! Sessions that keep the notices and notifications that they receive.

use crate::Result;
use crate::process::Process;
use crate::server::PORT;
use anyhow::{Context, bail};
use futures_util::future::poll_fn;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio_postgres::error::DbError;
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, NoTls, Notification};

/// An error that the server raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// SQLSTATE.
    pub code: String,
    /// The first line of the message.
    pub message: String,
    /// DETAIL; may be empty.
    pub detail: String,
    /// HINT; may be empty.
    pub hint: String,
}

impl Refusal {
    /// Fails if code, message or hint differ from the expected ones; message and hint need only contain the
    /// given text.
    pub fn expect(&self, code: &str, message: &str, hint: &str) -> Result<()> {
        let as_expected = self.code == code && self.message.contains(message) && self.hint.contains(hint);
        if !as_expected {
            bail!("expected {code}, message {message:?}, hint {hint:?}, but got {self:#?}");
        }
        if !self.message.starts_with(|first: char| !first.is_uppercase()) || self.message.ends_with('.') {
            bail!("not in the style of PostgreSQL's messages: {self:#?}");
        }
        Ok(())
    }
}

impl From<&DbError> for Refusal {
    fn from(error: &DbError) -> Self {
        Self {
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: error.detail().unwrap_or_default().to_owned(),
            hint: error.hint().unwrap_or_default().to_owned(),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub struct Session {
    client: Client,
    inbox: Arc<Mutex<Inbox>>,
    driver: JoinHandle<()>,
    socket: PathBuf,
}

/// Cancels the statement of a session, from any task.
#[derive(Clone)]
pub struct Canceller {
    token: CancelToken,
    socket: PathBuf,
}

impl Canceller {
    /// Returns once the server has sent its signals: it sends two, and the second one must not reach the
    /// session's next statement.
    pub async fn cancel(&self) -> Result<()> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        self.token.cancel_query_raw(&mut stream, NoTls).await?;
        stream.read_to_end(&mut Vec::new()).await?;
        Ok(())
    }
}

/// Notices and notifications that the server has sent and that were not taken yet.
#[derive(Debug, Default)]
struct Inbox {
    notices: Vec<Refusal>,
    notifications: Vec<Notification>,
}

impl Inbox {
    fn keep(&mut self, message: AsyncMessage) {
        match message {
            AsyncMessage::Notice(notice) => self.notices.push(Refusal::from(&notice)),
            AsyncMessage::Notification(notification) => self.notifications.push(notification),
            _ => {}
        }
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Session {
    /// Connects over the server's Unix socket in `folder`.
    pub async fn open(folder: &Path, role: &str, database: &str) -> Result<Self> {
        Self::open_at(folder, PORT, role, database).await
    }

    /// As [`Self::open`], over another socket in the folder, such as a pooler's.
    pub async fn open_at(folder: &Path, port: u16, role: &str, database: &str) -> Result<Self> {
        let mut config = Config::new();
        config.host_path(folder).port(port).user(role).dbname(database).application_name("ragstone tests");
        let (client, mut connection) = config.connect(NoTls).await?;
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let filled = Arc::clone(&inbox);
        let driver = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                filled.lock().unwrap_or_else(PoisonError::into_inner).keep(message);
            }
        });
        let socket = folder.join(format!(".s.PGSQL.{port}"));
        Ok(Self { client, inbox, driver, socket })
    }

    /// A handle that cancels statements of this session.
    pub fn canceller(&self) -> Canceller {
        Canceller { token: self.client.cancel_token(), socket: self.socket.clone() }
    }

    /// The single value that a query returns.
    pub async fn value<T>(&self, sql: &str) -> Result<T>
    where
        T: for<'a> FromSql<'a>,
    {
        self.value_of(sql, &[]).await
    }

    /// The single value that a query with parameters returns.
    pub async fn value_of<T>(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<T>
    where
        T: for<'a> FromSql<'a>,
    {
        let row = self.client.query_one(sql, parameters).await.with_context(|| sql.to_owned())?;
        row.try_get(0).with_context(|| sql.to_owned())
    }

    /// The error with which the server refuses a statement.
    pub async fn refusal(&self, sql: &str) -> Result<Refusal> {
        self.refusal_of(sql, &[]).await
    }

    /// The error with which the server refuses a statement with parameters.
    pub async fn refusal_of(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Refusal> {
        match self.client.query(sql, parameters).await {
            Ok(rows) => bail!("{sql} was not refused but gave {} rows", rows.len()),
            Err(error) => refusal_in(&error),
        }
    }

    /// Takes the notices and warnings that have come since the last call.
    pub fn take_notices(&self) -> Vec<Refusal> {
        std::mem::take(&mut self.inbox().notices)
    }

    /// Takes the notifications that have come since the last call.
    pub fn take_notifications(&self) -> Vec<Notification> {
        std::mem::take(&mut self.inbox().notifications)
    }

    /// The server's process for this session.
    pub async fn backend(&self) -> Result<Process> {
        Ok(Process(self.value("SELECT pg_catalog.pg_backend_pid()").await?))
    }

    /// Ends the session and waits until its backend has exited.
    pub async fn close(self) -> Result<()> {
        let backend = self.backend().await?;
        let Self { client, driver, .. } = self;
        drop(client);
        driver.await?;
        crate::wait::until("the backend ends", async || Ok((!backend.runs()).then_some(()))).await
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server's error message, if the error is the server's.
pub fn refusal_in(error: &tokio_postgres::Error) -> Result<Refusal> {
    error.as_db_error().map(Refusal::from).with_context(|| format!("not an error of the server: {error:?}"))
}
