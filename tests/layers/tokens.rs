//! Searches the arguments of macros, which are not parsed, token by token, so that text and comments are not
//! mistaken for code.

use crate::source::{Reader, line};
use proc_macro2::{Delimiter, Ident, Literal, TokenStream, TokenTree};
use syn::Lit;

/// Records paths, `unsafe`, functions and words among tokens.
pub fn scan(reader: &mut Reader, stream: TokenStream) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => scan(reader, group.stream()),
            TokenTree::Ident(ident) => {
                let (segments, next) = path(&tokens, at);
                if !is_continued(&tokens, at) {
                    reader.mention(segments, line(ident.span()));
                }
                tokens[at..next].iter().filter_map(as_ident).for_each(|ident| reader.word(ident));
                keyword(reader, &tokens, at);
                at = next - 1;
            }
            _ => {}
        }
        at += 1;
    }
}

/// Names of items that a macro defines, as in `thread_local! { static NAME: … }` and `borrowed!(Bytes,
/// "bytea")`.
pub fn definitions(reader: &mut Reader, stream: TokenStream) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    for pair in tokens.windows(2) {
        if let (TokenTree::Ident(keyword), TokenTree::Ident(name)) = (&pair[0], &pair[1]) {
            match keyword.to_string().as_str() {
                "fn" | "static" | "const" => reader.define(name, false),
                "struct" | "enum" | "trait" | "type" => reader.define(name, true),
                _ => {}
            }
        }
    }
    for argument in tokens.split(|token| is_punct(Some(token), ',')) {
        if let [TokenTree::Ident(name)] = argument {
            reader.give(name);
        }
    }
}

/// Records the functions and modules that serde attributes name as text: `#[serde(default = "name")]`.
pub fn paths_in_text(reader: &mut Reader, stream: TokenStream) {
    for token in stream {
        match token {
            TokenTree::Group(group) => paths_in_text(reader, group.stream()),
            TokenTree::Literal(literal) => {
                if let Some(segments) = path_in_text(&literal) {
                    reader.mention(segments, line(literal.span()));
                }
            }
            _ => {}
        }
    }
}

fn path_in_text(literal: &Literal) -> Option<Vec<String>> {
    let Lit::Str(text) = Lit::new(literal.clone()) else { return None };
    let path: syn::Path = text.parse().ok()?;
    Some(path.segments.iter().map(|segment| segment.ident.to_string()).collect())
}

/// The path that begins at an identifier, and the index of its end.
fn path(tokens: &[TokenTree], start: usize) -> (Vec<String>, usize) {
    let mut segments = Vec::new();
    let mut at = start;
    while let Some(ident) = tokens.get(at).and_then(as_ident) {
        segments.push(ident.to_string());
        at += 1;
        let is_followed = is_colon(tokens.get(at)) && is_colon(tokens.get(at + 1));
        if !is_followed || tokens.get(at + 2).and_then(as_ident).is_none() {
            break;
        }
        at += 2;
    }
    (segments, at)
}

/// True for a field, a method, a lifetime, and a name after `::` that has no name before it.
fn is_continued(tokens: &[TokenTree], at: usize) -> bool {
    let before = |distance: usize| at.checked_sub(distance).and_then(|index| tokens.get(index));
    let is_range = is_punct(before(1), '.') && is_punct(before(2), '.');
    (is_punct(before(1), '.') && !is_range)
        || is_punct(before(1), '\'')
        || (is_colon(before(1)) && is_colon(before(2)))
}

/// Counts `unsafe` code, and the lines of a function, in the arguments of a macro.
fn keyword(reader: &mut Reader, tokens: &[TokenTree], at: usize) {
    let Some(keyword) = as_ident(&tokens[at]) else { return };
    let following = tokens.get(at + 1);
    if keyword == "unsafe" {
        let is_block =
            matches!(following, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace);
        let is_item = following
            .and_then(as_ident)
            .is_some_and(|ident| ["fn", "impl", "trait", "extern"].iter().any(|word| ident == word));
        if is_block || is_item {
            reader.source.unsafe_code.push(line(keyword.span()));
        }
    }
    if let (true, Some(name)) = (keyword == "fn", following.and_then(as_ident)) {
        let body =
            tokens[at..].iter().take_while(|token| !is_punct(Some(token), ';')).find_map(
                |token| match token {
                    TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
                    _ => None,
                },
            );
        if let Some(body) = body {
            reader.function(name, keyword.span(), body.span_close());
        }
    }
}

fn as_ident(token: &TokenTree) -> Option<&Ident> {
    match token {
        TokenTree::Ident(ident) => Some(ident),
        _ => None,
    }
}

fn is_colon(token: Option<&TokenTree>) -> bool {
    is_punct(token, ':')
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}
