//! A redis-server or valkey-server process.

use crate::{Home, LIMIT, Process, binary, ports, within};
use anyhow::{Context, Result, bail};
use redis::RedisConnectionInfo;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;
use vedette_model::NodeAddr;

/// For one command to one node.
const COMMAND_LIMIT: Duration = Duration::from_secs(2);

/// One node. It answers the verbs of a [`Process`] too.
pub struct Node {
    process: Process,
    addr: NodeAddr,
    password: Option<String>,
    file: PathBuf,
}

impl Node {
    /// Starts a node that follows `master`, or nobody, and waits until it answers. `lines` are
    /// added to its configuration file.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start(
        name: &str,
        folder: &Path,
        master: Option<&NodeAddr>,
        password: Option<&str>,
        lines: &[String],
    ) -> Result<Self> {
        Self::start_at(Home::loopback(), name, folder, master, password, lines).await
    }

    /// [`Node::start`] with its home.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start_at(
        home: Home,
        name: &str,
        folder: &Path,
        master: Option<&NodeAddr>,
        password: Option<&str>,
        lines: &[String],
    ) -> Result<Self> {
        Self::start_of(binary::redis()?, home, name, folder, master, password, lines).await
    }

    async fn start_of(
        program: PathBuf,
        home: Home,
        name: &str,
        folder: &Path,
        master: Option<&NodeAddr>,
        password: Option<&str>,
        lines: &[String],
    ) -> Result<Self> {
        let (host, port) = (home.host().to_string(), ports::free()?);
        let data = folder.join(name);
        std::fs::create_dir_all(&data)?;
        let mut text = format!(
            "port {port}\nbind {host}\nprotected-mode no\ndir {}\nsave \"\"\nappendonly no\n\
             repl-diskless-sync yes\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n",
            data.display()
        );
        if let Some(master) = master {
            text += &format!("replicaof {} {}\n", master.host(), master.port());
        }
        if let Some(password) = password {
            text += &format!("requirepass {password}\nmasterauth {password}\n");
        }
        for line in lines {
            text += &format!("{line}\n");
        }
        // A file, so that CONFIG REWRITE works as it does in production.
        let file = folder.join(format!("{name}.conf"));
        std::fs::write(&file, text)?;
        let arguments = vec![file.to_string_lossy().into_owned()];
        let process = Process::spawn_at(home, Vec::new(), name, program, arguments, folder)?;
        let addr = NodeAddr::new(&host, port)?;
        let mut node = Self { process, addr, password: password.map(Into::into), file };
        node.answers().await?;
        Ok(node)
    }

    /// Starts a master, `redis1`, and so many replicas, and waits until these follow it.
    ///
    /// # Errors
    /// If they do not come up.
    pub async fn start_group(
        replicas: usize,
        folder: &Path,
        password: Option<&str>,
    ) -> Result<Vec<Self>> {
        let homes = vec![Home::loopback(); replicas + 1];
        Self::start_group_at(&homes, folder, password, &[]).await
    }

    /// [`Node::start_group`] of this redis-server or valkey-server, without a password.
    ///
    /// # Errors
    /// If they do not come up.
    pub async fn start_group_of(
        program: &Path,
        replicas: usize,
        folder: &Path,
    ) -> Result<Vec<Self>> {
        Self::group(program, &vec![Home::loopback(); replicas + 1], folder, None, &[]).await
    }

    /// [`Node::start_group`] with one node in each of these homes, the master in the first, and
    /// more lines for their configuration files.
    ///
    /// # Errors
    /// If they do not come up.
    pub async fn start_group_at(
        homes: &[Home],
        folder: &Path,
        password: Option<&str>,
        lines: &[String],
    ) -> Result<Vec<Self>> {
        Self::group(&binary::redis()?, homes, folder, password, lines).await
    }

    async fn group(
        program: &Path,
        homes: &[Home],
        folder: &Path,
        password: Option<&str>,
        lines: &[String],
    ) -> Result<Vec<Self>> {
        let mut nodes: Vec<Self> = Vec::new();
        for (n, home) in homes.iter().enumerate() {
            let (name, master) = (format!("redis{}", n + 1), nodes.first().map(Self::addr));
            let (program, home) = (program.to_path_buf(), home.clone());
            let node =
                Self::start_of(program, home, &name, folder, master, password, lines).await?;
            nodes.push(node);
        }
        let master = nodes.first().context("a group has a master")?.addr.clone();
        for replica in &nodes[1..] {
            let what = format!("{} follows {master}", replica.name());
            within(LIMIT, &what, async || replica.follows(&master).await.then_some(())).await?;
        }
        Ok(nodes)
    }

    /// Where it listens.
    pub const fn addr(&self) -> &NodeAddr {
        &self.addr
    }

    /// Its password was changed: this is how to log in from now on.
    pub fn set_password(&mut self, password: &str) {
        self.password = Some(password.into());
    }

    /// Takes the master out of its configuration file: at its next start it is on its own.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn forget_master(&self) -> Result<()> {
        let text = std::fs::read_to_string(&self.file)?;
        let kept = text.lines().filter(|line| !line.starts_with("replicaof "));
        std::fs::write(&self.file, kept.collect::<Vec<_>>().join("\n") + "\n")?;
        Ok(())
    }

    /// Waits until it answers `PING`.
    ///
    /// # Errors
    /// If it has ended, or does not answer in time.
    pub async fn answers(&mut self) -> Result<()> {
        let what = format!("{} answers", self.name());
        let up = within(LIMIT, &what, async || {
            if let Some(status) = self.process.ended() {
                return Some(Err(status));
            }
            let pong: Result<String> = self.command(&["PING"]).await;
            pong.is_ok().then_some(Ok(()))
        })
        .await?;
        match up {
            Ok(()) => Ok(()),
            Err(status) => bail!("{} ended with {status}: {}", self.name(), self.log()),
        }
    }

    /// A client with this node's password.
    ///
    /// # Errors
    /// If the address cannot be used.
    pub fn client(&self) -> Result<Client> {
        client(&self.addr, self.password.as_deref())
    }

    /// Carries out a command on a connection of its own.
    ///
    /// # Errors
    /// If the node does not answer, or with an error.
    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> Result<T> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(COMMAND_LIMIT))
            .set_response_timeout(Some(COMMAND_LIMIT));
        let mut connection =
            self.client()?.get_multiplexed_async_connection_with_config(&config).await?;
        let (name, rest) = words.split_first().context("a command has a name")?;
        let mut command = redis::cmd(name);
        for word in rest {
            command.arg(*word);
        }
        command
            .query_async(&mut connection)
            .await
            .with_context(|| format!("{} to {}", words.join(" "), self.name()))
    }

    /// Writes its data set to its disk, once no child of its own does: a replica that synchronises
    /// may have it saved at this moment.
    ///
    /// # Errors
    /// If it is not done within [`LIMIT`].
    pub async fn save(&self) -> Result<()> {
        let done = async || self.command::<()>(&["SAVE"]).await.ok();
        within(LIMIT, "it saves its data set", done).await
    }

    /// The fields of one section of `INFO`.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn info(&self, section: &str) -> Result<BTreeMap<String, String>> {
        let text: String = self.command(&["INFO", section]).await?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Ok(fields.map(|(key, value)| (key.into(), value.into())).collect())
    }

    /// Whether it says that it is a master.
    pub async fn is_master(&self) -> bool {
        self.info("replication")
            .await
            .is_ok_and(|info| info.get("role").is_some_and(|role| role == "master"))
    }

    /// Whether it follows that node and its link is up.
    pub async fn follows(&self, master: &NodeAddr) -> bool {
        let Ok(info) = self.info("replication").await else { return false };
        let has = |key: &str, value: &str| info.get(key).is_some_and(|found| found == value);
        has("role", "slave")
            && has("master_host", master.host())
            && has("master_port", &master.port().to_string())
            && has("master_link_status", "up")
    }
}

/// A client of any node. Like Vedette's own for applications it does not tell its library's name, which
/// would be a round trip before the first command.
pub(crate) fn client(addr: &NodeAddr, password: Option<&str>) -> Result<Client> {
    let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(password) = password {
        login = login.set_password(password);
    }
    let info = ConnectionAddr::Tcp(addr.host().into(), addr.port()).into_connection_info()?;
    Ok(Client::open(info.set_redis_settings(login))?)
}

impl Deref for Node {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Node {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
