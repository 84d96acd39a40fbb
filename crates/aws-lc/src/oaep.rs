//! RSAES-OAEP with SHA-256, and with SHA-1 in the mask generation function. (AWS-LC,
//! `include/openssl/evp.h`.)

use std::{
    fmt,
    mem::MaybeUninit,
    ptr::{self, NonNull},
};

use aws_lc_sys::{
    CBS, CBS_init, CBS_len, EVP_PKEY, EVP_PKEY_CTX, EVP_PKEY_CTX_free, EVP_PKEY_CTX_new,
    EVP_PKEY_CTX_set_rsa_mgf1_md, EVP_PKEY_CTX_set_rsa_oaep_md, EVP_PKEY_CTX_set_rsa_padding,
    EVP_PKEY_RSA, EVP_PKEY_decrypt, EVP_PKEY_decrypt_init, EVP_PKEY_free, EVP_PKEY_id,
    EVP_PKEY_size, EVP_parse_private_key, EVP_sha1, EVP_sha256, RSA_PKCS1_OAEP_PADDING,
};
use zeroize::Zeroizing;

use crate::Unauthentic;

/// A private key for Java's `RSA/ECB/OAEPWithSHA-256AndMGF1Padding`.
///
/// This is OAEP (RFC 8017 §7.1) with SHA-256 over the label, which is empty, and with SHA-1 in
/// MGF1. SHA-1 is Java's default for MGF1, despite the name. `aws-lc-rs` uses one digest for both.
pub struct OaepSha256Mgf1Sha1(NonNull<EVP_PKEY>);

// SAFETY: several threads may use an EVP_PKEY at once if none of them changes it (AWS-LC, `evp.h`).
// Nothing here changes it after construction.
unsafe impl Send for OaepSha256Mgf1Sha1 {}
// SAFETY: as above.
unsafe impl Sync for OaepSha256Mgf1Sha1 {}

impl OaepSha256Mgf1Sha1 {
    /// Reads an RSA private key in PKCS#8, DER. `None` if `der` is anything else.
    #[must_use]
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let mut input = MaybeUninit::<CBS>::uninit();
        // SAFETY: initializes all of `input`, which borrows `der` and does not outlive this
        // function.
        unsafe { CBS_init(input.as_mut_ptr(), der.as_ptr(), der.len()) };
        // SAFETY: `input` is initialized; returns a new key, which the caller owns, or null.
        let key = Self(NonNull::new(unsafe { EVP_parse_private_key(input.as_mut_ptr()) })?);
        // SAFETY: `input` is initialized, and parsing leaves it valid.
        let rest = unsafe { CBS_len(input.as_ptr()) };
        // SAFETY: the key is valid.
        let kind = unsafe { EVP_PKEY_id(key.0.as_ptr()) };
        (rest == 0 && kind == EVP_PKEY_RSA).then_some(key)
    }

    /// Decrypts `ciphertext`.
    ///
    /// # Errors
    /// [`Unauthentic`] for every failure.
    pub fn decrypt(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unauthentic> {
        let context = self.context()?;
        // SAFETY: the key is valid.
        let size = unsafe { EVP_PKEY_size(self.0.as_ptr()) };
        let mut plaintext =
            Zeroizing::new(vec![0; usize::try_from(size).map_err(|_| Unauthentic)?]);
        let mut len = plaintext.len();
        // SAFETY: the context is ready to decrypt; `plaintext` is writable for `len` bytes, and
        // `ciphertext` is readable for its length. AWS-LC writes at most `len` bytes and sets `len`
        // to their number.
        let done = unsafe {
            let (out, input) = (plaintext.as_mut_ptr(), ciphertext.as_ptr());
            EVP_PKEY_decrypt(context.0.as_ptr(), out, &raw mut len, input, ciphertext.len())
        };
        if done != 1 {
            return Err(Unauthentic);
        }
        plaintext.truncate(len);
        Ok(plaintext)
    }

    /// Returns a context that decrypts with this key, padding and digests.
    fn context(&self) -> Result<Context, Unauthentic> {
        // SAFETY: the key is valid, and the context takes its own reference to it. AWS-LC has no
        // engines.
        let context = unsafe { EVP_PKEY_CTX_new(self.0.as_ptr(), ptr::null_mut()) };
        let context = Context(NonNull::new(context).ok_or(Unauthentic)?);
        let at = context.0.as_ptr();
        // SAFETY: both take no arguments and return a pointer to a static.
        let (sha1, sha256) = (unsafe { EVP_sha1() }, unsafe { EVP_sha256() });
        // SAFETY: the context is valid and exclusively owned.
        let ready = unsafe { EVP_PKEY_decrypt_init(at) } == 1
            // SAFETY: as above, and it is ready to decrypt.
            && unsafe { EVP_PKEY_CTX_set_rsa_padding(at, RSA_PKCS1_OAEP_PADDING) } == 1
            // SAFETY: as above; the digest is a static.
            && unsafe { EVP_PKEY_CTX_set_rsa_oaep_md(at, sha256) } == 1
            // SAFETY: as above.
            && unsafe { EVP_PKEY_CTX_set_rsa_mgf1_md(at, sha1) } == 1;
        if ready { Ok(context) } else { Err(Unauthentic) }
    }
}

impl Drop for OaepSha256Mgf1Sha1 {
    fn drop(&mut self) {
        // SAFETY: the key came from EVP_parse_private_key, and this is its last use here; contexts
        // have their own references.
        unsafe { EVP_PKEY_free(self.0.as_ptr()) };
    }
}

impl fmt::Debug for OaepSha256Mgf1Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OaepSha256Mgf1Sha1").finish_non_exhaustive()
    }
}

/// An exclusively owned `EVP_PKEY_CTX`.
struct Context(NonNull<EVP_PKEY_CTX>);

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context came from EVP_PKEY_CTX_new, and `self` is its only owner.
        unsafe { EVP_PKEY_CTX_free(self.0.as_ptr()) };
    }
}
