//! A NATS client that notices a dead server soon.

use crate::Error;
use async_nats::{Client, ConnectOptions, ToServerAddrs};
use std::time::Duration;

/// A silent server is asked; after two unanswered pings the next one is tried.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// For one server to accept and to greet.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Between two attempts to reconnect. They go on for ever.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Connects to NATS without a login. A server that hangs is left after 2 to 3 s, and one that has
/// gone is tried again every 100 ms, so that an announcement is not waited for in vain.
///
/// An application with a login, TLS or a client of its own passes that client to
/// [`Masters::watch`](crate::Masters::watch); async-nats by itself pings every 60 s, which is how
/// long it may then not notice that a server hangs.
///
/// # Errors
/// [`Error::Connect`] if none of the servers can be reached now.
pub async fn connect(servers: impl ToServerAddrs) -> Result<Client, Error> {
    let options = ConnectOptions::new()
        .name("vedette-client")
        .ping_interval(PING_INTERVAL)
        .connection_timeout(CONNECT_LIMIT)
        .reconnect_delay_callback(|_| RECONNECT_PAUSE);
    Ok(options.connect(servers).await?)
}
