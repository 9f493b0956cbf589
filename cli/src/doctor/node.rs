//! What the nodes themselves are set to.

use super::{Finding, Findings, Level};
use futures::{StreamExt as _, stream};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use vedette_model::{Credentials, GroupRecord, NodeAddr, NodeFault};
use vedette_node::command::{Errand, ask};
use vedette_node::{ErrorCode, Reply, Tls};
use vedette_runtime::Clock;

const ANSWER_LIMIT: Duration = Duration::from_secs(3);
const AT_ONCE: usize = 32;
/// A replica that was away for longer than it takes to write so much copies everything.
const BACKLOG: u64 = 16 << 20;
/// Clocks that are further apart make logs hard to read; nothing else depends on them.
const CLOCKS: Duration = Duration::from_secs(2);

const SETTINGS: [&str; 8] = [
    "appendonly",
    "save",
    "min-replicas-to-write",
    "repl-backlog-size",
    "masterauth",
    "requirepass",
    "replica-priority",
    "replica-serve-stale-data",
];

/// Something that Vedette sends to nodes.
#[derive(Debug)]
struct Sent {
    /// As `ACL DRYRUN` takes it.
    words: &'static [&'static str],
    /// What there is not without it, if a failover does without.
    without: Option<&'static str>,
}

const fn needed(words: &'static [&'static str]) -> Sent {
    Sent { words, without: None }
}

const fn wanted(words: &'static [&'static str], without: &'static str) -> Sent {
    Sent { words, without: Some(without) }
}

const NO_SWITCHOVER: &str = "there is no planned switchover";

const COMMANDS: [Sent; 11] = [
    needed(&["PING"]),
    needed(&["INFO"]),
    needed(&["ROLE"]),
    needed(&["REPLICAOF", "NO", "ONE"]),
    needed(&["CONFIG", "REWRITE"]),
    needed(&["CLIENT", "KILL", "TYPE", "normal"]),
    needed(&["MULTI"]),
    needed(&["EXEC"]),
    wanted(&["CLIENT", "PAUSE", "2000", "WRITE"], NO_SWITCHOVER),
    wanted(&["CLIENT", "UNPAUSE"], NO_SWITCHOVER),
    wanted(&["CLIENT", "LIST"], "an external-change does not say who did it"),
];

/// What a node answered.
#[derive(Debug, Default)]
struct Answers {
    info: BTreeMap<String, String>,
    settings: BTreeMap<String, String>,
    /// Commands that the node does not know, or does not let us send; with what it says.
    refused: Vec<(&'static Sent, String)>,
    /// Whether `CONFIG GET` was refused.
    blind: Option<String>,
    /// The same of the questions about what may be sent.
    rights_unseen: Option<String>,
    clock: Option<Duration>,
}

/// Looks at every node of the group.
pub async fn look(record: &GroupRecord, tls: Option<&Arc<Tls>>, all: &mut Vec<Finding>) {
    let credentials = record.settings.credentials.as_ref();
    let present: Vec<_> = record.members.iter().filter(|member| !member.gone).collect();
    let asked = present.iter().map(async |member| answers(&member.addr, credentials, tls).await);
    let asked: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let mut known = Vec::new();
    for (member, answers) in present.iter().zip(asked) {
        let mut findings = Findings::about(member.addr.to_string(), all);
        match answers {
            Err(fault) => findings.add(
                Level::Error,
                format!(
                    "cannot be asked from here: {fault}. If only this machine cannot reach it, run \
                     `vedette doctor` where the orchestrators run"
                ),
            ),
            Ok(answers) => {
                judge(&answers, record, present.len(), &mut findings);
                findings.end("disk, rights, backlog and clock are as they should be");
                known.push((member.addr.clone(), answers));
            }
        }
    }
    together(record, &known, &mut Findings::about(record.group.to_string(), all));
}

async fn answers(
    node: &NodeAddr,
    credentials: Option<&Credentials>,
    tls: Option<&Arc<Tls>>,
) -> Result<Answers, NodeFault> {
    let (name, limit) = ("vedette-doctor", ANSWER_LIMIT);
    let errand = Errand { node, credentials, name, limit, kept: None, tls };
    let mut questions: Vec<Vec<&str>> = vec![vec!["INFO"], vec!["TIME"], vec!["ACL", "WHOAMI"]];
    questions.extend(SETTINGS.iter().map(|name| vec!["CONFIG", "GET", name]));
    questions.extend(COMMANDS.iter().map(|sent| vec!["COMMAND", "INFO", sent.words[0]]));
    let slices: Vec<&[&str]> = questions.iter().map(Vec::as_slice).collect();
    let mut replies = ask(errand, &slices).await?.into_iter();
    let mut found = Answers::default();
    if let Some(Reply::Text(text)) = replies.next() {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        found.info = fields.map(|(name, value)| (name.into(), value.trim().into())).collect();
    }
    found.clock = replies.next().and_then(|reply| clock(&reply));
    let user = replies.next();
    for name in SETTINGS {
        match replies.next() {
            Some(Reply::Array(pair)) => {
                if let [_, Reply::Text(value)] = pair.as_slice() {
                    found.settings.insert(name.into(), value.clone());
                }
            }
            Some(Reply::Error(error)) => found.blind = Some(error.to_string()),
            Some(Reply::Text(_) | Reply::Integer(_) | Reply::Nil | Reply::Unexpected(_)) | None => {
            }
        }
    }
    for sent in &COMMANDS {
        // An unknown command is nothing in a list of one.
        let unknown = match replies.next() {
            Some(Reply::Array(one)) => matches!(one.as_slice(), [Reply::Nil]),
            Some(
                Reply::Text(_)
                | Reply::Integer(_)
                | Reply::Nil
                | Reply::Unexpected(_)
                | Reply::Error(_),
            )
            | None => false,
        };
        if unknown {
            let why = "it is unknown there: renamed or disabled".to_owned();
            found.refused.push((sent, why));
        }
    }
    match user {
        Some(Reply::Text(user)) => rights(errand, &user, &mut found).await?,
        Some(reply) => found.rights_unseen = refusal(reply),
        None => {}
    }
    Ok(found)
}

/// Commands that this user may not send; a server older than 7.0 cannot say.
async fn rights(errand: Errand<'_>, user: &str, found: &mut Answers) -> Result<(), NodeFault> {
    let questions: Vec<Vec<&str>> =
        COMMANDS.iter().map(|sent| [&["ACL", "DRYRUN", user][..], sent.words].concat()).collect();
    let slices: Vec<&[&str]> = questions.iter().map(Vec::as_slice).collect();
    for (sent, reply) in COMMANDS.iter().zip(ask(errand, &slices).await?) {
        match reply {
            Reply::Text(text) if text == "OK" => {}
            Reply::Text(text) => found.refused.push((sent, text)),
            other @ (Reply::Error(_)
            | Reply::Integer(_)
            | Reply::Array(_)
            | Reply::Nil
            | Reply::Unexpected(_)) => {
                found.rights_unseen = found.rights_unseen.take().or(refusal(other))
            }
        }
    }
    Ok(())
}

/// That one may not ask this.
fn refusal(reply: Reply) -> Option<String> {
    let Reply::Error(error) = reply else { return None };
    (error.code == ErrorCode::Denied).then(|| error.to_string())
}

/// How far the node's clock is from ours, either way.
fn clock(reply: &Reply) -> Option<Duration> {
    let Reply::Array(parts) = reply else { return None };
    let [Reply::Text(seconds), Reply::Text(micros)] = parts.as_slice() else { return None };
    let theirs =
        Duration::from_secs(seconds.parse().ok()?) + Duration::from_micros(micros.parse().ok()?);
    Some(Duration::from_millis(Clock::start().unix_ms()).abs_diff(theirs))
}

/// What may be sent to it.
fn judge_rights(answers: &Answers, findings: &mut Findings<'_>) {
    for (Sent { words, without }, why) in &answers.refused {
        let (level, so) = match without {
            None => (Level::Error, String::new()),
            Some(without) => (Level::Warning, format!("; without it {without}")),
        };
        let command = words.join(" ");
        findings.add(
            level,
            format!("Vedette may not send {command} ({why}): allow it for the group's user{so}"),
        );
    }
    if let Some(why) = &answers.rights_unseen {
        findings.add(
            Level::Warning,
            format!(
                "what may be sent to it cannot be seen ({why}): allow ACL WHOAMI and ACL DRYRUN to \
                 have that checked"
            ),
        );
    }
}

fn judge(answers: &Answers, record: &GroupRecord, nodes: usize, findings: &mut Findings<'_>) {
    judge_rights(answers, findings);
    let setting = |name: &str| answers.settings.get(name).map(String::as_str);
    let number = |name: &str| setting(name).and_then(|text| text.parse::<u64>().ok());
    let info = |name: &str| answers.info.get(name).map(String::as_str);
    if let Some(why) = &answers.blind {
        findings.add(
            Level::Warning,
            format!("its settings cannot be read ({why}): allow CONFIG GET to have them checked"),
        );
    }
    findings.warn(
        setting("appendonly") == Some("no") && setting("save") == Some(""),
        "it keeps nothing on its disk: if all nodes restart at once, everything is lost; set \
         appendonly yes or save",
    );
    findings.err(
        info("rdb_last_bgsave_status") == Some("err")
            || info("aof_last_write_status") == Some("err"),
        "its disk does not take what it saves: free some space, see its log",
    );
    findings.warn(
        nodes > 2 && number("min-replicas-to-write") == Some(0),
        "an isolated master goes on taking writes that a failover throws away: set \
         min-replicas-to-write 1 and min-replicas-max-lag 10 on every node",
    );
    findings.warn(
        number("repl-backlog-size").is_some_and(|bytes| bytes < BACKLOG),
        format!(
            "its replication backlog is small ({} KiB): a replica that is away for as long as it \
             takes to write so much copies everything; set repl-backlog-size 64mb",
            number("repl-backlog-size").unwrap_or_default() >> 10
        ),
    );
    findings.err(
        setting("requirepass").is_some_and(|text| !text.is_empty())
            && setting("masterauth") == Some(""),
        "it has a password and no masterauth: after a failover it cannot follow; set masterauth",
    );
    findings.warn(
        info("config_file") == Some(""),
        "it was started without a configuration file: a role does not outlive its restart",
    );
    findings.warn(
        record.settings.credentials.is_some()
            && setting("requirepass") == Some("")
            && record.settings.credentials.as_ref().is_some_and(|login| login.user.is_none()),
        "the group has a password and this node has none: set requirepass",
    );
    findings.warn(
        answers.clock.is_some_and(|apart| apart > CLOCKS),
        format!(
            "its clock is {:.1} s from this machine's: logs do not line up; nothing else depends on it",
            answers.clock.unwrap_or_default().as_secs_f64()
        ),
    );
}

/// What only shows when all nodes of a group are seen together.
fn together(record: &GroupRecord, known: &[(NodeAddr, Answers)], findings: &mut Findings<'_>) {
    let replicas: Vec<_> = known.iter().filter(|(node, _)| *node != record.master).collect();
    let zero = |(_, answers): &&&(NodeAddr, Answers)| {
        answers.settings.get("replica-priority").is_some_and(|text| text == "0")
    };
    findings.err(
        !replicas.is_empty() && replicas.iter().filter(zero).count() == replicas.len(),
        "every replica has priority 0: nobody may be promoted",
    );
    let versions: std::collections::BTreeSet<_> = known
        .iter()
        .filter_map(|(_, answers)| answers.info.get("redis_version").map(String::as_str))
        .collect();
    findings.warn(
        versions.len() > 1,
        format!(
            "its nodes run different versions ({}): an older one may not be able to follow a newer one",
            versions.into_iter().collect::<Vec<_>>().join(", ")
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::{GroupName, Quorum, Settings};

    fn record() -> GroupRecord {
        let settings = Settings::with_quorum(Quorum::parse(1).unwrap());
        let master = NodeAddr::new("127.0.0.1", 1).unwrap();
        GroupRecord::first(GroupName::parse("orders").unwrap(), master, settings)
    }

    fn good() -> Answers {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        Answers {
            info: map(&[("config_file", "/etc/redis.conf"), ("rdb_last_bgsave_status", "ok")]),
            settings: map(&[
                ("appendonly", "yes"),
                ("save", ""),
                ("min-replicas-to-write", "1"),
                ("repl-backlog-size", "67108864"),
                ("masterauth", ""),
                ("requirepass", ""),
                ("replica-priority", "100"),
            ]),
            clock: Some(Duration::ZERO),
            ..Answers::default()
        }
    }

    fn found(change: impl FnOnce(&mut Answers)) -> Vec<Finding> {
        let (mut answers, mut all) = (good(), Vec::new());
        change(&mut answers);
        judge(&answers, &record(), 3, &mut Findings::about("n".into(), &mut all));
        all
    }

    #[test]
    fn a_node_that_is_set_well_has_no_findings() {
        assert_eq!(found(|_| {}), []);
    }

    #[test]
    fn each_setting_that_will_hurt_is_found_alone() {
        type Change = fn(&mut Answers);
        fn refuse(answers: &mut Answers, command: &str) {
            let sent = COMMANDS.iter().find(|sent| sent.words.join(" ") == command).unwrap();
            answers.refused.push((sent, "renamed".into()));
        }
        let cases: [(&str, Level, Change); 11] = [
            ("keeps nothing", Level::Warning, |a| {
                a.settings.insert("appendonly".into(), "no".into());
            }),
            ("isolated master", Level::Warning, |a| {
                a.settings.insert("min-replicas-to-write".into(), "0".into());
            }),
            ("backlog is small (1024 KiB)", Level::Warning, |a| {
                a.settings.insert("repl-backlog-size".into(), "1048576".into());
            }),
            ("no masterauth", Level::Error, |a| {
                a.settings.insert("requirepass".into(), "x".into());
            }),
            ("does not take what it saves", Level::Error, |a| {
                a.info.insert("rdb_last_bgsave_status".into(), "err".into());
            }),
            ("may not send CONFIG REWRITE (renamed)", Level::Error, |a| {
                refuse(a, "CONFIG REWRITE");
            }),
            ("without it there is no planned switchover", Level::Warning, |a| {
                refuse(a, "CLIENT PAUSE 2000 WRITE");
            }),
            ("without it there is no planned switchover", Level::Warning, |a| {
                refuse(a, "CLIENT UNPAUSE");
            }),
            ("without it an external-change does not say who", Level::Warning, |a| {
                refuse(a, "CLIENT LIST");
            }),
            ("what may be sent to it cannot be seen (NOPERM)", Level::Warning, |a| {
                a.rights_unseen = Some("NOPERM".into());
            }),
            ("its clock is 3.0 s", Level::Warning, |a| a.clock = Some(Duration::from_secs(3))),
        ];
        for (words, level, change) in cases {
            let all = found(change);
            let [finding] = all.as_slice() else { panic!("{words}: {all:?}") };
            assert!(finding.text.contains(words) && finding.level == level, "{finding:?}");
        }
    }

    #[test]
    fn replicas_of_priority_0_alone_and_other_versions_are_found() {
        let with = |version: &str, priority: &str| {
            let mut answers = good();
            answers.info.insert("redis_version".into(), version.into());
            answers.settings.insert("replica-priority".into(), priority.into());
            answers
        };
        let node = |port| NodeAddr::new("127.0.0.1", port).unwrap();
        let known = [(node(1), with("7.0.15", "100")), (node(2), with("7.2.4", "0"))];
        let mut all = Vec::new();
        together(&record(), &known, &mut Findings::about("orders".into(), &mut all));
        let texts: Vec<_> = all.iter().map(|finding| finding.text.as_str()).collect();
        assert!(texts[0].contains("priority 0") && texts[1].contains("7.0.15, 7.2.4"), "{texts:?}");
    }
}
