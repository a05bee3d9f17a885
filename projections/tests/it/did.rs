//! DIDs that name a key or a host, and the documents behind these.

use serde_json::{Value, json};
use spl_kernel::{canonical::canonical, identity::PublicKey};
use spl_projections::did::{Document, document, key_id, web_host};

use crate::invites::{
    key,
    signatures::{SMALL_ORDER, point},
};

const DID: &str = "did:web:a.example.net";

#[test]
fn a_host_is_a_lower_case_name_with_a_dot() {
    let label = "x".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "y".repeat(61));
    assert_eq!(longest.len(), 253);
    for good in [
        "a.b",
        "example.com",
        "a.example.net",
        "xn--bcher-kva.example",
        "a-b.example",
        "1.example",
        "1.2.3.4a",
        "a.b1",
        "localhost.localdomain",
        &format!("{label}.example"),
        &longest,
    ] {
        assert_eq!(web_host(&format!("did:web:{good}")), Some(good), "{good}");
    }
    for bad in [
        "",
        "localhost",
        "example",
        ".",
        ".com",
        "example.",
        "a..b",
        "Example.com",
        "example.COM",
        "bücher.example",
        "a_b.example",
        "-a.example",
        "a-.example",
        "example.-com",
        "example.com-",
        "example.com:8443",
        "example.com%3A8443",
        "example.com:users:bob",
        "example.com/users",
        "example.com#key-1",
        "example.com?x",
        "user@example.com",
        "exa mple.com",
        "example.com ",
        " example.com",
        "example.com\n",
        "a%2eb",
        "127.0.0.1",
        "10.1",
        "1.2.3.4",
        "0x7f.0.0.1",
        "0x7f.1",
        "127.0.0.1.",
        "[::1]",
        "2130706433",
        "169.254.169.254",
        &format!("{label}x.example"),
        &format!("{longest}y"),
    ] {
        assert_eq!(web_host(&format!("did:web:{bad}")), None, "{bad}");
    }
    for other in
        ["", "example.com", "did:key:example.com", "did:web", "DID:web:a.b", "did:Web:a.b", "web:a.b"]
    {
        assert_eq!(web_host(other), None, "{other}");
    }
}

#[test]
fn a_key_has_one_spelling() {
    for seed in 0..20 {
        let one = key(seed).public();
        let did = one.did();
        assert_eq!(PublicKey::from_did(&did), Some(one));
        let digits = did.strip_prefix("did:key:z").expect("a did:key");
        let others = [
            format!("did:key:z1{digits}"),
            format!("did:key:z11{digits}"),
            format!("did:key:{digits}"),
            format!("did:key:Z{digits}"),
            format!("did:key:z{digits} "),
            format!("did:key:z {digits}"),
            format!("did:key:z{digits}#z{digits}"),
            format!("did:key:z{digits}?x=1"),
            format!("did:key:z{digits}/"),
            format!("did:key:1.0:z{digits}"),
            format!("did:key:z{}", &digits[1..]),
            format!("did:key:z{}", &digits[..digits.len() - 1]),
            format!("did:key:z{digits}1"),
            format!("did:key:z{digits}z"),
            format!("did:key:z{}", digits.to_lowercase()),
            format!("DID:key:z{digits}"),
            format!("did:key:u{}", one.base64url()),
            format!("did:key:f{}", data_encoding::HEXLOWER.encode(one.as_bytes())),
            format!("did:web:z{digits}"),
        ];
        for other in others {
            assert_eq!(PublicKey::from_did(&other), None, "{other}");
        }
    }
    // A key of another kind, or of another length.
    for bad in [
        "did:key:",
        "did:key:z",
        "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",
        "did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc",
        &format!("did:key:z{}", "1".repeat(64)),
        &format!("did:key:z{}", "z".repeat(10_000)),
    ] {
        assert_eq!(PublicKey::from_did(bad), None, "{}", bad.len());
    }
}

fn method(id: &str, controller: &str, key: &PublicKey) -> Value {
    json!({
        "id": id, "type": "Ed25519VerificationKey2020", "controller": controller,
        "publicKeyMultibase": key.multibase(),
    })
}

fn parsed(document: &Value) -> Option<Vec<PublicKey>> {
    let document = Document::parse(document.to_string().as_bytes())?;
    assert_eq!(document.id, DID);
    Some(document.assertion_keys)
}

#[test]
fn keys_are_those_that_assert_for_the_document() {
    let (one, two) = (key(1).public(), key(2).public());
    let full = format!("{DID}#key-1");
    let own = method(&full, DID, &one);
    let with = |member: &str, value: Value| {
        let mut changed = own.clone();
        changed[member] = value;
        changed
    };
    let without = |member: &str| {
        let mut changed = own.clone();
        changed.as_object_mut().expect("an object").remove(member);
        changed
    };
    let of = |methods: Value, asserting: Value| json!({ "id": DID, "verificationMethod": methods, "assertionMethod": asserting });
    let by = |changed: Value| of(json!([changed]), json!([full]));
    let embedded = |changed: Value| of(json!([]), json!([changed]));
    let weak = PublicKey::from_bytes(point(SMALL_ORDER[0])).expect("a point");
    let good = || vec![one];
    let none = Vec::new;
    let cases = [
        ("absolute", by(own.clone()), good()),
        ("relative", of(json!([own]), json!(["#key-1"])), good()),
        ("relative id", by(with("id", json!("#key-1"))), good()),
        ("both relative", of(json!([with("id", json!("#key-1"))]), json!(["#key-1"])), good()),
        ("embedded", embedded(own.clone()), good()),
        ("Multikey", by(with("type", json!("Multikey"))), good()),
        ("two", of(json!([own, method("#key-2", DID, &two)]), json!(["#key-2", full])), vec![two, one]),
        ("one of two", of(json!([own, method("#key-2", DID, &two)]), json!(["#key-2"])), vec![two]),
        ("nothing asserts", of(json!([own]), json!([])), none()),
        (
            "only for logging in",
            json!({ "id": DID, "verificationMethod": [own], "authentication": [full] }),
            none(),
        ),
        ("no methods", json!({ "id": DID, "assertionMethod": [full] }), none()),
        ("another method", of(json!([own]), json!(["#key-2"])), none()),
        ("another document's", of(json!([own]), json!(["did:web:b.example.net#key-1"])), none()),
        ("another's method", by(with("id", json!("did:web:b.example.net#key-1"))), none()),
        ("a longer DID", of(json!([own]), json!([format!("{DID}.evil.example#key-1")])), none()),
        ("without the mark", of(json!([own]), json!(["key-1"])), none()),
        ("another controller", by(with("controller", json!("did:web:b.example.net"))), none()),
        ("several controllers", by(with("controller", json!([DID]))), none()),
        ("no controller", by(without("controller")), none()),
        ("another controller, embedded", embedded(with("controller", json!("did:key:z"))), none()),
        ("a JSON web key", by(with("type", json!("JsonWebKey2020"))), none()),
        ("the type of 2018", by(with("type", json!("Ed25519VerificationKey2018"))), none()),
        ("no type", by(without("type")), none()),
        ("several types", by(with("type", json!(["Multikey"]))), none()),
        ("no key", by(without("publicKeyMultibase")), none()),
        ("a key in base64url", by(with("publicKeyMultibase", json!(one.base64url()))), none()),
        ("a key of small order", by(with("publicKeyMultibase", json!(weak.multibase()))), none()),
        (
            "a key with a digit more",
            by(with("publicKeyMultibase", json!(format!("{}1", one.multibase())))),
            none(),
        ),
        (
            "a secp256k1 key",
            by(with("publicKeyMultibase", json!("zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"))),
            none(),
        ),
        ("no lists", of(own.clone(), json!(full)), none()),
        ("numbers", of(json!([1, own]), json!([1, null, [full], full])), good()),
        ("methods of no form", of(json!([{}, { "id": 1 }, own]), json!([full])), good()),
    ];
    for (name, document, expected) in cases {
        assert_eq!(parsed(&document), Some(expected), "{name}");
    }
    for hex in SMALL_ORDER {
        let weak = PublicKey::from_bytes(point(hex)).expect("a point");
        assert_eq!(parsed(&by(method(&full, DID, &weak))), Some(none()), "{hex}");
        assert_eq!(parsed(&embedded(method(&full, DID, &weak))), Some(none()), "{hex}");
    }
}

#[test]
fn sixteen_keys_are_looked_at() {
    let methods: Vec<Value> = (0..40).map(|n| method(&format!("#key-{n}"), DID, &key(n).public())).collect();
    let references: Vec<String> = (0..40).map(|n| format!("#key-{n}")).collect();
    let document = json!({ "id": DID, "verificationMethod": methods, "assertionMethod": references });
    let first: Vec<PublicKey> = (0..16).map(|n| key(n).public()).collect();
    assert_eq!(parsed(&document), Some(first.clone()));
    let embedded = json!({ "id": DID, "assertionMethod": methods });
    assert_eq!(parsed(&embedded), Some(first));
    let same = vec!["#key-0"; 1000];
    let document = json!({ "id": DID, "verificationMethod": methods, "assertionMethod": same });
    assert_eq!(parsed(&document), Some(vec![key(0).public(); 16]));
}

#[test]
fn what_is_no_document_has_no_keys() {
    let deep = format!(r#"{{"id":"{DID}","x":{}{}}}"#, "[".repeat(40), "]".repeat(40));
    let wide = format!(r#"{{"id":"{DID}","x":[{}1]}}"#, "1,".repeat(5000));
    for bad in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"id":5}"#,
        r#"{"id":null}"#,
        r#"{"id":"a","id":"b"}"#,
        r#"{"id":"a"} x"#,
        "<html></html>",
        &deep,
        &wide,
    ] {
        assert_eq!(Document::parse(bad.as_bytes()), None, "{}", &bad[..bad.len().min(40)]);
    }
    assert_eq!(Document::parse(&[0xff; 8]), None);
}

#[test]
fn ones_own_document_names_ones_own_key() {
    let public = key(1).public();
    for did in [public.did().as_str(), DID] {
        let own = document(did, &public, "https://a.example.net");
        let text = canonical(&own, 64 * 1024).expect("a text");
        let parsed = Document::parse(text.as_bytes()).expect("a document");
        assert_eq!(parsed, Document { id: did.to_owned(), assertion_keys: vec![public] });
        let json: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(key_id(did), format!("{did}#key-1"));
        assert_eq!(
            json,
            json!({
                "@context": [
                    "https://www.w3.org/ns/did/v1", "https://w3id.org/security/suites/ed25519-2020/v1",
                ],
                "id": did,
                "verificationMethod": [method(&key_id(did), did, &public)],
                "authentication": [key_id(did)],
                "assertionMethod": [key_id(did)],
                "service": [{
                    "id": format!("{did}#syncropel"), "type": "syncropel",
                    "serviceEndpoint": "https://a.example.net",
                }],
            })
        );
    }
}
