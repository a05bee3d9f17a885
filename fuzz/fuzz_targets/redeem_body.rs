//! Bodies of redemptions: whatever is sent, either nothing happens, or one refusal is recorded, or exactly one
//! account is made, under a name that is the sender's.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use spl_fuzz::Stage;
use spl_projections::{
    decision::Outcome,
    invites::{Body, Holder},
};

static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);

fuzz_target!(|bytes: &[u8]| {
    let Ok(body) = Body::parse(bytes) else { return };
    let holder = body.holder.clone();
    let before = STAGE.world.accounts.len();
    let (outcome, world) = STAGE.redeem(body);
    let made = world.accounts.len() - before;
    match (outcome, holder) {
        (Ok(Outcome::Redeemed { actor_did, .. }), Holder::Guest { .. }) => {
            assert!(actor_did.starts_with("did:sync:user:guest:"));
            assert_eq!(made, 1);
        }
        (Ok(Outcome::Redeemed { actor_did, .. }), Holder::Federated(claim)) => {
            // Only what the fuzzer has been given can carry a genuine signature.
            assert_eq!(claim.holder_did.as_deref(), Some("did:sync:user:bob"));
            assert_eq!(actor_did, "did:sync:user:bob");
            assert_eq!(made, 1);
        }
        (Ok(Outcome::RedeemRefused { .. }) | Err(_), _) => assert_eq!(made, 0),
        (other, _) => panic!("{other:?}"),
    }
});
