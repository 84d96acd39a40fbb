//! Command lines to be copied into a shell.

use std::ffi::OsStr;

/// The words as a shell reads them.
pub(crate) fn line(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    words
        .into_iter()
        .map(|word| quoted(&word.as_ref().to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The command line of this process.
pub(crate) fn same_command() -> String {
    line(std::env::args_os())
}

fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_they_must_be() {
        let words = ["sealwax", "put", "a b", "s3://b/k", "-c", "t=a'b", "", "$HOME", "~", "é"];
        assert_eq!(line(words), "sealwax put 'a b' s3://b/k -c 't=a'\\''b' '' '$HOME' '~' 'é'");
    }
}
