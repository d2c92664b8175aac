//! Looks up a provider by the name of its server, with the rights and the key of the current role.

use crate::provider::key_file::KeyFile;
use crate::provider::options::Options;
use pgrx::pg_sys;
use ragstone_core::provider::{Key, Secret, Target};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::session;
use ragstone_pg::spi::{Arg, connect, select};
use ragstone_pg::switch_user::as_owner;

/// A provider that the current role may use.
#[derive(Debug)]
pub struct Provider {
    /// The target of calls. A key that is stored in a file is not included.
    pub target: Target,
    /// The file of its key.
    pub key_file: KeyFile,
    /// The server's options.
    pub options: Options,
}

/// The provider of this name, if the current role may use it.
///
/// # Errors
/// 42704 if it does not exist, 42501 without USAGE on the server, 22023 if an option is missing.
pub fn find(name: &str) -> Result<Provider> {
    let (role, database) = (session::current_role(), session::database());
    let superuser = pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID);
    let (server, options, mapping) = connect(|| as_owner(superuser, || read(name, role)))?;
    let wire = options.wire()?;
    let target = Target {
        database,
        server: server.to_u32(),
        name: name.to_owned(),
        wire,
        base_url: options.base_url()?,
        key: key(&mapping),
        limits: options.limits(wire),
        prices: options.prices(),
    };
    let key_file = KeyFile::new(mapping.get("api_key_file"));
    Ok(Provider { target, key_file, options })
}

fn read(name: &str, role: pg_sys::Oid) -> Result<(pg_sys::Oid, Options, Options)> {
    let query = include_str!("../../sql/queries/provider.sql");
    let rows = select(query, &[Arg::text(name), Arg::new(role)])?;
    let Some(server) = rows.oid(0, 0) else {
        return Err(unknown(name));
    };
    if rows.boolean(0, 2) != Some(true) {
        return Err(Error::forbidden(format!("permission denied for foreign server {name}"))
            .hint("Its owner can allow it: GRANT USAGE ON FOREIGN SERVER … TO …;"));
    }
    let options = |column| Options::parse(rows.texts(0, column).unwrap_or_default());
    Ok((server, options(1), options(3)))
}

fn unknown(name: &str) -> Error {
    Error::undefined(format!("provider \"{name}\" does not exist"))
        .hint("See rag.providers, or make it with rag.create_provider.")
}

fn key(mapping: &Options) -> Key {
    let owned = |name| mapping.get(name).map(str::to_owned);
    if let Some(key) = owned("api_key") {
        Key::Value(Secret(key))
    } else if let Some(variable) = owned("api_key_env") {
        Key::Environment(variable)
    } else {
        Key::None
    }
}
