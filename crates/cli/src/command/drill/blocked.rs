//! Checks of the blocked Regions: a drill that blocks a Region that nothing uses proves nothing.

use sealwax_jobs::drill::KeyRegions;
use sealwax_s3::{is_known_region, is_region_name};

use crate::{args::Prefix, failure::Failure, session::Session, terminal_text::Counted};

/// Most Regions that a hint names.
const MAX_HINTS: usize = 3;

/// Checks that an argument can be the name of a Region.
pub(super) fn region_name(text: &str) -> Result<String, String> {
    if is_region_name(text) {
        return Ok(text.to_owned());
    }
    let lower = text.to_ascii_lowercase();
    Err(if is_region_name(&lower) {
        format!("AWS writes the names of Regions in lower case: {lower}")
    } else {
        "must be the name of a Region, such as us-east-1".to_owned()
    })
}

/// Checks that the source's bucket is in `region`, if S3 tells.
///
/// # Errors
/// It is in another one.
pub(super) async fn check_source_region(
    session: &Session,
    source: &Prefix,
    region: &str,
) -> Result<(), Failure> {
    let told = match session.s3().head_bucket().bucket(&source.bucket).send().await {
        Ok(head) => head.bucket_region().map(str::to_owned),
        // S3 tells the Region with a redirect and with a refusal too.
        Err(error) => error
            .raw_response()
            .and_then(|response| response.headers().get("x-amz-bucket-region"))
            .map(str::to_owned),
    };
    match told {
        Some(told) if told != region => {
            let error =
                format!("the source bucket {} is in {told}, not in {region}", source.bucket);
            let hint = format!(
                "--block {told} to rehearse the loss of the source's Region, or --source-region {told}"
            );
            Err(Failure::usage(error).advise(hint))
        }
        _ => Ok(()),
    }
}

/// Checks that the drill rehearsed a loss: an object may need each blocked Region, or the source is
/// there. Returns warnings.
///
/// # Errors
/// No object has a key in a blocked Region, and the source is not there.
pub(super) fn check_rehearsed(
    objects: &Prefix,
    replica_region: &str,
    blocked: &[String],
    source_region: Option<&str>,
    keys: &KeyRegions,
) -> Result<Vec<String>, Failure> {
    let mut warnings = Vec::new();
    for region in blocked {
        let uses = keys.with_key_in(region).objects;
        if uses == 0 {
            // Objects that don't name their keys may need a Region that exists.
            let may_need = is_known_region(region) && !keys.rules_out(region);
            if may_need || source_region == Some(region) || keys.is_empty() {
                continue;
            }
            let error = format!(
                "no object of {objects} has a key in {region}, and the source is not there: nothing was rehearsed"
            );
            return Err(Failure::usage(error).advise(hint(replica_region, source_region, keys)));
        }
        if !is_known_region(region) {
            warnings.push(format!(
                "this version does not know the Region {region}, but {} a key there",
                claims(uses)
            ));
        }
    }
    Ok(warnings)
}

/// Returns the Regions that would make sense.
fn hint(replica_region: &str, source_region: Option<&str>, keys: &KeyRegions) -> String {
    let mut others: Vec<_> = keys
        .regions
        .iter()
        .filter(|(region, _)| region.as_str() != replica_region)
        .map(|(region, uses)| (uses.objects, region.as_str()))
        .collect();
    others.sort_by_key(|(objects, region)| (std::cmp::Reverse(*objects), *region));
    let mut hints: Vec<_> = others
        .into_iter()
        .take(MAX_HINTS)
        .map(|(objects, region)| format!("--block {region} ({} a key there)", claims(objects)))
        .collect();
    let is_new = |region: &&str| !keys.regions.contains_key(*region) && *region != replica_region;
    hints.extend(
        source_region
            .filter(is_new)
            .map(|region| format!("--block {region} (the source is there)")),
    );
    if hints.is_empty() {
        return format!(
            "no object claims a key outside of {replica_region}; name the source with --source to compare the replica with it"
        );
    }
    hints.join(", or ")
}

fn claims(objects: u64) -> String {
    format!("{} {}", Counted(objects, "object"), if objects == 1 { "claims" } else { "claim" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    fn keys(counts: &[(&str, u64)]) -> KeyRegions {
        let mut keys = KeyRegions::default();
        for (region, objects) in counts {
            keys.regions.entry((*region).to_owned()).or_default().objects = *objects;
            keys.sets.insert([(*region).to_owned()].into(), *objects);
        }
        keys
    }

    fn check(block: &str, source: Option<&str>, keys: &KeyRegions) -> Result<Vec<String>, String> {
        let objects: Prefix = "s3://replica/2026/".parse().expect("a prefix");
        let checked = check_rehearsed(&objects, "us-west-2", &[block.to_owned()], source, keys);
        checked.map_err(|failure| {
            assert_eq!(failure.exit(), Exit::Usage);
            failure.text_for_tests()
        })
    }

    #[test]
    fn a_region_that_nothing_uses_is_an_error_with_those_that_make_sense() {
        let used = keys(&[("us-east-1", 504), ("us-west-2", 503), ("eu-west-1", 1)]);
        // Misspelt, and one that exists.
        for region in ["us-eats-1", "ap-south-1"] {
            let error = format!(
                "error: no object of s3://replica/2026/ has a key in {region}, and the source is not there: nothing was rehearsed\n  hint: --block us-east-1 (504 objects claim a key there), or --block eu-west-1 (1 object claims a key there)\n"
            );
            assert_eq!(check(region, None, &used), Err(error));
        }
        assert_eq!(check("us-east-1", None, &used), Ok(vec![]));
        let error = check("eu-west-1", Some("us-east-1"), &keys(&[("us-west-2", 3)]));
        assert!(
            error.expect_err("unused").ends_with("hint: --block us-east-1 (the source is there)\n")
        );
        let error = check("eu-west-1", None, &keys(&[("us-west-2", 3)])).expect_err("unused");
        assert!(
            error.contains("hint: no object claims a key outside of us-west-2; name the source")
        );
    }

    #[test]
    fn the_sources_region_needs_no_key() {
        assert_eq!(check("us-east-1", Some("us-east-1"), &keys(&[("us-west-2", 3)])), Ok(vec![]));
    }

    #[test]
    fn an_unknown_region_is_a_warning_if_an_object_has_a_key_there() {
        let warnings = check("us-mars-1", None, &keys(&[("us-mars-1", 2)]));
        let warning =
            "this version does not know the Region us-mars-1, but 2 objects claim a key there";
        assert_eq!(warnings, Ok(vec![warning.to_owned()]));
    }

    #[test]
    fn objects_that_do_not_name_their_keys_may_need_a_region_that_exists() {
        let mut unnamed = KeyRegions::default();
        unnamed.unnamed = 3;
        assert_eq!(check("us-east-1", None, &unnamed), Ok(vec![]));
        let error = check("us-eats-1", None, &unnamed).expect_err("no such Region is known");
        assert!(
            error.starts_with("error: no object of s3://replica/2026/ has a key in us-eats-1, ")
        );
        assert_eq!(
            check("us-eats-1", None, &KeyRegions::default()),
            Ok(vec![]),
            "no sealed object"
        );
    }

    #[test]
    fn names_are_as_aws_writes_them() {
        assert_eq!(region_name("us-east-1").as_deref(), Ok("us-east-1"));
        let lower = "AWS writes the names of Regions in lower case: us-east-1";
        assert_eq!(region_name("US-East-1"), Err(lower.to_owned()));
        for text in ["us east", ""] {
            let error = "must be the name of a Region, such as us-east-1";
            assert_eq!(region_name(text), Err(error.to_owned()));
        }
    }
}
