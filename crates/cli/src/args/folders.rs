//! Options about folders.

use std::str::FromStr;

use clap::Args;
use globset::{GlobBuilder, GlobMatcher};

/// Options about folders.
#[derive(Debug, Args)]
pub(crate) struct FolderArgs {
    /// All that is in the folder, and in its folders
    #[arg(short, long, help_heading = "Folders")]
    pub(crate) recursive: bool,

    /// Leave out what is there already: as long, modified at the same time; for put also of the same encryption context and
    /// under the same keys
    ///
    /// The time of the file is in the object's own metadata, as `mtime`, with every object that was put with --recursive or
    /// this option; `get` gives it to the file. None of it is authenticated: whoever can write to the bucket, or to the
    /// folder, can make an object look unchanged.
    #[arg(short = 'u', long, help_heading = "Folders")]
    pub(crate) skip_unchanged: bool,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// Say what would be done, and do nothing
    #[arg(short = 'n', long, help_heading = "Folders")]
    pub(crate) dry_run: bool,

    /// How many objects are worked on together; all of them share one memory budget
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..), help_heading = "Folders")]
    pub(crate) concurrency: u16,
}

/// Which files or objects of a folder are meant.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FilterArgs {
    /// Only what matches, such as `*.pdf` (a name, in any folder) or `2026/**` (a path in the folder); repeatable
    ///
    /// `*` and `?` match no slash, `**` matches any number of folders, `{a,b}` either of both.
    #[arg(long, value_name = "GLOB", help_heading = "Folders")]
    include: Vec<Pattern>,

    /// Not what matches, even if it is included; repeatable. In which order the two are given does not matter
    #[arg(long, value_name = "GLOB", help_heading = "Folders")]
    exclude: Vec<Pattern>,
}

impl FilterArgs {
    /// Whether nothing is left out.
    pub(crate) fn takes_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Whether what has this path in the folder is left out, and not merely not included.
    pub(crate) fn excludes(&self, path: &str) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches(path))
    }

    /// Whether what has this path in the folder is meant.
    pub(crate) fn takes(&self, path: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(path)))
            && !self.excludes(path)
    }
}

/// A glob: of a whole path if there is a slash in it, else of a name.
#[derive(Debug, Clone)]
struct Pattern {
    matcher: GlobMatcher,
    of_path: bool,
}

impl Pattern {
    fn matches(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.matcher.is_match(if self.of_path { path } else { name })
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let glob = GlobBuilder::new(text.strip_prefix('/').unwrap_or(text))
            .literal_separator(true)
            .build();
        let glob = glob.map_err(|error| error.kind().to_string())?;
        Ok(Self { matcher: glob.compile_matcher(), of_path: text.contains('/') })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> FilterArgs {
        let parse =
            |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a glob")).collect();
        FilterArgs { include: parse(include), exclude: parse(exclude) }
    }

    #[test]
    fn names_match_anywhere_and_paths_as_a_whole() {
        for (include, exclude, path, is_taken) in [
            (&[][..], &[][..], "a/b.txt", true),
            (&["*.txt"], &[], "a/b.txt", true),
            (&["*.txt"], &[], "a/b.pdf", false),
            (&["*.txt", "*.pdf"], &[], "b.pdf", true),
            (&["/*.txt"], &[], "a/b.txt", false),
            (&["/*.txt"], &[], "b.txt", true),
            (&["a/*"], &[], "a/b/c.txt", false),
            (&["a/**"], &[], "a/b/c.txt", true),
            (&["**/c.txt"], &[], "c.txt", true),
            (&[], &["*.tmp"], "a/b.tmp", false),
            (&["*.{txt,pdf}"], &["a/**"], "a/b.pdf", false),
            (&["*.{txt,pdf}"], &["a/**"], "b/b.pdf", true),
        ] {
            assert_eq!(
                filter(include, exclude).takes(path),
                is_taken,
                "{include:?} {exclude:?} {path}"
            );
        }
        assert!("[".parse::<Pattern>().is_err());
    }
}
