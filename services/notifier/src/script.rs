//! Sentinel's scripts: one process per event and try.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::Semaphore;
use vedette_model::{Event, EventName, GroupName};
use vedette_protocol::notice::Outcome;

/// Bytes of standard error that are kept, the last ones.
const WORDS: usize = 512;
/// How long its last words are waited for after its end: a child of its own may hold the pipe.
const WORDS_LIMIT: Duration = Duration::from_millis(100);

/// How long the end of a killed script is waited for.
const BURIAL: Duration = Duration::from_secs(5);

/// What a script is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arguments {
    /// The event's name and payload.
    Notification,
    /// `<master-name> <role> start <from-ip> <from-port> <to-ip> <to-port>`.
    ClientReconfig,
}

/// An executable.
#[derive(Debug)]
pub struct Script {
    path: PathBuf,
    arguments: Arguments,
    limit: Duration,
    /// Shared by all scripts.
    places: Arc<Semaphore>,
    /// Empty for all.
    groups: Vec<GroupName>,
    /// The service id of the one in whose place it is run.
    in_place_of: Option<String>,
}

impl Script {
    /// A script that may run for so long, when there is a place for it.
    pub const fn new(
        path: PathBuf,
        arguments: Arguments,
        limit: Duration,
        places: Arc<Semaphore>,
    ) -> Self {
        Self { path, arguments, limit, places, groups: Vec::new(), in_place_of: None }
    }

    /// Only for these groups, all if there are none, and as one Sentinel would run it.
    #[must_use]
    pub fn only_for(mut self, groups: Vec<GroupName>, in_place_of: Option<String>) -> Self {
        self.groups = groups;
        self.in_place_of = in_place_of;
        self
    }

    /// The role that the script is told; nothing if it is not run for the event.
    fn role(&self, event: &Event) -> Option<&'static str> {
        if !self.groups.is_empty() && !self.groups.contains(&event.group) {
            return None;
        }
        let Some(id) = &self.in_place_of else { return Some("leader") };
        // The source is `<service>/<id>`.
        if event.source.rsplit('/').next() == Some(id) {
            return Some("leader");
        }
        (event.name == EventName::SwitchMaster).then_some("observer")
    }

    /// Runs it once, to its end or its limit.
    pub async fn deliver(&self, event: &Event) -> Outcome {
        let Some(role) = self.role(event) else { return Outcome::Delivered };
        let Some(arguments) = arguments(self.arguments, role, event) else {
            let why = format!("its payload is not that of a switch: {:?}", event.payload);
            return Outcome::Refused(why);
        };
        let Ok(_place) = self.places.acquire().await else {
            return Outcome::Retry("the notifier stops".into());
        };
        let mut command = Command::new(&self.path);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A group of its own: it is killed with its children, and not by our terminal's ^C.
            .process_group(0)
            .kill_on_drop(true);
        match command.spawn() {
            Ok(child) => self.watch(child).await,
            Err(error) => Outcome::Retry(format!("{} cannot run: {error}", self.path.display())),
        }
    }

    async fn watch(&self, mut child: Child) -> Outcome {
        let group = Group::of(&child);
        let words = tokio::spawn(last_words(child.stderr.take()));
        let Ok(ended) = tokio::time::timeout(self.limit, child.wait()).await else {
            drop(group);
            words.abort();
            // It was killed; this takes it out of the process table. One that hangs in the kernel
            // is left to the runtime, which tries again later.
            let _ = tokio::time::timeout(BURIAL, child.wait()).await;
            let (path, limit) = (self.path.display(), self.limit.as_millis());
            return Outcome::Retry(format!("{path} was killed after {limit} ms"));
        };
        group.leave();
        let stop = words.abort_handle();
        let words = tokio::time::timeout(WORDS_LIMIT, words).await;
        stop.abort();
        let words = words.ok().and_then(Result::ok).unwrap_or_default();
        match ended {
            Ok(status) => self.judge(status, &words),
            Err(error) => Outcome::Retry(format!("{}: {error}", self.path.display())),
        }
    }

    /// Sentinel's rule: 0 is done; 1 and a signal mean again; anything else is final.
    fn judge(&self, status: ExitStatus, words: &str) -> Outcome {
        let why = match (status.code(), status.signal()) {
            (Some(0), _) => return Outcome::Delivered,
            (Some(code), _) => format!("exited with {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended nobody knows how".into(),
        };
        let separator = if words.is_empty() { "" } else { ": " };
        let why = format!("{} {why}{separator}{words}", self.path.display());
        match status.code() {
            Some(1) | None => Outcome::Retry(why),
            Some(_) => Outcome::Refused(why),
        }
    }
}

/// The arguments for an event; nothing if it does not hold them.
fn arguments(kind: Arguments, role: &str, event: &Event) -> Option<Vec<OsString>> {
    let words = match kind {
        Arguments::Notification => vec![event.name.as_str(), event.payload.as_str()],
        Arguments::ClientReconfig => {
            let words: Vec<_> = event.payload.split(' ').collect();
            let [name, from_ip, from_port, to_ip, to_port] = words.try_into().ok()?;
            vec![name, role, "start", from_ip, from_port, to_ip, to_port]
        }
    };
    // An argument ends at a zero byte; nobody's payload has one in earnest.
    let sound = words.iter().all(|word| !word.contains('\0'));
    sound.then(|| words.into_iter().map(OsString::from).collect())
}

/// A script with its children, killed when dropped: also when the notifier gives up waiting.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    /// It ended by itself; children that it left behind on purpose may live on.
    fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended in this moment.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// The end of what is written to the pipe, on one line.
async fn last_words(pipe: Option<ChildStderr>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut kept = Vec::new();
    let mut chunk = [0; WORDS];
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..count]);
        kept.drain(..kept.len().saturating_sub(WORDS));
    }
    String::from_utf8_lossy(&kept).split_whitespace().collect::<Vec<_>>().join(" ")
}
