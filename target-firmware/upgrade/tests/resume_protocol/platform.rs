//! The platform of the model: one device, one task, answers as the lean dialect wants them. Its only RAM is whether the
//! task was offered; which task there is it reads from its database when it starts.
use powercut_upgrade::manifest::{FragmentIndex, ImageId};
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::{Activity, Downlink, Handle, Status, Uplink};

use crate::package::{Package, encoded, fragment, lean_key, nothing, offer, seal};

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
    handle: Handle,
    sealed: Vec<Vec<u8>>,
}

impl Offered {
    pub fn new(package: Package) -> Self {
        let sealed = (0..package.signed.manifest().fragments())
            .map(|index| seal(&package, FragmentIndex(index)))
            .collect();
        Self {
            handle: lean_key().handle(&package.signed),
            package,
            sealed,
        }
    }

    pub fn id(&self) -> ImageId {
        self.package.signed.image_id()
    }

    /// Whether this is how fragment `index` of this image travels.
    pub fn is_fragment(&self, index: FragmentIndex, body: &[u8]) -> bool {
        let sealed = self.sealed.get(usize::from(index.0));
        sealed.is_some_and(|sealed| sealed == body)
    }
}

/// What is the same in all states: the images, and what is wrong.
pub struct Catalogue {
    first: Offered,
    second: Offered,
    /// What is sent for the second image's fragments.
    sent_for_second: Vec<Vec<u8>>,
    fault: Fault,
    /// Fragments a device may have outstanding.
    pub window: u8,
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
            window: 1,
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

    /// What it answers.
    pub fn answer(&mut self, catalogue: &Catalogue, datagram: &[u8]) -> Vec<Vec<u8>> {
        match Uplink::decode(datagram) {
            Ok(Uplink::Status(status)) => vec![self.answer_status(catalogue, &status)],
            Ok(Uplink::Request { handle, wanted }) => {
                let task = self
                    .task
                    .filter(|task| catalogue.offered(*task).handle == handle);
                let Some(task) = task else {
                    let result = ResultCode::NoSuchTask;
                    return vec![encoded(&Downlink::Refusal { handle, result })];
                };
                let sealed = |index| Some((index, catalogue.fragment(task, index)?));
                let served = wanted.indices().filter_map(sealed);
                served
                    .map(|(index, sealed)| fragment(index, sealed))
                    .collect()
            }
            Err(_) => Vec::new(),
        }
    }

    fn answer_status(&mut self, catalogue: &Catalogue, status: &Status) -> Vec<u8> {
        if let Some(task) = self.task {
            let offered = catalogue.offered(task);
            let wants = matches!(status.activity, Activity::Idle | Activity::Downloading);
            let failed_it = status.result_image == offered.id() && status.result != ResultCode::Ok;
            if wants && status.running != offered.id() && !(failed_it && self.offered) {
                self.offered = true;
                return offer(&offered.package, catalogue.window);
            }
        }
        nothing()
    }
}
