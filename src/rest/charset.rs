//! Bodies as UTF-8, whatever they were sent as. The order of belief: a byte order mark, the `charset` of the
//! Content-Type, the `encoding` of an XML prolog; without any of them it is UTF-8. Nothing is replaced silently: a byte
//! that means nothing in its charset fails the page.

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};
use std::io::{self, Cursor, Read};

/// As much of a body is looked at to find out what it is.
const HEAD: u64 = 256;
/// Bytes decoded at a time.
const PIECE: usize = 16 * 1024;

/// The body as UTF-8 without its mark, or the name of a charset nobody knows.
pub(super) fn utf8<'a>(
    mut body: impl Read + 'a,
    charset: Option<&str>,
) -> io::Result<Result<Box<dyn Read + 'a>, String>> {
    let mut head = Vec::new();
    body.by_ref().take(HEAD).read_to_end(&mut head)?;
    let mark = Encoding::for_bom(&head);
    let label = charset.map(str::to_owned).or_else(|| prolog_encoding(&head));
    let encoding = match (mark, label) {
        (Some((encoding, length)), _) => {
            head.drain(..length);
            encoding
        }
        (None, Some(label)) => match Encoding::for_label(label.as_bytes()) {
            Some(encoding) => encoding,
            None => return Ok(Err(label)),
        },
        (None, None) => UTF_8,
    };
    let body = Cursor::new(head).chain(body);
    // What is UTF-8 already is checked by whoever parses it.
    Ok(Ok(if encoding == UTF_8 { Box::new(body) } else { Box::new(Decoded::new(body, encoding)) }))
}

/// `<?xml version="1.0" encoding="ISO-8859-1"?>`
fn prolog_encoding(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let prolog = head.trim_start().strip_prefix("<?xml")?.split("?>").next()?;
    let value = prolog.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    value[1..].split(quote).next().map(str::to_owned)
}

/// Decodes while it is read.
struct Decoded<R> {
    body: R,
    decoder: Decoder,
    raw: Vec<u8>,
    ready: Vec<u8>,
    /// How much of `ready` was handed on.
    used: usize,
    ended: bool,
}

impl<R: Read> Decoded<R> {
    fn new(body: R, encoding: &'static Encoding) -> Self {
        let decoder = encoding.new_decoder_without_bom_handling();
        Self { body, decoder, raw: vec![0; PIECE], ready: Vec::new(), used: 0, ended: false }
    }

    fn decode_more(&mut self) -> io::Result<()> {
        let length = self.body.read(&mut self.raw)?;
        self.ended = length == 0;
        let room = self.decoder.max_utf8_buffer_length_without_replacement(length).unwrap_or(4 * PIECE);
        self.ready.resize(room, 0);
        let raw = &self.raw[..length];
        let (result, _, written) =
            self.decoder.decode_to_utf8_without_replacement(raw, &mut self.ready, self.ended);
        self.ready.truncate(written);
        self.used = 0;
        match result {
            DecoderResult::InputEmpty => Ok(()),
            DecoderResult::Malformed(..) | DecoderResult::OutputFull => {
                let charset = self.decoder.encoding().name();
                Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is not {charset}, as it claims")))
            }
        }
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.used == self.ready.len() && !self.ended {
            self.decode_more()?;
        }
        let ready = &self.ready[self.used..];
        let length = ready.len().min(buffer.len());
        buffer[..length].copy_from_slice(&ready[..length]);
        self.used += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &[u8], charset: Option<&str>) -> Result<String, String> {
        let mut text = String::new();
        utf8(body, charset).unwrap()?.read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok(text)
    }

    #[test]
    fn a_mark_is_believed_first_then_the_header_then_the_prolog() {
        let polish = b"<?xml version='1.0' encoding='windows-1250'?><a>\xB3\xF3d\x9F</a>";
        let prolog = "<?xml version='1.0' encoding='windows-1250'?>";
        assert_eq!(text(polish, None).unwrap(), format!("{prolog}<a>łódź</a>"));
        assert_eq!(text(polish, Some("ISO-8859-1")).unwrap(), format!("{prolog}<a>³ódŸ</a>"));
        assert_eq!(text("\u{FEFF}{\"a\":\"ł\"}".as_bytes(), Some("latin1")).unwrap(), "{\"a\":\"ł\"}");
        assert_eq!(text(b"\xFF\xFE{\x00}\x00", None).unwrap(), "{}");
        assert_eq!(text(b"[\"\xE9\"]", Some("iso-8859-1")).unwrap(), "[\"é\"]");
        assert_eq!(text("[\"é\"]".as_bytes(), Some("UTF-8")).unwrap(), "[\"é\"]");
    }

    #[test]
    fn nothing_is_replaced() {
        assert_eq!(text(b"x", Some("klingon")), Err("klingon".to_owned()));
        let wrong = text(b"[\"\x81\xFF\"]", Some("shift_jis"));
        assert_eq!(wrong, Err("it is not Shift_JIS, as it claims".to_owned()));
        assert!(text(b"[\"\xFF\"]", None).is_err());
    }

    #[test]
    fn a_large_body_is_decoded_piece_by_piece() {
        let body = [b"\xB9\xE6\xEA".repeat(PIECE), b"ab".to_vec()].concat();
        assert_eq!(text(&body, Some("windows-1250")).unwrap(), "ąćę".repeat(PIECE) + "ab");
    }
}
