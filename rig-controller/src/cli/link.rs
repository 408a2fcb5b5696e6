//! `rig link`: profiles made from captures, and a link played between programs of this host.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{CliError, say, signals};
use crate::run::DEFAULT_LINKS;
use powercut_bench::link::{UdpRelay, UdpRelayCounters};
use powercut_link::capture::Capture;
use powercut_link::fit::{Fitted, fit};
use powercut_link::{LinkProfile, TimeScale};

/// Options of `rig link`.
#[derive(Debug, Args)]
pub(super) struct LinkArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Fit a profile to a capture of a real link: a CSV file with the columns `time_s,direction,bytes,id`.
    Fit(FitArgs),
    /// Relay UDP datagrams to a server as a link would, until Ctrl-C.
    Relay(RelayArgs),
}

#[derive(Debug, Args)]
struct FitArgs {
    /// A line for each datagram, as seen at the device: seconds, `up` or `down`, bytes of UDP payload, and a text that
    /// an answer has in common with its question.
    capture: PathBuf,
    /// What the profile says of itself.
    #[arg(long, value_name = "TEXT", default_value = "fitted to a capture")]
    description: String,
    /// Write the profile to this file and not to the terminal.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RelayArgs {
    /// The server, ADDRESS:PORT.
    #[arg(long, value_name = "ADDRESS")]
    to: SocketAddr,
    /// Where clients find the relay; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The profile.
    #[arg(long, value_name = "NAME")]
    link: String,
    /// Folder of the link profiles.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_LINKS)]
    links: PathBuf,
    /// What is lost and how long things take is drawn from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much faster than real the link is. Timers of client and server know nothing of it.
    #[arg(long, value_name = "TIMES", default_value = "1", value_parser = time_scale)]
    time_scale: TimeScale,
}

/// Reads a time scale.
pub(super) fn time_scale(text: &str) -> Result<TimeScale, String> {
    text.parse()
        .ok()
        .and_then(TimeScale::new)
        .ok_or_else(|| "write a number from 0.01 to 10000".to_owned())
}

/// Runs the verb.
pub(super) fn link(args: &LinkArgs) -> Result<ExitCode, CliError> {
    match &args.verb {
        Verb::Fit(args) => fit_capture(args),
        Verb::Relay(args) => relay(args),
    }
}

fn fit_capture(args: &FitArgs) -> Result<ExitCode, CliError> {
    let capture = Capture::load(&args.capture)?;
    let Fitted { mut profile, notes } = fit(&capture)?;
    profile.description.clone_from(&args.description);
    let text = profile.to_yaml(&notes);
    match &args.out {
        None => say::text(&text),
        Some(path) => {
            std::fs::write(path, text).map_err(|source| CliError::Write {
                path: path.clone(),
                source,
            })?;
            for note in notes {
                say::line(&note);
            }
            say::line(&format!("Profile: {}", path.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn relay(args: &RelayArgs) -> Result<ExitCode, CliError> {
    let profile = LinkProfile::load(&args.links, &args.link)?;
    let relay = UdpRelay::start(args.listen, args.to, profile, args.seed, args.time_scale)?;
    say::line(&format!(
        "{} relays to {} as {} does, {} times faster than real; Ctrl-C ends it",
        relay.local_addr(),
        args.to,
        args.link,
        args.time_scale.times()
    ));
    signals::wait_for_one()?;
    for line in carried(&relay.counters()) {
        say::line(&line);
    }
    Ok(ExitCode::SUCCESS)
}

/// What a relay has carried, a line each way.
fn carried(counters: &UdpRelayCounters) -> Vec<String> {
    [
        ("to the server", counters.to_server),
        ("to clients", counters.to_client),
    ]
    .into_iter()
    .map(|(name, way)| {
        format!(
            "{name}: {} datagrams, {} bytes, {} datagrams lost, {} doubled",
            way.datagrams, way.bytes, way.lost, way.doubled
        )
    })
    .collect()
}
