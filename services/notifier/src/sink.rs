//! Where events go, behind one verb.

use crate::alert;
use crate::alertmanager::Alertmanager;
use crate::cloudevents::CloudEvents;
use crate::config::{Config, ExecutableConfig, parse_url};
use crate::email::Email;
use crate::pagerduty::PagerDuty;
use crate::poster::Poster;
use crate::script::{Arguments, Script};
use crate::slack::Slack;
use crate::webhook::{Webhook, bearer};
use anyhow::Context;
use reqwest::header::HeaderMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use vedette_model::{Event, EventName};
use vedette_protocol::notice::{self, Outcome, Patience};
use vedette_runtime::Bus;

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
    /// As a message in a channel.
    Slack(Arc<Slack>),
    /// As an incident's beginning or end.
    PagerDuty(Arc<PagerDuty>),
    /// As an alert's beginning or end.
    Alertmanager(Arc<Alertmanager>),
    /// As a mail.
    Email(Arc<Email>),
    /// As a message on the bus.
    CloudEvents(Arc<CloudEvents>),
    /// As a process's arguments.
    Script(Arc<Script>),
}

impl Way {
    /// Hands the events over in one message, within the sink's own limit. Where a message is about
    /// one event there is but one.
    pub async fn deliver(&self, events: &[Event], bus: &Bus) -> Outcome {
        match self {
            Self::Webhook(webhook) => webhook.deliver(events).await,
            Self::Slack(slack) => slack.deliver(events).await,
            Self::Alertmanager(alertmanager) => alertmanager.deliver(events).await,
            Self::Email(email) => email.deliver(events).await,
            Self::Log | Self::PagerDuty(_) | Self::CloudEvents(_) | Self::Script(_) => {
                let mut outcome = Outcome::Delivered;
                for event in events {
                    outcome = self.deliver_one(event, bus).await;
                    if outcome != Outcome::Delivered {
                        break;
                    }
                }
                outcome
            }
        }
    }

    async fn deliver_one(&self, event: &Event, bus: &Bus) -> Outcome {
        match self {
            Self::Log => {
                crate::events::happened(event);
                Outcome::Delivered
            }
            Self::PagerDuty(pagerduty) => pagerduty.deliver(event).await,
            Self::CloudEvents(cloudevents) => cloudevents.deliver(event, bus).await,
            Self::Script(script) => script.deliver(event).await,
            Self::Webhook(_) | Self::Slack(_) | Self::Alertmanager(_) | Self::Email(_) => {
                Outcome::Delivered
            }
        }
    }

    /// Whether it can tell several events in one message.
    const fn gathers(&self) -> bool {
        match self {
            Self::Webhook(_) | Self::Slack(_) | Self::Alertmanager(_) | Self::Email(_) => true,
            Self::Log | Self::PagerDuty(_) | Self::CloudEvents(_) | Self::Script(_) => false,
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
        sinks.push(Sink { notice: notice::Sink::live("log".into()), way: Way::Log });
    }
    let webhook = &config.sink.webhook;
    for (name, url) in named("webhook", &webhook.urls) {
        let limit = Duration::from_millis(webhook.limit_ms);
        let url = parse_url("sink.webhook.urls", url)?;
        let way = Webhook::new(url, webhook.token.clone(), limit)
            .and_then(|way| way.signed(&webhook.secrets))
            .with_context(|| format!("sink {name} cannot be made"))?;
        let only = (!webhook.events.is_empty()).then(|| with_test(&webhook.events));
        sinks.push(kept(name, only, Way::Webhook(way.into()), config));
    }
    sinks.extend(people(config)?);
    sinks.extend(problems(config)?);
    if let Some(subject) = &config.sink.cloudevents.subject {
        let way = CloudEvents::new(subject.clone(), config.sink.cloudevents.acknowledged);
        let way = Way::CloudEvents(way.into());
        sinks.push(kept("cloudevents".into(), None, way, config));
    }
    sinks.extend(scripts(&config.sink.executable));
    Ok(sinks)
}

/// Sinks in which people read.
fn people(config: &Config) -> anyhow::Result<Vec<Sink>> {
    let mut sinks = Vec::new();
    let slack = &config.sink.slack;
    if let Some(url) = &slack.secret_url {
        let (key, limit) = ("sink.slack.secret_url", Duration::from_millis(slack.limit_ms));
        let poster = Poster::new(parse_url(key, url.expose())?, HeaderMap::new(), limit, key)?;
        let way = Way::Slack(Slack::new(poster).into());
        sinks.push(kept("slack".into(), None, way, config));
    }
    if config.sink.email.server.is_some() {
        let way = Way::Email(Email::new(&config.sink.email)?.into());
        sinks.push(kept("email".into(), None, way, config));
    }
    Ok(sinks)
}

/// Sinks that keep problems open.
fn problems(config: &Config) -> anyhow::Result<Vec<Sink>> {
    let mut sinks = Vec::new();
    let only = || Some(with_test(&alert::names()));
    let pagerduty = &config.sink.pagerduty;
    if let Some(routing_key) = &pagerduty.routing_key {
        let limit = Duration::from_millis(pagerduty.limit_ms);
        let url = parse_url("sink.pagerduty.url", &pagerduty.url)?;
        let poster = Poster::new(url, HeaderMap::new(), limit, "sink.pagerduty")?;
        let way = Way::PagerDuty(PagerDuty::new(poster, routing_key.clone()).into());
        sinks.push(kept("pagerduty".into(), only(), way, config));
    }
    let alertmanager = &config.sink.alertmanager;
    for (name, url) in named("alertmanager", &alertmanager.urls) {
        let limit = Duration::from_millis(alertmanager.limit_ms);
        let headers = bearer(alertmanager.token.clone(), "sink.alertmanager.token")?;
        let url = format!("{}/api/v2/alerts", url.trim_end_matches('/'));
        let url = parse_url("sink.alertmanager.urls", &url)?;
        let poster = Poster::new(url, headers, limit, "sink.alertmanager.urls")?;
        let way = Way::Alertmanager(Alertmanager::new(poster).into());
        sinks.push(kept(name, only(), way, config));
    }
    Ok(sinks)
}

/// Several sinks of a kind are numbered.
fn named<'a>(
    kind: &'static str,
    urls: &'a [String],
) -> impl Iterator<Item = (String, &'a String)> + use<'a> {
    let one = urls.len() == 1;
    let name = move |n: usize| if one { kind.into() } else { format!("{kind}-{}", n + 1) };
    urls.iter().enumerate().map(move |(n, url)| (name(n), url))
}

/// These events, and the one that a person tries it with.
fn with_test(events: &[EventName]) -> Vec<EventName> {
    events.iter().copied().chain([EventName::NotifyTest]).collect()
}

/// A sink that is to get everything, in order, whoever of several notifiers lives.
fn kept(name: String, only: Option<Vec<EventName>>, way: Way, config: &Config) -> Sink {
    let patience = Patience::lasting(Duration::from_millis(config.retry.give_up_ms));
    let gathers = way.gathers();
    let notice = notice::Sink { name, only, kept: true, in_order: true, gathers, patience };
    Sink { notice, way }
}

fn scripts(config: &ExecutableConfig) -> Vec<Sink> {
    let places = Arc::new(Semaphore::new(config.parallel));
    let limit = Duration::from_millis(config.limit_ms);
    let sink = |name: &str, path: &PathBuf, arguments, only| Sink {
        notice: notice::Sink {
            name: name.into(),
            only: Some(only),
            // Each Sentinel runs its own, and remembers nothing.
            kept: config.in_place_of.is_none(),
            // Sentinel's way: one that is repeated holds back nobody.
            in_order: false,
            gathers: false,
            patience: Patience::of_sentinel(),
        },
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
        | EventName::SelfSuspectOver
        | EventName::NotifyTest => true,
    }
}
