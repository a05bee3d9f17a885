//! Templates: whose they are, what they fill in, and what they never hand out by themselves.

use serde_json::{Value, json};

use super::kit::{Asks as _, Desk};

const BOB: &str = "did:sync:user:bob";

#[test]
fn a_template_belongs_to_whoever_saved_it() {
    let desk = Desk::memory();
    let (bob, _) = desk.admin_with(BOB, &[("th_invite_templates", "write"), ("th_invites", "write")]);
    let save = |label: &str, ttl: u64| {
        let body = json!({ "label": label, "ttl_seconds": ttl, "notes": "n", "preset": "reader" });
        desk.admin.sends("/v1/invite-templates", &body).is(201).json()
    };
    let one = save("phones", 60);
    let id = one["template_id"].as_str().expect("an id").to_owned();
    assert!(id.strip_prefix("tpl_").is_some_and(|rest| rest.len() == 16), "{one}");
    let expected = json!({
        "object": "invite_template", "owner": super::kit::ADMIN, "label": "phones", "ttl_seconds": 60,
        "max_uses": 1, "scopes": ["records:read"], "scope_target": { "kind": "instance" },
        "accept_holder_types": ["guest"], "device_label": null, "notes": "n", "bearer_ttl_seconds": null,
    });
    for (name, value) in expected.as_object().expect("members") {
        assert_eq!(&one[name], value, "{name}");
    }
    // The same label replaces, under the same name.
    assert_eq!(save("phones", 120)["template_id"], id);
    save("tablets", 60);
    let labels = |rows: &[Value]| -> Vec<(Value, Value)> {
        rows.iter().map(|row| (row["label"].clone(), row["ttl_seconds"].clone())).collect()
    };
    let mut listed = labels(&desk.admin.lists("/v1/invite-templates"));
    listed.sort_by_key(|(label, _)| label.to_string());
    assert_eq!(listed, [(json!("phones"), json!(120)), (json!("tablets"), json!(60))]);
    assert_eq!(desk.admin.lists("/v1/invite-templates?limit=1").len(), 2);
    // To anybody else it is not there.
    assert_eq!(bob.lists("/v1/invite-templates"), [] as [Value; 0]);
    let at = format!("/v1/invite-templates/{id}");
    bob.removes(&at).refuses(404, "TEMPLATE_NOT_FOUND");
    bob.sends("/v1/invites", &json!({ "template_id": id })).refuses(404, "TEMPLATE_NOT_FOUND");
    let own = bob.sends("/v1/invite-templates", &json!({ "label": "phones" })).is(201).json();
    assert_ne!(own["template_id"], id);
    let done = desk.admin.removes(&at).is(200).json();
    assert_eq!((&done["status"], &done["template_id"]), (&json!("removed"), &json!(id)));
    let head = desk.admin.head();
    assert_eq!(desk.admin.removes(&at).is(200).json()["status"], "already_removed");
    assert_eq!(desk.admin.head(), head);
    desk.admin.removes("/v1/invite-templates/tpl_0000000000000000").refuses(404, "TEMPLATE_NOT_FOUND");
    desk.admin.sends("/v1/invites", &json!({ "template_id": id })).refuses(404, "TEMPLATE_NOT_FOUND");
    assert_eq!(bob.lists("/v1/invite-templates").len(), 1);
}

#[test]
fn a_template_fills_in_what_is_left_out() {
    let desk = Desk::memory();
    let body = json!({
        "label": "kitchen", "scopes": ["records:read"], "ttl_seconds": 600, "max_uses": 7,
        "scope_target": { "kind": "thread", "thread_id": "kitchen" }, "accept_holder_types": ["*"],
        "device_label": "tablet", "notes": "by the sink", "bearer_ttl_seconds": 3600,
    });
    let id = desk.admin.sends("/v1/invite-templates", &body).is(201).json()["template_id"].clone();
    let filled = desk.issue(&json!({ "template_id": id })).answer;
    for name in ["ttl_seconds", "max_uses", "scope_target", "device_label", "notes", "bearer_ttl_seconds"] {
        assert_eq!(filled[name], body[name], "{name}");
    }
    assert_eq!(filled["scopes"], json!(["records:read", "thread:kitchen:read"]));
    assert_eq!(
        (&filled["accept_holder_types"], &filled["template_id"]),
        (&json!(["guest", "federated"]), &id)
    );
    let own = json!({
        "template_id": id, "ttl_seconds": 60, "max_uses": 1, "scope_target": { "kind": "instance" },
        "accept_holder_types": ["guest"], "device_label": "phone", "notes": "mine", "bearer_ttl_seconds": 60,
        "scopes": ["records:write"],
    });
    let issued = desk.issue(&own).answer;
    for (name, value) in own.as_object().expect("members") {
        assert_eq!(&issued[name], value, "what the request says counts: {name}");
    }
    // What was issued stays as it was, whatever becomes of its template.
    desk.admin.removes(&format!("/v1/invite-templates/{}", id.as_str().expect("an id"))).is(200);
    assert_eq!(desk.row(filled["invite_id"].as_str().expect("an id"))["template_id"], id);
}

#[test]
fn a_template_hands_out_no_wide_scopes_by_itself() {
    let desk = Desk::memory();
    for (n, scopes) in [json!(["admin"]), json!(["records:read", "threads:write"]), json!(["config:read"])]
        .iter()
        .enumerate()
    {
        let wide = json!({ "label": format!("wide {n}"), "scopes": scopes });
        let id = desk.admin.sends("/v1/invite-templates", &wide).is(201).json()["template_id"].clone();
        let issued = desk.issue(&json!({ "template_id": id })).answer;
        assert_eq!(issued["scopes"], json!(["records:read", "records:write"]));
        let warned = |w: &Value| w.as_str().is_some_and(|w| w.contains("template"));
        assert!(issued["warnings"].as_array().expect("a list").iter().any(warned), "{issued}");
        let repeated = desk.issue(&json!({ "template_id": id, "scopes": scopes })).answer;
        assert_eq!(&repeated["scopes"], scopes);
        assert!(!repeated["warnings"].as_array().expect("a list").iter().any(warned), "{repeated}");
    }
    let narrow = json!({ "label": "narrow", "scopes": ["records:read"] });
    let id = desk.admin.sends("/v1/invite-templates", &narrow).is(201).json()["template_id"].clone();
    assert_eq!(desk.issue(&json!({ "template_id": id })).answer["scopes"], json!(["records:read"]));
}
