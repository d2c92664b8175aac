//! What the headers of an answer say beside its body, and the forms of delays and identifiers.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// How long to wait before the next attempt, by the headers `retry-after-ms` (OpenAI, Azure) and `Retry-After` (RFC
/// 9110, section 10.2.3: seconds or a date; some services write `1.5s`).
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(after) = text("retry-after-ms").and_then(seconds) {
        return Some(after / 1000);
    }
    let after = text(RETRY_AFTER.as_str())?;
    seconds(after).or_else(|| {
        let date = httpdate::parse_http_date(after).ok()?;
        Some(date.duration_since(now).unwrap_or_default())
    })
}

/// The provider's name for a request, by the headers of its answer.
pub fn request_id(headers: &HeaderMap) -> Option<String> {
    let names = ["x-request-id", "request-id", "apim-request-id", "x-amzn-requestid"];
    let mut values = names.into_iter().filter_map(|name| headers.get(name)?.to_str().ok());
    values.find(|id| is_identifier(id)).map(str::to_owned)
}

/// A duration in seconds; Google writes `6s`.
pub fn seconds(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s').unwrap_or(text);
    number.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// Whether this is an identifier, and no sentence.
pub fn is_identifier(code: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=64).contains(&code.len()) && code.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn the_time_of_the_next_try_is_read_in_all_its_forms() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let after = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            retry_after(&headers, now)
        };
        assert_eq!(after("retry-after", "20"), Some(Duration::from_secs(20)));
        assert_eq!(after("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT"), Some(Duration::from_secs(3)));
        assert_eq!(after("retry-after", "Sun, 06 Nov 1994 08:49:30 GMT"), Some(Duration::ZERO));
        assert_eq!(after("retry-after-ms", "1500"), Some(Duration::from_millis(1500)));
        for nonsense in ["soon", "-3", "NaN", "1e300"] {
            assert_eq!(after("retry-after", nonsense), None, "{nonsense}");
        }
    }
}
