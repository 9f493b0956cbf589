//! Connections to a node.

use super::answers::Session;
use super::group::Group;
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame as Frame;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::ready;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// What is sent most of all.
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";

thread_local! {
    /// For whoever reads at this moment: so many connections cannot each have one.
    static SCRATCH: RefCell<[u8; 16_384]> = const { RefCell::new([0; 16_384]) };
}

/// Serves all who come.
pub async fn accept(listener: TcpListener, group: Arc<Group>, n: usize) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // No descriptor is left, most likely: what is measured now would be something else.
                eprintln!("FAILED: a fleet lets nobody in any more: {error}");
                std::process::exit(1);
            }
        };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let (input, out) = stream.into_split();
        let own = Arc::clone(&group);
        group.join(n, out, |client, out| {
            let session = Session { n, client, queued: None };
            tokio::spawn(serve(input, out, own, session)).abort_handle()
        });
    }
}

async fn serve(
    mut input: OwnedReadHalf,
    out: Arc<OwnedWriteHalf>,
    group: Arc<Group>,
    mut session: Session,
) {
    // However it ended.
    let _ = talk(&mut input, &out, &group, &mut session).await;
    group.leave(session.n, session.client);
}

async fn talk(
    input: &mut OwnedReadHalf,
    out: &OwnedWriteHalf,
    group: &Group,
    session: &mut Session,
) -> io::Result<()> {
    let mut unread = Vec::new();
    loop {
        match read(input, &mut unread).await? {
            Got::End => return Ok(()),
            Got::Ping if session.queued.is_none() => write(out, PONG).await?,
            Got::Ping => unread.extend_from_slice(PING),
            Got::More => {}
        }
        while let Some((words, used)) = request(&unread)? {
            unread.drain(..used);
            let answer = session.answer(group, words);
            write(out, &answer).await?;
        }
        if unread.is_empty() {
            unread = Vec::new();
        }
    }
}

enum Got {
    End,
    /// A `PING` and nothing else.
    Ping,
    More,
}

async fn read(input: &mut OwnedReadHalf, unread: &mut Vec<u8>) -> io::Result<Got> {
    poll_fn(|context| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut room = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *input).poll_read(context, &mut room))?;
            Ok(match room.filled() {
                [] => Got::End,
                PING if unread.is_empty() => Got::Ping,
                bytes => {
                    unread.extend_from_slice(bytes);
                    Got::More
                }
            })
            .into()
        })
    })
    .await
}

async fn write(out: &OwnedWriteHalf, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => out.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The first request, and its length.
fn request(bytes: &[u8]) -> io::Result<Option<(Vec<String>, usize)>> {
    let Some((frame, used)) = decode(bytes).map_err(io::Error::other)? else { return Ok(None) };
    let Frame::Array(words) = frame else { return Err(io::ErrorKind::InvalidData.into()) };
    let word = |word| match word {
        Frame::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Frame::SimpleString(_)
        | Frame::Error(_)
        | Frame::Integer(_)
        | Frame::Array(_)
        | Frame::Null => String::new(),
    };
    Ok(Some((words.into_iter().map(word).collect(), used)))
}
