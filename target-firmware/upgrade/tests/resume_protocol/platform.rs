//! The platform of the model: one device, one task, answers as the lean dialect wants them. Its only RAM is whether the
//! task was offered; which task there is it reads from its database when it starts.
use powercut_upgrade::manifest::{FragmentIndex, ImageId};
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::{
    Activity, Downlink, MAX_DOWNLINK_BYTES, Session, Status, Uplink,
};

use crate::package::{Package, seal};

/// Which of the two images there are to install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    First,
    Second,
}

/// What is wrong with a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It has no task any more once it was restarted.
    ForgetsTask,
    /// It seals the first image's fragments as if they were the second's: session, key, tag and length are right.
    SealsOtherImage,
    /// It answers requests for the second image with the first's fragments as they are, under the second's session.
    RelabelsFragments,
}

/// An image with its fragments as they are sent.
pub struct Offered {
    pub package: Package,
    sealed: Vec<Vec<u8>>,
}

impl Offered {
    pub fn new(package: Package) -> Self {
        let sealed = (0..package.signed.manifest().fragments())
            .map(|index| seal(&package, FragmentIndex(index)))
            .collect();
        Self { package, sealed }
    }

    pub fn id(&self) -> ImageId {
        self.package.signed.image_id()
    }
}

/// What is the same in all states: the images, and what is wrong.
pub struct Catalogue {
    first: Offered,
    second: Offered,
    /// What is sent for the second image's fragments.
    sent_for_second: Vec<Vec<u8>>,
    fault: Fault,
}

impl Catalogue {
    /// The first image is to be at least as long as the second.
    pub fn new(first: Package, second: Package, fault: Fault) -> Self {
        let (first, second) = (Offered::new(first), Offered::new(second));
        let sent_for_second = match fault {
            Fault::None | Fault::ForgetsTask => second.sealed.clone(),
            Fault::SealsOtherImage => {
                let mixed = Package {
                    image: first.package.image.clone(),
                    ..second.package.clone()
                };
                Offered::new(mixed).sealed
            }
            Fault::RelabelsFragments => first.sealed.clone(),
        };
        Self {
            first,
            second,
            sent_for_second,
            fault,
        }
    }

    pub fn offered(&self, task: Task) -> &Offered {
        match task {
            Task::First => &self.first,
            Task::Second => &self.second,
        }
    }

    fn fragment(&self, task: Task, index: FragmentIndex) -> Option<&Vec<u8>> {
        match task {
            Task::First => self.first.sealed.get(usize::from(index.0)),
            Task::Second => self.sent_for_second.get(usize::from(index.0)),
        }
    }
}

/// What it holds in RAM.
#[derive(Debug, Clone, Hash)]
pub struct Platform {
    /// The task; `None` only after a fault.
    task: Option<Task>,
    offered: bool,
}

impl Platform {
    pub fn start(task: Task) -> Self {
        Self {
            task: Some(task),
            offered: false,
        }
    }

    /// What is in RAM goes.
    pub fn restart(&mut self, catalogue: &Catalogue, task: Task) {
        *self = Self::start(task);
        if catalogue.fault == Fault::ForgetsTask {
            self.task = None;
        }
    }

    /// What it answers; `None` to what is no message.
    pub fn answer(&mut self, catalogue: &Catalogue, datagram: &[u8]) -> Option<Vec<u8>> {
        match Uplink::decode(datagram).ok()? {
            Uplink::Status(status) => Some(self.answer_status(catalogue, &status)),
            Uplink::Request { session, index, .. } => {
                let served = self
                    .task
                    .filter(|task| Session::of(catalogue.offered(*task).id()) == session)
                    .ok_or(ResultCode::NoSuchTask)
                    .and_then(|task| {
                        catalogue
                            .fragment(task, index)
                            .ok_or(ResultCode::NoSuchFragment)
                    });
                Some(match served {
                    Ok(sealed) => encoded(&Downlink::Fragment {
                        session,
                        index,
                        sealed: &mut sealed.clone(),
                    }),
                    Err(result) => encoded(&Downlink::Refusal { session, result }),
                })
            }
        }
    }

    fn answer_status(&mut self, catalogue: &Catalogue, status: &Status) -> Vec<u8> {
        if let Some(task) = self.task {
            let offered = catalogue.offered(task);
            let wants = matches!(status.activity, Activity::Idle | Activity::Downloading);
            let failed_it = status.result_image == offered.id() && status.result != ResultCode::Ok;
            if wants && status.running != offered.id() && !(failed_it && self.offered) {
                self.offered = true;
                return encoded(&Downlink::Offer(&offered.package.signed.encode()));
            }
        }
        encoded(&Downlink::Nothing { retry_after_s: 60 })
    }
}

fn encoded(message: &Downlink<'_>) -> Vec<u8> {
    let mut bytes = vec![0; MAX_DOWNLINK_BYTES];
    let length = message
        .encode(&mut bytes)
        .expect("it is the longest there is");
    bytes.truncate(length);
    bytes
}
