//! `sealwax inspect`.

use std::io::{self, Write as _};

use crate::{
    args::{InspectArgs, LookArgs},
    aws::Session,
    error::Failure,
    report::Report,
};

/// Shows what is known of an object without any key.
pub(super) async fn run(session: &Session, args: InspectArgs) -> Result<(), Failure> {
    let InspectArgs { look: LookArgs { uri, version_id, json }, instruction_file_suffix } = args;
    let client = session.client(&uri, session.keyring([]));
    let mut head = client.head().uri(&uri);
    if let Some(version_id) = version_id {
        head = head.version_id(version_id);
    }
    if let Some(suffix) = instruction_file_suffix {
        head = head.instruction_file_suffix(suffix);
    }
    let report = Report::new(&uri, head.send().await?);
    let text = if json { format!("{}\n", report.json()) } else { report.to_string() };
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io("cannot write to standard output", error))
        }
        _ => Ok(()),
    }
}
