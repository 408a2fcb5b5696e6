//! L4: the device tells the platform the truth.
use powercut_upgrade::factory::DeviceId;
use powercut_upgrade::manifest::ImageId;
use powercut_upgrade::wire::lean::{Activity, Challenge, Status, WIRE_VERSION};
use powercut_upgrade::wire::{Dialect, ResultCode};

use super::*;

fn truth(active: &powercut_package::Package, activity: Activity) -> Status {
    Status {
        dialect: Dialect::Lean,
        wire_version: WIRE_VERSION,
        window: 1,
        device: DeviceId(*b"device01"),
        hardware: 0x51,
        version: active.manifest().version,
        running: active.signed().image_id(),
        security_counter: SecurityCounter(2),
        activity,
        result: ResultCode::Ok,
        result_image: ImageId::NONE,
        challenge: Challenge::default(),
    }
}

#[test]
fn l4_the_truth_may_be_told_at_every_stage() {
    let Images { old, new } = fixture::images();
    let id = new.signed().image_id();
    let mut oracle = oracle();
    let mut flash = downloaded(320);
    let old_status = |activity| truth(&old, activity);
    oracle.on_status(&old_status(Activity::Idle), &flash, Some(&downloading(0)));
    oracle.on_status(
        &old_status(Activity::Downloading),
        &flash,
        Some(&downloading(320)),
    );
    let ready = state(JournalPhase::Ready);
    oracle.on_status(&old_status(Activity::Ready), &flash, Some(&ready));
    let reverted = Status {
        result: ResultCode::InstallFailed,
        result_image: id,
        ..old_status(Activity::Idle)
    };
    oracle.on_status(&reverted, &flash, Some(&state(JournalPhase::Reverted)));
    flash = on_trial();
    oracle.on_status(&truth(&new, Activity::Trial), &flash, Some(&trial()));
    let done = Status {
        security_counter: SecurityCounter(3),
        result_image: id,
        ..truth(&new, Activity::Idle)
    };
    oracle.on_status(&done, &flash, Some(&fixture::confirmed()));
    assert_eq!(broken(&oracle), [], "{}", reasons(&oracle));
}

#[test]
fn l4_each_lie_is_a_violation() {
    let Images { old, new } = fixture::images();
    let id = new.signed().image_id();
    let (before, during) = (downloaded(320), on_trial());
    let says = |status: Status, result, result_image| Status {
        result,
        result_image,
        ..status
    };
    let idle = truth(&old, Activity::Idle);
    let on_probation = truth(&new, Activity::Trial);
    let lies = [
        (
            "another version",
            truth(&new, Activity::Idle),
            &before,
            downloading(320),
        ),
        (
            "another image of the same version",
            Status {
                running: ImageId([1; 16]),
                ..idle
            },
            &before,
            downloading(320),
        ),
        (
            "a lower counter",
            truth(&new, Activity::Idle),
            &during,
            fixture::confirmed(),
        ),
        (
            "ready before it is",
            truth(&old, Activity::Ready),
            &before,
            downloading(320),
        ),
        (
            "nothing to do while on trial",
            truth(&new, Activity::Idle),
            &during,
            trial(),
        ),
        (
            "success before it is confirmed",
            says(on_probation, ResultCode::Ok, id),
            &during,
            trial(),
        ),
        (
            "success with the old image in ACTIVE",
            says(
                Status {
                    security_counter: SecurityCounter(3),
                    ..idle
                },
                ResultCode::Ok,
                id,
            ),
            &before,
            fixture::confirmed(),
        ),
        (
            "failure with the new image in ACTIVE",
            says(on_probation, ResultCode::InstallFailed, id),
            &during,
            trial(),
        ),
    ];
    for (lie, status, flash, journal) in lies {
        let mut oracle = oracle();
        oracle.on_status(&status, flash, Some(&journal));
        assert_eq!(broken(&oracle), [Invariant::L4], "{lie}");
    }
}
