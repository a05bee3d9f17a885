//! A browser, an instance to look at with it, and what people do with their hands.

use std::{
    cell::RefCell,
    fs,
    io::{BufRead as _, BufReader},
    ops::Deref,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, LazyLock},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::{Value, json};
use spl_fixtures::builders;
use spl_kernel::{
    commit::{Commit, Entry},
    identity::encode,
    log::{Log, LogSource, NewCommit},
    record::{Act, Origin, Provenance},
    time::UnixMillis,
};
use thirtyfour::{Capabilities, Key, WebDriver, WebElement, error::WebDriverResult};
use tokio::{
    runtime::Runtime,
    sync::{OwnedSemaphorePermit, Semaphore},
};

pub(super) use crate::federation::kit::{ADMIN, BOB, Home, Link, Node, Token};
use crate::{federation::kit::now_ms, raw::wait_at_most};

/// How long a page may take for anything that has no limit of its own.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// What a laptop shows, and what a phone does.
pub(super) const LAPTOP: (u32, u32) = (1280, 900);
pub(super) const PHONE: (u32, u32) = (390, 844);

/// The driver speaks asynchronously; the tests do not.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
/// So many browsers at a time: each is as heavy as all instances together.
static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));

/// Looked for at every page before its own scripts run.
const WATCH: &str = "document.addEventListener('securitypolicyviolation', (e) => \
     console.error('VIOLATION ' + e.violatedDirective + ' ' + e.blockedURI));";

/// An element by its words: what a button, a link or a summary is called.
const NAMED: &str = "const [scope, name] = arguments;
     const words = (e) => [e.getAttribute('aria-label'), e.textContent].map((t) => t?.replace(/\\s+/g, ' ').trim());
     const all = [...document.querySelectorAll(scope)].flatMap((s) => [...s.querySelectorAll('button, a[href], summary')]);
     return all.find((e) => e.checkVisibility() && !e.disabled && words(e).includes(name)) ?? null;";

/// A form control by the words of its label.
const LABELLED: &str = "const label = [...document.querySelectorAll('label')].find((l) => l.textContent.trim() === arguments[0]);
     const field = label?.control;
     return field?.checkVisibility() ? field : null;";

/// A Chromium with a fresh profile; gone when dropped.
pub(super) struct Browser {
    driver: Option<WebDriver>,
    process: Child,
    /// What it was told about itself so far: lines of the console, and addresses that were asked.
    console: RefCell<Vec<(String, String)>>,
    asked: RefCell<Vec<String>>,
    _profile: tempfile::TempDir,
    _place: OwnedSemaphorePermit,
}

/// So many browsers, each with a profile of its own. All at once: whoever has one never waits for another.
pub(super) fn browsers<const N: usize>() -> [Browser; N] {
    let count = u32::try_from(N).expect("a few");
    let places = RUNTIME.block_on(Arc::clone(&PLACES).acquire_many_owned(count));
    let mut places = places.expect("never closed");
    std::array::from_fn(|_| Browser::start(places.split(1).expect("a place")))
}

impl Browser {
    fn start(place: OwnedSemaphorePermit) -> Self {
        let profile = tempfile::tempdir().expect("a temporary directory");
        let (process, port) = driver_at(profile.path());
        let url = format!("http://127.0.0.1:{port}");
        let driver = RUNTIME.block_on(connected(&url, profile.path())).expect("a browser");
        let browser = Self {
            driver: Some(driver),
            process,
            console: RefCell::default(),
            asked: RefCell::default(),
            _profile: profile,
            _place: place,
        };
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WATCH }));
        browser.looks_like(LAPTOP, false);
        browser
    }

    fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("a session")
    }

    #[track_caller]
    pub(super) fn cdp(&self, command: &str, parameters: Value) -> Value {
        let cdp = self.driver().cdp();
        RUNTIME.block_on(cdp.send_raw(command, parameters)).unwrap_or_else(|e| panic!("{command}: {e}"))
    }

    /// Sets what kind of screen it has. What is narrower than 640 pixels is a phone.
    pub(super) fn looks_like(&self, (width, height): (u32, u32), dark: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 640 });
        self.cdp("Emulation.setDeviceMetricsOverride", size);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    #[track_caller]
    pub(super) fn goes(&self, url: &str) {
        RUNTIME.block_on(self.driver().goto(url)).unwrap_or_else(|e| panic!("{url}: {e}"));
    }

    #[track_caller]
    pub(super) fn reloads(&self) {
        RUNTIME.block_on(self.driver().refresh()).expect("a page");
    }

    fn try_script(&self, script: &str, arguments: Vec<Value>) -> WebDriverResult<Value> {
        RUNTIME.block_on(self.driver().execute(script, arguments)).map(|answer| answer.json().clone())
    }

    /// What a script returns.
    #[track_caller]
    pub(super) fn script(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.try_script(script, arguments).unwrap_or_else(|e| panic!("{script}: {e}"))
    }

    /// The value of an expression.
    #[track_caller]
    pub(super) fn value(&self, expression: &str) -> Value {
        self.script(&format!("return {expression};"), Vec::new())
    }

    /// What a promise is kept with.
    #[track_caller]
    pub(super) fn promised(&self, expression: &str, arguments: Vec<Value>) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1]; ({expression}).then(done, (e) => done('failed: ' + e));"
        );
        let answer = RUNTIME.block_on(self.driver().execute_async(script, arguments));
        answer.unwrap_or_else(|e| panic!("{expression}: {e}")).json().clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(super) fn until(&self, expression: &str) {
        self.within(PATIENCE, expression);
    }

    #[track_caller]
    pub(super) fn within(&self, limit: Duration, expression: &str) {
        let script = format!("return Boolean({expression});");
        let mut last = None;
        let start = crate::raw::now();
        wait_at_most(limit + PATIENCE, expression, || {
            // A page that is just being left answers nothing.
            let found = self.try_script(&script, Vec::new()).is_ok_and(|v| v == true);
            if !found && start.elapsed() > limit {
                last = Some(self.text());
                panic!(
                    "not within {limit:?}: {expression}\nat {}:\n{}",
                    self.path(),
                    last.take().unwrap_or_default()
                );
            }
            found.then_some(())
        });
    }

    /// Waits until a text is to be read.
    #[track_caller]
    pub(super) fn reads(&self, text: &str) {
        self.until(&format!("document.body?.innerText.includes({})", json!(text)));
    }

    /// All that is to be read.
    pub(super) fn text(&self) -> String {
        let text = self.try_script("return document.body.innerText;", Vec::new());
        text.ok().and_then(|t| t.as_str().map(str::to_owned)).unwrap_or_default()
    }

    pub(super) fn path(&self) -> String {
        self.value("location.pathname").as_str().expect("a text").to_owned()
    }

    #[track_caller]
    pub(super) fn is_at(&self, path: &str) {
        self.until(&format!("location.pathname === {}", json!(path)));
    }

    /// The connection's state, as it stands on top of every page.
    #[track_caller]
    pub(super) fn stands(&self, label: &str) {
        self.stands_within(PATIENCE, label);
    }

    #[track_caller]
    pub(super) fn stands_within(&self, limit: Duration, label: &str) {
        let status = "document.querySelector('.status .badge')?.innerText.trim()";
        self.within(limit, &format!("{status} === {}", json!(label)));
    }

    /// Does something to an element as soon as that works: what is live may be drawn anew at any moment.
    #[track_caller]
    fn with<T>(
        &self,
        what: &str,
        script: &str,
        arguments: &[Value],
        job: impl AsyncFn(WebElement) -> WebDriverResult<T>,
    ) -> T {
        let driver = self.driver();
        let start = crate::raw::now();
        wait_at_most(PATIENCE * 2, what, || {
            let done = RUNTIME.block_on(async {
                let element = driver.execute(script, arguments.to_vec()).await?.element()?;
                job(element).await
            });
            match done {
                Ok(value) => Some(value),
                Err(error) if start.elapsed() > PATIENCE => {
                    panic!("{what}: {error}\nat {}:\n{}", self.path(), self.text())
                }
                Err(_) => None,
            }
        })
    }

    /// Clicks what has this name.
    #[track_caller]
    pub(super) fn clicks(&self, name: &str) {
        self.clicks_in("body", name);
    }

    #[track_caller]
    pub(super) fn clicks_in(&self, scope: &str, name: &str) {
        self.with(name, NAMED, &[json!(scope), json!(name)], async |element| {
            let driver = self.driver();
            driver
                .execute("arguments[0].scrollIntoView({ block: 'center' });", vec![element.to_json()?])
                .await?;
            element.click().await
        });
    }

    /// Waits until there is something with this name.
    #[track_caller]
    pub(super) fn has(&self, name: &str) {
        self.with(name, NAMED, &[json!("body"), json!(name)], async |_| Ok(()));
    }

    /// Whether there is something with this name.
    pub(super) fn offers(&self, name: &str) -> bool {
        !self.script(NAMED, vec![json!("body"), json!(name)]).is_null()
    }

    /// Types into the field with this label, in place of what is there.
    #[track_caller]
    pub(super) fn types(&self, label: &str, text: &str) {
        self.with(label, LABELLED, &[json!(label)], async |field| {
            field.clear().await?;
            field.send_keys(text).await
        });
    }

    /// Chooses the option that begins so.
    #[track_caller]
    pub(super) fn chooses(&self, label: &str, option: &str) {
        let script = format!(
            "const field = (() => {{ {LABELLED} }}).apply(null, arguments);
             return [...(field?.options ?? [])].find((o) => o.textContent === arguments[1] || o.textContent.startsWith(arguments[1] + ':')) ?? null;"
        );
        self.with(option, &script, &[json!(label), json!(option)], async |option| option.click().await);
    }

    /// The value of the field with this label.
    #[track_caller]
    pub(super) fn field(&self, label: &str) -> String {
        let script = format!("return (() => {{ {LABELLED} }}).apply(null, arguments)?.value;");
        let value = self.script(&script, vec![json!(label)]);
        value.as_str().unwrap_or_else(|| panic!("no field {label}")).to_owned()
    }

    /// The words that the chosen option of a select begins with.
    #[track_caller]
    pub(super) fn chosen(&self, label: &str) -> String {
        let script = format!(
            "return (() => {{ {LABELLED} }}).apply(null, arguments)?.selectedOptions[0].textContent;"
        );
        let text = self.script(&script, vec![json!(label)]);
        text.as_str()
            .and_then(|t| t.split(':').next())
            .unwrap_or_else(|| panic!("no field {label}"))
            .to_owned()
    }

    /// Presses a key, wherever the focus is.
    #[track_caller]
    pub(super) fn presses(&self, key: Key) {
        let chain = self.driver().action_chain().send_keys(key);
        RUNTIME.block_on(chain.perform()).expect("a key");
    }

    #[track_caller]
    pub(super) fn enters(&self, text: &str) {
        let chain = self.driver().action_chain().send_keys(text);
        RUNTIME.block_on(chain.perform()).expect("keys");
    }

    /// Opens another tab and looks at it.
    pub(super) fn opens_tab(&self) {
        let driver = self.driver();
        RUNTIME
            .block_on(async {
                let tab = driver.new_tab().await?;
                driver.switch_to_window(tab).await
            })
            .expect("a tab");
        self.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WATCH }));
    }

    /// Looks at the tab that was opened so much later than the first.
    pub(super) fn looks_at_tab(&self, number: usize) {
        let driver = self.driver();
        RUNTIME
            .block_on(async {
                let tabs = driver.windows().await?;
                driver.switch_to_window(tabs[number].clone()).await
            })
            .expect("a tab");
    }

    /// A picture of the whole page, on a screen as high as it is: what sticks to an edge is at the page's.
    pub(super) fn is_photographed(&self, name: &str) {
        self.script("scrollTo(0, 0);", Vec::new());
        let size = self.value("[innerWidth, innerHeight, document.scrollingElement.scrollHeight]");
        let side = |i: usize| size[i].as_u64().expect("a side");
        let of_height = |height: u64| json!({ "width": side(0), "height": height, "deviceScaleFactor": 1, "mobile": side(0) < 640 });
        self.cdp("Emulation.setDeviceMetricsOverride", of_height(side(2)));
        let taken = self.cdp("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        self.cdp("Emulation.setDeviceMetricsOverride", of_height(side(1)));
        let picture = taken["data"].as_str().expect("a picture");
        let picture = data_encoding::BASE64.decode(picture.as_bytes()).expect("base64");
        let directory = target().join("studio-shots");
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join(format!("{name}.png")), picture).expect("a file");
    }

    /// What a camera reads where an element is on the screen.
    #[track_caller]
    pub(super) fn reads_code(&self, selector: &str) -> String {
        let place = self.value(&format!(
            "(() => {{ const r = document.querySelector({}).getBoundingClientRect();
               return {{ x: r.x + scrollX, y: r.y + scrollY, width: r.width, height: r.height, scale: 2 }}; }})()",
            json!(selector)
        ));
        let taken =
            self.cdp("Page.captureScreenshot", json!({ "clip": place, "captureBeyondViewport": true }));
        // The browser unpacks its own picture: one character for each pixel.
        let pixels = self.promised(
            "(async () => {
               const image = new Image();
               image.src = 'data:image/png;base64,' + arguments[0];
               await image.decode();
               const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height });
               const context = canvas.getContext('2d');
               context.drawImage(image, 0, 0);
               const { data } = context.getImageData(0, 0, image.width, image.height);
               let text = '';
               for (let i = 0; i < data.length; i += 4) text += data[i] + data[i + 1] + data[i + 2] < 384 ? 'x' : ' ';
               return [image.width, image.height, text];
             })()",
            vec![taken["data"].clone()],
        );
        let side = |i: usize| usize::try_from(pixels[i].as_u64().expect("a side")).expect("a side");
        let (width, height) = (side(0), side(1));
        let text = pixels[2].as_str().expect("pixels").as_bytes();
        let shade = |x: usize, y: usize| if text[y * width + x] == b'x' { 0 } else { 255 };
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, shade);
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1, "one code is to be seen");
        grids[0].decode().expect("a code").1
    }

    /// Takes up what the browser has said since.
    fn listens(&self) {
        let driver = self.driver();
        let (console, network) = RUNTIME
            .block_on(async {
                Ok::<_, thirtyfour::error::WebDriverError>((
                    driver.get_log("browser").await?,
                    driver.get_log("performance").await?,
                ))
            })
            .expect("logs");
        self.console.borrow_mut().extend(console.into_iter().map(|line| (line.level, line.message)));
        for line in network {
            let event: Value = serde_json::from_str(&line.message).expect("an event");
            let event = &event["message"];
            let url = match event["method"].as_str() {
                Some("Network.requestWillBeSent") => event["params"]["request"]["url"].as_str(),
                Some("Network.webSocketCreated") => event["params"]["url"].as_str(),
                _ => None,
            };
            self.asked.borrow_mut().extend(url.map(str::to_owned));
        }
    }

    /// The lines of the console so far.
    pub(super) fn console(&self) -> Vec<(String, String)> {
        self.listens();
        self.console.borrow().clone()
    }

    /// Insists that nothing was asked of any other host, nothing refused by the policy, no error left in the console
    /// but those of answers with such a status, and no token anywhere.
    #[track_caller]
    pub(super) fn was_quiet(&self, hosts: &[&str], statuses: &[&str]) {
        let bad: Vec<_> = self
            .console()
            .into_iter()
            .filter(|(level, message)| {
                let status = message.contains("Failed to load resource")
                    && statuses.iter().any(|s| {
                        message.contains(&format!(": net::{s}"))
                            || message.contains(&format!("status of {s} "))
                    });
                // What Chrome says of that header on plain http, for which there is none that it would take.
                let untrustworthy = message.contains("Cross-Origin-Opener-Policy header has been ignored");
                let status = status || untrustworthy;
                let policy = message.contains("VIOLATION") || message.contains("Content Security Policy");
                policy || message.contains("spl_prod_") || (level == "SEVERE" && !status)
            })
            .collect();
        assert!(bad.is_empty(), "{bad:#?}");
        let asked = self.asked.borrow();
        assert!(!asked.is_empty(), "what it asks is recorded");
        for url in asked.iter() {
            assert!(!url.contains("spl_prod_"), "{url}");
            let own = hosts.iter().any(|host| url.starts_with(&format!("{host}/")));
            assert!(
                own || ["data:", "blob:", "chrome:"].iter().any(|own| url.starts_with(own)),
                "{url} was asked"
            );
        }
    }

    /// Signs in with a link as `spl pair` prints it.
    #[track_caller]
    pub(super) fn signs_in(&self, home: &Home, token: &Token) {
        self.goes(&pair_link(home, token));
        self.is_at("/local/tasks");
        self.stands("Connected, secure");
    }

    /// Signs in as somebody who may do all.
    #[track_caller]
    pub(super) fn is_operator(&self, home: &Home) {
        self.signs_in(home, &home.admin.account(&[ADMIN], &["admin"]));
    }

    /// Follows an invite's link, and takes it.
    #[track_caller]
    pub(super) fn pairs(&self, link: &Link, name: &str) {
        self.goes(&link.url);
        self.types("Name of this device", name);
        self.clicks("Pair with this instance");
        self.is_at("/local/tasks");
        self.stands("Connected, secure");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            // Whether it ends in order or not: what is left is ended below.
            let _ =
                RUNTIME.block_on(async { tokio::time::timeout(Duration::from_secs(5), driver.quit()).await });
        }
        let _ = killpg(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGKILL);
        let _ = self.process.wait();
    }
}

/// A driver, and the port that it found.
fn driver_at(home: &Path) -> (Child, u16) {
    // It takes the port on one address first, and gives up where somebody has it on the other.
    for _ in 0..10 {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", home)
            .env("TZ", "UTC")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver: apt-get install chromium chromium-driver");
        let said = BufReader::new(process.stdout.take().expect("a pipe"));
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        if let Some(port) = port {
            return (process, port);
        }
        process.wait().expect("an ended process");
    }
    panic!("chromedriver finds no port");
}

async fn connected(url: &str, profile: &Path) -> WebDriverResult<WebDriver> {
    // Another test may have chosen it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
    let data = format!("--user-data-dir={}", profile.join("profile").display());
    let flags = [
        "--headless=new",
        "--no-sandbox",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
        &data,
    ];
    let wanted = json!({
        "browserName": "chrome",
        "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": flags },
        "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
    });
    let wanted: Capabilities = serde_json::from_value(wanted)?;
    WebDriver::builder(url, wanted).client(client).connect().await
}

/// Where builds go, which are not kept.
pub(super) fn target() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_spl"));
    binary.ancestors().nth(2).expect("a target directory").to_owned()
}

/// The one-click URL of `spl pair`.
pub(super) fn pair_link(home: &Home, token: &Token) -> String {
    let payload = json!({ "url": home.url(), "token": token.text, "device": "browser-test" });
    format!("{}/local/pair#{}", home.url(), encode(payload.to_string().as_bytes()))
}

/// An instance on disk at one port, whose time may go by.
pub(super) struct Clocked(Home);

impl Deref for Clocked {
    type Target = Home;

    fn deref(&self) -> &Home {
        &self.0
    }
}

impl Clocked {
    pub(super) fn new() -> Self {
        Self(Home::disk())
    }

    pub(super) fn stops(&mut self) {
        self.0.node.stop();
    }

    /// Starts it where it was, so that its address stays.
    pub(super) fn starts(&mut self) {
        let port = self.0.node.port.to_string();
        self.0.node.run(&["--port", &port]);
    }

    /// Stops, finds a record in the log that was committed so much later, and starts again.
    pub(super) fn later(&mut self, by: Duration) {
        self.stops();
        let log = Log::open(LogSource::File(self.node.sandbox.home().join("log.redb")), &mut |_, _| {});
        let log = log.expect("the log opens");
        let draft = builders::draft("time", "did:sync:user:time", Act::Put, "{}");
        let (facts, id) = (draft.facts.clone(), draft.id_at(0).expect("an id"));
        let entry = Entry {
            record: draft.into_record(id, 0),
            provenance: Provenance::without_credential(Origin::Posted),
        };
        let committed_at = UnixMillis(now_ms() + u64::try_from(by.as_millis()).expect("a time"));
        let commit = Commit { first_sequence: log.head().sequence + 1, committed_at, entries: vec![entry] };
        builders::append(&log, &[NewCommit { commit, facts: vec![facts] }]);
        drop(log);
        self.starts();
    }
}
