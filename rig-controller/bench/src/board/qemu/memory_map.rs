//! Addresses of the nRF51822 the virtual board watches (nRF51 Series Reference Manual v3.0; core registers:
//! `ARMv6-M` Architecture Reference Manual).

pub(super) use crate::board::nrf51::FLASH;

pub(super) const FLASH_BYTES: usize = FLASH.size_bytes() as usize;
pub(super) const PAGE_BYTES: usize = FLASH.page_bytes() as usize;
pub(super) const RAM_START: u32 = 0x2000_0000;
pub(super) const RAM_BYTES: usize = 16 * 1024;

pub(super) const UART_STARTRX: u32 = 0x4000_2000;
pub(super) const UART_STARTTX: u32 = 0x4000_2008;
pub(super) const UART_STOPTX: u32 = 0x4000_200C;
pub(super) const UART_SUSPEND: u32 = 0x4000_201C;
pub(super) const UART_ENABLE: u32 = 0x4000_2500;
pub(super) const UART_TXD: u32 = 0x4000_251C;
/// UART ENABLE's "enabled"; other values leave it off.
pub(super) const UART_ENABLED: u32 = 4;

pub(super) const WDT_START: u32 = 0x4001_0000;

pub(super) const NVMC_CONFIG: u32 = 0x4001_E504;
pub(super) const NVMC_ERASEPAGE: u32 = 0x4001_E508;
pub(super) const NVMC_ERASEALL: u32 = 0x4001_E50C;
/// The second name of ERASEPAGE.
pub(super) const NVMC_ERASEPCR0: u32 = 0x4001_E510;

pub(super) const GPIO_OUT: u32 = 0x5000_0504;
pub(super) const GPIO_OUTCLR: u32 = 0x5000_050C;

pub(super) const SYST_CSR: u32 = 0xE000_E010;
pub(super) const SYST_CALIB: u32 = 0xE000_E01C;
pub(super) const SCB_VTOR: u32 = 0xE000_ED08;
pub(super) const SCB_AIRCR: u32 = 0xE000_ED0C;
/// AIRCR: the key that must be written with it, and the bit that asks for a reset.
pub(super) const AIRCR_KEY: u32 = 0x05FA;
pub(super) const AIRCR_SYSRESETREQ: u32 = 1 << 2;
