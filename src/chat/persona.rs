//! Personas: versioned instructions for a model. A new version takes effect with the next message.

use crate::provider::check_temperature;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_lock::OwnLock;
use ragstone_pg::own_tables::as_config_owner;
use ragstone_pg::owner::Owner;
use ragstone_pg::spi::{Arg, run, select};
use ragstone_pg::text::check_indexable;

/// The arguments of `rag.set_persona`.
#[derive(Debug)]
pub struct NewPersona {
    /// Name of the persona.
    pub name: String,
    /// Instructions for the model.
    pub instructions: String,
    /// The style of answers, added to the instructions.
    pub style: Option<String>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// `server/model`.
    pub model: Option<String>,
}

/// A version of a persona.
#[derive(Debug, Clone, Default)]
pub struct Persona {
    /// Name and version of the persona.
    pub version: Option<(String, i32)>,
    /// Instructions for the model, including the style.
    pub instructions: Option<String>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// `server/model`.
    pub model: Option<String>,
}

/// Creates a persona, or the next version of one that the current role owns. Returns the version.
pub fn set_persona(persona: &NewPersona) -> Result<i32> {
    if persona.name.trim().is_empty() || persona.instructions.trim().is_empty() {
        return Err(Error::bad_argument("a persona needs a name and instructions"));
    }
    check_indexable(&persona.name, "name")?;
    check_temperature(persona.temperature)?;
    let role = Owner::who_makes()?.to_text()?;
    let name = Arg::text(&persona.name);
    as_config_owner(|| {
        // Concurrent calls for the same persona wait here, so that they do not violate the unique key.
        OwnLock::new("persona", &persona.name).wait_for_transaction();
        let others = run(
            "SELECT owner::text FROM rag.personas WHERE name = $1 AND owner <> $2 LIMIT 1",
            &[name, Arg::text(&role)],
        )?;
        if let Some(owner) = others.text(0, 0) {
            return Err(Error::forbidden(format!("persona \"{}\" belongs to {owner}", persona.name))
                .hint("Choose another name."));
        }
        let rows = run(
            "INSERT INTO rag.personas (name, version, owner, instructions, style, temperature, model)
             SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5, $6 FROM rag.personas WHERE name = $1
             RETURNING version",
            &[
                name,
                Arg::text(&role),
                Arg::text(&persona.instructions),
                Arg::optional_text(persona.style.as_deref()),
                Arg::optional(persona.temperature),
                Arg::optional_text(persona.model.as_deref()),
            ],
        )?;
        rows.int4(0, 0).ok_or_else(|| Error::internal("a persona without a version"))
    })
}

/// The newest version of a persona.
pub fn find(name: &str) -> Result<Persona> {
    as_config_owner(|| {
        let rows = select(
            "SELECT version, instructions, style, temperature, model FROM rag.personas
             WHERE name = $1 ORDER BY version DESC LIMIT 1",
            &[Arg::text(name)],
        )?;
        let (Some(version), Some(instructions)) = (rows.int4(0, 0), rows.text(0, 1)) else {
            return Err(Error::undefined(format!("persona \"{name}\" does not exist"))
                .hint("See rag.personas, or make it with rag.set_persona."));
        };
        let instructions = match rows.text(0, 2) {
            Some(style) => format!("{instructions}\n\n{style}"),
            None => instructions,
        };
        Ok(Persona {
            version: Some((name.to_owned(), version)),
            instructions: Some(instructions),
            temperature: rows.float8(0, 3),
            model: rows.text(0, 4),
        })
    })
}
