//! Sealed objects for `object_store` 0.13, as DataFusion and Delta Lake use it.

#[path = "adapter/mod.rs"]
mod adapter;

pub use object_store_0_13 as object_store;

pub use self::adapter::SealedStore;

/// Results of operations, whose fields differ from version to version.
mod results {
    use std::ops::Range;

    use super::object_store::{
        Attributes, GetResult, GetResultPayload, ListResult, ObjectMeta, PutResult, path::Path,
    };

    pub(super) fn of_put(e_tag: Option<String>, version: Option<String>) -> PutResult {
        PutResult { e_tag, version }
    }

    pub(super) fn of_get(
        payload: GetResultPayload,
        meta: ObjectMeta,
        range: Range<u64>,
        attributes: Attributes,
    ) -> GetResult {
        GetResult { payload, meta, range, attributes }
    }

    pub(super) fn of_list(common_prefixes: Vec<Path>, objects: Vec<ObjectMeta>) -> ListResult {
        ListResult { common_prefixes, objects }
    }
}
