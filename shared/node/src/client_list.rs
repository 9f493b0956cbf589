//! Who changed a node's role, as far as the node's `CLIENT LIST` still shows it.

use crate::command::Errand;
use crate::conn::{Conn, Stage};
use crate::dial::Lookups;
use crate::reply::Reply;
use std::time::Duration;

/// For asking. What is asked for out of curiosity must not use up the time of a correction.
const LIMIT: Duration = Duration::from_millis(200);
/// Commands that change a role.
const CHANGERS: [&str; 3] = ["cmd=replicaof", "cmd=slaveof", "cmd=failover"];

/// The client whose last command changed the role, in words. None if that is not permitted, takes
/// too long, or is too much to read: over a connection of its own, so that nothing else suffers.
pub(crate) async fn who_changed(
    Errand { node, credentials, name, tls, .. }: Errand<'_>,
) -> Option<String> {
    let ask = async {
        let (lookups, mut stage) = (Lookups::over(tls.cloned()), Stage::Resolving);
        let mut conn = Conn::open(node, &lookups, credentials, name, &mut stage).await?;
        conn.send(&redis::cmd("CLIENT").arg("LIST").get_packed_command());
        conn.next().await
    };
    match tokio::time::timeout(LIMIT, ask).await {
        Ok(Ok(Reply::Text(list))) => changer(&list),
        Ok(Ok(
            Reply::Error(_)
            | Reply::Integer(_)
            | Reply::Array(_)
            | Reply::Nil
            | Reply::Unexpected(_),
        ))
        | Ok(Err(_))
        | Err(_) => None,
    }
}

/// Of several, the one that was active last.
fn changer(list: &str) -> Option<String> {
    let changers = list.lines().filter(|line| line.split(' ').any(|f| CHANGERS.contains(&f)));
    let last = changers.min_by_key(|line| {
        field(line, "idle").and_then(|seconds| seconds.parse::<u64>().ok()).unwrap_or(u64::MAX)
    })?;
    let mut words = field(last, "addr")?.to_string();
    for (key, text) in [("name", "name"), ("user", "user"), ("cmd", "last command")] {
        if let Some(value) = field(last, key) {
            words.push_str(&format!(", {text} {value}"));
        }
    }
    Some(words.chars().filter(|c| !c.is_control()).take(256).collect())
}

fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let value = |field: &'a str| field.strip_prefix(key)?.strip_prefix('=');
    line.split(' ').find_map(value).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as redis-server 7.0.15 writes them, shortened.
    const LIST: &str = "\
id=3 addr=10.0.0.5:40001 laddr=10.0.0.1:6379 fd=8 name= age=9 idle=0 cmd=get user=app resp=2\n\
id=4 addr=10.0.0.6:40002 laddr=10.0.0.1:6379 fd=9 name=healer age=9 idle=7 cmd=replicaof user=ops\n\
id=5 addr=10.0.0.7:40003 laddr=10.0.0.1:6379 fd=7 name= age=2 idle=1 cmd=slaveof user=default\n\
id=6 addr=10.0.0.8:40004 laddr=10.0.0.1:6379 fd=7 name=cmd=failoverx age=2 idle=0 cmd=ping\n";

    #[test]
    fn the_last_of_those_who_changed_the_role_is_named() {
        let who = changer(LIST).unwrap();
        assert_eq!(who, "10.0.0.7:40003, user default, last command slaveof");
        let without = LIST.replace("cmd=slaveof", "cmd=info");
        let who = changer(&without).unwrap();
        assert_eq!(who, "10.0.0.6:40002, name healer, user ops, last command replicaof");
    }

    #[test]
    fn nobody_is_named_where_nobody_changed_it() {
        assert_eq!(changer("id=3 addr=10.0.0.5:40001 name= idle=0 cmd=client|list\n"), None);
        assert_eq!(changer(""), None);
        assert_eq!(changer("cmd=replicaof"), None, "without an address it says nothing");
    }

    #[test]
    fn a_list_from_a_stranger_is_cut_short() {
        let list = format!("addr=\u{7}{} cmd=failover", "x".repeat(1_000));
        let who = changer(&list).unwrap();
        assert!(who.len() == 256 && !who.contains('\u{7}'));
    }
}
