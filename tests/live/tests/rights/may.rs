//! Everything that can be said on NATS, and who may: what `deploy/nats/rights.conf` must come to.

use Who::{Application, Gateway, Notifier, Operator, Orchestrator, Prober, Voter};
use vedette_model::{EventName, FactKind, Service};
use vedette_wire::Subjects;

/// A user of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Prober,
    Voter,
    Orchestrator,
    Notifier,
    Gateway,
    Operator,
    Application,
}

impl Who {
    pub const ALL: [Self; 7] =
        [Prober, Voter, Orchestrator, Notifier, Gateway, Operator, Application];

    /// The name it logs in with.
    pub const fn name(self) -> &'static str {
        match self {
            Prober => "prober",
            Voter => "voter",
            Orchestrator => "orchestrator",
            Notifier => "notifier",
            Gateway => "gateway",
            Operator => "operator",
            Application => "application",
        }
    }
}

const NOBODY: &[Who] = &[];
const INSIDE: &[Who] = &[Prober, Voter, Orchestrator, Notifier, Gateway, Operator];

/// A subject with those who may publish to it and those who may subscribe to it.
#[derive(Debug, Clone)]
pub struct Row {
    /// What it is shown as.
    pub pattern: String,
    /// One subject of it.
    pub subject: String,
    /// What comes of that inside, where an application's account calls it otherwise.
    pub inside: String,
    pub say: &'static [Who],
    pub hear: &'static [Who],
}

impl Row {
    fn new(pattern: &str, say: &'static [Who], hear: &'static [Who]) -> Self {
        let subject = pattern.replace('*', "x").replace('>', "x.y");
        let inside = subject.replace("$JS.vedette.API.", "$JS.API.");
        Self { pattern: pattern.into(), subject, inside, say, hear }
    }
}

/// Every subject there is, and some that are none of ours.
pub fn rows(subjects: &Subjects) -> Vec<Row> {
    let mut rows = Vec::new();
    for kind in FactKind::ALL {
        let Some(pattern) = subjects.pattern(*kind) else { continue };
        match fact(*kind) {
            Some((say, hear)) => rows.push(Row::new(&pattern, say, hear)),
            None if *kind == FactKind::Event => rows.extend(EventName::ALL.iter().map(|name| {
                let tail = format!(".{}", name.as_str());
                Row::new(&pattern.replace(".*.*", &format!(".*{tail}")), tells(*name), EVENTS)
            })),
            None => rows.extend(Service::ALL.iter().map(|service| {
                let own = format!(".{}.*", service.as_str());
                Row::new(&pattern.replace(".*.*", &own), own_service(*service), INSIDE)
            })),
        }
    }
    let mailboxes = subjects.everything().replace('>', "reply.");
    for service in Service::ALL {
        let (say, hear) = mailbox(*service);
        rows.push(Row::new(&format!("{mailboxes}{}.*.*", service.as_str()), say, hear));
    }
    rows.extend(durable(subjects));
    rows.extend(foreign());
    rows
}

const EVENTS: &[Who] = &[Notifier, Gateway, Operator, Application];

/// Who says facts of a kind and who hears them; nothing where it depends on more.
const fn fact(kind: FactKind) -> Option<(&'static [Who], &'static [Who])> {
    Some(match kind {
        FactKind::SdownReport => (&[Prober], &[Voter, Gateway, Operator]),
        FactKind::NodeReport => (&[Prober], &[Orchestrator, Gateway, Operator]),
        FactKind::OdownVerdict => (&[Voter], &[Orchestrator, Gateway, Operator]),
        FactKind::Candidacy | FactKind::Proposal | FactKind::RosterBallot => {
            (&[Orchestrator], &[Voter, Operator])
        }
        FactKind::Beat => (&[Orchestrator], &[Voter, Orchestrator, Operator]),
        FactKind::RecordCommitted => {
            (&[Orchestrator], &[Prober, Voter, Orchestrator, Gateway, Operator])
        }
        FactKind::FailoverStep => (&[Orchestrator], &[Operator]),
        FactKind::MasterRecord => (&[Orchestrator], &[Operator, Application]),
        FactKind::Digest => (&[Prober, Voter, Orchestrator, Gateway, Operator], &[Voter, Operator]),
        FactKind::Rejoin => (&[Voter], &[Voter, Operator]),
        FactKind::Instruction => (&[Gateway, Operator], &[Orchestrator, Operator]),
        FactKind::StatusQuery => (INSIDE, INSIDE),
        FactKind::MasterQuery => (&[Operator, Application], &[Orchestrator, Operator]),
        FactKind::Event
        | FactKind::Heartbeat
        // Without a subject of their own: they come to mailboxes.
        | FactKind::Ballot
        | FactKind::ProposalReply
        | FactKind::BeatReply
        | FactKind::RosterAnswer
        | FactKind::RejoinAnswer
        | FactKind::InstructionReply
        | FactKind::DigestReply => return None,
    })
}

/// Whose event it is.
const fn tells(name: EventName) -> &'static [Who] {
    match name {
        EventName::Sdown
        | EventName::SdownOver
        | EventName::Reboot
        | EventName::AuthError
        | EventName::DnsError
        | EventName::Busy
        | EventName::WriteImpaired
        | EventName::TroubleOver
        | EventName::Loading
        | EventName::DataLossRisk
        | EventName::SelfSuspect
        | EventName::SelfSuspectOver => &[Prober, Orchestrator],
        EventName::Odown | EventName::OdownOver => &[Voter, Orchestrator],
        EventName::NotifyTest => &[Orchestrator, Operator],
        EventName::Monitor
        | EventName::Removed
        | EventName::Reset
        | EventName::Slave
        | EventName::TryFailover
        | EventName::ElectedLeader
        | EventName::TakeOver
        | EventName::SelectedSlave
        | EventName::SendSlaveofNoOne
        | EventName::PromotedSlave
        | EventName::SwitchMaster
        | EventName::ReconfSlaves
        | EventName::SlaveReconfSent
        | EventName::SlaveReconfDone
        | EventName::FailoverEnd
        | EventName::FailoverEndForTimeout
        | EventName::AbortNoGoodSlave
        | EventName::AbortSlaveTimeout
        | EventName::AbortMasterTimeout
        | EventName::ConvertToSlave
        | EventName::FixSlaveConfig
        | EventName::IdentityConflict
        | EventName::ConfigConflict
        | EventName::ExternalChange
        | EventName::AddressChanged
        | EventName::SlaveGone
        | EventName::Held
        | EventName::Released
        | EventName::Paused
        | EventName::Resumed
        | EventName::Set
        | EventName::CredentialRotated
        | EventName::RewriteFailed => &[Orchestrator],
    }
}

const fn own_service(service: Service) -> &'static [Who] {
    match service {
        Service::Prober => &[Prober],
        Service::Voter => &[Voter],
        Service::Orchestrator => &[Orchestrator],
        Service::Notifier => &[Notifier],
        Service::Gateway => &[Gateway],
        Service::Client => NOBODY,
    }
}

/// Who writes to the mailboxes of a service and who reads them. Votes come to the orchestrators'.
const fn mailbox(service: Service) -> (&'static [Who], &'static [Who]) {
    match service {
        Service::Prober => (&[Prober, Voter], &[Prober, Operator]),
        Service::Voter => (&[Voter], &[Voter, Operator]),
        Service::Orchestrator => (&[Voter, Orchestrator], &[Orchestrator, Operator]),
        Service::Notifier => (&[Voter, Notifier], &[Notifier, Operator]),
        Service::Gateway => (&[Voter, Orchestrator, Gateway], &[Gateway, Operator]),
        Service::Client => (&[Voter, Orchestrator, Operator], &[Operator]),
    }
}

/// Every question that JetStream takes of a stream, with `{}` for its name.
const QUESTIONS: &[&str] = &[
    "STREAM.INFO.{}",
    "STREAM.CREATE.{}",
    "STREAM.UPDATE.{}",
    "STREAM.DELETE.{}",
    "STREAM.PURGE.{}",
    "STREAM.SNAPSHOT.{}",
    "STREAM.RESTORE.{}",
    "STREAM.PEER.REMOVE.{}",
    "STREAM.LEADER.STEPDOWN.{}",
    "STREAM.MSG.GET.{}",
    "STREAM.MSG.DELETE.{}",
    "DIRECT.GET.{}",
    "DIRECT.GET.{}.*",
    "CONSUMER.CREATE.{}",
    "CONSUMER.CREATE.{}.*",
    "CONSUMER.CREATE.{}.*.*",
    "CONSUMER.DURABLE.CREATE.{}.*",
    "CONSUMER.INFO.{}.*",
    "CONSUMER.NAMES.{}",
    "CONSUMER.LIST.{}",
    "CONSUMER.DELETE.{}.*",
    "CONSUMER.PAUSE.{}.*",
    "CONSUMER.LEADER.STEPDOWN.{}.*",
    "CONSUMER.MSG.NEXT.{}.*",
];

/// What is kept: the buckets, the streams, and all that JetStream can be asked.
fn durable(subjects: &Subjects) -> Vec<Row> {
    let masters = subjects.masters_bucket();
    let mut rows = vec![
        Row::new(&format!("$KV.{masters}.*"), &[Orchestrator], NOBODY),
        Row::new(&format!("$KV.{}.*", subjects.founding_bucket()), NOBODY, NOBODY),
        Row::new(&format!("$KV.{}.*", subjects.notifiers_bucket()), &[Notifier], NOBODY),
        Row::new(&subjects.history_gap(), &[Orchestrator], NOBODY),
        Row::new(&subjects.again("*"), &[Operator], NOBODY),
        Row::new(&subjects.dead("*"), &[Notifier], NOBODY),
    ];
    for question in QUESTIONS {
        rows.push(asked(question, &format!("KV_{masters}"), of_masters(question)));
        let asks = match *question {
            "STREAM.INFO.{}" | "STREAM.MSG.GET.{}" | "DIRECT.GET.{}.*" => &[Application][..],
            _ => NOBODY,
        };
        let theirs = question.replace("{}", &format!("KV_{masters}"));
        rows.push(Row::new(&format!("$JS.vedette.API.{theirs}"), asks, NOBODY));
    }
    let (notifiers, founding) = (subjects.notifiers_bucket(), subjects.founding_bucket());
    for (stream, asks) in [
        (subjects.history_stream(), of_history as fn(&str) -> &'static [Who]),
        (format!("KV_{notifiers}"), of_notifiers),
        (subjects.dead_stream(), of_dead),
        (format!("KV_{founding}"), |_| NOBODY),
        ("another".into(), |_| NOBODY),
    ] {
        rows.extend(QUESTIONS.iter().map(|question| asked(question, &stream, asks(question))));
        let asks = if stream == subjects.history_stream() { &[Notifier][..] } else { NOBODY };
        rows.push(Row::new(&format!("$JS.ACK.{stream}.*.1.1.1.1.1"), asks, NOBODY));
    }
    rows
}

fn of_masters(question: &str) -> &'static [Who] {
    match question {
        "STREAM.INFO.{}" | "STREAM.MSG.GET.{}" => &[Orchestrator, Operator],
        "STREAM.CREATE.{}" | "STREAM.UPDATE.{}" => &[Orchestrator],
        "DIRECT.GET.{}.*" => &[Operator],
        _ => NOBODY,
    }
}

fn of_history(question: &str) -> &'static [Who] {
    match question {
        "STREAM.INFO.{}" => &[Orchestrator, Notifier, Gateway, Operator],
        "STREAM.CREATE.{}" | "STREAM.UPDATE.{}" => &[Orchestrator],
        "CONSUMER.CREATE.{}"
        | "CONSUMER.CREATE.{}.*"
        | "CONSUMER.INFO.{}.*"
        | "CONSUMER.DELETE.{}.*"
        | "CONSUMER.MSG.NEXT.{}.*" => &[Notifier, Gateway, Operator],
        "CONSUMER.CREATE.{}.*.*" => &[Gateway, Operator],
        "STREAM.MSG.GET.{}" | "CONSUMER.LIST.{}" => &[Operator],
        _ => NOBODY,
    }
}

/// Who serves which sink.
fn of_notifiers(question: &str) -> &'static [Who] {
    match question {
        "STREAM.INFO.{}" | "STREAM.MSG.GET.{}" => &[Notifier, Operator],
        "STREAM.CREATE.{}" | "STREAM.UPDATE.{}" => &[Notifier],
        "DIRECT.GET.{}.*" => &[Operator],
        _ => NOBODY,
    }
}

/// What a sink did not take.
fn of_dead(question: &str) -> &'static [Who] {
    match question {
        "STREAM.INFO.{}" => &[Notifier, Operator],
        "STREAM.CREATE.{}" => &[Notifier],
        "STREAM.MSG.DELETE.{}"
        | "CONSUMER.CREATE.{}"
        // A reader whose consumer is lost makes another with a name.
        | "CONSUMER.CREATE.{}.*"
        | "CONSUMER.INFO.{}.*"
        | "CONSUMER.DELETE.{}.*"
        | "CONSUMER.MSG.NEXT.{}.*" => &[Operator],
        _ => NOBODY,
    }
}

fn asked(question: &str, stream: &str, asks: &'static [Who]) -> Row {
    Row::new(&format!("$JS.API.{}", question.replace("{}", stream)), asks, NOBODY)
}

/// What NATS itself listens to, inboxes, and what others may have under their own prefix.
fn foreign() -> Vec<Row> {
    let mut rows = vec![
        Row::new("$JS.API.INFO", &[Orchestrator, Notifier, Operator], NOBODY),
        Row::new("_INBOX.>", NOBODY, &[Orchestrator, Notifier, Gateway, Operator, Application]),
        // An event of a later version.
        Row::new("vedette.v1.event.*.another", &[Orchestrator], EVENTS),
        // Where answers to the other account come by.
        Row::new("_R_.>", &[Orchestrator], NOBODY),
    ];
    let theirs = [
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.LIST",
        "$JS.API.META.LEADER.STEPDOWN",
        "$JS.API.ACCOUNT.PURGE.*",
        "vedette.history.again",
        "vedette.history.again.*.*",
        "vedette.dead",
        "vedette.dead.*.*",
        "$JS.FC.*",
        "$JS.EVENT.ADVISORY.*",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.ACCOUNT.*.INFO",
        "$SRV.PING",
        "$G.*",
        "other.v1.record.*",
        "other.v1.master.*",
        "vedette.v2.record.*",
        "vedette.v1.*",
        "vedette.v1.record.*.*",
        "vedette.v1.master.*.*",
        "vedette.v1.reply.*",
        "vedette.history.*",
        "vedette",
        "*",
    ];
    rows.extend(theirs.iter().map(|pattern| Row::new(pattern, NOBODY, under(pattern))));
    rows
}

/// An operator hears all of this version.
fn under(pattern: &str) -> &'static [Who] {
    if pattern.starts_with("vedette.v1.") { &[Operator] } else { NOBODY }
}
