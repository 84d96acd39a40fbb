//! Any two lines as ARNs of KMS keys: the parts make up the whole, and only replicas of one key are
//! related.

#![no_main]

use libfuzzer_sys::fuzz_target;

use sealwax_s3::KmsKeyArn;

fn parts(arn: &KmsKeyArn) -> (&str, &str, &str, &str) {
    let partition = arn.as_str().split(':').nth(1).expect("a partition");
    (partition, arn.region(), arn.account(), arn.key_id())
}

fuzz_target!(|text: &str| {
    let arns: Vec<KmsKeyArn> = text.lines().filter_map(|line| line.parse().ok()).take(2).collect();
    for arn in &arns {
        let (partition, region, account, id) = parts(arn);
        assert_eq!(arn.to_string(), format!("arn:{partition}:kms:{region}:{account}:key/{id}"));
        assert!(arn.is_related_to(arn));
        assert_eq!(arn.is_multi_region(), id.starts_with("mrk-"));
        match arn.in_region("us-gov-west-1") {
            Some(replica) => {
                assert_eq!(parts(&replica), (partition, "us-gov-west-1", account, id));
                assert_eq!(replica.in_region(region).as_ref(), Some(arn));
                assert!(replica.is_related_to(arn));
            }
            // The Region has a partition of its own, and its longer name may make it too long.
            None => assert!(
                !arn.is_multi_region() || partition != "aws-us-gov" || arn.as_str().len() > 240
            ),
        }
    }
    if let [one, other] = &arns[..] {
        let (a, b) = (parts(one), parts(other));
        let same_but_for_region = (a.0, a.2, a.3) == (b.0, b.2, b.3);
        let related = one == other || (one.is_multi_region() && same_but_for_region);
        assert_eq!(one.is_related_to(other), related);
        assert_eq!(other.is_related_to(one), related);
    }
});
