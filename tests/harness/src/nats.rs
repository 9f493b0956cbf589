//! nats-server processes: one, or a cluster of three.

use crate::{Home, LIMIT, Process, binary, ports, within};
use anyhow::{Context, Result, bail};
use async_nats::ConnectOptions;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;

const LOOPBACK: &str = "127.0.0.1";
/// Who may say what, as it is shipped.
const RIGHTS: &str = include_str!("../../../deploy/nats/rights.conf");

/// One server. It answers the verbs of a [`Process`] too.
pub struct NatsServer {
    process: Process,
    host: String,
    port: u16,
    url: String,
}

impl NatsServer {
    /// Starts so many servers, as one cluster if there are several, and waits until each accepts
    /// connections, and its JetStream answers if it has it.
    ///
    /// # Errors
    /// If they do not come up.
    pub async fn start(count: usize, jetstream: bool, folder: &Path) -> Result<Vec<Self>> {
        Self::start_at(&vec![Home::loopback(); count], jetstream, folder).await
    }

    /// [`NatsServer::start`] with one server in each of these homes.
    ///
    /// # Errors
    /// If they do not come up.
    pub async fn start_at(homes: &[Home], jetstream: bool, folder: &Path) -> Result<Vec<Self>> {
        let program = binary::nats()?;
        let count = homes.len();
        let ports: Vec<u16> = (0..2 * count).map(|_| ports::free()).collect::<Result<_>>()?;
        let (clients, routes) = ports.split_at(count);
        let mut servers = Vec::new();
        for (n, (port, home)) in clients.iter().zip(homes).enumerate() {
            let name = format!("nats{}", n + 1);
            let host = home.host();
            let mut text = format!("server_name: {name}\nlisten: \"{host}:{port}\"\n");
            if jetstream {
                let store = folder.join(format!("{name}.store"));
                text += &format!("jetstream {{ store_dir: \"{}\" }}\n", store.display());
            }
            if count > 1 {
                let list: Vec<String> = (routes.iter().zip(homes))
                    .map(|(port, home)| format!("\"nats://{}:{port}\"", home.host()))
                    .collect();
                text += &format!(
                    "cluster {{ name: vedette, listen: \"{host}:{}\", routes: [{}] }}\n",
                    routes[n],
                    list.join(", ")
                );
            }
            let file = folder.join(format!("{name}.nats.conf"));
            std::fs::write(&file, text)?;
            let arguments = vec!["--config".into(), file.to_string_lossy().into_owned()];
            let (home, program) = (home.clone(), program.clone());
            let process =
                Process::spawn_at(home.clone(), Vec::new(), &name, program, arguments, folder)?;
            servers.push(Self::of(process, home.host(), *port));
        }
        for server in &mut servers {
            server.answers(jetstream).await?;
        }
        Ok(servers)
    }

    /// Starts one server with more of nats-server's own arguments, and waits until it accepts
    /// connections.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start_with(arguments: &[&str], folder: &Path) -> Result<Self> {
        let port = ports::free()?;
        let arguments = own_and(arguments, port);
        let mut server =
            Self::of(Process::spawn("nats", binary::nats()?, arguments, folder)?, LOOPBACK, port);
        server.answers(false).await?;
        Ok(server)
    }

    /// Starts one server with the users of `deploy/nats/rights.conf`, each with its name for a
    /// password, and one more in each account who may do everything: `all`, as whom the harness
    /// connects, and `all-applications`. Without TLS.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start_with_rights(folder: &Path) -> Result<Self> {
        let all = "users: [ { user: all, password: all }";
        let own = "users: [ { user: all-applications, password: all-applications }";
        let mut text = RIGHTS.replace("users: [", own).replacen(own, all, 1);
        for user in Self::USERS {
            let variable = Self::password_variable(user);
            anyhow::ensure!(text.contains(&variable), "rights.conf has no {user}");
            text = text.replace(&format!("${variable}"), user);
        }
        let file = folder.join("rights.conf");
        std::fs::write(&file, format!("jetstream: enabled\n{text}"))?;
        let mut server = Self::start_with(&["--config", &file.to_string_lossy()], folder).await?;
        server.url = format!("nats://all:all@{LOOPBACK}:{}", server.port);
        Ok(server)
    }

    /// The users of `deploy/nats/rights.conf`.
    pub const USERS: [&str; 7] =
        ["prober", "voter", "orchestrator", "notifier", "gateway", "operator", "application"];

    /// The variable that holds a user's password.
    pub fn password_variable(user: &str) -> String {
        format!("VEDETTE_{}_PASSWORD", user.to_uppercase())
    }

    /// Starts it again on its old port with other arguments than in its life before.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn restart_with(&mut self, arguments: &[&str]) -> Result<()> {
        self.process.set_arguments(own_and(arguments, self.port));
        self.process.restart()?;
        self.answers(false).await
    }

    fn of(process: Process, host: &str, port: u16) -> Self {
        Self { process, host: host.into(), port, url: format!("nats://{host}:{port}") }
    }

    /// Its port for clients.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where clients connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of this server alone.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub async fn client(&self) -> Result<async_nats::Client> {
        connect(std::slice::from_ref(&self.url)).await
    }

    async fn answers(&mut self, jetstream: bool) -> Result<()> {
        let what = format!("{} answers", self.name());
        let up = within(LIMIT, &what, async || {
            if let Some(status) = self.process.ended() {
                return Some(Err(status));
            }
            // Without a login, which a server may want.
            TcpStream::connect((self.host.as_str(), self.port)).await.ok()?;
            if jetstream {
                let client = self.client().await.ok()?;
                async_nats::jetstream::new(client).query_account().await.ok()?;
            }
            Some(Ok(()))
        })
        .await?;
        match up {
            Ok(()) => Ok(()),
            Err(status) => bail!("{} ended with {status}: {}", self.name(), self.log()),
        }
    }
}

/// What every server that is started by arguments is told; its files lie where it runs.
fn own_and(arguments: &[&str], port: u16) -> Vec<String> {
    let port = port.to_string();
    let own = ["--addr", LOOPBACK, "--port", &port, "--store_dir", "nats.store"];
    own.iter().chain(arguments).map(ToString::to_string).collect()
}

/// A client that notices a dead server soon, and tries no others than these.
pub(crate) async fn connect(urls: &[String]) -> Result<async_nats::Client> {
    let login = urls.first().and_then(|url| Some(url.split_once("://")?.1.split_once('@')?.0));
    let options = match login.and_then(|login| login.split_once(':')) {
        Some((user, password)) => {
            ConnectOptions::with_user_and_password(user.into(), password.into())
        }
        None => ConnectOptions::new(),
    };
    options
        .name("vedette-harness")
        .ping_interval(Duration::from_millis(500))
        .connection_timeout(Duration::from_secs(2))
        .request_timeout(Some(Duration::from_secs(2)))
        .reconnect_delay_callback(|_| Duration::from_millis(10))
        .subscription_capacity(262_144)
        .ignore_discovered_servers()
        .connect(urls)
        .await
        .with_context(|| format!("connecting to NATS at {}", urls.join(", ")))
}

impl Deref for NatsServer {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for NatsServer {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
