//! TLS on a port of ours: certificate, key, and who may come.
//!
//! Files are looked at every second and taken as soon as they fit together, so that rotating a
//! certificate needs no restart. Connections that are there go on with the old one.

use crate::{Clock, Shutdown};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why the files cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// One cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
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
    #[error("{certificate} and {key}: {source}")]
    Together {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// No client could be checked with it.
    #[error("{path}: {source}")]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// Why.
        source: VerifierBuilderError,
    },
}

/// The files of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate and those that signed it, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Who signs clients' certificates, PEM. Absent: clients need none.
    pub client_ca: Option<PathBuf>,
}

impl Files {
    fn read(&self) -> Result<Contents, TlsError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| TlsError::Read { path: path.clone(), source })
        };
        Ok(Contents {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
            client_ca: self.client_ca.as_ref().map(read).transpose()?,
        })
    }
}

/// What stands in the files.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Contents {
    fn server(&self, files: &Files) -> Result<ServerConfig, TlsError> {
        let chain = certificates(&self.certificate, &files.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|source| TlsError::Pem {
            path: files.key.clone(),
            what: "private key",
            source,
        })?;
        let together = |source| TlsError::Together {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            source,
        };
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(together)?;
        let builder = match (&self.client_ca, &files.client_ca) {
            (Some(text), Some(path)) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates(text, path)?);
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                let path = path.clone();
                builder.with_client_cert_verifier(
                    verifier.map_err(|source| TlsError::ClientCa { path, source })?,
                )
            }
            (None, _) | (Some(_), None) => builder.with_no_client_auth(),
        };
        builder.with_single_cert(chain, key).map_err(together)
    }
}

/// The certificates of a PEM file's text, one at least; `path` is for the error.
pub(crate) fn certificates(
    text: &[u8],
    path: &std::path::Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::Pem { path: path.into(), what: "certificate", source };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(wrong)?;
    if found.is_empty() {
        return Err(wrong(pem::Error::NoItemsFound));
    }
    Ok(found)
}

/// The certificate in use.
pub struct Tls {
    files: Files,
    current: RwLock<(Contents, Arc<ServerConfig>)>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let contents = files.read()?;
        let server = Arc::new(contents.server(&files)?);
        Ok(Self { files, current: RwLock::new((contents, server)) })
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current.1))
    }

    /// Reads the files again; whether they changed. What cannot be used is not taken.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn look(&self) -> Result<bool, TlsError> {
        let contents = self.files.read()?;
        if self.current.read().unwrap_or_else(PoisonError::into_inner).0 == contents {
            return Ok(false);
        }
        let server = Arc::new(contents.server(&self.files)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = (contents, server);
        Ok(true)
    }
}

/// Looks at the files until shutdown. One after the other is replaced: what does not fit together
/// is told when it still does not at the next look.
pub async fn keep(tls: Arc<Tls>, clock: Clock, shutdown: Shutdown) {
    let mut wrong: Option<String> = None;
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            () = shutdown.triggered() => return,
            () = clock.sleep_until(clock.now() + LOOK_EVERY) => {}
        }
        match tls.look() {
            Ok(changed) => {
                (wrong, told) = (None, false);
                if changed {
                    tracing::info!("a new certificate is in use");
                }
            }
            Err(error) => {
                let text = error.to_string();
                if wrong.as_ref() != Some(&text) {
                    (wrong, told) = (Some(text), false);
                } else if !told {
                    told = true;
                    tracing::warn!(%error, "the new certificate cannot be used: the old one is");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
