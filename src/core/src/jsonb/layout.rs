//! The layout of `jsonb` as in `src/include/utils/jsonb.h`, in the machine's byte order.

/// The entry of a value in its container (`JEntry`): its type, and its length or the offset of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JEntry(pub(super) u32);

/// A value is longer than `jsonb` can hold: 256 MB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("value is too long for jsonb")]
pub struct TooLong;

/// Bits of an entry (`JEntry`).
pub(super) const LENGTH_OR_OFFSET: u32 = 0x0fff_ffff;
pub(super) const TYPE: u32 = 0x7000_0000;
pub(super) const HAS_OFFSET: u32 = 0x8000_0000;
pub(super) const IS_STRING: u32 = 0x0000_0000;
pub(super) const IS_NUMERIC: u32 = 0x1000_0000;
pub(super) const IS_FALSE: u32 = 0x2000_0000;
pub(super) const IS_TRUE: u32 = 0x3000_0000;
pub(super) const IS_NULL: u32 = 0x4000_0000;
pub(super) const IS_CONTAINER: u32 = 0x5000_0000;

/// Bits of a container's header (`JsonbContainer`).
pub(super) const COUNT: u32 = 0x0fff_ffff;
pub(super) const SCALAR: u32 = 0x1000_0000;
pub(super) const OBJECT: u32 = 0x2000_0000;
pub(super) const ARRAY: u32 = 0x4000_0000;

/// Each entry at a multiple of this number holds the offset of its value's end instead of a length, so that a lookup adds
/// up only a few lengths (`JB_OFFSET_STRIDE`).
pub(super) const OFFSET_STRIDE: usize = 32;

/// The header of a value; `length`, in bytes, includes the header (`SET_VARSIZE_4B`).
pub fn varlena_header(length: usize) -> [u8; 4] {
    let length = length as u32;
    if cfg!(target_endian = "big") {
        (length & 0x3fff_ffff).to_ne_bytes()
    } else {
        (length << 2).to_ne_bytes()
    }
}

/// Pads with zeros to a multiple of four bytes, the alignment of numbers and containers.
#[inline]
pub(super) fn pad(out: &mut Vec<u8>) {
    let over = out.len() % 4;
    if over > 0 {
        out.extend_from_slice(&[0; 3][..4 - over]);
    }
}

/// The length field of an entry.
#[inline]
pub(super) fn length(bytes: usize) -> Result<u32, TooLong> {
    u32::try_from(bytes).ok().filter(|bytes| bytes & !LENGTH_OR_OFFSET == 0).ok_or(TooLong)
}
