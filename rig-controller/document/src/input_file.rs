//! Files that a person names, read whole but never further than the longest file of their kind: a wrong name (`/dev/zero`, a
//! disk image) costs an error, not all memory. Regular files and pipes are read; devices are refused before they are
//! opened, because opening a serial port already does something to it.
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};

/// Silence of a pipe after which it is given up.
const PATIENCE_MS: u16 = 10_000;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadFileError {
    /// The host refused.
    #[error(transparent)]
    Host(#[from] io::Error),
    /// The file is longer than any of its kind.
    #[error("it is longer than {most_bytes} bytes, the most that a file of its kind has")]
    TooLong {
        /// Most bytes such a file may have.
        most_bytes: u64,
    },
    /// The file is a device or a socket.
    #[error("it is a device, not a file")]
    Device,
}

impl From<ReadFileError> for io::Error {
    fn from(error: ReadFileError) -> Self {
        match error {
            ReadFileError::Host(error) => error,
            ReadFileError::TooLong { .. } => Self::new(io::ErrorKind::FileTooLarge, error),
            ReadFileError::Device => Self::new(io::ErrorKind::InvalidInput, error),
        }
    }
}

/// The content of the file or pipe at `path`, if it has at most `most_bytes`.
///
/// # Errors
/// When it has more, is a device, or the host refuses.
pub fn read(path: &Path, most_bytes: u64) -> Result<Vec<u8>, ReadFileError> {
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_char_device() || kind.is_block_device() || kind.is_socket() {
        return Err(ReadFileError::Device);
    }
    let mut content = Vec::new();
    // What the file system says of a file's length is not asked: of pipes and of files in /proc it says 0.
    let most = most_bytes.saturating_add(1);
    if kind.is_fifo() {
        Pipe::open(path)?.take(most).read_to_end(&mut content)?;
    } else {
        File::open(path)?.take(most).read_to_end(&mut content)?;
    }
    if content.len() as u64 > most_bytes {
        return Err(ReadFileError::TooLong { most_bytes });
    }
    Ok(content)
}

/// A pipe whose writer is waited for, but not for ever: a pipe that nobody writes to must not stop the program that reads.
struct Pipe(File);

impl Pipe {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        options.open(path).map(Self)
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // Before its first writer a pipe is neither readable nor at its end.
            let mut asked = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut asked, PATIENCE_MS) {
                Ok(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "it is a pipe, and nothing came out of it for 10 s; see that something writes to it",
                    ));
                }
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            }
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }
}

/// The same of a file that has to be text.
///
/// # Errors
/// When [`read`] refuses, or the content is not UTF-8.
pub fn read_text(path: &Path, most_bytes: u64) -> Result<String, ReadFileError> {
    String::from_utf8(read(path, most_bytes)?).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "it holds bytes that are no UTF-8 text",
        )
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_not_a_byte_further() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read(&path, 100).unwrap(), [7; 100]);
        assert!(matches!(
            read(&path, 99),
            Err(ReadFileError::TooLong { most_bytes: 99 })
        ));
        let host = io::Error::from(read(&path, 99).unwrap_err());
        assert_eq!(host.kind(), io::ErrorKind::FileTooLarge);
        std::fs::write(&path, [0xC3, 0x28]).unwrap();
        let no_text = io::Error::from(read_text(&path, 2).unwrap_err());
        assert_eq!(no_text.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_pipe_is_read_and_one_without_an_end_only_up_to_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bound, whole) in [("whole", 5, true), ("endless", 1 << 20, false)] {
            let path = folder.path().join(name);
            let made = std::process::Command::new("mkfifo").arg(&path).status();
            assert!(made.unwrap().success());
            let writer = {
                let path = path.clone();
                std::thread::spawn(move || {
                    use std::io::Write;
                    let mut pipe = std::fs::OpenOptions::new().write(true).open(path).unwrap();
                    if whole {
                        return pipe.write_all(b"hello").is_ok();
                    }
                    while pipe.write_all(&[0; 4096]).is_ok() {}
                    true
                })
            };
            let content = read(&path, bound);
            assert_eq!(content.is_ok_and(|content| content == b"hello"), whole);
            assert!(writer.join().unwrap());
        }
    }

    #[test]
    fn devices_are_not_opened() {
        for device in ["/dev/zero", "/dev/null"] {
            assert!(matches!(
                read(Path::new(device), 10),
                Err(ReadFileError::Device)
            ));
        }
    }
}
