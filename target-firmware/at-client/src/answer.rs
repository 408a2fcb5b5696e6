//! Recognises the lines of Quectel's command set that the client acts on.
//!
//! Source: Quectel TCP/IP application notes (`AT+QIOPEN`, `AT+QISEND`, `AT+QIRD`, `+QIURC`) and
//! 3GPP TS 27.007 (`AT+CEREG`). Everything else is [`Answer::Other`].

/// The largest datagram the modem may announce.
pub(crate) const MAX_READ_BYTES: usize = 1500;

/// One line from the modem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `OK`
    Ok,
    /// `ERROR`, `+CME ERROR: ...`
    Error,
    /// `SEND OK`
    SendOk,
    /// `SEND FAIL`: the modem had no room for the datagram.
    SendFail,
    /// `+QIRD: n`: `n` bytes of data follow.
    Data(usize),
    /// `+CEREG: n,stat`
    Registration {
        /// At home (1) or roaming (5).
        registered: bool,
    },
    /// `+QIOPEN: 0,err`
    Opened {
        /// `err` is 0.
        success: bool,
    },
    /// `+QIURC: "recv",0` or `+QIURC: "closed",0`: asking the modem will tell something new.
    SocketNews,
    /// `RDY`: the modem has restarted.
    Restarted,
    /// An echo, an unknown result code, noise.
    Other,
}

/// Reads one line, without its ending.
pub(crate) fn parse(line: &[u8]) -> Answer {
    match line {
        b"OK" => Answer::Ok,
        b"ERROR" => Answer::Error,
        b"SEND OK" => Answer::SendOk,
        b"SEND FAIL" => Answer::SendFail,
        b"RDY" => Answer::Restarted,
        _ if line.starts_with(b"+CME ERROR") => Answer::Error,
        _ => parse_prefixed(line).unwrap_or(Answer::Other),
    }
}

fn parse_prefixed(line: &[u8]) -> Option<Answer> {
    if let Some(length) = line.strip_prefix(b"+QIRD: ") {
        return decimal(length)
            .filter(|&length| length <= MAX_READ_BYTES)
            .map(Answer::Data);
    }
    if let Some(fields) = line.strip_prefix(b"+CEREG: ") {
        // The unsolicited form has the state first, the answer to a question second; longer forms
        // with cell information are never asked for.
        let state = fields.split(|&byte| byte == b',').nth(1)?;
        return decimal(state).map(|state| Answer::Registration {
            registered: matches!(state, 1 | 5),
        });
    }
    if let Some(error) = line.strip_prefix(b"+QIOPEN: 0,") {
        return decimal(error).map(|error| Answer::Opened {
            success: error == 0,
        });
    }
    match line {
        b"+QIURC: \"recv\",0" | b"+QIURC: \"closed\",0" => Some(Answer::SocketNews),
        _ => None,
    }
}

/// A decimal number of one to five digits and nothing else.
fn decimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    digits.iter().try_fold(0, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + usize::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::{Answer, parse};

    #[test]
    fn the_answers_acted_on_are_recognised() {
        for (line, answer) in [
            (&b"OK"[..], Answer::Ok),
            (b"+CME ERROR: 3", Answer::Error),
            (b"+QIRD: 1100", Answer::Data(1100)),
            (b"+QIRD: 0", Answer::Data(0)),
            (b"+CEREG: 0,1", Answer::Registration { registered: true }),
            (b"+CEREG: 0,5", Answer::Registration { registered: true }),
            (b"+CEREG: 0,2", Answer::Registration { registered: false }),
            (b"+QIOPEN: 0,0", Answer::Opened { success: true }),
            (b"+QIOPEN: 0,563", Answer::Opened { success: false }),
            (b"+QIURC: \"recv\",0", Answer::SocketNews),
            (b"RDY", Answer::Restarted),
        ] {
            assert_eq!(parse(line), answer);
        }
    }

    #[test]
    fn numbers_that_are_none_or_too_large_are_not_believed() {
        for line in [
            &b"+QIRD: "[..],
            b"+QIRD: 1501",
            b"+QIRD: -1",
            b"+QIRD: 99999999999999999999",
            b"+CEREG: 1",
            b"+QIOPEN: 1,0",
            b"\xff\xfe",
        ] {
            assert_eq!(parse(line), Answer::Other);
        }
    }
}
