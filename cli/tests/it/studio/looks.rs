//! How the pages look: they fit every width, everybody can use them, and pictures of all are left for people to judge.

use std::{fs, path::Path, process::Command, sync::LazyLock};

use serde_json::{Value, json};

use super::kit::{ADMIN, BOB, Browser, Clocked, LAPTOP, Link, PHONE, browsers, target};

/// One page as somebody comes upon it.
struct Page {
    name: &'static str,
    url: String,
    /// What is to be read before it is looked at.
    ready: &'static str,
    /// What is done first.
    first: fn(&Browser),
}

/// An instance where much has happened.
struct Place {
    home: Clocked,
    invite: Link,
    dead: Link,
}

impl Place {
    fn new() -> Self {
        let mut home = Clocked::new();
        let long = "a-very-long-word-without-any-place-to-break-it-".repeat(2);
        for (thread, body) in [
            ("kitchen", json!({ "goal": "make tea" })),
            ("kitchen", json!({ "text": "the kettle is on" })),
            ("kitchen", json!({ "text": long.repeat(4) })),
            (long.as_str(), json!({ "goal": long })),
        ] {
            home.admin.wrote(&crate::access::kit::record(thread, ADMIN, body));
        }
        let week = 604_800;
        let issue = |body: Value| home.issue(&body);
        issue(json!({ "device_label": "short", "ttl_seconds": 60 }));
        let invite = issue(
            json!({ "device_label": "My phone", "ttl_seconds": week, "max_uses": 5, "accept_holder_types": ["*"] }),
        );
        issue(json!({ "device_label": long, "notes": long.repeat(2), "ttl_seconds": week }));
        issue(json!({ "preset": "admin", "ttl_seconds": week, "notes": "for the laptop" }));
        let dead = issue(json!({ "device_label": "lost phone", "ttl_seconds": week }));
        let used = issue(json!({ "device_label": "tablets", "ttl_seconds": week, "max_uses": 2 }));
        for (n, link) in [(41, &used), (42, &used), (43, &invite), (44, &dead)] {
            let key = crate::federation::kit::key(n).public().base64url();
            let body = json!({ "holder_type": "guest", "holder_pubkey": key, "holder_label": format!("iPhone {n}") });
            home.node.anyone().post(&link.redeem_at(), &body).is(200);
        }
        let revoke = format!("/v1/invites/{}/revoke", dead.id);
        home.admin.post(&revoke, &json!({ "reason": "lost on the train" })).is(200);
        let template = json!({ "label": "dev team", "preset": "reader", "ttl_seconds": week, "max_uses": 5 });
        home.admin.post("/v1/invite-templates", &template).is(201);
        home.later(std::time::Duration::from_secs(3600));
        Self { home, invite, dead }
    }

    fn page(&self, name: &'static str, path: &str, ready: &'static str) -> Page {
        let url =
            if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.home.url()) };
        Page { name, url, ready, first: |_| {} }
    }

    fn invited(&self) -> Vec<Page> {
        let payload = |value: Value| spl_kernel::identity::encode(value.to_string().as_bytes());
        let body = json!({ "invite_id": self.invite.id, "holder_type": "federated", "holder_did": BOB });
        let elsewhere = json!({ "url": "https://alice.example.net", "token": format!("spl_prod_sa_{}_{}", "0".repeat(16), "0".repeat(32)), "device": "x" });
        vec![
            self.page("invite", &self.invite.url, "Pair with this instance"),
            self.page("invite-revoked", &self.dead.url, "was revoked"),
            self.page("pair-incomplete", "/local/pair", "incomplete"),
            self.page("pair-elsewhere", &format!("/local/pair#{}", payload(elsewhere)), "another instance"),
            self.page(
                "pair-complete",
                &format!("/pair/complete#{}", payload(body)),
                "Pair with this instance",
            ),
        ]
    }

    fn stranger(&self) -> Vec<Page> {
        let mut pages = vec![
            self.page("home-unpaired", "/", "Pair required"),
            self.page("devices-unpaired", "/settings/devices", "Home says how"),
            self.page("tasks-unpaired", "/local/tasks", "Home"),
            Page {
                first: |b| b.clicks("Paste a pairing link"),
                ..self.page("home-paste", "/local", "Pair required")
            },
        ];
        pages.extend(self.invited());
        pages
    }

    fn operator(&self) -> Vec<Page> {
        let ask = json!({ "invite_id": self.invite.id, "invite_url": self.invite.url, "audience": self.home.did,
            "issuer_url": self.home.url(), "scopes": ["records:read"], "expires_at": "2099-01-01T00:00:00Z" });
        let ask = spl_kernel::identity::encode(ask.to_string().as_bytes());
        vec![
            self.page("home", "/", "Signed in on this browser"),
            self.page("threads", "/local/threads", "kitchen"),
            self.page("thread", "/local/threads/kitchen", "the kettle is on"),
            self.page("tasks", "/local/tasks", "No tasks"),
            self.page("devices", "/settings/devices", "iPhone 43"),
            Page {
                first: |b| b.clicks("Advanced"),
                ..self.page("devices-advanced", "/settings/devices", "iPhone 43")
            },
            Page {
                first: |b| {
                    b.types("Label", "My phone");
                    b.clicks("Generate pair link");
                    b.until("document.querySelector('img.qr')?.naturalWidth > 0");
                },
                ..self.page("devices-card", "/settings/devices", "iPhone 43")
            },
            Page {
                first: |b| b.clicks("Revoke My phone"),
                ..self.page("devices-revoke", "/settings/devices", "iPhone 43")
            },
            self.page("federated", &format!("/pair/federated#{ask}"), "You are about to introduce yourself"),
        ]
    }

    /// Shows all pages to somebody: to a stranger, to the operator, to whoever is no operator.
    fn shows(&self, browser: &Browser, mut look: impl FnMut(&Page)) {
        let mut show = |pages: Vec<Page>| {
            for page in pages {
                browser.goes("about:blank");
                browser.goes(&page.url);
                browser.reads(page.ready);
                browser.until("!document.querySelector('[aria-busy]')");
                (page.first)(browser);
                look(&page);
            }
        };
        show(self.stranger());
        browser.is_operator(&self.home);
        show(self.operator());
        browser.goes(&format!("{}/", self.home.url()));
        browser.clicks("Forget");
        browser.stands("Pair required");
        let token = self.home.admin.account(&["did:sync:user:carol"], &["records:read"]);
        browser.signs_in(&self.home, &token);
        show(vec![self.page("devices-contributor", "/settings/devices", "This device")]);
        self.home.admin.delete(&format!("/v1/service-accounts/{}", token.account)).is(200);
        browser.goes(&format!("{}/", self.home.url()));
        browser.stands("Token expired or revoked");
        show(vec![self.page("home-expired", "/", "Re-pair")]);
    }
}

#[test]
fn nothing_scrolls_sideways_at_any_width() {
    let place = Place::new();
    let [browser] = browsers();
    let mut found = Vec::new();
    place.shows(&browser, |page| {
        for dark in [false, true] {
            for width in [320, 390, 640, 1440] {
                browser.looks_like((width, 844), dark);
                let sizes = browser.value("[document.scrollingElement.scrollWidth, innerWidth]");
                if sizes[0].as_u64() > Some(u64::from(width)) || sizes[1] != width {
                    let wide = browser.value(
                        "[...document.querySelectorAll('main *, header *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5)
                           .map((e) => e.tagName + '.' + e.className + ' ' + Math.round(e.getBoundingClientRect().right)).slice(0, 4)",
                    );
                    found.push(format!("{} at {width}: {sizes} {wide}", page.name));
                }
            }
            for (name, size) in [("desktop", LAPTOP), ("phone", PHONE)] {
                browser.looks_like(size, dark);
                let scheme = if dark { "dark" } else { "light" };
                browser.is_photographed(&format!("{}-{name}-{scheme}", page.name));
            }
        }
        browser.looks_like(LAPTOP, false);
    });
    // What a phone shows of its own, which depends on the width when it is opened.
    browser.goes(&format!("{}/", place.home.url()));
    browser.clicks("Forget");
    for dark in [false, true] {
        for width in [320, 390] {
            browser.looks_like((width, 844), dark);
            browser.reloads();
            browser.reads("Scan pairing QR");
            let sizes = browser.value("[document.scrollingElement.scrollWidth, innerWidth]");
            if sizes[0].as_u64() > Some(u64::from(width)) {
                found.push(format!("welcome at {width}: {sizes}"));
            }
        }
        let scheme = if dark { "dark" } else { "light" };
        browser.is_photographed(&format!("welcome-phone-{scheme}"));
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// axe-core, as its registry has it: asked for once, and kept where builds are.
static AXE: LazyLock<String> = LazyLock::new(|| {
    const VERSION: &str = "4.14.1";
    let directory = target().join("axe-core");
    let script = directory.join(VERSION).join("package/axe.min.js");
    if !script.exists() {
        fs::create_dir_all(&directory).expect("a directory");
        let packed = format!("axe-core-{VERSION}.tgz");
        run(Command::new("npm").args(["pack", "--silent", &format!("axe-core@{VERSION}")]), &directory);
        let fresh = directory.join(format!("{VERSION}.{}", std::process::id()));
        fs::create_dir_all(&fresh).expect("a directory");
        run(Command::new("tar").arg("-xzf").arg(&packed).arg("-C").arg(&fresh), &directory);
        // Another run of the tests may have been quicker.
        if fs::rename(&fresh, directory.join(VERSION)).is_err() {
            fs::remove_dir_all(&fresh).expect("a directory");
        }
    }
    fs::read_to_string(&script).expect("axe.min.js")
});

fn run(command: &mut Command, directory: &Path) {
    let status = command.current_dir(directory).stdout(std::process::Stdio::null()).status();
    let status = status.unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// Serious and critical findings, each with where it is.
fn findings(browser: &Browser) -> Vec<String> {
    browser.script(&AXE, Vec::new());
    let found = browser.promised(
        "axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.filter((v) => ['serious', 'critical'].includes(v.impact))
           .flatMap((v) => v.nodes.map((n) => v.id + ' ' + n.target.join(' ') + ': ' + (n.any[0] ?? n.all[0] ?? n.none[0])?.message)))",
        Vec::new(),
    );
    let all = found.as_array().unwrap_or_else(|| panic!("{}: {found}", browser.path()));
    all.iter().filter_map(|f| f.as_str().map(str::to_owned)).collect()
}

#[test]
fn everybody_can_use_every_page() {
    let place = Place::new();
    let [browser] = browsers();
    let mut found = Vec::new();
    place.shows(&browser, |page| {
        for (size, name) in [(LAPTOP, "desktop"), (PHONE, "phone")] {
            for dark in [false, true] {
                browser.looks_like(size, dark);
                // What is underway moves for a moment.
                browser.until("document.getAnimations().every((a) => a.playState !== 'running')");
                let scheme = if dark { "dark" } else { "light" };
                found.extend(
                    findings(&browser).into_iter().map(|f| format!("{} {name} {scheme}: {f}", page.name)),
                );
            }
        }
        browser.looks_like(LAPTOP, false);
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn what_is_wrong_would_be_found() {
    let place = super::kit::Home::memory();
    let [browser] = browsers();
    browser.goes(&format!("{}/", place.url()));
    browser.stands("Pair required");
    browser.script(
        "const b = document.createElement('button'); const i = document.createElement('input'); document.querySelector('main').append(b, i);",
        Vec::new(),
    );
    let found = findings(&browser);
    for rule in ["button-name", "label"] {
        assert!(found.iter().any(|f| f.starts_with(rule)), "{rule}: {found:?}");
    }
}

#[test]
fn nothing_jumps_when_data_arrives() {
    let place = Place::new();
    let [browser] = browsers();
    browser.is_operator(&place.home);
    let mut found = Vec::new();
    for (size, name) in [(LAPTOP, "desktop"), (PHONE, "phone")] {
        browser.looks_like(size, false);
        for path in ["/", "/local/threads", "/local/threads/kitchen", "/local/tasks", "/settings/devices"] {
            browser.goes("about:blank");
            browser.goes(&format!("{}{path}", place.home.url()));
            browser.stands("Connected, secure");
            browser.until("document.querySelector('main h1') && !document.querySelector('[aria-busy]')");
            let shift = browser.promised(
                "new Promise((resolve) => { let sum = 0; new PerformanceObserver((list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) sum += e.value; })
                   .observe({ type: 'layout-shift', buffered: true }); requestAnimationFrame(() => setTimeout(() => resolve(sum), 100)); })",
                Vec::new(),
            );
            let shift = shift.as_f64().unwrap_or_else(|| panic!("{shift}"));
            // What is felt as a jump begins at a tenth (Core Web Vitals).
            if shift >= 0.1 {
                found.push(format!("{path} on a {name}: {shift:.3}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
