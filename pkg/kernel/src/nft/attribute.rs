//! Netlink attributes and messages as bytes: a writer that never backtracks except for lengths, and a reader.
//! Must not know what an attribute means (linux/netlink.h, linux/netfilter/nfnetlink.h).

const NESTED: u16 = 0x8000;
const TYPE_MASK: u16 = 0x3fff;
const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;

/// The netlink message types that are not a subsystem's.
pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;

/// Flags of a message's header.
pub(crate) mod flag {
    pub(crate) const REQUEST: u16 = 1;
    pub(crate) const ACK: u16 = 4;
    pub(crate) const DUMP_INTERRUPTED: u16 = 0x10;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
}

/// Messages in a row, ready to be sent.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    /// Starts a message with nfnetlink's family header; give the mark to [`Writer::finish`].
    pub(crate) fn start(&mut self, kind: u16, flags: u16, sequence: u32, family: u8, resource: u16) -> usize {
        let mark = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | flag::REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&[family, 0]);
        self.bytes.extend_from_slice(&resource.to_be_bytes());
        mark
    }

    /// Ends the message that started at `mark`.
    pub(crate) fn finish(&mut self, mark: usize) {
        let length = (self.bytes.len() - mark) as u32;
        self.bytes[mark..mark + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// An attribute of raw bytes.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) {
        let length = (4 + value.len()) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    /// A number of four bytes in network order, as nf_tables wants nearly all of them.
    pub(crate) fn put_u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    /// A number of eight bytes in network order.
    pub(crate) fn put_u64(&mut self, kind: u16, value: u64) {
        self.put(kind, &value.to_be_bytes());
    }

    /// Text with a final zero byte.
    pub(crate) fn put_text(&mut self, kind: u16, text: &str) {
        let length = (4 + text.len() + 1) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        self.pad();
    }

    /// An attribute made of attributes.
    pub(crate) fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Self)) {
        let mark = self.open(kind);
        inner(self);
        self.close(mark);
    }

    /// The same without the flag that says so, as the kernel lists the insides of expressions.
    pub(crate) fn nest_unflagged(&mut self, kind: u16, inner: impl FnOnce(&mut Self)) {
        let mark = self.open(kind);
        self.bytes[mark + 2..mark + 4].copy_from_slice(&kind.to_ne_bytes());
        inner(self);
        self.close(mark);
    }

    /// Opens a nested attribute; give the mark to [`Writer::close`].
    pub(crate) fn open(&mut self, kind: u16) -> usize {
        let mark = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        mark
    }

    /// Ends the nested attribute that was opened at `mark`.
    pub(crate) fn close(&mut self, mark: usize) {
        let length = self.bytes.len() - mark;
        debug_assert!(length <= usize::from(u16::MAX), "an attribute holds at most 64 KiB");
        self.bytes[mark..mark + 2].copy_from_slice(&(length as u16).to_ne_bytes());
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

/// A message as received: its header's fields and what follows nfnetlink's family header.
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// All after the netlink header.
    pub(crate) payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes after nfnetlink's family header.
    pub(crate) fn attributes(&self) -> Attributes<'a> {
        Attributes(self.payload.get(FAMILY_HEADER..).unwrap_or_default())
    }

    /// An error message's number, negative as the kernel sends it; 0 is an acknowledgement.
    pub(crate) fn error(&self) -> i32 {
        self.payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes))
    }
}

/// The messages in a received buffer. Stops at the first malformed one.
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let bytes = self.0;
        let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
        if length < HEADER || length > bytes.len() {
            self.0 = &[];
            return None;
        }
        self.0 = &bytes[length.next_multiple_of(4).min(bytes.len())..];
        Some(Message {
            kind: u16::from_ne_bytes([bytes[4], bytes[5]]),
            flags: u16::from_ne_bytes([bytes[6], bytes[7]]),
            sequence: u32::from_ne_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
            payload: &bytes[HEADER..length],
        })
    }
}

/// Attributes in a row: type (without flags) and value. Stops at the first malformed one.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let bytes = self.0;
        if bytes.len() < 4 {
            return None;
        }
        let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        let kind = u16::from_ne_bytes([bytes[2], bytes[3]]) & TYPE_MASK;
        if length < 4 || length > bytes.len() {
            self.0 = &[];
            return None;
        }
        self.0 = &bytes[length.next_multiple_of(4).min(bytes.len())..];
        Some((kind, &bytes[4..length]))
    }
}

impl<'a> Attributes<'a> {
    /// The first attribute of this type.
    pub(crate) fn get(mut self, kind: u16) -> Option<&'a [u8]> {
        self.find(|(k, _)| *k == kind).map(|(_, value)| value)
    }

    /// The attributes inside the first attribute of this type.
    pub(crate) fn inside(self, kind: u16) -> Option<Attributes<'a>> {
        self.get(kind).map(Attributes)
    }

    /// A number of four bytes in network order.
    pub(crate) fn u32(self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(kind)?.try_into().ok()?))
    }

    /// A number of eight bytes in network order.
    pub(crate) fn u64(self, kind: u16) -> Option<u64> {
        Some(u64::from_be_bytes(self.get(kind)?.try_into().ok()?))
    }

    /// Text up to its zero byte.
    pub(crate) fn text(self, kind: u16) -> Option<String> {
        Some(text(self.get(kind)?))
    }
}

/// Text up to its zero byte, if there is one.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
