//! Limiting the rate at which a link sends: a token bucket (tc-tbf(8); linux/pkt_sched.h).

use std::fmt;
use std::str::FromStr;

use libc::{RTM_DELQDISC, RTM_NEWQDISC, TCA_KIND, TCA_OPTIONS};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use nix::errno::Errno;

use super::attributes::Written;
use super::{Connection, Message, Refusal};
use crate::decimal::decimal;
use crate::error::{Error, Result};

/// `TC_H_ROOT`: in place of the link's own queue.
const ROOT: u32 = u32::MAX;
/// `TCA_TBF_*`.
const PARAMETERS: u16 = 1;
const RATE64: u16 = 4;
const BURST: u16 = 6;
/// `TC_LINKLAYER_ETHERNET`: what spares the kernel a table of 256 lengths.
const ETHERNET: u8 = 1;
/// What may go out at once: never less than this many bytes.
const LEAST_BURST: u64 = 32 * 1024;
/// How long a packet may wait before later ones are dropped, in milliseconds.
const LATENCY: u64 = 400;
/// What may stand before `bit`.
const UNITS: [&str; 5] = ["", "k", "m", "g", "t"];

/// A rate in bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(u64);

impl FromStr for Rate {
    type Err = Error;

    /// As tc(8) has it: `1mbit`, `500kbit`, `1.5gbit`, `2mibit`; `bps` is bytes; a bare number is bits.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(format!("'{text}' is no rate"))
                .hint("a rate looks like 500kbit, 1mbit or 1.5gbit; 100kbps is bytes")
        };
        let lower = text.to_ascii_lowercase();
        let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, unit) = lower.split_at(end.unwrap_or(lower.len()));
        let (scale, per_byte) = match unit.strip_suffix("bps") {
            Some(scale) => (scale, 1),
            None => (unit.strip_suffix("bit").unwrap_or(unit), 8),
        };
        let (scale, base) = match scale.strip_suffix('i') {
            Some(scale) => (scale, 1024_u64),
            None => (scale, 1000),
        };
        let power = UNITS.iter().position(|s| *s == scale);
        let power = power.and_then(|power| u32::try_from(power).ok());
        let factor = power.map(|power| base.pow(power)).ok_or_else(wrong)?;
        let bytes = scaled(number, factor).ok_or_else(wrong)? / per_byte;
        match bytes {
            0 => Err(wrong().because("nothing would ever get through")),
            bytes => Ok(Self(bytes)),
        }
    }
}

/// A number, possibly with a fraction, times `factor`.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.len() > 9 {
        return None;
    }
    let parts = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(decimal::<u64>(fraction)?) * u128::from(factor) / u128::from(parts);
    let whole = decimal::<u64>(whole)?.checked_mul(factor)?;
    whole.checked_add(u64::try_from(part).ok()?)
}

/// In bits, in the largest unit that needs no fraction.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bits = u128::from(self.0) * 8;
        let mut unit = 0;
        while bits % 1000 == 0 && unit + 1 < UNITS.len() {
            bits /= 1000;
            unit += 1;
        }
        write!(f, "{bits}{}bit", UNITS.get(unit).unwrap_or(&""))
    }
}

impl Rate {
    /// What may go out at once, in bytes: what a hundredth of a second lets through.
    pub fn burst(self) -> u32 {
        u32::try_from((self.0 / 100).max(LEAST_BURST)).unwrap_or(u32::MAX)
    }

    /// How many bytes may wait.
    fn limit(self) -> u32 {
        let waiting = self.0.saturating_mul(LATENCY) / 1000;
        u32::try_from(waiting.saturating_add(self.burst().into())).unwrap_or(u32::MAX)
    }

    /// `struct tc_tbf_qopt`: the rate, no peak rate, what may wait, and two fields that [`BURST`] replaces.
    fn parameters(self) -> [u8; 36] {
        let mut bytes = [0; 36];
        bytes[1] = ETHERNET;
        let rate = u32::try_from(self.0).unwrap_or(u32::MAX);
        bytes[8..12].copy_from_slice(&rate.to_ne_bytes());
        bytes[24..28].copy_from_slice(&self.limit().to_ne_bytes());
        bytes
    }
}

/// Limits the rate at which the link numbered `link` sends, or changes the limit.
///
/// # Errors
/// `ENOENT` where the kernel has no token bucket (`sch_tbf`).
pub fn limit(connection: &mut Connection, link: u32, rate: Rate) -> Result<(), Refusal> {
    let mut options = Written::default().with(PARAMETERS, &rate.parameters());
    options = options.with_u32(BURST, rate.burst());
    if rate.0 > u64::from(u32::MAX) {
        options = options.with(RATE64, &rate.0.to_ne_bytes());
    }
    let message = Written::behind(&structure(link))
        .with_text(TCA_KIND, "tbf")
        .with_nested(TCA_OPTIONS, &options);
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    connection.change(Message::Raw(RTM_NEWQDISC, message.bytes()), flags)
}

/// Takes the limit away.
///
/// # Errors
/// The kernel's answer; there is none where there was no limit.
pub fn unlimit(connection: &mut Connection, link: u32) -> Result<(), Refusal> {
    let message = structure(link).to_vec();
    match connection.change(Message::Raw(RTM_DELQDISC, message), 0) {
        // The queue that a link has by itself cannot be removed.
        Err(refusal) if matches!(refusal.errno, Errno::ENOENT | Errno::EINVAL) => Ok(()),
        other => other,
    }
}

/// `struct tcmsg`: the root queue of a link.
fn structure(link: u32) -> [u8; 20] {
    let mut structure = [0; 20];
    structure[4..8].copy_from_slice(&link.to_ne_bytes());
    structure[12..16].copy_from_slice(&ROOT.to_ne_bytes());
    structure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_tc() {
        let cases = [
            ("1mbit", Some((125_000, "1mbit"))),
            ("1Mbit", Some((125_000, "1mbit"))),
            ("500kbit", Some((62_500, "500kbit"))),
            ("1.5gbit", Some((187_500_000, "1500mbit"))),
            ("8", Some((1, "8bit"))),
            ("100kbps", Some((100_000, "800kbit"))),
            ("1mibit", Some((131_072, "1048576bit"))),
            ("40gbit", Some((5_000_000_000, "40gbit"))),
            ("1", None),
            ("0mbit", None),
            ("", None),
            ("mbit", None),
            ("1.mbit", None),
            ("-1mbit", None),
            ("1xbit", None),
            ("99999999999tbit", None),
        ];
        for (text, want) in cases {
            let got = text.parse::<Rate>().ok();
            let got = got.map(|rate| (rate.0, rate.to_string()));
            assert_eq!(got, want.map(|(n, s)| (n, s.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_bucket_holds_a_packet_and_a_while() {
        let slow: Rate = "1mbit".parse().unwrap();
        assert_eq!((slow.burst(), slow.limit()), (32_768, 82_768));
        let fast: Rate = "100gbit".parse().unwrap();
        assert_eq!(fast.burst(), 125_000_000);
    }
}
