//! Modems that take their time, say more than they have to, or need more than a socket: each is brought up once and stays up.

extern crate std;
use std::{format, string::ToString, vec, vec::Vec};

use crate::recovery_tests::Bench;
use crate::simulated_modem::{Habits, SimulatedModem};

/// From what every modem takes to the longest a maker allows.
const TIMES_MS: [u64; 5] = [400, 5_000, 8_000, 20_000, 149_000];
const HOUR_MS: u64 = 3_600_000;

/// Both ways, at the modem's pace, and over the first socket that was opened.
fn serves(bench: &mut Bench, what: &str) {
    assert!(bench.run(HOUR_MS, |bench| bench.client.is_up()), "{what}");
    assert!(
        bench.run(HOUR_MS, |bench| bench.client.can_send()),
        "{what}"
    );
    bench.client.send(b"up").unwrap();
    assert!(
        bench.run(HOUR_MS, |bench| bench.modem.sent == [b"up"]),
        "{what}: {:?}",
        bench.modem.sent
    );
    bench.modem.deliver(b"down");
    assert!(
        bench.run(HOUR_MS, |bench| bench.received == [b"down"]),
        "{what}"
    );
    assert_eq!(bench.ups, 1, "{what}");
    assert_eq!(opened(bench), 1, "{what}");
}

fn opened(bench: &Bench) -> usize {
    asked(bench, "AT+QIOPEN")
}

fn asked(bench: &Bench, command: &str) -> usize {
    let commands = bench.modem.commands.iter();
    commands.filter(|said| said.starts_with(command)).count()
}

/// `AT` beyond the one each start begins with.
fn probes(bench: &Bench) -> usize {
    let commands = bench.modem.commands.iter();
    commands.filter(|said| *said == "AT").count() - 1
}

fn with(habits: Habits) -> Bench {
    Bench::new(SimulatedModem::with(habits))
}

#[test]
fn a_slow_answer_to_anything_is_waited_for_and_nothing_is_begun_anew() {
    let commands = [
        "AT",
        "ATE0",
        "AT+CEREG?",
        "AT+QIOPEN",
        "+QIOPEN",
        "AT+QICLOSE",
        "AT+QIRD",
        "SEND OK",
        ">",
    ];
    for ms in TIMES_MS {
        for command in commands {
            for keeps_input in [false, true] {
                // Such a modem takes the probe for the datagram, and has been asked for nothing else for long.
                let confused = [(">", 149_000), ("AT", 5_000)];
                if keeps_input
                    && confused
                        .iter()
                        .any(|(what, from)| *what == command && ms >= *from)
                {
                    continue;
                }
                let mut bench = with(Habits {
                    slow: vec![(command, ms)],
                    keeps_input,
                    ..Habits::default()
                });
                let what = format!("{command} in {ms} ms, keeps what it hears: {keeps_input}");
                serves(&mut bench, &what);
            }
        }
    }
}

#[test]
fn a_modem_that_is_slow_throughout_serves_too() {
    for (ms, keeps_input) in [(400, false), (400, true), (4_900, false)] {
        let slow = ["AT+", "ATE0", "AT", "+QIOPEN", "SEND OK", ">"].map(|key| (key, ms));
        let mut bench = with(Habits {
            slow: slow.to_vec(),
            keeps_input,
            ..Habits::default()
        });
        serves(&mut bench, &format!("{ms} {keeps_input}"));
    }
}

#[test]
fn a_socket_that_never_opens_is_closed_and_asked_for_again_after_what_its_maker_says() {
    let mut bench = with(Habits {
        slow: vec![("+QIOPEN", HOUR_MS)],
        ..Habits::default()
    });
    assert!(!bench.run(154_000, |bench| opened(bench) > 1));
    assert!(bench.run(3_000, |bench| opened(bench) > 1));
    let commands: Vec<&str> = bench
        .modem
        .commands
        .iter()
        .map(std::string::String::as_str)
        .collect();
    let again = commands
        .iter()
        .rposition(|said| *said == "AT+QICLOSE=0")
        .unwrap();
    assert!(commands[again + 1].starts_with("AT+QIOPEN"), "{commands:?}");
}

#[test]
fn an_announcement_that_is_lost_costs_a_slow_socket_a_question_more() {
    for ms in TIMES_MS {
        let mut modem = SimulatedModem::new(0, false);
        modem.habits.slow = vec![("+QIOPEN", ms)];
        let mut bench = Bench::new(modem);
        serves(&mut bench, &ms.to_string());
        assert!(bench.now < ms + 10_000);
    }
}

#[test]
fn an_answer_that_is_lost_is_noticed_soon() {
    for (lost, within) in [
        ("\r\n+QIRD: 0\r\n\r\n\r\nOK\r\n", 6_000),
        ("\r\nSEND OK\r\n", 6_000),
        // Whoever asks sooner hands its question to a modem that waits for a datagram.
        ("\r\n> ", 31_000),
    ] {
        let mut bench = with(Habits::default());
        assert!(bench.comes_up());
        assert!(bench.run(1_000, |bench| bench.client.can_send()));
        if !lost.contains("QIRD") {
            bench.client.send(b"x").unwrap();
        }
        let heard = |bench: &Bench| bench.modem.output.iter().copied().eq(lost.bytes());
        // Until just this stands in the modem's output, and then not one byte of it comes.
        assert!(bench.run(5_000, heard), "{lost}");
        bench.modem.output.clear();
        assert!(!bench.run(1_000, |bench| bench.client.can_send()), "{lost}");
        assert!(bench.run(within, |bench| bench.client.can_send()), "{lost}");
        assert!(bench.exchanges_datagrams(), "{lost}");
    }
}

#[test]
fn registrations_are_understood_in_every_form() {
    let long = include_str!("../../../fixtures/cases/at/cereg-long.txt");
    for line in long
        .lines()
        .chain(["+CEREG:0,1", "+CEREG: 0,5", "+CEREG: 0,9"])
    {
        let mut bench = with(Habits {
            registration: line.to_string(),
            ..Habits::default()
        });
        serves(&mut bench, line);
    }
    assert!(long.lines().any(|line| line.len() == 53) && long.lines().any(|line| line.len() == 62));
}

#[test]
fn a_modem_registered_for_short_messages_or_emergencies_only_is_waited_for() {
    for state in [0, 2, 3, 4, 6, 7, 8, 11] {
        let mut bench = with(Habits {
            registration: format!("+CEREG: 0,{state}"),
            ..Habits::default()
        });
        assert!(!bench.run(60_000, |bench| opened(bench) > 0), "{state}");
        bench.modem.habits.registration = "+CEREG: 0,1".to_string();
        serves(&mut bench, "and then it is");
    }
}

#[test]
fn every_form_of_the_hint_is_followed_at_once() {
    for recv in [
        "+QIURC: \"recv\",0",
        "+QIURC: \"recv\",0,17",
        "+QIURC:\"recv\", 0",
    ] {
        let mut bench = with(Habits {
            recv,
            ..Habits::default()
        });
        assert!(bench.comes_up());
        bench.run(30_000, |_| false);
        let asked = bench.now;
        bench.modem.deliver(b"down");
        assert!(bench.run(10, |bench| bench.received == [b"down"]), "{recv}");
        assert!(bench.now <= asked + 1, "{recv}");
    }
}

#[test]
fn a_context_that_has_to_be_activated_is_however_long_it_takes() {
    for ms in TIMES_MS {
        for keeps_input in [false, true] {
            let mut bench = with(Habits {
                slow: vec![("AT+QIACT", ms)],
                keeps_input,
                needs_context: true,
                ..Habits::default()
            });
            assert!(bench.run(ms + 5_000, |bench| bench.client.is_up()), "{ms}");
            assert_eq!((asked(&bench, "AT+QIACT"), opened(&bench)), (1, 2), "{ms}");
            assert_eq!(
                probes(&bench),
                0,
                "what that would do to it is not known: {ms}"
            );
            assert!(bench.exchanges_datagrams(), "{ms}");
        }
    }
}

#[test]
fn a_refusal_that_comes_while_the_socket_is_asked_is_not_waited_for_again() {
    let mut bench = with(Habits {
        slow: vec![("AT+QIRD", 400), ("+QIOPEN", 600)],
        needs_context: true,
        ..Habits::default()
    });
    assert!(bench.run(5_000, |bench| bench.client.is_up()));
}

#[test]
fn a_context_the_network_takes_away_is_activated_again_whether_that_is_announced_or_not() {
    for announces in [true, false] {
        let mut bench = Bench::new(SimulatedModem::new(0, announces));
        bench.modem.habits.needs_context = true;
        assert!(bench.exchanges_datagrams());
        bench.modem.lose_context();
        let lost = bench.now;
        let limit = if announces { 10 } else { 2_000 };
        assert!(
            bench.run(limit, |bench| !bench.client.is_up()),
            "{announces}"
        );
        assert!(
            bench.run(5_000, |bench| bench.client.is_up()),
            "{announces}"
        );
        assert!(bench.now < lost + 4_000, "{}", bench.now - lost);
        assert!(asked(&bench, "AT+QIDEACT") > 0, "{announces}");
        // Once to come up, and once more where it is known that the context is in the way of itself.
        let vain = usize::from(!announces);
        assert_eq!(asked(&bench, "AT+QIACT"), 2 + vain, "{announces}");
        assert!(bench.exchanges_datagrams());
    }
}

#[test]
fn a_modem_without_contexts_is_not_kept_from_its_socket() {
    let mut errors = vec![("AT+QIOPEN", "ERROR")];
    errors.extend([("AT+QIACT", "ERROR"), ("AT+QIDEACT", "+CME ERROR: 3")].repeat(99));
    let mut bench = with(Habits {
        errors,
        ..Habits::default()
    });
    assert!(bench.run(5_000, |bench| bench.client.is_up()));
    assert!(bench.exchanges_datagrams());
}

#[test]
fn a_modem_that_closes_a_socket_is_left_alone_as_long_as_it_may_be_deaf() {
    let mut bench = with(Habits {
        slow: vec![("AT+QICLOSE", 10_000)],
        keeps_input: true,
        ..Habits::default()
    });
    serves(&mut bench, "close");
    assert_eq!(probes(&bench), 0);
}

#[test]
fn a_socket_the_network_closes_is_opened_again() {
    let mut bench = with(Habits::default());
    assert!(bench.exchanges_datagrams());
    // Such a socket is there until it is closed, and has nothing to read.
    bench.modem.announce("+QIURC: \"closed\",0");
    assert!(bench.run(10, |bench| !bench.client.is_up()));
    assert!(bench.exchanges_datagrams());
    assert_eq!(opened(&bench), 2);
}

#[test]
fn what_the_modem_says_unasked_in_the_middle_of_an_answer_is_no_answer() {
    let chatter = "\r\n+CEREG: 1\r\n\r\n+CEREG: 2,\"00A0\",\"0002920C\",9\r\n\
                   \r\n+QIND: \"csq\",24,99\r\n\r\n+QIURC: \"recv\",3,9\r\n\r\nPB DONE\r\n";
    for always_echoes in [false, true] {
        let mut bench = with(Habits {
            always_echoes,
            chatter,
            ..Habits::default()
        });
        serves(&mut bench, chatter);
    }
}

#[test]
fn an_error_in_answer_to_anything_is_got_over() {
    let commands = [
        "ATE0",
        "AT+CEREG?",
        "AT+QICLOSE",
        "AT+QIOPEN",
        "AT+QIRD",
        "AT+QISEND",
        "AT",
    ];
    for command in commands {
        for error in ["ERROR", "+CME ERROR: 30"] {
            let mut bench = with(Habits {
                errors: vec![(command, error); 2],
                ..Habits::default()
            });
            assert!(bench.run(6_000, |bench| bench.client.is_up()), "{command}");
            assert!(bench.exchanges_datagrams(), "{command}");
        }
    }
}

#[test]
fn a_modem_that_restarts_at_any_moment_is_brought_up_again() {
    for at in (0..600).step_by(7) {
        let mut bench = with(Habits {
            slow: vec![("AT+", 40), ("+QIOPEN", 90), ("SEND OK", 50), (">", 20)],
            needs_context: true,
            ..Habits::default()
        });
        bench.run(at, |_| false);
        let _ = bench.client.send(b"x");
        bench.run(25, |_| false);
        bench.modem.restart();
        assert!(bench.run(1_500, |bench| bench.ups > 0 && bench.client.is_up()));
        assert!(bench.exchanges_datagrams(), "{at}");
    }
}

#[test]
fn a_board_that_restarts_while_the_modem_is_slow_comes_up_with_the_next_answers() {
    for (slow, at) in [
        ("+QIOPEN", 300),
        ("AT+QICLOSE", 100),
        ("AT+QIACT", 700),
        ("AT+QIRD", 200),
    ] {
        let mut bench = with(Habits {
            slow: vec![(slow, 8_000)],
            needs_context: true,
            ..Habits::default()
        });
        bench.run(at, |_| false);
        let mut again = Bench::new(bench.modem);
        again.now = bench.now;
        assert!(again.run(40_000, |bench| bench.client.is_up()), "{slow}");
        assert!(again.exchanges_datagrams(), "{slow}");
    }
}
