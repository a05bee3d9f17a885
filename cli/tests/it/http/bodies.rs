//! What `POST /v1/records` refuses and takes: every rule of every field, alone and inside a batch.

use serde_json::{Value, json};

use super::{client::Ask, server::Server};

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A record with one field as given, in JSON; an empty text leaves the field out.
pub(crate) fn with(field: &str, text: &str) -> String {
    let base = [("thread", "\"t\""), ("actor", "\"did:sync:user:a\""), ("act", "\"PUT\""), ("body", "{}")];
    let mut members: Vec<(&str, &str)> = base.into_iter().filter(|(name, _)| *name != field).collect();
    if !text.is_empty() {
        members.push((field, text));
    }
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// `levels` objects inside each other.
pub(crate) fn nested(levels: usize) -> String {
    format!("{}{}{}", "{\"a\":".repeat(levels - 1), "{}", "}".repeat(levels - 1))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A body whose canonical text has so many bytes.
pub(crate) fn body_of(bytes: usize) -> String {
    format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8))
}

/// Fields and what they do not take, in JSON.
const BAD_FIELDS: [(&str, &[&str]); 8] = [
    (
        "thread",
        &[
            "",
            "null",
            "1",
            "[]",
            r#""""#,
            r#""a\u0000""#,
            r#""a\u0085""#,
            r#""a\u2028""#,
            r#""\u2029""#,
            r#""a\nb""#,
        ],
    ),
    (
        "actor",
        &[
            "",
            "null",
            "1",
            r#""""#,
            r#""alice""#,
            r#""did:""#,
            r#""did:sync:""#,
            r#""did::a""#,
            r#""did:SYNC:a""#,
            r#""did:sync:a b""#,
            r#""did:sync:é""#,
            r#""did:sync:a/b""#,
            r#"" did:sync:a""#,
        ],
    ),
    ("act", &["", "null", "1", r#""put""#, r#""FLY""#, r#""""#]),
    (
        "body",
        &[
            "",
            "null",
            "[]",
            "1",
            r#""{}""#,
            r#"{"a":NaN}"#,
            r#"{"a":Infinity}"#,
            r#"{"a":1e400}"#,
            r#"{"a":-1e400}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00\ud800"}"#,
            r#"{"\ud800":1}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"x":[{"b":1,"b":1}]}"#,
            r#"{"a":01}"#,
            r#"{"a":+1}"#,
            r#"{"a":.5}"#,
            r#"{"a":1.}"#,
            r#"{"a":1e}"#,
            r#"{"a":-}"#,
            r#"{"a":0x1}"#,
            r#"{"a":'b'}"#,
            r#"{a:1}"#,
            r#"{"a":1,}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":tru}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12"}"#,
            "{\"a\":\"\u{1}\"}",
            r#"{"a":1/*x*/}"#,
            "{\"a\":\u{a0}1}",
        ],
    ),
    ("clock", &["-1", "1.5", r#""1""#, "9223372036854775808", "1e400", "true", "[]", "{}"]),
    ("data_type", &["null", "1", r#""scalar""#, r#""MATRIX""#]),
    ("parents", &["null", "{}", r#""x""#, r#"["x"]"#, "[null]", "[1]"]),
    ("judged_by", &["1", r#""x""#, r#""""#, "[]"]),
];

fn bad_fields() -> Vec<(&'static str, String)> {
    let digits = "9".repeat(310);
    let many: Vec<String> = (0..65).map(|i| format!("{i:064x}")).collect();
    let mut cases = vec![
        ("thread", quoted(&"x".repeat(257))),
        ("thread", quoted(&"é".repeat(129))),
        ("actor", quoted(&format!("did:sync:{}", "x".repeat(248)))),
        ("parents", json!(many).to_string()),
        ("parents", json!([ID, ID]).to_string()),
        ("parents", json!([ID.to_uppercase()]).to_string()),
        ("judged_by", json!(ID.to_uppercase()).to_string()),
        ("body", nested(65)),
        ("body", format!("{{\"a\":{}1{}}}", "[".repeat(64), "]".repeat(64))),
        ("body", body_of(256 * 1024 + 1)),
        ("body", format!("{{\"a\":{digits}}}")),
        ("body", format!("{{\"a\":[{}]}}", ["1e308"; 1000].join(","))),
        ("clock", digits),
    ];
    cases
        .extend(BAD_FIELDS.iter().flat_map(|(field, texts)| texts.iter().map(|t| (*field, (*t).to_owned()))));
    let unknown = ["id", "sequence", "kind", "records", "Thread", "", "constructor", "__proto__"];
    cases.extend(unknown.map(|field| (field, "1".to_owned())));
    cases
}

#[test]
fn every_rule_of_every_field_is_kept() {
    let server = Server::start();
    let good = with("", "");
    for (field, text) in bad_fields() {
        let bad = with(field, &text);
        let message = server.refuses(&Ask::post("/v1/records", bad.clone()), 400, "INVALID_BODY");
        let known = ["thread", "actor", "act", "clock", "data_type", "parents", "judged_by"];
        let words = [format!("`{field}`"), format!("{field:?}"), " at byte ".to_owned()];
        assert!(
            !known.contains(&field) || words.iter().any(|word| message.contains(word)),
            "{message} names neither {field} nor a place"
        );
        let batch = format!("{{\"records\":[{good},{bad},{good}]}}");
        server.refuses(&Ask::post("/v1/records", batch), 400, "INVALID_BODY");
    }
    assert_eq!(server.exported(false).len(), 0);
}

#[test]
fn what_is_no_record_is_refused() {
    let server = Server::start();
    let good = with("", "");
    let cases: Vec<Vec<u8>> = [
        "",
        " ",
        "{",
        "}",
        "[]",
        "null",
        "1",
        "\"x\"",
        "{}",
        "true",
        "{\"thread\"",
        "{\"thread\":",
        "nul",
        "{\"records\":[]}",
        "{\"records\":{}}",
        "{\"records\":null}",
        "{\"records\":[null]}",
        "{\"records\":[[]]}",
        "{\"records\":[{\"records\":[]}]}",
        "{\"records\":[],\"records\":[]}",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([
        format!("{good}x").into_bytes(),
        format!("{good}{good}").into_bytes(),
        format!("[{good}]").into_bytes(),
        format!("\u{feff}{good}").into_bytes(),
        [good.as_bytes(), b"\0"].concat(),
        [b"\xff", good.as_bytes()].concat(),
        with("thread", "\"\u{e9}\"").into_bytes().into_iter().filter(|b| *b != 0xc3).collect(),
        format!("{{\"records\":[{good}],\"more\":1}}").into_bytes(),
        format!("{{\"more\":1,\"records\":[{good}]}}").into_bytes(),
        format!("{{\"records\":[{good}],\"records\":[{good}]}}").into_bytes(),
        format!("{{\"records\":[{good}]").into_bytes(),
        format!("{{\"records\":[{good},]}}").into_bytes(),
        format!("{{\"records\":[{}]}}", vec![good.as_str(); 1001].join(",")).into_bytes(),
        good.replacen('{', "{\"thread\":\"t\",", 1).into_bytes(),
        good.replacen('{', "{\"body\":{},", 1).into_bytes(),
        "[".repeat(100_000).into_bytes(),
        "{\"a\":".repeat(100_000).into_bytes(),
    ])
    .collect();
    for body in cases {
        server.refuses(&Ask::post("/v1/records", body), 400, "INVALID_BODY");
    }
    assert_eq!(server.exported(false).len(), 0);
}

#[test]
fn what_is_just_within_the_rules_is_taken() {
    let server = Server::start();
    let parents: Vec<String> = (0..64).rev().map(|i| format!("{i:064x}")).collect();
    let cases = [
        ("thread", quoted(&"x".repeat(256))),
        ("thread", quoted(&"é".repeat(128))),
        ("thread", quoted("music.library / \u{1f3b5} \u{200b}")),
        ("actor", quoted(&format!("did:sync:{}", "x".repeat(247)))),
        ("actor", quoted("did:web:example.com%3A8443:user:a_b-c.d")),
        ("parents", json!(parents).to_string()),
        ("judged_by", "null".to_owned()),
        ("judged_by", quoted(ID)),
        ("body", nested(64)),
        ("body", body_of(256 * 1024)),
        ("body", format!("{{\"a\":{}}}", "9".repeat(308))),
        ("body", r#"{"a":"\ud83c\udfb5\u0000\u007f\u2028","":{"b":[]}}"#.to_owned()),
        ("clock", "null".to_owned()),
        ("clock", "17.0".to_owned()),
        ("data_type", "\"MORPHISM\"".to_owned()),
        ("clock", "9223372036854775807".to_owned()),
    ];
    for (field, text) in cases {
        let answer = server.write(&with(field, &text)).is(201).json();
        let stored = server.get(&format!("/v1/records/{}", answer["id"].as_str().expect("an id"))).is(200);
        assert_eq!(stored.json(), answer);
    }
    let sorted = server.query(&json!({ "filter": { "body.none": null }, "thread": "t" }));
    assert_eq!(sorted["data"], json!([]));
    assert_eq!(server.exported(false).len(), 16);
    server.instance.spl_as_admin(&["verify"]).ok();
}

#[test]
fn opening_a_thread_keeps_the_same_rules() {
    let server = Server::start();
    let base = json!({ "goal": "g", "actor": "did:sync:user:a" });
    let with = |field: &str, text: &str| {
        let mut members: Vec<String> = base
            .as_object()
            .expect("an object")
            .iter()
            .filter(|(name, _)| *name != field)
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        members.push(format!("\"{field}\":{text}"));
        format!("{{{}}}", members.join(","))
    };
    let cases = [
        with("goal", "1"),
        with("goal", "null"),
        with("thread", "1"),
        with("thread", "\"\""),
        with("thread", "\"a\\u0000\""),
        with("actor", "\"alice\""),
        with("actor", "null"),
        with("body", "[]"),
        with("body", "null"),
        with("body", &nested(65)),
        with("body", &nested(66)),
        with("body", &body_of(256 * 1024)),
        with("body", "{\"a\":1,\"a\":2}"),
        with("act", "\"INTEND\""),
        with("clock", "1"),
        "{}".to_owned(),
        "[]".to_owned(),
        "{\"goal\":\"g\"}".to_owned(),
        "{\"goal\":\"g\",\"goal\":\"h\",\"actor\":\"did:sync:user:a\"}".to_owned(),
        format!("{}x", with("thread", "\"t\"")),
    ];
    for body in cases {
        server.refuses(&Ask::post("/v1/threads", body), 400, "INVALID_BODY");
    }
    assert_eq!(server.get("/v1/threads").rows().len(), 0);
    server.write(&with("body", &nested(64))).refuses(400, "INVALID_BODY");
    server.send(&Ask::post("/v1/threads", with("body", &nested(63)))).is(201);
    server.send(&Ask::post("/v1/threads", with("body", &nested(64)))).is(201);
    server.instance.spl_as_admin(&["verify"]).ok();
}
