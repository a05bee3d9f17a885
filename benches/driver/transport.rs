//! Connections to a server on this machine, plain or under TLS: blocking while they are set up, then not.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use mio::{Interest, Registry, Token};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use crate::Outcome;

/// How long a server may take for one step of a connection's set-up.
const SETUP_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection while it is set up: reads and writes wait.
pub(crate) enum Link {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection in an event loop: reads and writes do not wait.
pub(crate) enum Transport {
    Plain(mio::net::TcpStream),
    Tls(Box<StreamOwned<ClientConnection, mio::net::TcpStream>>),
}

fn tcp(port: u16) -> io::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let socket = TcpStream::connect_timeout(&address, SETUP_TIMEOUT)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(SETUP_TIMEOUT))?;
    socket.set_write_timeout(Some(SETUP_TIMEOUT))?;
    Ok(socket)
}

/// Trusts one certificate, and speaks HTTP/2.
pub(crate) fn tls_config(certificate: &Path) -> Outcome<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

impl Link {
    /// A plain connection.
    pub(crate) fn plain(port: u16) -> io::Result<Self> {
        Ok(Self::Plain(tcp(port)?))
    }

    /// A connection under TLS, its handshake done.
    pub(crate) fn tls(port: u16, config: &Arc<ClientConfig>) -> Outcome<Self> {
        let connection = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
        let mut stream = StreamOwned::new(connection, tcp(port)?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Reads until `complete` says that what was read is a whole answer, and gives it.
    pub(crate) fn read_until(&mut self, mut complete: impl FnMut(&[u8]) -> bool) -> io::Result<Vec<u8>> {
        let (mut got, mut chunk) = (Vec::new(), [0; 4096]);
        while !complete(&got) {
            let n = self.read(&mut chunk)?;
            if n == 0 {
                let text = String::from_utf8_lossy(&got).into_owned();
                return Err(io::Error::other(format!("closed after {text:?}")));
            }
            got.extend_from_slice(&chunk[..n]);
        }
        Ok(got)
    }

    /// Hands it to an event loop.
    pub(crate) fn into_transport(self) -> io::Result<Transport> {
        let ready = |socket: TcpStream| {
            socket.set_nonblocking(true)?;
            io::Result::Ok(mio::net::TcpStream::from_std(socket))
        };
        Ok(match self {
            Self::Plain(socket) => Transport::Plain(ready(socket)?),
            Self::Tls(stream) => {
                let (connection, socket) = stream.into_parts();
                Transport::Tls(Box::new(StreamOwned::new(connection, ready(socket)?)))
            }
        })
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Transport {
    /// Has the event loop say when it can be read from or written to.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &mut stream.sock,
        };
        registry.register(socket, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Whether a read that did not fill its buffer has emptied the socket: under TLS a record may be left.
    pub(crate) fn short_read_is_last(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    /// Sends what it can of `output`, and takes that out of it.
    pub(crate) fn send(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        let mut sent = 0;
        let result = loop {
            if sent == output.len() {
                break Ok(());
            }
            let written = match self {
                Self::Plain(socket) => socket.write(&output[sent..]),
                Self::Tls(stream) => stream.write(&output[sent..]),
            };
            match written {
                Ok(n) => sent += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(e) => break Err(e),
            }
        };
        output.drain(..sent);
        if let Self::Tls(stream) = self
            && let Err(e) = stream.flush()
            && e.kind() != io::ErrorKind::WouldBlock
        {
            return Err(e);
        }
        result
    }
}
