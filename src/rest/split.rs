//! Splits a JSON document into raw values while it streams in. Only the objects on the way to what is looked for are
//! walked; a value that is kept is checked by the parser, one that is skipped only for where it ends.

use serde_json::value::RawValue;
use std::io::{self, BufRead};

/// Why a document can't be split.
#[derive(Debug)]
pub(super) enum SplitError {
    Io(io::Error),
    /// It ends in the middle.
    CutShort,
    /// It isn't JSON, for this reason.
    Syntax(String),
}

impl From<io::Error> for SplitError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A place in a document.
pub(super) struct Splitter<R> {
    body: R,
    /// Bytes read so far.
    pub(super) bytes: u64,
    /// For keys and single values, made once.
    scratch: Vec<u8>,
}

impl<R: BufRead> Splitter<R> {
    pub(super) fn new(body: R) -> Self {
        Self { body, bytes: 0, scratch: Vec::new() }
    }

    /// The next byte that isn't white space, left in place.
    pub(super) fn token(&mut self) -> Result<u8, SplitError> {
        self.token_or_end()?.ok_or(SplitError::CutShort)
    }

    /// Says that the document must end here.
    pub(super) fn end(&mut self) -> Result<(), SplitError> {
        match self.token_or_end()? {
            None => Ok(()),
            Some(_) => Err(self.unexpected("nothing more")),
        }
    }

    /// Goes past the token.
    pub(super) fn step(&mut self) {
        self.body.consume(1);
        self.bytes += 1;
    }

    /// Whether there is another item in the object or array that ends with `close`. Goes past the comma, or past
    /// `close`.
    pub(super) fn another(&mut self, is_first: bool, close: u8) -> Result<bool, SplitError> {
        match self.token()? {
            token if token == close => {
                self.step();
                Ok(false)
            }
            _ if is_first => Ok(true),
            b',' => {
                self.step();
                Ok(true)
            }
            _ => Err(self.unexpected("a comma or the end of a list")),
        }
    }

    /// The next key of an object, past its colon.
    pub(super) fn key(&mut self) -> Result<String, SplitError> {
        if self.token()? != b'"' {
            return Err(self.unexpected("a key"));
        }
        let mut key = std::mem::take(&mut self.scratch);
        key.clear();
        self.closed(Some(&mut key))?;
        let parsed = serde_json::from_slice(&key).map_err(|error| self.wrong(&error))?;
        self.scratch = key;
        if self.token()? != b':' {
            return Err(self.unexpected("a colon"));
        }
        self.step();
        Ok(parsed)
    }

    /// The next value, as it is written.
    pub(super) fn value(&mut self) -> Result<Box<RawValue>, SplitError> {
        let token = self.token()?;
        if matches!(token, b'{' | b'[' | b'"')
            && let Some(raw) = self.whole_value()?
        {
            return Ok(raw);
        }
        let mut raw = Vec::new();
        match token {
            b'{' | b'[' | b'"' => self.closed(Some(&mut raw))?,
            _ => self.scalar(&mut raw)?,
        }
        let raw = String::from_utf8(raw).map_err(|error| self.wrong(&error))?;
        RawValue::from_string(raw).map_err(|error| self.wrong(&error))
    }

    /// The next value, if it ends within what has been read already: the parser then finds its end by itself.
    fn whole_value(&mut self) -> Result<Option<Box<RawValue>>, SplitError> {
        let buffer = fill(&mut self.body)?;
        let mut values = serde_json::Deserializer::from_slice(buffer).into_iter::<&RawValue>();
        // What is cut off, or wrong, is looked at again the slow way.
        let Some(Ok(raw)) = values.next() else { return Ok(None) };
        let (raw, used) = (raw.to_owned(), values.byte_offset());
        self.body.consume(used);
        self.bytes += used as u64;
        Ok(Some(raw))
    }

    /// Goes past the next value.
    pub(super) fn skip(&mut self) -> Result<(), SplitError> {
        match self.token()? {
            b'{' | b'[' | b'"' => self.closed(None),
            _ => self.value().map(|_| ()),
        }
    }

    /// Reads a text, an object or an array to its end.
    fn closed(&mut self, mut keep: Option<&mut Vec<u8>>) -> Result<(), SplitError> {
        let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
        loop {
            let buffer = fill(&mut self.body)?;
            if buffer.is_empty() {
                return Err(SplitError::CutShort);
            }
            let mut used = 0;
            let mut is_closed = false;
            for byte in buffer {
                used += 1;
                if in_text {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => {
                            in_text = false;
                            is_closed = depth == 0;
                        }
                        _ => {}
                    }
                } else {
                    match byte {
                        b'"' => in_text = true,
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => {
                            depth -= 1;
                            is_closed = depth == 0;
                        }
                        _ => {}
                    }
                }
                if is_closed {
                    break;
                }
            }
            if let Some(keep) = &mut keep {
                keep.extend_from_slice(&buffer[..used]);
            }
            self.body.consume(used);
            self.bytes += used as u64;
            if is_closed {
                return Ok(());
            }
        }
    }

    /// Reads a number, `true`, `false` or `null`: up to what can't be part of one.
    fn scalar(&mut self, keep: &mut Vec<u8>) -> Result<(), SplitError> {
        while let Some(byte) = fill(&mut self.body)?.first().copied() {
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
                return if keep.is_empty() { Err(self.unexpected("a value")) } else { Ok(()) };
            }
            keep.push(byte);
            self.step();
        }
        Err(SplitError::CutShort)
    }

    fn token_or_end(&mut self) -> Result<Option<u8>, SplitError> {
        while let Some(byte) = fill(&mut self.body)?.first().copied() {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Ok(Some(byte));
            }
            self.step();
        }
        Ok(None)
    }

    fn unexpected(&self, expected: &str) -> SplitError {
        SplitError::Syntax(format!("expected {expected} at byte {}", self.bytes + 1))
    }

    fn wrong(&self, error: &dyn std::fmt::Display) -> SplitError {
        SplitError::Syntax(format!("{error} of the value that ends at byte {}", self.bytes))
    }
}

fn fill(body: &mut impl BufRead) -> io::Result<&[u8]> {
    while let Err(error) = body.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    body.fill_buf()
}
