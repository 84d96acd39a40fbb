//! Host names of AWS.

/// Domains of AWS. (AWS General Reference, "Service endpoints and quotas".)
const DOMAINS: [&str; 10] = [
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".api.aws",
    ".api.amazonwebservices.com.cn",
    ".amazonaws.eu",
    ".api.amazonwebservices.eu",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
    ".csp.hci.ic.gov",
    ".cloud.adc-e.uk",
];

/// `true` if the URL's host is in a domain of AWS.
#[must_use]
pub fn is_aws_url(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    DOMAINS.iter().any(|domain| host.ends_with(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_aws() {
        for url in [
            "https://kms.us-east-1.amazonaws.com",
            "https://vpce-0123-abcd.kms.us-east-1.vpce.amazonaws.com/",
            "https://KMS.cn-north-1.amazonaws.com.cn:443",
            "https://bucket.s3.us-east-1.amazonaws.com/key?x-id=PutObject",
        ] {
            assert!(is_aws_url(url), "{url}");
        }
        for url in [
            "http://127.0.0.1:4566",
            "https://amazonaws.com.example",
            "https://kms.example/?.amazonaws.com",
            "https://kms.amazonaws.com@example",
            "https://notamazonaws.com",
        ] {
            assert!(!is_aws_url(url), "{url}");
        }
    }
}
