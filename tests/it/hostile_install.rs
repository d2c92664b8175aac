//! The extension is installed into a database in which the schema `public`, where pgvector is, has operators of another role for all
//! pairs of types that PostgreSQL has none for: nothing of the extension comes to use them.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![operators_in_public_are_not_used]
}

/// An operator whose operands have exactly its types is preferred to one of `pg_catalog` that needs a conversion.
const TRAPS: &str = r#"
    DO $$
    DECLARE kind_l text; kind_r text; operator text;
      kinds text[] := string_to_array('boolean|smallint|integer|bigint|real|double precision|numeric|text|varchar|name|bytea|date|'
        'timestamp|timestamptz|interval|json|jsonb|oid|regclass|regproc|regtype|"char"|tsvector|text[]|bigint[]|name[]|oid[]|regclass[]', '|');
    BEGIN
      FOREACH kind_l IN ARRAY kinds LOOP
        FOREACH kind_r IN ARRAY kinds LOOP
          EXECUTE format('CREATE FUNCTION public.trap(%s, %s) RETURNS boolean LANGUAGE sql AS ''SELECT 1 / 0 = 1''', kind_l, kind_r);
          FOREACH operator IN ARRAY '{+,-,*,/,%,=,<>,<,>,<=,>=,||,->,->>,@>,<@,~,!~,~~,!~~,&&,@@,&,|}'::text[] LOOP
            IF NOT EXISTS (SELECT FROM pg_operator WHERE oprname = operator::name AND oprleft = kind_l::regtype::oid
                             AND oprright = kind_r::regtype::oid) THEN
              EXECUTE format('CREATE OPERATOR public.%s (FUNCTION = public.trap, LEFTARG = %s, RIGHTARG = %s)', operator, kind_l, kind_r);
            END IF;
          END LOOP;
        END LOOP;
      END LOOP;
    END $$"#;

async fn operators_in_public_are_not_used() -> Result<()> {
    let server = shared().await?;
    let database = server.empty_database("").await?;
    let session = server.connect(&database).await?;
    session.batch_execute("CREATE EXTENSION vector").await?;
    session.batch_execute(TRAPS).await?;
    let traps: i64 =
        session.value("SELECT count(*) FROM pg_operator WHERE oprcode::oid IN (SELECT oid FROM pg_proc WHERE proname = 'trap')").await?;
    ensure!(traps > 10_000, "{traps} operators");
    session.batch_execute("CREATE EXTENSION ragstone").await?;
    let used: Option<String> = session
        .value(
            "SELECT string_agg(DISTINCT pg_describe_object(classid, objid, objsubid) || ' uses '
                               || pg_describe_object(refclassid, refobjid, refobjsubid), E'\n')
             FROM pg_depend
             WHERE (refclassid = 'pg_operator'::regclass::oid AND refobjid IN (
                      SELECT oid FROM pg_operator WHERE oprcode::oid IN (SELECT oid FROM pg_proc WHERE proname = 'trap'))
                    OR refclassid = 'pg_proc'::regclass::oid AND refobjid IN (SELECT oid FROM pg_proc WHERE proname = 'trap'))
               AND classid <> 'pg_operator'::regclass::oid",
        )
        .await?;
    ensure!(used.is_none(), "{}", used.unwrap_or_default());
    Ok(())
}
