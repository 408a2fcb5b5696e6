//! An upgrade of a test plan as a scene: the images of a firmware set, on the board's flash exactly as a case provisions
//! it, so that operation numbers mean the same as on the board. What is not the same: the platform is scripted, of a link
//! only its loss is played (not what arrives twice), and images that panic or hang on probation restart as one does that never
//! confirms itself, which asks the same of flash. Images that are no program for the chip are known by their vectors.
use std::fmt;
use std::sync::{Arc, OnceLock};

use nor_flash_model::Geometry;
use powercut_upgrade::bootable;
use powercut_upgrade::cipher::NotConfigured;
use powercut_upgrade::factory::Factory;
use powercut_upgrade::slots::Layout;
use powercut_upgrade::wire::Dialect;
use sha2::{Digest, Sha256};

use super::flash_part::FlashPart;
use super::oracle::Breach;
use super::scenario::Scenario;
use super::scene::{FragmentLayout, Reference, Scene};
use super::scripted_package::ScriptedPackage;
use super::survey::Survey;
use powercut_link::LinkProfile;
use powercut_oracle::oracle::Images;
use powercut_oracle::verdict::Outcome;

/// Which case of which plan, on which board. Reads `smoke:1:mb-1:seed=20261122`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseName {
    /// The plan's name.
    pub plan: String,
    /// The case's number in it, from 1.
    pub index: usize,
    /// The board: who the device is follows from it.
    pub board: String,
    /// The seed of the plan.
    pub seed: u64,
}

impl fmt::Display for CaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            plan,
            index,
            board,
            seed,
        } = self;
        write!(f, "{plan}:{index}:{board}:seed={seed}")
    }
}

/// A case's upgrade, as its plan describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedCase {
    /// Which case.
    pub name: CaseName,
    /// How the upgrade ends.
    pub outcome: Outcome,
    /// The new image, as the plan names it.
    pub new_image: String,
    /// The seed of everything random in the case.
    pub seed: u64,
}

/// The upgrade of a case cannot be explored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SceneError {
    /// The identity in flash cannot be read.
    #[error(
        "the board's flash has no FACTORY page; build the firmware set anew with `rig firmware build`"
    )]
    NoIdentity,
    /// No part that is explored has such flash.
    #[error(
        "the boards of the firmware set have flash that no exploration knows: {0}; add its part to those that are explored, or run the plan with `rig run`"
    )]
    Flash(Geometry),
    /// The suite of its images needs a register.
    #[error("{0}; build the firmware set anew with `rig firmware build`")]
    NotConfigured(#[from] NotConfigured),
    /// The platform in process speaks lean only.
    #[error(
        "cases in the dialect `pcp` are not explored in process; run them with `rig run`, or name the others with `--case`"
    )]
    Dialect,
    /// Nothing in the manifest makes a device refuse the image.
    #[error(
        "the plan expects that {image} is refused, but it is signed by a trusted key and its security counter is not below the one in force; name an image that has to be refused, or expect another outcome"
    )]
    NothingToRefuse {
        /// The new image.
        image: String,
    },
}

/// The upgrade of one case, ready to be explored.
pub struct PlannedUpgrade {
    name: CaseName,
    scene: Scene,
    geometry: FlashPart,
    image_pages: u16,
    fragment_bytes: u16,
    /// Of images and flash, in short.
    digest: String,
    /// What the uncut run costs, once it was run.
    reference: OnceLock<Result<Reference, Breach>>,
}

/// Whether a bootloader refuses to jump to `package` in ACTIVE.
fn is_no_program(package: &powercut_package::Package, layout: &Layout) -> bool {
    let bounds = layout.program_bounds(package.manifest().size_bytes);
    package
        .image()
        .first_chunk()
        .is_none_or(|vectors| bootable::check(vectors, &bounds).is_err())
}

impl PlannedUpgrade {
    /// The upgrade of `case` on a board whose flash is provisioned with `flash`.
    ///
    /// # Errors
    /// When what the plan expects is nothing these images can lead to.
    pub fn new(
        case: PlannedCase,
        images: &Images,
        flash: Vec<u8>,
        (geometry, layout): (Geometry, Layout),
        link: &LinkProfile,
    ) -> Result<Self, SceneError> {
        let part = FlashPart::divided_like(geometry).ok_or(SceneError::Flash(geometry))?;
        let factory = flash
            .get(layout.factory.start as usize..)
            .and_then(<[u8]>::first_chunk)
            .and_then(|page| Factory::decode(page).ok())
            .ok_or(SceneError::NoIdentity)?;
        if factory.dialect != Dialect::Lean {
            return Err(SceneError::Dialect);
        }
        let old = ScriptedPackage::served(&images.old, factory.device_key.clone())?;
        let new = ScriptedPackage::served(&images.new, factory.device_key)?;
        let (before, after) = (images.old.manifest(), images.new.manifest());
        let in_force = before
            .security_counter
            .max(factory.minimum_security_counter);
        let scenario = match case.outcome {
            Outcome::Confirmed if after.size_bytes < before.size_bytes => Scenario::Shorter,
            Outcome::Confirmed => Scenario::Longer,
            Outcome::Reverted if is_no_program(&images.new, &layout) => Scenario::Unbootable,
            Outcome::Reverted => Scenario::NeverConfirms,
            Outcome::Refused if images.new.signed().verify(&factory.trusted_keys).is_err() => {
                Scenario::BadSignature
            }
            Outcome::Refused if after.security_counter < in_force => Scenario::Older,
            Outcome::Refused => {
                return Err(SceneError::NothingToRefuse {
                    image: case.new_image,
                });
            }
        };
        let digest = Sha256::new()
            .chain_update(&flash)
            .chain_update(new.signed.encode())
            .finalize();
        let pages = |size_bytes: u32| layout.image_pages(size_bytes);
        Ok(Self {
            name: case.name,
            geometry: part,
            image_pages: pages(before.size_bytes).max(pages(after.size_bytes)),
            fragment_bytes: after.fragment_bytes,
            digest: hex::encode(&digest[..4]),
            reference: OnceLock::new(),
            scene: Scene {
                pages: geometry.pages() as usize,
                factory_flash: Some(flash),
                scenario,
                earlier: None,
                fragments: FragmentLayout {
                    count: after.fragments(),
                    bytes: u32::from(after.fragment_bytes),
                    page_bytes: layout.page_bytes,
                    are_written_through: geometry.programs_twice(),
                },
                reference: Reference::default(),
                loss_permille: loss_permille(link),
                seed: case.seed,
                layout,
                old,
                new,
            },
        })
    }

    /// Which case it is of.
    pub fn name(&self) -> &CaseName {
        &self.name
    }

    /// Its scene, without what its uncut run costs.
    pub(super) fn scene(&self) -> Scene {
        self.scene.clone()
    }

    /// What its uncut run costs; `measure` runs it, once.
    pub(super) fn reference(
        &self,
        measure: impl FnOnce() -> Result<Reference, Breach>,
    ) -> Result<Reference, Breach> {
        self.reference.get_or_init(measure).clone()
    }

    /// `like`, but of this upgrade.
    #[must_use]
    pub fn survey(self: Arc<Self>, like: &Survey) -> Survey {
        Survey {
            geometry: self.geometry,
            scenario: self.scene.scenario,
            image_pages: self.image_pages,
            fragment_bytes: Some(self.fragment_bytes),
            loss_permille: self.scene.loss_permille,
            seed: self.name.seed,
            planned: Some(self),
            ..like.clone()
        }
    }
}

impl fmt::Display for PlannedUpgrade {
    /// Its case and what it is made of: equal for equal work.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:images={}", self.name, self.digest)
    }
}

impl fmt::Debug for PlannedUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PlannedUpgrade")
            .field(&self.to_string())
            .finish()
    }
}

impl PartialEq for PlannedUpgrade {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.scene == other.scene
    }
}

impl Eq for PlannedUpgrade {}

/// Of 1000 questions, so many get no answer.
pub fn loss_permille(link: &LinkProfile) -> u16 {
    let arrives = |percent: f64| 1.0 - percent / 100.0;
    let answered = arrives(link.to_platform.drop_percent) * arrives(link.to_device.drop_percent);
    let lost = ((1.0 - answered) * 1000.0).round();
    // Something has to come through, or no upgrade ends.
    (0..999)
        .find(|permille| f64::from(*permille) >= lost)
        .unwrap_or(999)
}

#[cfg(test)]
mod tests {
    use nor_flash_model::CutEffect;

    use super::*;
    use crate::campaign;
    use crate::survey::{Depth, Partition, replay_with_flash};
    use powercut_link::WayProfile;
    use powercut_oracle::fixture;

    fn lossy() -> LinkProfile {
        let way = WayProfile {
            drop_percent: 4.0,
            ..WayProfile::default()
        };
        LinkProfile {
            to_platform: way,
            to_device: way,
            ..LinkProfile::ideal()
        }
    }

    /// The upgrade of the two small images of the fixture.
    fn upgrade(outcome: Outcome) -> Result<Arc<PlannedUpgrade>, SceneError> {
        let case = PlannedCase {
            name: CaseName {
                plan: "p".to_owned(),
                index: 1,
                board: "mb-1".to_owned(),
                seed: 7,
            },
            outcome,
            new_image: "1.1.0".to_owned(),
            seed: 1,
        };
        let (images, flash) = (fixture::images(), fixture::provisioned());
        let link = LinkProfile::ideal();
        let map = (fixture::GEOMETRY, fixture::LAYOUT);
        PlannedUpgrade::new(case, &images, flash, map, &link).map(Arc::new)
    }

    fn confirmed() -> Arc<PlannedUpgrade> {
        upgrade(Outcome::Confirmed).unwrap()
    }

    #[test]
    fn a_question_is_lost_if_it_or_its_answer_is() {
        assert_eq!(loss_permille(&LinkProfile::ideal()), 0);
        assert_eq!(loss_permille(&lossy()), 78);
        let dead = LinkProfile {
            to_device: WayProfile {
                drop_percent: 100.0,
                ..WayProfile::default()
            },
            ..lossy()
        };
        assert_eq!(loss_permille(&dead), 999);
    }

    #[test]
    fn operations_are_numbered_from_one_on_the_flash_a_board_is_provisioned_with() {
        let survey = confirmed().survey(&Survey::default());
        let operations = survey.operations().unwrap();
        assert_eq!(*operations.start(), 1);
        let cut = |operation, effect| nor_flash_model::Cut { operation, effect };
        let (judged, flashes) =
            replay_with_flash(&survey.schedule(vec![cut(1, CutEffect::Before)]));
        assert_eq!(judged, Ok(()));
        assert_eq!(flashes.after_cuts, [fixture::provisioned()]);
        assert!(flashes.at_rest.is_some());
        let last = cut(*operations.end(), CutEffect::After);
        assert_eq!(replay_with_flash(&survey.schedule(vec![last])).0, Ok(()));
    }

    #[test]
    fn every_single_cut_of_planned_upgrades_is_survived_and_they_end_as_the_plan_says() {
        for expect in [Outcome::Confirmed, Outcome::Reverted] {
            let survey = upgrade(expect).unwrap().survey(&Survey {
                depth: Depth::Exhaustive { cuts: 1 },
                ..Survey::default()
            });
            let (counts, failures) = survey.run(Partition { index: 1, of: 7 }, &|_, _| true);
            assert_eq!(failures, []);
            assert!(counts.schedules > 1_000, "{counts:?}");
        }
    }

    #[test]
    fn a_refusal_needs_a_reason_in_the_image() {
        let error = upgrade(Outcome::Refused).unwrap_err();
        assert!(error.to_string().contains("1.1.0 is refused, but"));
    }

    #[test]
    fn slices_say_plan_case_and_images_and_know_the_lines_of_their_failures() {
        let survey = confirmed().survey(&Survey::default());
        let slices = campaign::slices(std::slice::from_ref(&survey), Partition { index: 0, of: 1 });
        let name = slices[0].name();
        assert!(name.starts_with("p:1:mb-1:seed=7:images="), "{name}");
        let cuts = vec!["op3/prefix1".parse().unwrap()];
        let schedule = survey.schedule(cuts);
        let line = schedule.to_string();
        assert_eq!(line, "core:p:1:mb-1:seed=7:cuts=op3/prefix1");
        assert_eq!(slices[0].schedule(&line), Some(schedule));
        for other in [
            "core:p:2:mb-1:seed=7:cuts=none",
            "core:tiny:longer:cuts=none",
        ] {
            assert_eq!(slices[0].schedule(other), None);
        }
    }
}
