//! Any text as the state file of an upload: what it describes fits together.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwax_s3::UnfinishedUpload;

fuzz_target!(|text: &str| {
    let Ok(upload) = UnfinishedUpload::parse(text) else { return };
    assert!(upload.parts() >= 1);
    assert!(upload.stored_len() <= upload.plaintext_len());
    // A line that is not whole has no meaning yet.
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let again = UnfinishedUpload::parse(whole).expect("its whole lines");
    assert_eq!(
        (again.upload_id(), again.stored_parts(), again.stored_len()),
        (upload.upload_id(), upload.stored_parts(), upload.stored_len())
    );
});
