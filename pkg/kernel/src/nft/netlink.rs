//! A netfilter socket: sends a request, reads its replies without ever blocking. Must not know what is in a message.
//!
//! The kernel answers nfnetlink requests inside the `send` call, and continues a dump inside each `recv`, so that a
//! reply is either there or will never come (a blocking read of an acknowledged batch's end waits for ever on 6.1).

use std::{io, os::fd::AsFd};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{setsockopt, sockopt};

use super::attribute::{Message, Messages, NLMSG_DONE, NLMSG_ERROR, flag};
use crate::{Error, Netns, Result};

const RECEIVE_BUFFER: usize = 4 << 20;
const SEND_BUFFER_FLOOR: usize = 1 << 20;
const DUMP_TRIES: usize = 10;

pub(crate) struct Netlink {
    socket: Socket,
    send_buffer: usize,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Netlink {
    /// Opens the socket inside the namespace; it stays there whoever uses it.
    pub(crate) fn open(namespace: &Netns) -> Result<Self> {
        let socket = namespace
            .run(|| {
                let mut socket = Socket::new(NETLINK_NETFILTER)?;
                socket.bind_auto()?;
                socket.connect(&SocketAddr::new(0, 0))?;
                Ok(socket)
            })?
            .map_err(|cause: io::Error| Error::new("open netfilter socket in", "namespace", cause))?;
        // A smaller buffer only makes large requests fail with a clear error, so refusal is fine here.
        let _ = setsockopt(&socket.as_fd(), sockopt::RcvBufForce, &RECEIVE_BUFFER);
        Ok(Self { socket, send_buffer: 0, buffer: vec![0; 256 << 10], sequence: 1 << 30 })
    }

    /// Sends bytes that hold whole messages.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let wanted = bytes.len().saturating_add(64 << 10).max(SEND_BUFFER_FLOOR);
        if wanted > self.send_buffer {
            setsockopt(&self.socket.as_fd(), sockopt::SndBufForce, &wanted)?;
            self.send_buffer = wanted;
        }
        let sent = self.socket.send(bytes, 0)?;
        if sent == bytes.len() { Ok(()) } else { Err(io::Error::new(io::ErrorKind::WriteZero, "short send")) }
    }

    /// Reads what is there, one datagram; `None` when there is nothing.
    fn receive(&mut self) -> io::Result<Option<usize>> {
        match self.socket.recv(&mut &mut self.buffer[..], libc::MSG_DONTWAIT) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives each waiting message to `each`.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(Message<'_>)) -> io::Result<()> {
        while let Some(length) = self.receive()? {
            Messages(&self.buffer[..length]).for_each(&mut each);
        }
        Ok(())
    }

    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.sequence += 1;
        self.sequence
    }

    /// One request that is answered by one message or an error. `build` gets the writer's parts: the sequence number.
    pub(crate) fn ask(
        &mut self,
        build: impl FnOnce(u32) -> Vec<u8>,
        mut each: impl FnMut(&Message<'_>),
    ) -> io::Result<()> {
        let sequence = self.next_sequence();
        let bytes = build(sequence);
        self.send(&bytes)?;
        let mut failure = None;
        let mut answered = false;
        self.drain(|message| {
            if message.sequence != sequence {
                return;
            }
            answered = true;
            if message.kind != NLMSG_ERROR {
                each(&message);
            } else if message.error() != 0 {
                failure = Some(-message.error());
            }
        })?;
        match (failure, answered) {
            (Some(errno), _) => Err(io::Error::from_raw_os_error(errno)),
            (None, true) => Ok(()),
            (None, false) => Err(io::Error::new(io::ErrorKind::TimedOut, "the kernel did not answer")),
        }
    }

    /// A dump: `build` makes the request for a sequence number, `keep` turns each message into an item. Started anew
    /// when the kernel says that its content changed meanwhile.
    pub(crate) fn dump<T>(
        &mut self,
        build: impl Fn(u32) -> Vec<u8>,
        mut keep: impl FnMut(&Message<'_>, &mut Vec<T>),
    ) -> io::Result<Vec<T>> {
        for _ in 0..DUMP_TRIES {
            let sequence = self.next_sequence();
            self.send(&build(sequence))?;
            let (mut items, mut done, mut interrupted, mut failure) = (Vec::new(), false, false, None);
            while !done {
                let Some(length) = self.receive()? else {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a dump without an end"));
                };
                for message in Messages(&self.buffer[..length]).filter(|m| m.sequence == sequence) {
                    interrupted |= message.flags & flag::DUMP_INTERRUPTED != 0;
                    match message.kind {
                        NLMSG_DONE => done = true,
                        NLMSG_ERROR => {
                            done = true;
                            failure = Some(-message.error());
                        }
                        _ => keep(&message, &mut items),
                    }
                }
            }
            if let Some(errno) = failure.filter(|errno| *errno != libc::EINTR) {
                return Err(io::Error::from_raw_os_error(errno));
            }
            if !interrupted && failure.is_none() {
                return Ok(items);
            }
        }
        Err(io::Error::new(io::ErrorKind::Interrupted, "the content changed during every try"))
    }
}
