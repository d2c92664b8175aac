//! Formats the texts of the tree: durations, costs, and texts cut to a width.

use super::model::TraceStyle;

/// Milliseconds between two times in microseconds.
pub fn milliseconds(from_us: i64, to_us: i64) -> f64 {
    to_us.saturating_sub(from_us) as f64 / 1000.0
}

/// A duration with three digits and a suitable unit.
pub fn duration(ms: f64) -> String {
    let (value, unit) = match ms.max(0.0) {
        ms if ms < 0.9995 => (ms * 1000.0, "us"),
        ms if ms < 999.5 => (ms, "ms"),
        ms if ms < 119_950.0 => (ms / 1000.0, "s"),
        ms if ms < 7_200_000.0 => (ms / 60_000.0, "min"),
        ms => (ms / 3_600_000.0, "h"),
    };
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {unit}")
}

pub fn money(cost: f64) -> String {
    let text = format!("{cost:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

pub fn cut(text: &str, width: usize, style: TraceStyle) -> String {
    let text = if style.ascii { ascii(text) } else { text.to_owned() };
    if text.chars().count() <= width {
        return text;
    }
    let mark = if style.ascii { "..." } else { "…" };
    let kept = width.saturating_sub(mark.chars().count());
    text.chars().take(kept).chain(mark.chars()).collect()
}

pub fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        for (ms, expected) in [
            (0.0, "0.00 us"),
            (0.0123, "12.3 us"),
            (1.0, "1.00 ms"),
            (999.4, "999 ms"),
            (999.9, "1.00 s"),
            (61_000.0, "61.0 s"),
            (600_000.0, "10.0 min"),
            (90_000_000.0, "25.0 h"),
            (-3.0, "0.00 us"),
        ] {
            assert_eq!(duration(ms), expected, "{ms}");
        }
    }
}
