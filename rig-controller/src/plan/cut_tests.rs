use proptest::prelude::*;

use super::*;

fn shape() -> impl Strategy<Value = TornShape> {
    prop_oneof![
        Just(TornShape::Half),
        Just(TornShape::OtherHalf),
        any::<u32>().prop_map(TornShape::Bits),
        any::<u16>().prop_map(TornShape::Prefix),
        any::<u16>().prop_map(TornShape::AllBut),
        any::<u64>().prop_map(TornShape::ByteBits),
    ]
}

pub(in crate::plan) fn any_cut() -> impl Strategy<Value = Cut> {
    let at = prop_oneof![
        (any::<u16>(), proptest::sample::select(&FragmentPhase::ALL))
            .prop_map(|(index, phase)| CutAt::Fragment { index, phase }),
        (1..u64::MAX).prop_map(CutAt::Operation),
        (proptest::sample::select(&Phase::ALL), 1..u64::MAX)
            .prop_map(|(phase, number)| CutAt::PhaseOperation { phase, number }),
        (1..u16::MAX, 0..10_u16).prop_map(|(number, byte)| CutAt::RequestPayload { number, byte }),
        (1..u16::MAX, any::<u32>()).prop_map(|(number, after_us)| CutAt::Boot { number, after_us }),
        (1..u16::MAX, 0..51_u16).prop_map(|(number, byte)| CutAt::StatusPayload { number, byte }),
    ];
    let torn = prop_oneof![
        Just(Torn::Whole),
        Just(Torn::Before),
        shape().prop_map(Torn::Shape)
    ];
    (at, torn, outage::tests::any_outage())
        .prop_map(|(at, torn, outage)| Cut { at, torn, outage })
        .prop_filter("only cuts that mean something", |cut| cut.checked().is_ok())
}

proptest! {
    #[test]
    fn a_cut_reads_back_from_its_own_text(cut in any_cut()) {
        prop_assert_eq!(cut.to_string().parse::<Cut>(), Ok(cut));
    }

    #[test]
    fn any_text_is_a_cut_that_prints_the_same_or_an_error(text in "(f|op|request|status|boot|swap\\+|trial\\+)?[0-9]{0,3}(/[a-z0-9:-]{0,8}|/brown-out|/ram-kept|/ram-decayed:[0-9]{0,3}){0,4}") {
        if let Ok(cut) = text.parse::<Cut>() {
            prop_assert_eq!(cut.to_string(), text);
        }
    }
}

#[test]
fn the_texts_in_the_documentation_are_cuts() {
    for text in [
        "f17/after-data",
        "f17/after-data/half",
        "op3121",
        "op3121/before",
        "op3121/bits:77",
        "op3121/prefix:3",
        "op3121/all-but:1",
        "op3121/byte-bits:77",
        "swap+45/other-half",
        "request17/3",
        "status2/10",
        "boot2/5000us",
        "op3121/half/ram-kept",
        "op3121/ram-decayed:10",
        "op3121/brown-out",
        "op3121/brown-out/ram-decayed:10",
    ] {
        assert_eq!(text.parse::<Cut>().unwrap().to_string(), text);
    }
}

#[test]
fn what_means_nothing_is_refused_with_the_reason() {
    for (text, reason) in [
        ("f17", "phase is missing"),
        ("f17/after-data/before", "belongs to operations"),
        ("request17/3/half", "none can be torn"),
        ("request17/10", "10 bytes of payload"),
        ("status0/3", "numbered from 1"),
        ("status1/51", "51 bytes of payload"),
        ("boot0/3us", "numbered from 1"),
        ("boot2/5000", "microseconds are missing"),
        ("boot2/5us/half", "none can be torn"),
        ("op0", "numbered from 1"),
        ("op007", "no number"),
        ("nap+3", "no phase `nap`"),
        ("op1/bits:4294967296", "no number of a seed"),
        ("op1/prefix:-1", "no number of a prefix"),
        ("op1/halves:2", "nothing is torn"),
        ("op1/half/half", "too much"),
        ("op1/ram-kept/half", "too much"),
        ("op1/ram-lost", "nothing is torn"),
        ("op1/brown-out/ram-kept", "too much"),
        ("op1/ram-decayed:0", "1 to 99"),
        ("op1/ram-decayed:100", "1 to 99"),
        ("op1/ram-decayed:07", "no number of a percentage"),
        ("", "names no fragment"),
    ] {
        let error = text.parse::<Cut>().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}
