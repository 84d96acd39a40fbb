//! Sealed objects for `object_store` 0.14, as SlateDB and Lance use it.

#[path = "adapter/mod.rs"]
mod adapter;

pub use object_store_0_14 as object_store;

pub use self::adapter::SealedStore;

/// Results of operations, whose fields differ from version to version.
mod results {
    use std::ops::Range;

    use super::object_store::{
        Attributes, Extensions, GetResult, GetResultPayload, ListResult, ObjectMeta, PutResult,
        path::Path,
    };

    pub(super) fn of_put(e_tag: Option<String>, version: Option<String>) -> PutResult {
        PutResult { e_tag, version, extensions: Extensions::new() }
    }

    pub(super) fn of_get(
        payload: GetResultPayload,
        meta: ObjectMeta,
        range: Range<u64>,
        attributes: Attributes,
    ) -> GetResult {
        GetResult { payload, meta, range, attributes, extensions: Extensions::new() }
    }

    pub(super) fn of_list(common_prefixes: Vec<Path>, objects: Vec<ObjectMeta>) -> ListResult {
        ListResult { common_prefixes, objects, extensions: Extensions::new() }
    }
}
