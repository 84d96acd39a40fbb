//! A sealed body, changed in any way and fed in any pieces, releases only its own plaintext, in
//! order.

#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use libfuzzer_sys::fuzz_target;
use sealwax_envelope::{
    BodyHeader, Error, Keyring as _, LocalKeyring, ObjectHeader, Opener, PlaintextDataKey,
    StreamOpener, Unwrap,
    geometry::{CHUNK_LEN, HEADER_LEN, SEALED_CHUNK_LEN},
};

/// The object of `tests/vectors/three-chunks.json`.
struct Object {
    body: Vec<u8>,
    plaintext: Vec<u8>,
    data_key: PlaintextDataKey,
    context: Vec<u8>,
    header: BodyHeader,
    opener: Opener,
}

static OBJECT: LazyLock<Object> = LazyLock::new(|| {
    let vector: serde_json::Value =
        serde_json::from_str(include_str!("../../vectors/three-chunks.json")).expect("a vector");
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let metadata = vector["metadata"].as_object().expect("metadata");
    let metadata: Vec<_> =
        metadata.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let header =
        ObjectHeader::parse(metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let header = header.expect("a header");
    let mut key = hex::decode(text(&vector["wrapping-keys"]["first"])).expect("hex");
    let keyring = LocalKeyring::new("first", &mut key).expect("a keyring");
    let data_key = unwrap(&keyring, &header);
    let (context, body_header) = (header.context().body_context(), *header.body_header());
    let body = STANDARD.decode(text(&vector["body"])).expect("base64");
    let opener = Opener::new(&data_key, &context, &body_header).expect("the commitment");
    let mut chunks = body[HEADER_LEN..].to_vec();
    let opened = opener.open_chunks(0, &mut chunks).expect("the body");
    let plaintext = opened.chunks().collect::<Vec<_>>().concat();
    Object { body, plaintext, data_key, context, header: body_header, opener }
});

fn unwrap(keyring: &LocalKeyring, header: &ObjectHeader) -> PlaintextDataKey {
    let mut unwrapping = keyring.unwrap(header.keys());
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    match unwrapping.as_mut().poll(&mut task) {
        std::task::Poll::Ready(Unwrap::Unwrapped(data_key)) => data_key,
        _ => panic!("the vector does not open"),
    }
}

#[derive(Debug, Arbitrary)]
struct Attack<'a> {
    edits: Vec<Edit<'a>>,
    /// Lengths of the pieces, repeated.
    pieces: Vec<u16>,
    /// `true` if the reader ignores errors.
    careless: bool,
    first_chunk: FirstChunk,
    /// Position in the body where chunks are opened separately.
    from: u16,
    to: u16,
}

#[derive(Debug, Arbitrary)]
enum Edit<'a> {
    Flip { at: u16, bit: u8 },
    Cut { at: u16 },
    Remove { at: u16, len: u16 },
    Insert { at: u16, bytes: &'a [u8] },
    SwapChunks { one: u8, other: u8 },
    RepeatChunk { chunk: u8 },
    Instead { bytes: &'a [u8] },
}

#[derive(Debug, Arbitrary)]
enum FirstChunk {
    Small(u8),
    Any(u64),
}

impl Edit<'_> {
    fn apply(&self, body: &mut Vec<u8>) {
        let within = |at: u16, body: &[u8]| usize::from(at).min(body.len());
        let chunk = |number: u8, body: &[u8]| {
            let start = (HEADER_LEN + usize::from(number % 3) * SEALED_CHUNK_LEN).min(body.len());
            start..(start + SEALED_CHUNK_LEN).min(body.len())
        };
        match self {
            Self::Flip { at, bit } => {
                let at = within(*at, body);
                if let Some(byte) = body.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Self::Cut { at } => body.truncate(within(*at, body)),
            Self::Remove { at, len } => {
                let start = within(*at, body);
                let end = (start + usize::from(*len)).min(body.len());
                drop(body.drain(start..end));
            }
            Self::Insert { at, bytes } => {
                let at = within(*at, body);
                drop(body.splice(at..at, bytes.iter().copied()));
            }
            Self::SwapChunks { one, other } => {
                let (first, second) = (chunk(*one, body), chunk(*other, body));
                let swapped = [body[first.clone()].to_vec(), body[second.clone()].to_vec()];
                if first.len() == second.len() {
                    body[second].copy_from_slice(&swapped[0]);
                    body[first].copy_from_slice(&swapped[1]);
                }
            }
            Self::RepeatChunk { chunk: number } => {
                let range = chunk(*number, body);
                let again = body[range.clone()].to_vec();
                drop(body.splice(range.end..range.end, again));
            }
            Self::Instead { bytes } => *body = bytes.to_vec(),
        }
        body.truncate(1 << 17);
    }
}

fuzz_target!(|attack: Attack<'_>| {
    let object = &*OBJECT;
    let mut body = object.body.clone();
    attack.edits.iter().for_each(|edit| edit.apply(&mut body));
    let changed = body != object.body;

    let mut opener = StreamOpener::new(&object.data_key, &object.context, object.header)
        .expect("the commitment");
    let mut released = Vec::new();
    let (mut rest, mut failed) = (body.as_slice(), false);
    let mut pieces = attack.pieces.iter().cycle();
    while !rest.is_empty() && (attack.careless || !failed) {
        let (piece, after) = rest.split_at(
            pieces.next().map_or(rest.len(), |len| rest.len().min(usize::from(*len).max(64))),
        );
        rest = after;
        if let Err(error) = opener.feed(piece) {
            assert_eq!(error, Error::Authentication);
            failed = true;
        }
        while let Some(chunk) = opener.next_chunk() {
            assert!((1..=CHUNK_LEN).contains(&chunk.len()));
            released.extend_from_slice(&chunk);
            assert!(object.plaintext.starts_with(&released), "other bytes were released");
        }
    }
    if attack.careless || !failed {
        match opener.finish() {
            Ok(last) => {
                last.for_each(|chunk| released.extend_from_slice(&chunk));
                assert!(released == object.plaintext, "it ended as another object");
                assert!(failed || !changed, "a changed body was accepted as whole");
            }
            Err(error) => {
                assert!(matches!(error, Error::Authentication | Error::Truncated));
                assert!(changed, "the unchanged body was refused");
            }
        }
    }
    assert!(object.plaintext.starts_with(&released), "other bytes were released");

    // Arbitrary bytes as chunks with arbitrary numbers.
    let first_chunk = match attack.first_chunk {
        FirstChunk::Small(number) => u64::from(number % 4),
        FirstChunk::Any(number) => number,
    };
    let from = usize::from(attack.from).min(body.len());
    let to = usize::from(attack.to).clamp(from, body.len());
    let mut chunks = body[from..to].to_vec();
    match object.opener.open_chunks(first_chunk, &mut chunks) {
        Ok(opened) => {
            let opened = opened.chunks().collect::<Vec<_>>().concat();
            if !opened.is_empty() {
                let start = usize::try_from(first_chunk).expect("one of three") * CHUNK_LEN;
                assert!(object.plaintext[start..].starts_with(&opened), "other bytes were opened");
            }
        }
        Err(error) => {
            assert!(matches!(error, Error::Authentication | Error::Truncated | Error::TooLong));
            assert!(chunks.iter().all(|byte| *byte == 0), "a failed chunk left bytes behind");
        }
    }
});
