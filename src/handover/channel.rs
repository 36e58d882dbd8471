//! The connection between two usher processes: a message a line, and sockets beside the first.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::net::UnixStream as StdStream,
};

use bytes::{Buf, BytesMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::UnixStream,
};

use super::Message;

/// How many sockets can be handed over: the kernel takes no more with one message.
const SOCKETS_MAX: usize = 253;

/// The largest message.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How much is read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// One end of the connection.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    read: BytesMut,
    sockets: Vec<OwnedFd>,
}

/// Why the two do not understand each other.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The connection fails.
    #[error("the connection between the two processes fails: {0}")]
    Io(#[from] io::Error),
    /// What was said is no message of this format.
    #[error("what the other process says is not understood: {0}")]
    Message(#[from] serde_json::Error),
    /// More was said than a message may have.
    #[error("the other process says more than {MESSAGE_BYTES_MAX} bytes at once")]
    TooLong,
    /// There are more sockets than can be handed over.
    #[error("{count} listening sockets cannot be handed over, {SOCKETS_MAX} could be")]
    TooManySockets {
        /// How many there are.
        count: usize,
    },
}

// === impl Channel ===

impl Channel {
    /// Two ends: ours, and one for the standard input of another process.
    ///
    /// # Errors
    /// The system gives no sockets.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = StdStream::pair()?;
        Ok((Self::new(ours)?, theirs.into()))
    }

    /// The end that this process was given as its standard input, which is empty from then on.
    ///
    /// # Errors
    /// Standard input is no such connection.
    pub fn from_stdin() -> io::Result<Self> {
        let socket = rustix::stdio::stdin().try_clone_to_owned()?;
        let stream = StdStream::from(socket);
        // Fails for everything that is no connection of two Unix sockets.
        stream.peer_addr()?;
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        Self::new(stream)
    }

    fn new(stream: StdStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        Ok(Self { stream, read: BytesMut::new(), sockets: Vec::new() })
    }

    /// Says `message`.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn send(&mut self, message: &Message) -> Result<(), ChannelError> {
        self.stream.write_all(&line(message)?).await?;
        Ok(())
    }

    /// Says `message`, and hands `sockets` over with it.
    ///
    /// # Errors
    /// The connection fails, or there are too many sockets.
    pub async fn send_with(
        &mut self,
        message: &Message,
        sockets: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        if sockets.len() > SOCKETS_MAX {
            return Err(ChannelError::TooManySockets { count: sockets.len() });
        }
        let text = line(message)?;
        let sent = self.stream.async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
            let mut beside = SendAncillaryBuffer::new(&mut space);
            if !sockets.is_empty() {
                beside.push(SendAncillaryMessage::ScmRights(sockets));
            }
            let flags = SendFlags::NOSIGNAL;
            Ok(rustix::net::sendmsg(&self.stream, &[IoSlice::new(&text)], &mut beside, flags)?)
        });
        let sent = sent.await?;
        self.stream.write_all(&text[sent..]).await?;
        Ok(())
    }

    /// The next message; none when the other process has gone. Loses nothing when it is dropped.
    ///
    /// # Errors
    /// The connection fails, or what comes is no message.
    pub async fn receive(&mut self) -> Result<Option<Message>, ChannelError> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.read) {
                let message = serde_json::from_slice(&self.read[..end]);
                self.read.advance(end + 1);
                return Ok(Some(message?));
            }
            if self.read.len() > MESSAGE_BYTES_MAX {
                return Err(ChannelError::TooLong);
            }
            self.read.reserve(PIECE_BYTES);
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The first message, and the sockets that come with it.
    ///
    /// # Errors
    /// As for [`Channel::receive`].
    pub async fn receive_with(&mut self) -> Result<Option<(Message, Vec<OwnedFd>)>, ChannelError> {
        let mut piece = vec![0; PIECE_BYTES];
        let (stream, sockets) = (&self.stream, &mut self.sockets);
        let read = stream.async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
            let mut beside = RecvAncillaryBuffer::new(&mut space);
            let mut into = [IoSliceMut::new(&mut piece)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let read = rustix::net::recvmsg(stream.as_fd(), &mut into, &mut beside, flags)?;
            for beside in beside.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = beside {
                    sockets.extend(rights);
                }
            }
            Ok(read.bytes)
        });
        let read = read.await?;
        self.read.extend_from_slice(&piece[..read]);
        let message = if read == 0 { None } else { self.receive().await? };
        Ok(message.map(|message| (message, std::mem::take(&mut self.sockets))))
    }
}

fn line(message: &Message) -> Result<Vec<u8>, ChannelError> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn two() -> (Channel, Channel) {
        let (ours, theirs) = Channel::pair().unwrap();
        (ours, Channel::new(StdStream::from(theirs)).unwrap())
    }

    fn failed(why: &str) -> Message {
        Message::Failed { why: why.to_owned() }
    }

    #[tokio::test]
    async fn sockets_come_with_the_first_message_and_are_the_same_sockets() {
        let (mut old, mut new) = two();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        old.send_with(&Message::Ready, &[listener.as_fd(), listener.as_fd()]).await.unwrap();
        old.send(&failed("late")).await.unwrap();
        let (message, mut sockets) = new.receive_with().await.unwrap().unwrap();
        assert_eq!((message, sockets.len()), (Message::Ready, 2));
        let handed = TcpListener::from(sockets.remove(0));
        assert_eq!(handed.local_addr().unwrap(), listener.local_addr().unwrap());
        assert_eq!(new.receive().await.unwrap(), Some(failed("late")));
        drop(old);
        assert_eq!(new.receive().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_message_larger_than_the_sockets_buffer_comes_whole() {
        let (mut old, mut new) = two();
        let long = failed(&"x".repeat(3_000_000));
        let sending = async {
            old.send_with(&long, &[]).await.unwrap();
            old.send(&long).await.unwrap();
        };
        let receiving = async {
            assert_eq!(new.receive_with().await.unwrap().unwrap().0, long);
            assert_eq!(new.receive().await.unwrap().unwrap(), long);
        };
        tokio::join!(sending, receiving);
    }

    #[tokio::test]
    async fn what_is_no_message_is_said_and_does_not_hide_what_follows() {
        let (mut old, mut new) = two();
        old.stream.write_all(b"nonsense\n").await.unwrap();
        old.send(&Message::Ready).await.unwrap();
        assert!(matches!(new.receive().await, Err(ChannelError::Message(_))));
        assert_eq!(new.receive().await.unwrap(), Some(Message::Ready));
    }
}
