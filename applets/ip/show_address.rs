//! Showing addresses.

use isobox::net::attributes::Attributes;
use isobox::net::message::Answer;
use isobox::net::number::ifa;

use super::out::Color;
use super::words::{Family, Prefix, family_of, octets};
use super::{Show, names};

/// `struct ifaddrmsg`.
const HEADER: usize = 8;
/// A lifetime without end.
const FOREVER: u32 = u32::MAX;

/// An address as the kernel tells it.
pub(super) struct Address<'a> {
    pub(super) family: u8,
    pub(super) bits: u8,
    pub(super) scope: u8,
    pub(super) index: u32,
    pub(super) flags: u32,
    pub(super) attributes: Attributes<'a>,
}

impl<'a> Address<'a> {
    /// Reads it.
    pub(super) fn of(answer: &'a Answer) -> Option<Self> {
        let [family, bits, flags, scope, i0, i1, i2, i3] = *answer.body.first_chunk::<HEADER>()?;
        let attributes = Attributes::new(answer.body.get(HEADER..)?);
        Some(Self {
            family,
            bits,
            scope,
            index: u32::from_ne_bytes([i0, i1, i2, i3]),
            flags: attributes.u32(ifa::FLAGS).unwrap_or(flags.into()),
            attributes,
        })
    }

    fn local(&self) -> Option<&'a [u8]> {
        let local = self.attributes.get(ifa::LOCAL);
        local.or_else(|| self.attributes.get(ifa::ADDRESS))
    }
}

/// Which addresses are meant.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    pub(super) family: Family,
    pub(super) scope: Option<u8>,
    /// Flags that must be as given: which, and how.
    pub(super) flags: (u32, u32),
    pub(super) to: Option<Prefix>,
    pub(super) label: Option<String>,
}

impl Selection {
    /// Whether this address is meant; `link` is the name of its link.
    pub(super) fn takes(&self, address: &Address<'_>, link: &str) -> bool {
        let (which, how) = self.flags;
        let label = address.attributes.text(ifa::LABEL);
        self.family.takes(address.family)
            && self.scope.is_none_or(|scope| scope == address.scope)
            && (address.flags ^ how) & which == 0
            && self.to.is_none_or(|to| is_within(address.local(), to))
            && self
                .label
                .as_ref()
                .is_none_or(|pattern| matches(pattern, label.as_deref().unwrap_or(link)))
    }
}

/// Whether an address lies in a prefix.
pub(super) fn is_within(address: Option<&[u8]>, prefix: Prefix) -> bool {
    let Some(base) = prefix.address else {
        return true;
    };
    let base = octets(base);
    let Some(address) = address.filter(|address| address.len() == base.len()) else {
        return false;
    };
    let mut left = usize::from(prefix.bits);
    base.iter().zip(address).all(|(a, b)| {
        let bits = left.min(8);
        left -= bits;
        let shift = 8 - u32::try_from(bits).unwrap_or(8);
        (a ^ b).checked_shr(shift).unwrap_or(0) == 0
    })
}

/// fnmatch(3) with `*` and `?`. A star that was taken too short is taken longer, the last one first.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || text.get(t) == Some(c) => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, t) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    let rest = pattern.get(p..).unwrap_or_default();
    rest.iter().all(|c| *c == b'*')
}

impl Show<'_> {
    /// An address.
    pub(super) fn address(&mut self, address: &Address<'_>) {
        let all = address.attributes;
        let brief = self.options.brief;
        if !brief {
            if self.options.oneline {
                let name = self.links.name(address.index);
                self.out.json_bare("index", &address.index.to_string());
                self.out.json_string("dev", &name);
                self.out.text(&format!("{}: {name}", address.index));
            }
            let family = Family::name(address.family);
            self.out.string("family", "    {} ", family);
        }
        let color = color_of(address.family);
        let local = address.local().unwrap_or_default();
        self.out.colored(color, "local", "{}", &names::ip(local));
        if let Some(peer) = all.get(ifa::ADDRESS).filter(|peer| *peer != local) {
            self.out.text(" peer ");
            self.out.colored(color, "address", "{}", &names::ip(peer));
        }
        self.out.number("prefixlen", "/{} ", address.bits.into());
        if brief {
            return;
        }
        if let Some(metric) = all.u32(ifa::RT_PRIORITY) {
            self.out.number("metric", "metric {} ", metric.into());
        }
        for (kind, word, key) in [
            (ifa::BROADCAST, "brd ", "broadcast"),
            (ifa::ANYCAST, "any ", "anycast"),
        ] {
            if let Some(value) = all.get(kind) {
                self.out.text(word);
                self.out.colored(color, key, "{} ", &names::ip(value));
            }
        }
        self.out
            .string("scope", "scope {} ", &names::scope(address.scope));
        self.address_flags(address);
        if let Some(label) = all.text(ifa::LABEL) {
            self.out.string("label", "{}", &label);
        }
        self.lifetimes(address);
        self.out.text("\n");
    }

    fn address_flags(&mut self, address: &Address<'_>) {
        const PERMANENT: u32 = 0x80;
        const SECONDARY: u32 = 1;
        let mut left = address.flags;
        for (bit, name) in names::ADDRESS_FLAGS {
            let name = match *bit {
                PERMANENT => "dynamic",
                SECONDARY if address.family == Family::V6.number() => "temporary",
                _ => name,
            };
            // An address that is not permanent is told.
            if (left & bit != 0) != (*bit == PERMANENT) {
                self.out.truth(name, &format!("{name} "), true);
            }
            left &= !bit;
        }
        if left != 0 {
            self.out
                .string("ifa_flags", "flags {} ", &format!("{left:02x}"));
        }
    }

    fn lifetimes(&mut self, address: &Address<'_>) {
        let Some(info) = address.attributes.get(ifa::CACHEINFO) else {
            return;
        };
        let at = |place: usize| {
            let part = info.get(place..).and_then(|rest| rest.first_chunk());
            part.map_or(0, |part| u32::from_ne_bytes(*part))
        };
        self.out.line();
        for (words, key, value) in [
            ("       valid_lft ", "valid_life_time", at(4)),
            (" preferred_lft ", "preferred_life_time", at(0)),
        ] {
            self.out.text(words);
            match value {
                FOREVER if !self.out.is_json() => self.out.text("forever"),
                value => self.out.number(key, "{}sec", value.into()),
            }
        }
    }
}

/// The colour of addresses of a family.
pub(super) fn color_of(family: u8) -> Color {
    match family {
        2 => Color::Inet,
        10 => Color::Inet6,
        _ => Color::None,
    }
}

impl Prefix {
    /// `AF_*`, or 0 where no address is named.
    pub(super) fn family(&self) -> u8 {
        self.address.map_or(0, family_of)
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::prefix;
    use super::*;

    #[test]
    fn within() {
        for (address, within, want) in [
            ("10.1.2.3", "10.0.0.0/8", true),
            ("10.1.2.3", "10.1.2.0/23", true),
            ("10.1.4.3", "10.1.2.0/23", false),
            ("10.1.2.3", "10.1.2.3/32", true),
            ("10.1.2.2", "10.1.2.3/32", false),
            ("11.1.2.2", "0.0.0.0/0", true),
            ("fd00::1", "10.0.0.0/8", false),
            ("fd00::1", "fd00::/16", true),
            ("fe00::1", "fd00::/7", false),
        ] {
            let address = octets(address.parse().unwrap());
            let prefix = prefix(within, Family::Any).unwrap();
            assert_eq!(
                is_within(Some(&address), prefix),
                want,
                "{address:?} {within}"
            );
        }
        assert!(!is_within(None, prefix("10.0.0.0/8", Family::Any).unwrap()));
    }

    #[test]
    fn patterns() {
        for (pattern, text, want) in [
            ("eth*", "eth0:1", true),
            ("eth?", "eth0", true),
            ("eth?", "eth", false),
            ("*0", "eth0", true),
            ("", "", true),
            ("a", "ab", false),
            ("*a*b", "xaxbab", true),
            ("*a*b", "xaxbaa", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }
}
