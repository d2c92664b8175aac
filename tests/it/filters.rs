//! The filter language: against conditions written in SQL over the source, and what is refused.

use crate::followed::current;
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::chance::Chance;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use serde_json::{Value, json};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        random_filters_find_what_sql_finds,
        a_row_without_the_value_meets_what_is_negated,
        values_are_compared_in_their_own_types,
        what_is_no_filter_is_refused_with_what_there_is,
        an_answer_takes_the_same_filters,
    ]
}

/// Rows with values of many types, some of them missing. Each row has the word `parcel`.
const TABLE: &str = "
    CREATE TYPE mood AS ENUM ('low', 'fine', 'high');
    CREATE DOMAIN grade AS int;
    CREATE TABLE t (id int PRIMARY KEY, body text, price numeric, shop text, at timestamptz, day date, u uuid, mood mood,
                    tags text[], nums int[], attributes jsonb, preorder boolean, grade grade, gap interval, label text COLLATE \"C\");
    INSERT INTO t SELECT i, 'parcel number ' || i,
      CASE WHEN i % 7 > 0 THEN (i % 13) / 2.0 END,
      (ARRAY['a', 'b', 'Ab', 'c_d', NULL])[1 + i % 5],
      CASE WHEN i % 6 > 0 THEN timestamptz '2026-01-01 00:30+00' + make_interval(hours => i % 50) END,
      CASE WHEN i % 4 > 0 THEN date '2026-01-01' + i % 9 END,
      CASE WHEN i % 5 > 0 THEN ('00000000-0000-0000-0000-00000000000' || i % 8)::uuid END,
      (ARRAY['low', 'fine', 'high', NULL])[1 + i % 4]::mood,
      CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN '{}' WHEN 2 THEN '{x}' WHEN 3 THEN '{x,y}' ELSE '{y,z,NULL}' END::text[],
      CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN ARRAY[i % 4, 2] ELSE ARRAY[i % 4] END,
      CASE i % 6 WHEN 0 THEN NULL WHEN 1 THEN '{}' WHEN 2 THEN '{\"color\": \"red\", \"size\": 3}'
        WHEN 3 THEN '{\"color\": [\"red\", \"blue\"], \"size\": \"3\"}' WHEN 4 THEN '{\"color\": null, \"size\": 5.5}'
        ELSE '{\"color\": \"blue\", \"size\": 3.0}' END::jsonb,
      (ARRAY[true, false, NULL])[1 + i % 3],
      CASE WHEN i % 8 > 0 THEN i % 5 END,
      CASE WHEN i % 3 > 0 THEN make_interval(hours => 12 * (i % 5)) END,
      (ARRAY['a', 'B', 'b', NULL])[1 + i % 4]
    FROM generate_series(1, 120) i;
    SELECT rag.create_collection('c', 't', 'body', sync => 'manual',
      metadata => '{price,shop,at,day,u,mood,tags,nums,attributes,preorder,grade,gap,label}')";

/// A column with an order: name, type, and values as JSON.
const ORDERED: [(&str, &str, &[&str]); 9] = [
    ("price", "numeric", &["0", "1.5", "\"1.50\"", "3", "6.0", "-1"]),
    ("shop", "text", &["\"a\"", "\"b\"", "\"Ab\"", "\"\"", "\"c_d\""]),
    ("at", "timestamptz", &["\"2026-01-01 02:30+02\"", "\"2026-01-02\"", "\"2026-01-02T05:30:00Z\""]),
    ("day", "date", &["\"2026-1-3\"", "\"2026-01-05\"", "\"Jan 9 2026\""]),
    (
        "u",
        "uuid",
        &["\"00000000-0000-0000-0000-000000000003\"", "\"{00000000-0000-0000-0000-000000000005}\""],
    ),
    ("mood", "mood", &["\"low\"", "\"fine\"", "\"high\""]),
    ("grade", "int", &["0", "2", "\"4\""]),
    ("gap", "interval", &["\"1 day\"", "\"24:00\"", "\"12 hours\""]),
    ("label", "text COLLATE \"C\"", &["\"a\"", "\"B\"", "\"b\""]),
];

/// A JSON value as an SQL literal.
fn literal(json: &str, of: &str) -> String {
    let (of, collation) = of.split_once(' ').map_or((of, ""), |(of, collation)| (of, collation));
    format!("'{}'::{of} {collation}", json.trim_matches('"').replace('\'', "''"))
}

/// A filter, with the same condition in SQL, which is true or false of each row.
type Pair = (Value, String);

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or(Value::Null)
}

fn of_ordered(chance: &Chance) -> Pair {
    let &(name, of, values) = chance.pick(&ORDERED);
    let (one, other) = (*chance.pick(values), *chance.pick(values));
    let compared = |operator: &str, sql: &str| {
        let condition = format!("coalesce({name} {sql} {}, false)", literal(one, of));
        (json!({ name: { operator: parse(one) } }), condition)
    };
    match chance.below(11) {
        0 => (json!({ name: parse(one) }), format!("coalesce({name} = {}, false)", literal(one, of))),
        1 => compared("$eq", "="),
        2 => (
            json!({ name: { "$ne": parse(one) } }),
            format!("NOT coalesce({name} = {}, false)", literal(one, of)),
        ),
        3 => compared("$lt", "<"),
        4 => compared("$lte", "<="),
        5 => compared("$gt", ">"),
        6 => compared("$gte", ">="),
        7 => (
            json!({ name: { "$between": [parse(one), parse(other)] } }),
            format!("coalesce({name} >= {} AND {name} <= {}, false)", literal(one, of), literal(other, of)),
        ),
        8 => (
            json!({ name: { "$in": [parse(one), parse(other)] } }),
            format!("coalesce({name} IN ({}, {}), false)", literal(one, of), literal(other, of)),
        ),
        9 => (json!({ name: { "$nin": [parse(one), parse(other)] } }), "".to_owned()),
        _ => (json!({ name: { "$exists": true } }), format!("{name} IS NOT NULL")),
    }
}

fn of_others(chance: &Chance) -> Pair {
    let pairs: [(Value, &str); 22] = [
        (json!({"preorder": true}), "preorder IS TRUE"),
        (json!({"preorder": {"$ne": true}}), "preorder IS NOT TRUE"),
        (json!({"preorder": null}), "preorder IS NULL"),
        (json!({"shop": {"$like": "_b%"}}), "coalesce(shop LIKE '_b%', false)"),
        (json!({"shop": {"$ilike": "a%"}}), "coalesce(shop ILIKE 'a%', false)"),
        (json!({"shop": {"$like": "c\\_d"}}), "coalesce(shop LIKE 'c\\_d', false)"),
        (json!({"tags": ["x"]}), "coalesce(tags @> '{x}', false)"),
        (json!({"tags": "y"}), "coalesce(tags @> '{y}', false)"),
        (json!({"tags": {"$contains": ["x", "y"]}}), "coalesce(tags @> '{x,y}', false)"),
        (json!({"tags": {"$eq": ["x"]}}), "coalesce(tags = '{x}', false)"),
        (json!({"tags": {"$in": [["x"], []]}}), "coalesce(tags IN ('{x}', '{}'), false)"),
        (json!({"tags": {"$exists": false}}), "tags IS NULL"),
        (json!({"nums": 2}), "coalesce(nums @> '{2}', false)"),
        (json!({"nums": {"$gt": [2]}}), "coalesce(nums > '{2}', false)"),
        (json!({"attributes": {"color": "red"}}), "coalesce(attributes @> '{\"color\": \"red\"}', false)"),
        (json!({"attributes.color": "red"}), "coalesce(attributes -> 'color' = '\"red\"', false)"),
        (
            json!({"attributes.color": {"$ne": "red"}}),
            "NOT coalesce(attributes -> 'color' = '\"red\"', false)",
        ),
        (
            json!({"attributes.color": {"$contains": "red"}}),
            "coalesce(attributes -> 'color' @> '\"red\"', false)",
        ),
        (json!({"attributes.color.0": "red"}), "coalesce(attributes #> '{color,0}' = '\"red\"', false)"),
        (json!({"attributes.color": {"$exists": true}}), "coalesce(attributes -> 'color' <> 'null', false)"),
        (
            json!({"attributes.size": {"$lte": 3}}),
            "CASE WHEN jsonb_typeof(attributes -> 'size') = 'number' THEN (attributes ->> 'size')::numeric <= 3 ELSE false END",
        ),
        (
            json!({"attributes.size": {"$in": [3, "3"]}}),
            "coalesce(attributes -> 'size' IN ('3', '\"3\"'), false)",
        ),
    ];
    let (filter, sql) = chance.pick(&pairs);
    (filter.clone(), (*sql).to_owned())
}

fn leaf(chance: &Chance) -> Pair {
    let (filter, sql) = if chance.below(2) == 0 { of_ordered(chance) } else { of_others(chance) };
    if !sql.is_empty() {
        return (filter, sql);
    }
    // `$nin` has the opposite condition of `$in` with the same values.
    let (name, values) = filter
        .as_object()
        .and_then(|members| members.iter().next())
        .map(|(name, operators)| (name.clone(), operators["$nin"].as_array().cloned().unwrap_or_default()))
        .unwrap_or_default();
    let of = ORDERED.iter().find(|(column, ..)| *column == name).map_or("text", |(_, of, _)| of);
    let values: Vec<_> = values.iter().map(|value| literal(&value.to_string(), of)).collect();
    (filter, format!("NOT coalesce({name} IN ({}), false)", values.join(", ")))
}

fn pair(chance: &Chance, depth: usize) -> Pair {
    if depth == 0 {
        return leaf(chance);
    }
    let parts: Vec<Pair> = (0..1 + chance.below(3)).map(|_| pair(chance, depth - 1)).collect();
    let (filters, conditions): (Vec<Value>, Vec<String>) = parts.into_iter().unzip();
    match chance.below(4) {
        0 => (json!({ "$and": filters }), format!("({})", conditions.join(" AND "))),
        1 => (json!({ "$or": filters }), format!("({})", conditions.join(" OR "))),
        2 => (json!({ "$not": filters }), format!("NOT ({})", conditions.join(" OR "))),
        _ => leaf(chance),
    }
}

/// The rows that a search with a filter finds, by number.
pub async fn found(session: &Session, filter: &Value, mode: &str) -> Result<String> {
    let sql = "SELECT coalesce(string_agg(id::text, ' ' ORDER BY id), '')
               FROM rag.search('c', 'parcel', k => 1000, mode => $1, filter => $2::text::jsonb) s,
                    LATERAL (SELECT (s.source_key ->> 'id')::int AS id) k";
    session.value_of(sql, &[&mode, &filter.to_string()]).await.with_context(|| format!("{filter}"))
}

async fn random_filters_find_what_sql_finds() -> Result<()> {
    let session = shared().await?.session().await?;
    let reader: String = session.value("SELECT 'reader_of_' || current_database()").await?;
    session
        .batch_execute(&format!(
            "SET TimeZone = 'Europe/Berlin'; {TABLE}; CREATE ROLE {reader}; GRANT SELECT ON t TO {reader};
             ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t TO {reader} USING (id % 3 > 0)"
        ))
        .await?;
    let chance = Chance::of(Chance::seed("RAGSTONE_FILTERS"));
    let mut sizes = Vec::new();
    for role in ["NONE", &reader] {
        session.batch_execute(&format!("SET ROLE {role}")).await?;
        for _ in 0..150 {
            let (filter, condition) = pair(&chance, chance.below(3));
            let expected: String = session
                .value(&format!(
                    "SELECT coalesce(string_agg(id::text, ' ' ORDER BY id), '') FROM t WHERE {condition}"
                ))
                .await
                .with_context(|| condition.clone())?;
            let mode = *chance.pick(&["text", "vector", "hybrid"]);
            let found = found(&session, &filter, mode).await?;
            ensure!(found == expected, "{filter} as {role}, {mode}: {found}, by {condition}: {expected}");
            let rows = expected.split_whitespace().count() as i64;
            let counts = "SELECT ARRAY[rag.count('c', filter => $1::text::jsonb), rag.count('c', 'parcel', $1::text::jsonb)]";
            let counted: Vec<i64> = session.value_of(counts, &[&filter.to_string()]).await?;
            ensure!(counted == [rows, rows], "{filter} as {role} counts {counted:?}, by {condition}: {rows}");
            sizes.push(rows);
        }
    }
    // Filters that find everything or nothing would show nothing.
    let telling = sizes.iter().filter(|rows| (1..80).contains(*rows)).count();
    ensure!(telling > 100, "{telling} filters find some of the rows");
    Ok(())
}

async fn a_row_without_the_value_meets_what_is_negated() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text, price int);
             INSERT INTO t VALUES (1, 'parcel', 5), (2, 'parcel', 7), (3, 'parcel', NULL);
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual', metadata => '{price}')",
        )
        .await?;
    for (filter, rows) in [
        (json!({"price": {"$ne": 5}}), "2 3"),
        (json!({"price": {"$nin": [5, 7]}}), "3"),
        (json!({"price": {"$not": {"$gt": 5}}}), "1 3"),
        (json!({"$not": {"price": {"$between": [5, 6]}}}), "2 3"),
        (json!({"price": {"$ne": 5, "$exists": true}}), "2"),
        (json!({"price": null}), "3"),
        (json!({"price": {"$ne": null}}), "1 2"),
        (json!({"price": {"$in": [5, null]}}), "1 3"),
        (json!({"price": {"$nin": [5, null]}}), "2"),
        (json!({"$not": {"$not": {"price": {"$gt": 5}}}}), "2"),
    ] {
        let found = found(&session, &filter, "text").await?;
        ensure!(found == rows, "{filter} finds {found:?}, not {rows:?}");
    }
    Ok(())
}

async fn values_are_compared_in_their_own_types() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text, n numeric, at timestamptz, code char(5), paid money, spot point);
             INSERT INTO t VALUES (1, 'parcel', 9, '2026-01-01 23:30+00', 'ab', '9.50', '(1,2)'),
               (2, 'parcel', 10, '2026-01-02 00:30+00', 'abc', '10.25', '(3,4)'),
               (3, 'parcel', 12345678901234567890.1234567890123456789, NULL, NULL, NULL, NULL);
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual', metadata => '{n,at,code,paid,spot}')",
        )
        .await?;
    for (zone, filter, rows) in [
        ("UTC", r#"{"n": {"$lt": "10"}}"#, "1"),
        ("UTC", r#"{"n": 12345678901234567890.1234567890123456789}"#, "3"),
        ("UTC", r#"{"n": {"$gt": 12345678901234567890.1234567890123456788}}"#, "3"),
        ("UTC", r#"{"at": {"$gte": "2026-01-02"}}"#, "2"),
        ("Europe/Berlin", r#"{"at": {"$gte": "2026-01-02"}}"#, "1 2"),
        ("Asia/Tokyo", r#"{"at": {"$gte": "2026-01-02T09:30:00+09:00"}}"#, "2"),
        ("UTC", r#"{"code": "ab"}"#, "1"),
        ("UTC", r#"{"code": {"$gt": "ab"}}"#, "2"),
        ("UTC", r#"{"paid": {"$gt": "9.99"}}"#, "2"),
        ("UTC", r#"{"spot": "( 1 , 2 )"}"#, "1"),
        ("UTC", r#"{"spot": {"$ne": "(1,2)"}}"#, "2 3"),
    ] {
        session.batch_execute(&format!("SET TimeZone = '{zone}'")).await?;
        let sql = "SELECT coalesce(string_agg(source_key ->> 'id', ' ' ORDER BY source_key), '')
                   FROM rag.search('c', 'parcel', filter => $1::text::jsonb)";
        let found: String = session.value_of(sql, &[&filter]).await?;
        ensure!(found == rows, "{filter} in {zone} finds {found:?}, not {rows:?}");
    }
    Ok(())
}

async fn what_is_no_filter_is_refused_with_what_there_is() -> Result<()> {
    let session = shared().await?.session().await?;
    session.batch_execute(TABLE).await?;
    for (filter, code, message, hint) in [
        (
            r#"{"prise": 1}"#,
            "42703",
            "column \"prise\" of the filter",
            "Perhaps you meant \"price\". The columns are price, shop",
        ),
        (r#"{"price": {"$less": 1}}"#, "22023", "unknown operator \"$less\"", "$lt"),
        (r#"{"price": {"lt": 1}}"#, "22023", "unknown operator \"lt\"", "The operators are $eq"),
        (r#"{"price.x": 1}"#, "42703", "column \"price\" has type numeric", "jsonb"),
        (r#"{"shop": 1}"#, "22023", "expects a string, not a number", "text"),
        (r#"{"shop": {"$like": "a\\"}}"#, "22023", "ends with a backslash", "two backslashes"),
        (r#"{"price": [1, 2]}"#, "22023", "not an array", "$in"),
        (r#"{"price": "cheap"}"#, "22P02", "cheap", ""),
        (r#"{"price": true}"#, "22P02", "true", ""),
        (r#"{"day": {"$gt": "2026-02-31"}}"#, "22008", "2026-02-31", ""),
        (r#"{"mood": "bored"}"#, "22P02", "bored", ""),
        (r#"{"u": {"$in": ["1"]}}"#, "22P02", "uuid", ""),
        (r#"{"nums": {"$contains": "x"}}"#, "22P02", "x", ""),
        ("[]", "22023", "must be a JSON object", ""),
    ] {
        for call in [
            "rag.search('c', 'parcel', filter => $1::text::jsonb)",
            "rag.count('c', filter => $1::text::jsonb)",
        ] {
            let refusal = session.refusal_of(&format!("SELECT * FROM {call}"), &[&filter]).await?;
            refusal
                .expect(code, message, hint)
                .with_context(|| format!("{filter} in {call}: {refusal:?}"))?;
        }
    }
    let refusal =
        session.refusal("SELECT * FROM rag.search('c', 'x', filter => '{\"day\": \"soon\"}')").await?;
    ensure!(refusal.detail.contains("column \"day\""), "{refusal:?}");
    Ok(())
}

async fn an_answer_takes_the_same_filters() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text, year int);
             INSERT INTO t VALUES (1, 'The harbour gate opens at seven.', 2020), (2, 'The harbour gate opens at nine.', 2024);
             SELECT rag.create_collection('c', 't', 'body', metadata => '{year}')",
        )
        .await?;
    current(&session).await?;
    let sql =
        "SELECT citations -> 0 -> 'source_key' ->> 'id' FROM rag.ask('c', 'When does the harbour gate open?',
               model => 'local/extractive', filter => '{\"year\": {\"$gt\": 2022}}')";
    let cited: String = session.value(sql).await?;
    ensure!(cited == "2", "row {cited} is cited");
    session
        .refusal("SELECT * FROM rag.ask('c', 'When does the harbour gate open?', filter => '{\"jear\": 1}')")
        .await?
        .expect("42703", "jear", "year")
}
