//! The store on real files.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use vedette_model::{
    BallotNumber, GroupName, GroupRecord, NodeAddr, OrchestratorId, Quorum, RecordCommitted,
    Settings, VoterId,
};
use vedette_protocol::voter::Stored;
use vedette_voter::store::{Error, Store};

fn voter(id: &str) -> VoterId {
    VoterId::parse(id).unwrap()
}

fn ballot(number: u64) -> BallotNumber {
    BallotNumber { number, proposer: OrchestratorId::parse("o1").unwrap(), incarnation: 9 }
}

/// A row as big as real ones are.
fn stored(group: &str, number: u64) -> Stored {
    let group = GroupName::parse(group).unwrap();
    let master = NodeAddr::parse("10.0.0.1:6379").unwrap();
    let settings = Settings::with_quorum(Quorum::parse(2).unwrap());
    let record = GroupRecord::first(group.clone(), master, settings);
    Stored {
        group,
        promised: Some(ballot(number)),
        accepted: Some((ballot(number), record.clone())),
        committed: Some(RecordCommitted { ballot: ballot(number), record }),
    }
}

fn open(path: &Path) -> Result<(Store, Vec<Stored>), Error> {
    Store::open(path, &voter("v1"))
}

/// A closed store that holds so many groups.
async fn filled(path: &Path, groups: usize) {
    let (store, found) = open(path).unwrap();
    assert_eq!(found, []);
    store.save((0..groups).map(|n| stored(&format!("group-{n:04}"), 1)).collect()).await.unwrap();
    drop(store);
}

#[tokio::test]
async fn what_was_saved_last_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v1.redb");
    let (store, found) = open(&path).unwrap();
    assert_eq!(found, []);
    store.save(vec![stored("b", 1), stored("a", 1), stored("a", 2)]).await.unwrap();
    store.save(vec![stored("c", 3)]).await.unwrap();
    drop(store);
    let (store, found) = open(&path).unwrap();
    assert_eq!(found, [stored("a", 2), stored("b", 1), stored("c", 3)]);
    drop(store);
}

#[tokio::test]
async fn the_file_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v1.redb");
    filled(&path, 1).await;
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    drop(open(&path).unwrap());
    assert_eq!(mode(), 0o600, "an open file is closed to others");
}

#[tokio::test]
async fn a_second_voter_on_the_same_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v1.redb");
    let (store, _) = open(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    drop(store);
    drop(open(&path).unwrap());
}

#[tokio::test]
async fn another_voters_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v1.redb");
    filled(&path, 1).await;
    let error = Store::open(&path, &voter("v2")).unwrap_err();
    assert!(
        matches!(&error, Error::OtherVoter { owner, voter, .. }
            if owner == "v1" && voter.as_str() == "v2"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "nothing to do with voting\n".repeat(1_000);
    fs::write(&path, &text).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "a folder: {error}");
    let error = open(&folder.path().join("no/such/folder/v1.redb")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "no folder: {error}");
}

#[test]
fn a_store_of_another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v1.redb");
    let about = redb::TableDefinition::<&str, &str>::new("about");
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(about).unwrap().insert("format", "2").unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open(&path).unwrap_err();
    assert!(matches!(&error, Error::OtherFormat { found, .. } if found == "2"), "{error}");
}

/// Damage anywhere in the file is either harmless (a page that is not in use: all rows are there as
/// saved) or refused, now and at the next start: it never passes for an older state.
#[tokio::test]
async fn a_damaged_file_is_refused_also_the_second_time() {
    const GROUPS: usize = 64;
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("sound.redb");
    filled(&sound, GROUPS).await;
    let bytes = fs::metadata(&sound).unwrap().len();
    let mut refused = 0;
    for n in 0..200 {
        let path = folder.path().join(format!("damaged-{n}.redb"));
        fs::copy(&sound, &path).unwrap();
        let mut file = OpenOptions::new().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(bytes * n / 200)).unwrap();
        file.write_all(&[0x5a; 300]).unwrap();
        drop(file);
        match open(&path) {
            Ok((store, found)) => {
                let rows = (0..GROUPS).map(|g| stored(&format!("group-{g:04}"), 1));
                assert!(found.into_iter().eq(rows), "damage {n} changed rows");
                drop(store);
            }
            Err(first) => {
                let second = open(&path).expect_err("it passed at the second start");
                for error in [first, second] {
                    assert!(
                        matches!(error, Error::Damaged { .. } | Error::OtherFormat { .. }),
                        "damage {n}: {error}"
                    );
                }
                refused += 1;
            }
        }
        fs::remove_file(&path).unwrap();
    }
    assert!(refused >= 10, "only {refused} of 200 damaged files were refused");
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v1.redb");
    filled(&path, 64).await;
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    drop(file);
    let error = open(&path).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

const WRITER: &str = "VEDETTE_TEST_WRITER";

/// Runs itself as the writer process, which says each number after it was synced, and kills it at
/// one moment after the other.
#[tokio::test]
async fn a_writer_killed_at_any_moment_has_lost_nothing_that_it_reported() {
    if let Some(path) = std::env::var_os(WRITER) {
        return write_for_ever(Path::new(&path)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v1.redb");
    let mut last = 0;
    for round in 1..=20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "store::a_writer_killed_at_any_moment_has_lost_nothing_that_it_reported",
                "--exact",
                "--nocapture",
            ])
            .env(WRITER, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut reported = lines.by_ref().filter_map(|line| {
            line.strip_prefix("synced ").map(|number| number.parse::<u64>().unwrap())
        });
        for _ in 0..round * 7 % 41 + 1 {
            last = reported.next().expect("the writer ended by itself");
        }
        child.kill().unwrap();
        last = reported.last().unwrap_or(last);
        child.wait().unwrap();
        let (store, found) = open(&path).unwrap();
        assert_eq!(found.len(), 8, "round {round}");
        let numbers: Vec<_> = found.iter().map(|s| s.promised.as_ref().unwrap().number).collect();
        assert!(numbers[0] >= last, "round {round}: {last} was reported, {} is there", numbers[0]);
        assert!(numbers.iter().all(|n| *n == numbers[0]), "a batch was torn: {numbers:?}");
        drop(store);
    }
}

async fn write_for_ever(path: &Path) {
    let (store, found) = open(path).unwrap();
    let first = found.first().and_then(|s| s.promised.as_ref()).map_or(1, |b| b.number + 1);
    for number in first.. {
        store.save((0..8).map(|g| stored(&format!("g{g}"), number)).collect()).await.unwrap();
        println!("synced {number}");
    }
}
