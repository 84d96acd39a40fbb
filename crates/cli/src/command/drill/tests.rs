//! Golden reports.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::primitives::DateTime;
use sealwax_jobs::drill::{Lag, OpeningTimes, ReplicationStatus, Unreplicated};
use sealwax_s3::ListedObject;

use super::{
    drill_report::{
        Blocked, Examined, Failures, KeySet, KmsKey, RecoveryTime, Refused, Report, Sample, Source,
    },
    previous::{KIND, Previous},
};
use crate::{
    args::TimeSpan,
    command::verify::verify_output::{Counts, Line},
    report::{self, Provenance, tests::check_golden_report, text_of},
};

const NOW: u64 = 1_795_939_512;

/// Returns the origin of a golden drill.
fn provenance() -> Provenance {
    report::tests::provenance(
        "sealwax drill s3://invoices-west/2026/ --region us-west-2 --replica-of invoices --block us-east-1 --source s3://invoices/2026/ --first-last --report drills/",
    )
}

/// Returns times around 20 ms, with some slow ones.
fn times(objects: u64) -> OpeningTimes {
    let mut times = OpeningTimes::default();
    for n in 0..objects {
        let slow = if n % 50 == 0 { 40 * (n % 7) } else { 0 };
        times.record(Duration::from_millis(8 + n * 7919 % 23 + n * n % 31 + slow));
    }
    times
}

fn source(ages: &[(&str, u64)]) -> Source {
    let late = |(key, age): &(&str, u64)| {
        let mut object = ListedObject::new("invoices", *key);
        object.last_modified = Some(DateTime::from_secs((NOW - age) as i64));
        let status =
            if *age > 3600 { ReplicationStatus::Failed } else { ReplicationStatus::Pending };
        // Both types are open: they can't be written as literals here.
        Unreplicated::new(object, false, Some(status))
    };
    let named: Vec<_> = ages.iter().map(late).collect();
    let mut lag = Lag::default();
    (lag.source_objects, lag.replica_objects, lag.surplus) = (503, 503 - ages.len() as u64, 1);
    lag.absent = ages.len() as u64;
    lag.oldest =
        named.iter().min_by_key(|it| it.object.last_modified.map(|time| time.secs())).cloned();
    for it in &named {
        *lag.statuses.entry(it.status.expect("asked")).or_default() += 1;
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    named.iter().for_each(|it| lag.ages.record(it.object.last_modified, now));
    lag.named = named;
    let prefix = "s3://invoices/2026/".parse().expect("a prefix");
    Source::new(&prefix, "us-east-1", &lag, TimeSpan(Duration::from_secs(900)), now)
}

fn examined(n: usize, outcome: &'static str) -> Examined {
    let regions: &[&str] = match n % 40 {
        0 => &["us-west-2"],
        _ => &["us-east-1", "us-west-2"],
    };
    Examined {
        object: format!("s3://invoices-west/2026/{:02}/invoice-{n:05}.pdf", n % 12 + 1),
        version_id: None,
        outcome,
        key_regions: regions.iter().map(|region| (*region).to_owned()).collect(),
        seconds: 0.008 + (n * 7919 % 23) as f64 / 1000.0,
    }
}

fn passed() -> Report {
    let counts = Counts {
        objects: 501,
        opened: 501,
        plaintext_bytes: 30_758_401,
        opened_bytes: 709_058,
        ..Counts::default()
    };
    let refused = |service: &str, requests| Refused {
        region: "us-east-1".into(),
        service: service.into(),
        requests,
    };
    let set = |regions: &[&str], objects| KeySet {
        regions: regions.iter().map(|region| (*region).to_owned()).collect(),
        objects,
    };
    let mut report = Report {
        kind: KIND,
        schema: 1,
        passed: true,
        conclusion: String::new(),
        provenance: provenance(),
        replica: "s3://invoices-west/2026/".into(),
        region: "us-west-2".into(),
        replica_of: Some("invoices".into()),
        blocked_regions: vec!["us-east-1".into()],
        blocked: vec![Blocked {
            region: "us-east-1".into(),
            objects_with_key: 488,
            objects_with_no_other_key: 0,
            is_source_region: true,
        }],
        probes_refused: 3,
        refused_requests: vec![refused("kms", 1), refused("s3", 1), refused("sts", 1)],
        depth: "first-last",
        sample: None,
        unsealed_allowed: false,
        not_examined: vec![
            "Older versions of the objects: --versions examines them.".into(),
            "Objects outside of the prefix.".into(),
            "The middle of each body.".into(),
        ],
        counts,
        failed: 0,
        key_regions: vec![set(&["us-east-1", "us-west-2"], 488), set(&["us-west-2"], 13)],
        unnamed_keys: 0,
        kms_keys: vec![KmsKey {
            wrapping_key:
                "arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321".into(),
            region: Some("us-west-2".into()),
            decrypt_calls: 501,
        }],
        recovery_time: RecoveryTime::new(
            &times(501),
            (Duration::from_millis(2150), 64),
            501,
            (501, 30_913_921),
        ),
        failures: vec![],
        failed_objects: vec![],
        more_failed_objects: 0,
        objects: (0..40).map(|n| examined(n, "opened")).collect(),
        more_objects: 461,
        source: Some(source(&[
            ("2026/11/invoice-00499.pdf", 34),
            ("2026/11/invoice-00500.pdf", 12),
        ])),
        previous: Some(Previous {
            file: "sealwax-drill-2026-10-30T080503Z.json".into(),
            sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
            passed: true,
            started: "2026-10-30T08:05:03Z".into(),
            objects: 472,
            opened: 472,
            failed: 0,
            median_seconds: Some(0.031),
            p99_seconds: Some(0.242),
            unreplicated: Some(0),
        }),
        warnings: vec![],
    };
    report.conclusion = text_of(&report.conclusion());
    report
}

/// A drill of a sample that finds every kind of fault, with hostile names.
fn failed() -> Report {
    let hostile = [
        "2026/<script>alert(1)</script>",
        "2026/\"><img src=x onerror=alert(1)>|`[x](http://evil.example)",
        "2026/invoice\u{202e}fdp.exe\n",
        "2026/חשבונית-עברית.pdf",
        "2026/a-very-long-name-without-any-space-that-would-have-to-be-broken-somewhere-on-a-narrow-screen-of-a-phone-0123456789.pdf",
    ];
    let line = |n: usize| {
        let (reason, message) = match n % 3 {
            0 => (
                "unavailable",
                "Decrypt failed: a request to kms of us-east-1 was refused: that Region is blocked in this process",
            ),
            1 => ("place-mismatch", "its keys are bound to another place: <b>invoices</b>/2026/x"),
            _ => ("not-sealed", "the object is not sealed: it carries no Sealwax metadata"),
        };
        let key = hostile
            .get(n)
            .map_or_else(|| format!("2026/old/invoice-{n:05}.pdf"), |key| (*key).to_owned());
        Line {
            object: format!("s3://invoices-west/{key}"),
            version_id: n.is_multiple_of(4).then(|| "3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY".to_owned()),
            opens: false,
            reason: Some(reason),
            message: Some(message.to_owned()),
        }
    };
    let lines: Vec<_> = (0..24).map(line).collect();
    let reasons = ["not-sealed", "place-mismatch", "unavailable"];
    let failures = reasons.map(|reason| {
        let of_it: Vec<_> = lines.iter().filter(|line| line.reason == Some(reason)).collect();
        Failures {
            reason,
            objects: of_it.len() as u64,
            samples: of_it.iter().take(5).map(|line| line.object.clone()).collect(),
        }
    });
    let set = |regions: &[&str], objects| KeySet {
        regions: regions.iter().map(|region| (*region).to_owned()).collect(),
        objects,
    };
    let counts = Counts {
        objects: 5024,
        opened: 5000,
        unsealed: 8,
        sidecars: 0,
        failures: [("place-mismatch", 8), ("unavailable", 8)].into(),
        plaintext_bytes: 3_075_840_100,
        opened_bytes: 0,
        ..Counts::default()
    };
    let mut report = Report {
        passed: false,
        provenance: Provenance {
            caller: None,
            settings: Some("dr (/etc/sealwax.toml)".into()),
            ..provenance()
        },
        depth: "keys",
        sample: Some(Sample { fraction: 0.01, seed: 11 }),
        blocked: vec![Blocked {
            region: "us-east-1".into(),
            objects_with_key: 4911,
            objects_with_no_other_key: 8,
            is_source_region: true,
        }],
        counts,
        failed: 24,
        key_regions: vec![
            set(&[], 2),
            set(&["eu-west-1", "us-west-2"], 98),
            set(&["us-east-1"], 8),
            set(&["us-east-1", "us-west-2"], 4903),
        ],
        unnamed_keys: 5,
        recovery_time: RecoveryTime::new(
            &times(5000),
            (Duration::from_millis(24_300), 64),
            5024,
            (501_977, 307_584_010_000),
        ),
        failures: failures.to_vec(),
        failed_objects: lines,
        objects: (0..60)
            .map(|n| examined(n, if n % 10 == 3 { "unavailable" } else { "opened" }))
            .collect(),
        more_objects: 4964,
        source: Some(source(&[
            ("2026/11/invoice-00499.pdf", 34),
            ("2026/11/invoice-00500.pdf", 640),
            ("2026/10/<b>late</b>.pdf", 14_000),
            ("2026/09/invoice-00012.pdf", 5_900_000),
        ])),
        previous: None,
        warnings: vec![
            "this version does not know the Region us-mars-1, but 2 objects claim a key there"
                .into(),
        ],
        ..passed()
    };
    report.conclusion = text_of(&report.conclusion());
    report
}

#[test]
fn a_passed_drill() {
    let report = passed();
    assert_eq!(
        report.conclusion,
        "The data key of each of the 501 sealed objects in s3://invoices-west/2026/ was unwrapped and the ends of each body opened without any request to us-east-1. 2 objects of the source are not in the replica yet (oldest 34 s), within the tolerated 15 min."
    );
    check_golden_report("drill-passed", &report, report.page());
}

#[test]
fn a_failed_drill() {
    let report = failed();
    assert_eq!(
        report.conclusion,
        "24 of 5,024 objects in s3://invoices-west/2026/ did not open while us-east-1 was blocked. 4 objects of the source are not in the replica yet (oldest 68 d 6 h), more than the tolerated 15 min."
    );
    check_golden_report("drill-failed", &report, report.page());
}

#[test]
fn a_drill_of_one_object_and_without_a_source() {
    let mut report = passed();
    (report.counts.opened, report.counts.objects, report.source) = (1, 1, None);
    report.depth = "full";
    assert_eq!(
        text_of(&report.conclusion()),
        "The data key of the only sealed object in s3://invoices-west/2026/ was unwrapped and each body opened completely without any request to us-east-1. The replica was not compared with its source."
    );
    report.failed = 1;
    assert_eq!(
        text_of(&report.conclusion()),
        "1 of 1 object in s3://invoices-west/2026/ did not open while us-east-1 was blocked. The replica was not compared with its source."
    );
}

#[test]
fn recovery_times_are_extrapolated_to_all_listed_objects() {
    let mut measured = OpeningTimes::default();
    for millis in [10, 20, 30, 4000] {
        measured.record(Duration::from_millis(millis));
    }
    let time = RecoveryTime::new(&measured, (Duration::from_secs(3), 8), 4, (400, 7));
    assert_eq!((time.objects, time.listed_objects, time.listed_bytes), (4, 400, 7));
    assert_eq!(time.estimated_seconds_for_all, Some(300.0));
    assert_eq!((time.median_seconds, time.longest_seconds), (Some(0.020_479), 4.0));
    let histogram: Vec<_> =
        time.histogram.iter().map(|it| (it.up_to_seconds, it.objects)).collect();
    let inner = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0].map(Some);
    let counts = [1, 1, 0, 0, 0, 0, 0];
    let expected: Vec<_> = [(Some(0.01), 1)]
        .into_iter()
        .chain(inner.into_iter().zip(counts))
        .chain([(Some(5.0), 1)])
        .collect();
    assert_eq!(histogram, expected);
    let none = RecoveryTime::new(&OpeningTimes::default(), (Duration::ZERO, 64), 0, (0, 0));
    assert_eq!((none.median_seconds, none.estimated_seconds_for_all), (None, None));
    assert!(none.histogram.is_empty());
}

#[test]
fn ages_are_those_at_the_comparison() {
    let compared = source(&[("a", 61), ("b", 900), ("c", 901)]);
    let ages: Vec<_> = compared.ages.iter().map(|it| (it.up_to_seconds, it.objects)).collect();
    assert_eq!(ages, [(Some(300), 1), (Some(900), 1), (Some(3600), 1)]);
    assert!(compared.is_behind && !source(&[("a", 900)]).is_behind);
    assert_eq!(
        compared.unreplicated_text(),
        "3 objects of the source are not in the replica yet (oldest 15 min 1 s)"
    );
    assert_eq!(
        source(&[("a", 1)]).unreplicated_text(),
        "1 object of the source is not in the replica yet (oldest 1 s)"
    );
}
