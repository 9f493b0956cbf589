//! What clients are answered, word for word.

use super::*;
use crate::users::{Rights, UserConfig};
use std::net::{IpAddr, Ipv4Addr};
use vedette_model::{
    BallotNumber, DigestReply, Fact, GroupName, GroupRecord, Health, Heartbeat, Member, NodeAddr,
    NodeReport, NodeView, OrchestratorId, Place, ProberId, Quorum, RecordCommitted, ReplId, Role,
    Roster, RosterVersion, RunId, Secret, Sender, Service, Setting, Settings, Upstream, VoterId,
};
use vedette_protocol::Machine as _;
use vedette_protocol::gateway;

/// A client of a gateway that knows the group `orders`, whose master is 10.0.0.1:6379.
pub(crate) struct Talk {
    pub(crate) answers: Arc<Answers>,
    client: Client,
}

fn node(n: u8) -> NodeAddr {
    NodeAddr::new(&format!("10.0.0.{n}"), 6_379).unwrap()
}

pub(crate) fn record() -> GroupRecord {
    let settings = Settings::with_quorum(Quorum::parse(2).unwrap());
    let mut record = GroupRecord::first(GroupName::parse("orders").unwrap(), node(1), settings);
    record.members.extend([Member::new(node(2), None), Member::new(node(3), None)]);
    let _ = record.lineage.add(&ReplId::parse(&"a".repeat(40)).unwrap());
    record
}

/// Node 2 or 3 as a replica of the master that may be read from.
pub(crate) fn good(n: u8) -> NodeView {
    NodeView {
        run_id: RunId::parse(&format!("{n:040x}")).unwrap(),
        role: Role::Replica,
        replid: ReplId::parse(&"a".repeat(40)).unwrap(),
        replid2: None,
        second_offset: None,
        offset: 900,
        priority: 100,
        upstream: Some(Upstream {
            addr: node(1),
            link_up: true,
            down_for_ms: None,
            syncing: false,
        }),
        replicas: Vec::new(),
        loading: false,
        loading_eta_ms: None,
        empty: false,
        persistence_ok: true,
        unsaved: false,
        hidden: false,
    }
}

/// What a prober says of it.
pub(crate) fn said(n: u8, view: NodeView) -> Fact {
    let prober = ProberId::parse("p1").unwrap();
    NodeReport { group: record().group, node: node(n), prober, view }.into()
}

pub(crate) fn view(clock: &Clock, config: &ClientsConfig) -> Gateway {
    let sender = Sender::parse(Service::Gateway, "g1", 1).unwrap();
    let place = Place::parse("here").unwrap();
    let serves = NodeAddr::new("10.0.0.9", 26_379).unwrap();
    let unreadable_is_down = config.unreadable_is_down();
    let own = gateway::Config { sender, place, serves, unreadable_is_down };
    let mut view = Gateway::new(own, clock.now());
    let proposer = OrchestratorId::parse("o1").unwrap();
    let ballot = BallotNumber { number: 1, proposer, incarnation: 1 };
    let reply = DigestReply {
        voter: VoterId::parse("v1").unwrap(),
        records: vec![RecordCommitted { ballot, record: record() }],
        unsettled: Vec::new(),
        more: false,
    };
    let roster = Roster::parse(RosterVersion(1), vec![reply.voter.clone()]).unwrap();
    let beat = Heartbeat {
        service: Service::Voter,
        id: "v1".into(),
        incarnation: 1,
        tick: 1,
        place: Place::parse("here").unwrap(),
        health: Health::Well,
        roster: Some(roster),
        standings: Vec::new(),
        serves: None,
        back: false,
        host: None,
    };
    view.handle(beat.into(), clock.now());
    view.handle(reply.into(), clock.now());
    while view.poll_output().is_some() {}
    view
}

pub(crate) fn answers(config: ClientsConfig) -> Arc<Answers> {
    let clock = Clock::start();
    let users = Users::load(&config).unwrap();
    let gateway = Arc::new(RwLock::new(view(&clock, &config)));
    let listening = SocketAddr::from(([127, 0, 0, 1], 26_379));
    let (tell, _) = broadcast::channel(config.max_waiting_events);
    Arc::new(Answers::new(gateway, clock, config, users, listening, tell, "g1"))
}

pub(crate) const ENDS: Ends = Ends {
    from: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 8)), 50_000),
    to: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)), 26_379),
};

impl Talk {
    pub(crate) fn with(config: ClientsConfig) -> Self {
        Self::beside(&answers(config))
    }

    /// One more client.
    pub(crate) fn beside(answers: &Arc<Answers>) -> Self {
        let client = answers.welcome(ENDS);
        Self { answers: Arc::clone(answers), client }
    }

    /// Its gateway hears this.
    pub(crate) fn tell(&self, fact: Fact) {
        let now = self.answers.now();
        self.answers.gateway.write().unwrap().handle(fact, now);
    }

    /// The reply to a line of words, as it is sent.
    pub(crate) fn says(&mut self, line: &str) -> String {
        let words: Vec<Bytes> =
            line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        let mut out = BytesMut::new();
        let _ = self.answers.run(&mut self.client, &words, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[track_caller]
    pub(crate) fn hears(&mut self, line: &str, wanted: &str) {
        assert_eq!(self.says(line), format!("{wanted}\r\n"), "{line}");
    }
}

const NOAUTH: &str = "-NOAUTH Authentication required.";
const WRONGPASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.";

fn user(password: &str, rights: Rights) -> UserConfig {
    let password = Some(Secret::new(password.into()));
    UserConfig { password, rights, ..UserConfig::default() }
}

fn two_users() -> ClientsConfig {
    let users = [("app", user("a", Rights::Read)), ("ops", user("o", Rights::Admin))];
    let users = users.map(|(name, user)| (name.to_owned(), user)).into();
    ClientsConfig { users, ..ClientsConfig::default() }
}

#[test]
fn without_a_login_nothing_is_answered_where_one_is_needed() {
    let mut talk = Talk::with(two_users());
    for line in ["PING", "SENTINEL MASTERS", "CLIENT LIST", "ACL WHOAMI", "SUBSCRIBE x", "INFO"] {
        talk.hears(line, NOAUTH);
    }
    talk.hears("AUTH app b", WRONGPASS);
    talk.hears("AUTH a", WRONGPASS);
    talk.hears("AUTH nobody a", WRONGPASS);
    talk.hears("PING", NOAUTH);
    assert!(talk.says("HELLO 3").starts_with("-NOAUTH HELLO must be called"));
    talk.hears("HELLO 3 AUTH app b", WRONGPASS);
    talk.hears("PING", NOAUTH);
    assert!(talk.says("HELLO 3 AUTH app a SETNAME shop").starts_with("%6\r\n"));
    talk.hears("PING", "+PONG");
    talk.hears("ACL WHOAMI", "$3\r\napp");
    talk.hears("CLIENT GETNAME", "$4\r\nshop");
}

#[test]
fn who_may_read_asks_and_who_is_admin_changes() {
    let mut talk = Talk::with(two_users());
    talk.hears("AUTH app a", "+OK");
    talk.hears("SENTINEL GET-MASTER-ADDR-BY-NAME orders", "*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6379");
    talk.hears(
        "SENTINEL FAILOVER orders",
        "-NOPERM User app has no permissions to run the 'sentinel|failover' command",
    );
    talk.hears("SHUTDOWN", "-NOPERM User app has no permissions to run the 'shutdown' command");
    talk.hears("AUTH ops wrong", WRONGPASS);
    talk.hears("ACL WHOAMI", "$3\r\napp");
    talk.hears("AUTH ops o", "+OK");
    talk.hears("ACL WHOAMI", "$3\r\nops");
    talk.hears("ACL USERS", "*2\r\n$3\r\napp\r\n$3\r\nops");
    assert!(!talk.says("SENTINEL FAILOVER orders").starts_with("-NOPERM"));
}

#[test]
fn where_there_is_nothing_to_do_the_words_are_looked_at_all_the_same() {
    let mut talk = Talk::with(ClientsConfig::default());
    for (line, wanted) in [
        ("CLIENT PAUSE 1", "+OK"),
        ("CLIENT PAUSE 1 write", "+OK"),
        ("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range"),
        ("CLIENT PAUSE -1", "-ERR timeout is negative"),
        ("CLIENT PAUSE x nonsense", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
        ("CLIENT NO-EVICT off", "+OK"),
        ("CLIENT NO-EVICT x", "-ERR syntax error"),
        ("CLIENT TRACKING on", "+OK"),
        ("CLIENT TRACKING x", "-ERR syntax error"),
        ("CLIENT REPLY x", "-ERR syntax error"),
        ("CLIENT UNBLOCK 5", ":0"),
        ("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range"),
        ("CLIENT UNBLOCK 5 x", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        ("CLIENT HELP x", "-ERR wrong number of arguments for 'client|help' command"),
    ] {
        talk.hears(line, wanted);
    }
    for container in ["CLIENT", "COMMAND", "ACL"] {
        let text = talk.says(&format!("{container} HELP"));
        assert!(text.contains(&format!("+{container} <subcommand>")), "{text}");
    }
    let _ = talk.says("SUBSCRIBE a");
    assert!(talk.says("SENTINEL MYID").starts_with("-ERR Can't execute 'sentinel|myid'"));
}

#[test]
fn the_timers_of_a_new_group_are_told_as_they_are_configured() {
    let asked = "SENTINEL DEBUG default-down-after 30000 default-failover-timeout 60000";
    let refused = "-ERR Invalid argument '30000' for SENTINEL DEBUG 'default-down-after': timers \
                   that are no group's are constants";
    Talk::with(ClientsConfig::default()).hears(asked, refused);
    let new_group = vec![Setting::DownAfterMs(30_000)];
    Talk::with(ClientsConfig { new_group, ..ClientsConfig::default() }).hears(asked, "+OK");
}

#[test]
fn the_log_has_the_level_that_is_configured() {
    let mut talk = Talk::with(ClientsConfig::default());
    talk.hears("SENTINEL CONFIG GET loglevel", "*2\r\n$8\r\nloglevel\r\n$6\r\nnotice");
    let answers = Arc::into_inner(answers(ClientsConfig::default())).unwrap();
    let mut talk = Talk::beside(&Arc::new(answers.with_log_level("debug")));
    talk.hears("SENTINEL CONFIG GET loglevel", "*2\r\n$8\r\nloglevel\r\n$5\r\ndebug");
    talk.hears("SENTINEL CONFIG SET loglevel debug", "+OK");
    assert!(talk.says("SENTINEL CONFIG SET loglevel notice").contains("it is log.level"));
}

#[test]
fn without_users_there_is_no_login() {
    let mut talk = Talk::with(ClientsConfig::default());
    talk.hears("ACL WHOAMI", "$7\r\ndefault");
    assert!(talk.says("AUTH x").starts_with("-ERR AUTH <password> called without any password"));
    talk.hears("AUTH default x", "+OK");
    talk.hears("AUTH other x", WRONGPASS);
    assert!(!talk.says("SENTINEL FAILOVER orders").starts_with("-NOPERM"));
}

/// The values of a field in all lines of `CLIENT LIST`.
fn listed(talk: &mut Talk, how: &str, field: &str) -> Vec<String> {
    let text = talk.says(how);
    let lines = text.lines().filter(|line| line.starts_with("id="));
    let value = |line: &str| {
        let found = line.split(' ').find_map(|pair| pair.strip_prefix(&format!("{field}=")));
        found.unwrap_or_else(|| panic!("no {field} in {line}")).to_owned()
    };
    lines.map(value).collect()
}

#[test]
fn clients_are_listed_with_the_fields_of_redis() {
    let answers = answers(two_users());
    let (mut one, mut two) = (Talk::beside(&answers), Talk::beside(&answers));
    one.hears("AUTH app a", "+OK");
    two.hears("AUTH ops o", "+OK");
    one.hears("CLIENT SETNAME shop", "+OK");
    let _ = one.says("PSUBSCRIBE *");
    let fields = "id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free \
                  argv-mem multi-mem rbs rbp obl oll omem tot-mem events cmd user redir resp \
                  lib-name lib-ver";
    let text = two.says("CLIENT LIST");
    let line = text.lines().find(|line| line.contains("name=shop")).unwrap();
    let names: Vec<&str> =
        line.split(' ').filter_map(|pair| pair.split_once('=')).map(|p| p.0).collect();
    assert_eq!(names, fields.split_whitespace().collect::<Vec<_>>());
    assert!(line.contains(" addr=10.0.0.8:50000 laddr=10.0.0.9:26379 "), "{line}");
    assert!(line.contains(" psub=1 ") && line.contains(" cmd=psubscribe user=app "), "{line}");
    assert_eq!(listed(&mut two, "CLIENT LIST", "cmd"), ["psubscribe", "client|list"]);
    assert_eq!(listed(&mut two, "CLIENT LIST TYPE pubsub", "name"), ["shop"]);
    assert_eq!(listed(&mut two, "CLIENT LIST TYPE master", "name"), [""; 0]);
    assert_eq!(listed(&mut two, "CLIENT LIST ID 2 9", "user"), ["ops"]);
    two.hears("CLIENT LIST TYPE x", "-ERR Unknown client type 'x'");
    two.hears("CLIENT LIST ID x", "-ERR Invalid client ID");
    two.hears("CLIENT LIST x", "-ERR syntax error");
}

#[tokio::test]
async fn clients_are_killed_by_every_filter_and_only_they() {
    for (filter, killed) in [
        ("10.0.0.8:50000", None),
        ("ID 2", Some(1)),
        ("ID 9", Some(0)),
        ("TYPE normal", Some(1)),
        ("TYPE pubsub", Some(1)),
        ("TYPE master", Some(0)),
        ("USER app", Some(2)),
        ("USER ops", Some(0)),
        ("LADDR 10.0.0.9:26379", Some(2)),
        ("ADDR 10.0.0.8:50000 TYPE pubsub", Some(1)),
        ("MAXAGE 3600", Some(0)),
    ] {
        let answers = answers(two_users());
        let mut ops = Talk::beside(&answers);
        let mut others = [Talk::beside(&answers), Talk::beside(&answers)];
        ops.hears("AUTH ops o", "+OK");
        for other in &mut others {
            other.hears("AUTH app a", "+OK");
        }
        let _ = others[1].says("SUBSCRIBE x");
        let wanted = killed.map_or("+OK".into(), |count| format!(":{count}"));
        ops.hears(&format!("CLIENT KILL {filter}"), &wanted);
        let mut told = 0;
        for other in &others {
            let killed = other.client.killed();
            let told_now = tokio::time::timeout(std::time::Duration::ZERO, killed.notified());
            told += u32::from(told_now.await.is_ok());
        }
        assert_eq!(told, killed.unwrap_or(2), "{filter}");
    }
}

#[test]
fn whoever_kills_itself_is_answered_first() {
    let mut talk = Talk::with(ClientsConfig::default());
    let mut out = BytesMut::new();
    let words = ["CLIENT", "KILL", "SKIPME", "no"].map(Bytes::from);
    let next = talk.answers.run(&mut talk.client, &words, &mut out);
    assert!(matches!(next, Next::Leave(Left::Killed)) && out == b":1\r\n"[..]);
    talk.hears("CLIENT KILL TYPE normal", ":0");
}

#[test]
fn what_kill_does_not_understand_it_says() {
    let mut talk = Talk::with(two_users());
    talk.hears("AUTH ops o", "+OK");
    for (line, wanted) in [
        ("CLIENT KILL", "-ERR wrong number of arguments for 'client|kill' command"),
        ("CLIENT KILL 1.2.3.4:5", "-ERR No such client"),
        ("CLIENT KILL ID", "-ERR No such client"),
        ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0"),
        ("CLIENT KILL TYPE x", "-ERR Unknown client type 'x'"),
        ("CLIENT KILL USER x", "-ERR No such user 'x'"),
        ("CLIENT KILL SKIPME maybe", "-ERR syntax error"),
        ("CLIENT KILL ID 1 TYPE", "-ERR syntax error"),
        ("CLIENT KILL MAXAGE x", "-ERR maxage is not an integer or out of range"),
    ] {
        talk.hears(line, wanted);
    }
    talk.hears("AUTH app a", "+OK");
    talk.hears(
        "CLIENT KILL ID 1",
        "-NOPERM User app has no permissions to run the 'client|kill' command",
    );
}
