//! Which exception is pending, active, masked and how urgent: the interrupt controller, and the registers of the system
//! control block that belong to it.
//!
//! A Cortex-M0 has four priorities for interrupts, in the two highest bits of a byte; the lower number is the more urgent.

/// Exception numbers.
pub(crate) const NMI: u8 = 2;
pub(crate) const HARD_FAULT: u8 = 3;
pub(crate) const SV_CALL: u8 = 11;
pub(crate) const PEND_SV: u8 = 14;
/// The number of the first interrupt.
pub(crate) const FIRST_INTERRUPT: u8 = 16;

/// Less urgent than any exception: nothing is active.
const NOTHING: i8 = 4;

const SEND_EVENT_ON_PENDING: u32 = 1 << 4;

const SET_ENABLE: u32 = 0xE000_E100;
const CLEAR_ENABLE: u32 = 0xE000_E180;
const SET_PENDING: u32 = 0xE000_E200;
const CLEAR_PENDING: u32 = 0xE000_E280;
const PRIORITIES: std::ops::Range<u32> = 0xE000_E400..0xE000_E420;
const CPUID: u32 = 0xE000_ED00;
const INTERRUPT_CONTROL: u32 = 0xE000_ED04;
/// SYSRESETREQ is in it.
pub(crate) const APPLICATION_INTERRUPT: u32 = 0xE000_ED0C;
const SYSTEM_CONTROL: u32 = 0xE000_ED10;
const CONFIGURATION: u32 = 0xE000_ED14;
const SYSTEM_PRIORITY_2: u32 = 0xE000_ED1C;
const SYSTEM_PRIORITY_3: u32 = 0xE000_ED20;

/// A Cortex-M0 r0p0.
const CORTEX_M0: u32 = 0x410C_C200;
/// Unaligned transfers fault; frames are aligned to 8 bytes.
const FIXED_CONFIGURATION: u32 = 0x208;
/// The register reads so in its upper half.
const VECTOR_KEY_READ: u32 = 0xFA05_0000;
const VECTOR_KEY: u32 = 0x05FA_0000;
const SYSTEM_RESET_REQUEST: u32 = 1 << 2;
const SYSTEM_CONTROL_BITS: u32 = 0x16;

const NMI_SET: u32 = 1 << 31;
const PEND_SV_SET: u32 = 1 << 28;
const PEND_SV_CLEAR: u32 = 1 << 27;
const INTERRUPT_PENDING: u32 = 1 << 22;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nvic {
    /// A bit for each exception number.
    pending: u64,
    active: u64,
    /// A bit for each interrupt.
    enabled: u32,
    lines: u32,
    priorities: [u8; 32],
    sv_call_priority: u8,
    pend_sv_priority: u8,
    /// SCR.
    pub(crate) system_control: u32,
    /// Something has become pending, and SCR says that this is an event.
    event: bool,
}

impl Nvic {
    pub(crate) fn new() -> Self {
        Self {
            pending: 0,
            active: 0,
            enabled: 0,
            lines: 0,
            priorities: [0; 32],
            sv_call_priority: 0,
            pend_sv_priority: 0,
            system_control: 0,
            event: false,
        }
    }

    /// How urgent an exception is.
    pub(crate) fn priority(&self, exception: u8) -> i8 {
        let priority = match exception {
            NMI => return -2,
            HARD_FAULT => return -1,
            SV_CALL => self.sv_call_priority,
            PEND_SV => self.pend_sv_priority,
            exception => self.priorities[usize::from(exception - FIRST_INTERRUPT) & 31],
        };
        priority.cast_signed()
    }

    /// How urgent an exception must be more than, to be taken.
    pub(crate) fn execution_priority(&self, masked: bool) -> i8 {
        let running = numbers(self.active)
            .map(|exception| self.priority(exception))
            .min()
            .unwrap_or(NOTHING);
        if masked { running.min(0) } else { running }
    }

    /// The pending exception that is taken now, if there is one.
    pub(crate) fn taken(&self, masked: bool) -> Option<u8> {
        let candidates = self.pending & (u64::from(self.enabled) << FIRST_INTERRUPT | 0xFFFF);
        if candidates == 0 {
            return None;
        }
        let next = numbers(candidates).min_by_key(|exception| self.priority(*exception))?;
        (self.priority(next) < self.execution_priority(masked)).then_some(next)
    }

    pub(crate) fn in_fault_or_nmi(&self) -> bool {
        self.active & (1 << NMI | 1 << HARD_FAULT) != 0
    }

    pub(crate) fn only_one_is_active(&self) -> bool {
        self.active.is_power_of_two()
    }

    /// The handler of this exception begins.
    pub(crate) fn activate(&mut self, exception: u8) {
        self.active |= 1 << exception;
        self.pending &= !(1 << exception);
    }

    /// The handler of this exception has ended. An interrupt whose line is still up is pending again.
    pub(crate) fn deactivate(&mut self, exception: u8) {
        self.active &= !(1 << exception);
        self.pend_lines(self.lines);
    }

    pub(crate) fn pend(&mut self, exception: u8) {
        self.pend_all(1 << exception);
    }

    fn pend_all(&mut self, exceptions: u64) {
        let new = exceptions & !self.pending;
        self.pending |= new;
        self.event |= new != 0 && self.system_control & SEND_EVENT_ON_PENDING != 0;
    }

    fn pend_lines(&mut self, lines: u32) {
        let lines = u64::from(lines) << FIRST_INTERRUPT;
        self.pend_all(lines & !self.active);
    }

    /// The interrupt lines of the peripherals, as they are now.
    pub(crate) fn set_lines(&mut self, lines: u32) {
        let risen = lines & !self.lines;
        self.lines = lines;
        // A line that rises while its handler runs is remembered; one that stays up is not pending again before the end.
        self.pend_all(u64::from(risen) << FIRST_INTERRUPT);
        self.pend_lines(lines);
    }

    /// Whether something has become pending that is an event, since this was asked last.
    pub(crate) fn take_event(&mut self) -> bool {
        std::mem::take(&mut self.event)
    }

    pub(crate) fn read(&self, address: u32, exception: u8) -> Option<u32> {
        Some(match address {
            SET_ENABLE | CLEAR_ENABLE => self.enabled,
            SET_PENDING | CLEAR_PENDING => (self.pending >> FIRST_INTERRUPT) as u32,
            address if PRIORITIES.contains(&address) => {
                let first = (address - PRIORITIES.start) as usize;
                let four = &self.priorities[first..first + 4];
                (0..).zip(four).fold(0, |word, (index, priority)| {
                    word | u32::from(*priority) << (8 * index + 6)
                })
            }
            CPUID => CORTEX_M0,
            INTERRUPT_CONTROL => self.interrupt_control(exception),
            APPLICATION_INTERRUPT => VECTOR_KEY_READ,
            SYSTEM_CONTROL => self.system_control,
            CONFIGURATION => FIXED_CONFIGURATION,
            SYSTEM_PRIORITY_2 => u32::from(self.sv_call_priority) << 30,
            SYSTEM_PRIORITY_3 => u32::from(self.pend_sv_priority) << 22,
            _ => return None,
        })
    }

    fn interrupt_control(&self, exception: u8) -> u32 {
        let bit = |mask: u64, bit: u32| if self.pending & mask == 0 { 0 } else { bit };
        let candidates = self.pending & (u64::from(self.enabled) << FIRST_INTERRUPT | 0xFFFF);
        let next = numbers(candidates).min_by_key(|exception| self.priority(*exception));
        bit(1 << NMI, NMI_SET)
            | bit(1 << PEND_SV, PEND_SV_SET)
            | bit(!0 << FIRST_INTERRUPT, INTERRUPT_PENDING)
            | u32::from(next.unwrap_or(0)) << 12
            | u32::from(exception)
    }

    pub(crate) fn write(&mut self, address: u32, value: u32) -> bool {
        match address {
            SET_ENABLE => self.enabled |= value,
            CLEAR_ENABLE => self.enabled &= !value,
            SET_PENDING => self.pend_all(u64::from(value) << FIRST_INTERRUPT),
            CLEAR_PENDING => {
                self.pending &= !(u64::from(value) << FIRST_INTERRUPT);
                // A line that is still up pends at once.
                self.pend_lines(self.lines & value);
            }
            address if PRIORITIES.contains(&address) => {
                let first = (address - PRIORITIES.start) as usize;
                let four = &mut self.priorities[first..first + 4];
                for (priority, byte) in four.iter_mut().zip(value.to_le_bytes()) {
                    *priority = byte >> 6;
                }
            }
            INTERRUPT_CONTROL => {
                if value & NMI_SET != 0 {
                    self.pend(NMI);
                }
                if value & PEND_SV_SET != 0 {
                    self.pend(PEND_SV);
                }
                if value & PEND_SV_CLEAR != 0 {
                    self.pending &= !(1 << PEND_SV);
                }
            }
            SYSTEM_CONTROL => self.system_control = value & SYSTEM_CONTROL_BITS,
            SYSTEM_PRIORITY_2 => self.sv_call_priority = (value >> 30) as u8,
            SYSTEM_PRIORITY_3 => self.pend_sv_priority = (value >> 22 & 3) as u8,
            CPUID | APPLICATION_INTERRUPT | CONFIGURATION => {}
            _ => return false,
        }
        true
    }
}

/// Whether this value, written to [`APPLICATION_INTERRUPT`], resets the chip.
pub(crate) fn requests_reset(value: u32) -> bool {
    value & 0xFFFF_0000 == VECTOR_KEY && value & SYSTEM_RESET_REQUEST != 0
}

/// The numbers of the bits that are set, the lowest first.
fn numbers(mut bits: u64) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        if bits == 0 {
            return None;
        }
        let number = bits.trailing_zeros() as u8;
        bits &= bits - 1;
        Some(number)
    })
}
