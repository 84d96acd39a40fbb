//! The Region that a request goes to.

use std::collections::BTreeSet;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde::Deserialize;

/// Returns the key that a request asks KMS to decrypt with; `None` for other requests.
pub(super) fn key_to_decrypt_with(request: &HttpRequest) -> Option<String> {
    #[derive(Deserialize)]
    struct Decrypt {
        #[serde(rename = "KeyId")]
        key_id: String,
    }
    let target = request.headers().get("x-amz-target")?;
    if target != "TrentService.Decrypt" {
        return None;
    }
    let decrypt: Decrypt = serde_json::from_slice(request.body().bytes()?).ok()?;
    Some(decrypt.key_id)
}

/// Region of the global endpoints of AWS. (AWS General Reference, "AWS service endpoints".)
const GLOBAL: &str = "us-east-1";

/// Destination of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) service: String,
    /// Regions of its signature and of its host. `*` is any Region.
    regions: Vec<String>,
}

impl Destination {
    pub(super) fn of(request: &HttpRequest) -> Self {
        let headers = request.headers();
        let host = request.uri().split_once("://").map_or(request.uri(), |(_, rest)| rest);
        let host = host.split(['/', '?']).next().unwrap_or_default();
        let query = request.uri().split_once('?').map_or("", |(_, query)| query);
        let presigned = |name: &str| {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            pair.map(|value| {
                value
                    .replace("%2F", "/")
                    .replace("%2f", "/")
                    .replace("%2A", "*")
                    .replace("%2C", ",")
            })
        };
        let credential = headers.get("authorization").and_then(|header| {
            header
                .split([' ', ','])
                .find_map(|part| part.strip_prefix("Credential="))
                .map(str::to_owned)
        });
        let credential = credential.or_else(|| presigned("X-Amz-Credential"));
        let region_set = headers
            .get("x-amz-region-set")
            .map(str::to_owned)
            .or_else(|| presigned("X-Amz-Region-Set"));
        Self::new(host, credential.as_deref(), region_set.as_deref())
    }

    /// Parses a credential `ID/DATE/REGION/SERVICE/aws4_request`, which has no Region if there is a
    /// `region_set`. (AWS IAM User Guide, "Elements of an AWS API request signature".)
    fn new(host: &str, credential: Option<&str>, region_set: Option<&str>) -> Self {
        let scope: Vec<&str> =
            credential.into_iter().flat_map(|credential| credential.rsplit('/')).collect();
        let (service, signed) = match scope[..] {
            ["aws4_request", service, region, _, ..] if region_set.is_none() => {
                (Some(service), Some(region))
            }
            ["aws4_request", service, ..] => (Some(service), None),
            _ => (None, None),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host).to_ascii_lowercase();
        let host = host.split(':').next().unwrap_or_default();
        let sets = region_set.into_iter().flat_map(|set| set.split(','));
        let regions = signed.into_iter().chain(sets).map(|region| region.trim().to_owned());
        let regions = regions.chain(of_host(host)).collect();
        let service = service
            .map_or_else(|| host.split('.').next().unwrap_or_default().to_owned(), str::to_owned);
        Self { service, regions }
    }

    /// Returns the first of `blocked` that the request goes to, or may go to.
    pub(super) fn blocked_by(&self, blocked: &BTreeSet<String>) -> Option<String> {
        let goes = |region: &&String| self.regions.iter().any(|one| is_of(one, region));
        blocked.iter().find(goes).cloned()
    }
}

/// `true` if `name`, from a host or a signature, is `region`. `us-*` in a signature is a set of
/// Regions.
fn is_of(name: &str, region: &str) -> bool {
    match name.split_once('*') {
        Some((start, end)) => region.starts_with(start) && region.ends_with(end),
        // Legacy hosts: s3-us-west-2.amazonaws.com.
        None => {
            name == region
                || name.strip_suffix(region).is_some_and(|service| service.ends_with('-'))
        }
    }
}

/// Returns the Region in the host name of an AWS endpoint; [`GLOBAL`] for global endpoints.
fn of_host(host: &str) -> Option<String> {
    let domains = [
        ".amazonaws.com.cn",
        ".amazonaws.com",
        ".api.aws",
        ".api.amazonwebservices.com.cn",
        ".amazonaws.eu",
    ];
    let endpoint = domains.into_iter().find_map(|domain| host.strip_suffix(domain))?;
    let endpoint = endpoint.strip_suffix(".vpce").unwrap_or(endpoint);
    let label = endpoint.rsplit('.').next().unwrap_or(endpoint);
    let is_global = ["s3", "s3-external-1", "sts", "iam", "kms", "portal", "oidc"].contains(&label);
    // A multi-Region access point routes requests to any Region.
    let anywhere = label == "s3-global";
    Some(if anywhere {
        "*".into()
    } else if is_global {
        GLOBAL.into()
    } else {
        label.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(host: &str, credential: Option<&str>, region_set: Option<&str>) -> Option<String> {
        Destination::new(host, credential, region_set).blocked_by(&["us-east-1".to_owned()].into())
    }

    #[test]
    fn only_a_decrypt_names_the_key_to_decrypt_with() {
        let request = |target: &'static str, body: &'static str| {
            let mut request = HttpRequest::new(body.into());
            request.headers_mut().insert("x-amz-target", target);
            key_to_decrypt_with(&request)
        };
        let body = r#"{"CiphertextBlob":"AAAA","KeyId":"arn:k"}"#;
        assert_eq!(request("TrentService.Decrypt", body).as_deref(), Some("arn:k"));
        assert_eq!(request("TrentService.Decrypt", r#"{"CiphertextBlob":"AAAA"}"#), None);
        assert_eq!(request("TrentService.Encrypt", body), None);
        assert_eq!(key_to_decrypt_with(&HttpRequest::new(body.into())), None);
    }

    #[test]
    fn the_signature_tells_the_region_on_any_host() {
        let scope = |region: &str| format!("AKID/20260101/{region}/kms/aws4_request");
        assert_eq!(
            blocked("127.0.0.1:4566", Some(&scope("us-east-1")), None).as_deref(),
            Some("us-east-1")
        );
        assert_eq!(blocked("127.0.0.1:4566", Some(&scope("us-west-2")), None), None);
        assert_eq!(
            blocked("kms.us-east-1.amazonaws.com", Some(&scope("us-west-2")), None).as_deref(),
            Some("us-east-1")
        );
        assert_eq!(Destination::new("h", Some(&scope("us-east-1")), None).service, "kms");
        // Access key ids of other stores may contain a slash.
        assert!(blocked("h", Some("a/b/20260101/us-east-1/s3/aws4_request"), None).is_some());
    }

    #[test]
    fn the_host_tells_the_region_of_unsigned_requests() {
        for host in [
            "s3.us-east-1.amazonaws.com",
            "bucket.s3.us-east-1.amazonaws.com",
            "bucket.s3.dualstack.us-east-1.amazonaws.com",
            "S3.US-EAST-1.amazonaws.com:443",
            "bucket.s3.amazonaws.com",
            "s3.amazonaws.com",
            "sts.amazonaws.com",
            "sts.us-east-1.amazonaws.com",
            "kms-fips.us-east-1.amazonaws.com",
            "s3-us-east-1.amazonaws.com",
            "kms.us-east-1.api.aws",
            "vpce-1.s3.us-east-1.vpce.amazonaws.com",
            "ap.accesspoint.s3-global.amazonaws.com",
        ] {
            assert!(blocked(host, None, None).is_some(), "{host}");
        }
        for host in [
            "us-east-1.s3.us-west-2.amazonaws.com",
            "logs.us-east-1.s3.us-west-2.amazonaws.com",
            "kms.us-west-2.amazonaws.com",
            "127.0.0.1:4566",
            "169.254.169.254",
            "",
        ] {
            assert_eq!(blocked(host, None, None), None, "{host}");
        }
    }

    #[test]
    fn a_set_of_regions_is_blocked_if_one_of_them_is() {
        let scope = Some("AKID/20260101/s3/aws4_request");
        for set in ["*", "us-*", "us-west-2,us-east-1", "us-west-2, us-east-1"] {
            assert!(blocked("h", scope, Some(set)).is_some(), "{set}");
        }
        assert_eq!(blocked("h", scope, Some("eu-*")), None);
        assert_eq!(Destination::new("h", scope, Some("*")).service, "s3");
    }
}
