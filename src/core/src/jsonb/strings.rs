//! Searches the strings in a stored `jsonb` value: converting each value to JSON text before it is written would take
//! longer than writing it.

use super::layout::{ARRAY, COUNT, HAS_OFFSET, IS_CONTAINER, IS_STRING, LENGTH_OR_OFFSET, OBJECT, TYPE};

/// True if a key or a string of the value passes the test. `jsonb` is the value after its header, in the server's byte
/// order. Also true for malformed bytes, so that the caller examines them.
pub fn any_string(jsonb: &[u8], mut test: impl FnMut(&[u8]) -> bool) -> bool {
    let mut containers = vec![jsonb];
    while let Some(container) = containers.pop() {
        if visit(container, &mut containers, &mut test).is_none_or(|found| found) {
            return true;
        }
    }
    false
}

/// Tests the strings of one container, and adds its inner containers to `inner`. `None` if the bytes are malformed.
fn visit<'a>(
    container: &'a [u8],
    inner: &mut Vec<&'a [u8]>,
    test: &mut impl FnMut(&[u8]) -> bool,
) -> Option<bool> {
    let header = word(container, 0)?;
    let count = (header & COUNT) as usize;
    let entries = match header & (OBJECT | ARRAY) {
        OBJECT => count * 2,
        ARRAY => count,
        _ => return None,
    };
    let values = container.get(4 + entries * 4..)?;
    let mut start = 0;
    for place in 0..entries {
        let entry = word(container, 4 + place * 4)?;
        let number = (entry & LENGTH_OR_OFFSET) as usize;
        let end = if entry & HAS_OFFSET == 0 { start + number } else { number };
        match entry & TYPE {
            IS_STRING if test(values.get(start..end)?) => return Some(true),
            // A container begins at a multiple of four bytes.
            IS_CONTAINER => inner.push(values.get(start.next_multiple_of(4)..end)?),
            _ => {}
        }
        start = end;
    }
    Some(false)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a": ["x", {"k": "y"}], "bc": 1}` as PostgreSQL 15 stores it on a little-endian machine; the tests inside a
    /// backend cover the machine that they run on.
    fn example() -> Vec<u8> {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        let inner = [words(&[OBJECT | 1, 0x8000_0001, 1]), b"ky".to_vec()].concat();
        let array = [
            words(&[ARRAY | 2, 0x8000_0001, IS_CONTAINER | (3 + inner.len() as u32)]),
            b"x\0\0\0".to_vec(),
            inner,
        ]
        .concat();
        let numeric = vec![0x20, 0, 0, 0, 0, 0x80, 1, 0];
        let length = array.len() as u32 + 1;
        let head =
            words(&[OBJECT | 2, 0x8000_0001, 2, IS_CONTAINER | length, 0x1000_0000 | numeric.len() as u32]);
        [head, b"abc\0".to_vec(), array, numeric].concat()
    }

    #[test]
    fn keys_and_strings_are_found_at_every_depth() {
        let example = example();
        let mut seen = Vec::new();
        any_string(&example, |text| {
            seen.push(String::from_utf8_lossy(text).into_owned());
            false
        });
        seen.sort();
        assert_eq!(seen, ["a", "bc", "k", "x", "y"]);
        assert!(any_string(&example, |text| text == b"y"));
        assert!(!any_string(&example, |text| text == b"z"));
    }

    #[test]
    fn what_is_not_understood_is_looked_at_closer() {
        let example = example();
        for length in 0..example.len() - 8 {
            assert!(any_string(&example[..length], |_| false), "{length} bytes");
        }
        assert!(any_string(b"", |_| false));
    }
}
