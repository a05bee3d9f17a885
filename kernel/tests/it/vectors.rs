//! The published vectors.

use spl_fixtures::vectors::Vectors;
use spl_kernel::{
    canonical::canonical,
    id::RecordId,
    json::Json,
    record::{Act, DataType, HashedFields, canonical_fields},
};

use crate::support::{BODY, parse};

const LIMIT: usize = 1 << 20;

#[test]
fn published_records_have_their_ids() {
    let published = Vectors::load().published();
    assert!(published.len() >= 4);
    for vector in published {
        let record = parse(&vector.record.to_string());
        let whole = canonical(&record, LIMIT).unwrap();
        if let Some(expected) = &vector.canonical {
            assert_eq!(&whole, expected, "{}", vector.name);
        }
        assert_eq!(RecordId::of(&whole).to_string(), vector.id, "{}", vector.name);
    }
}

/// The record's own writer, which does not go through a JSON object, gives the same bytes.
#[test]
fn the_record_writer_gives_the_same_bytes() {
    for vector in Vectors::load().published() {
        let text = |name: &str| vector.record[name].as_str().unwrap().to_owned();
        let (thread, actor) = (text("thread"), text("actor"));
        let body = canonical(&parse(&vector.record["body"].to_string()), LIMIT).unwrap();
        let parents: Vec<RecordId> = vector.record["parents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| RecordId::parse(p.as_str().unwrap()).unwrap())
            .collect();
        let fields = HashedFields {
            parents: &parents,
            thread: &thread,
            actor: &actor,
            act: Act::parse(&text("act")).unwrap(),
            body: &body,
            data_type: DataType::parse(&text("data_type")).unwrap(),
        };
        let written = canonical_fields(&fields, vector.record["clock"].as_u64().unwrap()).unwrap();
        assert_eq!(written, canonical(&parse(&vector.record.to_string()), LIMIT).unwrap(), "{}", vector.name);
        assert_eq!(RecordId::of(&written).to_string(), vector.id, "{}", vector.name);
    }
}

#[test]
fn numbers_and_strings_have_their_canonical_form() {
    let accepted = Vectors::load().accepted();
    assert!(accepted.len() >= 19);
    for (text, expected) in accepted {
        assert_eq!(canonical(&parse(&text), LIMIT).unwrap(), expected, "{text}");
    }
}

#[test]
fn refused_texts_are_refused() {
    let refused = Vectors::load().refused();
    assert!(refused.len() >= 4);
    for text in refused {
        assert!(Json::parse(text.as_bytes(), BODY).is_err(), "{text}");
    }
}

#[test]
fn keys_are_in_code_point_order() {
    let (input, expected) = Vectors::load().key_order();
    assert_eq!(canonical(&parse(&input), LIMIT).unwrap(), expected);
}
