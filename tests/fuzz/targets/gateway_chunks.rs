//! An aws-chunked body means the same however it arrives, and never more than it announces.

#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sealwax_gateway::fuzzing::unsigned_payload;

const MAX_PIECE_LEN: usize = 64 << 10;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    len: u16,
    has_trailer: bool,
    /// Lengths of the pieces in which the body arrives.
    arrivals: Vec<u8>,
    body: &'a [u8],
    /// Payload that is framed correctly, in chunks of these lengths.
    payload: &'a [u8],
    chunks: Vec<u8>,
}

/// Cuts `bytes` into pieces of `lens`, and the rest.
fn cut<'a>(mut bytes: &'a [u8], lens: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for len in lens {
        let (piece, rest) = bytes.split_at(usize::from(*len).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}

fn decoded(input: &Input<'_>, len: usize, body: &[u8], lens: &[u8]) -> Option<Vec<u8>> {
    let trailers = input.has_trailer.then(|| vec!["x-amz-checksum-crc32".to_owned()]);
    let arriving = cut(body, lens).into_iter().map(Bytes::copy_from_slice);
    let pieces = unsigned_payload(len as u64, trailers, arriving)?;
    assert!(pieces.iter().all(|piece| (1..=MAX_PIECE_LEN).contains(&piece.len())));
    Some(pieces.concat())
}

fuzz_target!(|input: Input<'_>| {
    let len = usize::from(input.len);
    let whole = decoded(&input, len, input.body, &[]);
    assert_eq!(decoded(&input, len, input.body, &input.arrivals), whole);
    if let Some(payload) = &whole {
        assert_eq!(payload.len(), len);
        // Nothing is missing at its end, and nothing may follow.
        let shorter = &input.body[..input.body.len() - 1];
        assert_eq!(decoded(&input, len, shorter, &[]), None);
        assert_eq!(decoded(&input, len, &[input.body, b"0"].concat(), &[]), None);
    }

    let mut framed = Vec::new();
    for chunk in cut(input.payload, &input.chunks).into_iter().filter(|chunk| !chunk.is_empty()) {
        framed.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        framed.extend(chunk);
        framed.extend(b"\r\n");
    }
    framed.extend(b"0\r\n");
    if input.has_trailer {
        framed.extend(b"x-amz-checksum-crc32:AAAAAA==\r\n");
    }
    framed.extend(b"\r\n");
    let payload = decoded(&input, input.payload.len(), &framed, &input.arrivals);
    assert_eq!(payload.as_deref(), Some(input.payload));
});
