//! What both are asked: every command of a Sentinel, right and wrong.
//!
//! One question a line; commands parted by `; ` are sent at once on one connection. `mymaster` stands
//! for the group, `6379` for the master's port. A question that begins with `~` is about numbers of
//! the process's own, which are not compared.

/// What anybody may ask, in RESP2 and RESP3.
pub const OPEN: &str = r#"
PING
ping
PING hi
PING a b
GET x
SET a b
ECHO a "b c"
SELECT 0
MULTI
CONFIG GET *
MONITOR
PUBSUB CHANNELS
RESET
TIME
SLOWLOG GET
QUIT
HELLO
HELLO 2
HELLO 3
HELLO 4
HELLO x
HELLO 3 SETNAME me
HELLO 3 SETNAME "a b"
HELLO 3 SETNAME
HELLO 3 AUTH default x
HELLO 3 AUTH default
HELLO 3 AUTH nobody x SETNAME me
HELLO 3 NONSENSE
AUTH
AUTH x
AUTH default x
AUTH nobody x
AUTH a b c
ROLE
ROLE x
INFO
INFO server
INFO clients
INFO cpu
INFO stats
INFO sentinel
INFO SENTINEL
INFO memory
INFO nonsense
INFO all
INFO default
INFO everything
INFO nonsense sentinel
COMMAND
COMMAND COUNT
COMMAND COUNT x
COMMAND INFO ping
COMMAND INFO sentinel
COMMAND INFO nonsense
COMMAND LIST
COMMAND LIST FILTERBY PATTERN p*
COMMAND LIST FILTERBY
COMMAND DOCS ping
COMMAND DOCS nonsense
COMMAND GETKEYS PING
COMMAND HELP
COMMAND NONSENSE
~CLIENT ID
CLIENT ID x
CLIENT GETNAME
CLIENT GETNAME x
CLIENT SETNAME a; CLIENT GETNAME
CLIENT SETNAME a; CLIENT SETNAME ""; CLIENT GETNAME
CLIENT SETNAME "a b"
CLIENT SETNAME
CLIENT SETINFO LIB-NAME x
CLIENT SETINFO NONSENSE x
CLIENT INFO
CLIENT LIST
CLIENT LIST TYPE normal
CLIENT LIST TYPE replica
CLIENT LIST TYPE nonsense
CLIENT LIST ID x
CLIENT LIST NONSENSE
CLIENT KILL 127.0.0.1:1
CLIENT KILL ADDR 127.0.0.1:1
CLIENT KILL ID x
CLIENT KILL ID 0
CLIENT KILL ID 99999999
CLIENT KILL TYPE nonsense
CLIENT KILL TYPE replica
CLIENT KILL USER nobody
CLIENT KILL USER default TYPE master
CLIENT KILL SKIPME x
CLIENT KILL ID
CLIENT KILL
CLIENT PAUSE x
CLIENT PAUSE 1; CLIENT UNPAUSE
CLIENT PAUSE -1
CLIENT PAUSE 1 NONSENSE
CLIENT UNPAUSE
CLIENT UNPAUSE x
CLIENT REPLY ON
CLIENT REPLY NONSENSE
CLIENT REPLY OFF
CLIENT REPLY SKIP; PING; PING a
CLIENT NO-EVICT ON
CLIENT NO-EVICT x
CLIENT NO-EVICT
CLIENT TRACKING OFF
CLIENT TRACKING ON
CLIENT TRACKING x
CLIENT TRACKINGINFO
CLIENT CACHING YES
CLIENT CACHING x
CLIENT GETREDIR
CLIENT UNBLOCK 99999999
CLIENT UNBLOCK x
CLIENT HELP
CLIENT NONSENSE
CLIENT MAINT_NOTIFICATIONS ON
CLIENT NO-TOUCH ON
CLIENT
ACL
ACL WHOAMI
ACL WHOAMI x
ACL USERS
ACL LIST
ACL GETUSER default
ACL GETUSER nobody
ACL SETUSER someone on; ACL DELUSER someone
ACL DELUSER nobody
ACL CAT
ACL GENPASS 3
ACL LOG
ACL LOAD
ACL SAVE
ACL DRYRUN default PING
ACL HELP
ACL NONSENSE
PUBLISH x y
PUBLISH __sentinel__:hello x
PUBLISH x
SUBSCRIBE
SUBSCRIBE a
SUBSCRIBE a b a
SUBSCRIBE a; PING
SUBSCRIBE a; PING hi
SUBSCRIBE a; PING a b
SUBSCRIBE a; SENTINEL MYID
SUBSCRIBE a; SUBSCRIBE
SUBSCRIBE a; QUIT
SUBSCRIBE a; RESET
SUBSCRIBE a; UNSUBSCRIBE a; PING
SUBSCRIBE a b; UNSUBSCRIBE a c
SUBSCRIBE a; UNSUBSCRIBE; ROLE
SUBSCRIBE a; PSUBSCRIBE b*; PUNSUBSCRIBE
PSUBSCRIBE
PSUBSCRIBE *
PSUBSCRIBE [-+]sdown switch-master
PUNSUBSCRIBE
PUNSUBSCRIBE x
UNSUBSCRIBE
UNSUBSCRIBE x
SSUBSCRIBE a
SHUTDOWN NONSENSE
SENTINEL
SENTINEL NONSENSE
SENTINEL nonsense a b
sentinel masters
SENTINEL MASTERS
SENTINEL MASTERS x
SENTINEL MASTER mymaster
SENTINEL MASTER MYMASTER
SENTINEL MASTER nobody
SENTINEL MASTER
SENTINEL MASTER a b
SENTINEL REPLICAS mymaster
SENTINEL REPLICAS nobody
SENTINEL REPLICAS
SENTINEL SLAVES mymaster
SENTINEL SLAVES nobody
SENTINEL SLAVES
SENTINEL SENTINELS mymaster
SENTINEL SENTINELS nobody
SENTINEL SENTINELS
SENTINEL GET-MASTER-ADDR-BY-NAME mymaster
SENTINEL GET-MASTER-ADDR-BY-NAME nobody
SENTINEL GET-MASTER-ADDR-BY-NAME
SENTINEL GET-MASTER-ADDR-BY-NAME a b
SENTINEL PRIMARIES
SENTINEL PRIMARY mymaster
SENTINEL GET-PRIMARY-ADDR-BY-NAME mymaster
SENTINEL IS-PRIMARY-DOWN-BY-ADDR 127.0.0.1 6379 0 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 6379 0 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 0 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 6379 1 0123456789abcdef0123456789abcdef01234567
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 1 0123456789abcdef0123456789abcdef01234567
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 x 0 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 6379 x *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 6379 0
SENTINEL CKQUORUM mymaster
SENTINEL CKQUORUM nobody
SENTINEL CKQUORUM
SENTINEL MYID
SENTINEL MYID x
SENTINEL HELP
SENTINEL HELP x
SENTINEL FLUSHCONFIG
SENTINEL FLUSHCONFIG x
SENTINEL PENDING-SCRIPTS
SENTINEL PENDING-SCRIPTS x
~SENTINEL INFO-CACHE mymaster
SENTINEL INFO-CACHE nobody
SENTINEL INFO-CACHE
SENTINEL CONFIG
SENTINEL CONFIG GET
SENTINEL CONFIG GET *
SENTINEL CONFIG GET announce-ip
SENTINEL CONFIG GET announce-*
SENTINEL CONFIG GET announce-ip announce-port
SENTINEL CONFIG GET nonsense
SENTINEL CONFIG SET nonsense x
SENTINEL CONFIG SET announce-port x
SENTINEL CONFIG SET announce-ip ""
SENTINEL CONFIG SET announce-ip 10.9.9.9; SENTINEL CONFIG SET announce-ip ""
SENTINEL CONFIG SET resolve-hostnames x
SENTINEL CONFIG SET resolve-hostnames no
SENTINEL CONFIG SET announce-ip
SENTINEL CONFIG SET sentinel-pass ""
SENTINEL CONFIG NONSENSE x
SENTINEL DEBUG
SENTINEL DEBUG nonsense 1
SENTINEL DEBUG ping-period 0
SENTINEL DEBUG ping-period x
SENTINEL DEBUG ping-period
SENTINEL DEBUG PING-PERIOD 1000
SENTINEL DEBUG ping-period 900; SENTINEL DEBUG ping-period 1000
SENTINEL SIMULATE-FAILURE
SENTINEL SIMULATE-FAILURE nonsense
SENTINEL SIMULATE-FAILURE HELP
SENTINEL SIMULATE-FAILURE crash-after-election; SENTINEL SIMULATE-FAILURE HELP
SENTINEL FAILOVER nobody
SENTINEL FAILOVER
SENTINEL FAILOVER nobody NONSENSE
SENTINEL RESET nobody
SENTINEL RESET
SENTINEL REMOVE nobody
SENTINEL REMOVE
SENTINEL MONITOR a
SENTINEL MONITOR new 127.0.0.1 x y
SENTINEL MONITOR new 127.0.0.1 x 1
SENTINEL MONITOR new 127.0.0.1 1 0
SENTINEL MONITOR new "not an address" 1 1
SENTINEL MONITOR new no-such.invalid 1 1
SENTINEL MONITOR new 127.0.0.1 70000 1
SENTINEL MONITOR mymaster 127.0.0.1 1 1
SENTINEL MONITOR mymaster 127.0.0.1 6379 2
SENTINEL MONITOR second 127.0.0.1 6379 2; SENTINEL REMOVE second
SENTINEL MONITOR second 127.0.0.1 1 2; SENTINEL REMOVE second
SENTINEL MONITOR second 127.0.0.1 1 2; SENTINEL MONITOR second 127.0.0.1 1 2; SENTINEL REMOVE second
SENTINEL MONITOR second 127.0.0.1 1 2; SENTINEL REMOVE second; SENTINEL REMOVE second
SENTINEL MONITOR second 127.0.0.1 1 2; SENTINEL RESET sec*; SENTINEL REMOVE second
SENTINEL MONITOR second 127.0.0.1 1 2; SENTINEL FAILOVER second; SENTINEL REMOVE second
SENTINEL SET
SENTINEL SET mymaster
SENTINEL SET mymaster quorum
SENTINEL SET mymaster quorum 0
SENTINEL SET mymaster quorum x
SENTINEL SET mymaster quorum 2
SENTINEL SET mymaster quorum 2 parallel-syncs
SENTINEL SET mymaster QUORUM 2 Parallel-Syncs 1
SENTINEL SET mymaster nonsense 1
SENTINEL SET mymaster DOWN-after-milliseconds -1
SENTINEL SET mymaster down-after-milliseconds 60000
SENTINEL SET mymaster down-after-milliseconds 1; SENTINEL SET mymaster down-after-milliseconds 60000
SENTINEL SET mymaster failover-timeout 0
SENTINEL SET mymaster failover-timeout 10000
SENTINEL SET mymaster parallel-syncs -1
SENTINEL SET mymaster master-reboot-down-after-period -1
SENTINEL SET mymaster auth-pass ""
SENTINEL SET mymaster auth-user ""
SENTINEL SET mymaster notification-script /bin/true
SENTINEL SET mymaster client-reconfig-script /bin/true
SENTINEL SET mymaster rename-command PING
SENTINEL SET mymaster rename-command PING PING
SENTINEL SET mymaster rename-command CONFIG guessme; SENTINEL SET mymaster rename-command CONFIG CONFIG
SENTINEL SET nobody quorum 1
"#;

/// What is asked where a password is set and not told, in RESP2 and, where it can be had, RESP3.
pub const LOCKED: &str = r#"
PING
NONSENSE
SENTINEL MASTERS
SENTINEL NONSENSE
SENTINEL
SUBSCRIBE a
QUIT
HELLO
HELLO 3
HELLO 3 AUTH default wrong
HELLO 3 AUTH default secret; PING
HELLO 3 AUTH nobody secret
AUTH
AUTH wrong
AUTH secret; PING; ACL WHOAMI
AUTH default secret; PING
AUTH nobody secret
AUTH default wrong
"#;

/// Asked of one that is not needed any more.
pub const LAST: &str = "SHUTDOWN";

/// Requests that are no arrays of bulk strings, and what they are called.
pub const RAW: [(&str, &[u8]); 12] = [
    ("inline: PING", b"PING\r\n"),
    ("inline: PING without a carriage return", b"PING hi\n"),
    ("inline: an empty line, then PING", b"\r\nPING\r\n"),
    ("inline: quotes", b"PING \"a \\x41\"\r\n"),
    ("inline: a quote that stays open", b"PING \"a\r\n"),
    ("inline: SENTINEL MYID", b"sentinel myid\r\n"),
    ("an empty array, then PING", b"*0\r\n*1\r\n$4\r\nPING\r\n"),
    ("an array of a negative length, then PING", b"*-1\r\n*1\r\n$4\r\nPING\r\n"),
    ("an array of no length", b"*x\r\n"),
    ("an array that is too long", b"*99999999999\r\n"),
    ("a string of a negative length", b"*1\r\n$-3\r\n"),
    ("no string where one is due", b"*1\r\n:1\r\n"),
];

/// The commands of a question, as words.
pub fn commands(question: &str) -> Vec<Vec<String>> {
    question.split("; ").map(words).collect()
}

fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (n, part) in command.split('"').enumerate() {
        if n % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split(' ').filter(|word| !word.is_empty()).map(ToOwned::to_owned));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_a_word_together() {
        let expected = [vec!["SET", "a b", ""], vec!["PING"]];
        assert_eq!(commands("SET \"a b\" \"\"; PING"), expected);
    }
}
