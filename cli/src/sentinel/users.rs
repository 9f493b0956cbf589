//! `user` lines: Redis's ACLs, as far as a gateway's two rights can stand for them.

use super::conf::Taken;
use std::collections::BTreeMap;
use vedette_model::Secret;

const DEFAULT: &str = "default";

/// The users of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    /// By name; who may change things, not only ask, is an admin.
    pub known: BTreeMap<String, User>,
    /// Whether a rewritten file names the default user's password by its hash.
    pub hashed: bool,
}

/// One user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its password; absent for a default user without one.
    pub password: Option<Secret>,
    /// Whether it may do everything.
    pub admin: bool,
}

/// What the rules of a line come to.
#[derive(Debug, Default)]
struct Rules<'a> {
    on: bool,
    nopass: bool,
    passwords: Vec<&'a str>,
    hash: bool,
    all: bool,
    some: bool,
}

impl<'a> Rules<'a> {
    fn parse(rules: &[&'a str]) -> Result<Self, String> {
        let mut found = Self::default();
        for rule in rules {
            match rule.as_bytes() {
                b"on" => found.on = true,
                b"off" => found.on = false,
                b"nopass" => found.nopass = true,
                b"+@all" | b"allcommands" => (found.all, found.some) = (true, true),
                b"-@all" | b"nocommands" => (found.all, found.some) = (false, false),
                [b'>', ..] => found.passwords.push(&rule[1..]),
                [b'#', ..] => found.hash = true,
                [b'+', ..] => found.some = true,
                [b'-', ..] => found.all = false,
                [b'~' | b'&' | b'%', ..]
                | b"allkeys"
                | b"allchannels"
                | b"resetkeys"
                | b"resetchannels"
                | b"sanitize-payload"
                | b"skip-sanitize-payload" => {}
                _ => return Err(format!("the rule {} is not followed here", shown(rule))),
            }
        }
        Ok(found)
    }
}

/// A rule may be a password that lost its sign.
fn shown(rule: &str) -> String {
    let known = rule.chars().take(2).collect::<String>();
    format!("'{known}…'")
}

impl Users {
    /// Takes the words after `user`.
    ///
    /// # Errors
    /// Why it cannot be followed.
    pub fn take(&mut self, words: &[&str]) -> Result<Taken, String> {
        let Some((name, rules)) = words.split_first() else { return Ok(Taken::Unknown) };
        let rules = Rules::parse(rules)?;
        if !rules.on {
            self.known.remove(*name);
            return Ok(Taken::Note("a user that is off is left out".into()));
        }
        if !rules.some {
            return Err("the user may run no command: leave the line out".into());
        }
        let password = match &rules.passwords[..] {
            [one] if !rules.hash => Some(Secret::new((*one).to_owned())),
            [] if rules.hash && *name == DEFAULT && rules.all => {
                // As a running Sentinel writes `requirepass`.
                self.hashed = true;
                return Ok(Taken::Done);
            }
            [] if rules.nopass && *name == DEFAULT => None,
            [] if rules.nopass => return Err("only the default user may have no password".into()),
            [] if rules.hash => {
                return Err(
                    "the password stands here by its hash only: write it as >PASSWORD".into()
                );
            }
            [] => return Err("the user has no password: nobody could log in".into()),
            [_, ..] => return Err("a user has one password here: name one".into()),
        };
        if password.is_none() && rules.all {
            // So it is anyway.
            return Ok(Taken::Done);
        }
        self.known.insert((*name).to_owned(), User { password, admin: rules.all });
        if rules.all {
            return Ok(Taken::Done);
        }
        Ok(Taken::Note("its commands come to the right to ask and to subscribe".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(line: &str) -> Result<Users, String> {
        let mut users = Users::default();
        users.take(&line.split(' ').collect::<Vec<_>>()).map(|_| users)
    }

    #[test]
    fn all_commands_make_an_admin_and_fewer_a_reader() {
        for (rules, admin) in [
            ("ops on >x ~* &* +@all", true),
            ("ops on >x allcommands", true),
            ("app on >x -@all +ping +sentinel|get-master-addr-by-name +subscribe", false),
            ("app on >x +@all -sentinel|set", false),
        ] {
            let users = take(rules).unwrap();
            let user = users.known.values().next().unwrap();
            assert_eq!(user.admin, admin, "{rules}");
            assert_eq!(user.password.as_ref().unwrap().expose(), "x");
        }
    }

    #[test]
    fn the_default_user_as_a_sentinel_writes_it_changes_nothing() {
        let nopass = take("default on nopass sanitize-payload ~* &* +@all").unwrap();
        assert_eq!(nopass, Users::default());
        assert!(take("default on #72 ~* &* +@all").unwrap().hashed);
        let reader = take("default on nopass +ping +@read").unwrap();
        assert!(!reader.known["default"].admin);
    }

    #[test]
    fn what_a_gateway_cannot_do_is_refused_without_its_secrets() {
        for line in [
            "app on #72 +@all",
            "app on nopass +@all",
            "app on +@all",
            "app on >a >b +@all",
            "app on >a",
            "app on secret +@all",
            "app on >a (+@all)",
        ] {
            let error = take(line).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(take("app off >a +@all").unwrap().known.is_empty());
    }
}
