//! XML answers that are complete.
//!
//! The SDK's parser takes what ends between two elements for the whole: a list that a proxy cut would
//! pass for a shorter list, and an ACL for one with fewer grants.

use std::fmt;

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::AfterDeserializationInterceptorContextRef,
    },
    error::BoxError,
};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;

/// An SDK interceptor that refuses successful XML answers without their last tag.
#[derive(Debug)]
pub(crate) struct WholeAnswers;

/// An answer that ends early.
#[derive(Debug)]
pub(crate) struct CutAnswer;

impl fmt::Display for CutAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer ends early: its XML is not complete")
    }
}

impl std::error::Error for CutAnswer {}

#[dyn_dispatch_hint]
impl Intercept for WholeAnswers {
    fn name(&self) -> &'static str {
        "WholeAnswers"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        // The body of an object is not in memory.
        let is_cut = response.body().bytes().is_some_and(|body| !is_whole(body));
        if response.status().is_success() && is_cut {
            return Err(CutAnswer.into());
        }
        Ok(())
    }
}

/// `true` if `body` is XML with the end tag of its first element at its end, or no XML at all.
fn is_whole(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    if !body.starts_with(b"<") {
        return true;
    }
    let element = first_element(body).and_then(|element| element.strip_suffix(b">"));
    let Some(element) = element else { return false };
    let is_end = |byte: &u8| matches!(byte, b'/') || byte.is_ascii_whitespace();
    let name_len = element.iter().position(|byte| *byte == b'>' || is_end(byte));
    // `<A/` or `<A b="c"/`, without any other element.
    let is_alone = element.ends_with(b"/") && !element[1..].contains(&b'<');
    let end_tag = name_len.map(|len| [b"</", &element[1..len]].concat());
    is_alone || end_tag.is_some_and(|tag| element.trim_ascii_end().ends_with(&tag))
}

/// Returns XML without the declarations and comments before its first element, if it has one.
fn first_element(mut xml: &[u8]) -> Option<&[u8]> {
    loop {
        let end: &[u8] = match xml {
            _ if xml.starts_with(b"<?") => b"?>",
            _ if xml.starts_with(b"<!--") => b"-->",
            _ if xml.starts_with(b"<!") => b">",
            _ => return Some(xml),
        };
        let at = xml.windows(end.len()).position(|window| window == end)?;
        xml = xml[at + end.len()..].trim_ascii_start();
    }
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn only_what_has_its_last_tag_is_whole() {
        for whole in [
            "",
            "  \n",
            "{\"json\": true}",
            "<A/>",
            "<A b=\"c\" />",
            "<A></A>",
            "<A><B>1</B></A>\n",
            "<A><B/></A >",
            "\u{feff}<?xml version=\"1.0\"?>\n<!-- c --><A xmlns=\"x\"><B>&lt;/A&gt;</B></A>",
        ] {
            assert!(is_whole(whole.as_bytes()), "{whole}");
        }
        let list = "<?xml version=\"1.0\"?><!-- c --><List><Key>a</Key><Key/><Key>b</Key></List>";
        for end in 1..list.len() {
            assert!(!is_whole(&list.as_bytes()[..end]), "{}", &list[..end]);
        }
    }
}
