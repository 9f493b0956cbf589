//! A child process: its log in a file, ended on drop, also when the test fails.

use crate::Home;
use crate::wait::{now, within};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A program with its arguments, running or not.
pub struct Process {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    home: Home,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Process {
    /// Starts a program in a folder; its log is `<name>.log` there.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(
        name: &str,
        program: PathBuf,
        arguments: Vec<String>,
        folder: &Path,
    ) -> Result<Self> {
        Self::spawn_at(Home::loopback(), Vec::new(), name, program, arguments, folder)
    }

    /// [`Process::spawn`] with its home and more environment.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn_at(
        home: Home,
        environment: Vec<(String, String)>,
        name: &str,
        program: PathBuf,
        arguments: Vec<String>,
        folder: &Path,
    ) -> Result<Self> {
        let mut process = Self {
            name: name.into(),
            program,
            arguments,
            folder: folder.into(),
            home,
            environment,
            child: None,
        };
        process.start()?;
        Ok(process)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Other arguments for its next start.
    pub fn set_arguments(&mut self, arguments: Vec<String>) {
        self.arguments = arguments;
    }

    /// Starts it, again with the same arguments, if it does not run.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&mut self) -> Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let log = self.open_log()?;
        let mut command = self.home.command(&self.program);
        command
            .args(&self.arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // What names the servers for the tests would be a service's unknown setting.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("VEDETTE_") {
                command.env_remove(variable);
            }
        }
        command.envs(self.environment.iter().cloned());
        let child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Sends SIGKILL; the instant is that before the signal was sent.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill9(&mut self) -> Result<Instant> {
        let Some(mut child) = self.child.take() else { bail!("{} does not run", self.name) };
        let at = now();
        child.kill().with_context(|| format!("killing {}", self.name))?;
        child.wait().with_context(|| format!("waiting for {}", self.name))?;
        Ok(at)
    }

    /// Sends SIGSTOP: it hangs, its sockets stay open. The instant is that before the signal.
    ///
    /// # Errors
    /// If it does not run.
    pub fn stop(&self) -> Result<Instant> {
        let at = now();
        self.signal(Signal::SIGSTOP)?;
        Ok(at)
    }

    /// Sends SIGCONT.
    ///
    /// # Errors
    /// If it does not run.
    pub fn cont(&self) -> Result<Instant> {
        let at = now();
        self.signal(Signal::SIGCONT)?;
        Ok(at)
    }

    /// Kills it if it runs and starts it again.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn restart(&mut self) -> Result<()> {
        if self.child.is_some() {
            self.kill9()?;
        }
        self.start()
    }

    /// Asks it to end with SIGTERM and waits.
    ///
    /// # Errors
    /// If it does not run or does not end within the limit.
    pub async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        let what = format!("{} ends after SIGTERM", self.name);
        let status = within(limit, &what, async || self.ended()).await?;
        self.child = None;
        Ok(status)
    }

    /// Forgets it if it has ended by itself, so that it can be started again.
    pub fn collect(&mut self) -> Option<ExitStatus> {
        let status = self.ended()?;
        self.child = None;
        Some(status)
    }

    /// Whether it is stopped (SIGSTOP), as the kernel says.
    pub fn is_stopped(&self) -> bool {
        let Some(pid) = self.pid() else { return false };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // `pid (name) T …`
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
    }

    /// How it ended, if it did by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok().flatten()
    }

    /// What it has logged in all its lives.
    pub fn log(&self) -> String {
        std::fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The file it logs to.
    pub fn log_path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    fn open_log(&self) -> Result<File> {
        let path = self.log_path();
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("the log {} cannot be opened", path.display()))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.pid() else { bail!("{} does not run", self.name) };
        kill(Pid::from_raw(pid.try_into()?), signal)
            .with_context(|| format!("sending {signal} to {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Also ends a stopped process. There is nobody to tell if it has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
