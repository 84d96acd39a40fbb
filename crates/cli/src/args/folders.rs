//! Arguments about folders.

use std::str::FromStr;

use clap::Args;
use globset::{GlobBuilder, GlobMatcher};

/// Arguments of commands that copy folders.
#[derive(Debug, Args)]
pub(crate) struct FolderArgs {
    /// Include everything in the folder and its subfolders
    #[arg(short, long, help_heading = "Folders")]
    pub(crate) recursive: bool,

    /// Skip what already exists at the destination with the same length and modification time; for
    /// put, also with the same encryption context and wrapping keys
    ///
    /// With --recursive or this option, put stores the file's modification time in the object's
    /// user-defined metadata, as `mtime`, and get sets it on the file. This comparison is not
    /// authenticated: anyone who can write to the bucket or the folder can make an object look
    /// unchanged.
    #[arg(short = 'u', long, help_heading = "Folders")]
    pub(crate) skip_unchanged: bool,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// Print what would be done, and change nothing
    #[arg(short = 'n', long, help_heading = "Folders")]
    pub(crate) dry_run: bool,

    /// Number of objects in parallel; they share one memory budget
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..), help_heading = "Folders")]
    pub(crate) concurrency: u16,
}

/// Filter on the files or objects of a folder.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FilterArgs {
    /// Include only matches: `*.pdf` matches names in any folder, `2026/**` matches paths;
    /// repeatable
    ///
    /// `*` and `?` don't match a slash, `**` matches any number of folders, and `{a,b}` matches
    /// either.
    #[arg(long, value_name = "GLOB", help_heading = "Folders")]
    include: Vec<Pattern>,

    /// Exclude matches, even included ones; repeatable. The order of the two options does not
    /// matter
    ///
    /// A folder that matches is excluded with all that it contains, and a local one is not opened:
    /// `node_modules` matches such folders anywhere, `lost+found/**` the contents of one.
    #[arg(long, value_name = "GLOB", help_heading = "Folders")]
    exclude: Vec<Pattern>,
}

impl FilterArgs {
    /// `true` if nothing is filtered out.
    pub(crate) fn takes_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// `true` if an `--exclude` pattern matches this path in the folder, or a folder on the way to
    /// it.
    pub(crate) fn excludes(&self, path: &str) -> bool {
        let folders = path.match_indices('/').map(|(end, _)| &path[..end]);
        let matches = |path: &str| self.exclude.iter().any(|pattern| pattern.matches(path));
        matches(path) || folders.into_iter().any(matches)
    }

    /// `true` if an `--exclude` pattern matches this folder or everything in it.
    pub(crate) fn excludes_folder(&self, path: &str) -> bool {
        self.excludes(path) || self.exclude.iter().any(|pattern| pattern.matches_contents(path))
    }

    /// `true` if the filter accepts this path in the folder.
    pub(crate) fn takes(&self, path: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(path)))
            && !self.excludes(path)
    }
}

/// Glob that matches whole paths if it contains a slash, else names.
#[derive(Debug, Clone)]
struct Pattern {
    matcher: GlobMatcher,
    of_path: bool,
    /// Matches folders of which the pattern matches all contents, if it ends in `/**`.
    contents: Option<GlobMatcher>,
}

impl Pattern {
    fn matches(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.matcher.is_match(if self.of_path { path } else { name })
    }

    fn matches_contents(&self, folder: &str) -> bool {
        self.contents.as_ref().is_some_and(|contents| contents.is_match(folder))
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let compile = |text: &str| {
            let glob = GlobBuilder::new(text).literal_separator(true).build();
            glob.map(|glob| glob.compile_matcher()).map_err(|error| error.kind().to_string())
        };
        let path = text.strip_prefix('/').unwrap_or(text);
        let contents = path.strip_suffix("/**").filter(|folder| !folder.is_empty());
        Ok(Self {
            matcher: compile(path)?,
            of_path: text.contains('/'),
            contents: contents.map(compile).transpose()?,
        })
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
        let excluded = filter(&[], &["node_modules", "lost+found/**", "**/cache/**", "a/b"]);
        for (folder, is_excluded) in [
            ("node_modules", true),
            ("deep/node_modules", true),
            ("node_modules/inside", true),
            ("lost+found", true),
            ("deep/lost+found", false),
            ("cache", true),
            ("deep/cache", true),
            ("a/b", true),
            ("a", false),
        ] {
            assert_eq!(excluded.excludes_folder(folder), is_excluded, "{folder}");
            assert_eq!(!excluded.takes(&format!("{folder}/file")), is_excluded, "{folder}/file");
        }
        let unclosed = "[".parse::<Pattern>().map(drop);
        assert_eq!(unclosed, Err("unclosed character class; missing ']'".into()));
    }
}
