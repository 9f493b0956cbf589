//! Talking to a Redis or Valkey node: the few commands and replies we use.
//!
//! ```text
//!  link     a prober's lasting connection: PING, INFO    ┐          ┌─ dial   address → socket
//!  command  an orchestrator's errand: inspect, promote,  ├─► conn ──┼─ reply  answers told apart
//!           follow, over a connection that is kept       ┘          ├─ info   INFO → NodeView
//!                                                                  └─ tls    or plain
//! ```

mod client_list;
pub mod command;
mod conn;
mod dial;
pub mod info;
mod kept;
pub mod link;
pub mod reply;
pub mod tls;

pub use dial::Lookups;
pub use kept::Kept;
pub use link::Link;
pub use reply::{ErrorCode, ErrorReply, Reply};
pub use tls::Tls;
