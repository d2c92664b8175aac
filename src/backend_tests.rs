//! Tests of what touches Postgres, run inside a backend by `cargo pgrx test`.

#[pgrx::pg_schema]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use crate::pg::switch_user::{as_owner, with_settings};
    use crate::pg::text::{utf8_datum, utf8_from_datum};
    use crate::pg::vector::{extension_schema, vector_datum};
    use pgrx::datum::DatumWithOid;
    use pgrx::prelude::*;

    fn one_text(query: &str) -> String {
        Spi::get_one::<String>(query).unwrap().unwrap()
    }

    #[pg_test]
    fn text_survives_the_way_to_postgres_and_back() {
        for text in ["", "plain", "naïve café — 漢字 🦀"] {
            // SAFETY: the datum is a text.
            assert_eq!(unsafe { utf8_from_datum(utf8_datum(text)) }, text);
        }
    }

    #[pg_test]
    fn a_vector_is_what_pgvector_reads() {
        let oid = Spi::get_one::<pg_sys::Oid>("SELECT 'vector'::regtype::oid").unwrap().unwrap();
        // SAFETY: the datum is of the type that the OID names.
        let vector = unsafe { DatumWithOid::new(vector_datum(&[1.0, -2.5, 0.0]), oid) };
        let same = Spi::get_one_with_args::<bool>("SELECT $1 = '[1,-2.5,0]'::vector", &[vector]).unwrap();
        assert_eq!(same, Some(true));
    }

    #[pg_test]
    fn pgvector_is_found_wherever_it_is() {
        Spi::run("CREATE SCHEMA \"odd \"\"name\"").unwrap();
        Spi::run("ALTER EXTENSION vector SET SCHEMA \"odd \"\"name\"").unwrap();
        assert_eq!(extension_schema().unwrap(), "\"odd \"\"name\"");
    }

    #[pg_test]
    fn the_owner_works_with_a_locked_search_path_and_the_caller_gets_everything_back() {
        Spi::run("CREATE ROLE somebody").unwrap();
        let owner = Spi::get_one::<pg_sys::Oid>("SELECT 'somebody'::regrole::oid").unwrap().unwrap();
        let before = (one_text("SELECT current_user::text"), one_text("SHOW search_path"));
        let inside =
            as_owner(owner, || (one_text("SELECT current_user::text"), one_text("SHOW search_path")));
        assert_eq!(inside, ("somebody".to_owned(), "pg_catalog, pg_temp".to_owned()));
        assert_eq!((one_text("SELECT current_user::text"), one_text("SHOW search_path")), before);
    }

    #[pg_test]
    fn an_error_in_the_owners_work_gives_the_caller_his_role_back() {
        Spi::run("CREATE ROLE somebody").unwrap();
        let owner = Spi::get_one::<pg_sys::Oid>("SELECT 'somebody'::regrole::oid").unwrap().unwrap();
        let before = one_text("SELECT current_user::text");
        let caught = PgTryBuilder::new(|| as_owner(owner, || Spi::run("SELECT 1/0").is_ok()))
            .catch_others(|_| false)
            .execute();
        assert!(!caught);
        assert_eq!(one_text("SELECT current_user::text"), before);
    }

    #[pg_test(error = "cannot set parameter \"role\" within security-definer function")]
    fn the_owners_work_cannot_become_another_role() {
        Spi::run("CREATE ROLE somebody").unwrap();
        let owner = Spi::get_one::<pg_sys::Oid>("SELECT 'somebody'::regrole::oid").unwrap().unwrap();
        as_owner(owner, || Spi::run("RESET ROLE").unwrap());
    }

    #[pg_test]
    fn settings_hold_only_during_the_work() {
        let inside = with_settings(&[("work_mem", "12345kB")], || one_text("SHOW work_mem"));
        assert_eq!(inside, "12345kB");
        assert_ne!(one_text("SHOW work_mem"), "12345kB");
    }
}
