//! Consent grants: who may give and take them, and what stays.

use spl_kernel::{refusal::Code, time::UnixMillis};
use spl_projections::{
    Command,
    authority::Caller,
    consent::{Access, Give, Resource, TakeBack},
    decision::Outcome,
};

use crate::kit::{ALICE, BOB, Kit, code};

fn give(grantee: &str, resource: Resource, access: Access) -> Give {
    Give { grantee: grantee.to_owned(), resource, access, purpose: None, expires_at: None }
}

fn given(kit: &mut Kit, give: Give, caller: &Caller) -> String {
    match kit.run(Command::GiveGrant(give), caller).expect("a grant") {
        Outcome::Grant { grant_id } => grant_id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn grants_are_given_by_those_who_hold_the_grant_on_them() {
    let (mut kit, admin) = Kit::bootstrapped();
    let other = kit.account(&admin, "other", &["admin"], &[BOB]);
    let (alice, bob) = (kit.admin(&admin), kit.admin(&other));
    let invites = || give(BOB, Resource::Invites, Access::Write);
    assert_eq!(code(kit.run(Command::GiveGrant(invites()), &bob)), Some(Code::ConsentDenied));
    assert_eq!(code(kit.run(Command::GiveGrant(invites()), &Caller::local())), None);
    let past = Give { expires_at: Some(kit.now), ..invites() };
    assert_eq!(code(kit.run(Command::GiveGrant(past), &alice)), Some(Code::InvalidBody));
    assert_eq!(
        code(kit.run(Command::GiveGrant(give("bob", Resource::Consent, Access::Read)), &alice)),
        Some(Code::InvalidBody)
    );
    let unseen = Give { purpose: Some("a\nb".into()), ..invites() };
    assert_eq!(code(kit.run(Command::GiveGrant(unseen), &alice)), Some(Code::InvalidBody));
    given(&mut kit, give(BOB, Resource::Consent, Access::Write), &alice);
    assert_eq!(code(kit.run(Command::GiveGrant(invites()), &bob)), None, "effective on the next request");
}

#[test]
fn writing_includes_reading_and_both_end() {
    let (mut kit, admin) = Kit::bootstrapped();
    let alice = kit.admin(&admin);
    let until = UnixMillis(kit.now.0 + 1000);
    let short = Give { expires_at: Some(until), ..give(BOB, Resource::Invites, Access::Write) };
    let id = given(&mut kit, short, &alice);
    let may = |kit: &Kit, access| kit.world.consent.allows(BOB, Resource::Invites, access, kit.now);
    assert!(may(&kit, Access::Read) && may(&kit, Access::Write));
    assert!(!kit.world.consent.allows(BOB, Resource::Consent, Access::Read, kit.now));
    kit.now = until;
    assert!(!may(&kit, Access::Read), "expiry is an instant");
    let take = || Command::TakeBackGrant(TakeBack { grant_id: id.clone(), reason: Some("done".into()) });
    for expected in [false, true] {
        match kit.run(take(), &alice).expect("taken back") {
            Outcome::GrantRevoked { already } => assert_eq!(already, expected),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(kit.replayed().digest(), kit.world.digest());
}

#[test]
fn the_last_guardian_stays() {
    let (mut kit, admin) = Kit::bootstrapped();
    let alice = kit.admin(&admin);
    let guards = |kit: &Kit| -> Vec<String> {
        let own =
            kit.world.consent.iter().filter(|(_, g)| g.grantee == ALICE && g.resource == Resource::Consent);
        own.map(|(id, _)| id.to_owned()).collect()
    };
    let take = |id: &str| Command::TakeBackGrant(TakeBack { grant_id: id.to_owned(), reason: None });
    let own = guards(&kit).pop().expect("a guardian");
    assert_eq!(code(kit.run(take(&own), &alice)), Some(Code::LastGrant));
    assert_eq!(code(kit.run(take("cg_0000000000000000"), &alice)), Some(Code::GrantNotFound));
    given(&mut kit, give(BOB, Resource::Consent, Access::Write), &alice);
    assert_eq!(code(kit.run(take(&own), &alice)), None);
    assert_eq!(
        code(kit.run(Command::GiveGrant(give(ALICE, Resource::Invites, Access::Read)), &alice)),
        Some(Code::ConsentDenied)
    );
}
