//! The server side of the control socket: local, mode 0600, one JSON object a line.
//!
//! A connection is a small task; requests reach the control loop one at a time through a bounded
//! queue, so a busy client waits and nothing piles up.

use super::ShellError;
use super::cards::Answer;
use super::control_protocol::{LINE_BYTES_MAX, Request, Response};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Requests of all clients that may wait for the control loop.
const REQUESTS_MAX: usize = 16;

/// A request, and where its answer goes.
pub(super) type Asked = (Request, Answer);

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
    PathBuf::from(format!("/tmp/tipring-{user}.sock"))
}

/// An open control socket; removed when dropped.
pub(super) struct ControlSocket {
    path: PathBuf,
    acceptor: JoinHandle<()>,
}

impl ControlSocket {
    /// Listens on `path`. A socket that nobody answers on is left over and is replaced.
    ///
    /// # Errors
    /// [`ShellError::ControlInUse`] when another gateway answers there, [`ShellError::Control`]
    /// when the socket cannot be made.
    pub(super) fn open(path: PathBuf) -> Result<(ControlSocket, mpsc::Receiver<Asked>), ShellError> {
        if std::os::unix::net::UnixStream::connect(&path).is_ok() {
            return Err(ShellError::ControlInUse(path));
        }
        let failed = |source| ShellError::Control { path: path.clone(), source };
        if let Ok(left_over) = std::fs::symlink_metadata(&path) {
            use std::os::unix::fs::FileTypeExt;
            if !left_over.file_type().is_socket() {
                return Err(failed(std::io::Error::other("there is a file of this name, and it is no socket")));
            }
            std::fs::remove_file(&path).map_err(failed)?;
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let acceptor = tokio::spawn(accept(listener, requests));
        Ok((ControlSocket { path, acceptor }, inbox))
    }

    /// Where it listens.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.acceptor.abort();
        let _ = std::fs::remove_file(&self.path); // left over at worst; the next start replaces it
    }
}

async fn accept(listener: UnixListener, requests: mpsc::Sender<Asked>) {
    let ours = super::user_id();
    loop {
        match listener.accept().await {
            // The mode of the socket keeps others out; it is set a moment after the socket exists.
            Ok((stream, _)) if stream.peer_cred().is_ok_and(|peer| peer.uid() == ours || peer.uid() == 0) => {
                tokio::spawn(serve(stream, requests.clone()));
            }
            Ok(_) => {}
            Err(_) => super::sip_sockets::pause_accepting().await,
        }
    }
}

async fn serve(stream: UnixStream, requests: mpsc::Sender<Asked>) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut reader).take(LINE_BYTES_MAX as u64);
        match limited.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let complete = line.ends_with(b"\n");
        let response =
            if complete { ask(&line, &requests).await } else { Response::Failed("a request is one line".into()) };
        let Ok(mut text) = serde_json::to_vec(&response) else { return };
        text.push(b'\n');
        if writer.write_all(&text).await.is_err() || !complete {
            return;
        }
    }
}

async fn ask(line: &[u8], requests: &mpsc::Sender<Asked>) -> Response {
    let request = match serde_json::from_slice::<Request>(line) {
        Ok(request) => request,
        Err(error) => return Response::Failed(format!("not understood: {error}")),
    };
    let (answer, answered) = oneshot::channel();
    if requests.send((request, answer)).await.is_err() {
        return Response::Failed("the gateway is going down".into());
    }
    answered.await.unwrap_or_else(|_| Response::Failed("the gateway went down meanwhile".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::control_protocol::HandsetAction;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    #[test]
    fn a_client_is_answered_and_the_socket_is_for_one_user() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        runtime().block_on(async {
            let (socket, mut inbox) = ControlSocket::open(path.clone()).expect("opened");
            let mode = std::fs::metadata(socket.path()).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let client = tokio::task::spawn_blocking({
                let path = path.clone();
                move || crate::shell::control_client::hangup(&path, 7)
            });
            let (request, answer) = inbox.recv().await.expect("a request");
            assert_eq!(request, Request::Hangup { call: 7 });
            answer.send(Response::Failed("there is no call 7".into())).expect("the client waits");
            let error = client.await.expect("ended").expect_err("refused");
            assert_eq!(error.to_string(), "there is no call 7");
        });
        assert!(!path.exists(), "removed in the end");
    }

    #[test]
    fn a_left_over_socket_is_replaced_and_one_in_use_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket that nobody answers on"));
        runtime().block_on(async {
            let first = ControlSocket::open(path.clone()).expect("replaced");
            let second = ControlSocket::open(path.clone());
            assert!(matches!(second, Err(ShellError::ControlInUse(_))));
            drop(first);
            std::fs::write(&path, "a file of somebody").expect("written");
            assert!(matches!(ControlSocket::open(path.clone()), Err(ShellError::Control { .. })));
            assert!(path.exists(), "what is no socket is left alone");
        });
    }

    #[test]
    fn what_is_no_request_is_refused_and_the_connection_goes_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        runtime().block_on(async {
            let (_socket, mut inbox) = ControlSocket::open(path.clone()).expect("opened");
            let (reader, mut writer) = UnixStream::connect(&path).await.expect("connected").into_split();
            let mut lines = BufReader::new(reader).lines();
            for bad in ["nonsense\n", "{\"command\":\"explode\"}\n", "{\"command\":\"hangup\",\"call\":-1}\n"] {
                writer.write_all(bad.as_bytes()).await.expect("written");
                let line = lines.next_line().await.expect("read").expect("a line");
                assert!(line.contains("not understood"), "{line}");
            }
            writer
                .write_all(b"{\"command\":\"handset\",\"station\":\"105\",\"action\":{\"dial\":\"203\"}}\n")
                .await
                .expect("written");
            let (request, answer) = inbox.recv().await.expect("a request");
            let action = HandsetAction::Dial("203".into());
            assert_eq!(request, Request::Handset { station: "105".into(), action });
            answer.send(Response::Done).expect("the client waits");
            assert_eq!(lines.next_line().await.expect("read").as_deref(), Some("\"done\""));
        });
    }
}
