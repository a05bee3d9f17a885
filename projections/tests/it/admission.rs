//! What an outside writer may not write, one line per case.

use spl_kernel::{draft::Draft, json::Json, record::Act, refusal::Code};
use spl_projections::admission::check;

const INSTANCE: &str = "did:key:z6MkInstance";

#[test]
fn refusals_come_in_their_order() {
    // Thread, actor, members of the body; the refusal.
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], Option<Code>);
    let cases: [Case<'_>; 14] = [
        ("t", "did:sync:user:a", &[], None),
        ("t", "did:sync:user:a", &[("namespace", "team/build")], None),
        ("t", "did:sync:user:a", &[("kind", "music.catalog.track")], None),
        ("t", "did:sync:user:a", &[("kind", "core.invite")], None),
        ("TH_IDENTITY", "did:sync:user:a", &[], None),
        ("t", "did:sync:user:a", &[("namespace", "Team")], Some(Code::NamespaceRejected)),
        ("t", "did:sync:user:a", &[("namespace", "a/b/c/d/e")], Some(Code::NamespaceRejected)),
        ("th_identity", "did:sync:user:a", &[("namespace", "")], Some(Code::NamespaceRejected)),
        ("th_identity", "did:sync:user:a", &[], Some(Code::ReservedThread)),
        ("th_audit_x", INSTANCE, &[("kind", "core.invite.v1")], Some(Code::ReservedThread)),
        ("t", "did:sync:user:a", &[("kind", "core.api_token.v1")], Some(Code::ReservedKind)),
        ("t", INSTANCE, &[("kind", "core.impersonation.event.v1")], Some(Code::ReservedKind)),
        ("t", "did:sync:system:engine", &[], Some(Code::DidClaimDenied)),
        ("t", INSTANCE, &[], Some(Code::DidClaimDenied)),
    ];
    for (thread, actor, members, expected) in cases {
        let members = members.iter().map(|(k, v)| ((*k).to_owned(), Json::from(*v))).collect();
        let body = spl_kernel::json::Object::from_members(members).expect("distinct keys");
        let draft = Draft::new(thread, actor, Act::Know, Json::Object(body)).expect("a valid draft");
        let refused = check(&draft, INSTANCE).err();
        assert_eq!(
            refused.as_ref().map(|r| r.code),
            expected,
            "{thread} {actor} {members:?}",
            members = draft.body
        );
        assert!(refused.is_none_or(|r| r.hint.is_some()), "every refusal helps");
    }
}
