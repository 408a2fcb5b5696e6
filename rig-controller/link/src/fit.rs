//! Fits a link profile to a [`Capture`]: what rates, round trips and losses would give exchanges like these.
//!
//! The model is that of [`Air`](super::Air): the time of an exchange is a lognormal round trip, plus the bytes of the question over one
//! rate and those of the answer over another. Rates are fitted by least squares over the lengths (so the lengths must
//! vary, or there is no telling), the round trip's median and sigma from the logarithms of what the rates leave. Exchanges
//! that overlap another are left out of that, for they wait for each other; of loss all of them tell. A capture at the
//! device's end cannot tell which of two datagrams was lost, so loss is shared out evenly.
use std::time::Duration;

use super::capture::Capture;
use super::profile::{LinkProfile, RoundTrip, WayProfile};

/// Answered exchanges without overlap below which nothing is fitted.
pub const FEWEST_EXCHANGES: usize = 50;
/// A rate is believed if what it takes a byte is so many of its own standard errors above nothing.
const SIGNIFICANT: f64 = 3.0;
/// Standard deviations above the fitted median from which on the first exchange counts as a first contact.
const UNUSUAL: f64 = 2.3;

/// A profile, and how far to trust it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The profile; its modem is the default one, of which a capture says nothing.
    pub profile: LinkProfile,
    /// What it was fitted to and what could not be told, a line each.
    pub notes: Vec<String>,
}

/// Too little to fit a profile to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the capture has {usable} answered exchanges that overlap no other ({all} in all), and fewer than {FEWEST_EXCHANGES} say too little of a link; capture a longer time, and one question at a time"
)]
pub struct TooFewError {
    /// Exchanges that can be used.
    pub usable: usize,
    /// Exchanges there are.
    pub all: usize,
}

/// One exchange as the fit sees it, in seconds and bytes.
#[derive(Debug, Clone, Copy)]
struct Sample {
    seconds: f64,
    up: f64,
    down: f64,
}

/// Fit a profile.
///
/// # Errors
/// When there are too few exchanges.
pub fn fit(capture: &Capture) -> Result<Fitted, TooFewError> {
    let mut samples = lone_exchanges(capture);
    let all = capture.exchanges.len();
    if samples.len() < FEWEST_EXCHANGES {
        return Err(TooFewError {
            usable: samples.len(),
            all,
        });
    }
    let mut notes = vec![format!(
        "fitted to {} exchanges without overlap, of {all} in the capture",
        samples.len()
    )];
    // The first may hold the first contact: it is judged by the others.
    let first = samples.remove(0);
    let (up, down) = rates(&samples);
    let rest = |sample: &Sample| {
        let on_air =
            |cost: Option<Slope>, bytes| cost.map_or(0.0, |cost| cost.seconds_a_byte * bytes);
        sample.seconds - on_air(up, sample.up) - on_air(down, sample.down)
    };
    let logarithms: Vec<f64> = samples
        .iter()
        .map(rest)
        .filter(|seconds| *seconds > 0.0)
        .map(f64::ln)
        .collect();
    let count = logarithms.len().max(1) as f64;
    let mean = logarithms.iter().sum::<f64>() / count;
    let sigma = (logarithms.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
    notes.push(format!(
        "round trip: median {:.1} ms within {:.1} %, sigma within {:.3} (one standard error each)",
        mean.exp() * 1e3,
        sigma / count.sqrt() * 100.0,
        sigma / (2.0 * count).sqrt()
    ));
    for (name, slope) in [("to_platform", up), ("to_device", down)] {
        notes.push(match slope {
            Some(slope) => format!(
                "{name}: {:.0} bit/s within {:.0} % (one standard error)",
                slope.rate_bps(),
                slope.error / slope.seconds_a_byte * 100.0
            ),
            None => format!(
                "{name}: no rate can be told from these lengths; none is set, and what it takes is in the round trip"
            ),
        });
    }
    let contact = rest(&first) - mean.exp();
    let is_contact = rest(&first) > (mean + UNUSUAL * sigma.max(0.01)).exp();
    let first_contact = if is_contact {
        Duration::from_secs_f64(contact)
    } else {
        notes.push("first contact: the first exchange took no longer than others".to_owned());
        Duration::ZERO
    };
    let (drop_percent, duplicate_percent) = losses(capture, &mut notes);
    let way = |slope: Option<Slope>, duplicate_percent| WayProfile {
        drop_percent,
        duplicate_percent,
        rate_bps: slope.map(|slope| slope.rate_bps().round()),
    };
    Ok(Fitted {
        profile: LinkProfile {
            description: "fitted to a capture".to_owned(),
            round_trip: Some(RoundTrip {
                median: Duration::from_secs_f64(mean.exp()),
                sigma: rounded(sigma),
            }),
            first_contact,
            to_platform: way(up, 0.0),
            to_device: way(down, duplicate_percent),
            ..LinkProfile::ideal()
        },
        notes,
    })
}

fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

/// Answered exchanges during which no other was under way.
fn lone_exchanges(capture: &Capture) -> Vec<Sample> {
    let mut answered_until = f64::NEG_INFINITY;
    let mut lone = Vec::new();
    for (place, exchange) in capture.exchanges.iter().enumerate() {
        let Some((came_s, down)) = exchange.answer else {
            continue;
        };
        let next_s = capture
            .exchanges
            .get(place + 1)
            .map_or(f64::INFINITY, |next| next.sent_s);
        if exchange.sent_s >= answered_until && next_s >= came_s {
            lone.push(Sample {
                seconds: came_s - exchange.sent_s,
                up: exchange.up_bytes,
                down,
            });
        }
        answered_until = answered_until.max(came_s);
    }
    lone
}

/// What a byte takes.
#[derive(Debug, Clone, Copy)]
struct Slope {
    seconds_a_byte: f64,
    error: f64,
}

impl Slope {
    fn rate_bps(self) -> f64 {
        8.0 / self.seconds_a_byte
    }

    fn is_significant(self) -> bool {
        self.seconds_a_byte > SIGNIFICANT * self.error
    }
}

/// Least squares of time over both lengths; what is not significant is left out, and the other fitted alone.
fn rates(samples: &[Sample]) -> (Option<Slope>, Option<Slope>) {
    if let Some((up, down)) = both_rates(samples)
        && up.is_significant()
        && down.is_significant()
    {
        return (Some(up), Some(down));
    }
    let up = one_rate(samples, |sample| sample.up);
    let down = one_rate(samples, |sample| sample.down);
    match (up, down) {
        // Lengths that go together tell of one rate only: that of the larger share.
        (Some(up), Some(down))
            if up.seconds_a_byte / up.error > down.seconds_a_byte / down.error =>
        {
            (Some(up), None)
        }
        (Some(_), Some(down)) => (None, Some(down)),
        one => one,
    }
}

fn both_rates(samples: &[Sample]) -> Option<(Slope, Slope)> {
    let sums = Sums::of(samples, |sample| sample.up, |sample| sample.down);
    let determinant = sums.xx * sums.yy - sums.xy * sums.xy;
    if determinant <= 1e-6 * sums.xx * sums.yy {
        return None;
    }
    let up = (sums.xt * sums.yy - sums.yt * sums.xy) / determinant;
    let down = (sums.yt * sums.xx - sums.xt * sums.xy) / determinant;
    let unexplained = (sums.tt - up * sums.xt - down * sums.yt).max(0.0);
    let variance = unexplained / (samples.len() as f64 - 3.0).max(1.0);
    Some((
        Slope {
            seconds_a_byte: up,
            error: (variance * sums.yy / determinant).sqrt(),
        },
        Slope {
            seconds_a_byte: down,
            error: (variance * sums.xx / determinant).sqrt(),
        },
    ))
}

fn one_rate(samples: &[Sample], length: impl Fn(&Sample) -> f64) -> Option<Slope> {
    let sums = Sums::of(samples, length, |_| 0.0);
    if sums.xx <= 0.0 {
        return None;
    }
    let slope = sums.xt / sums.xx;
    let variance = (sums.tt - slope * sums.xt).max(0.0) / (samples.len() as f64 - 2.0).max(1.0);
    let slope = Slope {
        seconds_a_byte: slope,
        error: (variance / sums.xx).sqrt(),
    };
    slope.is_significant().then_some(slope)
}

/// Sums of products of two lengths x and y and the time t, each less its mean.
struct Sums {
    xx: f64,
    yy: f64,
    xy: f64,
    xt: f64,
    yt: f64,
    tt: f64,
}

impl Sums {
    fn of(samples: &[Sample], x: impl Fn(&Sample) -> f64, y: impl Fn(&Sample) -> f64) -> Self {
        let count = samples.len().max(1) as f64;
        let mean = |value: &dyn Fn(&Sample) -> f64| samples.iter().map(value).sum::<f64>() / count;
        let (mean_x, mean_y, mean_t) = (mean(&x), mean(&y), mean(&|sample| sample.seconds));
        let mut sums = Self {
            xx: 0.0,
            yy: 0.0,
            xy: 0.0,
            xt: 0.0,
            yt: 0.0,
            tt: 0.0,
        };
        for sample in samples {
            let (x, y, t) = (
                x(sample) - mean_x,
                y(sample) - mean_y,
                sample.seconds - mean_t,
            );
            sums.xx += x * x;
            sums.yy += y * y;
            sums.xy += x * y;
            sums.xt += x * t;
            sums.yt += y * t;
            sums.tt += t * t;
        }
        sums
    }
}

/// Percent lost each way, and percent of answers that came twice.
fn losses(capture: &Capture, notes: &mut Vec<String>) -> (f64, f64) {
    let all = capture.exchanges.len() as f64;
    let answered = capture
        .exchanges
        .iter()
        .filter(|exchange| exchange.answer.is_some())
        .count() as f64;
    let lost = all - answered;
    let share = 1.0 - (answered / all).sqrt();
    notes.push(if lost == 0.0 {
        // The rule of three.
        format!(
            "loss: none of {all} exchanges, so at most {:.2} % a way",
            150.0 / all
        )
    } else {
        format!("loss: {lost} of {all} exchanges had no answer, shared evenly between the ways")
    });
    let doubled: u64 = capture
        .exchanges
        .iter()
        .map(|exchange| exchange.copies.min(1))
        .sum();
    (
        rounded(share * 100.0),
        rounded(doubled as f64 / answered.max(1.0) * 100.0),
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Air, Direction, Impairment};
    use super::*;
    use std::fmt::Write;
    use std::path::Path;

    /// What a device would write down that asks `questions` times over the link of `profile`.
    fn capture(profile: &LinkProfile, questions: u32) -> Capture {
        let mut air = Air::new(profile, Impairment::new(profile, 7));
        let mut text = "time_s,direction,bytes,id\n".to_owned();
        let mut now = Duration::from_secs(5);
        for n in 0..questions {
            let mut question = vec![0; 20 + (n as usize * 37) % 400];
            question[..4].copy_from_slice(&n.to_be_bytes());
            let mut answer = vec![1; 20 + (n as usize * 101) % 900];
            answer[..4].copy_from_slice(&n.to_be_bytes());
            writeln!(text, "{},up,{},{n}", now.as_secs_f64(), question.len()).unwrap();
            let there = air.carry(Direction::ToPlatform, &question, now);
            let back = air.carry(Direction::ToDevice, &answer, there.arrives);
            if there.copies > 0 && back.copies > 0 {
                now = back.arrives;
                writeln!(text, "{},down,{},{n}", now.as_secs_f64(), answer.len()).unwrap();
            } else {
                now = back.arrives + Duration::from_secs(30);
            }
            now += Duration::from_millis(1);
        }
        Capture::parse(Path::new("made-up.csv"), &text).unwrap()
    }

    fn nb_iot() -> LinkProfile {
        let links = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/links");
        LinkProfile::load(&links, "nb-iot-ce1").unwrap()
    }

    #[test]
    fn a_profile_is_found_again_in_what_it_does() {
        let known = nb_iot();
        let Fitted { profile, notes } = fit(&capture(&known, 4_000)).unwrap();
        let close = |fitted: f64, known: f64, percent: f64| {
            let off = (fitted / known - 1.0).abs() * 100.0;
            assert!(off < percent, "{fitted} is not {known}: {notes:#?}");
        };
        let (fitted, true_one) = (profile.round_trip.unwrap(), known.round_trip.unwrap());
        close(
            fitted.median.as_secs_f64(),
            true_one.median.as_secs_f64(),
            4.0,
        );
        close(fitted.sigma, true_one.sigma, 6.0);
        close(
            profile.to_platform.rate_bps.unwrap(),
            known.to_platform.rate_bps.unwrap(),
            12.0,
        );
        close(
            profile.to_device.rate_bps.unwrap(),
            known.to_device.rate_bps.unwrap(),
            12.0,
        );
        close(profile.to_platform.drop_percent, 2.0, 25.0);
        close(profile.to_device.drop_percent, 2.0, 25.0);
        assert!(profile.first_contact > Duration::from_secs(3));
        assert!(profile.first_contact < Duration::from_secs(6));
    }

    #[test]
    fn a_capture_that_is_too_short_is_refused_with_what_to_do() {
        let message = fit(&capture(&nb_iot(), 40)).unwrap_err().to_string();
        assert!(message.contains("fewer than 50"), "{message}");
        assert!(message.contains("capture a longer time"), "{message}");
    }

    #[test]
    fn exchanges_that_overlap_are_not_measured() {
        let text = "time_s,direction,bytes,id\n0,up,9,a\n1,up,9,b\n2,down,9,a\n3,down,9,b\n4,up,9,c\n5,down,9,c\n";
        let capture = Capture::parse(Path::new("c.csv"), text).unwrap();
        assert_eq!(lone_exchanges(&capture).len(), 1);
    }

    #[test]
    fn lengths_that_never_change_tell_no_rate() {
        let mut text = "time_s,direction,bytes,id\n".to_owned();
        for n in 0..60_u32 {
            writeln!(text, "{n},up,19,{n}\n{n}.{},down,100,{n}", 3 + n % 4).unwrap();
        }
        let capture = Capture::parse(Path::new("c.csv"), &text).unwrap();
        let Fitted { profile, notes } = fit(&capture).unwrap();
        assert_eq!(profile.to_device.rate_bps, None);
        assert!(
            notes
                .iter()
                .any(|note| note.contains("no rate can be told"))
        );
        assert!(notes.iter().any(|note| note.contains("at most 2.50 %")));
    }
}
