//! The layers of the code, as `layers.toml` defines them, and the other rules for all code. Needs no server.
//!
//! `cargo test -p ragstone-tests --test layers -- figures --nocapture` prints the measures;
//! `RAGSTONE_ROOT=/folder` measures another tree, `RAGSTONE_LAYERS=/file` uses other rules.
//! `RAGSTONE_WRITE=1` writes the table of layers into docs/ARCHITECTURE.md.

mod arrows;
mod cfg;
mod checks;
mod circles;
mod figures;
mod names;
mod paths;
mod rules;
mod source;
mod table;
mod tokens;
mod tree;

#[cfg(test)]
mod made_up;

use checks::House;
use rules::Rules;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, fs};
use tree::Tree;

static ROOT: LazyLock<PathBuf> = LazyLock::new(|| match env::var_os("RAGSTONE_ROOT") {
    Some(root) => PathBuf::from(root),
    None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".."),
});

static HOUSE: LazyLock<House> = LazyLock::new(|| {
    let file = env::var_os("RAGSTONE_LAYERS").map_or_else(|| ROOT.join("tests/layers.toml"), PathBuf::from);
    let rules = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    House::of(Tree::read(&ROOT), Rules::parse(&rules))
});

fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn arrows_between_layers_are_those_of_layers_toml() {
    assert_none(&HOUSE.layers());
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    assert_none(&HOUSE.circles());
}

#[test]
fn every_path_of_the_workspace_is_followed() {
    assert_none(&HOUSE.arrows.unresolved);
}

#[test]
fn every_file_is_part_of_a_crate() {
    assert_none(&HOUSE.workspace.undeclared(&HOUSE.rust));
}

#[test]
fn the_documented_table_is_that_of_layers_toml() {
    let path = ROOT.join("docs/ARCHITECTURE.md");
    let document = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let table = table::table(&HOUSE.rules);
    let expected = table::with_table(&document, &table)
        .unwrap_or_else(|| panic!("{} has no <!-- layers --> and <!-- /layers -->", path.display()));
    if env::var_os("RAGSTONE_WRITE").is_some() {
        fs::write(&path, &expected).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    } else {
        assert!(
            document == expected,
            "docs/ARCHITECTURE.md differs; RAGSTONE_WRITE=1 puts this into it:\n{table}"
        );
    }
}

#[test]
fn documented_paths_are_there() {
    for document in ["docs/ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let path = ROOT.join(document);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let missing = paths::missing(&text, |path| ROOT.join(path).exists());
        assert!(missing.is_empty(), "{document} names what is not there: {missing:?}");
    }
}

#[test]
fn files_are_short() {
    assert_none(&HOUSE.long_files());
}

#[test]
fn functions_are_short() {
    assert_none(&HOUSE.long_functions());
}

#[test]
fn unsafe_code_is_in_its_places() {
    assert_none(&HOUSE.unsafe_code());
}

#[test]
fn sqlstates_are_named_where_errors_are_made() {
    assert_none(&HOUSE.sqlstates());
}

#[test]
fn one_name_is_one_type() {
    assert_none(&HOUSE.type_names());
}

#[test]
fn outcome_is_result() {
    assert_none(&HOUSE.outcomes());
}

#[test]
fn figures() {
    println!("{}\n{}", figures::imports(&HOUSE), figures::figures(&HOUSE));
}
