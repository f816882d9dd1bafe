//! The wire format of protobuf, read without copying and written. Groups, which Kubernetes never writes, count as malformed.

/// One value as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wire<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: text, bytes, a message or a packed list.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

/// The fields of a message in order, as number and value; a `None` item means malformed, and ends it.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Over the bytes of one message.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn field(&mut self) -> Option<(u32, Wire<'a>)> {
        let (tag, rest) = varint(self.rest)?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number != 0)?;
        let (wire, rest) = match tag & 7 {
            0 => varint(rest).map(|(value, rest)| (Wire::Varint(value), rest))?,
            1 => rest.split_first_chunk().map(|(value, rest)| (Wire::Fixed64(u64::from_le_bytes(*value)), rest))?,
            2 => {
                let (length, rest) = varint(rest)?;
                let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                (Wire::Bytes(value), rest)
            }
            5 => rest.split_first_chunk().map(|(value, rest)| (Wire::Fixed32(u32::from_le_bytes(*value)), rest))?,
            _ => return None,
        };
        self.rest = rest;
        Some((number, wire))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Option<(u32, Wire<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// A base-128 number at the start of `bytes`, and what follows it; `None` when cut short or longer than ten bytes.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (position, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[position + 1..]));
        }
    }
    None
}

/// Text, bytes or a message under a field's number.
pub(super) fn put_bytes(number: u32, content: &[u8], out: &mut Vec<u8>) {
    put(u64::from(number) << 3 | 2, out);
    put(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// A whole number or truth value under a field's number; negative numbers as their two's complement.
pub(super) fn put_varint(number: u32, value: u64, out: &mut Vec<u8>) {
    put(u64::from(number) << 3, out);
    put(value, out);
}

/// A double's bits under a field's number.
pub(super) fn put_fixed64(number: u32, bits: u64, out: &mut Vec<u8>) {
    put(u64::from(number) << 3 | 1, out);
    out.extend_from_slice(&bits.to_le_bytes());
}

fn put(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
