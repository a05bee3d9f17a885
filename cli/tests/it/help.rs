//! The help of every command, as one golden file that doubles as a reference.

use crate::support::{Sandbox, assert_golden};

/// Every command, families before their members.
const COMMANDS: [&str; 90] = [
    "",
    "up",
    "serve",
    "status",
    "doctor",
    "service-account",
    "service-account create",
    "service-account update",
    "service-account list",
    "service-account describe",
    "service-account revoke",
    "token",
    "token create",
    "token list",
    "token info",
    "token rotate",
    "token revoke",
    "token save",
    "token unset",
    "token show-source",
    "config",
    "config show",
    "config set",
    "config auth-set-cors-origins",
    "config add-permission-rule",
    "config list-permission-rules",
    "config permissions-enable",
    "config permissions-disable",
    "config permissions-unlock",
    "intend",
    "do",
    "know",
    "learn",
    "pair",
    "invite",
    "invite create",
    "invite list",
    "invite show",
    "invite revoke",
    "invite bulk-revoke",
    "invite audit",
    "invite presets",
    "invite templates",
    "invite templates list",
    "invite templates save",
    "invite templates remove",
    "invite watch",
    "invite redeem",
    "consent",
    "consent grant",
    "consent list",
    "consent revoke",
    "federation",
    "federation pair",
    "federation list",
    "federation show",
    "federation unpair",
    "identity",
    "identity show",
    "audit",
    "audit export",
    "record",
    "record get",
    "record post",
    "record query",
    "thread",
    "thread list",
    "thread show",
    "thread records",
    "thread watch",
    "thread replay",
    "task",
    "task add",
    "task list",
    "task show",
    "task start",
    "task done",
    "export",
    "import",
    "verify",
    "replay",
    "backup",
    "restore",
    "completion",
    "version",
    // The same again, as people reach it by another way.
    "help",
    "help record",
    "help thread",
    "help task",
    "help token",
];

#[test]
fn help_is_what_it_was() {
    let sandbox = Sandbox::new();
    let mut all = String::new();
    for command in COMMANDS.iter().filter(|command| !command.starts_with("help")) {
        let mut args: Vec<&str> = command.split_whitespace().collect();
        args.push("--help");
        let ran = sandbox.spl(&args).ok();
        let title = format!("spl {command}");
        all.push_str(&format!("═══ {} ═══\n\n{}\n", title.trim(), ran.stdout));
    }
    assert_golden("help.txt", &all);
}

#[test]
fn every_command_is_in_the_golden_file() {
    let sandbox = Sandbox::new();
    let families = ["", "service-account", "token", "config", "invite", "invite templates", "consent"];
    let more = ["federation", "identity", "audit", "record", "thread", "task"];
    for family in families.iter().chain(&more) {
        let mut args: Vec<&str> = family.split_whitespace().collect();
        args.push("--help");
        let help = sandbox.spl(&args).ok().stdout;
        let listed =
            help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|l| !l.is_empty());
        for line in listed {
            let name = line.split_whitespace().next().expect("a name");
            let path = format!("{family} {name}");
            assert!(
                name == "help" || COMMANDS.contains(&path.trim()),
                "`spl {path}` is not in the golden file"
            );
        }
    }
}

#[test]
fn help_is_reached_by_two_ways() {
    let sandbox = Sandbox::new();
    for command in COMMANDS.iter().filter(|command| command.starts_with("help")) {
        let args: Vec<&str> = command.split_whitespace().collect();
        assert!(sandbox.spl(&args).ok().stdout.contains("Usage:"), "{command}");
    }
}

#[test]
fn no_help_line_is_too_wide() {
    let sandbox = Sandbox::new();
    for command in COMMANDS.iter().filter(|command| !command.starts_with("help")) {
        let mut args: Vec<&str> = command.split_whitespace().collect();
        args.push("--help");
        for line in sandbox.spl(&args).ok().stdout.lines() {
            assert!(line.chars().count() <= 110, "spl {command}: {line}");
        }
    }
}

#[test]
fn completion_scripts_name_every_family() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = sandbox.spl(&["completion", shell]).ok().stdout;
        let families = ["serve", "service-account", "token", "config", "invite", "consent", "federation"];
        let more = ["identity", "audit", "record", "thread", "task"];
        for family in families.iter().chain(&more) {
            assert!(script.contains(family), "{shell}: {family}");
        }
    }
}

#[test]
fn version_is_told_in_both_ways() {
    let sandbox = Sandbox::new();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(sandbox.spl(&["version"]).ok().stdout, format!("spl {version}\n"));
    assert_eq!(sandbox.spl(&["--version"]).ok().stdout, format!("spl {version}\n"));
    assert_eq!(sandbox.spl(&["version", "--json"]).ok().json()["version"], version);
}
