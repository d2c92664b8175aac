//! The kinds of jobs: the SQL function that each calls, and the conversion of its arguments from JSON to
//! their types.

use crate::jobs::handlers;
use pgrx::pg_sys;
use ragstone_core::suggest::nearest;
use ragstone_pg::arguments::{JsonArgument, Parameter, json_arguments};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::quoted;
use ragstone_pg::spi::{Arg, run};

/// A kind of job.
#[derive(Debug, Clone, Copy)]
pub struct JobKind {
    /// Name of the kind.
    pub name: &'static str,
    /// The function in the schema `rag`.
    function: &'static str,
    /// True if the result is one row rather than an array of rows.
    one_row: bool,
    /// True if a job may be executed again after its worker ended during the execution. A provider may then
    /// be paid twice.
    pub repeatable: bool,
}

/// The kinds that consist of one call of their function. To add a kind, add a line here, in the COMMENT of
/// `sql/jobs.sql` and in docs/reference/jobs.md.
const KINDS: &[JobKind] = &[
    JobKind { name: "embed", function: "embed", one_row: true, repeatable: true },
    JobKind { name: "search", function: "search", one_row: false, repeatable: true },
    JobKind { name: "refresh", function: "refresh_collection", one_row: true, repeatable: true },
    JobKind { name: "generate", function: "generate", one_row: true, repeatable: true },
    JobKind { name: "ask", function: "ask", one_row: true, repeatable: true },
    JobKind { name: "chat", function: "chat", one_row: true, repeatable: false },
];

/// The statement that executes a job. Its only column is the job's result.
pub struct JobStatement {
    /// SQL with a parameter for each argument.
    pub sql: String,
    /// The arguments in their own types, in the current memory context.
    pub args: Vec<Arg>,
}

/// One of the overloads of a kind's function.
struct Signature {
    parameters: Vec<Parameter>,
}

/// All kinds, including those with a handler.
fn all_kinds() -> impl Iterator<Item = JobKind> {
    let handled = handlers::all().map(|handler| JobKind {
        name: handler.kind,
        function: handler.function,
        one_row: true,
        repeatable: true,
    });
    KINDS.iter().copied().chain(handled)
}

impl JobKind {
    /// The kind of this name, if its function exists.
    pub fn find(name: &str) -> Result<Self> {
        let functions = Arg::texts(all_kinds().map(|kind| kind.function));
        let rows = run(
            "SELECT DISTINCT proname::text FROM pg_proc
             WHERE pronamespace = 'rag'::regnamespace AND prokind = 'f' AND proname = ANY ($1)",
            &[functions],
        )?;
        let functions: Vec<_> = (0..rows.count).filter_map(|row| rows.text(row, 0)).collect();
        let known: Vec<_> =
            all_kinds().filter(|kind| functions.iter().any(|name| name == kind.function)).collect();
        known.iter().find(|kind| kind.name == name).copied().ok_or_else(|| {
            let names: Vec<_> = known.iter().map(|kind| kind.name).collect();
            Error::bad_argument(format!("unknown kind of job \"{name}\""))
                .hint(format!("The kinds are {}.", names.join(", ")))
        })
    }

    /// True if a job of this kind may be executed again. This is false for an unknown kind, which another
    /// version may have defined.
    pub fn is_repeatable(name: &str) -> bool {
        all_kinds().any(|kind| kind.name == name && kind.repeatable)
    }

    /// The statement for these arguments. Null for an argument that has a default stands for the default.
    ///
    /// # Errors
    /// 22023 if an argument is unknown, missing or of another shape than its type; the error of the type's
    /// input function if the text is not a value of the type.
    pub fn statement(self, args: &Jsonb) -> Result<JobStatement> {
        let given = json_arguments(args, "args")?;
        let whose = format!("a job of kind \"{}\"", self.name);
        let signatures = self.signatures()?;
        let signature = self.choose(&signatures, &given)?;
        let mut names = Vec::new();
        let mut values = Vec::new();
        for argument in &given {
            let parameter = signature.parameter(&argument.name);
            let parameter = parameter.ok_or_else(|| Error::internal("a known argument is unknown"))?;
            if argument.shape == "null" && !parameter.required {
                continue;
            }
            values.push(parameter.value(argument, &whose)?);
            names.push(format!("{} => ${}", quoted(&parameter.name), values.len()));
        }
        let call = format!("rag.{}({}) r", quoted(self.function), names.join(", "));
        let sql = if self.one_row {
            format!("SELECT pg_catalog.to_jsonb(r) FROM {call}")
        } else {
            format!("SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(r)), '[]') FROM {call}")
        };
        Ok(JobStatement { sql, args: values })
    }

    fn signatures(self) -> Result<Vec<Signature>> {
        let rows = run(
            "SELECT oid FROM pg_proc WHERE pronamespace = 'rag'::regnamespace AND prokind = 'f' AND proname = $1::name",
            &[Arg::text(self.function)],
        )?;
        let functions: Vec<_> = (0..rows.count).filter_map(|row| rows.oid(row, 0)).collect();
        let mut signatures: Vec<(pg_sys::Oid, Signature)> = Vec::new();
        for (function, parameter) in Parameter::of(&functions)? {
            match signatures.last_mut() {
                Some((last, signature)) if *last == function => signature.parameters.push(parameter),
                _ => signatures.push((function, Signature { parameters: vec![parameter] })),
            }
        }
        Ok(signatures.into_iter().map(|(_, signature)| signature).collect())
    }

    /// The overload that takes these arguments.
    fn choose<'a>(self, signatures: &'a [Signature], given: &[JsonArgument]) -> Result<&'a Signature> {
        let known: Vec<&str> = signatures.iter().flat_map(Signature::names).collect();
        if let Some(unknown) = given.iter().find(|given| !known.contains(&given.name.as_str())) {
            return Err(self.unknown_argument(&unknown.name, known));
        }
        let named: Vec<_> = signatures.iter().filter(|it| it.has_all_names(given)).collect();
        let complete: Vec<_> = named.iter().copied().filter(|it| it.missing_name(given).is_none()).collect();
        let shaped = complete.iter().copied().find(|it| it.has_shape_of(given));
        // The conversion of the value reports a wrong shape.
        shaped.or(complete.first().copied()).ok_or_else(|| {
            let closest = named.first().copied().or(signatures.first());
            match closest.and_then(|it| it.missing_name(given)) {
                Some(missing) => Error::bad_argument(format!(
                    "argument \"{missing}\" of a job of kind \"{}\" is missing",
                    self.name
                )),
                None => Error::bad_argument(format!(
                    "arguments of a job of kind \"{}\" cannot be combined",
                    self.name
                )),
            }
            .hint(format!("rag.{} says what it takes: \\df+ rag.{}", self.function, self.function))
        })
    }

    fn unknown_argument(self, name: &str, mut known: Vec<&str>) -> Error {
        let error =
            Error::bad_argument(format!("unknown argument \"{name}\" of a job of kind \"{}\"", self.name));
        known.sort_unstable();
        known.dedup();
        match nearest(name, &known) {
            Some(near) => error.hint(format!("Perhaps you meant \"{near}\".")),
            None => error.hint(format!("The arguments are {}.", known.join(", "))),
        }
    }
}

impl Signature {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|parameter| parameter.name.as_str())
    }

    fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    fn has_all_names(&self, given: &[JsonArgument]) -> bool {
        given.iter().all(|given| self.parameter(&given.name).is_some())
    }

    fn missing_name(&self, given: &[JsonArgument]) -> Option<&str> {
        let required = self.parameters.iter().filter(|parameter| parameter.required);
        required.map(|it| it.name.as_str()).find(|name| given.iter().all(|it| it.name != *name))
    }

    /// True if arrays are given where, and only where, arrays are expected.
    fn has_shape_of(&self, given: &[JsonArgument]) -> bool {
        given.iter().all(|given| self.parameter(&given.name).is_some_and(|parameter| parameter.fits(given)))
    }
}
