use super::*;
use proptest::prelude::*;

const OPEN: &[u8] = b"AT+QIOPEN=1,0,\"UDP\",\"127.0.0.1\",5683,0,0\r";

fn quiet() -> AtEngine {
    let mut engine = AtEngine::new(Network::RegistersAfter(0)).already_up();
    talk(&mut engine, b"ATE0\r");
    engine
}

/// All output for these bytes, with every wish for a socket granted.
fn talk(engine: &mut AtEngine, bytes: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    for &byte in bytes {
        let step = engine.device_byte(byte);
        output.extend_from_slice(&step.output);
        if let Some(Wish::Open { socket, .. }) = step.wish {
            output.extend(engine.socket_opened(socket, true));
        }
        if let Some((socket, code)) = step.refused {
            output.extend(engine.open_refused(socket, code));
        }
    }
    output
}

fn says(engine: &mut AtEngine, bytes: &[u8]) -> String {
    String::from_utf8_lossy(&talk(engine, bytes)).into_owned()
}

fn events(engine: &mut AtEngine, bytes: &[u8]) -> Vec<ModemEvent> {
    bytes
        .iter()
        .filter_map(|&byte| engine.device_byte(byte).event)
        .collect()
}

fn with_open_socket() -> (AtEngine, SocketId) {
    let mut engine = quiet();
    assert_eq!(says(&mut engine, OPEN), "\r\nOK\r\n\r\n+QIOPEN: 0,0\r\n");
    (engine, SocketId::all().next().unwrap())
}

#[test]
fn it_echoes_until_it_is_told_not_to() {
    let mut engine = AtEngine::new(Network::RegistersAfter(0)).already_up();
    assert_eq!(says(&mut engine, b"AT\r"), "AT\r\r\nOK\r\n");
    assert_eq!(says(&mut engine, b"ATE0\r"), "ATE0\r\r\nOK\r\n");
    assert_eq!(says(&mut engine, b"AT\r"), "\r\nOK\r\n");
    assert_eq!(says(&mut engine, b"ATE1\r"), "\r\nOK\r\n");
    assert_eq!(says(&mut engine, b"AT\r"), "AT\r\r\nOK\r\n");
}

#[test]
fn the_banner_comes_before_the_first_answer_after_power_on_and_once() {
    let mut engine = AtEngine::new(Network::RegistersAfter(0));
    assert_eq!(says(&mut engine, b"AT\r"), "\r\nRDY\r\nAT\r\r\nOK\r\n");
    assert_eq!(says(&mut engine, b"AT\r"), "AT\r\r\nOK\r\n");
}

#[test]
fn empty_lines_are_ignored_and_unknown_ones_refused() {
    let mut engine = quiet();
    assert_eq!(says(&mut engine, b"\r\n\r  \r"), "");
    assert_eq!(says(&mut engine, b"AT+NONSENSE\r"), "\r\nERROR\r\n");
    assert_eq!(says(&mut engine, b"hello\r"), "\r\nERROR\r\n");
}

#[test]
fn a_line_that_is_too_long_is_refused_at_its_end_and_the_next_one_understood() {
    let mut engine = quiet();
    let mut longest = b"AT".to_vec();
    longest.resize(MAX_LINE_BYTES, b' ');
    longest.push(b'\r');
    assert_eq!(says(&mut engine, &longest), "\r\nOK\r\n");
    longest.insert(2, b' ');
    longest.splice(2..2, [b' '; 300]);
    assert_eq!(says(&mut engine, &longest), "\r\nERROR\r\n");
    assert_eq!(says(&mut engine, b"AT\r"), "\r\nOK\r\n");
}

#[test]
fn it_registers_once_it_was_asked_in_vain_often_enough() {
    let mut engine = AtEngine::new(Network::RegistersAfter(2)).already_up();
    talk(&mut engine, b"ATE0\r");
    for _ in 0..2 {
        assert!(!engine.registered());
        assert_eq!(
            says(&mut engine, b"AT+CEREG?\r"),
            "\r\n+CEREG: 0,2\r\n\r\nOK\r\n"
        );
    }
    assert_eq!(
        events(&mut engine, b"AT+CEREG?\r"),
        [ModemEvent::RegistrationAsked { registered: true }]
    );
    assert_eq!(
        says(&mut engine, b"AT+CEREG?\r"),
        "\r\n+CEREG: 0,1\r\n\r\nOK\r\n"
    );
}

#[test]
fn a_modem_that_never_registers_opens_no_socket() {
    let mut engine = AtEngine::new(Network::NeverRegisters).already_up();
    for _ in 0..50 {
        assert_eq!(
            events(&mut engine, b"AT+CEREG?\r"),
            [ModemEvent::RegistrationAsked { registered: false }]
        );
    }
    talk(&mut engine, b"ATE0\r");
    assert_eq!(says(&mut engine, OPEN), "\r\nOK\r\n\r\n+QIOPEN: 0,561\r\n");
}

#[test]
fn an_open_socket_cannot_be_opened_again_until_it_is_closed() {
    let (mut engine, _) = with_open_socket();
    assert_eq!(says(&mut engine, OPEN), "\r\nOK\r\n\r\n+QIOPEN: 0,563\r\n");
    assert_eq!(says(&mut engine, b"AT+QICLOSE=0\r"), "\r\nOK\r\n");
    assert_eq!(says(&mut engine, OPEN), "\r\nOK\r\n\r\n+QIOPEN: 0,0\r\n");
}

#[test]
fn nothing_beyond_this_host_can_be_reached() {
    let mut engine = quiet();
    for (address, code) in [("192.0.2.1", 566), ("platform.example", 565)] {
        let line = format!("AT+QIOPEN=1,3,\"UDP\",\"{address}\",5683,0,0\r");
        let wishes: Vec<Wish> = line
            .bytes()
            .filter_map(|byte| engine.device_byte(byte).wish)
            .collect();
        assert_eq!(wishes, []);
        assert_eq!(
            says(&mut engine, line.as_bytes()),
            format!("\r\nOK\r\n\r\n+QIOPEN: 3,{code}\r\n")
        );
    }
}

#[test]
fn a_socket_the_host_cannot_open_is_reported_and_free_again() {
    let mut engine = quiet();
    let wish = OPEN.iter().find_map(|&byte| engine.device_byte(byte).wish);
    let Some(Wish::Open { socket, .. }) = wish else {
        panic!("{wish:?}")
    };
    assert_eq!(
        engine.socket_opened(socket, false),
        b"\r\n+QIOPEN: 0,566\r\n"
    );
    assert_eq!(says(&mut engine, OPEN), "\r\nOK\r\n\r\n+QIOPEN: 0,0\r\n");
}

#[test]
fn a_payload_is_taken_by_length_whatever_is_in_it() {
    let (mut engine, socket) = with_open_socket();
    assert_eq!(says(&mut engine, b"AT+QISEND=0,8\r"), "\r\n> ");
    let payload = b"\r\nAT\r\x1a\x1b\0";
    let mut steps: Vec<Step> = payload
        .iter()
        .map(|&byte| engine.device_byte(byte))
        .collect();
    assert_eq!(
        steps.pop(),
        Some(Step {
            output: b"\r\nSEND OK\r\n".to_vec(),
            event: Some(ModemEvent::DatagramSent(payload.to_vec())),
            wish: Some(Wish::Send {
                socket,
                datagram: payload.to_vec()
            }),
            answer: Some((Asked::Send, 0)),
            refused: None,
        })
    );
    assert_eq!(
        steps[2].event,
        Some(ModemEvent::PayloadByte {
            index: 2,
            length: 8,
            so_far: b"\r\nA".to_vec()
        })
    );
    assert!(steps.iter().all(|step| step.output.is_empty()));
}

#[test]
fn sending_or_reading_on_a_closed_socket_is_refused() {
    let mut engine = quiet();
    assert_eq!(says(&mut engine, b"AT+QISEND=0,4\r"), "\r\nERROR\r\n");
    assert_eq!(says(&mut engine, b"AT+QIRD=0,4\r"), "\r\nERROR\r\n");
    assert_eq!(says(&mut engine, b"AT\r"), "\r\nOK\r\n");
}

#[test]
fn datagrams_are_announced_once_and_read_one_by_one() {
    let (mut engine, socket) = with_open_socket();
    assert_eq!(
        engine.network_datagram(socket, b"one"),
        b"\r\n+QIURC: \"recv\",0\r\n"
    );
    assert_eq!(engine.network_datagram(socket, b"two"), b"");
    assert_eq!(
        says(&mut engine, b"AT+QIRD=0,1500\r"),
        "\r\n+QIRD: 3\r\none\r\n\r\nOK\r\n"
    );
    assert_eq!(
        events(&mut engine, b"AT+QIRD=0,1500\r"),
        [ModemEvent::DatagramRead(b"two".to_vec())]
    );
    assert_eq!(
        says(&mut engine, b"AT+QIRD=0,1500\r"),
        "\r\n+QIRD: 0\r\n\r\nOK\r\n"
    );
    assert_eq!(
        engine.network_datagram(socket, b"three"),
        b"\r\n+QIURC: \"recv\",0\r\n"
    );
}

#[test]
fn the_rest_of_a_datagram_too_long_for_one_read_stays_for_the_next() {
    let (mut engine, socket) = with_open_socket();
    engine.network_datagram(socket, b"abcde");
    engine.network_datagram(socket, b"f");
    assert_eq!(
        says(&mut engine, b"AT+QIRD=0,3\r"),
        "\r\n+QIRD: 3\r\nabc\r\n\r\nOK\r\n"
    );
    let step = b"AT+QIRD=0,3\r"
        .iter()
        .map(|&byte| engine.device_byte(byte))
        .last()
        .unwrap();
    assert_eq!(step.output, b"\r\n+QIRD: 2\r\nde\r\n\r\nOK\r\n");
    assert_eq!(
        step.event,
        Some(ModemEvent::DatagramRead(b"abcde".to_vec()))
    );
}

#[test]
fn the_eleventh_unread_datagram_is_lost() {
    let (mut engine, socket) = with_open_socket();
    let kept = ModemProfile::default().receive_datagrams as u8;
    for n in 0..=kept {
        engine.network_datagram(socket, &[n]);
    }
    let mut read = Vec::new();
    while let [ModemEvent::DatagramRead(datagram)] =
        events(&mut engine, b"AT+QIRD=0,1500\r").as_slice()
    {
        read.extend_from_slice(datagram);
    }
    assert_eq!(read, (0..kept).collect::<Vec<u8>>());
}

#[test]
fn a_urc_waits_while_a_line_or_a_payload_is_half_in() {
    let (mut engine, socket) = with_open_socket();
    talk(&mut engine, b"AT+CE");
    assert_eq!(engine.network_datagram(socket, b"x"), b"");
    assert_eq!(
        says(&mut engine, b"REG?\r"),
        "\r\n+CEREG: 0,1\r\n\r\nOK\r\n\r\n+QIURC: \"recv\",0\r\n"
    );
    talk(&mut engine, b"AT+QIRD=0,1500\rAT+QISEND=0,2\ra");
    assert_eq!(engine.network_datagram(socket, b"y"), b"");
    assert_eq!(
        says(&mut engine, b"b"),
        "\r\nSEND OK\r\n\r\n+QIURC: \"recv\",0\r\n"
    );
}

#[test]
fn closing_a_socket_forgets_what_was_queued() {
    let (mut engine, socket) = with_open_socket();
    engine.network_datagram(socket, b"old");
    talk(&mut engine, b"AT+QICLOSE=0\r");
    assert_eq!(engine.network_datagram(socket, b"late"), b"");
    talk(&mut engine, OPEN);
    assert_eq!(
        says(&mut engine, b"AT+QIRD=0,10\r"),
        "\r\n+QIRD: 0\r\n\r\nOK\r\n"
    );
}

proptest! {
    #[test]
    fn no_bytes_and_no_datagrams_make_it_panic(
        input in prop::collection::vec((any::<u8>(), prop::option::of(prop::collection::vec(any::<u8>(), 0..20))), 0..400)
    ) {
        let (mut engine, socket) = with_open_socket();
        for (byte, datagram) in input {
            talk(&mut engine, &[byte]);
            if let Some(datagram) = datagram {
                engine.network_datagram(socket, &datagram);
            }
        }
    }

    #[test]
    fn half_commands_mixed_at_random_do_not_make_it_panic(
        parts in prop::collection::vec(prop::sample::select(vec![
            "AT", "+QISEND=0,", "+QIRD=0,", "+QIOPEN=1,0,\"UDP\",\"127.0.0.1\",1,0,0", "+QICLOSE=0", "1460", "3", "0", "\r", "\r", "\n", "E1", "\"", ",",
        ]), 0..200)
    ) {
        let mut engine = AtEngine::new(Network::RegistersAfter(1));
        for part in parts {
            talk(&mut engine, part.as_bytes());
        }
    }

    /// Wherever datagrams arrive between the device's bytes, an answer is whole and every payload comes out of it.
    #[test]
    fn a_datagram_that_arrives_anywhere_never_splits_an_answer(at in 0usize..64) {
        let (mut engine, socket) = with_open_socket();
        let script = b"AT\rAT+QIRD=0,1500\rAT+QISEND=0,3\rabcAT+CEREG?\rAT+QIRD=0,1500\r";
        let mut output = Vec::new();
        for (n, &byte) in script.iter().enumerate() {
            if n == at {
                output.extend(engine.network_datagram(socket, b"\r\nOK\r\n"));
            }
            output.extend(talk(&mut engine, &[byte]));
        }
        if at >= script.len() {
            output.extend(engine.network_datagram(socket, b"\r\nOK\r\n"));
        }
        let text = String::from_utf8(output).unwrap();
        let urc = "\r\n+QIURC: \"recv\",0\r\n";
        prop_assert_eq!(text.matches(urc).count(), 1);
        let without = text.replace(urc, "");
        let got = "\r\n+QIRD: 6\r\n\r\nOK\r\n\r\n\r\nOK\r\n";
        let none = "\r\n+QIRD: 0\r\n\r\nOK\r\n";
        let rest = |first: &str, last: &str| format!(
            "\r\nOK\r\n{first}\r\n> \r\nSEND OK\r\n\r\n+CEREG: 0,1\r\n\r\nOK\r\n{last}"
        );
        prop_assert!(
            [rest(got, none), rest(none, got), rest(none, none)].contains(&without),
            "{:?}", without
        );
    }
}

#[test]
fn a_datagram_that_does_not_fit_the_receive_buffer_is_lost() {
    let profile = ModemProfile {
        receive_bytes: 10,
        ..ModemProfile::default()
    };
    let mut engine = AtEngine::new(Network::RegistersAfter(0))
        .already_up()
        .with_receive_buffer(&profile);
    says(&mut engine, b"ATE0\r");
    says(&mut engine, OPEN);
    let socket = SocketId::all().next().unwrap();
    for datagram in [&b"1234567"[..], b"1234", b"123"] {
        engine.network_datagram(socket, datagram);
    }
    let mut read = String::new();
    for _ in 0..3 {
        read += &says(&mut engine, b"AT+QIRD=0,1500\r");
    }
    assert!(read.contains("1234567") && read.contains("+QIRD: 3") && read.contains("+QIRD: 0"));
}

#[test]
fn payloads_are_written_as_hex_text_where_that_is_configured() {
    let (mut engine, socket) = with_open_socket();
    assert_eq!(
        says(&mut engine, b"AT+QICFG=\"dataformat\",1,1\r"),
        "\r\nOK\r\n"
    );
    let sent = events(&mut engine, b"AT+QISEND=0,3\r0aFF4b");
    assert_eq!(
        sent.last(),
        Some(&ModemEvent::DatagramSent(vec![0x0A, 0xFF, 0x4B]))
    );
    engine.network_datagram(socket, &[0, 0xAB]);
    let read = says(&mut engine, b"AT+QIRD=0,1500\r");
    assert!(
        read.ends_with("\r\n+QIRD: 2\r\n00AB\r\n\r\nOK\r\n"),
        "{read}"
    );
    let refused = says(&mut engine, b"AT+QISEND=0,2\r0x11");
    assert!(refused.ends_with("\r\nERROR\r\n"), "{refused}");
}

#[test]
fn a_context_the_network_took_away_is_deactivated_before_it_is_activated() {
    let mut engine = AtEngine::new(Network::RegistersAfter(0))
        .already_up()
        .with_habits(&ModemHabits {
            needs_activation: true,
            context_lost_after: Some(1),
            ..ModemHabits::default()
        });
    talk(&mut engine, b"ATE0\r");
    assert_eq!(says(&mut engine, OPEN), "\r\nOK\r\n\r\n+QIOPEN: 0,561\r\n");
    assert_eq!(says(&mut engine, b"AT+QIACT=1\r"), "\r\nOK\r\n");
    assert_eq!(
        says(&mut engine, b"AT+QIACT=1\r"),
        "\r\nERROR\r\n",
        "it is active"
    );
    assert_eq!(says(&mut engine, OPEN), "\r\nOK\r\n\r\n+QIOPEN: 0,0\r\n");
    assert_eq!(
        says(&mut engine, b"AT+QISEND=0,1\rx"),
        "\r\n> \r\nSEND OK\r\n\r\n+QIURC: \"pdpdeact\",1\r\n"
    );
    assert_eq!(says(&mut engine, b"AT+QIRD=0,9\r"), "\r\nERROR\r\n");
    assert_eq!(says(&mut engine, b"AT+QIACT=1\r"), "\r\nERROR\r\n");
    assert_eq!(says(&mut engine, OPEN), "\r\nOK\r\n\r\n+QIOPEN: 0,561\r\n");
    assert_eq!(
        says(&mut engine, b"AT+QIDEACT=1\rAT+QIACT=1\r"),
        "\r\nOK\r\n\r\nOK\r\n"
    );
    assert_eq!(says(&mut engine, OPEN), "\r\nOK\r\n\r\n+QIOPEN: 0,0\r\n");
}
