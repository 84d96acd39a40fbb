//! Actions of clients, and the states that they must leave.

use std::{
    fmt::Debug,
    sync::{Mutex, PoisonError},
};

use sealwax_s3::aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::get_object::builders::GetObjectFluentBuilder,
    primitives::ByteStream,
    types::{
        CompletedMultipartUpload, CompletedPart, Delete, MetadataDirective, ObjectIdentifier, Tag,
        Tagging,
    },
};
use sealwax_tests::wait_until;

use crate::{
    plan::PlannedWire,
    running::Running,
    world::{Content, Scene, State, World},
};

/// Request of a client, or a few that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    PutSmall,
    PutLong,
    Get,
    GetRange,
    Head,
    Copy,
    CopyInPlace,
    /// A copy in place in a bucket without versions.
    Rewrite,
    Delete,
    DeleteMany,
    List,
    WriteTags,
    ReadTags,
    RemoveTags,
    Multipart,
    Abort,
}

/// Failure of an action, as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// An answer of S3.
    Answer { status: u16, code: String },
    /// The connection or the body broke off.
    BrokeOff,
}

impl<E: ProvideErrorMetadata> From<SdkError<E, HttpResponse>> for Failure {
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let Some(answer) = error.raw_response() else { return Self::BrokeOff };
        let status = answer.status().as_u16();
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
        Self::Answer { status, code: code.unwrap_or_default().to_owned() }
    }
}

/// A multipart upload whose parts were sent.
#[derive(Debug, Clone)]
struct Sent {
    id: String,
    parts: Vec<CompletedPart>,
}

/// An action on a running gateway.
pub(crate) struct Attempt<'a> {
    pub(crate) world: &'a World,
    pub(crate) scene: &'a Scene,
    pub(crate) running: &'a Running,
    pub(crate) wire: &'a PlannedWire,
    sent: Mutex<Option<Sent>>,
}

impl Action {
    /// Returns the state that the action finds.
    pub(crate) fn before(self) -> State {
        let tags = match self {
            Self::ReadTags | Self::RemoveTags => vec![("is".into(), "old".into())],
            _ => Vec::new(),
        };
        let other = if self == Self::DeleteMany { Content::Old } else { Content::Absent };
        State { object: Content::Old, other, tags }
    }

    /// Returns the state that the action leaves.
    pub(crate) fn after(self) -> State {
        let before = self.before();
        let object = match self {
            Self::PutSmall => Content::Small,
            Self::PutLong => Content::Long,
            Self::Copy => Content::Source,
            Self::Multipart => Content::Uploaded,
            Self::Delete | Self::DeleteMany => Content::Absent,
            _ => before.object,
        };
        let tags = match self {
            Self::WriteTags => vec![("is".into(), "new".into())],
            Self::RemoveTags => Vec::new(),
            _ => before.tags,
        };
        State { object, other: Content::Absent, tags }
    }
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(
        world: &'a World,
        scene: &'a Scene,
        running: &'a Running,
        wire: &'a PlannedWire,
    ) -> Self {
        Self { world, scene, running, wire, sent: Mutex::default() }
    }

    /// Runs the action once, without any retry. What it is told must be true.
    pub(crate) async fn run(&self, action: Action) -> Result<(), Failure> {
        let (client, world) = (&self.running.client, self.world);
        let (bucket, key) = (self.scene.object.bucket(), self.scene.object.key());
        match action {
            Action::PutSmall => self.put(Content::Small).await,
            Action::PutLong => self.put(Content::Long).await,
            Action::Get => {
                let got = content(client.get_object().bucket(bucket).key(key)).await?;
                assert!(got == world.plaintext(Content::Old), "other bytes");
                Ok(())
            }
            Action::GetRange => {
                let get = client.get_object().bucket(bucket).key(key).range("bytes=16380-200000");
                let got = content(get).await?;
                assert!(got == world.plaintext(Content::Old)[16_380..=200_000], "other bytes");
                Ok(())
            }
            Action::Head => {
                let head = client.head_object().bucket(bucket).key(key).send().await?;
                let len = world.plaintext(Content::Old).len();
                assert_eq!(head.content_length, i64::try_from(len).ok());
                Ok(())
            }
            Action::Copy => {
                let source = format!("{bucket}/{}", world.source.key());
                let copy = client.copy_object().bucket(bucket).key(key).copy_source(source);
                drop(copy.send().await?);
                Ok(())
            }
            Action::CopyInPlace | Action::Rewrite => {
                let copy = client.copy_object().bucket(bucket).key(key);
                let copy = copy.copy_source(format!("{bucket}/{key}")).metadata("is", "new");
                drop(copy.metadata_directive(MetadataDirective::Replace).send().await?);
                Ok(())
            }
            Action::Delete => {
                drop(client.delete_object().bucket(bucket).key(key).send().await?);
                Ok(())
            }
            Action::DeleteMany => self.delete_many().await,
            Action::List => {
                let list = client.list_objects_v2().bucket(bucket).prefix(&self.scene.prefix);
                let listed = list.send().await?;
                let listed: Vec<_> =
                    listed.contents().iter().map(|it| (it.key(), it.size())).collect();
                let len = i64::try_from(world.plaintext(Content::Old).len()).ok();
                assert_eq!(listed, [(Some(key), len)]);
                Ok(())
            }
            Action::WriteTags => {
                let tag = Tag::builder().key("is").value("new").build().expect("a tag");
                let tags = Tagging::builder().tag_set(tag).build().expect("tags");
                let put = client.put_object_tagging().bucket(bucket).key(key).tagging(tags);
                drop(put.send().await?);
                Ok(())
            }
            Action::ReadTags => {
                let tags = client.get_object_tagging().bucket(bucket).key(key).send().await?;
                let tags: Vec<_> = tags.tag_set.iter().map(|it| (it.key(), it.value())).collect();
                assert_eq!(tags, [("is", "old")]);
                Ok(())
            }
            Action::RemoveTags => {
                drop(client.delete_object_tagging().bucket(bucket).key(key).send().await?);
                Ok(())
            }
            Action::Multipart => {
                if self.sent().is_none() {
                    let id = self.begin().await?;
                    match self.send_parts(&id).await {
                        Ok(parts) => *self.lock() = Some(Sent { id, parts }),
                        Err(failure) => {
                            // As clients do.
                            self.abort(&id).await?;
                            return Err(failure);
                        }
                    }
                }
                self.complete().await
            }
            Action::Abort => {
                let id = self.begin().await?;
                let sent = self.send_parts(&id).await;
                if sent.is_ok() {
                    // The upload in the store has begun, or has met its fault.
                    let has_begun = async || {
                        let entries = self.wire.entries();
                        entries.iter().any(|(call, fault)| {
                            call.operation == "UploadPart"
                                || fault.is_some() && call.operation != "HeadObject"
                        })
                    };
                    wait_until("a part in the store", has_begun).await;
                }
                self.abort(&id).await?;
                sent.map(drop)
            }
        }
    }

    async fn put(&self, content: Content) -> Result<(), Failure> {
        let put = self.running.client.put_object().bucket(self.scene.object.bucket());
        let body = ByteStream::from(self.world.plaintext(content));
        drop(put.key(self.scene.object.key()).body(body).send().await?);
        Ok(())
    }

    async fn delete_many(&self) -> Result<(), Failure> {
        let keys = [self.scene.object.key(), self.scene.other.key()];
        let named =
            keys.map(|key| ObjectIdentifier::builder().key(key).build().expect("an object"));
        let named = Delete::builder().set_objects(Some(named.into())).build().expect("objects");
        let delete = self.running.client.delete_objects().bucket(self.scene.object.bucket());
        let deleted = delete.delete(named).send().await?;
        match deleted.errors().first() {
            None => {
                assert_eq!(deleted.deleted().len(), 2);
                Ok(())
            }
            Some(error) => {
                assert_eq!(deleted.deleted().len() + deleted.errors().len(), 2);
                Err(Failure::Answer { status: 200, code: error.code().unwrap_or_default().into() })
            }
        }
    }

    async fn begin(&self) -> Result<String, Failure> {
        let create = self.running.client.create_multipart_upload();
        let create = create.bucket(self.scene.object.bucket()).key(self.scene.object.key());
        Ok(create.send().await?.upload_id.expect("an id"))
    }

    /// Sends the last part first. It is copied from an object.
    async fn send_parts(&self, id: &str) -> Result<Vec<CompletedPart>, Failure> {
        let (bucket, key) = (self.scene.object.bucket(), self.scene.object.key());
        let part = |number, e_tag: Option<String>| {
            CompletedPart::builder().part_number(number).set_e_tag(e_tag).build()
        };
        let copy = self.running.client.upload_part_copy().bucket(bucket).key(key).upload_id(id);
        let source = format!("{bucket}/{}", self.world.source.key());
        let copied = copy.part_number(3).copy_source(source).send().await?;
        let mut parts = vec![part(3, copied.copy_part_result.expect("a result").e_tag)];
        for (number, body) in [2, 1].into_iter().zip(self.world.parts.iter().rev()) {
            let upload = self.running.client.upload_part().bucket(bucket).key(key).upload_id(id);
            let sent =
                upload.part_number(number).body(ByteStream::from(body.clone())).send().await?;
            parts.insert(0, part(number, sent.e_tag));
        }
        Ok(parts)
    }

    async fn complete(&self) -> Result<(), Failure> {
        let Sent { id, parts } = self.sent().expect("parts");
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self.running.client.complete_multipart_upload();
        let complete = complete.bucket(self.scene.object.bucket()).key(self.scene.object.key());
        drop(complete.upload_id(id).multipart_upload(parts).send().await?);
        Ok(())
    }

    async fn abort(&self, id: &str) -> Result<(), Failure> {
        let abort = self.running.client.abort_multipart_upload();
        let abort = abort.bucket(self.scene.object.bucket()).key(self.scene.object.key());
        drop(abort.upload_id(id).send().await?);
        Ok(())
    }

    fn sent(&self) -> Option<Sent> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Sent>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads an object's content.
async fn content(get: GetObjectFluentBuilder) -> Result<Vec<u8>, Failure> {
    let body = get.send().await?.body.collect().await;
    body.map(|body| body.to_vec()).map_err(|_| Failure::BrokeOff)
}
