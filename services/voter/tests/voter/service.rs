//! The binary, by itself and on a real NATS.

use std::path::Path;
use std::process::{Command, Output};
use tokio::sync::mpsc;
use tokio::time::timeout;
use vedette_harness::{LIMIT, NatsServer, Process, within};
use vedette_model::{
    Ballot, BallotAnswer, BallotNumber, Candidacy, Fact, FactKind, GroupName, GroupRecord,
    NodeAddr, OrchestratorId, Proposal, ProposalAnswer, Purpose, Quorum, Refusal, RosterVersion,
    Settings,
};
use vedette_runtime::{Bus, NatsConfig, Received, Shutdown, life};

const BINARY: &str = env!("CARGO_BIN_EXE_vedette-voter");

fn voter(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).env_clear().output().unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_file_that_is_no_store_is_a_failure_that_names_it_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("v1.redb");
    std::fs::write(&store, "no store").unwrap();
    let output = voter(&["--id", "v1", "--store", store.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let words = words(&output);
    assert!(words.contains(store.to_str().unwrap()) && words.contains("move the file"), "{words}");
}

/// NATS, a voter's process on it, and somebody who asks for votes.
struct Stage {
    folder: tempfile::TempDir,
    nats: Vec<NatsServer>,
    process: Process,
    bus: Bus,
    answers: mpsc::Receiver<Received>,
    incarnation: Option<u64>,
}

impl Stage {
    async fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nats = NatsServer::start(1, false, folder.path()).await.unwrap();
        let url = nats[0].url().to_owned();
        let process = start("v1", &url, folder.path(), "v1.redb");
        let config = NatsConfig { servers: vec![url], ..NatsConfig::default() };
        let bus = life::visit(&config, &Shutdown::new()).await.unwrap();
        let answers = bus.subscribe(&[FactKind::Heartbeat]).await.unwrap();
        let mut stage = Self { folder, nats, process, bus, answers, incarnation: None };
        stage.up().await;
        // The only voter of a new system founds it by itself, after a second of listening.
        while matches!(stage.ask_vote(1).await, BallotAnswer::Refused { why: Refusal::Joining, .. })
        {
        }
        stage
    }

    /// Waits for a heartbeat of the voter's machine, which comes after its subscriptions, from
    /// another life than the one known.
    async fn up(&mut self) {
        let known = self.incarnation;
        let alive = move |fact| {
            let Fact::Heartbeat(beat) = fact else { return None };
            let new = beat.id == "v1" && beat.tick > 0 && Some(beat.incarnation) != known;
            new.then_some(beat.incarnation)
        };
        self.incarnation = Some(self.hear(alive).await);
    }

    async fn hear<T>(&mut self, pick: impl Fn(Fact) -> Option<T>) -> T {
        let hearing = async {
            loop {
                let received = self.answers.recv().await.expect("the bus lives");
                if let Some(found) = pick(received.fact) {
                    return found;
                }
            }
        };
        timeout(LIMIT, hearing).await.expect("an answer")
    }

    async fn ask_vote(&mut self, number: u64) -> BallotAnswer {
        let asked = Candidacy {
            group: group(),
            ballot: ballot(number),
            purpose: Purpose::Configure,
            roster: RosterVersion(1),
        };
        self.bus.publish(&asked.into()).await;
        let own = |fact| {
            let Fact::Ballot(Ballot { ballot: answered, answer, .. }) = fact else { return None };
            (answered == ballot(number)).then_some(answer)
        };
        self.hear(own).await
    }
}

fn start(id: &str, url: &str, folder: &Path, store: &str) -> Process {
    let store = folder.join(store).to_string_lossy().into_owned();
    let config = folder.join("voter.toml");
    std::fs::write(&config, "[roster]\nvoters = [\"v1\"]\n").unwrap();
    let config = config.to_string_lossy().into_owned();
    let arguments = ["--id", id, "--config", &config, "--nats", url, "--store", &store];
    let arguments = arguments.map(String::from).into();
    // A folder of its own: each start has a log of its own.
    let home = tempfile::tempdir_in(folder).unwrap().keep();
    Process::spawn(id, BINARY.into(), arguments, &home).unwrap()
}

fn group() -> GroupName {
    GroupName::parse("g").unwrap()
}

fn ballot(number: u64) -> BallotNumber {
    BallotNumber { number, proposer: OrchestratorId::parse("o1").unwrap(), incarnation: 1 }
}

fn record() -> GroupRecord {
    let settings = Settings::with_quorum(Quorum::parse(1).unwrap());
    GroupRecord::first(group(), NodeAddr::parse("127.0.0.1:6379").unwrap(), settings)
}

#[tokio::test]
async fn what_it_answered_holds_after_kill_9() {
    let mut stage = Stage::set().await;
    let promised = stage.ask_vote(7).await;
    assert!(matches!(promised, BallotAnswer::Promise { accepted: None, .. }), "{promised:?}");
    stage
        .bus
        .publish(&Proposal { ballot: ballot(7), roster: RosterVersion(1), record: record() }.into())
        .await;
    let accepted = |fact| if let Fact::ProposalReply(r) = fact { Some(r.answer) } else { None };
    assert_eq!(stage.hear(accepted).await, ProposalAnswer::Accepted);
    stage.process.kill9().unwrap();
    stage.process.start().unwrap();
    stage.up().await;
    let older = stage.ask_vote(6).await;
    assert!(
        matches!(&older, BallotAnswer::Refused { promised: Some(b), .. } if *b == ballot(7)),
        "{older:?}"
    );
    let newer = stage.ask_vote(8).await;
    assert!(
        matches!(&newer, BallotAnswer::Promise { accepted: Some((b, r)), .. }
            if *b == ballot(7) && *r == record()),
        "{newer:?}"
    );
}

#[tokio::test]
async fn a_second_voter_of_the_same_id_or_file_does_not_start() {
    let stage = Stage::set().await;
    let url = stage.nats[0].url();
    for (store, part) in [("v1.redb", "in use by another process"), ("other.redb", "is taken")] {
        let mut second = start("v1", url, stage.folder.path(), store);
        let status = within(LIMIT, "it ends", async || second.ended()).await.unwrap();
        assert_eq!(status.code(), Some(1), "{}", second.log());
        assert!(second.log().contains(part), "{}", second.log());
    }
}
