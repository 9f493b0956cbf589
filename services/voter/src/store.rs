//! The voter's memory: one `redb` file, synced to disk before a promise leaves the process.
//!
//! ```text
//!  save(batch) ──► the store's own thread ──► one transaction ──► fsync ──► Ok
//! ```
//!
//! `redb` blocks while it syncs. A thread of its own costs two wake-ups per batch and never waits
//! for a place among the runtime's blocking tasks.

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use vedette_model::VoterId;
use vedette_protocol::voter::Stored;

/// What the file holds is laid out by this number; another number is refused.
const FORMAT: &str = "1";
/// About the file itself.
const ABOUT: TableDefinition<&str, &str> = TableDefinition::new("about");
/// A group's name → MessagePack of its [`Stored`].
const GROUPS: TableDefinition<&str, &[u8]> = TableDefinition::new("groups");
/// Bytes of pages kept in memory: thousands of groups fit.
const CACHE_BYTES: usize = 16 << 20;
/// Batches on their way to the thread: the driver waits for each one.
const BATCHES: usize = 1;

/// Why the store does not work, with what to do about it.
#[derive(Debug, Error)]
pub enum Error {
    /// Another process has the file open.
    #[error(
        "the store {} is in use by another process: stop the other voter, or give this one a \
         `store` of its own",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file belongs to another voter.
    #[error(
        "the store {} belongs to voter {owner}, this is voter {voter}: a voter must never answer \
         from another's promises; correct `id` or `store`",
        path.display()
    )]
    OtherVoter {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: String,
        /// Who asked for it.
        voter: VoterId,
    },
    /// The file was written by another version.
    #[error(
        "the store {} has format {found}, this program reads format {FORMAT}: run the version of \
         vedette-voter that wrote it",
        path.display()
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: String,
    },
    /// The file's content cannot be trusted.
    #[error(
        "the store {} is damaged ({what}): move it away and start this voter with an empty store; \
         do so only while a majority of the other voters runs, and with one voter at a time, \
         because an empty voter has forgotten its promises",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The operating system refused.
    #[error(
        "the store {} cannot be used: {source}; see to its folder, permissions and free space",
        path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        source: io::Error,
    },
    /// The store's thread is gone.
    #[error("the store was closed")]
    Closed,
}

/// The voter's file, opened by this process alone.
///
/// Dropping it waits for a last sync and closes it, so that it may be opened again.
#[derive(Debug)]
pub struct Store {
    /// Both are absent only while it is dropped.
    batches: Option<mpsc::Sender<Batch>>,
    thread: Option<JoinHandle<()>>,
}

struct Batch {
    stored: Vec<Stored>,
    done: oneshot::Sender<Result<(), Error>>,
}

impl Store {
    /// Opens the voter's file, or makes it, and gives back what it holds. Blocks for as long as
    /// the check of the whole file takes: some milliseconds per thousand groups.
    ///
    /// # Errors
    /// One of [`enum@Error`], naming the file and the remedy.
    pub fn open(path: &Path, voter: &VoterId) -> Result<(Self, Vec<Stored>), Error> {
        let (table, stored) = Table::open(path, voter)?;
        let (batches, inbox) = mpsc::channel(BATCHES);
        let thread = thread::Builder::new()
            .name("store".into())
            .spawn(move || serve(&table, inbox))
            .map_err(|source| Error::Io { path: path.into(), source })?;
        Ok((Self { batches: Some(batches), thread: Some(thread) }, stored))
    }

    /// Writes all of it in one transaction and syncs it to disk. When this returns an error,
    /// nothing of the batch may be relied upon, and the store stays unusable.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Damaged`] from the file, [`Error::Closed`] if its thread ended.
    pub async fn save(&self, stored: Vec<Stored>) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        let batches = self.batches.as_ref().ok_or(Error::Closed)?;
        batches.send(Batch { stored, done }).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.batches.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's thread panicked; the next start will check the file");
        }
    }
}

fn serve(table: &Table, mut inbox: mpsc::Receiver<Batch>) {
    while let Some(batch) = inbox.blocking_recv() {
        // The asker may have gone; what is written stays written.
        let _ = batch.done.send(table.save(&batch.stored));
    }
}

/// The file itself; everything here blocks.
struct Table {
    database: Database,
    path: PathBuf,
}

impl Table {
    fn open(path: &Path, voter: &VoterId) -> Result<(Self, Vec<Stored>), Error> {
        let opened = quietly(|| panic::catch_unwind(|| Self::open_sound(path, voter)));
        opened.unwrap_or_else(|_| {
            let what = "its pages make no sense".to_string();
            Err(Error::Damaged { path: path.into(), what })
        })
    }

    fn open_sound(path: &Path, voter: &VoterId) -> Result<(Self, Vec<Stored>), Error> {
        let io = |source| Error::Io { path: path.into(), source };
        prepare_file(path).map_err(io)?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(|error| classify(path, error.into()))?;
        let mut table = Self { database, path: path.into() };
        if table.read(|transaction| Ok(transaction.list_tables()?.next().is_none()))? {
            table.found(voter)?;
            sync_folder(path).map_err(io)?;
            tracing::info!(
                store = %path.display(), %voter,
                "a new store was made: this voter has promised nothing yet"
            );
        }
        table.check(voter)?;
        let stored = table.load()?;
        Ok((table, stored))
    }

    /// Writes down what the file is and whose.
    fn found(&self, voter: &VoterId) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.open_table(GROUPS)?;
            let mut about = transaction.open_table(ABOUT)?;
            about.insert("format", FORMAT)?;
            about.insert("voter", voter.as_str())?;
            Ok(())
        })
    }

    /// Refuses a file of another format, of another voter, or whose pages do not add up.
    fn check(&mut self, voter: &VoterId) -> Result<(), Error> {
        let path = self.path.clone();
        let about = |key| self.about(key);
        let found = about("format")?.unwrap_or_else(|| "unknown".into());
        if found != FORMAT {
            return Err(Error::OtherFormat { path, found });
        }
        let owner = about("voter")?.unwrap_or_default();
        if owner != voter.as_str() {
            return Err(Error::OtherVoter { path, owner, voter: voter.clone() });
        }
        if let Some(what) = about("damaged")? {
            return Err(Error::Damaged { path, what });
        }
        let sound = self.database.check_integrity();
        if sound.map_err(|error| classify(&path, error.into()))? {
            return Ok(());
        }
        // The check has mended the file by going back to an older state, in which promises may be
        // missing. It must not pass for sound at the next start.
        let what = "pages did not match their checksums".to_string();
        self.write(|transaction| {
            transaction.open_table(ABOUT)?.insert("damaged", what.as_str())?;
            Ok(())
        })?;
        Err(Error::Damaged { path, what })
    }

    fn about(&self, key: &str) -> Result<Option<String>, Error> {
        self.read(|transaction| match transaction.open_table(ABOUT) {
            Ok(table) => Ok(table.get(key)?.map(|value| value.value().to_string())),
            // Somebody else's file.
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        })
    }

    fn load(&self) -> Result<Vec<Stored>, Error> {
        let rows = self.read(|transaction| {
            let mut rows = Vec::new();
            for row in transaction.open_table(GROUPS)?.iter()? {
                let (group, bytes) = row?;
                rows.push((group.value().to_string(), bytes.value().to_vec()));
            }
            Ok(rows)
        })?;
        rows.into_iter()
            .map(|(group, bytes)| match rmp_serde::from_slice::<Stored>(&bytes) {
                Ok(stored) if stored.group.as_str() == group => Ok(stored),
                Ok(other) => Err(format!("the row of group {group} holds {}", other.group)),
                Err(error) => Err(format!("the row of group {group} cannot be read: {error}")),
            })
            .collect::<Result<_, _>>()
            .map_err(|what| Error::Damaged { path: self.path.clone(), what })
    }

    fn save(&self, batch: &[Stored]) -> Result<(), Error> {
        let rows: Vec<_> = batch
            .iter()
            .map(|stored| Ok((stored.group.as_str(), rmp_serde::to_vec_named(stored)?)))
            .collect::<Result<_, rmp_serde::encode::Error>>()
            .map_err(|error| Error::Io {
                path: self.path.clone(),
                source: io::Error::new(io::ErrorKind::InvalidData, error),
            })?;
        self.write(|transaction| {
            let mut groups = transaction.open_table(GROUPS)?;
            for (group, bytes) in &rows {
                groups.insert(*group, bytes.as_slice())?;
            }
            Ok(())
        })
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        let result = self.database.begin_read().map_err(redb::Error::from);
        result.and_then(|transaction| work(&transaction)).map_err(|e| classify(&self.path, e))
    }

    /// One transaction, on disk when this returns.
    fn write(
        &self,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Error> {
        let commit = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            work(&transaction)?;
            Ok(transaction.commit()?)
        };
        commit().map_err(|error| classify(&self.path, error))
    }
}

/// Makes the file if there is none, readable by its owner alone: records hold credentials.
fn prepare_file(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!(
            store = %path.display(),
            "others could read the store, which holds credentials; its mode is 0600 now"
        );
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// `redb` panics on some damaged pages. For a voter that is one more way to be damaged, to be said
/// with its remedy, so the process's panic hook, which may end it, is laid aside for the while.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Mutex<()> = Mutex::new(());
    let _alone = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = work();
    panic::set_hook(hook);
    result
}

/// What an error of `redb` means to an operator.
fn classify(path: &Path, error: redb::Error) -> Error {
    let path = path.to_path_buf();
    if matches!(error, redb::Error::DatabaseAlreadyOpen) {
        return Error::InUse { path };
    }
    if matches!(error, redb::Error::PreviousIo) {
        return Error::Io { path, source: io::Error::other("a write failed before") };
    }
    if let redb::Error::UpgradeRequired(version) = error {
        return Error::OtherFormat { path, found: format!("redb {version}") };
    }
    if let redb::Error::Io(source) = error {
        // `redb` calls a file that is not its own invalid data; in a damaged one, pages may also
        // point past its end.
        let damage = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
        return if damage.contains(&source.kind()) {
            Error::Damaged { path, what: source.to_string() }
        } else {
            Error::Io { path, source }
        };
    }
    Error::Damaged { path, what: error.to_string() }
}

/// Makes a new file's name as lasting as its content.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
