//! One Rust file in the form that the checks need: its imports, mentions and definitions, and the items that
//! they count.

use crate::cfg::is_for_tests;
use crate::tokens;
use proc_macro2::{Ident, Span, TokenStream};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Block, File, ImplItem, Item, ItemImpl, ItemMacro, ItemMod, ItemUse, Meta, Safety, Signature,
    TraitItem, Type, UseTree, Visibility,
};

/// The findings of `syn` in a file. Except for functions, unsafe code and words, they cover only code outside
/// tests.
#[derive(Default)]
pub struct Source {
    pub imports: Vec<Import>,
    pub mentions: Vec<Mention>,
    pub definitions: Vec<Definition>,
    pub modules: Vec<Declaration>,
    pub impls: Vec<Associated>,
    pub functions: Vec<Function>,
    /// Lines of `unsafe` blocks, functions, traits and impls.
    pub unsafe_code: Vec<usize>,
    /// Lines of attributes such as `#[unsafe(no_mangle)]`.
    pub unsafe_attributes: Vec<usize>,
    /// Lines and names of SQLSTATEs, `ERRCODE_…`.
    pub sqlstates: Vec<(usize, String)>,
    /// Lines with the identifier `Outcome`.
    pub outcomes: Vec<usize>,
    /// The level that the file's own attributes set for `unsafe_code`: `forbid` or `deny`.
    pub unsafe_lint: Option<String>,
}

/// One name that a `use` imports into a module; the name `None` stands for `*`.
#[derive(Clone)]
pub struct Import {
    pub module: Vec<String>,
    pub segments: Vec<String>,
    pub name: Option<String>,
    pub public: bool,
    pub line: usize,
}

/// A path in code.
pub struct Mention {
    pub module: Vec<String>,
    pub segments: Vec<String>,
    pub line: usize,
}

/// A named item in a module.
pub struct Definition {
    pub module: Vec<String>,
    pub name: String,
    pub is_type: bool,
    pub line: usize,
}

/// `mod name;`, whose code is in another file, or `mod name { … }`.
pub struct Declaration {
    pub module: Vec<String>,
    pub name: String,
    pub inline: bool,
    pub for_tests: bool,
    pub line: usize,
}

/// The functions of an `impl Type { … }`, which may be in another file than the type.
pub struct Associated {
    pub module: Vec<String>,
    pub of: Vec<String>,
    pub functions: Vec<String>,
}

/// Number of lines of a function, from `fn` to its closing brace.
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

impl Source {
    /// Reads the text of the file `path`.
    pub fn parse(path: &str, text: &str) -> Source {
        let file: File = syn::parse_file(text)
            .unwrap_or_else(|error| panic!("{path}:{}: {error}", error.span().start().line));
        let mut reader = Reader::default();
        reader.source.unsafe_lint = file.attrs.iter().find_map(unsafe_lint);
        reader.visit_file(&file);
        reader.define_given();
        reader.source
    }
}

/// Walks through a file's syntax tree and records its findings.
#[derive(Default)]
pub struct Reader {
    pub source: Source,
    module: Vec<String>,
    /// Number of enclosing items that are for tests only.
    tests: usize,
    /// Number of enclosing blocks: an item defined in a block cannot be named from elsewhere.
    blocks: usize,
    /// Single names that are arguments of macros, as in `borrowed!(Bytes, "bytea")`: the macro may define
    /// items with these names.
    given: Vec<Definition>,
}

impl Reader {
    pub fn mention(&mut self, segments: Vec<String>, line: usize) {
        if self.tests == 0 {
            self.source.mentions.push(Mention { module: self.module.clone(), segments, line });
        }
    }

    pub fn define(&mut self, name: &Ident, is_type: bool) {
        if self.tests == 0 && self.blocks == 0 {
            let (module, line) = (self.module.clone(), line(name.span()));
            self.source.definitions.push(Definition { module, name: name.to_string(), is_type, line });
        }
    }

    /// Records a name that is an argument of a macro, which may define it.
    pub fn give(&mut self, name: &Ident) {
        if self.tests == 0 {
            let (module, line, name) = (self.module.clone(), line(name.span()), name.to_string());
            let is_type = name.starts_with(char::is_uppercase);
            self.given.push(Definition { module, name, is_type, line });
        }
    }

    /// Defines the names that were arguments of macros and that nothing else brings into the module.
    fn define_given(&mut self) {
        for given in std::mem::take(&mut self.given) {
            let Source { definitions, imports, .. } = &mut self.source;
            let is_defined =
                definitions.iter().any(|one| (&one.module, &one.name) == (&given.module, &given.name));
            let is_imported = imports
                .iter()
                .any(|one| one.module == given.module && one.name.as_ref() == Some(&given.name));
            if !is_defined && !is_imported {
                definitions.push(given);
            }
        }
    }

    pub fn function(&mut self, name: &Ident, first: Span, last: Span) {
        let first = line(first);
        let lines = last.end().line - first + 1;
        self.source.functions.push(Function { name: name.to_string(), line: first, lines });
    }

    pub fn word(&mut self, ident: &Ident) {
        let name = ident.to_string();
        if name == "Outcome" {
            self.source.outcomes.push(line(ident.span()));
        }
        if name.starts_with("ERRCODE_") && self.tests == 0 {
            self.source.sqlstates.push((line(ident.span()), name));
        }
    }

    fn signature(&mut self, signature: &Signature, block: Option<&Block>) {
        if let Safety::Unsafe(word) = signature.safety {
            self.source.unsafe_code.push(line(word.span));
        }
        if let Some(block) = block {
            self.function(&signature.ident, signature.fn_token.span, block.brace_token.span.close());
        }
    }

    fn import(&mut self, tree: &UseTree, segments: &[String], public: bool) {
        let with = |ident: &Ident| [segments, &[ident.to_string()]].concat();
        let (segments, name, span) = match tree {
            UseTree::Path(path) => {
                self.word(&path.ident);
                return self.import(&path.tree, &with(&path.ident), public);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import(tree, segments, public));
            }
            UseTree::Glob(glob) => (segments.to_vec(), None, glob.star_token.span),
            // `use a::b::{self}` imports `a::b`.
            UseTree::Name(name) if name.ident == "self" && !segments.is_empty() => {
                (segments.to_vec(), segments.last().cloned(), name.ident.span())
            }
            UseTree::Rename(rename) if rename.ident == "self" && !segments.is_empty() => {
                (segments.to_vec(), Some(rename.rename.to_string()), rename.ident.span())
            }
            UseTree::Name(name) => {
                self.word(&name.ident);
                (with(&name.ident), Some(name.ident.to_string()), name.ident.span())
            }
            UseTree::Rename(rename) => {
                self.word(&rename.ident);
                (with(&rename.ident), Some(rename.rename.to_string()), rename.ident.span())
            }
        };
        if self.tests == 0 {
            let (module, line) = (self.module.clone(), line(span));
            self.source.imports.push(Import { module, segments, name, public, line });
        }
    }

    /// Visits a part of the tree; it counts as test code if its attributes say so.
    fn under(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let for_tests = usize::from(is_for_tests(attributes));
        self.tests += for_tests;
        visit(self);
        self.tests -= for_tests;
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        self.under(attributes_of(item), |reader| {
            reader.define_item(item);
            visit::visit_item(reader, item);
        });
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Fn(function) => &function.attrs[..],
            ImplItem::Const(constant) => &constant.attrs,
            ImplItem::Type(alias) => &alias.attrs,
            _ => &[],
        };
        self.under(attributes, |reader| {
            if let ImplItem::Fn(function) = item {
                reader.signature(&function.sig, Some(&function.block));
            }
            visit::visit_impl_item(reader, item);
        });
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if let TraitItem::Fn(function) = item {
            self.signature(&function.sig, function.default.as_ref());
        }
        visit::visit_trait_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let (module, name) = (self.module.clone(), item.ident.to_string());
        let (inline, for_tests) = (item.content.is_some(), self.tests > 0);
        let line = line(item.ident.span());
        self.source.modules.push(Declaration { module, name: name.clone(), inline, for_tests, line });
        self.module.push(name);
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
        }
    }

    fn visit_item_macro(&mut self, item: &'ast ItemMacro) {
        match &item.ident {
            Some(name) => self.define(name, false),
            None if self.blocks == 0 => tokens::definitions(self, item.mac.tokens.clone()),
            None => {}
        }
        visit::visit_item_macro(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        if let Some(word) = item.unsafety {
            self.source.unsafe_code.push(line(word.span));
        }
        if let (Type::Path(of), None, 0) = (&*item.self_ty, &item.trait_, self.tests) {
            let functions = item.items.iter().filter_map(|item| match item {
                ImplItem::Fn(function) => Some(function.sig.ident.to_string()),
                _ => None,
            });
            let (module, functions) = (self.module.clone(), functions.collect());
            self.source.impls.push(Associated { module, of: segments_of(&of.path), functions });
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_block(&mut self, block: &'ast Block) {
        self.blocks += 1;
        visit::visit_block(self, block);
        self.blocks -= 1;
    }

    fn visit_expr_unsafe(&mut self, expression: &'ast syn::ExprUnsafe) {
        self.source.unsafe_code.push(line(expression.unsafe_token.span));
        visit::visit_expr_unsafe(self, expression);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.mention(segments_of(path), line(path.span()));
        }
        visit::visit_path(self, path);
    }

    /// `pub(in crate::a)` restricts visibility and uses nothing.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_ident(&mut self, ident: &'ast Ident) {
        self.word(ident);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let Meta::List(list) = &attribute.meta else { return };
        if list.path.is_ident("unsafe") {
            self.source.unsafe_attributes.push(line(list.span()));
        } else if list.path.is_ident("serde") {
            tokens::paths_in_text(self, list.tokens.clone());
        } else if !list.path.is_ident("cfg") {
            tokens::scan(self, list.tokens.clone());
        }
    }

    /// The arguments of a macro are not parsed, so their tokens are searched for paths.
    fn visit_token_stream(&mut self, stream: &'ast TokenStream) {
        tokens::scan(self, stream.clone());
    }
}

impl Reader {
    fn define_item(&mut self, item: &Item) {
        match item {
            Item::Struct(item) => self.define(&item.ident, true),
            Item::Enum(item) => self.define(&item.ident, true),
            Item::Union(item) => self.define(&item.ident, true),
            Item::Type(item) => self.define(&item.ident, true),
            Item::TraitAlias(item) => self.define(&item.ident, true),
            Item::Trait(item) => {
                self.source.unsafe_code.extend(item.unsafety.map(|word| line(word.span)));
                self.define(&item.ident, true);
            }
            Item::Const(item) => self.define(&item.ident, false),
            Item::Static(item) => self.define(&item.ident, false),
            Item::Fn(item) => {
                self.signature(&item.sig, Some(&item.block));
                self.define(&item.sig.ident, false);
            }
            Item::ForeignMod(item) => {
                self.source.unsafe_code.extend(item.unsafety.map(|word| line(word.span)))
            }
            _ => {}
        }
    }
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// `forbid` of `#![forbid(unsafe_code)]`, or `deny`.
fn unsafe_lint(attribute: &Attribute) -> Option<String> {
    let level = attribute.path().get_ident()?.to_string();
    let lint: syn::Path = attribute.parse_args().ok()?;
    (matches!(level.as_str(), "forbid" | "deny") && lint.is_ident("unsafe_code")).then_some(level)
}

fn segments_of(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

pub fn line(span: Span) -> usize {
    span.start().line
}
