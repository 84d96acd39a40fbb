//! Bodies: framing, signatures, trailers and checksums.

use proptest::prelude::*;

use super::*;
use crate::checksums::encode;

/// Way to encode a body.
#[derive(Debug, Clone)]
struct Encoding {
    is_signed: bool,
    has_trailers: bool,
    checksum: Option<ChecksumAlgorithm>,
    chunk_len: usize,
    /// As minio-go ends trailers.
    extra_line_feed: bool,
}

const SIGNED: Encoding = Encoding {
    is_signed: true,
    has_trailers: true,
    checksum: Some(ChecksumAlgorithm::Crc32c),
    chunk_len: 64 << 10,
    extra_line_feed: false,
};
const UNSIGNED: Encoding = Encoding { is_signed: false, ..SIGNED };

fn digest_of(algorithm: ChecksumAlgorithm, payload: &[u8]) -> String {
    let mut hasher = algorithm.hasher();
    hasher.update(payload);
    encode(&hasher.finish())
}

impl Encoding {
    fn request(&self, payload: &[u8]) -> TestRequest {
        let sha256 = match (self.is_signed, self.has_trailers) {
            (true, true) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            (true, false) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            (false, _) => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        };
        let request = TestRequest::new("PUT", "/bucket-1/key")
            .with("x-amz-content-sha256", sha256)
            .with("x-amz-decoded-content-length", &payload.len().to_string())
            .with("content-encoding", "aws-chunked");
        match self.checksum {
            Some(checksum) => request.with("x-amz-trailer", checksum.header()),
            None => request,
        }
    }

    /// Encodes the payload, with the signature of the request before it.
    fn encode(&self, payload: &[u8], signer: &Signer, seed: &str) -> Vec<u8> {
        let mut previous = seed.to_owned();
        let mut encoded = Vec::new();
        for chunk in payload.chunks(self.chunk_len).chain([&b""[..]]) {
            encoded.extend_from_slice(format!("{:x}", chunk.len()).as_bytes());
            if self.is_signed {
                previous = signer.chunk(&previous, &Sha256::digest(chunk));
                encoded.extend_from_slice(format!(";chunk-signature={previous}").as_bytes());
            }
            encoded.extend_from_slice(b"\r\n");
            if !chunk.is_empty() {
                encoded.extend_from_slice(chunk);
                encoded.extend_from_slice(b"\r\n");
            }
        }
        let mut trailers = Vec::new();
        if let Some(checksum) = self.checksum {
            let line = format!("{}:{}\n", checksum.header(), digest_of(checksum, payload));
            let end = if self.extra_line_feed { "\n\r\n" } else { "\r\n" };
            encoded.extend_from_slice(line.trim_end().as_bytes());
            encoded.extend_from_slice(end.as_bytes());
            trailers = line.into_bytes();
        }
        if self.is_signed && self.has_trailers {
            let signature = signer.trailers(&previous, &trailers);
            encoded
                .extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n").as_bytes());
        }
        encoded.extend_from_slice(b"\r\n");
        encoded
    }

    /// Sends the encoded payload after a change, split at those places.
    fn send(
        &self,
        payload: &[u8],
        change: impl FnOnce(Vec<u8>) -> Vec<u8>,
        splits: &[usize],
    ) -> (Vec<Bytes>, Result<(), Code>, Digests) {
        let request = self.request(payload);
        let signer = request.signer();
        let (request, seed) = request.signed();
        let encoded = change(self.encode(payload, &signer, &seed));
        let (parts, _) = request.into_parts();
        let request = Request::from_parts(parts, body(split(encoded, splits)));
        let admitted = gate(&[]).admit(request, now()).unwrap();
        let (pieces, result) = read(admitted.request.into_body());
        (pieces, result, admitted.digests)
    }

    fn code(&self, payload: &[u8], change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Code {
        let (pieces, result, digests) = self.send(payload, change, &[]);
        assert!(!digests.is_complete());
        assert_eq!(digests.checksum(), None);
        let len: usize = pieces.iter().map(Bytes::len).sum();
        assert!(len < payload.len() || payload.is_empty(), "the last piece is withheld");
        result.unwrap_err()
    }
}

fn split(bytes: Vec<u8>, splits: &[usize]) -> Vec<Bytes> {
    let mut rest = Bytes::from(bytes);
    let mut frames = Vec::new();
    for &at in splits {
        frames.push(rest.split_to(at.min(rest.len())));
    }
    frames.push(rest);
    frames
}

/// Replaces the only occurrence of a text.
fn replace(from: &str, to: &str) -> impl FnOnce(Vec<u8>) -> Vec<u8> {
    move |bytes| {
        let at = bytes.windows(from.len()).rposition(|it| it == from.as_bytes());
        let at = at.unwrap_or_else(|| panic!("no {from:?}"));
        [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
    }
}

/// Each piece costs memory beyond its bytes, and the budget counts bytes.
#[test]
fn small_chunks_are_handed_out_together() {
    let payload: Vec<u8> = (0..200_000_u32).map(|it| (it / 7) as u8).collect();
    for chunk_len in [1, 100, 4_095] {
        let encoding = Encoding { chunk_len, ..UNSIGNED };
        for splits in [Vec::new(), vec![1; 3_000], vec![70_000; 20]] {
            let (pieces, result, digests) = encoding.send(&payload, |it| it, &splits);
            result.unwrap();
            assert!(digests.is_complete());
            assert!(pieces.concat() == payload, "{chunk_len}");
            let many = payload.len() / (16 << 10) + 2;
            assert!(pieces.len() <= many, "{chunk_len}: {} pieces", pieces.len());
        }
    }
}

#[test]
fn all_encodings_are_decoded() {
    let payload: Vec<u8> = (0..200_000_u32).map(|it| (it / 7) as u8).collect();
    for is_signed in [true, false] {
        for extra_line_feed in [true, false] {
            for checksum in ChecksumAlgorithm::ALL {
                let encoding = Encoding {
                    is_signed,
                    has_trailers: true,
                    checksum: Some(checksum),
                    chunk_len: 100_000,
                    extra_line_feed,
                };
                for payload in [&payload[..], b"", b"a"] {
                    let (pieces, result, digests) = encoding.send(payload, |it| it, &[]);
                    assert_eq!(result, Ok(()), "{encoding:?}");
                    assert_eq!(pieces.concat(), payload);
                    assert!(pieces.iter().all(|it| (1..=64 << 10).contains(&it.len())));
                    assert!(digests.is_complete());
                    let expected = Some((checksum, digest_of(checksum, payload)));
                    assert_eq!(digests.checksum(), expected);
                }
            }
        }
    }
    for has_trailers in [true, false] {
        let encoding = Encoding { checksum: None, has_trailers, ..SIGNED };
        let (pieces, result, digests) = encoding.send(&payload, |it| it, &[]);
        assert_eq!((pieces.concat(), result), (payload.clone(), Ok(())));
        assert_eq!((digests.is_complete(), digests.checksum()), (true, None));
    }
}

/// Amazon S3 API Reference, "Signature Calculations for the Authorization Header: Transferring
/// Payload in Multiple Chunks", and the same with trailing headers.
#[test]
fn examples_of_aws() {
    let time = SigningTime::parse("20130524T000000Z").unwrap();
    let signer = Signer::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", time, "us-east-1");
    let chunks = [[b'a'; 65536].as_slice(), &[b'a'; 1024], b""];
    let sign_chunks = |seed: &str| {
        chunks.into_iter().fold(vec![seed.to_owned()], |mut signatures, chunk| {
            let previous = signatures.last().expect("the seed");
            signatures.push(signer.chunk(previous, &Sha256::digest(chunk)));
            signatures
        })
    };
    let seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
    assert_eq!(
        sign_chunks(seed)[1..],
        [
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ]
    );
    let seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
    let signatures = sign_chunks(seed);
    assert_eq!(signatures[3], "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992");
    assert_eq!(
        signer.trailers(&signatures[3], b"x-amz-checksum-crc32c:sOO8/Q==\n"),
        "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
    );
}

#[test]
fn malformed_framing() {
    use Code::{IncompleteBody, InvalidRequest, MalformedTrailerError};
    let payload = vec![b'p'; 70_000];
    let end = "\r\n0\r\nx-amz-checksum-crc32c:";
    for (from, to, expected) in [
        // The second chunk has 0x1170 bytes.
        ("\r\n1170\r\n", "\r\n1171\r\n", InvalidRequest),
        ("\r\n1170\r\n", "\r\n116f\r\n", InvalidRequest),
        ("\r\n1170\r\n", "\r\n1170;a=b\r\n", InvalidRequest),
        ("\r\n1170\r\n", "\r\n 1170\r\n", InvalidRequest),
        ("\r\n1170\r\n", "\r\n+1170\r\n", InvalidRequest),
        ("\r\n1170\r\n", "\r\n-1\r\n", InvalidRequest),
        ("\r\n1170\r\n", "\r\n0x1170\r\n", InvalidRequest),
        ("\r\n1170\r\n", "\r\n1170\n", InvalidRequest),
        ("\r\n1170\r\n", "\n1170\r\n", InvalidRequest),
        ("\r\n1170\r\n", "\r\n\r\n", InvalidRequest),
        ("\r\n1170\r\n", "\r\nffffffffffffffff\r\n", InvalidRequest),
        ("\r\n1170\r\n", "\r\n00000000000001170\r\n", InvalidRequest),
        ("\r\n1170\r\n", "\r\n0\r\n", IncompleteBody),
        (end, "\r\n1\r\na\r\n0\r\nx-amz-checksum-crc32c:", InvalidRequest),
        (end, "\r\n0\r\n\r\n", MalformedTrailerError),
        (end, "\r\n0\r\nx-amz-checksum-crc32:", MalformedTrailerError),
        (end, "\r\n0\r\nx-amz-meta-a:b\r\nx-amz-checksum-crc32c:", MalformedTrailerError),
        (
            end,
            "\r\n0\r\nx-amz-trailer-signature:b\r\nx-amz-checksum-crc32c:",
            MalformedTrailerError,
        ),
        (end, "\r\n0\r\nx-amz-checksum-crc32c:A\r\nx-amz-checksum-crc32c:", MalformedTrailerError),
        (end, "\r\n0\r\nx-amz-checksum-crc32c", MalformedTrailerError),
        (end, "\r\n0\r\nx-amz-checksum-crc32c:A", MalformedTrailerError),
        (end, "\r\n0\r\nx-amz-checksum-crc32c:\u{e4}", MalformedTrailerError),
        (end, "\r\n0\r\nx-amz-checksum-crc32c:\t", MalformedTrailerError),
    ] {
        assert_eq!(UNSIGNED.code(&payload, replace(from, to)), expected, "{from:?} {to:?}");
    }
    let long = |len| format!("\r\n0\r\nx-amz-checksum-crc32c:{}", " ".repeat(len));
    let (_, result, _) = UNSIGNED.send(&payload, replace(end, &long(8000)), &[]);
    assert_eq!(result, Ok(()));
    let too_long = UNSIGNED.code(&payload, replace(end, &long(9000)));
    assert_eq!(too_long, MalformedTrailerError);
    // Of all trailers together.
    let signature = "x-amz-trailer-signature:";
    for (len, expected) in [(3800, Ok(())), (4500, Err(MalformedTrailerError))] {
        let change = |bytes: Vec<u8>| {
            let bytes = replace("crc32c:", &format!("crc32c:{}", " ".repeat(len)))(bytes);
            replace(signature, &format!("{signature}{}", " ".repeat(len)))(bytes)
        };
        assert_eq!(SIGNED.send(&payload, change, &[]).1, expected, "{len}");
    }
    let code = UNSIGNED.code(&payload, |bytes| {
        [&bytes[..bytes.len() - 2], signature.as_bytes(), b"a\r\n\r\n"].concat()
    });
    assert_eq!(code, MalformedTrailerError);
    let line = format!("\r\n1170{}\r\n", " ".repeat(1100));
    assert_eq!(UNSIGNED.code(&payload, replace("\r\n1170\r\n", &line)), InvalidRequest);
    // After the end.
    let code = UNSIGNED.code(&payload, |bytes| [&bytes[..], b"\r\n"].concat());
    assert_eq!(code, InvalidRequest);
    let code = SIGNED.code(&payload, |bytes| [&bytes[..], b"0"].concat());
    assert_eq!(code, InvalidRequest);
}

#[test]
fn every_prefix_is_incomplete() {
    let payload = vec![b'p'; 9000];
    let no_trailers = Encoding { has_trailers: false, checksum: None, ..SIGNED };
    for encoding in [SIGNED, UNSIGNED, no_trailers] {
        let mut len = 0;
        let (_, result, _) = encoding.send(
            &payload,
            |bytes| {
                len = bytes.len();
                bytes
            },
            &[],
        );
        assert_eq!(result, Ok(()));
        for cut in (0..len).filter(|it| *it < 120 || *it > 8900) {
            let code = encoding.code(&payload, |bytes| bytes[..cut].to_vec());
            assert_eq!(code, Code::IncompleteBody, "{cut} of {len}: {encoding:?}");
        }
    }
}

#[test]
fn signed_chunks() {
    use Code::{IncompleteBody, InvalidChunkSizeError, InvalidRequest, SignatureDoesNotMatch};
    let payload = vec![b'p'; 20_000];
    for (chunk_len, expected) in
        [(8191, Err(InvalidChunkSizeError)), (8192, Ok(())), (1 << 20, Ok(()))]
    {
        let encoding = Encoding { chunk_len, ..SIGNED };
        let (_, result, _) = encoding.send(&payload, |it| it, &[]);
        assert_eq!(result, expected, "{chunk_len}");
    }
    let large = vec![b'p'; (2 << 20) + 1];
    for (chunk_len, expected) in [(1 << 20, Ok(())), ((1 << 20) + 1, Err(InvalidChunkSizeError))] {
        let encoding = Encoding { chunk_len, ..SIGNED };
        let (pieces, result, _) = encoding.send(&large, |it| it, &[]);
        assert_eq!(result, expected, "{chunk_len}");
        assert!(pieces.iter().all(|it| it.len() <= 64 << 10));
    }
    // Each byte of a chunk, of its signature and of the trailers counts.
    let encoding = Encoding { chunk_len: 10_000, ..SIGNED };
    for (from, to) in [
        ("ppp\r\n2710;", "ppq\r\n2710;"),
        ("ppp\r\n0;", "ppq\r\n0;"),
        ("2710;chunk-signature=", "2710;chunk-signature=0"),
        ("\r\n0;chunk-signature=", "\r\n0;chunk-signature=0"),
        ("x-amz-trailer-signature:", "x-amz-trailer-signature:0"),
        ("x-amz-checksum-crc32c:", "x-amz-checksum-crc32c:A"),
    ] {
        assert_eq!(encoding.code(&payload, replace(from, to)), SignatureDoesNotMatch, "{to}");
    }
    for (from, to) in [
        ("2710;chunk-signature=", "2710;Chunk-Signature="),
        ("2710;chunk-signature=", "2710; chunk-signature="),
        ("2710;chunk-signature=", "2710\r\n"),
    ] {
        assert_eq!(encoding.code(&payload, replace(from, to)), InvalidRequest, "{to}");
    }
    // Nothing of a chunk comes before its signature was verified.
    let (pieces, result, _) = encoding.send(&payload, replace("ppp\r\n0;", "ppq\r\n0;"), &[]);
    assert_eq!((pieces.concat().len(), result), (10_000, Err(SignatureDoesNotMatch)));
    // Chunks can't change places, and none can be left out.
    let mut payload = vec![b'1'; 10_000];
    payload.extend([b'2'; 10_000]);
    let chunk = 10_000 + "2710;chunk-signature=".len() + 64 + 4;
    let code = encoding
        .code(&payload, |it| [&it[chunk..2 * chunk], &it[..chunk], &it[2 * chunk..]].concat());
    assert_eq!(code, SignatureDoesNotMatch);
    let code = encoding.code(&payload, |it| [&it[..chunk], &it[2 * chunk..]].concat());
    assert_eq!(code, IncompleteBody);
    // The signature of the trailers is required, and is the last of them.
    let code = encoding.code(&payload, |it| {
        let at = it.windows(8).rposition(|it| it == b"-trailer").unwrap() - "x-amz".len();
        [&it[..at], b"\r\n"].concat()
    });
    assert_eq!(code, Code::MalformedTrailerError);
    let code = encoding.code(&payload, |it| [&it[..it.len() - 2], b"a:b\r\n\r\n"].concat());
    assert_eq!(code, Code::MalformedTrailerError);
}

#[test]
fn checksums_of_trailers_are_verified() {
    let payload = vec![b'p'; 70_000];
    let changed = |bytes: Vec<u8>| {
        let mut bytes = bytes;
        bytes[100] ^= 1;
        bytes
    };
    for checksum in ChecksumAlgorithm::ALL {
        let encoding = Encoding { checksum: Some(checksum), ..UNSIGNED };
        assert_eq!(encoding.code(&payload, changed), Code::BadDigest, "{checksum}");
    }
}

#[test]
fn plain_bodies() {
    let payload = vec![b'p'; 200_000];
    let put = || TestRequest::new("PUT", "/bucket-1/key").body(&payload);
    let send = |request: TestRequest, frames: Vec<Bytes>| {
        let (parts, _) = request.signed().0.into_parts();
        let admitted = gate(&[]).admit(Request::from_parts(parts, body(frames)), now()).unwrap();
        let (pieces, result) = read(admitted.request.into_body());
        assert_eq!(admitted.digests.is_complete(), result.is_ok());
        (pieces, result)
    };
    let whole = || vec![Bytes::from(payload.clone())];
    let (pieces, result) = send(put(), whole());
    assert_eq!((pieces.concat(), result), (payload.clone(), Ok(())));
    assert!(pieces.iter().all(|it| it.len() <= 64 << 10));

    let short = vec![Bytes::from(payload[1..].to_vec())];
    assert_eq!(send(put(), short).1, Err(Code::IncompleteBody));
    let long = vec![Bytes::from(payload.clone()), Bytes::from_static(b"a")];
    assert_eq!(send(put(), long).1, Err(Code::InvalidRequest));
    let mut other = payload.clone();
    other[0] ^= 1;
    let other = vec![Bytes::from(other)];
    let (pieces, result) = send(put(), other.clone());
    assert_eq!(result, Err(Code::XAmzContentSHA256Mismatch));
    assert!(pieces.concat().len() < payload.len(), "the last piece is withheld");

    let unsigned = || put().with("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    let md5 = encode(&<md5::Md5 as md5::Digest>::digest(&payload));
    assert_eq!(send(unsigned(), other.clone()).1, Ok(()));
    assert_eq!(send(unsigned().with("content-md5", &md5), whole()).1, Ok(()));
    assert_eq!(send(unsigned().with("content-md5", &md5), other.clone()).1, Err(Code::BadDigest));
    for checksum in ChecksumAlgorithm::ALL {
        let request = || unsigned().with(checksum.header(), &digest_of(checksum, &payload));
        let named = request().with("x-amz-sdk-checksum-algorithm", checksum.name());
        assert_eq!(send(named, whole()).1, Ok(()), "{checksum}");
        assert_eq!(send(request(), other.clone()).1, Err(Code::BadDigest), "{checksum}");
    }
}

#[test]
fn the_end_is_seen_only_after_everything_was_verified() {
    let payload = b"payload";
    let request = TestRequest::new("PUT", "/bucket-1/key").body(payload);
    let admitted = request.admit().unwrap();
    let mut verified = admitted.request.into_body();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        assert!(!http_body::Body::is_end_stream(&verified));
        assert_eq!(http_body::Body::size_hint(&verified).exact(), Some(7));
        let piece = verified.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(&piece[..], payload);
        // A reader that stops at the announced length knows that it was verified.
        assert!(admitted.digests.is_complete());
        assert!(http_body::Body::is_end_stream(&verified));
        assert_eq!(http_body::Body::size_hint(&verified).exact(), Some(0));
        assert!(verified.frame().await.is_none());
    });
}

#[test]
fn failures_of_the_connection_are_handed_on() {
    let frames = [Ok(Frame::data(Bytes::from_static(b"a"))), Err("connection reset")];
    let stream = StreamBody::new(futures_util::stream::iter(frames));
    let request = TestRequest::new("PUT", "/bucket-1/key").body(b"abc");
    let (parts, _) = request.signed().0.into_parts();
    let admitted = gate(&[]).admit(Request::from_parts(parts, stream), now()).unwrap();
    assert_eq!(read(admitted.request.into_body()).1, Err(Code::RequestTimeout));
}

#[test]
fn bodies_can_be_sent_between_threads() {
    fn is_send<T: Send + 'static>() {}
    is_send::<VerifiedBody<TestBody>>();
    is_send::<Admitted<TestBody>>();
}

fn encodings() -> impl Strategy<Value = Encoding> {
    (any::<bool>(), any::<bool>(), 0..6_usize, 1..40_000_usize, any::<bool>()).prop_map(
        |(is_signed, has_trailers, checksum, chunk_len, extra_line_feed)| {
            let has_trailers = has_trailers || !is_signed;
            Encoding {
                is_signed,
                has_trailers,
                checksum: ChecksumAlgorithm::ALL.get(checksum).copied().filter(|_| has_trailers),
                chunk_len: if is_signed { chunk_len + 8192 } else { chunk_len },
                extra_line_feed,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn splits_of_the_encoding_do_not_matter(
        encoding in encodings(),
        payload in prop::collection::vec(any::<u8>(), 0..100_000),
        splits in prop::collection::vec(prop_oneof![0..4_usize, 0..50_000_usize], 0..200),
    ) {
        let (pieces, result, digests) = encoding.send(&payload, |it| it, &splits);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(pieces.concat(), payload);
        prop_assert!(digests.is_complete());
    }

    /// With a checksum or signatures, no changed byte stays unseen, except for the case of digits.
    #[test]
    fn changed_bytes_are_seen(
        encoding in encodings(),
        payload in prop::collection::vec(any::<u8>(), 1..30_000),
        at in any::<prop::sample::Index>(),
        bits in 1..=255_u8,
        splits in prop::collection::vec(0..5000_usize, 0..20),
    ) {
        prop_assume!(encoding.is_signed || encoding.checksum.is_some());
        let mut is_same = false;
        let change = |mut bytes: Vec<u8>| {
            let at = at.index(bytes.len());
            let before = bytes[at];
            bytes[at] ^= bits;
            // Of sizes and names of trailers.
            is_same = bytes[at].eq_ignore_ascii_case(&before);
            bytes
        };
        let (pieces, result, digests) = encoding.send(&payload, change, &splits);
        match result {
            Ok(()) => {
                prop_assert!(is_same);
                prop_assert_eq!(pieces.concat(), payload);
            }
            Err(code) => {
                use Code::{
                    BadDigest, IncompleteBody, InvalidChunkSizeError, InvalidRequest,
                    MalformedTrailerError, SignatureDoesNotMatch,
                };
                prop_assert!([
                    BadDigest, IncompleteBody, InvalidChunkSizeError, InvalidRequest,
                    MalformedTrailerError, SignatureDoesNotMatch,
                ].contains(&code), "{code:?}");
                prop_assert!(!digests.is_complete());
                prop_assert!(pieces.concat().len() < payload.len());
            }
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(
        encoding in encodings(),
        bytes in prop::collection::vec(prop_oneof![
            Just(b"1\r\na\r\n".to_vec()), Just(b"0\r\n".to_vec()), Just(b"\r\n".to_vec()),
            Just(b"5;chunk-signature=".to_vec()), Just(b"x-amz-checksum-crc32:AAAAAA==\r\n".to_vec()),
            prop::collection::vec(any::<u8>(), 0..8),
        ], 0..20),
        len in 0..20_usize,
    ) {
        let payload = vec![b'a'; len];
        let (pieces, result, digests) = encoding.send(&payload, |_| bytes.concat(), &[1, 1, 2, 3]);
        prop_assert_eq!(digests.is_complete(), result.is_ok());
        if result.is_ok() {
            prop_assert_eq!(pieces.concat().len(), len);
        }
    }
}
