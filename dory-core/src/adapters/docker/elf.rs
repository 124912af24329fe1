//! The two facts that copying a program needs from its file: who loads it, and by what name others ask for it.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const MAGIC: &[u8; 4] = b"\x7fELF";
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;

const DT_NULL: u64 = 0;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;

/// No path or name is longer.
const LONGEST_TEXT: usize = 4096;

/// What an executable or a shared library says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Elf {
    /// The program that loads it; `None` for a static executable.
    pub(super) interpreter: Option<PathBuf>,
    /// The name under which others need it; `None` for an executable.
    pub(super) soname: Option<String>,
}

impl Elf {
    /// Reads `file`.
    ///
    /// # Errors
    /// `InvalidData` for what is no ELF file.
    pub(super) fn read(file: &File) -> io::Result<Self> {
        let reader = Reader::new(file)?;
        let segments = reader.segments()?;
        let of_kind = |kind| segments.iter().find(move |segment| segment.kind == kind);
        let interpreter = match of_kind(PT_INTERP) {
            Some(segment) => Some(PathBuf::from(std::ffi::OsString::from_vec(reader.text(segment.offset)?))),
            None => None,
        };
        let soname = match of_kind(PT_DYNAMIC) {
            Some(dynamic) => reader.soname(dynamic, &segments)?,
            None => None,
        };
        Ok(Self { interpreter, soname })
    }
}

struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

struct Reader<'a> {
    file: &'a File,
    /// Bytes in an address: 4 or 8.
    word: u64,
    little_endian: bool,
}

impl<'a> Reader<'a> {
    fn new(file: &'a File) -> io::Result<Self> {
        let mut ident = [0; 16];
        file.read_exact_at(&mut ident, 0)?;
        if &ident[..4] != MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no ELF file"));
        }
        let word = if ident[4] == CLASS_64 { 8 } else { 4 };
        Ok(Self { file, word, little_endian: ident[5] == LITTLE_ENDIAN })
    }

    fn number(&self, offset: u64, bytes: u64) -> io::Result<u64> {
        let mut buffer = [0; 8];
        let bytes = usize::try_from(bytes).unwrap_or(8).min(8);
        let (read, padded) = if self.little_endian { (0..bytes, false) } else { (8 - bytes..8, true) };
        self.file.read_exact_at(&mut buffer[read], offset)?;
        Ok(if padded { u64::from_be_bytes(buffer) } else { u64::from_le_bytes(buffer) })
    }

    /// The text at `offset`, up to its zero byte.
    fn text(&self, offset: u64) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; LONGEST_TEXT];
        let length = self.file.read_at(&mut buffer, offset)?;
        buffer.truncate(buffer[..length].iter().position(|byte| *byte == 0).unwrap_or(length));
        Ok(buffer)
    }

    fn segments(&self) -> io::Result<Vec<Segment>> {
        let (table, sizes) = if self.word == 8 { (32, 54) } else { (28, 42) };
        let (table, size, count) = (self.number(table, self.word)?, self.number(sizes, 2)?, self.number(sizes + 2, 2)?);
        let (offset, address, bytes) = if self.word == 8 { (8, 16, 32) } else { (4, 8, 16) };
        (0..count)
            .map(|at| {
                let at = table + at * size;
                Ok(Segment {
                    kind: self.number(at, 4)?,
                    offset: self.number(at + offset, self.word)?,
                    address: self.number(at + address, self.word)?,
                    size: self.number(at + bytes, self.word)?,
                })
            })
            .collect()
    }

    fn soname(&self, dynamic: &Segment, segments: &[Segment]) -> io::Result<Option<String>> {
        let (mut strings, mut name) = (None, None);
        for at in 0..dynamic.size / (2 * self.word) {
            let at = dynamic.offset + at * 2 * self.word;
            match self.number(at, self.word)? {
                DT_NULL => break,
                DT_STRTAB => strings = Some(self.number(at + self.word, self.word)?),
                DT_SONAME => name = Some(self.number(at + self.word, self.word)?),
                _ => {}
            }
        }
        let (Some(strings), Some(name)) = (strings, name) else { return Ok(None) };
        // The table is given by its place in memory; the segments tell where in the file that is.
        let Some(loaded) = segments.iter().find(|segment| {
            segment.kind == PT_LOAD && (segment.address..segment.address + segment.size).contains(&strings)
        }) else {
            return Ok(None);
        };
        let text = self.text(strings - loaded.address + loaded.offset + name)?;
        Ok(String::from_utf8(text).ok())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn our_own_files_are_read() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let libc = maps.lines().filter_map(|line| line.split_once('/')).map(|(_, path)| format!("/{path}"));
        let Some(libc) = libc.into_iter().find(|path| path.contains("/libc.so.6") || path.contains("/libc-2")) else {
            return;
        };
        assert_eq!(Elf::read(&File::open(libc).unwrap()).unwrap().soname.as_deref(), Some("libc.so.6"));
        let own = Elf::read(&File::open("/proc/self/exe").unwrap()).unwrap();
        assert!(own.interpreter.unwrap().is_file(), "a dynamic program has a loader");
        assert_eq!(own.soname, None);
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        assert_eq!(
            Elf::read(&File::open(Path::new("/proc/self/status")).unwrap()).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
