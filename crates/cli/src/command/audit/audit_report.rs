//! Report of an audit: the same evidence as a drill's. docs/REPORTS.md describes its fields.

use sealwax_jobs::{
    Summary as _,
    audit::{AuditSummary, AuditedObject, KeyUse},
};
use sealwax_s3::error_chain;
use serde::Serialize;

use super::{
    AuditArgs,
    audit_output::{Counts, KeyStoreCounts, Line, materials, sharing},
};
use crate::{
    figures::{number, size},
    report::{
        Bar, Bars, Block, Figure, Page, Provenance, Section, Table, Text, Tone, Verdict, text_of,
    },
    session::Session,
};

/// Kind of an audit's report.
pub(super) const KIND: &str = "sealwax-audit";
/// Most objects, and most rows of a table, that a report lists.
const MAX_ROWS: usize = 1000;

/// Report of an audit. Field names are stable JSON output.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) kind: &'static str,
    pub(super) schema: u32,
    /// `true` if no object has a problem and each question has an answer.
    pub(super) passed: bool,
    /// The conclusion, in full sentences.
    pub(super) conclusion: String,
    #[serde(flatten)]
    pub(super) provenance: Provenance,
    pub(super) objects: String,
    pub(super) region: String,
    pub(super) replica_of: Option<String>,
    /// `true` if each claimed key was unwrapped; otherwise keys are claims.
    pub(super) proven: bool,
    pub(super) questions: Questions,
    pub(super) not_examined: Vec<String>,
    pub(super) summary: Counts,
    /// Number of objects that match the questions.
    pub(super) matching: u64,
    pub(super) matching_objects: Vec<Line>,
    /// Number of matching objects that are not named.
    pub(super) more_matching_objects: u64,
    /// Number of objects with a problem.
    pub(super) failed: u64,
    /// Further objects that may have keys that they do not name, so that the questions about keys
    /// have no answer for them.
    pub(super) unknown: u64,
    pub(super) failed_objects: Vec<Problem>,
    pub(super) more_failed_objects: u64,
}

/// Questions that the audit asked, as its options.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Questions {
    pub(super) lacks: Vec<String>,
    pub(super) depends_on: Vec<String>,
    pub(super) intermediate_keys: Vec<String>,
    pub(super) solely: bool,
    pub(super) unsealed: bool,
    pub(super) stale: bool,
    pub(super) list: bool,
    pub(super) replicated_to: Vec<String>,
}

/// Object that could not be audited, or has a fault.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Problem {
    pub(super) object: String,
    pub(super) version_id: Option<String>,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// Counts and objects that an audit collects for its report.
#[derive(Debug, Default)]
pub(super) struct Collected {
    matching: u64,
    lines: Vec<Line>,
    failed: u64,
    problems: Vec<Problem>,
}

impl Collected {
    /// Records an object, and its line if it matches.
    pub(super) fn record(&mut self, object: &AuditedObject, line: Option<Line>) {
        self.matching += u64::from(line.is_some());
        let has_room = self.lines.len() < MAX_ROWS;
        self.lines.extend(line.filter(|_| has_room));
        let Some(error) = &object.problem else { return };
        self.failed += 1;
        if self.problems.len() < MAX_ROWS {
            self.problems.push(Problem {
                object: object.object.to_string(),
                version_id: object.object.version_id.clone(),
                reason: error.kind().name(),
                message: error_chain(error),
            });
        }
    }
}

impl Questions {
    fn of(args: &AuditArgs) -> Self {
        Self {
            lacks: args.lacks.clone(),
            depends_on: args.depends_on.iter().map(|key| key.as_str().to_owned()).collect(),
            intermediate_keys: args.intermediate_key.iter().map(ToString::to_string).collect(),
            solely: args.solely,
            unsealed: args.unsealed,
            stale: args.stale,
            list: args.list,
            replicated_to: args.replicated_to.clone(),
        }
    }

    /// Returns the questions as options; empty if the audit only counted.
    fn text(&self) -> Vec<String> {
        let lacks = self.lacks.iter().map(|region| format!("--lacks {region}"));
        let depends = self.depends_on.iter().map(|key| format!("--depends-on {key}"));
        let under = self.intermediate_keys.iter().map(|key| format!("--intermediate-key {key}"));
        let flags = [
            (self.solely, "--solely"),
            (self.unsealed, "--unsealed"),
            (self.stale, "--stale"),
            (self.list, "--list"),
        ];
        let flags =
            flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag.to_owned());
        lacks.chain(depends).chain(under).chain(flags).collect()
    }
}

impl Report {
    pub(super) fn new(
        session: &Session,
        args: &AuditArgs,
        provenance: Provenance,
        (summary, key_store): (&AuditSummary, &KeyStoreCounts),
        unknown: u64,
        collected: Collected,
    ) -> Self {
        let Collected { matching, lines, failed, problems } = collected;
        let mut report = Self {
            kind: KIND,
            schema: 1,
            passed: summary.failed() + unknown == 0,
            conclusion: String::new(),
            provenance,
            objects: args.objects.prefix.to_string(),
            region: session.region().to_owned(),
            replica_of: session.places().0.map(str::to_owned),
            proven: args.prove,
            questions: Questions::of(args),
            not_examined: limits(args, session.sidecars().is_some(), key_store),
            summary: Counts::new(summary, key_store),
            matching,
            more_matching_objects: matching - lines.len() as u64,
            matching_objects: lines,
            failed,
            unknown,
            more_failed_objects: failed - problems.len() as u64,
            failed_objects: problems,
        };
        report.conclusion = text_of(&report.conclusion(summary.objects));
        report
    }

    /// Returns the conclusion, in full sentences.
    fn conclusion(&self, objects: u64) -> Vec<Text> {
        let how = match self.proven {
            true => {
                "; each claimed key that the caller reads with was unwrapped and compared with its object."
            }
            false => "; their keys are what their metadata claims, and were not used.",
        };
        let mut texts = vec![
            Text::plain(format!("{} of ", number_of_objects(objects))),
            Text::code(self.objects.clone()),
            Text::plain(format!(" {} audited{how}", if objects == 1 { "was" } else { "were" })),
        ];
        let questions = self.questions.text();
        if !questions.is_empty() {
            let matching = match self.matching {
                0 => "None matches ".to_owned(),
                1 => "1 object matches ".to_owned(),
                many => format!("{} objects match ", number(many)),
            };
            texts.extend([
                Text::plain(format!(" {matching}")),
                Text::code(questions.join(" ")),
                Text::plain("."),
            ]);
        }
        if self.unknown > 0 {
            let (are, their) = if self.unknown == 1 { ("does", "its") } else { ("do", "their") };
            let unknown = number(self.unknown);
            let text = format!(
                " {unknown} {are} not name all of {their} wrapping keys, and may depend on any key."
            );
            texts.push(Text::plain(text));
        }
        if self.failed > 0 {
            let have = if self.failed == 1 { "has" } else { "have" };
            let failed = number(self.failed);
            texts.push(Text::plain(format!(" {failed} could not be audited or {have} a problem.")));
        }
        texts
    }

    /// Returns the page.
    pub(super) fn page(&self, summary: &AuditSummary) -> Page {
        let mut sections = Vec::new();
        if self.failed > 0 {
            sections.push(self.problems_section(summary));
        }
        if !self.questions.text().is_empty() {
            sections.push(self.matching_section());
        }
        sections.push(self.keys_section(summary));
        sections.push(Section { title: "Objects", blocks: objects_blocks(summary) });
        sections.push(Section {
            title: "Not examined",
            blocks: vec![Block::List(self.not_examined.iter().map(Text::plain).collect())],
        });
        let mut provenance = self.provenance.section();
        let mut facts = vec![
            ("objects", Text::code(self.objects.clone())),
            ("Region", Text::plain(self.region.clone())),
        ];
        facts.extend(self.replica_of.clone().map(|source| ("replica of", Text::code(source))));
        provenance.blocks.insert(0, Block::Facts(facts));
        sections.push(provenance);
        Page {
            title: "Audit of wrapping keys".to_owned(),
            verdict: if self.passed { Verdict::Informed } else { Verdict::Failed },
            conclusion: self.conclusion(summary.objects),
            figures: self.figures(summary),
            sections,
            json: Default::default(),
        }
    }

    fn figures(&self, summary: &AuditSummary) -> Vec<Figure> {
        let sealed = summary.kinds.iter().filter(|(kind, _)| kind.is_sealed());
        let unnamed = summary.kinds.iter().filter(|(kind, _)| kind.is_encryption_client());
        let sum = |kinds: &mut dyn Iterator<Item = (&_, &u64)>| kinds.map(|(_, count)| count).sum();
        let (sealed, unnamed): (u64, u64) = (sum(&mut { sealed }), sum(&mut { unnamed }));
        let proof = summary.proofs.get("proven").copied().unwrap_or_default();
        let tone = |is_bad| if is_bad { Tone::Bad } else { Tone::Good };
        let keys = match self.proven {
            true => Figure {
                name: "Proven to open",
                value: format!("{} of {}", number(proof), number(sealed)),
                note: "by at least one key".to_owned(),
                tone: tone(proof < sealed),
            },
            false => Figure {
                name: "Keys",
                value: "claimed".to_owned(),
                note: "none was unwrapped: --prove does".to_owned(),
                tone: Tone::Neutral,
            },
        };
        vec![
            Figure {
                name: "Objects",
                value: number(summary.objects),
                note: format!("{} stored", size(summary.stored_bytes)),
                tone: Tone::Neutral,
            },
            Figure {
                name: "Sealed",
                value: number(sealed),
                note: match unnamed {
                    0 => "all name their keys".to_owned(),
                    unnamed => format!("{} do not name their key", number(unnamed)),
                },
                tone: Tone::Neutral,
            },
            keys,
            Figure {
                name: "With a problem",
                value: number(self.failed),
                note: match self.unknown {
                    0 => String::new(),
                    unknown => format!("and {} without an answer", number(unknown)),
                },
                tone: tone(self.failed + self.unknown > 0),
            },
        ]
    }

    fn problems_section(&self, summary: &AuditSummary) -> Section {
        let bars = summary.problems.iter().map(|(reason, count)| Bar {
            label: reason.replace('-', " "),
            count: *count,
            tone: Tone::Bad,
        });
        let bars = Bars { title: "Reasons", columns: ["reason", "objects"], bars: bars.collect() };
        let rows = self.failed_objects.iter().map(|problem| {
            vec![
                Text::code(problem.object.clone()),
                Text::code(problem.version_id.clone().unwrap_or_default()),
                Text::plain(problem.reason.replace('-', " ")),
                Text::plain(problem.message.clone()),
            ]
        });
        let table = Table {
            title: "Objects with a problem",
            columns: vec!["object", "version", "reason", "message"],
            rows: rows.collect(),
            more: self.more_failed_objects,
            is_filterable: true,
        };
        Section { title: "Problems", blocks: vec![Block::Bars(bars), Block::Table(table)] }
    }

    fn matching_section(&self) -> Section {
        let asked = vec![Text::plain("Asked: "), Text::code(self.questions.text().join(" "))];
        let mut blocks = vec![Block::Paragraph(asked)];
        if self.matching_objects.is_empty() {
            blocks.push(Block::Paragraph(vec![Text::plain("No object matches.")]));
            return Section { title: "Matching objects", blocks };
        }
        let rows = self.matching_objects.iter().map(|line| line.row().map(Text::Code).to_vec());
        blocks.push(Block::Table(Table {
            title: "Objects",
            columns: vec!["object", "version", "format", "depends", "keys at its place"],
            rows: rows.collect(),
            more: self.more_matching_objects,
            is_filterable: true,
        }));
        Section { title: "Matching objects", blocks }
    }

    fn keys_section(&self, summary: &AuditSummary) -> Section {
        let regions = summary.regions.iter().map(|(regions, count)| Bar {
            label: match &regions[..] {
                [] => "no KMS key".to_owned(),
                regions => regions.join(" + "),
            },
            count: *count,
            tone: if regions.is_empty() { Tone::Bad } else { Tone::Neutral },
        });
        let (title, note) = match self.proven {
            true => (
                "Objects by the Regions of their proven keys",
                "A key counts if it was unwrapped and opens the object at this place.",
            ),
            false => (
                "Objects by the Regions of the keys that they claim",
                "Everybody who can write to the bucket can claim a key. Only --prove shows that a key opens an object.",
            ),
        };
        let bars = Bars { title, columns: ["Regions", "objects"], bars: regions.collect() };
        let mut blocks = vec![Block::Paragraph(vec![Text::plain(note)])];
        if !bars.bars.is_empty() {
            blocks.push(Block::Bars(bars));
        }
        let mut columns = vec!["claimed wrapping key", "objects", "only key"];
        if self.proven {
            columns.extend(["proven", "unwrapped", "disproved", "unknown"]);
        }
        let width = columns.len();
        let row = |(key, uses): (&String, &KeyUse)| {
            let KeyUse { objects, sole, proven, unwrapped, disproved, unknown, .. } = *uses;
            let counts = [objects, sole, proven, unwrapped, disproved, unknown];
            let counts = counts.into_iter().map(|count| Text::plain(number(count)));
            [Text::code(key.clone())].into_iter().chain(counts).take(width).collect()
        };
        let keys = table("Wrapping keys", columns, summary.keys.iter().map(row));
        blocks.push(Block::Table(keys));
        let counted = |(key, count): (&String, &u64)| {
            vec![Text::code(key.clone()), Text::plain(number(*count))]
        };
        let columns = || vec!["wrapping key", "objects"];
        for (title, counts) in [
            ("Keys that are claimed for another place, and open nothing here", &summary.elsewhere),
            ("Keys that objects record as missing", &summary.missing),
        ] {
            if !counts.is_empty() {
                blocks.push(Block::Table(table(title, columns(), counts.iter().map(counted))));
            }
        }
        if !summary.materials.is_empty() {
            let rows = materials(summary).into_iter().map(|row| row.map(Text::Code).to_vec());
            let columns = vec!["wrapping key", "material", "age", "objects"];
            blocks.push(Block::Table(table("Key materials", columns, rows)));
        }
        if let Some(sharing) = sharing(summary) {
            let text = format!("{} {sharing}.", number(summary.under_intermediate_keys));
            blocks.push(Block::Paragraph(vec![Text::plain(text)]));
            let rows = summary.intermediate_keys.iter().map(|(id, uses)| {
                let scope = uses.scope.clone().unwrap_or_else(|| "(any)".to_owned());
                vec![Text::code(id.clone()), Text::code(scope), Text::plain(number(uses.objects))]
            });
            let columns = vec!["intermediate key", "scope", "objects"];
            blocks.push(Block::Table(table("Intermediate keys", columns, rows)));
        }
        if summary.others > 0 {
            let text = format!(
                "{} objects have further keys or Regions, which are too many to list.",
                number(summary.others)
            );
            blocks.push(Block::Paragraph(vec![Text::plain(text)]));
        }
        Section { title: "Keys", blocks }
    }
}

fn number_of_objects(count: u64) -> String {
    format!("{} {}", number(count), if count == 1 { "object" } else { "objects" })
}

fn objects_blocks(summary: &AuditSummary) -> Vec<Block> {
    let kinds = summary.kinds.iter().map(|(kind, count)| Bar {
        label: kind.name().to_owned(),
        count: *count,
        tone: Tone::Neutral,
    });
    let mut blocks = vec![Block::Bars(Bars {
        title: "Objects by format",
        columns: ["format", "objects"],
        bars: kinds.collect(),
    })];
    if !summary.proofs.is_empty() {
        let proofs = summary.proofs.iter().map(|(proof, count)| Bar {
            label: (*proof).to_owned(),
            count: *count,
            tone: match *proof {
                "proven" => Tone::Good,
                // Nothing less than the whole body proves more.
                "unwrapped" => Tone::Neutral,
                _ => Tone::Bad,
            },
        });
        blocks.push(Block::Bars(Bars {
            title: "Sealed objects by the proof of the best of their keys",
            columns: ["proof", "objects"],
            bars: proofs.collect(),
        }));
    }
    blocks
}

/// Returns a table with at most [`MAX_ROWS`] rows.
fn table(
    title: &'static str,
    columns: Vec<&'static str>,
    rows: impl Iterator<Item = Vec<Text>>,
) -> Table {
    let mut rows: Vec<_> = rows.collect();
    let more = rows.len().saturating_sub(MAX_ROWS) as u64;
    rows.truncate(MAX_ROWS);
    let is_filterable = rows.len() > 10;
    Table { title, columns, rows, more, is_filterable }
}

/// Returns what this audit does not show, in full sentences.
fn limits(args: &AuditArgs, sidecars: bool, key_store: &KeyStoreCounts) -> Vec<String> {
    let mut limits = args.objects.left_out("audits");
    let mut add = |text: &str| limits.push(text.to_owned());
    if !sidecars {
        add("Keys in sidecars: --sidecars reads them.");
    }
    match (&key_store.stored, &key_store.problem) {
        (_, Some(problem)) => add(&format!("Keys in the key store: {problem}.")),
        (None, None) => add("Keys in a key store: --key-store reads them."),
        (Some(_), None) => {}
    }
    if key_store.left_out.objects > 0 {
        let objects = number_of_objects(key_store.left_out.objects);
        add(&format!("{objects} below the key store's prefix."));
    }
    if args.prove {
        add("Keys that the caller does not read with: they stay claims.");
    } else {
        add("Proof: no key was unwrapped.");
    }
    add("The bodies: an audit reads none.");
    limits
}

#[cfg(test)]
mod tests {
    use sealwax_jobs::audit::AuditSummary;
    use sealwax_s3::ObjectKind;

    use super::*;
    use crate::report::tests::check_golden_report;

    const EAST: &str =
        "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const WEST: &str =
        "arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321";

    fn summary() -> AuditSummary {
        let mut summary = AuditSummary::default();
        (summary.objects, summary.stored_bytes) = (516, 30_758_401);
        summary.kinds = [
            (ObjectKind::Sealwax, 504),
            (ObjectKind::Shredded, 2),
            (ObjectKind::EncryptionClientV2, 4),
            (ObjectKind::Unsealed, 6),
        ]
        .into();
        for (key, objects, sole) in [(EAST, 504, 4), (WEST, 500, 0)] {
            let uses = summary.keys.entry(key.to_owned()).or_default();
            (uses.objects, uses.sole, uses.proven) = (objects, sole, objects - 1);
            uses.unknown = 1;
        }
        let regions = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        summary.regions =
            [(regions(&["us-east-1"]), 4), (regions(&["us-east-1", "us-west-2"]), 500)].into();
        summary.proofs = [("proven", 503), ("unknown", 5)].into();
        summary.elsewhere = [(WEST.to_owned(), 2)].into();
        summary.missing = [(WEST.to_owned(), 3)].into();
        summary.problems = [("access-denied", 1), ("unsupported", 4)].into();
        summary.under_intermediate_keys = 500;
        for (id, objects) in [("id-1", 450), ("id-2", 50)] {
            let uses = summary.intermediate_keys.entry(id.to_owned()).or_default();
            (uses.objects, uses.scope) = (objects, Some("invoices/".to_owned()));
        }
        summary
    }

    fn key_store() -> KeyStoreCounts {
        let mut key_store = KeyStoreCounts::default();
        key_store.left_out.objects = 12;
        key_store.left_out.bytes = 6_144;
        key_store
    }

    fn report(failed: u64, proven: bool) -> Report {
        let problem = |n| Problem {
            object: format!("s3://invoices/2026/<img src=x>{n}"),
            version_id: None,
            reason: "unsupported",
            message: "V2 has no commitment\u{202e}".to_owned(),
        };
        let mut report = Report {
            kind: KIND,
            schema: 1,
            passed: failed == 0,
            conclusion: String::new(),
            provenance: crate::report::tests::provenance(
                "sealwax audit s3://invoices/2026/ --lacks us-west-2 --report audits/",
            ),
            objects: "s3://invoices/2026/".to_owned(),
            region: "us-east-1".to_owned(),
            replica_of: None,
            proven,
            questions: Questions { lacks: vec!["us-west-2".to_owned()], ..Questions::default() },
            not_examined: vec!["The bodies: an audit reads none.".to_owned()],
            summary: Counts::new(&summary(), &key_store()),
            matching: 0,
            matching_objects: vec![],
            more_matching_objects: 0,
            failed,
            unknown: 0,
            failed_objects: (0..failed).map(problem).collect(),
            more_failed_objects: 0,
        };
        report.conclusion = text_of(&report.conclusion(516));
        report
    }

    #[test]
    fn an_audit_of_claims() {
        let report = report(0, false);
        let mut summary = summary();
        summary.proofs.clear();
        assert_eq!(
            report.conclusion,
            "516 objects of s3://invoices/2026/ were audited; their keys are what their metadata claims, and were not used. None matches --lacks us-west-2."
        );
        check_golden_report("audit-claims", &report, report.page(&summary));
    }

    #[test]
    fn an_audit_with_proofs_and_problems() {
        let mut report = report(5, true);
        report.unknown = 4;
        report.conclusion = text_of(&report.conclusion(516));
        assert!(report.conclusion.ends_with(
            "4 do not name all of their wrapping keys, and may depend on any key. 5 could not be audited or have a problem."
        ));
        check_golden_report("audit-failed", &report, report.page(&summary()));
    }
}
