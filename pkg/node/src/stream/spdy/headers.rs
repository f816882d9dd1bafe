//! SPDY header blocks: names and values, compressed with zlib over the life of the connection, starting from the
//! protocol's dictionary (draft 3.1, section 2.6.10.1).

use std::collections::BTreeMap;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// The most that one block may unpack to.
pub(super) const LONGEST: usize = 64 * 1024;

/// A block that cannot be read; the connection's compression is lost with it.
#[derive(Debug, thiserror::Error)]
#[error("unreadable header block: {0}")]
pub(super) struct Malformed(String);

/// The words that the dictionary holds with their lengths before them.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language \
    accept-ranges age allow authorization cache-control connection content-base content-encoding content-language \
    content-length content-location content-md5 content-range content-type date etag expect expires from host if-match \
    if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma \
    proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie \
    keep-alive origin";

/// The rest of the dictionary, as it stands.
const REST: &str = "10010120120220520630030230330430530630740240540640740840941041141241341441541641750250450520\
3 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden\
404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug \
Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,\
application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch\
charset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let mut all = Vec::new();
    for word in WORDS.split_whitespace() {
        let word = word.replace('_', " ");
        all.extend_from_slice(&(word.len() as u32).to_be_bytes());
        all.extend_from_slice(word.as_bytes());
    }
    all.extend_from_slice(REST.as_bytes());
    all
}

/// Unpacks one connection's incoming blocks, in order.
pub(super) struct Reader(Decompress);

impl Reader {
    pub(super) fn new() -> Reader {
        Reader(Decompress::new(true))
    }

    /// One block's names (lower case) and values; values given several times are joined by zero bytes.
    pub(super) fn read(&mut self, block: &[u8]) -> Result<BTreeMap<String, String>, Malformed> {
        let plain = self.unpack(block)?;
        parse(&plain).ok_or_else(|| Malformed("lengths do not fit".into()))
    }

    fn unpack(&mut self, mut block: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut plain = Vec::with_capacity(1024);
        loop {
            if plain.capacity() - plain.len() < 512 {
                plain.reserve(1024);
            }
            let before = (self.0.total_in(), plain.len());
            let result = self.0.decompress_vec(block, &mut plain, FlushDecompress::Sync);
            let read = (self.0.total_in() - before.0) as usize;
            block = block.get(read..).unwrap_or_default();
            match result {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&dictionary()).map_err(|error| Malformed(error.to_string()))?;
                    continue;
                }
                Err(error) => return Err(Malformed(error.to_string())),
                Ok(Status::StreamEnd) => return Err(Malformed("the compression ended".into())),
                Ok(Status::Ok | Status::BufError) => {}
            }
            if plain.len() > LONGEST {
                return Err(Malformed(format!("more than {LONGEST} bytes")));
            }
            if block.is_empty() && plain.len() < plain.capacity() {
                return Ok(plain);
            }
            if read == 0 && plain.len() == before.1 {
                return Err(Malformed("it does not go on".into()));
            }
        }
    }
}

fn parse(mut plain: &[u8]) -> Option<BTreeMap<String, String>> {
    fn take<'a>(plain: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (word, rest) = plain.split_at_checked(length)?;
        *plain = rest;
        Some(word)
    }
    fn number(plain: &mut &[u8]) -> Option<usize> {
        let word = take(plain, 4)?;
        Some(u32::from_be_bytes([word[0], word[1], word[2], word[3]]) as usize)
    }
    let mut all = BTreeMap::new();
    for _ in 0..number(&mut plain)? {
        let mut text = || -> Option<String> {
            let length = number(&mut plain)?;
            Some(String::from_utf8_lossy(take(&mut plain, length)?).into_owned())
        };
        let (name, value) = (text()?, text()?);
        all.insert(name.to_lowercase(), value);
    }
    Some(all)
}

/// Packs one connection's outgoing blocks, in order.
pub(super) struct Writer(Compress);

impl Writer {
    pub(super) fn new() -> Result<Writer, Malformed> {
        let mut compress = Compress::new(Compression::fast(), true);
        compress.set_dictionary(&dictionary()).map_err(|error| Malformed(error.to_string()))?;
        Ok(Writer(compress))
    }

    /// A block of these names and values.
    pub(super) fn write(&mut self, headers: &[(&str, &str)]) -> Result<Vec<u8>, Malformed> {
        let mut plain = (headers.len() as u32).to_be_bytes().to_vec();
        for word in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend_from_slice(&(word.len() as u32).to_be_bytes());
            plain.extend_from_slice(word.as_bytes());
        }
        // Room for any block of ours at once: stored blocks are a little longer than what they hold.
        let mut block = Vec::with_capacity(plain.len() + plain.len() / 8 + 256);
        self.0.compress_vec(&plain, &mut block, FlushCompress::Sync).map_err(|error| Malformed(error.to_string()))?;
        Ok(block)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_dictionary_is_the_protocols() {
        let dictionary = dictionary();
        assert_eq!(dictionary.len(), 1423);
        // Its Adler-32 is in the zlib header of every SPDY/3 connection.
        let (a, b) = dictionary.iter().fold((1u32, 0u32), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65521;
            (a, (a + b) % 65521)
        });
        assert_eq!(b << 16 | a, 0xe3c6_a7c2);
        let block = Writer::new().unwrap().write(&[]).unwrap();
        assert_eq!(&block[2..6], [0xe3, 0xc6, 0xa7, 0xc2]);
    }

    #[test]
    fn blocks_follow_one_another() {
        let (mut writer, mut reader) = (Writer::new().unwrap(), Reader::new());
        for number in 0..50 {
            let port = number.to_string();
            let block = writer.write(&[("streamType", "data"), ("port", &port)]).unwrap();
            let headers = reader.read(&block).unwrap();
            assert_eq!(headers.get("streamtype").map(String::as_str), Some("data"));
            assert_eq!(headers.get("port"), Some(&port));
        }
        assert!(Reader::new().read(b"not zlib").is_err());
    }

    #[test]
    fn a_block_that_unpacks_to_too_much_is_refused() {
        let long = "x".repeat(LONGEST);
        let block = Writer::new().unwrap().write(&[("a", &long)]).unwrap();
        assert!(Reader::new().read(&block).is_err());
    }

    proptest! {
        #[test]
        fn any_block_ends_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Reader::new().read(&bytes);
            let _ = parse(&bytes);
            let (mut writer, mut reader) = (Writer::new().unwrap(), Reader::new());
            reader.read(&writer.write(&[("a", "b")]).unwrap()).unwrap();
            let _ = reader.read(&bytes);
        }
    }
}
