//! The store on real files.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use vedette_model::{
    BallotNumber, GroupName, GroupRecord, NodeAddr, OrchestratorId, Quorum, RecordCommitted,
    Roster, RosterVersion, Settings, VoterId,
};
use vedette_protocol::roster::Meta;
use vedette_protocol::voter::Stored;
use vedette_voter::store::{Batch, Error, Store};

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

fn meta() -> Meta {
    let voters = ["v1", "v2", "v3"].map(voter).into();
    Meta { floor: 7, ..Meta::first(Roster::parse(RosterVersion(1), voters).unwrap()) }
}

fn batch(groups: Vec<Stored>) -> Batch {
    Batch { groups, meta: Some(meta()) }
}

/// What [`filled`] leaves in a store.
fn full(groups: usize) -> Batch {
    batch((0..groups).map(|n| stored(&format!("group-{n:04}"), 1)).collect())
}

fn empty() -> Batch {
    Batch::default()
}

/// Files that were moved aside.
fn aside(folder: &Path) -> usize {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().contains(".damaged-")).count()
}

fn open(path: &Path) -> Result<(Store, Batch), Error> {
    Store::open(path, &voter("v1"))
}

/// A closed store that holds so many groups.
async fn filled(path: &Path, groups: usize) {
    let (store, found) = open(path).unwrap();
    assert_eq!(found, empty());
    store.save(full(groups)).await.unwrap();
    drop(store);
}

#[tokio::test]
async fn what_was_saved_last_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v1.redb");
    let (store, found) = open(&path).unwrap();
    assert_eq!(found, empty());
    store.save(batch(vec![stored("b", 1), stored("a", 1), stored("a", 2)])).await.unwrap();
    store.save(Batch { groups: vec![stored("c", 3)], meta: None }).await.unwrap();
    drop(store);
    let (store, found) = open(&path).unwrap();
    assert_eq!(found, batch(vec![stored("a", 2), stored("b", 1), stored("c", 3)]));
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
    assert!(matches!(error, Error::NoStore { .. }), "{error}");
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
    let about = redb::TableDefinition::<&str, &str>::new("vedette.about");
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(about).unwrap().insert("format", "1").unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open(&path).unwrap_err();
    assert!(matches!(&error, Error::OtherFormat { found, .. } if found == "1"), "{error}");
}

/// Opens a copy of the file that was changed: either it holds what it held, or it was moved aside
/// and the store is empty. Whether it was moved.
fn open_changed(sound: &Path, held: &Batch, change: impl FnOnce(&mut Vec<u8>)) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v1.redb");
    let mut bytes = fs::read(sound).unwrap();
    change(&mut bytes);
    fs::write(&path, &bytes).unwrap();
    let (store, found) = open(&path).unwrap();
    drop(store);
    if aside(folder.path()) == 0 {
        assert_eq!(found, *held, "it passed for sound with another content");
        return false;
    }
    assert_eq!(found, empty());
    let (store, found) = open(&path).unwrap();
    assert_eq!((found, aside(folder.path())), (empty(), 1), "at the second start");
    drop(store);
    true
}

/// Bits all over the file: each of its first bytes, which say where everything is, and then more
/// and more sparsely.
fn bits(bytes: usize) -> impl Iterator<Item = (usize, u8)> {
    let dense = (0..320).map(|n| (n, u8::try_from(n % 8).unwrap()));
    let step = bytes / 200;
    let sparse = (0..200).map(move |n| (n * step + n * 37 % step, u8::try_from(n % 8).unwrap()));
    dense.chain(sparse)
}

#[tokio::test]
async fn a_flipped_bit_is_harmless_or_noticed() {
    const GROUPS: usize = 64;
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("sound.redb");
    filled(&sound, GROUPS).await;
    let bytes = usize::try_from(fs::metadata(&sound).unwrap().len()).unwrap();
    let moved = bits(bytes).filter(|(at, bit)| {
        open_changed(&sound, &full(GROUPS), |content| content[*at] ^= 1 << bit)
    });
    let moved = moved.count();
    assert!(moved >= 50, "only {moved} flipped bits were noticed");
}

#[tokio::test]
async fn overwritten_sectors_are_harmless_or_noticed() {
    const GROUPS: usize = 64;
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("sound.redb");
    filled(&sound, GROUPS).await;
    let bytes = usize::try_from(fs::metadata(&sound).unwrap().len()).unwrap();
    for (n, filler) in (0..100).flat_map(|n| [(n, 0x5a), (n, 0)]) {
        let at = bytes * n / 100;
        let end = bytes.min(at + 4_096);
        open_changed(&sound, &full(GROUPS), |content| content[at..end].fill(filler));
    }
}

#[tokio::test]
async fn a_truncated_file_is_noticed() {
    const GROUPS: usize = 64;
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("sound.redb");
    filled(&sound, GROUPS).await;
    let bytes = usize::try_from(fs::metadata(&sound).unwrap().len()).unwrap();
    for length in [1, 3, 64, 4_095, 4_096].into_iter().chain((1..50).map(|n| bytes * n / 50)) {
        let moved = open_changed(&sound, &full(GROUPS), |content| content.truncate(length));
        assert!(moved, "cut to {length} of {bytes} bytes it passed for sound");
    }
    assert!(open_changed(&sound, &full(GROUPS), |content| content.fill(0)), "nothing but zeros");
}

/// A file whose process was killed is opened by another way than one that was closed.
#[tokio::test]
async fn a_flipped_bit_in_the_file_of_a_killed_voter_is_harmless_or_noticed() {
    const GROUPS: usize = 16;
    let folder = tempfile::tempdir().unwrap();
    let (path, killed) = (folder.path().join("v1.redb"), folder.path().join("killed.redb"));
    filled(&path, GROUPS).await;
    let (store, _) = open(&path).unwrap();
    let mut held = full(GROUPS);
    held.groups[3] = stored("group-0003", 9);
    store.save(Batch { groups: vec![held.groups[3].clone()], meta: None }).await.unwrap();
    fs::copy(&path, &killed).unwrap();
    drop(store);
    assert!(!open_changed(&killed, &held, |_| {}), "unchanged it is sound");
    let bytes = usize::try_from(fs::metadata(&killed).unwrap().len()).unwrap();
    // The one bit that says which of two commits is the newer has no checksum.
    let bits = bits(bytes).filter(|(at, _)| *at != GOD_BYTE);
    let moved =
        bits.filter(|(at, bit)| open_changed(&killed, &held, |content| content[*at] ^= 1 << bit));
    let moved = moved.count();
    assert!(moved >= 20, "only {moved} flipped bits were noticed");
}

/// Where `redb` keeps that bit.
const GOD_BYTE: usize = 9;

#[test]
fn what_is_no_damage_is_not_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v1.redb");
    fs::write(&path, "").unwrap();
    let (store, found) = open(&path).unwrap();
    assert_eq!(found, empty(), "an empty file is a new one");
    assert!(matches!(open(&path), Err(Error::InUse { .. })));
    drop(store);
    assert!(matches!(Store::open(&path, &voter("v2")), Err(Error::OtherVoter { .. })));
    assert_eq!(aside(folder.path()), 0);
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
        assert_eq!(found.groups.len(), 8, "round {round}");
        let numbers: Vec<_> =
            found.groups.iter().map(|s| s.promised.as_ref().unwrap().number).collect();
        assert!(numbers[0] >= last, "round {round}: {last} was reported, {} is there", numbers[0]);
        assert!(numbers.iter().all(|n| *n == numbers[0]), "a batch was torn: {numbers:?}");
        drop(store);
    }
}

async fn write_for_ever(path: &Path) {
    let (store, found) = open(path).unwrap();
    let first = found.groups.first().and_then(|s| s.promised.as_ref()).map_or(1, |b| b.number + 1);
    for number in first.. {
        let groups = (0..8).map(|g| stored(&format!("g{g}"), number)).collect();
        store.save(Batch { groups, meta: None }).await.unwrap();
        println!("synced {number}");
    }
}
