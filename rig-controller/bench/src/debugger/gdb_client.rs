//! gdb's end of a connection, for tests: packets of the remote protocol, as they are on the wire.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(30);

/// See the module's text.
pub(crate) struct GdbClient(TcpStream);

impl GdbClient {
    pub(crate) fn connect(address: impl ToSocketAddrs) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, packet: &str) {
        let sum = packet.bytes().fold(0, u8::wrapping_add);
        write!(self.0, "${packet}#{sum:02x}").unwrap();
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.0.read_exact(&mut byte).unwrap();
        byte[0]
    }

    /// The next packet, its runs of equal characters written out.
    pub(crate) fn receive(&mut self) -> String {
        while self.byte() != b'$' {}
        let mut packet = Vec::new();
        loop {
            match self.byte() {
                b'#' => break,
                b'*' => {
                    let times = self.byte() - 29;
                    let last = *packet.last().unwrap();
                    packet.extend(vec![last; times.into()]);
                }
                byte => packet.push(byte),
            }
        }
        let _checksum = [self.byte(), self.byte()];
        self.0.write_all(b"+").unwrap();
        String::from_utf8(packet).unwrap()
    }

    pub(crate) fn ask(&mut self, packet: &str) -> String {
        self.send(packet);
        self.receive()
    }

    /// The registers, in the order of the target's description.
    pub(crate) fn registers(&mut self) -> Vec<u32> {
        let bytes = hex::decode(self.ask("g")).unwrap();
        let (words, rest) = bytes.as_chunks::<4>();
        assert!(rest.is_empty());
        words.iter().map(|word| u32::from_le_bytes(*word)).collect()
    }

    pub(crate) fn pc(&mut self) -> u32 {
        self.registers()[15]
    }

    /// The texts that a monitor command brings.
    pub(crate) fn monitor(&mut self, command: &str) -> String {
        self.send(&format!("qRcmd,{}", hex::encode(command)));
        let mut said = String::new();
        loop {
            match self.receive().as_str() {
                "OK" => return said,
                text => {
                    let bytes = hex::decode(text.strip_prefix('O').unwrap()).unwrap();
                    said += &String::from_utf8(bytes).unwrap();
                }
            }
        }
    }

    /// Ctrl-C.
    #[allow(dead_code, reason = "not every test interrupts")]
    pub(crate) fn interrupt(&mut self) {
        self.0.write_all(&[3]).unwrap();
    }

    /// Lets the target go.
    pub(crate) fn detach(mut self) {
        assert_eq!(self.ask("D"), "OK");
    }
}
