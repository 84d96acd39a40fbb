//! Any bytes as a journal: its whole lines alone mean the same, and one of another job is refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwax_jobs::fuzzing::journal;
use sealwax_s3::ErrorKind;

fuzz_target!(|text: &[u8]| {
    let Ok((len, completed)) = journal(text, "job") else { return };
    let whole = &text[..usize::try_from(len).expect("a length in memory")];
    assert!(whole.is_empty() || whole.ends_with(b"\n"));
    assert_eq!(journal(whole, "job").ok(), Some((len, completed)));
    if !whole.is_empty() {
        let of_other = journal(text, "other").map_err(|error| error.kind());
        assert_eq!(of_other, Err(ErrorKind::JobMismatch));
    }
    let lines = whole.iter().filter(|byte| **byte == b'\n').count();
    assert!(completed <= lines as u64);
});
