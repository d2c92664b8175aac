//! Finds the items that `#[cfg(…)]` leaves out of the installed library.

use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, Meta, Token};

/// True if one of the attributes makes an item exist for tests only.
pub fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        attribute.parse_args::<Meta>().is_ok_and(|condition| holds_outside_tests(&condition) == Some(false))
    })
}

/// True if a condition holds in a build without tests; `None` if this depends on something else, such as a
/// platform or a PostgreSQL version: such items count as existing.
fn holds_outside_tests(condition: &Meta) -> Option<bool> {
    match condition {
        Meta::Path(path) => path.is_ident("test").then_some(false),
        Meta::NameValue(pair) => {
            (pair.path.is_ident("feature") && is_text(&pair.value, "pg_test")).then_some(false)
        }
        Meta::List(list) => {
            let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
            let mut parts = parts.iter().map(holds_outside_tests);
            if list.path.is_ident("not") {
                parts.next()?.map(|holds| !holds)
            } else if list.path.is_ident("all") {
                combine(parts, false)
            } else if list.path.is_ident("any") {
                combine(parts, true)
            } else {
                None
            }
        }
    }
}

/// Evaluates `any` and `all` over conditions that may be unknown: one condition with the value `decides` is
/// enough; otherwise all must be known.
fn combine(parts: impl Iterator<Item = Option<bool>>, decides: bool) -> Option<bool> {
    let mut result = Some(!decides);
    for part in parts {
        match part {
            Some(value) if value == decides => return Some(decides),
            None => result = None,
            Some(_) => {}
        }
    }
    result
}

fn is_text(value: &Expr, text: &str) -> bool {
    matches!(value, Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) if literal.value() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn only_what_no_build_without_tests_has_is_left_out() {
        let for_tests = |attribute: Attribute| is_for_tests(&[attribute]);
        assert!(for_tests(parse_quote!(#[cfg(test)])));
        assert!(for_tests(parse_quote!(#[cfg(any(test, feature = "pg_test"))])));
        assert!(for_tests(parse_quote!(#[cfg(all(test, unix))])));
        assert!(!for_tests(parse_quote!(#[cfg(not(test))])));
        assert!(!for_tests(parse_quote!(#[cfg(any(test, unix))])));
        assert!(!for_tests(parse_quote!(#[cfg(not(feature = "pg18"))])));
        assert!(!for_tests(parse_quote!(#[test])));
    }
}
