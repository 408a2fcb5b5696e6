//! The figures of a run, by name: the columns of tables and CSV files, and what charts show.
use std::time::Duration;

use super::clock::SimulatedStage;
use super::upgrade::Run;

/// One figure of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Until the platform knows that the new image is confirmed, seconds.
    Total,
    /// Time in a stage, seconds.
    InStage(SimulatedStage),
    /// UDP payload bytes from the device.
    BytesUp,
    /// UDP payload bytes to the device.
    BytesDown,
    /// UDP payload both ways over bytes of image.
    Overhead,
    /// Datagrams from the device.
    DatagramsUp,
    /// Datagrams to the device.
    DatagramsDown,
    /// Datagrams lost on the air.
    Lost,
    /// Requests for a fragment.
    Requested,
    /// Fragments sent.
    Served,
    /// Fragments received before a cut and fetched again after it.
    FetchedAgain,
    /// The most of them after one cut.
    FetchedAgainMost,
    /// Fragments in flight at cuts.
    InFlight,
    /// Fragments that waited in RAM for an earlier one at cuts.
    Held,
    /// Fragments asked for again without a cut in between.
    Repeated,
    /// Fragments that came before their turn and found no room.
    Dropped,
    /// Erases of journal pages.
    JournalErases,
    /// Erases of pages of ACTIVE and STAGING.
    SlotErases,
    /// Flash operations.
    FlashOperations,
    /// Starts of the bootloader.
    Boots,
    /// Mean time lost to a cut of the download, off time left out, seconds.
    LostACut,
    /// Of it, until the line to the platform was open again.
    BootACut,
    /// Of it, from then until the next fragment came.
    RoundTripACut,
    /// The least time of the download on the serial line, seconds.
    LimitLine,
    /// The least time of the download on the air, seconds.
    LimitAir,
    /// Time of the download over the least it could take.
    OverLimit,
    /// Bytes on the serial line, both ways.
    LineBytes,
    /// Bytes the device could not take.
    Overruns,
}

impl Measure {
    /// All, in the order of CSV columns.
    pub const ALL: [Self; 35] = [
        Self::Total,
        Self::InStage(SimulatedStage::Off),
        Self::InStage(SimulatedStage::Boot),
        Self::InStage(SimulatedStage::Connect),
        Self::InStage(SimulatedStage::Offer),
        Self::InStage(SimulatedStage::Download),
        Self::InStage(SimulatedStage::Verify),
        Self::InStage(SimulatedStage::Swap),
        Self::InStage(SimulatedStage::Trial),
        Self::BytesUp,
        Self::BytesDown,
        Self::Overhead,
        Self::DatagramsUp,
        Self::DatagramsDown,
        Self::Lost,
        Self::Requested,
        Self::Served,
        Self::FetchedAgain,
        Self::FetchedAgainMost,
        Self::InFlight,
        Self::Held,
        Self::Repeated,
        Self::Dropped,
        Self::JournalErases,
        Self::SlotErases,
        Self::FlashOperations,
        Self::Boots,
        Self::LostACut,
        Self::BootACut,
        Self::RoundTripACut,
        Self::LimitLine,
        Self::LimitAir,
        Self::OverLimit,
        Self::LineBytes,
        Self::Overruns,
    ];

    /// Its name in plans and CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Total => "total_s",
            Self::InStage(SimulatedStage::Off) => "off_s",
            Self::InStage(SimulatedStage::Boot) => "boot_s",
            Self::InStage(SimulatedStage::Connect) => "connect_s",
            Self::InStage(SimulatedStage::Offer) => "offer_s",
            Self::InStage(SimulatedStage::Download) => "download_s",
            Self::InStage(SimulatedStage::Verify) => "verify_s",
            Self::InStage(SimulatedStage::Swap) => "swap_s",
            Self::InStage(SimulatedStage::Trial) => "trial_s",
            Self::BytesUp => "bytes_up",
            Self::BytesDown => "bytes_down",
            Self::Overhead => "overhead",
            Self::DatagramsUp => "datagrams_up",
            Self::DatagramsDown => "datagrams_down",
            Self::Lost => "lost",
            Self::Requested => "requested",
            Self::Served => "served",
            Self::FetchedAgain => "fetched_again",
            Self::FetchedAgainMost => "fetched_again_most",
            Self::InFlight => "in_flight",
            Self::Held => "held",
            Self::Repeated => "repeated",
            Self::Dropped => "dropped",
            Self::JournalErases => "journal_erases",
            Self::SlotErases => "slot_erases",
            Self::FlashOperations => "flash_operations",
            Self::Boots => "boots",
            Self::LostACut => "lost_a_cut_s",
            Self::BootACut => "boot_a_cut_s",
            Self::RoundTripACut => "round_trip_a_cut_s",
            Self::LimitLine => "limit_line_s",
            Self::LimitAir => "limit_air_s",
            Self::OverLimit => "over_limit",
            Self::LineBytes => "line_bytes",
            Self::Overruns => "overruns",
        }
    }

    /// Its value in a run; `None` where there is none.
    pub fn of(self, run: &Run) -> Option<f64> {
        let seconds = |time: Duration| time.as_secs_f64();
        Some(match self {
            Self::Total => seconds(run.total),
            Self::InStage(stage) => seconds(run.in_stage(stage)),
            Self::BytesUp => run.bytes_up as f64,
            Self::BytesDown => run.bytes_down as f64,
            Self::Overhead => run.overhead(),
            Self::DatagramsUp => run.datagrams_up as f64,
            Self::DatagramsDown => run.datagrams_down as f64,
            Self::Lost => run.lost as f64,
            Self::Requested => run.counts.requested as f64,
            Self::Served => run.counts.served as f64,
            Self::FetchedAgain => run.counts.fetched_again as f64,
            Self::FetchedAgainMost => run.counts.fetched_again_most as f64,
            Self::InFlight => run.counts.in_flight as f64,
            Self::Held => run.counts.held as f64,
            Self::Repeated => run.counts.repeated as f64,
            Self::Dropped => run.counts.dropped as f64,
            Self::JournalErases => run.journal_erases as f64,
            Self::SlotErases => run.slot_erases as f64,
            Self::FlashOperations => run.flash_operations as f64,
            Self::Boots => f64::from(run.boots),
            Self::LostACut => seconds(run.lost_a_cut()?.total()),
            Self::BootACut => seconds(run.lost_a_cut()?.boot),
            Self::RoundTripACut => seconds(run.lost_a_cut()?.round_trip),
            Self::LimitLine => seconds(run.limit.line),
            Self::LimitAir => seconds(run.limit.air),
            Self::OverLimit => run.over_limit()?,
            Self::LineBytes => run.line_bytes as f64,
            Self::Overruns => run.overruns as f64,
        })
    }

    /// Its mean over the runs that have it.
    pub fn mean(self, runs: &[Run]) -> Option<f64> {
        let values: Vec<f64> = runs.iter().filter_map(|run| self.of(run)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The most it is in a run that has it.
    pub fn most(self, runs: &[Run]) -> Option<f64> {
        runs.iter()
            .filter_map(|run| self.of(run))
            .max_by(f64::total_cmp)
    }
}
