use super::*;
use crate::PlatformEventKind;
use powercut_package::made_up::package;
use powercut_upgrade::manifest::FragmentIndex;
use powercut_upgrade::wire::MAX_UPLINK_BYTES;
use powercut_upgrade::wire::lean::{Downlink, Handle, LeanKey, Uplink, Wanted};
use std::net::UdpSocket;
use std::sync::mpsc::channel;
use std::time::Duration;

const DEVICE: DeviceId = DeviceId(*b"device01");
const KEY: DeviceKey = DeviceKey([1; 32]);

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn platform_with_task() -> (UdpPlatform, Handle) {
    let platform = UdpPlatform::bind(any_port()).unwrap();
    platform.register_device(DEVICE, KEY);
    let package = package(7, 1000, 160);
    let handle = LeanKey::of(&KEY).handle(package.signed());
    platform.publish(DEVICE, Arc::new(package), 1).unwrap();
    (platform, handle)
}

fn device(platform: &UdpPlatform) -> UdpSocket {
    let socket = UdpSocket::bind(any_port()).unwrap();
    socket.connect(platform.local_addr()).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    socket
}

fn request(handle: Handle, index: u16) -> Vec<u8> {
    let mut out = [0; MAX_UPLINK_BYTES];
    let length = Uplink::Request {
        handle,
        wanted: Wanted::one(FragmentIndex(index)),
    }
    .encode(&LeanKey::of(&KEY), &mut out);
    out[..length].to_vec()
}

#[test]
fn a_request_over_udp_gets_its_fragment() {
    let (platform, handle) = platform_with_task();
    let device = device(&platform);
    device.send(&request(handle, 2)).unwrap();
    let mut buffer = [0; 2048];
    let length = device.recv(&mut buffer).unwrap();
    assert!(matches!(
        Downlink::decode(&mut buffer[..length]),
        Ok(Downlink::Fragment { index: 2, body }) if body.len() == 176
    ));
}

#[test]
fn everything_sent_before_is_in_the_log_once_it_has_settled() {
    let (platform, handle) = platform_with_task();
    let device = device(&platform);
    for round in 1..=50 {
        device.send(&request(handle, 0)).unwrap();
        device.send(b"no message").unwrap();
        platform.settle().unwrap();
        let state = platform.device_state(DEVICE).unwrap();
        assert_eq!((state.fragments_served, state.malformed), (round, round));
        assert_eq!(platform.strays().malformed, round);
    }
    assert_eq!(platform.events(DEVICE).len(), 150);
}

#[test]
fn a_watcher_knows_of_a_fragment_before_the_device_gets_it() {
    let (platform, handle) = platform_with_task();
    let (sender, heard) = channel();
    let _watching = platform.watch(
        DEVICE,
        Arc::new(move |event: &PlatformEvent| {
            // The test may have ended already.
            let _ = sender.send(event.kind.clone());
        }),
    );
    let device = device(&platform);
    device.send(&request(handle, 0)).unwrap();
    device.recv(&mut [0; 2048]).unwrap();
    let kinds: Vec<PlatformEventKind> = heard.try_iter().collect();
    assert!(matches!(
        kinds.as_slice(),
        [
            PlatformEventKind::FragmentRequested { .. },
            PlatformEventKind::FragmentServed {
                plaintext_bytes: 160,
                ..
            }
        ]
    ));
}

#[test]
fn a_port_in_use_is_named_with_its_remedy() {
    let platform = UdpPlatform::bind(any_port()).unwrap();
    let Err(error) = UdpPlatform::bind(platform.local_addr()) else {
        panic!("two platforms on one port")
    };
    assert!(matches!(error, PlatformError::PortInUse { .. }));
    let message = error.to_string();
    assert!(
        message.contains(&platform.local_addr().to_string()),
        "{message}"
    );
    assert!(message.contains("port: 0"), "{message}");
}

#[test]
fn its_port_is_free_again_once_it_is_dropped() {
    let platform = UdpPlatform::bind(any_port()).unwrap();
    let service = Arc::downgrade(&platform.service);
    drop(platform);
    // Thread and socket are gone, and so is what they shared.
    assert!(service.upgrade().is_none());
}

#[test]
fn an_address_of_another_host_is_a_bench_error_that_says_so() {
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0));
    assert!(matches!(
        UdpPlatform::bind(elsewhere),
        Err(PlatformError::Listen { .. })
    ));
}
