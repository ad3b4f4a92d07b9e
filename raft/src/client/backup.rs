//! Copies of the cluster's state.

use std::io;
use std::time::Duration;

use json::{Value, value};

use super::{Again, Client, Error, LONG_PATIENCE, Pending};
use crate::storage::{Crc, WHOLE};

impl Client {
    /// Copies a snapshot of the cluster's state, in the format of `docs/STORAGE.md`. It holds
    /// everything that the cluster acknowledged before this call. `keep` gets the parts of it in
    /// their order, each with its offset and with the length of the whole, and from offset 0 again
    /// if the client has to turn to another node. Returns the body of the last reply, without the
    /// part.
    ///
    /// # Errors
    /// No node could serve it, or [`Error::NotKept`] with the error of `keep`.
    pub fn backup(
        &mut self,
        mut keep: impl FnMut(u64, &[u8], u64) -> io::Result<()>,
    ) -> Result<Value, Error> {
        let mut copied = None;
        let late = self.repeat(Again::AnyNode, |client| match client.copy(&mut keep) {
            Err(Error::Unavailable(reason)) => Some(reason),
            result => {
                copied = Some(result);
                None
            }
        });
        copied.unwrap_or_else(|| Err(Error::Unavailable(late.unwrap_or_default())))
    }

    /// Copies a snapshot from the present node, on one connection. After [`Error::Unavailable`] another
    /// attempt may succeed, which begins with another connection.
    fn copy(
        &mut self,
        keep: &mut impl FnMut(u64, &[u8], u64) -> io::Result<()>,
    ) -> Result<Value, Error> {
        // The node has everything that was acknowledged before it answers a linearizable read.
        self.ask(value!({"type": "keys", "limit": 1}), self.options.patience)?;
        let patience = self.options.timeout.max(LONG_PATIENCE);
        self.ask(value!({"type": "snapshot"}), patience)?;
        let (mut crc, mut offset) = (Crc::default(), 0);
        loop {
            let mut reply = self.ask(value!({"type": "backup", "offset": offset}), patience)?;
            let length = reply.field("length").and_then(Value::as_u64);
            let data = reply.as_object_mut().and_then(|body| body.remove("data"));
            let data = data.as_ref().and_then(Value::as_str);
            let data = data.and_then(|data| base64::decode(data.as_bytes()).ok());
            let bad =
                || Error::Unavailable(format!("{}: the snapshot arrived damaged", self.node()));
            let (Some(length), Some(data)) = (length, data.filter(|data| !data.is_empty())) else {
                return Err(bad());
            };
            keep(offset, &data, length).map_err(|error| Error::NotKept(error.to_string()))?;
            crc.update(&data);
            offset += data.len() as u64;
            match offset >= length {
                true if crc.value() == WHOLE => return Ok(reply),
                true => return Err(bad()),
                false => {}
            }
        }
    }

    /// Sends a request to the present node once.
    fn ask(&mut self, body: Value, patience: Duration) -> Result<Value, Error> {
        let mut pending = [Pending::new(body)];
        if let Some(reason) = self.attempt(&mut pending, patience) {
            return Err(Error::Unavailable(reason));
        }
        let [Pending { result, .. }] = pending;
        result.expect("it is answered")
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use json::Raw;

    use super::*;
    use crate::client::Options;
    use crate::lines::{Lines, RawLine};
    use crate::storage::crc32c;
    use crate::tcp::handshake::{self, End, Line};
    use crate::wire;

    /// A client of a node that answers each request with a body, or hangs up.
    fn client_of(mut answer: impl FnMut(&Value) -> Option<Value> + Send + 'static) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(&stream.unwrap(), &mut answer);
            }
        });
        let mut options = Options::to([place]);
        // One attempt, which only a hanging test ends.
        (options.timeout, options.patience) = (Duration::ZERO, Duration::from_secs(3_600));
        Client::new(options)
    }

    fn serve(stream: &TcpStream, answer: &mut impl FnMut(&Value) -> Option<Value>) {
        let mut lines = Lines::new(stream, wire::MAX_LINE);
        let Some(RawLine::Whole(hello)) = lines.next().unwrap() else {
            panic!("no hello");
        };
        let hello: Line<'_, Raw<'_>> = json::decode(hello).unwrap();
        let (src, hello) = (
            hello.src.map(Cow::into_owned).unwrap(),
            hello.body.decode().unwrap(),
        );
        let (address, cluster) = ("n1".into(), Some(1));
        let me = End { address, cluster };
        handshake::accept(&mut lines, b"", &me, (&src, None, hello)).unwrap();
        while let Some(RawLine::Whole(line)) = lines.next().unwrap() {
            let line: Value = json::decode(line).unwrap();
            let body = line.field("body").unwrap();
            let Some(mut reply) = answer(body) else {
                return;
            };
            let id = body.field("msg_id").unwrap().clone();
            reply
                .as_object_mut()
                .unwrap()
                .insert("in_reply_to".into(), id);
            handshake::send(stream, "n1", None, reply).unwrap();
        }
    }

    /// The reply to a `backup`: up to 3 bytes of a snapshot with this content and its CRC.
    fn part(request: &Value, content: &[u8]) -> Value {
        let bytes = [content, &crc32c(content).to_le_bytes()].concat();
        let from = request.field("offset").and_then(Value::as_u64).unwrap() as usize;
        let data = base64::encode(&bytes[from..bytes.len().min(from + 3)]);
        value!({"type": "backup_ok", "index": 7, "length": (bytes.len() as u64), "data": data})
    }

    fn kind(body: &Value) -> &str {
        body.field("type").and_then(Value::as_str).unwrap()
    }

    /// The node lags until a linearizable read makes it catch up, and it has a snapshot already.
    #[test]
    fn backup_has_what_was_acknowledged_before() {
        let (mut applied, mut stored) = ("early", "older");
        let mut client = client_of(move |request| {
            Some(match kind(request) {
                "keys" => {
                    applied = "acknowledged";
                    value!({"type": "keys_ok", "keys": [], "more": false})
                }
                "snapshot" => {
                    stored = applied;
                    value!({"type": "snapshot_ok", "index": 7})
                }
                "backup" => part(request, stored.as_bytes()),
                _ => value!({"type": "members_ok", "members": []}),
            })
        });
        let mut kept: Vec<u8> = Vec::new();
        let reply = client.backup(|offset, bytes, length| {
            assert_eq!((offset, length), (kept.len() as u64, 16));
            kept.extend(bytes);
            Ok(())
        });
        assert_eq!(reply.unwrap().field("index"), Some(&value!(7)));
        assert_eq!(&kept[..12], b"acknowledged");
        let full = client.backup(|_, _, _| Err(io::Error::other("the disk is full")));
        assert_eq!(full, Err(Error::NotKept("the disk is full".into())));
    }

    #[test]
    fn damaged_or_cut_backup_is_refused() {
        for (spoiled, why) in [
            (Some("eHh4"), "the snapshot arrived damaged"),
            (Some("eHh"), "the snapshot arrived damaged"),
            (Some(""), "the snapshot arrived damaged"),
            (None, "no answer"),
        ] {
            let (report, reported) = mpsc::channel();
            let mut client = client_of(move |request| {
                report.send(kind(request).to_owned()).unwrap();
                match kind(request) {
                    "backup" => {
                        let mut reply = part(request, b"a map");
                        if request.field("offset") == Some(&value!(3)) {
                            let fields = reply.as_object_mut().unwrap();
                            fields.insert("data".into(), spoiled?.into());
                        }
                        Some(reply)
                    }
                    _ => Some(value!({"type": "members_ok", "members": []})),
                }
            });
            match client.backup(|_, _, _| Ok(())) {
                Err(Error::Unavailable(text)) => assert!(text.contains(why), "{text}"),
                other => panic!("{other:?}"),
            }
            let asked: Vec<String> = reported.try_iter().collect();
            assert_eq!(asked[..4], ["members", "keys", "snapshot", "backup"]);
        }
    }
}
