//! Addresses on which a verb serves this computer alone.
use std::net::SocketAddr;

/// Reads an address of this computer.
pub(super) fn local_address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| {
        "an address looks like 127.0.0.1:3333; port 0 is any that is free".to_owned()
    })?;
    if !address.ip().is_loopback() {
        return Err(
            "gdb's protocol knows no password, so only addresses of this computer are served"
                .to_owned(),
        );
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_computer_are_taken() {
        assert!(local_address("127.0.0.1:0").is_ok());
        assert!(local_address("[::1]:3333").is_ok());
        for (text, said) in [
            ("3333", "looks like"),
            ("localhost:3333", "looks like"),
            ("0.0.0.0:3333", "no password"),
            ("192.168.1.2:3333", "no password"),
        ] {
            let error = local_address(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
