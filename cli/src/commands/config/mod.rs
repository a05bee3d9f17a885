//! `spl config`: settings, here and of the instance.

mod rules;
mod show;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::{commands::Outcome, context::Context, error::Failure, offline, output, text};

/// What to do with settings.
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show the settings here, then those of the instance
    #[command(after_help = "\
Examples:
  spl config show
  spl config show | grep default_user_actor | awk '{print $2}'      your bare name, such as alice

Where the output is no terminal each setting is one line: its name, a space, its value. The settings
here are shown even if no instance runs.")]
    Show,
    /// Change a setting of the instance, effective on the next request
    Set(SetArgs),
    /// Let pages of these origins call the instance; replaces the list
    #[command(after_help = "\
Examples:
  spl config auth-set-cors-origins https://app.example.com
  spl config auth-set-cors-origins https://app.example.com,http://localhost:5173
  spl config auth-set-cors-origins ''             none: the default")]
    AuthSetCorsOrigins {
        /// Exact origins, separated by commas; '' for none
        #[arg(value_name = "ORIGIN[,ORIGIN]")]
        origins: String,
    },
    /// Add a permission rule, or replace the one of that name
    AddPermissionRule(rules::AddArgs),
    /// List the permission rules
    ListPermissionRules,
    /// Put the permission rules into force
    PermissionsEnable,
    /// Take the permission rules out of force; they are kept
    PermissionsDisable,
    /// Take the permission rules of a stopped home out of force
    #[command(after_help = "\
Examples:
  spl serve --stop && spl config permissions-unlock && spl serve --daemon

For the owner of a home whose rules lock everybody out.")]
    PermissionsUnlock,
}

/// What to set.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl config set strict_actor_header true
  spl config set strict_impersonation_enforcement true
  spl config set public_url https://spl.example.com

Settings:
  auth_required                      every request needs a token (true)
  strict_actor_header                no request may claim an actor its token does not list (false)
  strict_impersonation_enforcement   admin tokens too act only as the actors they list (false)
  federation_did_web                 look up keys of did:web signers (false)
  public_url                         the address under which others reach the instance")]
pub(crate) struct SetArgs {
    /// Which setting
    #[arg(value_enum, value_name = "KEY")]
    key: Key,
    /// true or false; an address for public_url
    value: String,
}

/// Settings that `set` takes.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Key {
    AuthRequired,
    StrictActorHeader,
    StrictImpersonationEnforcement,
    FederationDidWeb,
    PublicUrl,
}

impl Key {
    fn topic(self) -> &'static str {
        match self {
            Self::AuthRequired => "auth_required",
            Self::StrictActorHeader => "strict_actor_header",
            Self::StrictImpersonationEnforcement => "strict_impersonation_enforcement",
            Self::FederationDidWeb => "federation_did_web",
            Self::PublicUrl => "public_url",
        }
    }

    fn body(self, value: &str) -> Result<Value, Failure> {
        if matches!(self, Self::PublicUrl) {
            return Ok(json!({ "url": value }));
        }
        let enabled: bool = value.parse().map_err(|_| {
            Failure::usage(format!("{} is either true or false", self.topic()))
                .hint(format!("run: spl config set {} true", self.topic()))
        })?;
        Ok(json!({ "enabled": enabled }))
    }
}

/// Runs one of them.
pub(crate) fn run(ctx: &Context, command: ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::Show => show::run(ctx),
        ConfigCommand::Set(args) => write(ctx, args.key.topic(), &args.key.body(&args.value)?, &args.value),
        ConfigCommand::AuthSetCorsOrigins { origins } => {
            let origins: Vec<&str> = origins.split([',', ' ']).filter(|origin| !origin.is_empty()).collect();
            let told = if origins.is_empty() { "none".to_owned() } else { origins.join(",") };
            write(ctx, "auth_cors_origins", &json!({ "origins": origins }), &told)
        }
        ConfigCommand::AddPermissionRule(args) => rules::add(ctx, &args),
        ConfigCommand::ListPermissionRules => rules::list(ctx),
        ConfigCommand::PermissionsEnable => enable_rules(ctx, true),
        ConfigCommand::PermissionsDisable => enable_rules(ctx, false),
        ConfigCommand::PermissionsUnlock => unlock(ctx),
    }
}

fn enable_rules(ctx: &Context, enabled: bool) -> Outcome {
    write(ctx, "permissions_enabled", &json!({ "enabled": enabled }), &enabled.to_string())
}

/// Writes a setting of the instance.
fn write(ctx: &Context, topic: &str, body: &Value, told: &str) -> Outcome {
    let client = ctx.client()?;
    let answer = client.post(&["v1", "config", topic]).json(body).send()?;
    if ctx.out.is_human() {
        ctx.out.line(format_args!("{topic} {}", text::safe(told)))?;
        output::note("effective on the next request; no restart is needed");
    } else {
        ctx.out.answer(&answer.body)?;
    }
    Ok(0)
}

fn unlock(ctx: &Context) -> Outcome {
    if ctx.home.is_held() {
        return Err(Failure::refused(
            "an instance runs in this home, and only a stopped one can be unlocked",
        )
        .hint("spl serve --stop && spl config permissions-unlock && spl serve --daemon")
        .hint("with a token that may still do it: spl config permissions-disable"));
    }
    let written = offline::permissions_unlock(ctx.home.root())?;
    if ctx.out.is_human() {
        let what = if written { "are out of force now" } else { "were out of force already" };
        ctx.out.line(format_args!("the permission rules {what}"))?;
        output::note("next: spl serve --daemon, then spl config list-permission-rules");
    } else {
        let status = if written { "unlocked" } else { "already_unlocked" };
        ctx.out.json(&json!({ "object": "permissions_unlock", "status": status }))?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_sent_as_its_topic_wants_it() {
        assert_eq!(Key::AuthRequired.body("false").unwrap(), json!({ "enabled": false }));
        assert_eq!(Key::PublicUrl.body("https://a.b").unwrap(), json!({ "url": "https://a.b" }));
        assert!(Key::StrictActorHeader.body("yes").is_err());
        for key in Key::value_variants() {
            assert_eq!(key.to_possible_value().unwrap().get_name(), key.topic());
        }
    }
}
