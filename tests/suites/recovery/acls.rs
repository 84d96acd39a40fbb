//! Stores that do not tell an object's access control list.

use sealwax_s3::{AclPolicy, ErrorKind, KeyChanges, SealedClient};
use sealwax_tests::{LocalStack, Reaction, Wire, assert_kind, east, local_keyring, read};

/// Returns LocalStack as a store with ACLs that it cannot tell, as moto cannot for objects of parts.
fn telling_none() -> LocalStack {
    const ERROR: &str = "<Error><Code>InternalError</Code><Message>oops</Message></Error>";
    let wire = Wire::new(|call| match call.operation.as_str() {
        "GetBucketOwnershipControls" => Reaction::Answer(404, ERROR.into()),
        "GetObjectAcl" => Reaction::Answer(500, ERROR.into()),
        _ => Reaction::Pass,
    });
    LocalStack::over(wire, east())
}

#[tokio::test]
async fn an_acl_that_the_store_does_not_tell_is_an_error_or_ignored() {
    let stack = telling_none();
    let asks = || stack.wire.operations("s3").iter().filter(|it| *it == "GetObjectAcl").count();
    for (acls, is_kept) in [(AclPolicy::Keep, true), (AclPolicy::Ignore, false)] {
        let client = SealedClient::builder(stack.s3(), local_keyring("a")).acls(acls).build();
        let (from, to) = (stack.object("from"), stack.object("to"));
        let put = async || drop(client.put().uri(&from).body("x").send().await.expect("put"));
        put().await;
        stack.wire.forget();
        let confirm = from.to_string();
        let changes = KeyChanges::new().add_keys(local_keyring("b"));
        let rewrapper = client.rewrapper(changes).expect("a change");
        let listed = sealwax_s3::ListedObject::new(from.bucket(), from.key());
        let results = [
            ("copy", client.copy().source_uri(&from).uri(&to).send().await.err()),
            ("move", {
                let movement = client.copy().source_uri(&from).uri(&to).delete_source();
                let error = movement.send().await.err();
                if error.is_none() {
                    put().await;
                }
                error
            }),
            ("rewrap", client.rewrap().uri(&from).add_keys(local_keyring("c")).send().await.err()),
            ("rewrap of many", {
                let outcome = rewrapper.rewrap_one(&listed).await;
                let kind = outcome.error().map(sealwax_s3::Error::kind);
                assert_eq!(kind, is_kept.then_some(ErrorKind::AclUnreadable));
                None
            }),
            ("reencrypt", client.reencrypt().uri(&from).send().await.err()),
            ("shred", client.shred().uri(&from).confirm(confirm).send().await.err()),
        ];
        for (operation, error) in results {
            if !is_kept {
                assert!(error.is_none(), "{operation}: {error:?}");
            } else if operation != "rewrap of many" {
                let error = error.expect(operation);
                let error =
                    assert_kind(Err::<(), _>(error), ErrorKind::AclUnreadable, &from, operation);
                assert_eq!(
                    error.message(),
                    "GetObjectAcl failed; the store does not tell the object's ACL, which a copy \
                     would lose",
                    "{operation}"
                );
            }
        }
        assert_eq!(asks() > 0, is_kept);
        if is_kept {
            assert_eq!(read(&client, &from).await.expect("unchanged"), "x");
        }
    }
}
