//! PCP frames out of a byte stream, sans-IO: bytes go in as they come, whole frames come out.
//!
//! ```text
//! FF FE | version u8, low nibble 1 | code u8, 19..24 | check u16 | data length u16 | data
//! ```
//! Integers are big-endian. The protocol was made for datagrams; on a stream its length field says where a frame ends. A frame
//! that is damaged costs itself: its start is skipped and the search for `FF FE` goes on right behind it, so a length
//! that was spoilt does not swallow the frames that follow. No more than one frame's bytes are ever held.
//! Format and check are those of [`powercut_upgrade::wire::pcp`].
use powercut_upgrade::wire::pcp::{HEADER_BYTES, MAGIC, MAX_DOWNLINK_BYTES, frame_check};

/// Bytes of the longest frame: one with a fragment.
pub const MAX_FRAME_BYTES: usize = MAX_DOWNLINK_BYTES;

/// Finds frames in what a stream brings.
#[derive(Debug, Default)]
pub struct PcpFrames {
    /// Begins with what may be a frame; shorter than one.
    held: Vec<u8>,
    skipped: u64,
}

/// What the held bytes begin with.
enum Start {
    /// A frame of so many bytes.
    Frame(usize),
    /// It depends on what follows.
    Open,
    /// Nothing that is a frame.
    Garbage,
}

impl PcpFrames {
    /// Take bytes; `frame` is called for each frame that ends in them.
    pub fn take(&mut self, bytes: &[u8], mut frame: impl FnMut(&[u8])) {
        // In pieces, so that no more is held than a frame and a piece, however much comes at once.
        for piece in bytes.chunks(MAX_FRAME_BYTES) {
            self.held.extend_from_slice(piece);
            let mut at = 0;
            loop {
                let rest = &self.held[at..];
                let Some(mark) = mark_in(rest) else { break };
                at += mark;
                self.skipped += mark as u64;
                match start(&self.held[at..]) {
                    Start::Frame(length) => {
                        frame(&self.held[at..at + length]);
                        at += length;
                    }
                    Start::Garbage => {
                        at += 1;
                        self.skipped += 1;
                    }
                    Start::Open => break,
                }
            }
            // Without a mark all but a last byte that may begin one is of no use.
            if mark_in(&self.held[at..]).is_none() {
                let keep = usize::from(self.held[at..].last() == Some(&MAGIC[0]));
                let useless = self.held.len() - at - keep;
                self.skipped += useless as u64;
                at += useless;
            }
            self.held.drain(..at);
        }
    }

    /// Bytes so far that were part of no frame.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

fn mark_in(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == MAGIC)
}

fn start(bytes: &[u8]) -> Start {
    // As soon as a byte cannot be right, nothing more is waited for.
    let version_is_right = bytes.get(2).is_none_or(|version| version & 0x0F == 1);
    let code_is_right = bytes.get(3).is_none_or(|code| (0x13..=0x18).contains(code));
    if !version_is_right || !code_is_right {
        return Start::Garbage;
    }
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Start::Open;
    };
    let data_bytes = usize::from(u16::from_be_bytes([header[6], header[7]]));
    if data_bytes > MAX_FRAME_BYTES - HEADER_BYTES {
        return Start::Garbage;
    }
    let Some(frame) = bytes.get(..HEADER_BYTES + data_bytes) else {
        return Start::Open;
    };
    if frame_check(frame) == u16::from_be_bytes([header[4], header[5]]) {
        Start::Frame(frame.len())
    } else {
        Start::Garbage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Result, index and 500 bytes of a fragment.
    const MAX_DATA_BYTES: usize = 1 + 2 + 500;

    /// Frames of vendor documents and of devices.
    fn published() -> Vec<Vec<u8>> {
        include_str!("../../../../fixtures/pcp/frames.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_whitespace().next())
            .map(|frame| hex::decode(frame).unwrap())
            .collect()
    }

    fn frames_in(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, u64) {
        let mut decoder = PcpFrames::default();
        let mut found = Vec::new();
        for piece in pieces {
            decoder.take(piece, |frame| found.push(frame.to_vec()));
            assert!(decoder.held.len() < MAX_FRAME_BYTES);
        }
        (found, decoder.skipped())
    }

    #[test]
    fn frames_come_out_whole_however_the_stream_is_cut() {
        let stream = published().concat();
        for piece_bytes in [1, 2, 3, 7, 8, 25, stream.len()] {
            let pieces: Vec<&[u8]> = stream.chunks(piece_bytes).collect();
            assert_eq!(frames_in(&pieces), (published(), 0), "{piece_bytes}");
        }
    }

    #[test]
    fn garbage_before_between_and_behind_frames_is_skipped() {
        let garbage: [&[u8]; 6] = [
            b"AT+OK\r\n",
            &[0xFF],
            &[0xFF, 0xFE],
            &[0xFF, 0xFE, 0x01, 0x15, 0, 0, 0xFF, 0xFF],
            &[0xFF, 0xFE, 0x01, 0x15, 0, 0],
            &[0xFF, 0xFF, 0xFE, 0xFF, 0xFE, 0x02],
        ];
        for junk in garbage {
            let stream: Vec<u8> = published()
                .into_iter()
                .flat_map(|frame| [junk.to_vec(), frame].concat())
                .collect();
            for piece_bytes in [1, 5, stream.len()] {
                let pieces: Vec<&[u8]> = stream.chunks(piece_bytes).collect();
                let (found, skipped) = frames_in(&pieces);
                assert_eq!(found, published(), "{junk:x?}");
                assert_eq!(skipped, 12 * junk.len() as u64);
            }
        }
    }

    #[test]
    fn a_spoilt_length_costs_its_frame_and_no_other() {
        let mut stream = published();
        // Claims 503 bytes of data: the frames behind it lie inside of it.
        stream[3][6..8].copy_from_slice(&503_u16.to_be_bytes());
        let mut spoilt: Vec<u8> = stream.concat();
        // What the spoilt frame claims has to come before it can be told.
        while spoilt.len() < 600 {
            spoilt.extend(published().concat());
        }
        let (found, _) = frames_in(&[&spoilt]);
        let expected: Vec<_> = published()
            .into_iter()
            .enumerate()
            .filter_map(|(at, frame)| (at != 3).then_some(frame))
            .collect();
        assert_eq!(found[..expected.len()], expected);
    }

    #[test]
    fn the_longest_frame_is_found_and_a_longer_one_is_none() {
        let frame = |data_bytes: usize| {
            let mut frame = vec![0xFF, 0xFE, 0x01, 0x15, 0, 0];
            frame.extend((data_bytes as u16).to_be_bytes());
            frame.resize(HEADER_BYTES + data_bytes, 7);
            let check = frame_check(&frame).to_be_bytes();
            frame[4..6].copy_from_slice(&check);
            frame
        };
        let longest = frame(MAX_DATA_BYTES);
        assert_eq!(frames_in(&[&longest]), (vec![longest], 0));
        assert_eq!(frames_in(&[&frame(MAX_DATA_BYTES + 1)]).0.len(), 0);
    }

    proptest! {
        #[test]
        fn no_stream_makes_it_panic_or_hold_more_than_a_frame(
            stream in prop::collection::vec(prop::sample::select(vec![0xFF_u8, 0xFE, 0x01, 0x13, 0x15, 0, 1, 7, 0x4C, 0x9A]), 0..3_000),
            piece in 1_usize..700,
        ) {
            let pieces: Vec<&[u8]> = stream.chunks(piece).collect();
            let (found, skipped) = frames_in(&pieces);
            let in_frames: usize = found.iter().map(Vec::len).sum();
            prop_assert!(in_frames + skipped as usize <= stream.len());
        }

        #[test]
        fn a_flipped_bit_never_leads_to_a_frame_that_was_not_sent_whole(at in 0_usize..200, bit in 0_u8..8) {
            let mut stream = published().concat();
            let at = at % stream.len();
            stream[at] ^= 1 << bit;
            let (found, _) = frames_in(&[&stream]);
            // The check finds every single flipped bit.
            prop_assert!(found.iter().all(|frame| published().contains(frame)));
        }
    }
}
