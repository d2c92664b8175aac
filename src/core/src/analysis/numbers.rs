//! Numbers with separators in one spelling: without thousands separators, and with a point before the decimals.

/// The spellings under which a number of digits, commas and points is indexed: two if it is ambiguous, as `1,234`. `None`
/// if the token is not a number, for example a version or a date.
pub fn spellings(token: &str) -> Option<Vec<String>> {
    let separators: Vec<char> = token.chars().filter(|character| !character.is_ascii_digit()).collect();
    if separators.iter().any(|separator| !matches!(separator, ',' | '.')) {
        return None;
    }
    let groups: Vec<&str> = token.split([',', '.']).collect();
    let is_number = !separators.is_empty() && groups.iter().all(|group| !group.is_empty());
    let (decimals, whole) = groups.split_last().filter(|_| is_number)?;
    let are_thousands = |groups: &[&str]| {
        groups.split_first().is_some_and(|(first, rest)| {
            first.len() <= 3 && !first.starts_with('0') && rest.iter().all(|group| group.len() == 3)
        })
    };
    let (last, others) = separators.split_last()?;
    match others.first() {
        None if are_thousands(&groups) => Some(vec![format!("{}.{decimals}", whole[0]), groups.concat()]),
        None => Some(vec![format!("{}.{decimals}", whole[0])]),
        Some(first) if others.iter().any(|other| other != first) => None,
        Some(first) if first == last => are_thousands(&groups).then(|| vec![groups.concat()]),
        Some(_) => are_thousands(whole).then(|| vec![format!("{}.{decimals}", whole.concat())]),
    }
}
