//! `tidegate fmt`.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use tidegate_base::disk::Disk;
use tidegate_base::limits::POLICY_BYTES;
use tidegate_dsl::{Sources, format, render};

use super::Failed;

/// Formats files in place, or standard input to standard output.
pub(super) fn fmt(files: &[PathBuf], check: bool) -> Result<(), Failed> {
    let mut clean = true;
    for file in files {
        clean &= one(file, check)?;
    }
    if clean { Ok(()) } else { Err(Failed::Said) }
}

/// Formats one file; false if it does not parse or, under `--check`, would change.
fn one(file: &Path, check: bool) -> Result<bool, Failed> {
    let stdin = file == Path::new("-");
    let text = if stdin {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text).map_err(|error| error.to_string())
    } else {
        let not_text = |_| "it is no UTF-8 text".to_owned();
        Disk::default().read(file, POLICY_BYTES).and_then(|bytes| String::from_utf8(bytes).map_err(not_text))
    };
    let text = text.map_err(|why| Failed::Because(format!("cannot read `{}`: {why}", file.display())))?;
    let formatted = match format(&text) {
        Ok(formatted) => formatted,
        Err(diagnostics) => {
            let mut sources = Sources::default();
            sources.add(file, text);
            eprintln!("{}", render::human(&diagnostics, &sources, std::io::stderr().is_terminal()).trim_end());
            return Ok(false);
        }
    };
    if check {
        let changed = formatted != text;
        if changed {
            eprintln!("{} is not formatted: run `tidegate fmt {}`", file.display(), file.display());
        }
        return Ok(!changed);
    }
    let failed = |error: std::io::Error| Failed::Because(format!("cannot write `{}`: {error}", file.display()));
    if stdin {
        std::io::stdout().write_all(formatted.as_bytes()).map_err(failed)?;
    } else if formatted != text {
        replace(file, &formatted).map_err(failed)?;
    }
    Ok(true)
}

/// Writes beside the file and renames: a gateway that watches it never reads a half.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let target = file.canonicalize()?;
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".fmt");
    let beside = target.with_file_name(name);
    std::fs::write(&beside, text)?;
    std::fs::set_permissions(&beside, std::fs::metadata(&target)?.permissions())?;
    std::fs::rename(beside, target)
}
