//! A connection for asking.

use crate::config::Config;
use crate::progress;
use anyhow::bail;
use std::time::Duration;
use vedette_runtime::{Bus, Shutdown, life};

/// For reaching NATS. Services wait for it; a person wants to know.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Connects as somebody who only asks.
///
/// # Errors
/// What is wrong with NATS, with what to do about it.
pub async fn connect(config: &Config, shutdown: &Shutdown) -> anyhow::Result<Bus> {
    let nats = &config.common.nats;
    let what = format!("nats at {}", shown(&nats.servers));
    let visit = tokio::time::timeout(CONNECT_LIMIT, life::visit(nats, shutdown));
    match progress::during(&what, visit).await {
        Ok(bus) => bus,
        Err(_) => bail!(
            "no nats server answers at {} within {} s: is `vedette up` or your nats-server \
             running? Name the right one with --nats nats://HOST:PORT",
            shown(&nats.servers),
            CONNECT_LIMIT.as_secs()
        ),
    }
}

/// The servers without users and passwords.
pub fn shown(servers: &[String]) -> String {
    let bare = |url: &String| match url.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{host}")
        }
        None => url.rsplit_once('@').map_or(url.as_str(), |(_, host)| host).to_owned(),
    };
    servers.iter().map(bare).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_url_is_not_shown() {
        let servers = ["nats://u:s3cret@h:4222".to_owned(), "t0ken@h:4222".into(), "h:1".into()];
        assert_eq!(shown(&servers), "nats://h:4222, h:4222, h:1");
    }
}
