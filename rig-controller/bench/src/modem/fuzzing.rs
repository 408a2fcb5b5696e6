//! The virtual modem's AT side, driven by bytes that mean anything.
use super::at_command::SocketId;
use super::at_engine::{AtEngine, Network, Wish};

/// Longest answer to one byte: what came from the network, and the text around it.
const LONGEST_ANSWER: usize = 1600;

/// A device that sends these bytes. 0xFF is a datagram from the network, for each socket; 0xFE opens the socket that was asked
/// for, 0xFD refuses it; 0xFC powers the modem anew.
///
/// # Panics
/// When the engine answers more than it can have to say, or sends what no device asked for.
pub fn at_engine(bytes: &[u8]) {
    let fresh = || AtEngine::new(Network::RegistersAfter(1));
    let mut engine = fresh();
    let mut asked = None;
    for byte in bytes {
        match (byte, asked) {
            (0xFF, _) => {
                for socket in SocketId::all() {
                    engine.network_datagram(socket, &[0x82; 120]);
                }
            }
            (0xFE | 0xFD, Some(socket)) => {
                engine.socket_opened(socket, *byte == 0xFE);
                asked = None;
            }
            (0xFC, _) => {
                engine = fresh().already_up();
                asked = None;
            }
            _ => {
                let step = engine.device_byte(*byte);
                assert!(step.output.len() <= LONGEST_ANSWER + held(bytes));
                match step.wish {
                    Some(Wish::Open { socket, remote }) => {
                        assert!(remote.ip().is_loopback(), "nothing leaves this host");
                        asked = Some(socket);
                    }
                    Some(Wish::Send { datagram, .. }) => assert!(!datagram.is_empty()),
                    Some(Wish::Close(_)) | None => {}
                }
                if let Some((socket, code)) = step.refused {
                    engine.open_refused(socket, code);
                }
            }
        }
    }
}

/// Result codes that may have waited, at most two for each byte.
fn held(bytes: &[u8]) -> usize {
    bytes.len() * 64
}
