//! `spl invite`: links that let a device or a colleague in.

mod audit;
mod change;
mod create;
mod list;
mod redeem;
mod row;
mod templates;
mod watch;

use clap::{Args, Subcommand, ValueEnum};

use crate::{
    commands::Outcome,
    context::Context,
    duration,
    scopes::{self, ScopeList},
};

/// What to do with invites.
#[derive(Subcommand)]
pub(crate) enum InviteCommand {
    /// Make an invite, and print its link and QR code
    Create(CreateArgs),
    /// List all invites, newest first
    List(ListArgs),
    /// Show an invite, and whoever came in by it
    Show(ShowArgs),
    /// Revoke an invite; whoever came in by it is out at once
    Revoke(RevokeArgs),
    /// Close every invite that has expired, or whose several uses are gone
    BulkRevoke(BulkArgs),
    /// Show what happened to invites, newest first
    Audit(AuditArgs),
    /// List the named scope lists that --preset takes
    #[command(after_help = "\
Examples:
  spl invite presets
  spl invite create --preset reader --device-label \"kitchen display\"
  spl invite create --scopes records:read,threads:write        what no preset gives")]
    Presets,
    /// List, save and remove templates of invites
    Templates(TemplatesArgs),
    /// Print every change to an invite, as it happens
    Watch(WatchArgs),
    /// Redeem an invite of another instance: get a token there
    Redeem(RedeemArgs),
}

/// A named scope list.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Preset {
    /// Read records
    Reader,
    /// Read and write records
    Contributor,
    /// Everything
    Admin,
}

/// Who may redeem an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Holder {
    /// A device, with a key of its own
    Guest,
    /// Somebody whose own instance vouches for them
    Federated,
}

impl Holder {
    fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Federated => "federated",
        }
    }
}

/// What an invite gives, to whom, and for how long.
#[derive(Args)]
struct ShapeArgs {
    /// What it gives, by name: reader, contributor or admin [default: contributor]
    #[arg(long, value_enum, hide_possible_values = true, conflicts_with = "scopes")]
    preset: Option<Preset>,
    /// What it gives, scope by scope, separated by commas
    #[arg(long, value_name = "SCOPES", value_parser = scopes::parse_mixed)]
    scopes: Option<ScopeList>,
    /// How long it can be redeemed: 15m, 1h, 24h, 7d, or seconds [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_seconds)]
    ttl: Option<u64>,
    /// How many times it can be redeemed, 1 to 1000 [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_uses: Option<u64>,
    /// Give access to this thread only
    #[arg(long, value_name = "ID", conflicts_with = "namespace")]
    thread: Option<String>,
    /// Give access to this namespace, and what is below it, only
    #[arg(long, value_name = "NS")]
    namespace: Option<String>,
    /// Who may redeem it: guest, federated, or both, separated by a comma [default: guest]
    #[arg(long, value_name = "HOLDERS", value_enum, hide_possible_values = true, value_delimiter = ',')]
    accept: Vec<Holder>,
    /// What the device, or whoever it is for, is called
    #[arg(long, value_name = "LABEL")]
    device_label: Option<String>,
    /// Notes for the list and the trail, at most 280 characters
    #[arg(long, value_name = "TEXT")]
    notes: Option<String>,
    /// How long the token lives that it gives, such as 90d [default: 90d]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_seconds)]
    bearer_ttl: Option<u64>,
}

/// A new invite.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl invite create --device-label \"My phone\" --ttl 15m       scan the code: the phone is in
  spl invite create --scopes records:read --thread music.library --accept federated
  spl invite create --ttl 7d --max-uses 5 --notes \"team onboarding\"
  spl invite create --template onboarding --device-label \"Dana's laptop\"
  spl invite create --ttl 1h | pbcopy                         piped: the link alone

Whoever has the link gets in, until it is used up, has expired, or is revoked: send it as you would
send a password. The device that opens it gets a token of its own, and needs the link no more.
With --thread or --namespace an invite gives records:read and records:write at most.

You need the admin scope and the th_invites write grant (see `spl consent --help`).")]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    shape: ShapeArgs,
    /// Fill what is left out from this template: its id or its label
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<String>,
    /// Print the QR code although the output is no terminal
    #[arg(long, conflicts_with = "no_qr")]
    qr: bool,
    /// Print no QR code
    #[arg(long)]
    no_qr: bool,
}

/// The state of an invite.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    /// Can be redeemed
    Active,
    /// Its only use is gone
    Redeemed,
    /// Taken back
    Revoked,
    /// Its time has passed
    Expired,
    /// All of its uses are gone
    Exhausted,
}

/// Which invites.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl invite list
  spl invite list --state active
  spl invite list -o json | jq -r '.data[] | select(.max_uses > 1) | .invite_id'

States:
  active      can be redeemed               redeemed    its only use is gone
  exhausted   all of its uses are gone      expired     its time has passed
  revoked     taken back, or closed by bulk-revoke: then its tokens live on (`spl invite show`)

USES are those gone, of those there were. HOLDERS are whoever came in by it.")]
pub(crate) struct ListArgs {
    /// Only invites in this state
    #[arg(long, value_enum, hide_possible_values = true)]
    state: Option<State>,
}

/// Which invite.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl invite show inv_0123456789abcdef
  spl invite show inv_0123456789abcdef --link       its link and QR code again
  spl invite show inv_0123456789abcdef -o json | jq '.redemptions[] | select(.live)'

TRUST says how the holder's own instance was known: paired (its key was pinned), did_web (its web
site states the key), self_asserted (its DID is the key). LIVE is yes while the token works.")]
pub(crate) struct ShowArgs {
    /// The invite's id, as `spl invite list` shows it
    #[arg(value_name = "INVITE_ID")]
    id: String,
    /// Print its link and QR code alone; only while it is active, for whoever may make invites
    #[arg(long)]
    link: bool,
}

/// Which invite to revoke.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl invite revoke inv_0123456789abcdef
  spl invite revoke inv_0123456789abcdef --reason \"phone lost\"

The link ends, and with it every token that it gave, those got later by renewal too. Doing it twice
does nothing; one that was closed in bulk is ended by it. To end one holder only: spl service-account revoke ACCOUNT, with the
account that `spl invite show` names.")]
pub(crate) struct RevokeArgs {
    /// The invite's id, as `spl invite list` shows it
    #[arg(value_name = "INVITE_ID")]
    id: String,
    /// Why, for the trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Which invites are closed together.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Bulk {
    /// Those whose time has passed
    Expired,
    /// Those whose several uses are gone
    Exhausted,
}

/// Which invites to close.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl invite bulk-revoke expired
  spl invite bulk-revoke exhausted --reason \"spring cleaning\"

This tidies up: tokens that these invites gave live on. To end those too, revoke one by one:
  spl invite revoke inv_0123456789abcdef")]
pub(crate) struct BulkArgs {
    /// Which of them: expired (their time has passed) or exhausted (their several uses are gone)
    #[arg(value_name = "WHICH", value_enum, hide_possible_values = true)]
    which: Bulk,
    /// Why, for the trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// How much of the trail.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl invite audit
  spl invite audit --limit 10
  spl invite audit -o stream-json --limit 1000 | jq -c 'select(.event_kind == \"refused\")'

Events:
  issued   redeemed   revoked   exhausted   refused (somebody had the link, and was not let in)

For files that are kept elsewhere: spl audit export")]
pub(crate) struct AuditArgs {
    /// At most this many events
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Go on where an earlier page ended
    #[arg(long)]
    cursor: Option<String>,
}

/// What to do with templates.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl invite templates                                              list yours
  spl invite templates save --label onboarding --ttl 7d --max-uses 5
  spl invite create --template onboarding --device-label \"Dana's laptop\"
  spl invite templates remove onboarding

A template is yours alone. Saving one under a label that you have already replaces it.")]
pub(crate) struct TemplatesArgs {
    #[command(subcommand)]
    command: Option<TemplateCommand>,
}

/// What to do with templates.
#[derive(Subcommand)]
enum TemplateCommand {
    /// List your templates
    #[command(after_help = "\
Examples:
  spl invite templates list
  spl invite templates list -o json | jq -r '.data[].label'")]
    List,
    /// Keep the shape of an invite under a label
    Save(Box<SaveArgs>),
    /// Remove a template
    #[command(after_help = "\
Examples:
  spl invite templates remove onboarding
  spl invite templates remove tpl_0123456789abcdef

Invites that were made from it go on.")]
    Remove {
        /// Its id or its label
        #[arg(value_name = "TEMPLATE")]
        template: String,
    },
}

/// A new template.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl invite templates save --label onboarding --preset contributor --ttl 7d --max-uses 5
  spl invite templates save --label guests --preset reader --ttl 1h --bearer-ttl 1d

What is left out is kept as it is by default, but for the lifetime of tokens, label and notes. A template
gives no more than contributor unless `spl invite create` repeats --scopes or --preset.")]
struct SaveArgs {
    /// What to call it
    #[arg(long)]
    label: String,
    #[command(flatten)]
    shape: ShapeArgs,
}

/// How long to watch.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl invite watch                          what there is, then each change, until Ctrl-C
  spl invite watch -o stream-json | jq -c '[.invite.invite_id, .invite.state]'
  spl invite watch --for 1 -o json          wait for one line

A stream that breaks off is resumed where it was: nothing is lost; that an invite expired may be told
again. Times are UTC.")]
pub(crate) struct WatchArgs {
    /// End after this many lines
    #[arg(long = "for", value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// Which invite to redeem, and as whom.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl invite redeem 'https://alice.example.com/i/inv_…?sig=…' --label \"build server\"
  spl invite redeem - < link.txt                     nothing stays in the shell's history
  spl invite redeem LINK --as federated              your own instance vouches for you
  spl invite redeem LINK --home-url https://bob.example.com

As a guest you are somebody new there. Federated, you are there who you are at home: your own
instance signs that, asked with the token saved for it; whom it tells is shown first, and you are
asked. No token of yours is ever sent to the instance that the link leads to.

Prints {\"url\",\"token\",\"device\"}: what a device needs. To keep the token in a home of its own:
  spl invite redeem LINK | jq -r .token | spl --home ~/.syncro-alice --server URL token save -")]
pub(crate) struct RedeemArgs {
    /// The link, or - for the standard input
    #[arg(value_name = "LINK")]
    link: String,
    /// What this device is called; a guest is called so there too
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
    /// As whom: guest or federated [default: guest, where the invite accepts that and no --home-url is given]
    #[arg(long = "as", value_name = "HOLDER", value_enum, hide_possible_values = true)]
    holder: Option<Holder>,
    /// Your own instance, which vouches for you [default: the one other commands talk to]
    #[arg(long, value_name = "URL")]
    home_url: Option<String>,
    /// Let your own instance vouch for you without being asked
    #[arg(long)]
    yes: bool,
}

/// Runs one of them.
pub(crate) fn run(ctx: &Context, command: InviteCommand) -> Outcome {
    match command {
        InviteCommand::Create(args) => create::run(ctx, &args),
        InviteCommand::List(args) => list::list(ctx, &args),
        InviteCommand::Show(args) => list::show(ctx, &args),
        InviteCommand::Revoke(args) => change::revoke(ctx, &args),
        InviteCommand::BulkRevoke(args) => change::bulk_revoke(ctx, &args),
        InviteCommand::Audit(args) => audit::run(ctx, &args),
        InviteCommand::Presets => list::presets(ctx),
        InviteCommand::Templates(args) => templates::run(ctx, args),
        InviteCommand::Watch(args) => watch::run(ctx, &args),
        InviteCommand::Redeem(args) => redeem::run(ctx, &args),
    }
}

/// The name of a choice, as it is typed and as an instance knows it.
fn name_of(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
