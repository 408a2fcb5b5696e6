//! `rig figures coap`: CoAP Block2 by an independent peer over a link, beside an upgrade over the same link.
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::coap_peer::transfer;
use crate::cli::link::time_scale;
use crate::cli::{CliError, say};
use crate::run::DEFAULT_LINKS;
use powercut_bench::modem::ModemPower;
use powercut_link::{LinkProfile, TimeScale};
use powercut_simulate::report::aligned;
use powercut_simulate::{
    CampaignError, CutBy, PowerRules, SimulatedPart, SimulatedStage, Upgrade, Variant,
};

/// Options of `rig figures coap`.
#[derive(Debug, Args)]
pub(in crate::cli) struct CoapArgs {
    /// The link profile.
    #[arg(long, value_name = "NAME", default_value = "nb-iot-ce0")]
    link: String,
    /// Folder of the link profiles.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_LINKS)]
    links: PathBuf,
    /// Bytes to transfer.
    #[arg(long, value_name = "BYTES", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(256..=1_048_576))]
    image_bytes: u32,
    /// Bytes of a CoAP block and of a fragment.
    #[arg(long, value_name = "BYTES", default_value = "512", value_parser = ["32", "64", "128", "256", "512", "1024"])]
    block: String,
    /// How much faster than real the link is for CoAP. Its timers are not: on a link with loss leave it at 1.
    #[arg(long, value_name = "TIMES", default_value = "1", value_parser = time_scale)]
    time_scale: TimeScale,
    /// What is lost and how long things take is drawn from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the verb.
pub(super) fn coap(args: &CoapArgs) -> Result<ExitCode, CliError> {
    let link = LinkProfile::load(&args.links, &args.link)?;
    // One of the values that clap lets pass.
    let block = args.block.parse().unwrap_or(512);
    let resource: Vec<u8> = (0..args.image_bytes)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect();
    let coap = transfer(link.clone(), &resource, block, args.seed, args.time_scale)?;
    let upgrade = Upgrade {
        part: SimulatedPart::ALL[1],
        link,
        image_bytes: args.image_bytes,
        fragment_bytes: block,
        variant: Variant::lean(),
        cuts: 0,
        power: PowerRules {
            during: vec![SimulatedStage::Download],
            by: CutBy::Operation,
            off: Duration::ZERO,
            modem: ModemPower::Stays,
        },
    };
    let runs = upgrade.run(&[args.seed]).map_err(|source| CampaignError {
        what: upgrade.title(),
        source,
    })?;
    let mut rows = vec![row([
        "",
        "time s",
        "datagrams",
        "bytes",
        "overhead",
        "lost",
    ])];
    let (up, down) = (coap.counters.to_server, coap.counters.to_client);
    let line = |name: &str, time: Duration, datagrams: u64, bytes: u64, lost: u64| {
        row([
            name,
            &format!("{:.2}", time.as_secs_f64()),
            &datagrams.to_string(),
            &bytes.to_string(),
            &format!("{:.3}", bytes as f64 / f64::from(args.image_bytes)),
            &lost.to_string(),
        ])
    };
    rows.push(line(
        "CoAP Block2 (libcoap)",
        coap.time,
        up.datagrams + down.datagrams,
        up.bytes + down.bytes,
        up.lost + down.lost,
    ));
    for run in &runs {
        rows.push(line(
            upgrade.variant.name.as_str(),
            run.in_stage(SimulatedStage::Offer) + run.in_stage(SimulatedStage::Download),
            run.datagrams_up + run.datagrams_down,
            run.bytes_up + run.bytes_down,
            run.lost,
        ));
    }
    for line in aligned(&rows) {
        say::line(&line);
    }
    say::line(&format!(
        "{} bytes in blocks of {block} over {}, first contact included. CoAP: as it ran, without encryption, without a serial line in its way. {}: simulated on {}, encrypted, through modem and flash.",
        args.image_bytes, args.link, upgrade.variant.name, upgrade.part
    ));
    Ok(ExitCode::SUCCESS)
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.into_iter().map(str::to_owned).collect()
}
