//! The pair ledger: instances whose key is pinned here.

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{StatusCode, Uri},
    response::Response,
};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use spl_kernel::{
    identity::PublicKey,
    refusal::{Code, Refusal},
    time::UnixMillis,
};
use spl_projections::{
    Command, World,
    decision::Outcome,
    did::{self, Document},
    manifest::Manifest,
    pairs::{self, NewPair, Pair, Unpair},
    policies::Resource,
    tokens::{TokenId, crockford},
};

use super::{accounts::record_id, answer, blocking, fields::Fields, records::path_text};
use crate::{
    app::{App, Instance},
    body::{BODY_BYTES_MAX, read_json_within},
    env,
    outgoing::PeerUrl,
    page::{Page, Params, QueryHash, json as json_answer},
    problem::Problem,
    session::Session,
};

/// Longest token of a peer's that is kept, in bytes.
const PEER_TOKEN_BYTES_MAX: usize = 512;

type PathText = Result<Path<String>, PathRejection>;

fn row(world: &World, pair: &Pair, now: UnixMillis) -> Value {
    let accounts = world.pairs.accounts_of(&pair.id).filter_map(|id| world.accounts.get(id));
    let living: Vec<_> = accounts.filter(|account| account.is_alive()).collect();
    let bearers: usize = living.iter().map(|a| world.tokens.live_of_account(a.number, now).count()).sum();
    json!({
        "object": "federation_pair",
        "pair_id": &*pair.id,
        "peer_did": pair.peer_did,
        "peer_url": pair.peer_url,
        "peer_key": pair.peer_key,
        "peer_key_fp": pair.peer_key_fp,
        "peer_version": pair.peer_version,
        "state": if pair.is_active() { "active" } else { "removed" },
        "paired_at": pair.paired_at.to_string(),
        "removed_at": pair.removed_at.map(|at| at.to_string()),
        "has_token": pair.peer_token_id.is_some() && pair.is_active(),
        "accounts": living.len(),
        "bearers": bearers,
    })
}

/// `GET /v1/federation/pairs`
pub(super) async fn list(State(app): State<App>, session: Session, uri: Uri) -> Response {
    // A pair may have many accounts: not where other requests wait for their turn.
    let list = move || {
        let mut params = Params::new(&uri);
        let (limit, cursor) = (params.limit()?, params.one("cursor")?);
        params.finish()?;
        let hash = QueryHash::of(&["federation-pairs"]);
        let from = cursor.map(|c| hash.position(&c)).transpose()?.unwrap_or(0);
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        let mut page = Page::new(&app.answer_budget, limit)?;
        for (at, pair) in (0..).zip(session.world.pairs.iter()).skip(skip) {
            if !page.has_room() {
                return Ok(page.finish(Some(hash.cursor(at)), ""));
            }
            page.push(&row(&session.world, pair, session.now).to_string())?;
        }
        Ok(page.finish(None, ""))
    };
    answer(blocking(list).await)
}

/// `GET /v1/federation/pairs/{id}`
pub(super) async fn get(session: Session, path: PathText, uri: Uri) -> Response {
    let read = || {
        Params::new(&uri).finish()?;
        let pair = session.world.pairs.get(&path_text(path)?).ok_or_else(|| {
            Refusal::new(Code::PairNotFound, "there is no such pair")
                .hint("`spl federation list` shows all of them")
        })?;
        Ok(json_answer(StatusCode::OK, &row(&session.world, pair, session.now)))
    };
    answer(read())
}

/// `POST /v1/federation/pairs`
pub(super) async fn pair(State(app): State<App>, session: Session, request: Request) -> Response {
    answer(make(&app, &session, request).await)
}

/// What is asked of a peer that is to be paired.
struct Asked {
    url: PeerUrl,
    token: Option<String>,
    expected_did: Option<String>,
}

fn parse(bytes: &[u8]) -> Result<Asked, Problem> {
    let mut fields = Fields::parse(bytes)?;
    let url = PeerUrl::parse(&fields.required_text("peer_url")?).ok_or_else(|| {
        Problem::invalid_body(
            "`peer_url` is the peer's origin, such as https://bob.example.com, without a path",
        )
    })?;
    let token = fields.text("peer_token")?;
    let fits =
        |t: &String| (1..=PEER_TOKEN_BYTES_MAX).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_graphic());
    if !token.as_ref().is_none_or(fits) {
        return Err(Problem::invalid_body(
            "`peer_token` is a token that the peer has minted for this instance",
        ));
    }
    let expected_did = fields.text("expected_did")?;
    fields.finish()?;
    if !url.is_https() && !url.is_loopback() {
        // Nothing but the name itself says there who answers.
        let named = expected_did.as_deref().is_some_and(|d| PublicKey::from_did(d).is_some());
        if !named {
            return Err(Problem::invalid_body(
                "over plain http to another machine `expected_did` is needed, and must be a did:key",
            )
            .hint("ask the peer's operator for it: `spl identity show` prints it there"));
        }
    }
    Ok(Asked { url, token, expected_did })
}

/// One answer for whatever goes wrong with a peer: what is behind an address is not for the asker to learn.
fn unreachable() -> Problem {
    Problem::new(
        StatusCode::BAD_GATEWAY,
        "PEER_UNREACHABLE",
        "nothing answers at that address as an instance does, or not as the one that was expected",
    )
    .hint("is `<peer_url>/.well-known/syncropel` what its operator sees, with the DID that `spl identity show` prints there?")
}

/// What a peer says of itself, checked.
struct Peer {
    manifest: Manifest,
    manifest_sha256: String,
}

async fn ask(app: &Instance, asked: &Asked) -> Result<Peer, Problem> {
    let failed = |what: &str| {
        tracing::info!(what, "a peer could not be paired");
        unreachable()
    };
    let fetched = async {
        let manifest = app.outgoing.fetch_peer(&asked.url, "/.well-known/syncropel").await?;
        let document = app.outgoing.fetch_peer(&asked.url, "/.well-known/did.json").await?;
        Ok::<_, crate::outgoing::Unreachable>((manifest, document))
    };
    let (bytes, document) = fetched.await.map_err(|why| failed(&why.to_string()))?;
    let manifest =
        Manifest::parse(&bytes, env::now()).ok_or_else(|| failed("the manifest is not well signed"))?;
    let document = Document::parse(&document).ok_or_else(|| failed("there is no DID document"))?;
    if document.id != manifest.did || !document.assertion_keys.contains(&manifest.key) {
        return Err(failed("manifest and DID document do not agree"));
    }
    let named = match PublicKey::from_did(&manifest.did) {
        Some(key) => key == manifest.key,
        None => {
            did::web_host(&manifest.did).is_some_and(|host| asked.url.is_https() && host == asked.url.host())
        }
    };
    if !named {
        return Err(failed("the DID does not name the key, nor the host that was asked"));
    }
    if asked.expected_did.as_ref().is_some_and(|did| *did != manifest.did) {
        return Err(failed("it is another instance than the one that was expected"));
    }
    Ok(Peer { manifest, manifest_sha256: HEXLOWER.encode(&Sha256::digest(&bytes)) })
}

async fn make(app: &App, session: &Session, request: Request) -> Result<Response, Problem> {
    session.check(Resource::Federation)?;
    let received = read_json_within(app, request, BODY_BYTES_MAX).await?;
    let asked = parse(&received.bytes)?;
    let peer = ask(app, &asked).await?;
    let mut random = [0; 10];
    env::fill_random(&mut random).map_err(|error| Problem::internal(&error))?;
    let pair_id = format!("{}{}", pairs::PREFIX, crockford(&random));
    // The token is there before the pair is: a pair that says it has one has it.
    let kept = asked.token.filter(|_| !app.memory);
    if let Some(token) = kept.clone() {
        let (app, pair_id) = (app.clone(), pair_id.clone());
        blocking(move || app.keep_peer_token(&pair_id, &token)).await?;
    }
    let new = NewPair {
        pair_id: pair_id.clone(),
        peer_did: peer.manifest.did,
        peer_url: asked.url.as_str().to_owned(),
        peer_key: peer.manifest.key,
        peer_version: peer.manifest.version,
        manifest_sha256: peer.manifest_sha256,
        peer_token_id: kept.as_deref().map(|t| TokenId::of(t).to_string()),
    };
    let command = || Command::Pair(Box::new(new.clone()));
    let decided = session.control(app, |s| s.check(Resource::Federation), command).await;
    let committed = decided.inspect_err(|_| app.forget_peer_token(&pair_id))?;
    let record = record_id(&committed, pairs::THREAD);
    let Outcome::Paired { pair_id } = committed.outcome else { return Err(Problem::wrong_outcome()) };
    let world = app.published.world();
    let pair = world.pairs.get(&pair_id).ok_or_else(Problem::wrong_outcome)?;
    let mut body = row(&world, pair, app.now());
    body["record_id"] = record.into();
    Ok(json_answer(StatusCode::CREATED, &body))
}

/// `DELETE /v1/federation/pairs/{id}`
pub(super) async fn unpair(State(app): State<App>, session: Session, path: PathText, uri: Uri) -> Response {
    answer(end(&app, &session, path, &uri).await)
}

async fn end(app: &App, session: &Session, path: PathText, uri: &Uri) -> Result<Response, Problem> {
    let mut params = Params::new(uri);
    let reason = params.reason()?;
    params.finish()?;
    let pair_id = path_text(path)?;
    let command = || Command::Unpair(Unpair { pair_id: pair_id.clone(), reason: reason.clone() });
    let committed = session.control(app, |s| s.check(Resource::Federation), command).await?;
    let record = record_id(&committed, pairs::THREAD);
    let Outcome::Unpaired { already, accounts, bearers } = committed.outcome else {
        return Err(Problem::wrong_outcome());
    };
    let mut body = json!({
        "status": if already { "already_removed" } else { "removed" },
        "pair_id": pair_id,
        "accounts_revoked": accounts,
        "bearers_revoked": bearers,
    });
    if let Some(record) = record {
        body["record_id"] = record.into();
    }
    let forgetting = app.clone();
    blocking(move || {
        forgetting.forget_peer_token(&pair_id);
        Ok(())
    })
    .await?;
    Ok(json_answer(StatusCode::OK, &body))
}
