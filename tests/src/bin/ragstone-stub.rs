//! Sits where the engine's socket should be; see [`ragstone_tests::stub`].

fn main() -> ragstone_tests::Result<()> {
    ragstone_tests::stub::main()
}
