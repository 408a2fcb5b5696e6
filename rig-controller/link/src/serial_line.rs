//! One direction of the serial line between device and modem, in explicit time: 8 data bits, a start and a stop bit,
//! so 10 bits for each byte; bytes follow each other without gap and never overlap.
use std::time::Duration;

/// Bits on the line for each byte.
pub const BITS_PER_BYTE: f64 = 10.0;

/// One direction.
#[derive(Debug, Clone)]
pub struct SerialLine {
    byte_time: Duration,
    busy_until: Duration,
}

impl SerialLine {
    /// An idle line; without `baud` bytes take no time.
    pub fn new(baud: Option<u32>) -> Self {
        Self {
            byte_time: byte_time(baud),
            busy_until: Duration::ZERO,
        }
    }

    /// How long one byte takes.
    pub fn byte_time(&self) -> Duration {
        self.byte_time
    }

    /// When the last byte so far is through.
    pub fn busy_until(&self) -> Duration {
        self.busy_until
    }

    /// Put so many bytes on the line at `now`; when the last of them is through.
    pub fn pass(&mut self, now: Duration, bytes: usize) -> Duration {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.busy_until = self.busy_until.max(now) + self.byte_time * bytes;
        self.busy_until
    }

    /// What is still on the line is lost.
    pub fn clear(&mut self) {
        self.busy_until = Duration::ZERO;
    }
}

/// How long one byte takes at this rate.
pub fn byte_time(baud: Option<u32>) -> Duration {
    baud.map_or(Duration::ZERO, |baud| {
        Duration::from_secs_f64(BITS_PER_BYTE / f64::from(baud))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_queue_behind_each_other_at_line_speed() {
        let mut line = SerialLine::new(Some(10_000));
        let ms = Duration::from_millis;
        assert_eq!(line.pass(ms(5), 3), ms(8));
        assert_eq!(line.pass(ms(6), 1), ms(9));
        assert_eq!(line.pass(ms(20), 1), ms(21));
        line.clear();
        assert_eq!(line.pass(ms(1), 1), ms(2));
        assert_eq!(SerialLine::new(None).pass(ms(7), 100), ms(7));
    }
}
