//! Which pieces of a sparse file have data: GNU's own header, and the maps of its pax formats (GNU tar manual,
//! "Sparse Formats").

use super::pax::Sparse;
use super::{BLOCK, Block, Bytes, Piece, header, read, refuse};
use crate::error::Result;

/// The most pieces of one file: two megabytes of memory.
const PIECES: usize = 1 << 17;

/// Adds a piece, which must lie behind all others. One of no length marks the end of the file, and is left out.
pub(super) fn push(map: &mut Vec<Piece>, piece: Piece) -> Result<()> {
    let ends = |piece: &Piece| piece.offset.checked_add(piece.length);
    let end = map.last().and_then(ends).unwrap_or(0);
    if piece.offset < end || ends(&piece).is_none() || map.len() >= PIECES {
        return Err(refuse("a sparse map is out of order, or too long"));
    }
    if piece.length > 0 {
        map.push(piece);
    }
    Ok(())
}

/// Checks the map against the size of the file and the data that the archive holds for it.
pub(super) fn check(map: &[Piece], size: u64, stored: u64) -> Result<()> {
    let end = map.last().map_or(0, |piece| piece.offset + piece.length);
    let sum: u64 = map.iter().map(|piece| piece.length).sum();
    if end > size || sum != stored {
        return Err(refuse("a sparse map does not match the file"));
    }
    Ok(())
}

/// GNU's own header (type `S`): four pieces in it, 21 in each block that follows. Gives the map and the file's size.
pub(super) fn old_gnu(first: &Block, input: &mut dyn Bytes) -> Result<(Vec<Piece>, u64)> {
    const IN_HEADER: (usize, usize, usize) = (386, 4, 482);
    const IN_BLOCK: (usize, usize, usize) = (0, 21, 504);
    let mut map = Vec::new();
    let size = unsigned(&first[483..495])?;
    let mut more = pieces(first, IN_HEADER, &mut map)?;
    while more {
        let mut block = [0; BLOCK];
        if !read::block(input, &mut block)? {
            return Err(refuse("it ends within a member"));
        }
        more = pieces(&block, IN_BLOCK, &mut map)?;
    }
    Ok((map, size))
}

/// Reads the pieces in a block, and whether another block follows.
fn pieces(block: &Block, place: (usize, usize, usize), map: &mut Vec<Piece>) -> Result<bool> {
    let (start, count, more) = place;
    for entry in block[start..start + count * 24].chunks_exact(24) {
        let (offset, length) = entry.split_at(12);
        if offset.first() == Some(&0) {
            break;
        }
        let (offset, length) = (unsigned(offset)?, unsigned(length)?);
        push(map, Piece { offset, length })?;
    }
    Ok(block[more] != 0)
}

fn unsigned(bytes: &[u8]) -> Result<u64> {
    u64::try_from(header::number(bytes)?).map_err(|_| refuse("a negative size"))
}

/// The map that pax records describe, and the bytes at the start of the data that it took (format 1.0). `None` where
/// there are no such records.
pub(super) fn from_records(
    said: &mut Sparse,
    input: &mut dyn Bytes,
) -> Result<Option<(Vec<Piece>, u64, u64)>> {
    if !said.is_said {
        return Ok(None);
    }
    let size = said
        .size
        .ok_or_else(|| refuse("a sparse file without a size"))?;
    match (said.major, said.minor) {
        (Some(1), Some(0)) => {
            let (map, taken) = in_data(input)?;
            Ok(Some((map, size, taken)))
        }
        (None | Some(0), None | Some(0 | 1)) => {
            let map = std::mem::take(&mut said.map);
            let count = map.len() as u64;
            // A piece of no length, which marks the end, was left out.
            if said
                .count
                .is_some_and(|said| said != count && said != count + 1)
            {
                return Err(refuse("a sparse map does not match its length"));
            }
            Ok(Some((map, size, 0)))
        }
        _ => Err(refuse("a sparse file in a format that is not known")),
    }
}

/// Format 1.0: numbers in lines at the start of the data, padded to a block.
fn in_data(input: &mut dyn Bytes) -> Result<(Vec<Piece>, u64)> {
    let mut lines = Lines {
        input,
        block: [0; BLOCK],
        at: BLOCK,
        taken: 0,
    };
    let count = lines.number()?;
    let mut map = Vec::new();
    for _ in 0..count {
        let (offset, length) = (lines.number()?, lines.number()?);
        push(&mut map, Piece { offset, length })?;
    }
    let taken = lines.taken;
    Ok((map, taken))
}

struct Lines<'a> {
    input: &'a mut dyn Bytes,
    block: Block,
    at: usize,
    taken: u64,
}

impl Lines<'_> {
    fn number(&mut self) -> Result<u64> {
        const WHY: &str = "a sparse map is malformed";
        let (mut value, mut digits) = (0_u64, 0);
        loop {
            let digit = match self.byte()? {
                b'\n' if digits > 0 => return Ok(value),
                byte @ b'0'..=b'9' if digits < 19 => u64::from(byte - b'0'),
                _ => return Err(refuse(WHY)),
            };
            value = value * 10 + digit;
            digits += 1;
        }
    }

    fn byte(&mut self) -> Result<u8> {
        if self.at == BLOCK {
            if !read::block(self.input, &mut self.block)? {
                return Err(refuse("it ends within a member"));
            }
            self.at = 0;
            self.taken += BLOCK as u64;
        }
        let byte = self.block[self.at];
        self.at += 1;
        Ok(byte)
    }
}
