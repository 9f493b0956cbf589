//! What the answers mean. The text of a service's standing is shown, never interpreted.

use super::Heard;
use serde::Serialize;
use std::collections::BTreeSet;
use vedette_model::{
    Epoch, GroupName, GroupRecord, Health, Member, NodeState, Pause, Roster, Service, Standing,
};

/// The system, for people and scripts.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether nothing needs attention.
    pub well: bool,
    /// What somebody should do something about.
    pub attention: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    /// The voters' roster and who of them answered.
    pub voters: Voters,
    /// Services that live, and voters that are missing.
    pub services: Vec<ServiceLine>,
    /// Groups that the voters have records of, or that an orchestrator was told of.
    pub groups: Vec<GroupLine>,
}

#[derive(Debug, Serialize)]
pub struct Voters {
    pub roster_version: u64,
    pub roster: Vec<String>,
    pub alive: usize,
    pub needed: usize,
}

#[derive(Debug, Serialize)]
pub struct ServiceLine {
    pub service: Service,
    pub id: String,
    pub alive: bool,
    pub place: Option<String>,
    /// The machine; absent if it does not tell.
    pub host: Option<String>,
    pub health: String,
}

#[derive(Debug, Serialize)]
pub struct GroupLine {
    pub group: String,
    /// Absent while the voters have no record of it.
    pub record: Option<RecordLine>,
    pub standings: Vec<StandingLine>,
}

#[derive(Debug, Serialize)]
pub struct RecordLine {
    pub epoch: u64,
    pub revision: u64,
    pub master: String,
    pub quorum: u32,
    pub down_after_ms: u64,
    /// Without those that are gone.
    pub members: Vec<MemberLine>,
    /// Members that nobody has seen for long.
    pub gone: usize,
    pub failover: Option<String>,
    pub paused: Option<String>,
    /// Absent if a person ends it.
    pub pause_ends_within_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct MemberLine {
    pub node: String,
    pub role: &'static str,
    /// Who calls it down, and why.
    pub down: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct StandingLine {
    pub source: String,
    pub epoch: u64,
    pub text: String,
}

impl Report {
    /// Judges what was heard; the configured roster counts only if nobody who lives names one.
    pub fn of(heard: &Heard, configured: &Roster) -> Self {
        let mut attention = Vec::new();
        let mut notes = Vec::new();
        let roster = roster(heard, configured);
        one_roster(heard, &roster, &mut attention);
        let voters = voters(heard, &roster, &mut attention);
        services_missing(heard, &mut attention, &mut notes);
        let groups = groups(heard, &roster, &mut attention, &mut notes);
        Self {
            well: attention.is_empty(),
            attention,
            notes,
            voters,
            services: services(heard, &roster),
            groups,
        }
    }
}

/// Why it is paused, and when that ends if it does so by itself.
pub fn pause_words(pause: &Pause) -> String {
    let end = pause.left_ms.map(|ms| format!(", ends by itself within {} s", ms.div_ceil(1_000)));
    format!("{}{}", pause.reason, end.unwrap_or_default())
}

/// The newest roster that anybody goes by; the configured one if nobody says.
pub fn roster(heard: &Heard, configured: &Roster) -> Roster {
    let named = heard.services.values().filter_map(|beat| beat.roster.as_ref());
    named.max_by_key(|roster| roster.version).unwrap_or(configured).clone()
}

fn one_roster(heard: &Heard, newest: &Roster, attention: &mut Vec<String>) {
    for beat in heard.services.values() {
        if let Some(other) = beat.roster.as_ref().filter(|other| *other != newest) {
            attention.push(format!(
                "{}/{} goes by roster {} ({}), others by {} ({}): it follows within a second of \
                 hearing one of these voters; see to its network",
                beat.service,
                beat.id,
                other.version,
                names(other),
                newest.version,
                names(newest)
            ));
        }
    }
}

fn names(roster: &Roster) -> String {
    roster.voters().iter().map(|voter| voter.as_str()).collect::<Vec<_>>().join(", ")
}

fn voters(heard: &Heard, roster: &Roster, attention: &mut Vec<String>) -> Voters {
    let alive = roster.voters().iter().filter(|voter| heard.voters.contains(voter)).count();
    let needed = roster.majority().get();
    let missing: Vec<_> =
        roster.voters().iter().filter(|voter| !heard.voters.contains(voter)).collect();
    let missing: Vec<_> = missing.iter().map(|voter| format!("voter/{voter}")).collect();
    let all = roster.voters().len();
    if alive < needed {
        attention.push(format!(
            "{alive} of {all} voters answer and {needed} are needed: nothing can change, a dead \
             master is not replaced; start {}",
            missing.join(", ")
        ));
    } else if alive < all {
        attention.push(format!(
            "{alive} of {all} voters answer, enough as {needed} are needed: start {}",
            missing.join(", ")
        ));
    }
    Voters {
        roster_version: roster.version.0,
        roster: roster.voters().iter().map(ToString::to_string).collect(),
        alive,
        needed,
    }
}

fn services_missing(heard: &Heard, attention: &mut Vec<String>, notes: &mut Vec<String>) {
    if heard.count(Service::Prober) == 0 {
        attention.push("no prober is alive: nobody watches the nodes; start one".into());
    }
    if heard.count(Service::Orchestrator) == 0 {
        attention.push("no orchestrator is alive: nobody replaces a master; start one".into());
    }
    if heard.count(Service::Notifier) == 0 {
        notes.push("no notifier is alive: no webhook and no script is told".into());
    }
    for beat in heard.services.values() {
        if let Health::Impaired(why) = &beat.health {
            attention.push(format!("{}/{} is impaired: {why}", beat.service, beat.id));
        }
    }
}

fn services(heard: &Heard, roster: &Roster) -> Vec<ServiceLine> {
    let alive = heard.services.values().filter(|beat| beat.service != Service::Client);
    let mut lines: Vec<_> = alive
        .map(|beat| ServiceLine {
            service: beat.service,
            id: beat.id.clone(),
            alive: true,
            place: Some(beat.place.to_string()),
            host: beat.host.as_ref().map(|host| host.name.to_string()),
            health: beat.health.to_string(),
        })
        .collect();
    for voter in roster.voters() {
        if !lines.iter().any(|l| l.service == Service::Voter && l.id == voter.as_str()) {
            lines.push(ServiceLine {
                service: Service::Voter,
                id: voter.to_string(),
                alive: false,
                place: None,
                host: None,
                health: "missing: on the roster, but silent".into(),
            });
        }
    }
    lines.sort_by(|one, other| (one.service, &one.id).cmp(&(other.service, &other.id)));
    lines
}

fn groups(
    heard: &Heard,
    roster: &Roster,
    attention: &mut Vec<String>,
    notes: &mut Vec<String>,
) -> Vec<GroupLine> {
    let standings = || heard.services.values().flat_map(|beat| &beat.standings);
    let mut names: BTreeSet<&GroupName> = heard.records.keys().collect();
    names.extend(standings().map(|standing| &standing.group));
    if names.is_empty() && !heard.services.is_empty() {
        attention.push(
            "no group is known: declare one in the orchestrators' groups_file and restart them"
                .into(),
        );
    }
    let mut lines = Vec::new();
    for name in names {
        let record = heard.records.get(name);
        match record {
            Some(record) => judge(heard, record, roster, attention, notes),
            None => attention.push(format!("{name}: the voters that answer have no record of it")),
        }
        lines.push(GroupLine {
            group: name.to_string(),
            record: record.map(|record| record_line(heard, record)),
            standings: standing_lines(heard, name),
        });
    }
    lines
}

/// What needs attention in one group.
fn judge(
    heard: &Heard,
    record: &GroupRecord,
    roster: &Roster,
    attention: &mut Vec<String>,
    notes: &mut Vec<String>,
) {
    let (name, quorum) = (&record.group, record.settings.quorum.get() as usize);
    let probers = heard.count(Service::Prober);
    if probers > 0 && probers < quorum {
        attention.push(format!(
            "{name}: quorum {quorum} cannot be reached by {probers} live prober(s): a dead master \
             is not replaced; start more probers"
        ));
    }
    if let Some(failover) = &record.failover {
        attention.push(format!(
            "{name}: a failover from {} to {} is under way, led by orchestrator/{}",
            failover.failed, failover.target, failover.leader
        ));
    }
    if let Some(pause) = &record.pause {
        attention.push(format!("{name}: paused ({}): nothing is done to it", pause_words(pause)));
    }
    if present(record).count() < 2 {
        attention.push(format!(
            "{name}: {} has no replica that is known: nobody could take over; start one",
            record.master
        ));
    }
    for ((_, node), reports) in
        heard.down.iter().filter(|((group, _), reports)| group == name && !reports.is_empty())
    {
        if record.member(node).is_some_and(|member| member.gone) {
            continue;
        }
        let who: Vec<_> = reports.keys().map(|prober| format!("prober/{prober}")).collect();
        let who = who.join(", ");
        let count = reports.len();
        attention.push(if *node == record.master {
            format!("{name}: {node}, the master, is down for {who} ({count} of quorum {quorum})")
        } else {
            format!("{name}: {node}, a replica, is down for {who}: start it again")
        });
    }
    let reached = heard.verdicts.get(name).into_iter().flat_map(|voters| voters.values());
    let reached = reached.filter(|v| v.reached && v.master == record.master).count();
    if reached > 0 {
        attention.push(format!(
            "{name}: {reached} of {} voters call the master {} odown, {} are needed",
            roster.voters().len(),
            record.master,
            roster.majority().get()
        ));
    }
    if heard.unsettled.contains(name) {
        notes.push(format!("{name}: a change of its record is being settled"));
    }
}

/// The members that are not gone.
pub fn present(record: &GroupRecord) -> impl Iterator<Item = &Member> {
    record.members.iter().filter(|member| !member.gone)
}

fn record_line(heard: &Heard, record: &GroupRecord) -> RecordLine {
    let failover = record.failover.as_ref();
    RecordLine {
        epoch: record.epoch.0,
        revision: record.revision.0,
        master: record.master.to_string(),
        quorum: record.settings.quorum.get(),
        down_after_ms: record.settings.down_after_ms,
        members: present(record).map(|m| member(heard, record, &m.addr)).collect(),
        gone: record.members.len() - present(record).count(),
        failover: failover.map(|f| format!("from {} to {}", f.failed, f.target)),
        paused: record.pause.as_ref().map(|pause| pause.reason.clone()),
        pause_ends_within_ms: record.pause.as_ref().and_then(|pause| pause.left_ms),
    }
}

fn member(heard: &Heard, record: &GroupRecord, node: &vedette_model::NodeAddr) -> MemberLine {
    let reports = heard.down.get(&(record.group.clone(), node.clone()));
    let down = reports.into_iter().flatten().filter_map(|(prober, report)| match &report.state {
        NodeState::Up => None,
        NodeState::Down(evidence) => Some(format!("prober/{prober}: {evidence}")),
    });
    MemberLine {
        node: node.to_string(),
        role: if *node == record.master { "master" } else { "replica" },
        down: down.collect(),
    }
}

fn standing_lines(heard: &Heard, group: &GroupName) -> Vec<StandingLine> {
    let mut lines = Vec::new();
    for beat in heard.services.values() {
        for Standing { epoch: Epoch(epoch), text, .. } in
            beat.standings.iter().filter(|standing| standing.group == *group)
        {
            let text = if text.is_empty() { "nothing to do" } else { text };
            let source = format!("{}/{}", beat.service, beat.id);
            lines.push(StandingLine { source, epoch: *epoch, text: text.into() });
        }
    }
    lines
}
