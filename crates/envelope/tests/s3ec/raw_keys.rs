//! Raw keys: data keys wrapped by older clients, and forgeries.
//!
//! The wrapped keys hold the data key of the sample `v2-rsa` under the samples' RSA key. They were
//! created with Python's `cryptography` 48.0.

use std::sync::Arc;

use sealwax_envelope::s3ec::{
    CommitmentPolicy, ContentSuite, Error, Keyring, RawAesKeyring, ReadPolicy, WrapAlgorithm,
};

use crate::samples::{Keys, allow_decrypt, everything, raw_keyrings, sample};

/// `RSA/ECB/OAEPWithSHA-256AndMGF1Padding` of Java: MGF1 with SHA-1.
const OAEP_SHA256_MGF1_SHA1: &str = "\
L68LHc2YhtoqiCzJMoKauuePSU0xdkjI9UznmNsJmxnmZInWD976oI9MKrbakrfqJrWYU9rCpnylCwNnjg7PqRhHY3/uF997klFFrmZc43oPzxlh3YIyxe2MMg6W+ntLejUMb7dd5+kPjaXL5PCvvgY8YCPELujO1FU2/CkxK53t9phoesk0xncOq6n3VTDkpriFHDTpm4H/ztgOuiToCnybtGEzmlhD437C9MQUgmJTymyTe2k0Yy1Fkw6D3jyB0g50j+eXsWp4QXwyNqUOjd5L+Tyf1JX9/rBmseIzbOr2wLJVY9YrfOtvaxInNnZQJafm9WC9R1Wshn4J0NQlWg==";
/// The same name in Bouncy Castle: MGF1 with SHA-256.
const OAEP_SHA256_MGF1_SHA256: &str = "\
foYAYrIaev8NTmtxOSoVNCaL3NqqMT0GQdMzUX4ZNHpmKePV82DTS/SN0dv9tV32D0A20hxNR5sme1E7LBhs5qMmU0uKxFoJohngFCvkPiIDlitmfrcvqLfgQ0FlrDpO/I1bZuRuAb3fSM1qA4WLsN+3lCTLMkuUAKoCXtYgz3xhm8lz2NissTZ5k/HFpmz8bAXtxCRc3wr2CxIkyIksyuSYuthDtuw73nfsM2mfJ8UR2QojO9iFknV1dujCTLTmO1WmIPI5bNVBHYfnVSjZW2crGh6BCEWRYZZ+GKAjkl0ORPNsN1lVL1+2f0tYDjjtqbekbUMEaP/VTRZ7ZKJEqg==";
/// `RSA-OAEP-SHA1` of a message whose first byte claims 31 bytes although 32 follow.
const OAEP_SHA1_OF_ANOTHER_LENGTH: &str = "\
F9V1nkgKXuvTSgRynR6kV7keHWb9QLHw8AMma9fUM5BycqQFCwfc/pxV+GSJOJ0cA71KVfvbR6ih8cmMHztJIbodeLoFOnZuSXLBay7j9rghtD+lqIc9GwMJAUD661oxDHJwJWI06eVAvcW7aetjZc+x7JUFRx56o1NA5LvqBIj+IXVoVD+X2ChjFdiGTCIbpIDOfFOPrjOL/TSnnqXUMDI5U6jufzsVHwY1kwv9tNs56SIFxLdE5yFD49IFeaXGL8mB7wCV3FlrlSyY4JY+Qpb5auHgM+pFA5gocEyBdcer5F7HFKlMFswCF92j2YSN81ANi3cCBxNNnwhq+KO8cQ==";
/// `RSA-OAEP-SHA1` of a message that binds the data key to V3 content.
const OAEP_SHA1_OF_ANOTHER_SUITE: &str = "\
Qh/X6IkXqm3W+FGklesAVk1wdcHWwJPCxeT158aqKpnxB/V3Zd3knQaXK1zOwS5CXWnvPPDtTsNDpWo0iJQx1LgVFXWI8DkKGMjXFo0blAAg+na+iiFOXQvendNE2itSmgXoZALpSqme7DnIkQbSCyZxPTO70w+JGW615uCVAnZIsgh8HwrOU2cJquF8lpdHG8IkN+azxuwA0jxi77Afyv7KNEQOG54VesT/916QzruWSWIoUqudbJNbeXvv0MuFBiagxyqNTf5Q8lEbQINu5/zB1ISU0G/s+hlvZwi8cNLg/k7WfCDkrs2PKCYFULSMnHyRUVz4CwOGss0xFEbtPw==";

#[test]
fn oaep_with_sha_256_by_either_meaning_of_its_name() {
    for wrapped in [OAEP_SHA256_MGF1_SHA1, OAEP_SHA256_MGF1_SHA256] {
        let mut sample = sample("v2-rsa");
        sample.metadata.insert("x-amz-key-v2".into(), wrapped.into());
        sample
            .metadata
            .insert("x-amz-wrap-alg".into(), "RSA/ECB/OAEPWithSHA-256AndMGF1Padding".into());
        let keys = Keys::all();
        assert_eq!(
            sample.open(&allow_decrypt(), &keys),
            Err(Error::LegacyWrap(WrapAlgorithm::RsaOaepSha256))
        );
        assert_eq!(sample.open(&everything(), &keys).as_ref(), Ok(&sample.plaintext));
    }
}

#[test]
fn length_and_suite_must_match_the_wrapped_key() {
    for wrapped in [OAEP_SHA1_OF_ANOTHER_LENGTH, OAEP_SHA1_OF_ANOTHER_SUITE, OAEP_SHA256_MGF1_SHA1]
    {
        let mut sample = sample("v2-rsa");
        sample.metadata.insert("x-amz-key-v2".into(), wrapped.into());
        assert_eq!(sample.open(&everything(), &Keys::all()), Err(Error::Authentication));
    }
}

/// A pointer to a raw keyring returns the same.
#[test]
fn raw_keyrings_bind_no_context_and_accept_their_own_algorithms() {
    use WrapAlgorithm::*;
    let (aes, rsa) = raw_keyrings();
    let all = [KmsContext, Kms, AesGcm, AesWrap, AesEcb, RsaOaepSha1, RsaOaepSha256, RsaPkcs1];
    let accepted = |keyring: &dyn Keyring| {
        all.into_iter().filter(|it| keyring.accepts(*it)).collect::<Vec<_>>()
    };
    let keyrings: [(Arc<dyn Keyring>, &[WrapAlgorithm]); 2] = [
        (Arc::new(aes), &[AesGcm, AesWrap, AesEcb]),
        (Arc::new(rsa), &[RsaOaepSha1, RsaOaepSha256, RsaPkcs1]),
    ];
    for (keyring, own) in &keyrings {
        for keyring in [keyring as &dyn Keyring, &**keyring] {
            assert_eq!(accepted(keyring), *own, "{keyring:?}");
            assert!(!keyring.binds_context(), "{keyring:?}");
        }
    }
    let kms: Arc<dyn Keyring> = Arc::new(crate::samples::exported());
    assert!(kms.binds_context());
    let length = sealwax_envelope::Error::ApiMisuse("a raw AES key has 16, 24 or 32 bytes");
    assert_eq!(RawAesKeyring::new(&mut [1; 20]).map(drop), Err(Error::Metadata(length)));
}

#[test]
fn policies_return_their_settings() {
    use CommitmentPolicy::*;
    for (policy, name, suite) in [
        (ForbidEncryptAllowDecrypt, "ForbidEncryptAllowDecrypt", ContentSuite::AesGcm),
        (RequireEncryptAllowDecrypt, "RequireEncryptAllowDecrypt", ContentSuite::AesGcmCommitKey),
        (
            RequireEncryptRequireDecrypt,
            "RequireEncryptRequireDecrypt",
            ContentSuite::AesGcmCommitKey,
        ),
    ] {
        assert_eq!((policy.to_string().as_str(), policy.suite()), (name, suite));
        assert_eq!(ReadPolicy::new().commitment(policy).commitment_policy(), policy);
    }
    assert_eq!(ReadPolicy::new().commitment_policy(), RequireEncryptRequireDecrypt);
}
