//! What [`encode`] makes of whole texts.

use std::fmt::Write;

use super::*;

mod generated;

fn encode_plain(json: impl AsRef<[u8]>) -> Result<Item, ItemError> {
    encode(json.as_ref(), &Outline::default()).map(|encoded| encoded.item)
}

#[test]
fn values_become_typed_values() {
    #[track_caller]
    fn check(json: &str, expected: &str, size: usize) {
        let item = encode_plain(json).unwrap();
        assert_eq!((item.json(), item.size()), (expected, size));
    }

    check("{}", "", 0);
    check(" \t\r\n{ \t\r\n} \t\r\n", "", 0);
    check(r#"{"a":"x"}"#, r#""a":{"S":"x"}"#, 2);
    check(r#"{"a":""}"#, r#""a":{"S":""}"#, 1);
    check(r#"{"a":1.50}"#, r#""a":{"N":"1.5"}"#, 4);
    check(r#"{"a":-0}"#, r#""a":{"N":"0"}"#, 2);
    check(r#"{"a":true,"b":false}"#, r#""a":{"BOOL":true},"b":{"BOOL":false}"#, 4);
    check(r#"{"a":null}"#, r#""a":{"NULL":true}"#, 2);
    check(r#"{"a":{},"b":[]}"#, r#""a":{"M":{}},"b":{"L":[]}"#, 8);
    check(r#"{"a":[1,"x",null]}"#, r#""a":{"L":[{"N":"1"},{"S":"x"},{"NULL":true}]}"#, 11);
    check(r#"{"a":[[],[[]]]}"#, r#""a":{"L":[{"L":[]},{"L":[{"L":[]}]}]}"#, 16);
    check(r#"{"a":{"bc":12,"d":{}}}"#, r#""a":{"M":{"bc":{"N":"12"},"d":{"M":{}}}}"#, 14);
    check(
        "{ \"a\" : [ 1 , { \"b\" : \"x\" } ] ,\n\"c\":\ttrue }",
        r#""a":{"L":[{"N":"1"},{"M":{"b":{"S":"x"}}}]},"c":{"BOOL":true}"#,
        16,
    );
    // The same member names in different objects are no duplicates.
    check(
        r#"{"a":{"a":{"a":1},"b":{"a":1}}}"#,
        r#""a":{"M":{"a":{"M":{"a":{"N":"1"}}},"b":{"M":{"a":{"N":"1"}}}}}"#,
        22,
    );
    // Names that the sink gives to attributes are free below the top.
    check(r#"{"a":{"PK":1,"_sink":2}}"#, r#""a":{"M":{"PK":{"N":"1"},"_sink":{"N":"2"}}}"#, 17);
    check(r#"{"pk":1,"Sk":2,"sink":3}"#, r#""pk":{"N":"1"},"Sk":{"N":"2"},"sink":{"N":"3"}"#, 14);
    // Escapes in values are kept, those in names are kept only where they are needed; sizes are of what they stand for.
    check(r#"{"a":"\u0041\n\/\ud83d\ude00é"}"#, r#""a":{"S":"\u0041\n\/\ud83d\ude00é"}"#, 10);
    check(r#"{"\u0061\/\n\"\u00e9":1}"#, r#""a/\u000a\"é":{"N":"1"}"#, 8);
    check(r#"{"a":{"\u0061\\":1}}"#, r#""a":{"M":{"a\\":{"N":"1"}}}"#, 9);
}

#[test]
fn what_is_no_json_is_refused() {
    #[track_caller]
    fn check(json: impl AsRef<[u8]>, at: usize, problem: &'static str) {
        let json = json.as_ref();
        assert_eq!(encode_plain(json).unwrap_err(), ItemError::InvalidJson { at, problem });
        // A member that is left out is read as strictly.
        let outer = [br#"{"omitted":"#, json, b"}"].concat();
        if problem != "expected the end of the text" {
            let outline = Outline { omit: &["omitted"], pick: &[] };
            let error = encode(&outer, &outline).unwrap_err();
            assert!(matches!(error, ItemError::InvalidJson { .. }), "{error}");
        }
    }

    for empty in ["", " ", "\n\t"] {
        check(empty, empty.len(), "expected a value");
    }
    check("\u{feff}{}", 0, "expected a value");
    check("{", 1, "expected a member name");
    check("{a:1}", 1, "expected a member name");
    check("{'a':1}", 1, "expected a member name");
    check("{1:1}", 1, "expected a member name");
    check(r#"{"a""#, 4, "expected `:`");
    check(r#"{"a" 1}"#, 5, "expected `:`");
    check(r#"{"a":}"#, 5, "expected a value");
    check(r#"{"a":1"#, 6, "expected `,` or `}`");
    check(r#"{"a":1]"#, 6, "expected `,` or `}`");
    check(r#"{"a":1 "b":2}"#, 7, "expected `,` or `}`");
    check(r#"{"a":1,}"#, 7, "expected a member name");
    check(r#"{"a":1,,"b":2}"#, 7, "expected a member name");
    check(r#"{,"a":1}"#, 1, "expected a member name");
    check(r#"{"a":[1,]}"#, 8, "expected a value");
    check(r#"{"a":[,1]}"#, 6, "expected a value");
    check(r#"{"a":[1 2]}"#, 8, "expected `,` or `]`");
    check(r#"{"a":[1}"#, 7, "expected `,` or `]`");
    check(r#"{"a":["#, 6, "expected a value");
    check("{}{}", 2, "expected the end of the text");
    check("{} x", 3, "expected the end of the text");
    check("{}\0", 2, "expected the end of the text");
    check("{}\u{c}", 2, "expected the end of the text");
    check("[1,2", 4, "expected `,` or `]`");
    for word in ["True", "nul", "tru", "fals", "NaN", "Infinity", "undefined", "/**/1"] {
        check(format!(r#"{{"a":{word}}}"#), 5, "expected a value");
    }
    check(r#"{"a":truely}"#, 9, "expected `,` or `}`");

    check(r#"{"a":01}"#, 5, "number with a leading zero");
    check(r#"{"a":-01.5}"#, 5, "number with a leading zero");
    check(r#"{"a":+1}"#, 5, "expected a value");
    check(r#"{"a":.5}"#, 5, "expected a value");
    check(r#"{"a":-}"#, 6, "expected a digit");
    check(r#"{"a":5.}"#, 7, "expected a digit");
    check(r#"{"a":5.e1}"#, 7, "expected a digit");
    check(r#"{"a":5e}"#, 7, "expected a digit");
    check(r#"{"a":5e+}"#, 8, "expected a digit");
    check(r#"{"a":0x10}"#, 6, "expected `,` or `}`");
    check(r#"{"a":1_000}"#, 6, "expected `,` or `}`");

    check(r#"{"a":"x"#, 7, "string without an end");
    check(r#"{"a"#, 3, "string without an end");
    check("{\"a\":\"x\ny\"}", 7, "control character in a string");
    check("{\"a\0\":1}", 3, "control character in a string");
    check(r#"{"a":"\x41"}"#, 6, "unknown escape in a string");
    check(r#"{"a":"\'"}"#, 6, "unknown escape in a string");
    check(r#"{"a":"x\"#, 7, "unknown escape in a string");
    check(r#"{"a":"\u00g0"}"#, 6, "escape without four hexadecimal digits");
    check(r#"{"a":"\u+041"}"#, 6, "escape without four hexadecimal digits");
    check(r#"{"a":"\ud83d\u12"}"#, 12, "escape without four hexadecimal digits");
}

#[test]
fn what_the_store_cannot_hold_is_refused() {
    #[track_caller]
    fn check(json: impl AsRef<[u8]>, code: &str, message: &str) {
        let error = encode_plain(json).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), (code, message));
    }

    check(b"{\"a\":\"\xc3\"}", "INVALID_UTF8", "invalid UTF-8 at byte 6");
    check(b"{\"a\":\"\xed\xa0\x80\"}", "INVALID_UTF8", "invalid UTF-8 at byte 6");
    check(r#"{"a":"x""#, "INVALID_JSON", "invalid JSON at byte 8: expected `,` or `}`");
    for json in ["null", "[{}]", "\"a\"", "1", " true "] {
        check(json, "NOT_AN_OBJECT", "the JSON text is not an object");
    }

    let lone_surrogate = ("LONE_SURROGATE", "lone surrogate in a string at byte 6");
    for escape in [
        r"\ud83d",
        r"\ude00",
        r"\ud83dx",
        r"\ud83d\n",
        r"\ud83d\u0041",
        r"\ud83d\ud83d",
        r"\ude00\ud83d",
    ] {
        check(format!(r#"{{"a":"{escape}"}}"#), lone_surrogate.0, lone_surrogate.1);
    }
    check(r#"{"\udfff":1}"#, "LONE_SURROGATE", "lone surrogate in a string at byte 2");

    let duplicate = "second member of the same name at byte";
    check(r#"{"a":1,"b":2,"a":3}"#, "DUPLICATE_MEMBER", &format!("{duplicate} 13"));
    check(r#"{"a":1,"\u0061":3}"#, "DUPLICATE_MEMBER", &format!("{duplicate} 7"));
    check(r#"{"a":{"b":1,"b":1}}"#, "DUPLICATE_MEMBER", &format!("{duplicate} 12"));
    check(
        r#"{"a":[{"é":1,"c":{"x":1},"\u00E9":1}]}"#,
        "DUPLICATE_MEMBER",
        &format!("{duplicate} 26"),
    );

    check(r#"{"":1}"#, "EMPTY_MEMBER_NAME", "empty member name at byte 1");
    check(r#"{"a":{"":1}}"#, "EMPTY_MEMBER_NAME", "empty member name at byte 6");
    let longest = "é".repeat(32_767) + "n";
    assert!(encode_plain(format!(r#"{{"{longest}":1}}"#)).is_ok());
    assert!(encode_plain(format!(r#"{{"a":{{"{longest}":1}}}}"#)).is_ok());
    let too_long = "member name of more than 65535 bytes at byte";
    check(format!(r#"{{"{longest}n":1}}"#), "NAME_TOO_LONG", &format!("{too_long} 1"));
    check(format!(r#"{{"a":{{"{longest}\u006e":1}}}}"#), "NAME_TOO_LONG", &format!("{too_long} 6"));

    let reserved = "top-level member with the reserved name";
    check(r#"{"PK":1}"#, "RESERVED_MEMBER", &format!("{reserved} `PK`"));
    check(r#"{"a":1,"SK":{}}"#, "RESERVED_MEMBER", &format!("{reserved} `SK`"));
    check(r#"{"_sink":null}"#, "RESERVED_MEMBER", &format!("{reserved} `_sink`"));
    check(r#"{"\u0050K":1}"#, "RESERVED_MEMBER", &format!("{reserved} `PK`"));

    let digits = "1".repeat(39);
    let too_precise = "number of more than 38 significant digits at byte 5";
    check(format!(r#"{{"a":{digits}}}"#), "NUMBER_TOO_PRECISE", too_precise);
    let out_of_range = "number outside the range of 1E-130 to below 1E+126 at byte";
    check(r#"{"a":-1e126}"#, "NUMBER_OUT_OF_RANGE", &format!("{out_of_range} 5"));
    check(r#"{"a":[1e-131]}"#, "NUMBER_OUT_OF_RANGE", &format!("{out_of_range} 6"));
}

#[test]
fn errors_do_not_show_names_or_values() {
    for json in [
        r#"{"PRIVATE":1,"PRIVATE":2}"#,
        r#"{"a":{"PRIVATE":1,"PRIVATE":2}}"#,
        r#"{"a":"PRIVATE\ud800"}"#,
        r#"{"a":"PRIVATE\x"}"#,
        r#""PRIVATE""#,
        r#"{"a":PRIVATE}"#,
    ] {
        let error = encode_plain(json).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("PRIVATE"), "{error}");
    }
    let outline = Outline { omit: &[], pick: &[&["name"]] };
    let encoded = encode(br#"{"name":"PRIVATE"}"#, &outline).unwrap();
    assert_eq!(
        format!("{encoded:?}"),
        "Encoded { item: Item { members: 1, size: 11, .. }, picked: [Some(String(..))] }"
    );
}

/// A value in so many lists or maps.
fn nested(levels: usize, value: &str) -> String {
    let mut json = String::new();
    for level in 0..levels {
        json.push_str(if level % 2 == 0 { "[" } else { r#"{"n":"# });
    }
    json.push_str(value);
    for level in (0..levels).rev() {
        json.push_str(if level % 2 == 0 { "]" } else { "}" });
    }
    json
}

#[test]
fn the_last_level_is_32() {
    let encode_nested =
        |levels, value| encode_plain(format!(r#"{{"a":{}}}"#, nested(levels, value)));
    for value in ["1", "null", r#""x""#, "[]", "{}"] {
        assert!(encode_nested(31, value).is_ok());
        // 15 maps with `{"n":` and 16 lists stand before the value that is too deep, and one list more.
        let too_deep =
            ItemError::NestedTooDeep { at: 5 + 16 * "[".len() + 16 * r#"{"n":"#.len(), limit: 32 };
        assert_eq!(encode_nested(32, value), Err(too_deep));
    }
    let deep = encode_nested(1_000_000, "1").unwrap_err();
    assert_eq!(deep.code(), "NESTED_TOO_DEEP");
    assert_eq!(deep.to_string(), "value nested deeper than 32 levels at byte 101");
}

#[test]
fn members_are_left_out() {
    #[track_caller]
    fn check(json: &str, omit: &[&str], expected: &str, size: usize) {
        let item = encode(json.as_bytes(), &Outline { omit, pick: &[] }).unwrap().item;
        assert_eq!((item.json(), item.size()), (expected, size));
        let without = encode_plain(format!("{{{}}}", expected_plain(json, omit))).unwrap();
        assert_eq!(item.shape(), without.shape());
    }

    /// The members that are not left out, given that each stands on a line of its own.
    fn expected_plain(json: &str, omit: &[&str]) -> String {
        let lines = json.lines().filter(|line| line.contains(':'));
        let is_kept =
            |line: &&str| !omit.iter().any(|name| line.starts_with(&format!("\"{name}\"")));
        lines.filter(is_kept).map(|line| line.trim_end_matches(',')).collect::<Vec<_>>().join(",")
    }

    let json = "{\n\"schema\":{\"type\":\"struct\",\"fields\":[{\"field\":\"a\"},{},[],true,false,null,-1.5e3]},\n\"payload\":{\"schema\":1}\n}";
    check(json, &["schema"], r#""payload":{"M":{"schema":{"N":"1"}}}"#, 19);
    check("{\n\"payload\":1,\n\"schema\":1\n}", &["schema"], r#""payload":{"N":"1"}"#, 9);
    check(
        "{\n\"a\":1,\n\"schema\":1,\n\"b\":2\n}",
        &["schema"],
        r#""a":{"N":"1"},"b":{"N":"2"}"#,
        6,
    );
    check("{\n\"schema\":1\n}", &["schema"], "", 0);
    check("{\n\"payload\":1,\n\"schema\":1\n}", &["payload", "schema", "other"], "", 0);
    check("{\n\"PK\":1,\n\"payload\":1\n}", &["PK"], r#""payload":{"N":"1"}"#, 9);
    // What is left out is not held to the limits of the store.
    let wild = format!(r#"{{"":1,"a":1,"a":{},"b":1e999}}"#, nested(500, "1"));
    check(&format!("{{\n\"schema\":{wild},\n\"a\":1\n}}"), &["schema"], r#""a":{"N":"1"}"#, 3);
    let large = "x".repeat(MAX_ITEM_SIZE);
    check(&format!("{{\n\"schema\":\"{large}\",\n\"a\":1\n}}"), &["schema"], r#""a":{"N":"1"}"#, 3);

    let outline = Outline { omit: &["schema"], pick: &[] };
    let error = |json: &str| encode(json.as_bytes(), &outline).unwrap_err();
    assert_eq!(error(r#"{"schema":1,"schema":2}"#), ItemError::DuplicateMember { at: 12 });
    let deep = format!(r#"{{"schema":{}}}"#, nested(1_000_000, "1"));
    assert_eq!(error(&deep).to_string(), "value nested deeper than 512 levels at byte 1546");
}

#[test]
fn texts_that_mean_no_value() {
    for json in ["", "null", " null", "null\n", " \t\r\nnull \t\r\n"] {
        assert!(is_null(json.as_bytes()), "{json:?}");
    }
    // A form feed is no white space of JSON.
    for json in
        [" ", "nul", "nulll", "NULL", "\"null\"", "0", "{}", "[null]", "null\u{c}", "\u{c}null"]
    {
        assert!(!is_null(json.as_bytes()), "{json:?}");
    }
}

#[test]
fn members_are_picked() {
    #[track_caller]
    fn check(json: &str, expected: &[Option<Scalar>]) {
        let pick: &[&[&str]] =
            &[&["p", "id"], &["p", "deep", "er"], &["top"], &["p"], &["p", "id"], &[]];
        let picked = encode(json.as_bytes(), &Outline { omit: &["schema"], pick }).unwrap().picked;
        assert!(picked == expected, "{json}: {picked:?}");
    }

    let string = |text: &str| Some(Scalar::String(text.to_owned()));
    let number = |text: &str| Some(Scalar::Number(Number::from_canonical(text)));
    let object = || Some(Scalar::Object);
    let array = || Some(Scalar::Array);

    check("{}", &[None, None, None, None, None, None]);
    check(r#"{"p":{"id":21782}}"#, &[number("21782"), None, None, object(), number("21782"), None]);
    check(
        r#"{"p":{"id":2.50,"other":1}}"#,
        &[number("2.5"), None, None, object(), number("2.5"), None],
    );
    check(
        r#"{"p":{"id":"a\u0041\n"}}"#,
        &[string("aA\n"), None, None, object(), string("aA\n"), None],
    );
    check(
        r#"{"top":true,"p":{"deep":{"id":1,"er":false},"er":2}}"#,
        &[None, Some(Scalar::Bool(false)), Some(Scalar::Bool(true)), object(), None, None],
    );
    check(
        r#"{"p":{"\u0069d":null}}"#,
        &[Some(Scalar::Null), None, None, object(), Some(Scalar::Null), None],
    );
    check(r#"{"p":{"id":[1]}}"#, &[array(), None, None, object(), array(), None]);
    // Other places with the same names are none of the paths'.
    check(r#"{"id":1,"x":{"id":1,"p":{"id":1},"top":1}}"#, &[None, None, None, None, None, None]);
    check(r#"{"p":[{"id":1}],"deep":{"er":1}}"#, &[None, None, None, array(), None, None]);
    check(r#"{"p":{"p":{"id":1}}}"#, &[None, None, None, object(), None, None]);
    check(r#"{"schema":{"id":1},"p":"x"}"#, &[None, None, None, string("x"), None, None]);
}

#[test]
fn members_come_in_the_order_of_their_names() {
    let json = r#"{"z":1,"é":[2],"a":{"z":3,"b":4},"A":"5","\u0061a":6,"\"":7}"#;
    let item = encode_plain(json).unwrap();
    let members: Vec<_> =
        item.members().map(|member| (member.name_json, member.value_json)).collect();
    let expected = [
        (r#"\""#, r#"{"N":"7"}"#),
        ("A", r#"{"S":"5"}"#),
        ("a", r#"{"M":{"z":{"N":"3"},"b":{"N":"4"}}}"#),
        ("aa", r#"{"N":"6"}"#),
        ("z", r#"{"N":"1"}"#),
        ("é", r#"{"L":[{"N":"2"}]}"#),
    ];
    assert_eq!(members, expected);
    assert_eq!(
        encode_plain(r#"{"z":1,"A":2,"é":3,"a\u0061":4,"a":5}"#).unwrap().shape().as_str(),
        "402ba506a937b5a933384204b041af4b"
    );
    assert_eq!(encode_plain("{}").unwrap().members().len(), 0);
}

#[test]
fn only_plain_names_fit_a_statement() {
    #[track_caller]
    fn check(json: &str, fits: bool) {
        assert_eq!(encode_plain(json).unwrap().fits_statement(), fits, "{json}");
    }

    check("{}", true);
    check(r#"{"STATE_PLAN":1,"_":1,"a1":1,"schema":1,"__sink":1}"#, true);
    check(r#"{"\u0061":1}"#, true);
    check(r#"{"a":{"b c":1}}"#, true);
    for name in [
        "1a", "0", "a b", "a.b", "a-b", "é", "a\u{e9}", "#a", ":a", "a'", "a\\\"", "a\\n",
        "\\u0000",
    ] {
        check(&format!(r#"{{"a":1,"{name}":1}}"#), false);
    }
    check(&wide(100), true);
    check(&wide(101), false);
}

/// An object of so many members.
fn wide(n_members: usize) -> String {
    let mut json = "{".to_owned();
    for n in 0..n_members {
        let separator = if n == 0 { "" } else { "," };
        write!(json, r#"{separator}"column_{n}":{n}"#).unwrap();
    }
    json + "}"
}

#[test]
fn wide_objects_are_encoded() {
    let wide = wide(10_000);
    assert_eq!(encode_plain(&wide).unwrap().members().len(), 10_000);
    assert_eq!(encode_plain(format!(r#"{{"m":{wide}}}"#)).unwrap().members().len(), 1);
    let with_duplicate = wide.replace(r#""column_9999""#, r#""column_\u0030""#);
    let at = with_duplicate.rfind('"').unwrap() - r#""column_\u0030"#.len();
    assert_eq!(encode_plain(&with_duplicate), Err(ItemError::DuplicateMember { at }));
    let inner = format!(r#"{{"m":{with_duplicate}}}"#);
    assert_eq!(encode_plain(inner), Err(ItemError::DuplicateMember { at: at + 5 }));
}

#[test]
fn the_members_alone_fit_an_item() {
    let text = |len| format!(r#"{{"a":"{}"}}"#, "x".repeat(len));
    let too_large = ItemError::TooLarge;
    assert_eq!(encode_plain(text(MAX_ITEM_SIZE - 1)).unwrap().size(), 409_600);
    assert_eq!(encode_plain(text(MAX_ITEM_SIZE)), Err(too_large.clone()));
    // Empty lists cost 4 bytes each: 102,399 of them, the list around them and its name are 409,600.
    let lists = |n: usize| format!(r#"{{"a":[{}[]]}}"#, "[],".repeat(n - 1));
    assert_eq!(encode_plain(lists(102_399)).unwrap().size(), 409_600);
    assert_eq!(encode_plain(lists(102_400)), Err(too_large.clone()));
    assert_eq!(too_large.to_string(), "item of more than 409600 bytes");
}

#[test]
fn sizes_add_up_as_in_an_item() {
    let item =
        encode_plain(r#"{"_s":{"version":"0001é","offset":-1763700000000,"empty":{}}}"#).unwrap();
    let members = [
        ("version", string_size("0001é")),
        ("offset", number_size(-1_763_700_000_000)),
        ("empty", map_size(&[])),
    ];
    assert_eq!(item.size(), "_s".len() + map_size(&members));
    assert_eq!(item.size(), 2 + 3 + (7 + 1 + 6) + (6 + 1 + 5) + (5 + 1 + 3));
}
