//! duplicity's log for machines: records of one control line, more control lines or text lines, and an empty line.

/// How much a record matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) level: Level,
    /// What kind of record, within its level.
    pub(super) code: u32,
    /// What follows the code: arguments, names in them quoted and escaped.
    pub(super) arguments: String,
    /// The words for people; bytes of names that are not UTF-8 are replaced.
    pub(super) text: String,
}

impl Record {
    /// The arguments: words, and quoted names with their escapes undone.
    pub(super) fn words(&self) -> Vec<Vec<u8>> {
        let mut words = Vec::new();
        let mut rest = self.arguments.as_str();
        loop {
            rest = rest.trim_start_matches([' ', '\n']);
            if rest.is_empty() {
                return words;
            }
            let (word, tail) = match rest.strip_prefix('\'') {
                // A quote inside a name is escaped, so the next one ends it.
                Some(quoted) => quoted.split_once('\'').unwrap_or((quoted, "")),
                None => rest.split_at(rest.find([' ', '\n']).unwrap_or(rest.len())),
            };
            words.push(unescape(word));
            rest = tail;
        }
    }
}

/// Undoes Python's `unicode-escape`; what stands for a byte that is no UTF-8 becomes that byte again.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let hex = |digits: usize| {
            let digits = escape.get(1..=digits)?;
            digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
        };
        let (code, length) = match escape.as_bytes().first() {
            Some(b'n') => (Some(u32::from(b'\n')), 1),
            Some(b'r') => (Some(u32::from(b'\r')), 1),
            Some(b't') => (Some(u32::from(b'\t')), 1),
            Some(quoted @ (b'\\' | b'\'' | b'"')) => (Some(u32::from(*quoted)), 1),
            Some(b'x') => (hex(2), 3),
            Some(b'u') => (hex(4), 5),
            Some(b'U') => (hex(8), 9),
            _ => (None, 0),
        };
        match code {
            Some(surrogate @ 0xdc80..=0xdcff) => bytes.push((surrogate & 0xff) as u8),
            Some(code) => {
                let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            None => bytes.push(b'\\'),
        }
        rest = if code.is_some() { &escape[length..] } else { escape };
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Reads records from a stream that other programs may write to as well: what is no part of a record is kept apart.
#[derive(Debug, Default)]
pub(super) struct LogReader {
    line: Vec<u8>,
    open: Option<Record>,
    noise: Vec<u8>,
}

impl LogReader {
    /// Longer lines are cut: nobody writes such names.
    const LONGEST_LINE: usize = 64 << 20;
    /// How much of what is no record is kept, from its end.
    const NOISE_KEPT: usize = 16 << 10;

    /// Takes more of the stream, and gives the records that it completes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Record> {
        let mut records = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(rest) => {
                    self.extend_line(rest);
                    let line = std::mem::take(&mut self.line);
                    records.extend(self.take_line(&String::from_utf8_lossy(&line)));
                }
                None => self.extend_line(piece),
            }
        }
        records
    }

    /// The stream ended: the record that was still open, if any.
    pub(super) fn finish(&mut self) -> Option<Record> {
        let line = std::mem::take(&mut self.line);
        let last = if line.is_empty() { None } else { self.take_line(&String::from_utf8_lossy(&line)) };
        last.or_else(|| self.open.take())
    }

    /// The end of what was no record: tracebacks, words of other programs.
    pub(super) fn noise(&self) -> String {
        String::from_utf8_lossy(&self.noise).trim().to_owned()
    }

    fn extend_line(&mut self, bytes: &[u8]) {
        let room = Self::LONGEST_LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn take_line(&mut self, line: &str) -> Option<Record> {
        if let Some(record) = control_line(line) {
            return self.open.replace(record);
        }
        if line.is_empty() {
            return self.open.take();
        }
        match &mut self.open {
            Some(record) => match line.strip_prefix('.') {
                Some(text) if text.is_empty() || text.starts_with(' ') => {
                    if !record.text.is_empty() {
                        record.text.push('\n');
                    }
                    record.text.push_str(text.strip_prefix(' ').unwrap_or(text));
                }
                // A record that spans control lines, before its text.
                _ if record.text.is_empty() => {
                    record.arguments.push('\n');
                    record.arguments.push_str(line);
                }
                _ => self.add_noise(line),
            },
            None => self.add_noise(line),
        }
        None
    }

    fn add_noise(&mut self, line: &str) {
        self.noise.extend_from_slice(line.as_bytes());
        self.noise.push(b'\n');
        let excess = self.noise.len().saturating_sub(Self::NOISE_KEPT);
        self.noise.drain(..excess);
    }
}

fn control_line(line: &str) -> Option<Record> {
    let (level, rest) = line.split_once(' ')?;
    let level = match level {
        "ERROR" => Level::Error,
        "WARNING" => Level::Warning,
        "NOTICE" => Level::Notice,
        "INFO" => Level::Info,
        "DEBUG" => Level::Debug,
        _ => return None,
    };
    let (code, arguments) = rest.split_once(' ').unwrap_or((rest, ""));
    let plain = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit());
    let code = code.parse().ok().filter(|_| plain)?;
    Some(Record { level, code, arguments: arguments.to_owned(), text: String::new() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(log: &str) -> (Vec<Record>, String) {
        let mut reader = LogReader::default();
        let mut records = reader.push(log.as_bytes());
        records.extend(reader.finish());
        (records, reader.noise())
    }

    #[test]
    fn a_real_log_is_understood() {
        let log = "INFO 4 'data/a'\n. A data/a\n\nGPGError: something\nERROR 31 GPGError\n. GPG Failed:\n. \n. bad\n\n\
                   INFO 3 \nbackend BackendWrapper\n full 20261123T091220Z 1 enc\n. Collection Status\n\nNOTICE 1\n. Done.\n";
        let (records, noise) = read(log);
        assert_eq!(records.len(), 4);
        assert_eq!((records[0].level, records[0].code), (Level::Info, 4));
        assert_eq!(records[0].words(), [b"data/a"]);
        assert_eq!(records[1].text, "GPG Failed:\n\nbad");
        assert_eq!(records[2].arguments, "\nbackend BackendWrapper\n full 20261123T091220Z 1 enc");
        assert_eq!(records[3].text, "Done.");
        assert_eq!(noise, "GPGError: something");
    }

    #[test]
    fn names_survive_their_escapes() {
        let (records, _) = read(r"INFO 10 20261123T044820Z 'sub/nl\nq\x27 \\x \xe9 \u2603 \U0001f600 \udcff' reg");
        let words = records[0].words();
        assert_eq!(words[1], "sub/nl\nq' \\x é ☃ 😀 ".bytes().chain([0xff]).collect::<Vec<_>>());
        assert_eq!(words[2], b"reg");
    }

    #[test]
    fn what_only_looks_like_an_escape_is_kept() {
        assert_eq!(unescape(r"a\q\x4\u12é\"), r"a\q\x4\u12é\".as_bytes());
    }

    proptest! {
        #[test]
        fn junk_never_upsets_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut reader = LogReader::default();
            for record in reader.push(&bytes).into_iter().chain(reader.finish()) {
                let _ = record.words();
            }
        }

        #[test]
        fn pieces_make_the_same_records(cuts in proptest::collection::vec(1_usize..9, 0..60)) {
            let log = "junk\nINFO 4 'a b'\n. A a b\n\nWARNING 10 'x'\n. Error accessing x\n. \n\nINFO 2 5 9\n\ntail";
            let mut reader = LogReader::default();
            let mut records = Vec::new();
            let mut rest = log.as_bytes();
            for cut in cuts {
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                records.extend(reader.push(piece));
                rest = tail;
            }
            records.extend(reader.push(rest));
            records.extend(reader.finish());
            prop_assert_eq!((records, reader.noise()), read(log));
        }

        #[test]
        fn every_name_comes_back(name in "[^\u{0}]{0,20}") {
            // As Python writes it.
            let escaped: String = name.chars().map(|c| match c {
                '\\' => r"\\".to_owned(),
                '\n' => r"\n".to_owned(),
                '\r' => r"\r".to_owned(),
                '\t' => r"\t".to_owned(),
                '\'' => r"\x27".to_owned(),
                ' '..='~' => c.to_string(),
                c if u32::from(c) < 0x100 => format!("\\x{:02x}", u32::from(c)),
                c if u32::from(c) < 0x1_0000 => format!("\\u{:04x}", u32::from(c)),
                c => format!("\\U{:08x}", u32::from(c)),
            }).collect();
            let record = Record { level: Level::Info, code: 4, arguments: format!("'{escaped}' reg"), text: String::new() };
            prop_assert_eq!(record.words(), [name.into_bytes(), b"reg".to_vec()]);
        }
    }
}
