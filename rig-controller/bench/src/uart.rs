//! The way back to a device: bytes for its UART.

/// Sends bytes to the device's UART. Bytes sent while the board is off are lost.
pub trait UartToDevice: Send + Sync {
    /// Queue bytes for the device; never blocks, never fails (a dead board loses them).
    fn send(&self, bytes: &[u8]);
}
