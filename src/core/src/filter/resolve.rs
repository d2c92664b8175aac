//! Finds the column that a filter names.

use crate::filter::column::{ColumnKind, FilterColumn};
use crate::filter::error::FilterError;

/// The column that a member of a filter names, and the path to a part of its JSON value.
///
/// # Errors
/// If there is no such column.
pub fn resolve(member: &str, columns: &[FilterColumn]) -> Result<(usize, Vec<String>), FilterError> {
    let find = |name: &str| columns.iter().position(|column| column.name == name);
    if let Some(place) = find(member) {
        return Ok((place, Vec::new()));
    }
    let mut of_no_json = None;
    // A column's name may have dots, too: the longest name counts.
    for (dot, _) in member.rmatch_indices('.') {
        let (name, path) = (&member[..dot], &member[dot + 1..]);
        let Some(place) = find(name) else { continue };
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        match columns[place].kind {
            ColumnKind::Json if path.iter().all(|part| !part.is_empty()) => return Ok((place, path)),
            ColumnKind::Json => return Err(FilterError::empty_path(member)),
            _ => of_no_json = of_no_json.or(Some(place)),
        }
    }
    Err(match of_no_json {
        Some(place) => FilterError::no_parts(member, &columns[place]),
        None => FilterError::unknown_column(member, columns),
    })
}
