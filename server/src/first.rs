//! What a start writes before anything is served: the instance's name, the end of tokens that an older log
//! would bring back, the first account from the environment.

use spl_kernel::commit::Head;
use spl_projections::{
    Command,
    accounts::{Bootstrap, ChosenToken, NAMESPACE},
    scope::{Scope, Scopes},
    tokens::{EnvTag, TokenId, is_environment_secret},
};

use crate::{ServeError, ServeOptions, app::Instance, session::command_of_instance, writer::NotWritten};

/// Most tokens that one commit ends.
const ENDED_MAX: usize = 20_000;

/// Writes what is to be written first.
pub(crate) async fn commands(app: &Instance, options: &ServeOptions) -> Result<(), ServeError> {
    if app.log.head() == Head::EMPTY {
        // The first commit says who the instance is.
        let named = command_of_instance(app, Command::NameInstance(app.key.public())).await;
        named.map_err(|_| ServeError::FirstCommit)?;
    }
    end_tokens(app, options).await?;
    from_environment(app, options).await
}

/// After an older log came back nothing that was revoked since may be of use again: which tokens these were
/// nobody knows, so all end but one.
async fn end_tokens(app: &Instance, options: &ServeOptions) -> Result<(), ServeError> {
    let given = options.keep_token.as_deref();
    let keep = given
        .map(|text| TokenId::parse(text).ok_or_else(|| ServeError::KeepToken(text.to_owned())))
        .transpose()?;
    if options.memory || !app.home.is_restored() {
        return Ok(());
    }
    let mut ended = 0;
    loop {
        let command = Command::EndTokens { keep, most: ENDED_MAX };
        let committed = command_of_instance(app, command).await.map_err(|_| ServeError::FirstCommit)?;
        if committed.written.is_empty() {
            break;
        }
        // Each has its mirror.
        ended += committed.written.len() / 2;
    }
    app.home.forget_restored()?;
    tracing::warn!(
        ended,
        "the log is older than it was, or was restored: its open invites and its tokens were revoked"
    );
    Ok(())
}

async fn from_environment(app: &Instance, options: &ServeOptions) -> Result<(), ServeError> {
    let Some(secret) = &options.bootstrap_token else { return Ok(()) };
    if !app.published.world().accounts.is_empty() {
        return Ok(());
    }
    if !is_environment_secret(secret.reveal()) {
        tracing::warn!(
            "SPL_BOOTSTRAP_TOKEN is not used: it must be 32 to 256 printable ASCII characters without spaces, at least 10 different ones"
        );
        return Ok(());
    }
    let command = Command::Bootstrap(Bootstrap {
        display_name: "SPL_BOOTSTRAP_TOKEN".to_owned(),
        actors: vec![options.bootstrap_actor.clone()],
        scopes: Scopes::of(&[Scope::Admin]),
        namespace: NAMESPACE.to_owned(),
        env_tag: EnvTag::default(),
        service_account_id: None,
        token: ChosenToken::Environment(secret.clone()),
        insecure: false,
    });
    match command_of_instance(app, command).await {
        Ok(_) => tracing::info!("the first account was made from SPL_BOOTSTRAP_TOKEN"),
        Err(NotWritten::Refused(refusal)) => {
            tracing::warn!(%refusal, "SPL_BOOTSTRAP_TOKEN is not used");
        }
        Err(_) => return Err(ServeError::FirstCommit),
    }
    Ok(())
}
