//! Report of where each service's requests go.

use std::collections::BTreeSet;

use sealwax_s3::{KmsKeyName, PlainHttp};

use super::check::{Check, Checks};
use crate::{
    failure::Failure,
    session::{Endpoint, Service, Session},
};

/// Reports the endpoints of S3, of STS, and of KMS in each key's Region, without a request.
pub(super) async fn check(
    session: &Session,
    keys: &[KmsKeyName],
    checks: &mut Checks,
) -> Result<(), Failure> {
    // An alias or a key id is one of the session's Region.
    let region_of = |key| KmsKeyName::region(key).unwrap_or(session.region());
    let mut regions: BTreeSet<_> = keys.iter().map(region_of).collect();
    if regions.is_empty() {
        regions.insert(session.region());
    }
    let s3 = session.endpoint(Service::S3).await;
    checks.add(judged(session, Service::S3, "S3".into(), &s3))?;
    let sts = session.endpoint(Service::Sts).await;
    checks.add(judged(session, Service::Sts, "STS".into(), &sts))?;
    for region in regions {
        let kms = session.in_region(region).endpoint(Service::Kms).await;
        checks.add(judged(session, Service::Kms, format!("KMS in {region}"), &kms))?;
    }
    Ok(())
}

fn judged(session: &Session, service: Service, who: String, endpoint: &Endpoint) -> Check {
    let Endpoint { url, is_aws } = endpoint;
    let is_plain = PlainHttp::check(service.name(), url).is_err();
    match service {
        Service::S3 if is_plain => Check::warning(
            "endpoint",
            format!("{who}: {url}, over plain HTTP"),
            "use an https:// endpoint: bodies are sealed, but names, metadata and encryption contexts are not",
        ),
        Service::S3 => Check::ok("endpoint", format!("{who}: {url}")),
        Service::Kms | Service::Sts if is_plain && !session.allows_http_kms() => Check::failed(
            "endpoint",
            format!("{who}: {url}, over plain HTTP: refused"),
            "use an https:// endpoint for KMS and STS (--kms-endpoint-url), or pass --allow-http-kms on a trusted network",
        ),
        Service::Kms | Service::Sts if is_plain => Check::warning(
            "endpoint",
            format!("{who}: {url}, over plain HTTP"),
            "for tests only: everyone on the way sees the data keys and credentials, and can choose them",
        ),
        Service::Kms if !is_aws => Check::warning(
            "endpoint",
            format!("{who}: {url}, which is not AWS"),
            "for tests, or for a KMS that you trust: its operator sees the data keys, and can choose them",
        ),
        Service::Kms | Service::Sts => Check::ok("endpoint", format!("{who}: {url}")),
    }
}
