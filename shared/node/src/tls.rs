//! TLS to nodes: whose certificates are believed, and what we show.

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;
use tokio::net::TcpStream;
use vedette_model::{NodeAddr, NodeFault};

/// Why the files cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// One cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// One is not what it should be.
    #[error("{path} holds no {what} in PEM form: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why.
        source: pem::Error,
    },
    /// They do not fit together.
    #[error("{path}: {source}")]
    Unfit {
        /// The authority's file, or that of our certificate.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// Where everything stands, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The authority that signed the nodes' certificates.
    pub authority: PathBuf,
    /// Our own certificate and its key, for nodes that want one.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// What is read from the files, and what came of it.
type Made = (Vec<Vec<u8>>, Arc<ClientConfig>);

/// How to speak TLS with nodes. The files are read again at each connect, and taken as soon as they
/// fit together, so that rotating a certificate needs no restart.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    made: Mutex<Made>,
}

impl Tls {
    /// As it is configured: `nodes.ca_file`, `nodes.certificate_file`, `nodes.key_file`. Nothing
    /// without the first.
    ///
    /// # Errors
    /// [`TlsError`] names the file at fault.
    pub fn configured(
        authority: Option<PathBuf>,
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
    ) -> Result<Option<Arc<Self>>, TlsError> {
        let Some(authority) = authority else { return Ok(None) };
        let files = Files { authority, own: certificate.zip(key) };
        Self::load(files).map(|tls| Some(Arc::new(tls)))
    }

    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] names the file at fault.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let made = Mutex::new(files.make(files.read()?)?);
        Ok(Self { files, made })
    }

    fn present(&self) -> Arc<ClientConfig> {
        // It is replaced as a whole.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.files.read().and_then(|texts| {
            if texts == made.0 { Ok(None) } else { self.files.make(texts).map(Some) }
        });
        match next {
            Ok(None) => {}
            Ok(Some(next)) => *made = next,
            Err(error) => tracing::warn!(%error, "the files for TLS to nodes: going on as before"),
        }
        Arc::clone(&made.1)
    }
}

impl Files {
    fn read(&self) -> Result<Vec<Vec<u8>>, TlsError> {
        let own = self.own.iter().flat_map(|(certificate, key)| [certificate, key]);
        std::iter::once(&self.authority)
            .chain(own)
            .map(|path| {
                std::fs::read(path).map_err(|source| TlsError::Read { path: path.clone(), source })
            })
            .collect()
    }

    fn make(&self, texts: Vec<Vec<u8>>) -> Result<Made, TlsError> {
        let mut roots = RootCertStore::empty();
        let authority = texts.first().map_or(&[][..], Vec::as_slice);
        for one in certificates(&self.authority, authority)? {
            let path = self.authority.clone();
            roots.add(one).map_err(|source| TlsError::Unfit { path, source })?;
        }
        let unfit = |source| TlsError::Unfit { path: self.authority.clone(), source };
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_root_certificates(roots);
        let config =
            match (&self.own, texts.as_slice()) {
                (Some((path, key_path)), [_, chain, key]) => {
                    let chain = certificates(path, chain)?;
                    let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| {
                        TlsError::Pem { path: key_path.clone(), what: "private key", source }
                    })?;
                    let path = path.clone();
                    builder
                        .with_client_auth_cert(chain, key)
                        .map_err(|source| TlsError::Unfit { path, source })?
                }
                (Some(_) | None, _) => builder.with_no_client_auth(),
            };
        Ok((texts, Arc::new(config)))
    }
}

fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::Pem { path: path.into(), what: "certificate", source };
    let all: Vec<_> =
        CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(wrong)?;
    if all.is_empty() { Err(wrong(pem::Error::NoItemsFound)) } else { Ok(all) }
}

/// A socket to a node, plain or not. Nothing here waits.
pub(crate) struct Wire {
    stream: TcpStream,
    session: Option<Box<ClientConnection>>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Wire {
    pub(crate) fn new(
        stream: TcpStream,
        addr: &NodeAddr,
        tls: Option<&Tls>,
    ) -> Result<Self, NodeFault> {
        let session = tls.map(|tls| {
            let denied = |why: String| NodeFault::Denied(format!("TLS: {why}"));
            let name = ServerName::try_from(addr.host().to_string());
            let name = name.map_err(|error| denied(format!("{}: {error}", addr.host())))?;
            let session = ClientConnection::new(tls.present(), name);
            session.map(Box::new).map_err(|error| denied(error.to_string()))
        });
        Ok(Self { stream, session: session.transpose()? })
    }

    pub(crate) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether bytes wait for room in the kernel, of these that are to be sent or, with TLS, of
    /// its own: before the handshake is over it may take nothing, and not for want of room.
    pub(crate) fn waits_to_write(&self, unsent: &[u8]) -> bool {
        self.session.as_ref().map_or(!unsent.is_empty(), |session| session.wants_write())
    }

    /// As [`TcpStream::try_write`].
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return self.stream.try_write(bytes) };
        let taken = session.writer().write(bytes)?;
        push(session, &self.stream)?;
        if taken == 0 && !bytes.is_empty() {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            Ok(taken)
        }
    }

    /// Sends what TLS itself has to say.
    pub(crate) fn push(&mut self) -> io::Result<()> {
        self.session.as_mut().map_or(Ok(()), |session| push(session, &self.stream))
    }

    /// As [`TcpStream::try_read`].
    pub(crate) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return self.stream.try_read(buffer) };
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            if session.read_tls(&mut Ready(&self.stream))? == 0 {
                return Ok(0);
            }
            let heard = session.process_new_packets();
            // Also the alert that tells the node what we did not like.
            let pushed = push(session, &self.stream);
            heard.map_err(io::Error::other)?;
            pushed?;
        }
    }
}

/// What TLS has to say goes out as far as the kernel takes it.
fn push(session: &mut ClientConnection, stream: &TcpStream) -> io::Result<()> {
    while session.wants_write() {
        match session.write_tls(&mut Ready(stream)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A socket for who reads and writes without waiting.
struct Ready<'a>(&'a TcpStream);

impl Read for Ready<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Ready<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is wrong with the other end's TLS, if that is what it is.
pub(crate) fn complaint(error: &io::Error) -> Option<NodeFault> {
    let cause = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let hint = if matches!(cause, rustls::Error::InvalidMessage(_)) {
        "; does the node speak TLS on this port (tls-port)?"
    } else if matches!(cause, rustls::Error::InvalidCertificate(_)) {
        "; check nodes.ca_file and the node's certificate"
    } else {
        "; check nodes.certificate_file and nodes.key_file"
    };
    Some(NodeFault::Denied(format!("TLS: {cause}{hint}")))
}
