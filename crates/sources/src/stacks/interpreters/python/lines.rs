//! From an instruction to its line: the three formats of CPython's line tables.

use super::layout::LineTable;

/// The line of the instruction `at`, bytes from the start of the code. `None` where the table says that it has none, or ends before.
pub(super) fn line(format: LineTable, table: &[u8], first: u32, at: u32) -> Option<u32> {
    let first = i64::from(first);
    let line = match format {
        LineTable::Increments => increments(table, first, at),
        LineTable::Ranges => ranges(table, first, at),
        LineTable::Locations => locations(table, first, at),
    }?;
    u32::try_from(line).ok().filter(|&line| line > 0)
}

/// Objects/lnotab_notes.txt of 3.9: pairs of a step in bytes and a signed step in lines.
fn increments(table: &[u8], first: i64, at: u32) -> Option<i64> {
    let (mut address, mut line) = (0u32, first);
    for pair in table.chunks_exact(2) {
        address = address.checked_add(u32::from(*pair.first()?))?;
        if address > at {
            break;
        }
        line += i64::from(pair.last()?.cast_signed());
    }
    Some(line)
}

/// Objects/lnotab_notes.txt of 3.10: pairs of a range's length and a signed step in lines, -128 for none.
fn ranges(table: &[u8], first: i64, at: u32) -> Option<i64> {
    const NO_LINE: i8 = -128;
    let (mut end, mut line) = (0u32, first);
    for pair in table.chunks_exact(2) {
        end = end.checked_add(u32::from(*pair.first()?))?;
        let step = pair.last()?.cast_signed();
        if step != NO_LINE {
            line += i64::from(step);
        }
        if at < end {
            return (step != NO_LINE).then_some(line);
        }
    }
    None
}

/// Objects/locations.md of 3.11: entries that begin with a byte whose high bit is set: a kind, and a length in code units of 2 bytes.
fn locations(table: &[u8], first: i64, at: u32) -> Option<i64> {
    const KIND_ONE_LINE: u8 = 10;
    const KIND_NO_COLUMNS: u8 = 13;
    const KIND_LONG: u8 = 14;
    const KIND_NONE: u8 = 15;
    let (mut end, mut line) = (0u32, first);
    let mut rest = table;
    while let Some((&head, after)) = rest.split_first() {
        let kind = head >> 3 & 0xf;
        end = end.checked_add(2 * (u32::from(head & 7) + 1))?;
        line += match kind {
            KIND_ONE_LINE..KIND_NO_COLUMNS => i64::from(kind - KIND_ONE_LINE),
            KIND_NO_COLUMNS | KIND_LONG => signed_varint(after)?,
            _ => 0,
        };
        if at < end {
            return (kind != KIND_NONE).then_some(line);
        }
        let next = after.iter().position(|byte| byte & 0x80 != 0)?;
        rest = after.get(next..)?;
    }
    None
}

/// Six bits in each byte, the lowest first, 64 set where more follow; the lowest bit of the number is its sign.
fn signed_varint(bytes: &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 63) << (6 * index);
        if byte & 64 == 0 {
            let magnitude = i64::try_from(value >> 1).ok()?;
            return Some(if value & 1 == 1 { -magnitude } else { magnitude });
        }
    }
    None
}
