//! What a service manager is told.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

/// A file with the process id. It is removed at the end.
#[derive(Debug)]
pub struct PidFile(PathBuf);

impl PidFile {
    /// Writes it. As with Sentinel a file that cannot be written is no reason not to run.
    pub fn write(path: &Path) -> Self {
        if let Err(error) = std::fs::write(path, format!("{}\n", std::process::id())) {
            tracing::info!(path = %path.display(), %error, "the pid file cannot be written");
        }
        Self(path.into())
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // It may be gone, or never have been.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Tells systemd that the process is ready, if it wants to know.
pub fn tell_ready() {
    let Ok(socket) = std::env::var("NOTIFY_SOCKET") else { return };
    if let Err(error) = tell(&socket, b"READY=1\n") {
        tracing::warn!(socket, %error, "systemd cannot be told that this is ready");
    }
}

fn tell(socket: &str, what: &[u8]) -> io::Result<()> {
    let to = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(what, &to).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_told_on_either_kind_of_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("@vedette-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name[1..]).unwrap();
        for (server, socket) in [
            (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned()),
            (UnixDatagram::bind_addr(&address).unwrap(), name.clone()),
        ] {
            tell(&socket, b"READY=1\n").unwrap();
            let mut said = [0; 16];
            let count = server.recv(&mut said).unwrap();
            assert_eq!(&said[..count], b"READY=1\n");
        }
    }

    #[test]
    fn the_pid_file_is_gone_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let pid = PidFile::write(&path);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(pid);
        assert!(!path.exists());
    }
}
