//! PostgreSQL's `jsonb` in its binary form, as `src/include/utils/jsonb.h` describes it. The form is that of tables on
//! disk, so it has been the same since PostgreSQL 9.4, and `pg_upgrade` relies on that.
//!
//! Reading JSON by `jsonb_in` takes 2 to 3 µs for a line of a log, several times what the rest of parsing it takes, since it
//! goes through text, a tree of allocations and `numeric`'s own reader. Here containers are written in the order in which
//! they are laid out.

mod numeric;
#[cfg(test)]
mod show;

pub use numeric::{int, number};
#[cfg(test)]
pub use show::shown;

/// A place of a container for a value: its type, and its length (`JEntry`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry(u32);

/// A value is longer than `jsonb` can hold: 256 MB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("value is too long for jsonb")]
pub struct TooLong;

const LENGTH: u32 = 0x0fff_ffff;
const TYPE: u32 = 0x7000_0000;
const HAS_OFFSET: u32 = 0x8000_0000;
const IS_NUMERIC: u32 = 0x1000_0000;
const IS_FALSE: u32 = 0x2000_0000;
const IS_TRUE: u32 = 0x3000_0000;
const IS_NULL: u32 = 0x4000_0000;
const IS_CONTAINER: u32 = 0x5000_0000;

const SCALAR: u32 = 0x1000_0000;
const OBJECT: u32 = 0x2000_0000;
const ARRAY: u32 = 0x4000_0000;

/// One entry of so many says where its value ends instead of how long it is, so that a look-up adds up few lengths.
const STRIDE: usize = 32;

/// `null`.
pub const NULL: Entry = Entry(IS_NULL);

/// `true` or `false`.
pub fn boolean(value: bool) -> Entry {
    Entry(if value { IS_TRUE } else { IS_FALSE })
}

/// The entry of a string that has been appended: from `start` to the end of `out`.
pub fn string_since(out: &[u8], start: usize) -> Result<Entry, TooLong> {
    length(out.len() - start).map(Entry)
}

/// A container that is being written. Values follow their entries in the order in which these are given.
#[derive(Debug)]
pub struct Container {
    begin: usize,
    entries: usize,
    given: usize,
    total: usize,
}

impl Container {
    /// Begins an object of so many pairs. All keys are given first, in order of their length, then of their bytes, each once;
    /// then the values in the same order.
    pub fn object(out: &mut Vec<u8>, pairs: usize) -> Result<Self, TooLong> {
        Self::begin(out, pairs, 2 * pairs, OBJECT)
    }

    /// Begins an array of so many elements.
    pub fn array(out: &mut Vec<u8>, elements: usize) -> Result<Self, TooLong> {
        Self::begin(out, elements, elements, ARRAY)
    }

    fn begin(out: &mut Vec<u8>, count: usize, entries: usize, flag: u32) -> Result<Self, TooLong> {
        let begin = out.len();
        pad(out);
        out.extend_from_slice(&(length(count)? | flag).to_ne_bytes());
        let first = out.len();
        out.resize(first + 4 * entries, 0);
        Ok(Self { begin, entries: first, given: 0, total: 0 })
    }

    /// Notes the value that has just been appended.
    #[inline]
    pub fn give(&mut self, out: &mut [u8], Entry(mut entry): Entry) -> Result<(), TooLong> {
        self.total += (entry & LENGTH) as usize;
        if self.given.is_multiple_of(STRIDE) {
            entry = (entry & TYPE) | length(self.total)? | HAS_OFFSET;
        }
        let place = self.entries + 4 * self.given;
        out[place..place + 4].copy_from_slice(&entry.to_ne_bytes());
        self.given += 1;
        Ok(())
    }

    /// Ends the container.
    pub fn end(self, out: &[u8]) -> Result<Entry, TooLong> {
        length(self.total)?;
        Ok(Entry(length(out.len() - self.begin)? | IS_CONTAINER))
    }
}

/// Appends a whole `jsonb` with its header: `write` appends its one value. Gives where it begins, at a multiple of four bytes.
pub fn document(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<Entry, TooLong>,
) -> Result<usize, TooLong> {
    pad(out);
    let begin = out.len();
    out.extend_from_slice(&[0; 4]);
    let Entry(mut entry) = write(out)?;
    if entry & TYPE != IS_CONTAINER {
        // A scalar is the one element of an array that says so, whose head belongs where the scalar stands. Both take a
        // multiple of four bytes, so that a number stays aligned.
        entry |= HAS_OFFSET;
        let head = [(ARRAY | SCALAR | 1).to_ne_bytes(), entry.to_ne_bytes()];
        out.splice(begin + 4..begin + 4, head.into_iter().flatten());
    }
    let header = varlena_header(length(out.len() - begin)? as usize);
    out[begin..begin + 4].copy_from_slice(&header);
    Ok(begin)
}

/// The header of a value of so many bytes, itself included (`SET_VARSIZE_4B`).
pub fn varlena_header(length: usize) -> [u8; 4] {
    let length = length as u32;
    if cfg!(target_endian = "big") {
        (length & 0x3fff_ffff).to_ne_bytes()
    } else {
        (length << 2).to_ne_bytes()
    }
}

/// Aligns to four bytes with zeros, as numbers and containers are.
#[inline]
pub(super) fn pad(out: &mut Vec<u8>) {
    let over = out.len() % 4;
    if over > 0 {
        out.extend_from_slice(&[0; 3][..4 - over]);
    }
}

#[inline]
fn length(bytes: usize) -> Result<u32, TooLong> {
    u32::try_from(bytes).ok().filter(|bytes| bytes & !LENGTH == 0).ok_or(TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expect: Option<&str>) {
        let mut out = Vec::new();
        let outcome = document(&mut out, |out| number(out, json.as_bytes()).ok_or(TooLong));
        assert_eq!(outcome.ok().map(|_| shown(&out)).as_deref(), expect, "{json}");
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
                array.give(out, entry)?;
            }
            array.end(out)
        };
        document(&mut out, array).expect("a short array");
        let expect: Vec<String> = (0..70).map(|value| value.to_string()).collect();
        assert_eq!(shown(&out), format!("[{}]", expect.join(",")));
    }
}
