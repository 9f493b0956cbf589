//! Which requests need more than the right to read.

use super::{Client, full_name, is};
use crate::reply::Reply;
use crate::users::Rights;
use bytes::Bytes;

/// Subcommands of `SENTINEL` that change a group or this gateway.
const SENTINEL: [&str; 8] =
    ["failover", "monitor", "remove", "set", "reset", "debug", "simulate-failure", "flushconfig"];
/// Subcommands of `CLIENT` that meddle with other clients.
const CLIENT: [&str; 4] = ["kill", "pause", "unpause", "unblock"];

/// What the request needs; `name` is its first word in lower case.
pub(super) fn needed(name: &str, rest: &[Bytes]) -> Rights {
    let names = |n: usize, name: &str| rest.get(n).is_some_and(|word| is(word, name));
    let changes = match name {
        "sentinel" if names(0, "config") => !names(1, "get"),
        "sentinel" => SENTINEL.iter().any(|verb| names(0, verb)),
        "client" => CLIENT.iter().any(|verb| names(0, verb)),
        "acl" => !names(0, "whoami"),
        name => name == "shutdown",
    };
    if changes { Rights::Admin } else { Rights::Read }
}

/// Whether the client may.
///
/// # Errors
/// That it may not, in Redis's words.
pub(super) fn check(client: &Client, name: &str, rest: &[Bytes]) -> Result<(), Reply> {
    let Some(user) = client.user() else {
        return Err(Reply::Error("NOAUTH Authentication required.".into()));
    };
    if client.may(needed(name, rest)) {
        return Ok(());
    }
    let (user, command) = (&user.name, full_name(name, rest));
    Err(Reply::Error(format!(
        "NOPERM User {user} has no permissions to run the '{command}' command"
    )))
}

#[cfg(test)]
mod tests {
    use super::super::lower;
    use super::*;

    #[track_caller]
    fn needs(line: &str, wanted: Rights) {
        let words: Vec<Bytes> =
            line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        assert_eq!(needed(&lower(&words[0]), &words[1..]), wanted, "{line}");
    }

    #[test]
    fn what_changes_anything_needs_admin() {
        for line in [
            "SENTINEL FAILOVER g",
            "SENTINEL FAILOVER g COORDINATED",
            "sentinel monitor g ip 1 2",
            "SENTINEL REMOVE g",
            "SENTINEL SET g quorum 1",
            "SENTINEL RESET *",
            "SENTINEL CONFIG SET announce-ip x",
            "SENTINEL CONFIG",
            "SENTINEL DEBUG",
            "SENTINEL SIMULATE-FAILURE help",
            "SENTINEL FLUSHCONFIG",
            "CLIENT KILL 127.0.0.1:1",
            "CLIENT PAUSE 1",
            "ACL USERS",
            "SHUTDOWN",
        ] {
            needs(line, Rights::Admin);
        }
    }

    #[test]
    fn what_clients_ask_needs_nothing_more() {
        for line in [
            "PING",
            "SENTINEL",
            "SENTINEL MASTERS",
            "SENTINEL GET-MASTER-ADDR-BY-NAME g",
            "SENTINEL CKQUORUM g",
            "SENTINEL CONFIG GET *",
            "SENTINEL INFO-CACHE g",
            "CLIENT LIST",
            "CLIENT SETINFO lib-name x",
            "ACL WHOAMI",
            "SUBSCRIBE x",
            "INFO",
        ] {
            needs(line, Rights::Read);
        }
    }
}
