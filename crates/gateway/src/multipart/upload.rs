//! One multipart upload: its parts, and the put that reads them.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use s3s::{S3Error, S3ErrorCode, S3Result};
use sealwax_s3::{Attributes, LateConditions, PlaintextSource, PutOutput, limits::MIN_PART_LEN};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use super::{
    part::{Part, PartBody, PartReader},
    spool::Spool,
};
use crate::{
    budget::{Budget, Room, slow_down},
    checksums::ChecksumAlgorithm,
    failure::describe,
    upstream::Upstream,
};

/// Description of an upload that a client began.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) client: String,
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) attributes: Attributes,
    pub(crate) metadata: Vec<(String, String)>,
    /// Checksum of the parts and of the object.
    pub(crate) checksum: Option<ChecksumAlgorithm>,
    /// `true` if the object's checksum is that of its whole content.
    pub(crate) is_checksum_of_whole: bool,
}

/// An upload. Clones share it.
#[derive(Clone)]
pub(crate) struct Upload(Arc<Inner>);

struct Inner {
    id: String,
    start: Start,
    initiated: SystemTime,
    upstream: Upstream,
    /// Memory for the parts that puts gather.
    puts: Budget,
    /// Record of the store's upload, for a process that is killed.
    record: Option<PathBuf>,
    state: Mutex<State>,
    /// Tells the put's stream that there may be more to read.
    more: Notify,
    /// Counts the ends of puts.
    ends: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    parts: BTreeMap<u16, Part>,
    /// Numbers of the parts that the running put has begun to read, in its order.
    read: Vec<u16>,
    /// Numbers of all parts of the object, once the client completes the upload.
    order: Option<Vec<u16>>,
    put: Option<Running>,
    /// Number of puts so far.
    puts: u64,
    /// The last put that failed.
    failed: Option<(u64, sealwax_s3::Error)>,
    end: Option<End>,
    used: Option<Instant>,
}

/// A put in progress.
struct Running {
    number: u64,
    task: JoinHandle<()>,
    conditions: LateConditions,
    /// Room for the part that is gathered.
    _room: Room,
}

/// End of an upload.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Completed { parts: Vec<u16>, output: Box<PutOutput> },
    Aborted,
}

/// A part as the client names it when it completes an upload.
#[derive(Debug, Clone)]
pub(crate) struct NamedPart {
    pub(crate) number: u16,
    pub(crate) e_tag: String,
    pub(crate) checksum: Option<String>,
}

impl Upload {
    pub(crate) fn new(
        id: String,
        start: Start,
        (upstream, puts): (Upstream, Budget),
        record: Option<PathBuf>,
    ) -> Self {
        let state = State { used: Some(Instant::now()), ..State::default() };
        Self(Arc::new(Inner {
            id,
            start,
            initiated: SystemTime::now(),
            upstream,
            puts,
            record,
            state: Mutex::new(state),
            more: Notify::new(),
            ends: watch::Sender::new(0),
        }))
    }

    pub(crate) fn id(&self) -> &str {
        &self.0.id
    }

    pub(crate) fn start(&self) -> &Start {
        &self.0.start
    }

    pub(crate) fn initiated(&self) -> SystemTime {
        self.0.initiated
    }

    /// Returns the time of the last request, and whether the upload has ended.
    pub(crate) fn last_used(&self) -> (Option<Instant>, bool) {
        let state = self.state();
        (state.used, state.end.is_some())
    }

    /// Returns the number of bytes of the parts, and how many parts there are.
    pub(crate) fn parts(&self) -> Vec<(u16, Part)> {
        self.state().parts.iter().map(|(number, part)| (*number, part.clone())).collect()
    }

    /// Adds a part, or replaces one, and returns it, or the same part that was known.
    ///
    /// # Errors
    /// The upload has ended, or is being completed; or the part is sealed with other bytes, and they
    /// can't be sealed again, as those of an earlier part are gone.
    pub(crate) fn add(&self, number: u16, part: Part) -> S3Result<Part> {
        let mut state = self.state();
        state.check_open()?;
        if state.order.is_some() {
            return Err(being_completed());
        }
        state.used = Some(Instant::now());
        if let Some(known) = state.parts.get(&number)
            && (known.len, &known.sum) == (part.len, &part.sum)
            && (state.read.contains(&number) || known.body.is_there())
        {
            return Ok(known.clone());
        }
        if state.read.contains(&number) {
            state.check_again(|other| other != number)?;
            state.stop_put();
        }
        state.parts.insert(number, part.clone());
        // Without room, the parts wait until the completion: all that it needs is there then, so it ends
        // by itself, and others may wait for its room.
        if state.put.is_none()
            && let Some(room) = self.0.puts.room_in_first_half(self.0.upstream.part_len())
        {
            self.run_put(&mut state, room);
        }
        drop(state);
        self.0.more.notify_waiters();
        Ok(part)
    }

    /// Completes the upload with the named parts, and waits until the object is stored. `room` is what
    /// [`Upload::room`] returned.
    ///
    /// The put continues if this future is dropped.
    ///
    /// # Errors
    /// The parts are not those that the client sent, and the upload stays; or the put failed, and the
    /// upload stays as long as its parts are there.
    pub(crate) async fn complete(
        &self,
        named: Vec<NamedPart>,
        size: Option<u64>,
        (if_match, if_none_match): (Option<String>, Option<String>),
        room: Option<Room>,
    ) -> S3Result<PutOutput> {
        let order: Vec<u16> = named.iter().map(|part| part.number).collect();
        let (put, mut ends) = {
            let mut state = self.state();
            match &state.end {
                Some(End::Completed { parts, output }) if *parts == order => {
                    return Ok((**output).clone());
                }
                _ => state.check_open()?,
            }
            state.used = Some(Instant::now());
            if state.order.as_ref().is_some_and(|other| *other != order) {
                return Err(being_completed());
            }
            state.check_named(&named, size)?;
            if !order.starts_with(&state.read) {
                state.check_again(|number| order.contains(&number))?;
                state.stop_put();
            }
            if state.put.is_none() {
                state.check_there(&order)?;
                let room = room.or_else(|| self.0.puts.room(self.0.upstream.part_len()));
                self.run_put(&mut state, room.ok_or_else(slow_down)?);
            }
            state.order = Some(order.clone());
            let running = state.put.as_ref().expect("it was begun");
            running.conditions.set(if_match, if_none_match);
            (running.number, self.0.ends.subscribe())
        };
        self.0.more.notify_waiters();
        // The sender lives as long as this upload.
        let _ = ends.wait_for(|ended| *ended >= put).await;
        let state = self.state();
        match &state.end {
            Some(End::Completed { output, .. }) => Ok((**output).clone()),
            Some(End::Aborted) => Err(S3ErrorCode::NoSuchUpload.into()),
            None => Err(state.failure(put)),
        }
    }

    /// Returns the checksum of the object that the named parts make: by the algorithm of the upload,
    /// or else by `claimed`.
    ///
    /// # Errors
    /// It is claimed, and cannot be computed.
    pub(crate) fn checksum_of(
        &self,
        named: &[NamedPart],
        claimed: Option<ChecksumAlgorithm>,
    ) -> S3Result<Option<(ChecksumAlgorithm, String)>> {
        let Some(algorithm) = self.start().checksum else {
            let message = "the upload was begun without a checksum";
            let refused = || S3Error::with_message(S3ErrorCode::InvalidRequest, message);
            return claimed.map_or(Ok(None), |_| Err(refused()));
        };
        if claimed.is_some_and(|claimed| claimed != algorithm) {
            let message = "the upload was begun with another checksum algorithm";
            return Err(S3Error::with_message(S3ErrorCode::InvalidRequest, message));
        }
        let is_of_parts = !self.start().is_checksum_of_whole;
        if is_of_parts && named.iter().any(|part| part.checksum.is_none()) {
            let message = "the upload has checksums of its parts, and the list lacks one";
            return Err(S3Error::with_message(S3ErrorCode::InvalidRequest, message));
        }
        let state = self.state();
        if state.end.is_some() {
            // The parts are gone: the completion is asked for again.
            return Ok(None);
        }
        let parts = named.iter().filter_map(|name| state.parts.get(&name.number));
        let parts = parts.filter_map(|part| Some((part.checksum.as_deref()?, part.len)));
        let value = match self.start().is_checksum_of_whole {
            true => algorithm.of_whole(parts),
            false => algorithm.of_parts(parts.map(|(checksum, _)| checksum)),
        };
        Ok(value.map(|value| (algorithm, value)))
    }

    /// Ends the upload without an object.
    ///
    /// Returns the task of the put, which is about to end.
    ///
    /// # Errors
    /// It was completed.
    pub(crate) fn abort(&self) -> S3Result<Option<JoinHandle<()>>> {
        let mut state = self.state();
        if let Some(End::Completed { .. }) = state.end {
            return Err(S3ErrorCode::NoSuchUpload.into());
        }
        state.end = Some(End::Aborted);
        let task = state.stop_put();
        state.parts.clear();
        drop(state);
        self.0.ends.send_replace(u64::MAX);
        Ok(task)
    }

    /// Gives up parts in memory that the put has read.
    pub(crate) fn give_up_memory(&self) {
        let mut state = self.state();
        let read = state.read.clone();
        // The last one may be in the middle of being read.
        for number in read.iter().rev().skip(1) {
            if let Some(part) = state.parts.get_mut(number)
                && part.body.is_in_memory()
            {
                part.body = PartBody::Gone;
            }
        }
    }

    /// Moves parts in memory to the spool.
    ///
    /// # Errors
    /// The spool failed.
    pub(crate) async fn move_to_spool(&self, spool: &Spool) -> io::Result<()> {
        let parts = self.parts().into_iter();
        let in_memory = parts.filter_map(|(number, part)| match part.body {
            PartBody::Memory(part) => Some((number, part)),
            PartBody::Spooled(_) | PartBody::Gone => None,
        });
        // Each is dropped before the next one is written.
        for (number, part) in in_memory {
            let Some(spooled) = part.spooled(spool).await? else { continue };
            let mut state = self.state();
            // Meanwhile, the client may have sent it again.
            if let Some(body) = state.parts.get_mut(&number).map(|known| &mut known.body)
                && let PartBody::Memory(known) = body
                && Arc::ptr_eq(known, &part)
            {
                *body = spooled;
            }
        }
        Ok(())
    }

    /// Waits for the room that the completion needs: that of a part that is gathered before it is
    /// sealed, unless a put is running already.
    ///
    /// # Errors
    /// There was none for ten seconds.
    pub(crate) async fn room(&self) -> S3Result<Option<Room>> {
        let is_needed = {
            let state = self.state();
            state.put.is_none() && state.end.is_none()
        };
        match is_needed {
            true => self.0.puts.wait_for(self.0.upstream.part_len()).await.map(Some),
            false => Ok(None),
        }
    }

    /// Begins a put, which holds `room` for as long as it runs.
    fn run_put(&self, state: &mut State, room: Room) {
        state.puts += 1;
        let number = state.puts;
        let Inner { start, upstream, record, .. } = &*self.0;
        let conditions = LateConditions::default();
        let mut put = upstream
            .client()
            .put()
            .bucket(&start.bucket)
            .key(&start.key)
            .attributes(start.attributes.clone())
            .late_conditions(&conditions)
            .body(PlaintextSource::slow_stream(self.content(number)));
        if let Some(record) = record {
            put = put.record(record.with_extension(format!("{number}.upload")));
        }
        for (name, value) in &start.metadata {
            put = put.metadata(name, value);
        }
        for (name, value) in upstream.context() {
            put = put.context(name, value);
        }
        let upload = self.clone();
        let task = tokio::spawn(async move {
            let result = put.send().await;
            upload.ended(number, result);
        });
        state.put = Some(Running { number, task, conditions, _room: room });
    }

    /// Takes the result of a put.
    fn ended(&self, number: u64, result: Result<PutOutput, sealwax_s3::Error>) {
        let mut state = self.state();
        if state.put.as_ref().is_none_or(|running| running.number != number) {
            return;
        }
        state.put = None;
        match result {
            Ok(output) => {
                let parts = state.order.clone().unwrap_or_default();
                state.end = Some(End::Completed { parts, output: Box::new(output) });
                state.parts.clear();
            }
            Err(error) => {
                let causes: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(error = causes, upload = self.0.id, "an upload's put failed");
                state.read.clear();
                state.failed = Some((number, error));
            }
        }
        state.order = None;
        drop(state);
        self.0.ends.send_modify(|ended| *ended = number.max(*ended));
    }

    /// Returns the content of the object for put `number`: it waits for parts until the upload is
    /// completed.
    fn content(&self, number: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let upload = self.clone();
        let state = (upload, Vec::<Bytes>::new(), None::<PartReader>);
        stream::try_unfold(state, move |(upload, mut pieces, mut reader)| async move {
            loop {
                if let Some(piece) = pieces.pop() {
                    return Ok(Some((piece, (upload, pieces, reader))));
                }
                if let Some(current) = reader.take()
                    && let Some((mut next, rest)) = current.next().await?
                {
                    next.reverse();
                    (pieces, reader) = (next, Some(rest));
                    continue;
                }
                match upload.next_part(number).await? {
                    Some(next) => reader = Some(next),
                    None => return Ok(None),
                }
            }
        })
    }

    /// Waits for the next part of put `number`; `None` after the last one.
    async fn next_part(&self, number: u64) -> io::Result<Option<PartReader>> {
        loop {
            let more = self.0.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            {
                let mut state = self.state();
                if state.put.as_ref().is_none_or(|running| running.number != number) {
                    return Err(io::Error::other("another put reads the parts"));
                }
                let at = state.read.len();
                let next = match &state.order {
                    Some(order) if at == order.len() => return Ok(None),
                    Some(order) => Some(order[at]),
                    // Parts are usually numbered from 1, without gaps.
                    None => u16::try_from(at + 1).ok(),
                };
                let body =
                    next.and_then(|next| state.parts.get(&next)).map(|part| part.body.clone());
                if let (Some(next), Some(body)) = (next, body) {
                    state.read.push(next);
                    drop(state);
                    let gone = || io::Error::other("a part is not there any more");
                    return body.read()?.ok_or_else(gone).map(Some);
                }
            }
            more.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses a request that another one makes meaningless.
fn being_completed() -> S3Error {
    let message = "another request completes the upload";
    S3Error::with_message(S3ErrorCode::OperationAborted, message)
}

fn gone_part(number: u16) -> S3Error {
    let message = format!(
        "part {number} was sealed already and is not held any more: begin the upload again"
    );
    S3Error::with_message(S3ErrorCode::InvalidPart, message)
}

impl State {
    /// Returns the failure of a put.
    fn failure(&self, put: u64) -> S3Error {
        let failed = self.failed.as_ref().filter(|(number, _)| *number == put);
        // A put that was dropped for another one has no failure.
        failed.map_or_else(|| S3ErrorCode::InternalError.into(), |(_, error)| describe(error))
    }

    fn check_open(&self) -> S3Result<()> {
        match self.end {
            None => Ok(()),
            Some(_) => Err(S3ErrorCode::NoSuchUpload.into()),
        }
    }

    /// Fails unless all parts that were sealed and are `wanted` can be sealed again.
    fn check_again(&self, wanted: impl Fn(u16) -> bool) -> S3Result<()> {
        let is_gone = |number: &&u16| {
            let part = self.parts.get(number);
            wanted(**number) && !part.is_some_and(|part| part.body.is_there())
        };
        self.read.iter().find(is_gone).map_or(Ok(()), |gone| Err(gone_part(*gone)))
    }

    /// Fails unless all parts of the object can be sealed.
    fn check_there(&self, order: &[u16]) -> S3Result<()> {
        let is_gone =
            |number: &&u16| !self.parts.get(number).is_some_and(|part| part.body.is_there());
        order.iter().find(is_gone).map_or(Ok(()), |gone| Err(gone_part(*gone)))
    }

    /// Drops the running put, which aborts the store's upload once the put has ended. Returns its
    /// task.
    fn stop_put(&mut self) -> Option<JoinHandle<()>> {
        self.read.clear();
        let Running { task, .. } = self.put.take()?;
        task.abort();
        Some(task)
    }

    /// Fails unless the named parts are those that were received.
    fn check_named(&self, named: &[NamedPart], size: Option<u64>) -> S3Result<()> {
        let invalid = |number: u16| {
            let message = format!("part {number} was not received, or has another entity tag");
            S3Error::with_message(S3ErrorCode::InvalidPart, message)
        };
        if named.is_empty() {
            let message = "the list has no part";
            return Err(S3Error::with_message(S3ErrorCode::MalformedXML, message));
        }
        if named.windows(2).any(|pair| pair[0].number >= pair[1].number) {
            let message = "the list is not in the order of part numbers";
            return Err(S3Error::with_message(S3ErrorCode::InvalidPartOrder, message));
        }
        let mut lens = Vec::with_capacity(named.len());
        for name in named {
            let part = self.parts.get(&name.number).ok_or_else(|| invalid(name.number))?;
            if part.e_tag != name.e_tag
                || name.checksum.as_ref().is_some_and(|sum| part.checksum.as_ref() != Some(sum))
            {
                return Err(invalid(name.number));
            }
            lens.push((name.number, part.len));
        }
        let len: u64 = lens.iter().map(|(_, len)| len).sum();
        lens.pop();
        if let Some((number, len)) = lens.iter().find(|(_, len)| *len < MIN_PART_LEN) {
            let message = format!(
                "part {number} has {len} bytes: all but the last have at least {MIN_PART_LEN}"
            );
            return Err(S3Error::with_message(S3ErrorCode::EntityTooSmall, message));
        }
        if size.is_some_and(|size| size != len) {
            let message = format!("the parts have {len} bytes");
            return Err(S3Error::with_message(S3ErrorCode::InvalidRequest, message));
        }
        Ok(())
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("id", &self.0.id).finish_non_exhaustive()
    }
}
