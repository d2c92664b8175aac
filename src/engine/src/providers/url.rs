//! Addresses of providers.

use ragstone_core::provider::Target;
use reqwest::Url;

use crate::failure::Error;

/// The base address of a provider.
///
/// # Errors
/// It is not an HTTP address.
pub fn parse_base(target: &Target) -> Result<Url, Error> {
    let url = Url::parse(&target.base_url).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()).ok_or_else(|| {
        Error::Argument(format!(
            "base_url of provider \"{}\": expected an address with http or https",
            target.name
        ))
    })
}

/// The address of a path below the base. The query string of the base is kept: Azure's deployments have one.
pub fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    if let Some(query) = query {
        url.query_pairs_mut().extend_pairs(query.split('&').filter_map(|pair| pair.split_once('=')));
    }
    url
}

/// Encodes a path of which a user has named a part: everything that could end it or lead out of it.
///
/// # Errors
/// A segment is empty, `.` or `..`.
pub fn encode_path(path: &str) -> Result<String, Error> {
    let mut encoded = String::with_capacity(path.len());
    for (place, segment) in path.split('/').enumerate() {
        if matches!(segment, "" | "." | "..") {
            return Err(Error::Argument(format!("model \"{path}\" is not the name of a model")));
        }
        encoded.push_str(if place > 0 { "/" } else { "" });
        for byte in segment.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    encoded.push(byte.into())
                }
                _ => encoded += &format!("%{byte:02X}"),
            }
        }
    }
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_path_stays_one_name() {
        let sent = |name: &str| {
            let path = format!("{}:embed", encode_path(name).unwrap());
            join(&Url::parse("https://a/v1").unwrap(), &path).to_string()
        };
        assert_eq!(sent("models/m-1.5_x"), "https://a/v1/models/m-1.5_x:embed");
        assert_eq!(sent("a?b#c:d%2e/é"), "https://a/v1/a%3Fb%23c%3Ad%252e/%C3%A9:embed");
        for outside in ["../x", "models/../../x", "a//b", "", ".", "a/."] {
            assert!(matches!(encode_path(outside), Err(Error::Argument(_))), "{outside}");
        }
    }

    #[test]
    fn the_path_is_put_below_the_base_and_before_its_query() {
        let of = |base: &str, path: &str| join(&Url::parse(base).unwrap(), path).to_string();
        assert_eq!(of("https://a/v1", "embeddings"), "https://a/v1/embeddings");
        assert_eq!(of("http://a:1", "embed"), "http://a:1/embed");
        assert_eq!(
            of("https://a/d?api-version=1", "chat/completions"),
            "https://a/d/chat/completions?api-version=1"
        );
        assert_eq!(
            of("https://a/v1beta/", "models/m:streamGenerateContent?alt=sse"),
            "https://a/v1beta/models/m:streamGenerateContent?alt=sse"
        );
    }
}
