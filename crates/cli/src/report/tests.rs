//! Pages as a whole: hostile text, and golden files.

use std::{env, fs, path::Path};

use proptest::prelude::*;

use super::*;
use crate::session::Caller;

/// Elements and attributes of a page.
const ELEMENTS: &str = "html head meta title style body header div h1 h2 p span main section dl dt dd ul li table caption thead tbody tr th td svg rect code footer script";
const ATTRIBUTES: &str = "lang charset http-equiv content name class aria-hidden aria-label role tabindex scope width height dir data-filter data-name";
/// Elements without an end tag, or that end themselves.
const VOID: &str = "meta rect";

/// Asserts that the tags of a page are balanced, and none but the template's. Returns the text
/// between them.
fn check_structure(page: &str) -> String {
    let (mut open, mut text, mut rest) = (Vec::new(), String::new(), page);
    rest = rest.strip_prefix("<!DOCTYPE html>").expect("a document type");
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        let end = at + rest[at..].find('>').expect("the end of a tag");
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let name = name.trim_end_matches('/');
        assert!(ELEMENTS.split(' ').any(|known| known == name), "<{tag}>");
        // Quotes never occur in a value.
        for (at, part) in attributes.trim_end_matches('/').split('"').enumerate() {
            if at % 2 == 0 {
                let names = part.split(['=', ' ']).filter(|name| !name.is_empty());
                names.for_each(|name| {
                    assert!(ATTRIBUTES.split(' ').any(|known| known == name), "{name} in <{tag}>");
                });
            }
        }
        if !VOID.split(' ').any(|void| void == name) {
            open.push(name);
        }
        if name == "script" || name == "style" {
            let end = rest.find(&format!("</{name}>")).expect("its end");
            rest = &rest[end..];
        }
    }
    assert_eq!(open, [""; 0], "all elements end");
    text
}

/// Returns a page with this text wherever text can come from outside.
fn hostile(text: &str) -> Page {
    let cell = || Text::code(text);
    let plain = || Text::plain(text);
    let table = Table {
        title: "objects",
        columns: vec!["object", "reason"],
        rows: vec![vec![cell(), plain()], vec![plain(), cell()]],
        more: 3,
        is_filterable: true,
    };
    let bar = Bar { label: text.to_owned(), count: 2, tone: Tone::Bad };
    let bars = Bars { title: "bars", columns: ["name", "objects"], bars: vec![bar] };
    let blocks = vec![
        Block::Paragraph(vec![plain(), cell()]),
        Block::List(vec![plain(), cell()]),
        Block::Facts(vec![("fact", cell()), ("other", plain())]),
        Block::Bars(bars),
        Block::Table(table),
    ];
    let figure =
        Figure { name: "figure", value: text.to_owned(), note: text.to_owned(), tone: Tone::Good };
    Page {
        title: text.to_owned(),
        verdict: Verdict::Failed,
        conclusion: vec![plain(), cell()],
        figures: vec![figure],
        sections: vec![Section { title: "section", blocks }],
        json: (text.to_owned(), "0".repeat(64)),
    }
}

const HOSTILE: [&str; 9] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onfocus='alert(1)",
    "</style></script></title></table>",
    "<!-- -->]]>&lt;&#x3c;",
    "javascript:alert(1)",
    "a\u{202e}gpj.exe\u{2066}\u{200b}",
    "| a | b |\n\n# heading\n[x](http://evil.example) ![x](http://evil.example) `code` ``",
    "\0\u{1b}[31m\r\n\u{7f}\u{9b}",
];

#[test]
fn hostile_text_is_text_on_every_page() {
    let innocent = html(&hostile("name"));
    check_structure(&innocent);
    let tags = |page: &str| page.matches('<').count();
    for text in HOSTILE {
        let page = html(&hostile(text));
        check_structure(&page);
        assert_eq!(tags(&page), tags(&innocent), "{text:?}");
        let page = markdown(&hostile(text));
        assert_eq!(page.lines().count(), markdown(&hostile("name")).lines().count(), "{text:?}");
    }
}

#[test]
fn a_page_allows_itself_its_own_style_and_script_only() {
    let page = html(&hostile("name"));
    let policy = page.split("Content-Security-Policy\" content=\"").nth(1).expect("a policy");
    let policy = policy.split('"').next().expect("its end");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && policy.ends_with("base-uri 'none'; form-action 'none'"));
    for outer in ["src=", "href=", "url(", "@import", "style="] {
        assert!(!page.contains(outer), "{outer}");
    }
}

proptest! {
    #[test]
    fn any_text_is_text(text in any::<String>()) {
        let page = html(&hostile(&text));
        check_structure(&page);
        prop_assert_eq!(page.matches('<').count(), html(&hostile("name")).matches('<').count() - usize::from(text.is_empty()) * missing(&text));
        let lines = markdown(&hostile(&text)).lines().count();
        prop_assert_eq!(lines, markdown(&hostile("name")).lines().count());
        for row in markdown(&hostile(&text)).lines().filter(|line| line.starts_with("| ")) {
            let bars = row.replace("\\\\", "").replace("\\|", "").matches('|').count();
            prop_assert!(bars == 3 || bars == 4, "{}", row);
        }
    }
}

/// Tags of the elements that are left out for an empty text: code, and a figure's note.
fn missing(text: &str) -> usize {
    let page = |text: &str| html(&hostile(text)).matches('<').count();
    if text.is_empty() { page("name") - page("") } else { 0 }
}

/// Returns the origin of a golden report.
pub(crate) fn provenance(command_line: &str) -> Provenance {
    Provenance {
        tool: "sealwax 0.1.0".into(),
        host: "dr-runner-1".into(),
        caller: Some(Caller {
            arn: "arn:aws:sts::111122223333:assumed-role/disaster-recovery/monthly".into(),
            account: "111122223333".into(),
        }),
        command_line: command_line.into(),
        settings: None,
        started: "2026-11-29T08:05:12Z".into(),
        ended: "2026-11-29T08:05:39Z".into(),
        seconds: 27.25,
    }
}

/// Compares a page with the golden file `name`, which `SEALWAX_WRITE_GOLDEN=1` writes.
pub(crate) fn check_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reports").join(name);
    if env::var_os("SEALWAX_WRITE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        fs::write(&path, text).expect("written");
    }
    let golden = fs::read_to_string(&path).expect("a golden file");
    // Not with assert_eq: it would print both.
    let differs = golden.lines().zip(text.lines()).position(|(golden, text)| golden != text);
    assert!(
        golden == text,
        "{} differs from line {:?}; SEALWAX_WRITE_GOLDEN=1 writes it",
        path.display(),
        differs.map(|line| line + 1)
    );
}

/// Compares a report in all its forms with golden files, and checks its structure.
pub(crate) fn check_golden_report(name: &str, report: &impl serde::Serialize, mut page: Page) {
    let json = sealwax_s3::envelope::ascii_json::to_string_pretty(report) + "\n";
    page.json = (format!("{name}.json"), sha256(json.as_bytes()));
    check_golden(&format!("{name}.json"), &json);
    check_golden(&format!("{name}.md"), &markdown(&page));
    let html = html(&page);
    check_structure(&html);
    check_golden(&format!("{name}.html"), &html);
}
