//! The filters that users of LangChain's and LlamaIndex's stores in PostgreSQL write, and the rows that they find.

use crate::filters::found;
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![filters_of_vector_stores_find_the_same_rows]
}

/// Filters, and the rows that they find among three.
const CASES: [(&str, &str); 56] = [
    // Filters of LangChain's and LlamaIndex's PostgreSQL stores, and the rows that they find among three.
    // Equality.
    (r#"{}"#, "1 2 3"),
    (r#"{"id": 1}"#, "1"),
    (r#"{"name": "adam"}"#, "1"),
    (r#"{"active": true}"#, "1 3"),
    (r#"{"active": false}"#, "2"),
    (r#"{"id": 1, "active": true}"#, "1"),
    (r#"{"id": 1, "active": false}"#, ""),
    // Comparisons.
    (r#"{"id": {"$eq": 1}}"#, "1"),
    (r#"{"id": {"$ne": 1}}"#, "2 3"),
    (r#"{"id": {"$gt": 1}}"#, "2 3"),
    (r#"{"id": {"$gte": 1}}"#, "1 2 3"),
    (r#"{"id": {"$lt": 1}}"#, ""),
    (r#"{"id": {"$lte": 1}}"#, "1"),
    (r#"{"name": {"$gt": "jane"}}"#, ""),
    (r#"{"name": {"$gte": "jane"}}"#, "3"),
    (r#"{"name": {"$lt": "jane"}}"#, "1 2"),
    (r#"{"active": {"$ne": true}}"#, "2"),
    (r#"{"height": {"$gt": 5.0}}"#, "1 2"),
    (r#"{"height": {"$lte": 5.8}}"#, "2 3"),
    (r#"{"day": {"$eq": "2021-01-02"}}"#, "2"),
    (r#"{"day": {"$lt": "2021-01-02"}}"#, "1 3"),
    // Junctions.
    (r#"{"$or": [{"id": 1}, {"id": 2}]}"#, "1 2"),
    (r#"{"$or": [{"id": 1}, {"name": "bob"}]}"#, "1 2"),
    (r#"{"$and": [{"id": 1}, {"id": 2}]}"#, ""),
    (r#"{"$and": [{"active": true}, {"height": {"$lt": 5}}]}"#, "3"),
    (r#"{"$or": [{"id": {"$eq": 1}}, {"$and": [{"id": {"$gt": 1}}, {"active": true}]}]}"#, "1 3"),
    (r#"{"$not": {"id": 1}}"#, "2 3"),
    (r#"{"$not": [{"id": 1}]}"#, "2 3"),
    (r#"{"$not": {"name": "adam"}}"#, "2 3"),
    (r#"{"$not": [{"active": true}, {"id": 2}]}"#, ""),
    (r#"{"$not": {"height": {"$gt": 5.0}}}"#, "3"),
    (r#"{"$not": {"joy": {"$gt": 0.85}}}"#, "2 3"),
    // Sets and ranges.
    (r#"{"id": {"$between": [1, 2]}}"#, "1 2"),
    (r#"{"id": {"$between": [1, 1]}}"#, "1"),
    (r#"{"name": {"$in": ["adam", "bob"]}}"#, "1 2"),
    (r#"{"name": {"$in": []}}"#, ""),
    (r#"{"name": {"$nin": ["adam", "bob"]}}"#, "3"),
    // Patterns.
    (r#"{"name": {"$like": "a%"}}"#, "1"),
    (r#"{"name": {"$like": "%a%"}}"#, "1 3"),
    (r#"{"name": {"$ilike": "A%"}}"#, "1"),
    (r#"{"name": {"$like": "A%"}}"#, ""),
    // Missing values.
    (r#"{"joy": {"$exists": true}}"#, "1 2"),
    (r#"{"joy": {"$exists": false}}"#, "3"),
    (r#"{"name": {"$exists": false}}"#, ""),
    // Arrays and JSON, as LlamaIndex's CONTAINS, ANY and ALL, and its comparisons of strings and numbers.
    (r#"{"tags": {"$contains": "a"}}"#, "1"),
    (r#"{"tags": ["b", "c"]}"#, "2"),
    (r#"{"$or": [{"tags": "a"}, {"tags": "d"}]}"#, "1 3"),
    (r#"{"meta.author": "gigi"}"#, "1"),
    (r#"{"meta.author": {"$ne": "gigi"}}"#, "2 3"),
    (r#"{"meta.author": {"$in": ["gigi", "rigi"]}}"#, "1 2"),
    (r#"{"meta.author": {"$nin": ["gigi"]}}"#, "2 3"),
    (r#"{"meta.author": {"$exists": false}}"#, "3"),
    (r#"{"meta.rank": {"$gt": 1}}"#, "2"),
    (r#"{"meta.rank": {"$lte": 5}}"#, "1 2"),
    (r#"{"meta.rank": {"$gte": "c"}}"#, "3"),
    (r#"{"meta": {"author": "rigi", "rank": 5}}"#, "2"),
];

async fn filters_of_vector_stores_find_the_same_rows() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text, name text, day date, n int, active boolean, tags text[], height float8,
                             joy float8, meta jsonb);
             INSERT INTO t VALUES
               (1, 'parcel', 'adam', '2021-01-01', 1, true, '{a,b}', 10.0, 0.9, '{\"author\": \"gigi\", \"rank\": 1}'),
               (2, 'parcel', 'bob', '2021-01-02', 2, false, '{b,c}', 5.7, 0.8, '{\"author\": \"rigi\", \"rank\": 5}'),
               (3, 'parcel', 'jane', '2021-01-01', 3, true, '{b,d}', 2.4, NULL, '{\"rank\": \"c\"}');
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual',
               metadata => '{id,name,day,n,active,tags,height,joy,meta}')",
        )
        .await?;
    for (filter, rows) in CASES {
        for mode in ["text", "vector"] {
            let found = found(&session, &serde_json::from_str(filter)?, mode).await?;
            ensure!(found == rows, "{filter} finds {found:?} in mode {mode}, not {rows:?}");
        }
    }
    Ok(())
}
