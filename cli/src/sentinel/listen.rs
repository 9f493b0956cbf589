//! Where a process in a Sentinel's place listens.

use super::conf::Conf;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

impl Conf {
    /// The address of the port for clients, and what is not as the file says.
    ///
    /// # Errors
    /// Why there is none.
    pub fn listen(&self) -> Result<(SocketAddr, Option<String>), String> {
        let server = &self.server;
        let at = |ip: IpAddr| SocketAddr::new(ip, server.first_port());
        let (any, local) = (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::LOCALHOST.into());
        let mut wanted = Vec::new();
        for given in &server.bind {
            // A `-` before an address: it may be missing.
            let bare = given.strip_prefix('-').unwrap_or(given);
            wanted.push(match bare {
                "*" => any,
                "::*" => Ipv6Addr::UNSPECIFIED.into(),
                _ => bare
                    .parse::<IpAddr>()
                    .map_err(|_| format!("bind {given}: it must be an IP address, * or ::*"))?,
            });
        }
        let Some(first) = wanted.first().copied() else {
            if server.protected && server.password.is_none() {
                let note = "protected-mode yes without a password: only this machine is let in";
                return Ok((at(local), Some(note.into())));
            }
            return Ok((at(any), None));
        };
        // All addresses of this machine are more than one of them.
        if let Some(all) = wanted.iter().copied().find(IpAddr::is_unspecified) {
            return Ok((at(all), None));
        }
        let chosen = wanted.iter().copied().find(|ip| !ip.is_loopback()).unwrap_or(first);
        let left: Vec<_> =
            wanted.iter().filter(|ip| **ip != chosen).map(ToString::to_string).collect();
        let outside = wanted.iter().filter(|ip| **ip != chosen && !ip.is_loopback()).count();
        if outside > 0 {
            return Err(format!(
                "a gateway listens on one address, not on {chosen} and {}: name one of them, or *",
                left.join(" and ")
            ));
        }
        let note = (!left.is_empty()).then(|| {
            format!("a gateway listens on one address: {chosen}, not {}", left.join(", "))
        });
        Ok((at(chosen), note))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(protected: bool, bind: &[&str]) -> Result<(String, bool), String> {
        let mut conf = Conf::default();
        conf.server.protected = protected;
        conf.server.bind = bind.iter().map(|ip| (*ip).to_owned()).collect();
        conf.listen().map(|(at, note)| (at.to_string(), note.is_some()))
    }

    #[test]
    fn an_address_is_chosen_that_others_reach() {
        for (protected, bind, expected) in [
            (false, vec![], ("0.0.0.0:26379", false)),
            (true, vec![], ("127.0.0.1:26379", true)),
            (true, vec!["10.0.0.5"], ("10.0.0.5:26379", false)),
            (false, vec!["*", "-::*"], ("0.0.0.0:26379", false)),
            (false, vec!["127.0.0.1", "-::1"], ("127.0.0.1:26379", true)),
            (false, vec!["127.0.0.1", "10.0.0.5"], ("10.0.0.5:26379", true)),
            (false, vec!["::1"], ("[::1]:26379", false)),
        ] {
            assert_eq!(listen(protected, &bind), Ok((expected.0.into(), expected.1)), "{bind:?}");
        }
        assert!(listen(false, &["10.0.0.5", "10.0.1.5"]).is_err());
        assert!(listen(false, &["localhost"]).is_err());
    }
}
