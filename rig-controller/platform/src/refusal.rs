//! What the platform refuses, and why: each with a name for programs, a sentence for people, and what to do about it.
use powercut_upgrade::factory::DeviceId;
use powercut_upgrade::manifest::Version;

use super::TaskId;

/// Names a package; a later one is higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackageId(pub i64);

/// A request that does not fit what the platform knows. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another package has this hardware and version.
    #[error("version {version} for hardware {hardware:#06x} is package {} already, with other content", .package.0)]
    PackageAltered {
        /// The package that has them.
        package: PackageId,
        /// What hardware.
        hardware: u16,
        /// Which version.
        version: Version,
    },
    /// No package has this id.
    #[error("there is no package {}", .0.0)]
    NoSuchPackage(PackageId),
    /// No device has this id.
    #[error("there is no device {}", hex::encode(.0.0))]
    NoSuchDevice(DeviceId),
    /// The device is known under another key or hardware.
    #[error("device {} is enrolled already, with another key or hardware", hex::encode(.0.0))]
    DeviceDiffers(DeviceId),
    /// The device is given twice.
    #[error("device {} is listed twice", hex::encode(.0.0))]
    DeviceTwice(DeviceId),
    /// The device has an unfinished task.
    #[error("device {} is part of task {}, which is not finished", hex::encode(.device.0), .task.0)]
    DeviceBusy {
        /// Which device.
        device: DeviceId,
        /// Its task.
        task: TaskId,
    },
    /// The package is for other hardware.
    #[error(
        "the package is for hardware {package:#06x}, device {} is {hardware:#06x}", hex::encode(.device.0)
    )]
    OtherHardware {
        /// Which device.
        device: DeviceId,
        /// What it is.
        hardware: u16,
        /// What the package is for.
        package: u16,
    },
    /// No task has this id.
    #[error("there is no task {}", .0.0)]
    NoSuchTask(TaskId),
    /// The task has come to its end.
    #[error("task {} is finished", .0.0)]
    TaskFinished(TaskId),
}

impl Refusal {
    /// Its name, for programs; never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PackageAltered { .. } => "package_altered",
            Self::NoSuchPackage(_) => "no_such_package",
            Self::NoSuchDevice(_) => "no_such_device",
            Self::DeviceDiffers(_) => "device_differs",
            Self::DeviceTwice(_) => "device_twice",
            Self::DeviceBusy { .. } => "device_busy",
            Self::OtherHardware { .. } => "other_hardware",
            Self::NoSuchTask(_) => "no_such_task",
            Self::TaskFinished(_) => "task_finished",
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::PackageAltered { .. } => {
                "a version never changes: give the new image a higher version"
            }
            Self::NoSuchPackage(_) => "list the packages with GET /v1/packages",
            Self::NoSuchDevice(_) => "enrol it first with POST /v1/devices",
            Self::DeviceDiffers(_) => {
                "check the key; to give a device a new one, remove it with DELETE /v1/devices/{id} and enrol it again"
            }
            Self::DeviceTwice(_) => "list each device once",
            Self::DeviceBusy { .. } => {
                "wait until that task is done, or cancel it with POST /v1/tasks/{id}/cancel"
            }
            Self::OtherHardware { .. } => "choose the package for this device's hardware",
            Self::NoSuchTask(_) => "list the tasks with GET /v1/tasks",
            Self::TaskFinished(_) => "create a new task with POST /v1/tasks",
        }
    }
}
