//! What a process in a Sentinel's place keeps: its id and the voter's promises, in a folder within
//! `dir`. The configuration file is never written.

use super::conf::Conf;
use anyhow::{Context as _, ensure};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tokio::task::spawn_blocking;
use vedette_model::{Roster, VoterId};
use vedette_voter::store::Store;

/// The folder, and who lives in it.
#[derive(Debug, Clone)]
pub struct Data {
    /// Of this process only: two cannot have one port.
    pub folder: PathBuf,
    /// 40 hexadecimal digits.
    pub id: VoterId,
}

impl Data {
    /// Finds or makes the folder. The id is that of the file, or the one that was drawn at the first
    /// start.
    ///
    /// # Errors
    /// What cannot be made, with what to do about it.
    pub fn open(conf: &Conf) -> anyhow::Result<Self> {
        let dir = fs::canonicalize(&conf.server.dir)
            .with_context(|| format!("dir {}: Can't chdir to it", conf.server.dir.display()))?;
        let folder = dir.join(format!("vedette-{}", conf.server.first_port()));
        let made = fs::create_dir_all(&folder)
            // The voter's records hold the nodes' passwords.
            .and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(0o700)));
        made.with_context(|| {
            format!("the folder {} cannot be made: correct dir or its owner", folder.display())
        })?;
        let id = match &conf.own.id {
            Some(id) => id.clone(),
            None => kept_id(&folder.join("id"))?,
        };
        Ok(Self { folder, id: VoterId::parse(&id)? })
    }

    /// The voter's file. Another id has another one: a voter never answers for another.
    pub fn store(&self) -> PathBuf {
        self.folder.join(format!("{}.redb", self.id))
    }

    /// The roster that its voter goes by; none if it has no memory.
    ///
    /// # Errors
    /// A store that cannot be used.
    pub async fn roster(&self) -> anyhow::Result<Option<Roster>> {
        let (path, id) = (self.store(), self.id.clone());
        if !path.is_file() {
            return Ok(None);
        }
        // The file is closed again before the voter opens it.
        let held = spawn_blocking(move || Store::open(&path, &id).map(|(_, held)| held)).await??;
        Ok(held.meta.map(|meta| meta.roster))
    }
}

fn kept_id(path: &Path) -> anyhow::Result<String> {
    let place = || format!("the id in {}", path.display());
    match fs::read_to_string(path) {
        Ok(text) => {
            let id = text.trim().to_owned();
            let good = id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            ensure!(good, "{} is damaged: remove the file, and a new one is drawn", place());
            Ok(id)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let id = drawn()?;
            write_synced(path, &id).with_context(place)?;
            Ok(id)
        }
        Err(error) => Err(error).with_context(place),
    }
}

fn drawn() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 20];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.context("/dev/urandom cannot be read")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whole or not at all.
fn write_synced(path: &Path, text: &str) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_drawn_once_and_the_files_goes_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut conf = Conf::default();
        conf.server.dir = folder.path().into();
        let first = Data::open(&conf).unwrap();
        assert_eq!(first.id.as_str().len(), 40);
        assert_eq!(Data::open(&conf).unwrap().id, first.id);
        conf.server.port += 1;
        assert_ne!(Data::open(&conf).unwrap().id, first.id, "another port is another process");
        conf.own.id = Some("a".repeat(40));
        let named = Data::open(&conf).unwrap();
        assert_eq!(named.id.as_str(), "a".repeat(40));
        assert_ne!(named.store(), first.store());
        let mode = fs::metadata(&first.folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_damaged_id_is_told_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id");
        fs::write(&path, "half of i").unwrap();
        assert!(kept_id(&path).unwrap_err().to_string().contains("damaged"));
    }
}
