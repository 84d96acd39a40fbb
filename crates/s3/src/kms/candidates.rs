//! Selects the KMS calls that may unwrap a data key, and their order. Makes no calls itself.

use std::collections::BTreeSet;

use sealwax_envelope::EncryptedDataKey;

use super::key_arn::{KMS_PROVIDER, KmsKeyArn};

/// Limits the wrapping keys that a reader may use beyond those given by ARN.
///
/// The keyring names only allowed keys in its calls to KMS. Objects of the S3 Encryption Client
/// name no key: for them KMS finds the key, and the keyring rejects the response unless the filter
/// allows that key. Without this limit, an attacker who can write to the bucket could make a reader
/// accept objects sealed under their own KMS key.
///
/// A data key wrapped by a multi-Region key is tried with each ARN that the filter allows, in this
/// order: the replica in the keyring's own Region, the ARN that the object names, then the filter's
/// Regions as listed.
///
/// ```
/// use sealwax_s3::DiscoveryFilter;
///
/// // All keys of two accounts, in two Regions only.
/// let filter = DiscoveryFilter::accounts(["111122223333", "444455556666"])
///     .regions(["us-east-1", "us-west-2"]);
///
/// // Two keys, for reading only.
/// let filter = DiscoveryFilter::keys([
///     "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab".parse()?,
///     "arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321".parse()?,
/// ]);
/// # Ok::<(), sealwax_s3::InvalidArn>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveryFilter {
    partition: Option<String>,
    accounts: Option<BTreeSet<String>>,
    regions: Option<Vec<String>>,
    keys: Option<Vec<KmsKeyArn>>,
}

impl DiscoveryFilter {
    /// Allows all keys of these accounts, in every Region of the partition `aws`.
    #[must_use]
    pub fn accounts(accounts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let accounts = Some(accounts.into_iter().map(Into::into).collect());
        Self { partition: Some("aws".into()), accounts, regions: None, keys: None }
    }

    /// Allows exactly these keys, for reading only. Of a multi-Region key, only the named replicas
    /// are allowed.
    #[must_use]
    pub fn keys(keys: impl IntoIterator<Item = KmsKeyArn>) -> Self {
        Self {
            partition: None,
            accounts: None,
            regions: None,
            keys: Some(keys.into_iter().collect()),
        }
    }

    /// Restricts the filter to this partition, such as `aws-us-gov`. For accounts, it replaces the
    /// default `aws`.
    #[must_use]
    pub fn partition(mut self, partition: impl Into<String>) -> Self {
        self.partition = Some(partition.into());
        self
    }

    /// Restricts the filter to these Regions.
    #[must_use]
    pub fn regions(mut self, regions: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.regions = Some(regions.into_iter().map(Into::into).collect());
        self
    }

    /// A made-up ARN that stands for all allowed keys in `region`, for calls that name no key.
    pub(super) fn any_key_in(&self, region: &str) -> Option<KmsKeyArn> {
        let partition = self.partition.as_deref().unwrap_or("aws");
        let any = |account: &String| {
            format!("arn:{partition}:kms:{region}:{account}:key/any").parse().ok()
        };
        self.accounts.iter().flatten().find_map(any)
    }

    /// `true` if KMS may be called with exactly this ARN.
    pub(super) fn allows(&self, key: &KmsKeyArn) -> bool {
        self.partition.as_deref().is_none_or(|partition| key.partition() == partition)
            && self.accounts.as_ref().is_none_or(|accounts| accounts.contains(key.account()))
            && self
                .regions
                .as_ref()
                .is_none_or(|regions| regions.iter().any(|region| region == key.region()))
            && self.keys.as_ref().is_none_or(|keys| keys.contains(key))
    }

    /// The ARNs that may unwrap what `stored` wrapped, the home Region's first.
    fn arns<'a>(
        &'a self,
        stored: &'a KmsKeyArn,
        home: Option<&'a str>,
    ) -> impl Iterator<Item = KmsKeyArn> + 'a {
        let regions = self.regions.iter().flatten().map(String::as_str);
        let replicas =
            home.into_iter().chain([stored.region()]).chain(regions).filter_map(|region| {
                if region == stored.region() {
                    Some(stored.clone())
                } else {
                    stored.in_region(region)
                }
            });
        let named = self.keys.iter().flatten().filter(|key| key.is_related_to(stored)).cloned();
        replicas.chain(named).filter(|arn| self.allows(arn))
    }
}

/// One call that may unwrap a data key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate<'a> {
    pub(super) key: &'a EncryptedDataKey,
    /// The KMS key to decrypt with; for a multi-Region key it may be another replica than the one
    /// that wrapped.
    pub(super) arn: KmsKeyArn,
}

/// Returns the calls that may unwrap one of `keys`: the home Region first, then in the order of
/// `configured`, then as stored.
pub(super) fn candidates<'a>(
    keys: &'a [EncryptedDataKey],
    configured: &[KmsKeyArn],
    discovery: Option<&DiscoveryFilter>,
    home: Option<&str>,
) -> Vec<Candidate<'a>> {
    let mut found: Vec<(usize, Candidate<'a>)> = Vec::new();
    for key in keys.iter().filter(|key| key.provider() == KMS_PROVIDER) {
        let Ok(stored) = key.wrapping_key().parse::<KmsKeyArn>() else { continue };
        let given = configured.iter().enumerate().filter(|(_, arn)| arn.is_related_to(&stored));
        let mut arns: Vec<(usize, KmsKeyArn)> =
            given.map(|(rank, arn)| (rank, arn.clone())).collect();
        let discovered = discovery.into_iter().flat_map(|filter| filter.arns(&stored, home));
        arns.extend(discovered.map(|arn| (configured.len(), arn)));
        for (rank, arn) in arns {
            let candidate = Candidate { key, arn };
            if !found.iter().any(|(_, known)| *known == candidate) {
                let rank = if Some(candidate.arn.region()) == home { 0 } else { rank + 1 };
                found.push((rank, candidate));
            }
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Returns the call that unwraps `key` in `region`, if its wrapping key or a replica of it is
/// there.
pub(super) fn in_region<'a>(key: &'a EncryptedDataKey, region: &str) -> Option<Candidate<'a>> {
    let stored: KmsKeyArn =
        key.wrapping_key().parse().ok().filter(|_| key.provider() == KMS_PROVIDER)?;
    let arn = if stored.region() == region { Some(stored) } else { stored.in_region(region) };
    Some(Candidate { key, arn: arn? })
}

#[cfg(test)]
mod tests {
    use sealwax_envelope::{BodySalt, EncryptionContext, WrapContext};

    use super::*;

    const ACCOUNT: &str = "123456789012";

    fn arn(region: &str, account: &str, id: &str) -> KmsKeyArn {
        format!("arn:aws:kms:{region}:{account}:key/{id}").parse().expect("an ARN")
    }

    fn named(provider: &str, name: &str) -> EncryptedDataKey {
        let salt = BodySalt::generate().expect("random bytes");
        let wrap_context = WrapContext::for_data_key(EncryptionContext::new(), None, &salt);
        EncryptedDataKey::new(provider, name, vec![1], &wrap_context).expect("a key")
    }

    fn wrapped(arn: &KmsKeyArn) -> EncryptedDataKey {
        named(KMS_PROVIDER, arn.as_str())
    }

    fn order(
        keys: &[EncryptedDataKey],
        configured: &[KmsKeyArn],
        discovery: Option<&DiscoveryFilter>,
        home: &str,
    ) -> Vec<KmsKeyArn> {
        candidates(keys, configured, discovery, Some(home))
            .into_iter()
            .map(|candidate| candidate.arn)
            .collect()
    }

    #[test]
    fn the_home_region_comes_first_then_the_configured_order() {
        let [east, west, eu] =
            ["us-east-1", "us-west-2", "eu-west-1"].map(|region| arn(region, ACCOUNT, "a"));
        let keys = [&east, &west, &eu].map(wrapped);
        let configured = [eu.clone(), east.clone(), west.clone()];
        assert_eq!(
            order(&keys, &configured, None, "us-west-2"),
            [west.clone(), eu.clone(), east.clone()]
        );
        assert_eq!(order(&keys, &configured, None, "ap-south-1"), [eu, east, west]);
    }

    #[test]
    fn keys_that_were_not_given_are_never_used() {
        let (mine, theirs) =
            (arn("us-east-1", ACCOUNT, "a"), arn("us-east-1", "999999999999", "b"));
        let local = named("local", mine.as_str());
        let keys = [local, wrapped(&theirs), wrapped(&mine)];
        assert_eq!(
            order(&keys, std::slice::from_ref(&mine), None, "us-east-1"),
            std::slice::from_ref(&mine)
        );
        assert_eq!(order(&keys, &[], None, "us-east-1"), []);
        let filter = DiscoveryFilter::accounts([ACCOUNT]);
        assert_eq!(order(&keys, &[], Some(&filter), "us-east-1"), std::slice::from_ref(&mine));
        assert_eq!(
            order(&keys, &[], Some(&filter.clone().regions(["eu-west-1"])), "us-east-1"),
            []
        );
        assert_eq!(order(&keys, &[], Some(&filter.partition("aws-cn")), "us-east-1"), []);
    }

    #[test]
    fn a_multi_region_key_is_tried_at_home_first() {
        let (east, west) = (arn("us-east-1", ACCOUNT, "mrk-a"), arn("us-west-2", ACCOUNT, "mrk-a"));
        let keys = [wrapped(&east)];
        assert_eq!(
            order(&keys, std::slice::from_ref(&west), None, "us-west-2"),
            std::slice::from_ref(&west)
        );
        let filter = DiscoveryFilter::accounts([ACCOUNT]);
        assert_eq!(order(&keys, &[], Some(&filter), "us-west-2"), [west.clone(), east.clone()]);
        assert_eq!(
            order(&keys, std::slice::from_ref(&west), Some(&filter), "us-west-2"),
            [west, east]
        );
    }

    /// As in AWS's discovery keyrings: account and partition come from the stored ARN, the Region
    /// from the filter.
    #[test]
    fn discovery_tries_replicas_that_its_filter_allows() {
        let [east, west, eu] =
            ["us-east-1", "us-west-2", "eu-west-1"].map(|region| arn(region, ACCOUNT, "mrk-a"));
        let keys = [wrapped(&east)];
        let tried = |filter: &DiscoveryFilter, home| order(&keys, &[], Some(filter), home);
        let filter = DiscoveryFilter::accounts([ACCOUNT]);
        assert_eq!(tried(&filter, "us-west-2"), [west.clone(), east.clone()]);
        assert_eq!(
            tried(&filter.clone().regions(["us-west-2"]), "eu-west-1"),
            std::slice::from_ref(&west)
        );
        let both = filter.regions(["us-west-2", "us-east-1"]);
        assert_eq!(
            tried(&both, "eu-west-1"),
            [east.clone(), west.clone()],
            "the key's own Region before others"
        );
        assert_eq!(tried(&both, "us-west-2"), [west.clone(), east.clone()]);
        let single = [wrapped(&arn("us-east-1", ACCOUNT, "a"))];
        assert_eq!(order(&single, &[], Some(&both), "us-west-2"), [arn("us-east-1", ACCOUNT, "a")]);

        let named =
            |keys: &[&KmsKeyArn]| DiscoveryFilter::keys(keys.iter().map(|key| (*key).clone()));
        assert_eq!(
            tried(&named(&[&east]), "us-west-2"),
            std::slice::from_ref(&east),
            "a replica is not named"
        );
        assert_eq!(tried(&named(&[&west]), "ap-south-1"), std::slice::from_ref(&west));
        assert_eq!(tried(&named(&[&eu, &west]), "us-west-2"), [west, eu]);
        let others =
            [arn("us-east-1", "999999999999", "mrk-a"), arn("us-east-1", ACCOUNT, "mrk-b")];
        assert_eq!(tried(&named(&[&others[0], &others[1]]), "us-east-1"), []);
        assert_eq!(tried(&named(&[]), "us-east-1"), []);
        assert_eq!(tried(&named(&[&east]).partition("aws-cn"), "us-east-1"), []);
        assert_eq!(tried(&named(&[&east]).regions(["eu-west-1"]), "us-east-1"), []);
    }

    #[test]
    fn a_single_region_key_is_tried_in_its_own_region_only() {
        let (east, west) = (arn("us-east-1", ACCOUNT, "a"), arn("us-west-2", ACCOUNT, "a"));
        assert_eq!(order(&[wrapped(&east)], &[west], None, "us-west-2"), []);
    }
}
