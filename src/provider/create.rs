//! `rag.create_provider`: a foreign server and its key, from a template.

use crate::provider::generator::LOCAL_SERVER;
use crate::provider::template;
use crate::provider::template::TEMPLATES;
use ragstone_core::suggest::nearest;
use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::{literal, quoted};
use ragstone_pg::spi::{connect, run_once};
use std::fmt::Write as _;

/// The arguments of `rag.create_provider`.
#[derive(Debug)]
pub struct NewProvider {
    /// Name of the server.
    pub name: String,
    /// Name of the template.
    pub kind: String,
    /// The key, for all roles that may use the server.
    pub api_key: Option<String>,
    /// Replaces the template's option `base_url`.
    pub base_url: Option<String>,
    /// Further options of the server.
    pub options: Vec<(String, String)>,
}

/// Creates the server and the user mapping with its key, with the rights of the current role.
pub fn create(provider: &NewProvider) -> Result<()> {
    let Some(template) = template::find(&provider.kind) else {
        return Err(unknown_kind(&provider.kind));
    };
    if provider.name.contains('/') || provider.name.is_empty() || provider.name == LOCAL_SERVER {
        return Err(Error::bad_argument(format!("provider name \"{}\" is not valid", provider.name))
            .detail("Models are named server/model.")
            .hint("Choose a name without a slash, other than local."));
    }
    let base_url = match (&provider.base_url, template.base_url) {
        (Some(url), _) => url.as_str(),
        (None, "") => {
            return Err(Error::bad_argument(format!(
                "kind \"{}\" has no base_url of its own",
                template.kind
            ))
            .hint("Give it: base_url => 'https://…'."));
        }
        (None, url) => url,
    };
    let mut options = vec![("protocol", template.wire.name()), ("base_url", base_url)];
    for (name, value) in &provider.options {
        options.retain(|(known, _)| known != name);
        options.push((name, value));
    }
    let server = quoted(&provider.name);
    // Errors are caught and raised again, because PostgreSQL would add the statement, which contains the key,
    // to their context.
    connect(|| {
        in_subtransaction(|| {
            run_once(&format!("CREATE SERVER {server} FOREIGN DATA WRAPPER rag {}", clause(&options)))?;
            if let Some(key) = &provider.api_key {
                let mapping = clause(&[("api_key", key)]);
                run_once(&format!("CREATE USER MAPPING FOR PUBLIC SERVER {server} {mapping}"))?;
            }
            Ok(())
        })
    })
}

/// True if providers of this kind refuse calls without a key.
pub fn needs_key(kind: &str) -> bool {
    template::find(kind).is_some_and(|template| template.needs_key)
}

fn clause(options: &[(&str, &str)]) -> String {
    let mut clause = String::from("OPTIONS (");
    for (index, (name, value)) in options.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(clause, "{comma}{} {}", quoted(name), literal(value));
    }
    clause + ")"
}

fn unknown_kind(kind: &str) -> Error {
    let known: Vec<_> = TEMPLATES.iter().map(|template| template.kind).collect();
    let error = Error::bad_argument(format!("unknown kind of provider \"{kind}\""));
    match nearest(kind, &known) {
        Some(near) => error.hint(format!("Perhaps you meant \"{near}\".")),
        None => error.hint(format!("Use one of {}.", known.join(", "))),
    }
}
