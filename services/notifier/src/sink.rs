//! Where events go, behind one verb.

use crate::config::{Config, ExecutableConfig, parse_url};
use crate::script::{Arguments, Script};
use crate::webhook::Webhook;
use anyhow::Context;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use vedette_model::{Event, EventName};
use vedette_protocol::notice::{self, Outcome};

/// A sink as the shell sees it.
#[derive(Debug)]
pub struct Sink {
    /// Its name, and which events it wants.
    pub notice: notice::Sink,
    /// How it takes them.
    pub way: Way,
}

/// How a sink takes an event.
#[derive(Debug, Clone)]
pub enum Way {
    /// As a line of our own log: at once.
    Log,
    /// As an HTTP request.
    Webhook(Arc<Webhook>),
    /// As a process's arguments.
    Script(Arc<Script>),
}

impl Way {
    /// Hands the event over, within the sink's own limit.
    pub async fn deliver(&self, event: &Event) -> Outcome {
        match self {
            Self::Log => {
                crate::events::happened(event);
                Outcome::Delivered
            }
            Self::Webhook(webhook) => webhook.deliver(event).await,
            Self::Script(script) => script.deliver(event).await,
        }
    }
}

/// The configured sinks.
///
/// # Errors
/// If TLS cannot be had for a webhook that needs it.
pub fn all(config: &Config) -> anyhow::Result<Vec<Sink>> {
    let mut sinks = Vec::new();
    if config.sink.log.enabled {
        sinks.push(Sink { notice: notice::Sink::of_all("log".into()), way: Way::Log });
    }
    let webhook = &config.sink.webhook;
    for (n, url) in webhook.urls.iter().enumerate() {
        let name =
            if webhook.urls.len() == 1 { "webhook".into() } else { format!("webhook-{}", n + 1) };
        let limit = Duration::from_millis(webhook.limit_ms);
        let way = Webhook::new(parse_url(url)?, webhook.token.clone(), limit)
            .with_context(|| format!("sink {name} cannot be made"))?;
        let only = (!webhook.events.is_empty()).then(|| webhook.events.clone());
        sinks.push(Sink { notice: notice::Sink { name, only }, way: Way::Webhook(way.into()) });
    }
    sinks.extend(scripts(&config.sink.executable));
    Ok(sinks)
}

fn scripts(config: &ExecutableConfig) -> Vec<Sink> {
    let places = Arc::new(Semaphore::new(config.parallel));
    let limit = Duration::from_millis(config.limit_ms);
    let sink = |name: &str, path: &PathBuf, arguments, only| Sink {
        notice: notice::Sink { name: name.into(), only: Some(only) },
        way: Way::Script(
            Script::new(path.clone(), arguments, limit, places.clone())
                .only_for(config.groups.clone(), config.in_place_of.clone())
                .into(),
        ),
    };
    let notification = config.notification_script.as_ref().map(|path| {
        let warnings = EventName::ALL.iter().copied().filter(|name| is_warning(*name)).collect();
        sink("notification-script", path, Arguments::Notification, warnings)
    });
    let reconfig = config.client_reconfig_script.as_ref().map(|path| {
        sink(
            "client-reconfig-script",
            path,
            Arguments::ClientReconfig,
            vec![EventName::SwitchMaster],
        )
    });
    notification.into_iter().chain(reconfig).collect()
}

/// Whether Sentinel runs its notification script for the event: it does for those of its level
/// *warning*. Of the events that Sentinel does not have, all are worth a script.
const fn is_warning(name: EventName) -> bool {
    match name {
        EventName::Slave
        | EventName::SendSlaveofNoOne
        | EventName::SlaveReconfSent
        | EventName::SlaveReconfDone
        | EventName::ConvertToSlave
        | EventName::FixSlaveConfig => false,
        EventName::Monitor
        | EventName::Sdown
        | EventName::SdownOver
        | EventName::Odown
        | EventName::OdownOver
        | EventName::TryFailover
        | EventName::ElectedLeader
        | EventName::TakeOver
        | EventName::SelectedSlave
        | EventName::PromotedSlave
        | EventName::SwitchMaster
        | EventName::ReconfSlaves
        | EventName::FailoverEnd
        | EventName::FailoverEndForTimeout
        | EventName::AbortNoGoodSlave
        | EventName::AbortSlaveTimeout
        | EventName::AbortMasterTimeout
        | EventName::Reboot
        | EventName::AuthError
        | EventName::DnsError
        | EventName::Busy
        | EventName::WriteImpaired
        | EventName::Loading
        | EventName::DataLossRisk
        | EventName::ExternalChange
        | EventName::AddressChanged
        | EventName::SlaveGone
        | EventName::Held
        | EventName::Released
        | EventName::Paused
        | EventName::Resumed
        | EventName::Set
        | EventName::CredentialRotated
        | EventName::Removed
        | EventName::Reset
        | EventName::TroubleOver
        | EventName::IdentityConflict
        | EventName::ConfigConflict
        | EventName::RewriteFailed
        | EventName::SelfSuspect
        | EventName::SelfSuspectOver => true,
    }
}
