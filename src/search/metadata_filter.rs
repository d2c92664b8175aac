//! A filter as SQL: the only place where conditions on metadata become part of a statement. Names are quoted, and
//! values are arguments.

use crate::collections::catalog::collection::Collection;
use crate::search::filter_columns::MetadataColumn;
use crate::search::filter_values::{nested, read};
use pgrx::pg_sys;
use ragstone_core::filter::{
    Check, ColumnKind, Condition, FilterColumn, FilterError, FilterFault, Operand, Relation, Test, parse,
};
use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::quoted;
use ragstone_pg::spi::Arg;
use ragstone_pg::value::Value;
use std::cell::RefCell;

/// A filter on the metadata of a collection.
#[derive(Debug)]
pub struct MetadataFilter {
    /// Objects that the metadata must contain: the equalities that the index on the metadata finds.
    contained: Vec<Jsonb>,
    /// The other conditions, all of which must be true.
    others: Vec<ConditionPart>,
    /// The columns that they read, as definitions of a record.
    definitions: String,
    target: FilterTarget,
    /// Values of the others.
    arguments: Vec<FilterArgument>,
}

/// Where the values are that a filter checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterTarget {
    /// In the metadata as stored, a `jsonb`.
    Metadata,
    /// In the columns of a row `s` of the source.
    Source,
}

/// A part of a condition in SQL.
#[derive(Debug)]
enum ConditionPart {
    Sql(String),
    /// The argument with this position, from 0.
    Argument(usize),
}

/// An argument of a condition.
#[derive(Debug)]
enum FilterArgument {
    Value(Value),
    /// Values of a type.
    List(pg_sys::Oid, Vec<Value>),
    Text(String),
    Path(Vec<String>),
}

impl MetadataFilter {
    /// Parses a filter and reads its values, under the caller's settings. None if there is none, or if it is true of all rows.
    ///
    /// # Errors
    /// 42703 for an unknown column; 22023 for an unknown operator, or a value that it does not take; 54000 if the
    /// filter is too large; the error of a column's type for a value that it refuses, with the name of the column.
    pub fn new(
        collection: &Collection,
        filter: Option<&Jsonb>,
        target: FilterTarget,
    ) -> Result<Option<Self>> {
        let Some(filter) = filter else { return Ok(None) };
        let columns = MetadataColumn::all(collection)?;
        let of_filter: Vec<FilterColumn> = columns.iter().map(|column| column.of_filter.clone()).collect();
        let json = filter.to_json()?;
        let condition = parse(&json, &of_filter).map_err(|error| refused(collection, error))?;
        if condition.is_empty() {
            return Ok(None);
        }
        let builder = Builder::new(&columns, target);
        let read_for = RefCell::new(String::new());
        in_subtransaction(|| builder.build(condition, &read_for)).map(Some).map_err(|error| {
            error.with_fact(format!("the filter has it for column \"{}\"", read_for.borrow()))
        })
    }

    /// The condition that a row meets the filter; `metadata` is its metadata in SQL, if these are checked. `first` is
    /// the number of the first of the [`arguments`](Self::arguments) in the statement.
    pub fn condition(&self, metadata: &str, first: usize) -> String {
        let mut conditions: Vec<String> = (first..)
            .zip(&self.contained)
            .map(|(number, _)| format!("{metadata} OPERATOR(pg_catalog.@>) ${number}"))
            .collect();
        let first = first + self.contained.len();
        let others: String = self.others.iter().map(|part| part.sql(first)).collect();
        match self.target {
            _ if others.is_empty() => {}
            FilterTarget::Source => conditions.push(others),
            FilterTarget::Metadata => conditions.push(format!(
                "(SELECT {others} FROM pg_catalog.jsonb_to_record({metadata}) AS r ({}))",
                self.definitions
            )),
        }
        conditions.join(" AND ")
    }

    /// Number of the arguments.
    pub fn argument_count(&self) -> usize {
        self.contained.len() + self.arguments.len()
    }

    /// Arguments for [`condition`](Self::condition), in the current memory context.
    pub fn arguments(&self) -> impl Iterator<Item = Arg> {
        let contained = self.contained.iter().map(|object| Arg::varlena(pg_sys::JSONBOID, &object.0));
        contained.chain(self.arguments.iter().map(FilterArgument::arg))
    }
}

impl ConditionPart {
    fn sql(&self, first: usize) -> String {
        match self {
            Self::Sql(sql) => sql.clone(),
            Self::Argument(place) => format!("${}", first + place),
        }
    }
}

impl FilterArgument {
    fn arg(&self) -> Arg {
        match self {
            Self::Value(value) => Arg::value(value),
            Self::List(of, values) => {
                Arg::array(*of, values.iter().map(|value| Some(value.datum())).collect())
            }
            Self::Text(text) => Arg::text(text),
            Self::Path(names) => Arg::texts(names),
        }
    }
}

/// The error of a filter that is not valid.
pub fn refused(collection: &Collection, error: FilterError) -> Error {
    if collection.metadata.is_empty() && error.fault == FilterFault::UnknownColumn {
        return Error::bad_argument(format!(
            "collection \"{}\" has no metadata columns to filter by",
            collection.name
        ))
        .hint("Create it with the columns to filter by: metadata => '{...}'.");
    }
    let refusal = match error.fault {
        FilterFault::UnknownColumn => Error::undefined_column(error.message),
        FilterFault::Invalid => Error::bad_argument(error.message),
        FilterFault::TooLarge => Error::over_limit(error.message),
    };
    refusal.hint(error.hint)
}

/// Makes a filter of a condition.
struct Builder<'a> {
    columns: &'a [MetadataColumn],
    target: FilterTarget,
    /// True for each column that the other conditions read.
    is_read: Vec<bool>,
    others: Vec<ConditionPart>,
    arguments: Vec<FilterArgument>,
}

impl<'a> Builder<'a> {
    fn new(columns: &'a [MetadataColumn], target: FilterTarget) -> Self {
        Self {
            columns,
            target,
            is_read: vec![false; columns.len()],
            others: Vec::new(),
            arguments: Vec::new(),
        }
    }

    /// `read_for` gets the name of the column whose value is being read.
    fn build(mut self, condition: Condition, read_for: &RefCell<String>) -> Result<MetadataFilter> {
        let (mut contained, mut others) = (Vec::new(), Vec::new());
        for condition in condition.conjuncts() {
            match self.contained(&condition, read_for)? {
                Some(object) => contained.push(object),
                None => others.push(condition),
            }
        }
        if !others.is_empty() {
            self.condition(&Condition::All(others), read_for)?;
        }
        let read = self.columns.iter().zip(&self.is_read).filter(|(_, is_read)| **is_read);
        let definitions = read.map(|(column, _)| column.definition()).collect::<Vec<_>>().join(", ");
        Ok(MetadataFilter {
            contained,
            others: self.others,
            definitions,
            target: self.target,
            arguments: self.arguments,
        })
    }

    /// The object that the metadata contain exactly if the condition is true, if there is one.
    fn contained(&self, condition: &Condition, read_for: &RefCell<String>) -> Result<Option<Jsonb>> {
        let Condition::Test(Test { column, path, check }) = condition else { return Ok(None) };
        if self.target == FilterTarget::Source {
            return Ok(None);
        }
        let column = &self.columns[*column];
        // A number in a path may be the place of an array's element.
        if !column.has_exact_json || path.iter().any(|name| name.parse::<i64>().is_ok()) {
            return Ok(None);
        }
        let is_container = |operand: &Operand| operand.text.is_none();
        let operand = match (column.of_filter.kind, check) {
            (ColumnKind::Json, Check::Compare(Relation::Equal, operand)) if !is_container(operand) => operand,
            (ColumnKind::Json, Check::Contains(operand)) if is_container(operand) => operand,
            (ColumnKind::Array, Check::Contains(operand)) => operand,
            (ColumnKind::Text | ColumnKind::Ordered, Check::Compare(Relation::Equal, operand)) => operand,
            _ => return Ok(None),
        };
        read_for.replace(column.of_filter.name.clone());
        nested(column, path, operand, &read(column, operand)?).map(Some)
    }

    fn sql(&mut self, sql: impl Into<String>) {
        self.others.push(ConditionPart::Sql(sql.into()));
    }

    fn argument(&mut self, argument: FilterArgument) {
        self.others.push(ConditionPart::Argument(self.arguments.len()));
        self.arguments.push(argument);
    }

    fn condition(&mut self, condition: &Condition, read_for: &RefCell<String>) -> Result<()> {
        match condition {
            Condition::All(conditions) => self.list(conditions, " AND ", "true", read_for),
            Condition::Any(conditions) => self.list(conditions, " OR ", "false", read_for),
            // What is unknown of a row without the value counts as false, and its opposite as true.
            Condition::Not(condition) => {
                self.sql("(");
                self.condition(condition, read_for)?;
                self.sql(" IS NOT TRUE)");
                Ok(())
            }
            Condition::Test(test) => {
                self.is_read[test.column] = true;
                read_for.replace(self.columns[test.column].of_filter.name.clone());
                self.sql("(");
                self.test(test)?;
                self.sql(")");
                Ok(())
            }
        }
    }

    fn list(
        &mut self,
        conditions: &[Condition],
        word: &str,
        of_none: &str,
        read_for: &RefCell<String>,
    ) -> Result<()> {
        if conditions.is_empty() {
            self.sql(of_none);
            return Ok(());
        }
        self.sql("(");
        for (place, condition) in conditions.iter().enumerate() {
            if place > 0 {
                self.sql(word);
            }
            self.condition(condition, read_for)?;
        }
        self.sql(")");
        Ok(())
    }

    fn test(&mut self, test: &Test) -> Result<()> {
        let columns = self.columns;
        let column = &columns[test.column];
        match &test.check {
            Check::Compare(relation, operand) => self.compare(column, test, *relation, operand),
            Check::In(operands) => self.among(column, test, operands),
            Check::Like { pattern, ignores_case } => {
                self.subject(column, test);
                if column.of_filter.kind == ColumnKind::Json {
                    // The text of a JSON string; of other JSON values there is none.
                    self.sql(" #>> '{}'");
                }
                self.sql(if *ignores_case {
                    " OPERATOR(pg_catalog.~~*) "
                } else {
                    " OPERATOR(pg_catalog.~~) "
                });
                self.argument(FilterArgument::Text(pattern.clone()));
                if column.of_filter.kind == ColumnKind::Json {
                    self.sql(" AND ");
                    self.json_type(column, test);
                    self.sql(" OPERATOR(pg_catalog.=) 'string'");
                }
                Ok(())
            }
            Check::Exists if column.of_filter.kind == ColumnKind::Json => {
                self.json_type(column, test);
                self.sql(" OPERATOR(pg_catalog.<>) 'null'");
                Ok(())
            }
            Check::Exists => {
                self.subject(column, test);
                self.sql(" IS NOT NULL");
                Ok(())
            }
            Check::Contains(operand) => {
                let value = read(column, operand)?;
                self.subject(column, test);
                self.sql(" OPERATOR(pg_catalog.@>) ");
                self.argument(FilterArgument::Value(value));
                Ok(())
            }
        }
    }

    /// The value that is checked.
    fn subject(&mut self, column: &MetadataColumn, test: &Test) {
        let name = match self.target {
            FilterTarget::Metadata => format!("r.{}", quoted(&column.of_filter.name)),
            FilterTarget::Source => column.in_source.clone(),
        };
        if test.path.is_empty() {
            return self.sql(format!("{name}{}", column.collation));
        }
        self.sql(format!("({name} OPERATOR(pg_catalog.#>) "));
        self.argument(FilterArgument::Path(test.path.clone()));
        self.sql(")");
    }

    fn json_type(&mut self, column: &MetadataColumn, test: &Test) {
        self.sql("pg_catalog.jsonb_typeof(");
        self.subject(column, test);
        self.sql(")");
    }

    fn compare(
        &mut self,
        column: &MetadataColumn,
        test: &Test,
        relation: Relation,
        operand: &Operand,
    ) -> Result<()> {
        let value = read(column, operand)?;
        let [equal, less, greater] = &column.operators;
        let (operator, is_opposite) = match relation {
            Relation::Equal => (equal, false),
            Relation::Less => (less, false),
            Relation::Greater => (greater, false),
            Relation::LessOrEqual => (greater, true),
            Relation::GreaterOrEqual => (less, true),
        };
        if column.of_filter.kind == ColumnKind::Json && relation != Relation::Equal {
            // JSON values of different types have an order, too, which a filter does not mean.
            let of = if operand.json.starts_with('"') { "string" } else { "number" };
            self.json_type(column, test);
            self.sql(format!(" OPERATOR(pg_catalog.=) '{of}' AND "));
        }
        self.sql(if is_opposite { "NOT (" } else { "(" });
        self.subject(column, test);
        self.sql(format!(" {operator} "));
        self.argument(FilterArgument::Value(value));
        self.sql(")");
        Ok(())
    }

    fn among(&mut self, column: &MetadataColumn, test: &Test, operands: &[Operand]) -> Result<()> {
        let values = operands.iter().map(|operand| read(column, operand)).collect::<Result<Vec<_>>>()?;
        let equal = &column.operators[0];
        if column.of_filter.kind != ColumnKind::Array {
            self.subject(column, test);
            self.sql(format!(" {equal} ANY ("));
            self.argument(FilterArgument::List(column.compared, values));
            self.sql(")");
            return Ok(());
        }
        // An array of arrays would be one array of more dimensions.
        self.sql("false");
        for value in values {
            self.sql(" OR ");
            self.subject(column, test);
            self.sql(format!(" {equal} "));
            self.argument(FilterArgument::Value(value));
        }
        Ok(())
    }
}
