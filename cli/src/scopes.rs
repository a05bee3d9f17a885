//! Scopes and grains, checked before they are sent.

use crate::error::Failure;

/// All scopes there are.
pub(crate) const ALL: [&str; 7] = [
    "records:read",
    "records:write",
    "threads:write",
    "federation:manage",
    "config:read",
    "config:write",
    "admin",
];

/// Scopes as an argument: `records:read,records:write`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScopeList(pub(crate) Vec<String>);

/// Reads [`ScopeList`].
pub(crate) fn parse_list(text: &str) -> Result<ScopeList, String> {
    let mut scopes: Vec<String> = Vec::new();
    for scope in text.split(',').map(str::trim).filter(|s| !s.is_empty()) {
        if is_grain(scope) {
            return Err(format!("`{scope}` narrows a token: give it with --grain"));
        }
        if !ALL.contains(&scope) {
            return Err(format!("`{scope}` is no scope; there are {}", ALL.join(", ")));
        }
        if !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    if scopes.is_empty() { Err(format!("name some of {}", ALL.join(", "))) } else { Ok(ScopeList(scopes)) }
}

/// Scopes and grains in one list, as what an invite gives may be.
pub(crate) fn parse_mixed(text: &str) -> Result<ScopeList, String> {
    let all = || text.split(',').map(str::trim).filter(|s| !s.is_empty());
    let mut grains = all().filter(|s| is_grain(s)).map(parse_grain).collect::<Result<Vec<_>, _>>()?;
    grains.dedup();
    let rest = all().filter(|s| !is_grain(s)).collect::<Vec<_>>().join(",");
    let mut scopes = match (rest.is_empty(), grains.is_empty()) {
        (true, false) => coarse(&grains),
        _ => parse_list(&rest)?.0,
    };
    scopes.append(&mut grains);
    Ok(ScopeList(scopes))
}

/// Whether an entry of a scope list narrows the others to a thread or a namespace.
pub(crate) fn is_grain(scope: &str) -> bool {
    scope.starts_with("thread:") || scope.starts_with("namespace:")
}

/// A grain as an argument: `thread:<id>:read`.
pub(crate) fn parse_grain(text: &str) -> Result<String, String> {
    const HELP: &str = "write it as thread:<id>:read or namespace:<ns>:write";
    let named = is_grain(text).then(|| text.split_once(':')).flatten();
    let (id, verb) = named.and_then(|(_, rest)| rest.rsplit_once(':')).ok_or(HELP)?;
    let starts = id.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let fits = id.len() <= 256 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b));
    if !starts || !fits {
        return Err(format!("`{id}` cannot be named by a grain"));
    }
    if matches!(verb, "read" | "write") { Ok(text.to_owned()) } else { Err(HELP.to_owned()) }
}

/// The coarse scopes without which grains open nothing: one for each verb among them.
pub(crate) fn coarse(grains: &[String]) -> Vec<String> {
    let verb = |verb: &str| grains.iter().any(|grain| grain.ends_with(&format!(":{verb}")));
    let verbs = ["read", "write"].into_iter().filter(|v| verb(v));
    verbs.map(|v| format!("records:{v}")).collect()
}

/// The scopes of a narrowed token: those given, or else the coarse ones, and the grains.
pub(crate) fn narrowed(given: Option<&[String]>, grains: &[String]) -> Result<Vec<String>, Failure> {
    let mut scopes = match given {
        None => coarse(grains),
        Some(given) => {
            let beside =
                given.iter().find(|scope| !matches!(scope.as_str(), "records:read" | "records:write"));
            if let Some(scope) = beside {
                return Err(Failure::usage(format!("a token with --grain cannot hold {scope} beside it"))
                    .hint("narrowed tokens read and write records only: records:read, records:write"));
            }
            given.to_vec()
        }
    };
    scopes.extend(grains.iter().cloned());
    Ok(scopes)
}

/// A list of actors as an argument. No text at all is an empty list.
pub(crate) fn parse_actors(text: &str) -> Result<ActorList, String> {
    let mut actors: Vec<String> = Vec::new();
    for actor in text.split(',').map(str::trim).filter(|a| !a.is_empty()) {
        let actor = spl_kernel::draft::check_actor(actor.to_owned())
            .map_err(|_| format!("`{actor}` is no DID; one looks like did:sync:user:alice"))?;
        if !actors.contains(&actor) {
            actors.push(actor);
        }
    }
    Ok(ActorList(actors))
}

/// Actors that an account may act as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActorList(pub(crate) Vec<String>);

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_the_seven_are_scopes() {
        assert_eq!(
            parse_list("records:write, records:read,records:write").unwrap().0,
            ["records:write", "records:read"]
        );
        assert_eq!(parse_list(&ALL.join(",")).unwrap().0, ALL);
        for bad in ["", ",", "record:read", "Admin", "admin;x"] {
            assert!(parse_list(bad).is_err(), "{bad}");
        }
        assert!(parse_list("thread:x:read").unwrap_err().contains("--grain"));
    }

    #[test]
    fn a_grain_is_split_at_its_first_and_last_colon() {
        for good in ["thread:music.library:read", "namespace:team/a:write", "thread:a:b:read"] {
            assert!(parse_grain(good).is_ok(), "{good}");
        }
        for bad in [
            "thread:x",
            "thread::read",
            "topic:x:read",
            "thread:x:admin",
            "thread:.x:read",
            "thread:a b:read",
        ] {
            assert!(parse_grain(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_narrowed_token_holds_what_its_grains_need() {
        let grains = list(&["thread:x:read"]);
        assert_eq!(narrowed(None, &grains).unwrap(), ["records:read", "thread:x:read"]);
        let given = list(&["records:read", "records:write"]);
        assert_eq!(narrowed(Some(&given), &grains).unwrap().len(), 3);
        assert!(narrowed(Some(&list(&["admin"])), &grains).is_err());
    }

    #[test]
    fn grains_may_stand_among_scopes_where_both_are_taken() {
        assert_eq!(parse_mixed("admin").unwrap().0, ["admin"]);
        assert_eq!(parse_mixed("thread:x:read").unwrap().0, ["records:read", "thread:x:read"]);
        let both = parse_mixed("records:read, namespace:a/b:read").unwrap();
        assert_eq!(both.0, ["records:read", "namespace:a/b:read"]);
        for bad in ["", "thread:x", "admin,thread:x:none", "nothing"] {
            assert!(parse_mixed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn actors_are_dids() {
        assert_eq!(parse_actors("").unwrap().0.len(), 0);
        assert_eq!(parse_actors("did:sync:user:a,did:sync:user:b,did:sync:user:a").unwrap().0.len(), 2);
        assert!(parse_actors("alice").unwrap_err().contains("did:sync:user:alice"));
    }
}
