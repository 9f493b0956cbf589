//! The last master that JetStream retained.

use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::context::{RequestError, RequestErrorKind};
use std::error::Error;
use std::iter::successors;
use vedette_model::GroupName;
use vedette_wire::Subjects;

/// The bucket of masters and a group's key in it.
pub(crate) struct Bucket {
    client: Client,
    name: String,
    key: String,
    domain: String,
}

impl Bucket {
    pub(crate) fn new(
        client: &Client,
        prefix: &str,
        subjects: &Subjects,
        group: &GroupName,
    ) -> Self {
        Self {
            client: client.clone(),
            name: subjects.masters_bucket(),
            key: subjects.masters_key(group),
            domain: prefix.into(),
        }
    }

    /// What is kept, which may be out of date; nothing if JetStream does not say. For applications
    /// in an account of their own it is a domain named as the prefix; elsewhere nobody serves that.
    pub(crate) async fn read(&self) -> Option<Vec<u8>> {
        let theirs = jetstream::with_domain(self.client.clone(), &self.domain);
        let store = match theirs.get_key_value(&self.name).await {
            Ok(store) => store,
            Err(error) if is_unserved(&error) => {
                let ours = jetstream::new(self.client.clone());
                ours.get_key_value(&self.name).await.ok()?
            }
            Err(_) => return None,
        };
        Some(store.get(&self.key).await.ok()??.to_vec())
    }
}

/// Whether nobody listens where JetStream is asked.
fn is_unserved(error: &(dyn Error + 'static)) -> bool {
    successors(Some(error), |error| (*error).source())
        .filter_map(|cause| cause.downcast_ref::<RequestError>())
        .any(|error| error.kind() == RequestErrorKind::NoResponders)
}
