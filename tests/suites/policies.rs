//! The policies in `examples/policies` are well formed, grant the permissions that SECURITY.md
//! lists, and allow the calls of Sealwax.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use sealwax_s3::envelope::{EncryptionContext, Place, WrapContext};
use serde_json::Value;

/// Actions that Sealwax itself needs. SECURITY.md says which role needs which.
const OF_SEALWAX: &[&str] = &[
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "s3:AbortMultipartUpload",
    "s3:DeleteObjectVersion",
    "s3:GetBucketOwnershipControls",
    "s3:GetObject",
    "s3:GetObjectLegalHold",
    "s3:GetObjectRetention",
    "s3:GetObjectTagging",
    "s3:GetObjectVersion",
    "s3:GetObjectVersionTagging",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListBucketVersions",
    "s3:PutObject",
    "s3:PutObjectLegalHold",
    "s3:PutObjectRetention",
    "s3:PutObjectTagging",
];

/// Actions that administrators, auditors and S3 Replication need besides, or that are denied.
const OF_OTHERS: &[&str] = &[
    "athena:GetQueryExecution",
    "athena:GetQueryResults",
    "athena:GetWorkGroup",
    "athena:StartQueryExecution",
    "athena:StopQueryExecution",
    "cloudtrail:GetEventSelectors",
    "cloudtrail:GetTrail",
    "cloudtrail:GetTrailStatus",
    "glue:GetDatabase",
    "glue:GetPartitions",
    "glue:GetTable",
    "kms:CancelKeyDeletion",
    "kms:CreateGrant",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GenerateDataKeyPair",
    "kms:GenerateDataKeyPairWithoutPlaintext",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateKeyDescription",
    "s3:*",
    "s3:BypassGovernanceRetention",
    "s3:DeleteBucket",
    "s3:DeleteBucketPolicy",
    "s3:DeleteObject",
    "s3:GetBucketAcl",
    "s3:GetBucketLocation",
    "s3:GetObjectVersionAcl",
    "s3:GetObjectVersionForReplication",
    "s3:GetReplicationConfiguration",
    "s3:PutBucketPolicy",
    "s3:PutBucketVersioning",
    "s3:PutLifecycleConfiguration",
    "s3:PutReplicationConfiguration",
    "s3:ReplicateObject",
    "s3:ReplicateTags",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_str(&text(&path))
        .unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// Returns all policies by file name.
fn policies() -> BTreeMap<String, Value> {
    let entries = fs::read_dir(root().join("examples/policies")).expect("the policies");
    let names =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let named = |name: String| {
        let policy = json(Path::new("examples/policies").join(&name));
        (name, policy)
    };
    names.filter(|name| name.ends_with(".json")).map(named).collect()
}

fn statements(policy: &Value) -> &[Value] {
    policy["Statement"].as_array().expect("a list of statements")
}

/// Reads a string or a list of strings.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => {
            values.iter().map(|value| value.as_str().expect("a text")).collect()
        }
        _ => panic!("neither a text nor a list: {value}"),
    }
}

fn actions(statement: &Value) -> Vec<&str> {
    texts(&statement["Action"])
}

/// Returns the actions that a policy allows under some condition.
fn allowed(policy: &Value) -> BTreeSet<String> {
    let allowing = statements(policy).iter().filter(|statement| statement["Effect"] == "Allow");
    allowing.flat_map(actions).map(str::to_owned).collect()
}

#[test]
fn policies_are_well_formed() {
    let known: BTreeSet<&str> = OF_SEALWAX.iter().chain(OF_OTHERS).copied().collect();
    let policies = policies();
    assert!(!policies.is_empty());
    for (file, policy) in &policies {
        assert_eq!(policy["Version"], "2012-10-17", "{file}");
        assert!(!statements(policy).is_empty(), "{file}");
        let mut sids = BTreeSet::new();
        for statement in statements(policy) {
            let sid = statement["Sid"].as_str().expect(file);
            let case = format!("{file}: {sid}");
            assert!(sids.insert(sid), "{case}: twice");
            assert!(sid.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{case}");
            let effect = statement["Effect"].as_str().expect(&case);
            assert!(["Allow", "Deny"].contains(&effect), "{case}");
            assert!(!texts(&statement["Resource"]).is_empty(), "{case}");
            assert!(!actions(statement).is_empty(), "{case}");
            for action in actions(statement) {
                assert!(known.contains(action), "{case}: {action} is not known");
                assert!(effect == "Deny" || !action.contains('*'), "{case}: it allows {action}");
            }
            let of_a_role = file.starts_with("iam-");
            assert_eq!(
                statement.get("Principal").is_none(),
                of_a_role,
                "{case}: wrong use of a principal"
            );
            assert!(
                !(of_a_role && texts(&statement["Resource"]).contains(&"*")),
                "{case}: it covers every resource"
            );
            let known_fields = ["Sid", "Effect", "Principal", "Action", "Resource", "Condition"];
            for field in statement.as_object().expect(&case).keys() {
                assert!(known_fields.contains(&field.as_str()), "{case}: {field}");
            }
        }
    }
}

/// Returns the rows of SECURITY.md's table that name a policy: its file and the actions.
fn least_privilege() -> BTreeMap<String, BTreeSet<String>> {
    let security = text("SECURITY.md");
    let section = security
        .split("\n## ")
        .find(|section| section.starts_with("Least privilege\n"))
        .expect("the section");
    let mut rows = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let ["", _who, policy, kms, s3, ""] = cells[..] else { panic!("not four cells: {row}") };
        let Some((_, path)) = policy.split_once("](examples/policies/") else { continue };
        let file = path.strip_suffix(')').expect("a link").to_owned();
        let quoted = [kms, s3].into_iter().flat_map(|cell| cell.split('`').skip(1).step_by(2));
        assert!(rows.insert(file, quoted.map(str::to_owned).collect()).is_none(), "twice: {row}");
    }
    rows
}

#[test]
fn roles_may_do_exactly_what_security_md_lists() {
    let (policies, rows) = (policies(), least_privilege());
    for file in [
        "iam-writer.json",
        "iam-writer-resume.json",
        "iam-reader.json",
        "iam-disaster-recovery.json",
        "iam-list.json",
        "iam-key-material.json",
        "iam-shred.json",
    ] {
        assert!(rows.contains_key(file), "SECURITY.md has no row for {file}");
    }
    for (file, listed) in rows {
        let policy = policies.get(&file).unwrap_or_else(|| panic!("{file} is missing"));
        assert_eq!(allowed(policy), listed, "actions in {file} (left) and in SECURITY.md (right)");
        for action in &listed {
            assert!(OF_SEALWAX.contains(&action.as_str()), "{file}: Sealwax does not use {action}");
        }
    }
}

/// A KMS call.
struct Use {
    role: &'static str,
    action: &'static str,
    pairs: Vec<(String, String)>,
}

impl Use {
    fn new(role: &'static str, action: &'static str, binding: WrapContext<'_>) -> Self {
        let pairs =
            binding.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { role, action, pairs }
    }

    /// Evaluates this key policy alone, as KMS does.
    fn is_allowed_by(&self, policy: &Value) -> bool {
        let says = |effect: &str| {
            statements(policy).iter().any(|statement| {
                statement["Effect"] == effect
                    && actions(statement).contains(&self.action)
                    && self.is_principal(&statement["Principal"]["AWS"])
                    && self.meets(statement.get("Condition"))
            })
        };
        says("Allow") && !says("Deny")
    }

    fn is_principal(&self, principals: &Value) -> bool {
        let role = format!("arn:aws:iam::111122223333:role/{}", self.role);
        texts(principals).into_iter().any(|principal| principal == "*" || principal == role)
    }

    /// Evaluates conditions as IAM does: all must hold, and a negated one holds if the pair is
    /// absent.
    fn meets(&self, conditions: Option<&Value>) -> bool {
        let Some(conditions) = conditions else { return true };
        conditions.as_object().expect("conditions").iter().all(|(operator, keys)| {
            keys.as_object().expect("keys of a condition").iter().all(|(key, values)| {
                let (present, values) = (self.values_of(key), texts(values));
                let equal = || present.iter().any(|value| values.contains(value));
                let alike = || {
                    present.iter().any(|value| values.iter().any(|pattern| is_like(pattern, value)))
                };
                match operator.as_str() {
                    "StringEquals" => equal(),
                    "StringNotEquals" => !equal(),
                    "StringLike" => alike(),
                    "StringNotLike" => !alike(),
                    "ForAllValues:StringEquals" => {
                        present.iter().all(|value| values.contains(value))
                    }
                    _ => panic!("{operator} is not expected here"),
                }
            })
        })
    }

    fn values_of(&self, key: &str) -> Vec<&str> {
        match key.strip_prefix("kms:EncryptionContext:") {
            Some(name) => {
                let named = self.pairs.iter().filter(|pair| pair.0 == name);
                named.map(|pair| pair.1.as_str()).collect()
            }
            None => {
                assert_eq!(key, "kms:EncryptionContextKeys");
                self.pairs.iter().map(|pair| pair.0.as_str()).collect()
            }
        }
    }
}

/// Matches a pattern. The policies' only wildcard is an asterisk at the end.
fn is_like(pattern: &str, value: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == value, |beginning| value.starts_with(beginning))
}

#[test]
fn key_policies_allow_the_calls_of_sealwax_and_no_others() {
    let policies = policies();
    let (east, west) =
        (&policies["key-policy-us-east-1.json"], &policies["key-policy-us-west-2.json"]);
    let context = |pairs: &[(&str, &str)]| {
        EncryptionContext::try_from_iter(pairs.iter().copied()).expect("a context")
    };
    let place = |bucket: &str, key: &str| Place::new(bucket, key).expect("a place");
    let (tenant, personal) =
        (context(&[("tenant", "acme")]), context(&[("e-mail", "a@example.org")]));
    let (here, replica) =
        (place("invoices", "2026/report.pdf"), place("invoices-west", "2026/report.pdf"));
    let (other_year, other_bucket) =
        (place("invoices", "2025/report.pdf"), place("payroll", "2026/report.pdf"));

    let bound = |place| WrapContext::new(&tenant, Some(place));
    let (writer, reader, recovery) =
        ("sealwax-writer", "sealwax-reader", "sealwax-disaster-recovery");
    let cases = [
        // Role, action and binding; then the verdicts of the keys in us-east-1 and us-west-2.
        (Use::new(writer, "kms:GenerateDataKey", bound(&here)), true, false),
        (Use::new(writer, "kms:Encrypt", bound(&here)), false, true),
        (
            Use::new(writer, "kms:GenerateDataKey", WrapContext::new(&context(&[]), Some(&here))),
            true,
            false,
        ),
        (
            Use::new(writer, "kms:GenerateDataKey", WrapContext::new(&personal, Some(&here))),
            false,
            false,
        ),
        (Use::new(writer, "kms:GenerateDataKey", bound(&replica)), false, false),
        (Use::new(writer, "kms:Decrypt", bound(&here)), false, false),
        (Use::new(reader, "kms:Decrypt", bound(&here)), true, true),
        (Use::new(reader, "kms:Decrypt", bound(&replica)), true, true),
        (Use::new(reader, "kms:Decrypt", bound(&other_year)), false, false),
        (Use::new(reader, "kms:Decrypt", bound(&other_bucket)), false, false),
        (Use::new(reader, "kms:Decrypt", WrapContext::new(&tenant, None)), false, false),
        (Use::new(reader, "kms:Decrypt", WrapContext::for_intermediate_key(&tenant)), false, false),
        (Use::new(reader, "kms:GenerateDataKey", bound(&here)), false, false),
        (Use::new(reader, "kms:CreateGrant", bound(&here)), false, false),
        (Use::new(recovery, "kms:ReEncryptFrom", bound(&here)), true, true),
        (Use::new(recovery, "kms:ReEncryptTo", bound(&replica)), true, true),
        (Use::new(recovery, "kms:Decrypt", bound(&here)), true, true),
        (Use::new(recovery, "kms:Encrypt", bound(&replica)), true, true),
        (Use::new(recovery, "kms:Encrypt", bound(&other_bucket)), false, false),
        (Use::new(recovery, "kms:GenerateDataKey", bound(&here)), false, false),
        (Use::new("key-administrator", "kms:PutKeyPolicy", bound(&here)), true, true),
        (Use::new("key-administrator", "kms:Decrypt", bound(&here)), false, false),
        (Use::new("sealwax-auditor", "kms:DescribeKey", bound(&here)), true, true),
        (Use::new("sealwax-auditor", "kms:Decrypt", bound(&here)), false, false),
        (Use::new("somebody", "kms:Decrypt", bound(&here)), false, false),
    ];
    for (case, by_east, by_west) in cases {
        let decided = (case.is_allowed_by(east), case.is_allowed_by(west));
        assert_eq!(decided, (by_east, by_west), "{} {} {:?}", case.role, case.action, case.pairs);
    }
}

/// These statements deny calls without Sealwax's context, or for another place, even if others
/// allow them.
#[test]
fn key_policies_deny_calls_that_are_not_sealwaxs() {
    for file in ["key-policy-us-east-1.json", "key-policy-us-west-2.json"] {
        let mut policy = policies().remove(file).expect(file);
        let generous = serde_json::json!({
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"],
            "Resource": "*",
        });
        policy["Statement"].as_array_mut().expect("statements").push(generous);
        let context = EncryptionContext::new();
        let (here, elsewhere) = (Place::new("invoices", "2026/a"), Place::new("payroll", "2026/a"));
        let (here, elsewhere) = (here.expect("a place"), elsewhere.expect("a place"));
        for action in [
            "kms:Decrypt",
            "kms:Encrypt",
            "kms:GenerateDataKey",
            "kms:ReEncryptFrom",
            "kms:ReEncryptTo",
        ] {
            let ours = Use::new("somebody", action, WrapContext::new(&context, Some(&here)));
            assert!(ours.is_allowed_by(&policy), "{file}: {action}");
            let nothing = Use { role: "somebody", action, pairs: Vec::new() };
            assert!(!nothing.is_allowed_by(&policy), "{file}: {action} without a context");
            for binding in [
                WrapContext::new(&context, Some(&elsewhere)),
                WrapContext::new(&context, None),
                WrapContext::for_intermediate_key(&context),
            ] {
                let other = Use::new("somebody", action, binding);
                assert!(!other.is_allowed_by(&policy), "{file}: {action} {:?}", other.pairs);
            }
        }
    }
}

#[test]
fn the_trail_records_every_key_use_and_incomplete_uploads_expire() {
    let selectors = json("examples/policies/config/event-selectors.json");
    for selector in selectors.as_array().expect("a list") {
        // CloudTrail counts uses of keys as read events.
        assert_eq!(selector["ReadWriteType"], "All");
        assert_eq!(selector["IncludeManagementEvents"], true);
        assert!(!texts(&selector["ExcludeManagementEventSources"]).contains(&"kms.amazonaws.com"));
    }
    let lifecycle = json("examples/policies/config/lifecycle.json");
    let aborts = |rule: &Value| {
        rule["Status"] == "Enabled"
            && rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"].as_u64() > Some(0)
    };
    assert!(lifecycle["Rules"].as_array().expect("a list").iter().any(aborts));
    let replication = json("examples/policies/config/replication.json");
    assert_eq!(replication["Rules"][0]["DeleteMarkerReplication"]["Status"], "Disabled");
}

/// Compares names only, because only Terraform can evaluate the module.
#[test]
fn terraform_has_the_same_statements_and_actions() {
    let terraform = text("examples/policies/terraform/policies.tf");
    for (file, policy) in policies() {
        for statement in statements(&policy) {
            let sid = statement["Sid"].as_str().expect("a name");
            for name in actions(statement).into_iter().chain([sid]) {
                assert!(
                    terraform.contains(&format!("\"{name}\"")),
                    "{file}: policies.tf has no {name}"
                );
            }
        }
    }
    let trail = text("examples/policies/terraform/cloudtrail.tf");
    assert!(trail.contains("exclude_management_event_sources = []"));
}

#[test]
fn the_readme_names_every_file() {
    let readme = text("examples/policies/README.md");
    let directories = ["", "config/", "queries/"];
    for directory in directories {
        let path = root().join("examples/policies").join(directory);
        for entry in fs::read_dir(path).expect("a directory") {
            let name = entry.expect("an entry").file_name().into_string().expect("a name");
            let is_named = readme.contains(&format!("{directory}{name}"))
                || readme.contains(&format!("`{name}`"));
            assert!(name == "README.md" || is_named, "{directory}{name}");
        }
    }
}
