//! Writes containers and whole documents.

use super::layout::{
    ARRAY, HAS_OFFSET, IS_CONTAINER, IS_FALSE, IS_NULL, IS_TRUE, JEntry, LENGTH_OR_OFFSET, OBJECT,
    OFFSET_STRIDE, SCALAR, TYPE, TooLong, length, pad, varlena_header,
};

/// `null`.
pub const NULL: JEntry = JEntry(IS_NULL);

/// `true` or `false`.
pub fn boolean(value: bool) -> JEntry {
    JEntry(if value { IS_TRUE } else { IS_FALSE })
}

/// The entry of a string that was appended: from `start` to the end of `out`.
pub fn string_since(out: &[u8], start: usize) -> Result<JEntry, TooLong> {
    length(out.len() - start).map(JEntry)
}

/// A container in progress: first all entries are written, then the values in the same order.
#[derive(Debug)]
pub struct Container {
    begin: usize,
    /// Offset of the entries.
    entries: usize,
    /// Number of entries written.
    count: usize,
    /// Length of the values so far, in bytes.
    total: usize,
}

impl Container {
    /// Begins an object with this number of pairs. The caller pushes all keys first, sorted by length and then by bytes, without
    /// duplicates, then the values in the same order.
    pub fn object(out: &mut Vec<u8>, pairs: usize) -> Result<Self, TooLong> {
        Self::begin(out, pairs, 2 * pairs, OBJECT)
    }

    /// Begins an array with this number of elements.
    pub fn array(out: &mut Vec<u8>, elements: usize) -> Result<Self, TooLong> {
        Self::begin(out, elements, elements, ARRAY)
    }

    fn begin(out: &mut Vec<u8>, count: usize, entries: usize, flag: u32) -> Result<Self, TooLong> {
        let begin = out.len();
        pad(out);
        out.extend_from_slice(&(length(count)? | flag).to_ne_bytes());
        let first = out.len();
        out.resize(first + 4 * entries, 0);
        Ok(Self { begin, entries: first, count: 0, total: 0 })
    }

    /// Writes the entry of the value that was just appended.
    #[inline]
    pub fn push(&mut self, out: &mut [u8], JEntry(mut entry): JEntry) -> Result<(), TooLong> {
        self.total += (entry & LENGTH_OR_OFFSET) as usize;
        if self.count.is_multiple_of(OFFSET_STRIDE) {
            entry = (entry & TYPE) | length(self.total)? | HAS_OFFSET;
        }
        let place = self.entries + 4 * self.count;
        out[place..place + 4].copy_from_slice(&entry.to_ne_bytes());
        self.count += 1;
        Ok(())
    }

    /// Ends the container.
    pub fn end(self, out: &[u8]) -> Result<JEntry, TooLong> {
        length(self.total)?;
        Ok(JEntry(length(out.len() - self.begin)? | IS_CONTAINER))
    }
}

/// Appends a whole `jsonb` with its header; `write` appends its value. Returns the offset, a multiple of four bytes.
pub fn document(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<JEntry, TooLong>,
) -> Result<usize, TooLong> {
    pad(out);
    let begin = out.len();
    out.extend_from_slice(&[0; 4]);
    let JEntry(mut entry) = write(out)?;
    if entry & TYPE != IS_CONTAINER {
        // A scalar is stored as the only element of an array that is marked as a scalar. The array's head is inserted
        // before the scalar; it takes a multiple of four bytes, so that a number stays aligned.
        entry |= HAS_OFFSET;
        let head = [(ARRAY | SCALAR | 1).to_ne_bytes(), entry.to_ne_bytes()];
        out.splice(begin + 4..begin + 4, head.into_iter().flatten());
    }
    let header = varlena_header(length(out.len() - begin)? as usize);
    out[begin..begin + 4].copy_from_slice(&header);
    Ok(begin)
}

#[cfg(test)]
mod tests {
    use super::super::numeric::{int, number};
    use super::super::show::shown;
    use super::*;

    fn check(json: &str, expect: Option<&str>) {
        let mut out = Vec::new();
        let result = document(&mut out, |out| number(out, json.as_bytes()).ok_or(TooLong));
        assert_eq!(result.ok().map(|_| shown(&out)).as_deref(), expect, "{json}");
    }

    #[test]
    fn numbers_keep_their_digits() {
        for json in [
            "0",
            "7",
            "-7",
            "9999",
            "10000",
            "123456789012345678",
            "1234567890123456789012345",
            "0.5",
            "1.50",
            "-0.0001",
            "12345.6789",
            "0.00000001",
            "100.000",
            "99999999999999999.99999999999999999",
        ] {
            check(json, Some(json));
        }
        check("-0", Some("0"));
        check("1e5", Some("100000"));
        check("1.25E+3", Some("1250"));
        check("12.5e-3", Some("0.0125"));
        check("0e7", Some("0"));
        check("5e-70", Some(&format!("0.{}5", "0".repeat(69))));
        check("3e300", Some(&format!("3{}", "0".repeat(300))));
    }

    #[test]
    fn numbers_that_numeric_cannot_hold_are_none() {
        for json in ["1e200000", "1e-20000", "1e99999999999", "-1e-99999999999"] {
            check(json, None);
        }
    }

    #[test]
    fn containers_have_an_offset_in_each_stride() {
        let mut out = Vec::new();
        let array = |out: &mut Vec<u8>| {
            let mut array = Container::array(out, 70)?;
            for value in 0..70 {
                let entry = int(out, value);
                array.push(out, entry)?;
            }
            array.end(out)
        };
        document(&mut out, array).expect("a short array");
        let expect: Vec<String> = (0..70).map(|value| value.to_string()).collect();
        assert_eq!(shown(&out), format!("[{}]", expect.join(",")));
    }
}
