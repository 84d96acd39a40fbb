//! A test for keyrings of your own.

use std::fmt;

use crate::{
    BodySalt, EncryptedDataKey, EncryptionContext, Keyring, Place, PlaintextDataKey, Scope, Unwrap,
    WrapContext, WrappedForms, intermediate_key,
};

/// A rule that a keyring breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

/// Checks that `keyring` binds each wrapped key to all pairs of its [`WrapContext`].
///
/// It generates keys, wraps, re-encrypts and unwraps them. Then it changes each pair alone, and the
/// ciphertext, and requires that the keyring refuses. The keyring must be able to wrap and to
/// unwrap. About 60 calls to its key service.
///
/// ```
/// use futures_util::FutureExt as _;
/// use sealwax_envelope::{LocalKeyring, conformance};
///
/// let keyring = LocalKeyring::new("my-key", &mut [7; 32])?;
/// conformance::check(&keyring).now_or_never().expect("no I/O")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The first rule that the keyring breaks.
pub async fn check(keyring: &dyn Keyring) -> Result<(), Violation> {
    let salt = || BodySalt::generate().map_err(|error| broken("random bytes", error));
    let of = |error: crate::Error| broken("sample", error);
    let context = EncryptionContext::new().with("tenant", "acme").map_err(of)?;
    let place = Place::new("bucket", "folder/key").map_err(of)?;
    let elsewhere = Place::new("bucket", "folder/other").map_err(of)?;
    let other_contexts = [
        EncryptionContext::new(),
        EncryptionContext::new().with("tenant", "acme2").map_err(of)?,
        EncryptionContext::new().with("tenants", "acme").map_err(of)?,
        context.clone().with("class", "").map_err(of)?,
    ];

    let salt_of_body = salt()?;
    let data_key = |context: &EncryptionContext, place: Option<&Place>| {
        WrapContext::for_data_key(context.clone(), place.cloned(), &salt_of_body)
    };
    let own = data_key(&context, Some(&place));
    let other_salt = salt()?;
    let other_body = WrapContext::for_data_key(context.clone(), Some(place.clone()), &other_salt);
    let [one, other] = [intermediate_key::new_nonce(), intermediate_key::new_nonce()];
    let (one, other) = (one.map_err(of)?, other.map_err(of)?);
    let shared = |context: &EncryptionContext, folders: Option<usize>, nonce| {
        let scope = folders.map(|folders| Scope::of(&place, folders));
        WrapContext::for_intermediate_key(context.clone(), scope, nonce, WrappedForms::InObjects)
    };
    let intermediate = shared(&context, Some(0), one);

    let scope = Some(Scope::of(&place, 0));
    let detached =
        WrapContext::for_intermediate_key(context.clone(), scope, one, WrappedForms::Detached);
    let mut others_of_data_key = vec![
        ("another place", data_key(&context, Some(&elsewhere))),
        ("no place", data_key(&context, None)),
        ("another salt", other_body.clone()),
        ("another format", own.of_another_format()),
        ("another kind", intermediate.clone()),
    ];
    let mut others_of_intermediate = vec![
        ("another scope", shared(&context, Some(1), one)),
        ("no scope", shared(&context, None, one)),
        ("another id", shared(&context, Some(0), other)),
        ("another format", intermediate.of_another_format()),
        ("the format of a detached key", detached),
        ("another kind", own.clone()),
    ];
    for other in &other_contexts {
        let what = "another encryption context";
        others_of_data_key.push((what, data_key(other, Some(&place))));
        others_of_intermediate.push((what, shared(other, Some(0), one)));
    }

    let unplaced = data_key(&context, None);
    let keys = check_binding(keyring, &own, &others_of_data_key).await?;
    check_binding(keyring, &unplaced, &[("a place", own.clone())]).await?;
    let forms = check_binding(keyring, &intermediate, &others_of_intermediate).await?;
    check_intermediate(keyring, &forms, &own, &others_of_data_key).await?;
    let unscoped = shared(&context, None, one);
    check_binding(keyring, &unscoped, &[("a scope", intermediate.clone())]).await?;

    let target = data_key(&context, Some(&elsewhere));
    check_new_place(keyring, &keys, &target, &others_of_data_key).await?;
    for (what, target) in [("another body", &other_body), ("an intermediate key", &intermediate)] {
        let by = |method| Violation(format!("`{method}` makes a data key the key of {what}"));
        if let Ok(Some(_)) = keyring.rewrap(&keys, target).await {
            return Err(by("rewrap"));
        }
        if let Ok(Some(_)) = keyring.carry(&keys[0], target).await {
            return Err(by("carry"));
        }
    }
    Ok(())
}

fn broken(what: &str, error: impl fmt::Display) -> Violation {
    Violation(format!("{what}: {error}"))
}

/// Checks one binding: its keys open, and open with none of `others`. Returns the keys.
async fn check_binding(
    keyring: &dyn Keyring,
    binding: &WrapContext,
    others: &[(&str, WrapContext)],
) -> Result<Vec<EncryptedDataKey>, Violation> {
    let kind = if binding.is_for_intermediate_key() { "an intermediate key" } else { "a data key" };
    let generated = keyring
        .generate(binding, Some(1))
        .await
        .map_err(|error| broken(&format!("`generate` of {kind} fails"), error))?;
    let wrapped = keyring
        .wrap(generated.data_key(), binding)
        .await
        .map_err(|error| broken(&format!("`wrap` of {kind} fails"), error))?;
    let expected = keyring.expected_keys(binding);
    if !expected.is_empty() {
        let names = |keys: &[EncryptedDataKey]| -> Vec<(String, String)> {
            keys.iter().map(|key| (key.provider().into(), key.wrapping_key().into())).collect()
        };
        if names(&wrapped) != names(&expected) {
            return Err(Violation("`wrap` does not return the `expected_keys`".into()));
        }
    }
    let generated_keys = generated.encrypted_data_keys();
    for (by, keys) in [("generate", generated_keys), ("wrap", &wrapped)] {
        for key in keys {
            check_opens(keyring, key, generated.data_key(), &format!("`{by}` of {kind}")).await?;
            check_refuses(keyring, key, others).await?;
        }
    }
    Ok(generated_keys.to_vec())
}

/// Checks a data key under the intermediate key in `forms`: it opens, and neither with one of
/// `others` nor by the id of another intermediate key.
async fn check_intermediate(
    keyring: &dyn Keyring,
    forms: &[EncryptedDataKey],
    binding: &WrapContext,
    others: &[(&str, WrapContext)],
) -> Result<(), Violation> {
    let of = |error: crate::Error| broken("sample", error);
    let Unwrap::Unwrapped(intermediate) = keyring.unwrap(forms).await else {
        return Err(Violation("`unwrap` fails for its own keys".into()));
    };
    let data_key = PlaintextDataKey::generate().map_err(of)?;
    let keys =
        EncryptedDataKey::wrap_under(&intermediate, forms, &data_key, binding).map_err(of)?;
    for key in &keys {
        check_opens(keyring, key, &data_key, "a data key under an intermediate key").await?;
        check_refuses(keyring, key, others).await?;
        let Some(forged) = key.with_id_of(&data_key) else { continue };
        if let Unwrap::Unwrapped(_) = keyring.unwrap(&[forged]).await {
            let what = "`unwrap` accepts an intermediate key with the id of another one";
            return Err(Violation(what.into()));
        }
    }
    Ok(())
}

/// Checks that the keys, re-encrypted for `target`, open there alone.
async fn check_new_place(
    keyring: &dyn Keyring,
    keys: &[EncryptedDataKey],
    target: &WrapContext,
    others: &[(&str, WrapContext)],
) -> Result<(), Violation> {
    let Unwrap::Unwrapped(data_key) = keyring.unwrap(keys).await else {
        return Err(Violation("`unwrap` fails for its own keys".into()));
    };
    let mut moved = Vec::new();
    if let Some(rewrapped) =
        keyring.rewrap(keys, target).await.map_err(|error| broken("`rewrap` fails", error))?
    {
        moved.extend(rewrapped);
    }
    for key in keys {
        let carried =
            keyring.carry(key, target).await.map_err(|error| broken("`carry` fails", error))?;
        moved.extend(carried);
    }
    for key in &moved {
        if key.wrap_context() != target && key.intermediate_id().is_none() {
            return Err(Violation("a re-encrypted key has another binding than asked for".into()));
        }
        check_opens(keyring, key, &data_key, "a re-encrypted key").await?;
        let others: Vec<_> = others.iter().filter(|(_, other)| other != target).cloned().collect();
        check_refuses(keyring, key, &others).await?;
    }
    Ok(())
}

async fn check_opens(
    keyring: &dyn Keyring,
    key: &EncryptedDataKey,
    expected: &PlaintextDataKey,
    what: &str,
) -> Result<(), Violation> {
    if !keyring.accepts(key) {
        return Err(Violation(format!("the keyring does not accept the result of {what}")));
    }
    match keyring.unwrap(std::slice::from_ref(key)).await {
        Unwrap::Unwrapped(opened) if opened.expose_secret() == expected.expose_secret() => {}
        Unwrap::Unwrapped(_) => return Err(Violation(format!("{what} opens as another key"))),
        Unwrap::Failed(failures) => {
            return Err(broken(&format!("{what} does not open"), &failures[0]));
        }
        Unwrap::NotMine => {
            return Err(Violation(format!("the keyring does not try the result of {what}")));
        }
    }
    match keyring.unwrap_one(key).await {
        Ok(Some(opened)) if opened.key().expose_secret() == expected.expose_secret() => Ok(()),
        Ok(_) => Err(Violation(format!("`unwrap_one` does not open the result of {what}"))),
        Err(failures) => {
            Err(broken(&format!("`unwrap_one` fails for the result of {what}"), &failures[0]))
        }
    }
}

/// Checks that the keyring refuses `key` with each of the bindings `others`, and with a changed
/// ciphertext.
async fn check_refuses(
    keyring: &dyn Keyring,
    key: &EncryptedDataKey,
    others: &[(&str, WrapContext)],
) -> Result<(), Violation> {
    let mut forged: Vec<_> =
        others.iter().map(|(what, other)| (*what, key.claiming(other.clone()))).collect();
    let mut ciphertext = key.ciphertext().to_vec();
    if let Some(last) = ciphertext.last_mut() {
        *last ^= 1;
    }
    let changed =
        EncryptedDataKey::new(key.provider(), key.wrapping_key(), ciphertext, key.wrap_context());
    match (changed, key.intermediate_id()) {
        (Ok(changed), None) => forged.push(("a changed ciphertext", changed)),
        // While an intermediate key is cached, only a proof asks for its ciphertext.
        (Ok(changed), Some(_)) => {
            let changed = key.with_intermediate(changed);
            if let Some(changed) = &changed
                && let Ok(Some(_)) = keyring.unwrap_one(changed).await
            {
                let what = "`unwrap_one` accepts a changed ciphertext of an intermediate key";
                return Err(Violation(what.into()));
            }
        }
        (Err(_), _) => {}
    }
    for (what, forged) in forged {
        let by = |method: &str| Violation(format!("`{method}` accepts a wrapped key with {what}"));
        if let Unwrap::Unwrapped(_) = keyring.unwrap(std::slice::from_ref(&forged)).await {
            return Err(by("unwrap"));
        }
        if let Ok(Some(_)) = keyring.unwrap_one(&forged).await {
            return Err(by("unwrap_one"));
        }
        // The other methods use the intermediate key alone, whose binding is the true one.
        if forged.intermediate_id().is_some() {
            continue;
        }
        let target = forged.wrap_context().clone();
        if let Ok(Some(_)) = keyring.rewrap(std::slice::from_ref(&forged), &target).await {
            return Err(by("rewrap"));
        }
        if let Ok(Some(_)) = keyring.carry(&forged, &target).await {
            return Err(by("carry"));
        }
        if let Ok(Some(_)) = keyring.refresh(&forged).await {
            return Err(by("refresh"));
        }
        if let Ok(Some(_)) = keyring.key_material(&forged).await {
            return Err(by("key_material"));
        }
    }
    Ok(())
}
