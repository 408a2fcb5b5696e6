extern crate std;
use super::{AtClient, Event, SendError};
use core::net::{Ipv4Addr, SocketAddrV4};

fn client() -> AtClient<32> {
    AtClient::new(SocketAddrV4::new(Ipv4Addr::BROADCAST, u16::MAX))
}

fn say(client: &mut AtClient<32>, text: &[u8], now: u64) {
    for &byte in text {
        client.feed(byte, now);
    }
}

fn sent(client: &mut AtClient<32>, now: u64, expected: &[u8]) {
    assert_eq!(client.poll(now), Event::Transmit(expected));
}

fn online() -> AtClient<32> {
    let mut client = client();
    assert!(matches!(client.poll(0), Event::Transmit(filled) if filled.ends_with(b"\rAT\r")));
    say(&mut client, b"AT\r\r\nOK\r\n", 1);
    assert_eq!(client.poll(2), Event::Idle { until_ms: 21 });
    sent(&mut client, 21, b"ATE0\r");
    say(&mut client, b"ATE0\r\r\nOK\r\n", 22);
    sent(&mut client, 22, b"AT+CEREG?\r");
    say(&mut client, b"\r\n+CEREG: 0,1\r\n\r\nOK\r\n", 23);
    sent(&mut client, 23, b"AT+QICLOSE=0\r");
    say(&mut client, b"\r\nERROR\r\n", 24);
    sent(
        &mut client,
        24,
        b"AT+QIOPEN=1,0,\"UDP\",\"255.255.255.255\",65535,0,0\r",
    );
    say(&mut client, b"\r\nOK\r\n\r\n+QIOPEN: 0,0\r\n", 25);
    sent(&mut client, 25, b"AT+QIRD=0,1500\r");
    assert_eq!(client.send(b"early"), Err(SendError::Down));
    say(&mut client, b"\r\n+QIRD: 0\r\n\r\n\r\nOK\r\n", 26);
    assert_eq!(client.poll(26), Event::Up);
    assert_eq!(client.poll(26), Event::Idle { until_ms: 126 });
    client
}

#[test]
fn comes_up_and_sleeps_until_the_next_read() {
    online();
}

#[test]
fn a_datagram_waits_for_the_prompt_and_blocks_the_next_until_send_ok() {
    let mut client = online();
    client.send(b"\r\nOK\r\n").unwrap();
    assert_eq!(client.send(b"second"), Err(SendError::Busy));
    assert_eq!(client.send(&[0; 161]), Err(SendError::TooLong(161)));
    sent(&mut client, 30, b"AT+QISEND=0,6\r");
    assert!(matches!(client.poll(30), Event::Idle { .. }));
    say(&mut client, b"\r\n+QIURC: \"recv\",0\r\n\r\n> ", 31);
    sent(&mut client, 31, b"\r\nOK\r\n");
    say(&mut client, b"\r\nSEND OK\r\n", 32);
    // The hint that came in between is followed up.
    sent(&mut client, 32, b"AT+QIRD=0,1500\r");
    assert_eq!(client.send(b"second"), Ok(()));
}

#[test]
fn nobody_is_told_to_send_while_an_answer_is_on_its_way() {
    let mut client = online();
    assert!(client.can_send());
    sent(&mut client, 126, b"AT+QIRD=0,1500\r");
    assert!(!client.can_send());
    say(&mut client, b"\r\n+QIRD: 0\r\n\r\nO", 127);
    assert!(!client.can_send());
    say(&mut client, b"K\r\n", 128);
    assert!(client.can_send());
}

#[test]
fn a_datagram_is_handed_over_only_once_its_answer_is_complete() {
    let mut client = online();
    sent(&mut client, 126, b"AT+QIRD=0,1500\r");
    say(&mut client, b"\r\n+QIRD: 8\r\n\r\nOK\r\n\0>", 127);
    assert!(matches!(client.poll(127), Event::Idle { .. }));
    say(&mut client, b"\r\n\r\nOK\r\n", 128);
    assert_eq!(
        client.poll(128),
        Event::Received(&mut b"\r\nOK\r\n\0>".to_vec())
    );
    // Another one may wait behind it.
    sent(&mut client, 128, b"AT+QIRD=0,1500\r");
}

#[test]
fn a_caller_that_listens_during_flash_work_reads_ahead() {
    let mut client = online();
    assert_eq!(
        client.read_ahead(27),
        None,
        "nothing says that there is any"
    );
    sent(&mut client, 126, b"AT+QIRD=0,1500\r");
    assert_eq!(client.read_ahead(126), None, "an answer is on its way");
    say(&mut client, b"\r\n+QIRD: 2\r\nab\r\n\r\nOK\r\n", 127);
    assert_eq!(client.poll(127), Event::Received(&mut b"ab".to_vec()));
    assert_eq!(client.read_ahead(127), Some(&b"AT+QIRD=0,1500\r"[..]));
    assert_eq!(client.read_ahead(127), None);
    assert!(!client.can_send());
    // The caller is back from its flash, and finds what came meanwhile.
    say(&mut client, b"\r\n+QIRD: 1\r\nc\r\n\r\nOK\r\n", 227);
    assert_eq!(client.poll(227), Event::Received(&mut b"c".to_vec()));
    client.send(b"x").unwrap();
    assert_eq!(
        client.read_ahead(227),
        None,
        "what is to be sent goes first"
    );
    sent(&mut client, 227, b"AT+QISEND=0,1\r");
}

#[test]
fn payloads_go_and_come_as_hexadecimal_text_when_asked_for() {
    let mut client = AtClient::<32, true>::new(SocketAddrV4::new(Ipv4Addr::BROADCAST, u16::MAX));
    let say = |client: &mut AtClient<32, true>, text: &[u8], now| {
        for &byte in text {
            client.feed(byte, now);
        }
    };
    let sent = |client: &mut AtClient<32, true>, now, expected: &[u8]| {
        assert_eq!(client.poll(now), Event::Transmit(expected));
    };
    client.poll(0);
    say(&mut client, b"OK\r\n", 1);
    sent(&mut client, 21, b"ATE0\r");
    say(&mut client, b"OK\r\n", 22);
    sent(&mut client, 22, b"AT+QICFG=\"dataformat\",1,1\r");
    say(&mut client, b"OK\r\n", 22);
    sent(&mut client, 22, b"AT+CEREG?\r");
    say(&mut client, b"+CEREG: 0,1\r\nOK\r\n", 23);
    sent(&mut client, 23, b"AT+QICLOSE=0\r");
    say(&mut client, b"OK\r\n", 24);
    assert!(matches!(client.poll(24), Event::Transmit(_)));
    say(&mut client, b"OK\r\n+QIOPEN: 0,0\r\n", 25);
    sent(&mut client, 25, b"AT+QIRD=0,1500\r");
    say(&mut client, b"+QIRD: 2\r\n0AfF\r\n\r\nOK\r\n", 26);
    assert_eq!(client.poll(26), Event::Received(&mut [0x0A, 0xFF]));
    assert_eq!(client.poll(26), Event::Up);
    client.send(&[0xA5; 30]).unwrap();
    sent(&mut client, 27, b"AT+QISEND=0,30\r");
    say(&mut client, b"\r\n> ", 28);
    sent(&mut client, 28, &b"A5".repeat(28));
    sent(&mut client, 28, b"A5A5");
    assert!(matches!(client.poll(28), Event::Idle { .. }));
}

#[test]
fn reads_slow_down_while_nothing_comes() {
    let mut client = online();
    let mut now = 126;
    for pause in [200, 400, 800, 1600, 1600] {
        sent(&mut client, now, b"AT+QIRD=0,1500\r");
        say(&mut client, b"+QIRD: 0\r\n\r\nOK\r\n", now);
        now += pause;
        assert_eq!(client.poll(now - 1), Event::Idle { until_ms: now });
    }
}

#[test]
fn data_cut_short_is_never_handed_over_and_leads_to_a_new_start() {
    let mut client = online();
    sent(&mut client, 126, b"AT+QIRD=0,1500\r");
    say(&mut client, b"\r\n+QIRD: 20\r\nshort\r\n\r\nOK\r\n", 130);
    assert_eq!(client.poll(131), Event::Idle { until_ms: 630 });
    assert!(matches!(client.poll(630), Event::Transmit(filled) if filled.ends_with(b"AT\r")));
    assert!(!client.is_up());
}

#[test]
fn a_restarted_modem_is_brought_up_again() {
    let mut client = online();
    say(&mut client, b"\r\nRDY\r\n", 50);
    assert!(matches!(client.poll(50), Event::Transmit(filled) if filled.ends_with(b"AT\r")));
    assert_eq!(client.send(b"x"), Err(SendError::Down));
}

#[test]
fn an_error_on_sending_opens_the_socket_anew() {
    let mut client = online();
    client.send(b"x").unwrap();
    sent(&mut client, 30, b"AT+QISEND=0,1\r");
    say(&mut client, b"\r\nERROR\r\n", 31);
    assert_eq!(client.poll(31), Event::Idle { until_ms: 531 });
    // Whatever else the modem still has to say is said before this is answered.
    sent(&mut client, 531, b"AT+CEREG?\r");
    say(&mut client, b"\r\nOK\r\n", 532);
    assert!(matches!(client.poll(532), Event::Idle { .. }));
    say(&mut client, b"\r\n+CEREG: 0,1\r\n\r\nOK\r\n", 533);
    sent(&mut client, 533, b"AT+QICLOSE=0\r");
}
