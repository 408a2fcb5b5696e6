//! Turns register and flash writes into what is told: flash operations, UART bytes, pin writes and
//! resets, in program order, and applies each operation to the record. Pure: it owns no process and no clock.
use super::memory_map as map;
use super::shadow::FlashShadow;
use super::trace::TraceEvent;
use crate::feed::{OpenFeed, Order};
use powercut_oracle::FlashOpKind;
use powercut_oracle::seen::{ResetCause, Source, What};

/// What the reader has to do after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    GoOn,
    /// The firmware started its receiver, which does not wake the emulator's main loop: prod it.
    WakeReceiver,
    /// Power is to go, here; the record holds exactly what is left.
    Cut,
}

/// What is known of the device since power-on from what it wrote.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    uart: Uart,
    watchdog_running: bool,
    locked_up: bool,
    reset_requested: bool,
    told: Told,
}

/// The half of the UART that sends.
#[derive(Debug, Default)]
struct Uart {
    enabled: bool,
    transmitting: bool,
}

/// What was already reported as impossible on silicon; once a boot is enough.
#[derive(Debug, Default)]
struct Told {
    vector_table: bool,
    systick: bool,
}

impl Decoder {
    /// Whether the firmware has started the watchdog since power-on or the last watchdog reset. It cannot stop it.
    pub(super) fn watchdog_running(&self) -> bool {
        self.watchdog_running
    }

    /// Whether the core has locked up since power-on.
    pub(super) fn locked_up(&self) -> bool {
        self.locked_up
    }

    /// The watchdog, which the rig plays, resets the device.
    pub(super) fn watchdog_reset(&mut self, shadow: &mut FlashShadow, to: &mut OpenFeed<'_>) {
        self.peripherals_reset(shadow);
        self.watchdog_running = false;
        self.reset_requested = false;
        tell(to, What::Reset(ResetCause::Watchdog), shadow);
    }

    /// The next thing the device does.
    pub(super) fn event(
        &mut self,
        event: TraceEvent,
        shadow: &mut FlashShadow,
        to: &mut OpenFeed<'_>,
    ) -> Step {
        match event {
            TraceEvent::FlashWrite { address, value } => match shadow.program(address, value) {
                Some(kind) => operation(kind, shadow, to),
                None => Step::GoOn,
            },
            TraceEvent::RegisterWrite { address, value } => {
                self.register(address, value, shadow, to)
            }
            TraceEvent::LockUp => {
                self.locked_up = true;
                Step::GoOn
            }
            TraceEvent::Reset => {
                self.peripherals_reset(shadow);
                // One reset shows as several lines; the first one answers the request. The watchdog runs on:
                // on the nRF51 only its own reset, or losing power, stops it.
                if std::mem::take(&mut self.reset_requested) {
                    tell(to, What::Reset(ResetCause::Software), shadow);
                }
                Step::GoOn
            }
        }
    }

    fn peripherals_reset(&mut self, shadow: &mut FlashShadow) {
        self.uart = Uart::default();
        shadow.reset_controller();
    }

    fn register(
        &mut self,
        address: u32,
        value: u32,
        shadow: &mut FlashShadow,
        to: &mut OpenFeed<'_>,
    ) -> Step {
        match address {
            map::NVMC_CONFIG => shadow.write_config(value),
            map::NVMC_ERASEPAGE | map::NVMC_ERASEPCR0 => {
                if let Some(kind) = shadow.erase_page(value) {
                    return operation(kind, shadow, to);
                }
            }
            map::NVMC_ERASEALL if value == 1 => {
                for kind in shadow.erase_all() {
                    if operation(kind, shadow, to) == Step::Cut {
                        return Step::Cut;
                    }
                }
            }
            map::UART_ENABLE => {
                self.uart.enabled = value == map::UART_ENABLED;
                self.uart.transmitting &= self.uart.enabled;
            }
            map::UART_STARTTX if self.uart.enabled && value == 1 => self.uart.transmitting = true,
            map::UART_STOPTX | map::UART_SUSPEND if value == 1 => self.uart.transmitting = false,
            map::UART_TXD if self.uart.enabled && self.uart.transmitting => {
                return after_event(tell(to, What::Byte(value as u8), shadow));
            }
            map::UART_STARTRX if value == 1 => return Step::WakeReceiver,
            map::WDT_START if value == 1 => self.watchdog_running = true,
            map::GPIO_OUT..=map::GPIO_OUTCLR => {
                return after_event(tell(to, What::Pins(value), shadow));
            }
            map::SCB_AIRCR
                if value >> 16 == map::AIRCR_KEY && value & map::AIRCR_SYSRESETREQ != 0 =>
            {
                self.reset_requested = true;
            }
            map::SCB_VTOR if !self.told.vector_table => {
                self.told.vector_table = true;
                let what = "VTOR (0xe000ed08)";
                tell(to, What::NotOnSilicon(what), shadow);
            }
            map::SYST_CSR..=map::SYST_CALIB if !self.told.systick => {
                self.told.systick = true;
                let what = "SysTick (0xe000e010 to 0xe000e01c)";
                tell(to, What::NotOnSilicon(what), shadow);
            }
            _ => {}
        }
        Step::GoOn
    }
}

fn tell(to: &mut OpenFeed<'_>, what: What<'_>, shadow: &FlashShadow) -> Order {
    to.tell(Source::Board, what, Some(shadow.content()))
}

/// A byte or a pin has happened once it is reported, so both kinds of cut mean the same.
fn after_event(order: Order) -> Step {
    match order {
        Order::GoOn => Step::GoOn,
        Order::Cut { .. } | Order::CutAfter => Step::Cut,
    }
}

fn operation(kind: FlashOpKind, shadow: &mut FlashShadow, to: &mut OpenFeed<'_>) -> Step {
    let op = shadow.number(kind);
    match tell(to, What::Operation(op), shadow) {
        Order::GoOn => {
            shadow.apply(&kind);
            Step::GoOn
        }
        Order::CutAfter => {
            shadow.apply(&kind);
            Step::Cut
        }
        Order::Cut { torn } => {
            if let Some(shape) = torn {
                shadow.apply_torn(&kind, shape);
            }
            Step::Cut
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    use crate::feed::{Feed, Sink};
    use powercut_oracle::seen::{Clock, Seen};

    #[derive(Default)]
    struct Log(Vec<String>);

    impl Sink for Log {
        fn seen(&mut self, seen: &Seen<'_>, _: Option<&[u8]>) -> Order {
            self.0.push(match &seen.what {
                What::Operation(op) => format!("op {}", op.number),
                What::Byte(byte) => format!("byte {byte:#x}"),
                What::Pins(pins) => format!("pins {pins:#x}"),
                What::Reset(cause) => format!("{cause:?} reset"),
                other => format!("{other:?}"),
            });
            Order::GoOn
        }
    }

    fn run(events: &[TraceEvent]) -> (Vec<String>, Decoder) {
        let (mut decoder, mut shadow) = (Decoder::default(), FlashShadow::erased());
        let log = Arc::new(Mutex::new(Log::default()));
        let feed = Feed::new(log.clone(), Clock::start());
        for event in events {
            decoder.event(*event, &mut shadow, &mut feed.open());
        }
        let said = std::mem::take(&mut log.lock().unwrap().0);
        (said, decoder)
    }

    fn write(address: u32, value: u32) -> TraceEvent {
        TraceEvent::RegisterWrite { address, value }
    }

    #[test]
    fn a_byte_written_while_the_transmitter_is_stopped_is_not_sent() {
        let (log, _) = run(&[
            write(map::UART_TXD, 1),
            write(map::UART_ENABLE, 4),
            write(map::UART_TXD, 2),
            write(map::UART_STARTTX, 1),
            write(map::UART_TXD, 3),
            write(map::UART_STOPTX, 1),
            write(map::UART_TXD, 4),
            write(map::UART_STARTTX, 1),
            TraceEvent::Reset,
            write(map::UART_TXD, 5),
        ]);
        assert_eq!(log, ["byte 0x3"]);
    }

    #[test]
    fn a_software_reset_is_reported_once_and_the_watchdog_survives_it() {
        let (log, decoder) = run(&[
            write(map::WDT_START, 1),
            write(map::SCB_AIRCR, 0x05FA_0004),
            TraceEvent::Reset,
            TraceEvent::Reset,
        ]);
        assert_eq!(log, ["Software reset"]);
        assert!(decoder.watchdog_running());
    }

    #[test]
    fn aircr_without_its_key_asks_for_nothing() {
        let (log, _) = run(&[write(map::SCB_AIRCR, 4), TraceEvent::Reset]);
        assert!(log.is_empty());
    }

    #[test]
    fn what_silicon_lacks_is_reported_once_each() {
        let (log, _) = run(&[
            write(map::SCB_VTOR, 0),
            write(map::SCB_VTOR, 0),
            write(map::SYST_CSR, 1),
            write(map::SYST_CALIB, 1),
        ]);
        assert_eq!(log.len(), 2, "{log:?}");
    }

    #[test]
    fn an_erase_of_everything_is_one_operation_a_page() {
        let (log, _) = run(&[write(map::NVMC_CONFIG, 2), write(map::NVMC_ERASEALL, 1)]);
        assert_eq!(log.len(), 256);
        assert_eq!(log.last().unwrap(), "op 256");
    }
}
