//! Runs the checks on small made-up sources: each finds the violation that it is meant to find, and accepts
//! valid code.

use crate::checks::House;
use crate::rules::Rules;
use crate::table::{table, with_table};
use crate::tree::Tree;

const RULES: &str = r#"
    long_file = []
    long_function = []
    type_name = []
    [[layer]]
    name = "core"
    path = "src/core/src"
    what = "pure code"
    imports = []
    [[layer]]
    name = "low"
    path = "src/low"
    what = "what is below"
    imports = ["core"]
    [[layer]]
    name = "high"
    path = "src/high"
    what = "what is above"
    imports = ["core", "low"]
    [[layer]]
    name = "root"
    path = "src/lib.rs"
    what = "the root"
    imports = []
    [unsafe]
    forbid = []
    deny = []
    places = []
    attributes = []
    [sqlstate]
    constructors = "src/low/error.rs"
    compared = []
"#;

/// Two crates of a few files, to which tests add their own.
fn house(files: &[(&str, &str)]) -> House {
    house_with(RULES, files)
}

fn house_with(rules: &str, files: &[(&str, &str)]) -> House {
    let base = [
        ("Cargo.toml", "[package]\nname = \"house\""),
        ("src/core/Cargo.toml", "[package]\nname = \"house-core\""),
        ("src/core/src/lib.rs", "pub mod sum;"),
        ("src/core/src/sum.rs", "pub fn sum() {}"),
        ("src/lib.rs", "mod low;\nmod high;"),
        ("src/low/mod.rs", "mod error;\npub use error::Error;\nuse house_core::sum;"),
        ("src/low/error.rs", "pub struct Error;\nfn add() { house_core::sum::sum(); }"),
        ("src/high/mod.rs", "use house_core::sum::sum;\nuse crate::low::Error;"),
    ];
    let mut tree = Tree::default();
    for (path, text) in base.iter().chain(files) {
        tree.files.insert((*path).to_owned(), (*text).to_owned());
    }
    House::of(tree, Rules::parse(rules))
}

fn arrows(house: &House) -> Vec<String> {
    house.arrows.all.iter().map(ToString::to_string).collect()
}

fn has_arrow(house: &House, arrow: &str) -> bool {
    arrows(house).iter().any(|other| other == arrow)
}

#[test]
fn a_house_in_order_has_no_violations() {
    let house = house(&[]);
    let violations =
        [house.layers(), house.circles(), house.unsafe_code(), house.sqlstates(), house.type_names()];
    assert_eq!(violations.concat(), Vec::<String>::new());
    assert_eq!(house.arrows.unresolved, Vec::<String>::new());
    assert!(has_arrow(&house, "src/high/mod.rs:2 uses `Error` of src/low/error.rs"));
}

#[test]
fn a_circle_through_facades_is_found() {
    let house = house(&[
        ("src/low/mod.rs", "mod error;\npub use error::Error;"),
        ("src/low/error.rs", "use crate::high::Name;\npub struct Error(Name);"),
        ("src/high/mod.rs", "mod name;\npub use self::name::*;"),
        ("src/high/name.rs", "pub struct Name;\nfn fail() -> crate::low::Error { todo!() }"),
    ]);
    let circles = house.circles().concat();
    assert!(circles.starts_with("a circle of 2 files: src/high/name.rs, src/low/error.rs"), "{circles}");
    assert!(circles.contains("src/low/error.rs:1 uses `Name` of src/high/name.rs"), "{circles}");
    assert!(circles.contains("src/high/name.rs:2 uses `Error` of src/low/error.rs"), "{circles}");
    assert!(house.layers().concat().contains("low → high runs up"));
}

#[test]
fn a_facade_whose_own_code_and_children_use_each_other_is_a_circle() {
    let house = house(&[
        ("src/low/mod.rs", "mod error;\npub const LIMIT: u8 = 1;\npub fn check() { error::fail() }"),
        ("src/low/error.rs", "pub fn fail() { super::LIMIT; }\npub struct Error;"),
        ("src/high/mod.rs", ""),
    ]);
    assert!(house.circles().concat().contains("a circle of 2 files: src/low/error.rs, src/low/mod.rs"));
}

#[test]
fn a_facade_that_uses_what_it_exports_has_an_arrow_too() {
    let house = house(&[
        ("src/low/mod.rs", "mod error;\npub use error::Error;\npub fn check() -> Error { todo!() }"),
        ("src/low/error.rs", "pub struct Error;\nfn f() { super::check(); }"),
    ]);
    assert!(has_arrow(&house, "src/low/mod.rs:3 uses `Error` of src/low/error.rs"));
    assert!(house.circles().concat().contains("a circle of 2 files: src/low/error.rs, src/low/mod.rs"));
}

#[test]
fn inline_paths_are_found_also_in_macros_attributes_and_by_the_name_of_a_module() {
    let house = house(&[
        ("src/high/mod.rs", "mod a;\nmod b;\nmod c;\nmod d;"),
        ("src/high/a.rs", "fn a() { let x = crate::low::Error; }"),
        ("src/high/b.rs", "fn b() { println!(\"{:?}\", crate::low::Error) }"),
        ("src/high/c.rs", "use crate::low;\nfn c() { low::Error; }"),
        ("src/high/d.rs", "struct D {\n#[serde(with = \"crate::low::Error\")]\nfield: u8 }"),
    ]);
    for place in ["a.rs:1", "b.rs:1", "c.rs:2", "d.rs:2"] {
        let arrow = format!("src/high/{place} uses `Error` of src/low/error.rs");
        assert!(has_arrow(&house, &arrow), "{arrow}: {:?}", arrows(&house));
    }
}

#[test]
fn comments_text_and_tests_are_not_code() {
    let code = (
        "src/low/mod.rs",
        "//! See [`crate::high::Name`].\nmod error;\npub use error::Error;\n/* use crate::high::a; */\n\
         /// crate::high::Name\nconst TEXT: &str = \"crate::high::Name unsafe { ERRCODE_X }\";\n\
         #[cfg(test)]\nmod tests { use crate::high::Name; }\n\
         #[cfg(any(test, feature = \"pg_test\"))]\nmod backend_tests;\n\
         struct S;\nimpl S { #[cfg(test)] fn f() { crate::high::f() } }",
    );
    let house = house(&[code, ("src/low/backend_tests.rs", "")]);
    let from_low = arrows(&house).into_iter().filter(|arrow| arrow.starts_with("src/low/mod.rs"));
    assert_eq!(from_low.collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(house.arrows.unresolved, Vec::<String>::new());
    assert_eq!([house.sqlstates(), house.unsafe_code()].concat(), Vec::<String>::new());
}

#[test]
fn what_a_glob_brings_in_is_found_where_it_is_defined() {
    let house = house(&[
        ("src/low/mod.rs", "mod error;\nmod kinds;\npub use error::*;\npub use kinds::*;"),
        ("src/low/kinds.rs", "pub enum Kind { A }\npub fn kind() {}"),
        ("src/high/mod.rs", "use crate::low::*;\nfn high() { kind(); }\nfn other() -> Kind { Kind::A }"),
    ]);
    assert!(has_arrow(&house, "src/high/mod.rs:2 uses `kind` of src/low/kinds.rs"));
    assert!(has_arrow(&house, "src/high/mod.rs:3 uses `Kind::A` of src/low/kinds.rs"));
    assert!(!arrows(&house).iter().any(|arrow| arrow.contains("of src/low/error.rs")));
}

#[test]
fn a_module_and_a_function_may_have_one_name() {
    let house = house(&[
        ("src/low/mod.rs", "mod error;\nmod ask;\npub use ask::ask;\npub use error::Error;"),
        ("src/low/ask.rs", "pub fn ask() {}"),
        ("src/high/mod.rs", "fn high() { crate::low::ask(); }"),
    ]);
    assert!(has_arrow(&house, "src/high/mod.rs:1 uses `ask` of src/low/ask.rs"));
}

#[test]
fn a_function_of_a_type_is_where_its_impl_is() {
    let house = house(&[
        ("src/low/mod.rs", "mod error;\nmod more;\npub use error::Error;"),
        ("src/low/more.rs", "use super::Error;\nimpl Error { pub fn new() {} }"),
        ("src/high/mod.rs", "use crate::low::Error;\nfn high() { Error::new() }"),
    ]);
    assert!(has_arrow(&house, "src/high/mod.rs:2 uses `Error::new` of src/low/more.rs"));
}

#[test]
fn a_path_that_leads_nowhere_is_reported() {
    let code =
        "use crate::low::Missing;\nuse crate::low;\nfn f() { house_core::sum::missing(); low::lost() }";
    assert_eq!(
        house(&[("src/high/mod.rs", code)]).arrows.unresolved,
        [
            "src/high/mod.rs:1: `crate::low::Missing` is not found",
            "src/high/mod.rs:3: `house_core::sum::missing` is not found",
            "src/high/mod.rs:3: `low::lost` is not found"
        ]
    );
}

#[test]
fn what_is_exported_of_other_crates_is_no_arrow() {
    let house = house(&[
        (
            "src/low/mod.rs",
            "mod error;\npub use error::Error;\npub use pgrx::pg_sys::pqsignal;\npub use std::fmt::*;",
        ),
        (
            "src/high/mod.rs",
            "use crate::low::{Debug, Error, pqsignal};\nuse house_core::sum::sum;\nuse std::fs::*;",
        ),
    ]);
    assert_eq!(house.arrows.unresolved, Vec::<String>::new());
    assert_eq!(house.layers(), Vec::<String>::new());
    assert!(!arrows(&house).iter().any(|arrow| arrow.contains("of src/low/mod.rs")));
}

#[test]
fn a_file_that_no_module_declares_is_found() {
    let house = house(&[
        ("src/high/mod.rs", "#[cfg(test)]\nmod tests;\nmod inner { mod deep; }"),
        ("src/high/tests.rs", "mod more;"),
        ("src/high/tests/more.rs", ""),
        ("src/high/inner/deep.rs", ""),
        ("src/high/lost.rs", ""),
        ("src/core/tests/serving.rs", ""),
    ]);
    assert_eq!(house.workspace.undeclared(&house.rust), ["src/high/lost.rs: no `mod` declares it"]);
}

#[test]
fn layers_toml_must_be_what_the_code_does() {
    let unused = house(&[("src/high/mod.rs", "use house_core::sum::sum;")]);
    assert_eq!(unused.layers(), ["layers.toml: high does not import low"]);

    let unknown = house(&[
        ("src/lib.rs", "mod low;\nmod high;\nmod other;"),
        ("src/other.rs", "use crate::low::Error;"),
    ]);
    assert_eq!(unknown.layers(), ["src/other.rs: no layer of layers.toml holds it"]);

    let upward = RULES.replacen("imports = []", "imports = [\"high\"]", 1);
    let faults = house_with(&upward, &[]).layers();
    assert_eq!(faults[0], "layers.toml: core imports high, which is not below it");

    let missing = RULES.replace("imports = [\"core\", \"low\"]", "imports = [\"core\"]");
    assert_eq!(
        house_with(&missing, &[]).layers(),
        ["src/high/mod.rs:2 uses `Error` of src/low/error.rs: high → low is not in layers.toml"]
    );
}

#[test]
fn long_files_and_functions_are_found_and_needless_exceptions_too() {
    let lines = "\n".repeat(400);
    let function = format!("fn long() {{{}}}\nfn short() {{{}}}", "\n".repeat(60), "\n".repeat(59));
    let exceptions = "long_file = [{ path = \"src/high/mod.rs\", reason = \"none\" }]";
    let rules = RULES.replace("long_file = []", exceptions);
    let house = house_with(
        &rules,
        &[("sql/long.sql", &format!("{lines}x")), ("sql/short.sql", &lines), ("tests/f.rs", &function)],
    );
    assert_eq!(
        house.long_files(),
        ["sql/long.sql: 401 lines", "layers.toml: src/high/mod.rs is no longer too long"]
    );
    assert_eq!(house.long_functions(), ["tests/f.rs:1: `long` has 61 lines"]);
}

#[test]
fn unsafe_code_outside_its_places_is_found() {
    let code = "fn a() { unsafe { b() } }\nunsafe fn b() {}\nmacro_rules! c { () => { unsafe { b() } } }\n\
                #[unsafe(no_mangle)]\nfn d(_: unsafe extern \"C\" fn()) {}\nunsafe impl Send for S {}\nstruct S;";
    let house =
        house_with(&RULES.replace("deny = []", "deny = [\"src/lib.rs\"]"), &[("src/high/mod.rs", code)]);
    let violations = house.unsafe_code();
    let places: Vec<&str> = violations.iter().filter_map(|one| one.strip_suffix(": unsafe")).collect();
    assert_eq!(
        places,
        [
            "src/high/mod.rs:1",
            "src/high/mod.rs:2",
            "src/high/mod.rs:3",
            "src/high/mod.rs:6",
            "src/high/mod.rs:4"
        ]
    );
    assert_eq!(violations[5..], ["src/lib.rs: #![deny(unsafe_code)] is missing"]);
}

#[test]
fn sqlstates_type_names_and_outcome_are_found() {
    let house = house(&[
        (
            "src/high/mod.rs",
            "fn high() { Error::new(PgSqlErrorCode::ERRCODE_X) }\nstruct Row;\ntype Outcome = u8;",
        ),
        (
            "src/low/error.rs",
            "const X: u8 = ERRCODE_X;\npub enum Row {}\nfn f() { struct Row; }\ntrait T { type Row; }",
        ),
    ]);
    assert_eq!(house.sqlstates(), ["src/high/mod.rs:1: ERRCODE_X"]);
    assert_eq!(house.type_names(), ["`Row` is 2 types: src/high/mod.rs:2, src/low/error.rs:2"]);
    assert_eq!(house.outcomes(), ["src/high/mod.rs:3: `Outcome` is `Result`"]);
}

#[test]
fn a_type_may_be_excepted_from_having_its_name_alone() {
    let files = [(
        "src/high/mod.rs",
        "struct Row;\nuse house_core::sum::sum;\nuse crate::low::Error;\nstruct Error;",
    )];
    let excepted = |name: &str| {
        let exception =
            format!("type_name = [{{ path = \"src/high\", name = \"{name}\", reason = \"a test\" }}]");
        house_with(&RULES.replace("type_name = []", &exception), &files).type_names()
    };
    assert_eq!(excepted("Error"), Vec::<String>::new());
    let needless = "layers.toml: `Row` of src/high is one type only";
    assert_eq!(excepted("Row"), ["`Error` is 2 types: src/high/mod.rs:4, src/low/error.rs:1", needless]);
}

#[test]
fn the_table_is_written_between_its_markers() {
    let table = table(&Rules::parse(RULES));
    assert!(table.ends_with("| `src/high/` | what is above | low, core |\n| `src/low/` | what is below | core |\n| `src/core/src/` | pure code | nothing of ours |\n"));
    let document = "a\n<!-- layers -->\nold\n<!-- /layers -->\nb";
    let written = with_table(document, &table).unwrap();
    assert_eq!(with_table(&written, &table).unwrap(), written);
    assert!(
        written.starts_with("a\n<!-- layers -->\n\n| folder |")
            && written.ends_with("|\n\n<!-- /layers -->\nb")
    );
    assert_eq!(with_table("no markers", &table), None);
}
