//! Recognises the lines of Quectel's command set that the client acts on.
//!
//! Source: Quectel TCP/IP application notes (`AT+QIOPEN`, `AT+QISEND`, `AT+QIRD`, `+QIURC`, and their result codes) and
//! 3GPP TS 27.007 (`AT+CEREG`, 10.1.22). A line is its name, a colon and fields between commas; what else a modem puts
//! there, blanks or further fields, changes nothing. Everything unknown is [`Answer::Other`].

/// The largest datagram the modem may announce.
pub(crate) const MAX_READ_BYTES: usize = 1500;
/// The one socket there is.
const SOCKET: usize = 0;
/// The context it is opened in.
pub(crate) const CONTEXT: usize = 1;

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
        /// Datagrams can be sent: at home (1) or roaming (5), also where calls are not preferred (9, 10). Being
        /// registered for short messages (6, 7) or emergencies (8) only is not enough.
        registered: bool,
    },
    /// `+QIOPEN: 0,0`
    Opened,
    /// `+QIOPEN: 0,err`
    NotOpened {
        /// It may be for want of an active context: no other cause is named.
        context: bool,
    },
    /// `+QIURC: "recv",0`: asking the modem will tell something new.
    SocketNews,
    /// `+QIURC: "closed",0`
    SocketClosed,
    /// `+QIURC: "pdpdeact",1`: the network took the context away.
    ContextLost,
    /// `RDY`: the modem has restarted.
    Restarted,
    /// An echo, an unknown result code, noise.
    Other,
}

/// Reads one line, without its ending.
pub(crate) fn parse(line: &[u8]) -> Answer {
    let line = line.trim_ascii();
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
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, list) = line.split_at(colon);
    let mut fields = list[1..]
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii);
    let first = fields.next()?;
    let mut second = || decimal(fields.next()?);
    match name {
        b"+QIRD" => decimal(first)
            .filter(|&length| length <= MAX_READ_BYTES)
            .map(Answer::Data),
        // The unsolicited form has the state first, and no number second.
        b"+CEREG" => decimal(first)
            .and(second())
            .map(|state| Answer::Registration {
                registered: matches!(state, 1 | 5 | 9 | 10),
            }),
        b"+QIOPEN" if decimal(first)? == SOCKET => second().map(|error| match error {
            0 => Answer::Opened,
            // The socket is in use, its address unknown, the other end out of reach, or the modem busy.
            563..=569 => Answer::NotOpened { context: false },
            _ => Answer::NotOpened { context: true },
        }),
        b"+QIURC" => match (first, second()?) {
            (b"\"recv\"", SOCKET) => Some(Answer::SocketNews),
            (b"\"closed\"", SOCKET) => Some(Answer::SocketClosed),
            (b"\"pdpdeact\"", CONTEXT) => Some(Answer::ContextLost),
            _ => None,
        },
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
    extern crate std;
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
            (b"+QIOPEN: 0,0", Answer::Opened),
            (b"+QIOPEN: 0,563", Answer::NotOpened { context: false }),
            (b"+QIOPEN: 0,561", Answer::NotOpened { context: true }),
            (b"+QIURC: \"recv\",0", Answer::SocketNews),
            (b"+QIURC: \"closed\",0", Answer::SocketClosed),
            (b"+QIURC: \"pdpdeact\",1", Answer::ContextLost),
            (b"RDY", Answer::Restarted),
        ] {
            assert_eq!(parse(line), answer);
        }
    }

    #[test]
    fn blanks_and_further_fields_change_nothing() {
        for (line, answer) in [
            (&b" OK "[..], Answer::Ok),
            (b"+CEREG:0,1", Answer::Registration { registered: true }),
            (
                b"+CEREG:  0 , 1 ",
                Answer::Registration { registered: true },
            ),
            (
                b"+CEREG: 2,1,\"00A0\",\"0002920C\",9",
                Answer::Registration { registered: true },
            ),
            (b"+QIURC: \"recv\",0,17", Answer::SocketNews),
            (b"+QIURC:\"recv\", 0", Answer::SocketNews),
            (b"+QIOPEN:0,0", Answer::Opened),
            (b"+QIRD:12", Answer::Data(12)),
            (b"+QIRD: 5,\"192.0.2.1\",5683", Answer::Data(5)),
        ] {
            assert_eq!(parse(line), answer, "{line:?}");
        }
    }

    #[test]
    fn only_where_datagrams_can_be_sent_is_the_modem_registered() {
        for state in 0..=11 {
            let line = [&b"+CEREG: 0,"[..], std::format!("{state}").as_bytes()].concat();
            let registered = matches!(state, 1 | 5 | 9 | 10);
            assert_eq!(parse(&line), Answer::Registration { registered }, "{state}");
        }
    }

    #[test]
    fn the_unsolicited_form_of_a_registration_and_news_of_others_are_not_taken_for_ours() {
        for line in [
            &b"+CEREG: 1"[..],
            b"+CEREG: 5,\"00A0\",\"0002920C\",9",
            b"+QIURC: \"recv\",1",
            b"+QIURC: \"recv\"",
            b"+QIURC: \"closed\",3",
            b"+QIURC: \"pdpdeact\",2",
            b"+QIURC: \"incoming full\"",
        ] {
            assert_eq!(parse(line), Answer::Other, "{line:?}");
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
