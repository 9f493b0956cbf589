//! The key-value bucket that holds the masters.

use super::fault::{code, sorted, sorted_of_bucket};
use super::{RetainedError, newer};
use crate::bus::Bus;
use crate::retained::{REPLICAS, context, copies, is_no_room};
use async_nats::jetstream::kv::{Config, Store, UpdateError, UpdateErrorKind};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::jetstream::{Context, ErrorCode};
use bytes::Bytes;
use vedette_model::{Fact, FactKind, GroupName, MasterRecord};
use vedette_wire::{DecodeError, Subjects};

/// How often a record is compared and written again when others write the same group meanwhile.
const ROUNDS: usize = 8;

/// "Wrong last sequence" while an earlier write of the same key is not acknowledged yet.
const WRITE_UNDER_WAY: ErrorCode = ErrorCode(10164);

/// What came of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is kept now.
    Written,
    /// What is kept is as new or newer.
    Newer,
}

#[derive(Debug)]
pub(crate) struct Bucket {
    jetstream: Context,
    subjects: Subjects,
    name: String,
    description: &'static str,
    clustered: bool,
    store: Option<Store>,
}

impl Bucket {
    /// The bucket of masters.
    pub(super) fn new(bus: &Bus) -> Self {
        let name = bus.subjects().masters_bucket();
        Self::named(bus, name, "The last known master of each group")
    }

    pub(crate) fn named(bus: &Bus, name: String, description: &'static str) -> Self {
        let client = bus.client().clone();
        let clustered = client.server_info().cluster.is_some();
        let jetstream = context(client);
        let subjects = bus.subjects().clone();
        Self { jetstream, subjects, name, description, clustered, store: None }
    }

    /// Finds the bucket or makes it, unless it was found before.
    pub(crate) async fn open(&mut self) -> Result<(), RetainedError> {
        if self.store.is_none() {
            let store = match self.find().await? {
                Some(store) => self.spread(store).await,
                None => self.make().await?,
            };
            self.store = Some(store);
        }
        Ok(())
    }

    /// Looks for the bucket again the next time: it may have been deleted.
    pub(crate) fn close(&mut self) {
        self.store = None;
    }

    /// What is kept of a group. Makes no bucket.
    pub(super) async fn read(
        &self,
        group: &GroupName,
    ) -> Result<Option<MasterRecord>, RetainedError> {
        let Some(store) = self.find().await? else { return Ok(None) };
        Ok(self.kept(&store, group).await?.0.transpose()?)
    }

    /// Writes the record unless what is kept is as new or newer; compares and swaps, so that of
    /// several writers the newest record wins.
    pub(super) async fn write(&self, record: &MasterRecord) -> Result<Stored, RetainedError> {
        let store = self.store.as_ref().ok_or(RetainedError::Silent)?;
        let key = self.subjects.masters_key(&record.group);
        let value = vedette_wire::encode(&Fact::MasterRecord(record.clone()))?;
        for _ in 0..ROUNDS {
            let (kept, revision) = self.kept(store, &record.group).await?;
            match kept {
                Some(Ok(kept)) if !newer(record, &kept) => return Ok(Stored::Newer),
                // It may well be newer, and it is not ours to overwrite.
                Some(Err(error @ DecodeError::Schema { .. })) => {
                    tracing::warn!(group = %record.group, %error,
                        "not retained: another version wrote what is kept; upgrade this one");
                    return Ok(Stored::Newer);
                }
                Some(Err(error)) => {
                    tracing::warn!(group = %record.group, %error, "overwriting what is no record");
                }
                Some(Ok(_)) | None => {}
            }
            if self.swap(&key, value.clone().into(), revision).await? {
                return Ok(Stored::Written);
            }
        }
        Err(RetainedError::Silent)
    }

    /// Writes the key's value if its revision is still this one, 0 for none; whether it was.
    pub(crate) async fn swap(
        &self,
        key: &str,
        value: Bytes,
        revision: u64,
    ) -> Result<bool, RetainedError> {
        let store = self.store.as_ref().ok_or(RetainedError::Silent)?;
        match store.update(key, value, revision).await {
            Ok(_) => Ok(true),
            Err(error) if is_outrun(&error) => Ok(false),
            Err(error) => Err(sorted_of_bucket(error)),
        }
    }

    /// The key's value in the open bucket, if it has one, and its revision, 0 for none.
    pub(crate) async fn value(&self, key: &str) -> Result<(Option<Bytes>, u64), RetainedError> {
        let store = self.store.as_ref().ok_or(RetainedError::Silent)?;
        self.value_in(store, key).await
    }

    /// What is kept, if anything is, and the revision to compare with; 0 for nothing at all.
    ///
    /// Asks the bucket's leader. The library's own way lets any copy answer, and one that lags
    /// gives what was kept before although the newer record is acknowledged: right after a
    /// failover that is the dead master.
    async fn kept(
        &self,
        store: &Store,
        group: &GroupName,
    ) -> Result<(Option<Result<MasterRecord, DecodeError>>, u64), RetainedError> {
        let (value, revision) = self.value_in(store, &self.subjects.masters_key(group)).await?;
        Ok((value.map(|value| master(&value)), revision))
    }

    async fn value_in(
        &self,
        store: &Store,
        key: &str,
    ) -> Result<(Option<Bytes>, u64), RetainedError> {
        let subject = format!("{}{key}", store.prefix);
        let message = match store.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => message,
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                return Ok((None, 0));
            }
            Err(error) => return Err(sorted_of_bucket(error)),
        };
        // A deleted key is a message without payload.
        let value = (!message.payload.is_empty()).then_some(message.payload);
        Ok((value, message.sequence))
    }

    async fn find(&self) -> Result<Option<Store>, RetainedError> {
        match self.jetstream.get_key_value(self.name.clone()).await {
            Ok(store) => Ok(Some(store)),
            Err(error) if code(&error) == Some(ErrorCode::STREAM_NOT_FOUND) => Ok(None),
            Err(error) => Err(sorted(error)),
        }
    }

    /// Makes the bucket with as many copies as the cluster has room for.
    async fn make(&self) -> Result<Store, RetainedError> {
        for replicas in copies(self.clustered) {
            match self.jetstream.create_key_value(self.config(replicas)).await {
                Ok(store) => {
                    tracing::info!(bucket = store.name, replicas, "the bucket was made");
                    return Ok(store);
                }
                Err(error) if is_no_room(replicas, &error) => {}
                // Somebody else made it a moment ago, perhaps with more copies.
                Err(error) if code(&error) == Some(ErrorCode::STREAM_NAME_EXIST) => break,
                Err(error) => return Err(sorted(error)),
            }
        }
        self.find().await?.ok_or(RetainedError::Silent)
    }

    /// Tries to have as many copies as a cluster should, since it may have grown; the bucket does
    /// its work with fewer.
    async fn spread(&self, store: Store) -> Store {
        let copies = store.stream.cached_info().config.num_replicas;
        if !self.clustered || copies >= REPLICAS {
            return store;
        }
        match self.jetstream.update_key_value(self.config(REPLICAS)).await {
            Ok(wider) => {
                let bucket = &self.name;
                tracing::info!(bucket, from = copies, to = REPLICAS, "the bucket has more copies");
                wider
            }
            Err(error) => {
                tracing::debug!(bucket = self.name, copies, %error, "the bucket stays as it is");
                store
            }
        }
    }

    fn config(&self, replicas: usize) -> Config {
        Config {
            bucket: self.name.clone(),
            description: self.description.into(),
            history: 1,
            num_replicas: replicas,
            ..Config::default()
        }
    }
}

fn master(value: &[u8]) -> Result<MasterRecord, DecodeError> {
    let kind = FactKind::MasterRecord;
    let fact = vedette_wire::decode(kind, value)?;
    if let Fact::MasterRecord(record) = fact {
        return Ok(record);
    }
    let why = format!("it is a {}", fact.kind().as_str());
    Err(DecodeError::Undecodable { kind, why })
}

/// Somebody else wrote since we read, or is writing: a cluster's leader says the latter with a code
/// that the client library does not know.
fn is_outrun(error: &UpdateError) -> bool {
    error.kind() == UpdateErrorKind::WrongLastRevision || code(error) == Some(WRITE_UNDER_WAY)
}
