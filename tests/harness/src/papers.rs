//! Certificates for tests.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use std::path::{Path, PathBuf};

/// Files in PEM form.
pub struct Papers {
    /// What clients trust.
    pub authority: PathBuf,
    /// What a server shows.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Papers {
    /// A certificate for these names, of an authority of its own: `ca.pem`, `server.pem` and
    /// `server.key` in the folder.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn issue(folder: &Path, names: &[&str]) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Of one name with its issuer OpenSSL would take the certificate for a self-signed one.
        params.distinguished_name.push(DnType::CommonName, "the clients' CA");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let private = KeyPair::generate()?;
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "server");
        params.use_authority_key_identifier_extension = true;
        let own = params.signed_by(&private, &ca)?;
        let [authority, certificate, key] =
            ["ca.pem", "server.pem", "server.key"].map(|name| folder.join(name));
        std::fs::write(&authority, ca.pem())?;
        std::fs::write(&certificate, own.pem())?;
        std::fs::write(&key, private.serialize_pem())?;
        Ok(Self { authority, certificate, key })
    }
}
