//! The hosts of the world, by TLS on port 443: what each does is told by its name.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::{
    ServerConfig, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::Acceptor,
};

use crate::{raw::wait_at_most, support::LIMIT};

/// What a host shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Certificate {
    /// A certificate of an authority that is trusted.
    Good,
    /// One that ended years ago.
    Expired,
    /// One of an authority that nobody knows.
    Foreign,
    /// One for another name.
    Misnamed,
}

/// What a host does with a request.
#[derive(Debug, Clone)]
pub(super) enum Does {
    /// Answers so.
    Answers(Vec<u8>),
    /// Answers this, and then a byte now and then.
    Drips(Vec<u8>),
    /// Answers this, and then more for as long as anybody listens.
    Floods(Vec<u8>),
    /// Nothing.
    Waits,
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    /// Connections, by name.
    reached: BTreeMap<String, usize>,
    requests: Vec<String>,
    open: usize,
    most_open: usize,
}

/// The hosts, and the directory of their authority.
pub(super) struct Web {
    dir: tempfile::TempDir,
    hosts: Arc<Mutex<BTreeMap<String, (Certificate, Does)>>>,
    seen: Arc<Mutex<Seen>>,
}

impl Web {
    /// Listens at an address.
    pub(super) fn at(address: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        make_certificates(dir.path());
        let all = [Certificate::Good, Certificate::Expired, Certificate::Foreign, Certificate::Misnamed];
        let configs: BTreeMap<_, _> = all.map(|one| (one, config(dir.path(), one))).into();
        let web = Self { dir, hosts: Arc::default(), seen: Arc::default() };
        let listener = TcpListener::bind((address, 443)).expect("port 443 of a network of its own");
        let (hosts, seen, configs) = (Arc::clone(&web.hosts), Arc::clone(&web.seen), Arc::new(configs));
        // Ends with the process of the tests.
        std::thread::spawn(move || {
            for one in listener.incoming().flatten() {
                let (hosts, seen, configs) = (Arc::clone(&hosts), Arc::clone(&seen), Arc::clone(&configs));
                std::thread::spawn(move || serve(one, &hosts, &seen, &configs));
            }
        });
        web
    }

    /// The file with the authority that is to be trusted.
    pub(super) fn authorities(&self) -> String {
        self.dir.path().join("ca.pem").display().to_string()
    }

    /// Says what a host does.
    pub(super) fn host(&self, name: &str, certificate: Certificate, does: Does) {
        self.hosts.lock().expect("no panic").insert(name.to_owned(), (certificate, does));
    }

    /// How often a host was connected to.
    pub(super) fn reached(&self, name: &str) -> usize {
        self.seen.lock().expect("no panic").reached.get(name).copied().unwrap_or_default()
    }

    /// How often any was.
    pub(super) fn reached_at_all(&self) -> usize {
        self.seen.lock().expect("no panic").reached.values().sum()
    }

    /// What they were asked so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").requests.clone()
    }

    /// Waits until so many connections are open at once.
    #[track_caller]
    pub(super) fn has_open(&self, count: usize) {
        wait_at_most(LIMIT, "so many connections are open", || {
            (self.seen.lock().expect("no panic").open == count).then_some(())
        });
    }

    /// The most connections that were open at once.
    pub(super) fn most_open(&self) -> usize {
        self.seen.lock().expect("no panic").most_open
    }
}

/// Serves one connection; whatever fails on it ends it.
fn serve(
    mut tcp: TcpStream,
    hosts: &Mutex<BTreeMap<String, (Certificate, Does)>>,
    seen: &Mutex<Seen>,
    configs: &BTreeMap<Certificate, Arc<ServerConfig>>,
) -> Option<()> {
    tcp.set_read_timeout(Some(LIMIT)).ok()?;
    let mut acceptor = Acceptor::default();
    let accepted = loop {
        if acceptor.read_tls(&mut tcp).ok()? == 0 {
            return None;
        }
        if let Some(accepted) = acceptor.accept().ok()? {
            break accepted;
        }
    };
    let name = accepted.client_hello().server_name().unwrap_or_default().to_owned();
    {
        let mut seen = seen.lock().expect("no panic");
        *seen.reached.entry(name.clone()).or_default() += 1;
        seen.open += 1;
        seen.most_open = seen.most_open.max(seen.open);
    }
    let found = hosts.lock().expect("no panic").get(&name).cloned();
    if let Some((certificate, does)) = found
        && let Ok(connection) = accepted.into_connection(Arc::clone(&configs[&certificate]))
    {
        act(StreamOwned::new(connection, tcp), &does, seen);
    }
    seen.lock().expect("no panic").open -= 1;
    Some(())
}

fn act(
    mut stream: StreamOwned<rustls::ServerConnection, TcpStream>,
    does: &Does,
    seen: &Mutex<Seen>,
) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).ok()?;
        request.extend(byte);
    }
    seen.lock().expect("no panic").requests.push(String::from_utf8_lossy(&request).to_lowercase());
    match does {
        Does::Answers(bytes) => {
            stream.write_all(bytes).ok()?;
            stream.conn.send_close_notify();
            stream.flush().ok()
        }
        Does::Floods(bytes) => {
            stream.write_all(bytes).ok()?;
            while stream.write_all(&[b' '; 16 * 1024]).is_ok() {}
            None
        }
        Does::Drips(bytes) => {
            stream.write_all(bytes).ok()?;
            stream.sock.set_read_timeout(Some(Duration::from_millis(50))).ok()?;
            // A read that finds nothing is the pace.
            while !matches!(stream.read(&mut [0; 64]), Ok(0)) && stream.write_all(b" ").is_ok() {}
            None
        }
        Does::Waits => {
            // Until the other side gives up.
            while stream.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
            None
        }
    }
}

fn config(at: &Path, which: Certificate) -> Arc<ServerConfig> {
    let file = match which {
        Certificate::Good => "good",
        Certificate::Expired => "expired",
        Certificate::Foreign => "foreign",
        Certificate::Misnamed => "misnamed",
    };
    let certificate = CertificateDer::from_pem_file(at.join(format!("{file}.pem"))).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(at.join("leaf.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    Arc::new(config.with_single_cert(vec![certificate], key).expect("a certificate and its key"))
}

/// An authority to be trusted, one that is not, and what they sign.
const MAKE: &str = r#"
exec 2>openssl.log
curve='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
for authority in ca foreign-ca; do
  openssl req -x509 $curve -days 2 -subj "/CN=$authority" -keyout $authority.key -out $authority.pem
done
openssl req $curve -subj /CN=leaf -addext 'subjectAltName=DNS:*.example-test.org' -keyout leaf.key -out leaf.csr
openssl req -new -key leaf.key -subj /CN=leaf -addext 'subjectAltName=DNS:www.example.com' -out other.csr
sign() { openssl x509 -req -days 2 -copy_extensions copy -CAcreateserial -CA "$1.pem" -CAkey "$1.key" -in "$2" -out "$3"; }
sign ca leaf.csr good.pem
sign foreign-ca leaf.csr foreign.pem
sign ca other.csr misnamed.pem
cat > ca.cnf <<'END'
[ca]
default_ca = own
[own]
database = index
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
END
: > index
openssl ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in leaf.csr -out expired.pem \
  -startdate 20200101000000Z -enddate 20200201000000Z
"#;

fn make_certificates(at: &Path) {
    let made = Command::new("sh").args(["-ec", MAKE]).current_dir(at).stdin(Stdio::null()).status();
    let said = fs::read_to_string(at.join("openssl.log")).unwrap_or_default();
    assert!(made.expect("sh runs").success(), "openssl 3 is needed: {said}");
}
