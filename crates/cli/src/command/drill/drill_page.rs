//! Report of a drill, for people.

use std::time::Duration;

use super::drill_report::{AgeCount, KeySet, Late, Report, Source, TimeCount};
use crate::{
    figures::{elapsed, number, percent, size, span},
    report::{Bar, Bars, Block, Figure, Page, Section, Table, Text, Tone, Verdict},
};

impl Report {
    /// Returns the page.
    pub(super) fn page(&self) -> Page {
        let mut sections = Vec::new();
        if !self.failures.is_empty() {
            sections.push(self.failures_section());
        }
        sections.push(self.rehearsal());
        sections.push(self.result());
        sections.push(self.recovery_time_section());
        sections.push(self.recovery_point());
        sections.extend(self.previous_section());
        sections.push(Section {
            title: "Not examined",
            blocks: vec![Block::List(self.not_examined.iter().map(Text::plain).collect())],
        });
        sections.push(self.provenance.section());
        if !self.failures.is_empty() {
            sections.push(self.failed_section());
        }
        sections.push(self.objects_section());
        Page {
            title: "Disaster recovery drill".to_owned(),
            verdict: if self.passed { Verdict::Passed } else { Verdict::Failed },
            conclusion: self.conclusion(),
            figures: self.figures(),
            sections,
            json: Default::default(),
        }
    }

    /// Returns the blocked Regions in words.
    fn without(&self) -> String {
        self.blocked_regions.join(", ")
    }

    /// Returns the conclusion, in full sentences.
    pub(super) fn conclusion(&self) -> Vec<Text> {
        let counts = &self.counts;
        let replica = Text::code(self.replica.clone());
        let sampled = if self.sample.is_some() { "sampled " } else { "" };
        let mut texts = if self.failed > 0 {
            let text = format!("{} of {} in ", number(self.failed), objects(counts.objects),);
            let blocked = if self.blocked_regions.len() == 1 { "was" } else { "were" };
            let why = format!(" did not open while {} {blocked} blocked.", self.without());
            vec![Text::plain(text), replica, Text::plain(why)]
        } else {
            let what = match self.depth {
                "keys" => "was unwrapped",
                "first-last" => "was unwrapped and the ends of each body opened",
                _ => "was unwrapped and each body opened completely",
            };
            let all = match counts.opened {
                1 => "The data key of the only ".to_owned() + sampled + "sealed object in ",
                opened => {
                    let opened = number(opened);
                    format!("The data key of each of the {opened} {sampled}sealed objects in ")
                }
            };
            let what = format!(" {what} without any request to {}.", self.without());
            vec![Text::plain(all), replica, Text::plain(what)]
        };
        let Some(source) = &self.source else {
            texts.push(Text::plain(" The replica was not compared with its source."));
            return texts;
        };
        let sentence = match source.unreplicated {
            0 => {
                format!(" The replica has all {} of the source.", objects(source.objects))
            }
            _ => {
                let tolerated = span(Duration::from_secs(source.tolerated_seconds));
                let within = if source.is_behind { "more than" } else { "within" };
                format!(" {}, {within} the tolerated {tolerated}.", source.unreplicated_text())
            }
        };
        texts.push(Text::plain(sentence));
        texts
    }

    fn figures(&self) -> Vec<Figure> {
        let counts = &self.counts;
        let tone = |is_bad| if is_bad { Tone::Bad } else { Tone::Good };
        let seconds = |seconds: Option<f64>| seconds.map_or("none".to_owned(), time);
        let times = &self.recovery_time;
        let opened = Figure {
            name: "Objects that opened",
            value: format!("{} of {}", number(counts.opened), number(counts.objects)),
            note: match self.failed {
                0 => "none failed".to_owned(),
                failed => format!("{} failed", number(failed)),
            },
            tone: tone(self.failed > 0),
        };
        let alone: u64 = self.blocked.iter().map(|it| it.objects_with_no_other_key).sum();
        let sole = Figure {
            name: "Depend on a lost Region alone",
            value: number(alone),
            note: "objects, by their claimed keys".to_owned(),
            tone: tone(alone > 0),
        };
        let opening = Figure {
            name: "Time to open, median",
            value: seconds(times.median_seconds),
            note: format!("99th percentile {}", seconds(times.p99_seconds)),
            tone: Tone::Neutral,
        };
        let point = match &self.source {
            None => Figure {
                name: "Not replicated yet",
                value: "unknown".to_owned(),
                note: "the source was not compared".to_owned(),
                tone: Tone::Neutral,
            },
            Some(source) => Figure {
                name: "Not replicated yet",
                value: number(source.unreplicated),
                note: match source.oldest_age() {
                    Some(age) => format!("oldest {age}"),
                    None => "of the source's objects".to_owned(),
                },
                tone: tone(source.is_behind),
            },
        };
        vec![opened, sole, opening, point]
    }

    fn rehearsal(&self) -> Section {
        let selection = match &self.sample {
            None => "all listed objects".to_owned(),
            Some(sample) => format!(
                "a sample of {} of {} listed objects (fraction {}, seed {})",
                number(self.counts.objects),
                number(self.recovery_time.listed_objects),
                sample.fraction,
                sample.seed
            ),
        };
        let depth = match self.depth {
            "keys" => "the data key of each object; no body",
            "first-last" => "the data key, and the first and last 16 KiB of each body",
            _ => "the data key, and each body completely",
        };
        let mut facts = vec![
            ("replica", Text::code(self.replica.clone())),
            ("Region of the replica", Text::plain(self.region.clone())),
        ];
        facts.extend(self.replica_of.clone().map(|source| ("replica of", Text::code(source))));
        facts.extend([
            ("lost in the drill", Text::plain(self.without())),
            ("objects examined", Text::plain(selection)),
            ("opened of each object", Text::plain(depth)),
        ]);
        let rows = self.blocked.iter().map(|blocked| {
            let refused = self.refused_requests.iter().filter(|it| it.region == blocked.region);
            let refused: Vec<_> =
                refused.map(|it| format!("{} to {}", number(it.requests), it.service)).collect();
            let source = if blocked.is_source_region { "yes" } else { "no" };
            [
                blocked.region.clone(),
                number(blocked.objects_with_key),
                number(blocked.objects_with_no_other_key),
                source.to_owned(),
                refused.join(", "),
            ]
            .map(Text::Plain)
            .to_vec()
        });
        let columns = [
            "Region",
            "objects with a key there",
            "with no other",
            "source is there",
            "refused requests",
        ];
        let blocked = Table::small("Blocked Regions", columns, rows.collect());
        let note = format!(
            "Every request of this process to a blocked Region was refused before it was sent. {} of the refused requests were tests, to prove that. The counts of objects are by the keys that their metadata claims; no key in a blocked Region was asked.",
            number(self.probes_refused as u64)
        );
        let mut blocks = vec![
            Block::Facts(facts),
            Block::Table(blocked),
            Block::Paragraph(vec![Text::plain(note)]),
        ];
        if !self.warnings.is_empty() {
            let warnings = self.warnings.iter().map(|it| Text::plain(format!("Warning: {it}.")));
            blocks.push(Block::List(warnings.collect()));
        }
        Section { title: "What was rehearsed", blocks }
    }

    fn result(&self) -> Section {
        let counts = &self.counts;
        let opened = match counts.plaintext_bytes {
            0 => "no plaintext in these objects".to_owned(),
            all => format!(
                "{} of {} ({})",
                size(counts.opened_bytes),
                size(all),
                percent(counts.opened_bytes, all)
            ),
        };
        let allowed = if self.unsealed_allowed && counts.unsealed > 0 { " (allowed)" } else { "" };
        let mut facts = vec![
            ("objects examined", Text::plain(number(counts.objects))),
            ("opened", Text::plain(number(counts.opened))),
            ("failed", Text::plain(number(self.failed))),
            ("opened plaintext", Text::plain(opened)),
        ];
        facts.extend(counts.others().map(|others| {
            let allowed = if others.is_unsealed() { allowed } else { "" };
            (others.name(), Text::plain(format!("{}{allowed}", number(others.count))))
        }));
        let bars = self.key_regions.iter().map(|set| self.bar(set));
        let unnamed = (self.unnamed_keys > 0).then(|| Bar {
            label: "keys that the objects do not name".to_owned(),
            count: self.unnamed_keys,
            tone: Tone::Neutral,
        });
        let bars = Bars {
            title: "Objects by the Regions of the keys that they claim",
            columns: ["Regions", "objects"],
            bars: bars.chain(unnamed).collect(),
        };
        let rows = self.kms_keys.iter().map(|key| {
            vec![
                Text::code(key.wrapping_key.clone()),
                Text::plain(key.region.clone().unwrap_or_else(|| "unknown".to_owned())),
                Text::plain(number(key.decrypt_calls)),
            ]
        });
        let keys = Table::small(
            "KMS keys that opened objects",
            ["wrapping key", "Region", "answered Decrypt calls"],
            rows.collect(),
        );
        let mut blocks = vec![Block::Facts(facts)];
        if !bars.bars.is_empty() {
            blocks.push(Block::Bars(bars));
        }
        if keys.rows.is_empty() {
            blocks.push(Block::Paragraph(vec![Text::plain("No KMS key was used.")]));
        } else {
            blocks.push(Block::Table(keys));
            let note = "One call serves all objects that share an intermediate key.";
            blocks.push(Block::Paragraph(vec![Text::plain(note)]));
        }
        Section { title: "Result", blocks }
    }

    /// Returns the bar of a set of Regions: bad if all of them are lost.
    fn bar(&self, set: &KeySet) -> Bar {
        let is_lost = |region: &String| self.blocked_regions.contains(region);
        let (label, tone) = match &set.regions[..] {
            [] => ("no KMS key".to_owned(), Tone::Neutral),
            regions if regions.iter().all(is_lost) => {
                (format!("{} (lost)", regions.join(" + ")), Tone::Bad)
            }
            regions => (regions.join(" + "), Tone::Good),
        };
        Bar { label, count: set.objects, tone }
    }

    fn recovery_time_section(&self) -> Section {
        let times = &self.recovery_time;
        let quantile = |seconds: Option<f64>| Text::plain(seconds.map_or("none".into(), time));
        let all = times.estimated_seconds_for_all.map_or("unknown".to_owned(), time);
        let facts = vec![
            ("median time to open an object", quantile(times.median_seconds)),
            ("99th percentile", quantile(times.p99_seconds)),
            ("longest", Text::plain(time(times.longest_seconds))),
            (
                "all examined objects",
                Text::plain(format!(
                    "{}, up to {} at a time",
                    time(times.seconds),
                    objects(times.concurrency.into())
                )),
            ),
            (
                "at this pace, all listed objects",
                Text::plain(format!(
                    "{all} for {} ({} stored)",
                    objects(times.listed_objects),
                    size(times.listed_bytes)
                )),
            ),
        ];
        let bars = times.histogram.iter().map(|TimeCount { up_to_seconds, objects }| Bar {
            label: match up_to_seconds {
                Some(seconds) => format!("up to {}", short(*seconds)),
                None => "longer than 1 min".to_owned(),
            },
            count: *objects,
            tone: Tone::Neutral,
        });
        let bars = Bars {
            title: "Objects by the time that they took to open",
            columns: ["time to open", "objects"],
            bars: bars.collect(),
        };
        let note = "The time of an object runs from its first request to the proof, retries included, at the depth of this drill. It is no estimate for reading whole bodies unless the drill read them.";
        let mut blocks = vec![Block::Facts(facts)];
        if !bars.bars.is_empty() {
            blocks.push(Block::Bars(bars));
        }
        blocks.push(Block::Paragraph(vec![Text::plain(note)]));
        Section { title: "Recovery time", blocks }
    }

    fn recovery_point(&self) -> Section {
        let blocks = match &self.source {
            Some(source) => source.blocks(),
            None => {
                let text = "The replica was not compared with its source. To do so, pass --source.";
                vec![Block::Paragraph(vec![Text::plain(text)])]
            }
        };
        Section { title: "Recovery point: what a loss would lose", blocks }
    }

    fn failures_section(&self) -> Section {
        let rows = self.failures.iter().map(|failures| {
            let first = failures.samples.first().cloned().unwrap_or_default();
            vec![
                Text::plain(in_words(failures.reason)),
                Text::plain(number(failures.objects)),
                Text::code(first),
            ]
        });
        let reasons =
            Table::small("Reasons", ["reason", "objects", "first of them"], rows.collect());
        Section { title: "Objects that do not open", blocks: vec![Block::Table(reasons)] }
    }

    fn failed_section(&self) -> Section {
        let rows = self.failed_objects.iter().map(|line| {
            vec![
                Text::code(line.object.clone()),
                Text::code(line.version_id.clone().unwrap_or_default()),
                Text::plain(in_words(line.reason.unwrap_or_default())),
                Text::plain(line.message.clone().unwrap_or_default()),
            ]
        });
        let objects = Table {
            title: "In the order in which they were examined",
            columns: vec!["object", "version", "reason", "message"],
            rows: rows.collect(),
            more: self.more_failed_objects,
            is_filterable: true,
        };
        Section { title: "Failed objects", blocks: vec![Block::Table(objects)] }
    }

    fn objects_section(&self) -> Section {
        let rows = self.objects.iter().map(|object| {
            vec![
                Text::code(object.object.clone()),
                Text::plain(in_words(object.outcome)),
                Text::plain(object.key_regions.join(", ")),
                Text::plain(time(object.seconds)),
            ]
        });
        let objects = Table {
            title: "In the order in which they were examined",
            columns: vec!["object", "outcome", "claimed keys in", "time"],
            rows: rows.collect(),
            more: self.more_objects,
            is_filterable: true,
        };
        Section { title: "Examined objects", blocks: vec![Block::Table(objects)] }
    }

    fn previous_section(&self) -> Option<Section> {
        let previous = self.previous.as_ref()?;
        let verdict = |passed| if passed { "passed" } else { "failed" }.to_owned();
        let seconds = |seconds: Option<f64>| seconds.map_or("none".to_owned(), time);
        let unreplicated = |count: Option<u64>| count.map_or("not compared".to_owned(), number);
        let times = &self.recovery_time;
        let source = self.source.as_ref().map(|source| source.unreplicated);
        let rows = [
            ("started", self.provenance.started.clone(), previous.started.clone()),
            ("verdict", verdict(self.passed), verdict(previous.passed)),
            ("objects examined", number(self.counts.objects), number(previous.objects)),
            ("opened", number(self.counts.opened), number(previous.opened)),
            ("failed", number(self.failed), number(previous.failed)),
            ("not replicated yet", unreplicated(source), unreplicated(previous.unreplicated)),
            (
                "median time to open",
                seconds(times.median_seconds),
                seconds(previous.median_seconds),
            ),
            ("99th percentile", seconds(times.p99_seconds), seconds(previous.p99_seconds)),
        ];
        let rows =
            rows.map(|(name, this, that)| [name.to_owned(), this, that].map(Text::Plain).to_vec());
        let table = Table::small(
            "Compared with the previous drill",
            ["figure", "this drill", "previous"],
            rows.to_vec(),
        );
        let file = vec![
            Text::plain("The previous report is "),
            Text::code(previous.file.clone()),
            Text::plain(", with the SHA-256 "),
            Text::code(previous.sha256.clone()),
            Text::plain("."),
        ];
        let blocks = vec![Block::Table(table), Block::Paragraph(file)];
        Some(Section { title: "Previous drill", blocks })
    }
}

impl Source {
    /// Returns the age of the oldest unreplicated object in words; `None` if all are replicated.
    fn oldest_age(&self) -> Option<String> {
        let oldest = self.oldest_unreplicated.as_ref()?;
        Some(
            oldest
                .age_seconds
                .map_or("of unknown age".to_owned(), |seconds| span(Duration::from_secs(seconds))),
        )
    }

    /// Returns what is not replicated, in words.
    pub(super) fn unreplicated_text(&self) -> String {
        let count = self.unreplicated;
        let are = if count == 1 { "is" } else { "are" };
        let oldest = self.oldest_age().unwrap_or_default();
        let count = objects(count);
        format!("{count} of the source {are} not in the replica yet (oldest {oldest})")
    }

    fn blocks(&self) -> Vec<Block> {
        let statuses: Vec<_> = self
            .replication_statuses
            .iter()
            .map(|(status, count)| format!("{} {}", number(*count), in_words(status)))
            .collect();
        let statuses = if statuses.is_empty() { "none".into() } else { statuses.join(", ") };
        let oldest = match &self.oldest_unreplicated {
            None => Text::plain("none"),
            Some(oldest) => Text::code(oldest.object.clone()),
        };
        let mut facts = vec![
            ("source", Text::code(self.source.clone())),
            ("Region of the source", Text::plain(self.region.clone())),
            ("objects of the source", Text::plain(number(self.objects))),
            ("objects of the replica", Text::plain(number(self.replica_objects))),
            ("absent from the replica", Text::plain(number(self.absent))),
            ("outdated in the replica", Text::plain(number(self.outdated))),
            ("in the replica only", Text::plain(number(self.surplus))),
            ("replication status of absent or outdated objects", Text::plain(statuses)),
            ("oldest of them", oldest),
        ];
        facts.extend(self.oldest_age().map(|age| ("its age", Text::plain(age))));
        facts.extend([
            (
                "tolerated replication delay",
                Text::plain(span(Duration::from_secs(self.tolerated_seconds))),
            ),
            ("within it", Text::plain(if self.is_behind { "NO" } else { "yes" })),
        ]);
        let mut blocks = vec![Block::Facts(facts)];
        let bars = self.ages.iter().map(|AgeCount { up_to_seconds, objects }| Bar {
            label: match up_to_seconds {
                Some(seconds) => format!("up to {}", span(Duration::from_secs(*seconds))),
                None => "older than 30 d, or unknown".to_owned(),
            },
            count: *objects,
            tone: match up_to_seconds {
                Some(seconds) if *seconds <= self.tolerated_seconds => Tone::Neutral,
                _ => Tone::Bad,
            },
        });
        let bars = Bars {
            title: "Absent or outdated objects by age",
            columns: ["age", "objects"],
            bars: bars.collect(),
        };
        if !bars.bars.is_empty() {
            blocks.push(Block::Bars(bars));
            blocks.push(Block::Table(Table {
                title: "Absent or outdated objects",
                columns: vec![
                    "object",
                    "last modified",
                    "age",
                    "in the replica",
                    "replication status",
                ],
                rows: self.unreplicated_objects.iter().map(Late::row).collect(),
                more: self.more_unreplicated_objects,
                is_filterable: true,
            }));
        }
        blocks
    }
}

impl Late {
    fn row(&self) -> Vec<Text> {
        let unknown = || "unknown".to_owned();
        let there = if self.is_outdated { "outdated" } else { "absent" };
        vec![
            Text::code(self.object.clone()),
            Text::plain(self.last_modified.clone().unwrap_or_else(unknown)),
            Text::plain(
                self.age_seconds.map_or_else(unknown, |age| span(Duration::from_secs(age))),
            ),
            Text::plain(there),
            Text::plain(self.replication_status.map_or_else(String::new, in_words)),
        ]
    }
}

/// Returns a number of objects in words.
fn objects(count: u64) -> String {
    format!("{} {}", number(count), if count == 1 { "object" } else { "objects" })
}

/// Returns a measured time in words.
fn time(seconds: f64) -> String {
    elapsed(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// Returns a limit in words, such as `5 ms` or `2 s`.
fn short(seconds: f64) -> String {
    match seconds {
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        ..60.0 => format!("{seconds:.0} s"),
        _ => "1 min".to_owned(),
    }
}

/// Returns a name of a status or a reason in words, such as `not told`.
fn in_words(name: &str) -> String {
    name.replace('-', " ")
}
