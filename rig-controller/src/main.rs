//! The `rig` command.
use std::process::ExitCode;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> ExitCode {
    // Stdout is for results; what goes on inside is for those who ask (RUST_LOG=debug).
    let asked = std::env::var("RUST_LOG").ok();
    let asked = asked.and_then(|text| text.parse::<Targets>().ok());
    let targets = asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .init();
    rig_controller::cli::main()
}
