use super::*;
use powercut_upgrade::factory::DeviceId;
use powercut_upgrade::manifest::FragmentIndex;

const IMAGE: ImageId = ImageId([2; 16]);
const POLICY: Policy = Policy {
    attempts: 2,
    query_s: 180,
    download_s: 3_600,
    result_s: 1_800,
    window: 1,
};

fn hello(activity: Activity) -> Status {
    crate::device::tests::status(DeviceId(*b"device01"), 1, activity)
}

fn failed(result: ResultCode) -> Status {
    Status {
        result,
        result_image: IMAGE,
        ..hello(Activity::Idle)
    }
}

fn runs(activity: Activity) -> Status {
    Status {
        running: IMAGE,
        ..hello(activity)
    }
}

fn served(index: u16) -> PlatformEventKind {
    PlatformEventKind::FragmentServed {
        index: FragmentIndex(index),
        plaintext_bytes: 160,
    }
}

fn on(part: &mut Part, event: &PlatformEventKind, now_ms: i64) -> Change {
    part.on_event(event, IMAGE, &POLICY, now_ms)
}

fn say(part: &mut Part, status: Status) -> Change {
    on(part, &recent(status), 0)
}

/// A status that answers the latest challenge.
fn recent(status: Status) -> PlatformEventKind {
    PlatformEventKind::Hello {
        status,
        is_recent: true,
    }
}

fn offered() -> Part {
    let mut part = Part::new(0);
    on(&mut part, &PlatformEventKind::OfferSent(IMAGE), 0);
    part
}

#[test]
fn an_upgrade_goes_through_all_stages() {
    let mut part = Part::new(0);
    let mut stages = vec![part.stage];
    for event in [
        recent(hello(Activity::Idle)),
        PlatformEventKind::OfferSent(IMAGE),
        served(0),
        served(1),
        recent(hello(Activity::Verifying)),
        recent(hello(Activity::Ready)),
        recent(runs(Activity::Trial)),
        recent(runs(Activity::Idle)),
        recent(failed(ResultCode::InstallFailed)),
    ] {
        on(&mut part, &event, 0);
        if stages.last() != Some(&part.stage) {
            stages.push(part.stage);
        }
    }
    assert_eq!(
        stages,
        [
            Stage::Waiting,
            Stage::Offered,
            Stage::Downloading,
            Stage::Verifying,
            Stage::Installing,
            Stage::Succeeded
        ]
    );
    assert_eq!((part.fragments, part.attempt), (2, 1));
}

#[test]
fn fragments_asked_for_again_are_no_progress_and_an_image_fetched_anew_starts_over() {
    let mut part = offered();
    let changes = [0, 1, 1, 0, 2].map(|index| on(&mut part, &served(index), 0));
    assert_eq!(
        changes,
        [
            Change::Stage,
            Change::Progress,
            Change::None,
            Change::None,
            Change::Progress
        ]
    );
    say(&mut part, hello(Activity::Verifying));
    on(&mut part, &served(0), 0);
    assert_eq!((part.stage, part.fragments), (Stage::Downloading, 1));
}

#[test]
fn a_failure_counts_only_after_the_offer_and_some_failures_are_worth_another_attempt() {
    let mut part = Part::new(0);
    assert_eq!(
        say(&mut part, failed(ResultCode::InstallFailed)),
        Change::None
    );
    on(&mut part, &PlatformEventKind::OfferSent(IMAGE), 0);
    assert_eq!(
        say(&mut part, failed(ResultCode::InstallFailed)),
        Change::Final
    );
    assert_eq!(part.stage, Stage::Failed(ResultCode::InstallFailed));

    let mut part = offered();
    let weak = Stage::Failed(ResultCode::WeakSignal);
    assert_eq!(
        say(&mut part, failed(ResultCode::WeakSignal)),
        Change::Retry(weak)
    );
    assert_eq!(say(&mut part, failed(ResultCode::WeakSignal)), Change::None);
    on(&mut part, &PlatformEventKind::OfferSent(IMAGE), 0);
    assert_eq!(
        say(&mut part, failed(ResultCode::WeakSignal)),
        Change::Final
    );
    assert_eq!((part.stage, part.attempt), (weak, 2));
}

#[test]
fn each_clock_runs_out_when_it_should_and_waiting_has_none() {
    let week = 7 * 24 * 3_600_000;
    assert_eq!(Part::new(0).on_time(&POLICY, week), Change::None);
    let mut downloading = offered();
    on(&mut downloading, &served(0), 0);
    let mut verifying = downloading;
    say(&mut verifying, hello(Activity::Verifying));
    // The clock goes on while it installs.
    let mut installing = verifying;
    on(&mut installing, &recent(hello(Activity::Ready)), 1_000_000);
    for (part, limit_ms) in [
        (offered(), 180_000),
        (downloading, 3_600_000),
        (verifying, 1_800_000),
        (installing, 1_800_000),
    ] {
        let mut part = part;
        assert_eq!(part.on_time(&POLICY, limit_ms - 1), Change::None);
        assert_eq!(
            part.on_time(&POLICY, limit_ms),
            Change::Retry(Stage::TimedOut)
        );
        assert_eq!((part.stage, part.attempt), (Stage::Waiting, 2));
        on(&mut part, &PlatformEventKind::OfferSent(IMAGE), week);
        assert_eq!(part.on_time(&POLICY, 2 * week), Change::Final);
        assert_eq!(part.stage, Stage::TimedOut);
    }
}

#[test]
fn every_stage_has_a_name_that_reads_back() {
    for stage in [
        Stage::Waiting,
        Stage::Offered,
        Stage::Downloading,
        Stage::Verifying,
        Stage::Installing,
        Stage::Succeeded,
        Stage::Failed(ResultCode::NoSpace),
        Stage::TimedOut,
        Stage::Cancelled,
    ] {
        assert_eq!(Stage::from_name(stage.name(), stage.result()), Some(stage));
    }
}

#[test]
fn how_it_ended_counts_only_from_a_recent_status() {
    for status in [runs(Activity::Idle), failed(ResultCode::InstallFailed)] {
        let mut part = offered();
        let recorded = PlatformEventKind::Hello {
            status,
            is_recent: false,
        };
        assert_eq!(on(&mut part, &recorded, 0), Change::None);
        assert_eq!(say(&mut part, status), Change::Final);
    }
}

#[test]
fn in_pcp_a_device_says_by_itself_that_it_cannot() {
    let mut part = offered();
    let told = PlatformEventKind::Told(ResultCode::Ok);
    assert_eq!(on(&mut part, &told, 0), Change::None);
    let told = PlatformEventKind::Told(ResultCode::NoSpace);
    assert_eq!(on(&mut part, &told, 0), Change::Final);
    assert_eq!(part.stage, Stage::Failed(ResultCode::NoSpace));
}
