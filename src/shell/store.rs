//! Registrations, texts and addresses that are shut out over a restart: an SQLite file, written by a thread of its own.
//!
//! The control thread hands over what changed and goes on; the thread writes all that waits in one
//! transaction. Times in the file are wall-clock times, as the monotonic clock ends with the process.
//! A file that cannot be used costs what it would have kept, never the gateway.

use crate::gateway::{Text, TextChange};
use crate::limits::STORE_QUEUE;
use crate::sip::registration::{Binding, Change};
use crate::time::{Duration, Instant};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use thiserror::Error;

/// Why the file cannot be used.
#[derive(Debug, Error)]
#[cfg_attr(not(feature = "store-sqlite"), allow(dead_code, reason = "without SQLite nothing but its absence is wrong"))]
pub(super) enum StoreError {
    /// The build has no SQLite.
    #[cfg_attr(feature = "store-sqlite", allow(dead_code, reason = "with SQLite there is no such error"))]
    #[error("this build keeps nothing: build it with the feature `store-sqlite`")]
    NotBuilt,
    /// Somebody else has it.
    #[error("{0} is in use by another program; end that program, or name another file in [store]")]
    Locked(PathBuf),
    /// It is no store.
    #[error("{path} is damaged or no store ({why}); move it away and start again, telephones register anew")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        why: String,
    },
    /// It cannot be opened or written.
    #[error("{path} cannot be used: {why}")]
    System {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
}

/// What was kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Registrations, each with its account.
    pub(super) bindings: Vec<(String, Binding)>,
    /// Texts that wait, in order.
    pub(super) texts: Vec<Text>,
    /// Addresses that are shut out, and until when.
    pub(super) bans: Vec<(IpAddr, Instant)>,
}

/// What the file is told: times since 1970.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "store-sqlite"), allow(dead_code, reason = "nothing is written"))]
enum Row {
    Put { account: String, ends: Duration, binding: Box<Binding> },
    Delete { account: String, uri: String },
    PutText { ends: Duration, text: Box<Text> },
    DeleteText { number: u64 },
    PutBan { address: IpAddr, ends: Duration },
}

/// The file, and the thread that writes it.
pub(super) struct Store {
    queue: Option<mpsc::SyncSender<Row>>,
    writer: Option<JoinHandle<()>>,
    lost: u64,
}

impl Store {
    /// Opens or makes the file; gives the registrations and texts that live at `now`, which is `wall` since 1970.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be used; nothing in it was changed then.
    pub(super) fn open(path: &Path, now: Instant, wall: Duration) -> Result<(Store, Kept), StoreError> {
        let (file, kept) = file::File::open(path, now, wall)?;
        let (queue, rows) = mpsc::sync_channel(STORE_QUEUE);
        let writer = std::thread::Builder::new().name("store".to_owned()).spawn(move || write(file, &rows));
        let writer = writer.map_err(|error| StoreError::System { path: path.to_owned(), why: error.to_string() })?;
        Ok((Store { queue: Some(queue), writer: Some(writer), lost: 0 }, kept))
    }

    /// Notes a change that happened at `now`, which is `wall` since 1970. Never waits.
    pub(super) fn note(&mut self, now: Instant, wall: Duration, change: Change) {
        let row = match change {
            Change::Bound { account, binding } => {
                Row::Put { account, ends: wall + binding.expires.since(now), binding }
            }
            Change::Unbound { account, uri } => Row::Delete { account, uri: uri.to_string() },
        };
        self.queue(row);
    }

    /// The same for a text that waits, or does not any more.
    pub(super) fn note_text(&mut self, now: Instant, wall: Duration, change: TextChange) {
        self.queue(match change {
            TextChange::Kept(text) => Row::PutText { ends: wall + text.expires.since(now), text },
            TextChange::Gone(number) => Row::DeleteText { number },
        });
    }

    /// The same for an address that is shut out. It is not told when that is over: the time says so.
    pub(super) fn note_ban(&mut self, now: Instant, wall: Duration, address: IpAddr, until: Instant) {
        self.queue(Row::PutBan { address, ends: wall + until.since(now) });
    }

    fn queue(&mut self, row: Row) {
        if self.queue.as_ref().is_some_and(|queue| queue.try_send(row).is_err()) {
            // Said once a power of two: a disk that is stuck is stuck for long.
            self.lost += 1;
            if self.lost.is_power_of_two() {
                tracing::warn!(lost = self.lost, "the store does not keep up; changes are not written");
            }
        }
    }
}

impl Drop for Store {
    /// Waits until everything is written.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join(); // it has said what was wrong
        }
    }
}

/// Writes what comes, all that waits at once, until nobody sends any more.
fn write(mut file: file::File, rows: &mpsc::Receiver<Row>) {
    let mut failed = false;
    while let Ok(first) = rows.recv() {
        let batch = std::iter::once(first).chain(rows.try_iter().take(STORE_QUEUE));
        match file.write(batch) {
            Ok(()) => failed = false,
            Err(error) if !failed => {
                failed = true;
                tracing::warn!(%error, "the store cannot be written");
            }
            Err(_) => {}
        }
    }
}

#[cfg(not(feature = "store-sqlite"))]
mod file {
    use super::{Duration, Instant, Kept, Path, Row, StoreError};

    /// No file.
    pub(super) struct File;

    impl File {
        pub(super) fn open(_path: &Path, _now: Instant, _wall: Duration) -> Result<(File, Kept), StoreError> {
            Err(StoreError::NotBuilt)
        }

        pub(super) fn write(&mut self, _rows: impl Iterator<Item = Row>) -> Result<(), StoreError> {
            Ok(())
        }
    }
}

#[cfg(feature = "store-sqlite")]
mod file {
    use super::{Binding, Duration, Instant, IpAddr, Kept, Path, Row, StoreError, Text};
    use crate::limits::{SOURCES_MAX, TEXTS_MAX};
    use crate::sip::{Body, Flow, Header, HeaderName, NameAddr, Transport, Uri};
    use rusqlite::{Connection, ErrorCode, params};

    /// How long another program may hold the file while ours starts.
    const BUSY: Duration = Duration::from_millis(500);
    /// `user_version` of the file.
    const VERSION: i64 = 3;
    const SCHEMA: &str = "
        CREATE TABLE IF NOT EXISTS binding (
            account TEXT NOT NULL, uri TEXT NOT NULL,
            transport TEXT NOT NULL, local TEXT NOT NULL, remote TEXT NOT NULL,
            ends_ms INTEGER NOT NULL, q INTEGER NOT NULL,
            call_id TEXT NOT NULL, sequence INTEGER NOT NULL,
            path TEXT NOT NULL, instance TEXT, flow INTEGER,
            PRIMARY KEY (account, uri)
        ) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS text (
            number INTEGER PRIMARY KEY, phone TEXT NOT NULL,
            sender TEXT NOT NULL, receiver TEXT NOT NULL, ends_ms INTEGER NOT NULL,
            headers TEXT NOT NULL, content_type TEXT NOT NULL, content BLOB NOT NULL
        );
        CREATE TABLE IF NOT EXISTS ban (address TEXT PRIMARY KEY, ends_ms INTEGER NOT NULL) WITHOUT ROWID;
        PRAGMA user_version = 3;";

    /// An open file.
    pub(super) struct File {
        connection: Connection,
    }

    impl File {
        pub(super) fn open(path: &Path, now: Instant, wall: Duration) -> Result<(File, Kept), StoreError> {
            let fault = |error| fault_of(path, &error);
            let mut connection = Connection::open(path).map_err(fault)?;
            let prepared = prepare(&connection).and_then(|version| match version {
                0..=VERSION => connection.execute_batch(SCHEMA).map(|()| version),
                _ => Ok(version),
            });
            let version = prepared.map_err(fault)?;
            if !(0..=VERSION).contains(&version) {
                let why = format!("version {version} of a later tipring");
                return Err(StoreError::Damaged { path: path.to_owned(), why });
            }
            let bindings = load(&mut connection, now, wall).map_err(fault)?;
            let texts = load_texts(&connection, now, wall).map_err(fault)?;
            let bans = load_bans(&connection, now, wall).map_err(fault)?;
            let kept = Kept { bindings, texts, bans };
            Ok((File { connection }, kept))
        }

        pub(super) fn write(&mut self, rows: impl Iterator<Item = Row>) -> rusqlite::Result<()> {
            let transaction = self.connection.transaction()?;
            for row in rows {
                match row {
                    Row::Put { account, ends, binding } => put(&transaction, &account, ends, &binding)?,
                    Row::Delete { account, uri } => {
                        let mut delete =
                            transaction.prepare_cached("DELETE FROM binding WHERE account = ?1 AND uri = ?2")?;
                        delete.execute(params![account, uri])?;
                    }
                    Row::PutText { ends, text } => put_text(&transaction, ends, &text)?,
                    Row::PutBan { address, ends } => {
                        let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO ban VALUES (?1, ?2)")?;
                        insert.execute(params![address.to_string(), milliseconds(ends)])?;
                    }
                    Row::DeleteText { number } => {
                        let mut delete = transaction.prepare_cached("DELETE FROM text WHERE number = ?1")?;
                        delete.execute([whole(number)])?;
                    }
                }
            }
            transaction.commit()
        }
    }

    /// Sets the file up for one writer; gives its version. Reads it whole once, so that damage is found now.
    fn prepare(connection: &Connection) -> rusqlite::Result<i64> {
        connection.busy_timeout(BUSY)?;
        // Nobody else is to write while we run; the lock is taken by the first write, which is here.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A power cut may cost the last registrations, never the file.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(11), Some(sound)));
        }
        connection.query_row("PRAGMA user_version", [], |row| row.get(0))
    }

    fn fault_of(path: &Path, error: &rusqlite::Error) -> StoreError {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked(path),
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => {
                StoreError::System { path, why: error.to_string() }
            }
            _ => StoreError::Damaged { path, why: error.to_string() },
        }
    }

    fn milliseconds(time: Duration) -> i64 {
        i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
    }

    fn whole(number: u64) -> i64 {
        i64::try_from(number).unwrap_or(i64::MAX)
    }

    fn put(connection: &Connection, account: &str, ends: Duration, binding: &Binding) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(
            "INSERT OR REPLACE INTO binding VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?;
        let transport = match binding.flow.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        };
        let (instance, flow) = binding.instance.clone().unzip();
        insert.execute(params![
            account,
            binding.uri.to_string(),
            transport,
            binding.flow.local.to_string(),
            binding.flow.remote.to_string(),
            milliseconds(ends),
            binding.q,
            binding.call_id,
            binding.sequence,
            binding.path.join("\n"),
            instance,
            flow,
        ])?;
        Ok(())
    }

    /// Removes what has ended; gives the rest.
    fn load(connection: &mut Connection, now: Instant, wall: Duration) -> rusqlite::Result<Vec<(String, Binding)>> {
        let transaction = connection.transaction()?;
        transaction.execute("DELETE FROM binding WHERE ends_ms <= ?1", [milliseconds(wall)])?;
        let mut select = transaction.prepare(
            "SELECT account, uri, local, remote, ends_ms, q, call_id, sequence, path, instance, flow, transport
             FROM binding ORDER BY account, ends_ms",
        )?;
        let mut rows = select.query([])?;
        let mut kept = Vec::new();
        while let Some(row) = rows.next()? {
            kept.extend(binding_of(row, now, wall)?);
        }
        drop(rows);
        drop(select);
        transaction.commit()?;
        Ok(kept)
    }

    /// The binding of a row; `None` when somebody wrote what cannot be read.
    fn binding_of(
        row: &rusqlite::Row<'_>,
        now: Instant,
        wall: Duration,
    ) -> rusqlite::Result<Option<(String, Binding)>> {
        let text = |column: usize| row.get::<_, String>(column);
        let (Ok(uri), Ok(local), Ok(remote)) = (Uri::parse(text(1)?.as_bytes()), text(2)?.parse(), text(3)?.parse())
        else {
            return Ok(None);
        };
        // Version 1 wrote "stream" for those that it never gave back.
        let transport = match text(11)?.as_str() {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            "tls" => Transport::Tls,
            _ => return Ok(None),
        };
        let ends = Duration::from_millis(u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0));
        let path = text(8)?;
        let instance: Option<String> = row.get(9)?;
        let flow_number: Option<u32> = row.get(10)?;
        let binding = Binding {
            uri,
            flow: Flow { transport, local, remote, connection: None },
            expires: now + ends.saturating_sub(wall),
            q: row.get(5)?,
            call_id: text(6)?,
            sequence: row.get(7)?,
            path: path.lines().map(str::to_owned).collect(),
            instance: instance.zip(flow_number),
        };
        Ok(Some((text(0)?, binding)))
    }

    fn put_text(connection: &Connection, ends: Duration, text: &Text) -> rusqlite::Result<()> {
        let mut insert =
            connection.prepare_cached("INSERT OR REPLACE INTO text VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
        let line =
            |header: &Header| format!("{}: {}\n", header.name.as_str(), header.text().replace(['\r', '\n'], " "));
        insert.execute(params![
            whole(text.number),
            text.phone,
            text.from.to_string(),
            text.to.to_string(),
            milliseconds(ends),
            text.headers.iter().map(line).collect::<String>(),
            text.body.content_type,
            text.body.bytes,
        ])?;
        Ok(())
    }

    /// Removes texts that are too old; gives the rest, as many as may wait.
    fn load_texts(connection: &Connection, now: Instant, wall: Duration) -> rusqlite::Result<Vec<Text>> {
        connection.execute("DELETE FROM text WHERE ends_ms <= ?1", [milliseconds(wall)])?;
        let mut select = connection.prepare(
            "SELECT number, phone, sender, receiver, ends_ms, headers, content_type, content
             FROM text ORDER BY number LIMIT ?1",
        )?;
        let mut rows = select.query([i64::try_from(TEXTS_MAX).unwrap_or(i64::MAX)])?;
        let mut kept = Vec::new();
        while let Some(row) = rows.next()? {
            kept.extend(text_of(row, now, wall)?);
        }
        Ok(kept)
    }

    /// Removes bans that are over; gives the rest, as many as there is room for.
    fn load_bans(connection: &Connection, now: Instant, wall: Duration) -> rusqlite::Result<Vec<(IpAddr, Instant)>> {
        connection.execute("DELETE FROM ban WHERE ends_ms <= ?1", [milliseconds(wall)])?;
        let mut select = connection.prepare("SELECT address, ends_ms FROM ban ORDER BY ends_ms DESC LIMIT ?1")?;
        let mut rows = select.query([i64::try_from(SOURCES_MAX).unwrap_or(i64::MAX)])?;
        let mut kept = Vec::new();
        while let Some(row) = rows.next()? {
            let ends = Duration::from_millis(u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0));
            // What somebody else wrote and is no address bans nobody.
            kept.extend(
                row.get::<_, String>(0)?.parse().ok().map(|address| (address, now + ends.saturating_sub(wall))),
            );
        }
        Ok(kept)
    }

    /// The text of a row; `None` when somebody wrote what cannot be read.
    fn text_of(row: &rusqlite::Row<'_>, now: Instant, wall: Duration) -> rusqlite::Result<Option<Text>> {
        let address = |column: usize| row.get::<_, String>(column).map(|text| NameAddr::parse(text.as_bytes()));
        let (Ok(from), Ok(to), Ok(number)) = (address(2)?, address(3)?, u64::try_from(row.get::<_, i64>(0)?)) else {
            return Ok(None);
        };
        let ends = Duration::from_millis(u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0));
        let headers: String = row.get(5)?;
        let header = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some(Header::new(HeaderName::from_text(name), value))
        };
        Ok(Some(Text {
            number,
            phone: row.get(1)?,
            from,
            to,
            body: Body { content_type: row.get(6)?, bytes: row.get(7)? },
            expires: now + ends.saturating_sub(wall),
            headers: headers.lines().filter_map(header).collect(),
        }))
    }
}

#[cfg(all(test, feature = "store-sqlite"))]
mod tests {
    use super::*;
    use crate::sip::{Flow, Transport, Uri};

    const WALL: Duration = Duration::from_secs(1_000_000);

    fn bound(account: &str, uri: &str, seconds: u64) -> Change {
        let uri = Uri::parse(uri.as_bytes()).expect("a URI");
        let flow = Flow {
            transport: Transport::Udp,
            local: "127.0.0.1:5060".parse().expect("an address"),
            remote: "[2001:db8::1]:6000".parse().expect("an address"),
            connection: None,
        };
        let binding = Binding {
            uri,
            flow,
            expires: Instant::from_millis(seconds * 1_000),
            q: 500,
            call_id: "one".to_owned(),
            sequence: 7,
            path: vec!["<sip:p@h;lr>".to_owned(), "<sip:q@h;lr>".to_owned()],
            instance: Some(("<urn:uuid:1>".to_owned(), 1)),
        };
        Change::Bound { account: account.to_owned(), binding: Box::new(binding) }
    }

    fn open(path: &Path, later: u64) -> (Store, Kept) {
        Store::open(path, Instant::ZERO, WALL + Duration::from_secs(later)).expect("a store")
    }

    #[test]
    fn what_was_noted_is_there_after_a_restart_with_the_rest_of_its_life() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.db");
        let (mut store, kept) = open(&path, 0);
        assert!(kept.bindings.is_empty() && kept.texts.is_empty());
        for change in [bound("201", "sip:201@h", 100), bound("201", "sip:old@h", 100), bound("202", "sip:202@h", 20)] {
            store.note(Instant::ZERO, WALL, change);
        }
        let uri = Uri::parse(b"sip:old@h").expect("a URI");
        store.note(Instant::ZERO, WALL, Change::Unbound { account: "201".to_owned(), uri });
        drop(store);

        let (_store, kept) = open(&path, 30);
        let Change::Bound { binding, .. } = bound("201", "sip:201@h", 70) else { panic!() };
        assert_eq!(kept.bindings, [("201".to_owned(), *binding)]);
    }

    fn text(number: u64, seconds: u64) -> Text {
        let address = |text: &str| crate::sip::NameAddr::parse(text.as_bytes()).expect("an address");
        Text {
            number,
            phone: "201".to_owned(),
            from: address("\"Anna \\\"A\\\"\" <sip:202@h>"),
            to: address("<sip:201@h>"),
            body: crate::sip::Body { content_type: "text/plain;charset=utf-8".to_owned(), bytes: vec![0, 0xff, b'x'] },
            expires: Instant::from_millis(seconds * 1_000),
            headers: vec![crate::sip::Header::new(crate::sip::HeaderName::Subject, "a: b")],
        }
    }

    #[test]
    fn texts_wait_over_a_restart_until_they_are_gone_or_too_old() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.db");
        let (mut store, _) = open(&path, 0);
        for (number, seconds) in [(3, 100), (1, 100), (2, 20), (4, 100)] {
            store.note_text(Instant::ZERO, WALL, TextChange::Kept(Box::new(text(number, seconds))));
        }
        store.note_text(Instant::ZERO, WALL, TextChange::Gone(4));
        drop(store);
        let (store, kept) = open(&path, 30);
        assert_eq!(kept.texts, [text(1, 70), text(3, 70)]);
        drop(store);
        let (_store, kept) = open(&path, 100);
        assert!(kept.texts.is_empty());
    }

    #[test]
    fn bans_last_over_a_restart_for_the_rest_of_their_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.db");
        let (mut store, _) = open(&path, 0);
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        for (text, seconds) in [("192.0.2.1", 100), ("2001:db8::1", 50), ("192.0.2.2", 20), ("192.0.2.1", 90)] {
            store.note_ban(Instant::ZERO, WALL, address(text), Instant::from_millis(seconds * 1_000));
        }
        drop(store);
        let (_store, kept) = open(&path, 30);
        let at = Instant::from_millis;
        assert_eq!(kept.bans, [(address("192.0.2.1"), at(60_000)), (address("2001:db8::1"), at(20_000))]);
    }

    #[test]
    fn a_file_of_version_1_is_taken_over() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.db");
        let old = rusqlite::Connection::open(&path).expect("a file");
        old.execute_batch(
            "CREATE TABLE binding (account TEXT NOT NULL, uri TEXT NOT NULL, transport TEXT NOT NULL, \
             local TEXT NOT NULL, remote TEXT NOT NULL, ends_ms INTEGER NOT NULL, q INTEGER NOT NULL, \
             call_id TEXT NOT NULL, sequence INTEGER NOT NULL, path TEXT NOT NULL, instance TEXT, flow INTEGER, \
             PRIMARY KEY (account, uri)) WITHOUT ROWID; \
             INSERT INTO binding VALUES ('201', 'sip:201@h', 'udp', '127.0.0.1:5060', '127.0.0.1:6000', \
             9000000000000, 1000, 'c', 1, '', NULL, NULL), ('202', 'sip:202@h', 'stream', '127.0.0.1:5060', \
             '127.0.0.1:6000', 9000000000000, 1000, 'c', 1, '', NULL, NULL); PRAGMA user_version = 1;",
        )
        .expect("written");
        drop(old);
        let (mut store, kept) = open(&path, 0);
        assert_eq!(kept.bindings.iter().map(|(account, _)| account.as_str()).collect::<Vec<_>>(), ["201"]);
        store.note_text(Instant::ZERO, WALL, TextChange::Kept(Box::new(text(1, 10))));
        drop(store);
        assert_eq!(open(&path, 0).1.texts.len(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_by_name_and_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.db");
        let complaint = |path: &Path| match Store::open(path, Instant::ZERO, WALL) {
            Ok(_) => panic!("it was taken"),
            Err(error) => error.to_string(),
        };
        std::fs::write(&path, "this is no database, but long enough to look at".repeat(40)).expect("written");
        let before = std::fs::read(&path).expect("read");
        let told = complaint(&path);
        assert!(told.contains("store.db is damaged") && told.contains("move it away"), "{told}");
        assert_eq!(std::fs::read(&path).expect("read"), before);

        let told = complaint(&directory.path().join("missing/store.db"));
        assert!(told.contains("cannot be used"), "{told}");
    }

    #[test]
    fn a_file_that_another_program_holds_is_told_so() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.db");
        let other = rusqlite::Connection::open(&path).expect("a file");
        other.execute_batch("BEGIN EXCLUSIVE; CREATE TABLE x (y)").expect("held");
        let error = Store::open(&path, Instant::ZERO, WALL).err().expect("it is held");
        assert!(matches!(error, StoreError::Locked(_)), "{error}");
    }

    #[test]
    fn a_file_of_a_later_version_is_not_touched() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.db");
        let other = rusqlite::Connection::open(&path).expect("a file");
        other.execute_batch("PRAGMA user_version = 99").expect("written");
        drop(other);
        let error = Store::open(&path, Instant::ZERO, WALL).err().expect("it is not ours");
        assert!(error.to_string().contains("later tipring"), "{error}");
    }
}
