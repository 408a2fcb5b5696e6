//! The relay of a board that exists only as a process: switching it starts and kills the process.
use std::fmt;
use std::sync::Arc;

use super::{Kind, Power, Relay, RelayError, RelayFault};
use crate::board::Board;

/// `relay: virtual`.
pub(super) const KIND: Kind = Kind {
    name: "virtual",
    wire,
};

fn wire(board: &dyn Board) -> Option<Box<dyn Relay>> {
    let name = format!("virtual relay of {}", board.name());
    Some(Box::new(VirtualRelay::new(name, board.load()?)))
}

/// Something a virtual relay can feed. Usable from any thread at any time.
pub trait Switched: Send + Sync {
    /// Contact closed: power is there when this returns. Idempotent.
    ///
    /// # Errors
    /// Anything that kept it from coming up.
    fn close(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
    /// Contact open: power is gone when this returns. Idempotent.
    fn open(&self);
    /// Supply below the level at which the board is held in reset, above the one at which RAM forgets; `false` for a load whose
    /// supply cannot do that: then nothing has happened.
    fn sag(&self) -> bool {
        false
    }
    /// Whether there is power.
    fn power(&self) -> Power;
}

/// Switches one virtual board.
#[derive(Clone)]
struct VirtualRelay {
    name: String,
    load: Arc<dyn Switched>,
}

impl VirtualRelay {
    /// A relay that feeds `load`, in whatever state it is.
    fn new(name: String, load: Arc<dyn Switched>) -> Self {
        Self { name, load }
    }

    fn failed(&self, to: Power, fault: RelayFault) -> RelayError {
        let relay = self.name.clone();
        RelayError { relay, to, fault }
    }
}

impl fmt::Debug for VirtualRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VirtualRelay").field(&self.name).finish()
    }
}

impl Relay for VirtualRelay {
    fn name(&self) -> &str {
        &self.name
    }

    fn on(&mut self) -> Result<(), RelayError> {
        let closed = self.load.close();
        closed.map_err(|error| self.failed(Power::On, RelayFault::Load(error)))
    }

    fn off(&mut self) -> Result<(), RelayError> {
        self.load.open();
        match self.load.power() {
            Power::Off => Ok(()),
            found => {
                let wanted = Power::Off;
                Err(self.failed(wanted, RelayFault::Sticks { wanted, found }))
            }
        }
    }

    fn sag(&mut self) -> Result<(), RelayError> {
        if self.load.sag() {
            Ok(())
        } else {
            Err(self.failed(Power::Off, RelayFault::CannotSag))
        }
    }

    fn power(&self) -> Power {
        self.load.power()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A load that stays as it is.
    struct Stuck(Power);

    impl Switched for Stuck {
        fn close(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            Err("no fuse".into())
        }

        fn open(&self) {}

        fn power(&self) -> Power {
            self.0
        }
    }

    #[test]
    fn a_load_that_does_not_go_down_is_an_error_that_names_the_relay() {
        let relay = |power| VirtualRelay::new("relay 3".to_owned(), Arc::new(Stuck(power)));
        assert!(relay(Power::Off).off().is_ok());
        for power in [Power::On, Power::Unknown] {
            let error = relay(power).off().unwrap_err();
            assert!(matches!(error.fault, RelayFault::Sticks { found, .. } if found == power));
            assert!(
                error
                    .to_string()
                    .starts_with("relay 3: switching off failed")
            );
        }
    }

    #[test]
    fn a_load_that_can_only_be_switched_refuses_to_sag_and_says_what_could() {
        let mut relay = VirtualRelay::new("relay 3".to_owned(), Arc::new(Stuck(Power::On)));
        let error = relay.sag().unwrap_err().to_string();
        assert!(error.starts_with("relay 3: it can only switch"), "{error}");
        assert!(error.contains("voltage can be set"), "{error}");
    }

    #[test]
    fn a_load_that_does_not_come_up_says_why() {
        let mut relay = VirtualRelay::new("relay 3".to_owned(), Arc::new(Stuck(Power::Off)));
        let error = relay.on().unwrap_err();
        assert_eq!(error.to_string(), "no fuse");
    }
}
