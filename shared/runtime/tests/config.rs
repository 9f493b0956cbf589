//! Configuration: one layer over the other, and refusals that name what is wrong.

use clap::Parser;
use serde::{Deserialize, Serialize};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use vedette_model::Service;
use vedette_runtime::config::{LogFormat, ServiceConfig, exposed, load_from, show};
use vedette_runtime::{CommonConfig, CommonFlags, ConfigError, Overrides, RosterConfig};

/// As a voter has it.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Config {
    #[serde(flatten)]
    common: CommonConfig,
    roster: RosterConfig,
    store: Option<PathBuf>,
}

impl ServiceConfig for Config {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.roster.roster().map(drop)
    }
}

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    common: CommonFlags,
}

struct Layers {
    folder: TempDir,
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
    flags: Vec<&'static str>,
}

impl Layers {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, file: None, environment: vec![], flags: vec![] }
    }

    fn file(mut self, text: &str) -> Self {
        let path = self.folder.path().join("voter.toml");
        std::fs::write(&path, text).expect("the file can be written");
        self.file = Some(path);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn flags(mut self, flags: &[&'static str]) -> Self {
        self.flags.extend(flags);
        self
    }

    fn load(self) -> Result<Config, ConfigError> {
        let flags = Flags::parse_from(["test"].iter().chain(&self.flags));
        let overrides = flags.common.overrides().and(Overrides::default());
        load_from(Service::Voter, self.file.as_deref(), self.environment, overrides)
    }

    fn refusal(self) -> String {
        self.load().expect_err("it should have been refused").to_string()
    }
}

/// Fails with the text unless all words are in it.
#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults() {
    let config = Layers::new()
        .file(
            r#"
            id = "v1"
            place = "file"
            store = "/file"
            nats.prefix = "file"
            nats.servers = ["nats://file:1"]
            [log]
            level = "warn"
            [roster]
            version = 4
            "#,
        )
        .variable("VEDETTE_PLACE", "environment")
        .variable("VEDETTE_NATS__SERVERS", "nats://environment:1")
        .variable("VEDETTE_ROSTER__VERSION", "5")
        .flags(&["--id", "v2", "--nats", "nats://flag:1", "--nats", "nats://flag:2"])
        .flags(&["--log-format", "json"])
        .load()
        .unwrap();
    assert_eq!(config.common.id, "v2");
    assert_eq!(config.common.place.as_str(), "environment");
    assert_eq!(config.common.nats.servers, ["nats://flag:1", "nats://flag:2"]);
    assert_eq!(config.common.nats.prefix, "file");
    assert_eq!(config.common.log.format, LogFormat::Json);
    assert_eq!(config.common.log.level, "warn");
    assert_eq!(config.roster, RosterConfig { version: 5, ..RosterConfig::default() });
    assert_eq!(config.store.as_deref(), Some(Path::new("/file")));
}

#[test]
fn the_environment_takes_texts_that_look_like_numbers_and_lists_of_both_forms() {
    let load = |servers: &str| {
        Layers::new()
            .variable("VEDETTE_ID", "007")
            .variable("VEDETTE_ROSTER__VOTERS", r#"["007", "2"]"#)
            .variable("VEDETTE_NATS__USER", "me")
            .variable("VEDETTE_NATS__PASSWORD", "12345")
            .variable("VEDETTE_NATS__SERVERS", servers)
            .load()
            .unwrap()
    };
    let config = load("nats://a:1, nats://b:2");
    assert_eq!(config.common.id, "007");
    assert_eq!(config.common.nats.password.as_ref().unwrap().expose(), "12345");
    assert_eq!(config.common.nats.servers, ["nats://a:1", "nats://b:2"]);
    assert_eq!(config, load(r#"["nats://a:1", "nats://b:2"]"#));
}

#[test]
fn nats_is_also_named_by_the_variable_that_everybody_tries_first() {
    let layers = Layers::new().flags(&["--id", "v1"]);
    let config = layers.variable("VEDETTE_NATS_URL", "nats://a:1,nats://b:2").load().unwrap();
    assert_eq!(config.common.nats.servers, ["nats://a:1", "nats://b:2"]);
}

#[test]
fn a_variable_that_names_a_level_is_refused_with_the_keys_below() {
    let text = Layers::new().variable("VEDETTE_NATS", "nats://a:1").refusal();
    says(&text, &["VEDETTE_NATS", "nats.servers", "nats.prefix"]);
}

#[test]
fn other_programs_variables_are_let_alone() {
    let config = Layers::new()
        .flags(&["--id", "v1"])
        .variable("VEDETTE_NATS_SERVER", "/usr/bin/nats-server")
        .variable("PATH", "/bin")
        .load();
    assert!(config.is_ok());
}

#[test]
fn unknown_keys_are_refused_by_name_and_place() {
    let text = Layers::new().file("id = \"v1\"\nstoore = \"/x\"").refusal();
    says(&text, &["stoore", "voter.toml", "store"]);
    let text = Layers::new().file("id = \"v1\"\n[nats]\nserver = \"nats://a:1\"").refusal();
    says(&text, &["nats.server", "voter.toml", "nats.servers"]);
    let text = Layers::new().variable("VEDETTE_NATS__SERVER", "nats://a:1").refusal();
    says(&text, &["nats.server", "VEDETTE_NATS__SERVER"]);
}

#[test]
fn values_of_a_wrong_type_are_refused_with_key_and_place_and_never_a_secret() {
    let text = Layers::new().file("id = \"v1\"\nroster.version = \"two\"").refusal();
    says(&text, &["roster.version", "voter.toml", "two"]);
    let text = Layers::new().file("id = \"v1\"\nnats.password = 987654").refusal();
    says(&text, &["nats.password", "voter.toml"]);
    assert!(!text.contains("987654"), "{text}");
    let text = Layers::new().file("id = \"v1\"\nplace = \"a b\"").refusal();
    says(&text, &["place", "' '"]);
    says(&Layers::new().file("id = ").refusal(), &["voter.toml"]);
    let text = Layers::new().variable("VEDETTE_ROSTER__VERSION", "x").refusal();
    says(&text, &["roster.version", "VEDETTE_ROSTER__VERSION"]);
}

#[test]
fn a_missing_file_is_named() {
    let mut layers = Layers::new();
    layers.file = Some("/nowhere/voter.toml".into());
    says(&layers.refusal(), &["/nowhere/voter.toml", "No such file"]);
}

#[test]
fn clashes_name_both_values() {
    let login = "nats.user = \"me\"\nnats.password = \"pw\"\nnats.token = \"tk\"";
    let text = Layers::new().file(&format!("id = \"v1\"\n{login}")).refusal();
    says(&text, &["nats.user = \"me\"", "nats.token"]);
    assert!(!text.contains("pw") && !text.contains("tk"), "{text}");
    let text = Layers::new().file("id = \"v1\"\nnats.user = \"me\"").refusal();
    says(&text, &["nats.password", "nats.user = \"me\""]);
    let text = Layers::new().file("id = \"v1\"\nroster.voters = [\"v1\", \"v1\"]").refusal();
    says(&text, &["roster.voters", "distinct"]);
}

#[test]
fn values_that_cannot_be_are_refused_with_what_can() {
    says(&Layers::new().refusal(), &["id is not set", "--id", "VEDETTE_ID"]);
    says(&Layers::new().flags(&["--id", "a.b"]).refusal(), &["id", "a.b", "'.'"]);
    let with = |flags: &[&'static str]| Layers::new().flags(&["--id", "v1"]).flags(flags);
    says(&with(&["--nats", "nats://a:port"]).refusal(), &["nats.servers", "nats://a:port"]);
    says(&with(&["--log-level", "loud"]).refusal(), &["log.level", "loud", "debug"]);
    let text = with(&[]).variable("VEDETTE_NATS__PREFIX", "a.b").refusal();
    says(&text, &["nats.prefix", "a.b"]);
    for wrong in ["ftp://c:4317", "c:4317", "http://"] {
        let text = with(&[]).variable("VEDETTE_TELEMETRY__OTLP_ENDPOINT", wrong).refusal();
        says(&text, &["telemetry.otlp_endpoint", wrong, "http://host:port"]);
    }
    let text = with(&[])
        .variable("VEDETTE_TELEMETRY__OTLP_ENDPOINT", "http://c:4317")
        .variable("VEDETTE_TELEMETRY__OTLP_CA_FILE", "ca.pem")
        .refusal();
    says(&text, &["otlp_endpoint", "otlp_ca_file", "ca.pem", "https://"]);
    let text = with(&["--nats", "nats://me:hidden@a:port"]).refusal();
    assert!(!text.contains("hidden"), "{text}");
}

#[test]
fn what_is_printed_can_be_used_as_a_file_except_for_the_secrets() {
    let layers = || {
        Layers::new()
            .flags(&["--id", "v1", "--nats", "nats://me:hidden@a:1"])
            .variable("VEDETTE_STORE", "/a \"b\"\\c")
    };
    let with_secret = layers()
        .variable("VEDETTE_NATS__USER", "me")
        .variable("VEDETTE_NATS__PASSWORD", "secret-word");
    let text = show(&with_secret.load().unwrap()).unwrap();
    assert!(!text.contains("secret-word") && !text.contains("hidden"), "{text}");
    says(&text, &["nats.password = \"******\"", "# nats.token is not set"]);

    let mut config = layers().load().unwrap();
    let again = Layers::new().file(&show(&config).unwrap()).load().unwrap();
    config.common.nats.servers = vec!["nats://******@a:1".into()];
    assert_eq!(again, config);
}

/// Keys that hold nothing unless they are given.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Given {
    name: Option<String>,
    first: Option<u16>,
    second: Option<u16>,
    on: Option<bool>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Bare {
    #[serde(flatten)]
    common: CommonConfig,
    given: Given,
}

impl ServiceConfig for Bare {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}

#[test]
fn variables_of_keys_without_a_default_hold_what_the_keys_do_in_any_order() {
    let load = |second: &str| {
        let all = [
            ("VEDETTE_ID", "v1"),
            ("VEDETTE_GIVEN__SECOND", second),
            ("VEDETTE_GIVEN__NAME", "7"),
            ("VEDETTE_GIVEN__ON", "true"),
            ("VEDETTE_GIVEN__FIRST", "1"),
        ];
        let all = all.map(|(name, value)| (name.to_string(), value.to_string()));
        load_from::<Bare>(Service::Voter, None, all, Overrides::default())
    };
    let name = Some("7".to_string());
    let given = Given { name, first: Some(1), second: Some(2), on: Some(true) };
    assert_eq!(load("2").unwrap().given, given);
    let refusal = load("two").unwrap_err().to_string();
    assert!(refusal.contains("given.second in environment variable"), "{refusal}");
}

#[test]
fn a_file_with_a_secret_that_others_than_its_owner_may_open_is_told_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("voter.toml");
    let told = |text: &str, mode: u32| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        exposed(&file)
    };
    for (key, text) in [
        ("nats.password", "id = \"v1\"\n[nats]\nuser = \"u\"\npassword = \"hush\"\n"),
        ("nats.token", "nats.token = \"hush\"\n"),
        ("nats.servers", "nats.servers = [\"nats://h:4222\", \"nats://u:hush@h:4222\"]\n"),
        ("sink.webhook.secrets", "[sink.webhook]\nsecrets = [\"whsec_hush\"]\n"),
        ("clients.users.app.password", "[clients.users.app]\npassword = \"hush\"\n"),
    ] {
        for mode in [0o640, 0o604, 0o620, 0o444] {
            let words = told(text, mode).unwrap_or_default();
            assert!(words.contains(&format!("holds {key} ")), "{mode:o}: {words}");
            assert!(words.contains("chmod 600") && !words.contains("hush"), "{words}");
        }
        assert_eq!(told(text, 0o600), None, "{key}");
        assert_eq!(told(text, 0o400), None, "{key}");
    }
    for text in ["id = \"v1\"\n", "nats.servers = [\"nats://h:4222\"]\n", "nats.password = \"\"\n"]
    {
        assert_eq!(told(text, 0o644), None, "{text}");
    }
    assert_eq!(told("no TOML", 0o644), None, "loading it says what is wrong");
    assert_eq!(exposed(&folder.path().join("nowhere")), None);
}

#[test]
fn a_certificate_and_its_key_go_together() {
    for table in ["nats", "http"] {
        for (given, missing) in [("certificate_file", "key_file"), ("key_file", "certificate_file")]
        {
            let text = format!("id = \"v1\"\n{table}.{given} = \"/some.pem\"\n");
            let words = Layers::new().file(&text).refusal();
            let expected = format!("{table}.{missing} is not set: it goes with {table}.{given}");
            assert!(words.starts_with(&expected), "{words}");
        }
        let both = format!(
            "id = \"v1\"\n[{table}]\ncertificate_file = \"/c.pem\"\nkey_file = \"/k.pem\"\n"
        );
        Layers::new().file(&both).load().unwrap();
    }
}
