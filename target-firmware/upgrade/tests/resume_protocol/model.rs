//! The state, the steps and the properties of the model, for the checker.
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;

use powercut_upgrade::image::Location;
use powercut_upgrade::journal::Phase;
use powercut_upgrade::manifest::{FragmentIndex, ImageId};
use powercut_upgrade::slots::Layout;
use powercut_upgrade::wire::lean::{Downlink, complete_index};
use stateright::{Model, Property};

use crate::device::{Device, ModelFlash};
use crate::graph::{Graph, Key};
use crate::package::{Package, provision};
use crate::platform::{Catalogue, Platform, Task};

pub const ACTIVE_IS_WHOLE: &str = "the device boots, and ACTIVE is one whole image";
pub const PROGRESS_IS_TRUE: &str = "what counts as received is of the signed image";
pub const READY_IS_WHOLE: &str = "Ready means that STAGING is the signed image";
pub const CONFIRMED_OR_TRIAL: &str = "the image that runs is confirmed or on trial";
pub const FLASH_IS_RESPECTED: &str = "no unit of flash is programmed too often";
pub const FIRST_CONFIRMED: &str = "the first image is confirmed";
pub const SECOND_CONFIRMED: &str = "the second image is confirmed";
pub const STALE_FRAGMENT: &str =
    "a fragment of an abandoned download arrives where the next one waits for its own";
pub const RESUMES: &str = "a download begun by an earlier boot goes on";

/// How often what goes wrong goes wrong. Loss and delay have no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    pub power_losses: u8,
    pub platform_restarts: u8,
    pub duplicates: u8,
}

/// Whether flash is to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flash {
    Sound,
    /// Each loss of power costs the first page of this slot.
    LosesPage(Location),
}

/// Everything that does not change.
pub struct Upgrade<F, const PAGE: usize, const HELD: usize> {
    pub layout: Layout,
    pub fresh: F,
    pub old: Package,
    pub catalogue: Catalogue,
    pub budget: Budget,
    /// Datagrams under way at most; one more than that is lost.
    pub in_flight: usize,
    pub flash: Flash,
    pub graph: Graph,
    pub buffer: PhantomData<([u8; PAGE], [u8; HELD])>,
}

/// A datagram under way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Datagram {
    Up(Vec<u8>),
    Down(Vec<u8>),
}

/// Where everything stands.
#[derive(Clone)]
pub struct Standing<F, const PAGE: usize, const HELD: usize> {
    device: Device<F, PAGE, HELD>,
    platform: Platform,
    task: Task,
    /// In no order: any may arrive next.
    network: Vec<Datagram>,
    left: Budget,
    key: Key,
}

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The device does what is due, or waits until something is.
    Device,
    /// A datagram arrives: the one at this place.
    Arrives(usize),
    /// It is lost.
    Lost(usize),
    /// It is there twice.
    Doubled(usize),
    /// The device loses power and gets it back.
    PowerLoss,
    /// The platform restarts and has this task.
    PlatformRestart(Task),
}

impl<F, const PAGE: usize, const HELD: usize> Hash for Standing<F, PAGE, HELD> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.key.hash(hasher);
    }
}

impl<F, const PAGE: usize, const HELD: usize> PartialEq for Standing<F, PAGE, HELD> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<F: ModelFlash, const PAGE: usize, const HELD: usize> fmt::Debug for Standing<F, PAGE, HELD> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing")
            .field("journal", &self.device.state())
            .field("platform", &self.platform)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

impl<F: ModelFlash, const PAGE: usize, const HELD: usize> Standing<F, PAGE, HELD> {
    fn keyed(mut self) -> Self {
        self.network.sort();
        let mut hasher = DefaultHasher::new();
        (&self.device, &self.platform, self.task).hash(&mut hasher);
        (&self.network, self.left).hash(&mut hasher);
        self.key = hasher.finish();
        self
    }

    fn confirmed(&self) -> Option<ImageId> {
        self.device.state().map(|state| state.confirmed)
    }

    fn phase(&self) -> Option<Phase> {
        self.device.state().map(|state| state.phase)
    }
}

impl<F: ModelFlash, const PAGE: usize, const HELD: usize> Upgrade<F, PAGE, HELD> {
    fn is_goal(&self, standing: &Standing<F, PAGE, HELD>) -> bool {
        self.is_confirmed(standing, standing.task)
    }

    fn is_confirmed(&self, standing: &Standing<F, PAGE, HELD>, task: Task) -> bool {
        standing.confirmed() == Some(self.catalogue.offered(task).id())
    }

    fn send(&self, network: &mut Vec<Datagram>, datagram: Datagram) {
        if network.len() < self.in_flight {
            network.push(datagram);
        }
    }

    fn packages(&self) -> [&Package; 3] {
        let offered = |task| &self.catalogue.offered(task).package;
        [&self.old, offered(Task::First), offered(Task::Second)]
    }

    /// Whether the first `length` bytes of `package` are at `location`, image only.
    fn holds(&self, flash: &F, location: Location, package: &Package, length: usize) -> bool {
        let page = self.layout.page_bytes as usize;
        let image = &package.image[..length.min(package.image.len())];
        image.chunks(page).enumerate().all(|(index, content)| {
            let offset = (index * page) as u32;
            let at = self
                .layout
                .image_byte(location.slot, location.placement, offset);
            flash.holds(at, content)
        })
    }

    /// The same for the whole image and its manifest.
    fn holds_all(&self, flash: &F, location: Location, package: &Package) -> bool {
        let manifest = self.layout.manifest(location.slot, location.placement);
        flash.holds(manifest, &package.signed.encode())
            && self.holds(flash, location, package, package.image.len())
    }

    fn running(&self, standing: &Standing<F, PAGE, HELD>) -> Option<&Package> {
        self.packages()
            .into_iter()
            .find(|package| self.holds_all(&standing.device.flash, Location::ACTIVE, package))
    }

    /// The package the journal's session is about.
    fn session(&self, standing: &Standing<F, PAGE, HELD>) -> Option<&Package> {
        let image = standing.device.state()?.image;
        self.packages()
            .into_iter()
            .find(|package| package.signed.image_id() == image)
    }

    fn active_is_whole(&self, standing: &Standing<F, PAGE, HELD>) -> bool {
        standing.device.is_alive() && self.running(standing).is_some()
    }

    fn progress_is_true(&self, standing: &Standing<F, PAGE, HELD>) -> bool {
        let Some(Phase::Downloading { committed, .. }) = standing.phase() else {
            return true;
        };
        self.session(standing).is_some_and(|package| {
            let flash = &standing.device.flash;
            self.holds(flash, Location::STAGING, package, committed as usize)
        })
    }

    fn ready_is_whole(&self, standing: &Standing<F, PAGE, HELD>) -> bool {
        standing.phase() != Some(Phase::Ready)
            || self.session(standing).is_some_and(|package| {
                self.holds_all(&standing.device.flash, Location::STAGING, package)
            })
    }

    fn confirmed_or_trial(&self, standing: &Standing<F, PAGE, HELD>) -> bool {
        let Some(running) = self.running(standing) else {
            return false;
        };
        let running = running.signed.image_id();
        let on_trial = standing.device.state().map(|state| state.image) == Some(running);
        standing.confirmed() == Some(running) || (standing.device.in_trial() && on_trial)
    }

    fn resumes(&self, standing: &Standing<F, PAGE, HELD>) -> bool {
        let lost = standing.left.power_losses < self.budget.power_losses;
        let begun = matches!(
            standing.phase(),
            Some(Phase::Downloading {
                committed: 1..,
                programs: 1..
            })
        );
        lost && begun
    }

    /// Nothing but its tag keeps such a fragment out.
    fn stale_fragment(&self, standing: &Standing<F, PAGE, HELD>) -> bool {
        let (Some(Phase::Downloading { committed, .. }), Some(package)) =
            (standing.phase(), self.session(standing))
        else {
            return false;
        };
        let signed = &package.signed;
        standing.network.iter().any(|datagram| {
            let Datagram::Down(bytes) = datagram else {
                return false;
            };
            match Downlink::decode(&mut bytes.clone()) {
                Ok(Downlink::Fragment { index, body }) => {
                    let size = u32::from(signed.manifest().fragment_bytes);
                    let next = FragmentIndex((committed / size) as u16);
                    let others =
                        [Task::First, Task::Second].map(|task| self.catalogue.offered(task));
                    complete_index(next, index) == next
                        && others.iter().any(|other| {
                            other.id() != signed.image_id() && other.is_fragment(next, body)
                        })
                }
                _ => false,
            }
        })
    }
}

impl<F: ModelFlash, const PAGE: usize, const HELD: usize> Model for Upgrade<F, PAGE, HELD> {
    type State = Standing<F, PAGE, HELD>;
    type Action = Step;

    fn init_states(&self) -> Vec<Self::State> {
        let mut flash = self.fresh.clone();
        provision(&mut flash, &self.layout, &self.old);
        let standing = Standing {
            device: Device::boot(flash, &self.layout),
            platform: Platform::start(Task::First),
            task: Task::First,
            network: Vec::new(),
            left: self.budget,
            key: 0,
        };
        vec![standing.keyed()]
    }

    fn actions(&self, standing: &Self::State, steps: &mut Vec<Step>) {
        if !standing.device.is_alive() {
            return;
        }
        steps.push(Step::Device);
        let network = &standing.network;
        for (index, datagram) in network.iter().enumerate() {
            if index > 0 && network[index - 1] == *datagram {
                continue;
            }
            steps.extend([Step::Arrives(index), Step::Lost(index)]);
            if standing.left.duplicates > 0 && network.len() < self.in_flight {
                steps.push(Step::Doubled(index));
            }
        }
        if standing.left.power_losses > 0 {
            steps.push(Step::PowerLoss);
        }
        if standing.left.platform_restarts > 0 {
            steps.extend([Task::First, Task::Second].map(Step::PlatformRestart));
        }
    }

    fn next_state(&self, last: &Self::State, step: Step) -> Option<Self::State> {
        let mut next = last.clone();
        let calm = match step {
            Step::Device => {
                let stepped = next.device.step(&self.layout);
                if let Some(bytes) = stepped.sent {
                    self.send(&mut next.network, Datagram::Up(bytes));
                }
                // Impatience while an answer is under way is no calm.
                !stepped.waited || last.network.is_empty()
            }
            Step::Arrives(index) => {
                match next.network.remove(index) {
                    Datagram::Up(bytes) => {
                        for answer in next.platform.answer(&self.catalogue, &bytes) {
                            self.send(&mut next.network, Datagram::Down(answer));
                        }
                    }
                    Datagram::Down(bytes) => next.device.take(&bytes),
                }
                true
            }
            Step::Lost(index) => {
                next.network.remove(index);
                false
            }
            Step::Doubled(index) => {
                next.left.duplicates -= 1;
                next.network.push(next.network[index].clone());
                false
            }
            Step::PowerLoss => {
                next.left.power_losses -= 1;
                if let Flash::LosesPage(location) = self.flash {
                    let at = self.layout.image_byte(location.slot, location.placement, 0);
                    let end = at + self.layout.page_bytes;
                    next.device.flash.erase(at, end).expect("a whole page");
                }
                next.device.restart(&self.layout);
                false
            }
            Step::PlatformRestart(task) => {
                next.left.platform_restarts -= 1;
                next.task = task;
                next.platform.restart(&self.catalogue, task);
                false
            }
        };
        let next = next.keyed();
        self.graph.step(
            (last.key, self.is_goal(last)),
            (next.key, self.is_goal(&next)),
            calm,
        );
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(ACTIVE_IS_WHOLE, Self::active_is_whole),
            Property::always(PROGRESS_IS_TRUE, Self::progress_is_true),
            Property::always(READY_IS_WHOLE, Self::ready_is_whole),
            Property::always(CONFIRMED_OR_TRIAL, Self::confirmed_or_trial),
            Property::always(
                FLASH_IS_RESPECTED,
                |_, standing: &Standing<F, PAGE, HELD>| standing.device.flash.obeyed(),
            ),
            Property::sometimes(FIRST_CONFIRMED, |model, standing| {
                model.is_confirmed(standing, Task::First)
            }),
        ];
        if self.budget.power_losses > 0 {
            properties.push(Property::sometimes(RESUMES, Self::resumes));
        }
        if self.budget.platform_restarts > 0 {
            properties.push(Property::sometimes(SECOND_CONFIRMED, |model, standing| {
                model.is_confirmed(standing, Task::Second)
            }));
            properties.push(Property::sometimes(STALE_FRAGMENT, Self::stale_fragment));
        }
        properties
    }
}
