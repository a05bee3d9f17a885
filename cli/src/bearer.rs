//! Which token is used, and to whom it may be sent.

use reqwest::Url;

use crate::{
    args::{self, TokenSource},
    client::{Client, Credential},
    commands::status::Health,
    context::{Context, is_loopback, is_plain_http, listens, parse_url, unreachable_at},
    error::Failure,
    prompt,
    saved::SavedToken,
    token::Secret,
};

/// The token that commands use.
pub(crate) struct ActiveToken {
    /// The token.
    pub(crate) token: Secret,
    /// Where it comes from.
    pub(crate) source: TokenSource,
    /// What a saved one was saved for.
    saved: Option<SavedToken>,
}

impl Context {
    /// The token that commands use, where there is one: of `--token`, `SPL_TOKEN` or the home.
    pub(crate) fn active_token(&self) -> Result<Option<ActiveToken>, Failure> {
        if let Some((token, source)) = self.globals.given_token() {
            return Ok(Some(ActiveToken { token, source, saved: None }));
        }
        let saved = self.home.saved_token()?;
        Ok(saved.map(|saved| ActiveToken {
            token: saved.token.clone(),
            source: TokenSource::File,
            saved: Some(saved),
        }))
    }

    /// The token for an instance, where there is one and it may be sent there.
    pub(crate) fn token_for(&self, base: &Url) -> Result<Option<Secret>, Failure> {
        let Some(active) = self.active_token()? else { return Ok(None) };
        match active.saved {
            Some(saved) => {
                self.check_saved_token_target(base, &saved)?;
                if !saved.plain_http && self.check_transport(base)? {
                    // Whoever has agreed for this token and this instance is not asked again.
                    SavedToken { plain_http: true, ..saved }.write(&self.home)?;
                }
            }
            None => {
                self.check_given_token_target(base)?;
                self.check_transport(base)?;
            }
        }
        Ok(Some(active.token))
    }

    /// Where no encryption protects a token, whoever sits at the terminal decides. Says whether they had to.
    pub(crate) fn check_transport(&self, base: &Url) -> Result<bool, Failure> {
        let is_plain = is_plain_http(base);
        if is_plain {
            self.confirm_plain_http(base)?;
        }
        Ok(is_plain)
    }

    /// Where this home has an instance, a token for this machine is meant for that one. While it is down,
    /// anybody may listen in its place.
    pub(crate) fn check_given_token_target(&self, base: &Url) -> Result<(), Failure> {
        let has_instance = self.home.path("keys/primary").exists() || self.home.is_held();
        if is_loopback(base) && has_instance && !self.is_own(base)? {
            return Err(not_own(base, "the token is sent to no other"));
        }
        Ok(())
    }

    /// A saved token goes to the origin and the instance that it was saved for, and on this machine only to
    /// the home's own instance; one that was saved for no origin goes only there too. The home's own instance
    /// stays the same where only its port has changed.
    fn check_saved_token_target(&self, base: &Url, saved: &SavedToken) -> Result<(), Failure> {
        let own = self.is_own(base)?;
        if is_loopback(base) && !own {
            return Err(not_own(base, "the saved token is sent to no other"));
        }
        let origin = base.origin().ascii_serialization();
        match &saved.origin {
            Some(origin) if parse_url(origin).is_ok_and(|saved| saved.origin() == base.origin()) => {}
            Some(origin) if own && saved.instance_did.is_some() && is_loopback(&parse_url(origin)?) => {}
            None if own => {}
            other => {
                let belongs_to = other.as_deref().unwrap_or("the instance of this home");
                return Err(Failure::not_authorised(format!(
                    "the saved token belongs to {belongs_to} and is not sent to {origin}"
                ))
                .hint("pass the token for this instance with --token, or save it: spl token save <token>"));
            }
        }
        let Some(expected) = &saved.instance_did else { return Ok(()) };
        let found = self.instance_did_at(base)?;
        if found == *expected {
            return Ok(());
        }
        let found = if found.is_empty() { "does not say who it is" } else { &format!("is {found}") };
        Err(Failure::not_authorised(format!(
            "the saved token belongs to the instance {expected}; what answers at {origin} {found}"
        ))
        .hint("if the instance was made anew, drop the old token: `spl token unset`, then `spl up`"))
    }

    /// The DID of the instance at an address: as the home's own recorded it, else as it says itself.
    pub(crate) fn instance_did_at(&self, base: &Url) -> Result<String, Failure> {
        if self.is_own(base)?
            && let Some(own) = self.home.instance()?
            && !own.instance_did.is_empty()
        {
            return Ok(own.instance_did);
        }
        let client = Client::new(base.clone(), Credential::default())?;
        Ok(client.get(&["health"]).send()?.parse::<Health>()?.instance_did)
    }

    fn confirm_plain_http(&self, base: &Url) -> Result<(), Failure> {
        let question =
            format!("Send the token to {} without encryption?", base.origin().ascii_serialization());
        if self.out.is_human() && prompt::confirm(&question)? {
            return Ok(());
        }
        Err(Failure::refused("a token is not sent over plain http to another machine")
            .hint("use an https address, or a tunnel to a loopback port")
            .hint("in a private network: save the token, and agree once, on a terminal, when a command asks"))
    }

    /// How the source of the token is told.
    pub(crate) fn source_in_words(&self, source: Option<TokenSource>) -> String {
        match source {
            None => "none".to_owned(),
            Some(TokenSource::Flag) => "--token flag".to_owned(),
            Some(TokenSource::Environment) => "SPL_TOKEN env".to_owned(),
            Some(TokenSource::File) => {
                let usual = args::usual_home().map(|home| home.join("token"));
                let path = self.home.path("token");
                if usual.is_none_or(|usual| usual == path) {
                    "~/.syncro/token file".to_owned()
                } else {
                    format!("~/.syncro/token file ({})", path.display())
                }
            }
        }
    }
}

/// The failure of finding somebody else, or nobody, where the home's own instance should be.
fn not_own(base: &Url, why: &str) -> Failure {
    let origin = base.origin().ascii_serialization();
    if listens(base) {
        Failure::unreachable(format!("something else answers at {origin}: not the instance of this home"))
            .hint(format!("{why}; run `spl serve --status`, or name another home with --home"))
    } else {
        unreachable_at(base, "nothing listens there")
    }
}
