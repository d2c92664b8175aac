//! Validation of the option `base_url`.

use http::Uri;
use ragstone_pg::error::{Error, Result};
use std::net::IpAddr;

/// Checks that an address is http or https with a host, and without a password, query or fragment. Without
/// `allow_http`, http is allowed for loopback addresses only, because keys and prompts would cross the
/// network unencrypted.
pub fn check(url: &str, allow_http: bool) -> Result<()> {
    let parsed: Uri = url.parse().map_err(|error| bad(url, &format!("{error}")))?;
    let (Some(scheme), Some(authority)) = (parsed.scheme_str(), parsed.authority()) else {
        return Err(bad(url, "it has no scheme or no host"));
    };
    if authority.as_str().contains('@') {
        // The message does not contain the address, because it may include a password before the @.
        return Err(Error::bad_argument("base_url must not hold a user or password")
            .hint("Give the key in a user mapping: OPTIONS (api_key '…')."));
    }
    if parsed.query().is_some() || url.contains('#') {
        return Err(bad(url, "it has a query or a fragment"));
    }
    match scheme {
        "https" => Ok(()),
        "http" if allow_http || is_loopback(authority.host()) => Ok(()),
        "http" => Err(Error::bad_argument(format!("base_url \"{url}\" is not https"))
            .detail("Keys and prompts would cross the network unencrypted.")
            .hint("Use https, or set the server's option allow_http to true.")),
        _ => Err(bad(url, "its scheme is neither https nor http")),
    }
}

fn bad(url: &str, reason: &str) -> Error {
    Error::bad_argument(format!("base_url \"{url}\" is not valid: {reason}"))
        .hint("Write it as https://host/path, for example https://api.openai.com/v1.")
}

fn is_loopback(host: &str) -> bool {
    let address: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine() {
        for url in
            ["http://localhost:11434/v1", "http://127.0.0.9", "http://[::1]:80/v1", "https://example.com/v1"]
        {
            assert!(check(url, false).is_ok(), "{url}");
        }
        for url in ["http://example.com/v1", "http://localhost.example.com", "http://10.0.0.1"] {
            assert!(check(url, false).is_err(), "{url}");
            assert!(check(url, true).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        let error = check("https://me:secret@example.com", false).unwrap_err();
        assert!(!error.message.contains("secret"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in ["", "example.com", "/v1", "ftp://example.com", "https://example.com?a=b", "https://a b"] {
            assert!(check(url, true).is_err(), "{url}");
        }
    }
}
