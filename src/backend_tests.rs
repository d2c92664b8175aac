//! Tests of code that calls PostgreSQL; `cargo pgrx test` runs them inside a backend.

#[pgrx::pg_schema]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use crate::collections::queue::claim::InFlight;
    use pgrx::datum::DatumWithOid;
    use pgrx::prelude::*;
    use ragstone_client::processes::file_lock::FileLock;
    use ragstone_core::jsonb::{Container, any_string, boolean, document, number, string_since};
    use ragstone_pg::attempt::{in_subtransaction, try_and_undo};
    use ragstone_pg::bytes::Jsonb;
    use ragstone_pg::databases;
    use ragstone_pg::major_version::{
        BYPASS_LOGIN_CHECK, LOCK_TIMEOUT, MAJOR, STATEMENT_TIMEOUT, WINDOW_SEEK_CURRENT, WORKER_NEEDS_LOGIN,
    };
    use ragstone_pg::session;
    use ragstone_pg::spi::{connect, select};
    use ragstone_pg::switch_user::{as_owner, with_settings};
    use ragstone_pg::text::{utf8_datum, utf8_from_datum};
    use ragstone_pg::time_limit;
    use ragstone_pg::vector::{extension_schema, vector_datum};

    fn one_text(query: &str) -> String {
        Spi::get_one::<String>(query).unwrap().unwrap()
    }

    #[pg_test]
    fn text_survives_the_way_to_postgres_and_back() {
        for text in ["", "plain", "naïve café — 漢字 🦀"] {
            // SAFETY: the datum is a `text` value.
            assert_eq!(unsafe { utf8_from_datum(utf8_datum(text)) }, text);
        }
    }

    #[pg_test]
    fn a_vector_is_what_pgvector_reads() {
        let oid = Spi::get_one::<pg_sys::Oid>("SELECT 'vector'::regtype::oid").unwrap().unwrap();
        // SAFETY: the datum has the type that the OID names.
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

    /// True if another process sees that this one holds the file's lock.
    fn is_locked(path: &std::path::Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let inode = std::fs::metadata(path).unwrap().ino();
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let own = [std::process::id().to_string(), format!(":{inode}")];
        locks.lines().any(|lock| {
            let mut words = lock.split_whitespace().skip(4);
            words.next() == Some(&own[0]) && words.next().is_some_and(|file| file.ends_with(&own[1]))
        })
    }

    #[pg_test]
    fn a_lock_is_kept_by_a_process_that_asks_for_it() {
        let path = std::env::temp_dir().join(format!("ragstone-lock-{}", std::process::id()));
        assert_eq!(FileLock::holder(&path), None);
        let lock = FileLock::take(&path).unwrap().unwrap();
        assert!(is_locked(&path));
        let other_path = path.parent().unwrap().join(".").join(path.file_name().unwrap());
        for path in [&path, &other_path] {
            assert_eq!(FileLock::holder(path), Some(std::process::id() as i32));
            assert!(FileLock::take(path).unwrap().is_none());
            FileLock::remove_if_free(path);
            assert!(is_locked(path));
        }
        drop(lock);
        assert!(!is_locked(&path));
        assert_eq!(FileLock::holder(&path), None);
        FileLock::remove_if_free(&path);
        assert!(!path.exists());
    }

    #[pg_test]
    fn looking_for_exclusive_locks_keeps_no_memory() {
        // SAFETY: plain reads of the process's memory contexts.
        let allocated = || unsafe { pg_sys::MemoryContextMemAllocated(pg_sys::TopMemoryContext, true) };
        let look = |times| (0..times).any(|_| databases::is_wanted_exclusively(session::database()));
        look(10);
        let before = allocated();
        assert!(!look(10_000));
        assert_eq!(allocated(), before);
    }

    /// A header of the server that runs the test, on one line.
    fn header(name: &str) -> String {
        let folder = one_text("SELECT setting FROM pg_config WHERE name = 'INCLUDEDIR-SERVER'");
        let text = std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The number that a header defines for a name; None if it does not define the name.
    fn defined(header: &str, name: &str) -> Option<u32> {
        let (_, rest) = header.split_once(&format!("#define {name} "))?;
        let number = rest.split(' ').next()?;
        let hexadecimal = number.strip_prefix("0x").map(|digits| u32::from_str_radix(digits, 16));
        hexadecimal.unwrap_or_else(|| number.parse()).ok()
    }

    #[pg_test]
    fn numbers_are_those_of_the_headers() {
        let version: i32 = one_text("SHOW server_version_num").parse().unwrap();
        assert_eq!(MAJOR, version as u32 / 10000);

        let workers = header("postmaster/bgworker.h");
        let bypass = defined(&workers, "BGWORKER_BYPASS_ROLELOGINCHECK");
        assert_eq!(bypass, (!WORKER_NEEDS_LOGIN).then_some(BYPASS_LOGIN_CHECK));

        let windows = header("windowapi.h");
        assert_eq!(defined(&windows, "WINDOW_SEEK_CURRENT"), Some(WINDOW_SEEK_CURRENT as u32));

        let timeouts = header("utils/timeout.h");
        let (_, members) = timeouts.split_once("typedef enum TimeoutId {").unwrap();
        let (members, _) = members.split_once('}').unwrap();
        let number = |name: &str| {
            let mut names = members.split([',', ' ']).filter(|word| word.ends_with("_TIMEOUT"));
            names.position(|member| member == name).map(|place| place as i32)
        };
        assert_eq!(number("STARTUP_PACKET_TIMEOUT"), Some(0));
        assert_eq!(number("LOCK_TIMEOUT"), Some(LOCK_TIMEOUT));
        assert_eq!(number("STATEMENT_TIMEOUT"), Some(STATEMENT_TIMEOUT));
        let first_of_users = number("USER_TIMEOUT").unwrap();
        assert!(members.contains("MAX_TIMEOUTS = USER_TIMEOUT + 10"), "{members}");
        let own = time_limit::timeout();
        assert!((first_of_users..first_of_users + 10).contains(&own), "{own} of {members}");
    }

    #[pg_test]
    fn functions_without_bindings_are_as_the_headers_declare_them() {
        let declared = [
            ("windowapi.h", "void *WinGetPartitionLocalMemory(WindowObject winobj, Size sz);"),
            ("windowapi.h", "int64 WinGetCurrentPosition(WindowObject winobj);"),
            ("windowapi.h", "void WinSetMarkPosition(WindowObject winobj, int64 markpos);"),
            ("windowapi.h", "Datum WinGetFuncArgCurrent(WindowObject winobj, int argno, bool *isnull);"),
            (
                "windowapi.h",
                "Datum WinGetFuncArgInPartition(WindowObject winobj, int argno, int relpos, int seektype, \
                 bool set_mark, bool *isnull, bool *isout);",
            ),
            ("utils/timeout.h", "typedef void (*timeout_handler_proc) (void);"),
            ("utils/timeout.h", "TimeoutId RegisterTimeout(TimeoutId id, timeout_handler_proc handler);"),
            ("utils/timeout.h", "void enable_timeout_after(TimeoutId id, int delay_ms);"),
            ("utils/timeout.h", "void disable_timeout(TimeoutId id, bool keep_indicator);"),
            ("utils/timeout.h", "bool get_timeout_indicator(TimeoutId id, bool reset_indicator);"),
            ("utils/elog.h", "int errcode(int sqlerrcode);"),
            ("tcop/tcopprot.h", "void die(SIGNAL_ARGS);"),
        ];
        for (name, declaration) in declared {
            assert!(header(name).contains(declaration), "{name}: {declaration}");
        }
    }

    #[pg_test]
    fn a_jsonb_is_written_as_postgres_writes_it_and_its_strings_are_found() {
        let json = r#"{"a": [true, "x"], "bc": -1.50}"#;
        let postgres = Jsonb::from_json(json).unwrap();
        let mut ours = Vec::new();
        document(&mut ours, |out| {
            let mut object = Container::object(out, 2)?;
            for key in ["a", "bc"] {
                let start = out.len();
                out.extend_from_slice(key.as_bytes());
                let entry = string_since(out, start)?;
                object.push(out, entry)?;
            }
            let mut array = Container::array(out, 2)?;
            array.push(out, boolean(true))?;
            let start = out.len();
            out.push(b'x');
            let entry = string_since(out, start)?;
            array.push(out, entry)?;
            let entry = array.end(out)?;
            object.push(out, entry)?;
            let entry = number(out, b"-1.50").unwrap();
            object.push(out, entry)?;
            object.end(out)
        })
        .unwrap();
        assert_eq!(ours[4..], postgres.0);
        let mut found = Vec::new();
        any_string(&postgres.0, |text| {
            found.push(String::from_utf8_lossy(text).into_owned());
            false
        });
        found.sort();
        assert_eq!(found, ["a", "bc", "x"]);
    }

    #[pg_test]
    fn rows_of_failed_batches_are_forgotten_when_none_waits() {
        let key = vec!["a row that is deleted meanwhile".to_owned()];
        let mut in_flight = InFlight::default();
        in_flight.divide(1, &[(key.clone(), vec![7])]);
        in_flight.forget_failed_batches();
        assert!(in_flight.is_alone(1, &key));
        in_flight.postpone_until([7], std::time::Instant::now());
        assert!(connect(|| in_flight.claim(false, &[])).unwrap().is_none());
        in_flight.forget_failed_batches();
        assert!(!in_flight.is_alone(1, &key));
    }

    #[pg_test(error = "internal: rows are read after their connection has ended")]
    fn rows_that_leave_their_connection_are_not_read() {
        let rows = connect(|| select("SELECT 'gone'::text", &[])).unwrap();
        rows.text(0, 0);
    }

    #[pg_test(error = "internal: rows are read after their connection has ended")]
    fn rows_of_a_subtransaction_that_is_rolled_back_are_not_read() {
        connect(|| try_and_undo(|| select("SELECT 'gone'::text", &[])).unwrap().text(0, 0));
    }

    #[pg_test]
    fn rows_are_read_in_inner_connections_and_after_subtransactions() {
        connect(|| {
            let outer = select("SELECT 'outer'::text", &[]).unwrap();
            let inner = in_subtransaction(|| select("SELECT 'inner'::text", &[])).unwrap();
            connect(|| {
                assert_eq!(outer.text(0, 0).as_deref(), Some("outer"));
                // Its memory belongs to the outer connection.
                drop(outer);
            });
            assert_eq!(inner.text(0, 0).as_deref(), Some("inner"));
        });
    }
}
