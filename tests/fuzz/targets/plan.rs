//! Any bytes as a plan: one that opens has the objects that it says, or reading it fails.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwax_jobs::fuzzing::plan;
use sealwax_s3::ErrorKind;

fuzz_target!(|text: &[u8]| {
    let Ok((header, objects)) = plan(text) else { return };
    assert_eq!(header.sealwax_plan, 1);
    assert!(text.ends_with(b"\n"));
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    let Ok(objects) = objects else { return };
    assert_eq!(lines, objects.len() + 2, "a header, the objects, and the summary");
    // What was read can be written.
    let written: Vec<String> = objects
        .iter()
        .map(|object| serde_json::to_string(object).expect("names are text"))
        .collect();
    for (object, line) in objects.iter().zip(&written) {
        let again = serde_json::from_str(line).expect("an object");
        assert_eq!(object, &again);
    }
    // A plan that was cut off does not open.
    let cut_off = plan(&text[..text.len() - 1]).map(drop).map_err(|error| error.kind());
    assert_eq!(cut_off, Err(ErrorKind::JobMismatch));
});
