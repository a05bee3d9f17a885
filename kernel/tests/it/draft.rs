//! Every rule of a proposed record, with the code of its refusal.

use proptest::prelude::*;
use spl_fixtures::{builders, data, strategies};
use spl_kernel::{
    draft::{Draft, ENVELOPE_BOUNDS, FIELDS, namespace, recheck},
    id::RecordId,
    json::{Bounds, Json, Parser},
    kind::{self, KindError},
    limits,
    record::{Act, DataType},
    refusal::{Code, Refusal},
};

use crate::support::cases;

const GOOD: &str = r#"{"thread":"music.library","actor":"did:sync:user:alice","act":"DO","body":{"n":1}}"#;

fn read(text: &str) -> Result<Draft, Refusal> {
    Draft::from_json(text.as_bytes())
}

/// `GOOD` with one member replaced or added, given as JSON text.
fn with(field: &str, value: &str) -> String {
    let mut members = vec![
        ("thread", r#""music.library""#.to_owned()),
        ("actor", r#""did:sync:user:alice""#.to_owned()),
        ("act", r#""DO""#.to_owned()),
        ("body", r#"{"n":1}"#.to_owned()),
    ];
    members.retain(|(name, _)| *name != field);
    members.push((field, value.to_owned()));
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn refused(text: &str) -> Refusal {
    let shown: String = text.chars().take(200).collect();
    let refusal = read(text).err().unwrap_or_else(|| panic!("accepted: {shown}"));
    assert_eq!(refusal.code, Code::InvalidBody, "{shown}");
    assert!(refusal.message.len() < 1000, "a message of {} bytes", refusal.message.len());
    refusal
}

fn accepted(text: &str) -> Draft {
    read(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn a_draft_has_defaults() {
    let draft = accepted(GOOD);
    assert_eq!((draft.clock, draft.data_type, draft.judged_by), (None, DataType::Scalar, None));
    assert_eq!((draft.parents.len(), draft.act, draft.body.as_str()), (0, Act::Do, r#"{"n":1}"#));
    let whole = format!(
        r#"{{"judged_by":"{0}","parents":["{1}","{0}"],"data_type":"VOID","clock":7,"act":"KNOW","actor":"did:a:b",
            "thread":"t","body":{{"b":1.0,"a":"x"}}}}"#,
        "a".repeat(64),
        "b".repeat(64)
    );
    let draft = accepted(&whole);
    assert_eq!((draft.clock, draft.data_type), (Some(7), DataType::Void));
    assert_eq!(draft.judged_by, RecordId::parse(&"a".repeat(64)));
    assert_eq!(draft.parents, ["a", "b"].map(|c| RecordId::parse(&c.repeat(64)).unwrap()), "sorted");
    assert_eq!(draft.body, r#"{"a":"x","b":1}"#, "canonical");
}

#[test]
fn an_id_is_that_of_the_seven_fields() {
    let text = r#"{"thread":"t","actor":"did:a:b","act":"PUT","body":{},"judged_by":null}"#;
    let id = accepted(text).id_at(3).unwrap();
    let canonical = r#"{"act":"PUT","actor":"did:a:b","body":{},"clock":3,"data_type":"SCALAR","parents":[],"thread":"t"}"#;
    assert_eq!(id, RecordId::of(canonical));
    let judged = accepted(&text.replace("null", &format!("\"{}\"", "c".repeat(64))));
    assert_eq!(judged.id_at(3).unwrap(), id, "`judged_by` is not hashed");
    assert_ne!(judged.id_at(4).unwrap(), id);
    let record = judged.into_record(id, 3);
    assert_eq!(record.canonical().unwrap(), canonical);
    assert!(recheck(&record).is_ok());
}

#[test]
fn required_fields_are_required() {
    for field in ["thread", "actor", "act", "body"] {
        let text = with(field, "null");
        assert!(read(&text).is_err(), "{field} null");
        let text = text.replace(&format!("\"{field}\":null"), "\"clock\":0");
        assert_eq!(refused(&text).message, format!("`{field}` is missing"));
    }
    for text in ["", "[]", "1", "null", "\"x\"", "{", "{}", &format!("{GOOD}x"), &format!("{GOOD}{GOOD}")] {
        let _ = refused(text);
    }
}

#[test]
fn unknown_and_repeated_fields_are_refused() {
    for field in ["id", "sequence", "Thread", "created_at", "", "sig", "$serde_json::private::Number"] {
        let refusal = refused(&with(field, "1"));
        assert!(refusal.message.starts_with("unknown field"), "{refusal}");
        assert!(refusal.hint.is_some_and(|hint| FIELDS.iter().all(|field| hint.contains(field))));
    }
    let values = [
        ("parents", "[]"),
        ("thread", r#""x""#),
        ("actor", r#""did:a:b""#),
        ("act", r#""DO""#),
        ("body", "{}"),
        ("clock", "null"),
        ("data_type", r#""VOID""#),
        ("judged_by", "null"),
    ];
    for (field, value) in values {
        let once = with(field, value);
        let _ = accepted(&once);
        let twice = format!("{},\"{field}\":{value}}}", &once[..once.len() - 1]);
        assert_eq!(refused(&twice).message, format!("duplicate key {field:?}"));
    }
    // However long the name.
    let _ = refused(&with(&"\u{200b}".repeat(100_000), "1"));
}

#[test]
fn ignored_fields_are_passed_over_but_once() {
    let ignored = |text: &str| {
        let mut parser = Parser::new(text.as_bytes(), ENVELOPE_BOUNDS).unwrap();
        Draft::read(&mut parser, &["id", "sequence"])
    };
    let text = with("sequence", "[1,{\"x\":null}]").replace("{\"thread\"", "{\"id\":\"x\",\"thread\"");
    assert!(ignored(&text).is_ok(), "{text}");
    assert!(ignored(&with("other", "1")).is_err());
    let twice = with("id", "1").replace("\"thread\"", "\"id\":2,\"thread\"");
    assert_eq!(ignored(&twice).unwrap_err().message, "duplicate key \"id\"");
}

#[test]
fn threads() {
    let good = ["x", "music.library", "th_engine_config", "a b", "é", "😀", "\u{200b}", "\u{ad}", "\\\"/"];
    for name in good {
        assert_eq!(accepted(&with("thread", &serde_json::Value::from(name).to_string())).thread, name);
    }
    let _ = accepted(&with("thread", &format!("\"{}\"", "x".repeat(256))));
    let _ = accepted(&with("thread", &format!("\"{}\"", "é".repeat(128))));
    let long = ["x".repeat(257), "é".repeat(128) + "x", String::new()];
    for name in long {
        assert_eq!(
            refused(&with("thread", &format!("\"{name}\""))).message,
            "`thread` must be 1 to 256 bytes long"
        );
    }
    for name in ["a\\n", "\\u0000", "\\u007f", "\\u0085", "\\u009f", "\\u2028", "\\u2029"] {
        let refusal = refused(&with("thread", &format!("\"{name}\"")));
        assert!(refusal.message.contains("control characters"), "{name}");
    }
    for value in ["1", "null", "[]", "{}", "true"] {
        assert_eq!(refused(&with("thread", value)).message, "`thread` must be a string");
    }
}

#[test]
fn actors() {
    let good = ["did:a:b", "did:sync:user:alice", "did:web:x.org", "did:key:z6Mk", "did:0:._:%-", "did:a::"];
    for actor in good.map(str::to_owned).into_iter().chain([format!("did:a:{}", "x".repeat(250))]) {
        assert_eq!(accepted(&with("actor", &format!("\"{actor}\""))).actor, actor);
    }
    let bad = [
        "",
        "alice",
        "did",
        "did:",
        "did:a",
        "did:a:",
        "did::b",
        "DID:a:b",
        "did:A:b",
        "did:a_b:c",
        "did:a:b c",
        "did:a:é",
        "did:a:b/c",
        "did:a:b#c",
        "did:a:b?c",
        " did:a:b",
        "did:a:b\\n",
        "did:a:b\\u0000",
    ];
    for actor in bad.map(str::to_owned).into_iter().chain([format!("did:a:{}", "x".repeat(251))]) {
        assert!(
            refused(&with("actor", &format!("\"{actor}\""))).message.starts_with("`actor` must be a DID")
        );
    }
}

#[test]
fn acts_and_data_types() {
    for act in Act::ALL {
        assert_eq!(accepted(&with("act", &format!("\"{}\"", act.as_str()))).act, *act);
    }
    for data_type in DataType::ALL {
        let draft = accepted(&with("data_type", &format!("\"{}\"", data_type.as_str())));
        assert_eq!(draft.data_type, *data_type);
    }
    for (field, value) in
        [("act", "do"), ("act", ""), ("act", "DO "), ("data_type", "scalar"), ("data_type", "X")]
    {
        assert!(refused(&with(field, &format!("\"{value}\""))).message.contains("is none of"));
    }
    let _ = refused(&with("act", &format!("\"{}\"", "\u{200b}".repeat(100_000))));
    let _ = refused(&with("data_type", "null"));
    assert_eq!((Act::ALL.len(), DataType::ALL.len()), (8, 6));
}

#[test]
fn bodies() {
    for body in ["[]", "1", "\"x\"", "null", "true"] {
        assert_eq!(refused(&with("body", body)).message, "`body` must be a JSON object");
    }
    let levels = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
    let _ = accepted(&with("body", &levels(64)));
    assert!(refused(&with("body", &levels(65))).message.contains("nested deeper than 64 levels"));
    let sized = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    assert_eq!(accepted(&with("body", &sized(limits::BODY_BYTES_MAX))).body.len(), limits::BODY_BYTES_MAX);
    assert!(
        refused(&with("body", &sized(limits::BODY_BYTES_MAX + 1))).message.contains("longer than 262144")
    );
    // Canonical size counts, not the size sent: white space is free, `1e308` is not.
    let spaced = format!("{}{}", &sized(limits::BODY_BYTES_MAX)[..1], " ".repeat(1000));
    let _ = accepted(&with("body", &sized(limits::BODY_BYTES_MAX).replacen('{', &spaced, 1)));
    let numbers = format!("{{\"a\":[{}1]}}", "1e308,".repeat(1000));
    assert!(refused(&with("body", &numbers)).message.contains("longer than"));
    for body in ["{\"a\":1,\"a\":1}", "{\"a\":1e999}", "{\"a\":\"\\ud800\"}", "{\"a\":NaN}"] {
        let _ = refused(&with("body", body));
    }
    // The bounds are the body's own, wherever it stands.
    let text = format!("{{\"body\":{},{}", levels(64), &GOOD.replace(",\"body\":{\"n\":1}", "")[1..]);
    let _ = accepted(&text);
}

#[test]
fn clocks() {
    let clock = |value: &str| read(&with("clock", value)).map(|draft| draft.clock);
    assert_eq!(clock("null").unwrap(), None);
    for (text, value) in [
        ("0", 0),
        ("-0", 0),
        ("1.0", 1),
        ("1e3", 1000),
        ("1729000000000", 1_729_000_000_000),
        ("9223372036854775807", limits::CLOCK_MAX),
    ] {
        assert_eq!(clock(text).unwrap(), Some(value), "{text}");
    }
    for text in [
        "-1",
        "1.5",
        "9223372036854775808",
        "9223372036854775807.0",
        "1e19",
        "\"1\"",
        "true",
        "[]",
        "{}",
        "1e-1",
    ] {
        assert!(refused(&with("clock", text)).message.contains("`clock` must be an integer"), "{text}");
    }
}

#[test]
fn parents_and_judged_by() {
    let id = |n: usize| format!("\"{n:064x}\"");
    let list = |n: usize| format!("[{}]", (0..n).map(id).collect::<Vec<_>>().join(","));
    assert_eq!(accepted(&with("parents", &list(64))).parents.len(), 64);
    assert_eq!(refused(&with("parents", &list(65))).message, "`parents` has more than 64 ids");
    assert!(refused(&with("parents", &list(4095))).message.contains("more than"));
    let twice = format!("[{},{}]", id(1), id(1));
    assert_eq!(refused(&with("parents", &twice)).message, "`parents` names a record twice");
    for value in ["null", "{}", "\"x\"", "[1]", "[null]", "[\"\"]", "[[]]"] {
        let _ = refused(&with("parents", value));
    }
    let wrong = ["A".repeat(64), "g".repeat(64), "a".repeat(63), "a".repeat(65), "é".repeat(32)];
    for wrong in wrong {
        let _ = refused(&with("parents", &format!("[\"{wrong}\"]")));
        let _ = refused(&with("judged_by", &format!("\"{wrong}\"")));
    }
    for value in ["1", "[]", "{}", "\"\"", "true"] {
        let _ = refused(&with("judged_by", value));
    }
}

#[test]
fn namespaces() {
    let of = |namespace_json: &str| {
        let draft = accepted(&with("body", &format!("{{\"namespace\":{namespace_json}}}")));
        namespace(&draft.facts).map(str::to_owned)
    };
    assert_eq!(namespace(&accepted(GOOD).facts).unwrap(), "default");
    let longest = format!("\"{}\"", "x".repeat(256));
    for good in ["\"default\"", "\"a\"", "\"0\"", "\"team/build\"", "\"a/b/c/d\"", "\"a_-0/b-_1\"", &longest]
    {
        assert_eq!(format!("\"{}\"", of(good).unwrap()), good);
    }
    let too_long = format!("\"{}\"", "x".repeat(257));
    let bad = [
        "\"\"",
        "\"/\"",
        "\"a/\"",
        "\"/a\"",
        "\"a//b\"",
        "\"a/b/c/d/e\"",
        "\"A\"",
        "\"_a\"",
        "\"-a\"",
        "\"a/_b\"",
        "\"a.b\"",
        "\"a b\"",
        "\"é\"",
        "\"a\\n\"",
        "null",
        "1",
        "[]",
        "{}",
        "true",
        &too_long,
    ];
    for bad in bad {
        let refusal = of(bad).expect_err(bad);
        assert_eq!(refusal.code, Code::NamespaceRejected, "{bad}");
        assert!(refusal.hint.is_some(), "{bad}");
    }
}

#[test]
fn kinds_follow_their_grammar() {
    for good in [
        "music.catalog.track",
        "music.catalog.track.v2",
        "x.domain.foo",
        "core.alias",
        "@music.track",
        "core.identity.created.v1",
        "@cmv.a.b",
        "a-b.c_d.0",
        "music.catalog.track.v10",
    ] {
        assert_eq!(kind::check(good), Ok(()), "{good}");
    }
    let segment = |s: &str| KindError::Segment(s.to_owned());
    for (bad, why) in [
        ("", KindError::Segments),
        ("music", KindError::Segments),
        ("a.b.c.v1.e", KindError::Segments),
        ("music.track", KindError::TwoSegments),
        ("Music.Catalog.Track", segment("Music")),
        ("music..track", segment("")),
        ("music.catalog.track.2", KindError::Version),
        ("music.catalog.track.v", KindError::Version),
        ("music.catalog.track.vx", KindError::Version),
        ("music.catalog.track.V2", segment("V2")),
        ("@CMV.track", segment("@CMV")),
        ("@.track", segment("@")),
        ("music.@catalog.track", segment("@catalog")),
        ("core.", segment("")),
        (".core.x", segment("")),
        ("müsic.catalog.track", segment("müsic")),
    ] {
        assert_eq!(kind::check(bad), Err(why), "{bad}");
    }
}

#[test]
fn facts_are_read_from_the_body() {
    let draft = accepted(&with("body", r#"{"kind":"a.b.c","namespace":"x"}"#));
    assert_eq!(draft.facts.kind.as_deref(), Some("a.b.c"));
    assert_eq!(accepted(&with("body", r#"{"kind":1}"#)).facts.kind, None);
}

/// A batch of the most records with the most parents is walked with one parser.
#[test]
fn the_largest_batch_fits_the_envelopes_bounds() {
    let parents: Vec<String> = (0..limits::PARENTS_MAX).map(|n| format!("\"{n:064x}\"")).collect();
    let record = with("parents", &format!("[{}]", parents.join(",")))
        .replace("\"act\"", "\"clock\":null,\"judged_by\":null,\"data_type\":\"VOID\",\"act\"");
    let batch = format!("{{\"records\":[{}]}}", vec![record; limits::BATCH_RECORDS_MAX].join(","));
    let mut parser = Parser::new(batch.as_bytes(), ENVELOPE_BOUNDS).unwrap();
    let mut read = 0;
    parser
        .members(|parser, _| {
            parser.elements(|parser| {
                read += 1;
                Draft::read(parser, &[]).map(drop)
            })
        })
        .unwrap_or_else(|e| panic!("record {read}: {e}"));
    assert_eq!(read, limits::BATCH_RECORDS_MAX);
}

/// An own draft obeys the same rules as a posted one.
#[test]
fn own_drafts_are_checked() {
    let body = || builders::json("{}");
    assert!(Draft::new("t", "did:a:b", Act::Put, body()).is_ok());
    assert!(Draft::new("", "did:a:b", Act::Put, body()).is_err());
    assert!(Draft::new("t", "alice", Act::Put, body()).is_err());
    let long = Json::object([("a", Json::from("x".repeat(limits::BODY_BYTES_MAX)))]);
    assert!(Draft::new("t", "did:a:b", Act::Put, long).is_err());
    assert_eq!(Draft::new("t", "did:a:b", Act::Put, Json::Null).map_err(|e| e.code), Err(Code::InvalidBody));
}

#[test]
fn a_recheck_finds_what_an_encoder_could_smuggle() {
    let good = accepted(GOOD);
    let id = good.id_at(0).unwrap();
    let good = good.into_record(id, 0);
    assert!(recheck(&good).is_ok());
    let rehashed = |change: &dyn Fn(&mut spl_kernel::record::Record)| {
        let mut record = good.clone();
        change(&mut record);
        record.id = RecordId::of(&record.canonical().unwrap());
        recheck(&record)
    };
    assert!(rehashed(&|r| r.clock = 5).is_ok());
    let zero = RecordId::from_bytes([0; 32]);
    let changes: [&dyn Fn(&mut spl_kernel::record::Record); 9] = [
        &|r| r.body = r#"{ "n":1}"#.into(),
        &|r| r.body = r#"{"n":1.0}"#.into(),
        &|r| r.body = r#"{"b":1,"a":1}"#.into(),
        &|r| r.body = r#"{"a":1,"a":1}"#.into(),
        &|r| r.body = "[]".into(),
        &|r| r.thread = "\u{2028}".into(),
        &|r| r.actor = "alice".into(),
        &|r| r.parents = vec![zero, zero],
        &|r| r.clock = limits::CLOCK_MAX + 1,
    ];
    for (i, change) in changes.iter().enumerate() {
        assert!(rehashed(change).is_err(), "change {i}");
    }
    assert!(recheck(&spl_kernel::record::Record { id: zero, ..good.clone() }).is_err());
}

#[test]
fn real_records_are_accepted() {
    let mut threads = std::collections::BTreeSet::new();
    let mut count = 0;
    for draft in data::debian_drafts() {
        threads.insert(draft.thread);
        count += 1;
    }
    assert_eq!((count, threads.len()), (data::DEBIAN_RECORDS, data::DEBIAN_THREADS));
}

/// Every code has its name, and no two share one.
#[test]
fn codes_have_distinct_names() {
    let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    assert_eq!(Refusal::new(Code::NotFound, "no such thread").to_string(), "NOT_FOUND: no such thread");
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_record_posted_again_is_the_same_record((record, _) in strategies::entry()) {
        let text = record.canonical().unwrap();
        let draft = Draft::from_json(text.as_bytes()).unwrap();
        prop_assert_eq!(draft.clock, Some(record.clock));
        prop_assert_eq!(draft.id_at(record.clock).unwrap(), record.id);
        let again = draft.into_record(record.id, record.clock);
        prop_assert_eq!(again.body, record.body.clone());
        prop_assert!(recheck(&record).is_ok());
    }

    #[test]
    fn any_bytes_are_a_draft_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Draft::from_json(&bytes);
    }

    #[test]
    fn a_cut_draft_is_refused(at in 0_usize..GOOD.len()) {
        prop_assert!(Draft::from_json(&GOOD.as_bytes()[..at]).is_err());
    }
}

/// A bound of the batch parser that a test can see.
#[test]
fn bounds_of_an_envelope_are_its_own() {
    let tight = Bounds { levels: 1, values: 16 };
    let mut parser = Parser::new(GOOD.as_bytes(), tight).unwrap();
    assert!(Draft::read(&mut parser, &[]).is_ok(), "the body's levels do not count for the envelope");
}
