//! What there has to be, from nothing but the order of the log.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::kit::{Asks as _, Desk, Token};

/// An invite, as the log tells it.
#[derive(Debug, Default)]
pub(super) struct Told {
    max_uses: u64,
    expires_at: String,
    pub(super) redeemed: Vec<Value>,
    pub(super) revoked: Vec<Value>,
    pub(super) exhausted: usize,
    pub(super) refused: Vec<String>,
}

/// What the log tells.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) invites: BTreeMap<String, Told>,
    /// Accounts that redemptions made, and whether they live.
    pub(super) accounts: BTreeMap<String, bool>,
    /// Tokens that live, by id, and whose they are.
    pub(super) tokens: BTreeMap<String, String>,
    pairs: BTreeSet<String>,
}

fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap_or_else(|| panic!("no {name}: {body}"))
}

impl Model {
    /// Follows the log, and insists on each step that it could be taken.
    #[track_caller]
    pub(super) fn of(log: &[Value]) -> Self {
        let mut model = Self::default();
        for record in log {
            let (thread, body) = (text(record, "thread"), &record["body"]);
            let kind = body["kind"].as_str().unwrap_or_default();
            match (thread, kind) {
                ("th_invites", "core.invite.v1") => {
                    let told = Told {
                        max_uses: body["max_uses"].as_u64().expect("a number"),
                        expires_at: text(body, "expires_at").to_owned(),
                        ..Told::default()
                    };
                    let before = model.invites.insert(text(body, "invite_id").to_owned(), told);
                    assert!(before.is_none(), "issued twice: {record}");
                }
                ("th_invites", _) => model.event(record, body),
                ("th_service_accounts", "core.service_account.v1") if body["origin"] == "invite" => {
                    model.accounts.insert(text(body, "service_account_id").to_owned(), true);
                }
                ("th_service_accounts", "core.service_account.revocation.v1") => model.ended(body),
                ("th_api_tokens", "core.api_token.v1") => {
                    let account = text(body, "service_account_id").to_owned();
                    assert_ne!(model.accounts.get(&account), Some(&false), "minted for the dead: {record}");
                    model.tokens.insert(text(body, "token_id").to_owned(), account);
                }
                ("th_api_tokens", "core.api_token.revocation.v1") => {
                    let gone = model.tokens.remove(text(body, "token_id"));
                    assert!(gone.is_some(), "revoked what did not live: {record}");
                }
                ("th_federation_pairs", "core.federation_pair.v1") => {
                    model.pairs.insert(text(body, "pair_id").to_owned());
                }
                ("th_federation_pairs", _) if body["event_kind"] == "removed" => {
                    assert!(
                        model.pairs.remove(text(body, "pair_id")),
                        "removed what was not there: {record}"
                    );
                }
                _ => {}
            }
        }
        model
    }

    fn event(&mut self, record: &Value, body: &Value) {
        let told = self.invites.get_mut(text(body, "invite_id")).expect("an invite before its events");
        let (at, left) = (text(body, "at"), told.max_uses - told.redeemed.len() as u64);
        match text(body, "event_kind") {
            "redeemed" => {
                assert!(told.revoked.is_empty(), "redeemed after it was revoked: {record}");
                assert!(left > 0, "redeemed more often than it can be: {record}");
                assert!(at < told.expires_at.as_str(), "redeemed after its time: {record}");
                assert_eq!(body["uses_remaining"], left - 1, "{record}");
                if let Some(pair) = body["pair_id"].as_str() {
                    assert!(self.pairs.contains(pair), "redeemed through a pair that was removed: {record}");
                }
                told.redeemed.push(body.clone());
            }
            "exhausted" => {
                assert_eq!((left, told.exhausted), (0, 0), "exhausted, and uses are left: {record}");
                told.exhausted += 1;
            }
            "revoked" => {
                let live = match text(body, "cause") {
                    "operator" => {
                        let mine: BTreeSet<&str> =
                            told.redeemed.iter().map(|r| text(r, "bearer_sa_id")).collect();
                        self.tokens.values().filter(|account| mine.contains(account.as_str())).count()
                    }
                    "bulk_expired" => {
                        assert!(at >= told.expires_at.as_str() && left > 0, "was not expired: {record}");
                        0
                    }
                    cause => {
                        assert!((cause, left) == ("bulk_exhausted", 0) && told.max_uses > 1, "{record}");
                        0
                    }
                };
                assert_eq!(body["bearers_revoked"], live, "{record}");
                told.revoked.push(body.clone());
            }
            "refused" => told.refused.push(text(body, "refusal_reason").to_owned()),
            other => panic!("what is {other}: {record}"),
        }
    }

    fn ended(&mut self, body: &Value) {
        let account = text(body, "service_account_id");
        let before = self.tokens.len();
        self.tokens.retain(|_, of| of != account);
        assert_eq!(body["tokens_revoked"], before - self.tokens.len(), "{body}");
        if let Some(alive) = self.accounts.get_mut(account) {
            assert!(*alive, "ended twice: {body}");
            *alive = false;
        }
    }

    fn state(told: &Told) -> Option<&'static str> {
        match told {
            Told { revoked, .. } if !revoked.is_empty() => Some("revoked"),
            Told { exhausted: 1, max_uses: 1, .. } => Some("redeemed"),
            Told { exhausted: 1, .. } => Some("exhausted"),
            // The clock decides.
            _ => None,
        }
    }
}

/// Insists that every change of an invite has exactly one mirror, right behind it, and that no mirror stands alone.
#[track_caller]
pub(super) fn parity(log: &[Value]) {
    let mut sources = 0;
    for (at, record) in log.iter().enumerate().filter(|(_, r)| r["thread"] == "th_invites") {
        let mirror = &log[at + 1];
        sources += 1;
        assert_eq!(
            (&mirror["thread"], &mirror["act"]),
            (&json!("th_audit_invites"), &json!("LEARN")),
            "{record}"
        );
        assert_eq!(mirror["parents"], json!([record["id"]]), "{mirror}");
        assert_eq!(mirror["body"]["source_record"], record["id"], "{mirror}");
        assert_eq!(mirror["sequence"].as_u64(), record["sequence"].as_u64().map(|s| s + 1));
        assert_eq!(mirror["created_at"], record["created_at"]);
        let mut expected = record["body"].clone();
        if record["act"] == "PUT" {
            assert_eq!(mirror["body"]["event_kind"], "issued", "{mirror}");
            for name in ["invite_id", "scopes", "max_uses", "expires_at", "device_label", "notes", "by"] {
                assert_eq!(mirror["body"][name], expected[name], "{name}: {mirror}");
            }
            continue;
        }
        expected["source_record"] = record["id"].clone();
        assert_eq!(mirror["body"], expected);
    }
    let mirrors = log.iter().filter(|r| r["thread"] == "th_audit_invites").count();
    assert_eq!(mirrors, sources);
}

/// Insists that the log explains who lives, what rows show, and that it is whole. `bearers` are all that were given.
#[track_caller]
pub(super) fn explains(desk: &Desk, bearers: &[Token]) -> Model {
    let log = desk.log();
    parity(&log);
    let model = Model::of(&log);
    let given: BTreeSet<&str> = model
        .invites
        .values()
        .flat_map(|told| told.redeemed.iter().map(|r| text(r, "bearer_token_id")))
        .collect();
    let of_answers: BTreeSet<&str> = bearers.iter().map(|t| t.id.as_str()).collect();
    assert!(given.is_subset(&of_answers), "the log has redemptions that nobody was told of");
    for bearer in bearers {
        let alive = model.tokens.contains_key(&bearer.id);
        assert_eq!(desk.lives(bearer), alive, "{bearer:?}");
        assert!(!alive || model.accounts.get(&bearer.account) != Some(&false), "{bearer:?}");
    }
    for row in desk.admin.lists("/v1/invites?limit=1000") {
        let told = &model.invites[text(&row, "invite_id")];
        assert_eq!(row["uses_remaining"].as_u64(), Some(told.max_uses - told.redeemed.len() as u64), "{row}");
        if let Some(state) = Model::state(told) {
            assert_eq!(row["state"], state, "{row}");
        } else {
            assert!(row["state"] == "active" || row["state"] == "expired", "{row}");
        }
        let shown = row["redemptions"].as_array().expect("a list");
        assert_eq!(shown.len(), told.redeemed.len(), "{row}");
        for (shown, record) in shown.iter().zip(&told.redeemed) {
            let account = text(record, "bearer_sa_id");
            assert_eq!(shown["service_account_id"], account);
            assert_eq!(shown["holder_did"], record["holder_did"]);
            let live: Vec<&String> =
                model.tokens.iter().filter(|(_, of)| *of == account).map(|(id, _)| id).collect();
            assert_eq!(shown["live"], !live.is_empty(), "{shown}");
            if let [token] = live[..] {
                assert_eq!(shown["token_id"], *token, "{shown}");
            }
        }
    }
    let accounts: BTreeMap<String, bool> = desk
        .admin
        .rows("/v1/service-accounts?limit=1000")
        .iter()
        .filter(|row| row["origin"] == "invite")
        .map(|row| (text(row, "id").to_owned(), row["active"] == true))
        .collect();
    assert_eq!(accounts, model.accounts);
    model
}
