//! On which machine this process runs.

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use nix::unistd::gethostname;
use std::net::IpAddr;
use vedette_model::{Host, HostName};

/// The machine, under the name that is configured or else under its own, with the addresses that it
/// has now. None if it has no name that can be told.
pub fn here(configured: Option<&HostName>) -> Option<Host> {
    let own = || HostName::parse(gethostname().ok()?.to_str()?).ok();
    let name = configured.cloned().or_else(own)?;
    let found = getifaddrs().into_iter().flatten();
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.filter_map(|interface| usable(&interface.address?)) {
        if addresses.len() < Host::ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Some(Host { name, addresses })
}

/// An address that a node could be reached at. Link-local ones need an interface's name besides.
fn usable(address: &SockaddrStorage) -> Option<IpAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(v4.ip().into());
    }
    let v6 = address.as_sockaddr_in6()?.ip();
    (!v6.is_unicast_link_local()).then(|| v6.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_configured_name_goes_before_the_machines_own() {
        let own = here(None).unwrap();
        let name = HostName::parse("node-7.example.com").unwrap();
        assert_ne!(own.name, name);
        assert_eq!(here(Some(&name)).unwrap(), Host { name, addresses: own.addresses });
    }

    #[test]
    fn the_machines_addresses_are_told_each_once() {
        let mut addresses = here(None).unwrap().addresses;
        assert!(addresses.contains(&Ipv4Addr::LOCALHOST.into()), "{addresses:?}");
        let told = addresses.len();
        addresses.sort_unstable();
        addresses.dedup();
        assert!(addresses.len() == told && told <= Host::ADDRESSES, "{addresses:?}");
    }
}
