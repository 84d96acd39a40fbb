//! Compile-time checks: public types can be used in tasks and threads.

use sealwax_s3::{Migrator, Rewrapper, SealedClient};

use crate::{
    CancellationToken, Outcomes, audit, compare, drill, listing, migrate,
    rewrap::{self, AppliedObject, Apply, JobInput, Plan, PlanFile, PlanSummary, RewrapSummary},
    stored_keys, verify,
};

fn sent<T: Send + 'static>() {}
fn shared<T: Send + Sync + 'static>() {}
fn cloned<T: Clone + Send + Sync + 'static>() {}

#[test]
fn public_types() {
    cloned::<(audit::Audit, compare::Compare, Migrator, verify::VerifyAll)>();
    cloned::<(drill::BlockedRegions, verify::Sample, CancellationToken)>();
    cloned::<(rewrap::PlannedObject, rewrap::PriceTable)>();
    #[cfg(feature = "inventory")]
    cloned::<listing::ManifestLocation>();
    shared::<(audit::AuditedObject, compare::ComparedObject)>();
    shared::<(migrate::MigratedObject, verify::VerifiedObject)>();
    shared::<(AppliedObject, Apply<Rewrapper>, Plan<Rewrapper>, PlanFile)>();
    cloned::<(stored_keys::RewrapKeys, stored_keys::VerifyKeys)>();
    shared::<(stored_keys::RewrappedKey, stored_keys::VerifiedKey)>();
    // A stream needs one owner at a time.
    sent::<(listing::Listing, JobInput)>();
    sent::<(Outcomes<audit::AuditSummary>, Outcomes<migrate::MigrateSummary>)>();
    sent::<(Outcomes<verify::VerifySummary>, Outcomes<RewrapSummary>, Outcomes<PlanSummary>)>();
}

#[test]
fn futures() {
    fn task<T: Future + Send + 'static>(_: impl FnOnce(SealedClient) -> T) {}

    let list = |client: &SealedClient| listing::Listing::objects(client.s3(), "bucket", "");
    task(move |client| audit::Audit::new(client.clone()).run(list(&client)).finish());
    task(move |client| {
        let work = client.migrator(sealwax_s3::WriteFormat::Sealwax);
        Apply::new(work).run(JobInput::listing(list(&client), "all")).finish()
    });
    task(move |client| verify::VerifyAll::new(client.clone()).run(list(&client)).finish());
    task(move |client| drill::Lag::between(list(&client), list(&client)));
    task(move |client| {
        let store = client.stored_keys("bucket").expect("a key store");
        stored_keys::VerifyKeys::new(store.clone()).run(store.list().into_stream()).finish()
    });
    task(|_| PlanFile::open("plan"));
}
