//! Signatures of webhooks, as <https://www.standardwebhooks.com> has them: receivers need no library
//! of ours.
//!
//! Signed is `<id>.<timestamp>.<body>` with HMAC-SHA256.

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use vedette_model::Secret;
use vedette_runtime::Clock;

/// How a secret begins.
const PREFIX: &str = "whsec_";
/// Bytes of a secret, as the standard says.
const LENGTH: std::ops::RangeInclusive<usize> = 24..=64;

/// Signs with one or more secrets.
pub struct Signer {
    keys: Vec<Vec<u8>>,
    clock: Clock,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.keys.len())
    }
}

impl Signer {
    /// A signer with these secrets, each `whsec_` and 24 to 64 bytes in base64; nothing without
    /// any.
    ///
    /// # Errors
    /// What is wrong with one; never the secret itself.
    pub fn parse(secrets: &[Secret]) -> anyhow::Result<Option<Self>> {
        let keys: anyhow::Result<Vec<_>> = secrets.iter().map(key).collect();
        let keys = keys?;
        Ok((!keys.is_empty()).then(|| Self { keys, clock: Clock::start() }))
    }

    /// The headers that a receiver checks. The time is that of this try.
    pub fn headers(&self, id: &str, body: &[u8]) -> [(&'static str, String); 3] {
        let seconds = (self.clock.unix_ms() / 1_000).to_string();
        let signatures: Vec<_> =
            self.keys.iter().map(|key| signature(key, id, &seconds, body)).collect();
        [
            ("webhook-id", id.into()),
            ("webhook-timestamp", seconds),
            ("webhook-signature", signatures.join(" ")),
        ]
    }
}

fn signature(key: &[u8], id: &str, seconds: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length of key will do");
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn key(secret: &Secret) -> anyhow::Result<Vec<u8>> {
    let how = "a secret is whsec_ and 24 to 64 bytes in base64: \
               echo whsec_$(head -c 32 /dev/urandom | base64)";
    let text = secret.expose().strip_prefix(PREFIX).context(how)?;
    let key = STANDARD.decode(text).ok().context(how)?;
    ensure!(LENGTH.contains(&key.len()), how);
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_standard() {
        // The example of the standard's own libraries.
        let key = key(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into())).unwrap();
        let made = signature(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(made, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_that_is_none_is_refused_and_not_shown() {
        for text in ["s3cret", "whsec_!!", "whsec_c2hvcnQ="] {
            let error = Signer::parse(&[Secret::new(text.into())]).unwrap_err().to_string();
            assert!(error.contains("whsec_ and 24") && !error.contains("s3cret"), "{error}");
        }
        assert!(Signer::parse(&[]).unwrap().is_none());
    }
}
