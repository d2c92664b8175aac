//! `numeric` in its binary format, in which `jsonb` stores numbers (`src/backend/utils/adt/numeric.c`, "Packed numeric").

use super::layout::{IS_NUMERIC, JEntry, pad, varlena_header};

/// Decimal digits in a digit of `numeric`.
const BASE_DIGITS: i64 = 4;

/// Maximum number of digits after the point that `numeric` can show.
const MAX_SCALE: i64 = 0x3fff;

/// Bits of the header.
const SHORT: u16 = 0x8000;
const SHORT_NEGATIVE: u16 = 0x2000;
const LONG_NEGATIVE: u16 = 0x4000;

/// Appends a whole number.
pub fn int(out: &mut Vec<u8>, value: i64) -> JEntry {
    let mut rest = value.unsigned_abs();
    let mut digits = [0u16; 5];
    let mut first = digits.len();
    while rest > 0 {
        first -= 1;
        digits[first] = (rest % 10_000) as u16;
        rest /= 10_000;
    }
    let weight = digits.len() as i64 - first as i64 - 1;
    pack(out, value < 0, weight.max(0), 0, &digits[first..])
}

/// Appends a number written in JSON, with all of its digits. Returns `None`, and appends nothing, if the number is out of
/// the range of `numeric`.
pub fn number(out: &mut Vec<u8>, json: &[u8]) -> Option<JEntry> {
    if json.len() <= 18
        && let Some(value) = plain_int(json)
    {
        return Some(int(out, value));
    }
    let parts = DecimalParts::of(json)?;
    // Decimal digits are grouped in fours on both sides of the point; the first group may be short.
    let before = parts.count() + parts.exponent;
    let scale = (parts.fraction.len() as i64 - parts.written_exponent).max(0);
    let skipped = parts.leading_zeros();
    let first = before - skipped;
    let weight = (first - 1).div_euclid(BASE_DIGITS);
    if scale > MAX_SCALE || i16::try_from(weight).is_err() {
        return None;
    }
    let mut room = (weight + 1) * BASE_DIGITS - first;
    let mut digits: Vec<u16> = Vec::with_capacity(json.len() / 4 + 2);
    let mut group = 0u16;
    for digit in parts.digits().skip(skipped as usize) {
        group = group * 10 + u16::from(digit - b'0');
        room += 1;
        if room == BASE_DIGITS {
            digits.push(std::mem::take(&mut group));
            room = 0;
        }
    }
    if room > 0 {
        digits.push(group * 10u16.pow((BASE_DIGITS - room) as u32));
    }
    Some(pack(out, parts.negative, weight, scale, &digits))
}

/// The value of an integer of digits only, at most 18 characters.
fn plain_int(json: &[u8]) -> Option<i64> {
    let (negative, digits) = match json {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let mut value = 0i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(if negative { -value } else { value })
}

/// The parts of a number in decimal digits.
struct DecimalParts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    written_exponent: i64,
    /// Position of the point, relative to the end of the digits.
    exponent: i64,
}

impl<'a> DecimalParts<'a> {
    fn of(json: &'a [u8]) -> Option<Self> {
        let (negative, json) = match json {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let mantissa = json.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(json.len());
        let written_exponent = match json.get(mantissa + 1..) {
            Some(text) => std::str::from_utf8(text).ok()?.parse::<i32>().ok()?.into(),
            None => 0,
        };
        let mantissa = &json[..mantissa];
        let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
        let fraction = mantissa.get(point + 1..).unwrap_or_default();
        let exponent = written_exponent - fraction.len() as i64;
        Some(Self { negative, whole: &mantissa[..point], fraction, written_exponent, exponent })
    }

    fn digits(&self) -> impl Iterator<Item = u8> + '_ {
        self.whole.iter().chain(self.fraction).copied()
    }

    fn count(&self) -> i64 {
        (self.whole.len() + self.fraction.len()) as i64
    }

    fn leading_zeros(&self) -> i64 {
        self.digits().take_while(|digit| *digit == b'0').count() as i64
    }
}

fn pack(out: &mut Vec<u8>, negative: bool, weight: i64, scale: i64, digits: &[u16]) -> JEntry {
    let zeros = digits.iter().rev().take_while(|digit| **digit == 0).count();
    let digits = &digits[..digits.len() - zeros];
    // Zero has neither sign nor weight.
    let (negative, weight) = if digits.is_empty() { (false, 0) } else { (negative, weight) };
    let before = out.len();
    pad(out);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    if scale <= 0x3f && (-64..=63).contains(&weight) {
        let sign = if negative { SHORT_NEGATIVE } else { 0 };
        let header = SHORT | sign | (scale as u16) << 7 | (weight as u16 & 0x7f);
        out.extend_from_slice(&header.to_ne_bytes());
    } else {
        let sign = if negative { LONG_NEGATIVE } else { 0 };
        out.extend_from_slice(&(sign | scale as u16).to_ne_bytes());
        out.extend_from_slice(&(weight as i16).to_ne_bytes());
    }
    for digit in digits {
        out.extend_from_slice(&digit.to_ne_bytes());
    }
    let header = varlena_header(out.len() - start);
    out[start..start + 4].copy_from_slice(&header);
    JEntry((out.len() - before) as u32 | IS_NUMERIC)
}
