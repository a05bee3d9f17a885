//! Where an import comes from: a file or the standard input, compressed or not, read twice.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom},
    path::Path,
    rc::Rc,
};

use flate2::bufread::MultiGzDecoder;

use crate::error::Failure;

/// Longest line: a request may not be larger either.
const LINE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A file that can be read from its start again.
pub(super) struct Source {
    file: File,
    name: String,
    size: u64,
    position: Rc<Cell<u64>>,
}

/// One line, or why it is none.
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: u64,
    /// Its bytes without the line's end.
    pub(super) text: Result<Vec<u8>, String>,
}

impl Source {
    /// Opens a file; `-` is the standard input, which is kept in a temporary file to be read twice.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let file = if path == Path::new("-") {
            spool()?
        } else {
            File::open(path).map_err(|e| Failure::file("read", path, &e))?
        };
        let meta = file.metadata().map_err(|e| Failure::file("read", path, &e))?;
        if !meta.is_file() {
            return Err(Failure::refused(format!("{name} is no file that can be read twice"))
                .hint("pipe it in: spl import - < …"));
        }
        Ok(Self { file, name, size: meta.len(), position: Rc::default() })
    }

    /// How large it is, compressed as it may be.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How much of it has been read since [`Self::lines`] was last called.
    pub(super) fn position(&self) -> u64 {
        self.position.get()
    }

    /// Its lines, from the first.
    pub(super) fn lines(&self) -> Result<Lines, Failure> {
        let failed = |e: io::Error| Failure::refused(format!("cannot read {}: {e}", self.name));
        let mut file = self.file.try_clone().map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        self.position.set(0);
        let raw = Tracked { file, position: Rc::clone(&self.position) };
        let reader = decoder(BufReader::with_capacity(64 * 1024, raw)).map_err(failed)?;
        Ok(Lines { reader, name: self.name.clone(), number: 0, ended: false })
    }
}

/// Copies the standard input into a nameless temporary file.
fn spool() -> Result<File, Failure> {
    let failed = |e: io::Error| Failure::refused(format!("cannot keep the standard input: {e}"));
    let mut file = tempfile::tempfile().map_err(failed)?;
    io::copy(&mut io::stdin().lock(), &mut file).map_err(failed)?;
    Ok(file)
}

/// A file that says how far it has been read.
struct Tracked {
    file: File,
    position: Rc<Cell<u64>>,
}

impl Read for Tracked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.position.set(self.position.get() + read as u64);
        Ok(read)
    }
}

/// Decompresses what its first bytes say is compressed.
fn decoder(mut raw: BufReader<Tracked>) -> io::Result<Box<dyn BufRead>> {
    let start = raw.fill_buf()?;
    if start.starts_with(&[0x1f, 0x8b]) {
        Ok(Box::new(BufReader::new(MultiGzDecoder::new(raw))))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Ok(Box::new(BufReader::new(zstd::Decoder::with_buffer(raw)?)))
    } else {
        Ok(Box::new(raw))
    }
}

/// The lines of a source.
pub(super) struct Lines {
    reader: Box<dyn BufRead>,
    name: String,
    number: u64,
    ended: bool,
}

impl Lines {
    fn read(&mut self) -> io::Result<Option<Result<Vec<u8>, String>>> {
        let mut line = Vec::new();
        if self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        } else if line.len() as u64 == LINE_BYTES_MAX {
            self.reader.skip_until(b'\n')?;
            return Ok(Some(Err(format!("longer than {} MiB", LINE_BYTES_MAX >> 20))));
        }
        Ok(Some(Ok(line)))
    }
}

impl Iterator for Lines {
    type Item = Result<Line, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        self.number += 1;
        let number = self.number;
        match self.read() {
            Ok(None) => None,
            Ok(Some(text)) => Some(Ok(Line { number, text })),
            Err(e) => {
                self.ended = true;
                Some(Err(Failure::refused(format!("cannot read {} at line {number}: {e}", self.name))
                    .hint("nothing after this line can be read; is the file whole?")))
            }
        }
    }
}
