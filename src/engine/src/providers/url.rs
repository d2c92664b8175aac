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

#[cfg(test)]
mod tests {
    use super::*;

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
