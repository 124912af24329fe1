//! A layer as a stream of tar: written by a thread, held back by whoever reads it, never in memory as a whole.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use bytes::Bytes;
use futures_util::{Stream, stream};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

use super::image_content::{Content, Entry, ImageContent};

const CHUNK: usize = 256 * 1024;

/// How many chunks wait to be sent.
const CHUNKS_IN_FLIGHT: usize = 4;

/// The tar archive of `content`: the same bytes for the same content, owned by root, of the year 1970.
pub(super) fn tar(content: &ImageContent) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<> {
    let entries = content.entries.clone();
    let (chunks, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
    tokio::task::spawn_blocking(move || {
        let mut archive = Builder::new(BufWriter::with_capacity(CHUNK, ChunkWriter(chunks.clone())));
        let written = entries.iter().try_for_each(|(path, entry)| append(&mut archive, path, entry));
        let written = written.and_then(|()| archive.into_inner()).and_then(|mut buffer| buffer.flush());
        if let Err(error) = written {
            // Nobody is left to tell where the receiver is gone.
            drop(chunks.blocking_send(Err(error)));
        }
    });
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|chunk| (chunk, receiver)) })
}

fn append(archive: &mut Builder<impl Write>, path: &Path, entry: &Entry) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    match &entry.content {
        Content::Folder => {
            header.set_entry_type(EntryType::Directory);
            header.set_size(0);
            archive.append_data(&mut header, path, io::empty())
        }
        Content::Text(text) => {
            header.set_size(text.len() as u64);
            archive.append_data(&mut header, path, text.as_bytes())
        }
        Content::File(source) => {
            let file = File::open(source)?;
            let length = file.metadata()?.len();
            header.set_size(length);
            archive.append_data(&mut header, path, file.take(length))
        }
    }
}

struct ChunkWriter(mpsc::Sender<io::Result<Bytes>>);

impl Write for ChunkWriter {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(chunk)));
        sent.map(|()| chunk.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;
    use crate::adapters::docker::image_content::HelperImageSource;

    #[tokio::test]
    async fn the_archive_holds_the_content() {
        let program = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(program.path(), vec![7; 3 * CHUNK + 1]).unwrap();
        let content = ImageContent::gather(&HelperImageSource::StaticExecutable(program.path().to_owned())).unwrap();
        let bytes: Vec<Bytes> = tar(&content).try_collect().await.unwrap();
        let bytes = bytes.concat();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut data = Vec::new();
            entry.read_to_end(&mut data).unwrap();
            found.push((path, entry.header().mode().unwrap(), data.len()));
        }
        assert!(found.contains(&("dory".into(), 0o755, 3 * CHUNK + 1)), "{found:?}");
        assert!(found.contains(&("tmp".into(), 0o1777, 0)), "{found:?}");
    }

    #[tokio::test]
    async fn a_file_that_vanished_fails_the_stream() {
        let program = tempfile::NamedTempFile::new().unwrap();
        let content = ImageContent::gather(&HelperImageSource::StaticExecutable(program.path().to_owned())).unwrap();
        drop(program);
        let outcome: io::Result<Vec<Bytes>> = tar(&content).try_collect().await;
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
