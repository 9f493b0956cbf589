use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::Path;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, signed by the CA, as PEM.
fn signed(ca: &Ca) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["gateway.test".to_owned()]).unwrap();
    (params.signed_by(&key, ca).unwrap().pem(), key.serialize_pem())
}

struct Script {
    folder: tempfile::TempDir,
    files: Files,
}

impl Script {
    fn new(client_ca: Option<&Ca>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let files = Files {
            certificate: path("cert.pem"),
            key: path("key.pem"),
            client_ca: client_ca.map(|_| path("ca.pem")),
        };
        if let Some(ca) = client_ca {
            std::fs::write(path("ca.pem"), ca.pem()).unwrap();
        }
        Self { folder, files }
    }

    fn write(&self, (certificate, key): &(String, String)) {
        std::fs::write(&self.files.certificate, certificate).unwrap();
        std::fs::write(&self.files.key, key).unwrap();
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Whether a client that trusts this CA, with this certificate of its own, gets through.
async fn connects(tls: &Tls, trusted: &Ca, own: Option<&(String, String)>) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    let (client, server) = duplex(65_536);
    let name = ServerName::try_from("gateway.test").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let served = async {
        let mut stream = tls.acceptor().accept(server).await.ok()?;
        stream.write_all(b"+").await.ok()?;
        stream.flush().await.ok()
    };
    let asked = async {
        let mut stream = connector.connect(name, client).await.ok()?;
        // In TLS 1.3 the client hears of a refusal with its first read.
        stream.read_u8().await.ok()
    };
    let (_, heard) = tokio::join!(served, asked);
    heard == Some(b'+')
}

#[tokio::test]
async fn a_client_that_trusts_the_certificate_gets_through_and_others_do_not() {
    let (ours, other) = (ca(), ca());
    let script = Script::new(None);
    script.write(&signed(&ours));
    let tls = Tls::load(script.files.clone()).unwrap();
    assert!(connects(&tls, &ours, None).await);
    assert!(!connects(&tls, &other, None).await);
}

#[tokio::test]
async fn with_a_client_ca_only_clients_with_its_certificates_get_in() {
    let (ours, clients, other) = (ca(), ca(), ca());
    let script = Script::new(Some(&clients));
    script.write(&signed(&ours));
    let tls = Tls::load(script.files.clone()).unwrap();
    assert!(connects(&tls, &ours, Some(&signed(&clients))).await);
    assert!(!connects(&tls, &ours, Some(&signed(&other))).await);
    assert!(!connects(&tls, &ours, None).await);
    // The clients' CA changes too.
    std::fs::write(script.path().join("ca.pem"), other.pem()).unwrap();
    assert!(tls.look().unwrap());
    assert!(connects(&tls, &ours, Some(&signed(&other))).await);
    assert!(!connects(&tls, &ours, Some(&signed(&clients))).await);
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_broken_one_is_not() {
    let (old, new) = (ca(), ca());
    let script = Script::new(None);
    script.write(&signed(&old));
    let tls = Tls::load(script.files.clone()).unwrap();
    assert!(!tls.look().unwrap());
    let next = signed(&new);
    // Half of it: the key is still the old one's.
    std::fs::write(&script.files.certificate, &next.0).unwrap();
    assert!(matches!(tls.look(), Err(TlsError::Together { .. })));
    assert!(connects(&tls, &old, None).await);
    std::fs::write(&script.files.certificate, "not PEM").unwrap();
    assert!(matches!(tls.look(), Err(TlsError::Pem { .. })));
    script.write(&next);
    assert!(tls.look().unwrap());
    assert!(connects(&tls, &new, None).await);
    assert!(!connects(&tls, &old, None).await);
    std::fs::remove_file(&script.files.key).unwrap();
    assert!(matches!(tls.look(), Err(TlsError::Read { .. })));
    assert!(connects(&tls, &new, None).await);
}
