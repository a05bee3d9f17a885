//! Whoever may send a request: every kind of token, live and dead, and every way to send one.

use serde_json::{Value, json};

use super::routes::{Expected, Mode, Probe, Strict, expected};
use crate::{
    http::{
        client::{Answer, Ask, Connection},
        server::Server,
    },
    support::{ADMIN, wait_until},
};

pub(super) const ACTOR: &str = "did:sync:user:alice";
const OTHER: &str = "did:sync:user:bob";
const ENGINE: &str = "did:sync:system:engine";
pub(super) const COARSE: [&str; 7] = [
    "records:read",
    "records:write",
    "threads:write",
    "federation:manage",
    "config:read",
    "config:write",
    "admin",
];

/// As whom a live bearer acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    Own,
    Other,
    /// The instance, where it writes settings.
    Engine,
    /// The instance's other names, and those of accounts.
    System,
}

/// What a request's credentials are.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    Nothing {
        claims: bool,
    },
    Invalid,
    /// More than one.
    Ambiguous,
    Live {
        scopes: Vec<String>,
        listed: bool,
        claim: Claim,
    },
}

/// Somebody who sends requests.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) standing: Standing,
}

impl Caller {
    fn new(name: impl Into<String>, headers: Vec<(&'static str, String)>, standing: Standing) -> Self {
        Self { name: name.into(), headers, standing }
    }

    pub(super) fn nobody() -> Self {
        Self::new("nobody", Vec::new(), Standing::Nothing { claims: false })
    }

    pub(super) fn sends(&self, ask: Ask) -> Ask {
        self.headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value))
    }

    fn claiming(mut self, actor: &str, claim: Claim) -> Self {
        self.name += &format!(" as {actor}");
        self.headers.push(("x-syncropel-actor", actor.to_owned()));
        match &mut self.standing {
            Standing::Live { claim: claimed, .. } => *claimed = claim,
            Standing::Nothing { claims } => *claims = true,
            _ => {}
        }
        self
    }
}

/// Somebody with a token, once for every way to send it.
fn with_token(name: &str, token: &str, standing: &Standing) -> Vec<Caller> {
    let (bearer, key) = (("authorization", format!("Bearer {token}")), ("x-api-key", token.to_owned()));
    let ways = [("bearer", vec![bearer.clone()]), ("key", vec![key.clone()]), ("both", vec![bearer, key])];
    // Two headers that hold nothing are not the same nothing.
    let ways = ways.into_iter().filter(|(way, _)| *way != "both" || !token.is_empty());
    ways.map(|(way, headers)| Caller::new(format!("{name} by {way}"), headers, standing.clone())).collect()
}

pub(super) fn live(scopes: &[&str]) -> Standing {
    let scopes = scopes.iter().map(|s| (*s).to_owned()).collect();
    Standing::Live { scopes, listed: true, claim: Claim::Own }
}

/// A token: its id and its text.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) account: String,
}

/// An instance, and its first admin.
pub(crate) struct Field {
    pub(crate) server: Server,
    pub(crate) admin: String,
}

impl Field {
    /// One that is in memory, and has no account but its first.
    pub(super) fn new(options: &[&str]) -> Self {
        Self::of(Server::start_with(options))
    }

    pub(crate) fn of(server: Server) -> Self {
        let admin = server.instance.sandbox.admin();
        Self { server, admin }
    }

    #[track_caller]
    pub(super) fn as_admin(&self, ask: Ask) -> Answer {
        self.server.send(&ask.bearer(&self.admin))
    }

    /// Where the log ends: sequence and chain.
    #[track_caller]
    pub(super) fn head(&self) -> (u64, String) {
        let head = self.as_admin(Ask::get("/v1/log/head")).is(200).json();
        (head["sequence"].as_u64().expect("a sequence"), head["chain"].as_str().expect("a chain").to_owned())
    }

    #[track_caller]
    pub(crate) fn posts(&self, target: &str, body: &Value) -> Value {
        let answer = self.as_admin(Ask::post(target, body.to_string()));
        assert!(matches!(answer.status, 200 | 201), "{target} {body}: {}", answer.text());
        answer.json()
    }

    /// Makes an account with a token.
    #[track_caller]
    pub(crate) fn account(&self, scopes: &[&str], actors: &[&str]) -> Token {
        let body = json!({ "name": "one of many", "scopes": scopes, "actors": actors, "with_token": true });
        let made = self.posts("/v1/service-accounts", &body);
        Self::token(&made, "api_key", made["id"].as_str().expect("an id"))
    }

    fn token(made: &Value, key: &str, account: &str) -> Token {
        let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("no {name}: {made}")).to_owned();
        Token { id: text("token_id"), text: text(key), account: account.to_owned() }
    }

    #[track_caller]
    pub(super) fn mint(&self, account: &str, scopes: &[&str], expires_in_seconds: Option<u64>) -> Token {
        let mut body = json!({ "service_account_id": account, "scopes": scopes });
        if let Some(seconds) = expires_in_seconds {
            body["expires_in_seconds"] = seconds.into();
        }
        Self::token(&self.posts("/v1/tokens", &body), "api_key", account)
    }

    /// Insists on what becomes of a request.
    #[track_caller]
    pub(super) fn check(&self, mode: Mode, strict: Strict, probe: &Probe, caller: &Caller, ask: &Ask) {
        let shown = format!("{mode:?} {strict:?}: {} {} from {}", ask.method, ask.target, caller.name);
        let expected = expected(mode, strict, probe, &caller.standing);
        if probe.streams() && expected == Expected::Reached {
            let mut connection = Connection::open(self.server.port).expect("a connection");
            connection.send(&ask.bytes(self.server.port)).expect("sent");
            let head = connection.head().unwrap_or_else(|e| panic!("{shown}: {e}"));
            assert_eq!(head.status, 200, "{shown}");
            assert!(
                head.header("content-type").is_some_and(|t| t.starts_with("text/event-stream")),
                "{shown}"
            );
            return;
        }
        let answer = self.server.send(ask);
        if ask.method == "HEAD" {
            match expected {
                Expected::Reached => assert!(probe.reaches(answer.status), "{shown}: {}", answer.status),
                Expected::Refused { status, .. } => assert_eq!(answer.status, status, "{shown}"),
            }
            return;
        }
        match expected {
            Expected::Reached => self.check_reached(probe, &answer, &shown),
            Expected::Refused { status, code, scope } => {
                assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{shown}");
                answer.refuses(status, code);
                assert_eq!(answer.json()["required_scope"].as_str(), scope, "{shown}");
                let challenge = (status == 401).then_some("Bearer");
                assert_eq!(answer.header("www-authenticate"), challenge, "{shown}");
                for (name, value) in &caller.headers {
                    // What was sent comes back in no form; the actor may be named.
                    let secret = value.trim_start_matches("Bearer ");
                    let echoed =
                        *name != "x-syncropel-actor" && secret.len() > 8 && answer.text().contains(secret);
                    assert!(!echoed, "{shown}: {}", answer.text());
                }
            }
        }
    }

    #[track_caller]
    fn check_reached(&self, probe: &Probe, answer: &Answer, shown: &str) {
        assert!(probe.reaches(answer.status), "{shown}: {} {}", answer.status, answer.text());
        if answer.status >= 400 {
            let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
            let layers = [
                "AUTH_REQUIRED",
                "AUTH_INVALID",
                "SCOPE_FORBIDDEN",
                "DID_CLAIM_DENIED",
                "BOOTSTRAP_REQUIRED",
            ];
            assert!(!layers.contains(&code.as_str()), "{shown}: {}", answer.text());
        }
    }

    /// Tokens that are none any more, or never were.
    pub(super) fn dead(&self) -> Vec<(&'static str, String)> {
        let everything = self.account(&["admin"], &[ACTOR]);
        let (expired, revoked) = (
            self.mint(&everything.account, &["admin"], Some(1)),
            self.mint(&everything.account, &["admin"], None),
        );
        let by_id = Ask::new("DELETE", &format!("/v1/tokens/{}", revoked.id));
        self.as_admin(by_id).is(200);
        let gone = self.account(&["admin"], &[ACTOR]);
        self.as_admin(Ask::new("DELETE", &format!("/v1/service-accounts/{}", gone.account))).is(200);
        let renewed = self.account(&["admin"], &[ACTOR]);
        let renew = Ask::new("POST", &format!("/v1/tokens/{}/rotate", renewed.id)).bearer(&renewed.text);
        self.server.send(&renew).is(200);
        let rotated = self.account(&["admin"], &[ACTOR]);
        let rotate = Ask::new("POST", &format!("/v1/service-accounts/{}/rotate-key", rotated.account));
        self.as_admin(rotate).is(200);
        for token in [&renewed, &rotated] {
            self.present_rotated(token);
        }
        wait_until("a token has expired", || {
            let answer = self.server.send(&Ask::get("/v1/config").bearer(&expired.text));
            (answer.status == 401).then_some(())
        });
        let text = &everything.text;
        let (start, secret) = text.rsplit_once('_').expect("a secret");
        let other = if secret.starts_with('0') { "1" } else { "0" };
        vec![
            ("unknown", format!("{start}_{other}{}", &secret[1..])),
            ("of no account", "spl_prod_sa_0123456789abcdef_0123456789abcdefghjkmnpqrstvwxyz".to_owned()),
            ("expired", expired.text),
            ("revoked", revoked.text),
            ("of a revoked account", gone.text),
            ("renewed", renewed.text),
            ("rotated", rotated.text),
            ("its id", everything.id.clone()),
            ("empty", String::new()),
            ("a word", "x".to_owned()),
            ("the start", "spl_".to_owned()),
            ("without an end", text[..text.len() - 1].to_owned()),
            ("with more", format!("{text}0")),
            ("in capitals", text.to_uppercase()),
            ("with another tag", text.replace("spl_prod", "spl_test")),
            ("of another account", text.replace(&everything.account, &renewed.account)),
            ("quoted", format!("\"{text}\"")),
            ("two in one", format!("{text},{text}")),
            ("with a space", format!("{} {}", &text[..9], &text[9..])),
            ("long", "spl_prod_".to_owned() + "0".repeat(600).as_str()),
            ("very long", "x".repeat(7000)),
            ("no ASCII", "spl_pr\u{f6}d_".to_owned()),
        ]
    }

    /// Shows a token that a rotation ended, once: what is told of that is written, once an hour, behind the answer.
    fn present_rotated(&self, token: &Token) {
        let before = self.head();
        self.server.send(&Ask::get("/v1/config").bearer(&token.text)).refuses(401, "AUTH_INVALID");
        wait_until("the trail tells of it", || (self.head() != before).then_some(()));
    }

    /// Everybody.
    pub(super) fn everybody(&self) -> Vec<Caller> {
        let nobody = Caller::nobody();
        let mut all = vec![nobody.clone().claiming(ACTOR, Claim::Own), nobody];
        for (name, token) in self.dead() {
            all.extend(with_token(name, &token, &Standing::Invalid));
        }
        all.extend(self.living());
        all.extend(self.ambiguous());
        all
    }

    fn living(&self) -> Vec<Caller> {
        let everything = self.account(&["admin"], &[ACTOR]);
        let mut all = with_token("the first admin", &self.admin, &live(&["admin"]));
        for scope in COARSE {
            let token = self.account(&[scope], &[ACTOR]);
            all.extend(with_token(&format!("only {scope}"), &token.text, &live(&[scope])));
        }
        let but_admin = &COARSE[..6];
        let narrowed = ["records:read", "records:write", "thread:nothing:read", "thread:nothing:write"];
        let below = ["records:read", "records:write", "namespace:team:read", "namespace:team:write"];
        let more: [(&str, &[&str]); 5] = [
            ("no scope", &[]),
            ("all but admin", but_admin),
            ("a thread", &narrowed),
            ("a namespace", &below),
            ("a grain alone", &["thread:nothing:read"]),
        ];
        for (name, scopes) in more {
            let token = self.mint(&everything.account, scopes, None);
            all.extend(with_token(name, &token.text, &live(scopes)));
        }
        for scopes in [&["admin"][..], &["records:read"], but_admin, &[]] {
            let token = self.account(scopes, &[]);
            let Standing::Live { scopes: held, claim, .. } = live(scopes) else { continue };
            let standing = Standing::Live { scopes: held, listed: false, claim };
            all.extend(with_token(&format!("nobody's {scopes:?}"), &token.text, &standing));
        }
        let account = format!("did:sync:system:{}", self.account(&["admin"], &[ACTOR]).account);
        for scopes in [&["admin"][..], but_admin, &["config:write"], &["records:write"], &narrowed] {
            let token = self.mint(&everything.account, scopes, None);
            for caller in with_token(&format!("{scopes:?}"), &token.text, &live(scopes)).into_iter().take(2) {
                all.extend(
                    [
                        (ACTOR, Claim::Own),
                        (OTHER, Claim::Other),
                        (ADMIN, Claim::Other),
                        (ENGINE, Claim::Engine),
                        ("did:sync:system:local", Claim::System),
                        (&account, Claim::System),
                        (&self.server.did, Claim::System),
                    ]
                    .map(|(actor, claim)| caller.clone().claiming(actor, claim)),
                );
            }
        }
        all
    }

    /// More than one credential, valid ones too, and a scheme that is none.
    fn ambiguous(&self) -> Vec<Caller> {
        let other = self.account(&["admin"], &[ACTOR]).text;
        let (bearer, key) = ("authorization", "x-api-key");
        let (own, with) = (self.admin.clone(), |token: &str| format!("Bearer {token}"));
        let several = [
            vec![(bearer, with(&own)), (key, other.clone())],
            vec![(bearer, with(&own)), (key, "x".to_owned())],
            vec![(bearer, with("x")), (key, own.clone())],
            vec![(bearer, with(&own)), (bearer, with(&own))],
            vec![(key, own.clone()), (key, own.clone())],
            vec![(bearer, with(&own)), (bearer, with(&other)), (key, own.clone())],
            vec![(bearer, format!("Basic {own}")), (key, own.clone())],
            vec![(bearer, with(&own)), (key, String::new())],
        ];
        let ambiguous = several
            .into_iter()
            .enumerate()
            .map(|(n, headers)| Caller::new(format!("ambiguous {n}"), headers, Standing::Ambiguous));
        let schemes = [format!("Basic {own}"), own.clone(), format!("Bearer{own}"), format!("Token {own}")];
        let schemes = schemes
            .into_iter()
            .enumerate()
            .map(|(n, value)| Caller::new(format!("scheme {n}"), vec![(bearer, value)], Standing::Invalid));
        let lower = Caller::new("lower case", vec![(bearer, format!("bearer  {own}"))], live(&["admin"]));
        ambiguous.chain(schemes).chain([lower]).collect()
    }
}
