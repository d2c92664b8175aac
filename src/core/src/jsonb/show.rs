//! Converts `jsonb` back to JSON, for tests.

use super::layout::{
    ARRAY, COUNT, HAS_OFFSET, IS_CONTAINER, IS_FALSE, IS_NULL, IS_NUMERIC, IS_TRUE, LENGTH_OR_OFFSET, OBJECT,
    OFFSET_STRIDE, SCALAR, TYPE, varlena_header,
};

/// JSON of a `jsonb` with its header. Panics on malformed bytes.
pub fn shown(bytes: &[u8]) -> String {
    assert_eq!(bytes[..4], varlena_header(bytes.len()), "the header has the length");
    container(&bytes[4..])
}

fn word(bytes: &[u8], index: usize) -> u32 {
    u32::from_ne_bytes(bytes[4 * index..4 * index + 4].try_into().expect("four bytes"))
}

fn container(bytes: &[u8]) -> String {
    let head = word(bytes, 0);
    let count = (head & COUNT) as usize;
    let entries = if head & OBJECT != 0 { 2 * count } else { count };
    let data = 4 + 4 * entries;
    let mut end = 0;
    let values: Vec<String> = (0..entries)
        .map(|index| {
            let entry = word(bytes, index + 1);
            let start = end;
            end = if entry & HAS_OFFSET != 0 { 0 } else { start } + (entry & LENGTH_OR_OFFSET) as usize;
            assert_eq!(entry & HAS_OFFSET != 0, index % OFFSET_STRIDE == 0, "entry {index} of {entries}");
            value(entry, bytes, data + start, data + end)
        })
        .collect();
    if head & SCALAR != 0 {
        return values.concat();
    }
    if head & ARRAY != 0 {
        return format!("[{}]", values.join(","));
    }
    let pairs: Vec<String> = (0..count).map(|n| format!("{}:{}", values[n], values[n + count])).collect();
    format!("{{{}}}", pairs.join(","))
}

fn value(entry: u32, bytes: &[u8], start: usize, end: usize) -> String {
    let aligned = start.next_multiple_of(4);
    match entry & TYPE {
        IS_NULL => "null".into(),
        IS_TRUE => "true".into(),
        IS_FALSE => "false".into(),
        IS_CONTAINER => container(&bytes[aligned..end]),
        IS_NUMERIC => number(&bytes[aligned..end]),
        _ => format!("{:?}", std::str::from_utf8(&bytes[start..end]).expect("UTF-8")),
    }
}

fn number(bytes: &[u8]) -> String {
    assert_eq!(bytes[..4], varlena_header(bytes.len()), "the number's header");
    let half = |index: usize| u16::from_ne_bytes([bytes[4 + 2 * index], bytes[5 + 2 * index]]);
    let head = half(0);
    let (negative, scale, weight, first) = if head & 0x8000 != 0 {
        let weight = i64::from(head & 0x3f) - if head & 0x40 != 0 { 64 } else { 0 };
        (head & 0x2000 != 0, i64::from(head >> 7 & 0x3f), weight, 1)
    } else {
        (head & 0x4000 != 0, i64::from(head & 0x3fff), i64::from(half(1).cast_signed()), 2)
    };
    let digits: Vec<u16> = (first..(bytes.len() - 4) / 2).map(half).collect();
    let digit =
        |place: i64| usize::try_from(weight - place).ok().and_then(|n| digits.get(n)).copied().unwrap_or(0);
    let mut text: String = (0..=weight.max(0)).rev().map(|place| format!("{:04}", digit(place))).collect();
    text = text.trim_start_matches('0').to_owned();
    if text.is_empty() {
        text.push('0');
    }
    if scale > 0 {
        let groups = (scale + 3) / 4;
        let fraction: String = (1..=groups).map(|place| format!("{:04}", digit(-place))).collect();
        text = format!("{text}.{}", &fraction[..scale as usize]);
    }
    if negative { format!("-{text}") } else { text }
}
