//! From a record as it is sent to its canonical form and id. Floor: SHA-256 of that form alone.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sha2::{Digest as _, Sha256};
use spl_benches::{Size, ratio, timed};
use spl_fixtures::data;
use spl_kernel::{draft::Draft, record::canonical_fields};

fn canonical(c: &mut Criterion) {
    let size = Size::of_this_run();
    let lines: Vec<String> = data::debian_lines().take(size.records.min(2000)).collect();
    let texts: Vec<String> = lines
        .iter()
        .map(|line| {
            let draft = Draft::from_json(line.as_bytes()).expect("real records are valid");
            canonical_fields(&draft.hashed(), draft.clock.unwrap_or(0)).expect("within limits")
        })
        .collect();
    let ours = || {
        for line in &lines {
            let draft = Draft::from_json(line.as_bytes()).expect("real records are valid");
            std::hint::black_box(draft.id_at(draft.clock.unwrap_or(0)).expect("within limits"));
        }
    };
    let floor = || {
        for text in &texts {
            std::hint::black_box(Sha256::digest(text.as_bytes()));
        }
    };
    ratio("parse + canonical + id over SHA-256 alone", size.rounds, || timed(floor), || timed(ours));
    let mut group = c.benchmark_group("canonical");
    group.throughput(Throughput::Elements(lines.len() as u64));
    group.bench_function("parse, canonical form, id", |b| b.iter(ours));
    group.finish();
}

criterion_group!(benches, canonical);
criterion_main!(benches);
