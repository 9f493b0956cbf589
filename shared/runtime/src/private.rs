//! Files that hold secrets are their owner's alone.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The bits of a file's mode by which its group or others may do anything with it.
const OTHERS: u32 = 0o077;

/// Whether others than its owner may do anything with a file.
pub fn is_open(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & OTHERS != 0
}

/// What to tell a person if others than its owner may do anything with a file that holds a secret.
/// `secret` says which, never its value. Nothing of a file that is not there: whoever reads it says
/// so.
pub fn exposed(path: &Path, secret: &str) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    let path = path.display();
    is_open(&metadata).then(|| {
        format!(
            "{path} holds {secret} and others than its owner may open it: give it to the user who \
             reads it and chmod 600 {path}"
        )
    })
}
