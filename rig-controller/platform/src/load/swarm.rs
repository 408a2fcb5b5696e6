//! Many devices in one loop: those that may do something do it, the others wait for their answer or for their time.
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use powercut_upgrade::wire::lean::Downlink;

use super::device::{DeviceError, Next, SimulatedDevice};
use super::socket::ManyDevices;

/// How long the loop waits at a time when nothing happens.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// What came of a swarm.
#[derive(Debug, Default)]
pub(super) struct SwarmOutcome {
    /// Devices that have upgraded.
    pub(super) done: u32,
    /// Devices that cannot go on, and why the first of them.
    pub(super) broken: u32,
    pub(super) first_broken: Option<DeviceError>,
    /// Datagrams sent.
    pub(super) sent: u64,
    /// Datagrams received.
    pub(super) received: u64,
    /// Fragments received (answers of that kind).
    pub(super) fragments: u64,
    /// Requests that got no answer in the device's time, and were sent again.
    pub(super) repeated: u64,
    /// From each request to its answer, microseconds; repeated ones are left out.
    pub(super) latencies_us: Vec<u32>,
}

/// A device in the loop.
struct Member {
    device: SimulatedDevice,
    asked: Option<Instant>,
    repeated: bool,
    /// Tells its latest wait from earlier ones.
    wait: u32,
    /// It is among those that may do something.
    ready: bool,
    ended: bool,
}

/// The loop.
pub(super) struct Swarm<'a> {
    members: Vec<Member>,
    socket: &'a mut ManyDevices,
    /// Devices with a request under way at most.
    in_flight: usize,
    asking: usize,
    ready: VecDeque<u32>,
    waits: BinaryHeap<Reverse<(u64, u32, u32)>>,
    start: Instant,
    outcome: SwarmOutcome,
}

impl<'a> Swarm<'a> {
    pub(super) fn new(
        devices: Vec<SimulatedDevice>,
        socket: &'a mut ManyDevices,
        in_flight: usize,
    ) -> Self {
        let member = |device| Member {
            device,
            asked: None,
            repeated: false,
            wait: 0,
            ready: true,
            ended: false,
        };
        Self {
            ready: (0..devices.len() as u32).collect(),
            members: devices.into_iter().map(member).collect(),
            socket,
            in_flight,
            asking: 0,
            waits: BinaryHeap::new(),
            start: Instant::now(),
            outcome: SwarmOutcome::default(),
        }
    }

    /// Until every device has come to an end, or `go_on` says no.
    pub(super) fn run(
        mut self,
        mut go_on: impl FnMut(&SwarmOutcome) -> bool,
    ) -> std::io::Result<SwarmOutcome> {
        let all = self.members.len() as u32;
        let mut buffer = [0; 2048];
        while self.outcome.done + self.outcome.broken < all && go_on(&self.outcome) {
            while self.asking < self.in_flight
                && let Some(device) = self.ready.pop_front()
            {
                self.act(device)?;
            }
            let mut idle = true;
            while let Some((device, length)) = self.socket.receive(&mut buffer)? {
                idle = false;
                self.answered(device, &mut buffer[..length]);
                // Those that got an answer go on before the rest is read: the socket has room for it meanwhile.
                if self.ready.len() >= self.in_flight {
                    break;
                }
            }
            self.wake();
            if idle && (self.ready.is_empty() || self.asking >= self.in_flight) {
                self.socket.wait(self.until_next())?;
            }
        }
        Ok(self.outcome)
    }

    /// Let a device do what it wants until it waits.
    fn act(&mut self, index: u32) -> std::io::Result<()> {
        let now_ms = self.now_ms();
        let Some(member) = self.members.get_mut(index as usize) else {
            return Ok(());
        };
        member.ready = false;
        if member.ended {
            return Ok(());
        }
        loop {
            match member.device.next(now_ms) {
                Ok(Next::Send(datagram)) => {
                    // A datagram that the host has no room for is lost; its device asks again.
                    self.socket.send(index, &datagram)?;
                    self.outcome.sent += 1;
                    if member.asked.replace(Instant::now()).is_none() {
                        self.asking += 1;
                    }
                }
                Ok(Next::Wait { .. }) if member.device.is_done() => {
                    self.outcome.done += 1;
                    self.end(index);
                    return Ok(());
                }
                Ok(Next::Wait { until_ms }) => {
                    member.wait = member.wait.wrapping_add(1);
                    self.waits.push(Reverse((until_ms, index, member.wait)));
                    return Ok(());
                }
                Err(error) => {
                    self.outcome.broken += 1;
                    self.outcome.first_broken.get_or_insert(error);
                    self.end(index);
                    return Ok(());
                }
            }
        }
    }

    fn answered(&mut self, index: u32, datagram: &mut [u8]) {
        let now_ms = self.now_ms();
        let Some(member) = self.members.get_mut(index as usize) else {
            return;
        };
        if member.ended {
            return;
        }
        self.outcome.received += 1;
        if matches!(Downlink::decode(datagram), Ok(Downlink::Fragment { .. })) {
            self.outcome.fragments += 1;
        }
        if let Some(asked) = member.asked.take() {
            self.asking -= 1;
            if !std::mem::take(&mut member.repeated) {
                let us = asked.elapsed().as_micros();
                self.outcome
                    .latencies_us
                    .push(u32::try_from(us).unwrap_or(u32::MAX));
            }
        }
        let taken = member.device.take(now_ms, datagram);
        if let Err(error) = taken {
            self.outcome.broken += 1;
            self.outcome.first_broken.get_or_insert(error);
            self.end(index);
        } else if !std::mem::replace(&mut member.ready, true) {
            self.ready.push_back(index);
        }
    }

    /// Devices whose time has come.
    fn wake(&mut self) {
        let now_ms = self.now_ms();
        while let Some(Reverse((until_ms, index, wait))) = self.waits.peek().copied() {
            if until_ms > now_ms {
                return;
            }
            self.waits.pop();
            let Some(member) = self.members.get_mut(index as usize) else {
                continue;
            };
            if member.ended || member.wait != wait {
                continue;
            }
            if member.asked.take().is_some() {
                self.asking -= 1;
                member.repeated = true;
                self.outcome.repeated += 1;
            }
            if !std::mem::replace(&mut member.ready, true) {
                self.ready.push_back(index);
            }
        }
    }

    fn end(&mut self, index: u32) {
        if let Some(member) = self.members.get_mut(index as usize) {
            member.ended = true;
            if member.asked.take().is_some() {
                self.asking -= 1;
            }
        }
    }

    fn until_next(&self) -> Duration {
        self.waits
            .peek()
            .map_or(LONGEST_WAIT, |Reverse((until_ms, ..))| {
                Duration::from_millis(until_ms.saturating_sub(self.now_ms())).min(LONGEST_WAIT)
            })
    }

    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
}
