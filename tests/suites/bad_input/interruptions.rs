//! Futures dropped in the middle of an upload leave nothing behind after `settle`.

use std::{pin::pin, sync::Arc};

use futures_util::{
    future::BoxFuture,
    stream::{self, StreamExt as _},
};
use sealwax_s3::{ErrorKind::NotFound, PlaintextSource, S3Uri, SealedClient};
use sealwax_tests::{
    Call, LocalStack, PART, Reaction, Wire, assert_kind, east, in_time, local_keyring, plaintext,
    unfinished_uploads,
};
use tokio::{sync::Notify, task::yield_now};

fn client(stack: &LocalStack) -> SealedClient {
    SealedClient::builder(stack.s3(), local_keyring("a")).part_len(PART).memory_budget(PART).build()
}

/// A jam on the wire: it notifies when a request reaches it, and lasts until it is released.
#[derive(Debug, Clone, Default)]
struct Jam {
    reached: Arc<Notify>,
    released: Arc<Notify>,
}

impl Jam {
    fn wait(&self) -> BoxFuture<'static, ()> {
        let Self { reached, released } = self.clone();
        Box::pin(async move {
            reached.notify_one();
            released.notified().await;
        })
    }
}

/// Returns LocalStack over a wire that is jammed where `reaction` says so.
fn jammed(reaction: impl Fn(&Call, &Jam) -> Reaction + Send + Sync + 'static) -> (LocalStack, Jam) {
    let jam = Jam::default();
    let on_the_wire = jam.clone();
    (LocalStack::over(Wire::new(move |call| reaction(call, &on_the_wire)), east()), jam)
}

async fn assert_nothing_left(client: &SealedClient, uri: &S3Uri) {
    in_time("settle", client.settle()).await;
    let stack = LocalStack::new(east());
    assert_eq!(unfinished_uploads(&stack.s3(), uri).await, 0, "an upload was left behind");
    assert_kind(client.head().uri(uri).send().await, NotFound, uri, "dropped");
}

/// Puts, drops the future when the wire is jammed, and asserts that nothing is left.
async fn assert_drop_is_clean((stack, jam): (LocalStack, Jam)) {
    let (client, uri) = (client(&stack), stack.object("dropped"));
    {
        let put = pin!(client.put().uri(&uri).body(plaintext(2 * PART + 10)).send());
        tokio::select! {
            put = put => panic!("it ended before the drop: {put:?}"),
            () = jam.reached.notified() => {
                assert_eq!(unfinished_uploads(&LocalStack::new(east()).s3(), &uri).await, 1, "no upload was started");
            }
        }
    }
    jam.released.notify_one();
    assert_nothing_left(&client, &uri).await;
}

#[tokio::test]
async fn a_drop_during_create_leaves_nothing() {
    assert_drop_is_clean(jammed(|call, jam| match call.operation.as_str() {
        "CreateMultipartUpload" => Reaction::HoldAnswer(jam.wait()),
        _ => Reaction::Pass,
    }))
    .await;
}

/// The response has arrived, but the future was not polled since.
#[tokio::test]
async fn a_drop_just_after_create_leaves_nothing() {
    let (stack, jam) = jammed(|call, jam| match call.operation.as_str() {
        "CreateMultipartUpload" => Reaction::HoldAnswer(jam.wait()),
        _ => Reaction::Pass,
    });
    let (client, uri) = (client(&stack), stack.object("dropped"));
    let mut put = Box::pin(client.put().uri(&uri).body(plaintext(2 * PART + 10)).send());
    tokio::select! {
        put = &mut put => panic!("it ended before the drop: {put:?}"),
        () = jam.reached.notified() => {}
    }
    jam.released.notify_one();
    in_time("the response arrives", async {
        while !stack.wire.calls().iter().any(Call::is_answered) {
            yield_now().await;
        }
    })
    .await;
    // The response is in memory and this runtime has one thread, so the task that waits for it ends
    // within a few turns.
    for _ in 0..1000 {
        yield_now().await;
    }
    drop(put);
    assert_nothing_left(&client, &uri).await;
}

#[tokio::test]
async fn a_drop_during_a_part_leaves_nothing() {
    assert_drop_is_clean(jammed(|call, jam| match call.part {
        Some(2) => Reaction::Await(jam.wait()),
        _ => Reaction::Pass,
    }))
    .await;
}

#[tokio::test]
async fn a_drop_during_complete_leaves_nothing() {
    assert_drop_is_clean(jammed(|call, jam| match call.operation.as_str() {
        "CompleteMultipartUpload" => Reaction::Await(jam.wait()),
        _ => Reaction::Pass,
    }))
    .await;
}

#[tokio::test]
async fn a_drop_during_abort_leaves_nothing() {
    assert_drop_is_clean(jammed(|call, jam| {
        match (call.operation.as_str(), call.part, call.nth) {
            (_, Some(2), _) => {
                Reaction::Answer(403, "<Error><Code>AccessDenied</Code></Error>".into())
            }
            ("AbortMultipartUpload", _, 0) => Reaction::Await(jam.wait()),
            _ => Reaction::Pass,
        }
    }))
    .await;
}

#[tokio::test]
async fn a_drop_while_the_source_is_idle_leaves_nothing() {
    let stack = LocalStack::new(east());
    let (client, uri, jam) = (client(&stack), stack.object("dropped"), Jam::default());
    let waiting = stream::once(jam.wait()).map(|()| unreachable!());
    let source = stream::iter([Ok(plaintext(PART)), Ok(plaintext(PART))]).chain(waiting);
    tokio::select! {
        put = client.put().uri(&uri).body(PlaintextSource::stream(source)).send() => panic!("{put:?}"),
        () = jam.reached.notified() => {}
    }
    assert_nothing_left(&client, &uri).await;
}

/// The future outlives the runtime's context, as in a program that leaves `block_on` by a timeout.
#[test]
fn a_drop_outside_the_runtime_leaves_nothing() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (stack, jam) = jammed(|call, jam| match call.part {
        Some(2) => Reaction::Await(jam.wait()),
        _ => Reaction::Pass,
    });
    let (client, uri) = (client(&stack), stack.object("dropped"));
    let mut put = Box::pin(client.put().uri(&uri).body(plaintext(2 * PART + 10)).send());
    runtime.block_on(async {
        tokio::select! {
            put = &mut put => panic!("it ended before the drop: {put:?}"),
            () = jam.reached.notified() => {}
        }
    });
    drop(put);
    runtime.block_on(assert_nothing_left(&client, &uri));
}
