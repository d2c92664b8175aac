//! Links the extension's library with all of its sections: cargo-pgrx reads the SQL of its functions from
//! sections that no code refers to. cargo-pgrx would pass the same option for all crates, which then could
//! not be shared with other builds (`CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND` in setup/common.sh).

fn main() {
    println!("cargo::rerun-if-changed=setup/build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,--no-gc-sections");
}
