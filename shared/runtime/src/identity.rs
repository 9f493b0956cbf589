//! One process per service and id.

use crate::bus::{Bus, BusError, Received};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;
use vedette_model::{Fact, FactKind, Health, Heartbeat, Place, Sender, StatusQuery};

/// How long others may object.
const LISTEN: Duration = Duration::from_millis(500);
/// What a bus that was stuck delivers late comes within this.
const DRAIN: Duration = Duration::from_millis(200);

/// Why an id could not be claimed.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// Another process has it.
    #[error(
        "{own} is taken: a process of that id runs at place {other_place} (incarnation \
         {other:016x}), so this one at place {own_place} (incarnation {incarnation:016x}) must \
         not start; stop the other one or give this one an id of its own (--id)",
        incarnation = own.incarnation
    )]
    Taken {
        /// This process.
        own: Sender,
        /// Where it runs.
        own_place: Place,
        /// The other's incarnation.
        other: u64,
        /// Where that one runs.
        other_place: Place,
    },
    /// The bus failed meanwhile.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Claims the bus's service and id: says so, asks everybody, and listens for half a second for a
/// process of the same name. One that is running keeps the name; of two that start at once the
/// smaller incarnation does. Two that cannot hear each other both get it, which the voters'
/// promises survive.
///
/// Whoever objects is asked once more: a bus that was stuck delivers the last words of a process
/// that is dead by now, and that may be the claimant's own life before.
///
/// # Errors
/// [`IdentityError::Taken`] names both processes.
pub async fn claim(bus: &Bus, place: &Place) -> Result<(), IdentityError> {
    let mut heard = bus.subscribe(&[FactKind::Heartbeat]).await?;
    let own = first_heartbeat(bus.sender(), place);
    let Some(first) = ask(bus, &own, &mut heard).await else { return Ok(()) };
    let mut said = (first.incarnation, first.tick);
    let drain = async {
        loop {
            let late = objection(bus, &own, &mut heard).await;
            said = said.max((late.incarnation, late.tick));
        }
    };
    let _: Result<(), _> = tokio::time::timeout(DRAIN, drain).await;
    match ask(bus, &own, &mut heard).await {
        Some(other) if other.tick == 0 || (other.incarnation, other.tick) > said => {
            Err(IdentityError::Taken {
                own: bus.sender().clone(),
                own_place: place.clone(),
                other: other.incarnation,
                other_place: other.place,
            })
        }
        Some(_) | None => Ok(()),
    }
}

/// Claims and asks; gives the first objection.
async fn ask(bus: &Bus, own: &Fact, heard: &mut mpsc::Receiver<Received>) -> Option<Heartbeat> {
    bus.publish(own).await;
    bus.publish(&StatusQuery::default().into()).await;
    tokio::time::timeout(LISTEN, objection(bus, own, heard)).await.ok()
}

/// Waits for a heartbeat that has more right to the name.
async fn objection(bus: &Bus, own: &Fact, heard: &mut mpsc::Receiver<Received>) -> Heartbeat {
    let me = bus.sender();
    while let Some(received) = heard.recv().await {
        let Fact::Heartbeat(other) = received.fact else { continue };
        let same = other.service == me.service && other.id == me.id;
        if !same || other.incarnation == me.incarnation {
            continue;
        }
        if other.tick > 0 || other.incarnation < me.incarnation {
            return other;
        }
        // It started a moment ago and may have missed our claim.
        bus.publish(own).await;
    }
    std::future::pending().await
}

fn first_heartbeat(sender: &Sender, place: &Place) -> Fact {
    Heartbeat {
        service: sender.service,
        id: sender.id.clone(),
        incarnation: sender.incarnation,
        tick: 0,
        place: place.clone(),
        health: Health::Well,
        roster: None,
        standings: Vec::new(),
        serves: None,
        back: false,
        host: None,
    }
    .into()
}
