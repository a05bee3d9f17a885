//! The saved token: `<home>/token`, with what it was saved for.

use std::{fs, io, io::Write as _, path::PathBuf};

use crate::{error::Failure, home::Home, partial::PartialFile, token::Secret};

/// What stands after `plain-http` where its owner agreed.
const ACCEPTED: &str = "accepted";

/// A saved token: the token on the first line, then `origin <origin>`, `instance <did>` and `plain-http accepted`,
/// each where it applies.
#[derive(Clone)]
pub(crate) struct SavedToken {
    /// The bearer.
    pub(crate) token: Secret,
    /// The only origin it may be sent to, where one was recorded.
    pub(crate) origin: Option<String>,
    /// The only instance it may be sent to, where it was known.
    pub(crate) instance_did: Option<String>,
    /// Whether its owner said that it may be sent there without encryption.
    pub(crate) plain_http: bool,
}

impl SavedToken {
    /// Reads the text of the file; `None` where it holds no token.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let token = Secret::new(lines.next()?.to_owned());
        let rest: Vec<&str> = lines.collect();
        let value = |name: &str| {
            let value = rest.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            Some(value.trim().to_owned())
        };
        let plain_http = value("plain-http").as_deref() == Some(ACCEPTED);
        Some(Self { token, origin: value("origin"), instance_did: value("instance"), plain_http })
    }

    /// Puts it into the home, whole or not at all, for its owner only.
    pub(crate) fn write(&self, home: &Home) -> Result<PathBuf, Failure> {
        home.make_dir("")?;
        // What others could have read, or put there, is looked at by its owner first.
        home.saved_token()?;
        let path = home.path("token");
        let file = PartialFile::create(&path)?;
        let mut text = zeroize::Zeroizing::new(format!("{}\n", self.token.expose()));
        let plain_http = self.plain_http.then_some(ACCEPTED);
        let lines = [
            ("origin", self.origin.as_deref()),
            ("instance", self.instance_did.as_deref()),
            ("plain-http", plain_http),
        ];
        for (name, value) in lines {
            if let Some(value) = value {
                text.push_str(&format!("{name} {value}\n"));
            }
        }
        let written = file.handle()?.write_all(text.as_bytes());
        written.map_err(|e| Failure::file("write", &path, &e))?;
        file.publish()?;
        let synced = fs::File::open(home.root()).and_then(|directory| directory.sync_all());
        synced.map_err(|e| Failure::file("write", home.root(), &e))?;
        Ok(path)
    }

    /// Removes it; false where there is none.
    pub(crate) fn remove(home: &Home) -> Result<bool, Failure> {
        let path = home.path("token");
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Failure::file("remove", &path, &e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_token_knows_where_it_belongs() {
        let saved =
            SavedToken::parse("secret\norigin http://127.0.0.1:9100\ninstance did:key:zabc\n").unwrap();
        assert_eq!(saved.token.expose(), "secret");
        assert_eq!(saved.origin.as_deref(), Some("http://127.0.0.1:9100"));
        assert_eq!(saved.instance_did.as_deref(), Some("did:key:zabc"));
        assert!(SavedToken::parse("\n").is_none());
        assert!(SavedToken::parse("secret\n").unwrap().instance_did.is_none());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().join("home"));
        let token = Secret::new("secret".to_owned());
        let saved =
            SavedToken { token, origin: Some("http://x:1".to_owned()), instance_did: None, plain_http: true };
        let path = saved.write(&home).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret\norigin http://x:1\nplain-http accepted\n");
        assert_eq!(home.saved_token().unwrap().unwrap().origin.as_deref(), Some("http://x:1"));
        saved.write(&home).unwrap();
        assert!(SavedToken::remove(&home).unwrap());
        assert!(!SavedToken::remove(&home).unwrap());
    }
}
