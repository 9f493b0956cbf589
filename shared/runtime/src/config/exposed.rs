//! Configuration files with a secret in them that others may read.

use super::show::{is_secret, mask_url};
use crate::private;
use figment::Provider as _;
use figment::providers::{Format as _, Toml};
use figment::value::Value;
use std::path::Path;

/// What to tell a person if a configuration file holds a secret and others than its owner may open
/// it. No refusal: some ways to run containers show a file to everybody inside. Nothing of a file
/// that cannot be read or understood: loading it says so.
pub fn exposed(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let layers = Toml::string(&text).data().ok()?;
    let key = layers.values().flatten().find_map(|(name, value)| secret_in(name, value))?;
    private::exposed(file, &key)
}

/// The first key, from this one on, that holds a secret; also a URL may, before its host.
fn secret_in(key: &str, value: &Value) -> Option<String> {
    if let Some(dict) = value.as_dict() {
        return dict.iter().find_map(|(name, below)| secret_in(&format!("{key}.{name}"), below));
    }
    if let Some(items) = value.as_array() {
        return items.iter().find_map(|item| secret_in(key, item));
    }
    let text = value.as_str()?;
    let holds = (is_secret(key) && !text.is_empty()) || mask_url(text) != text;
    holds.then(|| key.into())
}
