//! What a gateway has nothing to do for: the words are looked at as in Redis, and what is asked for
//! holds as it is. Nothing is cached, paused, blocked or evicted here.

use super::{lower, text};
use crate::reply::Reply;
use bytes::Bytes;

const CLIENT: [&str; 20] = [
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port> | <option> <value> [<option> <value> ...]",
    "    Kill connections by ADDR, LADDR, TYPE, USER, SKIPME, ID, MAXAGE.",
    "LIST [TYPE <type> | ID <id> [<id> ...]]",
    "    Return information about client connections.",
    "SETINFO LIB-NAME | LIB-VER <value>",
    "    Say which library the current connection uses.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "CACHING, GETREDIR, NO-EVICT, PAUSE, TRACKING, UNBLOCK, UNPAUSE",
    "    Nothing is cached, paused or evicted: nothing is changed.",
    "REPLY ON",
    "    Reply to commands, as always.",
    "HELP: print this help.",
];

const COMMAND: [&str; 11] = [
    "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "(no subcommand)",
    "    Return name and arity of all commands.",
    "COUNT",
    "    Return the total number of commands.",
    "LIST",
    "    Return the names of all commands.",
    "INFO [<command-name> ...]",
    "    Return name and arity of commands.",
    "HELP",
    "    Print this help.",
];

const ACL: [&str; 7] = [
    "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "USERS",
    "    List the names of all users.",
    "WHOAMI",
    "    Return the current connection's user.",
    "HELP",
    "    Print this help. Users are set in the gateway's configuration.",
];

/// `CLIENT HELP` and its like.
pub(super) fn help(container: &str) -> Reply {
    let lines: &[&str] = match container {
        "client" => &CLIENT,
        "command" => &COMMAND,
        _ => &ACL,
    };
    Reply::Array(lines.iter().map(|line| Reply::Simple((*line).into())).collect())
}

fn syntax() -> Reply {
    Reply::err("syntax error")
}

/// The answer to such a subcommand of `CLIENT`; nothing if it is another one.
pub(super) fn client(verb: &str, rest: &[Bytes]) -> Option<Reply> {
    Some(match (verb, rest) {
        ("help", []) => help("client"),
        ("reply", [how]) => match &*lower(how) {
            "on" => Reply::ok(),
            // Whoever is promised silence must not be answered.
            "off" | "skip" => Reply::err("CLIENT REPLY OFF and SKIP are not built yet"),
            _ => syntax(),
        },
        ("tracking", [switch, ..]) | ("no-evict", [switch]) => match &*lower(switch) {
            "on" | "off" => Reply::ok(),
            _ => syntax(),
        },
        ("caching", [_]) => Reply::err(
            "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
             OPTOUT mode enabled",
        ),
        ("pause", [time] | [time, _]) => pause(time, rest.get(1)),
        ("unpause", []) => Reply::ok(),
        ("getredir", []) => Reply::Integer(-1),
        ("unblock", [id] | [id, _]) => unblock(id, rest.get(1)),
        _ => return None,
    })
}

fn pause(time: &Bytes, mode: Option<&Bytes>) -> Reply {
    if mode.is_some_and(|mode| !["write", "all"].contains(&&*lower(mode))) {
        return Reply::err("CLIENT PAUSE mode must be WRITE or ALL");
    }
    match text(time).parse::<i64>() {
        Ok(0..) => Reply::ok(),
        Ok(_) => Reply::err("timeout is negative"),
        Err(_) => Reply::err("timeout is not an integer or out of range"),
    }
}

fn unblock(id: &Bytes, how: Option<&Bytes>) -> Reply {
    if how.is_some_and(|how| !["timeout", "error"].contains(&&*lower(how))) {
        return Reply::err("CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    }
    match text(id).parse::<i64>() {
        Ok(_) => Reply::Integer(0),
        Err(_) => Reply::err("value is not an integer or out of range"),
    }
}
