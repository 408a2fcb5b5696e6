//! What happened in a case, in one order, on one clock.

use std::fmt::Write as _;
use std::time::Duration;

use powercut_upgrade::wire::lean::{Downlink, Uplink, complete_index};
use powercut_upgrade::wire::pcp;

use crate::plan::{Outage, Phase, Ram, Supply};
use powercut_oracle::seen::{ResetCause, What};
use powercut_oracle::view::{Effect, Moment};
use powercut_oracle::{FlashOp, FlashOpKind};
use powercut_package::words::Words;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// The relay was switched.
    Relay {
        /// To on.
        on: bool,
    },
    /// The supply sagged below the level at which the chip is held in reset, or is back from there.
    BrownOut {
        /// It is back.
        back: bool,
    },
    /// RAM has outlasted a cut, so far.
    Ram(Ram),
    /// The device used a register that the emulator does not have.
    NotEmulated(u32),
    /// A byte for the device was lost, its receiver being full.
    Overrun,
    /// The device reset itself.
    Reset(ResetCause),
    /// The application began to run.
    Application,
    /// A flash operation began.
    Operation(FlashOp),
    /// Power was cut; the planned cut, as text.
    Cut(String),
    /// The journal says something new.
    Journal(String),
    /// The firmware logged a line.
    Log(String),
    /// A datagram passed the modem; what it is.
    Modem(String),
    /// The platform saw or did something.
    Platform(String),
}

/// A happening, when, and in which phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Since the case began.
    pub at: Duration,
    /// Where the upgrade stood; `None` where that cannot be seen.
    pub phase: Option<Phase>,
    /// What happened.
    pub what: Happening,
}

/// The happenings of one case.
#[derive(Debug, Default)]
pub struct Timeline {
    entries: Vec<Entry>,
    /// How power went last.
    outage: Outage,
}

impl Timeline {
    /// Adds what happened at this time of the case.
    pub fn add(&mut self, at: Duration, phase: Option<Phase>, what: Happening) {
        self.entries.push(Entry { at, phase, what });
    }

    /// Takes one event, which had this effect.
    pub fn read(&mut self, moment: &Moment<'_>, effect: Effect) {
        let (at, phase) = (moment.seen.at, moment.phase);
        if moment.starts_application {
            self.add(at, phase, Happening::Application);
        }
        let what = match &moment.seen.what {
            What::Operation(op) => {
                self.add(at, phase, Happening::Operation(*op));
                match moment.after.filter(|_| effect == Effect::Full) {
                    Some(after) if moment.journal != Some(after) => {
                        Happening::Journal(Words(after.phase).to_string())
                    }
                    _ => return,
                }
            }
            What::Reset(cause) => Happening::Reset(*cause),
            What::NotEmulated(address) => Happening::NotEmulated(*address),
            What::Overrun => Happening::Overrun,
            What::Log(line) => Happening::Log((*line).to_owned()),
            What::Sent(datagram) => Happening::Modem(sent(datagram)),
            What::Delivered(datagram) => Happening::Modem(delivered(datagram, moment)),
            What::RegistrationAsked { registered } => {
                Happening::Modem(format!("registered: {registered}"))
            }
            What::Platform(kind) => Happening::Platform(kind.to_string()),
            What::PowerOn => {
                let outage = std::mem::take(&mut self.outage);
                self.add(at, phase, switched(outage.supply, true));
                match outage.ram {
                    Ram::Lost => return,
                    kept => Happening::Ram(kept),
                }
            }
            What::PowerOff { cut, outage } => {
                if let Some(cut) = cut {
                    self.add(at, phase, Happening::Cut((*cut).to_owned()));
                }
                self.outage = *outage;
                switched(outage.supply, false)
            }
            What::Due
            | What::Byte(_)
            | What::Pins(_)
            | What::Sending { .. }
            | What::NotOnSilicon(_) => return,
        };
        self.add(at, phase, what);
    }

    /// Everything, one line each: seconds, phase, what.
    pub fn to_text(&self) -> String {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| entry.at);
        let mut text = String::with_capacity(entries.len() * 64);
        for entry in entries {
            let _ = write!(
                text,
                "{:12.6} {:8} ",
                entry.at.as_secs_f64(),
                entry.phase.map_or("-", Phase::name)
            );
            let _ = match &entry.what {
                Happening::Relay { on } => {
                    writeln!(text, "relay     {}", if *on { "on" } else { "off" })
                }
                Happening::BrownOut { back: false } => {
                    writeln!(text, "supply    sags: brown-out")
                }
                Happening::BrownOut { back: true } => writeln!(text, "supply    back"),
                Happening::NotEmulated(address) => writeln!(
                    text,
                    "emulator  has no register {address:#010x}: it reads as 0 and ignores writes"
                ),
                Happening::Overrun => {
                    writeln!(
                        text,
                        "uart      overrun: the receiver was full, bytes were lost"
                    )
                }
                Happening::Ram(kept) => writeln!(text, "ram       {kept}"),
                Happening::Reset(cause) => {
                    let cause = match cause {
                        ResetCause::Software => "by software",
                        ResetCause::Watchdog => "by the watchdog",
                        ResetCause::LockUp => "by the chip, whose core had locked up",
                    };
                    writeln!(text, "reset     {cause}")
                }
                Happening::Application => writeln!(text, "device    application runs"),
                Happening::Operation(op) => match op.kind {
                    FlashOpKind::Program {
                        address,
                        before,
                        value,
                    } => writeln!(
                        text,
                        "flash     {:6} program {address:#07x} {before} & {value}",
                        op.number
                    ),
                    FlashOpKind::Erase { address } => {
                        writeln!(text, "flash     {:6} erase   {address:#07x}", op.number)
                    }
                },
                Happening::Cut(cut) => writeln!(text, "CUT       {cut}"),
                Happening::Log(line) => writeln!(text, "log       {}", line.escape_debug()),
                Happening::Journal(state) => writeln!(text, "journal   {state}"),
                Happening::Modem(what) => writeln!(text, "modem     {what}"),
                Happening::Platform(what) => writeln!(text, "platform  {what}"),
            };
        }
        text
    }
}

/// Power came or went like this.
fn switched(supply: Supply, on: bool) -> Happening {
    match supply {
        Supply::Off => Happening::Relay { on },
        Supply::BrownOut => Happening::BrownOut { back: on },
    }
}

/// The device sent this.
fn sent(datagram: &[u8]) -> String {
    if let Ok(frame) = pcp::Uplink::decode(datagram) {
        return format!("> {}", Words(frame));
    }
    match Uplink::decode(datagram) {
        Ok(Uplink::Status(status)) => format!("> {}", Words(&status)),
        Ok(Uplink::Request { wanted, .. }) => {
            let numbers: Vec<String> = wanted.indices().map(|index| index.0.to_string()).collect();
            format!("> request {}", numbers.join(" "))
        }
        Err(_) => format!("> {} bytes that are no message", datagram.len()),
    }
}

/// The device was handed this.
fn delivered(datagram: &[u8], moment: &Moment<'_>) -> String {
    let mut bytes = datagram.to_vec();
    if let Ok(frame) = pcp::Downlink::decode(&mut bytes) {
        return format!("< {}", Words(&frame));
    }
    match Downlink::decode(&mut bytes) {
        Ok(Downlink::Fragment { index, .. }) => match moment.turn {
            Some(turn) => format!("< fragment {}", complete_index(turn, index).0),
            None => "< fragment".to_owned(),
        },
        Ok(Downlink::Offer { window, .. }) => format!("< offer, window {window}"),
        Ok(Downlink::Nothing { .. }) => "< nothing".to_owned(),
        Ok(Downlink::Refusal { result, .. }) => format!("< refusal: {}", Words(result)),
        Err(_) => format!("< {} bytes that are no message", datagram.len()),
    }
}
