//! Events of the platform in the words of a reader of reports.
use std::fmt;

use powercut_package::words::Words;

use crate::{NonceReuse, PlatformEventKind};

impl fmt::Display for PlatformEventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlatformEventKind::Hello { status, is_recent } => {
                let age = if *is_recent {
                    ""
                } else {
                    ", perhaps an old one"
                };
                write!(f, "heard {}{age}", Words(status))
            }
            PlatformEventKind::OfferSent(image) => write!(f, "offered {}", Words(*image)),
            PlatformEventKind::NothingSent => f.write_str("has nothing for the device"),
            PlatformEventKind::FragmentRequested { index } => {
                write!(f, "was asked for fragment {}", index.0)
            }
            PlatformEventKind::FragmentServed {
                index,
                plaintext_bytes,
            } => write!(f, "sent fragment {}, {plaintext_bytes} bytes", index.0),
            PlatformEventKind::Told(result) => write!(f, "was told: {}", Words(*result)),
            PlatformEventKind::Refused(result) => write!(f, "refused: {}", Words(*result)),
            PlatformEventKind::Malformed { length } => {
                write!(f, "heard {length} bytes that are no message")
            }
        }
    }
}

impl fmt::Display for NonceReuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NonceReuse { key, salt, nonce } = self;
        write!(
            f,
            "key {} with salt {} and nonce {} served two plaintexts",
            hex::encode(key.0),
            hex::encode(salt),
            hex::encode(nonce)
        )
    }
}

#[cfg(test)]
mod tests {
    use powercut_upgrade::manifest::FragmentIndex;

    use super::*;

    #[test]
    fn events_are_put_into_words() {
        let index = FragmentIndex(7);
        let said = PlatformEventKind::FragmentRequested { index }.to_string();
        assert_eq!(said, "was asked for fragment 7");
    }
}
