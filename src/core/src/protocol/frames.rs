//! The frame format: a little-endian `u32` length in bytes, then that many bytes of [postcard](https://docs.rs/postcard)
//! that hold a [`Frame`].

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Maximum length of a frame that either side accepts, in bytes, without the length prefix.
pub const MAX_FRAME: usize = 64 << 20;

/// Bytes of a frame's length prefix.
pub const PREFIX: usize = 4;

/// A message with the number of the request that it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frame<T> {
    /// Chosen by the client, unique among the requests in flight on its connection.
    pub id: u64,
    /// The message.
    pub body: T,
}

/// A frame that cannot be written or read.
#[derive(Debug, Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`].
    #[error("frame of {0} bytes is over the limit of {MAX_FRAME} bytes")]
    TooLong(usize),
    /// Bytes that this version of the protocol does not write.
    #[error("malformed frame: {0}")]
    Malformed(#[from] postcard::Error),
}

/// The frame as bytes, with its length prefix.
pub fn encode<T: Serialize>(id: u64, body: T) -> Result<Vec<u8>, FrameError> {
    let mut bytes = postcard::to_extend(&Frame { id, body }, vec![0; PREFIX])?;
    let length = bytes.len() - PREFIX;
    if length > MAX_FRAME {
        return Err(FrameError::TooLong(length));
    }
    let prefix = u32::try_from(length).map_err(|_| FrameError::TooLong(length))?;
    bytes[..PREFIX].copy_from_slice(&prefix.to_le_bytes());
    Ok(bytes)
}

/// The length that a prefix announces, in bytes.
pub fn frame_length(prefix: [u8; PREFIX]) -> Result<usize, FrameError> {
    let length = u32::from_le_bytes(prefix) as usize;
    if length > MAX_FRAME {
        return Err(FrameError::TooLong(length));
    }
    Ok(length)
}

/// Decodes a frame from `bytes`, which do not include the length prefix.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<Frame<T>, FrameError> {
    Ok(postcard::from_bytes(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Caller, Kind, Lane, Request};

    #[test]
    fn a_frame_survives_the_trip() {
        let request = Request::Embed {
            model: "m".into(),
            kind: Kind::Query,
            lane: Lane::Query,
            caller: Caller { database: 5, role: 10 },
            texts: vec!["héllo".into()],
        };
        let bytes = encode(7, &request).unwrap();
        let (prefix, rest) = bytes.split_at(PREFIX);
        assert_eq!(frame_length(prefix.try_into().unwrap()).unwrap(), rest.len());
        let frame: Frame<Request> = decode(rest).unwrap();
        assert_eq!(frame, Frame { id: 7, body: request });
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_it_is_read() {
        assert!(matches!(frame_length(u32::MAX.to_le_bytes()), Err(FrameError::TooLong(_))));
        assert!(matches!(encode(1, vec![1u8; MAX_FRAME + 1]), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn a_truncated_frame_is_malformed() {
        let bytes = encode(1, Request::Models).unwrap();
        assert!(matches!(decode::<Request>(&bytes[PREFIX..bytes.len() - 1]), Err(FrameError::Malformed(_))));
    }
}
