//! What a device that was reset in mid-download tells and asks first, in either dialect: it does not wait for an offer it
//! can do without. Messages are read here as they leave the agent, and answered one by one or not at all.
#[expect(
    dead_code,
    unused_imports,
    reason = "the sweeps use what these tests do not: a device that lives on its own"
)]
mod device;

use device::package::{encoded, fragment, lean_key, nothing, offer, provision_for};
use device::{Behaviour, Package, Recipe, SIGNER, SMALL_PAGES, package, seal};
use nor_flash_model::NorFlashModel;
use powercut_upgrade::agent::{Agent, Wish};
use powercut_upgrade::flash::TwiceProgrammable;
use powercut_upgrade::manifest::FragmentIndex;
use powercut_upgrade::slots::Layout;
use powercut_upgrade::wire::lean::{Activity, Downlink, Uplink};
use powercut_upgrade::wire::{Dialect, MAX_DOWNLINK_BYTES, MAX_UPLINK_BYTES, ResultCode, pcp};

const PAGE: usize = 256;
const LAYOUT: Layout = device::small_layout(PAGE as u32);
const HELD: usize = 384;

type Flash = TwiceProgrammable<NorFlashModel<4, PAGE, 2>>;

fn image(minor: u8) -> Package {
    image_of(minor, 1_000)
}

fn image_of(minor: u8, size: usize) -> Package {
    package(&Recipe {
        minor,
        counter: 2,
        size,
        fragment_bytes: 96,
        behaviour: Behaviour::Good,
        signed_by: SIGNER,
        m_sequence: None,
    })
}

/// A boot of the device, and its clock.
struct Boot {
    agent: Agent<0, [u8; HELD]>,
    now_ms: u64,
}

impl Boot {
    fn of(flash: &mut Flash) -> Self {
        Self {
            agent: Agent::start(flash, &LAYOUT, [0; HELD]).unwrap(),
            now_ms: 0,
        }
    }

    fn wish(&mut self, flash: &mut Flash) -> Wish {
        self.agent
            .poll(flash, self.now_ms, &mut [0; MAX_UPLINK_BYTES])
            .unwrap()
    }

    /// What it sends next without being answered, and how long it waited for that.
    fn says(&mut self, flash: &mut Flash) -> (Uplink, u64) {
        let (bytes, waited) = self.sends(flash);
        Uplink::verify(&bytes, &lean_key()).unwrap();
        (Uplink::decode(&bytes).unwrap(), waited)
    }

    /// The same where a PCP frame is expected.
    fn says_in_pcp(&mut self, flash: &mut Flash) -> pcp::Uplink {
        pcp::Uplink::decode(&self.sends(flash).0).unwrap()
    }

    fn sends(&mut self, flash: &mut Flash) -> (Vec<u8>, u64) {
        let since = self.now_ms;
        let mut out = [0; MAX_UPLINK_BYTES];
        loop {
            match self.agent.poll(flash, self.now_ms, &mut out).unwrap() {
                Wish::Send(length) => return (out[..length].to_vec(), self.now_ms - since),
                Wish::Continue => {}
                Wish::Wait { until_ms } => self.now_ms = until_ms,
                Wish::Restart => panic!("nothing is ready"),
            }
        }
    }

    fn hears(&mut self, flash: &mut Flash, mut datagram: Vec<u8>) {
        self.agent
            .on_datagram(flash, self.now_ms, &mut datagram)
            .unwrap();
    }

    /// Its status, which says that it is downloading, and the fragments it asks for, both at once.
    fn resumes(&mut self, flash: &mut Flash) -> Vec<u16> {
        let (status, _) = self.says(flash);
        let Uplink::Status(status) = status else {
            panic!("first it says who it is, not {status:?}");
        };
        assert_eq!(status.activity, Activity::Downloading);
        let (request, waited) = self.says(flash);
        assert_eq!(waited, 0, "an answer to the status is waited for");
        requested(request)
    }
}

fn requested(message: Uplink) -> Vec<u16> {
    match message {
        Uplink::Request { wanted, .. } => wanted.indices().map(|index| index.0).collect(),
        Uplink::Status(status) => panic!("a request was expected, not {status:?}"),
    }
}

fn sealed(of: &Package, index: u16) -> Vec<u8> {
    fragment(FragmentIndex(index), &seal(of, FragmentIndex(index)))
}

/// A device that has stored the first `stored` fragments of `new`, one at a time, and was reset.
fn reset_in_download(new: &Package, stored: u16) -> Flash {
    let mut flash = TwiceProgrammable(NorFlashModel::new(SMALL_PAGES));
    provision_for(Dialect::Lean, &mut flash, &LAYOUT, &image(0));
    let mut boot = Boot::of(&mut flash);
    boot.says(&mut flash);
    boot.hears(&mut flash, offer(new, 1));
    for index in 0..stored {
        assert_eq!(requested(boot.says(&mut flash).0), [index]);
        boot.hears(&mut flash, sealed(new, index));
    }
    flash
}

#[test]
fn the_next_fragment_is_asked_for_without_waiting_for_an_offer() {
    let new = image(1);
    let mut flash = reset_in_download(&new, 3);
    let mut boot = Boot::of(&mut flash);
    assert_eq!(boot.resumes(&mut flash), [3, 4, 5, 6]);
    for index in 3..6 {
        boot.hears(&mut flash, sealed(&new, index));
    }
    assert!(boot.agent.has_fragment(FragmentIndex(5)));
    assert_eq!(requested(boot.says(&mut flash).0), [7, 8, 9]);
}

#[test]
fn the_offer_says_how_many_may_be_outstanding_whenever_it_is_heard() {
    let new = image_of(1, 1_250);
    for hears_offer_first in [true, false] {
        let mut flash = reset_in_download(&new, 2);
        let mut boot = Boot::of(&mut flash);
        boot.says(&mut flash);
        if hears_offer_first {
            boot.hears(&mut flash, offer(&new, 8));
        }
        assert_eq!(requested(boot.says(&mut flash).0), [2, 3, 4, 5]);
        if !hears_offer_first {
            boot.hears(&mut flash, offer(&new, 8));
        }
        boot.hears(&mut flash, sealed(&new, 2));
        boot.hears(&mut flash, sealed(&new, 3));
        assert_eq!(requested(boot.says(&mut flash).0), [6, 7, 8, 9]);
        // The same once more changes nothing: what is outstanding is not asked for again.
        boot.hears(&mut flash, offer(&new, 8));
        boot.hears(&mut flash, sealed(&new, 4));
        assert!(matches!(boot.wish(&mut flash), Wish::Wait { .. }));
    }
}

#[test]
fn an_offer_of_one_at_a_time_is_kept_to() {
    let new = image(1);
    let mut flash = reset_in_download(&new, 3);
    let mut boot = Boot::of(&mut flash);
    assert_eq!(boot.resumes(&mut flash), [3, 4, 5, 6]);
    boot.hears(&mut flash, offer(&new, 1));
    for index in 3..6 {
        boot.hears(&mut flash, sealed(&new, index));
        assert!(matches!(boot.wish(&mut flash), Wish::Wait { .. }));
    }
    boot.hears(&mut flash, sealed(&new, 6));
    assert_eq!(requested(boot.says(&mut flash).0), [7]);
    boot.hears(&mut flash, sealed(&new, 7));
    assert_eq!(requested(boot.says(&mut flash).0), [8]);
}

#[test]
fn where_nobody_answers_both_are_said_again_and_then_only_who_it_is() {
    let mut flash = reset_in_download(&image(1), 3);
    let mut boot = Boot::of(&mut flash);
    assert_eq!(boot.resumes(&mut flash), [3, 4, 5, 6]);
    for _ in 0..3 {
        // Perhaps the link is only slow: one will do.
        assert_eq!(boot.resumes(&mut flash), [3]);
    }
    for _ in 0..3 {
        let (message, waited) = boot.says(&mut flash);
        assert!(matches!(message, Uplink::Status(_)), "{message:?}");
        assert!(waited >= 500);
    }
}

#[test]
fn an_offer_of_another_image_is_taken_up_at_once() {
    let (former, new) = (image(1), image(2));
    let mut flash = reset_in_download(&former, 3);
    let mut boot = Boot::of(&mut flash);
    assert_eq!(boot.resumes(&mut flash), [3, 4, 5, 6]);
    boot.hears(&mut flash, offer(&new, 1));
    assert_eq!(requested(boot.says(&mut flash).0), [0]);
    assert_eq!(boot.agent.state().image, new.signed.image_id());
}

#[test]
fn a_platform_with_nothing_for_it_any_more_is_let_be() {
    let mut flash = reset_in_download(&image(1), 3);
    let mut boot = Boot::of(&mut flash);
    boot.resumes(&mut flash);
    boot.hears(&mut flash, nothing());
    let (message, waited) = boot.says(&mut flash);
    assert!(matches!(message, Uplink::Status(_)), "{message:?}");
    assert_eq!(waited, 60_000);
}

#[test]
fn a_request_that_is_refused_leads_to_a_status() {
    let former = image(1);
    let mut flash = reset_in_download(&former, 3);
    let mut boot = Boot::of(&mut flash);
    assert_eq!(boot.resumes(&mut flash), [3, 4, 5, 6]);
    let refusal = Downlink::Refusal {
        handle: lean_key().handle(&former.signed),
        result: ResultCode::NoSuchTask,
    };
    boot.hears(&mut flash, encoded(&refusal));
    let (message, waited) = boot.says(&mut flash);
    assert!(matches!(message, Uplink::Status(_)), "{message:?}");
    assert_eq!(waited, 1_000);
}

#[test]
fn where_the_offer_was_lost_the_status_is_told_again() {
    let new = image(1);
    let mut flash = reset_in_download(&new, 3);
    let mut boot = Boot::of(&mut flash);
    boot.resumes(&mut flash);
    let mut told_at = Vec::new();
    for index in 3..10 {
        boot.hears(&mut flash, sealed(&new, index));
        let mut out = [0; MAX_UPLINK_BYTES];
        while let Wish::Send(length) = boot.agent.poll(&mut flash, 0, &mut out).unwrap() {
            if let Uplink::Status(_) = Uplink::decode(&out[..length]).unwrap() {
                told_at.push(index);
            }
        }
    }
    assert_eq!(told_at, [8]);
}

#[test]
fn what_was_fetched_without_an_offer_is_installed_whatever_is_heard_then() {
    let new = image(1);
    let mut flash = reset_in_download(&new, 3);
    let mut boot = Boot::of(&mut flash);
    boot.resumes(&mut flash);
    for index in 3..new.signed.manifest().fragments() {
        boot.hears(&mut flash, sealed(&new, index));
    }
    let (message, _) = boot.says(&mut flash);
    let Uplink::Status(mut status) = message else {
        panic!("{message:?}");
    };
    while status.activity != Activity::Ready {
        let (message, _) = boot.says(&mut flash);
        match message {
            Uplink::Status(next) => status = next,
            Uplink::Request { .. } => panic!("all of it is there"),
        }
    }
    boot.hears(&mut flash, nothing());
    assert_eq!(boot.wish(&mut flash), Wish::Restart);
}

#[test]
fn an_offer_heard_again_later_changes_nothing() {
    let new = image(1);
    let mut flash = reset_in_download(&new, 2);
    let mut boot = Boot::of(&mut flash);
    boot.resumes(&mut flash);
    boot.hears(&mut flash, offer(&new, 8));
    boot.hears(&mut flash, sealed(&new, 2));
    boot.hears(&mut flash, offer(&new, 1));
    boot.hears(&mut flash, sealed(&new, 3));
    assert_eq!(requested(boot.says(&mut flash).0), [6, 7, 8, 9]);
}

#[test]
fn an_early_fragment_is_there_only_if_there_is_room_for_it() {
    let new = image(1);
    let mut flash = reset_in_download(&new, 1);
    let mut boot = Boot::of(&mut flash);
    assert_eq!(boot.resumes(&mut flash), [1, 2, 3, 4]);
    boot.hears(&mut flash, offer(&new, 8));
    // 384 bytes hold four early fragments of 96: 2 to 5.
    for index in [5, 6] {
        boot.hears(&mut flash, sealed(&new, index));
    }
    let has = |index| boot.agent.has_fragment(FragmentIndex(index));
    assert_eq!([0, 1, 5, 6].map(has), [true, false, true, false]);
}

/// What a telecom platform calls a package. Its check tells packages apart whose version is the same.
fn facts(of: &Package) -> pcp::PackageFacts {
    let manifest = of.signed.manifest();
    let stream = pcp::Stream::of(manifest).unwrap();
    pcp::PackageFacts {
        version: pcp::VersionText::from(manifest.version),
        fragment_bytes: stream.fragment_bytes(),
        count: stream.count(manifest).unwrap(),
        check: manifest.size_bytes as u16,
    }
}

fn frame(message: &pcp::Downlink<'_>) -> Vec<u8> {
    let mut out = vec![0; MAX_DOWNLINK_BYTES];
    let length = message.encode(&mut out).unwrap();
    out.truncate(length);
    out
}

/// A fragment of a package as it travels over PCP: of the header or of the image.
fn in_pcp(of: &Package, index: FragmentIndex) -> Vec<u8> {
    let stream = pcp::Stream::of(of.signed.manifest()).unwrap();
    let mut data = stream.image_fragment(index).map_or_else(
        || {
            let mut part = of.signed.encode()[stream.header_part(index)].to_vec();
            part.resize(usize::from(stream.fragment_bytes()), 0);
            part
        },
        |image| seal(of, image),
    );
    frame(&pcp::Downlink::Fragment {
        result: ResultCode::Ok,
        index,
        data: &mut data,
    })
}

/// The platform asks for the version and tells of a package; how the device takes it.
fn is_told_of(boot: &mut Boot, flash: &mut Flash, package: &Package) -> ResultCode {
    boot.hears(flash, frame(&pcp::Downlink::QueryVersion));
    let version = boot.says_in_pcp(flash);
    assert!(
        matches!(version, pcp::Uplink::Version { .. }),
        "{version:?}"
    );
    boot.hears(flash, frame(&pcp::Downlink::NewVersion(facts(package))));
    match boot.says_in_pcp(flash) {
        pcp::Uplink::NewVersionTaken { result } => result,
        other => panic!("{other:?}"),
    }
}

/// Which fragment it asks for.
fn wants(boot: &mut Boot, flash: &mut Flash) -> FragmentIndex {
    match boot.says_in_pcp(flash) {
        pcp::Uplink::Fragment { index, .. } => index,
        other => panic!("{other:?}"),
    }
}

/// A device that speaks PCP, has fetched the header of `new` and `stored` fragments, and was reset.
fn reset_in_pcp(new: &Package, stored: u16) -> Flash {
    let mut flash = TwiceProgrammable(NorFlashModel::new(SMALL_PAGES));
    provision_for(Dialect::Pcp, &mut flash, &LAYOUT, &image(0));
    let mut boot = Boot::of(&mut flash);
    boot.says(&mut flash);
    assert_eq!(is_told_of(&mut boot, &mut flash, new), ResultCode::Ok);
    let header = pcp::Stream::of(new.signed.manifest())
        .unwrap()
        .header_fragments();
    for _ in 0..header + stored {
        let index = wants(&mut boot, &mut flash);
        boot.hears(&mut flash, in_pcp(new, index));
    }
    flash
}

#[test]
fn over_pcp_too_the_next_fragment_is_asked_for_without_waiting() {
    let new = image(1);
    let mut flash = reset_in_pcp(&new, 3);
    let mut boot = Boot::of(&mut flash);
    let (status, _) = boot.says(&mut flash);
    assert!(matches!(status, Uplink::Status(_)), "{status:?}");
    let index = wants(&mut boot, &mut flash);
    assert_eq!(boot.now_ms, 0);
    let stream = pcp::Stream::of(new.signed.manifest()).unwrap();
    assert_eq!(stream.image_fragment(index), Some(FragmentIndex(3)));
    // What the platform makes of the status does no harm.
    assert_eq!(is_told_of(&mut boot, &mut flash, &new), ResultCode::Ok);
    boot.hears(&mut flash, in_pcp(&new, index));
    assert_eq!(wants(&mut boot, &mut flash).0, index.0 + 1);
}

#[test]
fn over_pcp_a_package_swapped_while_the_device_was_off_is_fetched_from_its_header_on() {
    let (former, new) = (image(1), image_of(1, 900));
    assert_eq!(facts(&former).version, facts(&new).version);
    let mut flash = reset_in_pcp(&former, 3);
    let mut boot = Boot::of(&mut flash);
    boot.says(&mut flash);
    wants(&mut boot, &mut flash);
    assert_eq!(is_told_of(&mut boot, &mut flash, &new), ResultCode::Ok);
    assert_eq!(wants(&mut boot, &mut flash), FragmentIndex(0));
    // Once it fetches, another package has to wait.
    assert_eq!(is_told_of(&mut boot, &mut flash, &former), ResultCode::Ok);
    let stream = pcp::Stream::of(new.signed.manifest()).unwrap();
    for index in (0..=stream.header_fragments()).map(FragmentIndex) {
        boot.hears(&mut flash, in_pcp(&former, index));
    }
    assert_eq!(is_told_of(&mut boot, &mut flash, &new), ResultCode::InUse);
}
