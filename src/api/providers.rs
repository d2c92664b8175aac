//! Providers: the wrapper's validator, and `rag.create_provider`.

use crate::provider;
use crate::provider::{Catalog, NewProvider, Options};
use pgrx::{PgLogLevel, default, extension_sql_file, pg_extern, pg_sys};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result, or_raise};
use ragstone_pg::session;
use ragstone_pg::text::{Utf8, required};
use ragstone_pg::version;
use serde_json::Value;

// The version is not checked here: servers of an older version may be restored or altered between `make
// install` and ALTER EXTENSION UPDATE.
#[pg_extern(volatile, strict, parallel_unsafe)]
fn _validate_options(options: Vec<Option<Utf8>>, catalog: pg_sys::Oid) {
    let options = Options::parse(options.into_iter().flatten().map(|option| option.0).collect());
    let superuser = session::is_superuser();
    or_raise(provider::validate(Catalog::of(catalog), &options, superuser));
}

// The version is not checked, for the same reason.
#[pg_extern(sql = "
CREATE FUNCTION rag.\"_keep_local\"() RETURNS event_trigger LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
")]
fn _keep_local(_fcinfo: pg_sys::FunctionCallInfo) {
    or_raise(provider::refuse_options_of_local());
}

#[pg_extern(volatile, parallel_unsafe)]
fn create_provider(
    name: Option<Utf8>,
    kind: default!(Option<Utf8>, "NULL"),
    api_key: default!(Option<Utf8>, "NULL"),
    base_url: default!(Option<Utf8>, "NULL"),
    model: default!(Option<Utf8>, "NULL"),
    options: default!(Option<Jsonb>, "NULL"),
) {
    version::check();
    let name = or_raise(required(name, "name"));
    let mut all = or_raise(options.map_or_else(|| Ok(Vec::new()), |options| pairs(&options)));
    if let Some(model) = model {
        all.push(("default_model".to_owned(), model.0));
    }
    let provider = NewProvider {
        kind: kind.map_or_else(|| name.clone(), |kind| kind.0),
        name,
        api_key: api_key.map(|key| key.0),
        base_url: base_url.map(|url| url.0),
        options: all,
    };
    or_raise(provider::create(&provider));
    if provider.api_key.is_none() && provider::needs_key(&provider.kind) {
        Error::information(format!("provider \"{}\" has no key yet", provider.name))
            .hint("Run CREATE USER MAPPING FOR PUBLIC SERVER … OPTIONS (api_key '…').")
            .notice(PgLogLevel::NOTICE);
    }
}

/// The members of a JSON object whose values are strings, numbers or booleans.
fn pairs(options: &Jsonb) -> Result<Vec<(String, String)>> {
    let Value::Object(members) = options.to_value()? else {
        return Err(Error::bad_argument("options must be a JSON object"));
    };
    let pair = |(name, value): (String, Value)| match value {
        Value::String(text) => Ok((name, text)),
        Value::Number(_) | Value::Bool(_) => Ok((name, value.to_string())),
        _ => Err(Error::bad_argument(format!("option \"{name}\" must be a string, a number or a boolean"))),
    };
    members.into_iter().map(pair).collect()
}

extension_sql_file!(
    "../../sql/providers.sql",
    name = "providers",
    requires = [_validate_options, _keep_local, create_provider]
);
