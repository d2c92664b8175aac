//! Packets of log entries. The engine passes them on unchanged and does not read the entries, so that its single thread has
//! little work with each packet.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Entry;
use crate::protocol::{FrameError, MAX_FRAME};

/// A packet of this size in bytes gets no further entry.
const FULL_PACKET_BYTES: usize = 1 << 20;

/// Maximum bytes of a packet: an answer's frame may have several packets, and one of this size as the last.
pub const MAX_PACKET_BYTES: usize = MAX_FRAME / 2;

/// Entries for one table of steps. Only backends and workers create and read them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Packet {
    /// OID of the table of steps; it changes if the extension is dropped and created again.
    pub table: u32,
    /// Number of entries.
    pub entries: u32,
    body: Body,
}

impl Packet {
    /// Packs the entries in order into as few packets as possible.
    ///
    /// # Errors
    /// An entry does not fit into a packet.
    pub fn pack(table: u32, entries: &[Entry]) -> Result<Vec<Self>, FrameError> {
        let (mut packets, mut count, mut bytes) = (Vec::new(), 0, Vec::new());
        for entry in entries {
            let before = bytes.len();
            bytes = postcard::to_extend(entry, bytes)?;
            if bytes.len() - before > MAX_PACKET_BYTES {
                return Err(FrameError::TooLong(bytes.len() - before));
            }
            if before > 0 && bytes.len() > FULL_PACKET_BYTES {
                let next = bytes.split_off(before);
                packets.push(Self {
                    table,
                    entries: count,
                    body: Body(std::mem::replace(&mut bytes, next).into()),
                });
                count = 0;
            }
            count += 1;
        }
        if count > 0 {
            packets.push(Self { table, entries: count, body: Body(bytes.into()) });
        }
        Ok(packets)
    }

    /// The entries.
    ///
    /// # Errors
    /// The packet was not made by [`Packet::pack`] of this version.
    pub fn unpack(&self) -> Result<Vec<Entry>, FrameError> {
        let mut rest = &*self.body.0;
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let (entry, left) = postcard::take_from_bytes(rest)?;
            entries.push(entry);
            rest = left;
        }
        Ok(entries)
    }

    /// Size of the entries, bytes.
    pub fn bytes(&self) -> usize {
        self.body.0.len()
    }
}

/// Bytes that are serialised as a whole; a `Vec<u8>` would be read byte by byte.
#[derive(Clone, PartialEq)]
struct Body(Arc<[u8]>);

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BodyVisitor)
    }
}

struct BodyVisitor;

impl de::Visitor<'_> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Body, E> {
        Ok(Body(bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{RunEnd, RunStart, Step};
    use crate::protocol::{Frame, PREFIX, decode, encode};

    fn step(id: i64, output: String) -> Entry {
        Entry::Step(Step {
            id,
            kind: "tool".into(),
            output: Some(output),
            caller_xid: Some(1 << 40),
            ..Step::default()
        })
    }

    #[test]
    fn entries_come_out_as_they_went_in() {
        let entries = [
            Entry::Start(RunStart { id: 1, owner: "web".into(), ..RunStart::default() }),
            step(2, "\"héllo\"".into()),
            Entry::End(RunEnd { id: 1, status: "done".into(), ..RunEnd::default() }),
        ];
        let packets = Packet::pack(7, &entries).unwrap();
        assert_eq!((packets.len(), packets[0].entries, packets[0].table), (1, 3, 7));
        let frame = encode(3, &packets).unwrap();
        let packets: Frame<Vec<Packet>> = decode(&frame[PREFIX..]).unwrap();
        assert_eq!(packets.body[0].unpack().unwrap(), entries);
    }

    #[test]
    fn many_entries_take_several_packets_and_keep_their_order() {
        let entries: Vec<_> = (0..50).map(|id| step(id, "x".repeat(100_000))).collect();
        let packets = Packet::pack(7, &entries).unwrap();
        assert!(packets.len() >= 5 && packets.iter().all(|packet| packet.bytes() <= FULL_PACKET_BYTES));
        assert_eq!(packets.iter().map(|packet| packet.entries).sum::<u32>(), 50);
        let unpacked: Vec<_> = packets.iter().flat_map(|packet| packet.unpack().unwrap()).collect();
        assert_eq!(unpacked, entries);
    }

    #[test]
    fn an_entry_may_be_larger_than_others_but_not_than_a_frame() {
        let entries = [step(1, "x".repeat(FULL_PACKET_BYTES * 2)), step(2, "y".into())];
        let packets = Packet::pack(7, &entries).unwrap();
        assert_eq!(packets.iter().map(|packet| packet.entries).collect::<Vec<_>>(), [1, 1]);
        assert!(matches!(
            Packet::pack(7, &[step(1, "x".repeat(MAX_PACKET_BYTES))]),
            Err(FrameError::TooLong(_))
        ));
        assert!(Packet::pack(7, &[]).unwrap().is_empty());
    }

    #[test]
    fn garbage_is_malformed() {
        let garbage = Packet { table: 7, entries: 1, body: Body([9, 9, 9].into()) };
        assert!(matches!(garbage.unpack(), Err(FrameError::Malformed(_))));
    }
}
