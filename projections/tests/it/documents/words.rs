//! What the document of kinds says in words, and bodies to try the decoder with.

/// Bodies with every member that their kind may have, for each kind that is decoded: one for each event, where
/// events differ in what they have.
pub(super) const FULL: &[(&str, &str)] = &[
    (
        "core.identity.created.v1",
        r#"{"did":"did:key:z6Mk","method":"key","public_key":"AA","public_key_multibase":"z6Mk","key_fp":"00","created_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.service_account.v1",
        r#"{"service_account_id":"sa_0000000000000000","display_name":"d","allowed_actors":["did:sync:user:a"],"scopes":["records:read"],"namespace":"default","env_tag":"prod","origin":"invite","invite_id":"inv_0","pair_id":"pair_0","created_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.service_account.revocation.v1",
        r#"{"service_account_id":"sa_0000000000000000","cause":"operator","reason":"r","tokens_revoked":1,"revoked_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.api_token.v1",
        r#"{"token_id":"0000000000000000000000000000000000000000000000000000000000000000","service_account_id":"sa_0000000000000000","env_tag":"prod","scopes":["records:read"],"origin":"renew","replaces":["1111111111111111111111111111111111111111111111111111111111111111"],"lifetime_seconds":60,"created_at":"2026-03-02T08:00:00.000Z","expires_at":"2026-03-02T08:01:00.000Z"}"#,
    ),
    (
        "core.api_token.revocation.v1",
        r#"{"token_id":"0000000000000000000000000000000000000000000000000000000000000000","service_account_id":"sa_0000000000000000","cause":"operator","reason":"r","revoked_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.api_token.activity.v1",
        r#"{"seen":[{"token_id":"0000000000000000000000000000000000000000000000000000000000000000","last_used_at":"2026-03-02T08:00:00.000Z"}]}"#,
    ),
    (
        "core.consent.v1",
        r#"{"grant_id":"cg_0000000000000000","grant_type":"operator","grantee":"did:sync:user:a","resource":"th_invites","access":"write","purpose":"p","expires_at":"2026-03-02T08:00:00.000Z","granted_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.consent_revoked.v1",
        r#"{"grant_id":"cg_0000000000000000","reason":"r","revoked_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.invite.v1",
        r#"{"invite_id":"inv_0000000000000000","issuer_did":"did:key:z6Mk","issuer_key_fp":"00","public_url":"https://spl.example.com","scope_target":"instance","scopes":["records:read"],"ttl_seconds":60,"max_uses":1,"accept_holder_types":["guest"],"device_label":"d","notes":"n","bearer_ttl_seconds":60,"template_id":"tpl_0000000000000000","issued_at":"2026-03-02T08:00:00.000Z","expires_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.invite.event.v1",
        r#"{"invite_id":"inv_0000000000000000","event_kind":"redeemed","at":"2026-03-02T08:00:00.000Z","holder_type":"federated","holder_did":"did:sync:user:a","holder_pubkey":"AA","holder_label":"d","bearer_token_id":"0000000000000000000000000000000000000000000000000000000000000000","bearer_sa_id":"sa_0000000000000000","scopes":["records:read"],"expires_at":"2026-03-02T08:00:00.000Z","uses_remaining":0,"signer_instance_did":"did:key:z6Mk","signer_key":"AA","signer_trust":"paired","pair_id":"pair_0","proof_sha256":"00"}"#,
    ),
    (
        "core.invite.event.v1",
        r#"{"invite_id":"inv_0000000000000000","event_kind":"revoked","at":"2026-03-02T08:00:00.000Z","revoker_actor":"did:sync:user:a","revoker_reason":"r","cause":"operator","bearers_revoked":1}"#,
    ),
    (
        "core.invite.event.v1",
        r#"{"invite_id":"inv_0000000000000000","event_kind":"exhausted","at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.invite.event.v1",
        r#"{"invite_id":"inv_0000000000000000","event_kind":"refused","at":"2026-03-02T08:00:00.000Z","refusal_reason":"bad_proof","holder_type":"federated","holder_did":"did:sync:user:a","signer_instance_did":"did:key:z6Mk","count":1}"#,
    ),
    (
        "core.invite_template.v1",
        r#"{"template_id":"tpl_0000000000000000","owner":"did:sync:user:a","label":"l","ttl_seconds":60,"max_uses":1,"scopes":["records:read"],"scope_target":"instance","accept_holder_types":["guest"],"device_label":"d","notes":"n","bearer_ttl_seconds":60,"created_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.invite_template.removal.v1",
        r#"{"template_id":"tpl_0000000000000000","removed_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.federation_pair.v1",
        r#"{"pair_id":"pair_0","peer_did":"did:key:z6Mk","peer_url":"https://peer.example.net","peer_key":"AA","peer_key_fp":"00","peer_version":"1","manifest_sha256":"00","peer_token_id":"00","state":"active","paired_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.federation_pair.event.v1",
        r#"{"pair_id":"pair_0","peer_did":"did:key:z6Mk","event_kind":"removed","reason":"r","accounts_revoked":1,"bearers_revoked":1,"at":"2026-03-02T08:00:00.000Z"}"#,
    ),
];

/// A body of each topic that its decoder takes, without `topic`.
pub(super) const VALUES: &[(&str, &str)] = &[
    ("auth_required", r#"{"enabled":true}"#),
    ("auth_cors_origins", r#"{"origins":["https://app.example.com"]}"#),
    ("strict_actor_header", r#"{"enabled":true}"#),
    ("strict_impersonation_enforcement", r#"{"enabled":true}"#),
    ("federation_did_web", r#"{"enabled":false}"#),
    ("permissions_enabled", r#"{"enabled":false}"#),
    ("trusted_proxies", r#"{"cidrs":["10.0.0.0/8"]}"#),
    (
        "permission_rule",
        r#"{"name":"admins","action":"allow","priority":1,"expression":"\"admin\" in scopes","enabled":false}"#,
    ),
    ("public_url", r#"{"url":"https://spl.example.com"}"#),
];

/// What writes each kind; a kind of two threads is named by the thread of its mirrors.
pub(super) const WRITTEN_BY: &[(&str, &str)] = &[
    ("core.identity.created.v1", "the first start"),
    (
        "core.service_account.v1",
        "`accounts.bootstrap`, `SPL_BOOTSTRAP_TOKEN`, `accounts.create`, `accounts.update`: the whole state each time",
    ),
    ("core.service_account.revocation.v1", "`accounts.revoke`. It ends all tokens of the account by itself"),
    (
        "core.api_token.v1",
        "with a first account; `accounts.create` with a token, `tokens.mint`, `tokens.rotate`, `accounts.rotate_key`",
    ),
    (
        "core.api_token.revocation.v1",
        "`tokens.revoke`, `tokens.rotate`, `accounts.rotate_key`, and the start after a restore or with an older log",
    ),
    ("core.api_token.activity.v1", "the instance, every five minutes and at its end, where there is news"),
    (
        "core.consent.v1",
        "with a first account: `write` on each resource for each of its actors; `consent.grant`",
    ),
    ("core.consent_revoked.v1", "`consent.revoke`"),
    ("core.engine_config", "`config.set`, and callers who post it with `config:write` or `admin`"),
    (
        "core.token_lifecycle_event.v1",
        "with every record of `th_service_accounts` and `th_api_tokens` but activity; and for what no record tells: \
         an ended token that came back, an attestation, and refusals",
    ),
    ("core.consent_state_change.v1", "with every record of `th_consent`"),
    ("core.impersonation.event.v1", "with records that an admin posts as an actor that is not its account's"),
    ("core.invite.v1", "`invites.issue`"),
    (
        "core.invite.event.v1",
        "`invites.redeem`, which records refusals too; `invites.revoke`, `invites.bulkRevoke`, and the start after a restore or with an older log",
    ),
    ("core.invite_template.v1", "`inviteTemplates.save`: the whole of it each time"),
    ("core.invite_template.removal.v1", "`inviteTemplates.remove`"),
    ("core.federation_pair.v1", "`federationPairs.create`"),
    ("core.federation_pair.event.v1", "`federationPairs.remove`"),
    ("th_audit_invites", "with every record of `th_invites`"),
    ("core.federation_pair_state_change.v1", "with every record of `th_federation_pairs`"),
];

/// What members mean: of one kind, or of all that have it.
const MEANINGS: &[(&str, &str, &str)] = &[
    ("core.service_account.v1", "origin", "`bootstrap`, `environment`, `operator` or `invite`"),
    ("core.service_account.v1", "created_at", "when it was made; an update repeats it"),
    ("core.service_account.revocation.v1", "cause", "`operator`, `invite_revoked` or `pair_removed`"),
    ("core.api_token.v1", "origin", "`bootstrap`, `environment`, `mint`, `rotate`, `renew` or `invite`"),
    ("core.api_token.v1", "expires_at", "when it ends by itself"),
    ("core.api_token.revocation.v1", "cause", "`operator`, `rotated` or `renewed`"),
    ("core.token_lifecycle_event.v1", "service_account_id", "the account that it is about"),
    ("core.token_lifecycle_event.v1", "origin", "as in the record"),
    ("core.token_lifecycle_event.v1", "cause", "as in the record"),
    ("core.impersonation.event.v1", "actor", "the first of the account's own"),
    ("", "did", "the instance's DID"),
    ("", "method", "`key`"),
    ("", "public_key", "raw Ed25519 key, base64url"),
    ("", "public_key_multibase", "the same as multibase"),
    ("", "key_fp", "first 16 hex digits of SHA-256 of the raw key"),
    ("", "created_at", "when it was made"),
    ("", "service_account_id", "the account"),
    ("", "display_name", "what people call it"),
    (
        "",
        "allowed_actors",
        "DIDs that its tokens may act as; the first is the one they act as unless told otherwise",
    ),
    ("", "scopes", "coarse scopes in the order of scopes.md, then grains"),
    ("", "namespace", "`default`"),
    ("", "env_tag", "a part of the token's text: 1 to 16 of `a-z 0-9`"),
    ("", "invite_id", "the invite that made it"),
    ("", "pair_id", "the pair that it came through"),
    ("", "reason", "why, in the words of whoever did it"),
    ("", "tokens_revoked", "live tokens that ended with it"),
    ("", "revoked_at", "when"),
    ("", "token_id", "lowercase hex SHA-256 of the token's text"),
    ("", "replaces", "tokens that it takes the place of"),
    ("", "lifetime_seconds", "how long it lives; a renewal has the same again"),
    ("", "seen", "at most 1000 of `{token_id, last_used_at}`, sorted"),
    ("", "grant_id", "`cg_` and 16 characters"),
    ("", "grant_type", "`operator`"),
    ("", "grantee", "the DID that may"),
    ("", "resource", "`th_invites`, `th_invite_templates` or `th_consent`"),
    ("", "access", "`read`, or `write`, which includes it"),
    ("", "purpose", "what for"),
    ("", "expires_at", "until when"),
    ("", "granted_at", "when"),
    ("", "topic", "what is set, see below"),
    ("", "_v", "anything; it means nothing"),
    ("", "event_kind", "what happened, see below"),
    ("", "changed", "members of the account that are not what they were"),
    ("", "counts", "refusals by code"),
    ("", "at", "when"),
    ("", "source_record", "the record that this one mirrors, its parent too"),
    ("", "transition", "`granted` or `revoked`"),
    ("", "acted_as", "those it wrote as: distinct, sorted, at most 64"),
    ("", "more", "how many more there were"),
    ("", "record_count", "records so written in the commit"),
    ("", "first_record", "the id of the first of them"),
    ("core.invite.v1", "invite_id", "`inv_` and 16 characters"),
    ("core.invite.v1", "expires_at", "until when it can be redeemed"),
    ("core.invite.event.v1", "invite_id", "the invite"),
    (
        "core.invite.event.v1",
        "holder_did",
        "who the holder is here; of `refused`, who it claims to be, cut to 256 bytes",
    ),
    (
        "core.invite.event.v1",
        "signer_instance_did",
        "the instance that vouched for it; of `refused`, the one that it names, cut to 256 bytes",
    ),
    (
        "core.invite.event.v1",
        "expires_at",
        "of `redeemed`, when the token ends; of `issued`, when the invite does",
    ),
    ("core.invite.event.v1", "cause", "`operator`, `bulk_expired` or `bulk_exhausted`"),
    ("core.invite.event.v1", "pair_id", "the pair with that instance"),
    ("core.invite_template.v1", "template_id", "`tpl_` and 16 characters; the same label keeps it"),
    (
        "core.invite_template.v1",
        "scopes",
        "coarse scopes in the order of scopes.md, or grains; not narrowed to the target yet",
    ),
    ("core.invite_template.v1", "created_at", "when it was saved first; saving it again repeats it"),
    ("core.invite_template.removal.v1", "template_id", "the template"),
    ("core.federation_pair.v1", "pair_id", "`pair_` and 16 characters, never used again"),
    ("core.federation_pair.event.v1", "pair_id", "the pair"),
    ("core.federation_pair.event.v1", "event_kind", "`removed`; `token_set` is decoded and changes nothing"),
    ("core.federation_pair_state_change.v1", "pair_id", "the pair"),
    ("core.federation_pair_state_change.v1", "transition", "`none->active` or `active->removed`"),
    ("", "issuer_did", "the instance's DID"),
    ("", "issuer_key_fp", "first 16 hex digits of SHA-256 of its raw key"),
    ("", "public_url", "the address in the link, as it was then"),
    ("", "scope_target", "`instance`, `thread:<id>` or `namespace:<ns>`"),
    ("", "ttl_seconds", "how long the invite can be redeemed"),
    ("", "max_uses", "how often"),
    ("", "accept_holder_types", "`guest`, `federated` or both"),
    ("", "device_label", "what people call the device, or whoever it is for"),
    ("", "notes", "what the issuer noted"),
    ("", "bearer_ttl_seconds", "how long its bearers live; a renewal has the same again"),
    ("", "template_id", "the template that filled it in"),
    ("", "issued_at", "when"),
    ("", "holder_type", "`guest` or `federated`"),
    ("", "holder_pubkey", "the holder's key, base64url"),
    ("", "holder_label", "what it calls itself"),
    ("", "bearer_token_id", "its first token"),
    ("", "bearer_sa_id", "its account"),
    ("", "uses_remaining", "uses that are left"),
    ("", "signer_key", "the key that signed, base64url"),
    ("", "signer_trust", "why that key was believed: `paired`, `self_asserted` or `did_web`"),
    ("", "proof_sha256", "SHA-256 of what was signed, domain included: it is used once"),
    ("", "revoker_actor", "who revoked it"),
    ("", "revoker_reason", "why, in that actor's words"),
    ("", "bearers_revoked", "live tokens that ended with it"),
    ("", "accounts_revoked", "accounts that ended with it"),
    (
        "",
        "refusal_reason",
        "`expired`, `revoked`, `exhausted`, `holder_type_mismatch`, `freshness_violation`, `key_unknown`, `bad_proof` or `did_claim_denied`",
    ),
    ("", "count", "so many refusals that were not recorded one by one"),
    ("", "owner", "the actor that saved it, whose alone it is"),
    ("", "label", "what that actor calls it"),
    ("", "removed_at", "when"),
    ("", "peer_did", "the peer's DID"),
    ("", "peer_url", "its address, as it was when it was paired"),
    ("", "peer_key", "its key, pinned; base64url"),
    ("", "peer_key_fp", "first 16 hex digits of SHA-256 of that raw key"),
    ("", "peer_version", "the version that it stated"),
    ("", "manifest_sha256", "SHA-256 of its manifest"),
    ("", "peer_token_id", "which token of the peer's is kept beside the log, by its hash"),
    ("", "state", "`active`"),
    ("", "paired_at", "when"),
    ("", "timestamp", "when"),
];

pub(super) fn meaning(kind: &str, member: &str) -> &'static str {
    let all = || MEANINGS.iter().filter(|(_, name, _)| *name == member);
    let found = all().find(|(of, ..)| *of == kind).or_else(|| all().find(|(of, ..)| of.is_empty()));
    found.unwrap_or_else(|| panic!("docs/body-kinds.md has no words for {kind} {member}")).2
}
