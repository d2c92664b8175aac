//! A stub that listens on the engine's socket; see [`ragstone_tests::stub`].

fn main() -> ragstone_tests::Result<()> {
    ragstone_tests::stub::main()
}
