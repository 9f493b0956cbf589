//! How damage in a store's file is noticed, and what becomes of such a file.

use super::{Error, sync_folder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The first bytes of every `redb` file.
const MAGIC: &[u8] = b"redb";
/// Stands in every store: part of the names of its tables.
const MARK: &[u8] = b"vedette.";
/// Bytes of the checksum before each value.
const SUM: usize = 8;
/// Damaged files kept beside the store.
const KEPT: usize = 1_000;

/// A value's bytes behind a checksum of them and of their key.
pub(super) fn seal<T: Serialize>(
    key: &str,
    value: &T,
) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let bytes = rmp_serde::to_vec_named(value)?;
    Ok([&sum(key, &bytes)[..], &bytes].concat())
}

/// The value; in words, what is wrong with it.
pub(super) fn unseal<T: DeserializeOwned>(key: &str, sealed: &[u8]) -> Result<T, String> {
    let (head, bytes) = sealed.split_at_checked(SUM).unwrap_or_default();
    if head != sum(key, bytes) {
        return Err(format!("the checksum of {key} does not match"));
    }
    rmp_serde::from_slice(bytes).map_err(|error| format!("{key} cannot be read: {error}"))
}

fn sum(key: &str, bytes: &[u8]) -> [u8; SUM] {
    xxh3_64_with_seed(bytes, xxh3_64_with_seed(key.as_bytes(), 0)).to_le_bytes()
}

/// Whether the file, which is not empty, cannot ever have been a store, so that it must not be
/// moved. Damage may have taken its beginning, or left nothing but zeros.
pub(super) fn is_something_else(path: &Path) -> io::Result<bool> {
    let mut head = [0; MAGIC.len()];
    let read = File::open(path)?.read(&mut head)?;
    if head[..read] == MAGIC[..read] {
        return Ok(false);
    }
    let bytes = fs::read(path)?;
    let marked = bytes.windows(MARK.len()).any(|window| window == MARK);
    Ok(!marked && bytes.iter().any(|byte| *byte != 0))
}

/// Moves a damaged file aside, so that an empty one can take its place.
pub(super) fn set_aside(path: &Path, what: &str) -> Result<(), Error> {
    let io = |source| Error::Io { path: path.into(), source };
    let beside = |n: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{n}"));
        PathBuf::from(name)
    };
    let mut free = (1..=KEPT).map(beside).filter(|aside| !aside.exists());
    let aside = free.next().ok_or_else(|| {
        io(io::Error::other("there is no free name to move the damaged file to; remove some"))
    })?;
    fs::rename(path, &aside).map_err(io)?;
    sync_folder(path).map_err(io)?;
    tracing::error!(
        store = %path.display(),
        moved_to = %aside.display(),
        cause = what,
        "the store is damaged: it was moved aside, and this voter has forgotten its promises. It \
         votes again once the other voters have told it what it must not forget; start those that \
         do not run, and look after this disk"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_refused_with_any_bit_flipped_and_under_any_other_key() {
        let sealed = seal("orders", &"a text").unwrap();
        assert_eq!(unseal::<String>("orders", &sealed), Ok("a text".to_string()));
        for bit in 0..8 * sealed.len() {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let refused = unseal::<String>("orders", &flipped).unwrap_err();
            assert_eq!(refused, "the checksum of orders does not match", "bit {bit}");
        }
        let refused = unseal::<String>("other", &sealed).unwrap_err();
        assert_eq!(refused, "the checksum of other does not match");
        assert!(unseal::<String>("orders", &sealed[..3]).is_err());
    }
}
