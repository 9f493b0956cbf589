//! `tls-…` lines: TLS for Sentinel clients, and towards nodes.

use super::conf::Taken;
use super::server::{WRONG, port, yes};
use std::path::PathBuf;
use vedette_runtime::NodesConfig;

/// What is said of TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Its port; absent: no TLS.
    pub port: Option<u16>,
    /// The certificate.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Who signs clients' certificates.
    pub ca: Option<PathBuf>,
    /// Whether clients need no certificate.
    pub anybody: bool,
    /// Whether nodes are spoken to over TLS.
    pub nodes: bool,
    /// What is shown to nodes, if it is not the same as to clients.
    pub client_certificate: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
}

impl Tls {
    /// Takes a line.
    ///
    /// # Errors
    /// Why it cannot be followed.
    pub fn take(&mut self, name: &str, value: &str) -> Result<Taken, String> {
        let path = || Some(PathBuf::from(value)).filter(|path| !path.as_os_str().is_empty());
        match name {
            "tls-port" => self.port = if value == "0" { None } else { Some(port(value)?) },
            "tls-cert-file" => self.certificate = path(),
            "tls-key-file" => self.key = path(),
            "tls-ca-cert-file" => self.ca = path(),
            "tls-auth-clients" if value.eq_ignore_ascii_case("optional") => {
                return Err("certificates are asked for, or not: yes or no".into());
            }
            "tls-auth-clients" => self.anybody = !yes(value)?,
            "tls-replication" => self.nodes = yes(value)?,
            "tls-client-cert-file" => self.client_certificate = path(),
            "tls-client-key-file" => self.client_key = path(),
            "tls-cluster"
            | "tls-session-caching"
            | "tls-session-cache-size"
            | "tls-session-cache-timeout" => return Ok(Taken::MeansNothing),
            "tls-protocols"
            | "tls-ciphers"
            | "tls-ciphersuites"
            | "tls-prefer-server-ciphers"
            | "tls-dh-params-file" => {
                return Ok(Taken::Note("TLS 1.2 and 1.3 with the library's ciphers".into()));
            }
            "tls-ca-cert-dir" => {
                return Err("name one file with all certificates in tls-ca-cert-file".into());
            }
            "tls-key-file-pass" | "tls-client-key-file-pass" => {
                return Err("the key must lie in the file without one".into());
            }
            _ => return Err(WRONG.into()),
        }
        Ok(Taken::Done)
    }

    /// What the lines together ask for.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self) -> Result<(), String> {
        if self.nodes && self.ca.is_none() {
            return Err("tls-replication needs tls-ca-cert-file, to know the nodes by".into());
        }
        if self.port.is_none() {
            return Ok(());
        }
        if self.certificate.is_none() || self.key.is_none() {
            return Err("tls-port needs tls-cert-file and tls-key-file".into());
        }
        if !self.anybody && self.ca.is_none() {
            return Err(
                "clients need a certificate, and nobody signs them: set tls-ca-cert-file, \
                        or tls-auth-clients no"
                    .into(),
            );
        }
        Ok(())
    }

    /// How nodes are spoken to.
    pub fn to_nodes(&self) -> NodesConfig {
        if !self.nodes {
            return NodesConfig::default();
        }
        let own = self.client_certificate.clone().zip(self.client_key.clone());
        let (certificate_file, key_file) =
            own.or_else(|| self.certificate.clone().zip(self.key.clone())).unzip();
        NodesConfig { ca_file: self.ca.clone(), certificate_file, key_file }
    }

    /// Who signs the certificates that clients need.
    pub fn client_ca(&self) -> Option<PathBuf> {
        self.ca.clone().filter(|_| !self.anybody)
    }
}
