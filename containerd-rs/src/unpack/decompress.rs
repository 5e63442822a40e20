//! What a layer's bytes are, judged by the bytes: media types lie.

use std::io::{self, Chain, Cursor, Read};

use flate2::read::MultiGzDecoder;

/// Bytes looked at.
const MAGIC: usize = 4;

type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// A layer's tar, whatever it came in: gzip (several members), zstd, or plain.
#[derive(Debug)]
pub struct Decompressed<R: Read>(Form<R>);

enum Form<R: Read> {
    Plain(Whole<R>),
    Gzip(Box<MultiGzDecoder<Whole<R>>>),
    Zstd(Box<zstd::Decoder<'static, io::BufReader<Whole<R>>>>),
}

impl<R: Read> std::fmt::Debug for Form<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Gzip(_) => "Gzip",
            Self::Zstd(_) => "Zstd",
        })
    }
}

impl<R: Read> Decompressed<R> {
    /// Looks at the first bytes of `input`.
    ///
    /// # Errors
    /// Reading fails.
    pub fn new(mut input: R) -> io::Result<Self> {
        let mut start = Vec::with_capacity(MAGIC);
        input.by_ref().take(MAGIC as u64).read_to_end(&mut start)?;
        let gzip = start.starts_with(&[0x1f, 0x8b]);
        let zstd = start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        let whole = Cursor::new(start).chain(input);
        Ok(Self(if gzip {
            Form::Gzip(Box::new(MultiGzDecoder::new(whole)))
        } else if zstd {
            Form::Zstd(Box::new(zstd::Decoder::new(whole)?))
        } else {
            Form::Plain(whole)
        }))
    }
}

impl<R: Read> Read for Decompressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Form::Plain(reader) => reader.read(buffer),
            Form::Gzip(reader) => reader.read(buffer),
            Form::Zstd(reader) => reader.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Decompressed::new(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn the_bytes_tell_the_compression() {
        assert_eq!(read(b"plain").expect("plain"), b"plain");
        assert_eq!(read(b"").expect("empty"), b"");
        let mut members = gzip(b"one ");
        members.extend(gzip(b"two"));
        assert_eq!(read(&members).expect("gzip"), b"one two");
        assert_eq!(read(&zstd::encode_all(&b"z"[..], 1).expect("memory")).expect("zstd"), b"z");
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let whole = gzip(&[7; 5000]);
        read(&whole[..whole.len() - 9]).expect_err("cut");
    }
}
