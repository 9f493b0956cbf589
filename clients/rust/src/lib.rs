//! What a Rust application adds to follow the master of a group.
//!
//! ```text
//!   subject  <prefix>.v1.master.<group>      ─┐
//!   request  <prefix>.v1.ask.master.<group>  ─┼─► Masters ──► stream of masters
//!   bucket   <prefix>-masters, key <group>   ─┘      │
//!                                                    └──────► Follower ──► a redis-rs connection
//! ```
//!
//! [`Masters`] says who is master, now and at each change. [`Follower`] is an asynchronous
//! connection of redis-rs that is always one to the present master.
//!
//! ```no_run
//! use redis::{AsyncCommands, IntoConnectionInfo};
//! use vedette_client::{Follower, Limits, Masters};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let nats = vedette_client::connect("nats://10.0.0.1:4222").await?;
//! let masters = Masters::watch(nats, "vedette", "orders").await?;
//! // User, password and database; the address is replaced by the master's.
//! let login = "redis://app:secret@master/0".into_connection_info()?;
//! let mut redis = Follower::start(masters, login, Limits::default());
//! let _: () = redis.set("hello", 1).await?;
//! # Ok(())
//! # }
//! ```
//!
//! What an error of a command means, and what is guaranteed, stands at [`Follower`].

mod bucket;
mod connect;
mod error;
mod follower;
mod masters;
mod newest;

pub use connect::connect;
pub use error::Error;
pub use follower::{Follower, Limits};
pub use masters::Masters;
pub use vedette_model::{
    Epoch, GroupName, LossBound, MasterRecord as Master, NodeAddr, Revision, SwitchReason, TraceId,
};
