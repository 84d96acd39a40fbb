//! Arguments about intermediate keys, which wrap the data keys of many objects.

use std::sync::Arc;

use clap::{Args, builder::NonEmptyStringValueParser};
use sealwax_s3::{
    KeyStorePolicy,
    envelope::{CacheLimits, CachingKeyring, Keyring, WrappedForms},
};

use super::TimeSpan;
use crate::failure::Failure;

/// Arguments of commands that wrap new data keys.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Key cache")]
pub(crate) struct KeyCacheArgs {
    /// Wrap data keys under an intermediate key, which KMS wraps: one call for many objects instead of
    /// one for each. It wraps new data keys for this time [default time: 5m]
    ///
    /// Objects of one encryption context share it. CloudTrail then names the intermediate key instead
    /// of each object.
    #[arg(long, value_name = "AGE", num_args = 0..=1, require_equals = true, default_missing_value = "5m")]
    pub(crate) key_cache: Option<TimeSpan>,

    /// Maximum number of objects under one intermediate key [default: 1,000,000]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) key_cache_objects: Option<u64>,

    /// Bind intermediate keys only to pairs of the encryption context with this name; repeatable
    /// [default: to all pairs]
    ///
    /// Objects that share these pairs share an intermediate key, and KMS sees these pairs alone. All
    /// pairs of an object remain bound to its data key.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) key_context: Vec<String>,

    /// Store the wrapped forms of intermediate keys in the key store alone, and not in the objects
    ///
    /// Without the key store, no one can open such objects: `sealwax keys shred` makes them
    /// permanently unreadable. It requires --key-store, for readers too.
    #[arg(long)]
    pub(crate) detached_keys: bool,
}

impl KeyCacheArgs {
    /// `true` if data keys are wrapped under intermediate keys.
    pub(crate) fn is_on(&self) -> bool {
        self.key_cache.is_some()
    }

    /// Returns a keyring that wraps new data keys as these arguments say, under keys of `keyring`.
    ///
    /// # Errors
    /// An argument requires another one.
    pub(crate) fn onto(
        &self,
        key_store: &KeyStorePolicy,
        keyring: Arc<dyn Keyring>,
    ) -> Result<Arc<dyn Keyring>, Failure> {
        let Self { key_cache, key_cache_objects, key_context, detached_keys } = self;
        let Some(TimeSpan(age)) = *key_cache else {
            for (is_given, option) in [
                (key_cache_objects.is_some(), "--key-cache-objects"),
                (!key_context.is_empty(), "--key-context"),
                (*detached_keys, "--detached-keys"),
            ] {
                if is_given {
                    return Err(Failure::usage(format!("{option} requires --key-cache")));
                }
            }
            return Ok(keyring);
        };
        if *detached_keys && key_store.prefix().is_none() {
            let error = "--detached-keys requires --key-store: no one could open the objects";
            return Err(Failure::usage(error).advise("pass --key-store, for readers too"));
        }
        let mut limits = CacheLimits::new().with_max_writing_age(age);
        if let Some(objects) = *key_cache_objects {
            limits = limits.with_max_objects(objects);
        }
        let mut cache = CachingKeyring::with_limits(keyring, limits);
        if !key_context.is_empty() {
            cache = cache.with_key_context(key_context.iter().map(String::as_str));
        }
        if *detached_keys {
            cache = cache.with_wrapped_forms(WrappedForms::Detached);
        }
        Ok(Arc::new(cache))
    }
}
