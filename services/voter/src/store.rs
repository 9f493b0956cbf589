//! The voter's memory: one `redb` file, synced to disk before a promise leaves the process.
//!
//! ```text
//!  open ──► sound? ─ yes ─► what it holds
//!             └ no ─► moved aside, and an empty one: the voter asks the others ([`rejoin`])
//!  save(batch) ──► the store's own thread ──► one transaction ──► fsync ──► Ok
//! ```
//!
//! `redb` blocks while it syncs. A thread of its own costs two wake-ups per batch and never waits
//! for a place among the runtime's blocking tasks.
//!
//! Three things keep a damaged file from passing for a sound one: `redb`'s checksums of all pages,
//! looked at in every start; a checksum of our own with each value and its key; and two-phase
//! commits, without which `redb` would quietly take the commit before for a damaged last one, and
//! so forget promises.
//!
//! [`rejoin`]: vedette_protocol::rejoin

mod damage;

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
use vedette_protocol::roster::Meta;
use vedette_protocol::voter::Stored;
use vedette_runtime::private::is_open;

/// What the file holds is laid out by this number; another number is refused.
const FORMAT: &str = "2";
/// About the file itself.
const ABOUT: TableDefinition<&str, &str> = TableDefinition::new("vedette.about");
/// A group's name → its [`Stored`], sealed.
const GROUPS: TableDefinition<&str, &[u8]> = TableDefinition::new("vedette.groups");
/// [`META_KEY`] → the [`Meta`], sealed.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("vedette.meta");
const META_KEY: &str = "meta";
/// Bytes of pages kept in memory: thousands of groups fit.
const CACHE_BYTES: usize = 16 << 20;
/// Batches on their way to the thread: the driver waits for each one.
const BATCHES: usize = 1;

/// What a store holds, or is to write at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Of each group.
    pub groups: Vec<Stored>,
    /// Of the voter as a whole; absent in a store without memory, or if it is not to be written.
    pub meta: Option<Meta>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub const fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.meta.is_none()
    }
}

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
    /// The file is something else.
    #[error(
        "{} is no voter's store: it is left as it is; correct `store`, or move the file away",
        path.display()
    )]
    NoStore {
        /// The file.
        path: PathBuf,
    },
    /// The file's content cannot be trusted. At a start such a file is moved aside.
    #[error("the store {} is damaged ({what})", path.display())]
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
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

struct Order {
    batch: Batch,
    done: oneshot::Sender<Result<(), Error>>,
}

impl Store {
    /// Opens the voter's file, or makes it, and gives back what it holds. A damaged one is moved
    /// aside, and an empty one made. Blocks for as long as the check of the whole file takes: some
    /// milliseconds per thousand groups.
    ///
    /// # Errors
    /// One of [`enum@Error`], naming the file and the remedy; damage is none.
    pub fn open(path: &Path, voter: &VoterId) -> Result<(Self, Batch), Error> {
        let (table, held) = match Table::open(path, voter) {
            Err(Error::Damaged { what, .. }) => {
                damage::set_aside(path, &what)?;
                Table::open(path, voter)?
            }
            sound_or_refused => sound_or_refused?,
        };
        let (orders, inbox) = mpsc::channel(BATCHES);
        let thread = thread::Builder::new()
            .name("store".into())
            .spawn(move || serve(&table, inbox))
            .map_err(|source| Error::Io { path: path.into(), source })?;
        Ok((Self { orders: Some(orders), thread: Some(thread) }, held))
    }

    /// Writes all of it in one transaction and syncs it to disk. When this returns an error,
    /// nothing of the batch may be relied upon, and the store stays unusable.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Damaged`] from the file, [`Error::Closed`] if its thread ended.
    pub async fn save(&self, batch: Batch) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        let orders = self.orders.as_ref().ok_or(Error::Closed)?;
        orders.send(Order { batch, done }).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.orders.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's thread panicked; the next start will check the file");
        }
    }
}

fn serve(table: &Table, mut inbox: mpsc::Receiver<Order>) {
    while let Some(Order { batch, done }) = inbox.blocking_recv() {
        // The asker may have gone; what is written stays written.
        let _ = done.send(table.save(&batch));
    }
}

/// The file itself; everything here blocks.
struct Table {
    database: Database,
    path: PathBuf,
}

impl Table {
    fn open(path: &Path, voter: &VoterId) -> Result<(Self, Batch), Error> {
        let opened = quietly(|| panic::catch_unwind(|| Self::open_sound(path, voter)));
        opened.unwrap_or_else(|_| {
            let what = "its pages make no sense".to_string();
            Err(Error::Damaged { path: path.into(), what })
        })
    }

    fn open_sound(path: &Path, voter: &VoterId) -> Result<(Self, Batch), Error> {
        let io = |source| Error::Io { path: path.into(), source };
        prepare_file(path).map_err(io)?;
        if damage::is_something_else(path).map_err(io)? {
            return Err(Error::NoStore { path: path.into() });
        }
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(|error| classify(path, error.into()))?;
        let mut table = Self { database, path: path.into() };
        table.check_pages()?;
        if table.read(|transaction| Ok(transaction.list_tables()?.next().is_none()))? {
            table.found(voter)?;
            sync_folder(path).map_err(io)?;
            tracing::info!(store = %path.display(), %voter, "a new store was made");
        }
        table.check_owner(voter)?;
        let held = table.load()?;
        Ok((table, held))
    }

    /// Writes down what the file is and whose.
    fn found(&self, voter: &VoterId) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.open_table(GROUPS)?;
            transaction.open_table(META)?;
            let mut about = transaction.open_table(ABOUT)?;
            about.insert("format", FORMAT)?;
            about.insert("voter", voter.as_str())?;
            Ok(())
        })
    }

    /// Refuses a file whose pages do not add up. Before anything in it is believed.
    fn check_pages(&mut self) -> Result<(), Error> {
        let path = self.path.clone();
        if let Some(what) = self.about("damaged")? {
            return Err(Error::Damaged { path, what });
        }
        let sound = self.database.check_integrity();
        if sound.map_err(|error| classify(&path, error.into()))? {
            return Ok(());
        }
        // The check has mended the file by going back to an older state, in which promises may be
        // missing. It must not pass for sound at the next start, should this be the end of us.
        let what = "pages did not match their checksums".to_string();
        self.write(|transaction| {
            transaction.open_table(ABOUT)?.insert("damaged", what.as_str())?;
            Ok(())
        })?;
        Err(Error::Damaged { path, what })
    }

    /// Refuses a file of another format or of another voter.
    fn check_owner(&self, voter: &VoterId) -> Result<(), Error> {
        let path = self.path.clone();
        let found = self.about("format")?.unwrap_or_else(|| "unknown".into());
        if found != FORMAT {
            return Err(Error::OtherFormat { path, found });
        }
        let owner = self.about("voter")?.unwrap_or_default();
        if owner != voter.as_str() {
            return Err(Error::OtherVoter { path, owner, voter: voter.clone() });
        }
        Ok(())
    }

    fn about(&self, key: &str) -> Result<Option<String>, Error> {
        self.read(|transaction| match transaction.open_table(ABOUT) {
            Ok(table) => Ok(table.get(key)?.map(|value| value.value().to_string())),
            // Somebody else's file.
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        })
    }

    fn load(&self) -> Result<Batch, Error> {
        let rows = self.read(|transaction| {
            let mut rows = Vec::new();
            for row in transaction.open_table(GROUPS)?.iter()? {
                let (group, sealed) = row?;
                rows.push((group.value().to_string(), sealed.value().to_vec()));
            }
            Ok(rows)
        })?;
        let meta = self.read(|transaction| {
            let table = transaction.open_table(META)?;
            Ok(table.get(META_KEY)?.map(|sealed| sealed.value().to_vec()))
        })?;
        let group = |(group, sealed): (String, Vec<u8>)| {
            let stored: Stored = damage::unseal(&group, &sealed)?;
            let own = stored.group.as_str() == group;
            own.then_some(stored).ok_or_else(|| format!("the row of {group} is of another group"))
        };
        let damaged = |what| Error::Damaged { path: self.path.clone(), what };
        let groups = rows.into_iter().map(group).collect::<Result<_, _>>().map_err(damaged)?;
        let meta = meta.map(|sealed| damage::unseal(META_KEY, &sealed));
        Ok(Batch { groups, meta: meta.transpose().map_err(damaged)? })
    }

    fn save(&self, batch: &Batch) -> Result<(), Error> {
        let unwritable = |error| Error::Io {
            path: self.path.clone(),
            source: io::Error::new(io::ErrorKind::InvalidData, error),
        };
        let group = |stored: &Stored| {
            Ok((stored.group.to_string(), damage::seal(stored.group.as_str(), stored)?))
        };
        let rows: Result<Vec<_>, _> = batch.groups.iter().map(group).collect();
        let rows = rows.map_err(unwritable)?;
        let meta = batch.meta.as_ref().map(|meta| damage::seal(META_KEY, meta));
        let meta = meta.transpose().map_err(unwritable)?;
        self.write(|transaction| {
            let mut groups = transaction.open_table(GROUPS)?;
            for (group, sealed) in &rows {
                groups.insert(group.as_str(), sealed.as_slice())?;
            }
            if let Some(sealed) = &meta {
                transaction.open_table(META)?.insert(META_KEY, sealed.as_slice())?;
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
            transaction.set_two_phase_commit(true);
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
    if is_open(&metadata) {
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

/// Makes a file's name as lasting as its content.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
