use crate::filter::{
    Check, ColumnKind, Condition, FilterColumn, FilterError, FilterFault, Operand, Relation, Test, parse,
};

fn columns() -> Vec<FilterColumn> {
    let column = |name: &str, kind, type_name: &str| FilterColumn {
        name: name.to_owned(),
        kind,
        type_name: type_name.to_owned(),
    };
    vec![
        column("price", ColumnKind::Ordered, "numeric"),
        column("shop", ColumnKind::Text, "text"),
        column("tags", ColumnKind::Array, "text[]"),
        column("a", ColumnKind::Json, "jsonb"),
        column("a.b", ColumnKind::Ordered, "integer"),
        column("place", ColumnKind::Unordered, "point"),
    ]
}

fn parsed(json: &str) -> Condition {
    parse(json, &columns()).unwrap_or_else(|error| panic!("{json}: {error:?}"))
}

fn refused(json: &str) -> FilterError {
    match parse(json, &columns()) {
        Err(error) => error,
        Ok(condition) => panic!("{json} is {condition:?}"),
    }
}

fn test(column: usize, path: &[&str], check: Check) -> Condition {
    Condition::Test(Test { column, path: path.iter().map(|part| (*part).to_owned()).collect(), check })
}

fn operand(json: &str) -> Operand {
    let text = match json.as_bytes()[0] {
        b'"' => Some(json.trim_matches('"').to_owned()),
        b'[' | b'{' => None,
        _ => Some(json.to_owned()),
    };
    Operand { json: json.to_owned(), text }
}

fn equal(json: &str) -> Check {
    Check::Compare(Relation::Equal, operand(json))
}

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

#[test]
fn a_plain_value_is_an_equality_or_a_containment() {
    assert_eq!(parsed(r#"{"price": 1}"#), test(0, &[], equal("1")));
    assert_eq!(parsed(r#"{"price": "1.50"}"#), test(0, &[], equal("\"1.50\"")));
    assert_eq!(parsed(r#"{"shop": {"$eq": "a"}}"#), parsed(r#"{"shop": "a"}"#));
    assert_eq!(parsed(r#"{"shop": null}"#), not(test(1, &[], Check::Exists)));
    assert_eq!(parsed(r#"{"tags": ["x"]}"#), test(2, &[], Check::Contains(operand("[\"x\"]"))));
    assert_eq!(parsed(r#"{"tags": "x"}"#), test(2, &[], Check::Contains(operand("[\"x\"]"))));
    assert_eq!(parsed(r#"{"a": {"k": 1}}"#), test(3, &[], Check::Contains(operand("{\"k\": 1}"))));
    assert_eq!(parsed(r#"{"a": 5}"#), test(3, &[], equal("5")));
    assert!(parsed("{}").is_empty());
}

#[test]
fn numbers_keep_their_digits() {
    let digits = "12345678901234567890.1234567890123456789";
    assert_eq!(parsed(&format!("{{\"price\": {digits}}}")), test(0, &[], equal(digits)));
}

#[test]
fn a_path_leads_into_json_and_the_longest_column_counts() {
    assert_eq!(parsed(r#"{"a.color": "red"}"#), test(3, &["color"], equal("\"red\"")));
    assert_eq!(parsed(r#"{"a.b": 1}"#), test(4, &[], equal("1")));
    assert_eq!(parsed(r#"{"a.c.d": 1}"#), test(3, &["c", "d"], equal("1")));
    assert_eq!(refused(r#"{"a..c": 1}"#).fault, FilterFault::Invalid);
    let error = refused(r#"{"price.x": 1}"#);
    assert_eq!(error.fault, FilterFault::UnknownColumn);
    assert!(error.message.contains("numeric") && error.message.contains("\"price.x\""), "{error:?}");
}

#[test]
fn negations_are_the_opposite_of_the_condition() {
    assert_eq!(parsed(r#"{"price": {"$ne": 1}}"#), not(parsed(r#"{"price": 1}"#)));
    assert_eq!(parsed(r#"{"price": {"$nin": [1]}}"#), not(parsed(r#"{"price": {"$in": [1]}}"#)));
    assert_eq!(parsed(r#"{"$not": {"price": 1}}"#), not(parsed(r#"{"price": 1}"#)));
    assert_eq!(parsed(r#"{"price": {"$not": {"$gt": 1}}}"#), not(parsed(r#"{"price": {"$gt": 1}}"#)));
    assert_eq!(parsed(r#"{"$not": {"price": {"$ne": 1}}}"#), parsed(r#"{"price": 1}"#));
    assert_eq!(parsed(r#"{"price": {"$ne": null}}"#), test(0, &[], Check::Exists));
    assert_eq!(parsed(r#"{"price": {"$exists": false}}"#), parsed(r#"{"price": null}"#));
    let none = parsed(r#"{"$not": [{"price": 1}, {"shop": "a"}]}"#);
    assert_eq!(none, not(parsed(r#"{"$or": [{"price": 1}, {"shop": "a"}]}"#)));
}

#[test]
fn conditions_are_joined() {
    let both = parsed(r#"{"price": {"$between": [1, 2]}, "shop": {"$ilike": "A%"}}"#);
    let like = Check::Like { pattern: "A%".into(), ignores_case: true };
    assert_eq!(
        both.conjuncts(),
        [
            test(0, &[], Check::Compare(Relation::GreaterOrEqual, operand("1"))),
            test(0, &[], Check::Compare(Relation::LessOrEqual, operand("2"))),
            test(1, &[], like),
        ]
    );
    let either = parsed(r#"{"$or": [{"price": {"$lt": 1}}, {"$and": [{"shop": "a"}, {"price": 5}]}]}"#);
    let Condition::Any(either) = either else { panic!("{either:?}") };
    assert_eq!(either[1], Condition::All(vec![parsed(r#"{"shop": "a"}"#), parsed(r#"{"price": 5}"#)]));
    let with_null = parsed(r#"{"price": {"$in": [1, null]}}"#);
    let among = test(0, &[], Check::In(vec![operand("1")]));
    assert_eq!(with_null, Condition::Any(vec![among, not(test(0, &[], Check::Exists))]));
}

#[test]
fn unknown_names_are_refused_with_those_that_there_are() {
    let error = refused(r#"{"prise": 1}"#);
    assert_eq!(error.fault, FilterFault::UnknownColumn);
    assert!(error.message.contains("\"prise\""), "{error:?}");
    assert_eq!(error.hint, "Perhaps you meant \"price\". The columns are price, shop, tags, a, a.b, place.");
    for (json, name) in [
        (r#"{"price": {"$lessthan": 1}}"#, "$lessthan"),
        (r#"{"price": {"lt": 1}}"#, "lt"),
        (r#"{"$nor": [{"price": 1}]}"#, "$nor"),
    ] {
        let error = refused(json);
        assert_eq!(error.fault, FilterFault::Invalid);
        assert_eq!(error.message, format!("unknown operator \"{name}\" in the filter"));
        assert!(error.hint.contains("The operators are $eq $ne"), "{error:?}");
    }
    let forgotten = refused(r#"{"price": {"lt": 1}}"#);
    assert!(forgotten.hint.starts_with("Perhaps you meant $lt. "), "{forgotten:?}");
}

#[test]
fn values_of_another_json_type_are_refused() {
    for json in [
        "null",
        "[]",
        "1",
        "\"x\"",
        r#"{"$or": []}"#,
        r#"{"$or": {"price": 1}}"#,
        r#"{"$and": [1]}"#,
        r#"{"$lt": 1}"#,
        r#"{"price": {}}"#,
        r#"{"price": [1, 2]}"#,
        r#"{"price": {"$lt": null}}"#,
        r#"{"price": {"$lt": [1]}}"#,
        r#"{"price": {"$between": [1]}}"#,
        r#"{"price": {"$between": 1}}"#,
        r#"{"price": {"$in": 1}}"#,
        r#"{"price": {"$exists": 1}}"#,
        r#"{"price": {"$like": "1%"}}"#,
        r#"{"price": {"$contains": 1}}"#,
        r#"{"price": {"$and": [{"$lt": 1}]}}"#,
        r#"{"shop": 1}"#,
        r#"{"shop": {"$contains": "a"}}"#,
        r#"{"shop": {"$like": 5}}"#,
        r#"{"shop": {"$like": "a\\"}}"#,
        r#"{"tags": {"$eq": "x"}}"#,
        r#"{"tags": [null]}"#,
        r#"{"tags": {"$like": "x"}}"#,
        r#"{"place": {"$lt": "(1,2)"}}"#,
        r#"{"a": {"$lt": true}}"#,
        r#"{"a": {"$eq": 1, "b": 2}}"#,
    ] {
        let error = refused(json);
        assert_eq!(error.fault, FilterFault::Invalid, "{json}: {error:?}");
        assert!(!error.hint.is_empty(), "{json}: {error:?}");
    }
    assert!(parse(r#"{"shop": {"$like": "a\\\\"}}"#, &columns()).is_ok());
}

#[test]
fn a_filter_has_a_limited_size() {
    let many = vec![r#"{"price": 1}"#; 1_001].join(", ");
    assert_eq!(refused(&format!("{{\"$or\": [{many}]}}")).fault, FilterFault::TooLarge);
    let few = vec![r#"{"price": 1}"#; 1_000].join(", ");
    parsed(&format!("{{\"$or\": [{few}]}}"));
    for depth in [33, 200, 20_000] {
        let deep = format!("{}{{\"price\": 1}}{}", "{\"$not\": ".repeat(depth), "}".repeat(depth));
        assert_eq!(refused(&deep).fault, FilterFault::TooLarge, "{depth}");
    }
}
