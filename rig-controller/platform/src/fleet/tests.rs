use super::*;
use crate::service::Service;
use crate::{Handled, Peer};
use powercut_package::made_up::package;
use powercut_upgrade::factory::DeviceKey;
use powercut_upgrade::manifest::{FragmentIndex, ImageId};
use powercut_upgrade::wire::MAX_UPLINK_BYTES;
use powercut_upgrade::wire::lean::{
    Activity, Challenge, Downlink, LeanKey, Status, Uplink, Wanted,
};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

const ONE: DeviceId = DeviceId(*b"device01");
const OTHER: DeviceId = DeviceId(*b"device02");

/// A platform without sockets.
struct Fixture {
    fleet: Arc<Fleet>,
    service: Service,
    /// What each device heard last.
    challenges: HashMap<DeviceId, Challenge>,
}

fn key(device: DeviceId) -> DeviceKey {
    DeviceKey([device.0[7]; 32])
}

impl Fixture {
    fn open(folder: &Path) -> Self {
        let fleet = Fleet::open(Store::open(folder).unwrap(), None).unwrap();
        let service = Service::new(Arc::new(FleetBook(Arc::clone(&fleet))), None);
        Self {
            fleet,
            service,
            challenges: HashMap::new(),
        }
    }

    /// With both devices and a task for the first.
    async fn with_task(folder: &Path) -> (Self, TaskId, ImageId) {
        let mut fixture = Self::open(folder);
        let enrolments = [ONE, OTHER].map(|id| Enrolment {
            id,
            key: key(id),
            hardware: 0x51,
        });
        fixture.fleet.enrol(enrolments.to_vec()).await.unwrap();
        let package = package(7, 1000, 160);
        let image = package.signed().image_id();
        let (record, _) = fixture.fleet.put_package(package).await.unwrap();
        let task = fixture.task(&record, &[ONE]).await.unwrap();
        fixture.service.assignment_changed(ONE);
        (fixture, task, image)
    }

    async fn task(
        &self,
        package: &PackageRecord,
        devices: &[DeviceId],
    ) -> Result<TaskId, StoreError> {
        self.fleet
            .create_task(NewTask {
                package: package.id,
                devices: devices.to_vec(),
                policy: Policy::default(),
            })
            .await
    }

    /// Say something and wait for the answer, if there is one.
    fn say(&mut self, device: DeviceId, message: Uplink) -> Option<Vec<u8>> {
        let key = LeanKey::of(&key(device));
        let mut datagram = [0; MAX_UPLINK_BYTES];
        let length = message.encode(&key, &mut datagram);
        let from = Peer::Udp(SocketAddr::from(([127, 0, 0, 1], 40_000)));
        let Handled { answers, settled } = self.service.handle(&datagram[..length], from);
        let (sender, sent) = std::sync::mpsc::channel();
        settled.then(move || sender.send(()).unwrap());
        sent.recv().ok()?;
        let answer = answers.into_iter().next()?;
        if let Ok(Downlink::Offer { challenge, .. } | Downlink::Nothing { challenge, .. }) =
            Downlink::open(&mut answer.clone(), &key)
        {
            self.challenges.insert(device, challenge);
        }
        Some(answer)
    }

    fn hello(&mut self, status: Status) -> Option<Vec<u8>> {
        let challenge = self.challenges.get(&status.device).copied();
        let status = Status {
            challenge: challenge.unwrap_or_default(),
            ..status
        };
        self.say(status.device, Uplink::Status(status))
    }

    fn ask(&mut self, device: DeviceId, index: u16) -> Option<Vec<u8>> {
        let handle = LeanKey::of(&key(device)).handle(package(7, 1000, 160).signed());
        let wanted = Wanted::one(FragmentIndex(index));
        self.say(device, Uplink::Request { handle, wanted })
    }

    fn stage(&self, task: TaskId) -> Option<Stage> {
        Some(self.fleet.part(task, ONE)?.stage)
    }

    /// What the database has, once everything that was asked for so far is written.
    async fn kept(&self, task: TaskId) -> Part {
        self.fleet.store().written(|_| Ok(())).await.unwrap();
        let parts = |db: &rusqlite::Connection| crate::store::parts(db, task, None, 10);
        self.fleet.store().read(parts).unwrap()[0].part
    }
}

fn status(device: DeviceId, activity: Activity) -> Status {
    crate::device::tests::status(device, 1, activity)
}

fn is_offer(answer: Option<Vec<u8>>) -> bool {
    matches!(
        Downlink::decode(&mut answer.unwrap()),
        Ok(Downlink::Offer { .. })
    )
}

#[tokio::test]
async fn a_device_gets_its_task_and_its_end_is_kept_before_it_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let (mut platform, task, image) = Fixture::with_task(folder.path()).await;
    assert!(is_offer(platform.hello(status(ONE, Activity::Idle))));
    for index in 0..7 {
        platform.ask(ONE, index).unwrap();
    }
    assert_eq!(platform.stage(task), Some(Stage::Downloading));
    platform.hello(status(ONE, Activity::Ready)).unwrap();
    assert_eq!(platform.kept(task).await.stage, Stage::Installing);
    let mut new = status(ONE, Activity::Idle);
    new.running = image;
    // The answer has come, so the database has it: no further wait here.
    assert!(!is_offer(platform.hello(new)));
    let kept = platform
        .fleet
        .store()
        .read(|db| crate::store::task(db, task))
        .unwrap();
    assert!(kept.finished_ms.is_some());
    assert_eq!(platform.fleet.summary(task), None);
    assert_eq!(platform.fleet.sizes(), (2, 0));
}

#[tokio::test]
async fn a_device_sees_nothing_of_another_one_s_task() {
    let folder = tempfile::tempdir().unwrap();
    let (mut platform, task, image) = Fixture::with_task(folder.path()).await;
    assert!(!is_offer(platform.hello(status(OTHER, Activity::Idle))));
    assert_eq!(platform.ask(OTHER, 0), None, "it has no such download");
    // Nor can it bring that task to an end.
    let mut pretends = status(OTHER, Activity::Idle);
    pretends.running = image;
    platform.hello(pretends).unwrap();
    // Nor in the other one's name, with its own key; nor can it fetch the other one's fragments so.
    pretends.device = ONE;
    assert_eq!(platform.say(OTHER, Uplink::Status(pretends)), None);
    let handle = LeanKey::of(&key(ONE)).handle(package(7, 1000, 160).signed());
    let wanted = Wanted::one(FragmentIndex(0));
    assert_eq!(
        platform.say(OTHER, Uplink::Request { handle, wanted }),
        None
    );
    assert_eq!(platform.stage(task), Some(Stage::Waiting));
    let mut stranger = status(ONE, Activity::Idle);
    stranger.device = DeviceId(*b"stranger");
    assert_eq!(platform.hello(stranger), None);
    // The stranger, and the request under a handle that nobody has.
    assert_eq!(platform.fleet.strays().unknown_device, 2);
}

#[tokio::test]
async fn each_device_has_its_own_ciphertext() {
    let folder = tempfile::tempdir().unwrap();
    let (mut platform, _, _) = Fixture::with_task(folder.path()).await;
    let (record, _) = platform
        .fleet
        .put_package(package(7, 1000, 160))
        .await
        .unwrap();
    platform.task(&record, &[OTHER]).await.unwrap();
    platform.service.assignment_changed(OTHER);
    let one = platform.ask(ONE, 0).unwrap();
    let other = platform.ask(OTHER, 0).unwrap();
    assert_eq!(one[..1], other[..1]);
    assert_ne!(one[1..], other[1..]);
}

#[tokio::test]
async fn a_platform_that_is_opened_again_goes_on_in_mid_download() {
    let folder = tempfile::tempdir().unwrap();
    let (mut platform, task, _) = Fixture::with_task(folder.path()).await;
    platform.hello(status(ONE, Activity::Idle)).unwrap();
    for index in 0..3 {
        platform.ask(ONE, index).unwrap();
    }
    platform.fleet.flush(|flushed| flushed.unwrap());
    assert_eq!(platform.kept(task).await.fragments, 3);
    drop(platform);
    let mut platform = Fixture::open(folder.path());
    let part = platform.fleet.part(task, ONE).unwrap();
    assert_eq!((part.stage, part.fragments), (Stage::Downloading, 3));
    platform.ask(ONE, 3).unwrap();
    assert_eq!(platform.fleet.part(task, ONE).unwrap().fragments, 4);
    let standing = platform.fleet.standing(ONE).unwrap();
    assert_eq!(standing.running.as_deref(), Some("1.0.0"));
}

#[tokio::test]
async fn a_task_that_is_cancelled_is_over_for_its_device() {
    let folder = tempfile::tempdir().unwrap();
    let (mut platform, task, _) = Fixture::with_task(folder.path()).await;
    assert!(is_offer(platform.hello(status(ONE, Activity::Idle))));
    assert_eq!(platform.fleet.cancel_task(task).await.unwrap(), 1);
    assert!(!is_offer(platform.hello(status(ONE, Activity::Idle))));
    let mut answer = platform.ask(ONE, 0).unwrap();
    assert!(matches!(
        Downlink::decode(&mut answer),
        Ok(Downlink::Refusal { .. })
    ));
    assert_eq!(platform.kept(task).await.stage, Stage::Cancelled);
    assert!(matches!(
        platform.fleet.cancel_task(task).await,
        Err(StoreError::Refused(_))
    ));
}

#[tokio::test]
async fn clocks_run_out_and_the_last_one_ends_the_task() {
    let folder = tempfile::tempdir().unwrap();
    let (mut platform, task, _) = Fixture::with_task(folder.path()).await;
    let mut later = now_ms();
    for attempt in 1..=3 {
        assert!(is_offer(platform.hello(status(ONE, Activity::Idle))));
        platform.fleet.on_time(later);
        let part = platform.fleet.part(task, ONE).unwrap();
        assert_eq!((part.stage, part.attempt), (Stage::Offered, attempt));
        later = now_ms() + 181_000;
        platform.fleet.on_time(later);
        later = now_ms();
    }
    assert_eq!(platform.kept(task).await.stage, Stage::TimedOut);
    assert_eq!(platform.fleet.summary(task), None);
}

#[tokio::test]
async fn a_result_that_cannot_be_kept_is_not_acknowledged_and_counts_when_it_is_said_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut platform, task, image) = Fixture::with_task(folder.path()).await;
    platform.hello(status(ONE, Activity::Idle)).unwrap();
    let sql = |sql: &'static str| {
        platform
            .fleet
            .store()
            .written(move |db| Ok(db.execute_batch(sql)?))
    };
    sql("CREATE TRIGGER full BEFORE UPDATE ON parts BEGIN SELECT RAISE(ABORT, 'no space'); END")
        .await
        .unwrap();
    let mut new = status(ONE, Activity::Idle);
    new.running = image;
    assert_eq!(platform.hello(new), None);
    assert_eq!(platform.stage(task), Some(Stage::Offered));
    let remove = platform
        .fleet
        .store()
        .written(|db| Ok(db.execute_batch("DROP TRIGGER full")?));
    remove.await.unwrap();
    // The challenge it answered is used up; the next one is in the answer.
    assert!(platform.hello(new).is_some());
    assert!(platform.hello(new).is_some());
    assert_eq!(platform.kept(task).await.stage, Stage::Succeeded);
}

#[tokio::test]
async fn whoever_watches_is_told_of_devices_that_changed_since() {
    let folder = tempfile::tempdir().unwrap();
    let (mut platform, task, _) = Fixture::with_task(folder.path()).await;
    let mut revisions = platform.fleet.revisions();
    platform.fleet.publish();
    let first = *revisions.borrow_and_update();
    assert_eq!(platform.fleet.changed_after(task, 0).len(), 1);
    assert_eq!(platform.fleet.changed_after(task, first), []);
    platform.ask(ONE, 0).unwrap();
    let changed = platform.fleet.changed_after(task, first);
    assert_eq!(changed[0].1.stage, Stage::Downloading);
    platform.fleet.publish();
    assert!(revisions.has_changed().unwrap());
    revisions.borrow_and_update();
    platform.fleet.publish();
    assert!(!revisions.has_changed().unwrap(), "nothing new");
}
