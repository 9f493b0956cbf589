//! `vedette import`: the configuration of services that mean the same as a `sentinel.conf`.

use super::conf::{Conf, Note};
use std::fmt::Write as _;
use std::net::SocketAddr;
use vedette_model::{GroupName, NodeAddr, Secret, Settings};
use vedette_runtime::NodesConfig;

/// A file of the translation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name within the folder.
    pub name: String,
    /// What it holds.
    pub text: String,
    /// Whether it holds a password and nothing else: never printed, and readable by its owner only.
    pub secret: bool,
}

/// All files that mean the same as the configuration.
pub fn files(conf: &Conf) -> Vec<File> {
    let mut files = vec![plain("groups.toml", groups(conf))];
    for service in ["prober", "voter", "orchestrator", "gateway", "notifier"] {
        if let Some(text) = service_file(service, conf) {
            files.push(plain(&format!("{service}.toml"), text));
        }
    }
    for (group, _, settings) in conf.seeds() {
        if let Some(credentials) = settings.credentials {
            files.push(secret(password_file(&group), &credentials.password));
        }
    }
    for (name, user) in &conf.server.users.known {
        if let Some(password) = &user.password {
            files.push(secret(user_file(name), password));
        }
    }
    files
}

fn plain(name: &str, text: String) -> File {
    File { name: name.into(), text, secret: false }
}

fn secret(name: String, secret: &Secret) -> File {
    File { name, text: secret.expose().to_owned(), secret: true }
}

fn groups(conf: &Conf) -> String {
    let mut text = String::from(
        "# The groups that the orchestrators seed. Once the voters have a record of a group, the\n\
         # record counts and nothing in this file changes it any more.\n",
    );
    if !conf.notes.is_empty() {
        text += "#\n# Done otherwise than in the file that this was made from:\n";
    }
    for Note { at, text: how } in &conf.notes {
        text += &format!("# line {}: {}\n#   {how}\n", at.line, at.text);
    }
    for (group, master, settings) in conf.seeds() {
        text += &declared(&group, &master, settings);
    }
    text
}

fn declared(group: &GroupName, master: &NodeAddr, settings: Settings) -> String {
    let Settings {
        quorum,
        down_after_ms,
        crash_grace_ms,
        busy_budget_ms,
        loading_budget_ms,
        failover_timeout_ms,
        parallel_syncs,
        trust_recorded_address,
        flap_limit,
        tombstone_after_ms,
        prune_after_ms,
        watchers_per_place,
        credentials,
        ..
    } = settings;
    let (name, master) = (quoted(group.as_str()), quoted(&master.to_string()));
    let loading = loading_budget_ms.unwrap_or(0);
    let mut text = format!(
        "\n[[group]]\n\
         name = {name}\n\
         # As the nodes name it (master_host in their INFO): mostly an IP address.\n\
         master = {master}\n\
         quorum = {quorum}\n\
         down_after_ms = {down_after_ms}\n\
         # 0 as in Sentinel: only silence counts. 100 notices a crash at once.\n\
         crash_grace_ms = {crash_grace_ms}\n\
         # As in Sentinel, to which -BUSY is no answer.\n\
         busy_budget_ms = {busy_budget_ms}\n\
         # master-reboot-down-after-period; 0: a node may load for ever.\n\
         loading_budget_ms = {loading}\n\
         failover_timeout_ms = {failover_timeout_ms}\n\
         parallel_syncs = {parallel_syncs}\n\
         # Sentinel makes a node at a member's address a replica, whatever it holds.\n\
         trust_recorded_address = {trust_recorded_address}\n\
         # Sentinel fails over as often as it sees reason to.\n\
         flap_limit = {flap_limit}\n\
         # Sentinel forgets no replica: a day until one is not shown any more is the most.\n\
         tombstone_after_ms = {tombstone_after_ms}\n\
         prune_after_ms = {prune_after_ms}\n\
         # Every Sentinel watches every master.\n\
         watchers_per_place = {watchers_per_place}\n"
    );
    if let Some(credentials) = credentials {
        if let Some(user) = &credentials.user {
            text += &format!("user = {}\n", quoted(user));
        }
        text += &format!("password_file = {}\n", quoted(&password_file(group)));
    }
    text
}

/// A name that every file system takes, and one for each group.
fn password_file(group: &GroupName) -> String {
    escaped(group.as_str()) + ".pass"
}

fn user_file(user: &str) -> String {
    format!("user-{}.pass", escaped(user))
}

fn escaped(text: &str) -> String {
    let mut name = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => name.push(byte.into()),
            other => {
                // Writing to a string cannot fail.
                let _ = write!(name, "={other:02X}");
            }
        }
    }
    name
}

fn service_file(service: &str, conf: &Conf) -> Option<String> {
    let mut text = format!(
        "# vedette-{service}\n\n\
         # No other {service}'s: on the other machines another one.\n\
         id = {}\n",
        quoted(conf.own.id.as_deref().unwrap_or("s1"))
    );
    match service {
        "voter" => {
            let store = conf.server.dir.join("voter.redb");
            text += "# On a disk that survives a restart.\n";
            text += &format!("store = {}\n", quoted(&store.display().to_string()));
        }
        "orchestrator" => text += "groups_file = \"groups.toml\"\n",
        _ => {}
    }
    if matches!(service, "prober" | "orchestrator") {
        text += &nodes(conf);
    }
    if matches!(service, "voter" | "orchestrator") {
        text += &roster(conf);
    }
    if service == "gateway" {
        text += &clients(conf);
    }
    if service == "notifier" {
        text += &scripts(conf)?;
    }
    text += &format!("\n[log]\nlevel = {}\n", quoted(conf.server.loglevel));
    text += "\n[nats]\n";
    if conf.own.nats.is_empty() {
        text += "# All servers of the cluster.\nservers = [\"nats://127.0.0.1:4222\"]\n";
    } else {
        text += &format!("servers = {}\n", list(&conf.own.nats));
    }
    if let Some(prefix) = &conf.own.nats_prefix {
        text += &format!("prefix = {}\n", quoted(prefix));
    }
    Some(text)
}

fn roster(conf: &Conf) -> String {
    let known: Vec<String> = conf.known_ids().into_iter().collect();
    let (why, voters) = if !conf.own.voters.is_empty() {
        ("The same list on every voter and orchestrator.", conf.own.voters.clone())
    } else if known.len() > 1 {
        ("The Sentinels that the file knows: the same list on every voter and orchestrator.", known)
    } else {
        (
            "The ids of all voters, the same list on every voter and orchestrator. The file does \
             not say how many\n# there are.",
            ["s1", "s2", "s3"].map(String::from).to_vec(),
        )
    };
    format!("\n[roster]\n# {why}\nvoters = {}\n", list(&voters))
}

fn clients(conf: &Conf) -> String {
    let (server, own) = (&conf.server, &conf.own);
    let mut text = String::from("\n[clients]\n");
    match conf.listen() {
        Ok((listen, note)) => {
            for line in note.iter() {
                text += &format!("# {line}\n");
            }
            text += &format!("listen = \"{listen}\"\n");
        }
        Err(why) => text += &format!("# bind: {why}\n"),
    }
    if let Some(host) = &own.announce_ip {
        text += &format!("announce_host = {}\n", quoted(host));
    }
    if let Some(port) = own.announce_port {
        text += &format!("announce_port = {port}\n");
    }
    text += &format!("max_clients = {}\n", server.max_clients);
    text += &format!("idle_seconds = {}\n", server.idle_seconds);
    text += "unreadable_replicas = \"as_sentinel\"\n";
    if server.port == 0 {
        text = text.replace("listen = ", "# listen = ");
    }
    if server.password.is_some() {
        text += "# requirepass: in the environment, as VEDETTE_CLIENTS__PASSWORD, or here.\n\
                 # password = \"…\"\n";
    }
    text + &tls(conf) + &users(conf)
}

fn nodes(conf: &Conf) -> String {
    let NodesConfig { ca_file, certificate_file, key_file } = conf.server.tls.to_nodes();
    let files =
        [("ca_file", ca_file), ("certificate_file", certificate_file), ("key_file", key_file)];
    let lines = files.into_iter().filter_map(|(key, file)| Some((key, file?)));
    let lines: String = lines
        .map(|(key, file)| format!("{key} = {}\n", quoted(&file.display().to_string())))
        .collect();
    if lines.is_empty() { lines } else { format!("\n[nodes]\n{lines}") }
}

fn tls(conf: &Conf) -> String {
    let tls = &conf.server.tls;
    let (Some(port), Ok((listen, _))) = (tls.port, conf.listen()) else { return String::new() };
    let at = SocketAddr::new(listen.ip(), port);
    let mut text = format!("\n[clients.tls]\nlisten = \"{at}\"\n");
    if conf.server.port == 0 {
        text += "only = true\n";
    }
    let files = [
        ("certificate", tls.certificate.clone()),
        ("key", tls.key.clone()),
        ("client_ca", tls.client_ca()),
    ];
    for (key, file) in files {
        if let Some(file) = file {
            text += &format!("{key} = {}\n", quoted(&file.display().to_string()));
        }
    }
    text
}

fn users(conf: &Conf) -> String {
    let mut text = String::new();
    for (name, user) in &conf.server.users.known {
        let rights = if user.admin { "admin" } else { "read" };
        text += &format!("\n[clients.users.{}]\nrights = \"{rights}\"\n", quoted(name));
        if user.password.is_some() {
            text += &format!("password_file = {}\n", quoted(&user_file(name)));
        }
    }
    text
}

fn scripts(conf: &Conf) -> Option<String> {
    let mut wanted: Vec<_> = conf
        .groups
        .iter()
        .map(|group| (&group.notification_script, &group.client_reconfig_script))
        .collect();
    wanted.dedup();
    if wanted.iter().all(|(one, other)| one.is_none() && other.is_none()) {
        return None;
    }
    let mut text = String::from("\n[sink.executable]\n");
    if wanted.len() > 1 {
        text += "# The masters have different scripts; a notifier has one for all groups. These \
                 are one master's:\n# let the script look at the group, its first argument or the \
                 second word of the second.\n";
    }
    text += "# Run once, by the one notifier, not once by each Sentinel; the role is always \
             leader.\n";
    let first = |script: Option<&std::path::PathBuf>, key: &str| {
        script.map_or_else(String::new, |path| {
            format!("{key} = {}\n", quoted(&path.display().to_string()))
        })
    };
    text += &first(wanted.iter().find_map(|(one, _)| one.as_ref()), "notification_script");
    text += &first(wanted.iter().find_map(|(_, one)| one.as_ref()), "client_reconfig_script");
    Some(text)
}

fn list(values: &[String]) -> String {
    let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
    format!("[{}]", values.join(", "))
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04X}", u32::from(control));
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}
