//! `--print-config`.

use super::ConfigError;
use figment::value::{Empty, Num, Value};
use serde::Serialize;
use std::fmt::Write as _;

/// The configuration as TOML that could be used as a file, secrets as `******`, keys that are not
/// set as comments.
///
/// # Errors
/// [`ConfigError::Value`] if the configuration cannot be serialised.
pub fn show<C: Serialize>(config: &C) -> Result<String, ConfigError> {
    let value = Value::serialize(config).map_err(|error| ConfigError::Value(error.to_string()))?;
    let mut out = String::new();
    lines("", &value, &mut out);
    Ok(out)
}

fn lines(key: &str, value: &Value, out: &mut String) {
    if let Some(dict) = value.as_dict() {
        for (name, below) in dict {
            let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            lines(&key, below, out);
        }
        return;
    }
    let line = match value {
        Value::Empty(_, Empty::None | Empty::Unit) => format!("# {key} is not set"),
        Value::String(..)
        | Value::Char(..)
        | Value::Bool(..)
        | Value::Num(..)
        | Value::Dict(..)
        | Value::Array(..)
            if is_secret(key) && !value.as_array().is_some_and(<[Value]>::is_empty) =>
        {
            format!("{key} = \"******\"")
        }
        Value::String(..)
        | Value::Char(..)
        | Value::Bool(..)
        | Value::Num(..)
        | Value::Dict(..)
        | Value::Array(..) => format!("{key} = {}", toml(value)),
    };
    out.push_str(&line);
    out.push('\n');
}

fn toml(value: &Value) -> String {
    match value {
        Value::String(_, text) => quoted(&mask_url(text)),
        Value::Char(_, char) => quoted(&char.to_string()),
        Value::Bool(_, truth) => truth.to_string(),
        Value::Num(_, num) => number(*num),
        Value::Empty(..) => "\"\"".into(),
        Value::Dict(_, dict) => {
            let pairs = dict.iter().map(|(name, below)| {
                let below = if is_secret(name) { quoted("******") } else { toml(below) };
                format!("{name} = {below}")
            });
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Array(_, items) => {
            format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
    }
}

fn number(num: Num) -> String {
    if let Some(n) = num.to_u128() {
        return n.to_string();
    }
    if let Some(n) = num.to_i128() {
        return n.to_string();
    }
    num.to_f64().map_or_else(String::new, |n| n.to_string())
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control.is_control() => {
                write!(out, "\\u{:04X}", u32::from(control))
                    .expect("writing to a string cannot fail");
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}

/// Whether a key holds a secret.
pub(super) fn is_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key);
    matches!(name, "password" | "token" | "secret" | "secrets" | "secret_url" | "routing_key")
}

/// A URL without the user and password in it.
pub(super) fn mask_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.into() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://******@{}", &rest[at + 1..]),
        None => text.into(),
    }
}
