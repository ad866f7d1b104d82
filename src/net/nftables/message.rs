//! Messages to netfilter as bytes (netlink(7), linux/netfilter/nfnetlink.h): headers, and what stands between them.

use nix::errno::Errno;

/// `struct nlmsghdr`.
const HEADER: usize = 16;

/// A message: `struct nlmsghdr`, the `struct nfgenmsg` in `head`, and attributes.
pub(super) fn message(kind: u16, flags: u16, head: [u8; 4], attributes: &[u8]) -> Vec<u8> {
    let length = HEADER + head.len() + attributes.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Sequence and port: there is one request at a time.
    bytes.extend([0; 8]);
    bytes.extend(head);
    bytes.extend(attributes);
    bytes
}

/// The messages in what was received: type, flags, what follows the header.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, u16, &[u8])> {
    std::iter::from_fn(move || {
        let two = |at: usize| {
            let two = bytes.get(at..)?.first_chunk()?;
            Some(u16::from_ne_bytes(*two))
        };
        // A length below its own header would never end.
        let length = u32::from_ne_bytes(*bytes.first_chunk()?);
        let length = usize::try_from(length).ok()?.max(HEADER);
        let message = (two(4)?, two(6)?, bytes.get(HEADER..length)?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// What an `NLMSG_ERROR` says: 0 is an acknowledgement.
pub(super) fn answer(body: &[u8]) -> Result<(), Errno> {
    match body.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw(code.saturating_neg())),
        None => Err(Errno::EBADMSG),
    }
}

/// A number in an attribute: big-endian, of four or eight bytes.
pub fn number(value: &[u8]) -> Option<u32> {
    match value.len() {
        4 => value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)),
        8 => u32::try_from(u64::from_be_bytes(*value.first_chunk()?)).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bytes = [
            message(0x0a06, 5, [1, 0, 0, 0], &[8, 0, 1, 0, 1, 2, 3, 4]),
            message(3, 0, [0; 4], &[]),
        ]
        .concat();
        let all: Vec<_> = messages(&bytes).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].0, all[0].1, all[0].2.len()), (0x0a06, 5, 12));
        assert_eq!((all[1].0, all[1].2), (3, &[0u8; 4][..]));
    }

    #[test]
    fn broken_answers_end() {
        for bytes in [&b""[..], &[0; 3], &[1; 16], &[0xff; 40], &[0; 64]] {
            assert!(messages(bytes).take(100).count() < 100);
            let _ = answer(bytes);
        }
        assert_eq!(answer(&(-1i32).to_ne_bytes()), Err(Errno::EPERM));
        assert_eq!(answer(&0i32.to_ne_bytes()), Ok(()));
    }
}
