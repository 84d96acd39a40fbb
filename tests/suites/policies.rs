//! The policies in `examples/policies` are well formed, grant the permissions that SECURITY.md
//! lists, and allow the calls of Sealwax.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use sealwax_s3::envelope::{
    BodySalt, CacheLimits, CachingKeyring, EncryptionContext, Keyring as _, LocalKeyring, Place,
    WrapContext,
};
use serde_json::Value;

/// Actions that Sealwax itself needs. SECURITY.md says which role needs which.
const OF_SEALWAX: &[&str] = &[
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "s3:AbortMultipartUpload",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:GetBucketOwnershipControls",
    "s3:GetObject",
    "s3:GetObjectAnnotation",
    "s3:GetObjectLegalHold",
    "s3:GetObjectRetention",
    "s3:GetObjectTagging",
    "s3:GetObjectVersion",
    "s3:GetObjectVersionTagging",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListBucketVersions",
    "s3:PutObject",
    "s3:PutObjectAnnotation",
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
    "s3:GetBucketAcl",
    "s3:GetBucketLocation",
    "s3:GetObjectVersionAcl",
    "s3:GetObjectVersionForReplication",
    "s3:GetReplicationConfiguration",
    "s3:PutBucketAcl",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutBucketOwnershipControls",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketVersioning",
    "s3:PutEncryptionConfiguration",
    "s3:PutIntelligentTieringConfiguration",
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
        "iam-writer-key-store.json",
        "iam-reader-key-store.json",
        "iam-disaster-recovery-key-store.json",
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

/// Returns the actions in the first column of SECURITY.md's table of protected settings.
fn protected_settings() -> BTreeSet<String> {
    let security = text("SECURITY.md");
    let section =
        security.split("\n## ").find(|section| section.starts_with("Protected settings\n"));
    let rows = section.expect("the section").lines().filter(|line| line.starts_with("| `"));
    let first = |row: &str| row.split('|').nth(1).map(str::to_owned).expect("a cell");
    let quoted = |cell: String| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    rows.map(first).flat_map(quoted).collect()
}

/// No role changes the settings of a bucket, whatever else its policies allow.
#[test]
fn bucket_policies_keep_the_settings_from_every_role() {
    let listed = protected_settings();
    assert!(listed.contains("s3:PutBucketObjectLockConfiguration"), "{listed:?}");
    let (policies, mut buckets) = (policies(), 0);
    for (file, policy) in policies.iter().filter(|(file, _)| file.starts_with("bucket-policy-")) {
        let covers = |sid: &str| {
            let found = statements(policy).iter().find(|statement| statement["Sid"] == sid);
            found.unwrap_or_else(|| panic!("{file} has no {sid}"))
        };
        let (settings, all) = (covers("ProtectSettings"), covers("RequireTls"));
        assert_eq!(settings["Effect"], "Deny", "{file}");
        assert_eq!(settings["Principal"], "*", "{file}");
        assert_eq!(settings["Resource"], all["Resource"][0], "{file}: the bucket");
        let administrator = "arn:aws:iam::111122223333:role/bucket-administrator";
        let condition = serde_json::json!({"ArnNotEquals": {"aws:PrincipalArn": [administrator]}});
        assert_eq!(settings["Condition"], condition, "{file}");
        let denied: BTreeSet<_> = actions(settings).into_iter().map(str::to_owned).collect();
        assert_eq!(denied, listed, "actions in {file} (left) and in SECURITY.md (right)");
        buckets += 1;
    }
    assert_eq!(buckets, 3);
    for (file, policy) in policies.iter().filter(|(file, _)| file.starts_with("iam-")) {
        assert!(allowed(policy).is_disjoint(&listed), "{file}");
    }
}

const KEYS: [&str; 2] = [
    "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321",
];

type Pairs = BTreeMap<String, String>;

/// Encryption context of a call for the data key of a new body at `place`.
fn data_key(context: &EncryptionContext, place: Option<(&str, &str)>) -> Pairs {
    binding(context, place).pairs()
}

fn binding(context: &EncryptionContext, place: Option<(&str, &str)>) -> WrapContext {
    let place = place.map(|(bucket, key)| Place::new(bucket, key).expect("a place"));
    WrapContext::for_data_key(context.clone(), place, &BodySalt::generate().expect("random"))
}

/// Encryption context of a call for an intermediate key of an object at `place`, whose scope has
/// this number of folders.
fn intermediate_key(
    context: &EncryptionContext,
    place: Option<(&str, &str)>,
    folders: usize,
) -> Pairs {
    let inner = LocalKeyring::new("any", &mut [0; 32]).expect("a wrapping key");
    let limits = CacheLimits::new().with_scope_folders(folders);
    let keyring = CachingKeyring::with_limits(inner, limits);
    keyring.expected_keys(&binding(context, place))[0].wrap_context().pairs()
}

/// Returns the encryption context without one pair.
fn without(pairs: &Pairs, name: &str) -> Pairs {
    let mut changed = pairs.clone();
    changed.remove(name).expect("it was there");
    changed
}

fn with(pairs: &Pairs, name: &str, value: &str) -> Pairs {
    let mut changed = pairs.clone();
    changed.insert(name.into(), value.into());
    changed
}

/// A KMS call.
struct Use {
    role: &'static str,
    action: &'static str,
    pairs: Pairs,
}

impl Use {
    fn new(role: &'static str, action: &'static str, pairs: Pairs) -> Self {
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

    /// `true` if the role's own policy allows the call with this key.
    fn is_allowed_to_the_role_by(&self, policy: &Value, key: &str) -> bool {
        statements(policy).iter().any(|statement| {
            statement["Effect"] == "Allow"
                && actions(statement).contains(&self.action)
                && texts(&statement["Resource"]).contains(&key)
                && self.meets(statement.get("Condition"))
        })
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
                    "Null" => values == [if present.is_empty() { "true" } else { "false" }],
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
            Some(name) => self.pairs.get(name).into_iter().map(String::as_str).collect(),
            None => {
                assert_eq!(key, "kms:EncryptionContextKeys");
                self.pairs.keys().map(String::as_str).collect()
            }
        }
    }
}

/// Matches a pattern. The policies' only wildcard is an asterisk at the end.
fn is_like(pattern: &str, value: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == value, |beginning| value.starts_with(beginning))
}

/// The key policies of both Regions, with the statements for the caching keyring if wanted.
fn key_policies(with_intermediate_keys: bool) -> [Value; 2] {
    let policies = policies();
    ["us-east-1", "us-west-2"].map(|region| {
        let mut policy = policies[&format!("key-policy-{region}.json")].clone();
        if with_intermediate_keys {
            let addition = &policies[&format!("key-policy-{region}-intermediate-keys.json")];
            let all = policy["Statement"].as_array_mut().expect("statements");
            all.extend(statements(addition).iter().cloned());
        }
        policy
    })
}

fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
    EncryptionContext::try_from_iter(pairs.iter().copied()).expect("a context")
}

const HERE: (&str, &str) = ("invoices", "2026/acme/report.pdf");
const REPLICA: (&str, &str) = ("invoices-west", "2026/acme/report.pdf");
const OTHER_YEAR: (&str, &str) = ("invoices", "2025/acme/report.pdf");
const OTHER_BUCKET: (&str, &str) = ("payroll", "2026/acme/report.pdf");

const WRITER: &str = "sealwax-writer";
const READER: &str = "sealwax-reader";
const RECOVERY: &str = "sealwax-disaster-recovery";

/// Asserts what the keys in us-east-1 and us-west-2 allow.
fn assert_verdicts(with_intermediate_keys: bool, cases: Vec<(Use, bool, bool)>) {
    let [east, west] = key_policies(with_intermediate_keys);
    for (case, by_east, by_west) in cases {
        let decided = (case.is_allowed_by(&east), case.is_allowed_by(&west));
        assert_eq!(decided, (by_east, by_west), "{} {} {:?}", case.role, case.action, case.pairs);
    }
}

#[test]
fn key_policies_allow_the_calls_of_sealwax_and_no_others() {
    let tenant = context(&[("tenant", "acme")]);
    let (none, personal) = (context(&[]), context(&[("e-mail", "a@example.org")]));
    let bound = |place| data_key(&tenant, Some(place));
    let shared = intermediate_key(&tenant, Some(HERE), 1);
    let writes = |context| Use::new(WRITER, "kms:GenerateDataKey", data_key(context, Some(HERE)));
    assert_verdicts(
        false,
        vec![
            (Use::new(WRITER, "kms:GenerateDataKey", bound(HERE)), true, false),
            (Use::new(WRITER, "kms:Encrypt", bound(HERE)), false, true),
            (writes(&none), true, false),
            (writes(&personal), false, false),
            (Use::new(WRITER, "kms:GenerateDataKey", bound(REPLICA)), false, false),
            (Use::new(WRITER, "kms:GenerateDataKey", shared.clone()), false, false),
            (Use::new(WRITER, "kms:Decrypt", bound(HERE)), false, false),
            (Use::new(READER, "kms:Decrypt", bound(HERE)), true, true),
            (Use::new(READER, "kms:Decrypt", bound(REPLICA)), true, true),
            (Use::new(READER, "kms:Decrypt", bound(OTHER_YEAR)), false, false),
            (Use::new(READER, "kms:Decrypt", bound(OTHER_BUCKET)), false, false),
            (Use::new(READER, "kms:Decrypt", data_key(&tenant, None)), false, false),
            (Use::new(READER, "kms:Decrypt", shared.clone()), false, false),
            (Use::new(READER, "kms:GenerateDataKey", bound(HERE)), false, false),
            (Use::new(READER, "kms:CreateGrant", bound(HERE)), false, false),
            (Use::new(RECOVERY, "kms:ReEncryptFrom", bound(HERE)), true, true),
            (Use::new(RECOVERY, "kms:ReEncryptTo", bound(REPLICA)), true, true),
            (Use::new(RECOVERY, "kms:Decrypt", bound(HERE)), true, true),
            (Use::new(RECOVERY, "kms:Encrypt", bound(REPLICA)), true, true),
            (Use::new(RECOVERY, "kms:Encrypt", bound(OTHER_BUCKET)), false, false),
            (Use::new(RECOVERY, "kms:GenerateDataKey", bound(HERE)), false, false),
            (Use::new(RECOVERY, "kms:ReEncryptFrom", shared), false, false),
            (Use::new("key-administrator", "kms:PutKeyPolicy", bound(HERE)), true, true),
            (Use::new("key-administrator", "kms:Decrypt", bound(HERE)), false, false),
            (Use::new("sealwax-auditor", "kms:DescribeKey", bound(HERE)), true, true),
            (Use::new("sealwax-auditor", "kms:Decrypt", bound(HERE)), false, false),
            (Use::new("somebody", "kms:Decrypt", bound(HERE)), false, false),
        ],
    );
}

#[test]
fn intermediate_keys_are_held_to_the_same_prefixes() {
    let tenant = context(&[("tenant", "acme")]);
    let shared = |place, folders| intermediate_key(&tenant, Some(place), folders);
    assert_verdicts(
        true,
        vec![
            (Use::new(WRITER, "kms:GenerateDataKey", shared(HERE, 1)), true, false),
            (Use::new(WRITER, "kms:GenerateDataKey", shared(HERE, 2)), true, false),
            (Use::new(WRITER, "kms:Encrypt", shared(HERE, 1)), false, true),
            // The whole bucket is more than the prefix.
            (Use::new(WRITER, "kms:GenerateDataKey", shared(HERE, 0)), false, false),
            (Use::new(WRITER, "kms:GenerateDataKey", shared(REPLICA, 1)), false, false),
            (Use::new(WRITER, "kms:Decrypt", shared(HERE, 1)), false, false),
            (Use::new(WRITER, "kms:GenerateDataKey", data_key(&tenant, Some(HERE))), true, false),
            (Use::new(READER, "kms:Decrypt", shared(HERE, 1)), true, true),
            (Use::new(READER, "kms:Decrypt", shared(REPLICA, 2)), true, true),
            (Use::new(READER, "kms:Decrypt", shared(HERE, 0)), false, false),
            (Use::new(READER, "kms:Decrypt", shared(OTHER_YEAR, 1)), false, false),
            (Use::new(READER, "kms:Decrypt", shared(OTHER_BUCKET, 1)), false, false),
            (Use::new(READER, "kms:Decrypt", intermediate_key(&tenant, None, 0)), false, false),
            (Use::new(READER, "kms:GenerateDataKey", shared(HERE, 1)), false, false),
            (Use::new(RECOVERY, "kms:ReEncryptFrom", shared(HERE, 1)), true, true),
            (Use::new(RECOVERY, "kms:ReEncryptTo", shared(REPLICA, 1)), true, true),
            (Use::new(RECOVERY, "kms:GenerateDataKey", shared(HERE, 1)), false, false),
            (Use::new("somebody", "kms:Decrypt", shared(HERE, 1)), false, false),
        ],
    );
}

/// Changes each reserved pair of each allowed call alone.
#[test]
fn key_policies_require_each_pair() {
    let tenant = context(&[("tenant", "acme")]);
    let [east, west] = key_policies(true);
    let (of_data_key, of_intermediate_key) =
        (data_key(&tenant, Some(HERE)), intermediate_key(&tenant, Some(HERE), 1));
    let mut refused = 0;
    for (role, action, policy) in [
        (WRITER, "kms:GenerateDataKey", &east),
        (WRITER, "kms:Encrypt", &west),
        (READER, "kms:Decrypt", &east),
        (READER, "kms:Decrypt", &west),
        (RECOVERY, "kms:Decrypt", &east),
        (RECOVERY, "kms:Encrypt", &west),
        (RECOVERY, "kms:ReEncryptFrom", &west),
        (RECOVERY, "kms:ReEncryptTo", &east),
    ] {
        let mut changed: Vec<Pairs> = Vec::new();
        for genuine in [&of_data_key, &of_intermediate_key] {
            assert!(
                Use::new(role, action, genuine.clone()).is_allowed_by(policy),
                "{role} {action}"
            );
            let reserved = genuine.keys().filter(|name| name.starts_with("sealwax:"));
            changed.extend(reserved.map(|name| without(genuine, name)));
            changed.push(with(genuine, "sealwax:format", "v2"));
            let other = with(&of_intermediate_key, "sealwax:scope", "invoices/2025/");
            changed.extend([other, with(&of_data_key, "sealwax:place", "invoices/2025/a")]);
            // Writers choose the context; for the others, the ciphertext has it.
            if role == WRITER {
                let names = [
                    "sealwax:place",
                    "sealwax:salt",
                    "sealwax:intermediate",
                    "sealwax:scope",
                    "sealwax:intermediate-id",
                    "sealwax:more",
                    "e-mail",
                ];
                let new = names.iter().filter(|name| !genuine.contains_key(**name));
                changed.extend(new.map(|name| with(genuine, name, "invoices/2026/")));
            }
        }
        for pairs in changed {
            let case = Use::new(role, action, pairs);
            assert!(!case.is_allowed_by(policy), "{role} {action} {:?}", case.pairs);
            refused += 1;
        }
    }
    assert!(refused > 100, "{refused}");
}

/// The policy of each role allows what the key policies allow it, and no other context.
#[test]
fn policies_of_roles_agree_with_the_key_policies() {
    let (policies, keys) = (policies(), key_policies(false));
    let tenant = context(&[("tenant", "acme")]);
    let genuine = data_key(&tenant, Some(HERE));
    let contexts = [
        genuine.clone(),
        data_key(&tenant, Some(REPLICA)),
        data_key(&tenant, Some(OTHER_YEAR)),
        data_key(&context(&[("e-mail", "a@example.org")]), Some(HERE)),
        with(&genuine, "sealwax:scope", "invoices/2026/"),
        with(&genuine, "sealwax:intermediate-id", "id"),
        with(&genuine, "sealwax:more", ""),
        intermediate_key(&tenant, Some(HERE), 1),
        Pairs::new(),
    ];
    let mut allowed = 0;
    for (role, file) in [
        (WRITER, "iam-writer.json"),
        (READER, "iam-reader.json"),
        (RECOVERY, "iam-disaster-recovery.json"),
    ] {
        for action in USES {
            for (key, by_key) in KEYS.iter().zip(&keys) {
                for pairs in &contexts {
                    let case = Use::new(role, action, pairs.clone());
                    let by_role = case.is_allowed_to_the_role_by(&policies[file], key);
                    assert_eq!(by_role, case.is_allowed_by(by_key), "{file} {action} {pairs:?}");
                    allowed += usize::from(by_role);
                }
            }
        }
    }
    assert!(allowed > 10, "{allowed}");
}

const USES: [&str; 5] =
    ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"];

/// These statements deny calls without Sealwax's context, or for another place, even if others
/// allow them.
#[test]
fn key_policies_deny_calls_that_are_not_sealwaxs() {
    for mut policy in key_policies(false) {
        let generous = serde_json::json!({
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": USES.iter().chain(&["kms:CreateGrant"]).collect::<Vec<_>>(),
            "Resource": "*",
        });
        policy["Statement"].as_array_mut().expect("statements").push(generous);
        let none = EncryptionContext::new();
        let (ours, shared) = (data_key(&none, Some(HERE)), intermediate_key(&none, Some(HERE), 1));
        let denied = [
            Pairs::new(),
            data_key(&none, Some(OTHER_BUCKET)),
            data_key(&none, None),
            without(&ours, "sealwax:format"),
            without(&ours, "sealwax:salt"),
            intermediate_key(&none, Some(OTHER_BUCKET), 1),
            intermediate_key(&none, Some(HERE), 0),
            intermediate_key(&none, None, 0),
            without(&shared, "sealwax:format"),
            without(&shared, "sealwax:scope"),
            without(&shared, "sealwax:intermediate"),
            with(&without(&shared, "sealwax:scope"), "sealwax:place", "invoices/2026/a"),
            with(&without(&ours, "sealwax:place"), "sealwax:scope", "invoices/2026/"),
        ];
        let grant = Use::new("somebody", "kms:CreateGrant", ours.clone());
        assert!(!grant.is_allowed_by(&policy), "a grant bypasses the roles");
        for action in USES {
            for pairs in [&ours, &shared] {
                let case = Use::new("somebody", action, pairs.clone());
                assert!(case.is_allowed_by(&policy), "{action} {pairs:?}");
            }
            for pairs in &denied {
                let case = Use::new("somebody", action, pairs.clone());
                assert!(!case.is_allowed_by(&policy), "{action} {pairs:?}");
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
