//! One process in a Sentinel's place: prober, voter, orchestrator and gateway as tasks, and a notifier
//! if there are scripts.

use super::group::Group;
use super::launch::Ready;
use super::seat::Seat;
use super::supervisor::{PidFile, tell_ready};
use crate::together::Together;
use anyhow::Context as _;
use std::net::IpAddr;
use std::path::PathBuf;
use vedette_model::{GroupName, NodeAddr, Settings};
use vedette_prober::config::HelloConfig;
use vedette_runtime::{CommonConfig, RosterConfig, Shutdown, life};

/// Runs until shutdown, or until a part fails.
///
/// # Errors
/// What kept it from starting or ended it, with what to do about it.
pub async fn run(ready: Ready, shutdown: Shutdown) -> anyhow::Result<()> {
    let Ready { conf, data, common, clients, exposed } = ready;
    if let Some(exposed) = exposed {
        tracing::warn!("{exposed}");
    }
    for note in &conf.notes {
        tracing::info!(at = %note.at, directive = note.at.text, "{}", note.text);
    }
    // The words that tools look for.
    tracing::info!(folder = %data.folder.display(), "Sentinel ID is {}", data.id);
    let address = clients.announced(clients.listen)?;
    let bus = life::visit(&common.nats, &shutdown).await?;
    let Some((seat, roster)) = Seat::find(bus, &conf, &data, address.clone(), &shutdown).await?
    else {
        return Ok(());
    };
    let mut seeds = Vec::new();
    for group in &conf.groups {
        seeds.push(seed(group, conf.own.announce_hostnames).await?);
    }
    let voters = roster.voters().iter().map(ToString::to_string).collect();
    let roster = RosterConfig { version: roster.version.0, voters };
    let mut parts = Together::default();
    let voter = vedette_voter::Config {
        common: common.clone(),
        roster: roster.clone(),
        store: Some(data.store()),
    };
    parts.spawn("voter", vedette_voter::run(voter, shutdown.clone()));
    let hello = HelloConfig { id: Some(data.id.to_string()), address: Some(address.clone()) };
    let prober = vedette_prober::Config { common: common.clone(), hello };
    parts.spawn("prober", vedette_prober::run(prober, shutdown.clone()));
    let orchestrator = vedette_orchestrator::Config {
        common: common.clone(),
        roster,
        ..vedette_orchestrator::Config::default()
    };
    parts.spawn("orchestrator", vedette_orchestrator::serve(orchestrator, seeds, shutdown.clone()));
    let gateway = vedette_gateway::Config { common: common.clone(), clients };
    parts.spawn("gateway", vedette_gateway::run(gateway, shutdown.clone()));
    for notifier in notifiers(&conf.groups, &common) {
        let name = format!("notifier/{}", notifier.common.id);
        parts.spawn(&name, vedette_notifier::run(notifier, shutdown.clone()));
    }
    parts.spawn("seat", seat.keep(shutdown.clone()));
    let _pid = conf.server.pidfile.as_deref().map(PidFile::write);
    if conf.server.supervised {
        tell_ready();
    }
    parts.run(std::future::pending(), &shutdown).await
}

/// A master to seed. As in Sentinel its name is looked up once, unless clients are to be told names.
async fn seed(
    group: &Group,
    announce_hostnames: bool,
) -> anyhow::Result<(GroupName, NodeAddr, Settings)> {
    let (host, port) = (group.master.host(), group.master.port());
    let mut master = group.master.clone();
    if !announce_hostnames && host.parse::<IpAddr>().is_err() {
        let found = tokio::net::lookup_host((host, port)).await.ok().and_then(|mut all| all.next());
        let found = found.with_context(|| {
            format!("{}: {}: Can't resolve instance hostname.", group.at, group.at.text)
        })?;
        master = NodeAddr::new(&found.ip().to_string(), port)?;
    }
    Ok((group.name.clone(), master, group.settings()))
}

/// One notifier for all groups that have the same scripts.
fn notifiers(groups: &[Group], common: &CommonConfig) -> Vec<vedette_notifier::Config> {
    type Scripts<'a> = (&'a Option<PathBuf>, &'a Option<PathBuf>);
    let mut wanted: Vec<(Scripts<'_>, Vec<GroupName>)> = Vec::new();
    for group in groups {
        let scripts = (&group.notification_script, &group.client_reconfig_script);
        if scripts == (&None, &None) {
            continue;
        }
        match wanted.iter_mut().find(|(known, _)| *known == scripts) {
            Some((_, names)) => names.push(group.name.clone()),
            None => wanted.push((scripts, vec![group.name.clone()])),
        }
    }
    let config = |(n, ((notification, reconfig), groups)): (usize, (Scripts<'_>, _))| {
        let mut config = vedette_notifier::Config { common: common.clone(), ..Default::default() };
        if n > 0 {
            config.common.id = format!("{}-{}", common.id, n + 1);
        }
        config.sink.log.enabled = false;
        config.sink.executable.notification_script.clone_from(notification);
        config.sink.executable.client_reconfig_script.clone_from(reconfig);
        config.sink.executable.groups = groups;
        config.sink.executable.in_place_of = Some(common.id.clone());
        config
    };
    wanted.into_iter().enumerate().map(config).collect()
}

#[cfg(test)]
mod tests {
    use super::super::conf::Conf;
    use super::super::lines::Lines;
    use super::*;

    fn groups(text: &str) -> Vec<Group> {
        Conf::parse(Lines::parse("f", text.as_bytes())).unwrap().groups
    }

    #[test]
    fn masters_with_the_same_scripts_share_a_notifier() {
        let mut text = String::new();
        for name in ["a", "b", "c", "d"] {
            text += &format!("sentinel monitor {name} 10.0.0.1 6379 1\n");
        }
        text += "sentinel notification-script a /bin/true\nsentinel notification-script c /bin/true\n\
                 sentinel client-reconfig-script b /bin/true\n";
        let common = CommonConfig { id: "x".into(), ..CommonConfig::default() };
        let configs = notifiers(&groups(&text), &common);
        let shown: Vec<_> = configs
            .iter()
            .map(|config| {
                let names: Vec<_> =
                    config.sink.executable.groups.iter().map(GroupName::as_str).collect();
                (config.common.id.as_str(), names.join(","))
            })
            .collect();
        assert_eq!(shown, [("x", "a,c".to_owned()), ("x-2", "b".into())]);
    }

    #[tokio::test]
    async fn a_name_is_looked_up_unless_names_are_announced() {
        let group = &groups("sentinel monitor a localhost 6379 1\n")[0];
        let (_, master, _) = seed(group, false).await.unwrap();
        assert!(master.host().parse::<IpAddr>().is_ok(), "{master}");
        assert_eq!(seed(group, true).await.unwrap().1.host(), "localhost");
        let gone = &groups("sentinel monitor a no-such.invalid 6379 1\n")[0];
        let error = seed(gone, false).await.unwrap_err().to_string();
        assert!(error.contains("f:1") && error.contains("Can't resolve"), "{error}");
    }
}
