//! What is said of one master.

use super::conf::Taken;
use super::lines::At;
use super::server::port;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use vedette_model::{Credentials, GroupName, NodeAddr, Quorum, Secret, Setting, Settings};

const DAY_MS: u64 = 86_400_000;
/// As Sentinel, which lets every one of them watch.
const ALL_WATCH: u32 = 1_000;

/// One monitored master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its `monitor` line.
    pub at: At,
    /// The master name.
    pub name: GroupName,
    /// Its address in the file.
    pub master: NodeAddr,
    /// Without what depends on more than one line: see [`Group::settings`].
    said: Settings,
    user: Option<String>,
    password: Option<Secret>,
    /// Run with each event of weight.
    pub notification_script: Option<PathBuf>,
    /// Run with each change of master.
    pub client_reconfig_script: Option<PathBuf>,
}

impl Group {
    /// Takes a `monitor` line; nothing if it has another number of words.
    ///
    /// # Errors
    /// What is wrong with it, in Sentinel's words.
    pub fn monitor(at: At, words: &[&str]) -> Result<Option<Self>, String> {
        let [_, name, host, number, quorum] = words else { return Ok(None) };
        let quorum = quorum.parse::<u32>().ok().and_then(|quorum| Quorum::parse(quorum).ok());
        let name = GroupName::parse(name).map_err(|error| error.to_string())?;
        Ok(Some(Self {
            at,
            name,
            said: unspoken(quorum.ok_or("Quorum must be 1 or greater.")?),
            master: NodeAddr::new(host, port(number)?).map_err(|error| error.to_string())?,
            user: None,
            password: None,
            notification_script: None,
            client_reconfig_script: None,
        }))
    }

    /// Whether it is a directive about one master, with so many values after its name.
    pub fn knows(directive: &str, values: usize) -> bool {
        match directive {
            "rename-command" | "known-replica" | "known-slave" => values == 2,
            "known-sentinel" => values == 2 || values == 3,
            "down-after-milliseconds"
            | "failover-timeout"
            | "parallel-syncs"
            | "notification-script"
            | "client-reconfig-script"
            | "auth-pass"
            | "auth-user"
            | "master-reboot-down-after-period"
            | "primary-reboot-down-after-period"
            | "crash-grace-milliseconds"
            | "config-epoch"
            | "leader-epoch" => values == 1,
            _ => false,
        }
    }

    /// Takes a directive that it [knows](Self::knows).
    ///
    /// # Errors
    /// Why it cannot be followed.
    pub fn take(&mut self, directive: &str, values: &[&str]) -> Result<Taken, String> {
        let [value, rest @ ..] = values else { return Ok(Taken::Unknown) };
        let some = || Some((*value).to_owned()).filter(|value| !value.is_empty());
        match directive {
            "down-after-milliseconds" => self.said.down_after_ms = time(value)?,
            "failover-timeout" => self.said.failover_timeout_ms = time(value)?,
            "parallel-syncs" => {
                self.said.parallel_syncs = value.parse().map_err(|_| "it must be 1 to 1000")?;
            }
            "master-reboot-down-after-period" | "primary-reboot-down-after-period" => {
                let period = value.parse().map_err(|_| "negative time parameter.")?;
                self.said.loading_budget_ms = Some(period);
            }
            "crash-grace-milliseconds" => {
                self.said.crash_grace_ms = value.parse().map_err(|_| "negative time parameter.")?;
            }
            "auth-user" => self.user = some(),
            "auth-pass" => self.password = some().map(Secret::new),
            "notification-script" => {
                self.notification_script = Some(executable(value, "Notification script")?);
            }
            "client-reconfig-script" => {
                let script = executable(value, "Client reconfiguration script")?;
                self.client_reconfig_script = Some(script);
            }
            "rename-command" => return rename(value, rest),
            "known-replica" | "known-slave" => {
                return note("replicas are found through the master; the voters remember them");
            }
            "config-epoch" | "leader-epoch" => {
                return note("not taken over: epochs begin at 1 and are kept by the voters");
            }
            _ => return Ok(Taken::Unknown),
        }
        Ok(Taken::Done)
    }

    /// Whether all that is said of it goes together.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self) -> Result<(), String> {
        self.settings().check().map_err(|error| format!("of {}: {error}", self.name))
    }

    /// As the voters will keep them: what the file says, and what Sentinel does where it has no
    /// directive for it.
    pub fn settings(&self) -> Settings {
        let password = self.password.clone();
        Settings {
            // To Sentinel `-BUSY` is no answer.
            busy_budget_ms: self.said.down_after_ms,
            credentials: password.map(|password| Credentials::new(self.user.clone(), password)),
            ..self.said.clone()
        }
    }
}

/// What a group that no line speaks of starts with, besides its quorum: the same as one of which
/// the file has the `monitor` line alone.
pub fn of_run_time() -> Vec<Setting> {
    let quorum = Quorum::parse(1).expect("one is a quorum");
    unspoken(quorum).changed_since(&Settings::with_quorum(quorum))
}

/// What a Sentinel does with a master of which it is told no more.
fn unspoken(quorum: Quorum) -> Settings {
    Settings {
        down_after_ms: 30_000,
        failover_timeout_ms: 180_000,
        parallel_syncs: 1,
        crash_grace_ms: 0,
        busy_budget_ms: 30_000,
        loading_budget_ms: Some(0),
        trust_recorded_address: true,
        flap_limit: 0,
        // It forgets nobody.
        tombstone_after_ms: DAY_MS,
        prune_after_ms: 365 * DAY_MS,
        watchers_per_place: ALL_WATCH,
        ..Settings::with_quorum(quorum)
    }
}

fn note(text: &str) -> Result<Taken, String> {
    Ok(Taken::Note(text.into()))
}

fn time(value: &str) -> Result<u64, String> {
    let time = value.parse::<u64>().ok().filter(|time| *time > 0);
    time.ok_or_else(|| "negative or zero time parameter.".into())
}

fn executable(value: &str, what: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(value);
    let found = std::fs::metadata(&path);
    if !found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0) {
        return Err(format!("{what} seems non existing or non executable."));
    }
    if path.is_relative() {
        return Err(format!("{what}: name it by its absolute path"));
    }
    Ok(path)
}

fn rename(command: &str, rest: &[&str]) -> Result<Taken, String> {
    if rest.iter().all(|name| name.eq_ignore_ascii_case(command)) {
        return Ok(Taken::MeansNothing);
    }
    Err("the nodes must know their commands by their own names: take the renaming out on the nodes, \
         give Vedette a user of its own with the rights it needs, and leave the line out"
        .into())
}
