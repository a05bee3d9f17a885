//! Proofs: the genuine body, with bytes of it replaced. Whatever is changed, nobody gets in by it, unless it means
//! the same.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use spl_fuzz::Stage;
use spl_projections::{
    decision::Outcome,
    invites::{Body, Holder},
};

static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);
static GENUINE: LazyLock<String> = LazyLock::new(|| STAGE.genuine());

fuzz_target!(|changes: &[u8]| {
    let mut bytes = GENUINE.clone().into_bytes();
    for change in changes.chunks_exact(3).take(8) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] = change[2];
    }
    let Ok(body) = Body::parse(&bytes) else { return };
    let same = Body::parse(GENUINE.as_bytes()).is_ok_and(|genuine| genuine.holder == body.holder);
    let is_guest = matches!(body.holder, Holder::Guest { .. });
    let (outcome, _) = STAGE.redeem(body);
    match outcome {
        Ok(Outcome::Redeemed { .. }) => assert!(same || is_guest),
        Ok(Outcome::RedeemRefused { .. }) | Err(_) => assert!(!same),
        other => panic!("{other:?}"),
    }
});
