//! From an address to a socket, and what to call it when that fails.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use vedette_model::{NodeAddr, NodeFault};

/// Names looked up at the same time: the system's resolver blocks a thread for each.
const LOOKUP_LIMIT: usize = 64;

/// The addresses of a node's host, at least one. An IP address needs no look-up.
pub(crate) async fn resolve(addr: &NodeAddr) -> Result<Vec<SocketAddr>, NodeFault> {
    static LOOKUPS: LazyLock<Arc<Semaphore>> =
        LazyLock::new(|| Arc::new(Semaphore::new(LOOKUP_LIMIT)));
    if let Ok(ip) = addr.host().parse() {
        return Ok(vec![SocketAddr::new(ip, addr.port())]);
    }
    let unresolved = |words: String| NodeFault::Unresolved(format!("{}: {words}", addr.host()));
    let (host, port) = (addr.host().to_string(), addr.port());
    let permit = Arc::clone(&LOOKUPS).acquire_owned().await;
    // In a task of its own: a lookup cannot be called off, and its place is taken until it ends.
    let lookup = tokio::spawn(async move {
        let _permit = permit;
        tokio::net::lookup_host((host, port)).await.map(Iterator::collect::<Vec<_>>)
    });
    let found = lookup.await.map_err(|error| unresolved(error.to_string()))?;
    match found.map_err(|error| unresolved(error.to_string()))? {
        addresses if addresses.is_empty() => Err(unresolved("no address".into())),
        addresses => Ok(addresses),
    }
}

/// Tries each address in turn.
pub(crate) async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, NodeFault> {
    let mut errors = Vec::new();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => errors.push(error),
        }
    }
    Err(verdict(&errors))
}

/// What a node's addresses say together: it is refused only if each address that this host has a
/// route to refuses. (`localhost` has an IPv6 address also where IPv6 is switched off.)
fn verdict(errors: &[io::Error]) -> NodeFault {
    let no_route = |error: &&io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::AddrNotAvailable
                | io::ErrorKind::Unsupported
        )
    };
    let refused = |error: &&io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    let telling = || errors.iter().filter(|error| !no_route(error));
    telling()
        .find(|error| !refused(error))
        .or_else(|| telling().next())
        .or(errors.first())
        .map_or_else(|| NodeFault::Unresolved("no address".into()), connect_fault)
}

pub(crate) fn connect_fault(error: &io::Error) -> NodeFault {
    /// `ENFILE`, `EMFILE` and `ENOBUFS` on Linux.
    const OUR_OWN_LIMITS: [i32; 3] = [23, 24, 105];
    if error.raw_os_error().is_some_and(|code| OUR_OWN_LIMITS.contains(&code)) {
        // Our own lack of descriptors says nothing about the node: it must not count as silence.
        let words = format!("{error} on our side: raise this process's limit of open files");
        return NodeFault::Denied(words);
    }
    if error.kind() == io::ErrorKind::ConnectionRefused {
        NodeFault::Refused
    } else if error.kind() == io::ErrorKind::TimedOut {
        NodeFault::TimedOut
    } else {
        broken(error)
    }
}

pub(crate) fn broken(error: &io::Error) -> NodeFault {
    NodeFault::Broken(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind::{AddrNotAvailable, ConnectionRefused, NetworkUnreachable, TimedOut};

    fn told(kinds: &[io::ErrorKind]) -> NodeFault {
        verdict(&kinds.iter().map(|kind| io::Error::from(*kind)).collect::<Vec<_>>())
    }

    #[test]
    fn a_name_is_refused_only_if_every_reachable_address_refuses() {
        assert_eq!(told(&[ConnectionRefused, ConnectionRefused]), NodeFault::Refused);
        assert_eq!(told(&[AddrNotAvailable, ConnectionRefused]), NodeFault::Refused);
        assert_eq!(told(&[ConnectionRefused, TimedOut]), NodeFault::TimedOut);
        assert!(matches!(told(&[NetworkUnreachable]), NodeFault::Broken(_)));
    }

    #[test]
    fn our_own_lack_of_descriptors_is_not_the_nodes_fault() {
        let fault = connect_fault(&io::Error::from_raw_os_error(24));
        assert!(
            matches!(&fault, NodeFault::Denied(words) if words.contains("open files")),
            "{fault}"
        );
    }
}
