//! What a device is told: where its instance is, its token, and what it is called.

use std::net::IpAddr;

use data_encoding::BASE64URL_NOPAD;
use reqwest::Url;
use serde::Serialize;

use crate::{
    context::{self, parse_url},
    error::Failure,
    output, text,
};

/// Longest label, in characters: that of an account's name.
const LABEL_CHARS_MAX: usize = 128;
/// Words of a label that say that the device is another machine, one that is carried about.
const CARRIED: [&str; 6] = ["phone", "mobile", "ipad", "tablet", "iphone", "android"];

/// What a device needs. Its members are written in this order.
#[derive(Serialize)]
pub(super) struct Payload<'a> {
    /// The address to call.
    pub(super) url: &'a str,
    /// The bearer token.
    pub(super) token: &'a str,
    /// What the device is called.
    pub(super) device: &'a str,
}

impl Payload<'_> {
    /// As JSON on one line.
    pub(super) fn json(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|e| unprintable(&e))
    }

    /// As JSON for people, and for files that people look into.
    pub(super) fn pretty(&self) -> Result<String, Failure> {
        serde_json::to_string_pretty(self).map_err(|e| unprintable(&e))
    }
}

fn unprintable(error: &serde_json::Error) -> Failure {
    Failure::refused(format!("cannot show the token: {error}"))
}

/// The two addresses of a pairing: origins both.
pub(super) struct Places {
    /// What the device calls.
    pub(super) url: Url,
    /// Whose page takes the payload up.
    pub(super) studio: Url,
}

/// An address as people and pages write it: without a slash at its end.
fn shown(url: &Url) -> String {
    url.origin().ascii_serialization()
}

impl Places {
    /// What the device calls, as text.
    pub(super) fn url(&self) -> String {
        shown(&self.url)
    }

    /// The link that pairs whoever opens it. The token is in its fragment, which is sent to no server.
    pub(super) fn link(&self, payload: &Payload<'_>) -> Result<String, Failure> {
        let encoded = BASE64URL_NOPAD.encode(payload.json()?.as_bytes());
        Ok(format!("{}/local/pair#{encoded}", shown(&self.studio)))
    }

    /// The command that pairs the same device again, with a new token in place of the one that it was given.
    pub(super) fn again(&self, device: &str, account: &str) -> String {
        let studio = if self.studio == self.url {
            String::new()
        } else {
            format!(" --studio-url {}", shown(&self.studio))
        };
        let (device, url, account) = (text::safe(device), self.url(), text::safe(account));
        format!("spl pair --device {} --url {url}{studio} --sa {account}", quoted(&device))
    }

    /// Whether the device would call itself. A loopback address is right only for what runs on the instance's own
    /// machine: nothing that is carried about does, and nothing that is paired from another machine.
    fn is_out_of_reach(&self, device: &str, instance: &Url) -> bool {
        let label = device.to_lowercase();
        let elsewhere = CARRIED.iter().any(|word| label.contains(word)) || !context::is_loopback(instance);
        context::is_loopback(&self.url) && elsewhere
    }

    /// Warns of an address that is of no use to the device.
    pub(super) fn warn_if_out_of_reach(&self, device: &str, instance: &Url) {
        if !self.is_out_of_reach(device, instance) {
            return;
        }
        let port = self.url.port_or_known_default().unwrap_or(context::DEFAULT_PORT);
        output::warn(format_args!(
            "{} leads a device to itself: only what runs on the machine of the instance reaches it there",
            self.url()
        ));
        output::note(format_args!(
            "give an address that the device can reach, such as --url http://192.168.1.50:{port}, or set public_url"
        ));
        output::note("docs/exposing.md shows how the instance is reached from elsewhere");
    }
}

/// A word for the shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !word.starts_with('-') && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// An address that is an origin and nothing else. What was given is not repeated: it may be a link with a token.
pub(super) fn origin(what: &str, given: Option<&str>) -> Result<Option<Url>, Failure> {
    let Some(given) = given else { return Ok(None) };
    let bad = |why: &str| {
        Failure::usage(format!("{what} is not the origin of an instance: {why}"))
            .hint("it looks like http://192.168.1.50:9100 or https://spl.example.org, with nothing after it")
    };
    let url = parse_url(given)
        .map_err(|_| bad("it takes http:// or https://, a host, perhaps a port, and nothing else"))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
        return Err(bad("it stands for every address of a machine, and none that can be called"));
    }
    Ok(Some(url))
}

/// A label of a device, as an argument. The instance has the last word on it.
pub(super) fn parse_label(given: &str) -> Result<String, String> {
    let length = given.chars().count();
    if length == 0 || length > LABEL_CHARS_MAX {
        return Err(format!("a label takes 1 to {LABEL_CHARS_MAX} characters"));
    }
    if given.trim() != given {
        return Err("a label must not begin or end with white space".to_owned());
    }
    if matches!(text::safe(given), std::borrow::Cow::Owned(_)) {
        return Err("a label must not hold control or invisible characters".to_owned());
    }
    Ok(given.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_nothing_but_one() {
        let read = |text: &str| origin("--url", Some(text)).map(|url| url.map(|url| shown(&url)));
        for (given, expected) in [
            ("http://127.0.0.1:9100", "http://127.0.0.1:9100"),
            ("http://127.0.0.1:9100/", "http://127.0.0.1:9100"),
            ("HTTPS://Spl.Example.org:443", "https://spl.example.org"),
            ("http://[fd7a::1]:9100", "http://[fd7a::1]:9100"),
            ("http://localhost:9100", "http://127.0.0.1:9100"),
        ] {
            assert_eq!(read(given).unwrap().as_deref(), Some(expected), "{given}");
        }
        for bad in [
            "",
            "127.0.0.1:9100",
            "ftp://x",
            "http://x/local",
            "http://x?q",
            "http://x#secret",
            "http://user:secret@x",
            "http://0.0.0.0:9100",
            "http://[::]:9100",
            "file:///x",
            "http://",
        ] {
            let failure = read(bad).unwrap_err();
            assert_eq!(failure.kind().exit_code(), 2, "{bad}");
            assert!(!failure.message().contains("secret"), "{bad}");
        }
        assert!(origin("--url", None).unwrap().is_none());
    }

    #[test]
    fn a_payload_has_its_members_in_order() {
        let payload = Payload { url: "http://127.0.0.1:9100", token: "t", device: "d \"ü\"" };
        assert_eq!(
            payload.json().unwrap(),
            r#"{"url":"http://127.0.0.1:9100","token":"t","device":"d \"ü\""}"#
        );
        let pretty =
            "{\n  \"url\": \"http://127.0.0.1:9100\",\n  \"token\": \"t\",\n  \"device\": \"d \\\"ü\\\"\"\n}";
        assert_eq!(payload.pretty().unwrap(), pretty);
        let studio = Url::parse("https://syncropel.com").unwrap();
        let places = Places { url: Url::parse("http://127.0.0.1:9100").unwrap(), studio };
        let link = places.link(&payload).unwrap();
        let encoded = link.strip_prefix("https://syncropel.com/local/pair#").unwrap();
        assert_eq!(BASE64URL_NOPAD.decode(encoded.as_bytes()).unwrap(), payload.json().unwrap().as_bytes());
    }

    #[test]
    fn the_command_that_pairs_again_can_be_typed() {
        let url = Url::parse("http://127.0.0.1:9100").unwrap();
        let mut places = Places { studio: url.clone(), url };
        assert_eq!(
            places.again("browser-x", "sa_1"),
            "spl pair --device browser-x --url http://127.0.0.1:9100 --sa sa_1"
        );
        places.studio = Url::parse("https://syncropel.com").unwrap();
        assert_eq!(
            places.again("Dana's phone", "sa_1"),
            r"spl pair --device 'Dana'\''s phone' --url http://127.0.0.1:9100 --studio-url https://syncropel.com --sa sa_1"
        );
    }

    #[test]
    fn a_device_that_would_call_itself_is_told() {
        let url = |text: &str| Url::parse(text).unwrap();
        let (here, lan) = ("http://127.0.0.1:9100", "http://192.168.1.50:9100");
        for (called, device, instance, expected) in [
            (here, "browser-chrome", here, false),
            (here, "browser-mobile", here, true),
            (here, "Dana's iPhone", here, true),
            ("http://[::1]:9100", "TABLET", here, true),
            ("https://localhost", "viewer-iPad", here, true),
            (lan, "my phone", here, false),
            (here, "browser-chrome", lan, true),
            (lan, "browser-chrome", lan, false),
        ] {
            let places = Places { url: url(called), studio: url(called) };
            assert_eq!(places.is_out_of_reach(device, &url(instance)), expected, "{called} {device}");
        }
    }

    #[test]
    fn labels_are_names() {
        assert_eq!(parse_label("Dana's phone").unwrap(), "Dana's phone");
        assert!(parse_label(&"ü".repeat(128)).is_ok());
        for bad in ["", " x", "x ", "a\nb", "a\u{202e}b", &"x".repeat(129)] {
            assert!(parse_label(bad).is_err(), "{bad:?}");
        }
    }
}
