use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde_json::json;
use spl_kernel::{identity::encode, refusal::Refusal};
use spl_projections::{
    Command,
    decision::Outcome,
    invites::{ATTESTATION_DOMAIN, Attest},
    policies::Resource,
    scope::Scope,
};

use crate::{
    app::App,
    body::{BODY_BYTES_MAX, read_json_within},
    page::json as json_answer,
    problem::Problem,
    routes::{answer, fields::Fields},
    session::Session,
};

/// `POST /v1/invites/sign-attestation`
pub(in crate::routes) async fn sign(State(app): State<App>, session: Session, request: Request) -> Response {
    answer(attest(&app, &session, request).await)
}

async fn attest(app: &App, session: &Session, request: Request) -> Result<Response, Problem> {
    session.whole(Scope::RecordsWrite)?;
    let bearer = session.caller.bearer.as_ref().ok_or_else(Problem::wrong_outcome)?;
    app.attestations.take(bearer.account.number).map_err(|wait| {
        Problem::rate_limited("this account has asked for too many attestations").retry_after(wait)
    })?;
    let received = read_json_within(app, request, BODY_BYTES_MAX).await?;
    let mut fields = Fields::parse(&received.bytes)?;
    let asked = Attest {
        invite_id: fields.required_text("invite_id")?,
        audience: fields.required_text("audience")?,
        issuer_url: fields.required_text("issuer_url")?,
        holder_pubkey: fields.text("holder_pubkey")?,
    };
    fields.finish()?;
    let check = |s: &Session| -> Result<(), Refusal> { s.check(Resource::Invite) };
    let committed = session.control(app, check, || Command::Attest(asked.clone())).await?;
    let Outcome::Attested(attestation) = committed.outcome else { return Err(Problem::wrong_outcome()) };
    // It is on record that this is signed; only now is it.
    let message = attestation.message().ok_or_else(Problem::wrong_outcome)?;
    let proof = app.key.sign(ATTESTATION_DOMAIN, message.as_bytes());
    Ok(json_answer(
        StatusCode::OK,
        &json!({
            "object": "attestation",
            "holder_type": "federated",
            "invite_id": attestation.invite_id,
            "issuer_url": attestation.issuer_url,
            "holder_did": attestation.holder_did,
            "holder_pubkey": attestation.holder_pubkey,
            "holder_proof": encode(&proof),
            "holder_proof_issued_at_ms": attestation.issued_at_ms,
            "signer_instance_did": attestation.signer_instance_did,
            "signer_key": app.key.public().base64url(),
        }),
    ))
}
