//! Text of any encoding.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// How many bytes are looked at to find the encoding.
const SAMPLE_BYTES: usize = 64 << 10;

/// The text in these bytes. The encoding is that of a byte order mark, UTF-8 if the bytes are valid in it, or the most probable
/// one. Bytes without a meaning in it become U+FFFD.
pub fn decode(bytes: &[u8]) -> String {
    match Encoding::for_bom(bytes) {
        Some((encoding, mark)) => encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned(),
        None => match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => text.to_owned(),
            _ => guess(bytes).decode_without_bom_handling(bytes).0.into_owned(),
        },
    }
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    if let Some(encoding) = utf16(sample) {
        return encoding;
    }
    if std::str::from_utf8(bytes).is_ok() {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(sample, true);
    detector.guess(None, Utf8Detection::Allow)
}

/// UTF-16 without a mark: in most texts a third of the characters or more have a zero byte, on one side only.
fn utf16(sample: &[u8]) -> Option<&'static Encoding> {
    let zeros = |offset: usize| sample.iter().skip(offset).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let enough = |zeros: usize| zeros * 6 >= sample.len();
    match (enough(even), enough(odd)) {
        (false, true) => Some(UTF_16LE),
        (true, false) => Some(UTF_16BE),
        _ => None,
    }
}

/// True if the bytes are those of a text: few control characters, apart from those of UTF-16.
pub fn looks_like_text(bytes: &[u8]) -> bool {
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    let text = decode(sample);
    let (mut letters, mut strange) = (0usize, 0usize);
    for letter in text.chars() {
        letters += 1;
        let is_control = letter.is_control() && !matches!(letter, '\t' | '\n' | '\r' | '\u{c}' | '\u{1b}');
        strange += usize::from(is_control || letter == '\u{fffd}');
    }
    strange * 50 <= letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_the_encoding_that_it_has() {
        let russian = "Съешь же ещё этих мягких французских булок, да выпей чаю. ".repeat(3);
        let japanese = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。".repeat(3);
        let german = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. ".repeat(3);
        for (text, label) in [
            (&russian, "windows-1251"),
            (&russian, "koi8-r"),
            (&japanese, "shift_jis"),
            (&japanese, "euc-jp"),
            (&german, "windows-1252"),
            (&german, "utf-8"),
        ] {
            let (bytes, encoding, _) = Encoding::for_label(label.as_bytes()).unwrap().encode(text);
            assert_eq!(&decode(&bytes), text, "{}", encoding.name());
            assert!(looks_like_text(&bytes), "{}", encoding.name());
        }
    }

    #[test]
    fn utf_16_is_read_with_and_without_a_mark() {
        let text = "A plain text.\r\nTwo lines of it.";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(decode(&little), text);
        assert_eq!(decode(&big), text);
        assert_eq!(decode(&[&[0xff, 0xfe], &little[..]].concat()), text);
        assert!(looks_like_text(&little));
    }

    #[test]
    fn binary_data_are_not_text() {
        let noise: Vec<u8> = (0..4000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert!(!looks_like_text(&noise));
        assert!(!looks_like_text(&[0; 100]));
    }
}
