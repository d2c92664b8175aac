//! The caller's map of field names: the column or the unit of each.

use super::field_place::{Column, FieldPlace};
use crate::suggest::nearest;
use std::collections::BTreeMap;

/// Field names of one log, with the columns that they mean. A name with points is that of a field, or the path to one.
#[derive(Debug, Clone, Default)]
pub struct FieldMap(Vec<(String, Option<FieldPlace>)>);

/// A map that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldMapError {
    /// It is no object of texts.
    #[error("fields must be a JSON object whose values are texts")]
    NoTexts,
    /// A value names neither a column nor a unit.
    #[error("unknown column or unit \"{word}\" for the field \"{field}\"")]
    UnknownWord {
        /// The field.
        field: String,
        /// The value.
        word: String,
        /// The most similar word, if there is one.
        near: Option<&'static str>,
    },
}

/// Columns by the names that a map has for them; `attribute` is none.
const COLUMNS: [(&str, Option<Column>); 21] = [
    ("run", Some(Column::Run)),
    ("span", Some(Column::Span)),
    ("parent", Some(Column::Parent)),
    ("kind", Some(Column::Kind)),
    ("name", Some(Column::Name)),
    ("tool", Some(Column::Tool)),
    ("started", Some(Column::Started)),
    ("ended", Some(Column::Ended)),
    ("duration", Some(Column::Duration)),
    ("input", Some(Column::Input)),
    ("output", Some(Column::Output)),
    ("model", Some(Column::Model)),
    ("input_tokens", Some(Column::InputTokens)),
    ("output_tokens", Some(Column::OutputTokens)),
    ("usage", Some(Column::Usage)),
    ("cost", Some(Column::Cost)),
    ("status", Some(Column::Status)),
    ("level", Some(Column::Level)),
    ("message", Some(Column::Message)),
    ("error", Some(Column::Error)),
    ("attribute", None),
];

/// Units of durations, in milliseconds.
const UNITS: [(&str, f64); 6] =
    [("ns", 1e-6), ("us", 1e-3), ("ms", 1.0), ("s", 1000.0), ("min", 60_000.0), ("h", 3_600_000.0)];

impl FieldMap {
    /// Reads a JSON object such as `{"duration": "s", "svc.trace": "run"}`.
    ///
    /// # Errors
    /// If it is no object of texts, or a text names neither a column nor a unit.
    pub fn from_json(json: &str) -> Result<Self, FieldMapError> {
        let fields: BTreeMap<String, String> =
            serde_json::from_str(json).map_err(|_| FieldMapError::NoTexts)?;
        let place = |(field, word): (String, String)| match place(&word) {
            Some(place) => Ok((field, place)),
            None => Err(FieldMapError::UnknownWord { near: nearest(&word, &words()), field, word }),
        };
        fields.into_iter().map(place).collect::<Result<_, _>>().map(Self)
    }

    /// True if it has no names.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where a field of this name belongs, `Some(None)` if it is an attribute; `None` if it is not in the map.
    pub fn get(&self, name: &[u8]) -> Option<Option<FieldPlace>> {
        self.0.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, place)| *place)
    }

    /// The names with points that have a column.
    pub fn paths(&self) -> impl Iterator<Item = (&str, FieldPlace)> {
        let paths = self.0.iter().filter(|(name, _)| name.contains('.'));
        paths.filter_map(|(name, place)| place.map(|place| (name.as_str(), place)))
    }
}

/// The words for columns and units.
pub fn words() -> Vec<&'static str> {
    COLUMNS.iter().map(|(name, _)| *name).chain(UNITS.iter().map(|(name, _)| *name)).collect()
}

fn place(word: &str) -> Option<Option<FieldPlace>> {
    let of = |column, unit| FieldPlace { column, rank: 0, unit };
    if let Some((_, column)) = COLUMNS.iter().find(|(name, _)| *name == word) {
        return Some(column.map(|column| of(column, 1.0)));
    }
    UNITS.iter().find(|(name, _)| *name == word).map(|(_, unit)| Some(of(Column::Duration, *unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_columns_and_units() {
        let map = FieldMap::from_json(r#"{"took": "s", "svc.trace": "run", "status": "attribute"}"#).unwrap();
        let took = map.get(b"took").flatten().map(|place| (place.column, place.unit));
        assert_eq!(took, Some((Column::Duration, 1000.0)));
        assert_eq!(map.get(b"status"), Some(None));
        assert_eq!(map.get(b"x"), None);
        assert_eq!(map.paths().map(|(name, _)| name).collect::<Vec<_>>(), ["svc.trace"]);
    }

    #[test]
    fn words_that_mean_nothing_are_named() {
        assert_eq!(FieldMap::from_json("[]").unwrap_err(), FieldMapError::NoTexts);
        assert_eq!(FieldMap::from_json(r#"{"a": 1}"#).unwrap_err(), FieldMapError::NoTexts);
        let error = FieldMap::from_json(r#"{"a": "modle"}"#).unwrap_err();
        assert_eq!(error.to_string(), "unknown column or unit \"modle\" for the field \"a\"");
        assert!(matches!(error, FieldMapError::UnknownWord { near: Some("model"), .. }), "{error:?}");
    }
}
