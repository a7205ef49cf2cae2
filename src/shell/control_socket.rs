//! The server side of the control socket.

use std::path::{Path, PathBuf};

/// See [`super::control_client::socket_path`].
pub(super) fn path(given: Option<&Path>, configured: Option<&str>) -> PathBuf {
    if let Some(path) = given {
        return path.to_path_buf();
    }
    if let Some(path) = configured {
        return PathBuf::from(path);
    }
    if let Some(directory) = std::env::var_os("XDG_RUNTIME_DIR").filter(|d| !d.is_empty()) {
        return PathBuf::from(directory).join("tipring.sock");
    }
    let user = super::user_id();
    std::env::temp_dir().join(format!("tipring-{user}.sock"))
}
