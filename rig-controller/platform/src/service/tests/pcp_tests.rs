//! Devices that speak PCP: told of their package, served its header and image, and known by where they spoke from.
use powercut_upgrade::wire::pcp;

use super::*;

/// A device that speaks PCP, as far as its frames go.
struct PcpDevice {
    service: Fixture,
    package: Package,
}

impl PcpDevice {
    fn registered(package: Package) -> Self {
        let (service, _) = service_with(package.clone());
        let mut device = Self { service, package };
        let mut hello = status(Activity::Idle);
        hello.dialect = Dialect::Pcp;
        let answers = device
            .service
            .handle(&bytes(Uplink::Status(hello)), from())
            .answers;
        assert_eq!(
            answers.len(),
            2,
            "it is known now, and asked for its version"
        );
        let mut query = answers[1].clone();
        assert_eq!(
            pcp::Downlink::decode(&mut query),
            Ok(pcp::Downlink::QueryVersion)
        );
        device
    }

    fn says(&mut self, message: pcp::Uplink) -> Vec<Vec<u8>> {
        let mut out = [0; MAX_UPLINK_BYTES];
        let length = message.encode(&mut out);
        self.service.handle(&out[..length], from()).answers
    }

    fn version(&self) -> pcp::VersionText {
        pcp::VersionText::from(self.package.manifest().version)
    }

    fn asks_for(&mut self, version: pcp::VersionText, index: u16) -> (ResultCode, Vec<u8>) {
        let index = FragmentIndex(index);
        let mut answers = self.says(pcp::Uplink::Fragment { version, index });
        match pcp::Downlink::decode(&mut answers[0]) {
            Ok(pcp::Downlink::Fragment {
                result,
                index: served,
                data,
            }) if served == index => (result, data.to_vec()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn over_pcp_a_device_is_told_of_its_package_and_gets_header_and_image() {
    let mut device = PcpDevice::registered(package(7, 1000, 64));
    let mut answers = device.says(pcp::Uplink::Version {
        result: ResultCode::Ok,
        version: pcp::VersionText::default(),
    });
    let Ok(pcp::Downlink::NewVersion(facts)) = pcp::Downlink::decode(&mut answers[0]) else {
        panic!("no new version")
    };
    let version = device.version();
    assert_eq!(facts.version, version);
    assert_eq!((facts.fragment_bytes, facts.count), (64 + 16, 2 + 16));
    let mut header = Vec::new();
    for index in 0..2 {
        header.extend(device.asks_for(version, index).1);
    }
    let signed = SignedManifest::decode(header.first_chunk().unwrap()).unwrap();
    assert_eq!(&signed, device.package.signed());
    let cipher = FragmentCipher::new(&KEY, None, &signed).unwrap();
    let mut image = Vec::new();
    for index in 0..16 {
        let (result, mut data) = device.asks_for(version, 2 + index);
        assert_eq!(result, ResultCode::Ok);
        image.extend_from_slice(cipher.open(FragmentIndex(index), &mut data).unwrap());
    }
    assert_eq!(image, device.package.image());
    let refused = device.asks_for(version, 18);
    assert_eq!(refused, (ResultCode::NoSuchFragment, Vec::new()));
    let other = device.asks_for(pcp::VersionText(*b"9.9.9\0\0\0\0\0\0\0\0\0\0\0"), 0);
    assert_eq!(other, (ResultCode::NoSuchTask, Vec::new()));
}

#[test]
fn over_pcp_a_complete_download_is_ordered_to_be_installed_and_its_result_is_taken() {
    let mut device = PcpDevice::registered(package(7, 1000, 64));
    let state = ResultCode::Ok;
    let mut answers = device.says(pcp::Uplink::DownloadState { state });
    assert_eq!(answers.len(), 2);
    assert_eq!(
        pcp::Downlink::decode(&mut answers[1]),
        Ok(pcp::Downlink::Execute)
    );
    let state = ResultCode::VerifyFailed;
    assert_eq!(device.says(pcp::Uplink::DownloadState { state }).len(), 1);
    let version = device.version();
    let result = ResultCode::Ok;
    let mut answers = device.says(pcp::Uplink::UpgradeResult { result, version });
    assert_eq!(
        pcp::Downlink::decode(&mut answers[0]),
        Ok(pcp::Downlink::UpgradeResultTaken { result })
    );
}

#[test]
fn a_pcp_frame_from_where_no_device_made_itself_known_gets_no_answer() {
    let (mut service, _) = service_with(package(7, 1000, 64));
    let mut out = [0; MAX_UPLINK_BYTES];
    let state = ResultCode::Ok;
    let length = pcp::Uplink::DownloadState { state }.encode(&mut out);
    assert!(service.handle(&out[..length], from()).answers.is_empty());
    // Nor does one from a device that speaks lean.
    service.handle(&bytes(Uplink::Status(status(Activity::Idle))), from());
    assert!(service.handle(&out[..length], from()).answers.is_empty());
}

#[test]
fn a_device_that_moves_about_is_known_by_the_places_it_was_at_lately_and_no_others() {
    let mut device = PcpDevice::registered(package(7, 1000, 64));
    let place = |number: u16| Peer::Udp(SocketAddr::from(([127, 0, 0, 2], 40_000 + number)));
    let mut hello = status(Activity::Idle);
    hello.dialect = Dialect::Pcp;
    for number in 0..50 {
        device
            .service
            .handle(&bytes(Uplink::Status(hello)), place(number));
    }
    let mut out = [0; MAX_UPLINK_BYTES];
    let state = ResultCode::Ok;
    let length = pcp::Uplink::DownloadState { state }.encode(&mut out);
    let mut is_answered = |from| {
        !device
            .service
            .handle(&out[..length], from)
            .answers
            .is_empty()
    };
    assert!(is_answered(place(49)) && is_answered(place(42)));
    assert!(!is_answered(place(41)) && !is_answered(from()));
    assert_eq!(device.service.service.heard_from.len(), 8);
}

#[test]
fn a_device_keeps_the_place_it_speaks_from_whoever_repeats_it_elsewhere() {
    let mut device = PcpDevice::registered(package(7, 1000, 64));
    let mut hello = status(Activity::Idle);
    hello.dialect = Dialect::Pcp;
    for number in 0..50 {
        let elsewhere = Peer::Udp(SocketAddr::from(([127, 0, 0, 2], 40_000 + number)));
        device
            .service
            .handle(&bytes(Uplink::Status(hello)), elsewhere);
        let state = ResultCode::Ok;
        assert!(!device.says(pcp::Uplink::DownloadState { state }).is_empty());
    }
    assert_eq!(device.service.service.heard_from.len(), 8);
}
