//! One layer over the other.

use super::show::is_secret;
use super::{CommonConfig, CommonFlags, ConfigError, ServiceConfig};
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Profile, Provider};
use serde::Serialize;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use vedette_model::Service;

/// The key that `VEDETTE_NATS_URL` sets, besides the variable that is made of its name.
const NATS_URL: &str = "nats.servers";

/// What flags set: keys, levels joined by dots, with their values.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    set: Vec<(&'static str, Value)>,
    refused: Option<String>,
}

impl Overrides {
    /// Sets a key if the flag was given.
    #[must_use]
    pub fn set<T: Serialize>(mut self, key: &'static str, value: Option<T>) -> Self {
        if let Some(value) = value {
            match Value::serialize(value) {
                Ok(value) => self.set.push((key, value)),
                Err(error) => self.refused = Some(format!("{key}: {error}")),
            }
        }
        self
    }

    /// These and those; where both set a key, those.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.set.extend(other.set);
        self.refused = self.refused.or(other.refused);
        self
    }
}

/// Loads and checks a service's configuration; `own` is what the service's own flags set.
///
/// # Errors
/// A [`ConfigError`] that names the key and says what to do.
pub fn load<C: ServiceConfig>(
    service: Service,
    flags: &CommonFlags,
    own: Overrides,
) -> Result<C, ConfigError> {
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    });
    let overrides = flags.overrides().and(own);
    load_from(service, flags.config.as_deref(), environment, overrides)
}

/// [`load`] with everything given: also what a test or another program uses as environment.
///
/// # Errors
/// A [`ConfigError`] that names the key and says what to do.
pub fn load_from<C: ServiceConfig>(
    service: Service,
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: Overrides,
) -> Result<C, ConfigError> {
    let defaults = Value::serialize(C::default()).map_err(|error| described(&error))?;
    let mut figment = Figment::from(Serialized::defaults(C::default()));
    if let Some(path) = file {
        figment = figment.merge(file_layer(path, &defaults)?);
    }
    let mut unsure = Vec::new();
    for (name, text) in environment {
        if let Some((key, value)) = environment_layer(&name, &text, &defaults)? {
            let name = format!("environment variable {name}");
            figment = figment.merge(named(&key, &value, name.clone()));
            if matches!(defaults.find_ref(&key), Some(Value::Empty(..))) {
                unsure.push((key, parsed(&text), name));
            }
        }
    }
    // What a key without a default holds is not known before: a text, and if that is refused what
    // the text reads as.
    while let Err(error) = figment.extract::<C>() {
        let refused = error.path.join(".");
        let Some(at) = unsure.iter().position(|(key, ..)| *key == refused) else { break };
        let (key, value, name) = unsure.swap_remove(at);
        figment = figment.merge(named(&key, &value, name));
    }
    if let Some(refused) = overrides.refused {
        return Err(ConfigError::Value(refused));
    }
    for (key, value) in overrides.set {
        figment = figment.merge(named(key, &value, "the command line".into()));
    }
    // Alone first: where it is flattened into another struct, errors lose their key.
    figment.extract::<CommonConfig>().map_err(|error| described(&error))?;
    let config: C = figment.extract().map_err(|error| described(&error))?;
    config.common().check(service)?;
    config.check()?;
    Ok(config)
}

fn file_layer(path: &Path, defaults: &Value) -> Result<impl Provider + use<>, ConfigError> {
    // Read once beforehand: an unreadable file is told apart from a malformed one.
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::File { path: path.into(), source })?;
    let origin = path.display().to_string();
    let layer = Toml::string(&text);
    let data = layer.data().map_err(|error| ConfigError::Value(format!("{origin}: {error}")))?;
    for dict in data.values() {
        check_known(dict, defaults, "", &origin)?;
    }
    Ok(Named { layer, name: origin })
}

/// Refuses the first key that the defaults do not have. A level that is empty there takes any key.
fn check_known(given: &Dict, known: &Value, prefix: &str, origin: &str) -> Result<(), ConfigError> {
    let Some(known) = known.as_dict().filter(|dict| !dict.is_empty()) else { return Ok(()) };
    for (name, value) in given {
        let key = format!("{prefix}{name}");
        let Some(below) = known.get(name) else {
            return Err(ConfigError::Unknown {
                key,
                origin: origin.into(),
                known: listed(known, prefix),
            });
        };
        if let Some(dict) = value.as_dict() {
            check_known(dict, below, &format!("{key}."), origin)?;
        }
    }
    Ok(())
}

fn listed(known: &Dict, prefix: &str) -> String {
    known.keys().map(|name| format!("{prefix}{name}")).collect::<Vec<_>>().join(", ")
}

/// A variable's key and value; nothing for a variable that is not ours. A name with levels can
/// only be meant for us, so an unknown one is refused; one without may be anybody's.
fn environment_layer(
    name: &str,
    text: &str,
    defaults: &Value,
) -> Result<Option<(String, Value)>, ConfigError> {
    let Some(rest) = name.strip_prefix("VEDETTE_") else { return Ok(None) };
    let key = match rest {
        "NATS_URL" => NATS_URL.into(),
        _ => rest.to_ascii_lowercase().replace("__", "."),
    };
    let Some(default) = defaults.find_ref(&key) else {
        if !key.contains('.') {
            return Ok(None);
        }
        let known = "the keys that --print-config prints".into();
        return Err(ConfigError::Unknown { key, origin: format!("variable {name}"), known });
    };
    let value = typed(text, default);
    if let (Some(level), None) = (default.as_dict().filter(|d| !d.is_empty()), value.as_dict()) {
        let known = listed(level, &format!("{key}."));
        let origin = format!("variable {name}, as a single value");
        return Err(ConfigError::Unknown { key, origin, known });
    }
    Ok(Some((key, value)))
}

/// A variable's text as what its key holds: passwords and ids may look like numbers and are none.
fn typed(text: &str, like: &Value) -> Value {
    match like {
        Value::String(..) | Value::Char(..) | Value::Empty(..) => Value::from(text),
        Value::Bool(..) | Value::Num(..) | Value::Dict(..) => parsed(text),
        Value::Array(..) if text.trim_start().starts_with('[') => parsed(text),
        Value::Array(..) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::from(items.map(Value::from).collect::<Vec<_>>())
        }
    }
}

fn parsed(text: &str) -> Value {
    text.parse().unwrap_or_else(|_| Value::from(text))
}

/// One key of a layer that says where it comes from.
fn named<'a>(key: &str, value: &'a Value, name: String) -> Named<Serialized<&'a Value>> {
    Named { layer: Serialized::default(key, value), name }
}

/// A layer that says where it comes from.
struct Named<P> {
    layer: P,
    name: String,
}

impl<P: Provider> Provider for Named<P> {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<figment::value::Map<Profile, Dict>, figment::Error> {
        self.layer.data()
    }
}

/// The error in our words, without the value where that is a secret.
fn described(error: &figment::Error) -> ConfigError {
    let mut text = String::new();
    for error in error.clone() {
        if !text.is_empty() {
            text.push_str("; ");
        }
        let key = error.path.join(".");
        let origin = error.metadata.as_ref().map_or("the configuration", |m| m.name.as_ref());
        let what = if is_secret(&key) { "not a text".into() } else { error.kind.to_string() };
        write!(text, "{key} in {origin}: {what}").expect("writing to a string cannot fail");
    }
    ConfigError::Value(text)
}
