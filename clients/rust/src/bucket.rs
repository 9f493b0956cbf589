//! The last master that JetStream retained.

use async_nats::Client;
use async_nats::jetstream;
use vedette_model::GroupName;
use vedette_wire::Subjects;

/// The bucket of masters and a group's key in it.
pub(crate) struct Bucket {
    client: Client,
    name: String,
    key: String,
}

impl Bucket {
    pub(crate) fn new(client: &Client, subjects: &Subjects, group: &GroupName) -> Self {
        Self {
            client: client.clone(),
            name: subjects.masters_bucket(),
            key: subjects.masters_key(group),
        }
    }

    /// What is kept, which may be out of date; nothing if JetStream does not say.
    pub(crate) async fn read(&self) -> Option<Vec<u8>> {
        let context = jetstream::new(self.client.clone());
        let store = context.get_key_value(&self.name).await.ok()?;
        Some(store.get(&self.key).await.ok()??.to_vec())
    }
}
