//! `vedette up`: a whole system for one group, in one process tree.
//!
//! ```text
//!  addresses ─► nodes ──┐
//!                       ├─► start ─► services: prober, 3 voters, orchestrator, notifier, gateway
//!  data ─────► records ─┘            nats: a child process, unless there is one already
//!              (these win)
//! ```

mod banner;
mod nats;
mod nodes;
mod program;
mod records;
mod services;

use crate::args::Up;
use crate::config::Config;
use anyhow::{Context, bail, ensure};
use nats::Nats;
use nodes::Found;
use records::Known;
use std::path::Path;
use std::sync::Arc;
use vedette_model::{Credentials, GroupName, NodeAddr, Quorum, Secret, Settings};
use vedette_node::Tls;
use vedette_runtime::{ConfigError, NatsConfig, Shutdown};

/// What is to be watched, once addresses and records have been compared.
#[derive(Debug)]
struct Start {
    /// The group to seed; nothing if only the records say what there is.
    seed: Vec<(GroupName, NodeAddr, Settings)>,
    /// What a person should know before it starts.
    notes: Vec<String>,
}

/// Runs the system until shutdown; `named` says that a NATS server was named on the command line.
///
/// # Errors
/// What kept it from starting or ended it, with what to do about it.
pub async fn run(
    wanted: Up,
    config: Config,
    named: bool,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let settings = settings(&wanted)?;
    let tls = config.nodes_tls()?;
    std::fs::create_dir_all(&wanted.data).with_context(|| {
        format!("the data folder {} cannot be made: correct --data", wanted.data.display())
    })?;
    let data = std::fs::canonicalize(&wanted.data)?;
    protect(&data)?;
    let known = records::read(&data).await?;
    let start = tokio::select! {
        biased;
        () = shutdown.triggered() => return Ok(()),
        start = compare(&wanted, settings, &known, tls.as_ref()) => start?,
    };
    let sentinels = services::sentinels(wanted.sentinel_port)?;
    for note in &start.notes {
        crate::out::note(note);
    }
    // A server that somebody named is used, the usual one too; else one is started.
    let mut config = config;
    let named = named || config.common.nats.servers != NatsConfig::default().servers;
    let mut nats = if named {
        ensure!(
            wanted.nats_port.is_none(),
            "--nats-port is for the nats-server that is started here, but --nats (or the \
             configuration) names one that runs already: remove one of them"
        );
        None
    } else {
        refuse_login(&config.common.nats)?;
        let nats = Nats::start(&data, wanted.nats_port, &shutdown).await?;
        config.common.nats.servers = vec![nats.url()];
        Some(nats)
    };
    let services = services::start(&config, &data, start.seed, sentinels, &shutdown);
    let banner = banner::Banner::new(&wanted, &config, &data, nats.as_ref(), sentinels);
    let banner = tokio::spawn(banner.show(config.clone(), shutdown.clone()));
    let keep = async {
        match nats.as_mut() {
            Some(nats) => nats.keep().await,
            None => std::future::pending().await,
        }
    };
    let outcome = services.run(keep, &shutdown).await;
    banner.abort();
    if let Some(nats) = nats {
        nats.stop().await;
    }
    outcome
}

/// The settings of a group that is new.
fn settings(wanted: &Up) -> anyhow::Result<Settings> {
    let refused = |key: &str, given: String, why: String| ConfigError::Invalid {
        key: key.into(),
        given,
        why,
    };
    let given = wanted.quorum.unwrap_or(1);
    let quorum = Quorum::parse(given)
        .map_err(|error| refused("--quorum", given.to_string(), error.to_string()))?;
    let mut settings = Settings::with_quorum(quorum);
    if let Some(down_after) = wanted.down_after {
        settings.down_after_ms = down_after;
        settings
            .check()
            .map_err(|error| refused("--down-after", down_after.to_string(), error.to_string()))?;
    }
    settings.credentials = credentials(wanted)?;
    Ok(settings)
}

fn credentials(wanted: &Up) -> anyhow::Result<Option<Credentials>> {
    let Some(path) = &wanted.password_file else { return Ok(None) };
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("the password file {} cannot be read: check --password-file", path.display())
    })?;
    // Editors end a file with a line end.
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let password = line.strip_suffix('\r').unwrap_or(line);
    ensure!(
        !password.is_empty(),
        "the password file {} is empty: write the nodes' password into it",
        path.display()
    );
    Ok(Some(Credentials::new(wanted.user.clone(), Secret::new(password.into()))))
}

/// The voters' records hold the nodes' passwords.
fn protect(data: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700)).with_context(|| {
        format!("the data folder {} is not ours: choose another with --data", data.display())
    })
}

fn refuse_login(nats: &NatsConfig) -> anyhow::Result<()> {
    if nats.user.is_none() && nats.token.is_none() && nats.credentials_file.is_none() {
        return Ok(());
    }
    bail!(
        "the configuration has a login for nats, but the nats-server that is started here has \
         none: name your server with --nats, or remove nats.user, nats.token and \
         nats.credentials_file"
    );
}

/// Compares what the nodes say with what the records say. The records win.
async fn compare(
    wanted: &Up,
    mut settings: Settings,
    known: &Known,
    tls: Option<&Arc<Tls>>,
) -> anyhow::Result<Start> {
    let mut notes = Vec::new();
    let others: Vec<_> = known.groups.keys().filter(|name| **name != wanted.group).collect();
    if !others.is_empty() {
        let others = others.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        notes.push(format!("the data folder has records of more groups, watched too: {others}"));
    }
    let Some(record) = known.groups.get(&wanted.group) else {
        let found = nodes::find(&wanted.nodes, settings.credentials.as_ref(), tls).await?;
        let master = found.the_master()?;
        if settings.quorum.get() > 1 {
            notes.push(format!(
                "quorum {} needs as many probers, and one is started here: start more of them, or \
                 a dead master will not be replaced",
                settings.quorum
            ));
        }
        notes.extend(found.warnings(&master));
        return Ok(Start { seed: vec![(wanted.group.clone(), master, settings)], notes });
    };
    if wanted.quorum.is_some() || wanted.down_after.is_some() || settings.credentials.is_some() {
        notes.push(format!(
            "{} is known already: its settings are in its record, and what is given here for \
             quorum, down-after and password has no effect",
            wanted.group
        ));
    }
    if settings.credentials.is_none() {
        settings.credentials.clone_from(&record.settings.credentials);
    }
    let found = if wanted.nodes.is_empty() {
        Found::default()
    } else {
        nodes::find(&wanted.nodes, settings.credentials.as_ref(), tls).await?
    };
    let members: Vec<_> = record.members.iter().map(|member| &member.addr).collect();
    if !wanted.nodes.is_empty() && !members.iter().any(|member| found.names(member)) {
        let members = members.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        bail!(
            "the data folder {} knows the group {} already, made of {members}, and none of the \
             given addresses belongs to it: give the new group another name with --group, or \
             another folder with --data",
            wanted.data.display(),
            wanted.group
        );
    }
    notes.push(format!(
        "{} is known already: its record says that {} is master (epoch {})",
        wanted.group, record.master, record.epoch
    ));
    Ok(Start { seed: Vec::new(), notes })
}
