//! A real server as a child process: a free port, a folder of its own, ended on drop.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use vedette_model::{Credentials, NodeAddr, NodeView, Role, Secret};

/// For a whole wait; generous, because test machines are busy.
pub const LIMIT: Duration = Duration::from_secs(20);

pub struct Server {
    child: Child,
    pub dir: TempDir,
    pub port: u16,
}

impl Server {
    /// Starts a server with these options and without persistence, and waits until it answers.
    pub async fn start(options: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), options).await
    }

    /// The same with a configuration file, so that `CONFIG REWRITE` works.
    pub async fn start_with_file(lines: &str) -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("redis.conf"), lines).unwrap();
        Self::start_in(dir, &["redis.conf"]).await
    }

    pub async fn start_in(mut dir: TempDir, options: &[&str]) -> Self {
        // Another process may take the free port before the server does.
        for _ in 0..5 {
            let port = free_port();
            let log = std::fs::File::create(dir.path().join("log")).unwrap();
            let (file, flags) = match options.split_first() {
                Some((file, flags)) if !file.starts_with('-') => (Some(*file), flags),
                _ => (None, options),
            };
            let child = Command::new(binary())
                .args(file)
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
                .args(flags)
                .current_dir(dir.path())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            let mut server = Self { child, dir, port };
            if server.is_up().await {
                return server;
            }
            dir = std::mem::replace(&mut server.dir, TempDir::new().unwrap());
        }
        panic!("the server does not start: {}", log_of(dir.path()));
    }

    /// Waits until it accepts connections; false if it ended before.
    async fn is_up(&mut self) -> bool {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        let connected = async {
            loop {
                tick.tick().await;
                if self.child.try_wait().unwrap().is_some() {
                    return false;
                }
                if tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_ok() {
                    return true;
                }
            }
        };
        tokio::time::timeout(LIMIT, connected).await.expect("the server accepts connections")
    }

    pub fn addr(&self) -> NodeAddr {
        NodeAddr::new("127.0.0.1", self.port).unwrap()
    }

    /// Sends a command as any client would.
    pub fn run(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let mut connection = client.get_connection_with_timeout(LIMIT)?;
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query(&mut connection)
    }

    pub fn view(&self) -> NodeView {
        let redis::Value::BulkString(text) = self.run(&["INFO"]).unwrap() else { panic!("INFO") };
        vedette_node::info::parse(&String::from_utf8(text).unwrap()).unwrap()
    }

    /// How often each command was carried out or refused, as `INFO commandstats` prints it.
    pub fn statistics(&self) -> String {
        let redis::Value::BulkString(text) = self.run(&["INFO", "commandstats"]).unwrap() else {
            panic!("INFO commandstats")
        };
        String::from_utf8(text).unwrap()
    }

    /// Sends a signal, for example `KILL`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    pub fn is_linked_replica(&self) -> bool {
        let view = self.view();
        view.role == Role::Replica && view.upstream.is_some_and(|up| up.link_up)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the server at port {}:\n{}", self.port, log_of(self.dir.path()));
        }
    }
}

/// Waits until the condition holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let wait = async {
        while !condition() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A port that nobody listens on at this moment.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

pub fn password(text: &str) -> Credentials {
    Credentials { user: None, password: Secret::new(text.into()) }
}

pub fn user(name: &str, text: &str) -> Credentials {
    Credentials { user: Some(name.into()), ..password(text) }
}

fn log_of(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("VEDETTE_REDIS_SERVER") {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    ["redis-server", "valkey-server"]
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|candidate| candidate.is_file())
        .expect(
            "redis-server is missing: `apt-get install redis-server`, \
             or name one in VEDETTE_REDIS_SERVER",
        )
}
