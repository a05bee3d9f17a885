use std::sync::Arc;

use spl_kernel::{
    draft::check_actor,
    record::Act,
    refusal::{Code, Refusal},
};

use super::{ACTORS_MAX, Account, AccountOrigin, KIND, NAMESPACE, THREAD};
use crate::{
    World,
    audit::{list, mirror_token, scope_list},
    consent,
    context::{Context, Secret},
    decision::{Change, Decision, Issued, Outcome, Parent},
    invites,
    names::check_name,
    scope::{Scope, Scopes},
    tokens::{self, ENVIRONMENT_ACCOUNT, EnvTag, TokenId, TokenOrigin, is_account_id},
};

/// The first account of an instance.
#[derive(Debug)]
pub struct Bootstrap {
    /// What people call it.
    pub display_name: String,
    /// Whom its tokens may act as.
    pub actors: Vec<String>,
    /// What they may do.
    pub scopes: Scopes,
    /// Its namespace.
    pub namespace: String,
    /// The tag of its tokens.
    pub env_tag: EnvTag,
    /// An id that the client chose.
    pub service_account_id: Option<String>,
    /// Where its token comes from.
    pub token: ChosenToken,
    /// Whether the instance serves local requests without a bearer: then an instance whose accounts are all
    /// revoked may begin again.
    pub insecure: bool,
}

/// Where a first token comes from.
#[derive(Debug)]
pub enum ChosenToken {
    /// It is asked for none.
    None,
    /// It is drawn.
    Drawn,
    /// The client made it; this is its id.
    Id(TokenId),
    /// `SPL_BOOTSTRAP_TOKEN` is its secret.
    Environment(Secret),
}

/// An account to make.
#[derive(Debug)]
pub struct Create {
    /// What people call it.
    pub name: String,
    /// What its tokens get.
    pub scopes: Scopes,
    /// Whom they may act as.
    pub actors: Vec<String>,
    /// Its namespace.
    pub namespace: String,
    /// The tag of its tokens.
    pub env_tag: EnvTag,
    /// Whether a token is minted at once.
    pub with_token: bool,
    /// How long that lives.
    pub expires_in_seconds: Option<u64>,
}

/// Checks an allow-list: DIDs, none of the instance's own but the account's, each once.
pub(super) fn check_actors(world: &World, own: &str, actors: &[String]) -> Result<Vec<Arc<str>>, Refusal> {
    if actors.len() > ACTORS_MAX {
        return Err(Refusal::new(Code::InvalidBody, format!("`actors` has more than {ACTORS_MAX} DIDs")));
    }
    let mut checked: Vec<Arc<str>> = Vec::with_capacity(actors.len());
    for actor in actors {
        let actor = check_actor(actor.clone()).map_err(|_| {
            Refusal::new(Code::InvalidBody, "`actors` must hold DIDs such as did:sync:user:alice")
        })?;
        let system = actor.strip_prefix("did:sync:system:").is_some_and(|id| id != own);
        if system || world.identity.did.as_deref() == Some(actor.as_str()) {
            return Err(Refusal::new(
                Code::DidClaimDenied,
                format!("{actor} speaks for the instance itself"),
            )
            .hint("list an actor of your own, such as did:sync:user:<name>"));
        }
        let listed = || world.accounts.get(own).is_some_and(|account| is_its_own(world, account, &actor));
        if invites::is_spoken_for(world, &actor) && !listed() {
            return Err(Refusal::new(
                Code::DidClaimDenied,
                format!("{actor} belongs to whoever redeemed an invite under that name"),
            )
            .hint("invite them again instead: spl invite create"));
        }
        if !checked.iter().any(|a| **a == *actor) {
            checked.push(actor.into());
        }
    }
    Ok(checked)
}

/// Whether an account lists an actor, or was made for it.
fn is_its_own(world: &World, account: &Account, actor: &str) -> bool {
    let made_for = |invite: &str| world.invites.holder_of(invite, &account.id);
    account.lists(actor) || account.invite_id.as_deref().and_then(made_for).is_some_and(|h| **h == *actor)
}

fn check_namespace(namespace: &str) -> Result<(), Refusal> {
    if namespace == NAMESPACE {
        return Ok(());
    }
    Err(Refusal::new(Code::NamespaceRejected, "accounts live in the namespace \"default\" only, for now"))
}

/// What an account is made of.
pub(crate) struct NewAccount<'a> {
    pub(crate) id: &'a str,
    pub(crate) display_name: &'a str,
    pub(crate) actors: &'a [Arc<str>],
    pub(crate) scopes: &'a Scopes,
    pub(crate) env_tag: EnvTag,
    pub(crate) origin: AccountOrigin,
    pub(crate) created_at: &'a str,
    pub(crate) invite_id: Option<&'a str>,
    pub(crate) pair_id: Option<&'a str>,
}

/// The record of an account's whole state, not yet mirrored.
pub(super) fn draft_account(context: &Context<'_>, new: &NewAccount<'_>) -> Change {
    Change::new(
        THREAD,
        KIND,
        Act::Put,
        context,
        [
            ("service_account_id", Some(new.id.into())),
            ("display_name", Some(new.display_name.into())),
            ("allowed_actors", Some(list(new.actors.iter().map(|a| &**a)))),
            ("scopes", Some(scope_list(new.scopes))),
            ("namespace", Some(NAMESPACE.into())),
            ("env_tag", Some(new.env_tag.as_str().into())),
            ("origin", Some(new.origin.as_str().into())),
            ("invite_id", new.invite_id.map(Into::into)),
            ("pair_id", new.pair_id.map(Into::into)),
            ("created_at", Some(new.created_at.into())),
        ],
    )
}

/// The record of a new account, and its mirror.
pub(crate) fn created(context: &Context<'_>, new: &NewAccount<'_>) -> Change {
    mirror_token(
        draft_account(context, new),
        context,
        "sa_created",
        [
            ("service_account_id", Some(new.id.into())),
            ("origin", Some(new.origin.as_str().into())),
            ("scopes", Some(scope_list(new.scopes))),
        ],
    )
}

/// The id of a new account.
pub(crate) fn new_id(context: &Context<'_>) -> String {
    format!("sa_{}", *context.entropy.base32::<10>("service account"))
}

fn account_id(world: &World, context: &Context<'_>, chosen: Option<&str>) -> Result<String, Refusal> {
    match chosen {
        None => Ok(new_id(context)),
        Some(id) if id == ENVIRONMENT_ACCOUNT || !is_account_id(id) => Err(Refusal::new(
            Code::InvalidBody,
            "`service_account_id` is sa_ and 16 characters of lowercase Crockford base32",
        )),
        Some(id) if world.accounts.get(id).is_some() => {
            Err(Refusal::new(Code::InvalidBody, "`service_account_id` is in use"))
        }
        Some(id) => Ok(id.to_owned()),
    }
}

/// Makes the first account, its token, and the grants of whoever it acts for.
pub(crate) fn bootstrap(world: &World, new: &Bootstrap, context: &Context<'_>) -> Result<Decision, Refusal> {
    let environment = matches!(new.token, ChosenToken::Environment(_));
    if !context.caller.local_proof && !environment {
        return Err(Refusal::new(Code::BootstrapLocalOnly, "the first account is made on the machine itself")
            .hint("run `spl up`, or `spl service-account create --bootstrap --name admin`, with the instance's --home"));
    }
    let open = world.accounts.is_empty() || (new.insecure && !world.accounts.any_alive());
    if !open {
        return Err(Refusal::new(Code::BootstrapClosed, "a service account exists, so that there is no first one to make").hint(
            "with an admin token: spl service-account create; with the token lost: spl serve --stop, spl serve --daemon --insecure-localhost, spl token rotate <sa_id>",
        ));
    }
    check_name(&new.display_name)?;
    check_namespace(&new.namespace)?;
    let chosen = match &new.token {
        ChosenToken::None => {
            return Err(Refusal::new(
                Code::InvalidBody,
                "`with_token` must be true: without a token nobody could ever be let in",
            ));
        }
        ChosenToken::Id(id) if world.tokens.get(id).is_some() => {
            return Err(Refusal::new(Code::InvalidBody, "`with_token.token_id` is in use"));
        }
        ChosenToken::Drawn => tokens::Chosen::Drawn,
        ChosenToken::Id(id) => tokens::Chosen::Id(*id),
        ChosenToken::Environment(secret) => tokens::Chosen::Secret(secret.reveal()),
    };
    let id = if environment {
        ENVIRONMENT_ACCOUNT.to_owned()
    } else {
        account_id(world, context, new.service_account_id.as_deref())?
    };
    let actors = check_actors(world, &id, &new.actors)?;
    let created_at = context.now.to_string();
    let (account_origin, token_origin) = if environment {
        (AccountOrigin::Environment, TokenOrigin::Environment)
    } else {
        (AccountOrigin::Bootstrap, TokenOrigin::Bootstrap)
    };
    let account = NewAccount {
        id: &id,
        display_name: &new.display_name,
        actors: &actors,
        scopes: &new.scopes,
        env_tag: new.env_tag,
        origin: account_origin,
        created_at: &created_at,
        invite_id: None,
        pair_id: None,
    };
    let mut changes = vec![created(context, &account)];
    let issued = with_token(context, &account, token_origin, None, chosen, &mut changes);
    changes.extend(consent::operator_grants(world, context, &actors));
    Ok(Decision { changes, outcome: Outcome::Account { service_account_id: id, token: Some(issued) } })
}

fn with_token(
    context: &Context<'_>,
    account: &NewAccount<'_>,
    origin: TokenOrigin,
    lifetime_seconds: Option<u32>,
    chosen: tokens::Chosen<'_>,
    changes: &mut Vec<Change>,
) -> Issued {
    let (token, issued) = tokens::draft_token(
        context,
        &tokens::NewToken {
            service_account_id: account.id,
            env_tag: account.env_tag,
            scopes: account.scopes,
            origin,
            replaces: &[],
            lifetime_seconds,
            chosen,
            parent: Parent::Earlier(0),
        },
    );
    changes.push(token);
    issued
}

/// Makes an account, and a token for it if asked.
pub(crate) fn create(world: &World, new: &Create, context: &Context<'_>) -> Result<Decision, Refusal> {
    check_name(&new.name)?;
    check_namespace(&new.namespace)?;
    let lifetime = tokens::check_lifetime(new.expires_in_seconds)?;
    if lifetime.is_some() && !new.with_token {
        return Err(Refusal::new(
            Code::InvalidBody,
            "`expires_in_seconds` is a token's: it needs `with_token`",
        ));
    }
    let id = account_id(world, context, None)?;
    let actors = check_actors(world, &id, &new.actors)?;
    consent::may_hand_out(world, context, &actors)?;
    let created_at = context.now.to_string();
    let account = NewAccount {
        id: &id,
        display_name: &new.name,
        actors: &actors,
        scopes: &new.scopes,
        env_tag: new.env_tag,
        origin: AccountOrigin::Operator,
        created_at: &created_at,
        invite_id: None,
        pair_id: None,
    };
    let mut changes = vec![created(context, &account)];
    let token = new.with_token.then(|| {
        with_token(context, &account, TokenOrigin::Mint, lifetime, tokens::Chosen::Drawn, &mut changes)
    });
    Ok(Decision { changes, outcome: Outcome::Account { service_account_id: id, token } })
}

impl Default for Create {
    /// What an account has unless told otherwise.
    fn default() -> Self {
        Self {
            name: String::new(),
            scopes: Scopes::of(&[Scope::RecordsRead, Scope::RecordsWrite]),
            actors: Vec::new(),
            namespace: NAMESPACE.to_owned(),
            env_tag: EnvTag::default(),
            with_token: false,
            expires_in_seconds: None,
        }
    }
}
