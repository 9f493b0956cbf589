//! What changes the replicated record: `SENTINEL SET`, `MONITOR`, `REMOVE`, `RESET`, `FAILOVER`.

use super::sentinel::NO_SUCH_MASTER;
use super::{Answers, Outcome, Wish, lower, shown, text};
use crate::office::NO_CANDIDATE;
use crate::reply::{Proto, Reply};
use bytes::{Bytes, BytesMut};
use std::net::IpAddr;
use std::time::Duration;
use tokio::task::JoinSet;
use vedette_model::{GroupName, GroupRecord, Instruction, NodeAddr, Quorum, Setting, Verb, fits};
use vedette_protocol::gateway::Gateway;

/// Groups of one command that are seen to at the same time.
const AT_ONCE: usize = 64;

/// For a name to be looked up.
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);
/// What another gateway had recorded a moment ago is heard here within this.
const HEARD_LIMIT: Duration = Duration::from_millis(250);

/// As Sentinel answers to a master's name or address that is none.
const NO_SUCH_HOST: &str = "Invalid IP address or hostname specified";
/// As Sentinel answers while `deny-scripts-reconfig` is on, which it is unless somebody insists.
const SCRIPTS_DENIED: &str = "Reconfiguration of scripts path is denied for security reasons. \
    Check the deny-scripts-reconfig configuration directive in your Sentinel configuration";

impl Answers {
    /// `SENTINEL SET`: all options or none.
    pub(super) fn set(&self, name: &Bytes, options: &[Bytes]) -> Outcome {
        let view = self.view();
        let record = std::str::from_utf8(name).ok().and_then(|name| view.record(name));
        let Some(record) = record else { return Reply::err(NO_SUCH_MASTER).into() };
        match changes(record, options) {
            Ok(changes) if changes.is_empty() => Reply::ok().into(),
            Ok(changes) => wish(record.group.clone(), Verb::Set { changes }),
            Err(why) => Reply::err(why).into(),
        }
    }

    /// `SENTINEL MONITOR`: once for all gateways.
    pub(super) fn monitor(words: &[Bytes]) -> Outcome {
        match Monitor::parse(words) {
            Ok(wanted) => Outcome::Instruct(Wish::Monitor(wanted)),
            Err(why) => Reply::err(why).into(),
        }
    }

    /// `SENTINEL REMOVE`: a group that is removed already was removed at another gateway.
    pub(super) fn remove(&self, name: &Bytes) -> Outcome {
        let group = std::str::from_utf8(name).ok().and_then(|name| GroupName::parse(name).ok());
        let view = self.view();
        match group {
            Some(group) if view.record(group.as_str()).is_some() => wish(group, Verb::Remove),
            Some(group) if view.is_removed(&group) => Reply::ok().into(),
            Some(_) | None => Reply::err(NO_SUCH_MASTER).into(),
        }
    }

    /// `SENTINEL FAILOVER`, with Valkey's option. Answered when it has begun, as Sentinel does.
    pub(super) fn failover(&self, name: &Bytes, options: &[Bytes]) -> Outcome {
        let coordinated = match options {
            [] => false,
            [option] if option.eq_ignore_ascii_case(b"coordinated") => true,
            [_, ..] => return Reply::err("Unknown failover option specified").into(),
        };
        let view = self.view();
        let record = std::str::from_utf8(name).ok().and_then(|name| view.record(name));
        let Some(record) = record else { return Reply::err(NO_SUCH_MASTER).into() };
        if record.failover.is_some() {
            return Reply::Error("INPROG Failover already in progress".into()).into();
        }
        let epoch = record.epoch;
        let verb = if coordinated {
            Verb::Switchover { epoch, to: None, dry_run: false }
        } else {
            Verb::Failover { epoch }
        };
        wish(record.group.clone(), verb)
    }

    /// `SENTINEL RESET`: of all groups that fit.
    pub(super) fn reset(&self, pattern: &Bytes) -> Outcome {
        let view = self.view();
        let groups = view.records().map(|record| &record.group);
        let all: Vec<_> = groups
            .filter(|group| fits(pattern, group.as_str().as_bytes()))
            .map(|group| Instruction { group: Some(group.clone()), verb: Verb::Reset })
            .collect();
        let then = Reply::Integer(i64::try_from(all.len()).unwrap_or(i64::MAX));
        if all.is_empty() { then.into() } else { Outcome::Instruct(Wish::Instruct { all, then }) }
    }

    /// Has a wish carried out, and writes what came of it.
    pub async fn grant(&self, wish: Wish, proto: Proto, out: &mut BytesMut) {
        let granted = match wish {
            Wish::Instruct { all, then } => self.carry_out(all).await.map(|()| then),
            Wish::Monitor(wanted) => self.watch(&wanted).await.map(|()| Reply::ok()),
        };
        granted.unwrap_or_else(refusal).write(proto, out);
    }

    async fn watch(&self, wanted: &Monitor) -> Result<(), String> {
        let masters = wanted.masters(self.config.names_as_addresses).await;
        let declaration = self.declaration(wanted, &masters)?;
        let Err(why) = self.carry_out(vec![declaration]).await else { return Ok(()) };
        // Another gateway was told of it before, and its settings have been changed since.
        let watched = |view: &Gateway| {
            view.record(wanted.group.as_str()).is_some_and(|known| wanted.is(known, &masters))
        };
        match &self.office {
            Some(office) if office.holds(HEARD_LIMIT, watched).await => Ok(()),
            Some(_) | None => Err(why),
        }
    }

    /// What is new is as configured, whoever is told of it first: whether the group is there, and
    /// was not removed a moment ago, orchestrators know better.
    fn declaration(&self, wanted: &Monitor, masters: &[NodeAddr]) -> Result<Instruction, String> {
        let view = self.view();
        let master = match view.record(wanted.group.as_str()) {
            Some(known) if wanted.is(known, masters) => &known.master,
            None => masters.first().ok_or(NO_SUCH_HOST)?,
            Some(_) if masters.is_empty() => return Err(NO_SUCH_HOST.into()),
            Some(_) => return Err("Duplicate master name.".into()),
        };
        let (master, changes) = (master.clone(), self.config.new_group.clone());
        let verb = Verb::Monitor { master, quorum: wanted.quorum, changes };
        Ok(Instruction { group: Some(wanted.group.clone()), verb })
    }

    async fn carry_out(&self, all: Vec<Instruction>) -> Result<(), String> {
        let Some(office) = &self.office else { return Err("nobody carries it out".into()) };
        let mut asked = JoinSet::new();
        for instruction in all {
            if asked.len() >= AT_ONCE
                && let Some(outcome) = asked.join_next().await
            {
                outcome.map_err(|error| error.to_string())??;
            }
            let office = office.clone();
            asked.spawn(async move { office.carry_out(&instruction).await });
        }
        while let Some(outcome) = asked.join_next().await {
            outcome.map_err(|error| error.to_string())??;
        }
        Ok(())
    }
}

fn refusal(why: String) -> Reply {
    // It brings its own code.
    if why == NO_CANDIDATE { Reply::Error(why) } else { Reply::err(why) }
}

fn wish(group: GroupName, verb: Verb) -> Outcome {
    let all = vec![Instruction { group: Some(group), verb }];
    Outcome::Instruct(Wish::Instruct { all, then: Reply::ok() })
}

/// What `SENTINEL MONITOR` names.
pub struct Monitor {
    group: GroupName,
    master: NodeAddr,
    quorum: Quorum,
}

impl Monitor {
    /// Looks at the words in Sentinel's order.
    fn parse(words: &[Bytes]) -> Result<Self, String> {
        let [name, host, port, quorum] = words else { return Err("four words are needed".into()) };
        let number =
            |word: &Bytes, why: &str| text(word).parse::<i64>().map_err(|_| why.to_owned());
        let quorum = number(quorum, "Invalid quorum")?;
        let port = number(port, "Invalid port")?;
        if quorum < 1 {
            return Err("Quorum must be 1 or greater.".into());
        }
        let quorum = u32::try_from(quorum).ok().and_then(|count| Quorum::parse(count).ok());
        let quorum = quorum.ok_or("Invalid quorum")?;
        let host = text(host);
        NodeAddr::new(&host, 1).map_err(|_| NO_SUCH_HOST)?;
        let group = GroupName::parse(&text(name)).map_err(|error| error.to_string())?;
        let port = u16::try_from(port).map_err(|_| "Invalid port number.")?;
        let master = NodeAddr::new(&host, port).map_err(|_| "Invalid port number.")?;
        Ok(Self { group, master, quorum })
    }

    /// The master as it may be recorded: by its name and by the addresses behind it, first as a new
    /// group's is. Nothing if the name has no address.
    async fn masters(&self, as_addresses: bool) -> Vec<NodeAddr> {
        let (host, port) = (self.master.host(), self.master.port());
        if host.parse::<IpAddr>().is_ok() {
            return vec![self.master.clone()];
        }
        let found = tokio::time::timeout(LOOKUP_LIMIT, tokio::net::lookup_host((host, port))).await;
        let found = found.ok().and_then(Result::ok).into_iter().flatten();
        let mut masters: Vec<_> =
            found.filter_map(|found| NodeAddr::new(&found.ip().to_string(), port).ok()).collect();
        if !masters.is_empty() {
            let at = if as_addresses { masters.len() } else { 0 };
            masters.insert(at, self.master.clone());
        }
        masters
    }

    /// Whether this is the group that it names.
    fn is(&self, known: &GroupRecord, masters: &[NodeAddr]) -> bool {
        masters.contains(&known.master) && known.settings.quorum == self.quorum
    }
}

/// The settings that the options stand for, or Sentinel's error.
fn changes(record: &GroupRecord, mut options: &[Bytes]) -> Result<Vec<Setting>, String> {
    let mut changes = Vec::new();
    while let [option, rest @ ..] = options {
        let lower = lower(option);
        let values = if lower == "rename-command" { 2 } else { 1 };
        let known = Setting::of_sentinel_option(&lower).is_some() || other(&lower);
        let Some((given, rest)) = rest.split_at_checked(values).filter(|_| known) else {
            return Err(format!(
                "Unknown option or number of arguments for SENTINEL SET '{}'",
                shown(option)
            ));
        };
        options = rest;
        match (Setting::of_sentinel_option(&lower), given) {
            (Some(name), [value]) => changes.push(change(record, &changes, option, name, value)?),
            (_, [from, to]) if from.eq_ignore_ascii_case(to) => {}
            (_, [_, _]) => {
                return Err("commands cannot be renamed: the nodes must know MULTI, EXEC, \
                            REPLICAOF, CONFIG REWRITE, CLIENT KILL, ROLE, INFO and PING by these \
                            names"
                    .into());
            }
            (_, _) => return Err(SCRIPTS_DENIED.into()),
        }
    }
    Ok(changes)
}

/// Options that are no settings of a group here.
fn other(option: &str) -> bool {
    ["notification-script", "client-reconfig-script", "rename-command"].contains(&option)
}

fn change(
    record: &GroupRecord,
    before: &[Setting],
    option: &Bytes,
    name: &str,
    value: &Bytes,
) -> Result<Setting, String> {
    let secret = option.eq_ignore_ascii_case(b"auth-pass");
    let given = if secret { "******".into() } else { shown(value) };
    let invalid = format!("Invalid argument '{given}' for SENTINEL SET '{}'", shown(option));
    let Ok(text) = std::str::from_utf8(value) else { return Err(invalid) };
    let least = i64::from(name != "loading_budget_ms");
    let number = !["user", "password"].contains(&name);
    if number && !text.parse::<i64>().is_ok_and(|number| number >= least) {
        return Err(invalid);
    }
    // What Sentinel would take, and Vedette does not.
    let setting = Setting::parse(name, text).map_err(|error| format!("{invalid}: {error}"))?;
    let all: Vec<_> = before.iter().chain([&setting]).cloned().collect();
    record.settings.with(&all).map_err(|error| format!("{invalid}: {error}"))?;
    Ok(setting)
}

#[cfg(test)]
mod tests {
    use super::super::tests::answers;
    use super::*;
    use crate::config::ClientsConfig;
    use vedette_model::Settings;

    fn asked(options: &str) -> Result<Vec<String>, String> {
        let settings = Settings::with_quorum(Quorum::parse(2).unwrap());
        let master = NodeAddr::parse("10.0.0.1:6379").unwrap();
        let record = GroupRecord::first(GroupName::parse("g").unwrap(), master, settings);
        let options: Vec<_> = options
            .split(' ')
            .map(|word| Bytes::from(word.trim_matches('"').to_string()))
            .collect();
        changes(&record, &options).map(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_option_of_a_sentinel_is_a_setting() {
        let all = "DOWN-AFTER-MILLISECONDS 1000 failover-timeout 2000 parallel-syncs 2 quorum 3 \
                   master-reboot-down-after-period 0 auth-user u auth-pass p";
        let expected = [
            "down_after_ms=1000",
            "failover_timeout_ms=2000",
            "parallel_syncs=2",
            "quorum=3",
            "loading_budget_ms=0",
            "user=u",
            "password=******",
        ];
        assert_eq!(asked(all).unwrap(), expected);
        assert_eq!(asked("auth-pass \"\" auth-user \"\"").unwrap(), ["password=******", "user="]);
    }

    #[test]
    fn what_a_sentinel_refuses_is_refused_in_its_words() {
        for (options, why) in [
            ("quorum 0", "Invalid argument '0' for SENTINEL SET 'quorum'"),
            ("Quorum x", "Invalid argument 'x' for SENTINEL SET 'Quorum'"),
            (
                "quorum 3 parallel-syncs -1",
                "Invalid argument '-1' for SENTINEL SET 'parallel-syncs'",
            ),
            (
                "master-reboot-down-after-period -1",
                "Invalid argument '-1' for SENTINEL SET 'master-reboot-down-after-period'",
            ),
            ("nonsense 1", "Unknown option or number of arguments for SENTINEL SET 'nonsense'"),
            ("quorum 1 quorum", "Unknown option or number of arguments for SENTINEL SET 'quorum'"),
            (
                "rename-command PING",
                "Unknown option or number of arguments for SENTINEL SET 'rename-command'",
            ),
            ("notification-script /x", SCRIPTS_DENIED),
            ("client-reconfig-script /x", SCRIPTS_DENIED),
        ] {
            assert_eq!(asked(options), Err(why.to_string()));
        }
    }

    #[test]
    fn what_only_a_sentinel_would_take_is_refused_with_the_reason() {
        let why = asked("down-after-milliseconds 50").unwrap_err();
        assert_eq!(
            why,
            "Invalid argument '50' for SENTINEL SET 'down-after-milliseconds': down_after_ms must \
             be 100 to 3600000, not 50"
        );
        assert!(asked("rename-command PING PONG").unwrap_err().contains("cannot be renamed"));
        assert_eq!(asked("rename-command PING ping").unwrap(), [""; 0], "nothing was renamed");
    }

    #[test]
    fn a_master_is_looked_at_in_sentinels_order() {
        let why = |line: &str| {
            let words: Vec<_> = line.split(' ').map(|word| Bytes::from(word.to_string())).collect();
            Monitor::parse(&words).err()
        };
        for (line, expected) in [
            ("g 10.0.0.1 x y", Some("Invalid quorum")),
            ("g 10.0.0.1 x 0", Some("Invalid port")),
            ("g not:a:host 70000 0", Some("Quorum must be 1 or greater.")),
            ("g [ 70000 1", Some("Invalid IP address or hostname specified")),
            ("g 10.0.0.1 70000 1", Some("Invalid port number.")),
            ("g redis-0.redis 6379 1", None),
        ] {
            assert_eq!(why(line).as_deref(), expected, "{line}");
        }
    }

    fn monitor(line: &str) -> Monitor {
        let words: Vec<_> = line.split(' ').map(|word| Bytes::from(word.to_string())).collect();
        Monitor::parse(&words).unwrap()
    }

    /// What orchestrators are told: the master, and the settings of a group that is new.
    async fn declared(answers: &Answers, line: &str) -> Result<(NodeAddr, Vec<Setting>), String> {
        let wanted = monitor(line);
        let masters = wanted.masters(answers.config.names_as_addresses).await;
        let declaration = answers.declaration(&wanted, &masters)?;
        let Verb::Monitor { master, changes, .. } = declaration.verb else {
            panic!("{declaration:?}");
        };
        Ok((master, changes))
    }

    #[tokio::test]
    async fn a_group_is_declared_alike_whether_it_is_known_here_already_or_not() {
        let new_group = vec![Setting::FlapLimit(0), Setting::DownAfterMs(30_000)];
        let config = ClientsConfig { new_group: new_group.clone(), ..ClientsConfig::default() };
        let answers = answers(config);
        for line in ["new 10.0.0.7 6379 2", "orders 10.0.0.1 6379 2"] {
            assert_eq!(declared(&answers, line).await.unwrap().1, new_group, "{line}");
        }
        for line in ["orders 10.0.0.2 6379 2", "orders 10.0.0.1 6379 3", "orders localhost 6379 2"]
        {
            let why = declared(&answers, line).await.unwrap_err();
            assert_eq!(why, "Duplicate master name.", "{line}");
        }
    }

    #[tokio::test]
    async fn a_masters_name_must_resolve_and_is_recorded_as_the_process_announces_it() {
        for names_as_addresses in [false, true] {
            let answers = answers(ClientsConfig { names_as_addresses, ..ClientsConfig::default() });
            let (master, _) = declared(&answers, "new localhost 7000 2").await.unwrap();
            let is_address = master.host().parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
            assert_eq!((is_address, master.port()), (names_as_addresses, 7_000), "{master}");
            for group in ["new", "orders"] {
                let line = format!("{group} no-such.invalid 7000 2");
                assert_eq!(declared(&answers, &line).await.unwrap_err(), NO_SUCH_HOST);
            }
        }
    }

    #[tokio::test]
    async fn a_name_of_several_addresses_is_the_one_that_is_recorded() {
        let answers = answers(ClientsConfig::default());
        let wanted = monitor("orders redis.example.com 6379 2");
        let masters = ["10.0.0.9:6379", "10.0.0.1:6379"].map(|at| NodeAddr::parse(at).unwrap());
        let Verb::Monitor { master, .. } = answers.declaration(&wanted, &masters).unwrap().verb
        else {
            panic!("it is declared");
        };
        assert_eq!(master, masters[1]);
    }

    #[tokio::test]
    async fn a_group_is_the_same_by_its_masters_name_and_by_an_address_behind_it() {
        for names_as_addresses in [false, true] {
            let answers = answers(ClientsConfig { names_as_addresses, ..ClientsConfig::default() });
            let masters = monitor("g localhost 7000 2").masters(names_as_addresses).await;
            for host in ["localhost", "127.0.0.1"] {
                let known = NodeAddr::new(host, 7_000).unwrap();
                assert!(masters.contains(&known), "{masters:?}");
            }
            let address =
                monitor("g 127.0.0.1 7000 2").masters(answers.config.names_as_addresses).await;
            assert_eq!(address, [NodeAddr::new("127.0.0.1", 7_000).unwrap()]);
        }
    }

    #[test]
    fn a_refused_password_is_not_repeated() {
        let why = asked(&format!("auth-pass {}", "s3cret".repeat(100))).unwrap_err();
        assert!(why.contains("at most 512 bytes") && !why.contains("s3cret"), "{why}");
    }
}
