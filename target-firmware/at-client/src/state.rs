//! Where the conversation with the modem stands: the command whose answer is awaited, what is known to be wrong with the
//! socket, and what the caller is handed next. The rules by which one state follows another are those of the client.

/// Where the conversation stands. Each state but the pauses waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// `AT`, with filling before it.
    Synchronising,
    /// Lets late answers pass.
    Settling {
        at_most_until: u64,
    },
    /// `ATE0`
    EchoOff,
    /// `AT+QICFG`
    Configuring,
    /// `AT+CEREG?`, for its line. An `OK` before it answers something earlier, so behind this state answers and
    /// questions belong together.
    Registering,
    /// `AT+CEREG?`, for its `OK`.
    RegistrationHeard {
        registered: bool,
    },
    /// Before the registration is asked again: all that went wrong begins anew there.
    Pause,
    /// `AT+QIDEACT=1`
    Deactivating,
    /// `AT+QIACT=1`
    Activating,
    /// `AT+QICLOSE=0`
    Closing,
    /// `AT+QIOPEN`
    Opening,
    /// For `+QIOPEN: 0,0`.
    OpenHint,
    Online,
    /// `AT+QIRD`, for its header. Where the socket is not open yet, that is what it asks.
    Reading,
    /// `AT+QIRD`, for its data and `OK`.
    ReadingData {
        announced: usize,
    },
    /// `AT+QISEND`, for the prompt.
    SendPrompt,
    /// `AT+QISEND`, for `SEND OK`.
    SendResult,
}

/// What is known to be wrong with the socket; worse is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    None,
    /// It was closed by the network, or could not be opened.
    Closed,
    /// The context it needs has to be activated.
    ContextDown,
    /// The context has to be deactivated first: the network took it away, or refused to activate it.
    ContextStuck,
}

/// What [`AtClient::poll`](crate::AtClient::poll) hands out next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    Nothing,
    Resynchronise,
    Command,
    /// From this byte of it on.
    Datagram(usize),
}
