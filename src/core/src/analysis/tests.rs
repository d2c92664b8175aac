use super::*;
use std::collections::HashSet;

const ALL: Rules =
    Rules { normalises: true, folds_accents: false, splits_compounds: true, makes_bigrams: true };

/// The words of a text for a parser that knows letters and digits, and words with hyphens.
fn words(text: &str, rules: Rules) -> HashSet<String> {
    let Analysed { words, parts } = analyse(text, rules);
    let is_inside = |character: char| character.is_alphanumeric() || character == '-';
    let mut found: HashSet<String> = words.words.into_iter().chain(parts.words).collect();
    for text in [words.text, parts.text] {
        for word in text.split(|character: char| !is_inside(character)).filter(|word| !word.is_empty()) {
            found.insert(word.to_lowercase());
            found.extend(word.split('-').filter(|part| !part.is_empty()).map(str::to_lowercase));
        }
    }
    found
}

fn finds(document: &str, query: &str) -> bool {
    !words(document, ALL).is_disjoint(&words(query, ALL))
}

#[test]
fn compound_tokens_are_found_whole_and_by_their_parts() {
    for (document, queries) in [
        ("Order AB-1234-XK today.", &["AB-1234-XK", "ab1234xk", "1234", "XK"][..]),
        ("It fails with ORA-00942: table", &["ORA-00942", "942", "00942", "ora"]),
        ("see CVE-2024-3094.", &["CVE-2024-3094", "3094", "cve"]),
        ("part 4711-0815", &["0815", "4711", "815", "47110815"]),
        ("at -40 °C", &["40", "-40"]),
        ("since v2.3.1, fixed", &["2.3.1", "v2.3.1"]),
        ("of input/output and read/write", &["input", "write", "read/write"]),
        ("edit config.ini", &["config", "ini", "config.ini"]),
        ("for Node.js only", &["node", "node.js"]),
        ("in pump_controller.py", &["controller", "pump", "pump_controller", "pump_controller.py"]),
        (
            "at https://example.org/docs/setup.html?lang=de#top",
            &["setup.html", "setup", "example.org", "docs", "lang"],
        ),
        ("edit /etc/pumpd.conf.", &["etc", "pumpd.conf", "/etc/pumpd.conf", "conf"]),
        ("mail jane.doe@example.org!", &["example.org", "jane", "jane.doe@example.org", "doe"]),
        (
            "a java.lang.NullPointerException",
            &["NullPointerException", "pointer", "java.lang.NullPointerException"],
        ),
        ("of foo.bar.Baz()", &["Baz", "bar"]),
        ("getUserById(7)", &["get user", "getUserById", "getuserbyid"]),
        ("like AT&T", &["AT&T"]),
        ("costs 1,234.56", &["1234.56", "1,234.56", "1.234,56"]),
        ("ISBN 978-3-16-148410-0", &["9783161484100"]),
        ("in C++ or C#", &["C++", "C#"]),
        ("std::vector<T> and Vec<foo::Bar>", &["vector", "std::vector"]),
        ("error F7731", &["7731", "f7731"]),
        ("C:\\Users\\jane\\notes.txt", &["notes.txt", "users", "notes"]),
        ("an e-mail", &["email", "e-mail", "mail"]),
        ("in the U.S.A. since", &["USA", "U.S.A."]),
        ("x86_64-linux-gnu", &["linux", "x86_64"]),
        ("192.168.1.10:8080", &["192.168.1.10", "8080"]),
        ("see <https://example.com/docs/setup.html>", &["setup.html", "docs", "example.com"]),
        ("from <jane.doe@example.org>", &["jane.doe@example.org", "jane", "example.org"]),
        ("in <setup.html/>", &["setup.html", "setup"]),
    ] {
        for query in queries {
            assert!(
                finds(document, query),
                "{query} in {document}: {:?} {:?}",
                words(query, ALL),
                words(document, ALL)
            );
        }
    }
}

#[test]
fn what_is_no_compound_is_left_to_the_parser() {
    for text in [
        "The quick brown fox doesn't jump; it sleeps (at 7).",
        "Ein Satz mit Umlauten: größe, Straße.",
        "a <b class=\"x/y.z\">bold</b> word &amp; &#39;quoted&#39; &#x27;",
        "a <b/>tag</b> <h1>, <ns:tag k=\"a@b.c\"/> <!--a.b--> <?xml version=\"1.0\"?> Vec<foo> <",
        "wait... what -- nothing",
        "",
    ] {
        let analysed = analyse(text, ALL);
        assert_eq!((analysed.words.text.as_str(), analysed.words.words.as_slice()), (text, &[][..]));
        assert_eq!(analysed.parts, Found::default());
    }
}

#[test]
fn what_follows_an_address_is_no_tag() {
    let analysed = analyse("<mailto:a.b@c.de?hello world> again", ALL);
    assert_eq!(analysed.words.text, "<  ?hello world> again");
}

#[test]
fn parts_are_no_further_occurrences() {
    let analysed = analyse("see config.ini and get_user, a well-known getName", ALL);
    assert_eq!(analysed.words.words, ["config.ini"]);
    assert_eq!(
        words(&analysed.words.text, Rules { splits_compounds: false, ..ALL }),
        HashSet::from(["see", "and", "get", "user", "a", "well", "known", "getname"].map(str::to_owned))
    );
    assert!(analysed.parts.words.is_empty());
    assert!(
        analysed.parts.text.contains(" getuser ") && analysed.parts.text.contains(" Name "),
        "{:?}",
        analysed.parts
    );
}

#[test]
fn a_compound_token_is_indexed_in_one() {
    for (word, expected) in [("ab-12", Some("ab12")), ("_a_b~c+", Some("abc")), ("ab-", None), ("_ab", None)]
    {
        assert_eq!(joined(word).as_deref(), expected, "{word}");
    }
}

#[test]
fn numbers_have_one_spelling() {
    for (token, expected) in [
        ("1,234.56", &["1234.56"][..]),
        ("1.234,56", &["1234.56"]),
        ("1,234,567", &["1234567"]),
        ("1,234", &["1.234", "1234"]),
        ("3.14", &["3.14"]),
        ("0,5", &["0.5"]),
    ] {
        assert_eq!(numbers::spellings(token).unwrap(), expected);
    }
    for token in ["2.3.1", "31.12.2025", "1,2,3", "1234", "12,34.5", "1.2.3,4"] {
        assert_eq!(numbers::spellings(token), None, "{token}");
    }
}

#[test]
fn scripts_without_spaces_are_found_by_pairs() {
    assert_eq!(analyse("数据库", ALL).words.words, ["数据", "据库"]);
    assert_eq!(analyse("数据库", ALL).parts.words, ["库"]);
    assert_eq!(analyse("库", ALL).words.words, ["库"]);
    assert_eq!(analyse_query("数据库", ALL).parts, Found::default());
    assert_eq!(analyse("データベース2台", ALL).words.words, ["デー", "ータ", "タベ", "ベー", "ース", "台"]);
    assert!(finds("PostgreSQL是一个数据库系统。", "数据库"));
    assert!(finds("ฐานข้อมูล", "ข้อมูล"));
    assert!(finds("데이터베이스를 만든다", "데이터베이스"));
    assert!(finds("ﾃﾞｰﾀ", "データ"), "halfwidth");
    let whole = analyse("数据库", Rules { makes_bigrams: false, ..ALL });
    assert_eq!((whole.words.text.as_str(), whole.words.words.len()), ("数据库", 0));
}

#[test]
fn one_spelling_for_what_looks_the_same() {
    for (document, query) in [
        ("ＡＢＣ１２３", "abc123"),
        ("oﬃce", "office"),
        ("data\u{ad}base", "database"),
        ("Gro\u{308}ße", "Größe"),
        ("H₂O", "H2O"),
        ("as said¹", "said"),
        ("an e\u{2011}mail", "email"),
        ("part AB\u{2010}1234", "AB-1234"),
        ("Foo™", "foo"),
    ] {
        assert!(finds(document, query), "{query}: {:?}", words(document, ALL));
    }
    let folded = Rules { folds_accents: true, ..ALL };
    assert_eq!(
        words("Crème brûlée, Ångström, άλφα, ёлка, năm", folded),
        words("Creme brulee, Angstrom, αλφα, ёлка, nam", folded)
    );
    assert!(!words("Crème", ALL).contains("creme"));
}

#[test]
fn letters_outside_ascii_are_in_lower_case() {
    assert_eq!(analyse("ÉCOLE Ошибка <B>", ALL).words.text, "éCOLE ошибка <B>");
    assert_eq!(words("getÜbersicht", ALL), ["getübersicht", "get", "übersicht"].map(str::to_owned).into());
    let analysed = analyse("getÜbersicht ÖL-Ä7", ALL);
    assert!(analysed.words.text.contains(" getübersicht "), "{:?}", analysed.words);
    assert!(
        ["übersicht", "öLä7"].iter().all(|part| analysed.parts.text.contains(part)),
        "{:?}",
        analysed.parts
    );
    assert_eq!(analyse("ÉCOLE", Rules { normalises: false, ..ALL }).words.text, "ÉCOLE");
}

#[test]
fn accents_are_dropped_where_there_is_no_normal_form() {
    let rules = Rules { normalises: false, folds_accents: true, ..ALL };
    for (text, expected) in [
        ("Crème brûlée, Ångström", "creme brulee, angstrom"),
        ("a\u{301}b, άλφα ΰ, đ ß æ", "ab, αλφα υ, đ ß æ"),
        // These have no accent that is removed, and keep their form without NFKC.
        ("ёлка и\u{306}, ½ ﬁ Ω ﬗ\u{f900} \u{385}×", "ёлка и\u{306}, ½ ﬁ ω ﬗ\u{f900} \u{385}×"),
    ] {
        assert_eq!(in_lower_case(text, rules), expected);
    }
    assert_eq!(analyse("Crème", rules).words.text, "Creme");
    assert_eq!(analyse("Crème", Rules { folds_accents: false, ..rules }).words.text, "Crème");
}

#[test]
fn the_result_is_not_much_longer_than_the_text() {
    for unit in ["a/", "a-b_", "aB", "1,", "0.0", "x:", "é", "数", "<a", "-1 ", "a.b@c?d=e&f#"] {
        let text = unit.repeat(20_000);
        let analysed = analyse(&text, ALL);
        let length = |found: &Found| found.text.len() + found.words.iter().map(String::len).sum::<usize>();
        let length = length(&analysed.words) + length(&analysed.parts);
        assert!(length <= 8 * text.len() + 1_000, "{unit}: {length} bytes");
    }
}
