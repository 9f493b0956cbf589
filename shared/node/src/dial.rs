//! From an address to a socket, and what to call it when that fails.

use crate::tls::Tls;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use vedette_model::{NodeAddr, NodeFault};

/// Names looked up at the same time: the system's resolver blocks a thread for each.
const LOOKUP_LIMIT: usize = 64;
/// Who has known the name's addresses before waits no longer for a look-up.
const RECALL_AFTER: Duration = Duration::from_millis(100);

/// What a node's name resolved to last, so that the node can be reached while its name cannot be
/// looked up; and whether it is spoken to over TLS. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Lookups {
    known: Arc<Mutex<Known>>,
    tls: Option<Arc<Tls>>,
}

#[derive(Debug, Default)]
struct Known {
    addresses: Vec<SocketAddr>,
    under_way: bool,
    last: Option<Result<(), String>>,
}

impl Lookups {
    /// For nodes that are spoken to over TLS, if there is any.
    pub fn over(tls: Option<Arc<Tls>>) -> Self {
        Self { tls, ..Self::default() }
    }

    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_deref()
    }

    /// How the last look-up went, or why it does not end; none if there was none, as with an IP
    /// address.
    pub fn last(&self) -> Option<Result<(), String>> {
        self.lock().last.clone()
    }

    /// Looks the name up again in the background. If that is still being done, the resolver does
    /// not answer, and [`Lookups::last`] says so.
    pub fn again(&self, addr: &NodeAddr) {
        if ip(addr).is_none() && self.begin(addr).is_none() {
            self.lock().last = Some(Err(format!("{}: the resolver does not answer", addr.host())));
        }
    }

    /// The addresses of a node's host, at least one: newly looked up, or else the last ones.
    pub(crate) async fn resolve(&self, addr: &NodeAddr) -> Result<Vec<SocketAddr>, NodeFault> {
        if let Some(address) = ip(addr) {
            return Ok(vec![address]);
        }
        let before = self.lock().addresses.clone();
        let lookup = self.begin(addr);
        let found = match lookup {
            Some(lookup) if before.is_empty() => lookup.await.ok(),
            Some(lookup) => {
                tokio::time::timeout(RECALL_AFTER, lookup).await.ok().and_then(Result::ok)
            }
            None => None,
        };
        match found {
            Some(Ok(addresses)) => Ok(addresses),
            Some(Err(_)) | None if !before.is_empty() => Ok(before),
            Some(Err(fault)) => Err(fault),
            None => Err(NodeFault::Unresolved(format!("{}: no answer yet", addr.host()))),
        }
    }

    /// Starts a look-up, unless one is under way.
    fn begin(&self, addr: &NodeAddr) -> Option<JoinHandle<Result<Vec<SocketAddr>, NodeFault>>> {
        if std::mem::replace(&mut self.lock().under_way, true) {
            return None;
        }
        let (known, addr) = (self.clone(), addr.clone());
        Some(tokio::spawn(async move {
            let found = look_up(&addr).await;
            let mut known = known.lock();
            known.under_way = false;
            known.last = Some(match &found {
                Ok(_) => Ok(()),
                Err(NodeFault::Unresolved(words)) => Err(words.clone()),
                Err(fault) => Err(fault.to_string()),
            });
            if let Ok(addresses) = &found {
                known.addresses.clone_from(addresses);
            }
            drop(known);
            found
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An IP address needs no look-up.
fn ip(addr: &NodeAddr) -> Option<SocketAddr> {
    addr.host().parse().ok().map(|ip| SocketAddr::new(ip, addr.port()))
}

/// The addresses of a host name, at least one.
async fn look_up(addr: &NodeAddr) -> Result<Vec<SocketAddr>, NodeFault> {
    static LOOKUPS: LazyLock<Arc<Semaphore>> =
        LazyLock::new(|| Arc::new(Semaphore::new(LOOKUP_LIMIT)));
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

    fn local(port: u16) -> SocketAddr {
        SocketAddr::new([127, 0, 0, 1].into(), port)
    }

    /// A name that no resolver knows, and what it resolved to before.
    fn vanished(addresses: Vec<SocketAddr>) -> (NodeAddr, Lookups) {
        let known = Known { addresses, ..Known::default() };
        let addr = NodeAddr::parse("vanished.invalid:6379").unwrap();
        (addr, Lookups { known: Arc::new(Mutex::new(known)), tls: None })
    }

    #[tokio::test]
    async fn a_name_that_resolves_no_more_leads_to_its_last_addresses() {
        let (addr, lookups) = vanished(vec![local(6379)]);
        assert_eq!(lookups.resolve(&addr).await, Ok(vec![local(6379)]));
        while lookups.lock().under_way {
            tokio::task::yield_now().await;
        }
        assert!(matches!(lookups.last(), Some(Err(_))), "and that is told");
    }

    #[tokio::test]
    async fn a_name_that_never_resolved_leads_nowhere() {
        let (addr, lookups) = vanished(Vec::new());
        assert!(matches!(lookups.resolve(&addr).await, Err(NodeFault::Unresolved(_))));
        assert!(matches!(lookups.last(), Some(Err(_))));
    }

    #[tokio::test]
    async fn a_resolver_that_does_not_answer_keeps_nobody_waiting() {
        let (addr, lookups) = vanished(vec![local(6379)]);
        lookups.lock().under_way = true;
        assert_eq!(lookups.resolve(&addr).await, Ok(vec![local(6379)]));
        assert_eq!(lookups.last(), None, "one that is only slow is not told");
        lookups.again(&addr);
        assert!(matches!(lookups.last(), Some(Err(_))));
    }

    #[tokio::test]
    async fn a_name_that_resolves_is_remembered() {
        let lookups = Lookups::default();
        let addr = NodeAddr::parse("localhost:6379").unwrap();
        let found = lookups.resolve(&addr).await.unwrap();
        assert_eq!((lookups.last(), &lookups.lock().addresses), (Some(Ok(())), &found));
        let by_address = Lookups::default();
        let addr = NodeAddr::parse("127.0.0.1:6379").unwrap();
        assert_eq!(by_address.resolve(&addr).await, Ok(vec![local(6379)]));
        by_address.again(&addr);
        assert_eq!(by_address.last(), None, "an address is no name");
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
