//! The check of a bearer token against state as the server keeps it, folded from records: 1,000 to a million
//! tokens, one reader and two, alone and beside a writer that mints 1,000 a second. Floor: SHA-256 of the token
//! and one lookup in a plain hash table of as many; and beside it the same with a lookup of the actors of the token's
//! account, which no check of a claim can leave out.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use std::{
    hint::black_box,
    sync::{Arc, RwLock},
    time::Duration,
};

use arc_swap::{ArcSwap, Cache};
use criterion::{Criterion, criterion_group, criterion_main};
use spl_benches::{
    Size, Steal, quantile,
    readers::{Minter, mint, window},
    report, spread,
    tokens::{Book, GATE, Listed, NOW, Plain, Probe, Probes},
    turns::{Side, ratios, side},
};
use spl_kernel::record::StoredRecord;
use spl_projections::{
    World,
    authority::{Presented, Ticket},
    tokens::TokenId,
};

fn checked(world: &World, token: &str, claim: Option<&str>) -> u32 {
    world.check(token, &GATE, claim, NOW).expect("a valid request").number()
}

fn ticket(probe: Probe<'_>) -> Ticket {
    Ticket {
        bearer: Presented::Token(TokenId::of(probe.token)),
        local_proof: false,
        insecure: false,
        claimed: Some(probe.any.to_owned()),
        gate: GATE,
    }
}

/// How state is published, with a check of all there is in it.
fn publishing<'a>(published: &'a ArcSwap<World>) -> Vec<Side<'a>> {
    let bare = World::clone(&published.load());
    let (held, locked) = (RwLock::new(bare.clone()), RwLock::new(published.load_full()));
    let mut cache = Cache::new(published);
    vec![
        side("check, nothing published", move |p| {
            black_box(checked(&bare, p.token, Some(p.any)));
        }),
        side("check, ArcSwap::load", |p| {
            black_box(checked(&published.load(), p.token, Some(p.any)));
        }),
        side("check, arc_swap::Cache", move |p| {
            black_box(checked(cache.load(), p.token, Some(p.any)));
        }),
        side("check, RwLock<World> held", move |p| {
            black_box(checked(&held.read().expect("no panic"), p.token, Some(p.any)));
        }),
        side("check, RwLock<Arc<World>>, cloned", move |p| {
            let world = locked.read().expect("no panic").clone();
            black_box(checked(&world, p.token, Some(p.any)));
        }),
    ]
}

fn sides<'a>(published: &'a ArcSwap<World>, plain: &'a Plain) -> Vec<Side<'a>> {
    let index = World::clone(&published.load());
    let listed = Listed::of(&index);
    let with_actors = listed.clone();
    let mut sides = vec![
        side("the floor again (control)", |p| assert!(plain.get(&TokenId::of(p.token)).is_some())),
        // What a claim costs whoever keeps actors at all: they lie elsewhere, and where is known from the entry.
        side("the floor, and the first actor", move |p| {
            let entry = plain.get(&TokenId::of(p.token)).expect("a token");
            assert!(listed.has(entry, p.first));
        }),
        side("the floor, and any actor", move |p| {
            let entry = plain.get(&TokenId::of(p.token)).expect("a token");
            assert!(with_actors.has(entry, p.any));
        }),
        side("SHA-256 alone", |p| {
            black_box(TokenId::of(p.token));
        }),
        side("SHA-256 and the index alone", move |p| {
            assert!(index.tokens.get(&TokenId::of(p.token)).is_some());
        }),
        side("check, load, the first actor claimed", |p| {
            black_box(checked(&published.load(), p.token, Some(p.first)));
        }),
        side("check, load, no claim sent", |p| {
            black_box(checked(&published.load(), p.token, None));
        }),
        side("a live token by id, load", |p| {
            let world = published.load();
            black_box(world.live_token(&TokenId::of(p.token), NOW).expect("a live one").number());
        }),
        side("as a request: by id, caller kept", |p| {
            let (ticket, world) = (ticket(p), published.load_full());
            black_box(world.admit(&ticket, NOW).expect("a valid request"));
        }),
    ];
    sides.extend(publishing(published));
    sides
}

/// Windows with a writer over windows without, and both over two floors.
fn beside_a_writer(
    what: &str,
    size: Size,
    published: &Arc<ArcSwap<World>>,
    book: &mut Book,
    lists: &[Probes],
) {
    let steal = Steal::begin();
    let plain = Plain::of(&published.load());
    let mut minter = Minter::new(published.clone());
    let small = size.rounds < 10;
    let time = Duration::from_millis(if small { 20 } else { 250 });
    // So that merges fall into the windows.
    (0..if small { 100 } else { 8_000 }).for_each(|_| minter.write(&book.mint()));
    let check = |p: Probe<'_>| {
        black_box(checked(&published.load(), p.token, Some(p.any)));
    };
    let floor = |p: Probe<'_>| assert!(plain.get(&TokenId::of(p.token)).is_some());
    let (mut rates, mut costs, mut floors, mut took) = (vec![], vec![], vec![], vec![]);
    // What the writer takes of the processors whoever reads has to do without, however it reads.
    let mut floor_rates = vec![];
    let before = minter.merges;
    for round in 0..size.rounds * 2 {
        let mut minted = || -> Vec<StoredRecord> { (0..time.as_millis()).map(|_| book.mint()).collect() };
        // In the order in which they are folded: the log's.
        let mut records = [minted(), minted()];
        if round % 2 == 1 {
            records.reverse();
        }
        let mut with_and_without = [None; 4];
        let turns = if round % 2 == 0 { [0, 1, 2, 3] } else { [3, 2, 1, 0] };
        for turn in turns {
            with_and_without[turn] = Some(match turn {
                0 => window(lists, time, check, |stop| mint(&mut minter, &records[0], &mut took, stop)),
                1 => window(lists, time, check, |_| ()),
                2 => window(lists, time, floor, |_| ()),
                _ => window(lists, time, floor, |stop| mint(&mut minter, &records[1], &mut took, stop)),
            });
        }
        let [with, without, floor, floor_with] =
            with_and_without.map(|window| window.expect("each had its turn"));
        rates.push(with.rate / without.rate);
        costs.push(without.cost / with.cost);
        floors.push(floor.cost / without.cost);
        floor_rates.push(floor_with.rate / floor.rate);
    }
    let readers = lists.len();
    report(&format!(
        "{what}, {readers} readers beside 1,000 mints/s over without: ratio {}, by processor time {}; the floor beside it {}; over {readers} floors {}; {} minted, p50 {:.0} p99 {:.0} us, {} merges   {}",
        spread(rates),
        spread(costs),
        spread(floor_rates),
        spread(floors),
        took.len(),
        quantile(&mut took.clone(), 0.5) * 1e6,
        quantile(&mut took.clone(), 0.99) * 1e6,
        minter.merges - before,
        steal.share(),
    ));
}

fn token_check(c: &mut Criterion) {
    let size = Size::of_this_run();
    for tokens in size.tokens {
        let (world, mut book) = Book::world(*tokens);
        let what = format!("{tokens} tokens");
        let published = Arc::new(ArcSwap::from_pointee(world));
        let plain = Plain::of(&published.load());
        let lists = [1, 2].map(|seed| book.probes(size.checks * 100, seed));
        let mut floor = side("floor", |p| assert!(plain.get(&TokenId::of(p.token)).is_some()));
        ratios(&what, size, &lists[0], &mut floor, &mut sides(&published, &plain));
        for readers in [1, 2] {
            beside_a_writer(&what, size, &published, &mut book, &lists[..readers]);
        }
        let p = lists[0].range(0..1).next().expect("a probe");
        c.bench_function(&format!("check/{what}"), |b| {
            b.iter(|| checked(&published.load(), p.token, Some(p.any)))
        });
    }
}

criterion_group!(benches, token_check);
criterion_main!(benches);
